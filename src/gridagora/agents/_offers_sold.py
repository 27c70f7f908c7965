"""Offers of an aggregator from those of its members, and limits at the meters from what was accepted."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from gridagora.agents._offers_model import FlexibilityDay, Limits, connection_limits
from gridagora.agents.fleet import Floats
from gridagora.errors import Fault, check_faults
from gridagora.model.flexibility import LIMITS, Direction, FlexOffer, FlexProduct

SAME_KW = 1e-6
"""Accepted quantities may exceed the offered by the rounding of sums."""


def portfolio_offers(aggregator: str, offers: Sequence[FlexOffer]) -> tuple[FlexOffer, ...]:
    """Offers of an aggregator: the steps of its members in merit order, one offer per window.

    Parameters
    ----------
    aggregator : id of the seller
    offers : of its members, each delivering at its own meter; any windows

    Returns
    -------
    tuple of FlexOffer
        By first period; the attributes hold for every member: the longest durations and response time, the
        fewest activations.  Each step names the member that delivers it.

    Raises
    ------
    InputError
        Windows that overlap without being the same, several directions together, contradicting durations.

    Notes
    -----
    For independent members with convex costs the sum in merit order is the joint optimum: the least cost of a
    total cut over all ways to part it (infimal convolution).

    Examples
    --------
    >>> from gridagora.model.flexibility import OfferStep
    >>> def member(name, price):
    ...     step = OfferStep(quantity_kw=1.0, price=price, member=name)
    ...     return FlexOffer(participant=name, product=FlexProduct(direction="cap"), periods=(1,),
    ...                      capacity_kw=9.0, steps=(step,))
    >>> offer, = portfolio_offers("agg", [member("a", 0.3), member("b", 0.1)])
    >>> offer.capacity_kw, [(step.member, step.price) for step in offer.steps]
    (18.0, [('b', 0.1), ('a', 0.3)])
    """
    products = {offer.product for offer in offers}
    check_faults(
        Fault(
            source="portfolio", place="windows", value=second, reason=f"overlaps window {first}",
            fix="let all members offer the same windows",
        )
        for first, second in _overlaps({offer.periods for offer in offers})
    )  # fmt: skip
    if not products:
        return ()
    product = _shared_product(products)
    merged = []
    for periods in sorted({offer.periods for offer in offers}):
        members = [offer for offer in offers if offer.periods == periods]
        steps = [
            (step.price, offer.participant, number, step)
            for offer in members
            for number, step in enumerate(offer.steps)
        ]
        merged.append(
            FlexOffer(
                participant=aggregator,
                product=product,
                periods=periods,
                capacity_kw=float(sum(offer.capacity_kw for offer in members)),
                steps=tuple(step for *_, step in sorted(steps, key=lambda row: row[:3])),
            )
        )
    return tuple(merged)


def _overlaps(windows: set[tuple[int, ...]]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    spans = sorted(windows)
    return [(a, b) for a, b in pairwise(spans) if set(a) & set(b)]


def _shared_product(products: set[FlexProduct]) -> FlexProduct:
    """Attributes that every member can keep."""
    directions = sorted({product.direction for product in products})
    if len(directions) > 1:
        reason, fix = "different directions are different products", "merge offers of one direction at a time"
        fault = Fault(source="portfolio", place="direction", value=directions, reason=reason, fix=fix)
        check_faults([fault])
    longest = [p.max_duration for p in products if p.max_duration is not None]
    called = [p.max_activations_per_day for p in products if p.max_activations_per_day is not None]
    return FlexProduct(
        direction=next(iter(products)).direction,
        min_duration=max(product.min_duration for product in products),
        max_duration=min(longest, default=None),
        max_activations_per_day=min(called, default=None),
        min_rest=max(product.min_rest for product in products),
        response_time_s=max(product.response_time_s for product in products),
    )


def limits_after(
    day: FlexibilityDay, offers: Sequence[FlexOffer], accepted: ArrayLike, *, limits: Limits | None = None
) -> Limits:
    """Limits at the meters after an auction: what held before less what each member has sold.

    Parameters
    ----------
    day : the homes
    offers : those that `bids_of` made the bids from
    accepted : kW per row of these bids
    limits : those that the offers were made under; None: the connections alone

    Raises
    ------
    InputError
        Not one number per row of the bids, a cut beyond what was offered, or an offer that is no limit.

    Notes
    -----
    MARKETS.md section 3: limit = connection capacity - sold quantity.  A window's limit counts from the
    lowest capacity in it, in the periods where something of it was sold.

    Examples
    --------
    >>> from gridagora.agents.offers import capacity_offers
    >>> from gridagora.agents import Outlook, fleet_from_homes, initial_state
    >>> from gridagora.model.resources import Battery, Home
    >>> from gridagora.model.time import TimeAxis
    >>> home = Home(participant="a", bus="1", load_kw=np.full(3, 2.0), load_kvar=np.zeros(3),
    ...             battery=Battery(energy_kwh=4.0, charge_kw=2.0, discharge_kw=2.0), import_limit_kw=10.0)
    >>> fleet = fleet_from_homes((home,), TimeAxis(start=np.datetime64("2016-01-01"), periods=3, mtu_s=3600))
    >>> outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    >>> day = FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook,
    ...                      price=np.array([[0.2, 0.1], [0.4, 0.1], [0.3, 0.1]]))
    >>> offers = capacity_offers(day, FlexProduct(direction="cap"), windows=[(0,)], steps=4)
    >>> limits_after(day, offers, [6.0, 0.5, 0, 0, 0]).import_kw.tolist()
    [[3.5, 10.0, 10.0]]
    """
    limits = limits or connection_limits(day)
    rows = [(offer, period, step) for offer in offers for period in offer.periods for step in offer.steps]
    kw = np.asarray(accepted, dtype=np.float64)
    check_faults([*_accepted_faults(kw, [step.quantity_kw for *_, step in rows]), *_limit_faults(offers)])
    place = {name: home for home, name in enumerate(day.fleet.participants)}
    cut: dict[tuple[Direction, tuple[int, ...], int, int], float] = {}
    for (offer, period, step), sold in zip(rows, kw.tolist(), strict=True):
        if sold > 0.0:
            key = (offer.product.direction, offer.periods, place[step.member], period)
            cut[key] = cut.get(key, 0.0) + sold
    after = {"cap": limits.import_kw.copy(), "floor": limits.export_kw.copy()}
    before = {"cap": limits.import_kw, "floor": limits.export_kw}
    for (direction, periods, home, period), sold in cut.items():
        start = before[direction][home, np.array(periods) - day.t].min()
        after[direction][home, period - day.t] = max(start - sold, 0.0)
    return Limits(import_kw=after["cap"], export_kw=after["floor"])


def _limit_faults(offers: Sequence[FlexOffer]) -> Iterator[Fault]:
    for offer in offers:
        if offer.product.direction not in LIMITS:
            yield Fault(
                source="offers", place=f"participant {offer.participant}, direction",
                value=offer.product.direction, reason="is sold against a baseline, not as a limit",
                fix=f"hand on offers of {' or '.join(LIMITS)}",
            )  # fmt: skip


def _accepted_faults(accepted: Floats, offered: list[float]) -> list[Fault]:
    if accepted.shape != (len(offered),):
        reason, fix = f"is not one number per row of the bids ({len(offered)})", "hand on `accepted` as it is"
        return [Fault(source="accepted", place="shape", value=accepted.shape, reason=reason, fix=fix)]
    wrong = np.flatnonzero(~((accepted >= 0.0) & (accepted <= np.array(offered) + SAME_KW)))
    return [
        Fault(
            source="accepted", place=f"row {row}", value=float(accepted[row]),
            reason=f"is not between 0 and the offered {offered[row]:g} kW", fix="hand on `accepted` as it is",
        )
        for row in wrong.tolist()
    ]  # fmt: skip
