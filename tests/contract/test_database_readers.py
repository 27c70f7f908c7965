"""Connections of readers stay open: they see what is new, hold nothing back, and notice another file."""

import os
import shutil
from threading import Barrier, Thread

import pytest
from sqlalchemy import select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.engines import READERS
from gridagora.adapters.sql.store import SqlStore
from gridagora.errors import StoreError
from gridagora.model.live_events import SessionOpened


def log_pages(database):
    """Return how many pages of the log a checkpoint left behind."""
    with database.looking() as connection:
        driver = connection.connection.driver_connection
    busy, pages, moved = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert not busy
    return pages - moved


def test_a_reader_opens_no_connection_of_its_own_and_sees_what_is_new(tmp_path):
    with Database(str(tmp_path / "a.db"), write=True, create=True) as database:
        store = SqlStore(database, "a")
        drivers = set()
        for seq in range(1, 4):
            store.append([SessionOpened(at=0, session=seq)])
            with database.reading() as connection:
                drivers.add(id(connection.connection.driver_connection))
            assert database.head("a").seq == seq
        assert len(drivers) == 1


def test_a_connection_that_nobody_uses_holds_no_checkpoint_back(tmp_path):
    with Database(str(tmp_path / "a.db"), write=True, create=True) as database:
        SqlStore(database, "a")
        with database.reading() as connection:
            connection.execute(select(tables.heads)).all()
            SqlStore(database, "b")
            assert log_pages(database) > 0
        database.heads()
        assert log_pages(database) == 0


def test_a_file_that_was_replaced_is_read_anew_and_a_removed_one_is_told(tmp_path):
    for name in ("old", "new"):
        with Database(str(tmp_path / f"{name}.db"), write=True, create=True) as database:
            SqlStore(database, name)
    with Database(str(tmp_path / "old.db")) as database:
        assert [head.name for head in database.heads()] == ["old"]
        shutil.copy(tmp_path / "new.db", tmp_path / "copy.db")
        os.replace(tmp_path / "copy.db", tmp_path / "old.db")
        assert [head.name for head in database.heads()] == ["new"]
        (tmp_path / "old.db").unlink()
        with pytest.raises(StoreError, match="cannot be opened"):
            database.heads()
        os.replace(tmp_path / "new.db", tmp_path / "old.db")
        assert [head.name for head in database.heads()] == ["new"]


def test_more_readers_at_once_than_are_kept_do_not_wait(tmp_path):
    with Database(str(tmp_path / "a.db"), write=True, create=True) as database:
        SqlStore(database, "a")
        count = 2 * READERS
        together, found = Barrier(count), []

        def read():
            with database.reading():
                together.wait(20)
                found.append(database.head("a").name)

        threads = [Thread(target=read) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == ["a"] * count
