"""The loop of a study with a flexibility market: the operator buys limits, homes keep them, money is settled.

A day is auctioned in the last moments in which its first period can still be traded, ``gate_closure_periods``
before it, period by period (`gridagora.engine.flexibility.trading`): each auction has fresh offers under the
limits sold so far.  At the gate closure
of each period homes and operator look again: who cannot keep a limit buys it back, others offer what they can
spare, and an operator that plans ahead buys more.  Then homes run, are metered, and the day is settled.

Homes trade no energy with each other: sessions of the pool are cleared without their bids, so that all they
take and give is with the retailer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from gridagora.agents import Delivery, FleetState
from gridagora.engine.commands import CheckSchedule, ClearAuction, OpenMarket, SettleSession
from gridagora.engine.flexibility.commands import (
    CallReservations,
    CloseFlexGate,
    OpenFlexMarket,
    RecordFlexReadings,
    SettleFlexPeriods,
)
from gridagora.engine.flexibility.desk import FlexDesk
from gridagora.engine.flexibility.dso import GridOperator, UnmetNeed
from gridagora.engine.flexibility.forecasts import FlexForecasts
from gridagora.engine.flexibility.operate import FlexHomes, first_period
from gridagora.engine.flexibility.sellers import Sellers
from gridagora.engine.flexibility.terms import market_terms, reservation_demand, reservation_periods
from gridagora.engine.flexibility.trading import Desks, ShortTerm
from gridagora.engine.machine import MarketContext
from gridagora.engine.ports import Clock, Store
from gridagora.engine.simulate import Market, join_deliveries, record_delivery
from gridagora.engine.timetable import MarketSession, sessions
from gridagora.errors import Fault, check_faults
from gridagora.grid import GridModel, Need, PointForecast
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility_market import ContractRules
from gridagora.model.flexibility_study import DemandName, FlexRules

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexWorld:
    """What a run is driven with: the grid, the rules of its market, where events go, and the time.

    No day is begun from period ``until`` on.
    """

    grid: GridModel
    rules: FlexRules
    way: DemandName
    store: Store
    clock: Clock
    until: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexOutcome:
    """What homes did in the finished periods, and the needs that nobody could cure."""

    periods: int
    delivery: Delivery | None
    unmet: tuple[UnmetNeed, ...]


def run_flexibility(
    context: MarketContext, world: FlexWorld, *, progress: Progress, stop: Stop
) -> FlexOutcome:
    """Run a study with its flexibility market, whose product must be sold in single periods.

    Parameters
    ----------
    context : study, prices and grid check of the pool's state machine
    world : grid, rules and way of bidding, store and clock
    progress : called with (finished periods, periods) after each day
    stop : asked before the auctions of each day but the first; True ends the run with the day before

    Raises
    ------
    InputError
        A product whose activations last several periods at least.
    """
    check_faults(_product_faults(world.rules))
    return _Run(context, world).all(progress, stop)


def _product_faults(rules: FlexRules) -> Iterator[Fault]:
    if rules.product.min_duration > 1:
        yield Fault(
            source="flexibility product",
            place="min_duration",
            value=rules.product.min_duration,
            reason="is above one period, but a study auctions its periods one after the other",
            fix="leave it out, or lengthen the resolution",
        )


class _Run:
    """One run: what stands while it goes on."""

    def __init__(self, context: MarketContext, world: FlexWorld) -> None:
        study, rules = context.study, world.rules
        self._study, self._rules, self._clock = study, rules, world.clock
        self._until = world.until
        self._forecasts = FlexForecasts(study, rules)
        self._homes = FlexHomes(study, rules, self._forecasts)
        self._sellers = Sellers(study, rules)
        self._pool = Market(context, world.store)
        book = self._homes.connections()
        self._import_kw = book.import_kw[:, 0].copy()
        connection_kw = book.of(rules.product.direction)[:, 0].copy()
        self._desk = FlexDesk(rules, self._sellers.names, book=book, store=world.store, clock=world.clock)
        desks = Desks(
            operator=GridOperator(world.grid, study, rules, way=world.way),
            sellers=self._sellers,
            desk=self._desk,
            forecasts=self._forecasts,
            clock=world.clock,
        )
        self._short = ShortTerm(study, rules, desks=desks, connection_kw=connection_kw)
        self._state: FleetState = self._homes.start()
        self._parts: list[Delivery] = []
        self._closure = rules.gate_closure_periods
        self._reserved: Ints = np.zeros(0, np.int64)

    def all(self, progress: Progress, stop: Stop) -> FlexOutcome:
        """Open both markets, then run period by period."""
        study = self._study
        days = list(sessions(study.axis, replace(study.market, session_periods=study.axis.periods_per_day)))
        self._pool.do(OpenMarket(at=self._clock.now()))
        self._desk.do(OpenFlexMarket(at=self._clock.now(), terms=market_terms(study, self._rules)))
        self._reserve()
        end, ahead, done = study.axis.periods, 0, 0
        for now in range(study.axis.periods):
            # gates close as a period begins: all trade of this step is in the period before it
            self._clock.wait_until(self._moment(now - 1) + 1)
            self._short.ends = self._moment(now) - 1
            opened = False
            while ahead < len(days) and now < end and days[ahead].first - self._closure <= now:
                if ahead > 0 and (days[ahead].first >= self._until or stop()):
                    end = days[ahead].first
                    break
                self._trade_day(days[ahead], now)
                ahead, opened = ahead + 1, True
            if now >= end:
                break
            self._run_period(now, end, fresh=opened)
            day = days[done]
            if now + 1 == day.first + day.count:
                self._settle(day)
                done += 1
                progress(now + 1, study.axis.periods)
        parts, unmet = self._parts, self._short.unmet
        return FlexOutcome(
            periods=len(parts),
            delivery=join_deliveries(parts) if parts else None,
            unmet=tuple(unmet[key] for key in sorted(unmet, key=lambda key: (key[2], *key))),
        )

    def _moment(self, period: int) -> int:
        epoch = int(self._study.axis.start.astype("datetime64[s]").astype(np.int64))
        return epoch + period * self._study.axis.mtu_s

    # --- long term --------------------------------------------------------------------------------

    def _reserve(self) -> None:
        """Hold the long-term auction for the window of every day of the study."""
        rules = self._rules.reservation
        if rules is None:
            return
        periods = reservation_periods(self._study, rules)
        bids = self._sellers.reserved(rules, periods)
        if not len(periods) or not len(bids):
            return
        first, count = int(periods[0]), int(periods[-1] - periods[0]) + 1
        demand = reservation_demand(self._study, self._rules, rules)
        contract = ContractRules(activation_cap=rules.activation_cap, lead_periods=rules.lead_periods)
        self._desk.auction([demand, bids], first=first, count=count, horizon="reservation", contract=contract)
        self._reserved = periods

    def _call(self, need: Need, first: int) -> None:
        """Call what is reserved where it is needed: its holders must offer it."""
        rules = self._rules.reservation
        wanted = np.intersect1d(np.unique(need.period) + first, self._reserved)
        if rules is None or not wanted.size:
            return
        now = self._clock.now()
        soonest = self._desk.state.open_terms.open_from(now, lead=rules.lead_periods)
        called = wanted[wanted >= soonest]
        for held in self._desk.state.contracts:
            contract = held.contract
            due = [period for period in called.tolist() if contract.kw_in(period) > 0]
            for run in np.split(np.array(due, np.int64), np.flatnonzero(np.diff(due) > 1) + 1):
                periods = tuple(run.tolist())
                if periods:
                    kw = tuple(contract.kw_in(period) for period in periods)
                    self._desk.do(
                        CallReservations(at=now, contracts=(contract.id,), periods=periods, requested_kw=kw)
                    )

    # --- short term -------------------------------------------------------------------------------

    def _trade_day(self, session: MarketSession, now: int) -> None:
        """Hold the activation auctions of a day and check the schedule that follows."""
        day = self._homes.day(self._state, now)
        self._call(self._short.needs(day, session.first, session.count), session.first)
        self._check(session, self._short.trade_day(day, session.first, session.count))

    def _check(self, session: MarketSession, seen: PointForecast) -> None:
        """Clear the pool without bids and check the schedule of the homes by power flow."""
        now, none = self._clock.now(), np.zeros(0)
        bids = Bids(side=none.astype(np.int8), price=none, quantity=none, participant=none, period=none)
        self._pool.do(ClearAuction(at=now, session=session, bids=bids))
        middle = int(np.abs(seen.levels - 0.5).argmin())
        net_kw, net_kvar = seen.import_kw[middle], seen.import_kvar[middle]
        self._pool.do(CheckSchedule(at=now, session=session, net_kw=net_kw, net_kvar=net_kvar))

    # --- close to delivery ------------------------------------------------------------------------

    def _run_period(self, now: int, end: int, *, fresh: bool) -> None:
        """Adjust the period whose gate closes now, send its orders out, run the homes.

        ``fresh``: it was auctioned just now, with the same forecasts.
        """
        day = self._homes.day(self._state, now)
        closing = now + self._closure
        if closing < end:
            if not fresh:
                self._short.adjusted(day, closing)
            self._clock.wait_until(self._moment(now))
            self._desk.do(CloseFlexGate(at=self._clock.now(), before=closing + 1))
        self._parts.append(first_period(day, self._short.plan(day), self._import_kw))
        self._state = self._parts[-1].state

    # --- afterwards -------------------------------------------------------------------------------

    def _settle(self, day: MarketSession) -> None:
        """Record the meters of a day and settle both markets."""
        self._clock.wait_until(day.delivery_end)
        now = self._clock.now()
        delivery = join_deliveries(self._parts[day.first : day.first + day.count])
        metered: Floats = delivery.net_kw
        self._desk.do(RecordFlexReadings(at=now, first=day.first, metered_kw=metered[self._sellers.rows]))
        self._desk.do(SettleFlexPeriods(at=now, first=day.first, count=day.count))
        self._pool.do(record_delivery(now, day, delivery, committed=metered))
        self._pool.do(SettleSession(at=now, session=day))
