"""Read tables of live markets from their events: one function per kind of event.  Pure.

Participants have numbers in the order of registration, the retailer is -1.  Accounts: those of `SYSTEM`, then
three per participant (`OWN`); grid operators that buy flexibility have numbers from ``BUYER_FIRST`` on.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.booked import booked, bus_rows, line_columns, meter_columns, root_rows, trade_rows
from gridagora.adapters.sql.made import LiveNames, Names, Rows
from gridagora.adapters.sql.projections_money import closed_rows, issued_rows, moved_rows, ordered_rows
from gridagora.engine.live.held import LIMITS
from gridagora.engine.live.money import TRANSIT, bill, invoiced, wallet
from gridagora.engine.live.readings import ESTIMATE, SCHEDULE
from gridagora.engine.machine import session_trades
from gridagora.ledger import SYSTEM_ACCOUNTS
from gridagora.ledger.escrow import BANK, ESCROW, FEES
from gridagora.model.columns import Ints
from gridagora.model.events import AuctionCleared, DayClosed, EnergyDelivered, SessionSettled, TradesDecided
from gridagora.model.flexibility_events import FlexMarketOpened, FlexSellerJoined, FlexSettled
from gridagora.model.live_events import (
    BidsTaken,
    BidsWithdrawn,
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
)
from gridagora.model.money_events import InvoicesIssued, MoneyEvent, PaymentsClosed, PaymentsOrdered
from gridagora.model.zone_columns import DECISIONS

SYSTEM = (*SYSTEM_ACCOUNTS, BANK, ESCROW, FEES, TRANSIT, LIMITS)
"""Accounts of no participant, by their codes."""

OWN = tuple(account("").rstrip(":") for account in (bill, wallet, invoiced))
"""Accounts of each participant, by what their names begin with."""

RETAILER = -1

BUYER_FIRST = 10**9
"""Number of the first grid operator that buys flexibility; it has accounts as participants have."""

STOOD_IN = {ESTIMATE: "estimated from its own readings", SCHEDULE: "taken from its schedule"}
"""What the market's own readings come from, by their source."""

Made = tuple[tuple[Rows, ...], Names]


def first_account(participant: int) -> int:
    """Return the code of the first account of a participant by its number.

    >>> first_account(1) - first_account(0)
    3
    """
    return len(SYSTEM) + len(OWN) * participant


def live_names(names: Names) -> LiveNames:
    """Return the names of a live market; there are some from its first event on."""
    return names.live or LiveNames()


def _opened(event: LiveMarketOpened, _: int, names: Names) -> Made:
    terms = event.terms
    is_zonal = terms.mechanism == "zonal"
    live = LiveNames(kept_s=terms.kept_s, epoch=terms.epoch, mtu_s=terms.mtu_s, zonal=is_zonal)
    accounts = {"account": np.arange(len(SYSTEM)), "name": SYSTEM, "amount_micro": 0}
    return (Rows(table=tables.balances, columns=accounts),), replace(names, live=live)


def _kept(event: ResourceKept, seq: int, names: Names) -> Made:
    live, first = live_names(names), event.version == 1
    body = json.loads(event.body)
    columns = {
        "kind": event.kind,
        "id": event.id,
        "version": event.version,
        "at": event.at,
        "actor": event.actor,
        "status": event.status,
        "participant": str(body.get("participant", "")),
        "body": event.body,
    }
    if not first:
        return (Rows(table=tables.resources, columns=_one(columns), mode="set"),), names
    count = live.counts.get(event.kind, 0)
    live = replace(live, counts={**live.counts, event.kind: count + 1})
    rows = [Rows(table=tables.resources, columns=_one({**columns, "number": count, "seq": seq}))]
    if event.kind == "participant":
        live = replace(live, participants={**live.participants, event.id: count})
        rows.append(Rows(table=tables.participants, columns=_one({"participant": count, "name": event.id})))
        accounts = {
            "account": first_account(count) + np.arange(len(OWN)),
            "name": [f"{kind}:{event.id}" for kind in OWN],
            "amount_micro": 0,
        }
        rows.append(Rows(table=tables.balances, columns=accounts))
    return tuple(rows), replace(names, live=live)


