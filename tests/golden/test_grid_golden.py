"""Published power flows: Baran and Wu's 33-bus feeder (1989) and the CIGRE European LV benchmark (TB 575)."""

import numpy as np
import pytest

from gridagora.adapters.grids import Grid

# Baran and Wu 1989, base case; full vector by two independent solvers that agree to 1e-6 pu.
IEEE33_VM_PU = (
    1.0, 0.997032, 0.982938, 0.975456, 0.968059, 0.949658, 0.946173, 0.941328, 0.935059, 0.929244,
    0.928384, 0.926885, 0.920772, 0.918505, 0.917093, 0.915725, 0.913698, 0.91309, 0.996504, 0.992926,
    0.992222, 0.991584, 0.979352, 0.972681, 0.969356, 0.947729, 0.945165, 0.933726, 0.925507, 0.92195,
    0.917789, 0.916873, 0.91659,
)  # fmt: skip
CIGRE_LV_VM_PU = {
    "Bus 0": 1.0, "Bus R0": 1.0, "Bus R1": 0.980893, "Bus R10": 0.931504, "Bus R15": 0.916896,
    "Bus I1": 0.979056, "Bus I2": 0.943458, "Bus C1": 0.977213, "Bus C12": 0.912269, "Bus C20": 0.923398,
}  # fmt: skip
CIGRE_LV_TRANSFORMERS = {"Trafo R0-R1": 84.726383, "Trafo I0-I1": 70.662015, "Trafo C0-C1": 85.25464}


def test_baran_and_wu_33_bus_feeder():
    grid = Grid.by_name("ieee33")
    flow = grid.power_flow(*grid.base_import())
    assert flow.losses_kw[0] == pytest.approx(202.677126, abs=1e-4)
    assert flow.import_kw[0] == pytest.approx(3715.0 + 202.677126, abs=1e-4)
    assert flow.import_kvar[0] == pytest.approx(2300.0 + 135.140971, abs=1e-4)
    np.testing.assert_allclose(flow.vm_pu[0], IEEE33_VM_PU, rtol=0, atol=1e-6)
    assert grid.buses[flow.vm_pu[0].argmin()] == "17"
    assert any("without a current limit" in note for note in grid.network.notes)


def test_cigre_low_voltage_benchmark():
    grid = Grid.by_name("cigre-lv")
    flow = grid.power_flow(*grid.base_import())
    voltages = dict(zip(flow.buses, flow.vm_pu[0], strict=True))
    assert {bus: round(voltages[bus], 6) for bus in CIGRE_LV_VM_PU} == pytest.approx(CIGRE_LV_VM_PU, abs=2e-6)
    # The published loadings are of pandapower's T model; without magnetising branch it equals the pi model.
    loadings = dict(zip(flow.elements, flow.loading_percent[0], strict=True))
    assert {name: loadings[name] for name in CIGRE_LV_TRANSFORMERS} == pytest.approx(
        CIGRE_LV_TRANSFORMERS, abs=1e-4
    )


@pytest.mark.slow
def test_simbench_rural1_is_congested_by_reverse_flow():
    """Peak load and largest reverse flow of the feeder's own year (SimBench, scenario 2)."""
    import simbench

    code = "1-LV-rural1--2-sw"
    net = simbench.get_simbench_net(code)
    grid = Grid.from_pandapower(net)
    values = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    position = {number: column for column, number in enumerate(grid.network.bus_number.tolist())}
    imports = np.zeros((2, len(values["load", "p_mw"]), len(grid.buses)))
    for table, sign in (("load", 1e3), ("sgen", -1e3), ("storage", 1e3)):
        for quantity, target in (("p_mw", imports[0]), ("q_mvar", imports[1])):
            series = values.get((table, quantity))
            for element in () if series is None else series.columns:
                target[:, position[net[table].bus.at[element]]] += series[element].to_numpy() * sign
    flow = grid.power_flow(*imports)
    assert flow.converged.all()
    assert flow.loading_percent[26957, -1] == pytest.approx(58.379, rel=1e-3)
    assert flow.loading_percent[13488, -1] == pytest.approx(209.193, rel=1e-3)
    assert flow.vm_pu[13488].max() == pytest.approx(1.07459, abs=1e-5)
    assert flow.losses_kw[13488] == pytest.approx(14.1131, rel=1e-3)
    assert flow.reverse_flow[13488]
    assert not flow.reverse_flow[26957]
