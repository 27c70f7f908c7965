"""Bids of a session: who may bid what until when, and what stands."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gridagora.engine.live.commands import SubmitBids, WithdrawBids
from gridagora.engine.live.money import available
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState, SessionState
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import BidsTaken, BidsWithdrawn, Ints
from gridagora.model.time import clock
from gridagora.units import MICRO, WH_PER_KWH

GIVING = frozenset({"pv", "battery", "generator", "ev"})
"""Types of assets that can give energy."""

MOST_FAULTS = 100
"""Rows of one command whose faults are told."""


def submit_bids(state: LiveState, command: SubmitBids) -> BidsTaken:
    """Take bids of one participant in, all or none."""
    faults = [*_session_faults(state, command), *bidder_faults(state, command.participant)]
    names = ("period", "side", "price", "quantity")
    columns = [whole_column(getattr(command, name), name, faults=faults) for name in names]
    check_faults(faults)
    period, side, price, quantity = columns
    taken = BidsTaken(
        at=command.at,
        actor=command.actor,
        session=command.session,
        participant=command.participant,
        number=state.next_bid,
        period=period,
        side=side.astype(np.int8),
        price=price,
        quantity=quantity,
    )
    check_faults(_bid_faults(state, taken, side))
    return taken


def apply_taken(state: LiveState, event: BidsTaken) -> None:
    """Add bids to the book of their session."""
    session = state.sessions[event.session]
    session.book.take(event)
    state.next_bid = event.number + len(event.period)
    if state.open_terms.escrow:
        _reserve(state, session, event.participant, amount=may_cost(event.side, event.price, event.quantity))


def withdraw_bids(state: LiveState, command: WithdrawBids) -> BidsWithdrawn:
    """Take bids of one participant back."""
    faults = _session_faults(state, command)
    numbers = whole_column(command.numbers, "numbers", faults=faults)
    check_faults(faults)
    book = state.sessions[command.session].book
    wanted = numbers.tolist() if len(numbers) else book.numbers_of(command.participant)
    unknown = [number for number in wanted if book.find(command.participant, number) is None]
    check_faults(
        refusal("bid_unknown", "numbers", number, fix="name bids of your own that stand in this session")
        for number in unknown[:MOST_FAULTS]
    )
    if not wanted:
        raise InputError([refusal("bid_unknown", "numbers", (), fix="there is nothing to take back")])
    return BidsWithdrawn(
        at=command.at,
        actor=command.actor,
        session=command.session,
        participant=command.participant,
        numbers=np.array(sorted(set(wanted)), np.int64),
    )


def apply_withdrawn(state: LiveState, event: BidsWithdrawn) -> None:
    """Take bids out of the book of their session."""
    session = state.sessions[event.session]
    for number in event.numbers.tolist():
        found = session.book.find(event.participant, number)
        if found is not None and state.open_terms.escrow:
            bids, row = found
            cost = may_cost(bids.side[row], bids.price[row], bids.quantity[row])
            _reserve(state, session, event.participant, amount=-cost)
        session.book.withdrawn.add(number)


def may_cost(side: Any, price: Any, quantity: Any) -> int:
    """Return the most that bids can cost who made them, micro-units, if each buys all at its own price.

    A micro-unit per kWh more covers the rounding of the mean price of what was bought.

    >>> may_cost(np.array([1, -1, 1], np.int8), np.array([300_000, 100_000, -5]), np.array([1000, 500, 9]))
    300001
    """
    due = np.where((side > 0) & (price > 0), (price + 1) * quantity, 0)
    return int((-(-due // WH_PER_KWH)).sum())


def bidder_faults(state: LiveState, participant: str) -> list[Fault]:
    """Return why a participant may not bid at all; an empty list where it may."""
    record = state.register.get("participant", participant)
    if record is None:
        fix = "register the participant first"
        return [refusal("participant_unknown", "participant", participant, fix=fix)]
    if record.status != "active":
        fix = f"ask the operator: the participant is {record.status}"
        return [refusal("participant_not_active", "participant", participant, fix=fix)]
    if record.body.get("passive", False):
        fix = "ask the operator to let the participant trade"
        return [refusal("participant_passive", "participant", participant, fix=fix)]
    if connection_of(state, participant) is None:
        fix = "register a connection point and have it approved"
        return [refusal("no_connection", "participant", participant, fix=fix)]
    return []


def connection_of(state: LiveState, participant: str) -> dict[str, Any] | None:
    """Return the active connection point of a participant, None where it has none."""
    for record in state.register.owned("connection_point", participant):
        if record.status == "active":
            return dict(record.body)
    return None


def can_give(state: LiveState, participant: str) -> bool:
    """Tell whether a participant has an approved asset that can give energy."""
    assets = state.register.owned("asset", participant)
    return any(asset.status == "approved" and asset.body["type"] in GIVING for asset in assets)


def whole_column(given: Any, place: str, *, faults: list[Fault]) -> Ints:
    """Return a column of whole numbers; what is none is added to the faults."""
    column = np.asarray(given)
    if column.dtype.kind in "iu" or column.size == 0:
        if column.ndim == 1:
            return column.astype(np.int64)
        faults.append(refusal("not_whole", place, column.shape, fix="give one entry per row"))
        return np.zeros(0, np.int64)
    faults.append(refusal("not_whole", place, str(column.dtype), fix="give whole numbers below 2^63"))
    return np.zeros(0, np.int64)


def _session_faults(state: LiveState, command: SubmitBids | WithdrawBids) -> list[Fault]:
    terms = state.open_terms
    session = state.sessions.get(command.session)
    times = terms.session(command.session)
    if session is None:
        if 0 <= command.session < state.next_open:
            return [refusal("gate_closed", "session", command.session, fix="bid in a session that is open")]
        fix = f"sessions take bids {terms.open_lead_s} s ahead; this one from {clock(times.opens)} on"
        return [refusal("session_unknown", "session", command.session, fix=fix)]
    if command.at >= times.gate or session.status != "open":
        reason = f"the gate of the session closed at {clock(times.gate)}, the bid came at {clock(command.at)}"
        fix = f"bid in session {terms.session_of(terms.period_at(command.at + terms.gate_lead_s)) + 1}"
        return [refusal("gate_closed", "session", command.session, reason=reason, fix=fix)]
    return []


def _bid_faults(state: LiveState, taken: BidsTaken, side: Ints) -> Iterator[Fault]:
    terms, times = state.open_terms, state.sessions[taken.session].times
    lengths = {len(taken.period), len(taken.side), len(taken.price), len(taken.quantity)}
    if len(lengths) > 1:
        yield refusal("columns_differ", "bids", sorted(lengths), fix="give each column one entry per bid")
        return
    if not len(taken.period):
        yield refusal("no_rows", "bids", 0, fix="give one bid or more")
        return
    low, high, most = bid_bounds(terms)
    checks = (
        ("period_unknown", "period", taken.period, (taken.period < times.first)
         | (taken.period >= times.first + times.count),
         f"write {times.first} to {times.first + times.count - 1}"),
        ("side_unknown", "side", side, (side != 1) & (side != -1), "write 1 to buy or -1 to sell"),
        ("price_out_of_bounds", "price", taken.price, (taken.price < low) | (taken.price > high),
         f"write {low} to {high} micro-{terms.currency} per kWh"),
        ("quantity_out_of_bounds", "quantity", taken.quantity, (taken.quantity < 1)
         | (taken.quantity > most), f"write 1 to {most} Wh"),
    )  # fmt: skip
    for code, name, values, wrong, fix in checks:
        if np.count_nonzero(wrong):  # ten times as fast as any() of a single bid
            for row in np.flatnonzero(wrong)[:MOST_FAULTS].tolist():
                yield refusal(code, f"{name}[{row}]", int(values[row]), fix=fix)
    yield from _rights_faults(state, taken, side)


def _rights_faults(state: LiveState, taken: BidsTaken, side: Ints) -> Iterator[Fault]:
    if np.count_nonzero(side < 0) and not can_give(state, taken.participant):
        fix = "register an asset that can give energy and have it prequalified"
        yield refusal("not_prequalified", "participant", taken.participant, fix=fix)
    point = connection_of(state, taken.participant) or {}
    for name, rows in (("import_kw", side > 0), ("export_kw", side < 0)):
        limit = point.get(name)
        if limit is None:
            continue
        most = int(limit * state.open_terms.hours * WH_PER_KWH)
        for row in np.flatnonzero(rows & (taken.quantity > most))[:MOST_FAULTS].tolist():
            reason, fix = (
                f"is more than the connection point carries ({limit} kW)",
                f"write {most} Wh or less",
            )
            value = int(taken.quantity[row])
            yield refusal("quantity_out_of_bounds", f"quantity[{row}]", value, reason=reason, fix=fix)
    if state.open_terms.escrow:
        cost, free = may_cost(taken.side, taken.price, taken.quantity), available(state, taken.participant)
        if cost > free:
            reason = f"may cost {cost} micro-units, and {free} are free in the wallet"
            fix = "pay money in, or take other bids back"
            yield refusal("insufficient_funds", "bids", taken.participant, reason=reason, fix=fix)


def bid_bounds(terms: LiveTerms) -> tuple[int, int, int]:
    """Return the lowest and highest price, micro-currency per kWh, and the largest quantity of a bid, Wh.

    >>> bid_bounds(LiveTerms(name="a", epoch=0, scenario=""))
    (-10000000, 10000000, 10000000)
    """
    return (
        round(terms.lowest_price * MICRO),
        round(terms.highest_price * MICRO),
        int(terms.most_kwh * WH_PER_KWH),
    )


def _reserve(state: LiveState, session: SessionState, participant: str, *, amount: int) -> None:
    for reserved in (session.book.reserved, state.reserved):
        reserved[participant] = reserved.get(participant, 0) + amount