def _session_opened(event: SessionOpened, _: int, names: Names) -> Made:
    empty = dict.fromkeys(("closed", "published", "settled"))
    columns = {"session": event.session, "status": "open", "opened": event.at, **empty}
    return (Rows(table=tables.sessions, columns=_one(columns)),), names


def _taken(event: BidsTaken, _: int, names: Names) -> Made:
    columns = {
        "number": np.arange(event.number, event.number + len(event.period)),
        "session": event.session,
        "participant": live_names(names).participants[event.participant],
        "period": event.period,
        "side": event.side,
        "price_micro": event.price,
        "quantity_wh": event.quantity,
        "at": event.at,
        "withdrawn": 0,
        "row": None,
    }
    return (Rows(table=tables.live_bids, columns=columns),), names


def _withdrawn(event: BidsWithdrawn, _: int, names: Names) -> Made:
    columns = {"number": event.numbers, "withdrawn": 1}
    return (Rows(table=tables.live_bids, columns=columns, mode="set"),), names


def _gate(event: GateClosed, _: int, names: Names) -> Made:
    live = live_names(names).forget(event.at)
    lineup = tuple(live.participants[name] for name in event.participants), event.buses
    lineups = live.lineups if lineup in live.lineups else (*live.lineups, lineup)
    sessions = {**live.sessions, event.session: lineups.index(lineup)}
    after = replace(names, live=replace(live, sessions=sessions, lineups=lineups))
    status = {"session": event.session, "status": "closed", "closed": event.at}
    rows = [Rows(table=tables.sessions, columns=_one(status), mode="set")]
    if len(event.bids):
        placed = {"number": event.bids, "row": np.arange(len(event.bids))}
        rows.append(Rows(table=tables.live_bids, columns=placed, mode="set"))
    return tuple(rows), after


def _cleared(event: AuctionCleared, _: int, names: Names) -> Made:
    live = live_names(names)
    who = _numbers(live, event.session)
    columns = {
        "session": event.session,
        "row": np.arange(len(event.period)),
        "period": event.period,
        "participant": who[event.participant],
        "side": event.side,
        "price_micro": event.price,
        "quantity_wh": event.quantity,
        "accepted_wh": event.accepted,
    }
    periods = event.first + np.arange(len(event.clearing_price))
    prices = {"period": periods, "price_micro": event.clearing_price}
    status = {"session": event.session, "status": "cleared"}
    rows = [
        Rows(table=tables.bids, columns=columns),
        Rows(table=tables.prices, columns=prices),
        Rows(table=tables.sessions, columns=_one(status), mode="set"),
    ]
    if not live.zonal:
        homes = len(live.lineup(event.session))
        trades = session_trades(event, count=len(periods), homes=homes)
        rows.append(trade_rows(event.session, trades, who))
    return tuple(rows), names


def _decided(event: TradesDecided, _: int, names: Names) -> Made:
    decisions = event.decisions
    accepted = {
        "session": event.session,
        "row": np.arange(len(event.accepted)),
        "accepted_wh": event.accepted,
    }
    steps = {
        "session": event.session,
        "row": np.arange(len(decisions.trade)),
        "trade": decisions.trade,
        "step": decisions.step,
        "decided_by": [decisions.names[k] for k in decisions.by.tolist()],
        "decision": [DECISIONS[k] for k in decisions.decision.tolist()],
        "reason": [decisions.reasons[k] for k in decisions.reason.tolist()],
    }
    return (
        Rows(table=tables.bids, columns=accepted, mode="set"),
        Rows(table=tables.approvals, columns=steps),
    ), names


def _published(event: SessionPublished, _: int, names: Names) -> Made:
    columns = {"session": event.session, "status": "published", "published": event.at}
    return (Rows(table=tables.sessions, columns=_one(columns), mode="set"),), names


