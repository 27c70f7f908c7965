"""Stories of zone markets and islands with numbers one can check by hand, and their faults."""

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.market import pay_as_bid
from gridagora.market.islanding import island
from gridagora.market.zonal import GateLimits, hierarchical_clearing, with_bulk
from gridagora.market.zonal_joint import joint_clearing, welfare_gap
from gridagora.model.bids import Bids
from gridagora.model.zones import Zone, ZoneTree

TREE = ZoneTree(
    zones=(
        Zone(name="bulk", level="bulk", parent=None),
        Zone(name="dso", level="dso", parent="bulk"),
        Zone(name="mv", level="mv", parent="dso", buses=("m",)),
        Zone(name="east", level="lv", parent="mv", buses=("e1", "e2")),
        Zone(name="west", level="lv", parent="mv", buses=("w1",)),
    )
)


def bids(*rows, **columns):
    """Return bids of rows (side, price, quantity, node)."""
    side, price, quantity, node = zip(*rows, strict=True)
    return Bids(side=list(side), price=list(price), quantity=list(quantity), node=list(node), **columns)


def test_a_zone_covers_itself_then_its_sibling_then_the_bulk_grid():
    market = with_bulk(
        bids(
            ("sell", 0.10, 6.0, "e1"),
            ("buy", 0.30, 2.0, "e2"),
            ("buy", 0.25, 3.0, "w1"),
            ("buy", 0.40, 4.0, "mv"),
        ),
        TREE,
        pays=0.05,
        asks=0.35,
    )
    result = hierarchical_clearing(market, TREE)
    assert result.accepted[:4].tolist() == [6.0, 2.0, 0.0, 4.0]
    assert result.by_depth[:, :4].tolist() == [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [4.0, 0, 0, 4.0],
        [2.0, 2.0, 0, 0],
    ]
    assert result.prices.loc[0, ["east", "mv"]].round(6).tolist() == [0.10, 0.325]
    assert np.isnan(result.prices.loc[0, "west"])
    flows = result.flows.set_index("zone")
    assert flows.quantity.to_dict() == {"dso": 0.0, "mv": 0.0, "east": -4.0, "west": 0.0}
    assert flows.parent["east"] == "mv"


def test_the_bulk_grid_comes_last():
    market = with_bulk(bids(("sell", 0.01, 5.0, "w1"), ("buy", 0.5, 2.0, "e1")), TREE, pays=0.05, asks=0.35)
    result = hierarchical_clearing(market, TREE)
    assert result.by_depth[:, 0].tolist() == [3.0, 0.0, 2.0, 0.0]
    assert result.price[0].round(3).tolist()[:3] == [0.05, pytest.approx(np.nan, nan_ok=True), 0.01]
    assert result.payments[-1] == pytest.approx(-0.15)
    assert result.payments.sum() == pytest.approx(0)


def test_gates_cut_the_worst_offers_and_share_among_equal_ones():
    market = bids(
        ("sell", 0.10, 3.0, "e1"),
        ("sell", 0.20, 2.0, "e1"),
        ("sell", 0.20, 6.0, "e2"),
        ("buy", 0.50, 20.0, "w1"),
    )
    result = hierarchical_clearing(market, TREE, transfer_kw={"east": (9.0, 14.0)}, period_h=0.5)
    assert result.accepted.tolist() == [3.0, 1.0, 3.0, 7.0]
    assert result.imports[0, 3] == -7.0


def test_room_at_a_gate_counts_net():
    """East buys 2 from its sibling, and may then export 3 where its gate lets 1 through in either way."""
    market = bids(
        ("buy", 0.20, 1.0, "e1"), ("sell", 0.15, 1.0, "w1"),
        ("sell", 0.30, 9.0, "e2"), ("buy", 0.50, 9.0, "bulk"),
    )  # fmt: skip
    result = hierarchical_clearing(market, TREE, transfer_kw={"east": 1.0, "west": 1.0})
    assert result.accepted.tolist() == [1.0, 1.0, 2.0, 2.0]
    assert result.imports[0].tolist() == [0.0, -2.0, -2.0, -1.0, -1.0]


def test_whole_bids_stay_whole():
    market = bids(("sell", 10, 1000, "e1"), ("sell", 10, 1000, "e2"), ("buy", 30, 5000, "w1"))
    result = hierarchical_clearing(market, TREE, transfer_kw={"east": 1.0015})
    assert result.accepted.dtype == np.int64
    assert sorted(result.accepted.tolist()) == [500, 501, 1001]
    assert result.imports.tolist() == [[0, 0, 0, -1001, 1001]]


