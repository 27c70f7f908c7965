"""The facade that the engine calls: all homes of a study, with what they remember between sessions.

    team = Team(homes, axis, rules=study.agents, tariffs=study.tariffs, market=study.market)
    state = team.initial_state()
    for t in range(0, axis.periods, n):                       # a session of n periods
        outlook = Outlook(load_kw=, pv_kw=, heat_kw=)         # (homes, team.horizon(t, n)): a forecast
        plan = team.plan(state, t, n, outlook=outlook)
        bids = team.bids(plan, rng=rng)                       # participant = row in `homes`; -> mechanism
        committed = team.committed_kw(bought_kwh, sold_kwh)   # (homes, n) accepted kWh per home and period
        delivery = team.deliver(state, t, n, plan=plan, committed_kw=committed)
        state = delivery.state

Without a market: the same loop with ``committed_kw=None``; rule-based homes need no plan then, and one call
``team.deliver(state, 0, axis.periods)`` runs the whole study.  Re-planning less often than every session:
keep the plan of ``replan_periods`` periods and hand ``plan.part(t, n)`` to the sessions in it.  Use one
`Team` per run: it keeps the solver's models and their last bases, which speed up the next plan; the same
calls in the same order give the same bytes.
"""

import numpy as np

from gridagora.agents import bidding
from gridagora.agents.check import check_homes
from gridagora.agents.ems import Planner, planning_prices
from gridagora.agents.fleet import Fleet, FleetState, Floats, Param, fleet_from_homes, initial_state
from gridagora.agents.rules import Delivery, Envelope, Outlook, Plan, rule_plan, run_devices
from gridagora.errors import check_faults
from gridagora.model.bids import Bids
from gridagora.model.resources import Home
from gridagora.model.study import AgentRules, MarketRules, Tariffs
from gridagora.model.time import TimeAxis

ROUNDING_KW = 1e-9
"""Load is not shed for the last digits of a difference."""


