"""Answers kept under idempotency keys, and events that no head names: what was changed there is named."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import Decision, SqlStore
from gridagora.engine.live.answers import answer_of
from gridagora.errors import DamagedEvent
from gridagora.model.events import CommandsAnswered
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import BidsTaken, LiveMarketOpened, ResourceKept, SessionOpened

MARKET = "street"


@pytest.fixture
def path(tmp_path):
    """A live market with three answers; nothing came of the last command."""
    terms = LiveTerms(name=MARKET, epoch=0, scenario="")
    body = '{"name":"ann"}'
    kept = ResourceKept(at=2, actor="op", kind="participant", id="ann", version=1, status="active", body=body)
    steps = (
        ("", (LiveMarketOpened(at=1, terms=terms),)),
        ("join", (kept,)),
        ("open", (SessionOpened(at=3, session=0), SessionOpened(at=3, session=1))),
        ("nothing", ()),
        ("", (SessionOpened(at=4, session=2),)),
    )
    with Database(str(tmp_path / "a.db"), write=True, create=True) as database:
        decisions = [Decision(events=made, answer=answer_of(made), key=key) for key, made in steps]
        SqlStore(database, MARKET).keep(decisions)
    return tmp_path / "a.db"


def change(path, *statements):
    """Change a database behind the program's back, as somebody with all rights can."""
    with closing(sqlite3.connect(path)) as connection, connection:
        triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def found(path):
    with Database(str(path)) as database:
        return verify(database, MARKET).findings


def test_answers_that_are_their_events_are_found_well(path):
    assert found(path) == ()
    with Database(str(path), write=True) as database:
        store = SqlStore(database, MARKET)
        assert [type(event) for event in store.events()][-1] is CommandsAnswered
        assert replay(database, MARKET).findings == ()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE commands SET answer = replace(answer, 'ann', 'bob') WHERE key = 'join'", "join: answer is"),
        ("UPDATE commands SET answer = '' WHERE key = 'nothing'", "key nothing: answer is ''"),
        ("UPDATE commands SET request = x'00' WHERE key = 'open'", "key open: request is b'\\x00'"),
        ("UPDATE commands SET key = 'joined' WHERE key = 'join'", "key joined: comes from no event"),
        ("UPDATE commands SET key = 'joined' WHERE key = 'join'", "key join: is missing"),
        ("UPDATE commands SET first_seq = 1 WHERE key = 'open'", "key open: is missing"),
        ("UPDATE commands SET last_seq = 77 WHERE key = 'join'", "77, key join: comes from no event"),
        ("DELETE FROM commands WHERE key = 'nothing'", "key nothing: is missing"),
        ("DELETE FROM commands", "key join: is missing"),
        ("INSERT INTO commands VALUES (1, 'forged', x'00', 2, 2, 'yes')", "key forged: comes from no event"),
        ("INSERT INTO commands VALUES (1, 'late', x'00', 99, 98, '')", "key late: comes from no event"),
        ("DELETE FROM events WHERE kind = 'CommandsAnswered'", "the head names event 6"),
        ("UPDATE events SET kind = 'SessionOpened' WHERE seq = 6", "is listed as SessionOpened"),
        ("UPDATE events SET body = x'00' WHERE seq = 6", "event 6 cannot be read"),
        ("INSERT INTO events SELECT market, 99, at, kind, body, hash FROM events WHERE seq = 3",
         "event 99 stands behind the head"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(path, statement, reason):
    change(path, statement)
    assert any(reason in finding for finding in found(path)), found(path)


def test_changed_answers_are_made_anew_from_the_events(path):
    change(path, "DELETE FROM commands WHERE key = 'join'", "UPDATE commands SET answer = 'x'")
    with Database(str(path), write=True) as database:
        store = SqlStore(database, MARKET)
        assert len(replay(database, MARKET).findings) == 3
        store.rebuild()
        assert replay(database, MARKET).findings == verify(database, MARKET).findings == ()
        assert store.receipt("join", b"").answer.startswith('{"at": 2')


def test_events_that_make_no_rows_for_want_of_others_are_named(tmp_path):
    url = str(tmp_path / "b.db")
    opened = LiveMarketOpened(at=1, terms=LiveTerms(name=MARKET, epoch=0, scenario=""))
    columns = dict.fromkeys(("period", "side", "price", "quantity"), np.zeros(0, np.int64))
    bids = BidsTaken(at=3, actor="a", session=0, participant="ann", number=1, **columns)
    kept = ResourceKept(at=2, actor="op", kind="participant", id="ann", version=1, status="", body="{}")
    with Database(url, write=True, create=True) as database:
        SqlStore(database, MARKET).append([opened, kept, bids])
    change(tmp_path / "b.db", "DELETE FROM events WHERE seq = 2")
    with Database(url) as database, pytest.raises(DamagedEvent, match="event 3 makes no rows"):
        replay(database, MARKET)