def test_periods_do_not_mix():
    market = bids(
        ("sell", 0.1, 1.0, "e1"), ("buy", 0.3, 1.0, "e1"), ("buy", 0.3, 1.0, "w1"), period=[7, 7, 2]
    )
    result = hierarchical_clearing(market, TREE)
    assert result.period.tolist() == [2, 7]
    assert result.accepted.tolist() == [1.0, 1.0, 0.0]


def test_another_mechanism_may_clear_the_zones():
    market = bids(("sell", 0.1, 1.0, "e1"), ("buy", 0.3, 1.0, "w1"))
    result = hierarchical_clearing(market, TREE, mechanism=pay_as_bid)
    assert result.accepted.tolist() == [1.0, 1.0]
    assert -result.paid[1] >= result.paid[0] - 1e-12


def test_no_bids_and_bids_of_the_root_alone():
    assert hierarchical_clearing(Bids(side=[], price=[], quantity=[]), TREE).welfare == 0.0
    alone = ZoneTree(zones=TREE.zones[:1])
    market = Bids(side=["buy", "sell"], price=[3.0, 1.0], quantity=[1.0, 1.0])
    assert hierarchical_clearing(market, alone).welfare == joint_clearing(market, alone).welfare == 2.0


def test_what_covering_itself_first_costs():
    """East's cheap sell serves its own low bid, though west would pay far more; wide gates do not help."""
    market = bids(("sell", 0.10, 2.0, "e1"), ("buy", 0.12, 2.0, "e2"), ("buy", 0.50, 2.0, "w1"))
    found = welfare_gap(market, TREE)
    assert found.hierarchical.welfare == pytest.approx(0.04)
    assert found.joint.welfare == pytest.approx(0.80)
    assert found.share == pytest.approx(0.95)
    assert found.joint.imports[0].tolist() == [0.0, 0.0, 0.0, -2.0, 2.0]
    closed = welfare_gap(market, TREE, transfer_kw={"east": 0.0})
    assert closed.gap == pytest.approx(0.0)


def test_joint_prices_differ_across_a_full_gate():
    market = bids(("sell", 0.10, 9.0, "e1"), ("buy", 0.50, 9.0, "w1"))
    joint = joint_clearing(market, TREE, transfer_kw={"west": 2.0})
    assert joint.price[0].round(6).tolist()[2:] == [0.1, 0.1, 0.5]


def test_faults_of_zone_markets_come_together():
    market = bids(("buy", 1.0, 1.0, "north"), ("buy", 1.0, 1.0, "m"), carrier=["heat", "electricity"])
    with pytest.raises(InputError) as found:
        hierarchical_clearing(
            market, TREE, transfer_kw={"south": 1.0, "east": -1.0, "west": np.nan, "bulk": 1.0}, period_h=0.0
        )
    assert [fault.place for fault in found.value.faults] == [
        "node north",
        "column carrier",
        "transfer_kw south",
        "transfer_kw east",
        "transfer_kw west",
        "transfer_kw bulk",
        "period_h",
    ]
    with pytest.raises(InputError, match="stand in no zone"):
        joint_clearing(Bids(side=["buy"], price=[1.0], quantity=[1.0]), TREE)
    with pytest.raises(InputError, match="is above asks"):
        with_bulk(market, TREE, pays=2.0, asks=1.0)


def test_the_bulk_grid_joins_bids_of_numbers_and_steps():
    market = bids(
        ("buy", 3, 5, "e1"), ("sell", 1, 5, "w1"), participant=[4, 5], step=[0, 1], carrier=["heat"] * 2
    )
    whole = with_bulk(market, TREE, pays=1, asks=2)
    assert whole.is_integer
    assert whole.participant.tolist() == [4, 5, -1, -1]
    assert whole.carrier.tolist() == ["heat"] * 4


EVENING = bids(
    ("buy", 0.30, 2.0, "e1"),
    ("buy", 0.20, 2.0, "e1"),
    ("buy", 0.20, 4.0, "e2"),
    ("buy", 0.10, 1.0, "e2"),
    ("sell", 0.25, 3.0, "e1"),
    ("sell", 0.60, 2.0, "e2"),
    ("sell", 9.00, 9.0, "e2"),
    ("sell", 0.01, 9.0, "w1"),
    participant=["clinic", "ann", "bob", "car", "battery", "diesel", "dear", "west"],
)  # fmt: skip


