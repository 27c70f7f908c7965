"""Prices by clock time: windows, days, midnight, and the days on which the clock changes."""

import numpy as np
import pytest

from gridagora.model.time import TimeAxis
from gridagora.scenario import parse_scenario
from gridagora.scenario.clock import local_clock, scenario_axis, to_utc, utc_offsets
from gridagora.scenario.prices import scenario_tariffs, window_prices
from gridagora.scenario.spec import WindowSpec

BERLIN = "Europe/Berlin"


def tariffs(entries, *, start="2016-05-23", length="7d", resolution="15min"):
    spec = parse_scenario(
        {
            "grid": "x",
            "tariffs": entries,
            "period": {"start": start, "length": length},
            "resolution": resolution,
            "market": {"session": "1h"},
        }
    )
    axis, faults = scenario_axis(spec)
    assert not faults
    found = []
    made = scenario_tariffs(spec, axis, lambda series, key: np.zeros(axis.periods), faults=found)
    return made, found


def test_defaults_and_imbalance_spread():
    made, faults = tariffs({"retail": 0.3, "feed_in": 0.1, "imbalance": {"spread": 0.05}})
    assert not faults
    assert made.imbalance_short[0] == pytest.approx(0.35)
    assert made.imbalance_long[0] == pytest.approx(0.05)
    assert made.retail.shape == (672,)


def test_imbalance_prices_of_their_own():
    made, _ = tariffs({"imbalance": {"short": 0.5, "long": [{"price": 0.01}]}})
    assert made.imbalance_short[0] == 0.5
    assert made.imbalance_long[0] == 0.01


def test_windows_follow_the_local_clock_and_the_first_one_wins():
    windows = [{"from": "17:00", "to": "20:00", "price": 0.4, "days": "weekdays"}, {"price": 0.2}]
    made, faults = tariffs({"retail": windows})
    assert not faults
    by_day = made.retail.reshape(7, 96)
    assert (by_day[:5, 68:80] == 0.4).all()
    assert (by_day[5:] == 0.2).all()
    assert by_day[:5].sum() == pytest.approx(5 * (12 * 0.4 + 84 * 0.2))


def test_window_over_midnight_belongs_to_the_day_it_began():
    night = WindowSpec(start="22:00", end="06:00", price=1.0, days=["fri"])
    axis = TimeAxis(start=np.datetime64("2016-06-02T22:00"), periods=72, mtu_s=3600, timezone=BERLIN)
    prices = window_prices((night, WindowSpec(price=0.0)), local_clock(axis))
    assert np.flatnonzero(prices).tolist() == list(range(22, 30))


@pytest.mark.parametrize(
    ("start", "hours", "dear"), [("2016-03-27", 23, [1, 2, 3]), ("2016-10-30", 25, [1, 2, 3, 4, 5])]
)
def test_windows_on_the_days_the_clock_changes(start, hours, dear):
    made, _ = tariffs(
        {"retail": [{"from": "01:00", "to": "05:00", "price": 1.0}, {"price": 0.0}]},
        start=start,
        length=f"{hours}h",
        resolution="1h",
    )
    assert np.flatnonzero(made.retail).tolist() == dear


def test_gap_between_windows_is_told_with_its_time():
    _, (fault,) = tariffs({"feed_in": [{"from": "00:00", "to": "22:00", "price": 0.1}]})
    assert (fault.place, fault.value) == ("tariffs.feed_in", "Monday 22:00")


def test_a_price_that_no_energy_has_is_told_by_its_key():
    _, faults = tariffs({"retail": 1e12, "taxes": [{"price": -2e6}], "feed_in": -0.5})
    assert [(fault.place, fault.value) for fault in faults] == [
        ("tariffs.retail", 1e12),
        ("tariffs.taxes", -2e6),
    ]


def test_window_between_two_periods_is_told():
    _, (fault,) = tariffs({"retail": [{"from": "06:10", "to": "20:00", "price": 0.1}, {"price": 0.2}]})
    assert fault.place == "tariffs.retail.0.from"
    assert "finer resolution" in fault.fix


def test_local_clock_agrees_with_zoneinfo_over_a_year():
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    times = np.datetime64("2016-01-01", "s") + np.arange(0, 366 * 86_400, 1800) * np.timedelta64(1, "s")
    zone = ZoneInfo("Australia/Lord_Howe")
    expected = [
        datetime.fromtimestamp(int(t), UTC).astimezone(zone).utcoffset().total_seconds()
        for t in times.astype(np.int64)
    ]
    np.testing.assert_array_equal(utc_offsets(times, "Australia/Lord_Howe"), expected)


def test_to_utc_inverts_the_local_clock():
    utc = np.datetime64("2016-01-01", "s") + np.arange(0, 366 * 86_400, 900) * np.timedelta64(1, "s")
    local = utc + utc_offsets(utc, BERLIN) * np.timedelta64(1, "s")
    back, skipped = to_utc(local, BERLIN)
    assert not skipped.any()
    np.testing.assert_array_equal(back, utc)


def test_skipped_hour_is_marked():
    local = np.array(["2016-03-27T01:45", "2016-03-27T02:00", "2016-03-27T03:00"], dtype="datetime64[s]")
    assert to_utc(local, BERLIN)[1].tolist() == [False, True, False]
