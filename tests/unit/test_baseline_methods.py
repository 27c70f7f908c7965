"""Baselines against means computed by hand; day types, exclusions, clock changes, adjustments, faults."""

from dataclasses import replace

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.settlement.baselines import (
    METHODS,
    Baseline,
    BaselineInputs,
    BaselineRules,
    Calendar,
    calculate_baseline,
)

NAN = float("nan")
HOURS = 24


def calendar(days, *, first_weekday=0, holidays=()):
    """Hourly days from a weekday, Monday 0."""
    day = np.repeat(np.arange(days), HOURS)
    return Calendar(
        day=day,
        minute=np.tile(np.arange(HOURS) * 60, days),
        weekday=(day + first_weekday) % 7,
        holidays=holidays,
    )


def inputs(level, *, event=(18, 19), first_weekday=0, holidays=(), **values):
    """One row of daily levels per meter; the event is on the last day."""
    readings = np.repeat(np.asarray(level, dtype=float), HOURS, axis=1)
    days = np.shape(level)[1]
    return BaselineInputs(
        readings_kw=readings,
        calendar=calendar(days, first_weekday=first_weekday, holidays=holidays),
        event=(days - 1) * HOURS + np.asarray(event),
        period_minutes=60,
        **values,
    )


def power(given, method="x_of_y"):
    return calculate_baseline(given, method=method).power_kw.tolist()


TWO_WEEKS = [3.0, 1.0, 4.0, 1.5, 5.0, 90.0, 91.0, 9.0, 2.0, 6.0, 5.5, 3.5, 92.0, 93.0, 0.0]
"""Two weeks from a Monday, high at weekends, and the Monday of the event; ten workdays from 1 to 9 kW."""


@pytest.mark.parametrize(
    ("pick", "x", "expected"),
    [
        ("high", 5, (9 + 6 + 5.5 + 5 + 4) / 5),
        ("low", 5, (1 + 1.5 + 2 + 3 + 3.5) / 5),
        ("mid", 4, (3 + 3.5 + 4 + 5) / 4),
        ("high", 10, (3 + 1 + 4 + 1.5 + 5 + 9 + 2 + 6 + 5.5 + 3.5) / 10),
    ],
)
def test_x_of_y_by_hand(pick, x, expected):
    rules = BaselineRules(x=x, y=10, pick=pick)
    assert power(inputs([TWO_WEEKS], rules=rules)) == [pytest.approx([expected, expected])]


def test_only_the_most_recent_y_days_compete():
    rules = BaselineRules(x=2, y=3)
    assert power(inputs([TWO_WEEKS], rules=rules)) == [[5.75, 5.75]]


def test_weekend_events_compare_with_weekends_and_holidays_count_as_such():
    week = [3.0, 1.0, 4.0, 1.5, 5.0, 90.0, 91.0, 9.0, 2.0, 6.0, 5.5, 3.5, 0.0]
    rules = BaselineRules(x=1, y=2)
    assert power(inputs([week], rules=rules)) == [[91.0, 91.0]]
    monday = inputs([TWO_WEEKS], rules=BaselineRules(x=2, y=2), holidays=(14,))
    assert power(monday) == [[92.5, 92.5]]
    anyday = BaselineRules(x=2, y=3, same_day_type=False)
    assert power(inputs([TWO_WEEKS], rules=anyday)) == [[92.5, 92.5]]


def test_holidays_order_days_and_days_with_gaps_are_not_comparable():
    called = np.zeros((2, 15 * HOURS), dtype=bool)
    called[0, 11 * HOURS + 3] = True
    readings = np.repeat(np.array([TWO_WEEKS, TWO_WEEKS]), HOURS, axis=1)
    readings[1, 10 * HOURS + 18] = NAN
    readings[1, 9 * HOURS + 3] = NAN
    given = inputs([TWO_WEEKS] * 2, called=called, rules=BaselineRules(x=2, y=2), holidays=(8,))
    found = power(replace(given, readings_kw=readings))
    assert found == [[5.75, 5.75], [4.75, 4.75]]
    third = replace(given, readings_kw=readings, rules=BaselineRules(x=4, y=4))
    assert power(third)[0][0] == pytest.approx((5.5 + 6 + 9 + 5) / 4)


def test_same_hour_mean_takes_the_preceding_working_days_whatever_day_it_is():
    assert power(inputs([TWO_WEEKS]), "same_hour_mean") == [[5.2, 5.2]]
    sunday = [*TWO_WEEKS[:13], 0.0]
    assert power(inputs([sunday]), "same_hour_mean") == [[5.2, 5.2]]


def test_hours_are_compared_with_the_same_hours():
    shape = np.arange(HOURS, dtype=float)
    given = inputs([[1.0] * 3], first_weekday=1, rules=BaselineRules(x=1, y=2))
    readings = np.concatenate([shape, 2 * shape, np.zeros(HOURS)])[None, :]
    assert power(replace(given, readings_kw=readings)) == [[36.0, 38.0]]


