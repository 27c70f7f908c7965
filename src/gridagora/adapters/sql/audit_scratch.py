"""Read tables of a market made anew from its events, in a database of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.address import read_address
from gridagora.adapters.sql.codec import decode
from gridagora.adapters.sql.database import Database, Head, Progress, StoredEvent
from gridagora.adapters.sql.engines import make_engine
from gridagora.adapters.sql.made import Names, Rows
from gridagora.adapters.sql.projections import project
from gridagora.adapters.sql.rows import insert_rows, write_rows
from gridagora.errors import DamagedEvent, InvariantError
from gridagora.model.events import GENESIS

AT_A_TIME = 100
"""Events whose rows are written together."""


@contextmanager
def made_anew(database: Database, head: Head, *, progress: Progress) -> Iterator[tuple[Connection, Names]]:
    """Yield a database with the read tables of a market as its events up to a head make them, and the names.

    Its events have their moments, kinds and hashes there, and no bodies.

    Raises
    ------
    DamagedEvent
        where an event cannot be read: nothing can then be made from what follows.
    """
    with TemporaryDirectory(prefix="gridagora-") as folder:
        engine = make_engine(read_address(str(Path(folder) / "replay.db")), write=True)
        try:
            with engine.connect() as scratch:
                yield scratch, _filled(database, head, scratch, progress=progress)
        finally:
            engine.dispose()


def _filled(database: Database, head: Head, scratch: Connection, *, progress: Progress) -> Names:
    names, market = Names(), head.market
    with scratch.begin():
        tables.metadata.create_all(scratch)
        scratch.execute(insert(tables.heads).values(market=market, name=head.name, seq=0, hash=GENESIS))
        rows, known = list[Rows](), list[tuple[object, ...]]()
        for stored in database.stored(head.name):
            if stored.seq > head.seq:
                break
            made, names = _made(stored, names)
            rows.extend(made)
            known.append((market, stored.seq, stored.at, stored.kind, b"", stored.hash))
            if stored.seq % AT_A_TIME == 0 or stored.seq == head.seq:
                _write(scratch, market, known, rows=rows)
                progress(stored.seq, head.seq, "making read tables")
        _write(scratch, market, known, rows=rows)
    return names


def _write(scratch: Connection, market: int, known: list[tuple[object, ...]], *, rows: list[Rows]) -> None:
    """Write some events and the rows that they make; both lists are empty after that."""
    names = [column.name for column in tables.events.columns]
    try:
        insert_rows(scratch, tables.events, names=names, rows=known)
        write_rows(scratch, market, rows)
    except DBAPIError as error:
        last = known[-1][1] if known else 0
        raise DamagedEvent(f"events up to {last} make rows that contradict others: {error.orig}") from error
    rows.clear()
    known.clear()


def _made(stored: StoredEvent, names: Names) -> tuple[tuple[Rows, ...], Names]:
    try:
        return project(decode(stored.body), stored.seq, names)
    except (DamagedEvent, InvariantError, ValueError, LookupError) as error:
        raise DamagedEvent(f"event {stored.seq} makes no rows: {error}") from error
