"""Truthful bids follow the value curve of a store: no home loses by them, no kWh is offered twice."""

import numpy as np
import pytest
from agents_samples import AXIS, DAY, PERIODS, outlook, street, tariffs
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.agents import Team
from gridagora.agents.curves import DOWN, LENGTH, STEPS, UP, VALUE, curve_around
from gridagora.agents.fleet import Param
from gridagora.agents.flexibility import session_ranges
from gridagora.agents.penalties import EV_PENALTY, HEAT_PENALTY, LOAD_PENALTY
from gridagora.model.study import AgentRules

HOURS, SESSION = AXIS.hours, 4
CENT = 0.01


def team_of(homes, kind, *, horizon=PERIODS, value_left=False):
    rules = AgentRules(ems="optimal", horizon_periods=horizon)
    return Team(homes, AXIS, rules=rules, tariffs=tariffs(kind), value_left=value_left)


def accepted(bids, price, *, t, homes):
    """Bought and sold kWh (homes, session) of homes that take the price of each period."""
    takes = np.where(bids.is_buy, bids.price >= price[bids.period], bids.price <= price[bids.period])
    tables = []
    for side in (bids.is_buy, ~bids.is_buy):
        table = np.zeros((homes, SESSION))
        rows = side & takes
        np.add.at(table, (bids.participant[rows], bids.period[rows] - t), bids.quantity[rows])
        tables.append(table)
    return tables


def bill(did, prices, committed, market):
    """Money for a session: the market's price on what is committed to, the retailer's on the rest."""
    window = slice(did.t, did.t + did.net_kw.shape[1])
    retail, feed_in = prices.retail[window], prices.feed_in[window]
    wedge = prices.network[window] + prices.taxes[window]
    off = (did.net_kw - committed) * HOURS
    cost = committed * HOURS @ market[window] + np.maximum(did.net_kw, 0.0) * HOURS @ wedge
    cost += np.maximum(off, 0.0) @ retail - np.maximum(-off, 0.0) @ feed_in
    cost += EV_PENALTY * did.ev_short_kwh.sum(axis=1)
    cost += LOAD_PENALTY * HOURS * did.unserved_load_kw.sum(axis=1)
    return cost + HEAT_PENALTY * HOURS * did.unserved_heat_kw.sum(axis=1)


def costs(team, prices, *, price):
    """Cost of each home over the study, with a market at ``price`` and without one (None)."""
    state, total = team.initial_state(), np.zeros(team.fleet.homes)
    for t in range(0, PERIODS, SESSION):
        plan = team.plan(state, t, SESSION, outlook=team.actual(t, team.horizon(t, SESSION)))
        due = None
        if price is not None:
            due = team.committed_kw(*accepted(team.bids(plan), price, t=t, homes=team.fleet.homes))
        did = team.deliver(state, t, SESSION, plan=plan, committed_kw=due)
        state = did.state
        zero = np.zeros_like(did.net_kw)
        total += bill(did, prices, zero if due is None else due, prices.retail if due is None else price)
    return total


def gains(homes, kind, seed):
    """What each home gains by a market with random prices between feed-in and retail."""
    prices = tariffs(kind)
    rng = np.random.default_rng(seed)
    share = rng.random(PERIODS) if seed % 2 else np.repeat(rng.random(PERIODS // SESSION), SESSION)
    price = prices.feed_in + share * (prices.retail - prices.feed_in)
    team = team_of(homes, kind)
    return costs(team, prices, price=None) - costs(team_of(homes, kind), prices, price=price)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 10_000), only=st.integers(0, 2), kind=st.sampled_from(["time of use", "flat"]))
def test_no_price_of_the_market_makes_a_home_with_one_store_lose(seed, only, kind):
    assert gains(street(5, seed=seed, only=only), kind, seed).min() > -CENT


@pytest.mark.parametrize("kind", ["time of use", "flat"])
def test_no_price_of_the_market_makes_homes_with_several_stores_lose(kind):
    for seed in range(3):
        assert gains(street(5, seed=seed, several=True), kind, seed).min() > -CENT


def plans(team, *, periods=PERIODS, n=SESSION):
    state = team.initial_state()
    for t in range(0, periods, n):
        plan = team.plan(state, t, n, outlook=outlook(team, t, team.horizon(t, n)))
        yield plan
        state = team.deliver(state, t, n, plan=plan).state