def _delivered(event: EnergyDelivered, _: int, names: Names) -> Made:
    live = live_names(names)
    buses = live.buses(event.session)
    net_wh = event.metered_wh
    columns = {"import_wh": np.maximum(net_wh, 0), "export_wh": np.maximum(-net_wh, 0)}
    made = bus_rows(event.first, buses, {"points": np.ones_like(net_wh), **columns})
    later = dict.fromkeys(
        ("scheduled_import_wh", "scheduled_export_wh", "local_bought_wh", "local_sold_wh"), 0
    )
    metered = meter_columns(net_wh, event.first, _numbers(live, event.session))
    sums = Rows(table=tables.bus_sums, columns={**made, **later})
    return (sums, Rows(table=tables.deliveries, columns=metered)), names


def _settled(event: SessionSettled, seq: int, names: Names) -> Made:
    live = live_names(names)
    who = _numbers(live, event.session)
    status = {"session": event.session, "status": "settled", "settled": event.at}
    rows = [
        Rows(table=tables.sessions, columns=_one(status), mode="set"),
        Rows(table=tables.settlement_lines, columns=line_columns(event.lines, event.first, who)),
        _scheduled(event, live),
        *booked(seq, event.entry, _accounts(live, event.session, event.account), amount=event.amount),
    ]
    if live.zonal:
        rows.append(trade_rows(event.session, event.trades, who))
    settled = {**live.settled, event.session: event.at}
    return tuple(rows), replace(names, live=replace(live, settled=settled))


def _why(event: SessionCalledOff | SettledBySchedule, _: int, names: Names) -> Made:
    column = "called_off" if isinstance(event, SessionCalledOff) else "by_schedule"
    told = _one({"session": event.session, column: event.reason})
    return (Rows(table=tables.sessions, columns=told, mode="set"),), names


def _scheduled(event: SessionSettled, live: LiveNames) -> Rows:
    lines = event.lines
    columns = {
        "scheduled_import_wh": np.maximum(lines.traded_wh, 0),
        "scheduled_export_wh": np.maximum(-lines.traded_wh, 0),
        "local_bought_wh": lines.local_bought_wh,
        "local_sold_wh": lines.local_sold_wh,
    }
    made = bus_rows(event.first, live.buses(event.session), columns)
    return Rows(table=tables.bus_sums, columns=made, mode="set")


def _corrected(event: SettlementCorrected, seq: int, names: Names) -> Made:
    live = live_names(names)
    who = _numbers(live, event.session)
    account = _accounts(live, event.session, event.account)
    lines = Rows(
        table=tables.settlement_lines, columns=line_columns(event.lines, event.first, who), mode="add"
    )
    metered = meter_columns(event.metered_wh, event.first, who)
    delivered = Rows(table=tables.deliveries, columns=metered, mode="set")
    return (lines, delivered, *booked(seq, event.entry, account, amount=event.amount)), names


def _readings(event: ReadingsTaken, seq: int, names: Names) -> Made:
    live = live_names(names)
    who = np.array([live.participants[name] for name in event.participants], np.int64)
    columns = {
        "participant": who[event.participant],
        "period": event.period,
        "import_wh": event.import_wh,
        "export_wh": event.export_wh,
        "quality": event.quality,
        "source": event.source,
        "at": event.at,
    }
    rows = [Rows(table=tables.readings, columns=columns, mode="put")]
    if event.source in STOOD_IN:
        rows.append(_gaps(event, seq, live))
    return tuple(rows), names


