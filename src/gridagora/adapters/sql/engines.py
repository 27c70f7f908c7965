"""Connections: how each kind of database is opened, and the version of SQLite that is asked for."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from gridagora.adapters.sql.address import Address
from gridagora.errors import StoreError

OLDEST_SQLITE = (3, 35, 0)
RESET_BUG = ((3, 7, 0), (3, 51, 2))
"""Versions in which two connections that write or checkpoint at once can damage a database (first, last)."""

READERS = 8
"""Connections to an SQLite file for reading that are kept open; more are opened when they are needed."""

BUSY_MS = 10_000
APPLICATION_ID = 0x47724167
"""Stands in the head of an SQLite file of ours ("GrAg"), where `file` and other tools see it."""


def sqlite_library() -> str:
    """Return the version of the SQLite library, and what it means for the store.

    >>> sqlite_library().split()[0].count(".")
    2
    """
    first, last = RESET_BUG
    if first <= sqlite3.sqlite_version_info <= last:
        return f"{sqlite3.sqlite_version} (one writer at a time, which also keeps its log safe)"
    return sqlite3.sqlite_version


def check_library(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raise `StoreError` where the SQLite library is too old."""
    if version < OLDEST_SQLITE:
        raise StoreError(
            f"the SQLite library has version {'.'.join(map(str, version))}, and "
            f"{'.'.join(map(str, OLDEST_SQLITE))} is the oldest that can be used; update Python"
        )


def make_engine(address: Address, *, write: bool) -> Engine:
    """Return an engine whose connections write or only read.

    Readers of SQLite open the file read-only, so they can neither write nor checkpoint: the one connection
    that may is the writer's, whom a lock makes the only one.  Connections of readers are kept: one that is
    idle stands in no transaction, so it holds no checkpoint back.  One whose file was replaced or removed is
    given up.
    """
    if address.path is None:
        options = {} if write else {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
        return create_engine(
            address.url,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "gridagora"},
            execution_options=options,
        )
    check_library()
    opened = _sqlite_opener(address.path, "rwc" if write else "ro")
    if write:
        engine = create_engine("sqlite://", creator=opened, poolclass=NullPool)
    else:
        kept = {"poolclass": QueuePool, "pool_size": READERS, "max_overflow": -1}
        engine = create_engine("sqlite://", creator=opened, **kept)
        _watch_file(engine, address.path)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(engine, "begin", begin)
    return engine


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _watch_file(engine: Engine, path: Path) -> None:
    """Let connections be opened anew where the file is not the one any more that they were opened on."""

    def opened(_: object, record: Any) -> None:
        record.info["file"] = identity(path)

    def taken(_: object, record: Any, __: object) -> None:
        if record.info["file"] != identity(path):
            raise DisconnectionError(f"{path} was replaced")

    event.listen(engine, "connect", opened)
    event.listen(engine, "checkout", taken)


def _sqlite_opener(path: Path, mode: str) -> Callable[[], sqlite3.Connection]:
    def opened() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}",
            uri=True,
            isolation_level=None,  # transactions begin where we say so, also around changes of tables
            check_same_thread=False,
            timeout=BUSY_MS / 1000,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA synchronous = FULL")
        if mode == "ro":
            connection.execute("PRAGMA query_only = ON")
        return connection

    return opened


def use_write_ahead_log(connection: Connection) -> None:
    """Switch a database of ours to its write-ahead log, in which readers do not wait for the writer.

    Raises
    ------
    StoreError
        where the file system has no shared memory for it, as network file systems.
    """
    driver: Any = connection.connection.driver_connection
    (mode,) = driver.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError("the file system cannot keep a write-ahead log; put the database on a local disk")
    driver.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def told(error: Exception, address: Address) -> StoreError:
    """Return an error of the database as one that says what to do."""
    text = (
        " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split()) or type(error).__name__
    )
    for sign, advice in _ADVICE:
        if sign in text:
            return StoreError(f"{address}: {advice} ({text})")
    return StoreError(f"{address}: {text}")


_ADVICE = (
    ("file is not a database", "this file is no database"),
    ("disk is full", "the disk is full; free some space and start again, nothing that was kept is lost"),
    ("disk I/O error", "the disk cannot be written or read"),
    ("unable to open", "the database cannot be opened; see whether folder and file are there and yours"),
    ("readonly", "the database may not be written"),
    ("malformed", "the database is damaged: put back a copy"),
    ("database is locked", "another program holds the database"),
    ("password authentication failed", "user or password are wrong"),
    ("does not exist", "there is no such database or user"),
    ("connection failed", "the server cannot be reached"),
    ("connection is bad", "the server cannot be reached"),
    ("server closed the connection", "the server is gone; start again when it is back"),
    ("terminating connection", "the server ended the connection; start again when it is back"),
    ("connection is lost", "the server is gone; start again when it is back"),
    ("No space left", "the disk of the server is full; free some space and start again"),
)


def failures(engine: Engine) -> tuple[type[Exception], ...]:
    """Return the errors that a database raises: SQLAlchemy's and those of its driver."""
    driver: Any = engine.dialect.dbapi
    return (SQLAlchemyError, driver.Error, OSError, OverflowError)
