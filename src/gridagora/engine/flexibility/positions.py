"""Who can still sell how much: the connection capacity less all that is sold, rests in a book or is bid."""

import numpy as np

from gridagora.engine.flexibility.state import FlexMarketState, product_number
from gridagora.model.columns import Floats
from gridagora.model.continuous import W_PER_KW, FlexBookState, FlexSide
from gridagora.model.flexibility_market import AuctionHorizon


def sold_kw(state: FlexMarketState, name: str, first: int, *, count: int) -> Floats:
    """Return what points sold and buyers bought of a product so far, kW, shape (periods, participants)."""
    product = product_number(state.open_terms, name)
    shape = (count, len(state.open_terms.participants))
    return np.array([period.sold_kw[product] for period in state.window(first, count)]).reshape(shape)


def paid_kw(state: FlexMarketState, name: str, first: int, *, count: int) -> Floats:
    """Return the same without what test calls ordered: it is nobody's to trade."""
    product = product_number(state.open_terms, name)
    shape = (count, len(state.open_terms.participants))
    return np.array([period.paid_kw[product] for period in state.window(first, count)]).reshape(shape)


def free_kw(state: FlexMarketState, name: str, first: int, *, count: int, at: int) -> Floats:
    """Return what each point can still sell in [first, first + count) at a moment, kW, (periods, points).

    What rests in the book, and what is bid in activation auctions that are not cleared yet, counts as sold.
    """
    terms = state.open_terms
    points = len(terms.points)
    taken = sold_kw(state, name, first, count=count)[:, :points]
    book = state.books[product_number(terms, name)]
    for seller in sorted({entry.bid.participant for entry in book.sells}):
        code = terms.participants.index(seller)
        if code < points:
            taken[:, code] += resting_kw(book, seller, "sell", window=(first, count), at=at)
    taken += bid_kw(state, name, first, count=count, horizon="activation")
    return np.asarray(terms.capacity_kw(name) - taken)


def reservable_kw(state: FlexMarketState, name: str, first: int, *, count: int) -> Floats:
    """Return what can still be reserved of each point, kW, shape (periods, points).

    What is bid in reservation auctions that are not cleared yet counts as reserved.
    """
    taken = reserved_kw(state, name, first, count=count) + bid_kw(
        state, name, first, count=count, horizon="reservation"
    )
    return np.asarray(state.open_terms.capacity_kw(name) - taken)


def bid_kw(state: FlexMarketState, name: str, first: int, *, count: int, horizon: AuctionHorizon) -> Floats:
    """Return what points bid in auctions of a horizon that are not cleared yet, kW, (periods, points)."""
    total = np.zeros((count, len(state.open_terms.points)))
    for entry in state.auctions:
        if entry.cleared or entry.auction.horizon != horizon or entry.auction.product != name:
            continue
        for part in entry.bids:
            rows = (part.side < 0) & (part.period >= first) & (part.period < first + count)
            place = (part.period[rows] - first, part.participant[rows])
            np.add.at(total, place, part.quantity_kw[rows])
    return total


def reserved_kw(state: FlexMarketState, name: str, first: int, *, count: int) -> Floats:
    """Return what is reserved of each point by contracts, kW, shape (periods, points)."""
    product = product_number(state.open_terms, name)
    reserved = np.zeros((count, len(state.open_terms.points)))
    for held in state.contracts:
        if held.product == product:
            rows = np.array(held.contract.periods) - first
            inside = (rows >= 0) & (rows < count)
            reserved[rows[inside], held.point] += np.asarray(held.contract.reserved_kw)[inside]
    return reserved


def resting_kw(book: FlexBookState, name: str, side: FlexSide, *, window: tuple[int, int], at: int) -> Floats:
    """Return what a participant has open on one side of a book, kW in each period of (first, count)."""
    first, count = window
    resting = np.zeros(count)
    for entry in book.buys if side == "buy" else book.sells:
        bid = entry.bid
        start, end = max(first, bid.first), min(first + count, bid.end)
        expired = bid.valid_until is not None and bid.valid_until <= at
        if bid.participant == name and not expired and start < end:
            open_kw = np.repeat(entry.open_w, bid.block_periods) / W_PER_KW
            resting[start - first : end - first] += open_kw[start - bid.first : end - bid.first]
    return resting
