"""Linear networks of grids: exact where they are made, near there, and safe in the market."""

import numpy as np
import pytest

from gridagora.adapters.grids import Grid
from gridagora.errors import InputError
from gridagora.grid.linear import linear_network
from gridagora.grid.linear_phases import linear_network_3ph
from gridagora.market.mechanisms.network import network_auction
from gridagora.model.bids import Bids
from gridagora.model.study import GridLimits

GRIDS = ["ieee33", "cigre-lv", "1-LV-rural1--2-sw"]


def values_at(network, kw, kvar):
    rows = network.rows()
    vm = rows.part == "voltage"
    value = rows.offset + rows.per_kw[0] @ kw + rows.per_kvar[0] @ kvar
    volt = np.sqrt(value[:, vm]) if (rows.unit == "pu2").any() else value[:, vm]
    turned = np.abs(value[:, ~vm]).reshape(len(value), -1, 4)
    losses = network.loss_kw + network.loss_per_kw[0] @ kw + network.loss_per_kvar[0] @ kvar
    names = rows.name[~vm][::4]
    return volt[0], dict(zip(names.tolist(), turned.max(axis=2)[0].tolist(), strict=True)), float(losses[0])


def flow_values(grid, network, kw, kvar):
    flow = grid.power_flow(kw, kvar)
    rows = network.rows()
    buses = [grid.bus_position[name] for name in rows.name[rows.part == "voltage"]]
    loading = dict(zip(flow.elements, flow.loading_percent[0].tolist(), strict=True))
    return flow.vm_pu[0, buses], loading, float(flow.losses_kw[0])


@pytest.mark.parametrize("method", ["lindistflow", "sensitivity"])
@pytest.mark.parametrize("name", GRIDS)
def test_exact_at_the_operating_point(name, method):
    grid = Grid.by_name(name)
    kw, kvar = grid.base_import()
    network = grid.linear_network(grid.power_flow(kw, kvar), method=method)
    ours, theirs = values_at(network, kw, kvar), flow_values(grid, network, kw, kvar)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-8)
    for element, loading in ours[1].items():
        assert loading == pytest.approx(theirs[1][element], abs=1e-5)
    assert ours[2] == pytest.approx(theirs[2], abs=1e-4)


@pytest.mark.parametrize("name", GRIDS)
def test_near_the_operating_point_sensitivities_err_by_the_square(name):
    grid = Grid.by_name(name)
    kw, kvar = grid.base_import()
    network = grid.linear_network(grid.power_flow(kw, kvar), method="sensitivity")
    rng = np.random.default_rng(5)
    way = rng.uniform(-1, 1, len(kw)) * np.abs(kw).max()
    errors = []
    for step in (0.02, 0.01):
        ours = values_at(network, kw + step * way, kvar)
        theirs = flow_values(grid, network, kw + step * way, kvar)
        loading = max(abs(found - theirs[1][element]) for element, found in ours[1].items()) if ours[1] else 0
        errors.append((np.abs(ours[0] - theirs[0]).max(), loading, abs(ours[2] - theirs[2])))
    for wide, narrow in zip(*errors, strict=True):
        assert narrow < 0.3 * wide + 1e-5


def test_lindistflow_without_a_flow_is_the_closed_form():
    grid = Grid.by_name("ieee33")
    network = linear_network(grid, method="lindistflow", losses=False)
    kw, kvar = grid.base_import()
    rows = network.rows()
    volt = np.sqrt((rows.offset + rows.per_kw[0] @ kw + rows.per_kvar[0] @ kvar)[0])
    exact = grid.power_flow(kw, kvar).vm_pu[0, 1:]
    # measured for this feeder: 0.0028 at a drop of 0.087
    assert np.abs(volt[:32] - exact).max() < 0.0035


def market_on(grid, network, *, seed=0, count=300, most=60.0):
    rng = np.random.default_rng(seed)
    node = rng.integers(1, len(grid.buses), count)
    bids = Bids(
        side=np.append(rng.choice([1, -1], count, p=[0.8, 0.2]), [-1, 1]),
        price=np.append(rng.uniform(0.05, 0.35, count), [0.15, 0.05]),
        quantity=np.append(rng.uniform(1, most, count), [9e3, 9e3]),
        node=np.array(grid.buses)[np.append(node, [0, 0])],
        participant=np.append(np.arange(count).astype(str), ["up", "up"]),
    )
    return bids, network_auction(bids, network=network, power_factor=0.95)


@pytest.mark.parametrize("method", ["lindistflow", "sensitivity"])
def test_renewed_at_its_own_result_the_market_keeps_the_voltage_band(method):
    grid, limits = Grid.by_name("ieee33"), GridLimits(vm_min_pu=0.94, vm_max_pu=1.06)
    kw, kvar = grid.base_import()
    flow = grid.power_flow(kw, kvar)
    for _ in range(6):
        network = grid.linear_network(flow, limits=limits, method=method)
        _, result = market_on(grid, network)
        outcome = result.carriers[0]
        flow = grid.power_flow(outcome.kw, outcome.kvar)
    assert (result.binding["part"] == "voltage").any()
    assert flow.vm_pu.min() > 0.94 - 1e-4
    assert flow.losses_kw[0] == pytest.approx(result.losses.iloc[0, 0], rel=1e-2)
    assert result.voltages.min().min() == pytest.approx(flow.vm_pu.min(), abs=1e-4)


