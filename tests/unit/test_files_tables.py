"""A user's tables: every kind of bad input is told with file, row, column, value and fix, all at once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridagora.adapters.files import read_participants, read_price_series, read_profiles
from gridagora.adapters.studies import resolve
from gridagora.errors import Fault, InputError
from gridagora.model.time import TimeAxis
from gridagora.scenario import parse_scenario
from gridagora.scenario.spec import SeriesSpec

DAY = TimeAxis(start=np.datetime64("2016-05-23T00:00"), periods=96, timezone="Europe/Berlin")


def lines(axis: TimeAxis = DAY) -> list[str]:
    """A complete file of one profile: header and one line per period."""
    rows = [f"{str(time).replace('T', ' ')},{k % 5}.5" for k, time in enumerate(axis.starts)]
    return ["time,home", *rows]


def write(folder: Path, content: list[str] | str | bytes, name: str = "profiles.csv") -> Path:
    path = folder / name
    text = "\n".join(content) if isinstance(content, list) else content
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def profile_faults(path: Path, timezone: str | None = None, axis: TimeAxis = DAY) -> list[Fault]:
    table, faults = read_profiles(path, axis, timezone=timezone)
    assert (table is None) == bool(faults)
    return faults


def test_complete_file_is_read(tmp_path):
    table, faults = read_profiles(write(tmp_path, lines()), DAY, timezone=None)
    assert not faults
    np.testing.assert_array_equal(table.columns["home"], np.arange(96) % 5 + 0.5)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_comments_and_any_order_of_rows(tmp_path, separator):
    header, *rows = [line.replace(",", separator) for line in lines()]
    text = ["# a note", header, "", *rows[::-1]]
    table, faults = read_profiles(write(tmp_path, text), DAY, timezone=None)
    assert not faults
    assert table.columns["home"][1] == 1.5


def test_windows_line_ends_quotes_and_a_separator_at_the_end(tmp_path):
    text = "\r\n".join(['"time","home",', *(f"{line}," for line in lines()[1:])])
    table, faults = read_profiles(write(tmp_path, text), DAY, timezone=None)
    assert not faults
    assert list(table.columns) == ["home"]


def test_a_time_index_in_a_parquet_file_is_its_column_time(tmp_path):
    frame = pd.DataFrame({"home": np.arange(96) % 5 + 0.5}, index=pd.Index(DAY.starts, name="time"))
    frame.to_parquet(tmp_path / "p.parquet")
    table, faults = read_profiles(tmp_path / "p.parquet", DAY, timezone=None)
    assert not faults
    assert table.columns["home"][1] == 1.5


def test_a_study_beyond_simbenchs_year_is_one_fault_of_its_period():
    with pytest.raises(InputError) as told:
        resolve(parse_scenario({"grid": "cigre-lv", "period": {"start": "2016-01-01", "length": "1d"}}))
    assert [(f.place, f.value) for f in told.value.faults] == [
        ("period", "2015-12-31T23:00Z to 2016-01-01T23:00Z")
    ]


def test_a_wrong_duration_does_not_hide_faults_of_profiles_and_files(tmp_path):
    home = {"participant": "a", "bus": "Bus R11", "profile": "H0-ZZ", "load_kw": 1}
    scenario = {
        "grid": "cigre-lv",
        "participants": {"list": [home]},
        "market": {"session": "50min"},
        "tariffs": {"retail": {"file": str(tmp_path / "no.csv"), "column": "a"}},
    }
    with pytest.raises(InputError) as told:
        resolve(parse_scenario(scenario))
    assert {f.value for f in told.value.faults} == {"50min", "H0-ZZ", "no.csv"}


def test_excel_and_parquet_hold_the_same(tmp_path):
    frame = pd.DataFrame({"time": pd.to_datetime(DAY.starts), "home": np.arange(96) / 8})
    frame.to_excel(tmp_path / "p.xlsx", index=False)
    frame.to_parquet(tmp_path / "p.parquet")
    frame.assign(time=frame["time"].dt.tz_localize("UTC")).to_parquet(tmp_path / "aware.parquet")
    for name in ("p.xlsx", "p.parquet", "aware.parquet"):
        table, faults = read_profiles(tmp_path / name, DAY, timezone=None)
        assert not faults
        np.testing.assert_allclose(table.columns["home"], np.arange(96) / 8)


def test_faults_name_the_row_as_an_editor_shows_it(tmp_path):
    text = ["# note", "", *lines()]
    text[7] = "2016-05-23 01:00:00,-3"
    (fault,) = profile_faults(write(tmp_path, text))
    assert (fault.place, fault.value) == ("row 8, column home", -3.0)
    assert fault.source.endswith("profiles.csv")


@pytest.mark.parametrize(
    ("row", "text", "value", "words"),
    [
        (5, "-0.5", -0.5, "is below 0"),
        (5, "", None, "is missing"),
        (5, "NaN", None, "is missing"),
        (5, "inf", float("inf"), "is infinite"),
        (5, "abc", "abc", "is not a number"),
        (5, '"0,5"', "0,5", "has a decimal comma"),
    ],
)
def test_wrong_value(tmp_path, row, text, value, words):
    content = lines()
    content[row] = content[row].split(",")[0] + "," + text
    (fault,) = profile_faults(write(tmp_path, content))
    assert fault.place == f"row {row + 1}, column home"
    assert fault.value == value
    assert words in fault.reason
    if words == "has a decimal comma":
        assert fault.fix == "write 0.5"


def test_gap_duplicate_off_grid_and_bad_value_are_told_together(tmp_path):
    content = lines()
    content[10] = content[9]
    content[20] = content[20].replace(":45:00", ":47:00")
    content[30] = content[30].split(",")[0] + ",-1"
    reasons = " | ".join(fault.reason for fault in profile_faults(write(tmp_path, content)))
    assert "stands already in row 10" in reasons
    assert "is off the file's grid of 15 min" in reasons
    assert "rows of the study are missing" in reasons
    assert "is below 0" in reasons


def test_gap_is_told_from_where_to_where(tmp_path):
    content = lines()
    del content[9:13]
    (fault,) = profile_faults(write(tmp_path, content))
    assert fault.value == "2016-05-23 02:00Z to 2016-05-23 03:00Z"
    assert "4 rows" in fault.reason


def test_file_that_ends_too_early(tmp_path):
    (fault,) = profile_faults(write(tmp_path, lines()[:50]))
    assert "47 rows of the study are missing" in fault.reason


def test_many_faults_of_a_kind_are_counted(tmp_path):
    content = [lines()[0], *(line.split(",")[0] + ",-1" for line in lines()[1:])]
    faults = profile_faults(write(tmp_path, content))
    assert len(faults) == 6
    assert faults[-1].value == 91


def test_coarser_power_is_refused_and_finer_is_averaged(tmp_path):
    hourly = TimeAxis(start=DAY.start, periods=24, mtu_s=3600)
    (fault,) = profile_faults(write(tmp_path, lines(hourly)))
    assert "60 min apart do not fit" in fault.reason
    table, faults = read_profiles(write(tmp_path, lines()), hourly, timezone=None)
    assert not faults
    assert table.columns["home"][0] == pytest.approx((0.5 + 1.5 + 2.5 + 3.5) / 4)


def test_prices_hold_until_the_next_row(tmp_path):
    hourly = TimeAxis(start=DAY.start, periods=24, mtu_s=3600)
    text = [line.replace("home", "price") for line in lines(hourly)]
    series = SeriesSpec(file=write(tmp_path, text), per="MWh")
    prices, faults = read_price_series(series, DAY)
    assert not faults
    np.testing.assert_allclose(prices, np.repeat(np.arange(24) % 5 + 0.5, 4) / 1000)


def test_prices_may_be_negative_and_need_their_column(tmp_path):
    text = [line.replace("home", "price").replace(",1.5", ",-1.5") for line in lines()]
    prices, faults = read_price_series(SeriesSpec(file=write(tmp_path, text)), DAY)
    assert not faults
    assert prices.min() == -1.5
    _, (fault,) = read_price_series(SeriesSpec(file=write(tmp_path, text), column="prise"), DAY)
    assert fault.fix == "did you mean price?"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no rows"),
        ("time,home\n", "has no rows"),
        ("time,home,home\n2016-05-23 00:00,1,2\n", "stands twice"),
        ("time,home\n2016-05-23 00:00,1,5\n", "has 3 fields, where the header has 2"),
        ("zeit,home\n2016-05-23 00:00,1\n", "is missing"),
        ("time,home\n23.05.2016 00:00,1\n", "is not a date and time"),
        ("time,home\n12,1\n", "is not a date and time"),
        ('time,home\n2016-05-23 00:00,"1\n', "a quote is not closed"),
        ("time,home,\n2016-05-23 00:00,1,2\n", "without a name"),
        ("time,home\n2016-05-23 00:00,1\n".encode("utf-16"), "is not UTF-8 text"),
        ("time,home\n2016-05-23 00:00Z,1\n2016-05-23 00:15,1\n", "some times have an offset"),
        ("time,höme\n2016-05-23 00:00,1\n".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_text_that_is_no_table(tmp_path, content, words):
    faults = profile_faults(write(tmp_path, content))
    assert words in faults[0].reason


@pytest.mark.parametrize(
    ("name", "words"), [("p.xlsx", "cannot be read"), ("p.parquet", "cannot be read"), ("p.ods", "not read")]
)
def test_unreadable_files(tmp_path, name, words):
    (fault,) = profile_faults(write(tmp_path, b"nonsense", name))
    assert words in fault.reason


def test_missing_file_and_directory(tmp_path):
    assert profile_faults(tmp_path / "none.csv")[0].reason == "there is no such file"
    (tmp_path / "folder.csv").mkdir()
    assert profile_faults(tmp_path / "folder.csv")[0].reason == "is a directory"


def test_participants_with_every_kind_of_fault(tmp_path):
    text = """\
