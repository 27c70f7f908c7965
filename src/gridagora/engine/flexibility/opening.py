"""Opening of a flexibility market: what is wrong with its terms, and the state it begins with."""

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np

from gridagora.engine.flexibility.commands import OpenFlexMarket
from gridagora.engine.flexibility.state import FlexMarketState, empty_period
from gridagora.errors import Fault, check_faults, require
from gridagora.ledger.accounts import SystemAccount
from gridagora.market.payments.rules import RuleName
from gridagora.model.continuous import FlexBookState
from gridagora.model.flexibility_events import FlexMarketOpened
from gridagora.model.flexibility_market import FlexMarketTerms
from gridagora.settlement.baselines import METHODS
from gridagora.settlement.flexibility_rules import RULES
from gridagora.settlement.reservation import FEE_RULES


def open_market(state: FlexMarketState, command: OpenFlexMarket) -> FlexMarketOpened:
    """Open the market by its terms, once."""
    require(state.terms is None, "the flexibility market is open already")
    check_faults(_terms_faults(command.terms))
    return FlexMarketOpened(at=command.at, terms=command.terms)


def apply_open(state: FlexMarketState, event: FlexMarketOpened) -> FlexMarketState:
    """Return the state in which nothing is sold yet."""
    require(state.terms is None, "the flexibility market is open already")
    terms = event.terms
    return replace(
        state,
        terms=terms,
        books=tuple(FlexBookState(open_from=terms.first, at=event.at) for _ in terms.products),
        open_from=terms.first,
        periods=(empty_period(terms),) * terms.periods,
        balance=np.zeros(len(terms.participants) + len(SystemAccount), np.int64),
    )


def _terms_faults(terms: FlexMarketTerms) -> Iterator[Fault]:
    for place, names in (
        ("points, buyers", terms.participants),
        ("products", tuple(name for name, _ in terms.products)),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield _fault(place, name, "stands there twice", fix="give each a name of its own")
        if "" in names:
            yield _fault(place, "", "is no name", fix="write a text that is not empty")
    for place, given in (("points", terms.points), ("buyers", terms.buyers), ("products", terms.products)):
        if not given:
            yield _fault(place, given, "is empty", fix="name one or more")
    for point in terms.points:
        for field, value in (("import_kw", point.import_kw), ("export_kw", point.export_kw)):
            if not 0 <= value < np.inf:
                place = f"{point.participant}, {field}"
                yield _fault(place, value, "is no capacity >= 0", fix="write kW")
    yield from _area_faults(terms)
    yield from _rule_faults(terms)
    yield from _number_faults(terms)


def _area_faults(terms: FlexMarketTerms) -> Iterator[Fault]:
    points, names = {point.participant for point in terms.points}, [name for name, _ in terms.areas]
    for name in sorted({name for name in names if names.count(name) > 1 or not name}):
        reason, fix = "is no name, or stands there twice", "give each a name of its own"
        yield _fault("areas", name, reason, fix=fix)
    for name, members in terms.areas:
        for who in members:
            if who not in points:
                fix = "name connection points of the market"
                yield _fault(f"area {name}", who, "unknown participant", fix=fix)


def _rule_faults(terms: FlexMarketTerms) -> Iterator[Fault]:
    rules = (
        ("reservation_payment", (terms.reservation_payment,), get_args(RuleName)),
        ("activation_payment", (terms.activation_payment,), get_args(RuleName)),
        ("fee_rule", (terms.fee_rule,), tuple(FEE_RULES)),
        ("settlement", terms.settlement, tuple(RULES)),
        ("baseline", (terms.baseline,), tuple(METHODS)),
    )
    for place, chosen, known in rules:
        for rule in chosen:
            if rule not in known:
                yield _fault(place, rule, "is not known", fix=f"write one of {', '.join(known)}")
    if len(terms.settlement) != len(terms.products):
        reason, fix = f"is not one per product ({len(terms.products)})", "name a rule for each product"
        yield _fault("settlement", terms.settlement, reason, fix=fix)


def _number_faults(terms: FlexMarketTerms) -> Iterator[Fault]:
    lowest = (
        ("first", 0),
        ("periods", 1),
        ("penalty_micro_per_kwh", 0),
        ("tolerance_kw", 0),
        ("gate_closure_periods", 0),
        ("window_periods", 1),
    )
    for name, low in lowest:
        value = getattr(terms, name)
        if not low <= value < np.inf:
            yield _fault(name, value, f"is below {low}", fix=f"write {low} or more")
    if not 0 <= terms.most_missing_percent < 100:
        yield _fault(
            "most_missing_percent", terms.most_missing_percent, "is not in 0 to 100", fix="write e.g. 5"
        )
    ahead = terms.gate_closure_periods * terms.period_hours * 3600
    for name, product in terms.products:
        if product.response_time_s > ahead:
            reason = f"is longer than the {ahead:g} s from gate closure to delivery"
            place, fix = f"product {name}, response_time_s", "raise gate_closure_periods"
            yield _fault(place, product.response_time_s, reason, fix=fix)
    seconds = terms.period_hours * 3600
    if not (seconds > 0 and abs(seconds - round(seconds)) < 1e-6):
        reason, fix = "is no whole number of seconds above 0", "write 0.25 for a quarter-hour"
        yield _fault("period_hours", terms.period_hours, reason, fix=fix)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="flexibility market", place=place, value=value, reason=reason, fix=fix)
