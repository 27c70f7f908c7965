"""How much power must go for one limit to hold: searched on the power flow itself, all cases in one batch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.grid.model import GridModel
from gridagora.grid.sensitivity import OperatingPoints

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TOLERANCE = 1e-6
"""How far below its limit a value may end, relative to the limit; it never ends above."""
_AHEAD = 1.02
"""How far beyond the linear estimate a first share is tried, so that it rather keeps the limit."""
_SCAN = 8
_STEPS = 40


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cases:
    """Operating points with one limited value each: the loading of an element or the voltage of a bus.

    Parameters
    ----------
    import_kw, import_kvar : net import at the buses, (cases, buses)
    is_voltage, column : which value: bus (True) or element (False), and its position, (cases,)
    above : +1 where the value must not rise above its limit, -1 where it must not fall below, (cases,)
    limit : percent or per unit, (cases,)
    """

    import_kw: Floats
    import_kvar: Floats
    is_voltage: Bools
    column: Ints
    above: Floats
    limit: Floats

    def __len__(self) -> int:
        return len(self.column)

    def take(self, rows: Ints) -> "Cases":
        """Return some of the cases."""
        return Cases(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def values_of(grid: GridModel, cases: Cases, cut_kw: Floats) -> Floats:
    """Return the limited value of each case after a cut of import at the buses, (cases,)."""
    flow = grid.power_flow(cases.import_kw - cut_kw, cases.import_kvar)
    row = np.arange(len(cases))
    loading = flow.loading_percent[row, np.where(cases.is_voltage, 0, cases.column)]
    return np.where(cases.is_voltage, flow.vm_pu[row, np.where(cases.is_voltage, cases.column, 0)], loading)


def gradients_of(points: OperatingPoints, cases: Cases) -> Floats:
    """Return how each case's value moves per kW of import at each bus, (cases, buses).

    Parameters
    ----------
    points : the operating points of the cases, maybe after a cut
    cases : which values
    """
    slope = np.zeros_like(cases.import_kw)
    for rows, gradient in (
        (np.flatnonzero(cases.is_voltage), points.vm_gradient),
        (np.flatnonzero(~cases.is_voltage), points.loading_gradient),
    ):
        if rows.size:
            slope[rows] = gradient(rows, cases.column[rows])[0]
    return slope


def smallest_share(
    grid: GridModel, cases: Cases, most_kw: Floats, *, value: Floats, slope: Floats
) -> tuple[Floats, Floats, Bools]:
    """Return the smallest share of a cut that keeps the limit, the value after it, and whether it does.

    The slope gives a first share, steps along the secant find one that keeps the limit, and the Illinois rule
    narrows it.  Where even the whole cut does not, the share is scanned in eighths, for a cut may also go too
    far (reverse flow); where none keeps the limit, the one that comes nearest is returned.

    Parameters
    ----------
    grid : the grid
    cases : the operating points and their limits, which are broken
    most_kw : the whole cut of import at the buses, + less import, (cases, buses)
    value : the limited value of each case, (cases,)
    slope : how it moves per kW of import at each bus, (cases, buses)
    """
    low, above = np.zeros(len(cases)), cases.above * (value - cases.limit)
    fall = cases.above * (slope * most_kw).sum(axis=1)
    guess = np.divide(_AHEAD * above, fall, out=np.ones(len(cases)), where=fall > 0)
    high, below = np.minimum(guess, 1.0), np.full(len(cases), np.nan)
    todo = np.arange(len(cases))
    for _ in range(_SCAN):
        below[todo] = _excess(grid, cases.take(todo), high[todo, None] * most_kw[todo])
        todo = todo[~(below[todo] <= 0) & (high[todo] < 1)]
        if not todo.size:
            break
        gained = above[todo] - below[todo]
        per_share = np.divide(gained, high[todo] - low[todo], out=np.zeros(len(todo)), where=gained > 0)
        step = np.divide(_AHEAD * below[todo], per_share, out=np.ones(len(todo)), where=per_share > 0)
        low[todo], above[todo] = high[todo], below[todo]
        high[todo] = np.minimum(high[todo] + step, 1.0)
    failed = np.flatnonzero(~(below <= 0))
    if failed.size:
        scanned = _scan(grid, cases.take(failed), most_kw[failed])
        low[failed], above[failed], high[failed], below[failed] = scanned
    share, reached, curable = high.copy(), below.copy(), below <= 0
    kept = np.flatnonzero(curable & (above > 0))
    if kept.size:
        bracket = (low[kept], above[kept], high[kept], below[kept])
        share[kept], reached[kept] = _narrow(grid, cases.take(kept), most_kw[kept], bracket=bracket)
    return share, cases.limit + cases.above * reached, np.asarray(curable)


def _scan(grid: GridModel, cases: Cases, most_kw: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the first eighth that keeps the limit and the one before it; else the nearest, twice."""
    shares = np.linspace(0, 1, _SCAN + 1)
    excess = np.stack([_excess(grid, cases, share * most_kw) for share in shares], axis=1)
    nearest = np.nan_to_num(excess, nan=np.inf).argmin(axis=1)
    curable, row = (excess <= 0).any(axis=1), np.arange(len(cases))
    last = np.where(curable, (excess <= 0).argmax(axis=1), nearest)
    first = np.where(curable, last - 1, last)
    return shares[first], excess[row, first], shares[last], excess[row, last]


def _narrow(
    grid: GridModel, cases: Cases, most_kw: Floats, *, bracket: tuple[Floats, Floats, Floats, Floats]
) -> tuple[Floats, Floats]:
    """Narrow a bracket until its kept end lies within the tolerance below the limit."""
    low, above, high, below = (values.copy() for values in bracket)
    aim = _TOLERANCE * cases.limit / 2
    share, reached = high.copy(), below.copy()
    above, below = above + aim, below + aim
    side = np.zeros(len(cases))
    todo = np.flatnonzero(np.abs(below) > aim)
    for _ in range(_STEPS):
        if not todo.size:
            break
        a, b, fa, fb = low[todo], high[todo], above[todo], below[todo]
        middle = (a * fb - b * fa) / (fb - fa)
        value = _excess(grid, cases.take(todo), middle[:, None] * most_kw[todo])
        shifted = value + aim[todo]
        up = shifted > 0
        low[todo], high[todo] = np.where(up, middle, a), np.where(up, b, middle)
        # Illinois: an end that stays twice loses half its weight.
        stays_high, stays_low = up & (side[todo] > 0), ~up & (side[todo] < 0)
        above[todo] = np.where(up, shifted, np.where(stays_low, fa / 2, fa))
        below[todo] = np.where(up, np.where(stays_high, fb / 2, fb), shifted)
        side[todo] = np.where(up, 1, -1)
        better = value <= 0
        share[todo[better]], reached[todo[better]] = middle[better], value[better]
        todo = todo[np.abs(shifted) > aim[todo]]
    return share, reached


def _excess(grid: GridModel, cases: Cases, cut_kw: Floats) -> Floats:
    """Return by how much each limit is broken, <= 0 where it holds."""
    return np.asarray(cases.above * (values_of(grid, cases, cut_kw) - cases.limit))
