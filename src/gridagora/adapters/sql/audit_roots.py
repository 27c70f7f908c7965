"""Check of the Merkle roots of days against trees over what the events of a market book."""

from datetime import date
from itertools import islice

from sqlalchemy import Connection, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit_rows import MOST_FINDINGS, Row, differing, head_seen, rows_of
from gridagora.adapters.sql.audit_scratch import made_anew
from gridagora.adapters.sql.database import Database, Head, Progress
from gridagora.adapters.sql.day_trees import day_tree
from gridagora.errors import DamagedEvent
from gridagora.model.events import DayClosed
from gridagora.model.live_events import LiveMarketOpened


def broken_roots(database: Database, head: Head, *, progress: Progress) -> list[str]:
    """Return which roots of days are not those of trees made anew from the events of a market.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.adapters.sql.database import quiet
    >>> from gridagora.adapters.sql.store import SqlStore
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     store = SqlStore(database, "village")
    ...     broken_roots(database, database.head("village"), progress=quiet)
    []
    """
    with database.reading() as connection:
        seen = head_seen(connection, head)
        kept = list(rows_of(connection, tables.day_roots, seen.market))
        if not kept and not _closes(connection, seen):
            return []
    try:
        opened = next(islice(database.events(head.name), 1), None)
        if not isinstance(opened, LiveMarketOpened):
            return ["days have roots, and no live market was opened"]
        with made_anew(database, seen, progress=progress) as (scratch, _):
            told = list(rows_of(scratch, tables.day_roots, seen.market))
            found = []
            for number, row in enumerate(told, 1):
                day, size, root, _ = row
                tree = day_tree(scratch, seen.market, opened.terms, day=date.fromisoformat(str(day))).tree
                if (tree.size, tree.root.hex()) != (size, root):
                    found.append(_other(row, f"{tree.size} records with root {tree.root.hex()[:16]}..."))
                progress(number, len(told), "roots of days")
    except (DamagedEvent, ValueError) as error:
        return [f"the roots of days cannot be made anew: {error}"]
    return [*found[:MOST_FINDINGS], *differing(tables.day_roots, iter(kept), iter(told))[0]]


def _closes(connection: Connection, head: Head) -> bool:
    event = tables.events.c
    asked = select(event.seq).where(event.market == head.market, event.kind == DayClosed.__name__)
    return connection.scalar(asked.limit(1)) is not None


def _other(row: Row, made: str) -> str:
    day, size, root, seq = row
    return (
        f"event {seq} closes {day} with {size} records and root {str(root)[:16]}..., its events make {made}"
    )