def test_an_island_serves_its_best_bids_with_its_own_supply():
    result = island("east", EVENING, TREE, value_of_lost_load=8.0)
    assert result.rows.tolist() == list(range(7))
    assert result.served.tolist() == [2.0, 1.0, 2.0, 0.0, 3.0, 2.0, 0.0]
    assert result.not_served.tolist() == [0.0, 1.0, 2.0, 1.0, 0.0, 0.0, 0.0]
    assert result.price.tolist() == [0.60]
    assert result.lost_load_cost == 32.0
    table = result.participants
    assert table.lost_load_cost.to_dict() == {
        "ann": 8.0, "battery": 0.0, "bob": 16.0, "car": 8.0, "clinic": 0.0, "dear": 0.0, "diesel": 0.0,
    }  # fmt: skip
    assert table.not_called["dear"] == 9.0
    assert table.bought.sum() == table.sold.sum() == 5.0


def test_load_that_need_not_run_only_takes_what_its_price_covers():
    firm = [True, False, False, False, True, True, True, True]
    result = island("east", EVENING, TREE, value_of_lost_load=8.0, firm=firm)
    assert result.served.tolist() == [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]
    assert result.declined.tolist() == [0.0, 2.0, 4.0, 1.0, 0.0, 0.0, 0.0]
    assert result.not_called.tolist()[4:] == [1.0, 2.0, 9.0]
    assert result.lost_load_cost == 0.0


def test_an_island_holds_the_zones_inside_it():
    result = island("mv", EVENING, TREE, value_of_lost_load=8.0)
    assert result.served.tolist() == [2.0, 2.0, 4.0, 1.0, 0.0, 0.0, 0.0, 9.0]
    assert result.not_called[4] == 3.0


def test_whole_wh_are_shed_in_whole_wh():
    load = bids(("buy", 3, 5, "e1"), ("buy", 3, 5, "e1"), ("sell", 1, 7, "e1"), participant=["a", "b", "c"])
    result = island("east", load, TREE, value_of_lost_load=100)
    assert result.served.tolist() == [4, 3, 7]
    assert result.not_served.tolist() == [1, 2, 0]


def test_a_dark_island_serves_no_one():
    result = island("west", bids(("buy", 0.3, 2.0, "w1")), TREE, value_of_lost_load=8.0)
    assert result.not_served.tolist() == [2.0]
    assert np.isnan(result.price).all()
    empty = island("mv", bids(("buy", 0.3, 2.0, "bulk")), TREE, value_of_lost_load=8.0)
    assert len(empty.bids) == 0
    assert isinstance(empty.participants, pd.DataFrame)


def test_faults_of_islands_come_together():
    with pytest.raises(InputError) as found:
        island("east", EVENING, TREE, value_of_lost_load=0.0, firm=[True])
    assert [fault.place for fault in found.value.faults] == ["firm", "value_of_lost_load"]
    with pytest.raises(InputError, match="no such zone"):
        island("north", EVENING, TREE, value_of_lost_load=8.0)


def test_all_faults_of_an_island_come_together():
    strangers = bids(("buy", 0.3, 1.0, "north"))
    with pytest.raises(InputError) as found:
        island("south", strangers, TREE, value_of_lost_load="much", firm=["yes"])
    assert [fault.place for fault in found.value.faults] == [
        "firm",
        "value_of_lost_load",
        "zone",
        "node north",
    ]


@pytest.mark.parametrize("limits", [{"east": "wide"}, {"east": (1.0, 2.0, 3.0)}, {"east": None}, 5.0])
def test_limits_that_are_none(limits):
    with pytest.raises(InputError) as found:
        hierarchical_clearing(EVENING, TREE, transfer_kw=limits, period_h="hour")
    assert [fault.place.split()[0] for fault in found.value.faults] == ["transfer_kw", "period_h"]


def open_gates(periods=2):
    return np.full((periods, len(TREE.zones)), np.inf)


