"""The section ``zones`` of a scenario: zones, gates and islands of a study, every fault with its place."""

import numpy as np
import pandas as pd
import pytest

from gridagora.adapters.studies import more_faults, resolve
from gridagora.errors import InputError
from gridagora.grid.zones import gate_limits_kw
from gridagora.scenario import load_scenario, parse_scenario, scenario_yaml
from gridagora.scenario.yaml_text import read_yaml

DAY = "2016-05-09"
STREET, YARD = "lv LV1.101 Bus 2", "lv LV1.101 Bus 7"
HOMES = [
    {"participant": "ann", "bus": "LV1.101 Bus 2", "load_kw": 3.0},
    {"participant": "ben", "bus": "LV1.101 Bus 9", "pv_kwp": 5.0},
    {"participant": "cem", "bus": "LV1.101 Bus 7", "battery_kwh": 5.0},
    {"participant": "dot", "bus": "LV1.101 Bus 12", "load_kw": 2.0},
    {"participant": "eva", "bus": "LV1.101 Bus 1", "pv_kwp": 3.0},
    {"participant": "fay", "bus": "LV1.101 Bus 8", "pv_kwp": 3.0},
]


def scenario(**zones):
    """Four streets behind a station, each with a source of energy."""
    return {
        "grid": "1-LV-rural1--0-sw",
        "period": {"start": DAY, "length": "1d"},
        "participants": {"list": HOMES},
        "market": {"mechanism": "zonal"},
        "zones": {"lv_feeders": "outgoing", **zones},
    }


def rules(data, overrides=()):
    return resolve(parse_scenario(data, overrides))[0].zones


def faults_of(data, overrides=()):
    """Return place -> fault, as a run tells them."""
    with pytest.raises(InputError) as caught:
        resolve(parse_scenario(data, overrides, more=more_faults))
    return {fault.place: fault for fault in caught.value.faults}


def at(clock, day=DAY):
    return f"{day}T{clock}"


def test_zones_are_those_of_the_feeders_with_sources() -> None:
    study, network = resolve(parse_scenario(scenario()))
    zones = study.zones
    assert zones.tree.names == ("bulk", "dso", "lv LV1.101 Bus 1", STREET, "lv LV1.101 Bus 8", YARD)
    assert [zones.tree.names[zone] for zone in zones.of_home[:4]] == [STREET, STREET, YARD, YARD]
    assert zones.import_kw.shape == zones.export_kw.shape == zones.cut.shape == (96, 6)
    rated = gate_limits_kw(network, zones.tree)
    np.testing.assert_allclose(
        zones.import_kw, [[np.inf, *(rated[name] for name in zones.tree.names[1:])]] * 96
    )
    np.testing.assert_array_equal(zones.import_kw, zones.export_kw)
    assert not zones.cut.any()
    assert (zones.lowest_price, zones.highest_price, zones.most_kwh) == (-np.inf, np.inf, np.inf)


def test_a_station_is_one_zone_unless_its_feeders_are_asked_for() -> None:
    assert [z.level for z in rules(scenario(lv_feeders="station")).tree.zones] == ["bulk", "dso", "lv"]


def test_named_sources_take_the_place_of_the_homes_devices() -> None:
    """Streets without a named source join the nearest one with one."""
    tree = rules(scenario(sources=["LV1.101 Bus 9"])).tree
    assert tree.names == ("bulk", "dso", STREET)
    assert len(tree.zone(STREET).buses) == 13


def test_zones_of_distance() -> None:
    data = scenario(**{"from": "distance", "count": 3})
    del data["zones"]["lv_feeders"]
    assert rules(data).tree.names == ("bulk", "zone 1", "zone 2", "zone 3")


