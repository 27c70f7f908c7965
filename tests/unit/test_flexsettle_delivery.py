"""Delivery by the meter alone and against a baseline: hand-computed cases, missing readings, faults."""

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.settlement.flexibility_delivery import Calls, ReadingRules, check_baseline, check_limit

NAN = float("nan")


def calls(periods, *, hours=1.0, window=None, meters=1):
    return Calls(called=np.ones((meters, periods), dtype=bool), hours=hours, window=window)


def cap(metered, *, limit=4.0, capacity=10.0, rules=None, **how):
    found = calls(len(metered), **how)
    return check_limit([metered], found, limit_kw=limit, capacity_kw=capacity, rules=rules)


def test_cap_counts_the_cut_below_capacity_and_the_breach_above_the_limit():
    found = cap([-3.0, 4.0, 5.5, 10.0, 12.0])
    assert found.ordered_wh.tolist() == [[6000] * 5]
    assert found.delivered_wh.tolist() == [[6000, 6000, 4500, 0, 0]]
    assert found.deficiency_wh.tolist() == [[0, 0, 1500, 6000, 8000]]
    assert found.share.tolist() == [[1.0, 1.0, 0.75, 0.0, 0.0]]
    assert found.reference_wh.tolist() == [[10_000] * 5]
    assert found.counted_wh.tolist() == [[-3000, 4000, 5500, 10_000, 12_000]]


def test_floor_is_the_mirror_of_the_cap():
    metered = np.array([[-3.0, -4.0, -5.5, -12.0, 7.0]])
    floor = check_limit(metered, calls(5), limit_kw=4.0, capacity_kw=10.0, direction="floor")
    mirror = check_limit(-metered, calls(5), limit_kw=4.0, capacity_kw=10.0)
    assert floor.deficiency_wh.tolist() == [[0, 0, 1500, 8000, 0]]
    assert (floor.delivered_wh == mirror.delivered_wh).all()
    assert (floor.counted_wh == -mirror.counted_wh).all()
    assert floor.reference_wh.tolist() == [[-10_000] * 5]


def test_tolerance_is_a_dead_band_and_no_higher_limit():
    found = cap([4.2, 4.3], rules=ReadingRules(tolerance_kw=0.2))
    assert found.deficiency_wh.tolist() == [[0, 300]]
    assert found.delivered_wh.tolist() == [[6000, 5700]]


def test_period_counts_the_mean_of_its_readings():
    found = check_limit([[3.0, 6.0, 2.0, 2.0]], calls(2, hours=0.25), limit_kw=4.0, capacity_kw=10.0)
    assert found.counted_wh.tolist() == [[1125, 500]]
    assert found.deficiency_wh.tolist() == [[125, 0]]


def test_periods_without_a_call_owe_nothing():
    given = Calls(called=[[True, False]], hours=1.0)
    found = check_limit([[9.0, 9.0]], given, limit_kw=[[4.0, NAN]], capacity_kw=10.0)
    assert found.ordered_wh.tolist() == [[6000, 0]]
    assert found.deficiency_wh.tolist() == [[5000, 0]]
    assert found.share.tolist() == [[1 / 6, 1.0]]


def test_few_missing_readings_are_estimated_at_the_worst_of_the_call_and_flagged():
    rules = ReadingRules(most_missing_percent=25)
    found = cap([2.0, NAN, 5.0, 3.0], window=[7, 7, 7, 7], rules=rules)
    assert found.counted_wh.tolist() == [[2000, 5000, 5000, 3000]]
    assert found.estimated.tolist() == [[False, True, False, False]]
    assert not found.failed.any()


def test_floor_estimates_at_the_highest_export():
    given = calls(4, window=[0] * 4)
    rules = ReadingRules(most_missing_percent=25)
    found = check_limit(
        [[-2.0, NAN, -5.0, 3.0]], given, limit_kw=4.0, capacity_kw=10.0, direction="floor", rules=rules
    )
    assert found.counted_wh.tolist() == [[-2000, -5000, -5000, 3000]]


def test_too_many_missing_readings_fail_the_call_and_no_other():
    rules = ReadingRules(most_missing_percent=25)
    found = cap([2.0, NAN, NAN, 2.0, 2.0], window=[0, 0, 0, 0, 1], rules=rules)
    assert found.failed.tolist() == [[True] * 4 + [False]]
    assert found.delivered_wh.tolist() == [[0] * 4 + [6000]]
    assert found.deficiency_wh.tolist() == [[6000] * 4 + [0]]
    assert found.counted_wh.tolist() == [[10_000] * 4 + [2000]]
    assert not found.estimated.any()


