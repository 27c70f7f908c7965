"""Readings as they came in, one checked value per point and period out.

The order: refuse what cannot be, put stamps on the grid, choose among versions, compare with the history and
with the registers, estimate what lacks.  Measured values are never changed: used as they are, or not used.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.metering import QUALITIES, MeterReadings
from gridagora.model.time import TimeAxis
from gridagora.settlement.metering.checked import CheckedReadings
from gridagora.settlement.metering.estimate import LikePeriods, fill
from gridagora.settlement.metering.history import drift_findings, frozen, spike_limit, wild
from gridagora.settlement.metering.registers import Spans, known_spans, pick_intervals
from gridagora.settlement.metering.rules import (
    FROM_REGISTER,
    MEASURED,
    METHODS,
    MISSING,
    MeterFinding,
    MeterRules,
    merge_findings,
)
from gridagora.settlement.metering.screen import Screened, off_grid_findings, screen
from gridagora.settlement.metering.versions import Versions

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BOTH = 2
"""Import and export."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Series:
    """Values by period: ``energy_wh`` (points, 2, periods), the others (points, periods)."""

    energy_wh: Ints
    method: NDArray[np.int8]
    row: Ints

    @property
    def net_wh(self) -> Ints:
        return np.asarray(self.energy_wh[:, 0] - self.energy_wh[:, 1])


def check_readings(
    readings: MeterReadings,
    axis: TimeAxis,
    *,
    points: Sequence[str] | None = None,
    capacity_kw: Mapping[str, tuple[float, float]] | None = None,
    rules: MeterRules | None = None,
) -> CheckedReadings:
    """Check readings by the named rules, choose among versions, and estimate what lacks.

    Parameters
    ----------
    readings : intervals and registers, in any order
    axis : span that is checked; periods of the length of the intervals, the time zone tells like days
    points : connection points to check; those of the readings, sorted, when left out
    capacity_kw : import and export that each connection can carry, kW; points left out have none known
    rules : thresholds

    Returns
    -------
    CheckedReadings
        The same for any order of the readings; checked again, it stays as it is.

    Raises
    ------
    InputError
        No points, a point twice, a capacity below 0.

    Notes
    -----
    Every rule is told in `RULES`.  Points with more than ``most_missing_percent`` of their periods without
    measurement are not usable for settlement (FIELD.md 4d), estimates or not.

    Examples
    --------
    Half an hour is missing, and the registers know what went through in it:

    >>> axis = TimeAxis(start=np.datetime64("2026-01-05"), periods=4)
    >>> told = {"point": "a", "export_wh": 0, "source": "dso", "received": np.datetime64("2026-01-06")}
    >>> first, *_, last = axis.starts
    >>> intervals = MeterReadings(start=[first, last], duration_s=900, import_wh=[100, 150], **told)
    >>> registers = MeterReadings(start=[first, last + 900], duration_s=0, import_wh=[7000, 7490], **told)
    >>> checked = check_readings(MeterReadings.concat([intervals, registers]), axis)
    >>> checked.import_wh.tolist(), [METHODS[code] for code in checked.method[0]]
    ([[100, 120, 120, 150]], ['measured', 'interpolated', 'interpolated', 'measured'])
    >>> [(found.rule, found.done) for found in checked.findings]
    [('unusable', 'not to be settled by'), ('gap', 'estimated: interpolated')]
    """
    names = tuple(sorted(set(readings.point.tolist())) if points is None else points)
    limits = capacity_kw or {}
    check_faults(_faults(names, limits))
    chosen = rules or MeterRules()
    capacity = np.array([limits.get(name, (np.inf, np.inf)) for name in names]) * 1000.0 * axis.hours
    screened, findings = screen(readings, axis, points=names, capacity_wh=capacity, rules=chosen)
    spans, found = known_spans(screened, chosen)
    findings += found
    series, versions, spans, found = _series(screened, spans, rules=chosen)
    findings += [*found, *versions.findings(screened), *off_grid_findings(screened, series.row >= 0)]
    findings += drift_findings(screened, versions.used, rules=chosen)
    doubtful, found = _doubts(series, screened, rules=chosen)
    findings += found
    filled, found = _estimate(series, screened, spans, rules=chosen)
    checked = CheckedReadings(
        axis=axis,
        points=names,
        import_wh=filled.energy_wh[:, 0],
        export_wh=filled.energy_wh[:, 1],
        method=filled.method,
        doubtful=doubtful,
        row=filled.row,
        readings=screened.readings,
        findings=(),
        rules=chosen,
    )
    findings += [*found, *_gaps(series, checked), *_unusable(checked)]
    return _with_findings(checked, findings)