def test_gates_take_the_lower_loading_limit_or_their_own_or_none() -> None:
    plain = rules(scenario()).import_kw[0]
    limited = {**scenario(), "limits": {"line_loading_percent": 80.0, "transformer_loading_percent": 60.0}}
    np.testing.assert_allclose(rules(limited).import_kw[0, 1:], 0.6 * plain[1:])
    limited["zones"]["loading_percent"] = 120.0
    np.testing.assert_allclose(rules(limited).import_kw[0, 1:], 1.2 * plain[1:])
    assert np.isinf(rules(scenario(gates="none")).import_kw).all()


def test_limits_replace_the_rating_in_their_window_and_the_lowest_holds() -> None:
    found = rules(
        scenario(
            limits=[
                {"zone": YARD, "import_kw": 20.0, "export_kw": 900.0, "from": at("06:00"), "to": at("12:00")},
                {"zone": YARD, "import_kw": 10.0, "from": at("09:00"), "to": at("15:00")},
                {"zone": "dso", "export_kw": 0.0},
            ]
        )
    )
    yard, rated = found.tree.position(YARD), rules(scenario()).import_kw[0]
    clock = np.arange(96) / 4
    expected = np.full(96, rated[yard])
    expected[(clock >= 6) & (clock < 9)] = 20.0
    expected[(clock >= 9) & (clock < 15)] = 10.0
    np.testing.assert_allclose(found.import_kw[:, yard], expected)
    np.testing.assert_allclose(found.export_kw[24:48, yard], 900.0)  # above the rating too
    np.testing.assert_allclose(found.export_kw[48:, yard], rated[yard])
    assert (found.export_kw[:, 1] == 0).all()
    assert (found.import_kw[:, 1] == rated[1]).all()


def test_limits_out_of_a_file_are_local_time_and_hold_until_the_next_row(tmp_path) -> None:
    hours = pd.date_range(DAY, periods=24, freq="h")
    frame = pd.DataFrame({"time": hours, "export_kw": np.arange(24.0)})
    for name, write in (("a.csv", frame.to_csv), ("a.xlsx", frame.to_excel)):
        write(tmp_path / name, index=False)
        entry = {"zone": YARD, "file": name, "timezone": "Europe/Berlin", "from": at("12:00")}
        data = scenario(limits=[entry])
        found = resolve(parse_scenario(data, base=tmp_path))[0].zones
        yard = found.tree.position(YARD)
        np.testing.assert_array_equal(found.export_kw[48:, yard], np.repeat(np.arange(12.0, 24.0), 4))
        assert (found.export_kw[:48, yard] == found.import_kw[:48, yard]).all()
        assert (found.import_kw[:, yard] == found.import_kw[0, yard]).all()


def test_islands_open_gates_and_take_their_clock_from_the_scenario() -> None:
    found = rules(
        scenario(
            islands=[
                {"zone": YARD, "from": at("17:00"), "to": at("21:00")},
                {"zone": STREET, "from": at("20:00+00:00"), "to": "2016-05-12"},
            ]
        )
    )
    yard, street = (found.tree.position(name) for name in (YARD, STREET))
    assert np.flatnonzero(found.cut[:, yard]).tolist() == list(range(68, 84))
    assert np.flatnonzero(found.cut[:, street]).tolist() == list(
        range(88, 96)
    )  # 22:00 in Berlin, cut at the end
    assert found.cut.sum() == 16 + 8


def test_controllers_get_their_bounds() -> None:
    found = rules(scenario(controllers={"lowest_price": 0.05, "highest_price": 0.4, "most_kwh": 3.0}))
    assert (found.lowest_price, found.highest_price, found.most_kwh) == (0.05, 0.4, 3.0)


def test_zones_out_of_a_table(tmp_path) -> None:
    table = "bus,zone,parent,level\nLV1.101 Bus 7,yard,farm,lv\nLV1.101 Bus 4,farm,,mv\n"
    (tmp_path / "zones.csv").write_text(table)
    data = {**scenario(), "zones": {"from": "table", "file": "zones.csv"}}
    found = resolve(parse_scenario(data, base=tmp_path))[0].zones
    assert found.tree.names == ("bulk", "yard", "farm")
    assert found.tree.zone("yard").parent == "farm"


