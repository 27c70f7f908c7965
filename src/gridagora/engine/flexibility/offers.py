"""What is wrong with bids of an auction, every fault at once, each with its row, reason and fix."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.engine.flexibility.obligations import obligation_faults
from gridagora.engine.flexibility.positions import free_kw, reservable_kw
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
from gridagora.market._capacity_reading import Reading
from gridagora.model.bids import Bids
from gridagora.model.flexibility_market import FlexAuction, FlexMarketTerms

Offers = Bids | Mapping[str, ArrayLike]
"""Bids, or their columns as they came in."""


def offer_faults(state: FlexMarketState, entry: AuctionState, offers: Offers, *, at: int) -> list[Fault]:
    """Faults of bids for an auction: who, what, how much, when, and twice.

    A value that cannot be read is a fault, and the rest of its row is judged all the same.
    """
    terms, auction = state.open_terms, entry.auction
    names = [point.participant for point in terms.points]
    capacity = dict(zip(names, terms.capacity_kw(auction.product).tolist(), strict=True))
    found = check_offers(
        offers,
        connection_kw=capacity,
        now_period=max(state.open_from, terms.open_from(at)),
        direction=terms.product(auction.product).direction,
    )
    faults = [_named(fault, terms) for fault in found]
    read = Reading.of(offers)
    who = ("side", "participant")
    faults += read.told(_who, who, (state, auction))
    faults += read.told(_outside_faults, ("period",), auction)
    faults += read.told(_second_faults, ("participant", "period"), (state, entry))
    faults += read.told(_left_faults, (*who, "period", "quantity"), (state, auction, at))
    if auction.ordered and read.bids is not None and read.bids.step is None:
        faults += read.told(_unnumbered, (*who, "period"), None)
    if auction.horizon == "reservation":
        faults += read.told(_fee_faults, ("price",), None)
    faults += read.told(_obliged, (*who, "period", "price", "quantity"), (state, auction))
    return faults


def _named(fault: Fault, terms: FlexMarketTerms) -> Fault:
    """Tell a seller that has no connection of the market in the words of the market."""
    if fault.fix != "name it in connection_kw":
        return fault
    known = ", ".join(point.participant for point in terms.points[:5])
    buys = fault.value in terms.buyers
    reason = "a grid operator sells nothing in an auction" if buys else "unknown participant"
    return replace(fault, reason=reason, fix=f"sell as a connection point: {known}")


def _obliged(bids: Bids, given: tuple[FlexMarketState, FlexAuction]) -> Iterator[Fault]:
    yield from obligation_faults(*given, bids)


def _unnumbered(bids: Bids, _: None) -> Iterator[Fault]:
    yield from unnumbered_faults(bids)


def _fee_faults(bids: Bids, _: None) -> Iterator[Fault]:
    below, fix = np.flatnonzero(bids.price < 0), "write currency per kW and hour"
    yield from _at(below, "price", bids.price, reason="a fee below 0", fix=fix)


def _outside_faults(bids: Bids, auction: FlexAuction) -> Iterator[Fault]:
    outside = (bids.period < auction.first) | (bids.period >= auction.first + auction.count)
    reason = f"period is not in auction {auction.number}"
    fix = f"choose periods of {auction.first} to {auction.first + auction.count - 1}"
    yield from _at(np.flatnonzero(outside), "period", bids.period, reason=reason, fix=fix)


def _who(bids: Bids, given: tuple[FlexMarketState, FlexAuction]) -> Iterator[Fault]:
    terms, auction = given[0].open_terms, given[1]
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


def _second_faults(bids: Bids, given: tuple[FlexMarketState, AuctionState]) -> Iterator[Fault]:
    """Offers for a period that the participant has bid for in an earlier submission."""
    names, rows = given[0].open_terms.participants, BidRows.of(given[1].bids)
    taken = {
        (names[code], period)
        for code, period in zip(rows.participant.tolist(), rows.period.tolist(), strict=True)
    }
    pairs = zip(bids.participant.tolist(), bids.period.tolist(), strict=True)
    again = [row for row, pair in enumerate(pairs) if pair in taken]
    reason = "second offer of one participant for one period"
    fix = "withdraw the bids that stand, then submit all steps together"
    yield from _at(np.array(again, np.int64), "participant", bids.participant, reason=reason, fix=fix)


def _left_faults(bids: Bids, given: tuple[FlexMarketState, FlexAuction, int]) -> Iterator[Fault]:
    """Offers within the capacity that are above what is left of it after earlier sales."""
    state, auction, at = given
    terms = state.open_terms
    capacity, window = terms.capacity_kw(auction.product), (state, auction.product, auction.first)
    if auction.horizon == "activation":
        free, gone = free_kw(*window, count=auction.count, at=at), "sold or offered elsewhere"
    else:
        free, gone = reservable_kw(*window, count=auction.count), "reserved or offered already"
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
