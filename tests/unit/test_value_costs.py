"""The operator's costs: each against a hand calculation, together against their own differences."""

import numpy as np
import pytest
from need_grids import certain, feeder, points

from gridagora.errors import InputError
from gridagora.forecast import Forecast
from gridagora.forecast.quantiles import seasonal_errors, with_quantiles
from gridagora.grid.ageing import ThermalModel, ageing_rate, loss_of_life, steady_state, thermal_profile
from gridagora.grid.demand import CurveSteps, demand_curve
from gridagora.grid.need import find_need, needed_quantity
from gridagora.grid.need_rules import NeedRules, PointForecast
from gridagora.grid.value import (
    DsoCosts,
    ageing_cost,
    capacity_fee_price,
    costs_at,
    deferral_value,
    energy_not_served,
    value_of_cut,
)

COSTS = DsoCosts(
    energy_price=0.2,
    replacement_cost=20_000.0,
    value_of_lost_load=10.0,
    investment=40_000.0,
    kw_periods_per_year=2000.0,
    capacity_fee=30.0,
    curtailed_price=0.08,
)


def overloaded(kw=(25.0, 29.0, 18.0), levels=(0.1, 0.5, 0.9)):
    """Return the transformer's need of three periods with quantiles 20 % apart."""
    spread = np.array([0.8, 1.0, 1.2])[:, None, None]
    power = spread * np.array(kw)[None, :, None] * np.ones(5)
    forecast = PointForecast.of_levels(points(), levels=levels, import_kw=power, hours=1.0)
    return find_need(feeder(), forecast, NeedRules(vm_min_pu=0.5, vm_max_pu=1.5)).at("trafo")


def test_rated_hot_spot_is_98_degrees_and_ages_as_the_clock():
    assert steady_state(1.0, 20.0, ThermalModel()).hot_spot_c() == pytest.approx(98.0)
    assert loss_of_life(np.ones(48), hours=0.5) == pytest.approx(24.0)


@pytest.mark.parametrize(
    ("theta", "plain", "upgraded"), [(80, 0.125, 0.036), (98, 1, 0.282), (128, 32, 5.79)]
)
def test_ageing_rates_as_the_loading_guide_tabulates_them(theta, plain, upgraded):
    """Also its 6 K rule; the guide prints 0.125, 1.0, 32 and 0.036, 0.281, 5.8."""
    assert ageing_rate(theta) == pytest.approx(plain)
    assert ageing_rate(theta, upgraded_paper=True) == pytest.approx(upgraded, rel=0.02)


def test_temperatures_follow_the_differential_equations():
    """Euler steps of one second of IEC 60076-7's equations, against the exact steps."""
    model = ThermalModel(k11=0.5, k21=2.0, oil_minutes=210, winding_minutes=10)
    loads, seconds = [0.6, 1.3, 0.9], 3600
    state = steady_state(loads[0], 25.0, model)
    oil, first, second = float(state.top_oil_c), float(state.winding_k), float(state.oil_k)
    reached = []
    for load in loads:
        end = steady_state(load, 25.0, model)
        for _ in range(seconds):
            oil += (end.top_oil_c - oil) / (model.k11 * 210 * 60)
            first += (end.winding_k - first) / (model.k22 * 600)
            second += (end.oil_k - second) / (210 * 60 / model.k22)
        reached.append(oil + first - second)
    found = thermal_profile(loads, ambient_c=25.0, hours=1.0, model=model)[0]
    np.testing.assert_allclose(found, reached, atol=0.05)


def test_the_ageing_rate_is_averaged_finely_enough():
    loads = np.array([0.5, 1.4, 0.5])
    fine = thermal_profile(np.repeat(loads, 60), hours=1 / 60)[1].reshape(3, 60).sum(axis=1)
    np.testing.assert_allclose(thermal_profile(loads, hours=1.0)[1], fine, rtol=0.02)


def test_a_bad_characteristic_is_told():
    with pytest.raises(InputError, match="k21"):
        ThermalModel(k21=0.5)
    with pytest.raises(InputError, match="investment"):
        DsoCosts(investment=-1.0)


def test_costs_by_hand():
    assert ageing_cost([100.0] * 24, replacement_cost=18_000.0, hours=1.0) == pytest.approx(2.4)
    assert energy_not_served(144.0, 144.0, hours=1.0) == pytest.approx(24.0)
    assert energy_not_served(50.0, 150.0, outage_hours=2.0, hours=0.25) == pytest.approx(100.0)
    assert deferral_value(1000.0, years=1, discount_rate=0.25) == pytest.approx(200.0)
    assert deferral_value(1000.0, years=3, discount_rate=0.02, price_growth=0.02) == pytest.approx(0.0)
    assert capacity_fee_price([1.0, 5.0, np.nan], fee_per_kw=9.0).tolist() == [0.0, 9.0, 0.0]


def test_value_is_the_difference_of_costs_and_its_parts_sum():
    need = overloaded()
    value = value_of_cut(need, COSTS)
    ends = costs_at(need, COSTS, np.stack([need.wanted_kw, need.load_kw], axis=1))
    total = sum(ends.values())
    np.testing.assert_allclose(value.total, (total[:, 1] - total[:, 0]) / need.meter_kw)
    frame = value.to_frame()
    np.testing.assert_allclose(frame["total"], frame.drop(columns="total").sum(axis=1))
    assert (frame[["ageing", "losses", "deferral"]] > 0).all(axis=None)
    assert frame["curtailment"].eq(0).all()