def test_readings_outside_the_call_neither_fail_nor_feed_an_estimate():
    given = Calls(called=[[True, True, True, False, False]], hours=1.0, window=[0] * 5)
    rules = ReadingRules(most_missing_percent=40)
    found = check_limit([[1.0, NAN, 2.0, NAN, 9.0]], given, limit_kw=4.0, capacity_kw=10.0, rules=rules)
    assert found.counted_wh.tolist() == [[1000, 2000, 2000, 0, 0]]
    assert found.estimated.tolist() == [[False, True, False, False, False]]


def test_meters_are_judged_apart():
    given = calls(2, meters=2, window=[0, 0])
    found = check_limit([[NAN, 3.0], [3.0, 3.0]], given, limit_kw=4.0, capacity_kw=[[10.0], [6.0]])
    assert found.failed.tolist() == [[True, True], [False, False]]
    assert found.ordered_wh.tolist() == [[6000, 6000], [2000, 2000]]


@pytest.mark.parametrize(
    ("direction", "metered", "delivered", "deficiency"),
    [
        ("down", [7.0, 8.0, 9.0, 10.0, 11.0], [2, 2, 1, 0, 0], [0, 0, 1, 2, 3]),
        ("up", [13.0, 12.0, 11.0, 10.0, 9.0], [2, 2, 1, 0, 0], [0, 0, 1, 2, 3]),
    ],
)
def test_baseline_products_clip_to_the_order(direction, metered, delivered, deficiency):
    found = check_baseline([metered], calls(5), baseline_kw=10.0, ordered_kw=2.0, direction=direction)
    assert (found.delivered_wh // 1000).tolist() == [delivered]
    assert (found.deficiency_wh // 1000).tolist() == [deficiency]


def test_an_order_of_nothing_holds_the_meter_at_its_baseline():
    found = check_baseline([[9.0, 12.0]], calls(2), baseline_kw=10.0, ordered_kw=0.0, direction="down")
    assert found.deficiency_wh.tolist() == [[0, 2000]]


def test_baseline_below_zero_counts_the_same_way():
    found = check_baseline([[-5.0]], calls(1), baseline_kw=-2.0, ordered_kw=4.0, direction="down")
    assert found.delivered_wh.tolist() == [[3000]]
    assert found.deficiency_wh.tolist() == [[1000]]
    assert found.reference_wh.tolist() == [[-2000]]


def test_faults_of_a_limit_are_told_all_at_once():
    with pytest.raises(InputError) as error:
        check_limit([[np.inf, 2.0, 3.0]], calls(3), limit_kw=[[-1.0, 12.0, NAN]], capacity_kw=10.0)
    places = [fault.place for fault in error.value.faults]
    assert places == [
        "metered_kw, meter 0, column 0",
        "limit_kw, meter 0, column 0",
        "limit_kw, meter 0, column 2",
        "limit_kw, meter 0, column 1",
    ]
    assert all(fault.reason and fault.fix for fault in error.value.faults)


def test_faults_of_shape_and_direction():
    with pytest.raises(InputError) as error:
        check_limit([[1.0, 2.0]], calls(3), limit_kw=[1.0, 2.0], capacity_kw=5.0, direction="down")
    assert [fault.place for fault in error.value.faults] == ["metered_kw", "direction", "limit_kw"]


def test_faults_of_a_baseline_order():
    with pytest.raises(InputError) as error:
        check_baseline(
            [[1.0, 1.0]], calls(2), baseline_kw=[[NAN, 1.0]], ordered_kw=[[1.0, -1.0]], direction="up"
        )
    assert [fault.place for fault in error.value.faults] == [
        "ordered_kw, meter 0, column 1",
        "baseline_kw, meter 0, column 0",
    ]


def test_faults_of_calls_and_rules():
    with pytest.raises(InputError) as error:
        Calls(called=[True, False], hours=0.0)
    assert [fault.place for fault in error.value.faults] == ["called", "hours"]
    with pytest.raises(InputError, match="one entry for each of 2 periods"):
        Calls(called=[[True, False]], hours=1.0, window=[0])
    with pytest.raises(InputError) as error:
        ReadingRules(tolerance_kw=-1.0, most_missing_percent=100.0)
    assert len(error.value.faults) == 2
