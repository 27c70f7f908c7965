"""The flexibility market as a state machine: a command and the state give an event; the state is their fold.

Three horizons sell the same thing for the same period, the later the nearer to it::

    reservation (long-term)   auction or tender -> contracts; a call obliges to offer
    activation (short-term)   auction, open to newcomers, binding
    adjustment (continuous)   anyone buys or sells until the gate closes
    delivery                  order = cleared +/- adjusted -> meters -> settlement

Bad input raises `InputError` with every fault, and nothing is then recorded.  An event out of order is a
defect of the caller and raises `InvariantError`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, get_args

from gridagora.engine.flexibility import (
    adjustment,
    auctions,
    books,
    calls,
    contracts,
    deliver,
    joining,
    obligations,
    opening,
    redispatch,
    settling,
    tenders,
)
from gridagora.engine.flexibility.commands import (
    AddFlexSeller,
    AwardTender,
    CallReservations,
    CancelFlexOrder,
    ClearFlexAuction,
    CloseFlexGate,
    DecideTender,
    DispatchContract,
    DropFlexSeller,
    FlexCommand,
    OpenFlexAuction,
    OpenFlexMarket,
    OpenTender,
    PairRedispatch,
    RecordFlexReadings,
    ReleaseReservation,
    SettleFlexPeriods,
    SubmitFlexBids,
    SubmitFlexOrder,
    SubmitRedispatchOrder,
    SubmitTenderBid,
    WithdrawFlexBids,
    WithdrawRedispatchOrder,
    WithdrawTenderBids,
)
from gridagora.engine.flexibility.kinds import sound
from gridagora.engine.flexibility.state import FlexMarketState
from gridagora.engine.ports import Store
from gridagora.errors import InvariantError, check_faults, require
from gridagora.market.mechanisms.redispatch_pairs import Feasible
from gridagora.model.events import Event
from gridagora.model.flexibility_events import (
    ContractDispatched,
    DeliveryOrdered,
    FlexAuctionCleared,
    FlexAuctionOpened,
    FlexBidsSubmitted,
    FlexBidsWithdrawn,
    FlexEvent,
    FlexMarketOpened,
    FlexOrderCancelled,
    FlexOrderTaken,
    FlexReadingsRecorded,
    FlexSellerJoined,
    FlexSellerLeft,
    FlexSellerReturned,
    FlexSettled,
    RedispatchOrderTaken,
    RedispatchOrderWithdrawn,
    RedispatchPaired,
    ReservationReleased,
    ReservationsCalled,
    TenderAwarded,
    TenderBidsWithdrawn,
    TenderBidTaken,
    TenderOpened,
)


class FlexMarket:
    """A flexibility market at work: hands commands to the state machine, keeps its state, stores its events.

    It goes on where the events of the store end.  All that it needs is in `gridagora.flexibility`.

    Parameters
    ----------
    store : where its events are kept

    Examples
    --------
    A grid operator buys a cut of 3 kW for the hour from 04:00 on, one day ahead.

    >>> from gridagora import flexibility as flex
    >>> ann = flex.ConnectionPoint(participant="ann", bus="b", import_kw=10.0, export_kw=5.0)
    >>> terms = flex.FlexMarketTerms(
    ...     points=(ann,), buyers=("DSO",), products=(("cap", flex.FlexProduct(direction="cap")),), start=0,
    ...     first=0, periods=24, period_hours=1.0, settlement=("capacity_limit",))
    >>> market = flex.FlexMarket(flex.MemoryStore())
    >>> opened = market.do(flex.OpenFlexMarket(at=-86400, terms=terms))
    >>> ahead = flex.FlexAuction(number=0, horizon="activation", product="cap", first=4, count=1, gate=-3600)
    >>> opened = market.do(flex.OpenFlexAuction(at=-86400, auction=ahead))
    >>> bids = flex.Bids(side=["buy", "sell"], price=[1.0, 0.2], quantity=[3.0, 5.0], period=[4, 4],
    ...                  participant=["DSO", "ann"])
    >>> taken = market.do(flex.SubmitFlexBids(at=-7200, auction=0, bids=bids))
    >>> cleared = market.do(flex.ClearFlexAuction(at=-3600, auction=0))
    >>> cleared.accepted_kw.tolist(), cleared.paid_micro.tolist()
    ([3.0, 3.0], [[600000, -600000]])
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.state = replay(store.events())

    def do(self, command: FlexCommand, *, feasible: Feasible | None = None) -> FlexEvent:
        """Carry out a command: its event is stored, then the state follows it.

        ``feasible`` says which limits of the grid a change of schedules breaks; paired redispatch asks it.
        """
        event = handle(self.state, command, feasible=feasible)
        after = apply(self.state, event)
        self._store.append([event])
        self.state = after
        return event


