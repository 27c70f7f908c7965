"""Check of the answers that a database keeps under idempotency keys, against the events that hold them."""

from collections.abc import Iterator
from operator import itemgetter

from sqlalchemy import Connection, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit_rows import Row, differing, head_seen, rows_of
from gridagora.adapters.sql.codec import decode
from gridagora.adapters.sql.database import Database, Head
from gridagora.errors import DamagedEvent
from gridagora.model.events import CommandsAnswered

ORDER = ("first_seq", "last_seq", "key")
"""The order in which commands were answered; some may have led to nothing at the same place."""

AT_A_TIME = 64
"""Events that are read at a time."""


def broken_answers(database: Database, head: Head) -> list[str]:
    """Return how the table of commands differs from what the events of a market tell of them.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.adapters.sql.store import Decision, SqlStore
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     receipts = SqlStore(database, "village").keep([Decision(key="a", answer="done")])
    ...     broken_answers(database, database.head("village"))
    []
    """
    with database.reading() as connection:
        seen = head_seen(connection, head)
        table = rows_of(connection, tables.commands, seen.market, keys=ORDER)
        try:
            return differing(tables.commands, map(_plain, table), _told(connection, seen), keys=ORDER)[0]
        except DamagedEvent:
            return []  # the chain tells which; what follows can be asked when it is put back


def _plain(row: Row) -> Row:
    first, last, key, request, answer = row
    return first, last, key, bytes(request), answer  # type: ignore[call-overload]


def _told(connection: Connection, head: Head) -> Iterator[Row]:
    """Yield the rows that events tell of, in their order."""
    event, after = tables.events.c, 0
    asked = select(event.seq, event.body).where(
        event.market == head.market, event.kind == CommandsAnswered.__name__, event.seq <= head.seq
    )
    while page := connection.execute(
        asked.where(event.seq > after).order_by(event.seq).limit(AT_A_TIME)
    ).all():
        for _, body in page:
            told = decode(bytes(body))
            if isinstance(told, CommandsAnswered):
                columns = (told.first.tolist(), told.last.tolist(), told.key, told.requests(), told.answer)
                yield from sorted(zip(*columns, strict=True), key=itemgetter(0, 1, 2))
        after = page[-1].seq
