"""The flexibility market as a study trades on it: one auction, one adjustment, with the limits that follow.

Commands go to the state machine, its events to the store; what was sold comes off the limits in force.
"""

from collections.abc import Sequence

import numpy as np

from gridagora.agents.offers import bids_of
from gridagora.engine.flexibility.commands import (
    ClearFlexAuction,
    FlexCommand,
    OpenFlexAuction,
    SubmitFlexBids,
    SubmitFlexOrder,
)
from gridagora.engine.flexibility.machine import apply, handle
from gridagora.engine.flexibility.operate import LimitBook
from gridagora.engine.flexibility.sellers import Wanted, spare_orders, wanted_orders
from gridagora.engine.flexibility.state import FlexMarketState
from gridagora.engine.ports import Clock, Store
from gridagora.model.bids import Bids
from gridagora.model.flexibility import FlexOffer
from gridagora.model.flexibility_events import FlexAuctionCleared, FlexEvent, FlexOrderTaken
from gridagora.model.flexibility_market import AuctionHorizon, ContractRules, FlexAuction
from gridagora.model.flexibility_study import FlexRules

PAID_KW = 1e-6
"""By which a sale is more than its free part."""


class FlexDesk:
    """A flexibility market at work: state, store and clock, the limits in force and the paid activations.

    Parameters
    ----------
    rules : the study's flexibility market
    names : homes of the study, in its order
    book : limits in force, which sales change
    store, clock : where events go, and the time
    """

    def __init__(
        self, rules: FlexRules, names: Sequence[str], *, book: LimitBook, store: Store, clock: Clock
    ) -> None:
        self._rules, self._store, self._clock = rules, store, clock
        self._row = {name: row for row, name in enumerate(names)}
        self.book, self.state = book, FlexMarketState()
        self._auctions = self._orders = 0
        self._areas: dict[tuple[str, int], frozenset[str]] = {}
        self.active: dict[str, set[int]] = {}

    @property
    def product(self) -> str:
        """Name of what is traded: its direction."""
        return self._rules.product.direction

    def do(self, command: FlexCommand) -> FlexEvent:
        """Carry out a command: its event is stored, then the state follows it."""
        event = handle(self.state, command)
        self._store.append([event])
        self.state = apply(self.state, event)
        return event

    def auction(
        self,
        bids: Sequence[Bids],
        *,
        first: int,
        count: int = 1,
        ordered: bool = False,
        area: tuple[str, ...] = (),
        horizon: AuctionHorizon = "activation",
        contract: ContractRules | None = None,
        element: str = "",
    ) -> FlexAuctionCleared:
        """Hold an auction: announce it, take the bids in, clear it a second later."""
        now, number = self._clock.now(), self._auctions
        self._auctions += 1
        auction = FlexAuction(
            number=number,
            horizon=horizon,
            product=self.product,
            first=first,
            count=count,
            gate=now + 1,
            ordered=ordered,
            area=area,
            contract=contract,
            element=element,
        )
        self.do(OpenFlexAuction(at=now, auction=auction))
        for part in bids:
            self.do(SubmitFlexBids(at=now, auction=number, bids=part))
        self._clock.wait_until(now + 1)
        cleared = self.do(ClearFlexAuction(at=self._clock.now(), auction=number))
        if not isinstance(cleared, FlexAuctionCleared):
            raise TypeError(cleared)
        return cleared

    def activate(
        self,
        demand: Bids,
        offers: Sequence[FlexOffer],
        *,
        period: int,
        ordered: bool,
        area: tuple[str, ...],
        element: str,
    ) -> float:
        """Auction a period; returns kW sold.  Limits in force are lowered by what each home sold."""
        cleared = self.auction(
            [demand, bids_of(offers)], first=period, ordered=ordered, area=area, element=element
        )
        points, free = self.state.open_terms.points, {o.participant: o.free_kw for o in offers}
        sells = cleared.side < 0
        sold = np.bincount(cleared.participant[sells], cleared.accepted_kw[sells], minlength=len(points))
        for point in np.flatnonzero(sold > 0).tolist():
            name = points[point].participant
            self.book.cut(self.product, home=self._row[name], period=period, kw=float(sold[point]))
            if sold[point] > free.get(name, 0.0) + PAID_KW:
                self.active.setdefault(name, set()).add(period)
            self._areas[name, period] = self._areas.get((name, period), frozenset(area)) & frozenset(area)
        return float(sold.sum())

    def stand_ins(self, name: str, period: int) -> frozenset[str]:
        """Return the homes that can do what a home sold for a period: they help each need it was sold for."""
        return self._areas.get((name, period), frozenset(self._row)) - {name}

    def adjust(self, wanted: Sequence[Wanted], offers: Sequence[FlexOffer], *, period: int) -> float:
        """Trade close to delivery: offers enter the book, then those who want to buy; returns kW traded.

        A home that buys takes back what it sold: its limit rises by as much as that of the seller falls.
        """
        now = self._clock.now()
        ends = now + 1
        orders = spare_orders(offers, number=self._orders, valid_until=ends)
        self._orders += len(orders)
        orders += wanted_orders(wanted, self._rules, period=period, number=self._orders, valid_until=ends)
        self._orders += len(wanted)
        traded = 0.0
        for order in orders:
            taken = self.do(SubmitFlexOrder(at=now, product=self.product, bid=order))
            if not isinstance(taken, FlexOrderTaken):
                raise TypeError(taken)
            for trade in taken.trades:
                traded += trade.quantity_kw
                for name, kw in ((trade.seller, trade.quantity_kw), (trade.buyer, -trade.quantity_kw)):
                    if name in self._row:
                        self.book.cut(self.product, home=self._row[name], period=period, kw=kw)
                if trade.price > 0.0:
                    self.active.setdefault(trade.seller, set()).add(period)
        self._clock.wait_until(ends)
        return traded
