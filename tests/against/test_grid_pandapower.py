"""Symmetric power flow against pandapower with its pi transformer model, on the nets users bring."""

import numpy as np
import pandapower.networks as pn
import pytest
from grid_cases import agrees, reference

from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel

LV_GRIDS = ("rural1", "rural2", "rural3", "semiurb4", "semiurb5", "urban6")
OTHER_NETS = (
    "create_kerber_landnetz_freileitung_1",
    "create_kerber_landnetz_kabel_2",
    "create_kerber_dorfnetz",
    "create_kerber_vorstadtnetz_kabel_1",
    "mv_oberrhein",
    "create_synthetic_voltage_control_lv_network",
)


def all_switches_closed():
    net = pn.create_cigre_network_mv()
    net.switch["closed"] = True
    return net


@pytest.mark.parametrize(
    "build",
    [
        pn.create_cigre_network_lv,
        pn.create_cigre_network_mv,
        lambda: pn.create_cigre_network_mv(with_der="pv_wind"),
        lambda: pn.create_cigre_network_mv(with_der="all"),
        all_switches_closed,
        pn.case33bw,
        *(getattr(pn, name) for name in OTHER_NETS),
    ],
    ids=[
        "cigre-lv",
        "cigre-mv",
        "cigre-mv-pv-wind",
        "cigre-mv-all-der",
        "cigre-mv-meshed",
        "ieee33",
        *OTHER_NETS,
    ],
)
def test_pandapowers_own_nets_agree(build):
    agrees(build())


def simbench_agrees(code):
    import simbench

    agrees(simbench.get_simbench_net(code), name=code)


def test_a_simbench_feeder_agrees():
    simbench_agrees("1-LV-semiurb4--2-sw")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [0, 1, 2])
@pytest.mark.parametrize("name", LV_GRIDS)
def test_every_simbench_lv_grid_agrees(name, scenario):
    simbench_agrees(f"1-LV-{name}--{scenario}-sw")


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", ["1-LV-semiurb4--0-no_sw", "1-MV-rural--0-sw", "1-MV-comm--2-sw", "1-MVLV-rural-1.108-0-sw"]
)
def test_simbench_mv_grids_agree(code):
    simbench_agrees(code)


@pytest.mark.slow
def test_a_meshed_simbench_hv_grid_with_three_sources_agrees():
    import simbench

    # At gigawatts pandapower cannot reach the tolerance of the smaller grids.
    agrees(simbench.get_simbench_net("1-HV-mixed--0-sw"), tolerance_mva=1e-7)


def test_a_batch_of_random_loads_agrees_period_by_period():
    net = pn.create_cigre_network_lv()
    grid = GridModel(network_from_pandapower(net))
    random = np.random.default_rng(7)
    factors = random.uniform(-0.8, 1.3, (5, len(net.load)))
    net.load["q_mvar"] = net.load["q_mvar"].astype(float)
    p, q = net.load.p_mw.copy(), net.load.q_mvar.copy()
    position = {number: column for column, number in enumerate(grid.network.bus_number.tolist())}
    columns = [position[bus] for bus in net.load.bus]
    imports = np.zeros((2, 5, len(grid.buses)))
    for period, factor in enumerate(factors):
        np.add.at(imports[0, period], columns, p * factor * 1e3)
        np.add.at(imports[1, period], columns, q * factor * 1e3)
    flow = grid.power_flow(*imports)
    for period, factor in enumerate(factors):
        net.load["p_mw"], net.load["q_mvar"] = p * factor, q * factor
        reference(net)
        expected = net.res_bus.vm_pu.loc[grid.network.bus_number]
        np.testing.assert_allclose(flow.vm_pu[period], expected, rtol=0, atol=1e-8)
