"""What somebody who controlled all devices of all homes could do at best for a grid: one linear program.

    found = joint_dispatch(day, [GridLimit(period=17, effect=np.ones(3), most_kw=40.0)], "cap")
    found.over_kw, found.net_kw

The programs of the homes stand side by side; each limit of the grid is a row over the homes that help it,

    sum_i effect_i net_i,t - over_k <= most_k,    over_k >= 0        (a floor: with the net export)

and what is minimised is the sum of ``over``, then the homes' own cost.  Homes serve all that they would serve
without it.  Whatever a market of these homes brings about is a point of this program: it cannot leave less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gridagora.agents._offers_model import FlexibilityDay, LimitedHomes, connection_limits
from gridagora.agents.fleet import Floats
from gridagora.model.flexibility import Direction
from gridagora.solve import LinearProgram, solve

COST_WEIGHT = 1e-4
"""Weight of the homes' cost beside a kW beyond a limit: 1 per kWh would be a lot."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GridLimit:
    """A limit of the grid in one period: ``sum(effect x net power) <= most_kw``.

    Parameters
    ----------
    period : period of the horizon, counted from its first
    effect : kW at the element per kW of each home, (homes,); 0 where a home does not help
    most_kw : what the element bears of them, kW of net import (cap) or net export (floor)
    """

    period: int
    effect: Floats
    most_kw: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class JointDispatch:
    """The best joint plan: ``net_kw`` (homes, horizon), import +, and kW beyond each limit, (limits,)."""

    net_kw: Floats
    over_kw: Floats


def joint_dispatch(day: FlexibilityDay, limits: Sequence[GridLimit], direction: Direction) -> JointDispatch:
    """Plan all homes together so that the sum of what goes beyond limits of the grid is least.

    Parameters
    ----------
    day : homes, what is in store, outlook and prices; what they sold does not bind
    limits : limits of the grid
    direction : "cap": limits on net import, "floor": on net export

    Raises
    ------
    SolverError
        The program has no optimum.

    Examples
    --------
    >>> from gridagora.agents import Outlook, fleet_from_homes, initial_state
    >>> from gridagora.model.resources import Battery, Home
    >>> from gridagora.model.time import TimeAxis
    >>> home = Home(participant="a", bus="1", load_kw=np.full(3, 2.0), load_kvar=np.zeros(3),
    ...             battery=Battery(energy_kwh=2.0, charge_kw=2.0, discharge_kw=2.0), import_limit_kw=10.0)
    >>> fleet = fleet_from_homes((home,), TimeAxis(start=np.datetime64("2016-01-01"), periods=3, mtu_s=3600))
    >>> outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    >>> day = FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook,
    ...                      price=np.array([[0.2, 0.1], [0.4, 0.1], [0.3, 0.1]]))
    >>> asked = [GridLimit(period=period, effect=np.ones(1), most_kw=0.5) for period in (1, 2)]
    >>> joint_dispatch(day, asked, "cap").over_kw.sum().round(4).item()
    1.1
    """
    homes = day.models.of(day) if day.models else LimitedHomes(day)
    bounds = connection_limits(day)
    net_kw = np.array([homes.plan(home, bounds).net_kw for home in range(day.fleet.homes)])
    helping = np.zeros(day.fleet.homes, np.bool_)
    for limit in limits:
        helping |= limit.effect > 0
    rows = np.flatnonzero(helping).tolist()
    if not rows:
        return JointDispatch(net_kw=net_kw, over_kw=np.zeros(len(limits)))
    programs = [homes.program(home, bounds) for home in rows]
    starts = np.cumsum([0] + [len(program.cost) for program, _ in programs])
    imports = [
        start + width * np.arange(day.periods)
        for start, (_, width) in zip(starts.tolist(), programs, strict=False)
    ]
    sign = (1.0 if direction == "cap" else -1.0) / day.fleet.hours
    coupling = [
        (k, int(imports[place][limit.period]) + side, sign * (1.0 - 2.0 * side) * float(limit.effect[home]))
        for k, limit in enumerate(limits)
        for place, home in enumerate(rows)
        for side in (0, 1)
        if limit.effect[home] > 0
    ]
    most = np.array([limit.most_kw for limit in limits])
    values = solve(_together([program for program, _ in programs], coupling, most)).values
    for place, home in enumerate(rows):
        net_kw[home] = (values[imports[place]] - values[imports[place] + 1]) / day.fleet.hours
    return JointDispatch(net_kw=net_kw, over_kw=values[starts[-1] :])


def _together(
    programs: Sequence[LinearProgram], coupling: Sequence[tuple[int, int, float]], most: Floats
) -> LinearProgram:
    """Put programs side by side, with rows (number, column, entry) over them and a slack for each."""
    columns = np.cumsum([0] + [len(program.cost) for program in programs])
    rows = np.cumsum([0] + [len(program.row_lower) for program in programs])
    count, end, below = len(most), int(columns[-1]), int(rows[-1])
    number, place, entry = (np.array(part) for part in zip(*coupling, strict=True))
    at = [
        start + np.repeat(np.arange(len(p.cost)), np.diff(p.starts))
        for start, p in zip(columns, programs, strict=False)
    ]
    column = np.concatenate([*at, place, end + np.arange(count)])
    row = np.concatenate(
        [start + p.rows for start, p in zip(rows, programs, strict=False)]
        + [below + number, below + np.arange(count)]
    )
    entries = np.concatenate([*(p.entries for p in programs), entry, -np.ones(count)])
    order = np.lexsort((row, column))
    return LinearProgram(
        cost=np.concatenate([*(COST_WEIGHT * p.cost for p in programs), np.ones(count)]),
        lower=np.concatenate([*(p.lower for p in programs), np.zeros(count)]),
        upper=np.concatenate([*(p.upper for p in programs), np.full(count, np.inf)]),
        row_lower=np.concatenate([*(p.row_lower for p in programs), np.full(count, -np.inf)]),
        row_upper=np.concatenate([*(p.row_upper for p in programs), most]),
        starts=np.searchsorted(column[order], np.arange(end + count + 1)).astype(np.int32),
        rows=row[order].astype(np.int32),
        entries=entries[order],
    )
