"""Estimates of what lacks, never more than registers left, and never without a flag.

Where registers (or a long interval) bracket missing periods, these get exactly what the known ones leave:
evenly over short gaps, in proportion to like days over long ones.  Elsewhere a short gap is filled on the
straight line between its measured neighbours, a long one by the mean of like days: the same weekday and local
clock time, the last ones before it, the next ones after it where there are none before.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.time import TimeAxis
from gridagora.settlement.metering.registers import Spans
from gridagora.settlement.metering.rules import (
    FROM_REGISTER,
    INTERPOLATED,
    LIKE_DAYS,
    MEASURED,
    MISSING,
    MeterRules,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LikePeriods:
    """Periods of the same weekday and local clock time side by side.

    Parameters
    ----------
    order : all periods, like ones after each other, in time
    first, last : for each place of the order, where its like ones begin and end
    """

    order: Ints
    first: Ints
    last: Ints

    @staticmethod
    def of(axis: TimeAxis) -> "LikePeriods":
        """Sort the periods of an axis by local weekday and clock time.

        >>> axis = TimeAxis(start=np.datetime64("2026-01-05"), periods=15, mtu_s=86400)
        >>> like = LikePeriods.of(axis)
        >>> like.order[like.first[0] : like.last[0]].tolist()
        [0, 7, 14]
        """
        weekday = (axis.local_dates.astype(np.int64) + 3) % 7
        slot = weekday * 1440 + axis.local_minutes
        order = np.argsort(slot, kind="stable")
        return LikePeriods(
            order=order,
            first=np.searchsorted(slot[order], slot[order], side="left"),
            last=np.searchsorted(slot[order], slot[order], side="right"),
        )

    def means(self, energy_wh: Ints, seen: Bools, *, count: int) -> Floats:
        """Return the mean of the like periods that were seen, NaN where there is none, shape (2, periods).

        Parameters
        ----------
        energy_wh : import and export, shape (2, periods)
        seen : periods that may be used
        count : how many are averaged: the last before, else the next after
        """
        there = seen[self.order]
        before = np.concatenate([[0], np.cumsum(there)])
        sums = np.zeros((2, int(before[-1]) + 1))
        np.cumsum(energy_wh[:, self.order][:, there], axis=1, out=sums[:, 1:])
        here = before[:-1]
        past = np.minimum(count, here - before[self.first])
        coming = np.where(past > 0, 0, np.minimum(count, before[self.last] - here))
        total = sums[:, here + coming] - sums[:, here - past]
        taken = past + coming
        out = np.full(energy_wh.shape, np.nan)
        out[:, self.order] = np.divide(total, taken, out=np.full(total.shape, np.nan), where=taken > 0)
        return out


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contradiction:
    """A span whose known energy is not what registers say: ``value_wh`` net of intervals less registers."""

    first: int
    last: int
    value_wh: float
    limit_wh: float
    done: str


def spread(total: int, weights: Floats) -> Ints:
    """Share whole Wh in proportion to weights, all of them; evenly where all weights are 0.

    >>> spread(10, np.array([1.0, 1.0, 2.0])).tolist(), spread(5, np.zeros(2)).tolist()
    ([2, 3, 5], [2, 3])
    """
    shares = weights if weights.sum() > 0 else np.ones(weights.size)
    edges = np.rint(total * (np.cumsum(shares) / np.cumsum(shares)[-1])).astype(np.int64)
    return np.asarray(np.diff(edges, prepend=0), dtype=np.int64)


def fill(
    energy_wh: Ints, method: Codes, spans: Spans, *, like: LikePeriods, mtu_s: int, rules: MeterRules
) -> tuple[Ints, Codes, list[Contradiction]]:
    """Estimate the missing periods of a point.

    Parameters
    ----------
    energy_wh : import and export, shape (2, periods)
    method : code of each period; those that are MISSING are filled
    spans : what registers say of this point, short ones first
    like : like periods of the axis
    mtu_s : length of a period in seconds
    rules : lengths and limits

    Returns
    -------
    tuple
        Energy and methods with the estimates in them, and where registers contradict the intervals.
    """
    energy, how = energy_wh.copy(), method.copy()
    seen = (method == MEASURED) | (method == FROM_REGISTER)
    long = _long_gaps(method == MISSING, rules.short_gap_s // mtu_s)
    means = like.means(energy_wh, seen, count=rules.like_days)
    told = []
    for span in _with_gaps(how == MISSING, spans):
        found = _fill_span(energy, how, spans.take(np.array([span])), means=means, long=long, rules=rules)
        told += found
    told += _contradictions(energy_wh, seen, spans, rules=rules)
    _fill_lines(energy, how, seen=seen, long=long)
    rest = (how == MISSING) & ~np.isnan(means[0])
    energy[:, rest] = np.rint(means[:, rest]).astype(np.int64)
    how[rest] = LIKE_DAYS
    return energy, how, told


def _long_gaps(missing: Bools, most: int) -> Bools:
    """Mark missing periods in runs of more than ``most``."""
    begins = np.ones(missing.size, dtype=np.bool_)
    begins[1:] = missing[1:] != missing[:-1]
    run = np.cumsum(begins) - 1
    return np.asarray(missing & (np.bincount(run)[run] > most))


def _with_gaps(missing: Bools, spans: Spans) -> list[int]:
    """Return the spans in which something is missing."""
    so_far = np.concatenate([[0], np.cumsum(missing)])
    found: list[int] = np.flatnonzero(so_far[spans.last] > so_far[spans.first]).tolist()
    return found


def _limit(spans: Spans, rules: MeterRules) -> Floats:
    """Return by how many Wh registers and intervals may differ."""
    rounding = 1 + 0.5 * (spans.last - spans.first)
    return np.asarray(np.maximum(rounding, rules.sum_percent / 100 * spans.energy_wh.sum(axis=1)))


def _fill_span(
    energy: Ints, how: Codes, span: Spans, *, means: Floats, long: Bools, rules: MeterRules
) -> list[Contradiction]:
    """Give the missing periods of a span what the known ones leave of it, in place."""
    first, last = int(span.first[0]), int(span.last[0])
    gaps = first + np.flatnonzero(how[first:last] == MISSING)
    if not gaps.size:
        return []  # a shorter span filled them
    left = span.energy_wh[0] - energy[:, first:last].sum(axis=1)
    limit = float(_limit(span, rules)[0])
    if (left < -limit).any():
        found = float(-(left[0] - left[1]))
        done = "registers not used for estimates"
        return [Contradiction(first=first, last=last, value_wh=found, limit_wh=limit, done=done)]
    by_days = bool(long[gaps].any() and not np.isnan(means[0, gaps]).any())
    for side in (0, 1):
        weights = means[side, gaps] if by_days else np.ones(gaps.size)
        energy[side, gaps] = spread(max(int(left[side]), 0), weights)
    how[gaps] = LIKE_DAYS if by_days else INTERPOLATED
    return []


def _contradictions(energy: Ints, seen: Bools, spans: Spans, *, rules: MeterRules) -> list[Contradiction]:
    """Compare spans with the intervals in them, where all of these were measured."""
    net = np.concatenate([[0], np.cumsum(energy[0] - energy[1])])
    there = np.concatenate([[0], np.cumsum(seen)])
    whole = there[spans.last] - there[spans.first] == spans.last - spans.first
    found = net[spans.last] - net[spans.first] - (spans.energy_wh[:, 0] - spans.energy_wh[:, 1])
    limit = _limit(spans, rules)
    return [
        Contradiction(
            first=int(spans.first[row]),
            last=int(spans.last[row]),
            value_wh=float(found[row]),
            limit_wh=float(limit[row]),
            done="kept",
        )
        for row in np.flatnonzero(whole & (np.abs(found) > limit)).tolist()
    ]


def _fill_lines(energy: Ints, how: Codes, *, seen: Bools, long: Bools) -> None:
    """Fill short gaps on the straight line between their measured neighbours, in place."""
    missing = how == MISSING
    edges = np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8))
    runs = zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True)
    for first, last in runs:
        inside = first > 0 and last < how.size
        if inside and seen[first - 1] and seen[last] and not long[first:last].any():
            part = np.arange(1, last - first + 1) / (last - first + 1)
            ends = energy[:, [first - 1, last]]
            line = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * part
            energy[:, first:last] = np.rint(line).astype(np.int64)
            how[first:last] = INTERPOLATED
