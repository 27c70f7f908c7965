"""Check the meter readings of a file: findings, checked values, and tables of both."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.flex_files import output_faults, write_tables
from gridagora.adapters.meters.connections import read_connections
from gridagora.adapters.meters.files import UNITS, read_meter_file, readings_frame
from gridagora.adapters.meters.signing import broken_signatures, read_public_keys
from gridagora.errors import Fault, check_faults
from gridagora.model.metering import MeterReadings
from gridagora.model.time import SECONDS_PER_DAY, TimeAxis
from gridagora.settlement.metering import (
    METHODS,
    RULES,
    CheckedReadings,
    MeterFinding,
    MeterRules,
    check_readings,
)
from gridagora.settlement.metering.rules import merge_findings

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]

DEFAULT_S = 900
"""Length of periods of points that have registers alone, seconds."""

FAR_S = 366 * SECONDS_PER_DAY
"""Readings farther than this from all others (a clock set back to 1970) do not lengthen the span."""

MOST_VALUES = 100_000_000
"""Points times periods that are checked at once."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MeterCheck:
    """Checked readings, one part per length of periods: points with other lengths are in another part.

    ``unsigned`` are findings about readings that were left out because their signature is missing or broken.
    """

    parts: tuple[CheckedReadings, ...]
    unsigned: tuple[MeterFinding, ...] = ()

    @property
    def findings(self) -> tuple[MeterFinding, ...]:
        """All findings, by point and time; those about signatures first."""
        return (*self.unsigned, *(found for part in self.parts for found in part.findings))

    @property
    def readings(self) -> MeterReadings:
        """The value of each point and period, with its quality."""
        return MeterReadings.concat([part.to_readings() for part in self.parts])

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Return what is written: checked values, findings, and one row per point."""
        return {"checked": self._checked(), "findings": self._findings(), "points": self.points()}

    def points(self) -> "pd.DataFrame":
        """Return one row per point: what is known of it, and whether it can be settled."""
        import pandas as pd

        rows = []
        for part in self.parts:
            counts = np.stack([(part.method == code).sum(axis=1) for code in range(len(METHODS))], axis=1)
            for number, point in enumerate(part.points):
                rows.append(
                    {"point": point, "period_s": part.axis.mtu_s, "periods": part.axis.periods}
                    | dict(zip(METHODS, counts[number].tolist(), strict=True))
                    | {
                        "doubtful": int(part.doubtful[number].sum()),
                        "import_kwh": part.import_wh[number].sum() / 1000,
                        "export_kwh": part.export_wh[number].sum() / 1000,
                        "not_measured_percent": round(float(part.missing_percent[number]), 3),
                        "usable": bool(part.usable[number]),
                    }
                )
        return pd.DataFrame(rows).sort_values("point", ignore_index=True)

    def shares(self) -> "pd.DataFrame":
        """Return one row per point, short enough for a terminal: its periods, and whether it is usable.

        The index is named ``point``.
        """
        points = self.points().set_index("point")
        points["measured"] += points["from_register"]
        points["estimated"] += points["interpolated"] + points["like_days"]
        points["not measured %"] = points["not_measured_percent"]
        kept = ["periods", "measured", "estimated", "missing", "doubtful", "not measured %", "usable"]
        return points[kept]

    def summary(self) -> "pd.DataFrame":
        """Return one row per rule that found something, and what was done.

        The index is named ``rule``.
        """
        import pandas as pd

        told: dict[tuple[str, str], list[int]] = {}
        for found in self.findings:
            told.setdefault((found.rule, found.done), []).append(found.readings)
        ranks = {rule: rank for rank, rule in enumerate(RULES)}
        rows = [
            {"rule": rule, "findings": len(counts), "readings": sum(counts), "done": done}
            for (rule, done), counts in sorted(told.items(), key=lambda item: (ranks[item[0][0]], item[0][1]))
        ]
        return pd.DataFrame(rows, columns=["rule", "findings", "readings", "done"]).set_index("rule")

    def write(self, path: Path) -> tuple[Path, ...]:
        """Write the tables: sheets of an Excel file, or CSV files of which two add their name."""
        return write_tables(path, self.tables())

    def _checked(self) -> "pd.DataFrame":
        frame = readings_frame(self.readings)
        doubtful = [part.doubtful[part.method > 0] for part in self.parts]
        frame["doubtful"] = np.where(np.concatenate(doubtful), "yes", "no")
        return frame

    def _findings(self) -> "pd.DataFrame":
        import pandas as pd

        names = ("point", "start", "end", "rule", "value", "limit", "readings", "done")
        columns = {name: [getattr(found, name) for found in self.findings] for name in names}
        frame = pd.DataFrame(columns)
        for name in ("start", "end"):
            frame[name] = [f"{moment}Z" for moment in columns[name]]
        return frame


def check_meter_file(
    path: Path,
    *,
    timezone: str | None = None,
    unit: str | None = None,
    capacity_kw: float | None = None,
    points: Path | None = None,
    keys: Path | None = None,
    rules: MeterRules | None = None,
    register_period_s: int = DEFAULT_S,
    output: Path | None = None,
) -> MeterCheck:
    """Read a file of meter readings and check it.

    Parameters
    ----------
    path : readings, see `gridagora.adapters.meters.files`
    timezone : zone of times without offset, and of like days; None: UTC
    unit : unit of a wide file's columns that name none: Wh, kWh, W or kW
    capacity_kw : what every connection carries in both directions, kW
    points : file of what each connection carries; these are the points that are checked
    keys : file of public keys; readings of its points count only with a signature that holds
    rules : thresholds; without a column ``received`` nothing is late
    register_period_s : periods of points that have registers alone, seconds
    output : file that the result will be written to; told before any work if it cannot be

    Raises
    ------
    InputError
        Every fault of the files and options.

    Examples
    --------
    >>> import tempfile
    >>> lines = ["point,start,import_wh", "a,2016-01-04 00:00,100", "a,2016-01-04 01:00,110"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "meters.csv")
    ...     _ = path.write_text(chr(10).join(lines))
    ...     check = check_meter_file(path, timezone="Europe/Berlin")
    >>> str(check.parts[0].axis.start), check.parts[0].import_wh.tolist(), check.findings
    ('2016-01-03T23:00:00', [[100, 110]], ())
    """
    faults = _option_faults(timezone, unit, capacity_kw=capacity_kw, period_s=register_period_s)
    inputs = [given for given in (path, points, keys) if given is not None]
    faults += output_faults(output, inputs=inputs) if output is not None else []
    table = None
    limits: dict[str, tuple[float, float]] = {}
    if not any(fault.place == "--timezone" for fault in faults):
        table, found = read_meter_file(path, timezone=timezone, unit=unit)
        faults += found
    if points is not None:
        limits, found = read_connections(points)
        faults += found
    known, found = ({}, []) if keys is None else read_public_keys(keys)
    check_faults([*faults, *found])
    readings = MeterReadings.none() if table is None else table.readings
    broken = broken_signatures(readings, known)
    unsigned = _unsigned(readings.take(broken))
    readings = readings.take(~broken)
    names = sorted(limits) if points is not None else sorted(set(readings.point.tolist()))
    if points is None and capacity_kw is not None:
        limits = dict.fromkeys(names, (capacity_kw, capacity_kw))
    chosen = rules or MeterRules()
    if table is not None and not table.arrivals:
        chosen = replace(chosen, late_after_s=None)
    checked = check_all(
        readings,
        points=names,
        capacity_kw=limits,
        rules=chosen,
        timezone=timezone or "UTC",
        register_period_s=register_period_s,
    )
    return replace(checked, unsigned=tuple(unsigned))


def _unsigned(readings: MeterReadings) -> list[MeterFinding]:
    """Tell readings that are left out for their signature."""
    start = readings.start.astype(np.int64)
    return merge_findings(
        "signature",
        "not used",
        point=readings.point,
        start=start,
        end=start + readings.duration_s,
        value=readings.net_wh.astype(np.float64),
        limit=np.full(start.shape, np.nan),
    )


def check_all(
    readings: MeterReadings,
    *,
    points: list[str],
    capacity_kw: Mapping[str, tuple[float, float]] | None = None,
    rules: MeterRules | None = None,
    timezone: str = "UTC",
    register_period_s: int = DEFAULT_S,
) -> MeterCheck:
    """Check readings of points whose intervals differ in length, over the time that they cover.

    Parameters
    ----------
    readings : intervals and registers
    points : connection points to check
    capacity_kw : import and export that each connection carries, kW
    rules : thresholds
    timezone : of like days
    register_period_s : periods of points that have registers alone, seconds
    """
    if not points:
        fix = "give a file with readings, and points that it has"
        check_faults([_option("points", "none", "there is nothing to check", fix=fix)])
    length = _lengths(readings, points, register_period_s)
    parts = []
    for mtu_s in sorted(set(length.values())):
        names = [name for name in points if length[name] == mtu_s]
        own = np.isin(readings.point, names)
        unknown = ~np.isin(readings.point, points) & (mtu_s == min(length.values()))
        axis = _axis(readings.take(own), mtu_s, timezone=timezone)
        check_faults(_size_faults(axis, len(names)))
        parts.append(
            check_readings(
                readings.take(own | unknown), axis, points=names, capacity_kw=capacity_kw, rules=rules
            )
        )
    return MeterCheck(parts=tuple(parts))


def _lengths(readings: MeterReadings, points: list[str], default_s: int) -> dict[str, int]:
    """Return the most frequent length of each point's intervals that divides a day; points without: all's."""
    fits = (readings.duration_s > 0) & (SECONDS_PER_DAY % np.maximum(readings.duration_s, 1) == 0)
    point, length = readings.point[fits], readings.duration_s[fits]
    usual = dict.fromkeys(points, default_s)
    if point.size:
        names, codes = np.unique(point, return_inverse=True)
        lengths, kinds = np.unique(length, return_inverse=True)
        counts = np.zeros((names.size, lengths.size), dtype=np.int64)
        np.add.at(counts, (codes, kinds), 1)
        most = lengths[np.argmax(counts, axis=1)].tolist()
        usual |= {name: s for name, s in zip(names.tolist(), most, strict=True) if name in usual}
    return usual


def _axis(readings: MeterReadings, mtu_s: int, *, timezone: str) -> TimeAxis:
    """Return the periods from the first reading to the last, without what lies far from all others."""
    start = readings.start.astype(np.int64)
    if not start.size:
        return TimeAxis(start=np.datetime64(0, "s"), periods=1, mtu_s=mtu_s, timezone=timezone)
    order = np.argsort(start, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(start[order]) > FAR_S) + 1)
    main = max(parts, key=len)
    intervals = main[readings.duration_s[main] > 0]
    phase = _phase(start[intervals if intervals.size else main], mtu_s)
    nearest = (start[main] - phase + mtu_s // 2) // mtu_s
    last = nearest + np.maximum(readings.duration_s[main] // mtu_s, readings.duration_s[main] > 0)
    first = int(nearest.min())
    periods = max(int(last.max()) - first, 1)
    begin = np.datetime64(first * mtu_s + phase, "s")
    return TimeAxis(start=begin, periods=periods, mtu_s=mtu_s, timezone=timezone)


def _phase(start: Ints, mtu_s: int) -> int:
    """Return where in a period most readings begin, to a quarter-hour: some zones are half an hour off."""
    grid = min(mtu_s, 900)
    begins, counts = np.unique((start + grid // 2) // grid * grid % mtu_s, return_counts=True)
    return int(begins[np.argmax(counts)])


def _size_faults(axis: TimeAxis, points: int) -> list[Fault]:
    values = axis.periods * points
    if values <= MOST_VALUES:
        return []
    reason, fix = f"are {values} values", "split the file by time or by points"
    return [Fault(source="meter check", place="points x periods", value=values, reason=reason, fix=fix)]


def _option_faults(
    timezone: str | None, unit: str | None, *, capacity_kw: float | None, period_s: int
) -> list[Fault]:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    faults = []
    try:
        ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.append(_option("--timezone", timezone, "is no time zone", fix="write e.g. Europe/Berlin"))
    if unit is not None and unit not in UNITS:
        faults.append(_option("--unit", unit, "is no unit of readings", fix=f"write {', '.join(UNITS)}"))
    if capacity_kw is not None and not capacity_kw >= 0:
        faults.append(_option("--capacity", capacity_kw, "is below 0", fix="write kW >= 0"))
    if period_s < 1 or SECONDS_PER_DAY % period_s:
        faults.append(_option("--period", period_s, "does not divide a day", fix="write e.g. 900"))
    return faults


def _option(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="command line", place=place, value=value, reason=reason, fix=fix)
