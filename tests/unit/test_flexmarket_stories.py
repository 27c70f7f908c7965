"""The capacity-limit auction by stories: faults of its input, limits of a day, linked blocks, directions."""

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.market._capacity_check import check_offers
from gridagora.market._capacity_rules import ActivationLimits, Horizon
from gridagora.market.mechanisms.capacity_limit import capacity_limit_auction
from gridagora.market.payments import payments
from gridagora.model.bids import Bids


def faults_of(call):
    with pytest.raises(InputError) as caught:
        call()
    return [(fault.place, fault.reason.split(",")[0]) for fault in caught.value.faults]


def test_every_fault_of_step_lists_at_once():
    bids = Bids(
        side=["buy", "buy", "buy", "sell", "sell", "sell", "sell", "sell"],
        price=[1, 2, 3, 5, 4, 1, 1, 1],
        quantity=[1] * 8,
        participant=["dso", "dso", "dso", "ann", "ann", "bob", "bob", "cat"],
        step=[0, 1, 3, 0, 1, 2, 2, 7],
    )
    assert sorted(faults_of(lambda: capacity_limit_auction(bids, ordered=True, direction="sideways"))) == [
        ("direction", "unknown product direction"),
        ("row 2, column step", "step list has a gap before this step"),
        ("row 4, column price", "a seller's step is cheaper than the one before"),
        ("row 5, column step", "step list starts at neither 0 nor 1"),
        ("row 6, column step", "second offer of one participant for one period and step"),
        ("row 7, column step", "step list starts at neither 0 nor 1"),
    ]


def test_order_of_rows_is_no_fault_but_missing_numbers_are():
    columns = {
        "side": ["sell", "buy", "buy"],
        "price": [1, 5, 2],
        "quantity": [4, 2, 2],
        "participant": ["a", "d", "d"],
    }
    numbered = Bids(**columns, step=["g0", "g1", "g0"])
    assert capacity_limit_auction(numbered, ordered=True).accepted.tolist() == [4, 2, 2]
    assert faults_of(lambda: capacity_limit_auction(Bids(**columns), ordered=True)) == [
        ("row 2, column step", "a buyer's second bid for one period has no step number")
    ]
    assert capacity_limit_auction(Bids(**columns)).accepted.tolist() == [4, 2, 2]
    assert faults_of(lambda: capacity_limit_auction(Bids(**columns, step=["g0", "first", "g1"]))) == [
        ("row 1, column step", "is no step number")
    ]


def test_directions_and_blocks_are_checked_row_by_row():
    bids = Bids(side=[1, -1], price=[5, 1], quantity=[2, 2])
    assert faults_of(lambda: capacity_limit_auction(bids, direction=["cap", "sideways"], blocks=[0, 2])) == [
        ("row 1, column direction", "unknown product direction"),
        ("row 1, column blocks", "least share is not between 0 and 1"),
    ]
    assert faults_of(lambda: capacity_limit_auction(bids, direction=["cap", "floor"])) == [
        ("column direction", "different directions cannot trade with each other in one auction")
    ]
    assert faults_of(lambda: capacity_limit_auction(bids, direction=["cap"], blocks=[1])) == [
        ("direction", "is not one per bid (2)"),
        ("blocks", "is not one per bid (2)"),
    ]
    assert faults_of(lambda: capacity_limit_auction(bids, blocks="group")) == [
        ("blocks", "needs the column group")
    ]
    assert faults_of(lambda: capacity_limit_auction(bids, blocks="all")) == [
        ("blocks", "unknown kind of blocks")
    ]
    floor, cap = (capacity_limit_auction(bids, direction=name) for name in ("floor", "cap"))
    assert (floor.direction, cap.direction) == ("floor", "cap")
    assert floor.accepted.tolist() == cap.accepted.tolist() == [2, 2]


