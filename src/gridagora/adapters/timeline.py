"""Time columns: from what a file says to positions on the axis of a study.

Times with an offset are what they say.  Others are local clock time of the time zone that the scenario names
for the file; an hour that comes twice is told apart by order.  Without a time zone they are UTC.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.tables import SHOWN, RawTable, more, plain
from gridagora.errors import Fault
from gridagora.model.time import SECONDS_PER_DAY, TimeAxis
from gridagora.scenario.clock import to_utc, utc_offsets

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]

TIME = "time"
_FORMAT = "write year-month-day hour:minute, e.g. 2016-05-23 06:00"


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Which lines of a file make each period: shape (periods, lines per period)."""

    lines: Ints

    def on_axis(self, values: Floats) -> Floats:
        """Return values per period: the mean of the lines of each period."""
        return np.asarray(values[self.lines].mean(axis=1), dtype=np.float64)


def read_timeline(
    table: RawTable, axis: TimeAxis, *, timezone: str | None, power: bool
) -> tuple[Timeline | None, list[Fault]]:
    """Place the rows of a table on the axis of a study, all of whose periods must be covered.

    Parameters
    ----------
    table : table with a column ``time``, the start of each row's period
    axis : periods of the study
    timezone : zone of times without offset; None: UTC
    power : True for power, whose rows may be shorter than a period (their mean is taken); False for prices,
        whose rows may be longer (they hold throughout)
    """
    times, faults = utc_times(table, timezone)
    if times is None:
        return None, faults
    seconds = (times - axis.start).astype(np.int64)
    order = np.argsort(seconds, kind="stable")
    ordered = seconds[order]
    faults += _twice(table, order, ordered, axis=axis, timezone=timezone)
    step = _step(ordered, axis)
    if (axis.mtu_s % step if power else step % axis.mtu_s) and step != axis.mtu_s:
        return None, [*faults, _resolution_fault(table, step, axis)]
    phase = 0 if power else _phase(ordered, step)
    off = (ordered - phase) % step != 0
    faults += _off_grid(table, order[off], times, step=step)
    wanted = np.arange(axis.periods)[:, None] * axis.mtu_s + np.arange(0, axis.mtu_s, min(step, axis.mtu_s))
    wanted = (wanted - phase) // step * step + phase
    faults += _gaps(table, np.unique(wanted), ordered[~off], step=step, axis=axis, timezone=timezone)
    if faults:
        return None, faults
    return Timeline(lines=order[np.searchsorted(ordered, wanted)]), []


def utc_times(
    table: RawTable, timezone: str | None, *, column: str = TIME
) -> tuple[Times | None, list[Fault]]:
    """Return a column of times in UTC, or None and its faults."""
    import pandas as pd

    raw = table.frame[column]
    aware = isinstance(raw.dtype, pd.DatetimeTZDtype)
    if raw.dtype == object or isinstance(raw.dtype, pd.StringDtype):
        text = raw.astype(str).str.strip()
        with_offset = text.str.contains(r"(?:[zZ]|[+-]\d{2}:?\d{2})$", regex=True) & text.str.contains(
            ":", regex=False
        )
        aware = bool(with_offset.all())
        if with_offset.any() and not aware:
            line = int(np.argmax(np.asarray(with_offset) != bool(with_offset.iloc[0])))
            fix = "write all times with an offset, or all without"
            reason = "some times have an offset from UTC and some have none"
            return None, [table.fault(line, column, value=text.iloc[line], reason=reason, fix=fix)]
        raw = text
    elif not pd.api.types.is_datetime64_any_dtype(raw):
        fault = table.fault(0, column, value=plain(raw.iloc[0]), reason="is not a date and time", fix=_FORMAT)
        return None, [fault]
    parsed = pd.to_datetime(raw, format="ISO8601", errors="coerce", utc=aware)
    wrong = np.flatnonzero(parsed.isna())
    faults = [
        table.fault(
            line,
            column,
            value=plain(table.frame[column].iloc[line]),
            reason="is not a date and time",
            fix=_FORMAT,
        )
        for line in wrong[:SHOWN].tolist()
    ]
    faults += more(table.source, f"column {column}", len(wrong), reason="is not a date and time")
    if faults:
        return None, faults
    times = (parsed.dt.tz_localize(None) if aware else parsed).to_numpy().astype("datetime64[s]")
    return (times, []) if aware or timezone is None else _from_local(table, times, timezone)


def _from_local(table: RawTable, local: Times, timezone: str) -> tuple[Times | None, list[Fault]]:
    """Turn local clock times into UTC; times that the clock skips are faults, one per day."""
    utc, skipped = to_utc(local, timezone)
    if not skipped.any():
        return utc, []
    days = local.astype("datetime64[D]")
    faults = []
    for day in np.unique(days[skipped]):
        lines = np.flatnonzero(skipped & (days == day))
        found = int((days == day).sum())
        reason = (
            f"the clock of {timezone} skips this time: on {day} it goes forward, and the file"
            f" has {found} rows where {found - len(lines)} were expected"
        )
        fix = f"remove the {len(lines)} skipped rows, or leave out timezone if the times are UTC"
        faults.append(table.fault(int(lines[0]), TIME, value=_text(local[lines[0]]), reason=reason, fix=fix))
    return None, faults


