"""Homes as sellers: what they offer for a period, what they buy back, and what they reserve."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor

import numpy as np

from gridagora.agents import Fleet
from gridagora.agents.fleet import Param
from gridagora.agents.offers import FlexibilityDay, LimitedSchedule, Limits, capacity_offers
from gridagora.engine.flexibility.risk import SURE, with_risk
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.continuous import W_PER_KW, FlexBid, FlexSide
from gridagora.model.flexibility import FlexOffer, FlexProduct, OfferStep
from gridagora.model.flexibility_study import FlexRules, ReservationRules
from gridagora.model.resources import Home
from gridagora.model.study import Study

BROKEN_KW = 1e-3
"""From here on a limit that cannot be kept is worth buying back."""
SLACK_KW = 1e-3
"""Left between a free limit and the plan: meters count whole watt-hours."""
FEE_SPREAD = 0.5
"""Fees that sellers ask lie within this share of the usual one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What somebody wants to buy close to delivery: kW at a price per kW and period at most."""

    participant: str
    kw: float
    price: float


class Sellers:
    """The homes that sell flexibility in a study.

    Parameters
    ----------
    study, rules : the study and its flexibility market
    """

    def __init__(self, study: Study, rules: FlexRules) -> None:
        self._study, self._rules = study, rules
        self.names = tuple(home.participant for home in study.homes)
        self.rows: Ints = np.flatnonzero([not home.passive for home in study.homes]).astype(np.int64)

    def offers(
        self,
        day: FlexibilityDay,
        *,
        period: int,
        limits: Limits,
        names: Iterable[str],
        active: Mapping[str, AbstractSet[int]],
        error_kw: Floats,
    ) -> tuple[FlexOffer, ...]:
        """Return what some homes ask to go further below the limits in force in a period.

        ``active`` are the periods for which homes are paid already; where the product forbids to call one
        again it offers what is free alone.  ``error_kw`` (homes,) is what their forecasts may be
        off by, a standard deviation: the risk of a penalty has its price.
        """
        chosen = np.isin(self.names, list(names)) & day.fleet.tradable
        if not chosen.any():
            return ()
        made = capacity_offers(
            replace(day, fleet=replace(day.fleet, tradable=chosen)),
            self._rules.product,
            windows=[(period,)],
            activation_cost=self._rules.activation_cost,
            limits=limits,
        )
        penalty = self._rules.penalty_per_kwh * self._study.axis.hours
        row = {name: place for place, name in enumerate(self.names)}
        made = tuple(
            with_risk(offer, error_kw=float(error_kw[row[offer.participant]]), penalty=penalty)
            for offer in made
        )
        per_day, product = self._study.axis.periods_per_day, self._rules.product
        kept = [
            offer
            if may_activate(active.get(offer.participant, set()), period, product, day_periods=per_day)
            else free_part(offer)
            for offer in made
        ]
        return tuple(replace(offer, product=product) for offer in kept if offer.steps)

    def free_offers(
        self, names: Iterable[str], period: int, *, limit_kw: Floats, net_kw: Floats, error_kw: Floats
    ) -> tuple[FlexOffer, ...]:
        """Return what costs homes nothing in a period: the part of their limit that they surely do not need.

        ``limit_kw`` and ``net_kw`` (homes,) are the limits in force and the net import that homes plan,
        ``error_kw`` what their forecasts may be off by, a standard deviation.
        """
        product, offers = self._rules.product, []
        for name in names:
            row = self.names.index(name)
            used = float(net_kw[row] if product.direction == "cap" else -net_kw[row])
            free = float(limit_kw[row]) - max(used, 0.0) - SURE * float(error_kw[row]) - SLACK_KW
            if free > SLACK_KW:
                step = OfferStep(quantity_kw=free, price=0.0, member=name)
                limit = float(limit_kw[row])
                offers.append(
                    FlexOffer(
                        participant=name, product=product, periods=(period,), capacity_kw=limit, steps=(step,)
                    )
                )
        return tuple(offers)

    def buy_backs(
        self, plan: LimitedSchedule, *, offset: int, limit_kw: Floats, connection_kw: Floats
    ) -> list[Wanted]:
        """Return what homes want back that cannot keep their limit, at the penalty they would pay.

        ``offset`` is the place of the period in the plan; ``limit_kw`` and ``connection_kw`` (homes,) are
        the limits on import in force and without sales.  A limit on export is always kept: by curtailing.
        """
        missing = plan.unserved_load_kw[:, offset]
        price = self._rules.penalty_per_kwh * self._study.axis.hours
        return [
            Wanted(participant=self.names[home], kw=float(missing[home]), price=price)
            for home in self.rows.tolist()
            if missing[home] > BROKEN_KW and limit_kw[home] < connection_kw[home]
        ]

    def reserved(self, rules: ReservationRules, periods: Ints) -> Bids:
        """Return long-term bids: each home's flexible power in every period, at a fee of its own."""
        rng = np.random.default_rng([self._study.seed, len(self.rows)])
        fees = rules.fee_asked * rng.uniform(1 - FEE_SPREAD, 1 + FEE_SPREAD, len(self.names))
        direction = self._rules.product.direction
        kw = np.array([flexible_kw(home, direction) for home in self._study.homes])
        rows = self.rows[kw[self.rows] > 0]
        home, period = np.repeat(rows, len(periods)), np.tile(periods, len(rows))
        return Bids(
            side=np.full(len(home), -1),
            price=fees[home],
            quantity=kw[home],
            participant=np.array(self.names, dtype=np.str_)[home],
            period=period,
        )