def _gaps(event: ReadingsTaken, seq: int, live: LiveNames) -> Rows:
    """Return a finding for each run of periods of a participant that the market filled itself."""
    order = np.lexsort((event.period, event.participant))
    who, period = event.participant[order], event.period[order]
    first = np.flatnonzero(np.diff(who, prepend=-1).astype(bool) | (np.diff(period, prepend=-2) != 1))
    count = np.diff(first, append=len(period))
    numbers = np.array([live.participants[name] for name in event.participants], np.int64)
    columns = {
        "seq": seq,
        "row": np.arange(len(first)),
        "participant": numbers[who[first]],
        "moment": live.epoch + period[first] * live.mtu_s,
        "rule": "gap",
        "told": [
            f"{n} period{'s' * (n != 1)} without a usable reading; {STOOD_IN[event.source]}"
            for n in count.tolist()
        ],
        "source": event.source,
        "at": event.at,
    }
    return Rows(table=tables.findings, columns=columns)


def _findings(event: FindingsNoted, seq: int, names: Names) -> Made:
    live = live_names(names)
    columns = {
        "seq": seq,
        "row": np.arange(len(event.start)),
        "participant": [live.participants[name] for name in event.participant],
        "moment": np.where(event.start > 0, event.start, event.at),
        "rule": event.rule,
        "told": event.told,
        "source": event.source,
        "at": event.at,
    }
    return (Rows(table=tables.findings, columns=columns),), names


def _limit(event: LimitDeclared, _: int, names: Names) -> Made:
    told = ("id", "place_kind", "place", "begins", "ends", "import_kw", "export_kw", "reason", "actor", "at")
    columns = {name: getattr(event, name) for name in told} | {"emergency": int(event.emergency)}
    return (Rows(table=tables.grid_limits, columns=_one(columns), mode="put"),), names


def _broken(event: LimitsBroken, _: int, names: Names) -> Made:
    columns = {
        "session": event.session,
        "row": np.arange(len(event.limit)),
        "id": event.limit,
        "period": event.period,
        "net_wh": event.net_wh,
        "allowed_wh": event.allowed_wh,
    }
    return (Rows(table=tables.broken_limits, columns=columns),), names


def _moved(event: MoneyMoved, seq: int, names: Names) -> Made:
    rows = moved_rows(event, seq, live_names(names).participants)
    return (*_named(event, seq, names), *rows), names


def _named(event: MoneyMoved | MoneyEvent, seq: int, names: Names) -> tuple[Rows, ...]:
    """Return postings whose accounts are told by name."""
    account = np.array([_account(live_names(names), name) for name in event.accounts], np.int64)
    return booked(seq, np.full(len(account), -seq, np.int64), account, amount=event.amount)


def _issued(event: InvoicesIssued, seq: int, names: Names) -> Made:
    return (*_named(event, seq, names), *issued_rows(event, seq, live_names(names).participants)), names


def _ordered(event: PaymentsOrdered, seq: int, names: Names) -> Made:
    return (*_named(event, seq, names), *ordered_rows(event, seq)), names


def _closed(event: PaymentsClosed, seq: int, names: Names) -> Made:
    return (*_named(event, seq, names), closed_rows(event, seq)), names


def _day_closed(event: DayClosed, seq: int, names: Names) -> Made:
    return (root_rows(event, seq),), names


def _raised(event: DisputeRaised, _: int, names: Names) -> Made:
    live = live_names(names)
    columns = {
        "id": event.id,
        "session": event.session,
        "participant": live.participants[event.participant],
        "status": "open",
        "actor": event.actor,
        "reason": event.reason,
        "answer": "",
        "at": event.at,
    }
    after = replace(live, disputes={**live.disputes, event.id: event.session})
    return (Rows(table=tables.disputes, columns=_one(columns)),), replace(names, live=after)


def _dispute_decided(event: DisputeDecided, _: int, names: Names) -> Made:
    status = "accepted" if event.accepted else "rejected"
    columns = {"id": event.id, "status": status, "answer": event.reason}
    live = live_names(names)
    after = replace(live, disputes={id_: n for id_, n in live.disputes.items() if id_ != event.id})
    return (Rows(table=tables.disputes, columns=_one(columns), mode="set"),), replace(names, live=after)


