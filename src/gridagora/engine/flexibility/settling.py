"""Settlement of flexibility: what was delivered, what it earns, what reservations earn, and the books.

Per period and product a point is due what auctions and dispatches pay it, plus what it sold later, less what
it bought back.  A settlement rule takes back what was not delivered of an amount above 0, so that nobody
gains by not delivering, and charges the penalty; buyers are refunded in proportion to what they paid.  All is
in whole micro-units and sums to zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm

import numpy as np

from gridagora.engine.flexibility.books import period_entries
from gridagora.engine.flexibility.commands import SettleFlexPeriods
from gridagora.engine.flexibility.deliver import DECIMALS
from gridagora.engine.flexibility.fees import settle_fees
from gridagora.engine.flexibility.items import check_items, settled_items
from gridagora.engine.flexibility.state import LEAST_KW, FlexMarketState, PeriodState, time_faults
from gridagora.errors import Fault, check_faults
from gridagora.ledger import check_postings
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility import LIMITS
from gridagora.model.flexibility_events import FlexSettled
from gridagora.model.flexibility_market import FlexMarketTerms
from gridagora.settlement import (
    Calls,
    Delivery,
    FlexSettlementLines,
    FlexTerms,
    ReadingRules,
    check_baseline,
    check_limit,
    settle_flexibility,
)
from gridagora.units import to_wh


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ProductLines:
    """One product settled: its delivery, what points are due (points, periods), and the money of delivery."""

    delivery: Delivery
    due_micro: Ints
    money: FlexSettlementLines


def settle_periods(state: FlexMarketState, command: SettleFlexPeriods) -> FlexSettled:
    """Settle [first, first + count), each period once."""
    terms = state.open_terms
    check_faults([*time_faults(state, command.at), *_settle_faults(state, command)])
    window = state.window(command.first, command.count)
    products = [
        _settle_product(terms, window, product, first=command.first) for product in range(len(terms.products))
    ]
    fees = settle_fees(state, command, deliveries=[lines.delivery for lines in products])
    delivery = _totals(products, len(terms.participants))
    postings = period_entries(terms, window, first=command.first, delivery=delivery, fees=fees)
    check_postings(postings)
    items = settled_items(
        terms,
        window,
        first=command.first,
        delivered=[(lines.money, lines.delivery.deficiency_wh) for lines in products],
        held=state.contracts,
        fees=fees,
    )
    check_items(items, postings, participants=len(terms.participants))
    points = len(terms.points)
    paid = np.stack([period.cleared_micro + period.adjusted_micro for period in window], axis=2).sum(axis=0)
    paid += np.stack([period.redispatch_micro for period in window], axis=1)
    cleared = np.stack([period.cleared_micro.sum(axis=0) for period in window], axis=1)
    return FlexSettled(
        at=command.at,
        first=command.first,
        count=command.count,
        ordered_wh=np.stack([lines.delivery.ordered_wh for lines in products]),
        delivered_wh=np.stack([lines.delivery.delivered_wh for lines in products]),
        deficiency_wh=np.stack([lines.delivery.deficiency_wh for lines in products]),
        estimated=np.stack([lines.delivery.estimated for lines in products]),
        due_micro=np.stack([lines.due_micro for lines in products]),
        claw_back_micro=np.stack([lines.money.claw_back for lines in products]),
        penalty_micro=np.stack([lines.money.penalty for lines in products]),
        fee_micro=fees.fee,
        withheld_micro=fees.withheld,
        payment_micro=(paid + delivery + fees.receipt)[points:],
        surplus_micro=fees.surplus - cleared.sum(axis=0),
        entry=postings.entry,
        account=postings.account,
        amount=postings.amount,
        items=items,
    )


def _settle_product(
    terms: FlexMarketTerms, window: tuple[PeriodState, ...], product: int, *, first: int
) -> ProductLines:
    points = len(terms.points)
    ordered = _columns([period.ordered_kw[product] for period in window if period.ordered_kw is not None])
    tested = _columns([period.tested_kw[product, :points] for period in window])
    found = _delivery(terms, window, product, ordered_kw=ordered, first=first)
    # what was sold is judged first: a test call that fails costs nothing of it
    sold = np.maximum(np.round(ordered - tested, DECIMALS), 0.0)
    paid = _delivery(terms, window, product, ordered_kw=sold, first=first) if tested.any() else found
    money = np.stack([p.cleared_micro[product] + p.adjusted_micro[product] for p in window], axis=1)
    due, promised = money[:points], np.maximum(money[:points], 0)
    lines = settle_flexibility(
        paid,
        FlexTerms(amount_micro=promised, penalty_micro_per_kwh=terms.penalty_micro_per_kwh),
        rule=terms.settlement[product],
        prepaid_micro=_shares(terms, window, product, money=money[points:]),
    )
    return ProductLines(delivery=found, due_micro=due, money=lines)


def _shares(terms: FlexMarketTerms, window: tuple[PeriodState, ...], product: int, *, money: Ints) -> Ints:
    """Return the buyers' shares in refunds: what they paid; where nobody paid anything, the Wh they hold."""
    held = _columns([period.paid_kw[product, len(terms.points) :] for period in window])
    paid = np.maximum(-money, 0)
    return np.where(paid.any(axis=0), paid, to_wh(np.maximum(held, 0.0) * terms.period_hours))


