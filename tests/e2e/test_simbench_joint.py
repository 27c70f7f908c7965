"""SimBench grids with several of their lower grids: nothing missing, nothing double; scenarios run."""

import numpy as np
import pytest

from gridagora.adapters.feeders import read_feeder
from gridagora.adapters.grids import Grid
from gridagora.adapters.studies import resolve
from gridagora.errors import InputError
from gridagora.scenario import load_scenario, parse_scenario

JOINT = "1-MVLV-rural-1.108+2.107+4.101-0-sw"


def assert_same_power(grid, other):
    """Assert that the nominal power of all loads is the same, and that of plants as SimBench rounds it."""
    for of_loads, tolerance in ((True, 1e-9), (False, 2e-3)):
        total, expected = (
            net.network.loads.p_kw[(net.network.loads.kind == "load") == of_loads].sum()
            for net in (grid, other)
        )
        assert total == pytest.approx(expected, rel=tolerance)


@pytest.fixture(scope="module")
def joint():
    return Grid.from_simbench(JOINT)


def test_lower_grids_take_the_place_of_their_equivalents(joint):
    """The total load is that of the upper grid alone; only the chosen lower grids have buses."""
    alone = Grid.from_simbench("1-MV-rural--0-sw")
    assert_same_power(joint, alone)
    lower = {name.split()[0] for name in joint.buses if name.startswith("LV")}
    assert lower == {"LV1.108", "LV2.107", "LV4.101"}
    assert len(joint.buses) - len(alone.buses) == sum(name.startswith("LV") for name in joint.buses)
    loads = read_feeder(JOINT).assets.loads
    by_grid = {name: sum(load.bus.startswith(name) for load in loads) for name in (*lower, "MV1.101")}
    assert by_grid == {"LV1.108": 13, "LV2.107": 99, "LV4.101": 41, "MV1.101": 93}
    profiles = [load.profile for load in loads]
    assert sum(name.startswith("lv_") for name in profiles) == 90 - 3


def test_power_flow_of_the_joint_grid_converges(joint):
    flow = joint.power_flow(*joint.base_import())
    assert flow.converged.all()
    assert 0.9 < flow.vm_pu.min() < flow.vm_pu.max() < 1.1


def test_a_code_tells_every_fault_with_near_ones():
    with pytest.raises(InputError) as caught:
        Grid.by_name("1-MVLV-rural-1.108+2.177+2.107+2.107-7-sw")
    whole, twice, *rest = sorted(caught.value.faults, key=lambda fault: -len(fault.value))
    assert "1-MVLV-rural-1.108+2.177+2.107+2.107-0-sw" in whole.fix
    assert {twice.value, *(fault.value for fault in rest)} == {"2.177", "2.107"}
    for code, hint in {
        "1-MVLV-rurla-1.108+2.107-0-sw": "1-MVLV-rural-1.108+2.107-0-sw",
        "1-LV-rural1-1+2-0-sw": "1-MVLV-rural-1+2-0-sw",
        "a+b": "write a code such as",
    }.items():
        with pytest.raises(InputError, match="upper grid with lower ones") as caught:
            Grid.from_simbench(code)
        assert hint in caught.value.faults[0].fix
    with pytest.raises(InputError) as caught:
        resolve(parse_scenario({"grid": "1-MVLV-rural-1.108+9.107-0-sw"}))
    assert caught.value.faults[0].place == "grid"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "upper"),
    [
        ("1-MVLV-rural-1.108+2.107+4.101-0-sw", "1-MVLV-rural-all-0-sw"),
        ("1-MVLV-rural-2.102+4.101-0-no_sw", "1-MV-rural--0-no_sw"),
        ("1-MVLV-semiurb-3.202+4.201+5.201-1-sw", "1-MV-semiurb--1-sw"),
        ("1-MVLV-comm-4.416+5.401-2-sw", "1-MV-comm--2-sw"),
    ],
)
def test_other_upper_grids_scenarios_and_switches(code, upper):
    grid = Grid.by_name(code)
    assert_same_power(grid, Grid.by_name(upper))
    assert grid.power_flow(*grid.base_import()).converged.all()


def test_zones_of_the_built_in_scenario_nest():
    study, network = resolve(load_scenario("mv-lv-zones"))
    zones = study.zones
    levels = [zone.level for zone in zones.tree.zones]
    assert {level: levels.count(level) for level in levels} == {"bulk": 1, "dso": 1, "lv": 3, "mv": 8}
    village = zones.tree.position("lv LV2.107 Bus 19")
    assert zones.tree.path("lv LV2.107 Bus 19")[1:] == ("mv MV1.101 Bus 16", "dso", "bulk")
    assert (zones.of_home == village).sum() == 99
    assert zones.export_kw[:, village].tolist() == [250.0] * 32 + [125.0] * 20 + [250.0] * 44
    assert sorted(bus for zone in zones.tree.zones for bus in zone.buses) == sorted(network.buses)


def noon_kw(study, zone):
    """Return the mean net load of a zone's homes from 11 to 14 local time, without their devices."""
    rows = np.flatnonzero(study.zones.of_home == study.zones.tree.position(zone))
    homes = [study.homes[row] for row in rows]
    sun = sum(home.pv_kw for home in homes if home.pv_kw is not None)
    return float((sum(home.load_kw for home in homes) - sun)[44:56].mean())


def test_one_village_has_sun_to_sell_and_another_lacks_it():
    study = resolve(load_scenario("mv-lv-zones"))[0]
    assert noon_kw(study, "lv LV2.107 Bus 19") < -100
    assert noon_kw(study, "lv LV1.108 Bus 4") > 0


@pytest.mark.slow
def test_controllers_refuse_what_would_raise_the_voltage():
    import gridagora as ga

    run = ga.run("mv-lv-zones")
    refused = run.approvals[run.approvals.decision == "rejected"]
    assert len(refused) > 100
    assert refused.reason.astype(str).str.contains("voltage high of LV2.107").all()
    assert run.kpis["violation_periods"] < run.kpis["violation_periods_baseline"]
    gates = run.zone_periods
    morning = gates[(gates.zone == "lv LV2.107 Bus 19") & gates.period.between(32, 51)]
    assert (morning.gate_import_decided_kw > -125.1).all()


@pytest.mark.slow
def test_most_load_of_an_island_is_served_by_its_own_batteries():
    import gridagora as ga

    run = ga.run("island-evening")
    island = run.zone_periods[run.zone_periods.island.astype(str) != ""]
    assert island.period.nunique() == 16
    lacking, served = island.not_served_kwh.sum(), island.consumption_kw.sum() / 4
    assert lacking == pytest.approx(run.kpis["energy_not_served_kwh"])
    assert 0 < lacking < 0.15 * (lacking + served)
    assert run.kpis["energy_not_served_kwh_baseline"] > 5 * lacking
    assert (island.gate_import_kw.abs() < 0.1).all()
