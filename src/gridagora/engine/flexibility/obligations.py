"""What holders of called contracts owe to an activation auction: to offer, at the contract's cap or less.

What is sold already counts as offered.  Of several contracts of one holder the one with the lowest cap is
served first, with the cheapest of what is offered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.flexibility.positions import free_kw
from gridagora.engine.flexibility.rows import BidRows
from gridagora.engine.flexibility.standing import cap_price
from gridagora.engine.flexibility.state import (
    LEAST_KW,
    FlexMarketState,
    product_number,
    shown,
)
from gridagora.errors import Fault
from gridagora.model.bids import Bids
from gridagora.model.flexibility_events import FlexAuctionCleared
from gridagora.model.flexibility_market import FlexAuction

Owed = dict[tuple[int, int], list[int]]
"""Numbers of the contracts that are called, by period and point, the lowest cap first."""


def obligation_faults(state: FlexMarketState, auction: FlexAuction, bids: Bids) -> Iterator[Fault]:
    """Faults of a called holder's steps: what it owes may not be dearer than its contract's cap."""
    owed = _owed(state, auction)
    names = state.open_terms.participants
    for (period, point), contracts in owed.items():
        mine = np.flatnonzero(~bids.is_buy & (bids.participant == names[point]) & (bids.period == period))
        before = _sold(state, auction, period, point=point)
        for row in mine[np.argsort(bids.price[mine], kind="stable")].tolist():
            price = float(bids.price[row])
            for number in contracts:
                held, cap = state.contracts[number], cap_price(state, state.contracts[number])
                due = sum(state.contracts[other].owed_kw(period) for other in _up_to(contracts, number))
                if before < due - LEAST_KW and price > cap:
                    reason = (
                        f"is above the activation cap of contract {held.contract.id}, "
                        f"{cap:g} per kW and period, which called {shown(held.owed_kw(period))}"
                    )
                    yield Fault(
                        source="offers",
                        place=f"row {row}, column price",
                        value=price,
                        reason=reason,
                        fix=f"offer the first {shown(due)} of period {period} at {cap:g} or less",
                    )
                    break
            before += float(bids.quantity[row])


def with_obligated(
    state: FlexMarketState, auction: FlexAuction, rows: BidRows, *, at: int
) -> tuple[BidRows, NDArray[np.bool_]]:
    """Add the sells that called contracts make by themselves, at their caps; tell which rows these are."""
    none = np.zeros(len(rows.side), np.bool_)
    added: list[tuple[int, int, float, float]] = []
    owed = _owed(state, auction)
    free = free_kw(state, auction.product, auction.first, count=auction.count, at=at)
    for (period, point), contracts in owed.items():
        row = period - auction.first
        room = float(free[row, point])
        served = _served(state, auction, rows, at=(period, point), contracts=contracts)
        for number, kw in zip(contracts, served, strict=True):
            held = state.contracts[number]
            missing = min(held.owed_kw(period) - kw, room)
            if held.contract.auto_offer and missing > LEAST_KW:
                added.append((point, period, cap_price(state, held), missing))
                room -= missing
    if not added:
        return rows, none
    more = _rows_of(added)
    return _renumbered(rows.joined(more), added), np.append(none, np.ones(len(added), np.bool_))


def tally_offers(state: FlexMarketState, event: FlexAuctionCleared) -> FlexMarketState:
    """Note what called holders offered in an activation auction; the state is that before its sales count."""
    rows = BidRows(**{name: getattr(event, name) for name in BidRows.NAMES})
    contracts = list(state.contracts)
    for (period, point), numbers in _owed(state, event.auction).items():
        served = _served(state, event.auction, rows, at=(period, point), contracts=numbers)
        for number, kw in zip(numbers, served, strict=True):
            held = contracts[number]
            asked, offered = held.asked_kw.copy(), held.offered_kw.copy()
            place = held.contract.periods.index(period)
            asked[place], offered[place] = held.owed_kw(period), max(offered[place], kw)
            contracts[number] = replace(held, asked_kw=asked, offered_kw=offered)
    return replace(state, contracts=tuple(contracts))


def _owed(state: FlexMarketState, auction: FlexAuction) -> Owed:
    owed: Owed = {}
    if auction.horizon != "activation":
        return owed
    product, names = product_number(state.open_terms, auction.product), state.open_terms.participants
    for number, held in enumerate(state.contracts):
        if held.contract.activation != "auction" or held.product != product:
            continue
        if auction.area and names[held.point] not in auction.area:
            continue
        for period in held.contract.periods:
            if 0 <= period - auction.first < auction.count and held.owed_kw(period) > LEAST_KW:
                owed.setdefault((period, held.point), []).append(number)
    for numbers in owed.values():
        numbers.sort(key=lambda number: cap_price(state, state.contracts[number]))
    return owed


def _served(
    state: FlexMarketState,
    auction: FlexAuction,
    rows: BidRows,
    *,
    at: tuple[int, int],
    contracts: Sequence[int],
) -> list[float]:
    """Return how much of each contract's obligation is sold already or offered at its cap or less, kW."""
    period, point = at
    mine = np.flatnonzero((rows.side < 0) & (rows.participant == point) & (rows.period == period))
    sold, used, served = _sold(state, auction, period, point=point), 0.0, []
    for number in contracts:
        held = state.contracts[number]
        cheap = rows.quantity_kw[mine[rows.price[mine] <= cap_price(state, held) + LEAST_KW]].sum()
        kw = float(min(held.owed_kw(period), max(sold + cheap - used, 0.0)))
        used += kw
        served.append(kw)
    return served


def _sold(state: FlexMarketState, auction: FlexAuction, period: int, *, point: int) -> float:
    product = product_number(state.open_terms, auction.product)
    return max(float(state.period(period).paid_kw[product, point]), 0.0)


def _up_to(contracts: Sequence[int], number: int) -> Sequence[int]:
    return contracts[: contracts.index(number) + 1]


def _rows_of(added: Sequence[tuple[int, int, float, float]]) -> BidRows:
    point, period, price, kw = (np.array(column) for column in zip(*added, strict=True))
    return BidRows(
        participant=point.astype(np.int64),
        period=period.astype(np.int64),
        side=np.full(len(added), -1, np.int8),
        step=np.zeros(len(added), np.int64),
        price=price.astype(np.float64),
        quantity_kw=kw.astype(np.float64),
        group=np.full(len(added), "", np.str_),
    )


def _renumbered(rows: BidRows, added: Sequence[tuple[int, int, float, float]]) -> BidRows:
    """Return the rows with the holders' steps numbered by price: a contract's may come between their own."""
    step = rows.step.copy()
    for point, period in {(point, period) for point, period, _, _ in added}:
        mine = np.flatnonzero((rows.side < 0) & (rows.participant == point) & (rows.period == period))
        step[mine[np.lexsort((rows.step[mine], rows.price[mine]))]] = np.arange(len(mine))
    return replace(rows, step=step)
