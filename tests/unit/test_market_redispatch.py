"""Stories of paired redispatch: prices, sharing, rejected pairs, and a real feeder."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.adapters.grids import Grid
from gridagora.engine.feasible import ScheduleCheck
from gridagora.errors import InputError
from gridagora.market.mechanisms.redispatch_pairs import (
    RedispatchOrder,
    _cheapest,
    _ranked,
    _volumes,
    pair_redispatch,
)
from gridagora.model.study import GridLimits


def sell(participant, kw, price, *, period=3):
    return RedispatchOrder(participant=participant, side="sell", period=period, kw=kw, price=price)


def buy(participant, kw, price, *, period=3):
    return RedispatchOrder(participant=participant, side="buy", period=period, kw=kw, price=price)


def anything(delta):
    """Break nothing; refuse a change that is out of balance."""
    for period in {period for _, period in delta}:
        assert sum(kw for (_, at), kw in delta.items() if at == period) == pytest.approx(0.0, abs=1e-9)
    return ()


def paired(inside, outside, **changes):
    given = {"needed_kw": {3: 30.0}, "hours": 1.0, "shares": {"dso": 1}, "feasible": anything}
    return pair_redispatch(inside, outside, **(given | changes))


def volumes(result):
    return {(pair.inside, pair.outside): pair.kw for pair in result.pairs}


def faults_of(*orders, **changes):
    with pytest.raises(InputError) as caught:
        paired(*orders, **changes)
    return [fault.place for fault in caught.value.faults]


def test_everyone_gets_its_own_price_and_operators_pay_the_spread_by_share():
    result = paired(
        [sell("ann", 30, 0.35)], [buy("zoe", 30, 0.05)], hours=0.25, shares={"north": 2, "south": 1}
    )
    money = {line.party: line.amount_micro for line in result.lines}
    assert money == {"ann": 2_625_000, "zoe": -375_000, "north": -1_500_000, "south": -750_000}
    assert result.spread_micro == 2_250_000
    assert result.delta_kw == {("ann", 3): -30.0, ("zoe", 3): 30.0}


def test_cheapest_ask_meets_highest_bid_up_to_the_need():
    inside = [sell("dear", 20, 0.5), sell("cheap", 20, 0.2)]
    outside = [buy("low", 40, 0.1), buy("high", 5, 0.15)]
    result = paired(inside, outside)
    assert volumes(result) == {("cheap", "high"): 5.0, ("cheap", "low"): 15.0, ("dear", "low"): 10.0}
    assert (result.relieved_kw, result.missing_kw) == ({3: 30.0}, {3: 0.0})


def test_export_congestion_is_relieved_by_buyers_inside():
    result = paired([buy("ann", 40, 0.01)], [sell("zoe", 40, 0.2)])
    (pair,) = result.pairs
    assert (pair.inside, pair.buyer, pair.seller, pair.kw) == ("ann", "ann", "zoe", 30.0)
    assert pair.spread_micro == 30 * 190_000


def test_a_spread_below_zero_is_received_and_no_reason_to_trade_more():
    result = paired([sell("ann", 99, 0.1)], [buy("zoe", 99, 0.2)], shares={"a": 1, "b": 1, "c": 1})
    assert volumes(result) == {("ann", "zoe"): 30.0}
    assert [line.amount_micro for line in result.lines if line.kind == "spread"] == [1_000_000] * 3


def test_periods_stand_alone_and_what_is_not_met_is_told():
    inside = [sell("ann", 10, 0.3), sell("ann", 10, 0.3, period=4), sell("ann", 10, 0.3, period=9)]
    outside = [buy("zoe", 40, 0.1), buy("zoe", 4, 0.1, period=4)]
    result = paired(inside, outside, needed_kw={4: 8.0, 3: 30.0})
    assert [(pair.period, pair.kw) for pair in result.pairs] == [(3, 10.0), (4, 4.0)]
    assert result.missing_kw == {3: 20.0, 4: 4.0}
    assert paired([], [], needed_kw={3: 0.0}).pairs == ()


def test_a_broken_limit_rejects_the_pair_and_the_next_best_is_tried():
    def line_a(delta):
        return ("line A",) if delta.get(("near", 3), 0.0) > 10.0 else ()

    inside = [sell("ann", 20, 0.2), sell("bob", 20, 0.3)]
    outside = [buy("near", 50, 0.15), buy("far", 50, 0.05)]
    result = paired(inside, outside, feasible=line_a)
    assert [(pair.inside, pair.outside, pair.kw, pair.reason) for pair in result.rejected] == [
        ("ann", "near", 20.0, "breaks line A"),
    ]
    assert volumes(result) == {("bob", "near"): 10.0, ("ann", "far"): 20.0}


def test_volume_comes_before_spread_when_rejections_leave_few_partners():
    """Ann alone can sell to zoe, so she must not take all of yve, who is the dearer buyer."""

    def bob_and_zoe(delta):
        return (
            ("trafo",)
            if delta.get(("bob", 3)) and delta.get(("zoe", 3)) and not delta.get(("ann", 3))
            else ()
        )

    inside, outside = (
        [sell("ann", 10, 0.4), sell("bob", 10, 0.2)],
        [buy("yve", 10, 0.1), buy("zoe", 10, 0.15)],
    )
    result = paired(inside, outside, needed_kw={3: 20.0}, feasible=bob_and_zoe)
    assert volumes(result) == {("bob", "yve"): 10.0, ("ann", "zoe"): 10.0}
    assert result.missing_kw == {3: 0.0}


def test_every_fault_at_once():
    inside = [sell("ann", math.nan, 0.1), sell("eve", 5, math.nan), sell("bob", 5, 0.1, period=1)]
    inside += [buy("cat", 5, 0.1), sell("bob", 0, 0.1)]
    outside = [buy("ann", 5, 0.1), RedispatchOrder(participant="zoe", side="give", period=3, kw=1, price=0)]
    assert faults_of(
        inside, outside, needed_kw={3: -1.0, 1: 2.0}, hours=0.0, shares={"dso": -1.0}, now_period=2,
        participants=["ann", "bob", "cat", "zoe"],
    ) == [
        "hours",
        "needed_kw, period 3",
        "needed_kw, period",
        "shares, dso",
        "inside, order 0, kw",
        "inside, order 1, price",
        "inside, order 1, participant",
        "inside, order 2, period",
        "inside, order 3, side",
        "inside, order 4, kw",
        "outside, order 0, participant",
        "outside, order 1, side",
    ]  # fmt: skip
    assert faults_of([sell("a", 1, 1), sell("a", 1, 2)], [sell("z", 1, 1)], shares={}) == [
        "shares",
        "inside, order 1, participant",
        "outside, order 0, side",
    ]


@st.composite
def books(draw):
    def side(name, make):
        count = draw(st.integers(0, 4))
        return [
            make(f"{name}{k}", draw(st.integers(1, 9)), draw(st.integers(0, 9)) / 10) for k in range(count)
        ]

    inside, outside = side("i", sell), side("o", buy)
    bad = draw(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
    return inside, outside, {(f"i{a}", f"o{b}") for a, b in bad}, draw(st.integers(0, 25))


def least_spread(inside, outside, bad, need):
    """Most volume, then least spread, by a linear program that shares no code with the rule."""
    from scipy.optimize import linprog

    pairs = [(i, o) for i, o in product(range(len(inside)), range(len(outside)))
             if (inside[i].participant, outside[o].participant) not in bad]  # fmt: skip
    if not pairs or not need:
        return 0.0, 0.0
    cost = np.array([inside[i].price - outside[o].price for i, o in pairs])
    rows = [[float(a == i) for a, _ in pairs] for i in range(len(inside))]
    rows += [[float(b == o) for _, b in pairs] for o in range(len(outside))]
    most = [order.kw for order in [*inside, *outside]]
    whole = [[1.0] * len(pairs)]
    volume = -linprog(-np.ones(len(pairs)), A_ub=rows + whole, b_ub=[*most, need]).fun
    return volume, linprog(cost, A_ub=rows, b_ub=most, A_eq=whole, b_eq=[volume]).fun


@settings(deadline=None, max_examples=100)
@given(books(), st.randoms(use_true_random=False))
def test_least_spread_of_the_most_volume_whatever_the_order(book, random):
    inside, outside, _, need = book
    result = paired(inside, outside, needed_kw={3: float(need)})
    volume, spread = least_spread(inside, outside, set(), need)
    assert result.relieved_kw[3] == pytest.approx(volume)
    assert result.spread_micro == pytest.approx(1e6 * spread, abs=1e-3)
    assert sum(line.amount_micro for line in result.lines) == 0
    shuffled_in, shuffled_out = inside.copy(), outside.copy()
    random.shuffle(shuffled_in)
    random.shuffle(shuffled_out)
    assert paired(shuffled_in, shuffled_out, needed_kw={3: float(need)}) == result
    for order in [*inside, *outside]:
        used = sum(pair.kw for pair in result.pairs if order.participant in (pair.inside, pair.outside))
        assert used <= order.kw + 1e-9


@settings(deadline=None, max_examples=200)
@given(books())
def test_paths_find_the_optimum_of_the_pairs_that_are_left(book):
    inside, outside, bad, need = book
    ranked = _ranked(inside, 3), _ranked(outside, 3)
    places = product(*(range(len(orders)) for orders in ranked))
    banned = {(a, b) for a, b in places if (ranked[0][a].participant, ranked[1][b].participant) in bad}
    made = _cheapest(_volumes(*ranked, banned), 1000 * need)
    volume, spread = least_spread(inside, outside, bad, need)
    assert not banned & set(made)
    assert sum(made.values()) == pytest.approx(1000 * volume)
    found = sum(watts / 1e3 * (ranked[0][a].price - ranked[1][b].price) for (a, b), watts in made.items())
    assert found == pytest.approx(spread, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(books())
def test_every_step_of_the_result_keeps_the_limits(book):
    """Each seller and each buyer alone may move a few kW, and together they may not move too much either."""
    inside, outside, bad, need = book

    def limits(delta):
        together = any((a, 3) in delta and (b, 3) in delta for a, b in bad)
        return tuple(["pair"] * together + ["size"] * (max(delta.values()) > 6))

    result = paired(inside, outside, needed_kw={3: float(need)}, feasible=limits)
    assert not result.pairs or limits(result.delta_kw) == ()
    assert all(one.broken for one in result.rejected)
    assert len({(one.inside, one.outside) for one in result.rejected}) == len(result.rejected)


class TestOnAFeeder:
    """CIGRE LV: the residential line R1-R2 is loaded beyond its limit; the commercial feeder has room."""

    grid = Grid.by_name("cigre-lv")
    bus_of = {"ann": "Bus R18", "bob": "Bus R15", "yve": "Bus C1", "zoe": "Bus C12"}  # noqa: RUF012

    def check(self, **limits):
        kw, kvar = self.grid.base_import()
        base = {"line_loading_percent": 30.0, "vm_min_pu": 0.91}
        return ScheduleCheck(
            self.grid, np.stack([kw] * 2), np.stack([kvar] * 2), bus_of=self.bus_of,
            limits=GridLimits(**(base | limits)), first=2,
        )  # fmt: skip

    def test_relief_inside_without_harm_outside(self):
        check = self.check()
        inside = [sell("ann", 20, 0.3), sell("bob", 20, 0.25)]
        outside = [buy("zoe", 40, 0.2), buy("yve", 40, 0.1)]
        result = paired(inside, outside, needed_kw={3: 15.0}, feasible=check)
        assert volumes(result) == {("bob", "yve"): 15.0}
        assert [(pair.inside, pair.outside) for pair in result.rejected] == [("bob", "zoe"), ("ann", "zoe")]
        assert "voltage_low of Bus C" in result.rejected[0].reason
        relief = {one.element: one for one in check.relief(result.delta_kw)}
        assert set(relief) == {"Line R1-R2", "Line R2-R3"}
        line = relief["Line R1-R2"]
        assert (line.period, line.before > 31.0, line.cured) == (3, True, True)
        assert line.share > 1.0

    def test_a_broken_limit_may_stay_but_not_grow(self):
        check = self.check()
        assert check({("ann", 2): -1.0}) == ()
        assert check({("yve", 2): 1.0}) == ()
        assert [name.partition(" of ")[0] for name in check({("ann", 2): 1.0})] == [
            "period 2: line_loading"
        ] * 2
        assert check({}) == ()
        assert check.relief({}) == ()
        assert check.relief({("ann", 2): 1.0})[0].share < 0

    def test_no_solution_is_refused(self):
        assert self.check()({("ann", 2): 5000.0}) == ("period 2: the power flow has no solution",)

    def test_faults(self):
        check = self.check()
        with pytest.raises(InputError) as caught:
            check({("eve", 2): 1.0, ("ann", 4): 1.0, ("ann", 2): math.nan})
        assert [fault.reason.partition(",")[0] for fault in caught.value.faults] == [
            "unknown participant",
            "is outside the schedule",
            "is no power",
        ]
        kw, kvar = self.grid.base_import()
        with pytest.raises(InputError):
            ScheduleCheck(self.grid, kw, kvar, bus_of={"ann": "Bus X"}, limits=GridLimits())
