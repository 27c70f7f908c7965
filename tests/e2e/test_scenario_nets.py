"""A pandapower net in memory becomes a study; other grids than the built-in scenarios run through."""

import subprocess
import sys

import numpy as np
import pytest

import gridagora as ga
from gridagora.adapters import nets
from gridagora.adapters.cache import CACHE_VARIABLE
from gridagora.adapters.feeders import read_feeder
from gridagora.adapters.grids import Grid
from gridagora.adapters.studies import resolve
from gridagora.errors import InputError
from gridagora.scenario import parse_scenario

HOURS = {"period": {"start": "2016-05-09T10:00", "length": "2h"}}


@pytest.fixture
def street():
    """A transformer and one line to a bus with a load of 12 kW, a load per phase and a motor."""
    import pandapower as pp

    net = pp.create_empty_network(name="my street")
    top, low, end = (
        pp.create_bus(net, vn_kv=kv, name=name) for kv, name in ((20, "a"), (0.4, "b"), (0.4, "c"))
    )
    pp.create_ext_grid(net, top)
    pp.create_transformer(net, top, low, std_type="0.25 MVA 20/0.4 kV")
    pp.create_line(net, low, end, length_km=0.2, std_type="NAYY 4x150 SE")
    pp.create_load(net, end, p_mw=0.012, q_mvar=0.003, name="L")
    return net


def test_a_net_in_memory_needs_no_grid_in_the_scenario(street):
    run = ga.run(HOURS, net=street)
    assert sorted(run.participants.participant) == ["L home 1", "L home 2", "L home 3"]
    assert set(run.participants.bus) == {"c"}
    assert "my street" in run.scenario_yaml
    assert run.kpis["line_loading_max_percent"] > 0


def test_a_net_takes_the_place_of_the_grid_of_a_scenario(street):
    study, network = resolve(parse_scenario({"grid": "no such grid", **HOURS}), net=street)
    assert network.buses == ("a", "b", "c")
    assert len(study.homes) == 3


def test_every_fault_of_a_net_and_of_the_scenario_is_told(street):
    import pandapower as pp

    pp.create_gen(street, 1, p_mw=0.01)
    street.line.loc[0, "length_km"] = np.nan
    pp.create_load(street, 2, p_mw=np.nan, name="unknown")
    with pytest.raises(InputError) as caught:
        ga.run({**HOURS, "tariffs": {"retail": [{"from": "06:00", "price": 0.3}]}}, net=street)
    places = " ".join(fault.place for fault in caught.value.faults)
    for word in ("gen 0", "length_km", "unknown", "tariffs.retail"):
        assert word in places
    assert all(fault.fix for fault in caught.value.faults)


def test_a_load_below_zero_is_told_by_its_name(street):
    street.load.loc[0, "p_mw"] = -0.01
    with pytest.raises(InputError, match=r"my street, load L: is a load below 0.*-10 kW.*sgen"):
        ga.run(HOURS, net=street)
    listed = {**HOURS, "participants": {"list": [{"participant": "one", "bus": "c"}]}}
    assert len(ga.run(listed, net=street).participants) == 1


@pytest.mark.parametrize("net", ["feeder.json", {"bus": []}, 3])
def test_something_else_is_no_net(net):
    with pytest.raises(InputError, match="is no pandapower net"):
        ga.run(HOURS, net=net)


def test_loads_of_one_name_stay_apart_and_motors_count(street):
    import pandapower as pp

    pp.create_load(street, 2, p_mw=0.001, name="L")
    pp.create_asymmetric_load(street, 2, p_a_mw=0.002, p_c_mw=0.001, name="L")
    pp.create_motor(street, 2, pn_mech_mw=0.009, cos_phi=0.8, efficiency_percent=90.0, name="saw")
    dead = pp.create_bus(street, vn_kv=0.4, name="spare")
    pp.create_load(street, dead, p_mw=0.0, name="nothing")
    study, _ = resolve(parse_scenario({"grid": "x", **HOURS}), net=street)
    homes = {home.participant: home for home in study.homes}
    assert len(homes) == 3 + 1 + 2 + 1
    assert (homes["L (0) phase 1"].phase, homes["L (0) phase 3"].phase) == (1, 3)
    assert homes["saw"].kind == "business"


def test_faults_of_homes_come_with_all_others(street):
    rows = [{"participant": "a", "bus": "c", "load_kw": 1e300}, {"participant": "b", "bus": "nowhere"}]
    keys = {**HOURS, "participants": {"list": rows, "load_scale": 1e10}}
    with pytest.raises(InputError) as caught:
        ga.run(keys, net=street)
    sources = [fault.source for fault in caught.value.faults]
    assert sources == ["scenario", "home a", "home a"]


def test_the_european_feeder_keeps_its_snapshot_and_gives_a_scenario_homes():
    snapshot = Grid.by_name("european-lv")
    homes = read_feeder("european-lv").assets.loads
    assert snapshot.base_import_3ph()[0].sum() == pytest.approx(57.358, abs=1e-3)
    assert {load.kw for load in homes} == {4.0}


def test_a_changed_converter_reads_no_older_feeder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    read_feeder("ieee33")
    monkeypatch.setattr(nets, "_digest_of_code", lambda module: "changed")
    read_feeder("ieee33")
    assert len(list(tmp_path.glob("feeder*"))) == 2


def test_one_set_of_faults_for_names(tmp_path):
    for read in (Grid.by_name, read_feeder):
        with pytest.raises(InputError, match="did you mean ieee33"):
            read("ieee3")
        with pytest.raises(InputError, match="there is no such file"):
            read(str(tmp_path / "grid.json"))
        with pytest.raises(InputError, match="is no pandapower file"):
            read("grid.xls")
    assert read_feeder("CASE33BW").network.buses == Grid.by_name("ieee-33").buses


def test_a_net_out_of_the_cache_needs_no_library():
    Grid.by_name("ieee33")
    code = (
        "import sys; from gridagora.adapters.grids import Grid; Grid.by_name('ieee33');"
        "print(sorted({'pandas', 'pandapower', 'simbench', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("grid", ["cigre-mv", "european-lv", "ieee33", "1-MV-rural--0-sw"])
def test_other_grids_run_through(grid, tmp_path):
    run = ga.run({"grid": grid, **HOURS})
    assert run.flows.converged.all()
    assert run.kpis["losses_kwh"] > 0
    assert (run.write(tmp_path / "run") / "report.html").stat().st_size > 100_000


def test_lines_without_a_limit_have_no_loading():
    run = ga.run({"grid": "ieee33", **HOURS})
    assert np.isnan(run.kpis["line_loading_max_percent"])
    assert run.loadings.drop(columns="period").isna().all(axis=None)
    assert run.violations.empty


def test_a_car_that_is_never_charged_in_the_study_keeps_its_charger():
    keys = {"grid": "1-LV-rural2--2-sw", "participants": {"assets": "simbench"}, **HOURS}
    study, _ = resolve(parse_scenario(keys))
    assert all(home.ev.charge_kw > 0 for home in study.homes if home.ev is not None)
