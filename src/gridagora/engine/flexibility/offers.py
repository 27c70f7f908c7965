"""What is wrong with bids of an auction, every fault at once, each with its row, reason and fix."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.flexibility.positions import free_kw, reserved_kw
from gridagora.engine.flexibility.rows import BidRows
from gridagora.engine.flexibility.state import (
    LEAST_KW,
    AuctionState,
    FlexMarketState,
    shown,
)
from gridagora.errors import Fault
from gridagora.market import check_offers
from gridagora.market._capacity_check import unnumbered_faults
from gridagora.model.bids import Bids
from gridagora.model.flexibility_market import FlexAuction


def offer_faults(state: FlexMarketState, entry: AuctionState, bids: Bids, *, at: int) -> list[Fault]:
    """Faults of bids for an auction: who, what, how much, when, and twice."""
    terms, auction = state.open_terms, entry.auction
    names = [point.participant for point in terms.points]
    capacity = dict(zip(names, terms.capacity_kw(auction.product).tolist(), strict=True))
    faults = list(
        check_offers(
            bids,
            connection_kw=capacity,
            now_period=max(state.open_from, terms.open_from(at)),
            direction=terms.product(auction.product).direction,
        )
    )
    if auction.ordered and bids.step is None:
        faults += unnumbered_faults(bids)
    faults += _who(state, auction, bids)
    outside = (bids.period < auction.first) | (bids.period >= auction.first + auction.count)
    reason = f"period is not in auction {auction.number}"
    fix = f"choose periods of {auction.first} to {auction.first + auction.count - 1}"
    faults += _at(np.flatnonzero(outside), "period", bids.period, reason=reason, fix=fix)
    faults += _second_faults(state, entry, bids)
    faults += _left_faults(state, auction, bids)
    if auction.horizon == "reservation":
        below = np.flatnonzero(bids.price < 0)
        faults += _at(
            below, "price", bids.price, reason="a fee below 0", fix="write currency per kW and hour"
        )
    return faults


def _who(state: FlexMarketState, auction: FlexAuction, bids: Bids) -> Iterator[Fault]:
    terms = state.open_terms
    points = {point.participant for point in terms.points}
    names = np.array(bids.participant.tolist(), dtype=object)
    buyer = np.array([name in terms.buyers for name in names], dtype=np.bool_)
    known = np.array([name in points for name in names], dtype=np.bool_)
    fix = f"bid as one of {', '.join(terms.buyers)}, or sell"
    strangers, sellers = bids.is_buy & ~buyer & ~known, bids.is_buy & ~buyer & known
    yield from _at(strangers.nonzero()[0], "participant", names, reason="unknown participant", fix=fix)
    reason = "only grid operators buy in an auction"
    yield from _at(sellers.nonzero()[0], "participant", names, reason=reason, fix=fix)
    if auction.area:
        inside = np.array([name in auction.area for name in names], dtype=np.bool_)
        outside = ~bids.is_buy & known & ~inside
        reason, fix = "outside the area of the auction", f"it is for {', '.join(auction.area[:5])}"
        yield from _at(outside.nonzero()[0], "participant", names, reason=reason, fix=fix)


def _second_faults(state: FlexMarketState, entry: AuctionState, bids: Bids) -> Iterator[Fault]:
    """Offers for a period that the participant has bid for in an earlier submission."""
    names, rows = state.open_terms.participants, BidRows.of(entry.bids)
    taken = {
        (names[code], period)
        for code, period in zip(rows.participant.tolist(), rows.period.tolist(), strict=True)
    }
    pairs = zip(bids.participant.tolist(), bids.period.tolist(), strict=True)
    again = [row for row, pair in enumerate(pairs) if pair in taken]
    reason = "second offer of one participant for one period"
    fix = "withdraw the bids that stand, then submit all steps together"
    yield from _at(np.array(again, np.int64), "participant", bids.participant, reason=reason, fix=fix)


def _left_faults(state: FlexMarketState, auction: FlexAuction, bids: Bids) -> Iterator[Fault]:
    """Offers within the capacity that are above what is left of it after earlier sales."""
    terms = state.open_terms
    capacity, window = terms.capacity_kw(auction.product), (state, auction.product, auction.first)
    if auction.horizon == "activation":
        free, gone = free_kw(*window, count=auction.count), "sold or offered elsewhere"
    else:
        free, gone = capacity - reserved_kw(*window, count=auction.count), "reserved already"
    code = {point.participant: number for number, point in enumerate(terms.points)}
    total: dict[tuple[int, int], float] = {}
    last: dict[tuple[int, int], int] = {}
    for row in np.flatnonzero(~bids.is_buy).tolist():
        point, place = code.get(bids.participant[row].item()), int(bids.period[row]) - auction.first
        if point is None or not 0 <= place < auction.count:
            continue
        total[place, point] = total.get((place, point), 0.0) + float(bids.quantity[row])
        last[place, point] = row
    for (place, point), kw in total.items():
        left, most = float(free[place, point]), float(capacity[point])
        if left < most - LEAST_KW and left * (1 + 1e-9) + LEAST_KW < kw <= most * (1 + 1e-9):
            row, name = last[place, point], terms.points[point].participant
            reason = (
                f"{shown(kw)} are above the connection capacity of {name}, {shown(most)}, "
                f"of which {shown(most - left)} are {gone}"
            )
            fix = f"offer at most {shown(max(left, 0.0))} in period {place + auction.first}"
            yield from _at(np.array([row]), "quantity", bids.quantity, reason=reason, fix=fix)


def _at(rows: NDArray[Any], column: str, values: NDArray[Any], *, reason: str, fix: str) -> Iterator[Fault]:
    for row in rows.tolist():
        place, value = f"row {row}, column {column}", values[row : row + 1].tolist()[0]
        yield Fault(source="offers", place=place, value=value, reason=reason, fix=fix)
