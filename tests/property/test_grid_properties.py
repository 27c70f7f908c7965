"""Random radial feeders: our power flow against a backward-forward sweep, and laws that hold for each."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.grid.check import participants_behind
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel
from gridagora.model.network import Network

BASE_KV = 0.4


@st.composite
def feeders(draw):
    """Draw parents, line impedances (ohm) and imports (kW, kvar) of a radial low-voltage feeder."""
    buses = draw(st.integers(2, 12))
    parent = [draw(st.integers(0, bus - 1)) for bus in range(1, buses)]
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    r, x = random.uniform(1e-4, 0.05, buses - 1), random.uniform(1e-4, 0.02, buses - 1)
    kw, kvar = random.uniform(-12, 12, (3, buses)), random.uniform(-4, 4, (3, buses))
    return np.array(parent), r, x, kw, kvar


def grid_of(parent, r, x, order=None):
    rows = np.arange(len(parent)) if order is None else order
    lines = pd.DataFrame(
        {"name": [f"line {k}" for k in rows], "from_bus": parent[rows], "to_bus": rows + 1, "length_km": 1.0,
         "r_ohm_per_km": r[rows], "x_ohm_per_km": x[rows], "max_i_ka": 0.2}
    )  # fmt: skip
    buses = pd.DataFrame({"name": [f"bus {k}" for k in range(len(parent) + 1)], "vn_kv": BASE_KV})
    source = pd.DataFrame({"bus": [0], "vm_pu": 1.0})
    return GridModel(network_from_pandapower({"bus": buses, "line": lines, "ext_grid": source}))


def sweep(parent, r, x, s_va):
    """Backward-forward sweep of one period: node voltages in V to earth and branch currents in A."""
    v = np.full(len(parent) + 1, BASE_KV * 1e3 / np.sqrt(3), dtype=complex)
    z = r + 1j * x
    for _ in range(300):
        current = np.conj(s_va / 3 / v)
        for bus in range(len(parent), 0, -1):
            current[parent[bus - 1]] += current[bus]
        for bus in range(1, len(parent) + 1):
            v[bus] = v[parent[bus - 1]] - z[bus - 1] * current[bus]
    return v, np.abs(current[1:])


@settings(deadline=None, max_examples=40)
@given(feeders())
def test_a_radial_feeder_solves_like_a_sweep(feeder):
    parent, r, x, kw, kvar = feeder
    flow = grid_of(parent, r, x).power_flow(kw, kvar)
    for period in range(len(kw)):
        v, current = sweep(parent, r, x, (kw[period] + 1j * kvar[period]) * 1e3)
        np.testing.assert_allclose(
            flow.vm_pu[period], np.abs(v) / (BASE_KV * 1e3 / np.sqrt(3)), rtol=0, atol=1e-8
        )
        np.testing.assert_allclose(flow.loading_percent[period], current / 200 * 100, rtol=0, atol=1e-5)
    np.testing.assert_allclose(flow.import_kw, kw.sum(axis=1) + flow.losses_kw, rtol=0, atol=1e-9)
    assert (flow.losses_kw >= -1e-9).all()


@settings(deadline=None, max_examples=20)
@given(feeders(), st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(feeder, random):
    parent, r, x, kw, kvar = feeder
    order = list(range(len(parent)))
    random.shuffle(order)
    one, other = grid_of(parent, r, x), grid_of(parent, r, x, np.array(order))
    first, second = one.power_flow(kw, kvar), other.power_flow(kw, kvar)
    np.testing.assert_allclose(first.vm_pu, second.vm_pu, rtol=0, atol=1e-10)
    column = [other.elements.index(name) for name in one.elements]
    np.testing.assert_allclose(first.loading_percent, second.loading_percent[:, column], rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(feeders())
def test_the_same_input_gives_the_same_bytes(feeder):
    parent, r, x, kw, kvar = feeder
    grid = grid_of(parent, r, x)
    again = GridModel(Network.from_arrays(grid.network.to_arrays()))
    np.testing.assert_array_equal(grid.power_flow(kw, kvar).vm_pu, again.power_flow(kw, kvar).vm_pu)


@settings(deadline=None, max_examples=20)
@given(feeders())
def test_behind_a_line_stand_only_those_beyond_it(feeder):
    from gridagora.grid.check import Violations

    parent, r, x, kw, _ = feeder
    grid = grid_of(parent, r, x)
    lines = len(parent)
    violations = Violations(
        period=np.zeros(lines, dtype=np.int64),
        kind=np.full(lines, "line_loading"),
        element=np.array([f"line {k}" for k in range(lines)]),
        value=np.full(lines, 120.0),
        limit=np.full(lines, 100.0),
    )
    told = participants_behind(
        violations, grid, bus_of_participant={bus: bus for bus in grid.buses}, net_kw=kw, largest=99
    )
    for line in range(lines):
        beyond = {line + 1}
        for bus in range(line + 2, lines + 1):
            if parent[bus - 1] in beyond:
                beyond.add(bus)
        direction = np.sign(sum(kw[0, bus] for bus in beyond))
        loading = sorted(
            (bus for bus in beyond if kw[0, bus] * direction > 0), key=lambda bus: -abs(kw[0, bus])
        )
        assert told[line] == "; ".join(f"bus {bus}" for bus in loading)