def _with_findings(checked: CheckedReadings, findings: list[MeterFinding]) -> CheckedReadings:
    """Return the same with findings sorted by point, time and rule."""
    return replace(checked, findings=tuple(sorted(findings, key=_sort_key)))


def _sort_key(found: MeterFinding) -> tuple[str, int, str, str, int]:
    start, end = (int(moment.astype(np.int64)) for moment in (found.start, found.end))
    return found.point, start, found.rule, found.done, end


def _series(
    screened: Screened, spans: Spans, *, rules: MeterRules
) -> tuple[_Series, Versions, Spans, list[MeterFinding]]:
    """Choose the value of each period; wild ones go, and older versions stand in where there are some."""
    allowed = np.ones(len(screened.readings), dtype=np.bool_)
    unlimited = np.isinf(screened.capacity_wh).any(axis=1)
    hours = screened.axis.hours
    out: list[MeterFinding] = []
    while True:
        versions = pick_intervals(screened, allowed)
        series = _matrix(screened, versions.used, spans)
        high = np.zeros(series.row.shape, dtype=np.bool_)
        net_kw = series.net_wh / (1000.0 * hours)
        seen = (series.method == MEASURED) | (series.method == FROM_REGISTER)
        for point in np.flatnonzero(unlimited).tolist():
            high[point] = wild(net_kw[point], seen[point], rules=rules)
        if not high.any():
            return series, versions, spans, out
        points, periods = np.nonzero(high)
        out += _told(
            screened, "spike", "not used", at=(points, periods), value=net_kw[high], limit=rules.wild_floor_kw
        )
        rows = series.row[high]
        allowed[rows[rows >= 0]] = False
        of_register = (points[rows < 0] * screened.axis.periods + periods[rows < 0]).tolist()
        single = spans.last - spans.first == 1
        at = spans.point * screened.axis.periods + spans.first
        spans = spans.take(~(single & np.isin(at, of_register)))


def _matrix(screened: Screened, used: Ints, spans: Spans) -> _Series:
    """Lay readings out by point and period; registers around a single period fill it."""
    readings = screened.readings
    shape = (len(screened.points), screened.axis.periods)
    row = np.full(shape, -1, dtype=np.int64)
    row[screened.point[used], screened.slot[used]] = used
    method = np.full(shape, MISSING, dtype=np.int8)
    energy = np.zeros((shape[0], BOTH, shape[1]), dtype=np.int64)
    place = (screened.point[used], screened.slot[used])
    codes = np.zeros(used.size, dtype=np.int8)
    for quality in QUALITIES:
        codes[readings.quality[used] == quality] = METHODS.index(quality)
    method[place] = codes
    for side, column in enumerate((readings.import_wh, readings.export_wh)):
        energy[place[0], side, place[1]] = column[used]
    one = spans.take(spans.last - spans.first == 1)
    one = one.take(method[one.point, one.first] == MISSING)
    method[one.point, one.first] = FROM_REGISTER
    for side in range(BOTH):
        energy[one.point, side, one.first] = one.energy_wh[:, side]
    return _Series(energy_wh=energy, method=method, row=row)


def _doubts(series: _Series, screened: Screened, *, rules: MeterRules) -> tuple[Bools, list[MeterFinding]]:
    """Mark what is kept and doubted: spikes, and values that stand still."""
    doubtful = np.zeros(series.row.shape, dtype=np.bool_)
    findings: list[MeterFinding] = []
    net_kw = series.net_wh / (1000.0 * screened.axis.hours)
    for point in range(len(screened.points)):
        method = series.method[point]
        seen = (method == MEASURED) | (method == FROM_REGISTER)
        limit = spike_limit(net_kw[point, seen], rules)
        high = seen & (np.abs(net_kw[point]) > limit)
        still, length = frozen(series.energy_wh[point], method, mtu_s=screened.axis.mtu_s, rules=rules)
        doubtful[point] = high | still
        zero = (series.energy_wh[point] == 0).all(axis=0)
        longest = np.where(zero, rules.frozen_zero_s, rules.frozen_s).astype(np.float64)
        marks = (
            ("spike", high, net_kw[point], np.full(high.size, limit)),
            ("frozen", still, length, longest),
        )
        for rule, wrong, value, allowed in marks:
            periods = np.flatnonzero(wrong)
            at = (np.full(periods.size, point), periods)
            findings += _told(
                screened, rule, "kept, doubtful", at=at, value=value[periods], limit=allowed[periods]
            )
    return doubtful, findings