def _flex_opened(event: FlexMarketOpened, _: int, names: Names) -> Made:
    live = live_names(names)
    numbers = {name: BUYER_FIRST + k for k, name in enumerate(event.terms.buyers)}
    live = replace(live, participants={**live.participants, **numbers})
    account = [first_account(live.participants[name]) for name in event.terms.participants]
    codes = (*account, *range(len(SYSTEM_ACCOUNTS)))
    who = {"participant": list(numbers.values()), "name": list(numbers)}
    accounts = {
        "account": [first_account(number) + k for number in numbers.values() for k in range(len(OWN))],
        "name": [f"{kind}:{name}" for name in numbers for kind in OWN],
        "amount_micro": 0,
    }
    rows = Rows(table=tables.participants, columns=who), Rows(table=tables.balances, columns=accounts)
    return rows, replace(names, flex_codes=codes, live=live)


def _flex_joined(event: FlexSellerJoined, _: int, names: Names) -> Made:
    account = first_account(live_names(names).participants[event.point.participant])
    codes = (*names.flex_codes[: event.code], account, *names.flex_codes[event.code :])
    return (), replace(names, flex_codes=codes)


def _flex_settled(event: FlexSettled, seq: int, names: Names) -> Made:
    account = np.array(names.flex_codes, dtype=np.int64)[event.account]
    rows = booked(seq, event.entry, account, amount=event.amount)
    items = event.items
    if items is None or not len(items.entry):
        return rows, names
    columns = {
        "seq": seq,
        "row": np.arange(len(items.entry)),
        "entry": items.entry,
        "participant": (np.array(names.flex_codes, np.int64)[items.participant] - len(SYSTEM)) // len(OWN),
        "product": items.product,
        "contract": items.contract,
        "reason": items.reason,
        "energy_wh": items.energy_wh,
        "amount_micro": items.amount,
    }
    return (*rows, Rows(table=tables.flexibility_lines, columns=columns)), names


def _one(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of one row."""
    return {name: [value] for name, value in columns.items()}


def _numbers(live: LiveNames, session: int) -> Ints:
    """Return the number of each participant of a session by its code, and of the retailer behind them."""
    return np.array([*live.lineup(session), RETAILER], np.int64)


def _account(live: LiveNames, name: str) -> int:
    """Return the code of an account by its name."""
    if name in SYSTEM:
        return SYSTEM.index(name)
    kind, _, participant = name.partition(":")
    return first_account(live.participants[participant]) + OWN.index(kind)


def _accounts(live: LiveNames, session: int, codes: Ints) -> Ints:
    """Return the codes of accounts that a session calls by the codes of its participants."""
    lineup = np.array(live.lineup(session), np.int64)
    known = np.concatenate([first_account(0) + len(OWN) * lineup, np.arange(len(SYSTEM_ACCOUNTS))])
    return np.asarray(known[codes])


LIVE_MAKERS: Mapping[type, Callable[[Any, int, Names], Made]] = {
    LiveMarketOpened: _opened,
    ResourceKept: _kept,
    SessionOpened: _session_opened,
    BidsTaken: _taken,
    BidsWithdrawn: _withdrawn,
    GateClosed: _gate,
    AuctionCleared: _cleared,
    TradesDecided: _decided,
    SessionPublished: _published,
    EnergyDelivered: _delivered,
    SessionSettled: _settled,
    SessionCalledOff: _why,
    SettledBySchedule: _why,
    SettlementCorrected: _corrected,
    ReadingsTaken: _readings,
    FindingsNoted: _findings,
    LimitDeclared: _limit,
    LimitsBroken: _broken,
    MoneyMoved: _moved,
    DayClosed: _day_closed,
    InvoicesIssued: _issued,
    PaymentsOrdered: _ordered,
    PaymentsClosed: _closed,
    DisputeRaised: _raised,
    DisputeDecided: _dispute_decided,
    FlexMarketOpened: _flex_opened,
    FlexSellerJoined: _flex_joined,
    FlexSettled: _flex_settled,
}
"""What makes the rows of each kind of event."""