def _twice(
    table: RawTable, order: Ints, ordered: Ints, *, axis: TimeAxis, timezone: str | None
) -> list[Fault]:
    """Tell times that stand twice, with both rows."""
    again = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    faults = []
    for position in again[:SHOWN].tolist():
        time = axis.start + np.timedelta64(int(ordered[position]), "s")
        reason = f"stands already in row {table.rows[order[position - 1]]}"
        fix = "remove one of the two rows"
        if timezone is None and _changes_clock(time, axis.timezone):
            reason += f"; on this day the clock of {axis.timezone} goes back, and a local day has 25 hours"
            fix = f"name the time zone of the file (timezone: {axis.timezone}), or write UTC"
        value = plain(table.frame[TIME].iloc[int(order[position])])
        faults.append(table.fault(int(order[position]), TIME, value=str(value), reason=reason, fix=fix))
    return [*faults, *more(table.source, f"column {TIME}", len(again), reason="stands twice")]


def _gaps(
    table: RawTable, wanted: Ints, there: Ints, *, step: int, axis: TimeAxis, timezone: str | None
) -> list[Fault]:
    """Tell stretches of the study that the file does not cover."""
    missing = wanted[~np.isin(wanted, there)]
    if not missing.size:
        return []
    ends = np.flatnonzero(np.diff(missing) != step)
    firsts, lasts = (
        missing[np.concatenate([[0], ends + 1])],
        missing[np.concatenate([ends, [missing.size - 1]])],
    )
    faults = []
    for first, last in zip(firsts[:SHOWN].tolist(), lasts[:SHOWN].tolist(), strict=True):
        begin, end = (axis.start + np.timedelta64(second, "s") for second in (first, last + step))
        count = (last - first) // step + 1
        value = f"{_text(begin)}Z to {_text(end)}Z"
        reason, fix = _gap_words(begin, count, step, axis=axis, timezone=timezone)
        faults.append(Fault(source=table.source, place=f"column {TIME}", value=value, reason=reason, fix=fix))
    return [*faults, *more(table.source, f"column {TIME}", len(firsts), reason="gap")]


def _gap_words(
    begin: np.datetime64, count: int, step: int, *, axis: TimeAxis, timezone: str | None
) -> tuple[str, str]:
    """Say what kind of gap it is: that of a day on which the clock changes, or any other."""
    reason, fix = f"{count} rows of the study are missing", "add them, or shorten the period of the scenario"
    zone = timezone or axis.timezone
    if count * step != 3600 or not _changes_clock(begin, zone):
        return reason, fix
    usual = SECONDS_PER_DAY // step
    if timezone is None:
        return (
            f"{reason}; on this day the clock of {zone} changes: a day in spring has {usual - count} rows",
            f"name the time zone of the file (timezone: {zone}), or write UTC",
        )
    return (
        f"{reason}; on this day the clock of {zone} goes back, and the file has {usual} rows where"
        f" {usual + count} were expected",
        "write the hour that comes twice twice, or leave out timezone if the times are UTC",
    )


def _off_grid(table: RawTable, lines: Ints, times: Times, *, step: int) -> list[Fault]:
    """Tell times between two steps of the file."""
    faults = [
        table.fault(
            line,
            TIME,
            value=_text(times[line]) + "Z",
            reason=f"is off the file's grid of {_minutes(step)}",
            fix=f"write times {_minutes(step)} apart",
        )
        for line in lines[:SHOWN].tolist()
    ]
    return [*faults, *more(table.source, f"column {TIME}", len(lines), reason="is off the grid")]


def _resolution_fault(table: RawTable, step: int, axis: TimeAxis) -> Fault:
    """Tell a file whose rows do not fit the periods of the study."""
    study = _minutes(axis.mtu_s)
    reason = f"rows {_minutes(step)} apart do not fit the study's periods of {study}"
    fix = f"give a row every {study}, or change resolution in the scenario"
    return Fault(source=table.source, place=f"column {TIME}", value=_minutes(step), reason=reason, fix=fix)


def _step(ordered: Ints, axis: TimeAxis) -> int:
    """Return the most frequent distance of two rows in seconds."""
    distances, counts = np.unique(np.diff(np.unique(ordered)), return_counts=True)
    return int(distances[np.argmax(counts)]) if distances.size else axis.mtu_s


def _phase(ordered: Ints, step: int) -> int:
    """Return where in a step most rows lie."""
    phases, counts = np.unique(ordered % step, return_counts=True)
    return int(phases[np.argmax(counts)])


def _changes_clock(time: np.datetime64, timezone: str) -> bool:
    """Tell whether the clock of a zone changes within a day of a time."""
    day = np.timedelta64(SECONDS_PER_DAY, "s")
    before, after = utc_offsets(np.array([time - day, time + day]), timezone)
    return bool(before != after)


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _text(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")
