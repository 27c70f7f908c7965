"""The power flow of many periods: shapes, batches, chunks, failures, phases, three-phase data."""

import pickle

import numpy as np
import pytest

from gridagora.adapters.grids import Grid
from gridagora.errors import InputError
from gridagora.grid import power_flow
from gridagora.grid.model import GridModel
from gridagora.model.network import Network


@pytest.fixture(scope="module")
def grid():
    return Grid.by_name("cigre-lv")


@pytest.fixture(scope="module")
def feeder():
    return Grid.by_name("ieee33")


def imports(grid, periods, seed=1):
    random = np.random.default_rng(seed)
    kw, kvar = grid.base_import()
    factor = random.uniform(-1.0, 1.4, (periods, len(grid.buses)))
    return kw * factor, kvar * factor


def columns(flow):
    return {
        "vm_pu": flow.vm_pu,
        "loading": flow.loading_percent,
        "losses": flow.losses_kw,
        "import_kw": flow.import_kw,
        "import_kvar": flow.import_kvar,
    }


def test_shapes_and_names(grid):
    flow = grid.power_flow(*imports(grid, 3))
    assert flow.vm_pu.shape == (3, 44)
    assert flow.loading_percent.shape == (3, 40)
    assert (
        flow.losses_kw.shape
        == flow.converged.shape
        == flow.import_kw.shape
        == flow.reverse_flow.shape
        == (3,)
    )
    assert (len(flow), flow.buses, flow.elements) == (3, grid.buses, grid.elements)
    assert flow.kinds == ("line",) * 37 + ("transformer",) * 3
    assert flow.unbalance_percent is None
    assert "44 buses, 37 lines, 3 transformers" in repr(grid)


def test_one_period_may_come_as_a_vector(grid):
    kw, kvar = imports(grid, 1)
    np.testing.assert_array_equal(grid.power_flow(kw[0], kvar[0]).vm_pu, grid.power_flow(kw, kvar).vm_pu)


def test_no_periods_give_no_rows(grid):
    flow = grid.power_flow(np.zeros((0, 44)))
    assert flow.vm_pu.shape == (0, 44)
    assert flow.loading_percent.shape == (0, 40)


def test_without_reactive_power_it_is_zero(grid):
    kw, _ = imports(grid, 2)
    zero = grid.power_flow(kw, np.zeros_like(kw))
    for name, values in columns(grid.power_flow(kw)).items():
        np.testing.assert_array_equal(values, columns(zero)[name], err_msg=name)


def test_a_call_leaves_no_trace_in_the_next(grid):
    first = columns(grid.power_flow(*imports(grid, 3, seed=1)))
    grid.power_flow(*imports(grid, 2, seed=2))
    for name, values in columns(grid.power_flow(*imports(grid, 3, seed=1))).items():
        np.testing.assert_array_equal(values, first[name], err_msg=name)


@pytest.mark.parametrize("threads", [1, 2])
def test_periods_are_calculated_alike_alone_in_chunks_and_by_threads(grid, monkeypatch, threads):
    kw, kvar = imports(grid, 11)
    whole = columns(grid.power_flow(kw, kvar, threads=1))
    monkeypatch.setattr(power_flow, "CHUNK_VALUES", 4 * 44)
    parts = columns(grid.power_flow(kw, kvar, threads=threads))
    alone = [columns(grid.power_flow(kw[k], kvar[k])) for k in range(11)]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name], err_msg=name)
        np.testing.assert_array_equal(values, np.concatenate([one[name] for one in alone]), err_msg=name)


def test_inputs_are_not_changed(grid):
    kw, kvar = imports(grid, 2)
    before = kw.copy(), kvar.copy()
    grid.power_flow(kw, kvar)
    np.testing.assert_array_equal(kw, before[0])
    np.testing.assert_array_equal(kvar, before[1])


def test_energy_is_balanced(feeder):
    kw, kvar = imports(feeder, 20)
    flow = feeder.power_flow(kw, kvar)
    np.testing.assert_allclose(flow.import_kw, kw.sum(axis=1) + flow.losses_kw, rtol=0, atol=1e-9)
    assert (flow.losses_kw > 0).all()


def test_a_period_without_solution_is_flagged_and_its_neighbours_are_not_touched(feeder):
    kw, kvar = feeder.base_import()
    factor = np.array([1.0, 5.0, 0.5, 40.0, 1.0])[:, None]
    flow = feeder.power_flow(kw * factor, kvar * factor)
    assert flow.converged.tolist() == [True, False, True, False, True]
    for values in columns(flow).values():
        assert np.isnan(values[[1, 3]]).all()
        assert np.isfinite(values[[0, 2, 4]]).all()
    assert flow.weakest_bus.tolist() == ["", "17", "", "17", ""]
    assert flow.reverse_flow.tolist() == [False] * 5
    alone = feeder.power_flow(kw, kvar)
    np.testing.assert_array_equal(flow.vm_pu[4], alone.vm_pu[0])


