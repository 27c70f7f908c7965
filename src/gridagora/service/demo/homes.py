"""The homes of the demonstration: what they plan, bid and meter, whatever day it is.

Profiles are those of one year.  A day of the market takes the profiles of the day nearest in the year with
the same day of the week, in blocks of a week.  Batteries go from block to block as they are; cars and tanks
begin a block as the days before it in its profiles left them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from gridagora.agents import FleetState, Plan, Team
from gridagora.bootstrap import Prepared, prepare
from gridagora.engine.live.context import session_prices
from gridagora.engine.outlook import Expectation
from gridagora.engine.pool import nominated_kwh
from gridagora.engine.simulate import Planner
from gridagora.engine.timetable import MarketSession
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.events import AuctionCleared
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import GateClosed
from gridagora.model.resources import Home
from gridagora.model.time import SECONDS_PER_DAY
from gridagora.units import to_micro, to_wh

SCENARIO = "village"
PROFILE_YEAR = 2016
PAST_DAYS, BLOCK_DAYS, AHEAD_DAYS = 2, 7, 1
"""Days of profiles before a block, for forecasts; days of a block; days behind it, to plan for."""

WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeBids:
    """Bids of one home: periods of the market, side 1 buys and -1 sells, micro per kWh, Wh."""

    period: Ints
    side: Ints
    price: Ints
    quantity: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Profiles of some days: what the homes know and have, and where its period 0 lies in the market."""

    prepared: Prepared
    team: Team
    planner: Planner
    offset: int
    first: int
    last: int


