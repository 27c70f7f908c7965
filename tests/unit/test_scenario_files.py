"""Scenario files: defaults, overrides, and every fault at once with line, key, value and fix."""

from datetime import timedelta
from pathlib import Path

import pytest

from gridagora.errors import Fault, InputError
from gridagora.scenario import (
    load_scenario,
    parse_scenario,
    scenario_descriptions,
    scenario_names,
    scenario_yaml,
)
from gridagora.scenario.clock import scenario_axis
from gridagora.scenario.yaml_text import read_yaml


def write(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults_of(path: str | Path, overrides=()) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        load_scenario(path, overrides)
    return caught.value.faults


def fault_of_key(place: str, **keys) -> Fault:
    with pytest.raises(InputError) as caught:
        parse_scenario({"grid": "cigre-lv", **keys})
    found = [fault for fault in caught.value.faults if fault.place == place]
    assert len(found) == 1, caught.value
    return found[0]


def test_one_line_is_a_scenario(tmp_path):
    spec = load_scenario(write(tmp_path, "grid: 1-LV-rural1--0-sw\n"))
    assert (spec.name, spec.resolution, spec.market.session) == (
        "mine",
        timedelta(minutes=15),
        timedelta(hours=1),
    )
    axis, faults = scenario_axis(spec)
    assert not faults
    assert (str(axis.start), axis.periods) == ("2016-05-22T22:00:00", 672)


def test_builtin_scenarios_are_valid_and_described():
    assert set(scenario_names()) >= {"village", "cigre-lv", "suburb", "year"}
    assert all(0 < len(text) < 100 for text in scenario_descriptions().values())
    for name in scenario_names():
        spec = load_scenario(name)
        assert spec.name == name
        assert scenario_axis(spec)[1] == []


def test_year_has_every_quarter_hour_of_2016():
    axis, _ = scenario_axis(load_scenario("year"))
    assert axis.periods == 35_136


@pytest.mark.parametrize("name", scenario_names())
def test_written_scenario_is_read_back_equal(name):
    spec = load_scenario(name)
    again = parse_scenario(read_yaml(scenario_yaml(spec), "copy").data)
    assert again.model_dump() == spec.model_dump()


def test_overrides_are_read_as_yaml_and_checked_like_the_file():
    texts = ["market.mechanism=pay_as_bid", "participants.pv.size_kwp=[3, 5]", "tariffs.retail.0.price=0.4"]
    spec = load_scenario("suburb", texts)
    assert spec.market.mechanism == "pay_as_bid"
    assert spec.participants.pv.size_kwp == (3.0, 5.0)
    assert spec.tariffs.retail[0].price == 0.4
    mapped = {
        "market.mechanism": "pay_as_bid",
        "participants.pv.size_kwp": [3, 5],
        "tariffs.retail.0.price": 0.4,
    }
    assert load_scenario("suburb", mapped) == spec


def test_faulty_overrides_name_themselves_as_source():
    faults = faults_of("village", ["market.mechansim=x", "seed=-1", "nonsense", "tariffs.retail.3.price=1"])
    assert {fault.source for fault in faults} == {"override"}
    places = {fault.place for fault in faults}
    assert {"market.mechansim", "seed", "nonsense"} <= places


def test_an_override_does_not_touch_the_callers_mapping():
    data = {"grid": "cigre-lv", "market": {"mechanism": "pay_as_bid"}}
    parse_scenario(data, {"market.mechanism": "vickrey"})
    assert data["market"]["mechanism"] == "pay_as_bid"


def test_all_faults_are_told_at_once_with_line_and_fix(tmp_path):
    text = """\
grid: cigre-lv
sead: 3
timezone: Europe/Berln
market:
  mechansim: pay_as_bid
  mechanism: pay_as_bit
participants:
  pv: {share: 1.5}
tariffs:
  retail: "0,30"
  feed_in:
    - {from: "25:00", price: 0.1}
"""
    by_place = {fault.place: fault for fault in faults_of(write(tmp_path, text))}
    assert by_place["line 2, sead"].fix == "did you mean seed?"
    assert "Europe/Berlin" in by_place["line 3, timezone"].fix
    assert by_place["line 5, market.mechansim"].fix == "did you mean mechanism?"
    assert by_place["line 6, market.mechanism"].fix == "did you mean pay_as_bid?"
    assert by_place["line 8, participants.pv.share"].reason == "must be at most 1.0"
    assert by_place["line 10, tariffs.retail"].reason == "has a decimal comma"
    assert by_place["line 12, tariffs.feed_in.0.from"].value == "25:00"
    assert len(by_place) == 7


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("grid: cigre-lv\nmarket:\n\tislanded: true\n", "line 3", "tab"),
        ("", "file", "empty"),
        ("# only a comment\n", "file", "empty"),
        ("- grid\n- seed\n", "file", "list"),
        ("cigre-lv\n", "file", "str"),
        ("grid: [cigre-lv\n", "line 2", "expected"),
        ("grid: cigre-lv\ndescription: a: b\n", "line 2", "mapping values"),
        ("grid: cigre-lv\nseed: 1\nseed: 2\n", "line 3, seed", "stands already in line 2"),
        ("seed: 1\n", "line 1, grid", "is missing"),
    ],
)
def test_text_that_is_no_scenario(tmp_path, text, place, words):
    faults = faults_of(write(tmp_path, text))
    assert [fault.place for fault in faults] == [place]
    assert words in faults[0].reason


