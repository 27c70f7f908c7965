"""What is expected of a session before it is metered: its cleared schedule, else forecasts."""

from dataclasses import dataclass

import numpy as np

from gridagora.engine.feasible import ScheduleCheck
from gridagora.engine.live.context import LiveContext, session_context
from gridagora.engine.live.gate import expected_loads, gate_of, nominated_kw
from gridagora.engine.live.state import BookColumns, LiveState, SessionState
from gridagora.market.mechanisms.redispatch_pairs import Delta, Feasible
from gridagora.model.columns import Floats
from gridagora.model.live_events import GateClosed


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """Net import of a session's participants, kW and kvar, shape (periods, participants).

    ``firm`` are those who bid: what is expected of them is their cleared schedule.
    """

    gate: GateClosed
    kw: Floats
    kvar: Floats
    firm: frozenset[str]


def expected_of(state: LiveState, number: int, context: LiveContext) -> Expected:
    """Return what is expected of a session: what was cleared, and the forecasts of those who did not bid.

    A session whose gate has not closed is taken as if it closed now without a bid.
    """
    times = state.open_terms.session(number)
    session = state.sessions.get(number) or SessionState(times)
    gate = session.gate or gate_of(state, session, state.at, context=context, book=BookColumns.none())
    firm = frozenset[str]()
    if session.cleared is not None:  # bids first, in the order of the gate, then what nobody bid
        firm = frozenset(gate.participants[k] for k in session.cleared.participant[: len(gate.bids)].tolist())
    silent = frozenset(code for code, name in enumerate(gate.participants) if name not in firm)
    loads = expected_loads(state, session, gate, silent=silent, share=context.reactive_share)
    kw = loads.kw
    if session.cleared is not None:
        market = session_context(context, state.open_terms, gate)
        kw = kw + nominated_kw(session.cleared, session.decided, market)
    kvar = np.maximum(kw, 0.0) * context.reactive_share
    return Expected(gate=gate, kw=kw, kvar=kvar, firm=firm)


def grid_check(state: LiveState, context: LiveContext) -> Feasible:
    """Return what tells which limits a change of schedules breaks, by a power flow around what is expected.

    Sessions are looked at as they are asked about, each once.
    """
    known: dict[int, ScheduleCheck] = {}
    terms = state.open_terms

    def check(delta: Delta) -> tuple[str, ...]:
        parts: dict[int, dict[tuple[str, int], float]] = {}
        for (name, period), change in delta.items():
            parts.setdefault(terms.session_of(period), {})[name, period] = change
        broken: list[str] = []
        for number, part in sorted(parts.items()):
            if number not in known:
                known[number] = _schedule_check(state, number, context)
            broken += known[number](part)
        return tuple(broken)

    return check


def _schedule_check(state: LiveState, number: int, context: LiveContext) -> ScheduleCheck:
    found, terms = expected_of(state, number, context), state.open_terms
    study = session_context(context, terms, found.gate).study
    grid = context.wires(study).grid
    base = np.zeros((2, len(found.kw), len(grid.buses)))
    for code, bus in enumerate(found.gate.buses):
        base[:, :, grid.bus_position[bus]] += np.stack([found.kw[:, code], found.kvar[:, code]])
    points = state.flex.open_terms.points
    return ScheduleCheck(
        grid,
        base[0],
        base[1],
        bus_of={point.participant: point.bus for point in points},
        limits=context.limits,
        first=terms.session(number).first,
    )
