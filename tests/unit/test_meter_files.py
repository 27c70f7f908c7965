"""Readings out of files: forms, units, local time with its short and long day, and every fault at once."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridagora.adapters.meters.connections import read_connections
from gridagora.adapters.meters.files import read_meter_file, readings_frame
from gridagora.adapters.meters.log import ReadingsLog
from gridagora.errors import Fault, InputError
from gridagora.model.metering import COLUMNS, MeterReadings
from gridagora.studies.meter import check_meter_file

BERLIN = "Europe/Berlin"


def write(folder: Path, text: str, name: str = "meters.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def local_day(day: str, *, point: str = "a") -> pd.DataFrame:
    """Return the quarter-hours of a local day as the clock shows them."""
    first = pd.Timestamp(day, tz=BERLIN)
    times = pd.date_range(first, first + pd.DateOffset(days=1), freq="15min", inclusive="left")
    clock = times.tz_localize(None).strftime("%Y-%m-%d %H:%M")
    return pd.DataFrame({"point": point, "start": clock, "import_wh": np.arange(len(times))})


def test_units_and_directions_come_from_the_names(tmp_path) -> None:
    text = "point,start,import_kwh,export_kwh\na,2016-01-04 00:00,0.25,0\na,2016-01-04 00:15,0,0.125\n"
    table, faults = read_meter_file(write(tmp_path, text))
    readings, arrivals = table.readings, table.arrivals
    assert (faults, arrivals) == ([], False)
    assert (readings.import_wh.tolist(), readings.export_wh.tolist()) == ([250, 0], [0, 125])
    for column, values in (("net_kw", "1,-0.5"), ("net_w", "1000,-500"), ("net_wh", "250,-125")):
        first, second = values.split(",")
        text = f"point;time;{column}\na;2016-01-04T01:00+01:00;{first}\na;2016-01-04T01:15+01:00;{second}\n"
        readings = read_meter_file(write(tmp_path, text))[0].readings
        assert readings.net_wh.tolist() == [250, -125]
        assert str(readings.start[0]) == "2016-01-04T00:00:00"
        assert set(readings.duration_s.tolist()) == {900}


def test_wide_files_have_a_column_per_point(tmp_path) -> None:
    text = "start,home 1 kWh,plant kW\n2016-01-04 00:00,0.1,-4\n2016-01-04 00:15,,-2\n"
    readings = read_meter_file(write(tmp_path, text))[0].readings
    told = zip(readings.point.tolist(), readings.net_wh.tolist(), strict=True)
    assert list(told) == [("home 1", 100), ("plant", -1000), ("plant", -500)]
    bare = write(tmp_path, text.replace(" kWh", "").replace(" kW", ""))
    assert [fault.reason for fault in read_meter_file(bare)[1]] == ["tells no unit"] * 2
    assert read_meter_file(bare, unit="kWh")[0].readings.export_wh.max() == 4000


def test_excel_and_parquet_say_the_same(tmp_path) -> None:
    frame = pd.DataFrame(
        {"start": pd.date_range("2016-01-04", periods=4, freq="h"), "a kWh": [0.1, 0.2, 0.3, 0.4]}
    )
    frame.to_excel(tmp_path / "m.xlsx", index=False)
    frame.to_parquet(tmp_path / "m.parquet")
    frame.to_csv(tmp_path / "m.csv", index=False)
    for name in ("m.xlsx", "m.parquet", "m.csv"):
        table, faults = read_meter_file(tmp_path / name)
        assert faults == []
        assert table.readings.import_wh.tolist() == [100, 200, 300, 400]


@pytest.mark.parametrize(("day", "rows"), [("2016-03-27", 92), ("2016-10-30", 100), ("2016-06-01", 96)])
def test_local_days_have_as_many_quarter_hours_as_they_have(tmp_path, day, rows) -> None:
    both = pd.concat([local_day(day), local_day(day, point="b")])
    for order in ("point", "start"):  # one point after the other, or side by side
        both.sort_values(order, kind="stable").to_csv(tmp_path / "local.csv", index=False)
        check = check_meter_file(tmp_path / "local.csv", timezone=BERLIN)
        (part,) = check.parts
        assert part.axis.periods == rows
        assert part.measured.all()
        assert part.import_wh.tolist() == [list(range(rows))] * 2
        assert not check.findings


def test_energy_of_every_hour_is_right_to_half_a_wh(tmp_path) -> None:
    rng = np.random.default_rng(5)
    watts = rng.integers(0, 500, 600)
    start = pd.date_range("2016-01-04", periods=600, freq="min")
    frame = pd.DataFrame({"point": "a", "start": start, "import_w": watts})
    frame.to_csv(tmp_path / "minutes.csv", index=False)
    readings = read_meter_file(tmp_path / "minutes.csv")[0].readings
    exact = watts.reshape(10, 60).sum(axis=1) / 60
    assert np.abs(readings.import_wh.reshape(10, 60).sum(axis=1) - exact).max() <= 0.5
    frame.iloc[30:90].to_csv(tmp_path / "part.csv", index=False)
    pd.concat([frame, frame.sample(frac=1, random_state=1)]).to_csv(tmp_path / "twice.csv", index=False)
    twice = check_meter_file(tmp_path / "twice.csv")
    assert {found.rule for found in twice.findings} <= {"duplicate", "frozen"}
    assert twice.parts[0].import_wh[0].tolist() == readings.import_wh.tolist()


def test_registers_beside_intervals_and_by_themselves(tmp_path) -> None:
    text = (
        "point,start,duration_s,import_wh,import_register_kwh\n"
        "a,2016-01-04 00:00Z,900,100,7.0\na,2016-01-04 00:45Z,900,150,\na,2016-01-04 01:00Z,900,,7.49\n"
    )
    check = check_meter_file(write(tmp_path, text))
    assert check.parts[0].import_wh.tolist() == [[100, 120, 120, 150]]
    text = "point,start,import_register_kwh\nb,2016-01-04 00:00Z,7.0\nb,2016-01-04 00:15Z,7.2\n"
    check = check_meter_file(write(tmp_path, text))
    assert check.parts[0].import_wh.tolist() == [[200]]
    assert check.findings == ()


def test_points_of_different_lengths_are_checked_each_on_its_grid(tmp_path) -> None:
    text = "point,start,duration_s,import_wh\na,2016-01-04 00:00,900,1\na,2016-01-04 00:15,900,2\n"
    text += "b,2016-01-04 05:30,3600,3\nb,2016-01-04 06:30,3600,4\n"
    check = check_meter_file(write(tmp_path, text))
    assert [(part.points, part.axis.mtu_s) for part in check.parts] == [(("a",), 900), (("b",), 3600)]
    assert check.points()["usable"].tolist() == [True, True]
    assert not check.findings


def test_a_clock_set_back_to_1970_does_not_make_a_span_of_decades(tmp_path) -> None:
    text = "point,start,import_wh\na,1970-01-01 00:00,1\na,2016-01-04 00:00,1\na,2016-01-04 00:15,2\n"
    (part,) = check_meter_file(write(tmp_path, text + "a,2016-01-04 00:30,2\n")).parts
    assert part.axis.periods == 3
    assert [found.rule for found in part.findings] == ["outside"]


def test_the_time_of_a_file_may_be_nonsense(tmp_path) -> None:
    path = write(tmp_path, "point,start,import_wh\na,2016-01-04 00:00,1\na,2016-01-04 00:15,2\n")
    os.utime(path, (0, 0))
    assert check_meter_file(path).findings == ()
    os.utime(path, (1_500_000_000, 1_500_000_000))
    assert str(read_meter_file(path)[0].readings.received[0]) == "2017-07-14T02:40:00"
    write(tmp_path, "point,start,import_wh\na,2016-01-04 00:00,1\na,2016-01-04 00:15,1\na,2200-01-01,2\n")
    assert [found.rule for found in check_meter_file(path).findings] == ["early"]


def test_checked_values_are_read_back_as_they_were(tmp_path) -> None:
    text = "start,a kWh,b kWh\n" + "".join(
        f"2016-01-04 {hour:02}:00,{'' if hour in (5, 6) else 0.1 + hour / 100},{hour / 10}\n"
        for hour in range(24)
    )
    first = check_meter_file(write(tmp_path, text), timezone=BERLIN)
    for name in ("checked.csv", "checked.xlsx"):
        first.write(tmp_path / name)
        again = check_meter_file(tmp_path / name, timezone=BERLIN)
        assert (again.parts[0].import_wh == first.parts[0].import_wh).all()
        assert again.points()["not_measured_percent"].tolist() == pytest.approx([100 / 12, 0.0], abs=1e-3)
        assert again.parts[0].usable.tolist() == [False, True]
    assert (tmp_path / "checked-findings.csv").exists()


def test_all_faults_come_at_once_with_row_and_fix(tmp_path) -> None:
    text = (
        "point,start,duration_s,import_kwh,quality,signature,received\n"
        "=cmd,2016-01-04 00:00,900,0.1,good,abc,2016-01-05\n"
        'a,yesterday,900,"0,2",,,2016-01-05\n'
        "a,2016-01-04 00:15,1.5,much,,,soon\n"
    )
    _, faults = read_meter_file(write(tmp_path, text))
    told = "\n".join(map(str, faults))
    for word in (
        "is no name",
        "is no quality",
        "is no signature",
        "not a date",
        "decimal comma",
        "not a number",
    ):
        assert word in told
    for row in ("row 2", "row 3", "row 4"):
        assert row in told
    header = "point,start,time,import_kwh,import_wh,net_kw,impotr_kwh\na,1,1,1,1,1,1\n"
    reasons = [fault.reason for fault in read_meter_file(write(tmp_path, header))[1]]
    assert reasons == ["is no column of meter readings", "tell the same twice", "tell the same twice"]
    for bad in ("point,start\na,2016-01-04\n", "a,b\n1,2\n", "start\n2016-01-04\n"):
        assert read_meter_file(write(tmp_path, bad))[0] is None
    skipped = "point,start,import_wh\na,2016-03-27 01:45,1\na,2016-03-27 02:00,1\n"
    (fault,) = read_meter_file(write(tmp_path, skipped), timezone=BERLIN)[1]
    assert "skips this time" in fault.reason


def test_options_and_files_are_refused_together(tmp_path) -> None:
    path = write(tmp_path, "point,start,import_wh\na,x,1\n")
    points = write(tmp_path, "point,capacity_kw\na,-3\na,5\n", "points.csv")
    with pytest.raises(InputError) as error:
        check_meter_file(path, unit="MWh", points=points, capacity_kw=-1, register_period_s=7, output=path)
    told = str(error.value)
    for word in ("no unit", "--capacity", "--period", "was read", "below 0", "stands twice", "not a date"):
        assert word in told
    with pytest.raises(InputError, match="no time zone"):
        check_meter_file(path, timezone="Berlin/Europe")
    with pytest.raises(InputError, match="nothing to check"):
        check_meter_file(write(tmp_path, "point,start,duration_s,import_wh\na,2016-01-04,900,\n"))


def test_connections_of_a_participants_file(tmp_path) -> None:
    path = write(tmp_path, "participant,bus,import_limit_kw,export_limit_kw\na,1,30,10\nb,2,,\n")
    assert read_connections(path) == ({"a": (30.0, 10.0), "b": (np.inf, np.inf)}, [])
    assert read_connections(write(tmp_path, "point,capacity_kw\na,20\n"))[0] == {"a": (20.0, 20.0)}


def some(count: int = 2) -> MeterReadings:
    start = np.datetime64("2016-01-04T00:00:00") + np.arange(count) * np.timedelta64(900, "s")
    return MeterReadings(
        point="a",
        start=start,
        duration_s=900,
        import_wh=5,
        export_wh=0,
        source="gateway",
        received=start + 1000,
    )


def test_a_log_loses_a_line_that_was_cut_off_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "log.csv"
    moment = np.datetime64("2016-01-05", "s")
    with ReadingsLog(path) as log:
        log.add(some(), [], received=moment)
    whole = path.read_bytes()
    path.write_bytes(whole + b"a,2016-01-04T00:30:00Z,9")
    refused = Fault(source="message", place="a", value='"=1"', reason="is, no number", fix="none")
    with ReadingsLog(path) as log:
        assert path.read_bytes() == whole
        log.add(some(1), [refused], received=moment)
    table, faults = read_meter_file(path)
    assert faults == []
    assert len(table.readings) == 3
    assert pd.read_csv(tmp_path / "log-refused.csv")["reason"].tolist() == ["is, no number"]
    assert list(readings_frame(some()).columns) == list(COLUMNS)


def test_a_log_does_not_write_into_other_files(tmp_path) -> None:
    other = write(tmp_path, "my,own,table\n1,2,3\n")
    with pytest.raises(InputError, match="something else"):
        ReadingsLog(other)
    assert other.read_text() == "my,own,table\n1,2,3\n"
    with pytest.raises(InputError, match="cannot be written"):
        ReadingsLog(tmp_path / "no folder" / "x.csv")
