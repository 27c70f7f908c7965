"""Bad input of a network auction: every fault at once, with place and fix."""

import pickle

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InfeasibleMarket, InputError
from gridagora.market.mechanisms.network import network_auction
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Carrier, Dependency, Rolling
from gridagora.model.linear_network import LinearNetwork

LINE = pd.DataFrame({"from": ["a"], "to": ["b"], "capacity_kw": [3.0]})


def places(call):
    with pytest.raises(InputError) as error:
        call()
    assert all(fault.reason and fault.fix for fault in error.value.faults)
    return [fault.place for fault in error.value.faults]


def test_all_faults_of_bids_and_conditions_at_once():
    bids = Bids(
        side=["sell", "buy", "buy"],
        price=[0.1, 0.3, 0.3],
        quantity=[5.0, 5.0, 5.0],
        node=["a", "nowhere", "b"],
        carrier=["electricity", "electricity", "steam"],
    )
    found = places(
        lambda: network_auction(
            bids,
            network=LINE,
            carriers=[Carrier(name="electricity"), Carrier(name="heat")],
            dependencies=[
                Dependency.xor(0, 9),
                Dependency.sum_of([0], ">=", 99.0),
                Dependency.sum_of([0, 1], "<=", 1.0, coefficients=[1.0]),
                Dependency.all_of(1),
            ],
            power_factor=[0.9, 2.0, 0.0],
            kvar_limits=(1.0, 2.0),
            blocks=[0.5, 2.0, 0.0],
        )
    )
    assert found == [
        "dependency 0",
        "dependency 1",
        "dependency 2",
        "dependency 3",
        "row 2, column carrier",
        "row 1, column node",
        "power_factor, row 1",
        "power_factor, row 2",
        "kvar_limits, row 0",
        "kvar_limits, row 1",
        "kvar_limits, row 2",
        "row 1, column blocks",
    ]


def test_a_carrier_nobody_supplies():
    bids = Bids(side=["sell", "buy"], price=[0.1, 0.3], quantity=[5.0, 5.0], carrier=["electricity", "heat"])
    assert places(lambda: network_auction(bids)) == ["carrier heat"]


def test_a_network_without_nodes_of_bids():
    bids = Bids(side=["sell", "buy"], price=[0.1, 0.3], quantity=[5.0, 5.0])
    assert places(lambda: network_auction(bids, network=LINE)) == ["column node"]


def test_all_faults_of_a_table_at_once():
    table = pd.DataFrame(
        {
            "from": ["a", "b", "c", "e"],
            "to": ["b", "b", "d", "f"],
            "capacity_kw": [-1.0, 2.0, "much", 1.0],
            "loss_share": [0.0, 1.5, 0.0, 0.0],
            "reactance": [1.0, 1.0, 1.0, None],
        }
    )
    assert places(lambda: LinearNetwork.from_table(table)) == [
        "row 2, column capacity_kw",
        "row 0, column capacity_kw",
        "row 1, column loss_share",
        "row 3, column reactance",
        "row 1, column loss_share",
        "row 1",
        "node c",
        "node d",
        "node e",
        "node f",
    ]
    assert places(lambda: LinearNetwork.from_table(LINE, slack="z")) == ["slack"]
    assert places(lambda: LinearNetwork.from_table(pd.DataFrame({"from": [], "size": []}))) == [
        "column to",
        "column capacity_kw",
        "column size",
    ]
    assert places(lambda: LinearNetwork.from_table(LINE.iloc[:0])) == ["table"]


def test_values_out_of_range():
    bids = Bids(side=["sell", "buy"], price=[0.1, 0.3], quantity=[5.0, 5.0])
    assert places(lambda: network_auction(bids, period_hours=0.0, unit_kwh=-1.0, gap=-0.1)) == [
        "period_hours",
        "unit_kwh",
        "gap",
    ]
    assert places(lambda: network_auction(bids, paradoxes="hide")) == ["paradoxes"]
    assert places(lambda: Rolling(first_binding=0)) == ["first_binding"]
    assert places(lambda: LinearNetwork(kind="transfer", nodes=("a",), slack="b")) == ["slack"]
    assert places(lambda: network_auction(bids, blocks="group")) == ["blocks"]


def test_a_period_the_network_does_not_know():
    network = LinearNetwork(kind="transfer", nodes=("",), slack="", periods=np.array([0, 1]))
    assert places(lambda: network.point_of(np.array([1, 5, 7]))) == ["period 5", "period 7"]


def test_loads_outside_the_market_need_limit_rows():
    assert places(lambda: LinearNetwork.from_table(LINE).with_fixed([1.0, 1.0])) == ["with_fixed"]


def test_errors_cross_processes_whole():
    error = pickle.loads(pickle.dumps(InfeasibleMarket(["this", "that"])))
    assert error.conflict == ("this", "that")
    assert "that" in str(error)


def test_nothing_to_clear():
    empty = Bids(side=[], price=[], quantity=[])
    result = network_auction(empty)
    assert (result.welfare, len(result.prices), len(result.accepted)) == (0.0, 0, 0)
    lonely = Bids(side=["buy"], price=[0.3], quantity=[5.0], node=["a"])
    result = network_auction(lonely, network=LINE)
    assert result.accepted.tolist() == [0.0]
    assert result.prices.isna().all().all()
    assert (result.budget_balance, len(result.trades)) == (0.0, 0)