def test_a_gate_that_narrows_in_the_evening():
    market = bids(*[("sell", 0.10, 5.0, "e1"), ("buy", 0.30, 5.0, "w1")] * 3, period=[18, 18, 19, 19, 20, 20])
    enter, leave = open_gates(4), open_gates(4)
    enter[:, 4] = [np.inf, 0.0, 3.0, 9.0]  # rows in the order of `period`
    leave[:, 3] = [np.inf, 9.0, 9.0, 2.0]
    limits = GateLimits(period=[21, 20, 19, 18], import_kw=enter, export_kw=leave)
    result = hierarchical_clearing(market, TREE, transfer_kw=limits, period_h=0.5)
    assert result.imports[:, 4].tolist() == [1.0, 1.5, 0.0]
    assert result.imports[:, 3].tolist() == [-1.0, -1.5, 0.0]
    joint = joint_clearing(market, TREE, transfer_kw=limits, period_h=0.5)
    assert np.allclose(joint.imports, result.imports)
    assert joint.price[0, 3:].tolist() == joint.price[1, 3:].tolist() == pytest.approx([0.1, 0.3])


def test_faults_of_limits_over_time_come_together():
    enter, leave = open_gates(3), open_gates(3)
    enter[1, 4], enter[2, 3], leave[0, 2], leave[:, 0] = -1.0, np.nan, -np.inf, -5.0
    market = bids(("buy", 1.0, 1.0, "north"), ("sell", 1.0, 1.0, "m"), period=[7, 9])
    with pytest.raises(InputError) as found:
        hierarchical_clearing(
            market, TREE, transfer_kw=GateLimits(period=[7, 7, 8.5], import_kw=enter, export_kw=leave)
        )
    assert [(fault.place, fault.value) for fault in found.value.faults] == [
        ("node north", "north"),
        ("transfer_kw period", [8.5]),
        ("transfer_kw period", [7.0]),
        ("transfer_kw period", [9]),
        ("transfer_kw import_kw, period 7, zone west", -1.0),
        ("transfer_kw import_kw, period 8, zone east", pytest.approx(np.nan, nan_ok=True)),
        ("transfer_kw export_kw, period 7, zone mv", -np.inf),
    ]


@pytest.mark.parametrize(
    ("limits", "places"),
    [
        (
            {"import_kw": open_gates(3), "export_kw": [1.0]},
            ["transfer_kw import_kw", "transfer_kw export_kw"],
        ),
        (
            {"import_kw": [["wide"] * 5] * 2, "export_kw": np.full((2, 5), -1.0)},
            [f"transfer_kw import_kw[{row}, {zone}]" for row in (0, 1) for zone in range(5)]
            + [
                f"transfer_kw export_kw, period {period}, zone {name}"
                for period in (7, 8)
                for name in TREE.names[1:]
            ],
        ),
        (
            {"period": [[7, 8]], "import_kw": open_gates(), "export_kw": open_gates()},
            ["transfer_kw period"],
        ),
        (
            {"period": ["a", 8], "import_kw": open_gates(), "export_kw": open_gates()},
            ["transfer_kw period[0]"],
        ),
        ({"period": [], "import_kw": open_gates(0), "export_kw": open_gates(0)}, ["transfer_kw period"]),
        (
            {"period": [7, np.inf, 8], "import_kw": open_gates(3), "export_kw": open_gates(3)},
            ["transfer_kw period"],
        ),
    ],
)
def test_limits_over_time_that_are_none(limits, places):
    market = bids(("buy", 1.0, 1.0, "m"), ("sell", 1.0, 1.0, "m"), period=[7, 8])
    for clear in (hierarchical_clearing, joint_clearing):
        with pytest.raises(InputError) as found:
            clear(market, TREE, transfer_kw=GateLimits(**({"period": [7, 8]} | limits)))
        assert [fault.place for fault in found.value.faults] == places


def test_no_bids_need_no_limits():
    none = GateLimits(period=[], import_kw=open_gates(0), export_kw=open_gates(0))
    empty = Bids(side=[], price=[], quantity=[])
    assert hierarchical_clearing(empty, TREE, transfer_kw=none).imports.shape == (0, 5)
    assert joint_clearing(empty, TREE, transfer_kw=none).price.shape == (0, 5)


def test_joint_prices_where_nothing_is_marginal():
    """Supply and demand of 2 meet at any price from 0.10 to 0.30; an empty zone has that of its parent."""
    market = bids(("sell", 0.10, 2.0, "e1"), ("buy", 0.30, 2.0, "w1"), ("sell", 0.40, 1.0, "m"))
    price = joint_clearing(market, TREE).price[0]
    assert 0.10 - 1e-9 <= price[3] <= 0.30 + 1e-9
    assert price.tolist() == pytest.approx([price[3]] * 5)
