"""The loop of a study: homes plan and bid, the pool clears, the grid is checked, devices run.

Money is settled.

One session after the other; what homes know at a gate is what was measured before it.  Their stores are
taken as they are at the first delivery period, also where the gate closes earlier (a home knows its own
devices).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.agents import Delivery, Envelope, FleetState, Plan, Team
from gridagora.engine.commands import (
    CheckSchedule,
    ClearAuction,
    Command,
    DecideTrades,
    OpenMarket,
    RecordDelivery,
    SettleSession,
)
from gridagora.engine.envelope import envelope_of
from gridagora.engine.island import balance_islands
from gridagora.engine.machine import MarketContext, MarketState, apply, handle
from gridagora.engine.outlook import Expectation
from gridagora.engine.pool import nominated_kwh
from gridagora.engine.ports import Clock, Store
from gridagora.engine.timetable import MarketSession, sessions
from gridagora.model.columns import DeviceColumns, Floats, Ints
from gridagora.model.events import AuctionCleared, PoolEvent, TradesDecided
from gridagora.model.study import Study

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What a run is driven with: its homes and what they expect, where events go, and the time."""

    team: Team
    expectation: Expectation
    store: Store
    clock: Clock


class Market:
    """A market at work: hands commands to the state machine, keeps its state, stores its events."""

    def __init__(self, context: MarketContext, store: Store) -> None:
        self.context = context
        self._store = store
        self.state = MarketState()

    def do(self, command: Command) -> PoolEvent:
        """Carry out a command: its event is stored, then the state follows it."""
        event = handle(self.state, command, self.context)
        self._store.append([event])
        self.state = apply(self.state, event)
        return event


def run_sessions(context: MarketContext, world: World, *, progress: Progress, stop: Stop) -> int:
    """Run the sessions of a study and return how many periods were finished.

    Parameters
    ----------
    context : study, prices, mechanism and grid check
    world : homes, store and clock
    progress : called with (finished periods, periods) after each session
    stop : asked before each session; True ends the run there
    """
    study = context.study
    market = Market(context, world.store)
    market.do(OpenMarket(at=world.clock.now()))
    rng = np.random.default_rng(study.seed)
    planner = Planner(world.team, world.expectation, study)
    state, done = world.team.initial_state(), 0
    for session in sessions(study.axis, study.market):
        if stop():
            break
        plan = planner.plan(state, session)
        world.clock.wait_until(session.gate_closure)
        committed, envelope = _trade(market, world, session, plan=plan, rng=rng)
        world.clock.wait_until(session.delivery_end)
        delivery = planner.deliver(state, session, plan, committed_kw=committed, envelope=envelope)
        island = islands_of_homes(study, session)
        if (island >= 0).any():
            delivery = balance_islands(delivery, world.team.fleet, start=state, island=island)
        market.do(record_delivery(world.clock.now(), session, delivery, committed=committed))
        market.do(SettleSession(at=world.clock.now(), session=session))
        state, done = delivery.state, session.first + session.count
        progress(done, study.axis.periods)
    return done


def run_without_market(
    study: Study, team: Team, expectation: Expectation, *, periods: int, progress: Progress, stop: Stop
) -> Delivery:
    """Run the same homes with the retailer alone; returns what they did in the finished periods.

    On an island without a market nobody exchanges anything: each home there is held to a net import of zero.
    """
    planner, planned = Planner(team, expectation, study), study.agents.ems == "optimal"
    state, parts = team.initial_state(), []
    for session in sessions(study.axis, study.market):
        if session.first >= periods or stop():
            break
        alone = islands_of_homes(study, session) >= 0
        due, bounds = _nothing_exchanged(alone) if alone.any() else (None, None)
        plan = planner.plan(state, session) if planned else None
        delivery = planner.deliver(state, session, plan, committed_kw=due, envelope=bounds)
        parts.append(delivery)
        state = delivery.state
        progress(session.first + session.count, study.axis.periods)
    return join_deliveries(parts)


