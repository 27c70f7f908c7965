"""The page about zones: what it says and draws is what the tables hold."""

import dataclasses
import re

import pytest
from test_reports_page import ASSETS, EVIL, SECTIONS, page_of
from zone_records import PERIODS, TREE, make_record

from gridagora.reports.zone_trades import MOST_TRADES, path_between
from gridagora.reports.zones import headline, island_texts, refusals, welfare_text
from gridagora.reports.zones_payload import MOST_BANDS, OTHERS
from gridagora.studies.run import Run


@pytest.fixture(scope="module")
def run():
    return Run(make_record(), scenario_yaml="")


@pytest.fixture(scope="module")
def page(run):
    return page_of(run.tables)


def test_zones_and_the_life_of_a_trade_stand_after_the_summary(page):
    sections = tuple(a["id"] for tag, a in page.tags if tag == "section")
    assert sections == (SECTIONS[0], "zones", "zone-trade", *SECTIONS[1:])
    assert [a["href"][1:] for tag, a in page.tags if tag == "a"] == list(sections)


def test_every_chart_of_the_scripts_has_its_place_and_every_place_its_chart(page):
    names = ("charts.js", "grid.js", "curve.js", "network.js", "zones.js")
    scripts = "".join((ASSETS / name).read_text() for name in names)
    drawn = set(re.findall(r'^chart\("([a-z-]+)"', scripts, re.MULTILINE))
    places = {str(a.get("id", ""))[6:] for _, a in page.tags if str(a.get("id", "")).startswith("chart-")}
    assert drawn == places


def test_scripts_look_for_no_element_that_the_page_lacks(page):
    wanted = set(re.findall(r'byId\("([a-z-]+)"\)', page.html))
    assert wanted <= {a.get("id") for _, a in page.tags}


def test_the_headline_tells_where_energy_went_and_what_was_refused(run):
    text = headline(run.tables, run.tables.zones)
    kpis = run.kpis
    assert f"{kpis['traded_inside_kwh']:.0f} kWh" in text
    assert f"refused {kpis['trades_refused']} ({kpis['refused_kwh']:.1f} kWh)" in text
    assert "For 3.00 h a zone was an island." in text
    assert f"{kpis['energy_not_served_kwh']:.1f} kWh of load could not be served" in text


def test_a_gate_beyond_its_limit_is_no_reason_for_pride(run, page):
    use = run.zones.set_index("zone").gate_use_max_percent
    assert f"at most {use.max():.0f} % at {use.idxmax()}" in page.text
    assert 'class="caution"><strong>Of ' in page.html


def test_who_refused_is_told_with_the_step(run):
    text = refusals(run.tables.zones)
    trades = run.zone_trades
    north = trades[(trades.decided_by == "north") & (trades.decision == "rejected")]
    assert f"{len(north)} by north in step 3 ({north.quantity_kwh.sum():.1f} kWh)" in text
    assert "In place of refused trades the DSO supplied" in text


def test_the_welfare_gap_is_told_in_words(run):
    assert "costs 0.48 EUR" in welfare_text(run.tables)
    even = dataclasses.replace(run.tables, kpis={**run.kpis, "welfare_gap_eur": 0.0})
    assert "costs nothing here" in welfare_text(even)


def test_an_island_is_told_with_its_balance(run):
    first, money = island_texts(run.tables, run.tables.zones)
    assert first.startswith("hill was an island for 3.00 h")
    assert f"{run.kpis['energy_not_served_kwh']:.1f} kWh" in first
    assert f"{run.kpis['lost_load_cost_eur']:.2f} EUR" in money


def test_zones_are_drawn_as_they_are_in_their_tables(run, page):
    data = page.data["zones"]
    assert data["names"] == list(TREE.names)
    assert [data["names"][k] if k >= 0 else "" for k in data["parent"]] == run.zones.parent.tolist()
    assert [data["names"][k] for k in data["zone_of"]] == list(run.elements.zone)
    assert [data["names"][k] if k >= 0 else "" for k in data["gate_of"]] == list(run.elements.gate_of)
    assert data["islands"] == {"4": [["2016-06-01 17:00", "2016-06-01 20:00"]]}


def test_gates_and_prices_over_time_are_those_of_zone_periods(run, page):
    data = page.data["zones"]
    for place, series in zip(data["drawn"], data["over_time"], strict=True):
        rows = run.zone_periods[run.zone_periods.zone == data["names"][place]]
        assert series["high"] == series["low"] == pytest.approx(rows.gate_import_kw.tolist(), abs=1e-4)
        assert series["decided"] == pytest.approx(rows.gate_import_decided_kw.tolist(), abs=1e-4)
        known = [value for value in series["price"] if value is not None]
        assert known == pytest.approx(rows.price.dropna().tolist())


def test_bands_between_zones_are_the_approved_trades(run, page):
    flows, approved = page.data["zones"]["flows"], run.zone_trades[run.zone_trades.decision == "approved"]
    assert sum(flows["kwh"]) == pytest.approx(approved.quantity_kwh.sum(), abs=0.01)
    pairs = {
        (flows["names"][a], flows["names"][b]): kwh
        for a, b, kwh in zip(flows["from"], flows["to"], flows["kwh"], strict=True)
    }
    rows = approved[(approved.seller_zone == "bulk") & (approved.buyer_zone == "hill")]
    assert pairs["bulk", "hill"] == pytest.approx(rows.quantity_kwh.sum(), abs=1e-3)
    assert OTHERS not in flows["names"]
    assert len(flows["names"]) <= MOST_BANDS


