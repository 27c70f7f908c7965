"""Published nodal and zonal markets: prices, flows and welfare as printed."""

import numpy as np
import pandas as pd
import pytest

from gridagora.market.mechanisms.network import network_auction
from gridagora.model.bids import Bids
from gridagora.model.linear_network import LinearNetwork

FIRM = 1000.0
"""Price of demand that must be served."""


def dispatch(generators, loads, *, steps=1):
    """Bids of generators (name, node, most, cost) and of firm loads (node: quantity)."""
    rows = [("sell", cost, most, str(node), name) for name, node, most, cost in generators]
    rows += [("buy", FIRM, load, str(node), f"load {node}") for node, load in loads.items()]
    side, price, quantity, node, participant = zip(*rows, strict=True)
    return Bids(
        side=list(side),
        price=np.array(price, dtype=float),
        quantity=np.array(quantity, dtype=float),
        node=list(node),
        participant=list(participant),
    )


def table(rows):
    columns = ["from", "to", "reactance", "capacity_kw"]
    return pd.DataFrame([(str(a), str(b), x, limit) for a, b, x, limit in rows], columns=columns)


def test_pjm_five_buses():
    """Li and Bo 2010, small test systems; MATPOWER case5: LMPs at four decimals."""
    bids = dispatch(
        [("A", 1, 40, 14), ("B", 1, 170, 15), ("C", 3, 520, 30), ("D", 4, 200, 40), ("E", 5, 600, 10)],
        {2: 300, 3: 300, 4: 400},
    )
    lines = [(1, 2, 0.0281, 400), (1, 4, 0.0304, None), (1, 5, 0.0064, None), (2, 3, 0.0108, None)]
    lines += [(3, 4, 0.0297, None), (4, 5, 0.0297, 240)]
    result = network_auction(bids, network=table(lines))
    np.testing.assert_allclose(result.accepted[:5], [40, 170, 323.49485, 0, 466.50515], atol=1e-4)
    expected = {"1": 16.9774, "2": 26.3845, "3": 30.0, "4": 39.9427, "5": 10.0}
    assert result.prices.loc[0].to_dict() == pytest.approx(expected, abs=1e-4)
    assert FIRM * 1000 - result.welfare == pytest.approx(17479.8969, abs=1e-3)
    assert result.binding["name"].tolist() == ["4-5"]
    assert abs(result.flows.loc[0, "4-5"]) == pytest.approx(240)


def test_three_buses_of_kirschen_and_strbac():
    """Kirschen and Strbac, chapter 6: congestion surplus 787.5 $/h."""
    bids = dispatch(
        [("A", 1, 140, 7.5), ("B", 1, 285, 6.0), ("C", 2, 90, 14.0), ("D", 3, 85, 10.0)],
        {1: 50, 2: 60, 3: 300},
    )
    lines = [(1, 2, 0.2, 126), (1, 3, 0.2, 250), (2, 3, 0.1, 130)]
    result = network_auction(bids, network=LinearNetwork.from_table(table(lines), slack="1"))
    np.testing.assert_allclose(result.accepted[:4], [50, 285, 0, 75], atol=1e-9)
    assert result.prices.loc[0].tolist() == pytest.approx([7.5, 11.25, 10.0])
    assert result.budget_balance == pytest.approx(787.5)
    assert result.rent["congestion"] == pytest.approx(787.5)
    free = network_auction(bids, network=table([(a, b, x, None) for a, b, x, _ in lines]))
    assert free.prices.loc[0].tolist() == pytest.approx([7.5] * 3)
    assert free.flows.loc[0, "1-2"] == pytest.approx(156)


