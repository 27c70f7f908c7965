"""Readings one by one: what cannot be is refused, what lies beside the grid is put on it.

Everything is sorted first by what the readings say, so the order in which they came into the program does not
matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.model.metering import QUALITIES, MeterReadings
from gridagora.model.time import SECONDS_PER_HOUR, TimeAxis
from gridagora.settlement.metering.rules import MeterFinding, MeterRules, merge_findings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REFUSED, OFF_GRID, INTERVAL, SPAN, REGISTER = -2, -1, 0, 1, 2
"""States of a reading; a span is an interval over several periods."""

OWN = ("interpolated", "like_days")
"""Qualities of values that were estimated here; they can be no evidence of what the meter does."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Screened:
    """Readings in canonical order, where each lies, and what is left of them.

    Parameters
    ----------
    readings : in canonical order
    axis : the periods that are checked
    points : connection points
    capacity_wh : what each can import and export in a period, Wh, shape (points, 2); infinite: unknown
    point : number of each reading's point, -1: none of them
    slot : period of an interval, or the period that begins at a register reading
    offset_s : stamp less the grid's, seconds
    state : REFUSED, OFF_GRID, INTERVAL, SPAN or REGISTER
    """

    readings: MeterReadings
    axis: TimeAxis
    points: tuple[str, ...]
    capacity_wh: Floats
    point: Ints
    slot: Ints
    offset_s: Ints
    state: NDArray[np.int8]

    def refuse(self, wrong: Bools) -> "Screened":
        """Return the same with readings refused that were not before."""
        return replace(self, state=np.where(wrong, REFUSED, self.state).astype(np.int8))

    def told(
        self, rule: str, done: str, *, rows: Ints, value: NDArray[np.generic], limit: Floats | float = np.nan
    ) -> list[MeterFinding]:
        """Return findings of a rule about some readings; ``value`` has one entry per reading of them."""
        start = self.readings.start[rows].astype(np.int64)
        return merge_findings(
            rule,
            done,
            point=self.readings.point[rows],
            start=start,
            end=start + self.readings.duration_s[rows],
            value=np.asarray(value, dtype=np.float64),
            limit=np.broadcast_to(np.asarray(limit, dtype=np.float64), rows.shape),
        )


def in_order(readings: MeterReadings) -> MeterReadings:
    """Sort readings by everything they say: by point, start and length, then by arrival."""
    rank = {quality: number for number, quality in enumerate(QUALITIES)}
    keys: list[NDArray[np.generic]] = []
    for name in ("signature", "meter", "source"):
        keys.append(text_codes(getattr(readings, name))[0])
    keys += [readings.export_wh, readings.import_wh]
    names, codes = _unique(readings.quality)
    keys.append(np.array([rank[name] for name in names], dtype=np.int64)[codes])
    keys += [readings.received, readings.duration_s, readings.start, text_codes(readings.point)[0]]
    return readings.take(np.lexsort(tuple(keys)))


def text_codes(values: NDArray[np.str_]) -> tuple[Ints, list[str]]:
    """Return a number for each text, in alphabetical order, and the texts."""
    names, codes = _unique(values)
    return codes, names


def _unique(values: NDArray[np.str_]) -> tuple[list[str], Ints]:
    import pandas as pd

    if not values.size:
        return [], np.empty(0, dtype=np.int64)
    if (values == values[0]).all():
        return [str(values[0])], np.zeros(values.size, dtype=np.int64)
    codes, names = pd.factorize(values.astype(object), sort=True)  # several times faster than sorting texts
    return [str(name) for name in names], codes.astype(np.int64)


