"""The flexibility market within a live market: its sellers are registered, its money is on their bills.

Names of sellers and buyers are those of accounts, so no participant is called like a buyer.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gridagora.engine.flexibility import machine as flexibility
from gridagora.engine.flexibility.commands import (
    AddFlexSeller,
    DropFlexSeller,
    OpenFlexAuction,
    OpenFlexMarket,
    PairRedispatch,
    RecordFlexReadings,
    SettleFlexPeriods,
    SubmitFlexBids,
)
from gridagora.engine.live.bidding import connection_of
from gridagora.engine.live.commands import KeepResource
from gridagora.engine.live.context import LiveContext
from gridagora.engine.live.expected import grid_check
from gridagora.engine.live.flex_commands import RelieveArea, RequestFlexibility, SettleFlexibility
from gridagora.engine.live.money import bill, book_named
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.register import keep_resource
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault, InputError, check_faults
from gridagora.ledger import SYSTEM_ACCOUNTS
from gridagora.model.events import Event
from gridagora.model.flexibility_events import FlexEvent, FlexSettled
from gridagora.model.flexibility_market import ConnectionPoint, FlexMarketTerms
from gridagora.model.live_events import ResourceKept

SELLS = {"import": "sell", "export": "buy"}
"""Side of the orders inside an area by what is too much there."""


def carry_out(state: LiveState, command: Any, context: LiveContext) -> tuple[Event, ...]:
    """Hand a command to the flexibility market."""
    if isinstance(command, OpenFlexMarket):
        check_faults(_name_faults(state, command.terms))
    feasible = grid_check(state, context) if isinstance(command, PairRedispatch) else None
    return (flexibility.handle(state.flex, command, feasible=feasible),)


def keep(state: LiveState, command: KeepResource, context: LiveContext) -> tuple[Event, ...]:
    """Make a record or change it; the sellers of the flexibility market follow."""
    kept = keep_resource(state, command, context)
    return (kept, *_followed(state, kept))


def sellers(state: LiveState) -> Iterator[ConnectionPoint]:
    """Yield who can sell flexibility by now: active participants with a connection of known capacity."""
    for record in state.register.all("participant"):
        point = connection_of(state, record.id) if record.status == "active" else None
        if point is not None and (seller := _seller(record.id, point)) is not None:
            yield seller


def request(state: LiveState, command: RequestFlexibility, _: LiveContext) -> tuple[Event, ...]:
    """Open an auction and take the bids of who asks for it."""
    number = len(state.flex.auctions)
    auction = replace(command.auction, number=number)
    opened = flexibility.handle(state.flex, OpenFlexAuction(at=command.at, auction=auction))
    submit = SubmitFlexBids(at=command.at, auction=number, bids=command.bids)
    return opened, flexibility.handle(flexibility.apply(state.flex, opened), submit)


def relieve(state: LiveState, command: RelieveArea, context: LiveContext) -> tuple[Event, ...]:
    """Pair the orders that wait for some periods."""
    if command.relieves not in SELLS:
        reason, fix = "is unknown", f"write {' or '.join(SELLS)}"
        raise InputError([refusal("side_unknown", "relieves", command.relieves, reason=reason, fix=fix)])
    inside_side, within = SELLS[command.relieves], set(command.inside)
    waiting = [one for one in state.flex.willing if one.period in command.periods]
    inside = tuple(one for one in waiting if one.participant in within and one.side == inside_side)
    outside = tuple(one for one in waiting if one.participant not in within and one.side != inside_side)
    pair = PairRedispatch(
        at=command.at,
        inside=inside,
        outside=outside,
        needed_kw=dict(zip(command.periods, command.needed_kw, strict=True)),
        shares={command.buyer: 1.0},
    )
    return carry_out(state, pair, context)


def settle(state: LiveState, command: SettleFlexibility, _: LiveContext) -> tuple[Event, ...]:
    """Record readings and settle their periods."""
    record = RecordFlexReadings(
        at=command.at,
        first=command.first,
        metered_kw=command.metered_kw,
        baseline_kw=command.baseline_kw,
    )
    recorded = flexibility.handle(state.flex, record)
    then = flexibility.apply(state.flex, recorded)
    wanted = SettleFlexPeriods(at=command.at, first=command.first, count=command.count)
    return recorded, flexibility.handle(then, wanted)


def apply_event(state: LiveState, event: FlexEvent) -> None:
    """Let the flexibility market follow an event; what it settles is booked on bills."""
    state.flex = flexibility.apply(state.flex, event)
    if isinstance(event, FlexSettled):
        names = account_names(state.flex.open_terms)
        book_named(state, tuple(names[code] for code in event.account.tolist()), event.amount)


def account_names(terms: FlexMarketTerms) -> tuple[str, ...]:
    """Return the account of each code of the flexibility market in the books of the whole.

    >>> account_names(FlexMarketTerms(points=(), buyers=("DSO",), products=(), start=0, first=0, periods=1,
    ...                               period_hours=1.0, settlement=()))[:2]
    ('participant:DSO', 'retailer')
    """
    return (*map(bill, terms.participants), *SYSTEM_ACCOUNTS)


def is_buyer(state: LiveState, name: str) -> bool:
    """Tell whether an organisation buys flexibility here."""
    return state.flex.terms is not None and name in state.flex.terms.buyers


def _seller(name: str, point: Mapping[str, Any]) -> ConnectionPoint | None:
    """Return a connection as the flexibility market knows it, None where it has no capacity that is known."""
    if not {"import_kw", "export_kw"} & point.keys():
        return None
    capacity = {side: float(point.get(side, 0.0)) for side in ("import_kw", "export_kw")}
    return ConnectionPoint(participant=name, bus=point["bus"], **capacity)


def _followed(state: LiveState, kept: ResourceKept) -> Iterator[FlexEvent]:
    """Yield how the sellers change with a record of a participant or of its connection, if they do."""
    flex = state.flex
    if flex.terms is None or kept.kind not in ("participant", "connection_point"):
        return
    body = json.loads(kept.body)
    name = kept.id if kept.kind == "participant" else body["participant"]
    reason, point = _stands(state, kept, name, body=body)
    sells = name in flex.terms.participants and name not in flex.absent
    at = max(kept.at, flex.at or kept.at)
    if reason and sells:
        yield flexibility.handle(flex, DropFlexSeller(at=at, participant=name, reason=reason))
    if point is not None and not sells and (seller := _seller(name, point)) is not None:
        yield flexibility.handle(flex, AddFlexSeller(at=at, point=seller))


def _stands(
    state: LiveState, kept: ResourceKept, name: str, *, body: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any] | None]:
    """Return why a participant cannot sell once a record is kept, and its active connection if it can."""
    if kept.kind == "participant":
        status, point = kept.status, connection_of(state, name)
    else:
        who = state.register.get("participant", name)
        status = "unknown" if who is None else who.status
        others = state.register.owned("connection_point", name)
        active = (dict(one.body) for one in others if one.status == "active" and one.id != kept.id)
        point = dict(body) if kept.status == "active" else next(active, None)
    if status != "active":
        return f"the participant is {status}", None
    return ("the participant has no active connection point", None) if point is None else ("", point)


def _name_faults(state: LiveState, terms: FlexMarketTerms) -> Iterator[Fault]:
    if not terms.points:
        reason = "nobody could sell: no active participant has an active connection of known capacity"
        fix = "set import_kw or export_kw at connection points first"
        yield refusal("no_rows", "connection points", 0, reason=reason, fix=fix)
    for point in terms.points:
        if state.register.get("participant", point.participant) is None:
            fix = "register it first"
            yield refusal("participant_unknown", "points", point.participant, fix=fix)
    for name in terms.buyers:
        if state.register.get("participant", name) is not None:
            reason, fix = "is the name of a participant", "name the organisation of a grid operator"
            yield refusal("id_invalid", "buyers", name, reason=reason, fix=fix)
