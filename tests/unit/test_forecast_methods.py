"""Forecasts say what was known when they were issued."""

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.forecast import forecast, naive, perfect, seasonal

SERIES = np.arange(24.0).reshape(2, 12)


def test_naive_keeps_the_last_observation():
    issued = naive(SERIES[:, :5], horizon=3)
    assert issued.values.tolist() == [[4.0] * 3, [16.0] * 3]
    assert (issued.issued_at, issued.method) == (5, "naive")


def test_nothing_observed_is_forecast_as_zero():
    assert not naive(SERIES[:, :0], horizon=4).values.any()
    assert not seasonal(SERIES[:, :0], horizon=4, season=4).values.any()


def test_seasonal_takes_the_same_time_of_the_latest_day_that_was_seen():
    values = seasonal(SERIES[:1, :6], horizon=6, season=4).values[0]
    assert values.tolist() == [2.0, 3.0, 4.0, 5.0, 2.0, 3.0]


def test_seasonal_falls_back_to_the_last_value_for_times_not_yet_seen():
    values = seasonal(SERIES[:1, :2], horizon=6, season=4).values[0]
    assert values.tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]


def test_perfect_is_what_happens():
    assert perfect(SERIES, t=2, horizon=2).values.tolist() == SERIES[:, 2:4].tolist()


@pytest.mark.parametrize("bad", [{"method": "magic"}, {"t": -1}, {"horizon": 0}, {"t": 10, "horizon": 3}])
def test_impossible_forecasts_are_refused(bad):
    with pytest.raises(InputError):
        forecast(SERIES, **{"method": "naive", "t": 2, "horizon": 3, "season": 4, **bad})
