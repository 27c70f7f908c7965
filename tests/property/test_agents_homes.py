"""What must hold of every home, whatever its devices, prices, forecasts and commitments."""

from dataclasses import fields

import numpy as np
import pytest
from agents_samples import AXIS, CLOCK, DAY, PERIODS, outlook, street, tariffs
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.agents import Team
from gridagora.agents.curves import DOWN, UP, VALUE
from gridagora.agents.ems import Planner, planning_prices
from gridagora.agents.fleet import Param, state_from_array
from gridagora.agents.penalties import EV_PENALTY, HEAT_PENALTY, LOAD_PENALTY
from gridagora.forecast import forecast
from gridagora.model.study import AgentRules, MarketRules

HOURS, CLOSE = AXIS.hours, 1e-7
HOMES = 8


def team_of(seed, *, ems="optimal", kind="time of use", bidding="truthful", islanded=False):
    rules = AgentRules(ems=ems, bidding=bidding, horizon_periods=DAY)
    return Team(
        street(HOMES, seed=seed),
        AXIS,
        rules=rules,
        tariffs=tariffs(kind),
        market=MarketRules(islanded=islanded),
    )


def run(team, *, committed=None, n=4, periods=PERIODS):
    """Plan, delivery and state before of each session; ``committed`` adds to the plan's net import."""
    state, out = team.initial_state(), []
    for t in range(0, periods, n):
        plan = team.plan(state, t, n, outlook=outlook(team, t, team.horizon(t, n)))
        due = None if committed is None else plan.net_kw + committed[:, t : t + n]
        out.append((plan, team.deliver(state, t, n, plan=plan, committed_kw=due), state))
        state = out[-1][1].state
    return out


def assert_physical(team, before, did):
    fleet, n = team.fleet, did.net_kw.shape[1]
    p, window = fleet.params, slice(did.t, did.t + n)
    served = fleet.load_kw[:, window] - did.unserved_load_kw
    made = fleet.pv_kw[:, window] - did.curtailed_kw
    net = served - made + did.battery_kw + did.ev_kw + did.heat_pump_kw
    np.testing.assert_allclose(did.net_kw, net, atol=CLOSE)
    for values in (served, made, did.ev_kw, did.heat_pump_kw, did.unserved_heat_kw, did.ev_short_kwh):
        assert values.min() >= -CLOSE
    assert np.all(did.net_kw <= p[:, [Param.IMPORT_KW]] + CLOSE)
    assert np.all(did.net_kw >= -p[:, [Param.EXPORT_KW]] - CLOSE)
    start = np.concatenate([before.battery_kwh[:, None], did.battery_kwh[:, :-1]], axis=1)
    gain = np.where(did.battery_kw > 0, p[:, [Param.CHARGE_EFF]], 1.0 / p[:, [Param.DISCHARGE_EFF]])
    np.testing.assert_allclose(did.battery_kwh - start, gain * did.battery_kw * HOURS, atol=CLOSE)
    assert np.all(did.battery_kwh <= p[:, [Param.BATTERY_KWH]] + CLOSE)
    assert np.all(did.battery_kwh >= p[:, [Param.BATTERY_MIN_KWH]] - CLOSE)
    start = np.concatenate([before.tank_kwh[:, None], did.tank_kwh[:, :-1]], axis=1)
    pumps = p[:, Param.PUMP_KW] > 0
    heat = fleet.cop[:, window] * did.heat_pump_kw - fleet.heat_kw[:, window] + did.unserved_heat_kw
    tank = start * p[:, [Param.TANK_KEEP]] + heat * HOURS
    np.testing.assert_allclose(did.tank_kwh[pumps], tank[pumps], atol=CLOSE)
    assert np.all(did.tank_kwh <= p[:, [Param.TANK_KWH]] + CLOSE)


def assert_cars_are_ready(team, parts):
    """Energy in over each stay plus what is reported short is what was needed."""
    fleet = team.fleet
    ev = np.concatenate([did.ev_kw for _, did, _ in parts], axis=1)
    short = np.concatenate([did.ev_short_kwh for _, did, _ in parts], axis=1)
    for row, (_, _, need) in enumerate(fleet.stays):
        home, periods = np.nonzero(fleet.stay == row)
        got = ev[home, periods].sum() * HOURS * fleet.params[home[0], Param.EV_EFF]
        assert got + short[home, periods].sum() == pytest.approx(need, abs=1e-6)
    assert not ev[fleet.stay < 0].any()


@pytest.mark.parametrize("ems", ["rule_based", "optimal"])
@pytest.mark.parametrize("deviation_kw", [None, 1.5])
def test_devices_keep_to_physics(ems, deviation_kw):
    for seed in range(3):
        team = team_of(seed, ems=ems)
        rng = np.random.default_rng(seed)
        moved = None if deviation_kw is None else rng.normal(0.0, deviation_kw, (HOMES, PERIODS))
        parts = run(team, committed=moved)
        for _, did, before in parts:
            assert_physical(team, before, did)
        assert_cars_are_ready(team, parts)


