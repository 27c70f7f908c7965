"""The market as a state machine: a command and the state give events; the state is the fold of the events.

A session goes one way: cleared -> checked -> delivered -> settled.  A command out of this order is a defect
of the caller and raises `InvariantError`; nothing is then recorded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from gridagora.engine.commands import (
    CheckSchedule,
    ClearAuction,
    Command,
    OpenMarket,
    RecordDelivery,
    SettleSession,
)
from gridagora.engine.network import Fixed, NetworkClearing
from gridagora.engine.pool import Mechanism, pool_orders, positions
from gridagora.errors import require
from gridagora.ledger import Postings, check_postings, join, post
from gridagora.ledger.accounts import SystemAccount
from gridagora.ledger.journal import EntryKind
from gridagora.model.bids import Bids
from gridagora.model.columns import Findings, Floats, Ints, PoolTrades, SettlementLines
from gridagora.model.events import (
    AuctionCleared,
    EnergyDelivered,
    PoolEvent,
    ScheduleChecked,
    SessionSettled,
    StudyOpened,
)
from gridagora.model.study import Study
from gridagora.settlement import Prices, pool_trades, settle
from gridagora.units import amount_micro, to_wh

CheckFunction = Callable[[int, Floats, Floats], Findings]
"""(first period, net kW, net kvar; shape (periods, homes)) -> what the power flow found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketContext:
    """What does not change while a market runs: the study, its prices, its rule and its grid check.

    ``standing_micro`` is the standing charge that each home owes from a period on, in micro-units: a day's in
    the first period of each local day, shape (periods,).  ``network`` clears what the wires cannot carry
    anew; None: the pool does not know them.
    """

    study: Study
    prices: Prices
    standing_micro: Ints
    mechanism: Mechanism
    check: CheckFunction
    rules_text: str
    network: NetworkClearing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketState:
    """The fold of all events.

    What is cleared, delivered, settled, and every account's balance in micro-units.
    """

    opened: bool = False
    cleared: int = 0
    checked: int = 0
    delivered: int = 0
    settled: int = 0
    balance: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    pending: Mapping[int, tuple[AuctionCleared, EnergyDelivered | None]] = field(
        default_factory=lambda: MappingProxyType({})
    )


def handle(state: MarketState, command: Command, context: MarketContext) -> PoolEvent:
    """Return the event a command leads to.

    Raises
    ------
    InvariantError
        when the command comes out of order, or books that do not balance would follow.
    """
    match command:
        case OpenMarket():
            require(not state.opened, "the market is open already")
            study = context.study
            names = tuple(home.participant for home in study.homes)
            return StudyOpened(
                at=command.at, name=study.name, seed=study.seed, participants=names, rules=context.rules_text
            )
        case ClearAuction():
            _require_next(command.session.number, state.cleared, "cleared", ready=state.opened)
            return clear_auction(command, context)
        case CheckSchedule():
            _require_next(
                command.session.number, state.checked, "checked", ready=state.cleared > state.checked
            )
            return _check_schedule(command, context)
        case RecordDelivery():
            ready = state.checked > state.delivered
            _require_next(command.session.number, state.delivered, "delivered", ready=ready)
            return _record_delivery(command)
        case SettleSession():
            ready = state.delivered > state.settled
            _require_next(command.session.number, state.settled, "settled", ready=ready)
            cleared, delivered = state.pending[command.session.number]
            require(delivered is not None, "a delivered session keeps its readings until it is settled")
            return settle_session(command, cleared, delivered, context=context)  # type: ignore[arg-type]


def apply(state: MarketState, event: PoolEvent) -> MarketState:
    """Return the state after an event."""
    match event:
        case StudyOpened():
            accounts = len(event.participants) + len(SystemAccount)
            return replace(state, opened=True, balance=np.zeros(accounts, np.int64))
        case AuctionCleared():
            pending = MappingProxyType({**state.pending, event.session: (event, None)})
            return replace(state, cleared=state.cleared + 1, pending=pending)
        case ScheduleChecked():
            return replace(state, checked=state.checked + 1)
        case EnergyDelivered():
            cleared, _ = state.pending[event.session]
            pending = MappingProxyType({**state.pending, event.session: (cleared, event)})
            return replace(state, delivered=state.delivered + 1, pending=pending)
        case SessionSettled():
            pending = MappingProxyType({k: v for k, v in state.pending.items() if k != event.session})
            balance = state.balance.copy()
            np.add.at(balance, event.account, event.amount)
            return replace(state, settled=state.settled + 1, pending=pending, balance=balance)


def _require_next(number: int, expected: int, step: str, *, ready: bool) -> None:
    require(
        ready and number == expected, f"session {number} cannot be {step} now; session {expected} is next"
    )