class Team:
    """All homes of a study: plan, bid, deliver.

    Parameters
    ----------
    homes, axis : participants and time axis; checked, every fault at once
    rules : how homes plan and bid
    tariffs : outside prices over the axis, currency per kWh
    market : market rules; only the outside options (islanded, retailer's limits) are used here
    value_left : whether optimal plans value what is left in store at the end of their horizon
    workers : threads for the linear programs of homes with several stores; no influence on results

    Raises
    ------
    InputError : a home that cannot be simulated (see `check_homes`)

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=8)
    >>> home = Home(participant="a", bus="1", load_kw=np.ones(8), load_kvar=np.zeros(8))
    >>> price = dict(retail=.2, feed_in=.08, network=.07, taxes=.03, imbalance_short=.25, imbalance_long=.05)
    >>> tariffs = Tariffs(**{name: np.full(8, value) for name, value in price.items()})
    >>> team = Team((home,), axis, rules=AgentRules(), tariffs=tariffs)
    >>> state = team.initial_state()
    >>> plan = team.plan(state, 0, 4, outlook=team.actual(0, 4))
    >>> team.bids(plan).quantity.tolist()
    [0.25, 0.25, 0.25, 0.25]
    >>> team.deliver(state, 0, 4, plan=plan).net_kw.tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        homes: tuple[Home, ...],
        axis: TimeAxis,
        *,
        rules: AgentRules,
        tariffs: Tariffs,
        market: MarketRules | None = None,
        value_left: bool = True,
        workers: int = 1,
    ) -> None:
        check_faults(check_homes(homes, axis))
        self.fleet: Fleet = fleet_from_homes(homes, axis)
        self._rules = rules
        self._tariffs = tariffs
        self._market = market or MarketRules()
        self._planner: Planner | None = None
        if rules.ems == "optimal":
            self._planner = Planner(
                self.fleet, slots=rules.horizon_periods, value_left=value_left, workers=workers
            )
        self._curtail = np.asarray(tariffs.feed_in < 0.0) | self._market.islanded

    def initial_state(self) -> FleetState:
        """Return the stored energy at the start of the study."""
        return initial_state(self.fleet)

    def horizon(self, t: int, n: int) -> int:
        """How many periods from ``t`` on the outlook of a plan for ``n`` periods must cover."""
        wanted = n if self._rules.ems == "rule_based" else max(n, self._rules.horizon_periods)
        return min(wanted, self.fleet.periods - t)

    def actual(self, t: int, n: int) -> Outlook:
        """Return what really happens in ``[t, t + n)``: the perfect forecast."""
        window = slice(t, t + n)
        fleet = self.fleet
        return Outlook(
            load_kw=fleet.load_kw[:, window],
            pv_kw=fleet.pv_kw[:, window],
            heat_kw=fleet.heat_kw[:, window],
            future_stays=True,
        )

    def plan(self, state: FleetState, t: int, n: int, *, outlook: Outlook) -> Plan:
        """Plan ``[t, t + n)`` given an outlook of `horizon` periods or more."""
        if self._planner is not None:
            price = planning_prices(self._tariffs, self._market, t=t, horizon=outlook.periods)
            return self._planner.plan(state, t, n, outlook=outlook, price=price)
        curtail = self._curtail[t : t + n]
        return rule_plan(self.fleet, state, t, outlook=outlook.part(n), curtail=curtail)

    def bids(self, plan: Plan, *, rng: np.random.Generator | None = None) -> Bids:
        """Bids of all homes for the periods of the plan; zero intelligence draws from ``rng``."""
        options = bidding.outside_options(self._tariffs, self._market, t=plan.t, n=plan.periods)
        if self._rules.bidding == "truthful":
            curves = bidding.truthful(self.fleet, plan, options)
        elif self._rules.bidding == "fixed_margin":
            curves = bidding.fixed_margin(self.fleet, plan, options, margin=self._rules.margin)
        else:
            generator = rng if rng is not None else np.random.default_rng(0)
            curves = bidding.zero_intelligence(self.fleet, plan, options, rng=generator)
        return bidding.to_bids(self.fleet, curves, options)

    def committed_kw(self, bought_kwh: Floats, sold_kwh: Floats) -> Floats:
        """Net import, kW, that the accepted kWh per home and period commit to; NaN for passive homes."""
        return bidding.committed_kw(self.fleet, bought_kwh, sold_kwh)

    def deliver(
        self,
        state: FleetState,
        t: int,
        n: int,
        *,
        plan: Plan | None = None,
        committed_kw: Floats | None = None,
        envelope: Envelope | None = None,
    ) -> Delivery:
        """Run the devices with what really happens; without a plan by the rules, without a commitment freely.

        Planned homes run the steps of their bids that were accepted and then make good what was not foreseen.
        Rule-based homes take no set points from the plan: the rules decide on what is, the battery alone
        keeps the commitment.  Within an envelope devices and production give way; load only as far as the
        market left it without supply.  On an island the commitment is the envelope.
        """
        loose = None
        if plan is not None and committed_kw is not None:
            options = bidding.outside_options(self._tariffs, self._market, t=t, n=n)
            plan, loose = bidding.dispatched(self.fleet, plan, options, committed_kw=committed_kw)
        return run_devices(
            self.fleet,
            state,
            t,
            outlook=self.actual(t, n),
            curtail=self._curtail[t : t + n],
            plan=plan if plan is not None and plan.battery_value is not None else None,
            committed_kw=committed_kw,
            loose=loose,
            held=self._held(t, n, committed_kw=committed_kw, envelope=envelope),
        )

    def _held(
        self, t: int, n: int, *, committed_kw: Floats | None, envelope: Envelope | None
    ) -> Floats | None:
        """Return least and most net import, kW, shape (homes, n, 2)."""
        if self._market.islanded and committed_kw is not None:
            limits = self.fleet.params[:, [Param.EXPORT_KW, Param.IMPORT_KW], None]
            due = np.clip(committed_kw, -limits[:, 0], limits[:, 1])
            free = np.isnan(due)
            return np.stack([np.where(free, -np.inf, due), np.where(free, np.inf, due)], axis=2)
        if envelope is None:
            return None
        window = slice(t, t + n)
        served = self.fleet.load_kw[:, window] - self.fleet.pv_kw[:, window] - envelope.shed_kw
        most = np.maximum(envelope.most_kw, served + ROUNDING_KW)
        return np.stack([envelope.least_kw, most], axis=2)
