"""Depth of order books: what is bid at each price, without who bids; a bid costs the same whatever stands."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from gridagora.adapters.sql import tables
from gridagora.engine.live.state import Book, LiveState
from gridagora.model.live_events import BidsTaken, BidsWithdrawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """All that is bid in a period at one price: side 1 buys and -1 sells, micro-currency per kWh, Wh."""

    period: int
    side: int
    price: int
    quantity: int
    bids: int


class Depth:
    """Sums of the bids that stand in sessions whose results are not public yet.

    They are by session, period, side and price; ``changes`` counts per session.

    Examples
    --------
    >>> Depth().levels(3)
    []
    """

    def __init__(self) -> None:
        self._sums: dict[int, dict[tuple[int, int, int], list[int]]] = {}
        self.changes: dict[int, int] = {}
        self.texts: dict[int, tuple[int, str]] = {}

    def take(self, event: BidsTaken) -> None:
        """Add bids."""
        sums = self._sums.setdefault(event.session, {})
        columns = (event.period.tolist(), event.side.tolist(), event.price.tolist(), event.quantity.tolist())
        for period, side, price, quantity in zip(*columns, strict=True):
            _add(sums, (period, side, price), quantity=quantity, bids=1)
        self.changes[event.session] = self.changes.get(event.session, 0) + len(event.period)

    def withdraw(self, event: BidsWithdrawn, state: LiveState) -> None:
        """Take bids away, which the state knows as withdrawn."""
        sums, wanted = self._sums.get(event.session, {}), set(event.numbers.tolist())
        for bids in state.sessions[event.session].book.of(event.participant):
            for row in range(len(bids.period)):
                if bids.number + row in wanted:
                    key = int(bids.period[row]), int(bids.side[row]), int(bids.price[row])
                    _add(sums, key, quantity=-int(bids.quantity[row]), bids=-1)
        self.changes[event.session] = self.changes.get(event.session, 0) + len(wanted)

    def begin(self, session: int, book: Book) -> None:
        """Begin with the bids of a book, as if each had been taken, and some taken back."""
        sums = self._sums.setdefault(session, {}) if book.taken else {}
        for bids in book.taken:
            stands = book.standing(bids)
            columns = (
                getattr(bids, name)[stands].tolist() for name in ("period", "side", "price", "quantity")
            )
            for period, side, price, quantity in zip(*columns, strict=True):
                _add(sums, (period, side, price), quantity=quantity, bids=1)
        if book.taken:
            self.changes[session] = book.count + len(book.withdrawn)

    def forget(self, session: int) -> None:
        """Forget a session whose bids change no more."""
        self._sums.pop(session, None)
        self.changes.pop(session, None)
        self.texts.pop(session, None)

    def levels(self, session: int, *, period: int | None = None) -> list[Level]:
        """Return what stands: by period, bids to buy dearest first, then bids to sell cheapest first."""
        found = [
            Level(period=p, side=side, price=price, quantity=quantity, bids=bids)
            for (p, side, price), (quantity, bids) in self._sums.get(session, {}).items()
            if period in (None, p)
        ]
        return sorted_levels(found)


def depth_kept(market: int, session: int, period: int | None) -> Select[Any]:
    """Return the statement for the levels of a session by the read tables, however long ago it was."""
    bid = tables.live_bids.c
    columns = (bid.period, bid.side, bid.price_micro.label("price"))
    sums = (func.sum(bid.quantity_wh).label("quantity"), func.count().label("bids"))
    asked = select(*columns, *sums).where(bid.market == market, bid.session == session, bid.withdrawn == 0)
    asked = asked if period is None else asked.where(bid.period == period)
    return asked.group_by(bid.period, bid.side, bid.price_micro)


def sorted_levels(levels: Iterable[Level]) -> list[Level]:
    """Return levels by period, bids to buy dearest first, then bids to sell cheapest first."""
    return sorted(levels, key=lambda level: (level.period, -level.side, -level.side * level.price))


def _add(
    sums: dict[tuple[int, int, int], list[int]], key: tuple[int, int, int], *, quantity: int, bids: int
) -> None:
    known = sums.setdefault(key, [0, 0])
    known[0] += quantity
    known[1] += bids
    if not known[1]:
        del sums[key]