def flexible_kw(home: Home, direction: str) -> float:
    """Return the power that a home can hold ready: its devices', at most its connection capacity, kW.

    For a limit on import: battery, vehicle and heat pump; on export: battery and production, which it can
    curtail.

    Examples
    --------
    >>> from gridagora.model.resources import Battery
    >>> battery = Battery(energy_kwh=10.0, charge_kw=4.0, discharge_kw=5.0)
    >>> home = Home(participant="a", bus="1", load_kw=np.ones(2), load_kvar=np.zeros(2), battery=battery,
    ...             import_limit_kw=17.0, export_limit_kw=3.0)
    >>> flexible_kw(home, "cap"), flexible_kw(home, "floor")
    (5.0, 3.0)
    """
    if direction == "cap":
        power = home.battery.discharge_kw if home.battery else 0.0
        power += home.ev.charge_kw if home.ev else 0.0
        power += home.heat_pump.electric_kw if home.heat_pump else 0.0
        return float(min(power, home.import_limit_kw))
    power = home.battery.charge_kw if home.battery else 0.0
    return float(min(power + home.pv_peak_kw, home.export_limit_kw))


def more_kw(fleet: Fleet, plan: LimitedSchedule, direction: str) -> Floats:
    """Return by how much homes could exceed their plan with all devices, kW, (homes, horizon).

    For a limit on import: all charge and heat at full power; on export: batteries give at full power, nothing
    is charged, heated or curtailed.
    """
    moved = plan.battery_kw + plan.ev_kw + plan.heat_pump_kw
    if direction == "cap":
        power = fleet.params[:, [Param.CHARGE_KW, Param.EV_KW, Param.PUMP_KW]].sum(axis=1)
        return np.asarray(np.maximum(power[:, None] - moved, 0.0))
    return np.asarray(np.maximum(fleet.params[:, Param.DISCHARGE_KW, None] + moved + plan.curtailed_kw, 0.0))


