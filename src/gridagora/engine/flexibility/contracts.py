"""Contracts of reserved flexibility: made by reservation auctions and tenders, and what they cost.

A seller's fee is for being available; who reserved pays it, period by period.  Fees of an auction are those
of its payment rule: each winner's money per kW and hour, rounded to a micro-unit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np

from gridagora.engine.flexibility.commands import AwardTender
from gridagora.engine.flexibility.positions import reservable_kw
from gridagora.engine.flexibility.state import (
    LEAST_KW,
    ContractState,
    FlexMarketState,
    PeriodState,
    product_faults,
    product_number,
    shown,
    time_faults,
)
from gridagora.errors import Fault, InputError, InvariantError, check_faults, require
from gridagora.market._tender_check import bid_windows
from gridagora.market._tender_check import tender_faults as tender_bid_faults
from gridagora.market.mechanisms.tender import TenderResult, award_tender
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility import LIMITS
from gridagora.model.flexibility_events import FlexAuctionCleared, TenderAwarded
from gridagora.model.flexibility_market import ContractRules, FlexAuction, FlexMarketTerms
from gridagora.model.reservation import FlexContract, Tender, TenderBid
from gridagora.units import WH_PER_KWH, amount_micro, to_micro, to_wh


def fee_rates(terms: FlexMarketTerms, kw: Floats, paid_micro: Ints) -> Ints:
    """Return fees in micro-units per kW and hour, shape (periods, participants); 0 where nothing is sold."""
    energy = to_wh(kw * terms.period_hours)
    rate = np.rint(paid_micro * WH_PER_KWH / np.maximum(energy, 1))
    return np.where(energy > 0, np.maximum(rate, 0), 0).astype(np.int64)


def contracts_of(
    terms: FlexMarketTerms, auction: FlexAuction, kw: Floats, *, paid_micro: Ints
) -> tuple[FlexContract, ...]:
    """Make one contract per winner of a reservation auction; the buyer is who paid the most in it.

    ``kw`` is what each participant sold, ``paid_micro`` what it gets (+) or pays (-), both of shape (periods,
    participants).  The contract tells the mean fee; each period has its own.
    """
    require(auction.contract is not None, "a reservation auction says what its contracts hold")
    rules: ContractRules = auction.contract  # type: ignore[assignment]
    product, points = terms.product(auction.product), len(terms.points)
    buyer = terms.buyers[int(paid_micro[:, points:].sum(axis=0).argmin())]
    made = []
    for point in np.flatnonzero((kw[:, :points] > LEAST_KW).any(axis=0)).tolist():
        won = np.flatnonzero(kw[:, point] > LEAST_KW)
        total, fee = kw[won, point].sum(), paid_micro[won, point].sum()
        made.append(
            FlexContract(
                id=f"{auction.number}:{terms.points[point].participant}",
                buyer=buyer,
                seller=terms.points[point].participant,
                product=product,
                source="cap" if product.direction in LIMITS else "long",
                periods=tuple((won + auction.first).tolist()),
                reserved_kw=kw[won, point],
                availability_micro_per_kw_h=max(round(fee / (total * terms.period_hours)), 0),
                activation_cap_micro_per_kwh=int(to_micro(rules.activation_cap)),
                max_activations=rules.max_activations,
                rest_periods=rules.rest_periods,
                lead_periods=rules.lead_periods,
                auto_offer=rules.auto_offer,
                trigger=rules.trigger,
                activation=rules.activation,
                max_tests=rules.max_tests,
            )
        )
    return tuple(made)


def award(state: FlexMarketState, command: AwardTender) -> TenderAwarded:
    """Decide a tender; every bid is answered with a reason."""
    terms, tender = state.open_terms, command.tender
    faults = [*time_faults(state, command.at), *tender_faults(state, command.product, tender)]
    if command.product in dict(terms.products):
        faults += room_faults(state, command.product, tender, bids=command.bids)
    result: TenderResult | None = None
    try:
        result = award_tender(
            tender,
            command.bids,
            hours=terms.period_hours,
            bus_of={point.participant: point.bus for point in terms.points},
            now_period=max(state.open_from, terms.open_from(command.at)),
        )
    except InputError as error:
        faults += error.faults
    check_faults(faults)
    return _told(command, result)


def _told(command: AwardTender, result: TenderResult | None) -> TenderAwarded:
    if result is None:
        raise InvariantError("a tender without faults is decided")
    return TenderAwarded(
        at=command.at,
        tender=command.tender.name,
        product=command.product,
        participant=tuple(bid.participant for bid in command.bids),
        volume_kw=result.volume_kw,
        bid=tuple(answer.bid for answer in result.answers),
        window=tuple(answer.window for answer in result.answers),
        reason=tuple(answer.reason for answer in result.answers),
        contracts=result.contracts,
    )


def apply_reserved(state: FlexMarketState, event: FlexAuctionCleared) -> FlexMarketState:
    """Add the contracts of a reservation auction, and what it awarded to each period."""
    terms, auction = state.open_terms, event.auction
    points, product = len(terms.points), product_number(terms, auction.product)
    kw = np.zeros((auction.count, len(terms.participants)))
    sells = event.side < 0
    place = (event.period[sells] - auction.first, event.participant[sells])
    np.add.at(kw, place, event.accepted_kw[sells])
    rates, payers = fee_rates(terms, kw, event.paid_micro), np.maximum(-event.paid_micro[:, points:], 0)
    for contract in event.contracts:
        rows = np.array(contract.periods) - auction.first
        point = terms.participants.index(contract.seller)
        state = _with_contract(
            state, contract, product=product, fees=rates[rows, point], weights=payers[rows]
        )
    return state.with_periods(
        {
            number: _awarded(state, number, event.paid_micro[number - auction.first])
            for number in range(auction.first, auction.first + auction.count)
        }
    )


def apply_awarded(state: FlexMarketState, event: TenderAwarded) -> FlexMarketState:
    """Add the contracts of a tender, and what each period of them costs its buyer."""
    terms = state.open_terms
    product = product_number(terms, event.product)
    for contract in event.contracts:
        count, rate = len(contract.periods), contract.availability_micro_per_kw_h
        payer, seller = (terms.participants.index(name) for name in (contract.buyer, contract.seller))
        weights = np.zeros((count, len(terms.buyers)), np.int64)
        weights[:, payer - len(terms.points)] = 1
        state = _with_contract(
            state, contract, product=product, fees=np.full(count, rate, np.int64), weights=weights
        )
        changed = {}
        for number, fee in zip(contract.periods, state.contracts[-1].awarded_micro.tolist(), strict=True):
            money = np.zeros(len(terms.participants), np.int64)
            money[[seller, payer]] = fee, -fee
            changed[number] = _awarded(state, number, money)
        state = state.with_periods(changed)
    return state


def _awarded(state: FlexMarketState, number: int, money: Ints) -> PeriodState:
    old = state.period(number)
    return replace(old, reserved_micro=old.reserved_micro + money)


def _with_contract(
    state: FlexMarketState, contract: FlexContract, *, product: int, fees: Ints, weights: Ints
) -> FlexMarketState:
    require(
        contract.id not in {held.contract.id for held in state.contracts},
        f"contract {contract.id} exists already",
    )
    terms, count = state.open_terms, len(contract.periods)
    reserved_wh = to_wh(np.asarray(contract.reserved_kw) * terms.period_hours)
    held = ContractState(
        contract=contract,
        product=product,
        point=terms.participants.index(contract.seller),
        fee_micro_per_kwh=fees,
        awarded_micro=amount_micro(reserved_wh, fees),
        weights=weights,
        requested_kw=np.zeros(count),
        asked_kw=np.zeros(count),
        offered_kw=np.zeros(count),
    )
    return replace(state, contracts=(*state.contracts, held))


def tender_faults(state: FlexMarketState, product: str, tender: Tender) -> Iterator[Fault]:
    """Yield what is wrong with a tender in this market, its bids left aside."""
    terms, source = state.open_terms, f"tender {tender.name}"
    unknown = product_faults(terms, product, source=source)
    yield from unknown
    if not unknown and terms.product(product) != tender.product:
        reason, fix = f"differs from the market's product {product}", "tender that product"
        yield Fault(source=source, place="product", value=tender.product, reason=reason, fix=fix)
    if tender.buyer not in terms.buyers:
        fix = f"write one of {', '.join(terms.buyers)}"
        yield Fault(source=source, place="buyer", value=tender.buyer, reason="is no buyer here", fix=fix)
    if any(held.contract.id.startswith(f"{tender.name}:") for held in state.contracts):
        reason, fix = "a tender of this name was awarded", "give it a name of its own"
        yield Fault(source=source, place="name", value=tender.name, reason=reason, fix=fix)
    for window, (first, count) in enumerate(tender.windows):
        if first + count > terms.end or first < terms.first:
            fix = f"choose periods of {terms.first} to {terms.end - 1}"
            place, reason = f"window {window}", "is outside the market"
            yield Fault(source=source, place=place, value=(first, count), reason=reason, fix=fix)


def room_faults(
    state: FlexMarketState, product: str, tender: Tender, *, bids: Sequence[TenderBid]
) -> Iterator[Fault]:
    """Yield bids above what their connections can still reserve; the tender has no faults itself."""
    terms = state.open_terms
    most = dict(zip(terms.participants, terms.capacity_kw(product).tolist(), strict=False))
    for row, bid in enumerate(bids):
        if bid.participant not in most:
            continue
        point, capacity = terms.participants.index(bid.participant), most[bid.participant]
        left = reservable_kw(state, product, terms.first, count=terms.periods)[:, point]
        wanted = [
            n - terms.first
            for w in bid_windows(tender, bid)
            if w in range(len(tender.windows))
            for n in tender.periods_of(w)
        ]
        free = float(min((left[n] for n in wanted if 0 <= n < terms.periods), default=capacity))
        if isinstance(bid.max_kw, Real) and float(bid.max_kw) > free + LEAST_KW:
            reason = (
                f"is above the connection capacity, {shown(capacity)}, "
                f"of which {shown(capacity - free)} are reserved or offered already"
            )
            place, fix = f"bid {row}, max_kw", f"offer at most {shown(max(free, 0.0))}"
            source = f"tender {tender.name}"
            yield Fault(source=source, place=place, value=bid.max_kw, reason=reason, fix=fix)


def bid_faults(
    state: FlexMarketState, product: str, tender: Tender, *, bids: Sequence[TenderBid]
) -> Iterator[Fault]:
    """Yield all that is wrong with bids of a tender that was opened."""
    terms = state.open_terms
    bus_of = {point.participant: point.bus for point in terms.points}
    first = min(first for first, _ in tender.windows)
    found = tender_bid_faults(tender, bids, hours=terms.period_hours, bus_of=bus_of, now_period=first)
    yield from found
    for row, bid in enumerate(bids):
        if bid.participant not in bus_of and bid.participant in tender.area:
            fix = "name a connection point of the market"
            place, reason = f"bid {row}, participant", "is no seller here"
            yield Fault(source="tender bids", place=place, value=bid.participant, reason=reason, fix=fix)
    yield from room_faults(state, product, tender, bids=bids)