@pytest.mark.parametrize("several", [False, True])
def test_value_curves_fall_with_what_is_in_store(several):
    team = team_of(street(8, seed=1, several=several), "time of use", horizon=DAY, value_left=True)
    for plan in plans(team):
        for curve in (plan.battery_value, plan.ev_value, plan.tank_value):
            assert curve.shape == (8, SESSION, 2, STEPS, 2)
            assert curve[..., LENGTH].min() >= 0.0
            down, up = curve[..., DOWN, :, VALUE], curve[..., UP, :, VALUE]
            assert np.all(np.diff(down, axis=2) >= -1e-9)
            assert np.all(np.diff(up, axis=2) <= 1e-9)
            both = (curve[..., 0, LENGTH] > 0.0).all(axis=2)
            assert np.all((down >= up - 1e-9)[both])


@pytest.mark.parametrize("several", [False, True])
def test_no_session_offers_more_than_a_store_can_give_or_take(several):
    """Whatever is accepted, in whichever periods: the content stays within the store."""
    team = team_of(street(8, seed=2, several=several), "time of use", horizon=DAY, value_left=True)
    p, rng = team.fleet.params, np.random.default_rng(0)
    for plan in plans(team):
        battery, _, pump = session_ranges(team.fleet, plan)
        for _ in range(4):
            part = rng.random((8, SESSION)) if rng.random() < 0.5 else rng.integers(0, 2, (8, SESSION))
            power = battery.low_kw + part * battery.step_kw.sum(axis=2)
            gain = np.where(power > 0, p[:, [Param.CHARGE_EFF]], 1.0 / p[:, [Param.DISCHARGE_EFF]])
            planned = np.where(
                plan.battery_kw > 0, p[:, [Param.CHARGE_EFF]], 1.0 / p[:, [Param.DISCHARGE_EFF]]
            )
            moved = np.cumsum(gain * power - planned * plan.battery_kw, axis=1) * HOURS
            content = plan.battery_kwh + moved
            assert np.all(content <= p[:, [Param.BATTERY_KWH]] + 1e-6)
            assert np.all(content >= p[:, [Param.BATTERY_MIN_KWH]] - 1e-6)
            heat = (pump.low_kw + part * pump.step_kw.sum(axis=2) - plan.heat_pump_kw) * HOURS
            heat *= team.fleet.cop[:, plan.t : plan.t + SESSION]
            tank = plan.tank_kwh + np.cumsum(heat, axis=1)
            on = p[:, Param.PUMP_KW] > 0.0
            assert np.all(tank[on] <= p[on][:, [Param.TANK_KWH]] + 1e-6)
            assert np.all(tank[on] >= -1e-6)


def test_periods_of_a_session_share_every_step_of_the_curve():
    """Summed over the session, what is offered below a worth is what the curve has below it."""
    team = team_of(street(6, seed=3, only=0), "time of use", horizon=DAY, value_left=True)
    p, checked = team.fleet.params, 0
    for plan in plans(team):
        battery = session_ranges(team.fleet, plan)[0]
        out = p[:, Param.DISCHARGE_EFF, None]
        offered = (battery.step_kw[:, :, :STEPS].sum(axis=1) * HOURS) / out
        idle = (plan.battery_kw <= 0.0).all(axis=1)
        curve = plan.battery_value[:, -1, DOWN, :, LENGTH]
        assert np.all(offered[idle][:, :-1] <= curve[idle][:, :-1] + 1e-9)
        checked += idle.sum()
    assert checked


def test_steps_of_a_curve_by_hand():
    """Values 9, 5, 5, 4, 3, 2, 1 over 1 kWh each; 2.5 kWh are held, 10 within reach."""
    out = np.zeros((2, STEPS, 2))
    curve_around(np.array([9.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0]), np.ones(7), 7, 0.0, 2.5, 10.0, out)
    assert out[DOWN].tolist() == [[1.5, 5.0], [1.0, 9.0], [0.0, 9.0], [0.0, 9.0]]
    # five steps up, joined to four where that moves least: the half kWh at 5 goes with the one at 4
    assert out[UP].tolist() == [[1.5, 4.0], [1.0, 3.0], [1.0, 2.0], [1.0, 1.0]]
    curve_around(np.array([2.0, 1.0]), np.ones(2), 2, 3.0, 5.0, 1.5, out)
    assert out[DOWN].tolist() == [[1.0, 1.0], [0.5, 2.0], [0.0, 2.0], [0.0, 2.0]]
    assert out[UP].tolist() == [[0.0, 1.0]] * STEPS
