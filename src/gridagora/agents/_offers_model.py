"""Homes planned again and again under changing limits at the meter; their programs stay in the solver.

The program is that of `ring`, the one that `ems` plans homes with several devices by; a limit tightens the
bounds of import or export in its periods.  Load that a limit cannot serve may be shed at its penalty, so
every limit has a plan; what a home has to miss more than it would anyway is never part of an offer.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gridagora.agents.ems import end_values
from gridagora.agents.fleet import Fleet, FleetState, Floats, Ints, Param
from gridagora.agents.ring import (
    BALANCE,
    COLD,
    COLUMNS,
    EXPORT,
    IMPORT,
    SHED,
    SHORT,
    Ring,
    Window,
    whole_program,
    windows,
)
from gridagora.agents.rules import Outlook, known_stays
from gridagora.solve import LinearProgram

if TYPE_CHECKING:
    from gridagora.agents.offers import CostCurve

MISSING = [SHED, SHORT, COLD]
"""Columns of what a home does without: load, energy in the vehicle, heat."""


class HomeModels:
    """Programs of homes that stay in the solver from one day to the next: few steps lead to each new plan.

    Parameters
    ----------
    fleet : the homes
    slots : longest horizon in periods
    """

    def __init__(self, fleet: Fleet, slots: int) -> None:
        # a ring of one period would meet itself at its seam
        self.slots = max(2, slots)
        self._fleet = fleet
        self._rings: dict[int, Ring] = {}
        self._latest: tuple[FlexibilityDay, LimitedHomes] | None = None

    def ring(self, home: int) -> Ring:
        """Return the program of a home."""
        if home not in self._rings:
            self._rings[home] = Ring(self.params(home), self.slots)
        return self._rings[home]

    def params(self, home: int) -> Floats:
        """Return the row of `Fleet.params` that a home's program is built of."""
        params: Floats = self._fleet.params[home].copy()
        # a program has a column for shed load only where the connection has a limit: here each may get one
        params[Param.IMPORT_KW] = 0.0
        return params

    def of(self, day: "FlexibilityDay") -> "LimitedHomes":
        """Return the homes of a day with what was planned for them so far, if it is the day of the last call.

        Whose days differ in ``fleet.tradable`` alone plan alike.
        """
        if self._latest is not None:
            last, homes = self._latest
            if (last.t, last.value_left) == (day.t, day.value_left) and all(
                getattr(last, name) is getattr(day, name) for name in ("state", "outlook", "price")
            ):
                return homes
        self._latest = (day, LimitedHomes(day))
        return self._latest[1]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlexibilityDay:
    """What homes know when they offer: the horizon that they plan over, often a day.

    Parameters
    ----------
    fleet, state : the homes and what is in store at the start of period ``t``
    t : first period of the horizon
    outlook : forecast in kW over the horizon, shape (homes, horizon)
    price : import and export price that homes plan with, currency per kWh, shape (horizon, 2), as of
        `ems.planning_prices`
    value_left : whether what is left in store at the end of the horizon has a value, as in `ems`
    models : programs of this fleet to plan with, for a horizon at least as long; None: they are built anew
    """

    fleet: Fleet
    state: FleetState
    t: int
    outlook: Outlook
    price: Floats
    value_left: bool = True
    models: HomeModels | None = None

    @property
    def periods(self) -> int:
        """Length of the horizon."""
        return self.outlook.periods


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Limits:
    """Limits at the meters, kW >= 0, shape (homes, horizon): net import and net export; inf is no limit."""

    import_kw: Floats
    export_kw: Floats


