"""Islands against pandapower: the gate out of service, a slack of its own at the island's head."""

import numpy as np
import pandapower as pp
import pandapower.networks as pn
from grid_cases import LOADING_PERCENT, VOLTAGE_PU, reference

from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.islands import IslandedGrid
from gridagora.grid.model import GridModel
from gridagora.grid.zones import zones_from_feeders


def test_islands_are_those_of_a_net_with_its_gates_out_of_service():
    net = pn.create_cigre_network_lv()
    grid = GridModel(network_from_pandapower(net))
    tree = zones_from_feeders(grid.network, sources=["Bus R11", "Bus I2", "Bus C19"])
    kw, kvar = grid.base_import()
    cut = np.zeros((1, len(tree.zones)), dtype=bool)
    islands = [zone for zone in tree.zones if zone.name in ("lv Bus R1", "lv Bus C1")]
    for zone in islands:
        cut[0, tree.position(zone.name)] = True
    found = IslandedGrid(grid, tree).power_flow(kw[None], kvar[None], cut=cut)

    number = grid.network.bus_of_number()
    names = dict(zip(grid.network.transformers.name.tolist(), net.trafo.index, strict=True))
    own = [
        pp.create_ext_grid(net, net.trafo.lv_bus[names[zone.gate_elements[0]]], vm_pu=1.0) for zone in islands
    ]
    for zone in islands:
        net.trafo.loc[[names[element] for element in zone.gate_elements], "in_service"] = False
    reference(net)
    for bus, vm in net.res_bus.vm_pu.items():
        if bus in number:
            assert abs(found.flow.vm_pu[0, grid.bus_position[number[bus]]] - vm) < VOLTAGE_PU
    lines = found.flow.loading_percent[0, : len(net.res_line)]
    np.testing.assert_allclose(lines, net.res_line.loading_percent, rtol=0, atol=LOADING_PERCENT)
    formed = [found.formed_kw[0, tree.position(zone.name)] for zone in islands]
    np.testing.assert_allclose(formed, net.res_ext_grid.p_mw[own] * 1e3, rtol=0, atol=1e-6)
    formed = [found.formed_kvar[0, tree.position(zone.name)] for zone in islands]
    np.testing.assert_allclose(formed, net.res_ext_grid.q_mvar[own] * 1e3, rtol=0, atol=1e-6)
    upstream = net.res_ext_grid.drop(own)
    np.testing.assert_allclose(found.flow.import_kw, upstream.p_mw.sum() * 1e3, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.flow.import_kvar, upstream.q_mvar.sum() * 1e3, rtol=0, atol=1e-6)
    losses = (net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()) * 1e3
    np.testing.assert_allclose(found.flow.losses_kw, losses, rtol=0, atol=1e-5)
