"""SimBench's year: imported once, on any axis within 2016."""

import subprocess
import sys

import numpy as np
import pytest

from gridagora.adapters import simbench
from gridagora.adapters.feeders import read_feeder
from gridagora.adapters.studies import resolve
from gridagora.errors import InputError
from gridagora.model.time import TimeAxis
from gridagora.scenario import load_scenario, parse_scenario


def axis(start: str, periods: int, mtu_s: int = 900) -> TimeAxis:
    return TimeAxis(start=np.datetime64(start), periods=periods, mtu_s=mtu_s)


def test_profiles_equal_simbenchs_own_table():
    pandas = pytest.importorskip("pandas")
    path = simbench._data_folder() / "LoadProfile.csv"
    own = pandas.read_csv(path, sep=";", usecols=["time", "H0-A_pload", "H0-A_qload"], nrows=200)
    assert own["time"][96] == "02.01.2016 00:00"
    day = axis("2016-01-02T00:00", 96)
    np.testing.assert_array_equal(simbench.active_profile("H0-A", day), own["H0-A_pload"][96:192])
    np.testing.assert_array_equal(simbench.reactive_profile("H0-A", day), own["H0-A_qload"][96:192])


def test_year_is_whole_and_finite():
    year = axis("2016-01-01T00:00", 35_136)
    assert not simbench.outside_year(year)
    for name in ("H0-C", "G3-A", "Soil_Alternative_1", "HLS_A_11.0", "lv_semiurb4"):
        profile = simbench.active_profile(name, year)
        assert profile.shape == (35_136,)
        assert np.isfinite(profile).all()


def test_other_resolutions_keep_the_energy():
    quarter = simbench.active_profile("H0-A", axis("2016-05-23T22:00", 96))
    for mtu_s, periods in ((300, 288), (1800, 48), (3600, 24)):
        other = simbench.active_profile("H0-A", axis("2016-05-23T22:00", periods, mtu_s))
        assert other.mean() == pytest.approx(quarter.mean())


def test_study_outside_the_year():
    assert simbench.outside_year(axis("2015-12-31T23:45", 2))
    assert simbench.outside_year(axis("2016-12-31T23:45", 2))
    assert not simbench.outside_year(axis("2016-12-31T23:45", 1))


def test_names():
    loads, plants = simbench.load_names(), simbench.plant_names()
    assert {"H0-A", "G1-B", "Air_Parallel_1", "HLS_A_3.7", "lv_rural1"} <= set(loads)
    assert {"PV1", "WP3", "lv_rural1"} <= set(plants)
    assert all(simbench.is_load(name) for name in loads)
    assert not simbench.is_load("PV1")
    assert not simbench.is_plant("H0-A")
    assert not simbench.is_load("home")


def test_heat_demand_does_not_depend_on_the_period_studied():
    week = simbench.heat_profile("Air_Parallel_1", axis("2016-01-18T00:00", 672))
    day = simbench.heat_profile("Air_Parallel_1", axis("2016-01-19T00:00", 96))
    np.testing.assert_array_equal(week[96:192], day)


def test_feeder_knows_what_is_connected():
    feeder = read_feeder("1-LV-rural1--0-sw")
    assert len(feeder.assets.loads) == 13
    assert len(feeder.assets.generators) == 4
    assert {load.bus for load in feeder.assets.loads} <= set(feeder.network.buses)
    assert sum(load.kw for load in feeder.assets.loads) == pytest.approx(80.0)


def test_european_feeder_has_one_phase_homes():
    study, network = resolve(parse_scenario({"grid": "european-lv", "period": {"length": "1d"}}))
    assert len(study.homes) == 55
    assert {home.phase for home in study.homes} == {1, 2, 3}
    assert {home.bus for home in study.homes} <= set(network.buses)


@pytest.mark.parametrize(("grid", "homes"), [("cigre-lv", 87), ("cigre-mv", 18), ("ieee33", 32)])
def test_test_grids_become_studies(grid, homes):
    study, network = resolve(parse_scenario({"grid": grid, "period": {"length": "1d"}}))
    assert len(study.homes) == homes
    assert {home.bus for home in study.homes} <= set(network.buses)
    assert all(np.isfinite(home.load_kw).all() and (home.load_kw >= 0).all() for home in study.homes)


def test_net_in_memory_instead_of_a_named_grid():
    pandapower = pytest.importorskip("pandapower")
    net = pandapower.networks.create_kerber_landnetz_freileitung_1()
    study, network = resolve(parse_scenario({"grid": "mine", "period": {"length": "1d"}}), net=net)
    assert network.name == "mine"
    assert len(study.homes) == len(net.load) * 2  # 8 kW each, in homes of at most 5 kW


def test_village_is_a_village():
    study, network = resolve(load_scenario("village"))
    assert len(study.homes) == 99
    assert study.axis.periods == 672
    assert sum(home.pv_kw is not None for home in study.homes) == 59
    assert len({home.participant for home in study.homes}) == 99
    assert {home.bus for home in study.homes} <= set(network.buses)
    net = sum(home.load_kw for home in study.homes) - sum(
        home.pv_kw for home in study.homes if home.pv_kw is not None
    )
    assert net.min() < -250 < 0 < net.max()


def test_a_second_start_needs_neither_pandas_nor_pandapower():
    resolve(load_scenario("village"))  # fills the cache
    code = (
        "import sys; from gridagora.adapters.studies import resolve;"
        "from gridagora.scenario import load_scenario;"
        "resolve(load_scenario('village'));"
        "print(sorted({'pandas', 'pandapower', 'simbench', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_same_seed_same_bytes_and_another_seed_others():
    def loads(**overrides):
        study, _ = resolve(load_scenario("village", {"period.length": "1d", **overrides}))
        return b"".join(
            part.tobytes()
            for home in study.homes
            for part in (home.load_kw, home.pv_kw, home.ev and home.ev.needed_kwh)
            if part is not None
        )

    assert loads() == loads()
    assert loads() != loads(seed=8)


def test_own_assets_of_a_future_grid():
    keys = {"grid": "1-LV-rural2--2-sw", "participants": {"assets": "simbench"}, "period": {"length": "1d"}}
    study, _ = resolve(parse_scenario(keys))
    homes = study.homes
    assert sum(home.battery is not None for home in homes) == 8
    assert sum(home.pv_kw is not None for home in homes) == 11
    assert sum(home.ev is not None for home in homes) == 11
    assert sum(home.heat_pump is not None for home in homes) == 8


def test_unknown_code_names_near_ones():
    with pytest.raises(InputError, match="1-LV-rural2--0-sw"):
        read_feeder("1-LV-rurral2--0-sw")