def _estimate(
    series: _Series, screened: Screened, spans: Spans, *, rules: MeterRules
) -> tuple[_Series, list[MeterFinding]]:
    """Fill the gaps of every point."""
    like = LikePeriods.of(screened.axis)
    energy, method = series.energy_wh.copy(), series.method.copy()
    findings: list[MeterFinding] = []
    edges = np.searchsorted(spans.point, np.arange(len(screened.points) + 1))
    starts = np.append(screened.axis.starts, screened.axis.starts[-1] + screened.axis.mtu_s)
    for point, name in enumerate(screened.points):
        own = spans.take(np.arange(edges[point], edges[point + 1]))
        energy[point], method[point], told = fill(
            energy[point], method[point], own, like=like, mtu_s=screened.axis.mtu_s, rules=rules
        )
        findings += [
            MeterFinding(
                point=name,
                start=starts[one.first],
                end=starts[one.last],
                rule="sum_check",
                value=one.value_wh,
                limit=one.limit_wh,
                readings=one.last - one.first,
                done=one.done,
            )
            for one in told
        ]
    return _Series(energy_wh=energy, method=method, row=series.row), findings


def _told(
    screened: Screened,
    rule: str,
    done: str,
    *,
    at: tuple[Ints, Ints],
    value: NDArray[np.generic],
    limit: Floats | float,
) -> list[MeterFinding]:
    """Return findings about periods ``at`` (points, periods)."""
    start = screened.axis.starts[at[1]].astype(np.int64)
    return merge_findings(
        rule,
        done,
        point=np.array(screened.points, dtype=np.str_)[at[0]],
        start=start,
        end=start + screened.axis.mtu_s,
        value=np.asarray(value, dtype=np.float64),
        limit=np.broadcast_to(np.asarray(limit, dtype=np.float64), start.shape),
    )


def _gaps(series: _Series, checked: CheckedReadings) -> Iterator[MeterFinding]:
    """Tell each run of periods without a usable reading, and how it was filled."""
    with_intervals = np.asarray((series.row >= 0).any(axis=1))[:, None]
    filled = (series.method == FROM_REGISTER) & (series.row < 0) & with_intervals
    points, periods = np.nonzero((series.method == MISSING) | filled)
    if not points.size:
        return
    begins = np.ones(points.size, dtype=np.bool_)
    begins[1:] = (points[1:] != points[:-1]) | (periods[1:] != periods[:-1] + 1)
    run = np.cumsum(begins) - 1
    length = np.bincount(run)[run]
    start = checked.axis.starts[periods].astype(np.int64)
    codes = checked.method[points, periods]
    for code in np.unique(codes).tolist():
        rows = np.flatnonzero(codes == code)
        word = "left missing" if code == MISSING else f"estimated: {METHODS[code]}"
        yield from merge_findings(
            "gap",
            "calculated: from_register" if code == FROM_REGISTER else word,
            point=np.array(checked.points, dtype=np.str_)[points[rows]],
            start=start[rows],
            end=start[rows] + checked.axis.mtu_s,
            value=length[rows].astype(np.float64),
            limit=np.full(rows.size, float(checked.rules.short_gap_s // checked.axis.mtu_s)),
        )


def _unusable(checked: CheckedReadings) -> Iterator[MeterFinding]:
    """Tell points with too much missing."""
    share = checked.missing_percent
    for point in np.flatnonzero(~checked.usable).tolist():
        yield MeterFinding(
            point=checked.points[point],
            start=checked.axis.start,
            end=checked.axis.starts[-1] + checked.axis.mtu_s,
            rule="unusable",
            value=float(share[point]),
            limit=checked.rules.most_missing_percent,
            readings=int((~checked.measured[point]).sum()),
            done="not to be settled by",
        )


def _faults(names: tuple[str, ...], capacity_kw: Mapping[str, tuple[float, float]]) -> Iterator[Fault]:
    if not names:
        yield _fault("points", "none", "there is nothing to check", fix="give readings, or name points")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        yield _fault("points", twice, "stand twice", fix="name each point once")
    for name, pair in capacity_kw.items():
        if not (len(pair) == BOTH and all(number >= 0 for number in pair)):
            fix = "give two numbers >= 0 in kW"
            yield _fault(f"capacity_kw[{name!r}]", pair, "is not (import, export)", fix=fix)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="meter check", place=place, value=value, reason=reason, fix=fix)
