"""Meter readings out of CSV, Excel and Parquet files, and back into them.

Long files: a row per reading with ``point``, ``start`` (or ``time``) and values whose unit is in the name of
the column: ``import_kwh``, ``export_kwh`` or ``net_kwh``, in ``_wh``, ``_kwh``, ``_w`` or ``_kw`` (mean
power); ``import_register_kwh`` and ``export_register_kwh`` (or ``_wh``) for counters.  ``duration_s`` or
``end`` tells the length of an interval, otherwise the most frequent distance of a point's rows does; where
``duration_s`` is 0 the energy is a counter's.  ``source``, ``received``, ``quality``, ``meter`` and
``signature`` may be there.

Wide files: ``start`` (or ``time``) and a column per point with its net import, ``NAME kWh``, ``NAME kW`` ...
or all in one unit that the caller names.

An empty cell is no reading.  Times are as in `gridagora.adapters.timeline`: local ones are told apart per
point.  Energy is rounded to whole Wh within each hour, so that the sum of every hour is right to half a Wh.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.meters.names import NAME_RULE, is_name, is_signature
from gridagora.adapters.tables import SHOWN, RawTable, column_faults, more, numbers, read_table
from gridagora.adapters.timeline import TIME, utc_times
from gridagora.errors import Fault
from gridagora.model.metering import COLUMNS, LARGEST_INTERVAL_WH, LARGEST_WH, QUALITIES, MeterReadings
from gridagora.model.time import SECONDS_PER_HOUR
from gridagora.scenario.suggest import near

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Times = NDArray[np.datetime64]

UNITS = {"Wh": 1.0, "kWh": 1000.0, "W": 1.0, "kW": 1000.0}
POWERS = ("W", "kW")
_TEXTS = ("source", "quality", "meter", "signature")
_OTHERS = ("point", "start", TIME, "end", "duration_s", "received", "doubtful", *_TEXTS)
_ENERGY = {f"{side}_{unit.lower()}": (side, unit) for side in ("import", "export", "net") for unit in UNITS}
_COUNTERS = {
    f"{side}_register_{unit.lower()}": (side, unit) for side in ("import", "export") for unit in ("Wh", "kWh")
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterFile:
    """Readings of a file; ``arrivals`` tells whether it says when each came in."""

    readings: MeterReadings
    arrivals: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Rows:
    """Lines of a table of one kind, with whom and when they are of."""

    table: RawTable
    point: NDArray[np.str_]
    start: Times
    duration_s: Ints


def read_meter_file(
    path: Path, *, timezone: str | None = None, unit: str | None = None, source: str | None = None
) -> tuple[MeterFile | None, list[Fault]]:
    """Read meter readings; return them, or None and every fault.

    Parameters
    ----------
    path : CSV, Excel or Parquet file, long or wide
    timezone : zone of times without offset; None: UTC
    unit : unit of a wide file's columns that name none: Wh, kWh, W or kW
    source : who said it, where the file does not tell; the file's name when left out

    Notes
    -----
    Without a column ``received``, readings came in when the file was last written; where that was before its
    last reading (an unpacked archive may say 1980), they come in now.
    """
    table, faults = read_table(path, text=True)
    if table is None:
        return None, faults
    columns = [str(name) for name in table.frame.columns]
    time = "start" if "start" in columns else TIME
    if time not in columns:
        return None, column_faults(table, ["start"])
    wide = "point" not in columns
    if wide:
        table, faults = _melt(table, time, unit=unit)
    else:
        faults = _column_faults(table)
    if table is None or faults:
        return None, faults
    said = source or (path.name if is_name(path.name) else "file")
    return _read_long(table, time, timezone=timezone, said=said, written=path.stat().st_mtime)


def _melt(table: RawTable, time: str, *, unit: str | None) -> tuple[RawTable | None, list[Fault]]:
    """Turn a column per point into a row per reading."""
    import pandas as pd

    faults, parts, rows = [], [], []
    for column in map(str, table.frame.columns):
        if column == time:
            continue
        name, _, last = column.rpartition(" ")
        told = last if name and last in UNITS else unit
        point = name.strip() if name and last in UNITS else column
        if told is None:
            reason, fix = "tells no unit", f"name the column '{column} kWh' (or Wh, W, kW), or give --unit"
            faults.append(Fault(source=table.source, place="header", value=column, reason=reason, fix=fix))
            continue
        values = table.frame[column]
        part = pd.DataFrame({"point": point, time: table.frame[time], f"net_{told.lower()}": values})
        parts.append(part)
        rows.append(table.rows)
    if not parts and not faults:
        fix = "add a column per point, or the columns point and import_kwh"
        reason = "has no readings"
        faults.append(Fault(source=table.source, place="header", value=time, reason=reason, fix=fix))
    if faults:
        return None, faults
    frame = pd.concat(parts, ignore_index=True).fillna("")
    return RawTable(source=table.source, frame=frame, rows=np.concatenate(rows)), []


def _column_faults(table: RawTable) -> list[Fault]:
    """Tell columns that are unknown, say the same twice, or are missing."""
    columns = [str(name) for name in table.frame.columns]
    known = [*_OTHERS, *_ENERGY, *_COUNTERS]
    faults = [
        Fault(
            source=table.source,
            place="header",
            value=name,
            reason="is no column of meter readings",
            fix=near(name, known) or "write e.g. import_kwh, export_kwh, net_kw or import_register_kwh",
        )
        for name in columns
        if name not in known
    ]
    for kinds in (_ENERGY, _COUNTERS):
        sides = [kinds[name][0] for name in columns if name in kinds]
        both = "net" in sides and len(set(sides)) > 1
        if both or len(set(sides)) < len(sides):
            given = [name for name in columns if name in kinds]
            reason, fix = "tell the same twice", "keep import and export, or net alone, in one unit"
            faults.append(Fault(source=table.source, place="header", value=given, reason=reason, fix=fix))
    if not any(name in _ENERGY or name in _COUNTERS for name in columns):
        reason, fix = "no column has readings", "add import_kwh and export_kwh, or net_kw, or registers"
        faults.append(Fault(source=table.source, place="header", value=columns, reason=reason, fix=fix))
    if {"start", TIME} <= set(columns) or {"end", "duration_s"} <= set(columns):
        reason, fix = "tell the same twice", "keep start, or time; and end, or duration_s"
        faults.append(Fault(source=table.source, place="header", value=columns, reason=reason, fix=fix))
    return faults


def _read_long(
    table: RawTable, time: str, *, timezone: str | None, said: str, written: float
) -> tuple[MeterFile | None, list[Fault]]:
    """Read a row per reading."""
    faults: list[Fault] = []
    point = cells(table, "point")
    faults += refuse(
        table, "point", [not is_name(text) for text in point.tolist()], text=("is no name", NAME_RULE)
    )
    start, found = _times(table, time, point, timezone=timezone)
    faults += found
    texts, found = _texts(table, said)
    faults += found
    arrivals = "received" in table.frame.columns
    received = np.full(len(point), int(written), dtype="datetime64[s]")
    if arrivals:
        came, found = utc_times(table, None, column="received")
        faults += found
        received = received if came is None else came
    end = None
    if "end" in table.frame.columns:
        end, found = _times(table, "end", point, timezone=timezone)
        faults += found
    duration, found = _durations(table, point, start=start, end=end)
    faults += found
    if start is None or duration is None:
        return None, [*faults, *_number_faults(table)]
    if not arrivals and start.max() > received[0]:
        received = np.full(len(point), int(datetime.now(UTC).timestamp()), dtype="datetime64[s]")
    rows = _Rows(table=table, point=point, start=start, duration_s=duration)
    parts = []
    for kinds in (_ENERGY, _COUNTERS):
        lines, energy, found = _values(rows, kinds)
        faults += found
        parts.append((lines, energy, duration if kinds is _ENERGY else np.zeros_like(duration)))
    if faults:
        return None, faults
    columns = {"point": point, "start": start, "received": received, **texts}
    readings = [
        MeterReadings(
            **{name: column[lines] for name, column in columns.items()},
            duration_s=length[lines],
            import_wh=energy[0],
            export_wh=energy[1],
        )
        for lines, energy, length in parts
    ]
    return MeterFile(readings=MeterReadings.concat(readings), arrivals=arrivals), []


def cells(table: RawTable, column: str) -> NDArray[np.str_]:
    """Return a column as text."""
    return np.array([text.strip() for text in table.frame[column].tolist()], dtype=np.str_)


def _times(
    table: RawTable, column: str, point: NDArray[np.str_], *, timezone: str | None
) -> tuple[Times | None, list[Fault]]:
    """Read times; in a time zone each point by itself, as its hour that comes twice is told by order."""
    if timezone is None:
        return utc_times(table, None, column=column)
    out = np.zeros(len(point), dtype="datetime64[s]")
    order = np.argsort(point, kind="stable")
    edges = np.flatnonzero(point[order][1:] != point[order][:-1]) + 1
    faults: list[Fault] = []
    for lines in np.split(order, edges):
        part = RawTable(
            source=table.source,
            frame=table.frame.iloc[lines].reset_index(drop=True),
            rows=table.rows[lines],
        )
        times, found = utc_times(part, timezone, column=column)
        faults += found
        if times is not None:
            out[lines] = times
    told = list({str(fault): fault for fault in faults}.values())
    left = more(table.source, f"column {column}", len(told), reason="is no time of this clock")
    return (None, [*told[:SHOWN], *left]) if told else (out, [])


def _texts(table: RawTable, said: str) -> tuple[dict[str, NDArray[np.str_]], list[Fault]]:
    """Read who said it, how, and of which meter."""
    defaults = {"source": said, "quality": "measured", "meter": "", "signature": ""}
    checks = {
        "source": (is_name, NAME_RULE),
        "quality": (QUALITIES.__contains__, f"write one of {', '.join(QUALITIES)}"),
        "meter": (lambda text: not text or is_name(text), NAME_RULE),
        "signature": (is_signature, "write 128 hexadecimal digits, or nothing"),
    }
    out, faults = {}, []
    for name, default in defaults.items():
        if name not in table.frame.columns:
            out[name] = np.full(len(table.rows), default)
            continue
        given = cells(table, name)
        out[name] = np.where(given == "", default, given)
        is_good, fix = checks[name]
        wrong = [not is_good(text) for text in out[name].tolist()]
        faults += refuse(table, name, wrong, text=(f"is no {name}", fix))
    return out, faults


def _durations(
    table: RawTable, point: NDArray[np.str_], *, start: Times | None, end: Times | None
) -> tuple[Ints | None, list[Fault]]:
    """Return the length of each row's interval in seconds."""
    if "duration_s" in table.frame.columns:
        values, faults = numbers(table, "duration_s")
        broken = values != np.floor(values)
        faults += refuse(
            table, "duration_s", broken & np.isfinite(values), text=("is not whole", "write seconds")
        )
        return (None, faults) if faults else (values.astype(np.int64), [])
    if start is None or ("end" in table.frame.columns and end is None):
        return None, []
    if end is not None:
        length = (end - start).astype(np.int64)
        text = ("is not after start", "write the end of the interval")
        return length, refuse(table, "end", (length <= 0).tolist(), text=text)
    if not any(str(name) in _ENERGY for name in table.frame.columns):
        return np.zeros(len(point), dtype=np.int64), []
    length = np.zeros(len(point), dtype=np.int64)
    order = np.lexsort((start, point))
    edges = np.flatnonzero(point[order][1:] != point[order][:-1]) + 1
    faults = []
    for lines in np.split(order, edges):
        steps, counts = np.unique(np.diff(np.unique(start[lines])).astype(np.int64), return_counts=True)
        if steps.size:
            length[lines] = steps[np.argmax(counts)]
        else:
            reason, fix = "has one time, so its length is not known", "add a column duration_s or end"
            faults.append(
                table.fault(int(lines[0]), "point", value=str(point[lines[0]]), reason=reason, fix=fix)
            )
    return length, faults