def screen(
    readings: MeterReadings,
    axis: TimeAxis,
    *,
    points: Sequence[str],
    capacity_wh: Floats,
    rules: MeterRules,
) -> tuple[Screened, list[MeterFinding]]:
    """Refuse what cannot be, and say where the others lie."""
    ordered = in_order(readings)
    number = {name: code for code, name in enumerate(points)}
    codes, names = text_codes(ordered.point)
    point = np.array([number.get(name, -1) for name in names], dtype=np.int64)[codes]
    since = (ordered.start - axis.start).astype(np.int64)
    slot = (since + axis.mtu_s // 2) // axis.mtu_s
    screened = Screened(
        readings=ordered,
        axis=axis,
        points=tuple(points),
        capacity_wh=capacity_wh,
        point=point,
        slot=slot,
        offset_s=since - slot * axis.mtu_s,
        state=np.where(ordered.duration_s > 0, INTERVAL, REGISTER).astype(np.int8),
    )
    findings: list[MeterFinding] = []
    for rule, wrong, value, limit in _refusals(screened, rules):
        rows = np.flatnonzero(wrong & (screened.state != REFUSED))
        findings += screened.told(
            rule, "not used", rows=rows, value=value[rows], limit=np.broadcast_to(limit, wrong.shape)[rows]
        )
        screened = screened.refuse(wrong)
    screened = _placed(screened, rules)
    return screened, [*findings, *_late(screened, rules), *_beside(screened)]


def _refusals(
    screened: Screened, rules: MeterRules
) -> list[tuple[str, Bools, NDArray[np.generic], Floats | float]]:
    """Return each rule that refuses: its name, what breaks it, values and limits."""
    readings, axis = screened.readings, screened.axis
    too_early = (readings.end - readings.received).astype(np.int64)
    periods = np.maximum(readings.duration_s // axis.mtu_s, 1)
    last = screened.slot + np.where(readings.duration_s > 0, periods, 0)
    lowest = np.minimum(readings.import_wh, readings.export_wh)
    above, power, capacity = _above_capacity(screened, rules)
    return [
        ("unknown_point", screened.point < 0, readings.net_wh, np.nan),
        ("impossible", lowest < 0, lowest, 0.0),
        ("early", too_early > rules.most_clock_offset_s, too_early, float(rules.most_clock_offset_s)),
        ("outside", (screened.slot < 0) | (last > axis.periods), readings.net_wh, np.nan),
        ("above_capacity", above, power, capacity),
    ]


def _above_capacity(screened: Screened, rules: MeterRules) -> tuple[Bools, Floats, Floats]:
    """Return which intervals are more than the connection carries, their power and the capacity in kW."""
    readings = screened.readings
    hours = np.where(readings.duration_s > 0, readings.duration_s, 1) / SECONDS_PER_HOUR
    periods = hours * SECONDS_PER_HOUR / screened.axis.mtu_s
    capacity = screened.capacity_wh[np.maximum(screened.point, 0)] * periods[:, None]
    allowed = capacity * (1 + rules.capacity_tolerance) + 1  # a Wh for rounding
    above = (readings.import_wh > allowed[:, 0]) | (readings.export_wh > allowed[:, 1])
    exports = readings.export_wh > allowed[:, 1]
    power = np.where(exports, -readings.export_wh, readings.import_wh) / hours / 1000.0
    carried = np.where(exports, -capacity[:, 1], capacity[:, 0]) / hours / 1000.0
    counts = (readings.duration_s > 0) & ~np.isin(readings.quality, OWN)
    return np.asarray(above & counts), np.asarray(power), np.asarray(carried)


def _placed(screened: Screened, rules: MeterRules) -> Screened:
    """Tell intervals of one period from those of several, and from what does not lie on the grid."""
    length, mtu = screened.readings.duration_s, screened.axis.mtu_s
    near = np.abs(screened.offset_s) <= min(rules.most_clock_offset_s, mtu // 4)
    state = screened.state.copy()
    state[(state == INTERVAL) & (length > mtu)] = SPAN
    wrong = ~near | (length % mtu != 0)
    state[(state != REFUSED) & wrong] = OFF_GRID
    return replace(screened, state=state)


def _late(screened: Screened, rules: MeterRules) -> list[MeterFinding]:
    """Tell readings that came in long after their end."""
    if rules.late_after_s is None:
        return []
    after = (screened.readings.received - screened.readings.end).astype(np.int64)
    rows = np.flatnonzero((after > rules.late_after_s) & (screened.state != REFUSED))
    return screened.told("late", "kept", rows=rows, value=after[rows], limit=float(rules.late_after_s))


def _beside(screened: Screened) -> list[MeterFinding]:
    """Tell readings that were put on the grid."""
    rows = np.flatnonzero((screened.offset_s != 0) & (screened.state >= INTERVAL))
    return screened.told("clock_offset", "put on the grid", rows=rows, value=screened.offset_s[rows])


def off_grid_findings(screened: Screened, filled: Bools) -> list[MeterFinding]:
    """Tell what lies off the grid, and whether over readings in use.

    Parameters
    ----------
    screened : the readings
    filled : periods with a reading in use, shape (points, periods)
    """
    rows = np.flatnonzero(screened.state == OFF_GRID)
    if not rows.size:
        return []
    readings, axis = screened.readings, screened.axis
    since = (readings.start[rows] - axis.start).astype(np.int64)
    length = readings.duration_s[rows]
    first = np.clip(since // axis.mtu_s, 0, axis.periods)
    behind = np.clip(-(-(since + length) // axis.mtu_s), first, axis.periods)
    so_far = np.zeros((len(filled), axis.periods + 1), dtype=np.int64)
    np.cumsum(filled, axis=1, out=so_far[:, 1:])
    point = screened.point[rows]
    over = (so_far[point, behind] > so_far[point, first]) & (length > 0)
    wrong_length = length % axis.mtu_s != 0
    value = np.where(wrong_length, length, screened.offset_s[rows])
    limit = np.where(wrong_length, float(axis.mtu_s), np.nan)
    return [
        *screened.told("overlap", "not used", rows=rows[over], value=length[over]),
        *screened.told("off_grid", "not used", rows=rows[~over], value=value[~over], limit=limit[~over]),
    ]
