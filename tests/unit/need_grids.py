"""Small grids and forecasts for tests of needs."""

from functools import cache

import numpy as np
import pandapower as pp

from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel
from gridagora.grid.need_rules import PointForecast


@cache
def feeder(*, homes=5, kva=100.0, meshed=False, open_end=False):
    """Return a transformer with a feeder of homes, one bus each, "home 0" nearest."""
    net = pp.create_empty_network()
    source = pp.create_bus(net, 10.0, name="source")
    station = pp.create_bus(net, 0.4, name="station")
    pp.create_ext_grid(net, source, vm_pu=1.02)
    pp.create_transformer_from_parameters(
        net,
        source,
        station,
        sn_mva=kva / 1e3,
        vn_hv_kv=10.0,
        vn_lv_kv=0.4,
        vk_percent=4.0,
        vkr_percent=1.2,
        pfe_kw=0.2,
        i0_percent=0.3,
        shift_degree=150.0,
        name="trafo",
    )
    buses = [station]
    for home in range(homes):
        buses.append(pp.create_bus(net, 0.4, name=f"home {home}"))
        line(net, buses[-2], buses[-1], f"line {home}")
    if meshed:
        line(net, station, buses[-1], "tie")
    if open_end:
        spare = line(net, buses[1], buses[-1], "spare")
        pp.create_switch(net, buses[-1], spare, et="l", closed=False)
    return GridModel(network_from_pandapower(net, name="feeder"))


def line(net, start, end, name):
    return pp.create_line_from_parameters(
        net, start, end, 0.05, r_ohm_per_km=0.3, x_ohm_per_km=0.08, c_nf_per_km=300, max_i_ka=0.25, name=name
    )


def points(homes=5):
    return {f"h{home}": f"home {home}" for home in range(homes)}


def certain(kw, *, kvar=None, hours=1.0):
    kw = np.atleast_2d(np.asarray(kw, dtype=float))
    return PointForecast.certain(points(kw.shape[1]), import_kw=kw, import_kvar=kvar, hours=hours)


def at_buses(grid, values):
    """Return kW of homes at the grid's buses, (periods, buses)."""
    values = np.atleast_2d(values)
    out = np.zeros((len(values), len(grid.buses)))
    for home in range(values.shape[1]):
        out[:, grid.bus_position[f"home {home}"]] = values[:, home]
    return out
