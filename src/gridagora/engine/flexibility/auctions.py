"""Auctions of the long and the short term: announced, bid into until the gate, cleared and paid by a rule.

Bids of a reservation (long-term) are in currency per kW and hour and make contracts; bids of an activation
(short-term, open to newcomers) are in currency per kW and period and bind.  Several auctions may follow one
another for the same product and period: what they sell adds up, and nobody sells more than its capacity.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.flexibility.commands import (
    ClearFlexAuction,
    OpenFlexAuction,
    SubmitFlexBids,
    WithdrawFlexBids,
)
from gridagora.engine.flexibility.contracts import contracts_of, fee_rates
from gridagora.engine.flexibility.obligations import with_obligated
from gridagora.engine.flexibility.offers import offer_faults
from gridagora.engine.flexibility.paying import paid_by_rule
from gridagora.engine.flexibility.rows import BidRows
from gridagora.engine.flexibility.state import (
    AuctionState,
    FlexMarketState,
    product_faults,
    time_faults,
)
from gridagora.errors import Fault, InvariantError, check_faults, require
from gridagora.market import ActivationLimits, Horizon, capacity_limit_auction
from gridagora.market._capacity_check import step_numbers
from gridagora.market._capacity_reading import Reading
from gridagora.model.bids import Bids
from gridagora.model.flexibility_events import (
    FlexAuctionCleared,
    FlexAuctionOpened,
    FlexBidsSubmitted,
    FlexBidsWithdrawn,
)
from gridagora.model.flexibility_market import FlexAuction, FlexMarketTerms
from gridagora.model.reservation import FlexContract
from gridagora.model.results import sum_by
from gridagora.model.time import clock
from gridagora.units import amount_micro, to_wh

LEAST_ACTIVE_KW = 0.001
"""What an active period cuts at least where a product limits activations: a watt."""


def open_auction(state: FlexMarketState, command: OpenFlexAuction) -> FlexAuctionOpened:
    """Announce an auction; its number follows the last one's."""
    check_faults([*time_faults(state, command.at), *_auction_faults(state, command)])
    return FlexAuctionOpened(at=command.at, auction=command.auction)


def submit_bids(state: FlexMarketState, command: SubmitFlexBids) -> FlexBidsSubmitted:
    """Take bids in, or refuse them all with every fault."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    entry, found = _standing(state, command.auction)
    faults += found
    if entry is None:
        faults += [replace(fault, source="offers") for fault in Reading.of(command.bids).faults]
    else:
        faults += _gate_faults(entry.auction, command.at, late=True)
        faults += offer_faults(state, entry, command.bids, at=command.at)
    check_faults(faults)
    bids = Reading.of(command.bids).bids
    if entry is None or bids is None:
        raise InvariantError("bids without faults are readable, and their auction is open")
    return _submitted(terms, command, bids)


def withdraw_bids(state: FlexMarketState, command: WithdrawFlexBids) -> FlexBidsWithdrawn:
    """Take all bids of a participant back, before the gate."""
    names, faults = state.open_terms.participants, time_faults(state, command.at)
    entry, found = _standing(state, command.auction)
    faults += found
    code = names.index(command.participant) if command.participant in names else -1
    if entry is not None:
        faults += _gate_faults(entry.auction, command.at, late=True)
        if not any((part.participant == code).any() for part in entry.bids):
            reason, fix = "has no bids in this auction", "withdraw bids that stand"
            faults.append(_fault(command.auction, "participant", command.participant, reason=reason, fix=fix))
    check_faults(faults)
    return FlexBidsWithdrawn(at=command.at, auction=command.auction, participant=code)


def clear_auction(state: FlexMarketState, command: ClearFlexAuction) -> FlexAuctionCleared:
    """Clear an auction whose gate is closed, pay it by the rule of its horizon, and make contracts."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    entry, found = _standing(state, command.auction)
    faults += found
    if entry is not None:
        faults += _gate_faults(entry.auction, command.at, late=False)
        if entry.auction.first < state.open_from:
            reason, fix = f"orders went out up to period {state.open_from}", "clear before the gate closes"
            faults.append(_fault(command.auction, "first", entry.auction.first, reason=reason, fix=fix))
        begins = latest_clearing(terms, entry.auction)
        if command.at > begins:
            reason, fix = (
                f"comes {command.at - begins} s too late for delivery",
                "open an auction of later periods",
            )
            faults.append(_fault(command.auction, "at", command.at, reason=reason, fix=fix))
    check_faults(faults)
    if entry is None:
        raise InvariantError("an auction without faults is open")
    rows, obligated = with_obligated(state, entry.auction, BidRows.of(entry.bids), at=command.at)
    return _cleared(terms, entry.auction, rows, obligated=obligated, at=command.at)


