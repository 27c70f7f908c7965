"""How our power flow is held against pandapower's."""

import numpy as np
import pandapower as pp

from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.frames import Frame
from gridagora.grid.model import GridModel

VOLTAGE_PU = 1e-8
LOADING_PERCENT = 1e-6


def reference(net, *, tolerance_mva=1e-11):
    pp.runpp(
        net, trafo_model="pi", tolerance_mva=tolerance_mva, max_iteration=100, calculate_voltage_angles=True
    )


def agrees(net, *, name="net", tolerance_mva=1e-11):
    """Assert that voltages, loadings, losses and import are pandapower's; returns the grid."""
    reference(net, tolerance_mva=tolerance_mva)
    grid = GridModel(network_from_pandapower(net, name=name))
    flow = grid.base_power_flow()
    assert flow.converged.all()
    expected = net.res_bus.vm_pu.loc[grid.network.bus_number].to_numpy()
    np.testing.assert_allclose(flow.vm_pu[0], expected, rtol=0, atol=VOLTAGE_PU)
    loadings = dict(zip(Frame(net, "line").names(), net.res_line.loading_percent, strict=True))
    transformers = dict(zip(Frame(net, "trafo").names(), net.res_trafo.loading_percent, strict=True))
    for element, kind, value in zip(flow.elements, flow.kinds, flow.loading_percent[0], strict=True):
        table = loadings if kind == "line" else transformers
        if element in table:
            assert abs(value - table[element]) <= LOADING_PERCENT, (kind, element, value, table[element])
    losses = (net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()) * 1e3
    if not len(net.switch) or not (net.switch.z_ohm > 0).any():
        np.testing.assert_allclose(flow.losses_kw[0], losses, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(flow.import_kw[0], net.res_ext_grid.p_mw.sum() * 1e3, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(flow.import_kvar[0], net.res_ext_grid.q_mvar.sum() * 1e3, rtol=1e-6, atol=1e-4)
    return grid