def _number_faults(table: RawTable) -> list[Fault]:
    """Tell wrong numbers also where the times cannot be read."""
    return [fault for kinds in (_ENERGY, _COUNTERS) for fault in columns_of(table, kinds)[2]]


def columns_of(
    table: RawTable, kinds: dict[str, tuple[str, str]]
) -> tuple[dict[str, Floats], list[str], list[Fault]]:
    """Return the numbers of each column of a kind, NaN where the cell is empty."""
    names = [str(name) for name in table.frame.columns if str(name) in kinds]
    values, faults = {}, []
    for name in names:
        lines = np.flatnonzero(cells(table, name) != "")
        column = np.full(len(table.rows), np.nan)
        if lines.size:
            filled = RawTable(
                source=table.source,
                frame=table.frame.iloc[lines].reset_index(drop=True),
                rows=table.rows[lines],
            )
            column[lines], found = numbers(filled, name, least=None)
            faults += found
        values[name] = column
    return values, names, faults


def _values(rows: _Rows, kinds: dict[str, tuple[str, str]]) -> tuple[Ints, Ints, list[Fault]]:
    """Return the lines with readings of a kind, and their import and export in Wh, shape (2, lines)."""
    values, names, faults = columns_of(rows.table, kinds)
    there = np.zeros(len(rows.point), dtype=np.bool_)
    sides = {"import": np.zeros(len(rows.point)), "export": np.zeros(len(rows.point))}
    for name in names:
        side, unit = kinds[name]
        hours = rows.duration_s / SECONDS_PER_HOUR if unit in POWERS else 1.0
        energy = values[name] * UNITS[unit] * hours
        given = np.isfinite(energy)
        counter = (given & (rows.duration_s == 0) & (kinds is _ENERGY)).tolist()
        if unit in POWERS or side == "net":
            told = ("is of a counter (duration_s 0)", "give counters as import_wh and export_wh")
            faults += refuse(rows.table, name, counter, text=told)
        there |= given
        energy = np.where(given, energy, 0.0)
        most = np.where(rows.duration_s > 0, LARGEST_INTERVAL_WH, LARGEST_WH)
        wrong = (np.abs(energy) > most).tolist()
        faults += refuse(rows.table, name, wrong, text=("is above any meter", "look at the unit"))
        if side == "net":
            sides["import"] += np.maximum(energy, 0.0)  # a wide file may have a unit per column
            sides["export"] += np.maximum(-energy, 0.0)
        else:
            sides[side] = energy
    lines = np.flatnonzero(there)
    whole = [_whole_wh(rows, lines, sides[side][lines]) for side in ("import", "export")]
    return lines, np.stack(whole), faults