def test_offers_are_checked_before_they_enter():
    offers = {
        "side": ["sell", "sell", "sell", "offer", "sell"],
        "price": [0.1, float("nan"), 0.2, 0.3, 0.1],
        "quantity": [5.0, 2.0, 4.0, 1.0, -1.0],
        "participant": ["ann", "bob", "ann", "cat", "eve"],
        "period": [7, 7, 7, 3, 8],
    }
    found = check_offers(offers, connection_kw={"ann": 8.0, "bob": 5.0, "cat": 5.0}, now_period=5)
    assert {(fault.source, fault.place, fault.reason) for fault in found} == {
        ("offers", "row 1, column price", "price is not finite or too large"),
        ("offers", "row 3, column side", "unknown side"),
        ("offers", "row 4, column quantity", "quantity is negative or not a number"),
        ("offers", "row 2, column participant", "second offer of one participant for one period"),
        ("offers", "row 2, column quantity", "9 kW are above the connection capacity of ann, 8 kW"),
        ("offers", "row 4, column participant", "no connection capacity is known of this participant"),
        ("offers", "row 3, column period", "period is in the past: the next one is 5"),
    }
    assert all(fault.fix for fault in found)


def test_good_offers_have_no_faults():
    bids = Bids(
        side=[-1, -1],
        price=[0.1, 0.2],
        quantity=[5.0, 3.0],
        participant=["ann", "ann"],
        period=[7, 7],
        step=[0, 1],
    )
    assert check_offers(bids, connection_kw={"ann": 8.0}, now_period=7, direction="floor") == ()


def test_offers_that_are_no_table_are_faults_of_columns():
    found = check_offers({"side": ["sell"], "cost": [1.0]}, connection_kw={}, now_period=0)
    assert [fault.place for fault in found] == ["column price", "column quantity", "column cost"]


def a_day(sell_price, *, kw=2.0, wanted=(5, 5, 1, 5, 5, 5)):
    """A DSO that pays ``wanted`` for 2 kW in each period, an FSP, and a dear one without limits."""
    count = len(wanted)
    return Bids(
        side=[1] * count + [-1] * count + [-1] * count,
        price=[*wanted, *([sell_price] * count), *([4.5] * count)],
        quantity=[2.0] * count + [kw] * count + [2.0] * count,
        participant=["dso"] * count + ["fsp"] * count + ["dear"] * count,
        period=list(range(count)) * 3,
    )


def cleared(limits, **day):
    bids = a_day(1.5, **day)
    horizon = Horizon(limits={"fsp": limits}, periods_per_day=6, period_hours=0.5)
    result = capacity_limit_auction(bids, horizon=horizon)
    return result, result.accepted[bids.participant == "fsp"].tolist()


def test_limits_of_a_day_bind_jointly():
    # free: wherever the DSO pays more than 1.5
    assert cleared(ActivationLimits())[1] == pytest.approx([2, 2, 0, 2, 2, 2])
    # one activation: the least cut in the cheap period joins both runs
    assert cleared(ActivationLimits(max_activations=1, min_kw=0.5))[1] == pytest.approx([2, 2, 0.5, 2, 2, 2])
    # at most three periods at a time and once a day: the longer run
    assert cleared(ActivationLimits(max_activations=1, max_duration=3))[1] == pytest.approx(
        [0, 0, 0, 2, 2, 2]
    )
    # two idle periods in between
    rested = cleared(ActivationLimits(max_duration=3, min_rest=2))[1]
    assert np.count_nonzero(rested) == 4
    # 3 kWh of half-hours of 2 kW: three periods' worth
    assert sum(cleared(ActivationLimits(energy_kwh=3.0))[1]) == pytest.approx(6.0)
    # never at all
    assert cleared(ActivationLimits(max_activations=0))[1] == pytest.approx([0] * 6)


def test_least_duration_holds_its_least_cut():
    result, given = cleared(ActivationLimits(min_duration=3, min_kw=1.0), wanted=(5, 1, 1, 0, 0, 0))
    # 2 kW at 3.5 gain; two more periods of 1 kW at least lose 0.5 each
    assert given == pytest.approx([2, 1, 1, 0, 0, 0])
    assert result.welfare == pytest.approx(7 - 1)


