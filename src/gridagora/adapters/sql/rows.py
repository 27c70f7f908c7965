"""Puts rows of read tables into a database: the rows of many events at once, by the fastest way it has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table

from gridagora.adapters.sql.made import Rows

Row = tuple[Any, ...]


def write_rows(connection: Connection, market: int, parts: Iterable[Rows]) -> None:
    """Write rows of one market, in their order within each table.

    Rows that follow each other in one table in the same way go in one statement.
    """
    by_table: dict[str, list[Rows]] = {}
    for part in parts:
        by_table.setdefault(part.table.name, []).append(part)
    for of_table in by_table.values():
        for (mode, names), group in groupby(of_table, key=lambda p: (p.mode, tuple(p.columns))):
            table = of_table[0].table
            rows = [row for part in group for row in _tuples(part.columns)]
            if mode == "insert":
                insert_rows(
                    connection, table, names=("market", *names), rows=[(market, *row) for row in rows]
                )
            elif rows and mode == "put":
                _put(connection, table, names=names, rows=rows, market=market)
            elif rows:
                _change(connection, table, names=names, rows=rows, add=mode == "add", market=market)


def _tuples(columns: Mapping[str, Any]) -> Iterator[Row]:
    arrays = {name: _values(value) for name, value in columns.items()}
    count = max(len(value) for value in arrays.values() if isinstance(value, list))
    return zip(*(v if isinstance(v, list) else [v] * count for v in arrays.values()), strict=True)


def _values(value: Any) -> Any:
    """Return a column as a list of plain Python values, NaN as None; one value stays as it is."""
    if isinstance(value, np.ndarray):
        listed = value.tolist()
        return [None if x != x else x for x in listed] if value.dtype.kind == "f" else listed
    return list(value) if isinstance(value, tuple | list) else value


def insert_rows(connection: Connection, table: Table, *, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows that are not there yet."""
    if not rows:
        return
    columns = ", ".join(names)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", list(rows))  # noqa: S608
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _change(
    connection: Connection, table: Table, *, names: Sequence[str], rows: Sequence[Row], add: bool, market: int
) -> None:
    """Set values beside the key in rows that are there, or add to them."""
    keys = {column.name for column in table.primary_key}
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    values = [name for name in names if name not in keys]
    wheres = [name for name in names if name in keys]
    sets = ", ".join(f"{name} = {name} + {mark}" if add else f"{name} = {mark}" for name in values)
    where = " AND ".join(f"{name} = {mark}" for name in ("market", *wheres))
    order = [names.index(name) for name in values], [names.index(name) for name in wheres]
    bound = [(*(row[i] for i in order[0]), market, *(row[i] for i in order[1])) for row in rows]
    connection.exec_driver_sql(f"UPDATE {table.name} SET {sets} WHERE {where}", bound)  # noqa: S608


def _put(
    connection: Connection, table: Table, *, names: Sequence[str], rows: Sequence[Row], market: int
) -> None:
    """Insert rows, or put them in the place of those with their key."""
    keys = [column.name for column in table.primary_key]
    columns = ("market", *names)
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    statement = (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))}) "  # noqa: S608
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    )
    connection.exec_driver_sql(statement, [(market, *row) for row in rows])
