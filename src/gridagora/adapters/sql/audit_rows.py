"""Comparing the rows of a table with those that it should hold."""

from collections.abc import Iterator

from sqlalchemy import Connection, Table, Text, collate, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.database import Head

MOST_FINDINGS = 20
"""Findings of a kind that are told; what is wrong by then is wrong as a whole."""

ROWS_AT_A_TIME = 5_000

Row = tuple[object, ...]


def head_seen(connection: Connection, head: Head) -> Head:
    """Return the head that this connection sees: tables are compared as of one moment."""
    row = connection.execute(
        select(tables.heads.c.seq, tables.heads.c.hash).where(tables.heads.c.market == head.market)
    ).one()
    return Head(market=head.market, name=head.name, seq=row.seq, hash=bytes(row.hash).hex())


def keys_of(table: Table) -> tuple[str, ...]:
    """Return the names of the columns that tell the rows of one market apart.

    >>> keys_of(tables.journal)
    ('seq', 'row')
    """
    return tuple(column.name for column in table.primary_key.columns if column.name != "market")


def rows_of(
    connection: Connection, table: Table, market: int, *, keys: tuple[str, ...] | None = None
) -> Iterator[Row]:
    """Yield the rows of a market without its number: keys first, in their order, texts by their letters.

    ``keys`` is the primary key when left out.
    """
    names = keys or keys_of(table)
    columns = [table.c[name] for name in (*names, *_others(table, names))]
    plain = "C" if connection.dialect.name == "postgresql" else "BINARY"
    order = [
        collate(table.c[name], plain) if isinstance(table.c[name].type, Text) else table.c[name]
        for name in names
    ]
    asked = select(*columns).where(table.c.market == market).order_by(*order)
    options = {"stream_results": True, "yield_per": ROWS_AT_A_TIME}
    for row in connection.execute(asked, execution_options=options):
        yield tuple(row)


def differing(
    table: Table, theirs: Iterator[Row], ours: Iterator[Row], *, keys: tuple[str, ...] | None = None
) -> tuple[list[str], int]:
    """Return how the rows of a table differ from those that it should hold, and how many these are.

    >>> rows = [(1, 0, 5, 3, 70), (1, 1, 5, 4, -70)]
    >>> differing(tables.journal, iter(rows[:1]), iter(rows))
    (['journal, seq 1, row 1: is missing'], 2)
    """
    names = keys or keys_of(table)
    size, count = len(names), 0
    found: list[str] = []
    left, right = next(theirs, None), next(ours, None)
    while (left is not None or right is not None) and len(found) < MOST_FINDINGS:
        if right is not None and (left is None or left[:size] > right[:size]):
            found.append(f"{_place(table, names, right)}: is missing")
            right, count = next(ours, None), count + 1
        elif left is not None and (right is None or left[:size] < right[:size]):
            found.append(f"{_place(table, names, left)}: comes from no event")
            left = next(theirs, None)
        elif left is not None and right is not None:
            if left != right:
                found.append(f"{_place(table, names, right)}: {_difference(table, names, left, ours=right)}")
            left, right, count = next(theirs, None), next(ours, None), count + 1
    return found, count


def _others(table: Table, keys: tuple[str, ...]) -> list[str]:
    return [column.name for column in table.columns if column.name not in (*keys, "market")]


def _place(table: Table, keys: tuple[str, ...], row: Row) -> str:
    told = ", ".join(f"{name} {value}" for name, value in zip(keys, row, strict=False))
    return f"{table.name}, {told}"


def _difference(table: Table, keys: tuple[str, ...], left: Row, *, ours: Row) -> str:
    parts = zip(_others(table, keys), left[len(keys) :], ours[len(keys) :], strict=True)
    return "; ".join(f"{name} is {a!r} and by the events {b!r}" for name, a, b in parts if a != b)