class Planner:
    """Asks the team for plans when they are due and hands each session its part of the plan in force.

    Rule-based homes make theirs for each session; optimal ones every ``replan_periods``.
    """

    def __init__(self, team: Team, expectation: Expectation, study: Study) -> None:
        self._team = team
        self._expectation = expectation
        self._replan = study.agents.replan_periods if study.agents.ems == "optimal" else 1
        self._plan: Plan | None = None

    def plan(self, state: FleetState, session: MarketSession) -> Plan:
        """Return the plan of a session's periods, made with what was known at its gate."""
        first, count = session.first, session.count
        held = self._plan
        if held is None or first + count > held.t + held.periods:
            held = self._plan = self._make(state, first, max(count, self._replan), gate=session.gate)
        return held.part(first, count)

    def deliver(
        self,
        state: FleetState,
        session: MarketSession,
        plan: Plan | None,
        *,
        committed_kw: Floats | None,
        envelope: Envelope | None = None,
    ) -> Delivery:
        """Run a session's devices; where homes plan anew within it, each part follows the newest plan."""
        if plan is None or plan.battery_value is None or self._replan >= session.count:
            return self._team.deliver(
                state, session.first, session.count, plan=plan, committed_kw=committed_kw, envelope=envelope
            )
        parts = []
        for offset in range(0, session.count, self._replan):
            first, count = session.first + offset, min(self._replan, session.count - offset)
            part = plan.part(first, count) if offset == 0 else self._make(state, first, count, gate=first)
            due = None if committed_kw is None else committed_kw[:, offset : offset + count]
            bounds = None if envelope is None else envelope.part(offset, count)
            parts.append(
                self._team.deliver(state, first, count, plan=part, committed_kw=due, envelope=bounds)
            )
            state = parts[-1].state
        return join_deliveries(parts)

    def _make(self, state: FleetState, first: int, count: int, *, gate: int) -> Plan:
        count = min(count, self._team.fleet.periods - first)
        horizon = self._team.horizon(first, count)
        return self._team.plan(state, first, count, outlook=self._expectation.outlook(gate, first, horizon))


def _trade(
    market: Market, world: World, session: MarketSession, *, plan: Plan, rng: np.random.Generator
) -> tuple[Floats, Envelope | None]:
    """Bid, clear and check a session.

    Returns the net import committed to, kW, shape (homes, periods), and what the wires let homes exchange.
    """
    now = world.clock.now()
    net_kvar = world.expectation.reactive(session.gate, session.first, session.count)
    fixed_kw = np.where(world.team.fleet.tradable[:, None], 0.0, plan.net_kw)
    cleared = market.do(
        ClearAuction(
            at=now,
            session=session,
            bids=world.team.bids(plan, rng=rng),
            fixed_kw=fixed_kw.T,
            net_kvar=net_kvar.T,
        )
    )
    if not isinstance(cleared, AuctionCleared):
        raise TypeError(cleared)
    if market.context.zones is not None:
        decided = market.do(DecideTrades(at=now, session=session, fixed_kw=fixed_kw.T, net_kvar=net_kvar.T))
        if not isinstance(decided, TradesDecided):
            raise TypeError(decided)
        cleared = replace(cleared, accepted=decided.accepted, paid=decided.paid)
    bought, sold = nominated_kwh(cleared, market.context.study, prices=market.context.prices)
    committed = world.team.committed_kw(bought, sold)
    net_kw = np.where(np.isnan(committed), plan.net_kw, committed)
    market.do(CheckSchedule(at=now, session=session, net_kw=net_kw.T, net_kvar=net_kvar.T))
    return committed, envelope_of(cleared, market.context, committed_kw=committed)


def record_delivery(
    now: int, session: MarketSession, delivery: Delivery, *, committed: Floats
) -> RecordDelivery:
    """Return the command that records a session: net import committed to (homes, periods), and devices."""
    return RecordDelivery(
        at=now,
        session=session,
        cleared_kw=np.where(np.isnan(committed), 0.0, committed).T,
        metered_kw=delivery.net_kw.T,
        devices=DeviceColumns(
            curtailed_kw=delivery.curtailed_kw.T,
            battery_kw=delivery.battery_kw.T,
            ev_kw=delivery.ev_kw.T,
            heat_pump_kw=delivery.heat_pump_kw.T,
            unserved_kw=delivery.unserved_load_kw.T,
            unserved_heat_kw=delivery.unserved_heat_kw.T,
            ev_short_kwh=delivery.ev_short_kwh.T,
            battery_kwh=delivery.battery_kwh.T,
            ev_kwh=delivery.ev_kwh.T,
            tank_kwh=delivery.tank_kwh.T,
        ),
    )


def islands_of_homes(study: Study, session: MarketSession) -> Ints:
    """Return the number of the island that each home is on, -1: on none, shape (homes, periods)."""
    shape = (len(study.homes), session.count)
    if study.zones is None:
        return np.full(shape, 0 if study.market.islanded else -1, dtype=np.int64)
    found: Ints = study.zones.islands(session.first, session.count)[:, study.zones.of_home].T
    return found


def _nothing_exchanged(alone: NDArray[np.bool_]) -> tuple[Floats, Envelope]:
    """Return what holds homes that stand alone to a net import of zero, shape (homes, periods)."""
    due = np.where(alone, 0.0, np.nan)
    bounds = Envelope(
        least_kw=np.where(alone, 0.0, -np.inf),
        most_kw=np.where(alone, 0.0, np.inf),
        shed_kw=np.where(alone, np.inf, 0.0),
    )
    return due, bounds


def join_deliveries(parts: list[Delivery]) -> Delivery:
    """Join deliveries of consecutive periods into one."""
    series = [f.name for f in fields(Delivery) if f.name not in ("t", "state")]
    joined = {name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in series}
    return Delivery(t=parts[0].t, state=parts[-1].state, **joined)