def test_inverters_lend_reactive_power_where_the_voltage_binds():
    grid, limits = Grid.by_name("ieee33"), GridLimits(vm_min_pu=0.94, vm_max_pu=1.06)
    network = grid.linear_network(grid.power_flow(*grid.base_import()), limits=limits)
    bids, plain = market_on(grid, network)
    helped = network_auction(bids, network=network, power_factor=0.95, kvar_limits=(-5.0, 0.0))
    assert helped.welfare > plain.welfare + 1.0
    # without losses and limits to move, the range is used to its end somewhere and paid for
    assert helped.kvar.min() < -4.0
    assert helped.rent.sum() == pytest.approx(helped.budget_balance, abs=1e-6)


def test_loads_outside_the_market_use_up_the_wires():
    grid, limits = Grid.by_name("cigre-lv"), GridLimits(vm_min_pu=0.92)
    kw, kvar = grid.base_import()
    network = grid.linear_network(grid.power_flow(kw, kvar), limits=limits)
    free = market_on(grid, network, most=3.0, count=100)[1]
    used = market_on(grid, network.with_fixed(kw, kvar), most=3.0, count=100)[1]
    assert used.welfare < free.welfare - 1e-3


def test_what_cannot_be_linearised_is_told():
    grid = Grid.by_name("ieee33")
    kw, kvar = grid.base_import()
    with pytest.raises(InputError, match="period 1: did not converge"):
        grid.linear_network(grid.power_flow([kw, 9 * kw], [kvar, 9 * kvar]))
    with pytest.raises(InputError, match="unknown method"):
        grid.linear_network(method="magic")
    other = Grid.by_name("cigre-lv")
    with pytest.raises(InputError, match="no balanced power flow of this grid"):
        other.linear_network(grid.power_flow(kw, kvar))


def test_phases_have_limits_of_their_own():
    grid = Grid.by_name("cigre-lv")
    points = [("Bus R18", 1), ("Bus R18", 2), ("Bus R15", 3), ("Bus R11", None), ("Bus R17", 1)]
    kw = np.array([[6.0, 1.0, -4.0, 12.0, 3.0], [2.0, 2.0, 5.0, -9.0, 8.0]])
    network = linear_network_3ph(grid, kw, 0.2 * kw, points=points)
    rows = network.rows()

    def values(of_kw, of_kvar):
        pad = np.zeros((2, 1))
        power = [np.hstack([part, pad])[:, :, None] for part in (of_kw, of_kvar)]
        moved = np.matmul(rows.per_kw, power[0]) + np.matmul(rows.per_kvar, power[1])
        return rows.offset + moved[:, :, 0]

    def exact(of_kw, of_kvar):
        both = [np.zeros((2, len(grid.buses), 3)) for _ in range(2)]
        for number, (bus, phase) in enumerate(points):
            where = slice(None) if phase is None else phase - 1
            for total, part in zip(both, (of_kw, of_kvar), strict=True):
                total[:, grid.bus_position[bus], where] += (
                    part[:, number][:, None] / 3 if phase is None else part[:, number]
                )
        flow = grid.power_flow_3ph(*both, zero_sequence="assume")
        vm = {f"{bus}.{k + 1}": flow.vm_pu[:, b, k] for b, bus in enumerate(grid.buses) for k in range(3)}
        loading = {name: flow.loading_percent[:, e] for e, name in enumerate(flow.elements)}
        found = [
            (vm if part == "voltage" else loading)[name]
            for name, part in zip(rows.name, rows.part, strict=True)
        ]
        return np.stack(found, axis=1), flow.losses_kw

    there, losses = exact(kw, 0.2 * kw)
    np.testing.assert_allclose(values(kw, 0.2 * kw), there, atol=1e-7)
    loss = network.loss_kw + (
        network.loss_per_kw[:, :-1] * kw + network.loss_per_kvar[:, :-1] * 0.2 * kw
    ).sum(1)
    np.testing.assert_allclose(loss, losses, atol=1e-7)
    near = kw + 0.05
    voltage = rows.part == "voltage"
    np.testing.assert_allclose(
        values(near, 0.2 * kw)[:, voltage], exact(near, 0.2 * kw)[0][:, voltage], atol=1e-6
    )


def test_a_home_on_a_full_phase_pays_more_than_its_neighbour():
    grid = Grid.by_name("cigre-lv")
    points = [("Bus R18", 1), ("Bus R18", 2)]
    limits = GridLimits(vm_min_pu=0.97)
    network = linear_network_3ph(grid, [[8.0, 1.0]], points=points, limits=limits)
    bids = Bids(
        side=["buy", "buy", "buy", "sell"],
        price=[0.5, 0.3, 0.3, 0.2],
        quantity=[8.0, 20.0, 1.0, 99.0],
        node=["Bus R18.1", "Bus R18.1", "Bus R18.2", network.slack],
    )
    result = network_auction(bids, network=network)
    prices = result.prices.loc[0]
    assert result.binding["name"].tolist() == ["Bus R18.1"]
    assert prices["Bus R18.1"] == pytest.approx(0.3)
    assert prices["Bus R18.2"] < 0.25
    with pytest.raises(InputError) as error:
        linear_network_3ph(grid, [[1.0, 1, 1]], points=[("Bus R18", 4), ("nowhere", 1), ("nowhere", 1)])
    assert len(error.value.faults) == 4