def _delivery(
    terms: FlexMarketTerms,
    window: tuple[PeriodState, ...],
    product: int,
    *,
    ordered_kw: Floats,
    first: int,
) -> Delivery:
    name, attributes = terms.products[product]
    metered = _readings([period.metered_kw for period in window if period.metered_kw is not None])
    numbers = (np.arange(first, first + len(window)) - terms.first) // terms.window_periods
    calls = Calls(called=ordered_kw > LEAST_KW, hours=terms.period_hours, window=numbers)
    rules = ReadingRules(tolerance_kw=terms.tolerance_kw, most_missing_percent=terms.most_missing_percent)
    if attributes.direction in LIMITS:
        capacity = terms.capacity_kw(name)[:, None]
        return check_limit(
            metered,
            calls,
            limit_kw=np.maximum(capacity - ordered_kw, 0.0),
            capacity_kw=capacity,
            direction=attributes.direction,  # type: ignore[arg-type]
            rules=rules,
        )
    unknown = np.full(len(terms.points), np.nan)
    baseline = [unknown if period.baseline_kw is None else period.baseline_kw for period in window]
    return check_baseline(
        metered,
        calls,
        baseline_kw=_columns(baseline),
        ordered_kw=ordered_kw,
        direction=attributes.direction,  # type: ignore[arg-type]
        rules=rules,
    )


def _columns(values: list[Floats]) -> Floats:
    return np.stack(values, axis=1)


def _readings(metered: list[Floats]) -> Floats:
    """Return readings side by side, (points, periods x readings), each period of as many of equal weight."""
    count = lcm(*(values.shape[1] for values in metered))
    return np.concatenate([np.repeat(values, count // values.shape[1], axis=1) for values in metered], axis=1)


def _totals(products: list[ProductLines], participants: int) -> Ints:
    """Return claw-backs and penalties of points and refunds of buyers, + received (participants, periods)."""
    periods = products[0].due_micro.shape[1]
    total = np.zeros((participants, periods), np.int64)
    for lines in products:
        points = len(lines.due_micro)
        total[:points] -= lines.money.claw_back + lines.money.penalty
        total[points:] += lines.money.refund
    return total


def _settle_faults(state: FlexMarketState, command: SettleFlexPeriods) -> Iterator[Fault]:
    terms, end = state.open_terms, command.first + command.count
    if command.count < 1 or command.first < terms.first or end > terms.end:
        fix = f"choose periods of {terms.first} to {terms.end - 1}"
        yield _fault("first, count", (command.first, command.count), "is outside the market", fix=fix)
        return
    edge = (command.first - terms.first) % terms.window_periods
    if edge or (end < terms.end and (end - terms.first) % terms.window_periods):
        reason = f"cuts a window of {terms.window_periods} periods, which are judged together"
        fix = f"begin at period {command.first - edge}, and settle whole windows"
        yield _fault("first, count", (command.first, command.count), reason, fix=fix)
    needs_baseline = [product for product, (_, a) in enumerate(terms.products) if a.direction not in LIMITS]
    for number, period in enumerate(state.window(command.first, command.count), command.first):
        place = f"period {number}"
        if period.settled_wh is not None:
            yield _fault(place, number, "is settled already", fix="settle each period once")
            continue
        if period.ordered_kw is None:
            yield _fault(place, number, "its gate is open", fix="close the gate first")
        if period.metered_kw is None:
            yield _fault(place, number, "no meter was read", fix="record readings first, NaN where missing")
        elif period.ordered_kw is not None and needs_baseline:
            called = np.any(period.ordered_kw[needs_baseline] > LEAST_KW, axis=0)
            unknown = called if period.baseline_kw is None else called & ~np.isfinite(period.baseline_kw)
            for point in np.flatnonzero(unknown).tolist():
                who = terms.points[point].participant
                fix = "record it with the readings"
                yield _fault(f"{place}, {who}", None, "no baseline of an ordered change", fix=fix)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="flexibility settlement", place=place, value=value, reason=reason, fix=fix)