def connection_limits(day: FlexibilityDay) -> Limits:
    """Limits of the connections alone: nothing is sold yet."""
    shape = (day.fleet.homes, day.periods)
    return Limits(
        import_kw=np.broadcast_to(day.fleet.params[:, Param.IMPORT_KW, None], shape).copy(),
        export_kw=np.broadcast_to(day.fleet.params[:, Param.EXPORT_KW, None], shape).copy(),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LimitedPlan:
    """A home's plan under limits: ``columns`` (horizon, `ring.COLUMNS`) in kWh and its cost in currency.

    ``cost`` is what `ems` minimises: energy bill and penalties less the value of what is left in store;
    ``due_kwh`` (horizon,) is what a vehicle must have at the end of a period, where it leaves.
    """

    columns: Floats
    cost: float
    hours: float
    due_kwh: Floats

    @property
    def net_kw(self) -> Floats:
        """Net import, kW, shape (horizon,)."""
        return np.asarray(self.columns[:, IMPORT] - self.columns[:, EXPORT]) / self.hours

    @property
    def missing_kwh(self) -> float:
        """Load, charge and heat that the home does without, kWh."""
        return float(self.columns[:, MISSING].sum())


class LimitedHomes:
    """The programs of a day's homes, solved hot under one limit after the other; each plan once."""

    def __init__(self, day: FlexibilityDay) -> None:
        fleet, horizon = day.fleet, day.periods
        window = slice(day.t, day.t + horizon)
        stay = fleet.stay[:, window] if day.outlook.future_stays else known_stays(fleet, day.t, horizon)
        terminal = np.zeros((fleet.homes, 3))
        if day.value_left:
            terminal = end_values(fleet, day.price, fleet.cop[:, window])
        self._day, self._held = day, day.state.array()
        self._models = day.models or HomeModels(fleet, horizon)
        self._slots = self._models.slots
        self._plans: dict[tuple[int, bytes, bytes], LimitedPlan] = {}
        self.curves: dict[tuple[Hashable, ...], list[CostCurve]] = {}
        homes: Ints = np.arange(fleet.homes)
        self._numbers = windows(
            fleet, homes, day.t,
            outlook=day.outlook, stay=stay, price=day.price, terminal=terminal, slots=self._slots,
        )  # fmt: skip

    def plan(self, home: int, limits: Limits) -> LimitedPlan:
        """Plan of least cost under the limits of the home's row; raises `SolverError` without an optimum."""
        key = (home, limits.import_kw[home].tobytes(), limits.export_kw[home].tobytes())
        if key not in self._plans:
            self._plans[key] = self._solve(home, limits, cost=self._numbers.cost[home])
        return self._plans[key]

    def least_import_kw(self, home: int, period: int, *, limits: Limits, plan: LimitedPlan) -> float:
        """Lowest net import of a period of the horizon, missing in no period more than ``plan`` does."""
        goal = np.zeros((self._slots, COLUMNS))
        goal[period, IMPORT] = 1.0
        return self._solve(home, limits, cost=goal, kept=plan).cost / self._day.fleet.hours

    def program(self, home: int, limits: Limits) -> tuple[LinearProgram, int]:
        """Return the program of a home that misses no more than in its plan, and its columns per period."""
        window = self._window(home, limits, cost=self._numbers.cost[home], kept=self.plan(home, limits))
        return whole_program(self._models.params(home), window, self._held[home])

    def _solve(
        self, home: int, limits: Limits, *, cost: Floats, kept: LimitedPlan | None = None
    ) -> LimitedPlan:
        """Solve a home's program; ``kept`` is a plan whose missing energy is the most that is allowed."""
        changed, now = self._window(home, limits, cost=cost, kept=kept), slice(0, self._day.periods)
        values, _ = self._models.ring(home).solve(changed, self._held[home], self._day.t)
        return LimitedPlan(
            columns=values[now],
            cost=float((cost * values).sum()),
            hours=self._day.fleet.hours,
            due_kwh=self._numbers.upper[home, now, SHORT],
        )

    def _window(self, home: int, limits: Limits, *, cost: Floats, kept: LimitedPlan | None) -> Window:
        horizon, hours = self._day.periods, self._day.fleet.hours
        job = self._numbers.of(home)
        upper, now = job.upper.copy(), slice(0, horizon)
        upper[now, IMPORT] = np.minimum(limits.import_kw[home] * hours, upper[now, IMPORT])
        upper[now, EXPORT] = np.minimum(limits.export_kw[home] * hours, upper[now, EXPORT])
        upper[now, SHED] = np.maximum(job.row_lower[now, BALANCE] - upper[now, IMPORT], 0.0)
        if kept is not None:
            upper[now, MISSING] = np.minimum(upper[now, MISSING], kept.columns[:, MISSING])
        return replace(job, cost=cost, upper=upper)