def apply_opened(state: FlexMarketState, event: FlexAuctionOpened) -> FlexMarketState:
    """Add the auction."""
    require(event.auction.number == len(state.auctions), "auctions are numbered in the order of opening")
    return replace(state, auctions=(*state.auctions, AuctionState(auction=event.auction)))


def apply_submitted(state: FlexMarketState, event: FlexBidsSubmitted) -> FlexMarketState:
    """Add the bids to their auction."""
    entry = _open_entry(state, event.auction)
    return _with_auction(state, replace(entry, bids=(*entry.bids, event)))


def apply_withdrawn(state: FlexMarketState, event: FlexBidsWithdrawn) -> FlexMarketState:
    """Take the participant's bids out of their auction."""
    entry = _open_entry(state, event.auction)
    kept = tuple(_without(part, event.participant) for part in entry.bids)
    return _with_auction(state, replace(entry, bids=tuple(part for part in kept if len(part.side))))


def apply_activation(state: FlexMarketState, event: FlexAuctionCleared) -> FlexMarketState:
    """Add what an activation auction sold, bought and paid to its periods."""
    terms, auction = state.open_terms, event.auction
    product = [name for name, _ in terms.products].index(auction.product)
    kw = np.zeros((auction.count, len(terms.participants)))
    np.add.at(kw, (event.period - auction.first, event.participant), event.accepted_kw)
    changed = {}
    for row in np.flatnonzero(kw.any(axis=1) | event.paid_micro.any(axis=1)).tolist():
        old = state.period(auction.first + row)
        power, money = old.cleared_kw.copy(), old.cleared_micro.copy()
        power[product] += kw[row]
        money[product] += event.paid_micro[row]
        changed[auction.first + row] = replace(old, cleared_kw=power, cleared_micro=money)
    return state.with_periods(changed)


def close_entry(state: FlexMarketState, event: FlexAuctionCleared) -> FlexMarketState:
    """Mark the auction as cleared and drop its bids, which the event holds."""
    entry = _open_entry(state, event.auction.number)
    standing, own = BidRows.of(entry.bids), ~event.obligated
    for name in ("participant", "period", "side", "price", "quantity_kw", "group"):
        equal = np.array_equal(getattr(standing, name), getattr(event, name)[own])
        require(equal, f"auction {event.auction.number} clears other bids than were submitted: {name}")
    return _with_auction(state, replace(entry, bids=(), cleared=True))


def _submitted(terms: FlexMarketTerms, command: SubmitFlexBids, bids: Bids) -> FlexBidsSubmitted:
    code = {name: number for number, name in enumerate(terms.participants)}
    steps, _ = step_numbers(bids)
    none = np.zeros(len(bids), np.int64)
    group = np.full(len(bids), "", np.str_) if bids.group is None else _texts(bids.group)
    return FlexBidsSubmitted(
        at=command.at,
        auction=command.auction,
        participant=np.array([code[name] for name in bids.participant.tolist()], dtype=np.int64),
        period=bids.period.astype(np.int64),
        side=bids.side.astype(np.int8),
        step=none if steps is None else steps.astype(np.int64),
        price=bids.price.astype(np.float64),
        quantity_kw=bids.quantity.astype(np.float64),
        group=group,
    )


def _texts(group: NDArray[Any]) -> NDArray[np.str_]:
    """Names of blocks as text; a number below 0 is none, as in the auction."""
    if group.dtype.kind == "i":
        return np.where(group >= 0, group.astype(np.str_), "")
    return group.astype(np.str_)