def test_heavy_loading_just_below_collapse_is_solved(feeder):
    kw, kvar = feeder.base_import()
    factor = np.linspace(3.0, 3.4, 9)[:, None]
    flow = feeder.power_flow(kw * factor, kvar * factor)
    assert flow.converged.all()
    assert (np.diff(flow.vm_pu.min(axis=1)) < 0).all()


def test_a_period_that_never_converges_names_no_bus(feeder):
    kw, kvar = feeder.base_import()
    flow = feeder.power_flow(kw * 1e6, kvar * 1e6)
    assert not flow.converged.any()
    assert flow.weakest_bus.tolist() == [""]


def test_bad_imports_are_all_named(grid):
    kw, kvar = imports(grid, 3)
    kw[0, 2], kw[2, 5] = np.nan, np.inf
    with pytest.raises(InputError) as error:
        grid.power_flow(kw, kvar)
    places = [fault.place for fault in error.value.faults]
    assert places == [
        f"import_kw, period 0, bus {grid.buses[2]}",
        f"import_kw, period 2, bus {grid.buses[5]}",
    ]


@pytest.mark.parametrize("shape", [(3,), (2, 43), (2, 44, 1), ()])
def test_imports_of_another_shape_are_refused(grid, shape):
    with pytest.raises(InputError, match=r"does not fit the grid.*\(periods, 44\)"):
        grid.power_flow(np.zeros(shape))


def test_reactive_imports_must_have_the_same_periods(grid):
    with pytest.raises(InputError, match="import_kvar"):
        grid.power_flow(np.zeros((3, 44)), np.zeros((2, 44)))


def test_arrays_and_back_give_the_same_network(grid):
    again = Network.from_arrays(grid.network.to_arrays())
    first, second = grid.network.to_arrays(), again.to_arrays()
    assert all(np.array_equal(first[k], second[k], equal_nan=first[k].dtype.kind == "f") for k in first)
    np.testing.assert_array_equal(GridModel(again).base_power_flow().vm_pu, grid.base_power_flow().vm_pu)


def test_a_grid_survives_pickling(grid):
    grid.power_flow(*grid.base_import())
    again = pickle.loads(pickle.dumps(grid))
    assert type(again) is Grid
    np.testing.assert_array_equal(again.base_power_flow().vm_pu, grid.base_power_flow().vm_pu)


def test_three_phases_need_zero_sequence_data_or_the_stated_assumption(grid):
    kw, kvar = grid.base_import_3ph()
    with pytest.raises(InputError, match='zero_sequence="assume"') as error:
        grid.power_flow_3ph(kw, kvar)
    assert len(error.value.faults) == 37 + 3 + 3
    balanced = grid.power_flow_3ph(kw, kvar, zero_sequence="assume")
    symmetric = grid.power_flow(*grid.base_import())
    np.testing.assert_allclose(
        balanced.vm_pu[0], np.repeat(symmetric.vm_pu[0][:, None], 3, 1), rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(balanced.loading_percent, symmetric.loading_percent, rtol=0, atol=1e-6)
    np.testing.assert_allclose(balanced.losses_kw, symmetric.losses_kw, rtol=1e-6)
    assert balanced.unbalance_percent.max() < 1e-6


def test_a_load_on_one_phase_unbalances_voltages(grid):
    kw, _ = grid.base_import_3ph()
    kw[:] = 0.0
    kw[grid.bus_position["Bus R18"], 1] = 5.0
    flow = grid.power_flow_3ph(np.stack([kw, kw * 0]), zero_sequence="assume")
    vm = flow.vm_pu[0, grid.bus_position["Bus R18"]]
    assert vm.argmin() == 1
    assert flow.vm_min_pu[0].min() == vm.min()
    assert flow.vm_max_pu[0].max() > 1.0
    expected = np.abs(vm - vm.mean()).max() / vm.mean() * 100
    assert flow.unbalance_percent[0, grid.bus_position["Bus R18"]] == pytest.approx(expected)
    assert flow.unbalance_percent[1].max() < 1e-6


def test_three_phases_without_solution_are_flagged(grid):
    kw, kvar = grid.base_import_3ph()
    flow = grid.power_flow_3ph(np.stack([kw, kw * 60]), np.stack([kvar, kvar * 60]), zero_sequence="assume")
    assert flow.converged.tolist() == [True, False]
    assert np.isnan(flow.vm_pu[1]).all()
    assert np.isnan(flow.unbalance_percent[1]).all()
    assert flow.weakest_bus[1] in grid.buses