def test_file_in_another_encoding_or_binary(tmp_path):
    (fault,) = faults_of(write(tmp_path, "grid: cigre-lv\nname: Dörfli\n".encode("latin-1")))
    assert "UTF-8" in fault.reason
    (fault,) = faults_of(write(tmp_path, b"grid: \x00\x01"))
    assert fault.fix == "save the file as UTF-8 text"


def test_file_with_a_byte_order_mark_is_read(tmp_path):
    assert load_scenario(write(tmp_path, b"\xef\xbb\xbfgrid: cigre-lv\n")).grid == "cigre-lv"


def test_unknown_scenario_names_near_ones(tmp_path):
    (fault,) = faults_of("vilage")
    assert fault.fix == "did you mean village?"
    (fault,) = faults_of(tmp_path)
    assert fault.reason == "is a directory"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seed", "7", "whole number"),
        ("seed", True, "whole number"),
        ("seed", -1, "at least 0"),
        ("resolution", "10min", "offered"),
        ("resolution", 15, "duration"),
        ("timezone", "CET+1", "time zone"),
        ("grid", "", "empty"),
        ("grid", 5, "not text"),
        ("limits", [1], "group of keys"),
        ("participants", "all", "group of keys"),
    ],
)
def test_wrong_value_of_a_key(key, value, words):
    assert words in fault_of_key(key, **{key: value}).reason


@pytest.mark.parametrize(
    ("period", "place", "words"),
    [
        ({"start": 2016}, "period.start", "date"),
        ({"start": "23.05.2016"}, "period.start", "date"),
        ({"start": "2016-02-30"}, "period.start", "calendar"),
        ({"start": "2016-05-23", "end": "2016-05-22"}, "period", "ends before"),
        ({"start": "2016-05-23", "end": "2016-05-24", "length": "1d"}, "period", "both"),
        ({"start": "2016-05-23", "length": "0h"}, "period", "no length"),
        ({"start": "2016-05-23", "length": "1 week"}, "period.length", "duration"),
    ],
)
def test_wrong_period(period, place, words):
    assert words in fault_of_key(place, period=period).reason


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"market": {"session": "20min"}}, "market.session"),
        ({"agents": {"horizon": "1h", "replan": "2h"}}, "agents.horizon"),
        ({"period": {"start": "2016-05-23T00:07", "length": "1d"}}, "period.start"),
        ({"period": {"start": "2016-05-23", "length": "100min"}}, "period.length"),
        ({"period": {"start": "2016-05-23T00:00+02:00", "end": "2016-05-22"}}, "period.end"),
    ],
)
def test_durations_must_be_whole_periods(keys, place):
    axis, faults = scenario_axis(parse_scenario({"grid": "cigre-lv", **keys}))
    assert (axis is None) == place.startswith("period")
    assert [fault.place for fault in faults] == [place]