def test_the_balance_of_an_island_is_that_of_its_homes(run, page):
    balance = page.data["zones"]["balance"]["4"]
    rows = run.zone_periods[run.zone_periods.zone == "hill"]
    assert balance["served"] == pytest.approx(rows.consumption_kw.tolist(), abs=1e-3)
    assert balance["lost"] == pytest.approx(rows.not_served_kwh.tolist(), abs=1e-3)
    into = [a + b + c for a, b, c in zip(balance["made"], balance["given"], balance["entered"], strict=True)]
    out = [a + b + c for a, b, c in zip(balance["served"], balance["charged"], balance["left"], strict=True)]
    assert into == pytest.approx(out, abs=5e-3)


def test_telling_trades_come_first_with_all_their_steps(run, page):
    trades = page.data["zones"]["trades"]
    assert 0 < len(trades) <= MOST_TRADES
    groups = list(dict.fromkeys(trade["group"] for trade in trades))
    assert groups[:3] == ["refused", "supplied instead", "between zones"]
    assert groups[-1] == "inside one zone"
    steps = run.approvals.groupby("trade", observed=True).size()
    for trade in trades:
        assert len(trade["steps"]) == steps[trade["id"]]
        assert (trade["steps"][-1]["decision"] == "approved") == (trade["decision"] == "approved")
    deciders = [trade["steps"][-1]["by"] for trade in trades if trade["group"] == "refused"]
    assert set(deciders[:2]) == {"north", "DSO"}  # each who refuses is met early


def test_a_refused_trade_tells_what_came_in_its_place(run, page):
    trades = {trade["id"]: trade for trade in page.data["zones"]["trades"]}
    supply = next(trade for trade in trades.values() if trade["group"] == "supplied instead")
    before = run.zone_trades.set_index("trade").loc[supply["follows"]]
    assert before.decision == "rejected"
    if supply["follows"] in trades:
        assert trades[supply["follows"]]["after"].startswith(f"{supply['id']}: approved")


def test_the_way_between_zones_goes_through_the_nearest_zone_around_both():
    parent = {zone.name: zone.parent or "" for zone in TREE.zones}
    assert path_between("hill", "north", parent) == ["hill", "south", "DSO", "north"]
    assert path_between("hill", "hill", parent) == ["hill"]
    assert path_between("bulk", "hill", parent) == ["bulk", "DSO", "south", "hill"]


def test_prices_at_buses_are_drawn_beside_those_of_zones(run, page):
    data = page.data["network"]
    assert len(data["labels"]) == len(run.nodal_periods) == PERIODS // 3
    assert len(data["zone_price"][0]) == len(data["bus"])
    assert data["price"][1] == [None] * len(data["bus"])
    assert "Not cleared: no bids can keep: voltage of h1." in data["text"][1]
    assert "In 1 of them not all limits could be kept, or no prices were found" in page.text


def test_without_islands_and_pictures_their_parts_are_left_out():
    plain = page_of(Run(make_record(cut=(), pictures=False), scenario_yaml="").tables)
    hidden = next(a for _, a in plain.tags if a.get("id") == "zone-islands")
    assert "hidden" in hidden
    assert "No period was cleared jointly on the wires." in plain.text
    assert plain.data["zones"]["balance"] == {}
    assert not any(a.get("id") == "chart-nodal" for _, a in plain.tags)


def test_the_summary_and_method_speak_of_zones(page):
    assert "The mean price of all trades was" in page.text
    assert "Mean price of trades" in page.text
    assert "Homes bid in the market of their zone." in page.text
    assert page.values("data-kpi").keys() >= {"trades_refused", "welfare_gap_eur", "traded_inside_kwh"}


def test_hostile_reasons_stay_text(run):
    approvals = run.approvals.assign(reason=EVIL)
    tables = run.tables
    changed = dataclasses.replace(tables, zones=dataclasses.replace(tables.zones, approvals=approvals))
    found = page_of(changed)
    assert "<script>window.hacked" not in found.html
    assert found.data["zones"]["trades"][0]["steps"][0]["reason"] == EVIL
    scripts = "".join((ASSETS / name).read_text() for name in ("zones.js", "zone_trade.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|https?:", scripts)


def test_names_of_zones_reach_charts_only_through_safe():
    drawing = (ASSETS / "zones.js").read_text().split("function showZone")[0]  # what follows sets plain text
    for raw in re.findall(r"\$\{([^{}]*)\}", drawing):
        if re.search(r"zoneName|inkOf|flows\.names", raw):
            assert (
                "safe(" in raw or f"const inkOf = (z) => ZONES.island_periods[z] ? `${{{raw}}}" in drawing
            ), raw
    assert not re.search(r"name: (zoneName|inkOf)", drawing)
    assert not re.search(r"line\((zoneName|inkOf)", drawing)