def test_zones_and_the_zonal_market_need_each_other() -> None:
    lacking = faults_of({**scenario(), "zones": None})
    assert "zones: {}" in lacking["market.mechanism"].fix
    other = faults_of({**scenario(), "market": {"islanded": True}})
    assert other["market.mechanism"].value == "pay_as_cleared"
    assert set(faults_of(scenario(), ["market.islanded=true"])) == {"market.islanded"}
    flexible = {**scenario(), "flexibility": {}}
    assert {"zones", "market.mechanism"} <= set(faults_of(flexible))
    assert resolve(parse_scenario({**scenario(), "zones": {}}))[0].zones.tree.names[-1] == "lv LV1.101 Bus 4"


def test_keys_of_another_way_are_told_each_and_what_it_needs() -> None:
    found = faults_of(
        scenario(**{"from": "distance"}, file="a.csv", sources=[], gates="none", loading_percent=9.0)
    )
    assert set(found) == {
        "zones.lv_feeders",
        "zones.sources",
        "zones.file",
        "zones.from",
        "zones.loading_percent",
    }
    table = {**scenario(), "zones": {"from": "table", "count": 2}}
    assert set(faults_of(table)) == {"zones.from", "zones.count"}


def test_every_fault_of_windows_and_names_is_told_at_once() -> None:
    found = faults_of(
        scenario(
            islands=[
                {"zone": "lv LV1.101 Bus 77", "from": at("17:00"), "to": at("18:00")},
                {"zone": "dso"},
                {"zone": "bulk"},
                {"zone": YARD, "from": "2016-06-09"},
                {"zone": YARD, "from": at("17:05"), "to": at("18:00")},
                {"zone": YARD, "from": at("17:00Z"), "to": at("18:00")},
            ],
            limits=[{"zone": "bulk", "import_kw": 3.0}],
        )
    )
    assert f"did you mean {YARD}" in found["zones.islands.0.zone"].fix
    assert "nobody could approve" in found["zones.islands.1.zone"].reason
    assert "nothing above it" in found["zones.islands.2.zone"].reason
    assert found["zones.islands.3"].reason == "is outside the study"
    assert found["zones.islands.4.from"].fix == "write e.g. 2016-05-09T17:00"
    assert found["zones.islands.5"].reason.startswith("ends before it starts")  # 19:00 in Berlin
    assert "market.import_limit_kw" in found["zones.limits.0.zone"].fix
    assert len(found) == 7


def test_a_time_that_the_clock_skips_is_no_end_of_a_window() -> None:
    data = {
        **scenario(islands=[{"zone": YARD, "from": "2016-03-27T02:30"}]),
        "period": {"start": "2016-03-27", "length": "1d"},
    }
    assert "skips" in faults_of(data)["zones.islands.0.from"].reason


@pytest.mark.parametrize(
    ("zones", "place"),
    [
        ({"islands": [{"zone": YARD, "from": at("18:00"), "to": at("17:00")}]}, "zones.islands.0"),
        ({"islands": [{"from": at("18:00")}]}, "zones.islands.0.zone"),
        ({"limits": [{"zone": YARD}]}, "zones.limits.0"),
        ({"limits": [{"zone": YARD, "import_kw": 1.0, "file": "a.csv"}]}, "zones.limits.0"),
        ({"limits": [{"zone": YARD, "import_kw": 1.0, "timezone": "UTC"}]}, "zones.limits.0"),
        ({"limits": [{"zone": YARD, "import_kw": -1.0}]}, "zones.limits.0.import_kw"),
        ({"limits": [{"zone": YARD, "imprt_kw": 1.0}]}, "zones.limits.0.imprt_kw"),
        ({"controllers": {"lowest_price": 0.5, "highest_price": 0.4}}, "zones.controllers"),
        ({"controllers": {"most_kwh": 0.0}}, "zones.controllers.most_kwh"),
        ({"from": "feeder"}, "zones.from"),
    ],
)
def test_single_values_are_checked(zones, place) -> None:
    assert place in faults_of(scenario(**zones))


