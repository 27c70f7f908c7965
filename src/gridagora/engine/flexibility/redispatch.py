"""Paired redispatch (IDCONS): two orders trade energy across a congestion, grid operators pay the spread.

It changes schedules, not limits: nothing is ordered of a meter, and each order is settled at its own price.
"""

from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral, Real

import numpy as np

from gridagora.engine.flexibility.commands import (
    PairRedispatch,
    SubmitRedispatchOrder,
    WithdrawRedispatchOrder,
)
from gridagora.engine.flexibility.state import LEAST_KW, FlexMarketState, shown, time_faults
from gridagora.errors import Fault, InputError, InvariantError, check_faults, require
from gridagora.market._redispatch_check import order_faults
from gridagora.market.mechanisms.redispatch_pairs import (
    Delta,
    Feasible,
    RedispatchResult,
    pair_redispatch,
)
from gridagora.model.columns import Ints
from gridagora.model.flexibility_events import (
    RedispatchOrderTaken,
    RedispatchOrderWithdrawn,
    RedispatchPaired,
)
from gridagora.model.flexibility_market import RedispatchOrder


def take_order(state: FlexMarketState, command: SubmitRedispatchOrder) -> RedispatchOrderTaken:
    """Take an order that waits for a pair: one of a participant for a period."""
    terms, order = state.open_terms, command.order
    faults = time_faults(state, command.at)
    faults += order_faults("order", order, max(state.open_from, terms.open_from(command.at)))
    faults += _order_faults(state, "order", order)
    if order.participant not in (point.participant for point in terms.points):
        fix = "name a connection point of the market"
        faults.append(_fault("order, participant", order.participant, "is no seller here", fix=fix))
    if isinstance(order.period, Integral) and order.period >= terms.end:
        fix = f"choose periods of {terms.first} to {terms.end - 1}"
        faults.append(_fault("order, period", order.period, "is outside the market", fix=fix))
    if any(_key(one) == _key(order) for one in state.willing):
        reason, fix = f"has an order for period {order.period} already", "take that one back first"
        faults.append(_fault("order, participant", order.participant, reason, fix=fix))
    check_faults(faults)
    return RedispatchOrderTaken(at=command.at, order=order)


def withdraw_order(state: FlexMarketState, command: WithdrawRedispatchOrder) -> RedispatchOrderWithdrawn:
    """Take an order back that waits for a pair."""
    faults = time_faults(state, command.at)
    if (command.participant, command.period) not in map(_key, state.willing):
        reason, fix = "has no order for that period", "take back an order that waits"
        faults.append(_fault("participant", command.participant, reason, fix=fix))
    check_faults(faults)
    return RedispatchOrderWithdrawn(at=command.at, participant=command.participant, period=command.period)


def apply_order(state: FlexMarketState, event: RedispatchOrderTaken) -> FlexMarketState:
    """Let the order wait behind the others; those whose period has begun wait no more."""
    return replace(state, willing=(*_waiting(state, event.at), event.order))


def apply_order_withdrawn(state: FlexMarketState, event: RedispatchOrderWithdrawn) -> FlexMarketState:
    """Drop the order."""
    gone = event.participant, event.period
    return replace(state, willing=tuple(one for one in state.willing if _key(one) != gone))


def _waiting(state: FlexMarketState, at: int) -> tuple[RedispatchOrder, ...]:
    """Return the orders that can still be paired at a moment."""
    first = max(state.open_from, state.open_terms.open_from(at))
    return tuple(one for one in state.willing if one.period >= first)


def _key(order: RedispatchOrder) -> tuple[str, int]:
    return order.participant, order.period