class VillageHomes:
    """All homes of the built-in village, on the periods of a live market.

    Sessions are asked for in their order: bids before the gate, the delivery after it.

    Parameters
    ----------
    terms : of the market

    Examples
    --------
    >>> terms = LiveTerms(name="a", epoch=1_780_264_800, gate_lead_s=900, scenario="")
    >>> homes = VillageHomes(terms)
    >>> bids = homes.bids(5)
    >>> len(homes.homes), sorted(set(np.concatenate([b.period for b in bids.values()]).tolist()))
    (99, [20, 21, 22, 23])
    >>> net_wh = homes.deliver(5, None, None)
    >>> len(net_wh), net_wh["home-01"].shape
    (99, (4,))
    """

    def __init__(self, terms: LiveTerms) -> None:
        self._terms = terms
        self._rng = np.random.default_rng(0)
        self._block = _make_block(terms, terms.session(0).first)
        self._state = _by_rules(self._block, None, until=self._block.first)
        self._reached = self._block.first
        self._plans: dict[int, Plan] = {}

    @property
    def homes(self) -> tuple[Home, ...]:
        """The homes, as the scenario has them."""
        return self._block.prepared.study.homes

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each home as a participant of the market."""
        return tuple(f"home-{row:02d}" for row in range(1, len(self.homes) + 1))

    def bids(self, session: int) -> Mapping[str, HomeBids]:
        """Return what each home bids in a session; those that bid nothing are left out."""
        block = self._at(session)
        plan = block.planner.plan(self._state, self._session(session))
        self._plans[session] = plan
        return _by_home(block.team.bids(plan, rng=self._rng), self.names, block.offset)

    def deliver(
        self, session: int, gate: GateClosed | None, cleared: AuctionCleared | None
    ) -> Mapping[str, Ints]:
        """Run the devices of all homes through a session; return their net import in each period, Wh.

        Homes keep what ``cleared`` says that they traded; without it they live as if there were no market.
        """
        block, timed = self._at(session), self._session(session)
        committed = None
        if gate is not None and cleared is not None:
            committed = self._committed(gate, cleared)
        plan = self._plans.pop(session, None)
        if plan is None:
            plan = block.planner.plan(self._state, timed)
        delivery = block.planner.deliver(self._state, timed, plan, committed_kw=committed)
        self._state, self._reached = delivery.state, self._terms.session(session + 1).first
        net_wh = to_wh(delivery.net_kw * self._terms.hours)
        return {name: net_wh[row] for row, name in enumerate(self.names)}

    def _at(self, session: int) -> _Block:
        """Return the block that a session lies in, with the homes as they are when it begins.

        The next block is made when the last is over; homes live by their rules through what was left out.
        """
        first, block = self._terms.session(session).first, self._block
        if not block.first <= first < block.last:
            block = self._block = _make_block(self._terms, first)
            warm = _by_rules(block, None, until=first)
            self._state, self._reached = replace(warm, battery_kwh=self._state.battery_kwh), first
            self._plans.clear()
        if self._reached < first:
            self._state = _by_rules(block, self._state, since=self._reached, until=first)
            self._reached = first
        return block

    def _session(self, number: int) -> MarketSession:
        """Return a session as the homes know it: periods of their profiles."""
        times, block = self._terms.session(number), self._block
        known = (times.gate - self._terms.begins(block.offset)) // self._terms.mtu_s
        return MarketSession(
            number=number,
            first=times.first - block.offset,
            count=times.count,
            gate=known,
            gate_closure=times.gate,
            delivery_start=times.delivery_start,
            delivery_end=times.delivery_end,
        )

    def _committed(self, gate: GateClosed, cleared: AuctionCleared) -> Floats:
        """Return the net import that each home committed to, kW, shape (homes, periods)."""
        study = self._block.prepared.study
        rows = {name: row for row, name in enumerate(gate.participants)}
        there = replace(
            study, homes=study.homes[:1] * len(rows)
        )  # who they are does not count, how many does
        bought, sold = nominated_kwh(cleared, there, prices=session_prices(gate, first=cleared.first))
        mine = [rows.get(name, -1) for name in self.names]
        none = np.zeros((1, bought.shape[1]))
        bought, sold = (np.concatenate([table, none])[mine] for table in (bought, sold))
        return self._block.team.committed_kw(bought, sold)


def profile_day(day: date) -> date:
    """Return the day whose profiles a day takes: the nearest in the year with the same day of the week.

    The days that a block needs before and after it lie in the same year.

    Examples
    --------
    >>> profile_day(date(2026, 11, 21)), date(2026, 11, 21).weekday(), date(2016, 11, 19).weekday()
    (datetime.date(2016, 11, 19), 5, 5)
    >>> profile_day(date(2027, 1, 1)), profile_day(date(2026, 12, 31))
    (datetime.date(2016, 1, 8), datetime.date(2016, 12, 22))
    """
    same = day.replace(year=PROFILE_YEAR)
    found = day - round((day - same) / WEEK) * WEEK
    while found - timedelta(days=PAST_DAYS) < date(PROFILE_YEAR, 1, 1):
        found += WEEK
    while found + timedelta(days=BLOCK_DAYS + AHEAD_DAYS) > date(PROFILE_YEAR, 12, 31):
        found -= WEEK
    return found


def village(day: date) -> Prepared:
    """Return the village with the profiles of a block that begins on a day, and of the days around it."""
    start = profile_day(day) - timedelta(days=PAST_DAYS)
    length = f"{PAST_DAYS + BLOCK_DAYS + AHEAD_DAYS}d"
    return prepare(SCENARIO, overrides={"period": {"start": start, "length": length}})


def _make_block(terms: LiveTerms, first: int) -> _Block:
    """Return the block of the days from the one on in which a period of the market lies."""
    day = datetime.fromtimestamp(terms.begins(first), UTC).date()
    prepared = village(day)
    study, shift = prepared.study, day - profile_day(day)
    begins = int(study.axis.start.astype(np.int64)) + int(shift.total_seconds())
    offset = (begins - terms.epoch) // terms.mtu_s
    team = Team(study.homes, study.axis, rules=study.agents, tariffs=study.tariffs, market=study.market)
    expectation = Expectation(study.homes, study.axis, method=study.agents.forecast)
    days = BLOCK_DAYS * SECONDS_PER_DAY // terms.mtu_s
    return _Block(
        prepared=prepared,
        team=team,
        planner=Planner(team, expectation, study),
        offset=offset,
        first=first,
        last=first + days,
    )


def _by_rules(block: _Block, state: FleetState | None, *, until: int, since: int = 0) -> FleetState:
    """Return what is in stores at a period, after periods by the rules that need no plan.

    ``state`` None: the homes begin with the first of the days before the block.
    """
    if state is None:
        state, since = block.team.initial_state(), block.offset
    return block.team.deliver(state, since - block.offset, until - since).state


def _by_home(bids: Bids, names: tuple[str, ...], offset: int) -> dict[str, HomeBids]:
    """Return bids by home, in the market's whole units and periods, without those below a Wh."""
    quantity, price = to_wh(bids.quantity), to_micro(bids.price)
    side, period = np.asarray(bids.side, np.int64), np.asarray(bids.period) + offset
    found = {}
    for row, name in enumerate(names):
        mine = np.flatnonzero((np.asarray(bids.participant) == row) & (quantity > 0))
        if len(mine):
            found[name] = HomeBids(
                period=period[mine], side=side[mine], price=price[mine], quantity=quantity[mine]
            )
    return found
