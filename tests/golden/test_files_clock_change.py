"""The two days on which the clock changes, in files of local clock time: 92 and 100 quarter hours."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridagora.adapters.files import read_profiles
from gridagora.model.time import TimeAxis
from gridagora.scenario import parse_scenario
from gridagora.scenario.clock import scenario_axis

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = "2016-03-27", "2016-10-30"
ROWS = {SPRING: 92, AUTUMN: 100}


def day_axis(day: str) -> TimeAxis:
    end = str(np.datetime64(day) + 1)
    axis, faults = scenario_axis(parse_scenario({"grid": "x", "period": {"start": day, "end": end}}))
    assert not faults
    return axis


def clock_times(day: str) -> list[str]:
    """What a clock on the wall shows at each quarter hour of the day, by Python's own zone data."""
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    utc = start.astimezone(ZoneInfo("UTC"))
    times = []
    while (local := utc.astimezone(BERLIN)).date() == start.date():
        times.append(local.strftime("%Y-%m-%d %H:%M"))
        utc += timedelta(minutes=15)
    return times


def naive_times(day: str) -> list[str]:
    """96 rows, as a table that knows nothing of clock changes has them."""
    return [str(np.datetime64(day, "m") + np.timedelta64(15 * k, "m")).replace("T", " ") for k in range(96)]


def write(folder: Path, times: list[str]) -> Path:
    path = folder / "p.csv"
    path.write_text("time,home\n" + "".join(f"{time},{k}\n" for k, time in enumerate(times)))
    return path


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_axis_and_file_agree_on_the_length_of_the_day(day, tmp_path):
    axis, times = day_axis(day), clock_times(day)
    assert axis.periods == len(times) == ROWS[day]
    table, faults = read_profiles(write(tmp_path, times), axis, timezone="Europe/Berlin")
    assert not faults
    np.testing.assert_array_equal(table.columns["home"], np.arange(ROWS[day]))


def test_doubled_hour_may_be_sorted_by_the_clock(tmp_path):
    times = clock_times(AUTUMN)
    order = sorted(range(100), key=lambda k: (times[k], k))
    path = tmp_path / "p.csv"
    path.write_text("time,home\n" + "".join(f"{times[k]},{k}\n" for k in order))
    table, faults = read_profiles(path, day_axis(AUTUMN), timezone="Europe/Berlin")
    assert not faults
    np.testing.assert_array_equal(table.columns["home"], np.arange(100))


def test_96_rows_on_the_short_day_are_told(tmp_path):
    path = write(tmp_path, naive_times(SPRING))
    _, (fault,) = read_profiles(path, day_axis(SPRING), timezone="Europe/Berlin")
    assert (fault.place, fault.value) == ("row 10, column time", "2016-03-27 02:00")
    assert "has 96 rows where 92 were expected" in fault.reason


def test_96_rows_on_the_long_day_are_told(tmp_path):
    path = write(tmp_path, naive_times(AUTUMN))
    _, (fault,) = read_profiles(path, day_axis(AUTUMN), timezone="Europe/Berlin")
    assert fault.value == "2016-10-30 01:00Z to 2016-10-30 02:00Z"
    assert "has 96 rows where 100 were expected" in fault.reason


def test_92_rows_without_a_time_zone_are_told(tmp_path):
    axis = TimeAxis(start=np.datetime64(SPRING), periods=96, timezone="Europe/Berlin")
    _, (fault,) = read_profiles(write(tmp_path, clock_times(SPRING)), axis, timezone=None)
    assert "a day in spring has 92 rows" in fault.reason
    assert "timezone: Europe/Berlin" in fault.fix


def test_100_rows_without_a_time_zone_are_told(tmp_path):
    axis = TimeAxis(start=np.datetime64(AUTUMN), periods=96, timezone="Europe/Berlin")
    _, faults = read_profiles(write(tmp_path, clock_times(AUTUMN)), axis, timezone=None)
    assert len(faults) == 4
    assert all("a local day has 25 hours" in fault.reason for fault in faults)
    assert "timezone: Europe/Berlin" in faults[0].fix


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_utc_files_have_96_rows_every_day(day, tmp_path):
    axis = TimeAxis(start=np.datetime64(day), periods=96, timezone="Europe/Berlin")
    for times in (naive_times(day), [f"{time}Z" for time in naive_times(day)]):
        table, faults = read_profiles(write(tmp_path, times), axis, timezone=None)
        assert not faults
        np.testing.assert_array_equal(table.columns["home"], np.arange(96))


def test_offsets_in_the_file_win_over_the_time_zone(tmp_path):
    axis = day_axis(AUTUMN)
    times = [f"{time}+00:00" for time in axis.starts.astype("datetime64[m]").astype(str)]
    table, faults = read_profiles(write(tmp_path, times), axis, timezone="Europe/Berlin")
    assert not faults
    np.testing.assert_array_equal(table.columns["home"], np.arange(100))