def pair_orders(state: FlexMarketState, command: PairRedispatch, feasible: Feasible) -> RedispatchPaired:
    """Pair orders at the least spread; ``feasible`` names the limits that a change of schedules breaks."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    faults += _share_faults(state, command)
    result: RedispatchResult | None = None
    try:
        result = pair_redispatch(
            command.inside,
            command.outside,
            needed_kw=command.needed_kw,
            hours=terms.period_hours,
            shares=command.shares,
            feasible=_asked(state, feasible) if not faults else _refuse,
            participants=[point.participant for point in terms.points],
            now_period=max(state.open_from, terms.open_from(command.at)),
        )
    except InputError as error:
        faults += error.faults
    check_faults(faults)
    if result is None:
        raise InvariantError("a redispatch without faults has a result")
    return _paired(state, command, result)


def apply_paired(state: FlexMarketState, event: RedispatchPaired) -> FlexMarketState:
    """Add what each party gets or pays to the periods."""
    require(int(event.due_micro.sum()) == 0, "paired redispatch makes or loses money")
    for period in np.unique(event.due_period).tolist():
        old, rows = state.period(period), event.due_period == period
        money, kw = old.redispatch_micro.copy(), old.redispatch_kw.copy()
        np.add.at(money, event.party[rows], event.due_micro[rows])
        pairs = event.period == period
        np.add.at(kw, event.buyer[pairs], event.kw[pairs])
        np.add.at(kw, event.seller[pairs], -event.kw[pairs])
        state = state.with_periods({period: replace(old, redispatch_micro=money, redispatch_kw=kw)})
    names, rows = state.open_terms.participants, event.period.tolist()
    paired = {
        (names[code], period)
        for codes in (event.seller, event.buyer)
        for code, period in zip(codes.tolist(), rows, strict=True)
    }
    return replace(state, willing=tuple(one for one in state.willing if _key(one) not in paired))


def _asked(state: FlexMarketState, feasible: Feasible) -> Feasible:
    """Ask the grid about a change together with what was paired earlier for the same periods."""
    names = state.open_terms.participants

    def together(delta: Delta) -> tuple[str, ...]:
        total = dict(delta)
        for period in {period for _, period in delta}:
            for code in np.flatnonzero(state.period(period).redispatch_kw).tolist():
                key = (names[code], period)
                total[key] = total.get(key, 0.0) + float(state.period(period).redispatch_kw[code])
        return feasible(total)

    return together


def _refuse(_: object) -> tuple[str, ...]:
    """Refuse every change: the command has faults, so that the grid need not be asked."""
    return ("faults of the command",)


def _paired(state: FlexMarketState, command: PairRedispatch, result: RedispatchResult) -> RedispatchPaired:
    code = {name: number for number, name in enumerate(state.open_terms.participants)}
    pairs, rejected, lines = result.pairs, result.rejected, result.lines
    return RedispatchPaired(
        at=command.at,
        period=_whole(pair.period for pair in pairs),
        seller=_whole(code[pair.seller] for pair in pairs),
        buyer=_whole(code[pair.buyer] for pair in pairs),
        kw=np.array([pair.kw for pair in pairs], np.float64),
        energy_wh=_whole(pair.energy_wh for pair in pairs),
        ask_micro=_whole(pair.ask_micro for pair in pairs),
        bid_micro=_whole(pair.bid_micro for pair in pairs),
        rejected_period=_whole(pair.period for pair in rejected),
        rejected_inside=_whole(code[pair.inside] for pair in rejected),
        rejected_outside=_whole(code[pair.outside] for pair in rejected),
        rejected_kw=np.array([pair.kw for pair in rejected], np.float64),
        rejected_reason=tuple(pair.reason for pair in rejected),
        party=_whole(code[line.party] for line in lines),
        due_period=_whole(line.period for line in lines),
        due_micro=_whole(line.amount_micro for line in lines),
        buyers=tuple(command.shares),
    )


def _whole(values: Iterator[int]) -> Ints:
    return np.fromiter(values, np.int64)


def _share_faults(state: FlexMarketState, command: PairRedispatch) -> Iterator[Fault]:
    terms = state.open_terms
    for name in command.shares:
        if name not in terms.buyers:
            fix = f"write one of {', '.join(terms.buyers)}"
            yield _fault(f"shares, {name}", name, "is no buyer here", fix=fix)
    for period in command.needed_kw:
        if isinstance(period, Integral) and not terms.first <= int(period) < terms.end:
            fix = f"choose periods of {terms.first} to {terms.end - 1}"
            yield _fault(f"needed_kw, period {period}", period, "is outside the market", fix=fix)
    for where, orders in (("inside", command.inside), ("outside", command.outside)):
        for row, order in enumerate(orders):
            yield from _order_faults(state, f"{where}, order {row}", order)


def _order_faults(state: FlexMarketState, place: str, order: RedispatchOrder) -> Iterator[Fault]:
    """Faults of an order above its connection, or of a participant that was paired for its period before."""
    terms = state.open_terms
    code = {point.participant: number for number, point in enumerate(terms.points)}.get(order.participant)
    if code is None:
        return
    most = terms.points[code].import_kw + terms.points[code].export_kw
    if isinstance(order.kw, Real) and float(order.kw) > most + LEAST_KW:
        reason = f"is above the way from full export to full import of {order.participant}, {shown(most)}"
        yield _fault(f"{place}, kw", order.kw, reason, fix=f"write at most {shown(most)}")
    inside = isinstance(order.period, Integral) and terms.first <= order.period < terms.end
    if inside and state.period(order.period).redispatch_kw[code]:
        reason, fix = f"was paired for period {order.period} already", "order other periods"
        yield _fault(f"{place}, participant", order.participant, reason, fix=fix)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="redispatch", place=place, value=value, reason=reason, fix=fix)