@pytest.mark.parametrize("ems", ["rule_based", "optimal"])
def test_reachable_needs_are_met(ems):
    """With a strong connection no car leaves short, no room is cold and no load is shed."""
    for seed in range(3):
        team = team_of(seed, ems=ems)
        team.fleet.params[:, Param.IMPORT_KW] = np.inf
        team.fleet.params[:, Param.PUMP_KW] *= 2.0
        moved = np.random.default_rng(seed).normal(0.0, 1.0, (HOMES, PERIODS))
        for _, did, _ in run(team, committed=moved):
            assert did.ev_short_kwh.max() < 1e-6
            assert did.unserved_heat_kw.max() < 1e-6
            assert did.unserved_load_kw.max() < 1e-9


def test_islanded_homes_never_exceed_their_commitment():
    team = team_of(1, ems="rule_based", islanded=True)
    for plan, did, before in run(team, committed=np.random.default_rng(1).normal(0.0, 1.0, (HOMES, PERIODS))):
        assert_physical(team, before, did)
        assert plan.t == did.t
    zero = np.zeros((HOMES, 4))
    alone = team.deliver(team.initial_state(), 40, 4, committed_kw=zero)
    assert np.abs(alone.net_kw).max() < 1e-9
    assert alone.unserved_load_kw.sum() > 0.0


def bill(team, did, prices):
    net = did.net_kw * HOURS
    buy = prices.retail + prices.network + prices.taxes
    cost = np.maximum(net, 0.0) @ buy - np.maximum(-net, 0.0) @ prices.feed_in
    cost += EV_PENALTY * did.ev_short_kwh.sum(axis=1) + LOAD_PENALTY * HOURS * did.unserved_load_kw.sum(
        axis=1
    )
    return cost + HEAT_PENALTY * HOURS * did.unserved_heat_kw.sum(axis=1)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["time of use", "flat"]))
def test_optimal_with_perfect_foresight_never_costs_more_than_rules(seed, kind):
    homes, prices = street(3, seed=seed), tariffs(kind)
    rules = AgentRules(ems="optimal", horizon_periods=PERIODS)
    team = Team(homes, AXIS, rules=rules, tariffs=prices, value_left=False)
    state = team.initial_state()
    plan = team.plan(state, 0, PERIODS, outlook=team.actual(0, PERIODS))
    optimal = bill(team, team.deliver(state, 0, PERIODS, plan=plan), prices)
    by_rule = bill(team, team.deliver(state, 0, PERIODS), prices)
    assert np.all(optimal <= by_rule + 1e-6)


def test_no_battery_charges_and_discharges_at_once():
    """The stored energy moves by the net power alone, also when prices are negative."""
    for kind in ("time of use", "flat", "negative"):
        team = team_of(3, kind=kind)
        for plan, _, before in run(team, periods=2 * DAY):
            start = np.concatenate([before.battery_kwh[:, None], plan.battery_kwh[:, :-1]], axis=1)
            p = team.fleet.params
            gain = np.where(plan.battery_kw > 0, p[:, [Param.CHARGE_EFF]], 1.0 / p[:, [Param.DISCHARGE_EFF]])
            priced = planning_prices(tariffs(kind), MarketRules(), t=plan.t, horizon=4).min(axis=1) > 0.0
            np.testing.assert_allclose(
                (plan.battery_kwh - start)[:, priced], (gain * plan.battery_kw * HOURS)[:, priced], atol=1e-6
            )


def test_negative_feed_in_price_curtails_surplus():
    team = team_of(2, ems="rule_based", kind="negative")
    did = team.deliver(team.initial_state(), 0, PERIODS)
    negative = tariffs("negative").feed_in < 0.0
    assert did.net_kw[:, negative].min() >= -1e-9
    assert did.curtailed_kw[:, negative].sum() > 0.0


def test_marginal_values_are_what_a_kwh_more_or_less_is_worth():
    """Forward and backward differences of the optimal cost enclose the value of a stored kWh."""
    team = team_of(5)
    fleet, prices = team.fleet, tariffs()
    price = planning_prices(prices, MarketRules(), t=1, horizon=DAY)
    view = team.actual(1, DAY)
    small = 1e-4

    def cost(state):
        planner = Planner(fleet, slots=PERIODS, value_left=False)
        plan = planner.plan(state_from_array(state), 1, DAY, outlook=view, price=price)
        did = team.deliver(state_from_array(state), 1, DAY, plan=plan)
        net = did.net_kw * HOURS
        total = np.maximum(net, 0.0) @ price[:, 0] - np.maximum(-net, 0.0) @ price[:, 1]
        total += EV_PENALTY * did.ev_short_kwh.sum(axis=1) + LOAD_PENALTY * HOURS * did.unserved_load_kw.sum(
            axis=1
        )
        return total + HEAT_PENALTY * HOURS * did.unserved_heat_kw.sum(axis=1)

    planner = Planner(fleet, slots=PERIODS, value_left=False)
    whole = planning_prices(prices, MarketRules(), t=0, horizon=DAY + 1)
    plan = planner.plan(team.initial_state(), 0, 1, outlook=team.actual(0, DAY + 1), price=whole)
    held = np.stack([plan.battery_kwh[:, 0], plan.ev_kwh[:, 0], plan.tank_kwh[:, 0]], axis=1)
    base, checked = cost(held), 0
    tops = fleet.params[:, [Param.BATTERY_KWH, Param.EV_KW, Param.TANK_KWH]]
    for column, value in ((0, plan.battery_value), (2, plan.tank_value)):
        step = np.zeros((1, 3))
        step[0, column] = small
        inside = (held[:, column] > 0.5) & (held[:, column] < tops[:, column] - 0.5)
        more = (base - cost(held + step))[inside] / small
        less = (cost(held - step) - base)[inside] / small
        assert np.all(value[inside, 0, DOWN, 0, VALUE] >= more - 1e-5)
        assert np.all(value[inside, 0, UP, 0, VALUE] <= less + 1e-5)
        checked += inside.sum()
    assert checked


