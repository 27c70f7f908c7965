"""How much power must go for one limit to hold: searched on the power flow itself, all cases in one batch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.grid.admittance import Admittance
from gridagora.grid.model import GridModel
from gridagora.grid.sensitivity import OperatingPoints

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TOLERANCE = 1e-6
"""How far below its limit a value may end, relative to the limit; it never ends above."""
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


def gradients_of(
    grid: GridModel, model: Admittance, cases: Cases, *, cut_kw: Floats
) -> tuple[Floats, Floats]:
    """Return how values and losses move per kW of import at each bus after a cut, both (cases, buses)."""
    if not len(cases):
        return np.zeros_like(cases.import_kw), np.zeros_like(cases.import_kw)
    points = OperatingPoints(grid, cases.import_kw - cut_kw, cases.import_kvar, model=model)
    slope = np.zeros_like(cases.import_kw)
    for rows, gradient in (
        (np.flatnonzero(cases.is_voltage), points.vm_gradient),
        (np.flatnonzero(~cases.is_voltage), points.loading_gradient),
    ):
        if rows.size:
            slope[rows] = gradient(rows, cases.column[rows])[0]
    return slope, points.losses_gradient(np.arange(len(cases)))[0]


def smallest_share(grid: GridModel, cases: Cases, most_kw: Floats) -> tuple[Floats, Floats, Bools]:
    """Return the smallest share of a cut that keeps the limit, the value after it, and whether it does.

    The share is scanned in eighths for the first that keeps the limit, then narrowed by the Illinois rule.
    Where none does, the share that comes nearest is returned.

    Parameters
    ----------
    grid : the grid
    cases : the operating points and their limits
    most_kw : the whole cut of import at the buses, + less import, (cases, buses)
    """
    shares = np.linspace(0, 1, _SCAN + 1)
    excess = np.stack([_excess(grid, cases, share * most_kw) for share in shares], axis=1)
    kept = excess <= 0
    curable = kept.any(axis=1)
    first = np.where(curable, kept.argmax(axis=1), np.nanargmin(np.nan_to_num(excess, nan=np.inf), axis=1))
    row = np.arange(len(cases))
    share, reached = shares[first].copy(), excess[row, first]
    search = np.flatnonzero(curable & (first > 0) & np.isfinite(excess[row, np.maximum(first - 1, 0)]))
    if search.size:
        at = first[search]
        found = _narrow(
            grid,
            cases.take(search),
            most_kw[search],
            bracket=(shares[at - 1], excess[search, at - 1], shares[at], excess[search, at]),
        )
        share[search], reached[search] = found
    return share, cases.limit + cases.above * reached, np.asarray(curable)


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
