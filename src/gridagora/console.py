"""Tables and texts on the terminal; rich is imported only when something is printed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console
    from rich.table import Table

LONGEST_TABLE = 40
"""Rows of a table of an auction that are printed."""


def make_table(*columns: str, numbers: bool = False) -> "Table":
    """Return an empty table; with ``numbers`` all columns but the first are set flush right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        flush_right = numbers and index > 0
        table.add_column(
            column,
            justify="right" if flush_right else "left",
            overflow="fold",
            no_wrap=numbers and index == 0,
        )
    return table


def add_row(table: "Table", *cells: object) -> None:
    """Add cells as plain text; rich would take ``[kWh]`` for markup."""
    from rich.markup import escape

    table.add_row(*(escape(str(cell)) for cell in cells))


def make_console(*, stderr: bool = False) -> "Console":
    """Return the console: standard output, or standard error."""
    from rich.console import Console

    return Console(stderr=stderr)


def print_frame(frame: "DataFrame", title: str) -> None:
    """Print the first rows of a table under its title, with its index where that has a name."""
    rows = frame.reset_index() if frame.index.name is not None else frame
    table = make_table(*map(str, rows.columns), numbers=True)
    for cells in rows.head(LONGEST_TABLE).itertuples(index=False):
        add_row(table, *map(_cell, cells))
    make_console().print(title, highlight=False)
    make_console().print(table)
    if len(rows) > LONGEST_TABLE:
        make_console().print(
            f"... and {len(rows) - LONGEST_TABLE} more rows; all with -o FILE", highlight=False
        )


def _cell(value: object) -> str:
    """Write a cell: yes and no, a dash for nothing, numbers with four digits after the point."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, float):
        return "-" if value != value else f"{round(value, 4) + 0.0:,.4f}".rstrip("0").rstrip(".")
    return str(value)