def may_activate(active: AbstractSet[int], period: int, product: FlexProduct, *, day_periods: int) -> bool:
    """Return whether a home may be called for one more period beside those of its paid activations.

    Consecutive periods are one activation.  The product says how long one lasts at most, how many there are
    in a day (of ``day_periods`` periods from the start of the study) and how many periods lie between two.

    Examples
    --------
    >>> product = FlexProduct(direction="cap", max_duration=2, min_rest=2)
    >>> [may_activate({4}, period, product, day_periods=24) for period in (3, 5, 6, 7)]
    [True, True, False, True]
    """
    runs: list[list[int]] = []
    for at in sorted({*active, period}):
        if runs and at == runs[-1][-1] + 1:
            runs[-1].append(at)
        else:
            runs.append([at])
    longest = product.max_duration
    if longest is not None and max(map(len, runs)) > longest:
        return False
    if any(late[0] - early[-1] - 1 < product.min_rest for early, late in pairwise(runs)):
        return False
    most, day = product.max_activations_per_day, period // day_periods
    return most is None or sum(run[0] // day_periods == day for run in runs) <= most


def free_part(offer: FlexOffer) -> FlexOffer:
    """Return what of an offer costs nothing: it needs no activation.

    Examples
    --------
    >>> from gridagora.model.flexibility import OfferStep
    >>> steps = tuple(OfferStep(quantity_kw=2.0, price=price, member="a") for price in (0.0, 0.6))
    >>> offer = FlexOffer(participant="a", product=FlexProduct(direction="cap"), periods=(3,),
    ...                   capacity_kw=9.0, steps=steps)
    >>> free_part(offer).quantity_kw
    2.0
    """
    return replace(offer, steps=tuple(step for step in offer.steps if step.price == 0.0))


def within_cap(offer: FlexOffer, *, due_kw: float, sold_kw: float, cap: float) -> FlexOffer:
    """Return an offer whose first kW, up to what a called contract is due, are no dearer than its cap.

    ``sold_kw`` counts as offered already; ``cap`` is currency per kW and period.

    Examples
    --------
    >>> from gridagora.model.flexibility import OfferStep
    >>> steps = tuple(OfferStep(quantity_kw=2.0, price=price, member="a") for price in (0.1, 0.6, 0.9))
    >>> offer = FlexOffer(participant="a", product=FlexProduct(direction="cap"), periods=(3,),
    ...                   capacity_kw=9.0, steps=steps)
    >>> [step.price for step in within_cap(offer, due_kw=4.0, sold_kw=1.0, cap=0.5).steps]
    [0.1, 0.5, 0.9]
    """
    steps, before = [], sold_kw
    for step in offer.steps:
        bound = before < due_kw and step.price > cap
        steps.append(replace(step, price=cap) if bound else step)
        before += step.quantity_kw
    return replace(offer, steps=tuple(steps))


def spare_orders(offers: Sequence[FlexOffer], *, number: int, valid_until: int) -> list[FlexBid]:
    """Return offers as bids to sell in the continuous market, numbered from ``number``, in whole watts."""
    steps = [(offer, step) for offer in offers for step in offer.steps]
    orders: list[FlexBid] = []
    for offer, step in steps:
        kw = floor(step.quantity_kw * W_PER_KW) / W_PER_KW
        if kw <= 0.0:
            continue
        orders.append(
            FlexBid(
                number=number + len(orders),
                participant=offer.participant,
                side="sell",
                direction=offer.product.direction,
                first=offer.periods[0],
                periods=len(offer.periods),
                quantity_kw=kw,
                price=step.price,
                min_kw=kw if step.block else 0.0,
                valid_until=valid_until,
            )
        )
    return orders


def wanted_orders(
    wanted: Sequence[Wanted], rules: FlexRules, *, period: int, number: int, valid_until: int
) -> list[FlexBid]:
    """Return bids to buy in the continuous market, numbered from ``number``, in whole watts."""
    side: FlexSide = "buy"
    return [
        FlexBid(
            number=number + place,
            participant=want.participant,
            side=side,
            direction=rules.product.direction,
            first=period,
            periods=1,
            quantity_kw=ceil(want.kw * W_PER_KW) / W_PER_KW,
            price=want.price,
            valid_until=valid_until,
        )
        for place, want in enumerate(wanted)
    ]
