"""The district builder: shares, seeds, splitting of loads, and the grid's own devices."""

import numpy as np
import pytest

from gridagora.model.time import TimeAxis
from gridagora.scenario import parse_scenario
from gridagora.scenario.district import GridAssets, LoadPoint, Unit, plan_district, plan_listed
from gridagora.scenario.draw import holders
from gridagora.scenario.ev import draw_vehicle, vehicle_from_profile
from gridagora.scenario.heat import coefficient_of_performance, heat_pump, outdoor_temperature, smooth

WEEK = TimeAxis(start=np.datetime64("2016-06-05T22:00"), periods=672, timezone="Europe/Berlin")


def points(count: int, **fields) -> tuple[LoadPoint, ...]:
    shared = {"kw": 2.0, "kvar": 0.8, "profile": "H0-A", **fields}
    return tuple(LoadPoint(name=f"Load {i}", bus=f"bus {i}", **shared) for i in range(1, count + 1))


def plans(connected: GridAssets, /, **participants):
    spec = parse_scenario({"grid": "x", "seed": 5, "participants": participants})
    made, faults = plan_district(spec, connected)
    assert not faults
    return {plan.participant: plan for plan in made}


def test_shares_are_met_exactly():
    made = plans(
        GridAssets(loads=points(40)),
        pv={"share": 0.5},
        battery={"share": 0.5},
        ev={"share": 0.25},
        heat_pump={"share": 1.0},
    )
    assert sum(plan.pv_kwp > 0 for plan in made.values()) == 20
    assert sum(plan.battery_kwh > 0 for plan in made.values()) == 10
    assert all(plan.pv_kwp > 0 for plan in made.values() if plan.battery_kwh)
    assert sum(plan.ev_kw > 0 for plan in made.values()) == 10
    assert sum(plan.heat_pump_kw > 0 for plan in made.values()) == 40
    assert all(4 <= plan.pv_kwp <= 10 for plan in made.values() if plan.pv_kwp)


def test_order_of_loads_does_not_matter():
    loads = points(30)
    assert plans(GridAssets(loads=loads)) == plans(GridAssets(loads=loads[::-1]))


def test_one_more_home_leaves_the_others_as_they_were():
    few, many = plans(GridAssets(loads=points(30))), plans(GridAssets(loads=points(31)))
    changed = [name for name in few if few[name].pv_kwp != many[name].pv_kwp]
    assert len(changed) <= 1
    sizes = {name: plan.pv_kwp for name, plan in few.items() if plan.pv_kwp and many[name].pv_kwp}
    assert all(many[name].pv_kwp == size for name, size in sizes.items())


def test_another_seed_draws_other_homes():
    names = [f"home {i}" for i in range(50)]
    assert holders(1, "pv", names, share=0.5) != holders(2, "pv", names, share=0.5)


def test_homes_by_id_with_and_without_a_size():
    made = plans(
        GridAssets(loads=points(3)),
        pv={"homes": {"Load 1": 7.5}},
        battery={"homes": ["Load 2"]},
        ev={"share": 0},
    )
    assert made["Load 1"].pv_kwp == 7.5
    assert made["Load 2"].battery_kwh >= 5
    assert made["Load 3"].pv_kwp == made["Load 3"].battery_kwh == 0


def test_unknown_home_is_a_fault_with_a_near_name():
    spec = parse_scenario({"grid": "x", "participants": {"pv": {"homes": ["Laod 2"]}}})
    _, (fault,) = plan_district(spec, GridAssets(loads=points(3)))
    assert fault.place == "participants.pv.homes"
    assert "Load 2" in fault.fix


def test_large_residential_loads_become_homes():
    load = LoadPoint(name="Load R1", bus="b", kw=190.0, kvar=62.0)
    made = plans(GridAssets(loads=(load,)))
    assert len(made) == 38
    assert sum(plan.load_kw for plan in made.values()) == pytest.approx(190.0)
    assert len({plan.profile for plan in made.values()}) > 1
    (whole,) = plans(GridAssets(loads=(load,)), home_kw=None).values()
    assert (whole.participant, whole.load_kw) == ("Load R1", 190.0)


