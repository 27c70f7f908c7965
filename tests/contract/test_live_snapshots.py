"""Snapshots in the database: a start goes on from one that fits, and comes to the same state without."""

import json

import pytest
from live_bidding import enter, runner
from live_village import NAMES
from sqlalchemy import delete, select, text, update

from gridagora.adapters import live_snapshots
from gridagora.adapters.live_snapshots import Snapshots
from gridagora.adapters.sql import snapshots as kept
from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit import verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.snapshots import known_state, snapshot_findings, snapshots_of
from gridagora.adapters.sql.states import encode_state, state_version
from gridagora.engine.live.commands import KeepResource
from gridagora.engine.live.machine import replay
from gridagora.engine.live.notices import notices

FEW = 8


@pytest.fixture
def url(tmp_path, monkeypatch):
    """A market that ran, was closed, and ran again, with a snapshot after every few events."""
    monkeypatch.setattr(live_snapshots, "LEAST", FEW)
    monkeypatch.setattr(live_snapshots, "EVERY", FEW)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    for turn in range(2):
        with runner(url, factor=1.0) as live:
            enter(live)
            for number in range(3 * FEW):
                body = json.dumps({"name": f"{NAMES[0]} {turn} {number}"})
                version = live.ask(lambda state: state.register.get("participant", NAMES[0]).version)
                live.do(
                    KeepResource(
                        at=0,
                        actor="op",
                        kind="participant",
                        id=NAMES[0],
                        version=version,
                        body=body,
                        status="active",
                    )
                )
    return url


def begun(database):
    """Return how many events a start goes through, and the state that it comes to."""
    seen, given = [], database.events

    def events(name, *, after=0):
        for event in given(name, after=after):
            seen.append(event)
            yield event

    database.events = events
    state, held = known_state(database, "small")
    database.events = given
    return len(seen), encode_state(state, held)[0]


def whole(database):
    """Return the bytes of the fold of all events."""
    state, held = known_state(database, "small", told=lambda *_: None)
    assert state.events == replay(database.events("small")).events
    return encode_state(state, held)[0]


def change(url, *statements):
    """Change what stands in the database behind the program's back."""
    with Database(url, write=True) as database, database.looking() as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_start_goes_through_the_events_after_the_newest_snapshot_alone(url):
    with Database(url) as database:
        gone_through, body = begun(database)
        assert gone_through < database.head("small").seq / 2
        assert body == whole(database)
        assert snapshot_findings(database, "small") == []
        assert verify(database, "small").findings == ()
        assert len(list(snapshots_of(database, 1))) <= kept.KEPT


heads, parts, events = tables.snapshots, tables.snapshot_parts, tables.events


@pytest.mark.parametrize(
    "wrong",
    [
        update(heads).values(version="another"),
        update(heads).values(checksum=b"another"),
        update(heads).values(hash=b"another"),
        update(parts).where(parts.c.part == 0).values(body=b"GAe"),
        delete(parts),
        delete(heads),
    ],
    ids=["version", "checksum", "hash", "body", "parts", "none"],
)
def test_a_snapshot_that_does_not_fit_is_passed_over(url, wrong):
    change(url, wrong)
    with Database(url) as database:
        gone_through, body = begun(database)
        assert gone_through == database.head("small").seq
        assert body == whole(database)
    with runner(url, factor=1.0) as live:
        assert live.ask(lambda state: state.register.get("participant", NAMES[0]).version) > 2 * FEW


def test_a_snapshot_that_reads_well_and_is_of_another_market_is_found_by_the_audit(url):
    with Database(url) as database:
        newest = next(snapshots_of(database, 1))
        state, held = known_state(database, "small")
    state.balance["bank"] = 5
    with Database(url, write=True) as database:
        told = encode_state(state, held)[0]
        forged = kept.Snapshot(seq=newest.seq, version=state_version(), body=told)
        kept.write_snapshot(database, 1, forged)
        (finding,) = snapshot_findings(database, "small")
    assert f"after event {newest.seq}" in finding


def test_a_snapshot_that_cannot_be_written_costs_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(live_snapshots, "LEAST", FEW)

    def broken(*_):
        raise TypeError("no state holds a spoon")

    monkeypatch.setattr(live_snapshots, "encode_state", lambda *_, **__: broken())
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with runner(url, factor=1.0) as live:
        enter(live)
    with Database(url, write=True) as database:
        made = Snapshots(database, "small")
        state = made.begin()
        made._newest = 0
        made.close(state)
        assert made.failed == "no state holds a spoon"
        assert list(snapshots_of(database, 1)) == []
        assert state.events == database.head("small").seq


def test_a_state_that_is_ahead_of_the_disk_is_not_kept(url):
    with Database(url, write=True) as database:
        made = Snapshots(database, "small")
        state = made.begin()
        state.events += FEW
        before = [one.seq for one in snapshots_of(database, 1)]
        made.close(state)
        assert [one.seq for one in snapshots_of(database, 1)] == before


def test_notices_stand_in_the_database_as_the_events_tell_them(url):
    def rows(database):
        with database.reading() as connection:
            table = tables.notices
            return connection.execute(select(table).order_by(table.c.seq, table.c.place)).all()

    with Database(url) as database:
        told = []
        known_state(
            database, "small", told=lambda state, event: told.extend(notices(state.events, event, state))
        )
        written = rows(database)
        assert [(row.seq, row.participant, row.text) for row in written] == [
            (one.id, one.participant, one.text) for one in told
        ]
    change(url, text("UPDATE noticed SET version = 0"), text("DELETE FROM notices WHERE seq % 2 = 0"))
    with runner(url, factor=1.0):
        pass
    with Database(url) as database:
        assert rows(database)[: len(written)] == written
