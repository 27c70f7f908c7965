"""The market as a state machine: a command and the state give events; the state is the fold of the events.

A session goes one way: cleared -> (decided ->) checked -> delivered -> settled; controllers decide where the
market has zones.  A command out of this order is a defect
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
    DecideTrades,
    OpenMarket,
    RecordDelivery,
    SettleSession,
)
from gridagora.engine.network import Fixed, NetworkClearing
from gridagora.engine.pool import Mechanism, PoolOrders, pool_orders, positions
from gridagora.engine.zonal import clear_zones
from gridagora.engine.zone_desk import ZoneDesk, joined_trades
from gridagora.errors import InvariantError, require
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
    TradesDecided,
)
from gridagora.model.study import Study
from gridagora.model.zone_columns import ZoneTrades
from gridagora.settlement import Prices, pool_trades, settle
from gridagora.units import amount_micro, to_wh

CheckFunction = Callable[[int, Floats, Floats], Findings]
"""(first period, net kW, net kvar; shape (periods, homes)) -> what the power flow found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketContext:
    """What does not change while a market runs: the study, its prices, its rule and its grid check.

    ``standing_micro`` is the standing charge that each home owes from a period on, in micro-units: a day's in
    the first period of each local day, shape (periods,).  ``network`` clears what the wires cannot carry
    anew; None: the pool does not know them.  ``zones`` decides on the trades of zones; None: there are none.
    """

    study: Study
    prices: Prices
    standing_micro: Ints
    mechanism: Mechanism
    check: CheckFunction
    rules_text: str
    network: NetworkClearing | None = None
    zones: ZoneDesk | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A session that is not settled yet, as far as it has come."""

    cleared: AuctionCleared
    decided: TradesDecided | None = None
    delivered: EnergyDelivered | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketState:
    """The fold of all events.

    What is cleared, delivered, settled, and every account's balance in micro-units.
    """

    opened: bool = False
    cleared: int = 0
    decided: int = 0
    checked: int = 0
    delivered: int = 0
    settled: int = 0
    balance: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    pending: Mapping[int, Pending] = field(default_factory=lambda: MappingProxyType({}))


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
        case DecideTrades():
            ready = state.cleared > state.decided
            _require_next(command.session.number, state.decided, "decided", ready=ready)
            return _decide_trades(command, state, context)
        case CheckSchedule():
            before = state.cleared if context.zones is None else state.decided
            _require_next(command.session.number, state.checked, "checked", ready=before > state.checked)
            return _check_schedule(command, context)
        case RecordDelivery():
            ready = state.checked > state.delivered
            _require_next(command.session.number, state.delivered, "delivered", ready=ready)
            return _record_delivery(command)
        case SettleSession():
            ready = state.delivered > state.settled
            _require_next(command.session.number, state.settled, "settled", ready=ready)
            return settle_session(command, state.pending[command.session.number], context=context)


def apply(state: MarketState, event: PoolEvent) -> MarketState:
    """Return the state after an event."""
    match event:
        case StudyOpened():
            accounts = len(event.participants) + len(SystemAccount)
            return replace(state, opened=True, balance=np.zeros(accounts, np.int64))
        case AuctionCleared():
            pending = _with(state, event.session, Pending(cleared=event))
            return replace(state, cleared=state.cleared + 1, pending=pending)
        case TradesDecided():
            pending = _with(state, event.session, replace(state.pending[event.session], decided=event))
            return replace(state, decided=state.decided + 1, pending=pending)
        case ScheduleChecked():
            return replace(state, checked=state.checked + 1)
        case EnergyDelivered():
            pending = _with(state, event.session, replace(state.pending[event.session], delivered=event))
            return replace(state, delivered=state.delivered + 1, pending=pending)
        case SessionSettled():
            pending = MappingProxyType({k: v for k, v in state.pending.items() if k != event.session})
            balance = state.balance.copy()
            np.add.at(balance, event.account, event.amount)
            return replace(state, settled=state.settled + 1, pending=pending, balance=balance)


def _with(state: MarketState, session: int, pending: Pending) -> Mapping[int, Pending]:
    return MappingProxyType({**state.pending, session: pending})


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
    if study.zones is not None:
        return _clear_in_zones(command, orders, context)
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


def _clear_in_zones(command: ClearAuction, orders: PoolOrders, context: MarketContext) -> AuctionCleared:
    session = command.session
    require(command.fixed_kw is not None, "zones need what loads the gates without a bid")
    found = clear_zones(
        orders,
        context.study,
        context.prices,
        first=session.first,
        count=session.count,
        fixed_kw=command.fixed_kw,  # type: ignore[arg-type]
    )
    return AuctionCleared(
        at=command.at,
        session=session.number,
        first=session.first,
        participant=found.orders.participant,
        period=found.orders.period,
        side=found.orders.side,
        price=found.orders.price,
        quantity=found.orders.quantity,
        accepted=found.accepted,
        paid=found.paid,
        clearing_price=found.clearing_price,
        zonal=found.zonal,
    )


def _decide_trades(command: DecideTrades, state: MarketState, context: MarketContext) -> TradesDecided:
    desk, cleared = context.zones, state.pending[command.session.number].cleared
    require(desk is not None, "only a market with zones has controllers that decide")
    return desk.decide(  # type: ignore[union-attr]
        cleared, at=command.at, fixed_kw=command.fixed_kw, kvar=command.net_kvar
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


def session_trades(
    cleared: AuctionCleared, *, count: int, homes: int, decided: TradesDecided | None = None
) -> PoolTrades:
    """Return the trades of a session: its positions paired, or those that the zones' controllers approved."""
    if cleared.zonal is not None and decided is not None:
        return _approved_trades(joined_trades(cleared.zonal.trades, decided.decisions.supplies), decided)
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


def _approved_trades(trades: ZoneTrades, decided: TradesDecided) -> PoolTrades:
    rows = np.flatnonzero(decided.decisions.approved)
    rows = rows[np.argsort(trades.period[rows], kind="stable")]
    return PoolTrades(
        period=trades.period[rows],
        buyer=trades.buyer[rows],
        seller=trades.seller[rows],
        quantity_wh=trades.quantity_wh[rows],
        buyer_price=trades.price[rows],
        seller_price=trades.price[rows],
    )


def settle_session(command: SettleSession, pending: Pending, *, context: MarketContext) -> SessionSettled:
    """Settle a delivered session: trades, imbalance, network and taxes, and the entries that book them."""
    session, homes = command.session, len(context.study.homes)
    cleared, delivered = pending.cleared, pending.delivered
    if delivered is None:
        raise InvariantError("a delivered session keeps its readings until it is settled")
    trades = session_trades(cleared, count=session.count, homes=homes, decided=pending.decided)
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