def test_meter_before_holds_the_last_mean_and_ignores_what_follows():
    readings = np.full((2, 2 * HOURS), NAN)
    readings[:, 40:44] = [[2.0, 4.0, 99.0, 99.0], [1.0, 1.0, 5.0, 5.0]]
    given = inputs([[0.0, 0.0]] * 2, event=(18, 19), rules=BaselineRules(before_minutes=120))
    assert power(replace(given, readings_kw=readings), "meter_before") == [[3.0, 3.0], [1.0, 1.0]]


@pytest.mark.parametrize("method", ["nominated", "lem_schedule"])
def test_announced_power_is_the_baseline(method):
    given = inputs([[1.0, 1.0]], given_kw=[[2.0, -3.0]])
    assert power(given, method) == [[2.0, -3.0]]


def test_zero():
    assert power(inputs([[1.0, 1.0]] * 2), "zero") == [[0.0, 0.0]] * 2


@pytest.mark.parametrize(
    ("adjustment", "today", "expected"),
    [
        ("none", 9.0, 4.0),
        ("additive", 9.0, 9.0),
        ("additive", 1.0, 1.0),
        ("additive_positive", 9.0, 9.0),
        ("additive_positive", 1.0, 4.0),
        ("multiplicative", 4.4, 4.4),
        ("multiplicative", 9.0, 4.8),
        ("multiplicative", 1.0, 3.2),
    ],
)
def test_adjustment_to_the_hour_two_hours_before(adjustment, today, expected):
    rules = BaselineRules(x=2, y=2, adjustment=adjustment)
    given = inputs([[3.0, 5.0, 0.0]], rules=rules)
    readings = given.readings_kw.copy()
    readings[0, 2 * HOURS + 16] = today
    readings[0, 2 * HOURS + 17] = 50.0
    found = power(replace(given, readings_kw=readings))
    assert found == [pytest.approx([expected, expected])]


def test_batteries_can_be_left_unadjusted():
    rules = BaselineRules(x=1, y=1, adjustment="multiplicative", adjusted=np.array([True, False]))
    assert power(inputs([[2.0, 2.2], [-2.0, NAN]], rules=rules)) == [[2.2, 2.2], [-2.0, -2.0]]


def clock_change(day_hours, *, local):
    """Three working days; the middle one has these local hours."""
    hours = [np.arange(HOURS), np.asarray(local), np.arange(HOURS)]
    return Calendar(
        day=np.repeat(np.arange(3), [HOURS, day_hours, HOURS]),
        minute=np.concatenate(hours) * 60,
        weekday=np.repeat([1, 2, 3], [HOURS, day_hours, HOURS]),
    )


def test_hours_keep_their_names_on_a_day_of_25_hours():
    local = [0, 1, 2, 2, *range(3, 24)]
    given = BaselineInputs(
        readings_kw=[np.concatenate([np.zeros(24), np.array([0, 0, 4.0, 6.0, *range(3, 24)]), np.zeros(24)])],
        calendar=clock_change(25, local=local),
        event=[49 + 2],
        period_minutes=60,
        rules=BaselineRules(x=1, y=1),
    )
    assert power(given) == [[5.0]]
    assert power(replace(given, event=[49 + 18])) == [[18.0]]


def test_event_in_the_hour_that_comes_twice_gets_both():
    local = [0, 1, 2, 2, *range(3, 24)]
    given = BaselineInputs(
        readings_kw=[np.concatenate([np.arange(24.0), np.full(49, NAN)])],
        calendar=clock_change(25, local=local),
        event=[25, 26, 27, 28],
        period_minutes=60,
        rules=BaselineRules(x=1, y=1),
    )
    assert power(given) == [[1.0, 2.0, 2.0, 3.0]]


def test_day_of_23_hours_is_skipped_for_the_hour_it_lacks_only():
    local = [0, 1, *range(3, 24)]
    given = BaselineInputs(
        readings_kw=[np.concatenate([np.arange(24.0), np.full(23, 50.0), np.zeros(24)])],
        calendar=clock_change(23, local=local),
        event=[49],
        period_minutes=60,
        rules=BaselineRules(x=1, y=1),
    )
    assert power(given) == [[2.0]]
    assert power(replace(given, event=[50])) == [[50.0]]


@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_is_its_own_record(method):
    readings = np.array([TWO_WEEKS, TWO_WEEKS[::-1]])
    given = inputs(readings, rules=BaselineRules(x=2, y=4), given_kw=np.ones((2, 2)))
    found = calculate_baseline(given, method=method)
    assert (found.method, found.version, found.inputs) == (method, 1, given)
    assert (found.recalculate().power_kw == found.power_kw).all()
    for values in (found.power_kw, given.readings_kw, given.calendar.day, given.event):
        assert not values.flags.writeable