def test_faults_of_table_rules_conditions_and_bids_come_together():
    bids = Bids(side=["sell", "buy"], price=[0.1, 0.3], quantity=[5.0, 5.0], node=["a", "nowhere"])
    options = {"dependencies": [Dependency.xor(0, 9)], "period_hours": 0, "paradoxes": "hide", "horizon": 2}
    found = places(
        lambda: network_auction(bids, network=LINE, blocks=[1.0], power_factor="x", kvar_limits=5, **options)
    )
    assert found == [
        "period_hours",
        "dependency 0",
        "power_factor",
        "kvar_limits",
        "paradoxes",
        "horizon",
        "row 1, column node",
        "blocks",
    ]
    bad_table = LINE.assign(capacity_kw=-1.0)
    assert places(lambda: network_auction(bids, network=bad_table, gap=-1)) == [
        "row 0, column capacity_kw",
        "gap",
    ]


def test_what_is_no_network_no_carrier_no_condition():
    bids = Bids(side=["sell", "buy"], price=[0.1, 0.3], quantity=[5.0, 5.0], node=["a", "b"])
    plain = LinearNetwork.from_table(LINE)
    assert places(lambda: network_auction(bids, network="ieee33")) == ["network"]
    assert places(lambda: network_auction(bids, carriers={"heat": 3})) == ["carriers, heat"]
    twice = [Carrier(name="heat"), Carrier(name="heat"), "cold"]
    assert places(lambda: network_auction(bids, carriers=twice)) == ["carriers, 1", "carriers, 2"]
    own = [Carrier(name="electricity", network=plain)]
    assert places(lambda: network_auction(bids, network=plain, carriers=own)) == ["network"]
    assert network_auction(bids, carriers={"electricity": LINE}).prices.loc[0].tolist() == [0.1, 0.3]
    found = [("xor", 0, 1), Dependency.xor("ann", "bob"), Dependency.all_of(0, 1.5)]
    odd = [Dependency.sum_of([0], "=", "much"), Dependency.sum_of([0], "=", 0, coefficients=["x"])]
    assert places(lambda: network_auction(bids, dependencies=[*found, *odd])) == [
        f"dependency {number}" for number in range(5)
    ]
    assert places(lambda: network_auction(bids, dependencies=Dependency.xor(0, 1))) == ["dependencies"]


def test_cycle_of_sums_that_cannot_hold():
    bids = Bids(side=["sell", "buy", "buy"], price=[0.1, 0.3, 0.3], quantity=[5.0, 5.0, 5.0])
    cycle = [Dependency.sum_of(pair, "=", 1, coefficients=[1, -1]) for pair in ([0, 1], [1, 2], [2, 0])]
    assert places(lambda: network_auction(bids, dependencies=cycle)) == [
        "dependency 0, dependency 1, dependency 2"
    ]


def test_faults_of_names_and_connections():
    table = pd.DataFrame({"from": ["a", None, " "], "to": ["b", "b", "c"], "capacity_kw": [1.0, 1.0, 1.0]})
    found = places(lambda: LinearNetwork.from_table(table, import_kw=-1, export_kw=float("nan")))
    assert found[:4] == ["import_kw", "export_kw", "row 1, column from", "row 2, column from"]
    wrong = LINE.assign(reactance=np.inf, size=1)
    assert places(lambda: LinearNetwork.from_table(wrong)) == ["column size", "row 0, column reactance"]
    parallel = pd.concat([LINE, LINE])
    assert LinearNetwork.from_table(parallel).lines.name.tolist() == ["a-b", "a-b 2"]
    named = parallel.assign(name="cable")
    assert places(lambda: LinearNetwork.from_table(named)) == ["row 1, column name"]


def test_fixed_loads_that_do_not_fit():
    network = LinearNetwork.from_table(LINE.assign(reactance=1.0))
    assert places(lambda: network.with_fixed([1.0, 2.0, 3.0], "x")) == ["import_kvar", "import_kw"]
    assert places(lambda: network.with_fixed([1.0, np.nan])) == ["import_kw"]


@pytest.mark.parametrize("value", [1.5, float("nan"), "one"])
def test_horizon_in_whole_periods(value):
    assert places(lambda: Rolling(first_binding=value)) == ["first_binding"]


def test_conditions_on_no_bids_or_of_a_market_without_bids():
    bids = Bids(side=["sell", "buy"], price=[0.1, 0.3], quantity=[5.0, 5.0])
    empty = [Dependency.sum_of([], "<=", 1.0), Dependency.any_of(), Dependency.all_of(1)]
    assert places(lambda: network_auction(bids, dependencies=empty)) == [
        "dependency 0",
        "dependency 1",
        "dependency 2",
    ]
    with pytest.raises(InputError, match="the market has no bids"):
        network_auction(Bids(side=[], price=[], quantity=[]), dependencies=[Dependency.any_of(0)])


def test_a_whole_bid_that_its_conditions_do_not_let_in_is_named_with_them():
    bids = Bids(side=["buy", "sell"], price=[0.5, 0.1], quantity=[5.0, 5.0])
    some = [Dependency.any_of(0), Dependency.sum_of([0], "<=", 1.0)]
    with pytest.raises(InputError) as error:
        network_auction(bids, dependencies=some, blocks=[1.0, 0.0])
    assert error.value.faults[0].place == "dependency 0, dependency 1, least quantity of bid 0"
    assert error.value.faults[0].value == [
        "dependency 0: OR(0)",
        "dependency 1: SUM 1 y0 <= 1",
        "least quantity of bid 0",
    ]