# note
participant,bus,pv_kwp,phase,passive,battery_kwh
a,b1,5.5,1,yes,
a,b1,5,,no,3
b,b1,"5,5",4,maybe,-1
,b1,,,,
"""
    table, faults = read_participants(write(tmp_path, text, "people.csv"))
    assert table is None
    told = {fault.place: fault.reason for fault in faults}
    assert told["row 4, column participant"] == "stands already in row 3"
    assert told["row 5, column pv_kwp"] == "has a decimal comma"
    assert "row 5, column phase" in told
    assert told["row 5, column passive"] == "is neither true nor false"
    assert told["row 5, column battery_kwh"] == "must be at least 0.0"
    assert told["row 6, column participant"] == "is missing"
    assert len(faults) == 6


def test_participants_with_unknown_and_missing_columns(tmp_path):
    _, faults = read_participants(write(tmp_path, "participant,buss\na,b\n", "people.csv"))
    assert {(fault.place, fault.fix) for fault in faults} == {
        ("column bus", "did you mean buss?"),
        ("header", "did you mean bus?"),
    }


def test_an_unknown_column_does_not_hide_faults_of_rows(tmp_path):
    text = "participant,bus,colour,pv_kwp\na,b,red,-1\na,b,,2\n"
    _, faults = read_participants(write(tmp_path, text, "people.csv"))
    assert [fault.place for fault in faults] == [
        "header",
        "row 2, column pv_kwp",
        "row 3, column participant",
    ]


def test_participants_from_excel_keep_ids_as_text(tmp_path):
    pd.DataFrame({"participant": ["007", "8"], "bus": [1, 2], "pv_kwp": [5.5, None]}).to_excel(
        tmp_path / "p.xlsx", index=False
    )
    table, faults = read_participants(tmp_path / "p.xlsx")
    assert not faults
    assert [(row.participant, row.bus, row.pv_kwp) for row in table.participants] == [
        ("007", "1", 5.5),
        ("8", "2", 0.0),
    ]


def study_faults(**keys) -> dict[str, Fault]:
    with pytest.raises(InputError) as caught:
        resolve(
            parse_scenario({"grid": "cigre-lv", "period": {"start": "2016-05-23", "length": "1d"}, **keys})
        )
    return {fault.place: fault for fault in caught.value.faults}


def test_faults_of_all_files_come_together(tmp_path):
    people = "participant,bus\nhome,Bus R11\nother,Bus R111\n"
    content = lines()
    content[5] = content[5].split(",")[0] + ",-1"
    faults = study_faults(
        participants={"file": str(write(tmp_path, people, "people.csv"))},
        profiles={"source": "files", "file": str(write(tmp_path, content)), "timezone": "Europe/Berlin"},
        tariffs={"retail": {"file": str(tmp_path / "none.csv")}},
    )
    assert "Bus R11" in faults["row 3, column bus"].fix
    assert faults["row 6, column home"].value == -1.0
    assert faults["file"].reason == "there is no such file"


def test_participant_without_a_profile(tmp_path):
    people = "participant,bus\nhome,Bus R11\nhoem,Bus R11\n"
    faults = study_faults(
        participants={"file": str(write(tmp_path, people, "people.csv"))},
        profiles={"source": "files", "file": str(write(tmp_path, lines())), "timezone": "Europe/Berlin"},
    )
    assert faults["participant hoem"].fix == "did you mean home?"


def test_simbench_profiles_outside_their_year():
    faults = study_faults(period={"start": "2019-05-23", "length": "1d"})
    assert all("2016" in fault.reason for fault in faults.values())


def test_listed_twice_and_unknown_bus():
    rows = [{"participant": "a", "bus": "Bus R1"}, {"participant": "a", "bus": "Bus R99"}]
    faults = study_faults(participants={"list": rows})
    assert "participants.list.0" in faults["participants.list.1.participant"].reason
    assert "did you mean" in faults["participants.list.1.bus"].fix


def test_unknown_grid_and_unreadable_grid_file(tmp_path):
    assert "1-LV-rural2--0-sw" in study_faults(grid="1-LV-rurall2--0-sw")["grid"].fix
    assert study_faults(grid=str(tmp_path / "none.json"))["grid"].reason == "there is no such file"
    assert "cannot be read" in study_faults(grid=str(write(tmp_path, "{}x", "g.json")))["grid"].reason
    assert "cannot be read" in study_faults(grid=str(write(tmp_path, b"no", "g.xlsx")))["grid"].reason


def test_faults_found_while_resolving_name_the_line(tmp_path):
    from gridagora.scenario import load_scenario

    path = write(
        tmp_path,
        "grid: cigre-lv\n\nperiod: {start: 2016-05-23, length: 1d}\nmarket:\n  session: 20min\n",
        "s.yaml",
    )
    with pytest.raises(InputError) as caught:
        resolve(load_scenario(path))
    assert [fault.place for fault in caught.value.faults] == ["line 5, market.session"]


@pytest.mark.parametrize("name", ["PV1", "H0-Z"])
def test_load_profile_of_the_wrong_kind(name):
    rows = [{"participant": "a", "bus": "Bus R1", "profile": name, "load_kw": 3.0}]
    assert "profile of a load" in study_faults(participants={"list": rows})["participant a"].reason


@pytest.mark.parametrize("ending", ["json", "xlsx"])
def test_a_users_pandapower_file(tmp_path, ending):
    pandapower = pytest.importorskip("pandapower")
    net = pandapower.networks.create_kerber_landnetz_freileitung_1()
    path = str(tmp_path / f"net.{ending}")
    if ending == "json":
        pandapower.to_json(net, path)
    else:  # what pandapower.to_excel writes, without the package xlsxwriter that it wants
        with pd.ExcelWriter(path, engine="openpyxl") as book:
            for name, frame in pandapower.io_utils.to_dict_of_dfs(net).items():
                frame.to_excel(book, sheet_name=name)
    study, network = resolve(parse_scenario({"grid": path, "period": {"length": "1d"}}))
    assert len(study.homes) >= len(net.load)
    assert {home.bus for home in study.homes} <= set(network.buses)
    assert sum(home.load_kw.max() for home in study.homes) <= net.load["p_mw"].sum() * 1e3 + 1e-6
