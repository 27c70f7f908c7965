"""The loop of a study with a flexibility market: the operator buys limits, homes keep them, money is settled.

A day is auctioned in the last moments in which its first period can still be traded, ``gate_closure_periods``
before it, period by period: each auction has fresh offers under the limits sold so far.  At the gate closure
of each period homes and operator look again: who cannot keep a limit buys it back, others offer what they can
spare, and an operator that plans ahead buys more.  Then homes run, are metered, and the day is settled.

Homes trade no energy with each other: sessions of the pool are cleared without their bids, so that all they
take and give is with the retailer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gridagora.agents import Delivery, FleetState
from gridagora.agents.offers import FlexibilityDay, LimitedSchedule, schedule_under_limits
from gridagora.engine.commands import CheckSchedule, ClearAuction, OpenMarket, SettleSession
from gridagora.engine.flexibility.commands import (
    CallReservations,
    CloseFlexGate,
    OpenFlexMarket,
    RecordFlexReadings,
    SettleFlexPeriods,
)
from gridagora.engine.flexibility.desk import FlexDesk
from gridagora.engine.flexibility.dso import GridOperator, NeedKey, UnmetNeed, keys_of
from gridagora.engine.flexibility.forecasts import FlexForecasts
from gridagora.engine.flexibility.operate import FlexHomes, first_period
from gridagora.engine.flexibility.sellers import Sellers, Wanted, within_cap
from gridagora.engine.flexibility.terms import market_terms, reservation_demand, reservation_periods
from gridagora.engine.machine import MarketContext
from gridagora.engine.ports import Clock, Store
from gridagora.engine.simulate import Market, join_deliveries, record_delivery
from gridagora.engine.timetable import MarketSession, sessions
from gridagora.errors import Fault, check_faults
from gridagora.grid import GridModel, Need, PointForecast
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility import FlexOffer
from gridagora.model.flexibility_market import ContractRules
from gridagora.model.flexibility_study import DemandName, FlexRules

ROUNDS = 20
"""Elements that are bid for in one day at most, one after the other."""
TRADED_KW = 1e-3
"""Below this nothing was sold."""

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
        self._operator = GridOperator(world.grid, study, rules, way=world.way)
        self._sellers = Sellers(study, rules)
        self._pool = Market(context, world.store)
        book = self._homes.connections()
        self._connection = {"cap": book.import_kw[:, 0].copy(), "floor": book.export_kw[:, 0].copy()}
        self._desk = FlexDesk(rules, self._sellers.names, book=book, store=world.store, clock=world.clock)
        self._state: FleetState = self._homes.start()
        self._parts: list[Delivery] = []
        self._unmet: dict[NeedKey, UnmetNeed] = {}
        self._closure = rules.gate_closure_periods
        self._ends = self._moment(0)
        self._reserved: Ints = np.zeros(0, np.int64)

    @property
    def _direction(self) -> str:
        return self._rules.product.direction

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
            self._ends = self._moment(now) - 1
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
        parts = self._parts
        return FlexOutcome(
            periods=len(parts),
            delivery=join_deliveries(parts) if parts else None,
            unmet=tuple(self._unmet[key] for key in sorted(self._unmet, key=lambda key: (key[2], *key))),
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
        plan = self._plan(day)
        seen = self._look(day, plan, first=session.first, count=session.count)
        need = self._operator.needs(seen)
        self._call(need, session.first)
        once = None if self._operator.goes_on else set(keys_of(need, first=session.first))
        done: set[NeedKey] = set()
        wide = False
        for _ in range(ROUNDS):
            need = self._operator.open_needs(need, self._desk.book, first=session.first)
            keys = keys_of(need, first=session.first)
            todo = [row for row, key in enumerate(keys) if key not in done and (once is None or key in once)]
            if todo:
                done |= self._buy(day, self._operator.scarcest(need.take(np.array(todo))), session.first)
                plan = self._plan(day)
                seen = self._look(day, plan, first=session.first, count=session.count)
            elif done and self._operator.goes_on and not wide:
                wide, done = True, set()
            else:
                break
            need = self._operator.needs(seen, wide=wide)
        self._prove(day, seen, session.first)
        self._check(session, seen)

    def _buy(self, day: FlexibilityDay, need: Need, first: int) -> set[NeedKey]:
        """Auction the periods of one element; returns the needs that are not worth another try."""
        demand = self._operator.demand(need, self._desk.book, first=first)
        done = set()
        for row, key in enumerate(keys_of(need, first=first)):
            one = need.take(np.array([row]))
            sold = self._auction(
                day, one, demand.take(np.flatnonzero(demand.period == key[2])), period=key[2]
            )
            if sold < TRADED_KW or not self._operator.goes_on:
                done.add(key)
        return done

    def _auction(self, day: FlexibilityDay, need: Need, demand: Bids, *, period: int) -> float:
        """Auction one period for one need; returns kW sold."""
        area = self._operator.helpers(need)
        offers = self._offers(day, period, area)
        if not offers or not len(demand) or self._clock.now() >= self._ends:
            return 0.0
        offers = tuple(self._as_called(offer, period) for offer in offers)
        return self._desk.activate(demand, offers, period=period, ordered=self._operator.ordered, area=area)

    def _as_called(self, offer: FlexOffer, period: int) -> FlexOffer:
        """Return an offer as contracts oblige its seller to make it."""
        calls = [h for h in self._desk.state.contracts if h.contract.seller == offer.participant]
        due = sum(held.owed_kw(period) for held in calls)
        if self._rules.reservation is None or not due:
            return offer
        row, cap = self._sellers.names.index(offer.participant), self._rules.reservation.activation_cap
        sold = self._connection[self._direction][row] - self._desk.book.of(self._direction)[row, period]
        return within_cap(offer, due_kw=due, sold_kw=float(sold), cap=cap * self._study.axis.hours)

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
        plan = self._plan(day)
        closing = now + self._closure
        if closing < end:
            if not fresh and self._adjusted(day, plan, closing):
                plan = self._plan(day)
            self._clock.wait_until(self._moment(now))
            self._desk.do(CloseFlexGate(at=self._clock.now(), before=closing + 1))
        self._parts.append(first_period(day, plan, self._connection["cap"]))
        self._state = self._parts[-1].state

    def _adjusted(self, day: FlexibilityDay, plan: LimitedSchedule, period: int) -> bool:
        """Trade a period before its gate closes; returns whether anything was."""
        book = self._desk.book
        backs = []
        if self._direction == "cap":
            backs = self._sellers.buy_backs(
                plan,
                offset=period - day.t,
                limit_kw=book.import_kw[:, period],
                connection_kw=self._connection["cap"],
            )
        changed = False
        for want in backs:
            area = tuple(sorted(self._desk.stand_ins(want.participant, period)))
            changed = self._traded(day, [want], period, area=area) or changed
        if self._operator.goes_on:
            plan = self._plan(day) if changed else plan
            changed = self._buy_late(day, self._look(day, plan, first=period, count=1), period) or changed
        return changed

    def _buy_late(self, day: FlexibilityDay, seen: PointForecast, period: int) -> bool:
        """Let the operator buy what its new forecast of a period still needs; returns whether it did."""
        changed = False
        for wide in (False, True):
            for _ in range(ROUNDS):
                need = self._operator.needs(seen, wide=wide)
                need = need.take(np.flatnonzero(need.reason == "forecast"))
                need = self._operator.open_needs(need, self._desk.book, first=period)
                if not len(need) or not self._traded_for(day, self._operator.scarcest(need), period):
                    break
                changed = True
                seen = self._look(day, self._plan(day), first=period, count=1)
        for key in [key for key in self._unmet if key[2] == period]:
            del self._unmet[key]
        self._prove(day, seen, period)
        return changed

    def _traded_for(self, day: FlexibilityDay, need: Need, period: int) -> bool:
        """Let the operator buy for a need of one period; returns whether anything traded."""
        demand = self._operator.demand(need, self._desk.book, first=period)
        wanted = [
            Wanted(participant=self._rules.buyer, kw=float(kw), price=float(price))
            for kw, price in zip(demand.quantity, demand.price, strict=True)
            if kw > TRADED_KW
        ]
        return self._traded(day, wanted, period, area=self._operator.helpers(need))

    def _traded(
        self, day: FlexibilityDay, wanted: list[Wanted], period: int, *, area: tuple[str, ...]
    ) -> bool:
        """Let homes offer what they can spare to those who want to buy; returns whether anything traded."""
        buyers = {want.participant for want in wanted}
        names = [name for name in area if name not in buyers]
        offers = self._offers(day, period, names)
        if not offers or self._clock.now() >= self._ends:
            return False
        return self._desk.adjust(wanted, offers, period=period) >= TRADED_KW

    # --- looking ahead ----------------------------------------------------------------------------

    def _plan(self, day: FlexibilityDay) -> LimitedSchedule:
        return schedule_under_limits(day, self._desk.book.window(day.t, day.periods))

    def _offers(self, day: FlexibilityDay, period: int, names: Sequence[str]) -> tuple[FlexOffer, ...]:
        """Return what some homes offer for a period under the limits in force."""
        limits = self._desk.book.window(day.t, day.periods)
        return self._sellers.offers(day, period=period, limits=limits, names=names, active=self._desk.active)

    def _look(self, day: FlexibilityDay, plan: LimitedSchedule, *, first: int, count: int) -> PointForecast:
        """Return what the operator expects at the meters of ``[first, first + count)``."""
        cut = slice(first - day.t, first - day.t + count)
        limits = self._desk.book.window(first, count)
        return self._forecasts.at_meters(
            day.t,
            first,
            net_kw=plan.net_kw[:, cut] + plan.unserved_load_kw[:, cut],
            import_kw=limits.import_kw,
            export_kw=limits.export_kw,
        )

    def _prove(self, day: FlexibilityDay, seen: PointForecast, first: int) -> None:
        """Keep the needs that stay beyond the threshold even with all that is offered."""
        need = self._operator.overloads(seen)
        for row, key in enumerate(keys_of(need, first=first)):
            one = need.take(np.array([row]))
            offers = self._offers(day, key[2], self._operator.helpers(one))
            lowest = self._desk.book.of(self._direction)[:, key[2]].copy()
            for offer in offers:
                lowest[self._sellers.names.index(offer.participant)] -= offer.quantity_kw
            proof = self._operator.proof(
                one,
                first=first,
                connection_kw=self._connection[self._direction],
                lowest_kw=np.maximum(lowest, 0.0),
                plan=seen,
            )
            if proof is not None:
                self._unmet[key] = proof

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