def test_a_wrong_key_hides_no_fault_and_makes_none_up() -> None:
    """What depends on the zones is not told while it is not sure which there are; windows are."""
    found = faults_of(scenario(sourcs=["x"], islands=[{"zone": "nowhere", "from": "2016-06-09"}]))
    assert set(found) == {"zones.sourcs", "zones.islands.0"}
    found = faults_of({**scenario(islands=[{"zone": "nowhere"}]), "market": {"mechanism": "zonl"}})
    assert set(found) == {"market.mechanism"}
    found = faults_of({**scenario(islands=[{"zone": "nowhere"}]), "agents": {"ems": "best"}})
    assert set(found) == {"agents.ems", "zones.islands.0.zone"}
    wrong = {"zone": STREET, "from": at("18:00"), "to": at("17:00")}
    found = faults_of(scenario(islands=[wrong, {"zone": "nowhere"}], controllers={"most_kwh": 0.0}))
    assert set(found) == {"zones.islands.0", "zones.islands.1.zone", "zones.controllers.most_kwh"}
    table = {"from": "table", "file": "nothing.csv", "gates": "all"}
    found = faults_of({**scenario(), "zones": table})
    assert {fault.source.rpartition("/")[2] for fault in found.values()} == {"scenario", "nothing.csv"}


def test_faults_behind_a_wrong_item_keep_their_number_and_line(tmp_path) -> None:
    text = f"""\
grid: 1-LV-rural1--0-sw
period: {{start: {DAY}, length: 1d}}
market: {{mechanism: zonal}}
zones:
  islands:
    - {{zone: a, from: {at("18:00")}, to: {at("17:00")}}}
    - {{zone: a, from: {at("18:00")}}}
    - {{from: {at("18:00")}}}
    - {{zone: a, from: 2016-06-09}}
"""
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_scenario(path, more=more_faults)
    places = [fault.place for fault in caught.value.faults]
    assert places == [
        "line 6, zones.islands.0",
        "line 8, zones.islands.2.zone",
        "line 9, zones.islands.3",
        "line 7, zones.islands.1.zone",
        "line 9, zones.islands.3.zone",
    ]
    assert set(faults_of(read_yaml(text, "study.yaml").data)) == {
        place.partition(", ")[2] for place in places
    }


def test_sources_that_are_not_there_or_not_enough() -> None:
    found = faults_of(scenario(sources=["LV1.101 Bus 5", "LV1.101 Bus 55"]))
    assert "LV1.101 Bus 5" in found["zones.sources.1"].fix
    without = {**scenario(), "participants": {"list": [HOMES[0]]}}
    assert "zones.sources" in faults_of(without)["zones.sources"].fix
    far = {**scenario(), "zones": {"from": "distance", "count": 99}}
    assert "1 to 14" in faults_of(far)["zones.count"].fix


def test_faults_of_a_table_have_its_rows(tmp_path) -> None:
    path = tmp_path / "zones.csv"
    path.write_text(
        "# mine\nbus,zone,parent\nLV1.101 Bus 7,yard,farm\nLV1.101 Bus 70,yard,farm\n\n"
        "LV1.101 Bus 2,street,\nLV1.101 Bus 7,street,\nLV1.101 Bus 5,,\nLV1.101 Bus 4,street,yard\n"
    )
    found = faults_of({**scenario(), "zones": {"from": "table", "file": str(path)}})
    assert {fault.source for fault in found.values()} == {str(path)}
    assert set(found) == {
        "row 3, column bus",
        "row 4, column bus",
        "row 3, column zone",
        "row 8",
        "row 9, column parent",
    }
    assert found["row 4, column bus"].fix.startswith("did you mean LV1.101 Bus 7 or")
    assert found["row 9, column parent"].reason == "another parent than in row 6"
    path.write_text("bus,zon,parent\nLV1.101 Bus 7,yard,\n")
    assert (
        "zone"
        in faults_of({**scenario(), "zones": {"from": "table", "file": str(path)}})["column zone"].place
    )
    missing = faults_of({**scenario(), "zones": {"from": "table", "file": "none.csv"}})
    assert missing["file"].reason == "there is no such file"