def test_inputs_do_not_follow_the_callers_arrays():
    readings = np.ones((1, 48))
    given = BaselineInputs(
        readings_kw=readings,
        calendar=calendar(2),
        event=[40],
        period_minutes=60,
        rules=BaselineRules(x=1, y=1),
    )
    readings[:] = 7.0
    assert power(given) == [[1.0]]


def test_another_version_is_not_recalculated():
    given = inputs([[1.0, 1.0]])
    old = Baseline(power_kw=np.zeros((1, 2)), method="zero", version=0, inputs=given)
    with pytest.raises(InputError, match="this program has version 1 of zero"):
        old.recalculate()


def test_each_meter_with_too_little_history_is_named():
    short = [[NAN] * 10 + TWO_WEEKS[10:], TWO_WEEKS, [NAN] * 12 + TWO_WEEKS[12:]]
    with pytest.raises(InputError) as error:
        power(inputs(short))
    assert [(fault.place, fault.value) for fault in error.value.faults] == [("meter 0", 2), ("meter 2", 0)]


def test_history_older_than_the_look_back_does_not_count():
    with pytest.raises(InputError, match="fewer than 10 comparable days"):
        power(inputs([TWO_WEEKS], rules=BaselineRules(look_back_days=13)))


def test_missing_readings_of_the_day_are_named():
    given = inputs([[1.0, NAN]] * 2, rules=BaselineRules(x=1, y=1, adjustment="additive"))
    with pytest.raises(InputError) as error:
        power(given)
    assert [fault.place for fault in error.value.faults] == [
        "readings_kw, meter 0, period 40",
        "readings_kw, meter 1, period 40",
    ]
    with pytest.raises(InputError, match="period 41"):
        power(replace(given, rules=BaselineRules()), "meter_before")


def test_windows_before_the_first_reading_and_odd_lengths_are_refused():
    early = inputs([[1.0]], event=(0,))
    with pytest.raises(InputError, match="before the first reading"):
        power(early, "meter_before")
    with pytest.raises(InputError, match="before the first reading"):
        power(replace(early, rules=BaselineRules(adjustment="additive")))
    with pytest.raises(InputError, match="multiple of 60 minutes"):
        power(replace(early, rules=BaselineRules(before_minutes=90)), "meter_before")


def test_multiplicative_adjustment_needs_positive_power():
    given = inputs([[-1.0, 2.0]], rules=BaselineRules(x=1, y=1, adjustment="multiplicative"))
    with pytest.raises(InputError, match="has no ratio"):
        power(given)


def test_unknown_method_and_adjustment_out_of_place():
    given = inputs([[1.0, 1.0]], rules=BaselineRules(adjustment="additive"))
    for method in ("best", "zero"):
        with pytest.raises(InputError, match="write"):
            power(given, method)
    with pytest.raises(InputError, match="nothing was announced"):
        power(inputs([[1.0, 1.0]]), "nominated")


def test_faults_of_inputs_are_told_all_at_once():
    rules = BaselineRules(
        x=7,
        y=5,
        pick="best",
        adjustment="magic",
        days=0,
        adjust_minutes=180,
        most_change=2.0,
        adjusted=np.array([True] * 3),
    )
    with pytest.raises(InputError) as error:
        inputs([[np.inf, 1.0]], event=(4, 6), rules=rules, called=[[True]], given_kw=[[NAN, 1.0]])
    found = {fault.place for fault in error.value.faults}
    assert found >= {
        "rules.x",
        "rules.pick",
        "rules.adjustment",
        "rules.days",
        "rules.adjust_minutes",
        "rules.most_change",
        "rules.adjusted",
        "readings_kw, meter 0, period 0",
        "event",
        "called",
        "given_kw, meter 0, column 0",
    }
    assert all(fault.reason and fault.fix for fault in error.value.faults)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"readings_kw": np.ones(48)}, "readings_kw"),
        ({"event": []}, "event"),
        ({"event": [48]}, "event"),
        ({"event": [23, 24]}, "event"),
        ({"given_kw": np.ones((1, 3))}, "given_kw"),
        ({"period_minutes": 7}, "period_minutes"),
        ({"rules": BaselineRules(x=4, y=7, pick="mid")}, "rules.x"),
        ({"calendar": calendar(3)}, "calendar.day"),
    ],
)
def test_each_fault_of_inputs_is_placed(change, place):
    with pytest.raises(InputError) as error:
        replace(inputs([[1.0, 1.0]]), **change)
    assert error.value.faults[0].place == place


def test_calendar_must_go_forward():
    back = calendar(2)
    with pytest.raises(InputError, match="goes back"):
        replace(inputs([[1.0, 1.0]]), calendar=replace(back, day=back.day[::-1]))
