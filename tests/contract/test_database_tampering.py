"""What somebody with all rights changes in the database of a live market, `verify` or `replay` names it."""

import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import replace as with_values
from datetime import date
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))

from live_village import BUSES, EPOCH, NAMES, Live, small, small_context

from gridagora.adapters.clocks import FastClock
from gridagora.adapters.live import LiveRunner
from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.audit_rows import rows_of
from gridagora.adapters.sql.codec import decode, encode
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.day_trees import day_tree
from gridagora.adapters.sql.store import Decision, SqlStore
from gridagora.bootstrap import live_terms
from gridagora.ledger.merkle import MerkleTree, leaf_hash, verify_inclusion
from gridagora.ledger.records import seal
from gridagora.model.events import DayClosed, chain_hash
from gridagora.model.live_events import MoneyMoved

DAY_S = 86_400
MARKET = "small"
DAYS = ("2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03")


def traded():
    """Return the events of a market whose first session trades and settles on its first day."""
    live = Live()
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus, money=50_000_000)
    live.until(EPOCH - 3600)
    session = live.state.next_open - 1
    first = live.state.open_terms.session(session).first
    live.bid("ann", session, (first, 1, 250_000, 800), (first + 1, 1, 250_000, 500))
    live.bid("bob", session, (first, -1, 100_000, 700), (first + 1, -1, 100_000, 500))
    for hour in range(4 * 24):
        live.until(EPOCH + 3600 * hour)
    return live


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database with trades, postings, answers and the roots of three days."""
    path, live = tmp_path_factory.mktemp("whole") / "a.db", traded()
    with Database(str(path), write=True, create=True) as database:
        store = SqlStore(database, MARKET)
        for number, event in enumerate(live.events):
            store.keep([Decision(events=(event,), answer="kept", key=f"key {number}" if number < 9 else "")])
        for day in DAYS:
            with database.reading() as connection:
                tree = day_tree(connection, 1, live.state.open_terms, day=date.fromisoformat(day)).tree
            store.append([DayClosed(at=live.now, day=day, size=tree.size, root=tree.root.hex())])
    return path


@pytest.fixture
def path(whole, tmp_path):
    copy = tmp_path / "a.db"
    with closing(sqlite3.connect(whole)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def change(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement, *values in statements:
            assert connection.execute(statement, values).rowcount > 0, statement


def findings(path):
    with Database(str(path)) as database:
        return verify(database, MARKET).findings, replay(database, MARKET).findings


def rows(path, table):
    with Database(str(path)) as database, database.reading() as connection:
        return list(rows_of(connection, table, 1))


def test_an_untouched_market_is_well_and_its_days_have_records(path):
    assert findings(path) == ((), ())
    kept = rows(path, tables.day_roots)
    assert [row[0] for row in kept] == list(DAYS)
    assert kept[3][1] > 10
    assert rows(path, tables.trades)
    assert rows(path, tables.commands)


BY_VERIFY = [
    (
        "UPDATE events SET body = (SELECT body FROM events WHERE seq = 3) WHERE seq = 4",
        "event 4 is not the one",
    ),
    ("UPDATE events SET body = substr(body, 1, 40) WHERE seq = 9", "event 9 cannot be read"),
    ("UPDATE events SET hash = zeroblob(32) WHERE seq = 5", "event 5 is not the one"),
    ("UPDATE events SET at = at + 1 WHERE seq = 5", "event 5 is listed as"),
    ("DELETE FROM events WHERE seq = 7", "event 7 is missing"),
    ("UPDATE journal SET amount_micro = amount_micro + 1 WHERE row = 0", "sums to 1 micro-units"),
    (
        "UPDATE balances SET amount_micro = amount_micro - 1 WHERE name = 'wallet:ann'",
        "account wallet:ann shows",
    ),
    ("UPDATE day_roots SET root = 'ab' WHERE day = '2026-01-01'", "day 2026-01-01: root is 'ab'"),
    ("UPDATE day_roots SET size = 1 WHERE day = '2026-01-02'", "day 2026-01-02: size is 1"),
    ("DELETE FROM day_roots WHERE day = '2026-01-02'", "day 2026-01-02: is missing"),
    ("INSERT INTO day_roots VALUES (1, '2026-01-09', 0, '', 1)", "day 2026-01-09: comes from no event"),
    ("UPDATE commands SET answer = 'other' WHERE key = 'key 4'", "key key 4: answer is 'other'"),
    ("DELETE FROM commands WHERE key = 'key 4'", "key key 4: is missing"),
    ("INSERT INTO commands VALUES (1, 'forged', x'00', 2, 2, 'kept')", "key forged: comes from no event"),
    ("UPDATE heads SET seq = seq - 1", "the head names event"),
    ("UPDATE heads SET hash = zeroblob(32)", "the head names event"),
]

BY_REPLAY = [
    ("UPDATE live_bids SET price_micro = price_micro + 1 WHERE number = 1", "number 1: price_micro"),
    ("DELETE FROM live_bids WHERE number = 2", "live_bids, number 2: is missing"),
    ("UPDATE bids SET accepted_wh = 0", "accepted_wh is 0"),
    ("UPDATE trades SET quantity_wh = 1", "quantity_wh is 1"),
    ("UPDATE journal SET amount_micro = 0 WHERE seq = (SELECT max(seq) FROM journal)", "journal, seq"),
    ("UPDATE resources SET body = '{}' WHERE id = 'ann'", "resources, kind participant, id ann: body"),
    ("UPDATE sessions SET settled = 5 WHERE session = 0", "sessions, session 0: settled is 5"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "reason"), BY_VERIFY)
def test_verify_names_what_was_changed(path, statement, reason):
    change(path, (statement,))
    with Database(str(path)) as database:
        found = verify(database, MARKET).findings
    assert any(reason in text for text in found), found


@pytest.mark.parametrize(("statement", "reason"), BY_REPLAY)
def test_replay_names_rows_that_were_changed(path, statement, reason):
    change(path, (statement,))
    with Database(str(path)) as database:
        found = replay(database, MARKET).findings
    assert any(reason in text for text in found), found


def forge(path, alter):
    """Put another event in the place of one, and mend all hashes, the head and the read tables."""
    before, changes = bytes(32), []
    with Database(str(path)) as database:
        for stored in database.stored(MARKET):
            event = alter(decode(stored.body))
            before = chain_hash(before, event)
            changes.append(
                ("UPDATE events SET body = ?, hash = ? WHERE seq = ?", encode(event), before, stored.seq)
            )
        head = database.head(MARKET).hash
    change(path, *changes, ("UPDATE heads SET hash = ?", before))
    with Database(str(path), write=True) as database:
        SqlStore(database, MARKET).rebuild()
    return head


def test_a_root_that_was_forged_with_all_hashes_after_it_is_not_that_of_its_records(path):
    other = MerkleTree.of([b"another"]).root.hex()

    def alter(event):
        return (
            with_values(event, root=other) if isinstance(event, DayClosed) and event.day == DAYS[3] else event
        )

    forge(path, alter)
    (told,), anew = findings(path)
    assert told.startswith("event ")
    assert f"closes 2026-01-03 with {rows(path, tables.day_roots)[3][1]} records" in told
    assert anew == ()


def test_history_that_was_written_anew_is_not_that_of_the_roots(path):
    """Whoever forges a trade and every hash after it must forge the roots as well, which others hold."""

    def alter(event):
        if isinstance(event, MoneyMoved) and event.reference == "" and event.kind == "deposit":
            return with_values(event, amount=event.amount * 2)
        return event

    head = forge(path, alter)
    with Database(str(path)) as database:
        found = verify(database, MARKET).findings
        assert any("closes 2025-12-31" in text for text in found), found
        assert any("no event has the hash" in text for text in verify(database, MARKET, head=head).findings)


def test_records_of_a_day_are_proven_by_the_root_that_was_kept(path):
    terms = traded().state.open_terms
    with Database(str(path)) as database, database.reading() as connection:
        made = day_tree(connection, 1, terms, day=date(2026, 1, 3))
    kept = {row[0]: row for row in rows(path, tables.day_roots)}[made.day]
    assert (kept[1], kept[2]) == (len(made.records), made.tree.root.hex())
    assert {who for who, _ in made.records} >= {"ann", "bob", ""}
    assert {record["kind"] for _, record in made.records} == {"posting", "trade"}
    last = made.tree.size - 1
    leaf = leaf_hash(seal(made.records[last][1], made.salts[last]))
    root = bytes.fromhex(kept[2])
    assert verify_inclusion(leaf, last, size=kept[1], proof=made.tree.inclusion(last), root=root)


def test_a_market_at_work_closes_each_day_once_also_after_a_start(tmp_path):
    url, at = str(tmp_path / "a.db"), EPOCH - 7200
    for wanted in (2, 4):
        with LiveRunner(
            url, small_context(), live_terms(small(), epoch=EPOCH), clock=FastClock(at, factor=DAY_S)
        ):
            end = time.monotonic() + 30
            while len(rows(url, tables.day_roots)) < wanted:
                assert time.monotonic() < end
                time.sleep(0.05)
        kept = rows(url, tables.day_roots)
        days = [date.fromisoformat(row[0]) for row in kept]
        assert np.all(np.diff([day.toordinal() for day in days]) == 1)
        assert findings(url) == ((), ())