@pytest.mark.parametrize(
    ("limit", "prices", "rent"), [(None, (24.3333, 24.3333), 0.0), (400.0, (19, 35), 6400)]
)
def test_borduria_and_syldavia(limit, prices, rent):
    """Kirschen and Strbac, chapter 6: marginal costs 10 + 0.01 P and 13 + 0.02 P, in steps of 0.5 MW."""
    rows = []
    for name, base, slope in (("B", 10, 0.01), ("S", 13, 0.02)):
        rows += [(f"{name}{k}", name, 0.5, base + slope * 0.5 * (k + 0.5)) for k in range(4000)]
    lines = pd.DataFrame({"from": ["B"], "to": ["S"], "capacity_kw": [limit]})
    result = network_auction(dispatch(rows, {"B": 500, "S": 1500}), network=lines)
    assert result.prices.loc[0].tolist() == pytest.approx(prices, abs=0.011)
    assert result.budget_balance == pytest.approx(rent, abs=10)


SUPPLY = [
    (120, 0, "N"),
    (100, 15, "S"),
    (50, 20, "N"),
    (60, 36, "N"),
    (70, 60, "S"),
    (60, 150, "N"),
    (50, 200, "S"),
]
DEMAND = [(250, 200, "S"), (80, 90, "N"), (20, 75, "N"), (40, 65, "S"), (60, 24, "S")]


@pytest.mark.parametrize(
    ("capacity", "prices", "welfare"),
    [(None, (60, 60), 53040), (100.0, (36, 65), 52220), (0.0, (0, 200), 37000)],
)
def test_two_zones_of_pypsa(capacity, prices, welfare):
    """PyPSA documentation, demand and supply bids: one zone, 100 MW between two, none."""
    rows = [("sell", *row) for row in SUPPLY] + [("buy", *row) for row in DEMAND]
    side, quantity, price, node = zip(*rows, strict=True)
    bids = Bids(side=list(side), price=list(price), quantity=list(quantity), node=list(node))
    line = pd.DataFrame({"from": ["N"], "to": ["S"], "capacity_kw": [capacity]})
    result = network_auction(bids, network=line)
    assert result.welfare == pytest.approx(welfare)
    assert result.prices.loc[0].tolist() == pytest.approx(prices)
    if capacity:
        assert result.flows.loc[0, "N-S"] == pytest.approx(capacity)
    plate = network_auction(bids)
    assert (plate.welfare, plate.price[0], int(plate.volume[0])) == (53040, 60, 390)


COST = {"Wind": 0, "Hydro": 0, "Coal": 30, "Gas": 60, "Oil": 80}
SOUTH_AFRICA = [
    (f"SA {k}", "SA", q, COST[k]) for k, q in (("Coal", 35000), ("Wind", 3000), ("Gas", 8000), ("Oil", 2000))
]
NEIGHBOURS = [("MZ Hydro", "MZ", 1200, 0), ("SZ Hydro", "SZ", 600, 0)]


def test_two_countries_of_pypsa():
    """PyPSA documentation, simple electricity market: Mozambique exports 500 MW at 0."""
    bids = dispatch([*SOUTH_AFRICA, NEIGHBOURS[0]], {"SA": 42000, "MZ": 650})
    line = pd.DataFrame({"from": ["SA"], "to": ["MZ"], "capacity_kw": [500.0]})
    result = network_auction(bids, network=line)
    assert result.prices.loc[0].to_dict() == pytest.approx({"SA": 60, "MZ": 0})
    assert result.flows.loc[0, "SA-MZ"] == pytest.approx(-500)


def test_three_countries_of_pypsa():
    """The same with Eswatini, as printed: 0 in both neighbours, 60 in South Africa."""
    bids = dispatch([*SOUTH_AFRICA, *NEIGHBOURS], {"SA": 42000, "MZ": 650, "SZ": 250})
    ends = {"from": ["SA", "SA", "MZ"], "to": ["MZ", "SZ", "SZ"], "capacity_kw": [500.0, 250.0, 100.0]}
    result = network_auction(bids, network=pd.DataFrame(ends))
    assert result.prices.loc[0].to_dict() == pytest.approx({"SA": 60, "MZ": 0, "SZ": 0})
