"""Small days told in numbers: what a home does, bids and delivers."""

from dataclasses import replace

import numpy as np
import pytest

from gridagora.agents import Outlook, Team
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.study import AgentRules, MarketRules, Tariffs
from gridagora.model.time import TimeAxis

N = 8
AXIS = TimeAxis(start=np.datetime64("2016-06-01"), periods=N, mtu_s=3600)
ONE = np.ones(N)
TARIFFS = Tariffs(
    retail=0.20 * ONE,
    feed_in=0.08 * ONE,
    network=0.07 * ONE,
    taxes=0.03 * ONE,
    imbalance_short=0.25 * ONE,
    imbalance_long=0.05 * ONE,
)
PLAIN = Home(participant="plain", bus="1", load_kw=ONE, load_kvar=0.0 * ONE)
STORE = Battery(
    energy_kwh=4.0,
    charge_kw=2.0,
    discharge_kw=2.0,
    charge_efficiency=1.0,
    discharge_efficiency=0.8,
    initial_share=0.0,
)
SUN = np.array([0.0, 4.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0])


def team_of(*homes, tariffs=TARIFFS, market=None, **rules):
    return Team(homes, AXIS, rules=AgentRules(horizon_periods=N, **rules), tariffs=tariffs, market=market)


def all_day(team, **given):
    return team.deliver(team.initial_state(), 0, N, **given)


def test_a_rule_based_battery_takes_the_surplus_and_covers_the_evening():
    did = all_day(team_of(replace(PLAIN, pv_kw=SUN, battery=STORE)))
    assert did.battery_kw[0].tolist() == pytest.approx([0, 2, 2, 0, -1, -1, -1, -0.2])
    assert did.net_kw[0].tolist() == pytest.approx([1, -1, -1, -3, 0, 0, 0, 0.8])
    assert did.battery_kwh[0, 2] == pytest.approx(4.0)


def test_a_rule_based_car_charges_on_arrival_and_a_weak_fuse_throttles_it():
    car = ElectricVehicle(
        charge_kw=4.0,
        efficiency=1.0,
        arrival=np.array([1]),
        departure=np.array([5]),
        needed_kwh=np.array([6.0]),
    )
    home = replace(PLAIN, ev=car)
    assert all_day(team_of(home)).ev_kw[0].tolist() == [0, 4, 2, 0, 0, 0, 0, 0]
    weak = all_day(team_of(replace(home, import_limit_kw=2.0)))
    assert weak.ev_kw[0].tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert weak.ev_short_kwh[0].tolist() == [0, 0, 0, 0, 2, 0, 0, 0]
    assert not weak.unserved_load_kw.any()


def test_a_fuse_below_the_load_sheds_load_and_says_so():
    did = all_day(team_of(replace(PLAIN, import_limit_kw=0.75)))
    assert did.unserved_load_kw[0].tolist() == [0.25] * N
    assert did.net_kw[0].tolist() == [0.75] * N


def test_production_is_curtailed_at_the_export_limit_only():
    did = all_day(team_of(replace(PLAIN, pv_kw=SUN, export_limit_kw=2.0)))
    assert did.curtailed_kw[0].tolist() == [0, 1, 1, 1, 0, 0, 0, 0]


def test_a_rule_based_pump_keeps_its_tank_half_full_and_fills_it_with_the_sun():
    pump = HeatPump(
        electric_kw=2.0, cop=2.0 * ONE, heat_demand_kw=ONE, tank_kwh=4.0, loss_per_hour=0.0, initial_share=0.5
    )
    did = all_day(team_of(replace(PLAIN, pv_kw=SUN, heat_pump=pump)))
    assert did.heat_pump_kw[0].tolist() == [0.5, 1.5, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5]
    assert did.tank_kwh[0].tolist() == [2, 4, 4, 4, 3, 2, 2, 2]


def test_rule_based_homes_bid_their_net_position_at_the_outside_options():
    team = team_of(replace(PLAIN, pv_kw=SUN))
    bids = team.bids(team.plan(team.initial_state(), 0, N, outlook=team.actual(0, N)))
    assert np.where(bids.is_buy, bids.quantity, -bids.quantity).tolist() == [1, -3, -3, -3, 1, 1, 1, 1]
    assert bids.price.tolist() == [0.2, 0.08, 0.08, 0.08, 0.2, 0.2, 0.2, 0.2]


def test_a_surplus_that_would_be_curtailed_is_offered_up_to_the_export_limit():
    sunny, fused = replace(PLAIN, pv_kw=SUN), replace(PLAIN, pv_kw=SUN, export_limit_kw=2.0)
    dear = replace(TARIFFS, feed_in=-0.05 * ONE, imbalance_long=-0.08 * ONE)
    for given in ({"market": MarketRules(islanded=True)}, {"tariffs": dear}):
        team = team_of(sunny, replace(fused, participant="fused"), **given)
        plan = team.plan(team.initial_state(), 0, 4, outlook=team.actual(0, 4))
        assert plan.net_kw.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
        bids = team.bids(plan)
        assert bids.quantity[~bids.is_buy].tolist() == [3, 3, 3, 2, 2, 2]
        assert bids.price[~bids.is_buy].tolist() == [0.0] * 6


def test_fixed_margin_shares_the_gain_and_passive_homes_stay_out():
    team = team_of(
        replace(PLAIN, pv_kw=SUN),
        replace(PLAIN, participant="passive", passive=True),
        bidding="fixed_margin",
        margin=0.1,
    )
    bids = team.bids(team.plan(team.initial_state(), 0, 2, outlook=team.actual(0, 2)))
    assert bids.price.tolist() == pytest.approx([0.18, 0.088])
    committed = team.committed_kw(np.zeros((2, 2)), np.zeros((2, 2)))
    assert committed[0].tolist() == [0.0, 0.0]
    assert np.isnan(committed[1]).all()