def accepted_by_the_retailer(team, bids, prices, plan):
    """Net import per home and period if only the retailer trades, without limits."""
    traded = np.zeros(plan.net_kw.shape)
    takes = np.where(
        bids.is_buy, bids.price >= prices.retail[bids.period], bids.price <= prices.feed_in[bids.period]
    )
    signed = np.where(bids.is_buy, bids.quantity, -bids.quantity) * takes
    np.add.at(traded, (bids.participant, bids.period - plan.t), signed)
    return traded / HOURS


@pytest.mark.parametrize("kind", ["time of use", "flat"])
def test_with_the_retailer_alone_truthful_bids_give_the_plan_back(kind):
    team, prices = team_of(4, kind=kind), tariffs(kind)
    for plan, _, _ in run(team):
        bids = team.bids(plan)
        got = accepted_by_the_retailer(team, bids, prices, plan)
        np.testing.assert_allclose(got, plan.net_kw, atol=4 * 0.0005 / HOURS)


@pytest.mark.parametrize("bidding", ["truthful", "fixed_margin", "zero_intelligence"])
@pytest.mark.parametrize("ems", ["rule_based", "optimal"])
def test_no_bid_is_worse_than_the_outside_option(bidding, ems):
    for kind in ("time of use", "negative"):
        team, prices = team_of(6, ems=ems, bidding=bidding, kind=kind), tariffs(kind)
        rng = np.random.default_rng(0)
        for plan, _, _ in run(team, periods=2 * DAY):
            bids = team.bids(plan, rng=rng)
            buys, sells = bids.is_buy, ~bids.is_buy
            assert np.all(bids.price[buys] <= prices.retail[bids.period[buys]] + 1e-12)
            assert np.all(bids.price[sells] >= prices.feed_in[bids.period[sells]] - 1e-12)
            assert np.all(bids.quantity >= 0.0005)
            assert np.all((bids.period >= plan.t) & (bids.period < plan.t + 4))


def test_the_demand_curve_of_a_home_falls():
    team = team_of(7)
    for plan, _, _ in run(team, periods=DAY):
        bids = team.bids(plan)
        for home in range(HOMES):
            for period in range(plan.t, plan.t + 4):
                rows = (bids.participant == home) & (bids.period == period)
                for side in (bids.is_buy, ~bids.is_buy):
                    price = bids.price[rows & side][np.argsort(bids.step[rows & side])]
                    assert np.all(np.diff(price) <= 1e-12)


@pytest.mark.parametrize("ems", ["rule_based", "optimal"])
def test_same_calls_give_the_same_bytes(ems):
    def all_bytes(workers):
        rules = AgentRules(ems=ems, horizon_periods=DAY, bidding="zero_intelligence")
        team = Team(street(HOMES, seed=9), AXIS, rules=rules, tariffs=tariffs(), workers=workers)
        rng = np.random.default_rng(4)
        out = []
        for plan, did, _ in run(team):
            out += [getattr(did, field.name) for field in fields(did) if field.name not in ("t", "state")]
            out += [plan.net_kw, team.bids(plan, rng=rng).price]
        return b"".join(array.tobytes() for array in out)

    assert all_bytes(1) == all_bytes(2) == all_bytes(2)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1000), t=st.integers(0, PERIODS - 1), method=st.sampled_from(["naive", "seasonal"])
)
def test_changing_the_future_never_changes_a_forecast(seed, t, method):
    rng = np.random.default_rng(seed)
    series = rng.normal(size=(3, PERIODS))
    other = series.copy()
    other[:, t:] = rng.normal(size=(3, PERIODS - t))
    horizon = PERIODS - t
    one, two = (forecast(s, method=method, t=t, horizon=horizon, season=DAY).values for s in (series, other))
    assert one.tobytes() == two.tobytes()
    assert one.shape == (3, horizon)


def test_a_plan_knows_no_car_that_has_not_come():
    team = team_of(8)
    view = team.actual(0, DAY)
    blind = type(view)(load_kw=view.load_kw, pv_kw=view.pv_kw, heat_kw=view.heat_kw)
    plan = team.plan(team.initial_state(), 0, DAY, outlook=blind)
    assert not plan.ev_kw.any()
    assert team.plan(team.initial_state(), 0, DAY, outlook=view).ev_kw.any()
    assert CLOCK[0] == 0
