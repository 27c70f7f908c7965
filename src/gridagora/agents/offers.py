"""Capacity-limit offers: what it costs homes to keep below a limit, and the steps that they sell it in.

    day = FlexibilityDay(fleet=, state=, t=, outlook=, price=planning_prices(...))
    offers = capacity_offers(day, FlexProduct(direction="cap"), windows=[(17,), (18,)], together="any")
    bids = bids_of(offers)                            # or of portfolio_offers("aggregator", offers)
    limits = limits_after(day, offers, accepted)      # accepted kW per row of the bids
    net_kw = schedule_under_limits(day, limits).net_kw       # with the rebound, for the power flow

The cost of a limit is that of the home's plan under it less that of its plan without it (MARKETS section 3;
seed 003 section 3.4.4).  Such a plan is a linear program, so the cost is convex in the limit.  Accepted in
several windows at once, limits cost more than one by one: a battery is emptied once.  Two kinds of offers pay
for themselves all the same, and a third way leads through sequence:

- ``together="one"``: one window of the day is called, as the product says (``max_activations_per_day`` 1).
  Each offer is the full cost(limit) - cost(no limit).
- ``together="any"``: any of them may be.  Each window gets a share of the home's flexibility, and outside its
  turn it stays at or below the plan, so nothing rebounds into a window.  With plans x_w for window w at limit
  L_w, the mix of the plans with the shares as weights keeps all limits, and costs at most the mix of their
  costs, as the cost is jointly convex.  So a share s of the cost curve C(u) is sold as s C(u / s).
- limits sold before are commitments (``limits``): an offer is then the cost of a further cut, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.agents._offers_check import check_day, check_windows
from gridagora.agents._offers_model import (
    FlexibilityDay,
    HomeModels,
    LimitedHomes,
    LimitedPlan,
    Limits,
    connection_limits,
)
from gridagora.agents._offers_sold import limits_after, portfolio_offers
from gridagora.agents._offers_steps import TINY_KW, curve_steps
from gridagora.agents.fleet import FleetState, Floats
from gridagora.agents.ring import (
    BATTERY,
    CAR,
    CAR_STORE,
    CHARGE,
    COLD,
    CURTAILED,
    DISCHARGE,
    PUMP,
    SHED,
    SHORT,
    TANK,
)
from gridagora.errors import Fault, check_faults
from gridagora.model.flexibility import Direction, FlexOffer, FlexProduct, OfferStep, bids_of

__all__ = [
    "CostCurve",
    "FlexibilityDay",
    "HomeModels",
    "LimitedSchedule",
    "Limits",
    "bids_of",
    "capacity_offers",
    "connection_limits",
    "cost_curves",
    "limits_after",
    "portfolio_offers",
    "schedule_under_limits",
    "state_after",
]

SAME_KW = 1e-6
"""Cuts that differ by less are one: ten times what the solver keeps its bounds to."""
HALVINGS = 24
"""Bisections for the lowest limit of several periods: finds it to 1e-7 of the plan's import."""
MARGIN_KW = 1e-5
"""Distance to that limit: the solver may overlook missing energy of this size, which costs penalties."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CostCurve:
    """Cost of a home to keep below a limit in a window: cost(limit) - cost(no limit), currency.

    Parameters
    ----------
    home : row of the fleet
    periods : the window, periods of the study
    capacity_kw : limit that cuts are counted from
    cut_kw, cost : cuts below it, ascending from 0 to the largest feasible one, and what they cost

    Examples
    --------
    >>> curve = CostCurve(home=0, periods=(3,), capacity_kw=10.0, cut_kw=np.array([0.0, 6.0, 8.0]),
    ...                   cost=np.array([0.0, 0.0, 0.5]))
    >>> curve.limit_kw.tolist()
    [10.0, 4.0, 2.0]
    """

    home: int
    periods: tuple[int, ...]
    capacity_kw: float
    cut_kw: Floats
    cost: Floats

    @property
    def limit_kw(self) -> Floats:
        """The limits that go with the cuts, kW."""
        return self.capacity_kw - self.cut_kw


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LimitedSchedule:
    """What homes do under limits, kW (kWh in store at the end of a period), shape (homes, horizon); import +.

    ``cost`` (homes,) is what homes minimise, in currency: energy bill and penalties less the value of what is
    left in store.  ``unserved_load_kw``, ``unserved_heat_kw`` (thermal) and ``ev_short_kwh`` are above 0 only
    where a limit is below what the home can keep.  ``ev_kwh`` is what a vehicle got in its stay, before it
    leaves.
    """

    net_kw: Floats
    battery_kw: Floats
    ev_kw: Floats
    heat_pump_kw: Floats
    curtailed_kw: Floats
    unserved_load_kw: Floats
    unserved_heat_kw: Floats
    ev_short_kwh: Floats
    battery_kwh: Floats
    ev_kwh: Floats
    tank_kwh: Floats
    cost: Floats


def schedule_under_limits(day: FlexibilityDay, limits: Limits | None = None) -> LimitedSchedule:
    """Plan of least cost of each home under limits at its meter, with the rebound in the other periods.

    Parameters
    ----------
    day : homes, outlook and prices
    limits : kW per home and period; None: the connections alone

    Raises
    ------
    InputError
        The outlook, the prices or the limits do not fit the day.
    SolverError
        A linear program has no optimum.

    Notes
    -----
    MARKETS.md section 3, "Rebound"; the program is that of `gridagora.agents.ems`.

    Examples
    --------
    >>> from gridagora.agents import Outlook, fleet_from_homes, initial_state
    >>> from gridagora.model.resources import Battery, Home
    >>> from gridagora.model.time import TimeAxis
    >>> home = Home(participant="a", bus="1", load_kw=np.full(3, 2.0), load_kvar=np.zeros(3),
    ...             battery=Battery(energy_kwh=4.0, charge_kw=2.0, discharge_kw=2.0), import_limit_kw=10.0)
    >>> fleet = fleet_from_homes((home,), TimeAxis(start=np.datetime64("2016-01-01"), periods=3, mtu_s=3600))
    >>> outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    >>> day = FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook,
    ...                      price=np.array([[0.2, 0.1], [0.4, 0.1], [0.3, 0.1]]))
    >>> schedule_under_limits(day).net_kw.round(6).tolist()
    [[4.0, 0.0, 0.295]]
    >>> limits = connection_limits(day)
    >>> limits.import_kw[0, 0] = 3.0
    >>> schedule_under_limits(day, limits).net_kw.round(6).tolist()
    [[3.0, 0.0, 1.1975]]
    """
    limits = limits or connection_limits(day)
    check_faults(check_day(day, limits))
    homes = day.models.of(day) if day.models else LimitedHomes(day)
    plans = [homes.plan(home, limits) for home in range(day.fleet.homes)]
    columns = np.array([plan.columns for plan in plans]).reshape(day.fleet.homes, day.periods, -1)
    power = columns / day.fleet.hours
    return LimitedSchedule(
        net_kw=np.array([plan.net_kw for plan in plans]).reshape(columns.shape[:2]),
        battery_kw=power[..., CHARGE] - power[..., DISCHARGE],
        ev_kw=power[..., CAR],
        heat_pump_kw=power[..., PUMP],
        curtailed_kw=power[..., CURTAILED],
        unserved_load_kw=power[..., SHED],
        unserved_heat_kw=power[..., COLD],
        ev_short_kwh=columns[..., SHORT],
        battery_kwh=columns[..., BATTERY],
        # the program takes out of the car what is due when it leaves
        ev_kwh=columns[..., CAR_STORE] + np.array([plan.due_kwh for plan in plans]) - columns[..., SHORT],
        tank_kwh=columns[..., TANK],
        cost=np.array([plan.cost for plan in plans]),
    )


def state_after(day: FlexibilityDay, schedule: LimitedSchedule, periods: int) -> FleetState:
    """Return what is in store after the first ``periods`` of a schedule; nothing in vehicles that have left.

    Examples
    --------
    >>> from gridagora.agents import Outlook, fleet_from_homes, initial_state
    >>> from gridagora.model.resources import Battery, Home
    >>> from gridagora.model.time import TimeAxis
    >>> home = Home(participant="a", bus="1", load_kw=np.full(3, 2.0), load_kvar=np.zeros(3),
    ...             battery=Battery(energy_kwh=4.0, charge_kw=2.0, discharge_kw=2.0), import_limit_kw=10.0)
    >>> fleet = fleet_from_homes((home,), TimeAxis(start=np.datetime64("2016-01-01"), periods=3, mtu_s=3600))
    >>> outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    >>> day = FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook,
    ...                      price=np.array([[0.2, 0.1], [0.4, 0.1], [0.3, 0.1]]))
    >>> state_after(day, schedule_under_limits(day), 1).battery_kwh.round(6).tolist()
    [3.9]
    """
    last = periods - 1
    stay = day.fleet.stay[:, day.t + last : day.t + periods + 1]
    stays_on = (stay[:, 0] == stay[:, -1]) & (stay[:, 0] >= 0)
    return FleetState(
        battery_kwh=schedule.battery_kwh[:, last].copy(),
        ev_kwh=np.where(stays_on, schedule.ev_kwh[:, last], 0.0),
        tank_kwh=schedule.tank_kwh[:, last].copy(),
    )


def cost_curves(
    day: FlexibilityDay,
    product: FlexProduct,
    *,
    windows: Sequence[Sequence[int]],
    steps: int = 10,
    limits: Limits | None = None,
    hold: bool = False,
) -> tuple[CostCurve, ...]:
    """Cost curves of all homes that trade and all windows, homes first.

    Parameters
    ----------
    day, product : who offers what
    windows : disjoint sets of consecutive periods of the study, each under one limit
    steps : limits that are planned for between the import (export) of the plan and the lowest feasible
    limits : sold before; None: the connections alone
    hold : whether the plan's import (export) is not exceeded in the other windows

    Raises
    ------
    InputError
        A window outside the day, overlapping windows, windows against the product's durations, a connection
        without a capacity.

    Notes
    -----
    MARKETS.md section 3, "FSP offer".  A limit is feasible if the home serves all load, charge and heat
    that it would without it: shedding is not for sale.  Below 0 no
    limit is offered: at most the capacity is sold.

    Examples
    --------
    >>> from gridagora.agents import Outlook, fleet_from_homes, initial_state
    >>> from gridagora.model.resources import Battery, Home
    >>> from gridagora.model.time import TimeAxis
    >>> home = Home(participant="a", bus="1", load_kw=np.full(3, 2.0), load_kvar=np.zeros(3),
    ...             battery=Battery(energy_kwh=4.0, charge_kw=2.0, discharge_kw=2.0), import_limit_kw=10.0)
    >>> fleet = fleet_from_homes((home,), TimeAxis(start=np.datetime64("2016-01-01"), periods=3, mtu_s=3600))
    >>> outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    >>> day = FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook,
    ...                      price=np.array([[0.2, 0.1], [0.4, 0.1], [0.3, 0.1]]))
    >>> curve, = cost_curves(day, FlexProduct(direction="cap"), windows=[(0,)], steps=4)
    >>> curve.limit_kw.round(4).tolist(), curve.cost.round(4).tolist()
    ([10.0, 4.0, 3.025, 2.05, 1.075, 0.1], [0.0, 0.0, 0.069, 0.1435, 0.3365, 0.5315])
    """
    spans = [tuple(int(period) for period in window) for window in windows]
    limits = limits or connection_limits(day)
    check_faults(chain(check_day(day, limits), check_windows(day, product, windows=spans, steps=steps)))
    homes = day.models.of(day) if day.models else LimitedHomes(day)
    return tuple(
        curve
        for home in np.flatnonzero(day.fleet.tradable).tolist()
        for curve in _HomeCurves(day, homes, home=home, direction=product.direction).known(
            spans, steps=steps, limits=limits, hold=hold
        )
    )


class _HomeCurves:
    """The cost curves of one home."""

    def __init__(self, day: FlexibilityDay, homes: LimitedHomes, *, home: int, direction: Direction) -> None:
        self._day, self._homes, self._home = day, homes, home
        self._cap = direction == "cap"

    def known(
        self, spans: list[tuple[int, ...]], *, steps: int, limits: Limits, hold: bool
    ) -> list[CostCurve]:
        """Return the curve of each window, made once for the same limits of the home."""
        rows = (limits.import_kw[self._home].tobytes(), limits.export_kw[self._home].tobytes())
        key = (self._home, self._cap, tuple(spans), steps, hold, *rows)
        made = self._homes.curves
        if key not in made:
            made[key] = self.all(spans, steps=steps, limits=limits, hold=hold)
        return made[key]

    def all(self, spans: list[tuple[int, ...]], *, steps: int, limits: Limits, hold: bool) -> list[CostCurve]:
        """Return the curve of each window."""
        plan = self._homes.plan(self._home, limits)
        flow = np.maximum(plan.net_kw if self._cap else -plan.net_kw, 0.0)
        sold = (limits.import_kw if self._cap else limits.export_kw)[self._home]
        flow = np.minimum(flow, sold)
        places = [np.array(span) - self._day.t for span in spans]
        base = sold.copy()
        if hold:
            for place in places:
                base[place] = flow[place]
        curves = []
        for span, place in zip(spans, places, strict=True):
            peak, capacity = float(flow[place].max()), float(sold[place].min())
            others = base.copy()
            others[place] = sold[place]
            lowest = self._lowest(place, self._with(limits, others), plan=plan, peak=peak)
            asked = np.linspace(peak, lowest, steps + 1)[1:] if peak - lowest > SAME_KW else np.empty(0)
            costs = [self._cost(place, limit, self._with(limits, others)) for limit in asked.tolist()]
            more = np.maximum.accumulate(np.maximum(np.array(costs) - plan.cost, 0.0))
            free = [0.0, capacity - peak] if capacity - peak > TINY_KW else [0.0]
            curves.append(
                CostCurve(
                    home=self._home,
                    periods=span,
                    capacity_kw=capacity,
                    cut_kw=np.concatenate([free, capacity - asked]),
                    cost=np.concatenate([np.zeros(len(free)), more]),
                )
            )
        return curves

    def _with(self, limits: Limits, row: Floats) -> Limits:
        """Limits with another row for this home, in the direction of the product."""
        rows = (limits.import_kw if self._cap else limits.export_kw).copy()
        rows[self._home] = row
        return replace(limits, import_kw=rows) if self._cap else replace(limits, export_kw=rows)

    def _tighter(self, place: NDArray[np.int64], limit: float, limits: Limits) -> LimitedPlan:
        row = (limits.import_kw if self._cap else limits.export_kw)[self._home].copy()
        row[place] = np.minimum(row[place], limit)
        return self._homes.plan(self._home, self._with(limits, row))

    def _cost(self, place: NDArray[np.int64], limit: float, limits: Limits) -> float:
        return self._tighter(place, limit, limits).cost

    def _lowest(self, place: NDArray[np.int64], limits: Limits, *, plan: LimitedPlan, peak: float) -> float:
        """Lowest limit of the window that leaves the home with all it has in its plan."""
        if not self._cap or peak <= SAME_KW:
            # what would be exported can always be curtailed
            return 0.0
        if len(place) == 1:
            least = self._homes.least_import_kw(self._home, int(place[0]), limits=limits, plan=plan)
            return min(max(least, 0.0), peak)
        bottom, top = 0.0, peak
        for _ in range(HALVINGS):
            if top - bottom <= SAME_KW:
                break
            # the first try is the bottom itself, often feasible
            tried = bottom if top == peak and bottom == 0.0 else (bottom + top) / 2
            if self._tighter(place, tried, limits).missing_kwh <= plan.missing_kwh + SAME_KW * 1e-2:
                top = tried
            else:
                bottom = tried if tried > bottom else bottom + TINY_KW
        return min(top + MARGIN_KW, peak) if top > 0.0 else 0.0


def capacity_offers(
    day: FlexibilityDay,
    product: FlexProduct,
    *,
    windows: Sequence[Sequence[int]],
    together: Literal["one", "any"] = "one",
    steps: int = 10,
    shares: ArrayLike | None = None,
    activation_cost: float = 0.0,
    limits: Limits | None = None,
) -> tuple[FlexOffer, ...]:
    """Offers of all homes that trade, one per home and window that has something to sell.

    Parameters
    ----------
    day, product : who offers what
    windows, steps, limits : as in `cost_curves`
    together : "one": one window is called at most; "any": each of them may be
    shares : per window the share of a home's flexibility that it gets with "any", sum 1 at most; None: equal
    activation_cost : currency per call of more than the free part, at each home; makes the curve not convex

    Returns
    -------
    tuple of FlexOffer
        The first step is free: the part of the connection capacity that the home does not use anyway.
        Windows of several periods and sections that are not convex are sold in blocks.

    Raises
    ------
    InputError
        As `cost_curves`; shares that are no shares; a negative activation cost.

    Notes
    -----
    MARKETS.md section 3, "FSP offer".  Each offer pays the home at least its cost under what ``together``
    says; see the module for why.

    Examples
    --------
    >>> from gridagora.agents import Outlook, fleet_from_homes, initial_state
    >>> from gridagora.model.resources import Battery, Home
    >>> from gridagora.model.time import TimeAxis
    >>> home = Home(participant="a", bus="1", load_kw=np.full(3, 2.0), load_kvar=np.zeros(3),
    ...             battery=Battery(energy_kwh=4.0, charge_kw=2.0, discharge_kw=2.0), import_limit_kw=10.0)
    >>> fleet = fleet_from_homes((home,), TimeAxis(start=np.datetime64("2016-01-01"), periods=3, mtu_s=3600))
    >>> outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    >>> day = FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook,
    ...                      price=np.array([[0.2, 0.1], [0.4, 0.1], [0.3, 0.1]]))
    >>> offer, = capacity_offers(day, FlexProduct(direction="cap"), windows=[(0,)], steps=4)
    >>> [(round(step.quantity_kw, 4), round(step.price, 4)) for step in offer.steps]
    [(6.0, 0.0), (0.975, 0.0708), (0.975, 0.0764), (0.975, 0.198), (0.975, 0.2)]
    """
    weight = np.full(len(windows), 1.0 / max(1, len(windows))) if shares is None else np.asarray(shares)
    check_faults(_option_faults(together, weight, count=len(windows), activation_cost=activation_cost))
    curves = cost_curves(day, product, windows=windows, steps=steps, limits=limits, hold=together == "any")
    if together == "one":
        product = replace(product, max_activations_per_day=1)
        weight = np.ones(len(windows))
    offers = [
        _offer(day, product, curve=_part(curve, float(weight[place % len(windows)])), fixed=activation_cost)
        for place, curve in enumerate(curves)
    ]
    return tuple(offer for offer in offers if offer.steps)


def _part(curve: CostCurve, share: float) -> CostCurve:
    """Share s of a curve: the free cut as it is, beyond it s C(u / s)."""
    free = float(curve.cut_kw[min(1, len(curve.cut_kw) - 1)]) if curve.cost[:2].max() == 0.0 else 0.0
    cut = np.where(curve.cut_kw > free, free + share * (curve.cut_kw - free), curve.cut_kw)
    return replace(curve, cut_kw=cut, cost=share * curve.cost)


def _offer(day: FlexibilityDay, product: FlexProduct, *, curve: CostCurve, fixed: float) -> FlexOffer:
    """Offer of one curve: prices are per kW and period, so the cost is spread over the window's periods."""
    several = len(curve.periods) > 1
    cut, cost = curve.cut_kw, curve.cost
    if fixed > 0.0 and cost[-1] > 0.0:
        foot = int(np.flatnonzero(cost == 0.0)[-1])
        cut = np.insert(cut, foot + 1, cut[foot])
        cost = np.insert(cost + np.where(cost > 0.0, fixed, 0.0), foot + 1, fixed)
    name = day.fleet.participants[curve.home]
    return FlexOffer(
        participant=name,
        product=product,
        periods=curve.periods,
        capacity_kw=curve.capacity_kw,
        steps=tuple(
            OfferStep(
                quantity_kw=quantity, price=price, block=block or (several and price > 0.0), member=name
            )
            for quantity, price, block in curve_steps(cut, cost / len(curve.periods))
            if quantity > TINY_KW
        ),
    )


def _option_faults(together: str, shares: Floats, *, count: int, activation_cost: float) -> list[Fault]:
    found = []
    if together not in ("one", "any"):
        found.append(("together", together, "is unknown", "write one of one, any"))
    if shares.shape != (count,) or not (np.all(shares > 0.0) and shares.sum() <= 1.0 + 1e-9):
        found.append(
            ("shares", str(shares.tolist()), "are no shares above 0 with a sum of 1 at most, one per window",
             "leave them out for equal ones")
        )  # fmt: skip
    if not 0.0 <= activation_cost < np.inf:
        found.append(
            ("activation_cost", str(activation_cost), "is negative or not finite", "write 0 or more")
        )
    return [
        Fault(source="capacity offers", place=place, value=value, reason=reason, fix=fix)
        for place, value, reason, fix in found
    ]
