"""An open database: who may write it, what it holds, and what happens after a write that failed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.address import Address, read_address
from gridagora.adapters.sql.codec import decode
from gridagora.adapters.sql.engines import failures, identity, make_engine, told, use_write_ahead_log
from gridagora.adapters.sql.locks import FileLock
from gridagora.adapters.sql.schema import check_schema, revision_of
from gridagora.errors import Fault, GridAgoraError, InputError, StoreError
from gridagora.model.events import Event

PAGE = 256
"""Events that are read at a time: no transaction stays open while they are used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A market of a database: its number and name, how many events it has, and the hash of the last one."""

    market: int
    name: str
    seq: int
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent:
    """An event as it is stored: its number from 1, moment, kind, body and hash."""

    seq: int
    at: int
    kind: str
    body: bytes
    hash: bytes


class Database:
    """A database of markets, for reading, or for writing by one program at a time.

    Parameters
    ----------
    url : ``sqlite:///FILE``, ``postgresql+psycopg://USER@HOST/NAME``, or the path of an SQLite file
    write : whether events will be appended; tables are then made, or brought up to date
    create : whether to make an SQLite file that is not there; asks for ``write``

    Raises
    ------
    InputError
        for a URL that cannot be read.
    StoreError
        for a database that is missing, foreign, newer, written by another program, or cannot be reached.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     database.heads()
    []
    """

    def __init__(self, url: str, *, write: bool = False, create: bool = False) -> None:
        self.address: Address = read_address(url)
        self.may_write = write
        self.alone = RLock()
        self._claimed: set[str] = set()
        self._failed: str | None = None
        self._file: tuple[int, int] | None = None
        self._close = ExitStack()
        self._readers = make_engine(self.address, write=False)
        self.failures = failures(self._readers)
        with ExitStack() as opening:
            opening.callback(self.close)
            with self._telling():
                self._open(write=write, create=create)
            opening.pop_all()

    def _open(self, *, write: bool, create: bool) -> None:
        path = self.address.path
        if path is not None:
            _check_file(path, create=write and create)
        there = path is None or (path.exists() and path.stat().st_size > 0)
        if there:
            with self._readers.connect() as connection:
                revision_of(connection) if write else check_schema(connection, write=False)
        elif not write:
            raise StoreError(f"{path} is empty: no market was ever kept in it")
        if not write:
            return
        if path is not None:
            self._close.callback(FileLock(path).release)
        engine = make_engine(self.address, write=True)
        self._close.callback(engine.dispose)
        self._writer: Connection = self._close.enter_context(engine.connect())
        with self._writer.begin():
            check_schema(self._writer, write=True)
        if path is not None:
            use_write_ahead_log(self._writer)
            self._file = identity(path)

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, then let another program write."""
        self._readers.dispose()
        with self.alone:
            self._failed = self._failed or "it was closed"
            try:
                self._close.close()
            except self.failures:
                return  # the server is gone: its end of the connection has ended too

    # --- reading ----------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees the database as it is now, and goes on seeing that."""
        with self._telling(), self._readers.connect() as connection, connection.begin():
            yield connection

    def heads(self) -> list[Head]:
        """Return the markets of the database in the order in which they came."""
        with self.reading() as connection:
            rows = connection.execute(select(tables.heads).order_by(tables.heads.c.market)).all()
        return [Head(market=r.market, name=r.name, seq=r.seq, hash=bytes(r.hash).hex()) for r in rows]

    def head(self, name: str) -> Head:
        """Return a market by its name.

        Raises
        ------
        InputError
            when there is none, naming those that there are.
        """
        heads = self.heads()
        for head in heads:
            if head.name == name:
                return head
        known = ", ".join(head.name for head in heads) or "none"
        reason, fix = f"is no market of {self.address}", f"it holds: {known}"
        raise InputError([Fault(source="database", place="market", value=name, reason=reason, fix=fix)])

    def stored(self, name: str, *, after: int = 0) -> Iterator[StoredEvent]:
        """Yield the stored events of a market in order, those after a number."""
        market = self.head(name).market
        while page := self._page(market, after):
            yield from page
            after = page[-1].seq

    def events(self, name: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the events of a market in order, those after a number.

        Raises
        ------
        DamagedEvent
            naming the first that cannot be read.
        """
        return (decode(stored.body) for stored in self.stored(name, after=after))

    def _page(self, market: int, after: int) -> list[StoredEvent]:
        with self.reading() as connection:
            return page_of(connection, market, after)

    # --- writing ----------------------------------------------------------------------------------

    def claim(self, name: str) -> None:
        """Note that a store writes a market, so that no second one does over the same connection.

        Raises
        ------
        StoreError
            when one does already.
        """
        with self.alone:
            if name in self._claimed:
                raise StoreError(f"this program writes the market {name!r} already; use the store that does")
            self._claimed.add(name)

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """Yield the writer's connection in a transaction whose failure breaks nothing."""
        with self.alone, self._telling():
            self._check_usable()
            with self._writer.begin():
                yield self._writer

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield the writer's connection in a transaction: all or nothing of it is kept.

        After an error nothing more is written: what the disk holds is known again only to who opens the
        database anew.

        Raises
        ------
        StoreError
            for a write that failed, now or before.
        """
        with self.alone:
            self._check_usable()
            try:
                with self._telling(), self._writer.begin():
                    self._check_file_is_ours()
                    yield self._writer
            except BaseException as error:
                self._failed = str(error) or type(error).__name__
                raise

    def _check_usable(self) -> None:
        if not self.may_write:
            raise StoreError(f"{self.address} is open for reading only")
        if self._failed is not None:
            raise StoreError(f"the store stopped, open it anew; why it stopped: {self._failed}")

    def _check_file_is_ours(self) -> None:
        """Refuse to write into a file that was removed: the system keeps it for us and nobody else."""
        path = self.address.path
        if path is not None and identity(path) != self._file:
            raise StoreError(f"{path} was removed or replaced while it was open; nothing was written")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except GridAgoraError:
            raise
        except self.failures as error:
            raise told(error, self.address) from error


def page_of(connection: Connection, market: int, after: int) -> list[StoredEvent]:
    """Return some events of a market after a number; an empty list at the end."""
    column = tables.events.c
    asked = select(column.seq, column.at, column.kind, column.body, column.hash)
    asked = asked.where(column.market == market, column.seq > after).order_by(column.seq).limit(PAGE)
    rows = connection.execute(asked).all()
    return [
        StoredEvent(seq=seq, at=at, kind=kind, body=bytes(body), hash=bytes(hashed))
        for seq, at, kind, body, hashed in rows
    ]


def _check_file(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise StoreError(f"{path} is a folder; name a file")
    if not path.exists() and not create:
        raise StoreError(f"there is no database {path}")
    if not path.absolute().parent.is_dir():
        raise StoreError(f"the folder of {path} is not there")


Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""


def quiet(*_: Any) -> None:
    """Tell nothing."""
    return