def handle(state: FlexMarketState, command: FlexCommand, *, feasible: Feasible | None = None) -> FlexEvent:
    """Return the event a command leads to; `PairRedispatch` needs ``feasible``.

    Raises
    ------
    InputError
        Lists every fault of the command.
    InvariantError
        The market is not open, or is open already.
    """
    require(type(command) in (*HANDLERS, PairRedispatch), f"{type(command).__name__} is no command")
    command = sound(command)
    check_faults(joining.absent_faults(state, command))
    if isinstance(command, PairRedispatch):
        if feasible is None:
            raise InvariantError("paired redispatch is never done without asking the grid")
        return redispatch.pair_orders(state, command, feasible)
    return HANDLERS[type(command)](state, command)


def apply(state: FlexMarketState, event: FlexEvent) -> FlexMarketState:
    """Return the state after an event."""
    require(state.at is None or event.at >= state.at, "an event lies before the last one")
    return replace(APPLIERS[type(event)](state, event), at=event.at)


def replay(events: Iterable[Event]) -> FlexMarketState:
    """Return the state after all events of a flexibility market; others are passed over.

    >>> replay([]).terms is None
    True
    """
    state = FlexMarketState()
    for event in events:
        if isinstance(event, get_args(FlexEvent)):
            state = apply(state, event)
    return state


def _auction_cleared(state: FlexMarketState, event: FlexAuctionCleared) -> FlexMarketState:
    """Close the auction; a reservation adds contracts, an activation sales and what holders offered."""
    state = auctions.close_entry(state, event)
    if event.auction.horizon == "reservation":
        return contracts.apply_reserved(state, event)
    return auctions.apply_activation(obligations.tally_offers(state, event), event)


HANDLERS: Mapping[type, Callable[[FlexMarketState, Any], FlexEvent]] = MappingProxyType(
    {
        OpenFlexMarket: opening.open_market,
        AddFlexSeller: joining.add_seller,
        DropFlexSeller: joining.drop_seller,
        OpenFlexAuction: auctions.open_auction,
        SubmitFlexBids: auctions.submit_bids,
        WithdrawFlexBids: auctions.withdraw_bids,
        ClearFlexAuction: auctions.clear_auction,
        AwardTender: contracts.award,
        OpenTender: tenders.open_tender,
        SubmitTenderBid: tenders.submit_bid,
        WithdrawTenderBids: tenders.withdraw_bids,
        DecideTender: tenders.decide,
        CallReservations: calls.call_reservations,
        ReleaseReservation: calls.release_reservation,
        DispatchContract: calls.dispatch_contract,
        SubmitFlexOrder: adjustment.take_order,
        CancelFlexOrder: adjustment.cancel_order,
        SubmitRedispatchOrder: redispatch.take_order,
        WithdrawRedispatchOrder: redispatch.withdraw_order,
        CloseFlexGate: deliver.close_gate,
        RecordFlexReadings: deliver.record_readings,
        SettleFlexPeriods: settling.settle_periods,
    }
)
"""What makes the event of each command."""

APPLIERS: Mapping[type, Callable[[FlexMarketState, Any], FlexMarketState]] = MappingProxyType(
    {
        FlexMarketOpened: opening.apply_open,
        FlexSellerJoined: joining.apply_joined,
        FlexSellerLeft: joining.apply_left,
        FlexSellerReturned: joining.apply_returned,
        FlexAuctionOpened: auctions.apply_opened,
        FlexBidsSubmitted: auctions.apply_submitted,
        FlexBidsWithdrawn: auctions.apply_withdrawn,
        FlexAuctionCleared: _auction_cleared,
        TenderOpened: tenders.apply_opened,
        TenderBidTaken: tenders.apply_bid,
        TenderBidsWithdrawn: tenders.apply_withdrawn,
        TenderAwarded: tenders.apply_decided,
        ReservationsCalled: calls.apply_called,
        ReservationReleased: calls.apply_released,
        ContractDispatched: calls.apply_dispatched,
        FlexOrderTaken: adjustment.apply_taken,
        FlexOrderCancelled: adjustment.apply_cancelled,
        RedispatchOrderTaken: redispatch.apply_order,
        RedispatchOrderWithdrawn: redispatch.apply_order_withdrawn,
        RedispatchPaired: redispatch.apply_paired,
        DeliveryOrdered: deliver.apply_ordered,
        FlexReadingsRecorded: deliver.apply_readings,
        FlexSettled: books.apply_settled,
    }
)
"""What makes the state after each event."""