def test_truthful_steps_of_a_battery_follow_from_its_marginal_values():
    """Worked by hand: efficiency 1 in and 0.8 out, 0.30 at the meter of which 0.10 network and taxes."""
    home = replace(PLAIN, pv_kw=SUN, battery=replace(STORE, charge_kw=3.0))
    wide = MarketRules(import_limit_kw=99.0, export_limit_kw=99.0)
    team = team_of(home, ems="optimal", market=wide)
    plan = team.plan(team.initial_state(), 0, N, outlook=team.actual(0, N))

    def curve(period):
        bids = team.bids(plan.part(period, 1))
        signed = np.where(bids.is_buy, bids.quantity, -bids.quantity)
        return np.round(np.stack([signed, bids.price], axis=1), 6).tolist()

    # 3 kWh of surplus, 1 of them planned for the battery, which is full then.  3 stored kWh are worth 0.08:
    # more sun is to come; what is missing beyond that is missing at night, at 0.8 x 0.30.  The battery can
    # leave 1 kWh and give 2, which takes 2.5 out of it
    assert curve(2) == [[-0.4, 0.3], [-1.6, 0.1], [-1.0, 0.080001], [-2.0, 0.08]]
    # in the evening 2.75 kWh are left of 3.75 that the load still asks for: a local kWh that saves 1.25
    # stored ones covers the load if it costs less than 0.30 with all on it, while these 3.75 are
    # short; the last 0.25 are worth 0.16, half-way from 0.08 to 0.8 x 0.30; sold is from 0.24 / 0.8 on
    assert curve(4) == [[0.8, 0.199999], [0.2, 0.1], [-1.0, 0.3]]


def test_the_battery_keeps_a_commitment_that_the_forecast_missed():
    home = replace(PLAIN, battery=replace(STORE, initial_share=0.5))
    team = team_of(home, ems="optimal")
    state = team.initial_state()
    low = Outlook(load_kw=0.5 * ONE[None, :4], pv_kw=0.0 * ONE[None, :4], heat_kw=0.0 * ONE[None, :4])
    plan = team.plan(state, 0, 1, outlook=low)
    committed = np.array([[0.25]])
    did = team.deliver(state, 0, 1, plan=plan, committed_kw=committed)
    assert did.net_kw[0, 0] == pytest.approx(0.25)
    assert did.battery_kw[0, 0] == pytest.approx(-0.75)


def test_a_plan_longer_than_the_horizon_is_made():
    team = Team((PLAIN,), AXIS, rules=AgentRules(ems="optimal", horizon_periods=2), tariffs=TARIFFS)
    assert team.plan(team.initial_state(), 0, 6, outlook=team.actual(0, team.horizon(0, 6))).net_kw.shape == (
        1,
        6,
    )


def test_an_accepted_bid_moves_the_device_that_made_it():
    """The car saves 0.28 tonight by what it buys now; the tank, of no use then, is not heated instead."""
    retail = np.where(np.arange(N) < 4, 0.20, 0.18)
    car = ElectricVehicle(
        charge_kw=4.0,
        efficiency=1.0,
        arrival=np.array([0]),
        departure=np.array([8]),
        needed_kwh=np.array([4.0]),
    )
    pump = HeatPump(electric_kw=2.0, cop=2.0 * ONE, heat_demand_kw=0.0 * ONE, tank_kwh=4.0, initial_share=0.0)
    tariffs = replace(TARIFFS, retail=retail)
    team = team_of(replace(PLAIN, ev=car, heat_pump=pump), tariffs=tariffs, ems="optimal")
    state = team.initial_state()
    plan = team.plan(state, 0, 1, outlook=team.actual(0, N))
    assert plan.ev_kw[0, 0] == plan.heat_pump_kw[0, 0] == 0.0
    bids = team.bids(plan)
    bought = bids.quantity[bids.price >= 0.15].sum()
    assert bought == pytest.approx(1.0 + 4.0)
    did = team.deliver(state, 0, 1, plan=plan, committed_kw=np.array([[bought]]))
    assert did.ev_kw[0, 0] == pytest.approx(4.0)
    assert did.heat_pump_kw[0, 0] == 0.0


@pytest.mark.parametrize(("short", "battery_kw"), [(0.25, 0.0), (0.35, -2.0)])
def test_a_battery_covers_a_sale_that_the_sun_failed_only_if_that_is_cheaper(short, battery_kw):
    """A kWh out of the battery saves 0.30 tonight; missing it costs ``short`` now."""
    home = replace(PLAIN, pv_kw=0.5 * SUN, battery=replace(STORE, initial_share=1.0))
    tariffs = replace(TARIFFS, imbalance_short=short * ONE)
    team = team_of(home, tariffs=tariffs, ems="optimal")
    state = team.initial_state()
    now = team.actual(3, 5)
    sunny = replace(now, pv_kw=np.array([[4.0, 0.0, 0.0, 0.0, 0.0]]))
    plan = team.plan(state, 3, 1, outlook=sunny)
    assert plan.net_kw[0, 0] == pytest.approx(-3.0)
    did = team.deliver(state, 3, 1, plan=plan, committed_kw=plan.net_kw)
    assert did.battery_kw[0, 0] == pytest.approx(battery_kw)
    assert did.net_kw[0, 0] == pytest.approx(-1.0 + battery_kw)
