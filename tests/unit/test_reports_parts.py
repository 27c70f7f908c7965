"""Parts of the report: bins keep peaks and sums, long runs choose by rule, grids without places."""

import numpy as np
import pytest
from report_tables import make_tables

from gridagora.reports.bins import duration_curve, make_bins, plain
from gridagora.reports.curves import curve_data
from gridagora.reports.layout import bus_points, participants_behind
from gridagora.reports.series import timeline
from gridagora.reports.words import number, span, tile_difference

DAYS_YEAR = 366


def year(step_s=900):
    return np.datetime64("2015-12-31T23:00:00") + np.arange(DAYS_YEAR * 86400 // step_s) * np.timedelta64(
        step_s, "s"
    )


def test_a_year_is_drawn_by_local_days_and_keeps_peaks_and_sums():
    starts = year()
    bins = make_bins(starts, timezone="Europe/Berlin")
    values = np.random.default_rng(1).random(len(starts))
    assert (bins.unit, len(bins.labels), bins.labels[0], bins.labels[-1]) == (
        "day", 366, "2016-01-01 00:00", "2016-12-31 00:00",
    )  # fmt: skip
    assert np.nanmax(bins.gather(values, "max")) == values.max()
    assert np.nanmin(bins.gather(values, "min")) == values.min()
    assert bins.gather(values, "sum").sum() == pytest.approx(values.sum())
    assert np.bincount(bins.index)[[86, 87, 303]].tolist() == [92, 96, 100]  # 27 March and 30 October 2016


def test_a_season_is_drawn_by_hours_and_tells_where_the_peak_stood():
    starts = year()[: 60 * 96]
    bins = make_bins(starts, timezone="Europe/Berlin")
    values = np.zeros(len(starts))
    values[5] = 7.0
    names = np.array([f"line {k}" for k in range(len(starts))])
    assert bins.unit == "hour"
    assert bins.where(values, names, "max")[1] == "line 5"


def test_the_hour_that_comes_twice_is_said():
    night = np.datetime64("2016-10-30T00:00:00") + np.arange(8) * np.timedelta64(900, "s")
    bins = make_bins(night, timezone="Europe/Berlin")
    assert bins.folded
    assert bins.labels[0] == bins.labels[4] == "2016-10-30 02:00"
    assert not make_bins(night, timezone="UTC").folded


def test_a_bin_of_unknown_values_is_unknown_and_not_zero():
    bins = make_bins(year()[:96], timezone="UTC", most=4)
    assert np.isnan(bins.gather(np.full(96, np.nan), "sum")).all()
    assert bins.where(np.full(96, np.nan), np.full(96, "x"), "max") == [""] * len(bins.labels)


def test_duration_curve_keeps_both_ends_and_only_falls():
    values = np.random.default_rng(2).normal(size=35_040)
    share, value = zip(*duration_curve(values), strict=True)
    assert (value[0], value[-1], share[0], share[-1]) == (values.max(), values.min(), 0.0, 100.0)
    assert (np.diff(value) <= 0).all()
    assert len(value) <= 400
    assert duration_curve([np.nan]) == []


def test_a_long_run_shows_the_most_loaded_and_the_busiest_periods_and_says_so():
    tables = make_tables(6, 672)
    line = timeline(tables)
    curve = curve_data(tables, line, most=100)
    loading = tables.flows["transformer_loading_percent"].nlargest(150).index
    volume = tables.prices["local_volume_kwh"].nlargest(150).index
    expected = [line.labels[k] for k in sorted(set(loading) | set(volume))]
    assert curve["labels"] == expected
    assert f"{len(expected)} of 672 periods" in curve["rule"]
    for what, k in curve["picks"]:
        assert 0 <= k < len(expected), what


def test_picks_point_at_what_they_name():
    tables = make_tables(6, 96)
    line = timeline(tables)
    picks = dict(curve_data(tables, line)["picks"])
    assert picks["most local trade"] == int(tables.prices["local_volume_kwh"].idxmax())
    assert picks["lowest voltage"] == int(tables.flows["vm_min_pu"].idxmin())


def test_a_grid_without_places_is_drawn_as_a_tree():
    elements = make_tables(6, 4).elements.assign(x=np.nan, y=np.nan)
    points, real = bus_points(elements)
    assert not real
    assert len(set(points.values())) == len(points) == 8  # no two buses on one place
    for row in elements[elements["kind"] != "bus"].itertuples():
        assert points[row.to_bus][0] == points[row.from_bus][0] + 1


def test_nobody_stands_behind_a_branch_of_a_mesh_and_open_branches_do_not_count():
    tables = make_tables(6, 4)
    ring = tables.elements.iloc[[-1]].assign(element="tie", from_bus="bus 6", to_bus="bus 7")
    closed = tables.elements._append(ring, ignore_index=True)
    assert "T1" not in participants_behind(closed, tables.participants)
    open_tie = ring.assign(worst_value=0.0, worst_value_baseline=np.nan)
    opened = tables.elements._append(open_tie, ignore_index=True)
    assert len(participants_behind(opened, tables.participants)["T1"]) == 6


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 2, "0.00"),
        (-0.001, 2, "0.00"),
        (-1234.5, None, "\u22121,234"),
        (float("nan"), 2, "n/a"),
        (99.999, 1, "100.0"),
    ],
)
def test_numbers_for_reading(value, digits, text):
    assert number(value, digits) == text


def test_no_change_is_not_told_as_one():
    assert tile_difference(1.00001, 1.0, digits=2) == "no change"
    assert tile_difference(1.0, None, digits=2) == ""
    assert plain([np.inf, -np.inf, np.nan, 1.0]) == [None, None, None, 1.0]


@pytest.mark.parametrize(
    ("periods", "words"),
    [(1, "15 minutes"), (4, "1 hour"), (6, "1.5 hours"), (192, "48 hours"), (288, "3 days")],
)
def test_time_that_a_run_covers_is_said_in_words(periods, words):
    assert span(timeline(make_tables(2, periods))).startswith(f"{words} from ")