def _whole_wh(rows: _Rows, lines: Ints, energy: Floats) -> Ints:
    """Round to whole Wh so that the sum of every hour is right; equal readings stay equal."""
    if (energy == np.rint(energy)).all():
        return energy.astype(np.int64)
    start = rows.start[lines].astype(np.int64)
    point = np.unique(rows.point[lines], return_inverse=True)[1]
    order = np.lexsort((energy, start, point))
    hour = start[order] // SECONDS_PER_HOUR
    new_hour = np.ones(order.size, dtype=np.bool_)
    new_hour[1:] = (point[order][1:] != point[order][:-1]) | (hour[1:] != hour[:-1])
    new_start = new_hour.copy()
    new_start[1:] |= start[order][1:] != start[order][:-1]
    counted = np.where(new_start, energy[order], 0.0)  # a period counts once, however often it stands there
    so_far = np.concatenate([[0.0], np.cumsum(counted)[:-1]])
    head = np.maximum.accumulate(np.where(new_start, np.arange(order.size), 0))
    top = np.maximum.accumulate(np.where(new_hour, np.arange(order.size), 0))
    before = np.round(so_far[head] - so_far[top], 6)
    out = np.empty(order.size, dtype=np.int64)
    out[order] = (np.rint(np.round(before + energy[order], 6)) - np.rint(before)).astype(np.int64)
    return out


def refuse(
    table: RawTable, column: str, wrong: Sequence[bool] | Bools, *, text: tuple[str, str]
) -> list[Fault]:
    """Tell the wrong cells of a column, the first ones one by one."""
    lines = np.flatnonzero(wrong)
    faults = [
        table.fault(line, column, value=str(table.frame[column].iloc[line]), reason=text[0], fix=text[1])
        for line in lines[:SHOWN].tolist()
    ]
    return [*faults, *more(table.source, f"column {column}", len(lines), reason=text[0])]


def readings_frame(readings: MeterReadings) -> "pd.DataFrame":
    """Return readings as a table that `read_meter_file` reads back the same."""
    frame = readings.to_frame()[list(COLUMNS)]
    for name in ("start", "received"):
        frame[name] = np.char.add(getattr(readings, name).astype(np.str_), "Z")
    return frame