@pytest.mark.parametrize(
    ("participants", "place"),
    [
        ({"pv": {"share": 0.5, "homes": ["a"]}}, "participants.pv"),
        ({"pv": {"size_kwp": [5, 3]}}, "participants.pv.size_kwp"),
        ({"pv": {"homes": {"a": "5"}}}, "participants.pv.homes.a"),
        ({"list": []}, "participants"),
        ({"list": [{"participant": "a", "bus": "b", "load_kw": -1}]}, "participants.list.0.load_kw"),
        ({"list": [{"participant": "a", "bus": "b"}], "file": "p.csv"}, "participants"),
        ({"list": [{"participant": "a", "bus": "b", "phase": 4}]}, "participants.list.0.phase"),
        ({"battery": {"efficiency": 1.2}}, "participants.battery.efficiency"),
    ],
)
def test_wrong_participants(participants, place):
    fault_of_key(place, participants=participants)


def test_files_are_taken_from_the_scenarios_directory(tmp_path):
    text = "grid: nets/grid.json\nprofiles: {source: files, file: p.csv}\n"
    spec = load_scenario(write(tmp_path, text))
    assert spec.grid == str(tmp_path / "nets" / "grid.json")
    assert spec.profiles.file == tmp_path / "p.csv"


def test_clock_times_and_words_stay_text():
    data = read_yaml("a: 22:00\nb: 2016-05-23\nc: on\nd: 1e-3\ne: 0o7\nf: ~\ng: 'x'\nh: .inf", "x").data
    assert list(data.values()) == ["22:00", "2016-05-23", "on", 0.001, "0o7", None, "x", float("inf")]


def test_nan_and_infinity_are_no_numbers():
    fault = fault_of_key("tariffs.retail", tariffs={"retail": float("nan")})
    assert "finite" in fault.reason
    fault_of_key("market.import_limit_kw", market={"import_limit_kw": float("inf")})


def test_written_scenario_keeps_ids_that_look_like_numbers():
    homes = {"participants.pv": {"homes": {"08": 4.5, "a: b": 1.0, "1e3": 2.0}}, "participants.home_kw": None}
    spec = load_scenario("village", homes)
    again = parse_scenario(read_yaml(scenario_yaml(spec), "copy").data)
    assert again.model_dump() == spec.model_dump()
    assert again.participants.home_kw is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [*a]\ngrid: x\n", "alias"),
        ("grid: x\nperiod: {length: 99999999999999999999d}\n", "longer than 10 years"),
        ("grid: x\nperiod: {start: 0001-01-01}\n", "before 1900"),
        ("grid: x\nlimits: {voltage: 1}\n", "no band"),
        ("grid: x\n---\ngrid: y\n", "another document"),
        ("grid: x\nmarket: {import_limit_kw: .inf}\n", "finite"),
    ],
)
def test_strange_files_are_told_not_crashed_on(tmp_path, text, words):
    faults = faults_of(write(tmp_path, text))
    assert words in faults[0].reason


def test_empty_groups_take_their_defaults(tmp_path):
    spec = load_scenario(write(tmp_path, "grid: x\nmarket:\nparticipants:\n  pv:\n"))
    assert spec.market.mechanism == "pay_as_cleared"
    assert spec.participants.pv.share is None


def test_hour_that_the_clock_skips_is_no_start():
    spec = parse_scenario({"grid": "x", "period": {"start": "2016-03-27T02:30", "length": "1d"}})
    (fault,) = scenario_axis(spec)[1]
    assert "skips this time" in fault.reason


def test_half_hour_zones_start_on_local_midnight():
    keys = {"grid": "x", "timezone": "Asia/Kolkata", "resolution": "1h", "period": {"length": "1d"}}
    axis, faults = scenario_axis(parse_scenario(keys))
    assert not faults
    assert str(axis.start) == "2016-05-22T18:30:00"


def test_faults_of_keys_and_of_what_they_name_are_told_at_once(tmp_path):
    from gridagora.bootstrap import prepare

    path = tmp_path / "s.yaml"
    path.write_text(
        "grid: cigre-lv\nperiod: {length: 6h}\nseed: x\nmarket: {mechanism: pay_as_claered}\n"
        "participants:\n  list:\n"
        "    - {participant: anna, bus: Bus R11, load_kw: -2}\n"
        "    - {participant: anna, bus: Bus R99, load_kw: 2}\n"
    )
    with pytest.raises(InputError) as caught:
        prepare(path, overrides={})
    text = str(caught.value)
    for part in ("seed", "mechanism", "load_kw", "Bus R99", "stands already"):
        assert part in text
    assert len(caught.value.faults) == 5