@pytest.mark.parametrize(
    ("name", "kv", "kind", "profiles"),
    [
        ("Load C12", 0.4, "business", ("G1-A", "G1-B", "G4-A", "G4-B")),
        ("Load I2", 0.4, "business", ("G3-A",)),
        ("Load R1", 20.0, "aggregate", ("lv_semiurb4",)),
        ("Load CI3", 20.0, "aggregate", ("G4-M",)),
        ("Campus", 0.4, "household", ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")),
    ],
)
def test_loads_without_profile_follow_simbench(name, kv, kind, profiles):
    (plan,) = plans(GridAssets(loads=(LoadPoint(name=name, bus="b", kw=4.0, kvar=1.0, vn_kv=kv),))).values()
    assert plan.kind == kind
    assert plan.profile in profiles


def test_an_aggregates_devices_are_as_large_as_its_homes_together():
    load = LoadPoint(name="Load R1", bus="b", kw=1000.0, kvar=0.0, vn_kv=20.0)
    (plan,) = plans(GridAssets(loads=(load,)), pv={"share": 1.0, "size_kwp": 6}).values()
    assert plan.pv_kwp == 6 * 200


def own_assets() -> GridAssets:
    extra = (
        LoadPoint(name="car", bus="bus 1", kw=11.0, kvar=0.0, profile="HLS_A_11.0"),
        LoadPoint(name="pump", bus="bus 2", kw=3.0, kvar=0.0, profile="Soil_Alternative_1"),
        LoadPoint(name="lonely pump", bus="far", kw=3.0, kvar=0.0, profile="Air_Parallel_1"),
    )
    plants = (
        Unit(name="roof", bus="bus 1", kw=10.0, profile="PV3"),
        Unit(name="field", bus="far", kw=90.0, profile="PV3"),
    )
    stores = (Unit(name="box", bus="bus 1", kw=4.0, kwh=8.0),)
    return GridAssets(loads=(*points(2), *extra), generators=plants, storages=stores)


def test_own_devices_go_to_the_home_at_their_bus():
    made = plans(own_assets(), assets="simbench")
    one, two = made["Load 1"], made["Load 2"]
    assert (one.pv_kwp, one.pv_profile, one.battery_kwh, one.battery_kw) == (10.0, "PV3", 8.0, 4.0)
    assert (one.ev_kw, one.ev_profile) == (11.0, "HLS_A_11.0")
    assert (two.heat_pump_kw, two.heat_profile) == (3.0, "Soil_Alternative_1")
    assert made["field"].kind == "producer"
    assert made["lonely pump"].kind == "heat pump"
    assert set(made) == {"Load 1", "Load 2", "field", "lonely pump"}


def test_shares_add_to_own_devices_only_where_written():
    assert sum(plan.pv_kwp > 0 for plan in plans(own_assets(), assets="simbench").values()) == 2
    made = plans(own_assets(), assets="simbench", pv={"share": 1.0})
    assert made["Load 2"].pv_kwp > 0
    assert made["Load 1"].pv_kwp == 10.0


def test_shares_draw_solar_profiles_of_the_grids_own_weather():
    made = plans(own_assets(), pv={"share": 1.0})
    assert {plan.pv_profile for plan in made.values()} == {"PV3"}


def test_listed_participants_keep_their_own_values():
    rows = [
        {
            "participant": "a",
            "bus": "b",
            "pv_kwp": 5.0,
            "battery_kwh": 6,
            "import_limit_kw": 20.0,
            "passive": True,
        },
        {"participant": "c", "bus": "b"},
    ]
    spec = parse_scenario({"grid": "x", "participants": {"list": rows, "import_limit_kw": 44.0}})
    (a, c), faults = plan_listed(spec.participants.listed, spec)
    assert not faults
    assert (a.pv_kwp, a.battery_kw, a.import_limit_kw, a.passive) == (5.0, 3.0, 20.0, True)
    assert (c.pv_kwp, c.import_limit_kw, c.passive) == (0.0, 44.0, False)


def test_passive_share():
    made = plans(GridAssets(loads=points(10)), passive_share=0.3)
    assert sum(plan.passive for plan in made.values()) == 3


def car(axis: TimeAxis, home: str = "a", seed: int = 1):
    return draw_vehicle(home, axis, seed=seed, charge_kw=11.0, kwh_per_day=7.0, efficiency=0.9)


def test_vehicle_is_the_same_on_a_day_whatever_is_studied():
    later = TimeAxis(start=WEEK.start + np.timedelta64(2, "D"), periods=480, timezone="Europe/Berlin")
    all_days, few_days = car(WEEK), car(later)
    inside = all_days.arrival >= 192
    kept = few_days.arrival > 0
    np.testing.assert_array_equal(all_days.arrival[inside] - 192, few_days.arrival[kept])
    np.testing.assert_allclose(all_days.needed_kwh[inside], few_days.needed_kwh[kept])


def test_vehicle_needs_what_it_should_over_a_year():
    year = TimeAxis(start=np.datetime64("2016-01-01"), periods=35_136, timezone="Europe/Berlin")
    per_day = np.mean([car(year, home=f"home {i}").needed_kwh.sum() / 366 for i in range(20)])
    assert per_day == pytest.approx(7.0, rel=0.05)


def test_vehicle_never_needs_more_than_the_charger_gives():
    slow = draw_vehicle("a", WEEK, seed=1, charge_kw=0.5, kwh_per_day=40.0, efficiency=0.9)
    hours = (slow.departure - slow.arrival) * WEEK.hours
    assert (slow.needed_kwh <= hours * 0.5 * 0.9 + 1e-9).all()


def test_vehicle_of_a_day_without_charging_is_empty():
    day = TimeAxis(start=WEEK.start, periods=96)
    quiet = vehicle_from_profile(np.zeros(96), day, charge_kw=11.0, hours_after=8, efficiency=0.9)
    assert quiet.arrival.size == quiet.needed_kwh.size == 0
    assert quiet.charge_kw == 11.0


def test_heat_demand_keeps_the_energy_of_the_profile():
    pulses = np.zeros(960)
    pulses[200:700:20] = 0.9
    assert smooth(pulses, hours=12, axis_hours=0.25).sum() == pytest.approx(pulses.sum(), rel=1e-9)


def test_heat_pump_can_serve_its_demand():
    axis = TimeAxis(start=np.datetime64("2016-01-18"), periods=96)
    pump = heat_pump(np.full(96, 0.8), axis, electric_kw=3.0, tank_kwh=10.0, ground=False)
    assert (pump.heat_demand_kw <= pump.cop * 3.0).all()
    assert 2.0 < pump.cop.min() < pump.cop.max() < 4.5


def test_cop_falls_with_the_cold_and_ground_is_steadier():
    cold, warm = coefficient_of_performance(np.array([-10.0, 15.0]), ground=False)
    assert cold < warm
    year = TimeAxis(start=np.datetime64("2016-01-01"), periods=8784, mtu_s=3600)
    assert -6 < outdoor_temperature(year).min() < outdoor_temperature(year).max() < 25
