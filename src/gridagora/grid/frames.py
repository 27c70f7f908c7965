"""Columns of a pandapower frame as clean arrays, whatever their dtype, with a fault for each bad value.

Frames come with object, string and nullable columns, with None, NaN and NA for "missing", and from pickles of
other pandas versions.  So nothing here asks for a dtype: each value is read for what it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(kw_only=True, slots=True)
class Faults:
    """Collects the faults of one net and the notes on what was taken as given."""

    source: str
    found: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, place: str, value: object, reason: str, *, fix: str) -> None:
        """Add one fault."""
        self.found.append(Fault(source=self.source, place=place, value=value, reason=reason, fix=fix))


class Frame:
    """One table of a pandapower net; a table that the net lacks is empty."""

    def __init__(self, net: Any, table: str) -> None:
        found = net.get(table)
        self.table = table
        self._data = found if found is not None and len(found) else None
        self.index: list[int] = [] if self._data is None else [int(i) for i in self._data.index]

    def __len__(self) -> int:
        return len(self.index)

    def has(self, column: str) -> bool:
        """Tell whether the table has rows and this column."""
        return self._data is not None and column in self._data.columns

    def values(self, column: str) -> list[Any]:
        """Return a column as Python values; all None when it is missing."""
        if self._data is None or column not in self._data.columns:
            return [None] * len(self)
        values: list[Any] = self._data[column].tolist()
        return values

    def numbers(self, column: str, default: float = np.nan) -> Floats:
        """Return a column as floats; ``default`` where a value is missing or no number."""
        numbers = np.array([_number(value) for value in self.values(column)], dtype=np.float64)
        return np.where(np.isnan(numbers), default, numbers)

    def flags(self, column: str, *, default: bool) -> Bools:
        """Return a column as booleans; ``default`` where a value is missing."""
        numbers = self.numbers(column)
        return np.where(np.isnan(numbers), default, numbers != 0)

    def texts(self, column: str) -> list[str]:
        """Return a column as texts; empty where a value is missing."""
        return [_text(value) for value in self.values(column)]

    def names(self) -> list[str]:
        """Return the name of each row where it is unique, else the row's number, never the same twice."""
        return unique_names(self.texts("name"), self.index, word=self.table)

    def place(self, row: int) -> str:
        """Return how to name a row in a message."""
        name = self.texts("name")[row]
        return f"{self.table} {self.index[row]}" + (f" ({name})" if name else "")

    def check(
        self,
        column: str,
        values: Floats,
        valid: Callable[[Floats], Bools],
        *,
        faults: Faults,
        rows: Bools,
        need: str,
    ) -> None:
        """Add a fault for each row in service whose value is not valid."""
        with np.errstate(invalid="ignore"):
            bad = rows & ~(np.isfinite(values) & valid(values))
        for row in np.flatnonzero(bad).tolist():
            raw = self.values(column)[row]
            faults.add(
                f"{self.place(row)}, {column}",
                raw,
                f"is not {need}",
                fix=f"write {need} to {self.table}.{column}",
            )


class Buses:
    """The bus table: numbers, voltages, and rows instead of numbers."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.number = frame.index
        self.row = {number: row for row, number in enumerate(frame.index)}
        self.kv = frame.numbers("vn_kv")
        self.in_service = frame.flags("in_service", default=True)
        self.name = frame.texts("name")
        self.geo = frame.values("geo")

    def __len__(self) -> int:
        return len(self.number)

    def place(self, row: int) -> str:
        """Return how to name a bus in a message."""
        return self._frame.place(row)

    def rows(self, frame: Frame, column: str, *, rows: Bools, faults: Faults) -> Ints:
        """Return the row of the bus that a column names; -1, and a fault, where there is none."""
        found = np.array(
            [self.row.get(int(number), -1) for number in frame.numbers(column, -1)], dtype=np.int64
        )
        for row in np.flatnonzero(rows & (found < 0)).tolist():
            value = frame.values(column)[row]
            faults.add(
                f"{frame.place(row)}, {column}",
                value,
                "is no bus of the net",
                fix="write a number of net.bus",
            )
        return found

    def at_service(self, frame: Frame, faults: Faults) -> tuple[Bools, Ints]:
        """Return which rows of a table are in service at a bus in service, and the bus of each row."""
        rows = frame.flags("in_service", default=True)
        bus = self.rows(frame, "bus", rows=rows, faults=faults)
        return rows & (bus >= 0) & self.in_service[bus], bus


def any_number(values: Floats) -> Bools:
    """Accept every finite number."""
    return np.isfinite(values)


def positive(values: Floats) -> Bools:
    """Accept numbers above zero."""
    return np.asarray(values > 0)


def not_negative(values: Floats) -> Bools:
    """Accept zero and numbers above."""
    return np.asarray(values >= 0)


def unique_names(names: list[str], numbers: Iterable[int], *, word: str) -> list[str]:
    """Return each name that stands once, else the number of the row, else ``word`` and number.

    Examples
    --------
    >>> unique_names(["A", "B", "A", ""], [0, 1, 2, 7], word="bus")
    ['0', 'B', '2', '7']
    >>> unique_names(["2", "B", "B"], [0, 1, 2], word="bus")
    ['2', '1', 'bus 2']
    """
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    taken = {name for name, count in counts.items() if name and count == 1}
    chosen = []
    for name, number in zip(names, numbers, strict=True):
        if name in taken:
            chosen.append(name)
            continue
        identifier = str(number)
        while identifier in taken:
            identifier = f"{word} {identifier}"
        chosen.append(identifier)
        taken.add(identifier)
    return chosen


def _number(value: Any) -> float:
    """Return a number, NaN for anything that is none (None, NA, text)."""
    if value is None:
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _text(value: Any) -> str:
    """Return a text, empty for None, NaN and NA; whole floats without their point."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    number = _number(value)
    if np.isnan(number):
        return ""
    return str(int(number)) if number.is_integer() else str(value)
