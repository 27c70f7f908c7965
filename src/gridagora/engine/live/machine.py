"""A live market as a state machine: a command and the state give events, the state is the fold of the events.

A session goes one way: opened -> gate closed, cleared, (decided,) checked -> published -> delivered, settled.
A refused command raises `InputError` with every fault and a stable code each, and nothing has then happened.
Adding a command is a class in `commands` and a line in ``HANDLERS``; adding an event is a class in
`gridagora.model.live_events` and a line in ``APPLIERS``.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, get_args

from gridagora.engine.flexibility.commands import FlexCommand
from gridagora.engine.live import (
    bidding,
    flexing,
    gate,
    limits,
    money,
    opening,
    payments,
    readings,
    register,
    settling,
    upkeep,
)
from gridagora.engine.live.commands import (
    AcceptClock,
    CallOffSession,
    CloseDay,
    CloseGate,
    DecideDispute,
    DeclareLimit,
    DepositMoney,
    KeepResource,
    LiveCommand,
    NoteFindings,
    NoteStuck,
    OpenLiveMarket,
    OpenSession,
    PublishSession,
    RaiseDispute,
    SettleBySchedule,
    SettleLiveSession,
    SubmitBids,
    TakeReadings,
    WithdrawBids,
    WithdrawMoney,
)
from gridagora.engine.live.context import LiveContext
from gridagora.engine.live.flex_commands import RelieveArea, RequestFlexibility, SettleFlexibility
from gridagora.engine.live.payment_commands import ClosePayments, IssueInvoices, OrderPayments
from gridagora.engine.live.refusals import refusal, text_faults
from gridagora.engine.live.state import LiveState
from gridagora.errors import InputError, check_faults, require
from gridagora.model.events import (
    AuctionCleared,
    CommandsAnswered,
    DayClosed,
    EnergyDelivered,
    Event,
    ScheduleChecked,
    SessionSettled,
    TradesDecided,
)
from gridagora.model.flexibility_events import FlexEvent
from gridagora.model.live_events import (
    BidsTaken,
    BidsWithdrawn,
    ClockAccepted,
    DisputeDecided,
    DisputeRaised,
    FindingsNoted,
    GateClosed,
    LimitDeclared,
    LimitsBroken,
    LiveMarketOpened,
    MoneyMoved,
    ReadingsTaken,
    ResourceKept,
    SessionCalledOff,
    SessionOpened,
    SessionPublished,
    SettledBySchedule,
    SettlementCorrected,
    SettlementStuck,
)
from gridagora.model.money_events import InvoicesIssued, PaymentsClosed, PaymentsOrdered

FLEX_COMMANDS = frozenset(get_args(FlexCommand))
FLEX_EVENTS = frozenset(get_args(FlexEvent))


def handle(state: LiveState, command: LiveCommand, context: LiveContext) -> tuple[Event, ...]:
    """Return the events that a command leads to; the state is not changed.

    Raises
    ------
    InputError
        with every fault of the command, each with one of `gridagora.engine.live.refusals.CODES`.
    """
    if state.terms is None and not isinstance(command, OpenLiveMarket):
        raise InputError([refusal("market_not_open", "market", type(command).__name__, fix="open it first")])
    check_faults(text_faults(command))
    if type(command) in FLEX_COMMANDS:
        return flexing.carry_out(state, command, context)
    require(type(command) in HANDLERS, f"{type(command).__name__} is no command")
    made = HANDLERS[type(command)](state, command, context)
    return made if isinstance(made, tuple) else (made,)


def apply(state: LiveState, event: Event) -> LiveState:
    """Change the state by an event and return it."""
    kind = type(event)
    if kind in FLEX_EVENTS:
        flexing.apply_event(state, event)  # type: ignore[arg-type]
    else:
        require(kind in APPLIERS, f"{kind.__name__} is no event of a live market")
        APPLIERS[kind](state, event)
    state.at = max(state.at, event.at)
    state.events += 1
    return state


def replay(events: Iterable[Event]) -> LiveState:
    """Return the state after all events of a live market.

    >>> replay([]).events
    0
    """
    state = LiveState()
    for event in events:
        apply(state, event)
    return state


Handler = Callable[[LiveState, Any, LiveContext], Event | tuple[Event, ...]]


def _alone(decide: Callable[[LiveState, Any], Event | tuple[Event, ...]]) -> Handler:
    """Return a handler of a command that asks the state alone."""
    return lambda state, command, _: decide(state, command)


HANDLERS: Mapping[type, Handler] = MappingProxyType(
    {
        OpenLiveMarket: opening.open_market,
        KeepResource: flexing.keep,
        OpenSession: _alone(gate.open_session),
        SubmitBids: _alone(bidding.submit_bids),
        WithdrawBids: _alone(bidding.withdraw_bids),
        CloseGate: gate.close_gate,
        CallOffSession: gate.call_off,
        PublishSession: _alone(gate.publish),
        DeclareLimit: limits.declare,
        TakeReadings: _alone(readings.take_readings),
        NoteFindings: _alone(readings.note_findings),
        SettleLiveSession: settling.settle_live,
        NoteStuck: _alone(upkeep.note_stuck),
        SettleBySchedule: settling.settle_by_schedule,
        AcceptClock: _alone(upkeep.accept_clock),
        CloseDay: _alone(upkeep.close_day),
        RaiseDispute: _alone(settling.raise_dispute),
        DecideDispute: settling.decide_dispute,
        DepositMoney: _alone(money.deposit),
        WithdrawMoney: _alone(money.withdraw),
        IssueInvoices: _alone(payments.issue),
        OrderPayments: _alone(payments.order),
        ClosePayments: _alone(payments.close),
        RequestFlexibility: flexing.request,
        RelieveArea: flexing.relieve,
        SettleFlexibility: flexing.settle,
    }
)
"""What makes the events of each command."""

APPLIERS: Mapping[type, Callable[[LiveState, Any], None]] = MappingProxyType(
    {
        LiveMarketOpened: opening.apply_market,
        ResourceKept: register.apply_kept,
        SessionOpened: gate.apply_opened,
        BidsTaken: bidding.apply_taken,
        BidsWithdrawn: bidding.apply_withdrawn,
        GateClosed: gate.apply_gate,
        SessionCalledOff: gate.apply_called_off,
        AuctionCleared: gate.apply_cleared,
        TradesDecided: gate.apply_decided,
        ScheduleChecked: gate.apply_checked,
        SessionPublished: gate.apply_published,
        LimitDeclared: limits.apply_declared,
        ReadingsTaken: readings.apply_readings,
        FindingsNoted: lambda _state, _event: None,  # for those concerned; it changes nothing
        EnergyDelivered: settling.apply_delivered,
        SessionSettled: settling.apply_settled,
        LimitsBroken: settling.apply_broken,
        SettlementStuck: upkeep.apply_stuck,
        SettledBySchedule: settling.apply_by_schedule,
        ClockAccepted: lambda _state, _event: None,  # for those who look into it later
        SettlementCorrected: settling.apply_corrected,
        MoneyMoved: money.apply_moved,
        InvoicesIssued: payments.apply_issued,
        PaymentsOrdered: payments.apply_ordered,
        PaymentsClosed: payments.apply_closed,
        DisputeRaised: settling.apply_raised,
        DisputeDecided: settling.apply_decision,
        CommandsAnswered: lambda _state, _event: None,  # the memory of what was asked; it changes nothing
        DayClosed: lambda _state, _event: None,  # for those who check proofs
    }
)
"""What changes the state by each event."""
