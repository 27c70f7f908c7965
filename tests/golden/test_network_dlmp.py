"""Published distribution locational marginal prices: a feeder with full lines, one at its voltage band."""

import json
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

from gridagora.adapters.grids import Grid
from gridagora.market.mechanisms.network import network_auction
from gridagora.model.bids import Bids
from gridagora.model.study import GridLimits

FOLDER = Path(__file__).parent / "market" / "dlmp"
FIRM = 1000.0
"""Price of demand that must be served, above all that a network can cost here."""

PRINTED = 2e-5
"""Six digits, of which the interior point method behind them holds five: what is 0 is printed up to 1e-4."""


def feeder(case):
    """One per unit is 1 MW at 1 kV, so that an ohm is 1 per unit."""
    net = pp.create_empty_network()
    lines = case["lines: from, to, r, x, most"]
    for bus in range(1, 2 + len(lines)):
        pp.create_bus(net, vn_kv=1.0, name=str(bus))
    pp.create_ext_grid(net, 0)
    for start, end, r, x, most in lines:
        rated_ka = most / np.sqrt(3) if case["has_line_limits"] else 1e3
        pp.create_line_from_parameters(
            net, start - 1, end - 1, 1.0, r, x, 0.0, rated_ka, name=f"{start}-{end}"
        )
    return Grid.from_pandapower(net)


def cleared(case):
    """Firm loads with their reactive power, a root that buys and sells, generators that lend reactive power.

    Generators bid what they cost at the margin; a load below 0 is generation that must be taken.
    """
    most, lends = 1e3 * case["generator_p_max"], 1e3 * case["generator_q_max"]
    rows = [
        ("buy" if p > 0 else "sell", np.sign(p) * FIRM, abs(p) * 1e3, bus, np.sign(p) * p_factor, 0.0)
        for bus, p, q in case["loads: bus, p, q"]
        for p_factor in [abs(p) / np.hypot(p, q)]
    ]
    rows += [(side, case["root_price"], 1e4, 1, 1.0, 0.0) for side in ("sell", "buy")]
    rows += [("sell", cost, most, int(bus), 1.0, lends) for bus, cost in case["generators"].items()]
    side, price, quantity, node, factor, kvar = zip(*rows, strict=True)
    bids = Bids(side=list(side), price=price, quantity=quantity, node=[str(bus) for bus in node])
    low, high = case["band"]
    limits = GridLimits(vm_min_pu=low, vm_max_pu=high)
    network = feeder(case).linear_network(method="lindistflow", losses=False, limits=limits)
    half = np.array(kvar)
    return bids, network_auction(bids, network=network, power_factor=factor, kvar_limits=(-half, half))


@pytest.fixture(scope="module", params=["congestion", "voltage"])
def clearing(request):
    case = json.loads((FOLDER / f"fifteen_buses_{request.param}.json").read_text(encoding="utf-8"))
    return case, *cleared(case)


def test_prices_of_every_bus_are_the_published_ones(clearing):
    # between two full lines any price from 10.3 to 50 would do: the source's is the middle, as ours is
    case, _, result = clearing
    assert result.prices.loc[0].to_dict() == pytest.approx(case["prices"], rel=PRINTED)
    if "reactive_prices" in case:
        found = result.reactive_prices.loc[0].to_dict()
        assert found == pytest.approx(case["reactive_prices"], rel=PRINTED, abs=1e-3)


def test_what_binds_is_what_the_source_says(clearing):
    case, _, result = clearing
    parts = {name: table.loc[0] for name, table in result.price_parts.items()}
    assert (parts["energy"] == case["root_price"]).all()
    assert (parts["loss"] == 0).all()
    if case["has_line_limits"]:
        assert set(result.binding["part"]) == {"congestion"}
        full = result.binding.set_index("name")["value"] / 100 * case["lines: from, to, r, x, most"][1][4]
        assert full.to_dict() == pytest.approx(case["full_lines"])
        assert (parts["voltage"] == 0).all()
        return
    binding = result.binding.set_index("name")
    assert set(binding["part"]) == {"voltage"}
    # of one more per unit of voltage squared; kW for per unit of power
    worth = (binding["worth"] / 1e3).to_dict()
    assert worth == pytest.approx(case["voltage_worth"], rel=PRINTED)
    assert result.voltages.loc[0, list(worth)].to_dict() == pytest.approx(
        {bus: case["voltages"][bus] for bus in worth}
    )


def test_flows_and_costs_are_the_published_ones(clearing):
    case, bids, result = clearing
    root = -result.imports.loc[0, "1"] / 1e3
    # the source's optimum is flat here: the generators' shares differ by 0.4 % between its own tables
    assert root == pytest.approx(case["root_p"], rel=1e-4)
    if "generation" not in case:
        return
    given = result.accepted[-len(case["generators"]) :].sum() / 1e3
    assert given == pytest.approx(case["generation"], rel=1e-6)
    firm = bids.price == FIRM
    assert result.accepted[firm] == pytest.approx(bids.quantity[firm])
    cost = case["root_price"] * root + next(iter(case["generators"].values())) * given
    assert cost == pytest.approx(case["cost"], rel=PRINTED)