def test_losses_saved_are_those_of_the_power_flow():
    need, grid = overloaded(kw=(25.0,)), feeder()
    costs = DsoCosts(energy_price=1.0)
    kw = np.full((1, 5), 25.0)
    before, after = (
        find_need(grid, certain(kw - cut), NeedRules(vm_min_pu=0.5, threshold_percent=1)).flow.losses_kw[0]
        for cut in (0, need.cut_kw)
    )
    saved = value_of_cut(need, costs).losses[0] * need.meter_kw[0]
    assert saved == pytest.approx(before - after, rel=0.01)


def test_export_is_worth_its_curtailment():
    need = overloaded(kw=(-30.0,))
    value = value_of_cut(need, COSTS)
    assert need.product.tolist() == ["floor"]
    assert value.curtailment == pytest.approx(0.08)
    assert value.energy_not_served == 0
    assert value.capacity_fee == 0


def test_probability_curve_keeps_the_order_and_is_not_monotone():
    """The shape of seed 003 figure 3-9: hardly anything, little, most, little again."""
    need = overloaded(kw=(21.0,))
    costs = DsoCosts(investment=40_000.0, kw_periods_per_year=2000.0, value_of_lost_load=2.0)
    bids = demand_curve(need, capacity_kw=dict.fromkeys(points(), 70.0), costs=costs, basis="probability")
    g0, g1, g2, g3 = bids.price
    assert g0 < g1 < g2 > g3
    assert bids.step.tolist() == [0, 1, 2, 3]
    assert set(bids.participant) == {"DSO"}
    assert bids.is_buy.all()
    np.testing.assert_allclose(
        bids.quantity[:3].sum(), needed_quantity(need, dict.fromkeys(points(), 70.0))[0]
    )


def test_impact_curve_falls_and_is_never_below_the_probable():
    need = overloaded()
    capacity = dict.fromkeys(points(), 40.0)
    impact, probable = (
        demand_curve(need, capacity_kw=capacity, costs=COSTS, basis=basis)
        for basis in ("impact", "probability")
    )
    for period in np.unique(need.period):
        of_period = impact.period == period
        assert (np.diff(impact.price[of_period]) <= 0).all()
        by_size = dict(zip(impact.quantity[of_period].round(6), impact.price[of_period], strict=True))
        chosen = probable.period == period
        for size, price in zip(probable.quantity[chosen].round(6), probable.price[chosen], strict=True):
            assert price <= by_size[size] + 1e-12


def test_a_price_cap_bounds_the_impact_before_it_is_weighted():
    need = overloaded(kw=(25.0,))
    capacity = dict.fromkeys(points(), 70.0)
    free, capped = (
        demand_curve(need, capacity_kw=capacity, costs=COSTS, basis="impact", price_cap=cap)
        for cap in (None, 0.05)
    )
    assert free.price.max() > 0.05 * need.hours
    assert capped.price.max() == pytest.approx(0.05 * need.hours)
    assert (np.sort(capped.price) <= np.sort(free.price) + 1e-12).all()
    assert capped.quantity.sum() == pytest.approx(free.quantity.sum())
    probable = demand_curve(need, capacity_kw=capacity, costs=COSTS, basis="probability", price_cap=0.05)
    assert probable.price.max() < capped.price.max()
    with pytest.raises(InputError, match="price_cap"):
        demand_curve(need, capacity_kw=capacity, costs=COSTS, basis="impact", price_cap=-1.0)


def test_finer_steps_sum_to_the_same_value():
    need, capacity = overloaded(), dict.fromkeys(points(), 40.0)
    worth = [
        (bids.price * bids.quantity).sum()
        for steps in (CurveSteps(), CurveSteps(shares=(0.5, 0.3, 0.2), overload_steps=4))
        for bids in [demand_curve(need, capacity_kw=capacity, costs=COSTS, basis="impact", steps=steps)]
    ]
    assert worth[0] == pytest.approx(worth[1])


def test_curves_of_several_elements_or_without_capacity_are_refused():
    forecast = certain([60.0] * 5)
    need = find_need(feeder(), forecast, NeedRules(vm_min_pu=0.5))
    with pytest.raises(InputError, match="one element"):
        demand_curve(need, capacity_kw=dict.fromkeys(points(), 70.0), costs=COSTS, basis="impact")
    with pytest.raises(InputError, match="point h3"):
        needed_quantity(need, {name: 70.0 for name in points() if name != "h3"})
    with pytest.raises(InputError, match="shares"):
        CurveSteps(shares=(0.5, 0.4))


def test_quantiles_of_homes_sum_to_those_of_the_feeder():
    rng = np.random.default_rng(3)
    history = rng.gamma(2.0, 1.0, size=(6, 20 * 24))
    errors = seasonal_errors(history, season=24)
    point = Forecast(issued_at=480, method="seasonal", values=history[:, -24:])
    levels = [0.1, 0.5, 0.9]
    together = with_quantiles(point, errors, levels=levels, season=24)
    alone = with_quantiles(point, errors, levels=levels, season=24, together=False)
    assert together.values.shape == (3, 24, 6)
    total = np.quantile(errors.sum(axis=0).reshape(-1, 24), levels, axis=0)
    np.testing.assert_allclose(together.values.sum(axis=2), point.values.sum(axis=0) + total)
    assert (np.diff(alone.values, axis=0) >= 0).all()
    width = [made.values[2].sum() - made.values[0].sum() for made in (together, alone)]
    assert width[0] < 0.7 * width[1]


def test_quantile_faults_are_told():
    point = Forecast(issued_at=4, method="naive", values=np.zeros((1, 2)))
    with pytest.raises(InputError, match="less than a day"):
        with_quantiles(point, np.zeros((1, 2)), levels=[0.5], season=4)
    with pytest.raises(InputError, match="levels"):
        with_quantiles(point, np.zeros((1, 8)), levels=[0.5, 0.5], season=4)
