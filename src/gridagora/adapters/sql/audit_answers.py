"""Check of the answers that a database keeps under idempotency keys, against the events they tell of."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.codec import decode
from gridagora.adapters.sql.database import Database, Head
from gridagora.engine.live.answers import answer_of
from gridagora.errors import DamagedEvent
from gridagora.model.events import Event
from gridagora.model.live_events import LiveMarketOpened


def broken_answers(database: Database, head: Head) -> Iterator[str]:
    """Yield what is wrong with the commands of a market.

    Each names events that are there, none of them named by another; in a live market its answer is the one
    that these events give.  A key that was changed, or the hash of a request, is not seen: no event
    has it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.adapters.sql.store import Decision, SqlStore
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     receipts = SqlStore(database, "village").keep([Decision(key="a", answer="done")])
    ...     list(broken_answers(database, database.head("village")))
    []
    """
    command, after = tables.commands.c, 0
    asked = select(command.key, command.first_seq, command.last_seq, command.answer).where(
        command.market == head.market, command.first_seq <= head.seq + 1
    )
    with database.reading() as connection:
        rows = connection.execute(asked.order_by(command.first_seq, command.last_seq)).all()
    named = []
    for row in rows:
        if not 1 <= row.first_seq <= row.last_seq + 1 <= head.seq + 1:
            yield f"the answer to key {row.key!r} tells of events {row.first_seq} to {row.last_seq}"
        elif row.last_seq >= row.first_seq and row.first_seq <= after:
            yield f"the answer to key {row.key!r} tells of event {row.first_seq}, as that to another key does"
        else:
            named.append(row)
            after = max(after, row.last_seq)
    yield from _other_answers(database, head, named)


def _other_answers(database: Database, head: Head, rows: Sequence[Any]) -> Iterator[str]:
    """Yield the answers of a live market that are not those of their events, which follow each other."""
    waiting, made = iter(rows), list[Event]()
    row = next(waiting, None)
    for stored in database.stored(head.name):
        if stored.seq == 1 and stored.kind != LiveMarketOpened.__name__:
            return
        while row is not None and row.last_seq < row.first_seq:  # a command that led to nothing
            yield from _other_answer(row, ())
            row = next(waiting, None)
        if row is None or stored.seq > head.seq:
            return
        if stored.seq < row.first_seq:
            continue
        try:
            made.append(decode(stored.body))
        except DamagedEvent:
            return  # the chain tells which; what follows can be asked when it is put back
        if stored.seq == row.last_seq:
            yield from _other_answer(row, made)
            row, made = next(waiting, None), []


def _other_answer(row: Any, made: Sequence[Event]) -> Iterator[str]:
    """Yield a finding unless all that was answered is what events tell; today they may tell more."""
    due = answer_of(made)
    if not _within(row.answer, due):
        yield f"the answer to key {row.key!r} is {row.answer[:200]!r} and by its events {due[:200]!r}"


def _within(answer: str, due: str) -> bool:
    try:
        told, now = json.loads(answer), json.loads(due)
    except ValueError:
        return False
    return isinstance(told, dict) and all(name in now and now[name] == told[name] for name in told)