def clear_auction(command: ClearAuction, context: MarketContext) -> AuctionCleared:
    """Clear a session's bids together with the retailer's orders, in whole numbers."""
    session, study = command.session, context.study
    orders = pool_orders(
        command.bids,
        first=session.first,
        count=session.count,
        homes=len(study.homes),
        prices=context.prices,
        rules=study.market,
        hours=study.axis.hours,
    )
    result = context.mechanism(
        Bids(
            side=orders.side,
            price=orders.price,
            quantity=orders.quantity,
            participant=orders.participant,
            period=orders.period,
        )
    )
    price = np.full(session.count, np.nan)
    price[np.asarray(result.period) - session.first] = np.asarray(result.price, np.float64).reshape(-1)
    accepted, paid = np.asarray(result.accepted, np.int64), np.asarray(result.paid, np.float64)
    network = None
    if context.network is not None and command.fixed_kw is not None and command.net_kvar is not None:
        fixed = Fixed(kw=command.fixed_kw, kvar=command.net_kvar)
        known = context.network(orders, (accepted, paid, price), first=session.first, fixed=fixed)
        accepted, paid, price, network = known.accepted, known.paid, known.clearing_price, known.network
    return AuctionCleared(
        at=command.at,
        session=session.number,
        first=session.first,
        participant=orders.participant,
        period=orders.period,
        side=orders.side,
        price=orders.price,
        quantity=orders.quantity,
        accepted=accepted,
        paid=paid,
        clearing_price=price,
        network=network,
    )


def _check_schedule(command: CheckSchedule, context: MarketContext) -> ScheduleChecked:
    return ScheduleChecked(
        at=command.at,
        session=command.session.number,
        first=command.session.first,
        found=context.check(command.session.first, command.net_kw, command.net_kvar),
    )


def _record_delivery(command: RecordDelivery) -> EnergyDelivered:
    hours = (command.session.delivery_end - command.session.delivery_start) / 3600 / command.session.count
    return EnergyDelivered(
        at=command.at,
        session=command.session.number,
        first=command.session.first,
        cleared_kw=command.cleared_kw,
        metered_wh=to_wh(command.metered_kw * hours),
        devices=command.devices,
    )


def session_trades(cleared: AuctionCleared, *, count: int, homes: int) -> PoolTrades:
    """Pair a cleared session's positions into trades."""
    row = cleared.period - cleared.first
    shape = (count, homes + 1)
    buy = cleared.side > 0

    def table(values: np.ndarray, rows: np.ndarray) -> Floats:
        return positions(cleared.participant[rows], row[rows], values[rows], shape=shape)

    return pool_trades(
        bought_wh=table(cleared.accepted, buy).astype(np.int64),
        sold_wh=table(cleared.accepted, ~buy).astype(np.int64),
        paid=-table(cleared.paid, buy),
        received=table(cleared.paid, ~buy),
        first=cleared.first,
    )


def settle_session(
    command: SettleSession, cleared: AuctionCleared, delivered: EnergyDelivered, *, context: MarketContext
) -> SessionSettled:
    """Settle a delivered session: trades, imbalance, network and taxes, and the entries that book them."""
    session, homes = command.session, len(context.study.homes)
    trades = session_trades(cleared, count=session.count, homes=homes)
    prices = context.prices.window(session.first, session.count)
    passive = np.array([home.passive for home in context.study.homes])
    announced = to_wh(delivered.cleared_kw * context.study.axis.hours)
    lines = settle(
        trades,
        delivered.metered_wh,
        prices,
        first=session.first,
        nominated_wh=np.where(passive, delivered.metered_wh, announced),
    )
    standing = context.standing_micro[session.first : session.first + session.count].sum()
    losses = 0 if cleared.network is None else losses_micro(cleared)
    postings = _postings(session.number, trades, lines, standing=int(standing), losses=losses)
    check_postings(postings)
    return SessionSettled(
        at=command.at,
        session=session.number,
        first=session.first,
        trades=trades,
        lines=lines,
        entry=postings.entry,
        account=postings.account,
        amount=postings.amount,
    )


def losses_micro(cleared: AuctionCleared) -> int:
    """Return what the operator pays the retailer for losses that nodal prices contain, micro-currency."""
    if cleared.network is None:
        return 0
    price = np.nan_to_num(cleared.clearing_price[cleared.network.period - cleared.first])
    return int(amount_micro(cleared.network.loss_wh, np.rint(price).astype(np.int64)).sum())


def _postings(
    session: int, trades: PoolTrades, lines: SettlementLines, *, standing: int, losses: int
) -> Postings:
    """Book a session: trades leave the operator's surplus, the rest is with retailer, DSO and state.

    The surplus takes what nodal prices collect for the wires (congestion rent) and pays for the losses in
    them.  The retailer, who writes the invoices, takes the standing charge.
    """
    homes = lines.energy.shape[1]
    retailer = homes + SystemAccount.RETAILER
    operator = homes + SystemAccount.OPERATOR_SURPLUS
    dso, state = homes + SystemAccount.DSO_NETWORK, homes + SystemAccount.STATE_TAXES
    sold = amount_micro(trades.quantity_wh, trades.seller_price)[trades.seller == homes].sum()
    bought = amount_micro(trades.quantity_wh, trades.buyer_price)[trades.buyer == homes].sum()
    booked = (
        (EntryKind.TRADE, np.append(lines.energy.sum(axis=0), sold - bought + losses), operator),
        (EntryKind.RETAIL, lines.retail.sum(axis=0), retailer),
        (EntryKind.IMBALANCE, lines.imbalance.sum(axis=0), retailer),
        (EntryKind.NETWORK, lines.network.sum(axis=0), dso),
        (EntryKind.TAXES, lines.taxes.sum(axis=0), state),
        (EntryKind.STANDING, np.full(homes, -standing, np.int64), retailer),
    )
    entries = [post(session, kind, amounts, counter_account=other) for kind, amounts, other in booked]
    return join(entries)
