"""Readings of meters as columns: what was read, who said it, and when that came in.

An interval reading tells the energy of ``[start, start + duration)``; a register reading (duration 0) tells
the stand of the counters at ``start``.  Energy is whole Wh, import and export both >= 0 on a meter that
works; the model keeps what came, also what cannot be, and `gridagora.settlement.metering` judges it.  A meter
that tells only the difference has it in one column and 0 in the other.

Nothing is overwritten: a correction is one more reading of the same period that came in later.

Source: FIELD.md section 1 (timed beliefs: who said it, and when).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Texts = NDArray[np.str_]
Times = NDArray[np.datetime64]

QUALITIES = ("measured", "from_register", "estimated", "interpolated", "like_days")
"""Quality of a reading: "estimated" is by who sent it, the two after it are ours; see ``METHODS``."""

LARGEST_WH = 10**13
"""Largest counter stand that is taken: 10 TWh, far above any meter; years of it can be summed."""

LARGEST_INTERVAL_WH = 10**10
"""Largest energy of one interval that is taken: 10 GWh, far above any feeder."""

_TIMES = ("start", "received")
_NUMBERS = ("duration_s", "import_wh", "export_wh")
SIGNED = ("duration_s", "export_wh", "import_wh", "meter", "point", "quality", "source", "start")
"""What a signature covers."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MeterReadings:
    """Readings, one entry each; a single value stands for all of them, arrays are copied and locked.

    Parameters
    ----------
    point : connection point
    start : UTC; start of the interval, or the moment a register was read
    duration_s : length of the interval in seconds, 0 for a register reading
    import_wh, export_wh : whole Wh taken from and given to the grid; of a register reading its counters
    source : who said it
    received : when it came in, UTC
    quality : one of `QUALITIES`
    meter : number of the meter, "" where not told; another one means that the meter was exchanged
    signature : signature of `canonical_bytes` in hexadecimal, "" for none

    Raises
    ------
    InputError
        Lists every fault: columns of other lengths, no times, no whole numbers, unknown qualities.

    Examples
    --------
    >>> begin = np.array(["2026-01-01T00:00", "2026-01-01T00:15"], "datetime64[s]")
    >>> readings = MeterReadings(point="a", start=begin, duration_s=900, import_wh=[120, 130], export_wh=0,
    ...                          source="dso", received=np.datetime64("2026-01-01T01:00"))
    >>> len(readings), readings.net_wh.tolist(), readings.quality.tolist()
    (2, [120, 130], ['measured', 'measured'])
    """

    point: Texts
    start: Times
    duration_s: Ints
    import_wh: Ints
    export_wh: Ints
    source: Texts
    received: Times
    quality: Texts = "measured"  # type: ignore[assignment]  # becomes a column
    meter: Texts = ""  # type: ignore[assignment]
    signature: Texts = ""  # type: ignore[assignment]

    def __post_init__(self) -> None:
        columns, faults = {}, []
        for name in COLUMNS:
            columns[name], found = _column(name, getattr(self, name))
            faults += found
        check_faults(faults)
        lengths = {column.size for column in columns.values() if column.ndim}
        count = max(lengths, default=1)
        check_faults(
            _fault(name, column.size, f"has not {count} entries", fix="give one per reading, or one for all")
            for name, column in columns.items()
            if column.ndim and column.size != count
        )
        for name, column in columns.items():
            full = np.array(np.broadcast_to(column, count))
            full.flags.writeable = False
            object.__setattr__(self, name, full)
        check_faults(_value_faults(self))

    def __len__(self) -> int:
        return int(self.point.size)

    @property
    def net_wh(self) -> Ints:
        """Import less export, Wh."""
        return np.asarray(self.import_wh - self.export_wh, dtype=np.int64)

    @property
    def end(self) -> Times:
        """End of each interval, UTC; of a register reading its moment."""
        return np.asarray(self.start + self.duration_s.astype("timedelta64[s]"))

    def take(self, rows: Any) -> "MeterReadings":
        """Return some of the readings, by numbers or by a mask."""
        return MeterReadings(**{name: getattr(self, name)[rows] for name in COLUMNS})

    @staticmethod
    def concat(parts: Sequence["MeterReadings"]) -> "MeterReadings":
        """Put readings after each other."""
        return MeterReadings(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        )

    @staticmethod
    def none() -> "MeterReadings":
        """Return no readings.

        >>> len(MeterReadings.none())
        0
        """
        columns: dict[str, Any] = dict.fromkeys(COLUMNS, np.empty(0, dtype=np.str_))
        columns |= {name: np.empty(0, dtype=np.int64) for name in _NUMBERS}
        return MeterReadings(**columns | {name: np.empty(0, dtype="datetime64[s]") for name in _TIMES})

    def to_frame(self) -> "pd.DataFrame":
        """Return a table with the same columns."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in COLUMNS})


COLUMNS = tuple(field.name for field in fields(MeterReadings))
"""Names of the columns, in their order in files."""


def canonical_bytes(readings: MeterReadings, row: int) -> bytes:
    """Return the bytes of a reading that a signature covers: JSON, keys sorted, no spaces, ASCII.

    Parameters
    ----------
    readings : the readings
    row : which one

    Examples
    --------
    >>> readings = MeterReadings(point="a", start=np.datetime64("2026-01-01"), duration_s=900, import_wh=120,
    ...                          export_wh=0, source="dso", received=np.datetime64("2026-01-02"), meter="7")
    >>> canonical_bytes(readings, 0).decode()[:76]
    '{"duration_s":900,"export_wh":0,"import_wh":120,"kind":"gridagora.reading.1"'
    """
    told: dict[str, Any] = {name: getattr(readings, name)[row].item() for name in SIGNED}
    told |= {"start": f"{readings.start[row]}Z", "kind": "gridagora.reading.1"}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _column(name: str, given: Any) -> tuple[NDArray[Any], list[Fault]]:
    """Read a column: text, times or whole numbers."""
    try:
        if name in _TIMES:
            column: NDArray[Any] = np.asarray(given, dtype="datetime64[s]")
        elif name in _NUMBERS:
            column = _whole(np.asarray(given))
        else:
            column = np.asarray(given, dtype=np.str_)
    except (ValueError, TypeError, OverflowError):
        kind = "times" if name in _TIMES else "whole numbers"
        fix = "give datetime64 in UTC" if name in _TIMES else "round to whole Wh or seconds"
        return np.empty(0), [_fault(name, given, f"are no {kind}", fix=fix)]
    if column.ndim > 1:
        return np.empty(0), [_fault(name, column.shape, "is no column", fix="give one entry per reading")]
    return column, []


def _whole(numbers: NDArray[Any]) -> Ints:
    """Return whole numbers as such; any others are an error."""
    column = numbers.astype(np.int64)
    if numbers.dtype.kind == "b" or not (column == numbers).all():
        raise ValueError("no whole numbers")
    return column


def _value_faults(readings: MeterReadings) -> Iterator[Fault]:
    """Tell values that no reading can have."""
    for name in _TIMES:
        for row in np.flatnonzero(np.isnat(getattr(readings, name))).tolist():
            yield _fault(f"{name}[{row}]", None, "is missing", fix="give a time in UTC")
    for row in np.flatnonzero(readings.duration_s < 0).tolist():
        yield _fault(f"duration_s[{row}]", int(readings.duration_s[row]), "is below 0", fix="write seconds")
    for name in ("import_wh", "export_wh"):
        column = getattr(readings, name)
        most = np.where(readings.duration_s > 0, LARGEST_INTERVAL_WH, LARGEST_WH)
        for row in np.flatnonzero(np.abs(column) > most).tolist():
            yield _fault(f"{name}[{row}]", int(column[row]), "is above any meter", fix="look at the unit")
    for row in np.flatnonzero(~np.isin(readings.quality, QUALITIES)).tolist():
        found, fix = str(readings.quality[row]), f"write one of {', '.join(QUALITIES)}"
        yield _fault(f"quality[{row}]", found, "is no quality", fix=fix)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="meter readings", place=place, value=value, reason=reason, fix=fix)
