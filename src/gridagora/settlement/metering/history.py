"""Readings beside the point's own history: spikes, a meter that stands still, a clock that wanders."""

import numpy as np
from numpy.typing import NDArray

from gridagora.settlement.metering.rules import MEASURED, MeterFinding, MeterRules
from gridagora.settlement.metering.screen import Screened

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEVEL = 0.98
"""Part of the readings that the usual level of a point holds; up to the rest of them may be wrong."""


def usual_level(net_kw: Floats, rules: MeterRules) -> float:
    """Return the power in kW that nearly all readings keep to, infinite where there are too few of them.

    >>> usual_level(np.r_[np.full(99, 2.0), 900.0], MeterRules())
    2.0
    """
    if net_kw.size < rules.least_history:
        return np.inf
    return float(np.quantile(np.abs(net_kw), LEVEL))


def wild(net_kw: Floats, seen: Bools, *, rules: MeterRules) -> Bools:
    """Mark readings that no connection like this one carries, judged by the others of the point.

    The largest go first and the level is found again without them, so that the answer for what is left does
    not change when it is asked once more.
    """
    left = seen.copy()
    while True:
        limit = _limit(net_kw[left], rules.wild_factor, floor=rules.wild_floor_kw, rules=rules)
        high = left & (np.abs(net_kw) > limit)
        if not high.any():
            return np.asarray(seen & ~left)
        left &= ~high


def spike_limit(net_kw: Floats, rules: MeterRules) -> float:
    """Return the power in kW above which a reading of the point is doubtful."""
    return _limit(net_kw, rules.spike_factor, floor=rules.spike_floor_kw, rules=rules)


def _limit(net_kw: Floats, factor: float, *, floor: float, rules: MeterRules) -> float:
    level = usual_level(net_kw, rules)
    return level if np.isinf(level) else max(factor * level, floor)


def frozen(energy_wh: Ints, method: NDArray[np.int8], *, mtu_s: int, rules: MeterRules) -> tuple[Bools, Ints]:
    """Mark measured periods of a value that stays for too long, and tell the length of each run in seconds.

    Parameters
    ----------
    energy_wh : import and export of a point, shape (2, periods)
    method : code of each period
    mtu_s : length of a period
    rules : limits for zero and for other values
    """
    seen = method == MEASURED
    begins = np.ones(seen.size, dtype=np.bool_)
    begins[1:] = ~(seen[1:] & seen[:-1] & (energy_wh[:, 1:] == energy_wh[:, :-1]).all(axis=0))
    run = np.cumsum(begins) - 1
    length = np.bincount(run)[run] * mtu_s
    limit = np.where((energy_wh == 0).all(axis=0), rules.frozen_zero_s, rules.frozen_s)
    return np.asarray(seen & (length > limit)), np.asarray(length)


def drift_findings(screened: Screened, used: Ints, *, rules: MeterRules) -> list[MeterFinding]:
    """Tell points whose stamps move away from the grid.

    Parameters
    ----------
    screened : the readings
    used : numbers of those in use, by point and period
    rules : limit
    """
    out: list[MeterFinding] = []
    moved = np.unique(screened.point[used[screened.offset_s[used] != 0]])
    for point in moved.tolist():
        rows = used[screened.point[used] == point]
        third = rows.size // 3
        if third < 3:
            continue
        early, late = (np.median(screened.offset_s[part]) for part in (rows[:third], rows[-third:]))
        if abs(late - early) > rules.most_drift_s:
            start = screened.readings.start[rows]
            out.append(
                MeterFinding(
                    point=screened.points[point],
                    start=start[0],
                    end=screened.readings.end[rows[-1]],
                    rule="clock_drift",
                    value=float(late - early),
                    limit=float(rules.most_drift_s),
                    readings=int(rows.size),
                    done="kept",
                )
            )
    return out
