"""Sums of areas: what they come to, who is told of which, and that no few homes can be told apart by them."""

from datetime import UTC, datetime

import pytest
from api_market import BUSES, EPOCH, SCENARIO, MarketApi

HOMES = {BUSES[0]: 5, BUSES[1]: 6, BUSES[2]: 2}
SUMS = ("points", "import_wh", "export_wh", "scheduled_import_wh", "scheduled_export_wh")
SUMS += ("local_bought_wh", "local_sold_wh")
URL = "/api/v1/aggregates"


def begin_village(path, **more):
    """Return a market of 13 homes at three buses, with bids and forecasts, before its first gate."""
    api = MarketApi(f"sqlite:///{path}", terms={"readings_lead_s": 0}, **more)
    root = api.person("operator", "root")
    api.person("homes", "ann", participants=("h0",))
    names = [f"h{k}" for k in range(sum(HOMES.values()))]
    buses = [bus for bus, count in HOMES.items() for _ in range(count)]
    for name, bus in zip(names, buses, strict=True):
        api.join(root, name, bus)
    api.made("/api/v1/assets", root, {"id": "pv", "participant": "h0", "type": "pv", "power_kw": 9.0})
    api.put("/api/v1/assets/pv/qualification", 1, token=root, json={"decision": "approve"})
    owner = api.person("homes", "all", participants=tuple(names))
    for k in (*range(5, 11), 11):  # all homes at the second bus, and one at the third
        body = {"id": f"f{k}", "participant": f"h{k}", "first": 0, "kw": [0.4, 0.8]}
        api.made("/api/v1/forecasts", owner, body)
    for name, side, price in (("h0", "sell", "0.1"), ("h6", "buy", "0.3")):
        bid = {"participant": name, "side": side, "period": 0, "price": price, "quantity_wh": 600}
        api.made("/api/v1/bids", owner, bid)
    return api, root, owner


def settle(api, root):
    """Settle the first session: home k took (k + 1) x 100 Wh in each quarter-hour, the first one gave 100."""
    api.until(EPOCH - 300, status="published")
    api.hands.moment = EPOCH + 3599
    rows = []
    for k in range(sum(HOMES.values())):
        net = {"import_wh": 0, "export_wh": 100} if k == 0 else {"import_wh": 100 * (k + 1), "export_wh": 0}
        rows += [{"participant": f"h{k}", "period": period, **net} for period in range(3)]
    api.made("/api/v1/readings/bulk", root, {"readings": rows})
    api.until(EPOCH + 3600, status="settled")


@pytest.fixture(scope="module")
def village(tmp_path_factory):
    api, root, owner = begin_village(tmp_path_factory.mktemp("sums") / "a.db")
    api.early = api.get(URL, token=root).json()["items"]
    api.until(EPOCH - 300, status="published")
    api.closed = api.get(URL, token=root).json()["items"]
    settle(api, root)
    yield api, root, owner
    api.close()


def first(answer):
    assert answer.status_code == 200, answer.text
    return {one["place"]: one for one in answer.json()["items"] if one["period"] == 0}


def test_sums_are_told_of_the_whole_and_of_buses_that_leave_no_small_rest(village):
    api, root, _ = village
    told = first(api.get(URL, token=root))
    assert set(told) == {"*", *HOMES}
    whole, second = told["*"], told[BUSES[1]]
    assert (whole["kind"], second["kind"], second["parent"]) == ("market", "bus", "*")
    assert (whole["points"], whole["import_wh"], whole["export_wh"]) == (13, sum(range(200, 1400, 100)), 100)
    assert (second["points"], second["import_wh"]) == (6, sum(range(600, 1200, 100)))
    assert (whole["local_bought_wh"], whole["local_sold_wh"]) == (600, 600)
    assert (second["local_bought_wh"], second["local_sold_wh"]) == (600, 0)
    assert (whole["scheduled_import_wh"], whole["scheduled_export_wh"]) == (600, 600)
    assert {place: one["withheld"] for place, one in told.items()} == {
        "*": None, BUSES[0]: "remainder", BUSES[1]: None, BUSES[2]: "few_points"}  # fmt: skip
    for place in (BUSES[0], BUSES[2]):
        assert all(told[place][name] is None for name in (*SUMS, "forecast_wh", "forecast_points"))


def test_a_forecast_of_one_home_cannot_be_taken_from_that_of_all(village):
    told = first(village[0].get(URL, token=village[1]))
    # seven homes have one, of which six at the second bus: the seventh would be what is left
    assert (told["*"]["forecast_points"], told["*"]["forecast_wh"]) == (7, 7 * 100)
    assert told[BUSES[1]]["forecast_points"] is None
    assert told[BUSES[1]]["withheld"] is None


def test_sums_come_with_the_gate_and_settled_ones_with_settlement(village):
    api, *_ = village
    assert api.early == []
    told = {one["place"]: one for one in api.closed if one["period"] == 0}
    assert {(one["settled"], one["import_wh"]) for one in told.values()} == {(False, None)}
    assert (told["*"]["points"], told["*"]["forecast_points"]) == (13, 7)