def test_faults_of_a_file_of_limits_are_told(tmp_path) -> None:
    path = tmp_path / "gate.csv"
    entry = {"zone": YARD, "file": str(path)}
    path.write_text("time,inport_kw,export_kw\n2016-05-08 22:00,1,2\n2016-05-08 23:00,1,2\n")
    assert "import_kw" in faults_of(scenario(limits=[entry]))["header"].fix
    path.write_text("time,kw\n2016-05-08 22:00,1\n")
    assert {"column import_kw", "column export_kw", "header"} <= set(faults_of(scenario(limits=[entry])))
    path.write_text("time,import_kw\n2016-05-08 22:00,1\n2016-05-08 23:00,-1\n")
    assert {"column time", "row 3, column import_kw"} <= set(faults_of(scenario(limits=[entry])))


def test_an_island_must_hang_together_without_its_gate(tmp_path) -> None:
    """The far ends of two streets fall apart as one zone, the parts of a feeder that others joined too."""
    path = tmp_path / "zones.csv"
    path.write_text(
        "bus,zone,parent\nLV1.101 Bus 5,ends,rest\nLV1.101 Bus 13,ends,rest\nLV1.101 Bus 4,rest,\n"
    )
    data = {**scenario(), "zones": {"from": "table", "file": str(path)}}
    assert rules(data).tree.names == ("bulk", "ends", "rest")
    data["zones"]["islands"] = [{"zone": "ends"}]
    found = faults_of(data)["zones.islands.0.zone"]
    assert "only its gate joins its parts" in found.reason
    joined = scenario(sources=["LV1.101 Bus 9"], islands=[{"zone": STREET}])
    assert "only its gate" in faults_of(joined)["zones.islands.0.zone"].reason


def test_what_an_island_needs_of_the_grid(tmp_path) -> None:
    """A source in it, a bus beyond it and a branch past its gate each keep a zone from being cut off."""
    path = tmp_path / "zones.csv"
    data = {**scenario(), "zones": {"from": "table", "file": str(path)}}
    data["zones"]["islands"] = [{"zone": "yard"}]

    def why(*rows):
        path.write_text("\n".join(["bus,zone,parent", *rows]) + "\n")
        return faults_of(data)["zones.islands.0.zone"].reason

    assert "a source of the grid stands in it" in why("MV1.101 Bus 4,yard,")
    beyond = why("LV1.101 Bus 7,yard,rest", "LV1.101 Bus 12,rest,", "LV1.101 Bus 4,rest,")
    assert "bus LV1.101 Bus 12 is not in it, and is fed through it alone" in beyond
    past = why(
        "LV1.101 Bus 7,yard,rest",
        "LV1.101 Bus 12,side,rest",
        "LV1.101 Bus 4,rest,",
        "LV1.101 Bus 13,side,rest",
    )
    assert "joins it to what lies outside, and is not of its gate" in past


def test_islands_may_lie_inside_each_other_and_share_a_time() -> None:
    feeder, village = "mv MV1.101 Bus 16", "lv LV2.107 Bus 19"
    islands = [
        {"zone": feeder, "from": at("10:00", "2016-05-25"), "to": at("14:00", "2016-05-25")},
        {"zone": village, "from": at("12:00", "2016-05-25"), "to": at("16:00", "2016-05-25")},
    ]
    zones = resolve(load_scenario("mv-lv-zones", {"zones.islands": islands}))[0].zones
    outer, inner = zones.tree.position(feeder), zones.tree.position(village)
    found = zones.islands(0, 96)
    assert found[[39, 40, 48, 56, 64], inner].tolist() == [-1, outer, inner, inner, -1]
    assert found[[39, 40, 48, 56, 64], outer].tolist() == [-1, outer, outer, -1, -1]