def _cleared(
    terms: FlexMarketTerms, auction: FlexAuction, rows: BidRows, *, obligated: NDArray[np.bool_], at: int
) -> FlexAuctionCleared:
    reserves = auction.horizon == "reservation"
    hours = terms.period_hours if reserves else 1.0
    bids = rows.bids()
    blocks: Literal["group"] | None = "group" if (rows.group != "").any() else None
    result = capacity_limit_auction(
        bids,
        ordered=auction.ordered,
        blocks=blocks,
        horizon=_horizon(terms, auction),
        direction=terms.product(auction.product).direction,
    )
    row = rows.period - auction.first
    sold = sum_by(row[rows.side < 0], result.accepted[rows.side < 0], auction.count)
    price = np.full(auction.count, np.nan)
    price[result.period - auction.first] = result.price
    rule = terms.reservation_payment if reserves else terms.activation_payment
    rule = "pay_as_bid" if rule == "uniform" and not result.rules.is_plain else rule
    count = len(terms.participants)
    paid_micro = paid_by_rule(result, rule, auction, participants=count, hours=hours)
    contracts: tuple[FlexContract, ...] = ()
    if reserves:
        kw = rows.per_participant(-1, result.accepted, auction, participants=count)
        fees = fee_rates(terms, kw, paid_micro)
        points = len(terms.points)
        paid_micro[:, :points] = amount_micro(to_wh(kw * hours), fees)[:, :points]
        contracts = contracts_of(terms, auction, kw, paid_micro=paid_micro)
    return FlexAuctionCleared(
        at=at,
        auction=auction,
        **rows.columns(),
        obligated=obligated,
        accepted_kw=np.asarray(result.accepted, np.float64),
        clearing_price=np.where(sold > 0, price, np.nan),
        welfare=sum_by(row, rows.side * rows.price * result.accepted, auction.count) * hours,
        payment_rule=rule,
        paid_micro=paid_micro,
        surplus_micro=-paid_micro.sum(axis=1),
        capacity_kw=np.repeat(terms.capacity_kw(auction.product)[:, None], auction.count, axis=1),
        contracts=contracts,
    )


def _horizon(terms: FlexMarketTerms, auction: FlexAuction) -> Horizon | None:
    """Return the limits that a product sets to an activation of several periods; None: it sets none."""
    product = terms.product(auction.product)
    limits = ActivationLimits(
        max_activations=product.max_activations_per_day,
        min_duration=product.min_duration,
        max_duration=product.max_duration,
        min_rest=product.min_rest,
        min_kw=LEAST_ACTIVE_KW,
    )
    plain = limits == ActivationLimits(min_kw=LEAST_ACTIVE_KW)
    if auction.horizon == "reservation" or auction.count == 1 or plain:
        return None
    return Horizon(
        limits=dict.fromkeys(range(len(terms.points)), limits),
        periods_per_day=round(24 / terms.period_hours),
        period_hours=terms.period_hours,
    )


def _standing(state: FlexMarketState, number: int) -> tuple[AuctionState | None, list[Fault]]:
    """Return an auction that is not cleared yet, or None and why there is none."""
    if not 0 <= number < len(state.auctions):
        fix = f"write 0 to {len(state.auctions) - 1}" if state.auctions else "open an auction first"
        return None, [_fault(number, "auction", number, reason="auction does not exist", fix=fix)]
    entry = state.auctions[number]
    if entry.cleared:
        reason, fix = "auction is cleared already", "open another one"
        late = _fault(number, "auction", number, reason=reason, fix=fix)
        return None, [replace(late, code="gate_closed")]
    return entry, []


def _gate_faults(auction: FlexAuction, at: int, *, late: bool) -> Iterator[Fault]:
    """Faults of a bid after the gate (``late``) or of a clearing before it."""
    gap = at - auction.gate
    if late and gap >= 0:
        reason, fix = f"comes {gap} s after the gate", f"act before {clock(auction.gate)}"
        yield replace(_fault(auction.number, "at", clock(at), reason=reason, fix=fix), code="gate_closed")
    if not late and gap < 0:
        reason, fix = f"comes {-gap} s before the gate closes", f"clear at {clock(auction.gate)} or later"
        yield replace(_fault(auction.number, "at", clock(at), reason=reason, fix=fix), code="gate_open")