def test_answers_are_the_same_for_all_who_may_ask_and_after_a_correction(village):
    api, root, owner = village
    before = api.get(URL, token=root).json()
    for who in (("watch", "rita", ()), ("grid", "dora", ("*",))):
        token = api.person(*who[:2], areas=who[2])
        assert api.get(URL, token=token).json() == before
    nobody = api.person("grid-2", "dave")
    assert api.get(URL, token=nobody).json()["items"] == []
    for place in ("*", BUSES[1], "nowhere"):
        assert api.get(f"{URL}?place={place}", token=nobody).status_code == 403
    for who in (("power", "r"), ("pool", "a"), ("homes", "h")):
        assert api.get(URL, token=api.person(*who)).status_code == 403
    dispute = {"id": "d", "session": 0, "participant": "h7", "reason": "the meter was wrong"}
    api.made("/api/v1/disputes", owner, dispute)
    reading = {"participant": "h7", "period": 0, "import_wh": 5, "export_wh": 0, "quality": "corrected"}
    api.made("/api/v1/readings", root, reading)
    decision = {"accepted": True, "settle_again": True, "reason": "yes"}
    api.made("/api/v1/disputes/d/decision", root, decision)
    after = api.get("/api/v1/deliveries?participant=h7", token=root).json()["items"]
    assert after[0]["metered_wh"] == 5
    assert api.get(URL, token=root).json()["items"] == before["items"]


def test_pages_and_filters_tell_what_the_whole_list_tells(village):
    api, root, _ = village
    whole = api.get(f"{URL}?limit=1000", token=root).json()["items"]
    assert [(one["period"], one["place"]) for one in whole] == sorted(
        (one["period"], one["place"]) for one in whole
    )
    paged, cursor = [], ""
    while cursor is not None:
        answer = api.get(f"{URL}?limit=3{cursor and '&cursor=' + cursor}", token=root).json()
        assert len(answer["items"]) <= 3
        paged += answer["items"]
        cursor = answer["next"]
    assert paged == whole
    one = api.get(f"{URL}?place={BUSES[1]}", token=root).json()["items"]
    assert one == [item for item in whole if item["place"] == BUSES[1]]
    assert api.get(f"{URL}?place=nowhere", token=root).status_code == 404
    span = "from=2026-01-01T01:00:00Z&to=2026-01-01T02:00:00Z"
    hour = api.get(f"{URL}?{span}", token=root).json()["items"]
    assert hour == [item for item in whole if item["start"].startswith("2026-01-01T01")]
    begin = datetime(2026, 1, 1, 1, tzinfo=UTC)
    client = api.client(root)
    typed = list(client.aggregates(BUSES[1], begin=begin))
    later = [item for item in one if item["start"] >= "2026-01-01T01"]
    assert [item.model_dump(mode="json") for item in typed] == later


def test_limits_and_what_went_beyond_them_are_summed(tmp_path):
    api, root, _ = begin_village(tmp_path / "l.db")
    try:
        limit = {"begins": "2026-01-01T00:00Z", "ends": "2026-01-01T01:00Z", "import_kw": 2.5}
        for id_, kind, place in (("a", "bus", BUSES[1]), ("b", "participant", "h7"), ("c", "bus", BUSES[0])):
            body = limit | {"id": id_, "place_kind": kind, "place": place}
            api.made("/api/v1/limits", root, body | ({"export_kw": 9.0} if id_ == "c" else {}))
        settle(api, root)
        told = first(api.get(URL, token=root))
        names = ("limits", "limit_import_kw", "limit_export_kw", "breaches", "beyond_wh")
        assert [told["*"][name] for name in names[:3]] == [3, 7.5, 9.0]
        beyond = sum(range(600, 1200, 100)) - 625 + 800 - 625
        assert [told[BUSES[1]][name] for name in names] == [2, 5.0, None, 2, beyond]
        assert [told[BUSES[2]][name] for name in names] == [0, None, None, 0, 0]
    finally:
        api.close()


def test_a_grid_operator_is_told_of_its_zones_and_a_small_market_of_nothing(tmp_path):
    zones = {"from": "distance", "count": 2}
    scenario = SCENARIO | {"market": {"mechanism": "zonal"}, "zones": zones}
    api, root, _ = begin_village(tmp_path / "z.db", scenario=scenario)
    try:
        settle(api, root)
        tree = api.get("/api/v1/zones").json()["items"]
        parents = {one["id"]: one["parent"] for one in tree}
        told = first(api.get(URL, token=root))
        counts = {
            zone["id"]: sum(count for bus, count in HOMES.items() if bus in zone["buses"]) for zone in tree
        }
        leaf = max((zone for zone in counts if zone not in parents.values()), key=lambda zone: counts[zone])
        dora = api.person("grid", "dora", areas=(leaf,))
        mine = first(api.get(URL, token=dora))
        assert mine == {leaf: told[leaf]}
        other = next(zone for zone in parents if zone != leaf)
        for place in (other, "nowhere"):
            assert api.get(f"{URL}?place={place}", token=dora).status_code == 403
        for place, one in told.items():
            assert one["kind"] == "zone"
            assert (one["withheld"] is None) == (one["points"] is not None)
            if one["points"] is not None and one["parent"] is not None:
                assert one["gate_kw"] == (one["import_wh"] - one["export_wh"]) / 250
            if parents[place] is None:
                assert (one["gate_kw"], one["points"]) == (None, 13)
        results = api.get("/api/v1/sessions/0/results").json()["zones"]
        hidden = {place for place, one in told.items() if one["withheld"]}
        for one in results:
            assert (one["import_wh"] is None) == (one["zone"] in hidden)
            assert (one["volume_wh"] is None) or not 0 < counts[one["zone"]] < 4
    finally:
        api.close()