def test_a_disconnected_bus_is_told_by_its_name() -> None:
    import pandapower as pp

    net = pp.create_empty_network(name="my street")
    names = (("a", 20.0), ("b", 0.4), ("c", 0.4), ("d", 0.4))
    top, low, end, lost = (pp.create_bus(net, vn_kv=kv, name=name) for name, kv in names)
    pp.create_ext_grid(net, top)
    pp.create_transformer(net, top, low, std_type="0.25 MVA 20/0.4 kV")
    pp.create_line(net, low, end, length_km=0.2, std_type="NAYY 4x150 SE")
    open_line = pp.create_line(net, end, lost, length_km=0.2, std_type="NAYY 4x150 SE")
    pp.create_switch(net, end, open_line, et="l", closed=False)
    for bus in (end, lost):
        pp.create_load(net, bus, p_mw=0.012)
    homes = [{"participant": "ann", "bus": "c", "pv_kwp": 5.0, "load_kw": 1.0}]
    data = {**scenario(), "grid": "my street", "participants": {"list": homes}}
    with pytest.raises(InputError) as caught:
        resolve(parse_scenario(data), net=net)
    assert [fault.place for fault in caught.value.faults] == ["bus 3 (d)"]
    assert "no supply" in caught.value.faults[0].reason


def test_faults_of_a_file_have_their_line(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "grid: 1-LV-rural1--0-sw\nperiod: {start: 2016-05-09, length: 1d}\nmarket: {mechanism: zonal}\n"
        "zones:\n  islands:\n    - zone: nowhere\n    - zone: dso\n"
    )
    with pytest.raises(InputError) as caught:
        resolve(load_scenario(path))
    places = {fault.place for fault in caught.value.faults}
    assert places == {"line 6, zones.islands.0.zone", "line 7, zones.islands.1.zone"}


def test_overrides_reach_into_the_lists() -> None:
    spec = load_scenario(
        "island-evening", ["zones.islands.0.to=2016-03-16T19:00", "zones.controllers.most_kwh=5.0"]
    )
    zones = resolve(spec)[0].zones
    assert (zones.cut.any(axis=1).sum(), zones.most_kwh) == (8, 5.0)
    zones = resolve(load_scenario("island-evening", ["zones.islands=[]"]))[0].zones
    assert not zones.cut.any()
    plain = load_scenario("island-evening", ["zones=null", "market.mechanism=pay_as_cleared"])
    assert resolve(plain)[0].zones is None


@pytest.mark.parametrize(
    "zones",
    [
        {},
        {
            "limits": [{"zone": YARD, "import_kw": 3.0, "to": at("08:00")}],
            "controllers": {"highest_price": 1.0},
        },
        {"islands": [{"zone": YARD, "from": at("17:00"), "to": at("18:00")}], "gates": "none"},
        {"sources": ["LV1.101 Bus 5"], "loading_percent": 50.0},
    ],
)
def test_written_scenario_is_read_back_and_has_the_same_zones(zones) -> None:
    spec = parse_scenario(scenario(**zones))
    again = parse_scenario(read_yaml(scenario_yaml(spec), "copy").data)
    assert again == spec
    assert resolve(again)[0].zones.tree == resolve(spec)[0].zones.tree


def test_island_evening_cuts_one_street_off() -> None:
    zones = resolve(load_scenario("island-evening"))[0].zones
    assert [zone.level for zone in zones.tree.zones] == ["bulk", "dso", "lv", "lv", "lv", "lv"]
    cut = np.flatnonzero(zones.cut.any(axis=1))
    assert (cut[0], len(cut)) == (68, 16)
    islands = zones.islands(0, 96)
    street = zones.tree.position("lv LV2.101 Bus 68")
    assert (zones.of_home == street).sum() == 47
    assert set(islands[cut[0]].tolist()) == {-1, street}
