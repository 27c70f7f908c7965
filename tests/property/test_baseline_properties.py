"""What holds for every history: meters are independent, picks are ordered, shifts shift."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.settlement.baselines import BaselineInputs, BaselineRules, Calendar, calculate_baseline


@st.composite
def histories(draw):
    """Random readings of a few meters on twenty-five days of six periods, the event on the last."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    meters, days = draw(st.integers(1, 4)), 25
    day = np.repeat(np.arange(days), 6)
    first = draw(st.integers(0, 5))
    event = (days - 1) * 6 + np.arange(first, draw(st.integers(first, 5)) + 1)
    readings = rng.normal(1.0, 3.0, (meters, days * 6))
    readings[:, : 6 * 5][rng.random((meters, 30)) < 0.2] = np.nan
    return BaselineInputs(
        readings_kw=readings,
        calendar=Calendar(
            day=day, minute=np.tile(np.arange(6) * 240, days), weekday=(day + draw(st.integers(0, 6))) % 7
        ),
        event=event,
        period_minutes=240,
        rules=BaselineRules(x=2, y=4),
    )


def power(inputs, method="x_of_y", **rules):
    return calculate_baseline(replace(inputs, rules=replace(inputs.rules, **rules)), method=method).power_kw


def naive(inputs, meter, *, x, y):
    """Average the x highest of the y latest comparable days, meter by meter and day by day."""
    calendar, event = inputs.calendar, inputs.event
    today, rest = calendar.day[event[0]], calendar.weekday[event[0]] >= 5
    days = []
    for day in range(today - 1, -1, -1):
        periods = event - (today - day) * 6
        values = inputs.readings_kw[meter, periods]
        if (calendar.weekday[periods[0]] >= 5) == rest and not np.isnan(values).any():
            days.append(values)
    best = sorted(days[:y], key=lambda values: values.mean())[-x:]
    return np.mean(best, axis=0)


@settings(deadline=None, max_examples=60)
@given(histories())
def test_all_meters_at_once_equal_each_on_its_own(inputs):
    found = power(inputs)
    for meter in range(inputs.meters):
        np.testing.assert_allclose(found[meter], naive(inputs, meter, x=2, y=4))


@pytest.mark.parametrize("method", ["x_of_y", "same_hour_mean"])
@settings(deadline=None, max_examples=40)
@given(inputs=histories(), shift=st.floats(-5, 5))
def test_more_power_in_every_reading_is_more_in_the_baseline(inputs, shift, method):
    moved = replace(inputs, readings_kw=inputs.readings_kw + shift)
    np.testing.assert_allclose(power(moved, method), power(inputs, method) + shift, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(histories())
def test_low_mid_and_high_are_in_order(inputs):
    low, mid, high = (power(inputs, pick=pick).mean(axis=1) for pick in ("low", "mid", "high"))
    assert (low <= mid + 1e-9).all()
    assert (mid <= high + 1e-9).all()


@settings(deadline=None, max_examples=40)
@given(histories(), st.integers(0, 2**32 - 1))
def test_what_is_read_during_and_after_the_event_does_not_matter(inputs, seed):
    readings = inputs.readings_kw.copy()
    readings[:, inputs.event[0] :] = np.random.default_rng(seed).normal(
        size=readings[:, inputs.event[0] :].shape
    )
    window = {"adjustment": "additive", "adjust_lead_minutes": 480, "adjust_minutes": 240}
    changed = replace(inputs, readings_kw=readings)
    assert (power(changed, **window) == power(inputs, **window)).all()
    assert (power(inputs, **window | {"adjustment": "additive_positive"}) >= power(inputs)).all()
