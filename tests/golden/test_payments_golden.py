"""Published payments: the identities of seed 003's tables, textbook games, and known VCG outcomes."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gridagora.market import pay_as_cleared
from gridagora.market.mechanisms.capacity_limit import capacity_limit_auction
from gridagora.market.payments import payments, shapley_value
from gridagora.model.bids import Bids

TABLES = json.loads(
    (Path(__file__).parent / "payments" / "flexigrid_tables.json").read_text(encoding="utf-8")
)
ROW, SUM = TABLES["tolerance"]["row"], TABLES["tolerance"]["sum"]
DAYS = [(table, day) for table in ("table_3_6", "table_3_9") for day in TABLES[table]]


def audit(rows):
    """List the identities of F11-F15 that a table breaks; rows of phi, -w, Shapley, VCG, uniform."""
    total, players = rows["sum"], {name: row for name, row in rows.items() if name != "sum"}
    phi, cost, shapley, vcg, uniform = (list(column) for column in zip(*players.values(), strict=True))
    lines = [
        (f"{name}: Shapley payment is phi - w", row[0] + row[1], row[2], ROW) for name, row in players.items()
    ]
    lines += [
        ("Shapley payments sum to zero", sum(shapley), 0.0, SUM),
        ("VCG payments sum to the operator's deficit", sum(vcg), total[3], SUM),
        ("phi sums to v(N), utility minus cost", sum(phi), -sum(cost), SUM),
        (
            "VCG of the DSO is minus the sellers' costs, as v without it is 0",
            players["DSO"][3],
            -sum(cost[1:]),
            ROW,
        ),
    ]
    if uniform[0] is not None:
        lines.append(("uniform payments sum to zero", sum(uniform), 0.0, SUM))
    return [text for text, left, right, off in lines if abs(left - right) > off]


@pytest.mark.parametrize(("table", "day"), DAYS)
def test_published_tables_keep_the_identities(table, day):
    rows = TABLES[table][day]
    assert audit(rows) == []
    assert rows["sum"][3] > 1000  # VCG runs a deficit


def test_audit_finds_a_changed_row():
    rows = {name: list(row) for name, row in TABLES["table_3_6"]["2012-01-05"].items()}
    rows["FSP5_R11"][2] += 1.0
    assert audit(rows) == ["FSP5_R11: Shapley payment is phi - w", "Shapley payments sum to zero"]


def test_published_excess_follows_from_phi_and_vcg():
    phi, cost, _, vcg, _ = TABLES["table_3_6"]["2012-01-05"]["FSP5_R11"]
    excess = TABLES["table_3_7"]
    # e(N without i) = phi_i - [v(N) - v(N without i)], and VCG_i + w_i is that bracket
    assert excess["N\\{5}"] == pytest.approx(phi - (vcg - cost), abs=ROW)
    pairs = excess["N\\{5}"] - excess["N\\{1,5}"], excess["N\\{2,5}"] - excess["N\\{1,2,5}"]
    assert pairs[0] == pytest.approx(pairs[1], abs=0.011)


def feeder():
    """A day like the case study's: table 3-4's curve for the DSO, six FSPs with zero-cost first steps."""
    rows = []
    for period, quantities in ((17, (281.11, 70.28, 24.70, 7.52)), (18, (295.89, 73.97, 6.22, 7.52))):
        rows += [
            ("buy", u, q, "DSO", period, g)
            for g, (q, u) in enumerate(zip(quantities, (0.3, 2, 9, 1), strict=True))
        ]
        for number, load in enumerate((52.25, 33.25, 44.65, 190.0, 14.25, 49.4)):
            steps = ((0.0, 0.6), (0.4 + 0.1 * number, 0.3), (3.0 + number, 0.1))
            rows += [
                ("sell", u, load * part, f"FSP{number + 1}", period, g) for g, (u, part) in enumerate(steps)
            ]
    side, price, quantity, participant, period, step = (list(column) for column in zip(*rows, strict=True))
    return Bids(side=side, price=price, quantity=quantity, participant=participant, period=period, step=step)


@pytest.mark.parametrize("ordered", [False, True])
def test_our_own_payments_pass_the_same_audit(ordered):
    result = capacity_limit_auction(feeder(), ordered=ordered)
    shapley, vcg = payments(result, rule="shapley"), payments(result, rule="vcg")
    own = vcg.values - vcg.amounts
    rows = {
        name: [shapley.values[name], -own[name], shapley.amounts[name], vcg.amounts[name], None]
        for name in ("DSO", *(f"FSP{number}" for number in range(1, 7)))
    }
    rows["sum"] = [None, None, 0.0, vcg.amounts.sum(), None]
    assert audit(rows) == []
    assert shapley.values.sum() == pytest.approx(result.welfare, rel=1e-12)
    assert shapley.budget_balance == pytest.approx(0, abs=1e-9)
    assert vcg.budget_balance < 0
    without = np.array([name for name in result.bids.participant if name != "DSO"])
    excess = shapley.excess
    assert excess.is_complete
    # v without the DSO is 0: its excess is what the others were given
    assert excess.of(*np.unique(without)) == pytest.approx(-(result.welfare - shapley.values["DSO"]))
    assert excess.of(*np.unique(result.bids.participant)) == pytest.approx(0, abs=1e-9)
    contribution = vcg.values["FSP3"]
    others = [name for name in shapley.values.index if name != "FSP3"]
    assert excess.of(*others) == pytest.approx(shapley.values["FSP3"] - contribution)


def test_order_of_table_3_4_is_kept():
    ordered = capacity_limit_auction(feeder(), ordered=True)
    steps = ordered.accepted[ordered.bids.is_buy & (ordered.bids.period == 17)]
    assert steps.tolist() == pytest.approx([281.11, 70.28, 24.70, 0.0], abs=7.6)
    assert steps[0] == 281.11


def test_airport_games():
    for costs, expected in (
        ([8, 11, 13, 18], [2, 3, 4, 9]),
        ([40, 50, 60, 70, 80, 90], np.array([40, 52, 67, 87, 117, 177]) / 6),
    ):
        found = shapley_value(lambda m, costs=costs: max((costs[i] for i in m), default=0), len(costs))
        assert found.tolist() == pytest.approx(list(expected), abs=1e-9)
        # Littlechild and Owen: each stretch of runway is shared by those who need it
        shares = [b - a for a, b in pairwise([0, *costs])]
        closed = np.cumsum([share / (len(costs) - i) for i, share in enumerate(shares)])
        assert found.tolist() == pytest.approx(closed.tolist(), abs=1e-9)


def test_glove_game_also_as_a_market():
    assert shapley_value([0, 0, 0, 0, 0, 1, 1, 1], 3).tolist() == pytest.approx(
        [1 / 6, 1 / 6, 2 / 3], abs=1e-12
    )
    bids = Bids(side=[-1, -1, 1], price=[0, 0, 1], quantity=[1, 1, 1], participant=["L1", "L2", "R"])
    found = payments(pay_as_cleared(bids), rule="shapley")
    assert found.values.tolist() == pytest.approx([1 / 6, 1 / 6, 2 / 3], abs=1e-12)
    assert found.excess.most_violated in {("L1", "R"), ("L2", "R")}  # the core gives the right glove all


def test_bilateral_trade_by_vcg_is_a_deficit():
    bids = Bids(side=["buy", "sell"], price=[10, 4], quantity=[1, 1], participant=["buyer", "seller"])
    found = payments(capacity_limit_auction(bids), rule="vcg")
    assert found.amounts.to_dict() == {"buyer": -4, "seller": 10}
    assert found.budget_balance == -6


def test_packages_make_vcg_revenue_fall_with_a_third_buyer():
    """Ausubel and Milgrom: items A and B; buyer 1 wants both or none, at 2; buyers 2 and 3 one each, at 2."""
    rows = [("sell", 0, 1, "seller", 0, "ab"), ("sell", 0, 1, "seller", 1, "ab")]
    rows += [("buy", 1, 1, "1", 0, "ab"), ("buy", 1, 1, "1", 1, "ab"), ("buy", 2, 1, "2", 0, "")]

    def cleared(rows):
        side, price, quantity, participant, period, group = (list(c) for c in zip(*rows, strict=True))
        group = ["" if who == "seller" else g for who, g in zip(participant, group, strict=True)]
        bids = Bids(
            side=side, price=price, quantity=quantity, participant=participant, period=period, group=group
        )
        return capacity_limit_auction(bids, blocks="group")

    two, three = cleared(rows), cleared([*rows, ("buy", 2, 1, "3", 1, "")])
    assert (two.welfare, three.welfare) == (2, 4)
    buyers = {name: payments(three, rule="vcg").amounts[name] for name in ("1", "2", "3")}
    assert buyers == pytest.approx({"1": 0, "2": 0, "3": 0}, abs=1e-6)
    assert payments(two, rule="vcg").amounts[["1", "2"]].sum() == pytest.approx(-2, abs=1e-6)