def test_days_are_cleared_one_by_one_and_paid():
    bids = a_day(1.5)
    horizon = Horizon(limits={"fsp": ActivationLimits(max_activations=1, max_duration=1)}, periods_per_day=3)
    result = capacity_limit_auction(bids, horizon=horizon)
    given = result.accepted[bids.participant == "fsp"]
    assert np.count_nonzero(given[:3]) == np.count_nonzero(given[3:]) == 1
    assert result.budget_balance == pytest.approx(0)
    shapley, vcg = payments(result, rule="shapley"), payments(result, rule="vcg")
    assert shapley.values.sum() == pytest.approx(result.welfare)
    assert shapley.budget_balance == pytest.approx(0, abs=1e-9)
    # without the cheap seller the dear one serves every period it can: 5 - 4.5 instead of 5 - 1.5, twice
    assert vcg.values["fsp"] == pytest.approx(2 * 2 * 3.0)
    assert vcg.values["dso"] == pytest.approx(result.welfare)


def test_limits_that_contradict_themselves_are_refused():
    with pytest.raises(InputError, match="2 faults"):
        ActivationLimits(min_duration=4, max_duration=2, energy_kwh=-1)
    with pytest.raises(InputError, match="of 0 kW would count as active"):
        ActivationLimits(min_kw=0.0)
    with pytest.raises(InputError, match="below 0"):
        ActivationLimits(min_rest=-1)
    with pytest.raises(InputError, match="not positive"):
        Horizon(periods_per_day=0)


def test_linked_block_is_taken_whole_over_its_periods_or_not_at_all():
    def day(second):
        return Bids(
            side=["buy", "buy", "sell", "sell"],
            price=[9, second, 4, 4],
            quantity=[3, 3, 2, 2],
            participant=["dso", "dso", "fsp", "fsp"],
            period=[0, 1, 0, 1],
            group=["", "", "evening", "evening"],
        )

    assert capacity_limit_auction(day(0), blocks="group").accepted.tolist() == [2, 2, 2, 2]
    assert capacity_limit_auction(day(-2), blocks="group").accepted.tolist() == [0, 0, 0, 0]


def test_block_price_lies_between_the_accepted_prices():
    bids = Bids(side=[1, 1, -1, -1], price=[9.0, 6.0, 4.0, 5.0], quantity=[3.0, 2.0, 4.0, 2.0])
    result = capacity_limit_auction(bids, blocks=[0, 0, 1, 0])
    assert result.accepted.tolist() == [3, 2, 4, 1]
    assert result.price.tolist() == [5.0]


def test_equal_blocks_do_not_depend_on_the_order_of_the_bids():
    bids = Bids(side=[1, -1, -1], price=[5, 2, 2], quantity=[3, 3, 3], participant=["d", "a", "b"])
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        result = capacity_limit_auction(bids.take(order), blocks=[1, 1, 1])
        won = result.bids.participant[(result.accepted > 0) & ~result.bids.is_buy]
        first = won if order == [0, 1, 2] else first  # noqa: F821 - set in the first round
        assert won.tolist() == first.tolist()


def test_many_periods_in_one_call_equal_one_by_one():
    rng = np.random.default_rng(3)
    periods, sellers = 40, 6
    count = periods * (3 + sellers)
    bids = Bids(
        side=np.tile([1, 1, 1] + [-1] * sellers, periods),
        price=rng.random(count) * 5,
        quantity=rng.random(count),
        participant=np.tile([0, 0, 0, *range(1, sellers + 1)], periods),
        period=np.repeat(np.arange(periods), 3 + sellers),
        step=np.tile([0, 1, 2] + [0] * sellers, periods),
    )
    shuffled = bids.take(rng.permutation(count))
    at_once = capacity_limit_auction(bids, ordered=True)
    again = capacity_limit_auction(shuffled, ordered=True)
    assert again.welfare == pytest.approx(at_once.welfare, rel=1e-12)
    np.testing.assert_allclose(again.price, at_once.price)
    for period in range(periods):
        mine = bids.period == period
        alone = capacity_limit_auction(bids.take(mine), ordered=True)
        assert alone.accepted.tolist() == at_once.accepted[mine].tolist()