def _auction_faults(state: FlexMarketState, command: OpenFlexAuction) -> Iterator[Fault]:
    terms, auction, number = state.open_terms, command.auction, command.auction.number
    if number != len(state.auctions):
        reason, fix = "is not the next number", f"write {len(state.auctions)}"
        yield _fault(number, "number", number, reason=reason, fix=fix)
    if auction.horizon not in ("reservation", "activation"):
        fix = "write reservation or activation"
        yield _fault(number, "horizon", auction.horizon, reason="horizon does not exist", fix=fix)
    yield from product_faults(terms, auction.product, source=f"auction {number}")
    window, end = (auction.first, auction.count), auction.first + auction.count
    if auction.count < 1 or auction.first < terms.first or end > terms.end:
        reason, fix = "is outside the market", f"choose periods of {terms.first} to {terms.end - 1}"
        yield _fault(number, "first, count", window, reason=reason, fix=fix)
    opens = max(state.open_from, terms.open_from(command.at))
    if auction.first < opens:
        over = "open a market of later periods: this one is over"
        reason = f"period is in the past: the next one is {opens}"
        fix = f"begin at period {opens} or later" if opens < terms.end else over
        yield _fault(number, "first", auction.first, reason=reason, fix=fix)
    if auction.gate > terms.begins(auction.first):
        reason, fix = (
            "the gate closes after delivery begins",
            f"write {clock(terms.begins(auction.first))} or less",
        )
        yield _fault(number, "gate", clock(auction.gate), reason=reason, fix=fix)
    elif auction.gate > latest_clearing(terms, auction):
        reason = "the gate leaves sellers less than the product's response time"
        fix = f"write {clock(latest_clearing(terms, auction))} or less"
        yield _fault(number, "gate", clock(auction.gate), reason=reason, fix=fix)
    if auction.gate < command.at:
        reason, fix = "the gate is closed already", f"write {clock(command.at + 1)} or more"
        yield _fault(number, "gate", clock(auction.gate), reason=reason, fix=fix)
    known = {point.participant for point in terms.points}
    for name in auction.area:
        if name not in known:
            reason, fix = "unknown participant", "name connection points of the market"
            yield _fault(number, "area", name, reason=reason, fix=fix)
    yield from _contract_faults(auction)


def latest_clearing(terms: FlexMarketTerms, auction: FlexAuction) -> int:
    """Return the last moment at which sellers can be told, seconds since 1970 UTC."""
    waits = [p.response_time_s for name, p in terms.products if name == auction.product]
    needed = ceil(waits[0]) if waits and auction.horizon == "activation" else 0
    return terms.begins(auction.first) - needed


def _contract_faults(auction: FlexAuction) -> Iterator[Fault]:
    rules = auction.contract
    if auction.horizon == "reservation" and rules is None:
        reason, fix = "a reservation makes contracts", "say what they hold: ContractRules"
        yield _fault(auction.number, "contract", None, reason=reason, fix=fix)
    if auction.horizon == "activation" and rules is not None:
        reason, fix = "an activation makes no contracts", "leave it out"
        yield _fault(auction.number, "contract", rules, reason=reason, fix=fix)
    if rules is None:
        return
    if not 0 <= rules.activation_cap < np.inf:
        fix = "write currency per kWh"
        place, value = "contract, activation_cap", rules.activation_cap
        yield _fault(auction.number, place, value, reason="is no price >= 0", fix=fix)
    if rules.activation not in ("auction", "continuous"):
        place, fix = (
            "contract, activation",
            "write auction or continuous; a tender makes contracts to dispatch",
        )
        yield _fault(auction.number, place, rules.activation, reason="is not known", fix=fix)
    for name in ("lead_periods", "rest_periods", "max_activations", "max_tests"):
        value = getattr(rules, name)
        if value is not None and value < 0:
            yield _fault(
                auction.number, f"contract, {name}", value, reason="is below 0", fix="write 0 or more"
            )


def _open_entry(state: FlexMarketState, number: int) -> AuctionState:
    require(0 <= number < len(state.auctions), f"auction {number} is not open")
    require(not state.auctions[number].cleared, f"auction {number} is cleared already")
    return state.auctions[number]


def _with_auction(state: FlexMarketState, entry: AuctionState) -> FlexMarketState:
    number = entry.auction.number
    return replace(state, auctions=(*state.auctions[:number], entry, *state.auctions[number + 1 :]))


def _without(part: FlexBidsSubmitted, participant: int) -> FlexBidsSubmitted:
    kept = part.participant != participant
    columns = {name: getattr(part, name)[kept] for name in BidRows.NAMES}
    return replace(part, **columns)


def _fault(number: int, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=f"auction {number}", place=place, value=value, reason=reason, fix=fix)
