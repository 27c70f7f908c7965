"""The report: its numbers are those of the tables, it loads nothing, and odd runs do not break it."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_tables import FEED_IN, RETAIL, make_tables

from gridagora.errors import InvariantError
from gridagora.reports import build_report

ASSETS = Path(build_report.__code__.co_filename).parent / "assets"
EVIL = "</script><script>window.hacked=1</script><img src=x onerror=alert(1)>"
SECTIONS = (
    "summary", "grid", "loading", "voltage", "exchange", "violations",
    "prices", "curve", "energy", "gains", "invoices", "method",
)  # fmt: skip


class Page(HTMLParser):
    """The page as a browser reads it: tags with their attributes, text, and the data of the charts."""

    def __init__(self, html):
        super().__init__()
        self.html, self.tags, self.parts = html, [], {}
        self.inside = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag in ("script", "style"):
            self.inside = (tag, attrs.get("id", ""), len(self.tags))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = None

    def handle_data(self, text):
        self.parts[self.inside] = self.parts.get(self.inside, "") + text

    @property
    def text(self):
        return " ".join(self.parts.get(None, "").split())

    @property
    def data(self):
        return json.loads(next(text for key, text in self.parts.items() if key and key[1] == "data"))

    def values(self, name):
        return {a[name]: float(a["data-value"]) for _, a in self.tags if name in a and "data-value" in a}


def page_of(tables):
    return Page(build_report(tables))


def edit(tables, **changes):
    return dataclasses.replace(tables, **changes)


@pytest.fixture(scope="module")
def tables():
    return make_tables()


@pytest.fixture(scope="module")
def page(tables):
    return page_of(tables)


def floats(values):
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def columns(page, table):
    return {column["key"]: column["values"] for column in page.data["tables"][table]}


# ---- what is on the page -----


def test_every_section_is_there_and_every_link_of_the_page_leads_to_one(page):
    ids = {a.get("id") for tag, a in page.tags}
    links = [a["href"][1:] for tag, a in page.tags if tag == "a"]
    assert tuple(a["id"] for tag, a in page.tags if tag == "section") == SECTIONS
    assert tuple(links) == SECTIONS
    assert ids >= set(SECTIONS)


def test_every_chart_that_a_script_draws_has_its_place_and_every_place_its_chart(page):
    scripts = "".join((ASSETS / name).read_text() for name in ("charts.js", "grid.js", "curve.js"))
    drawn = set(re.findall(r'^chart\("([a-z-]+)"', scripts, re.MULTILINE))
    places = {
        a["id"].removeprefix("chart-") for tag, a in page.tags if str(a.get("id", "")).startswith("chart-")
    }
    assert drawn == places
    assert len(drawn) >= 16


def test_scripts_look_for_no_element_that_the_page_lacks(page):
    wanted = set(re.findall(r'byId\("([a-z-]+)"\)', page.html))
    assert wanted <= {a.get("id") for _, a in page.tags}
    assert len(wanted) >= 10


def test_without_scripts_the_page_says_so_and_keeps_figures_and_totals(page, tables):
    assert any(tag == "noscript" for tag, _ in page.tags)
    assert "scripts are switched off" in page.text
    assert len(page.values("data-kpi")) >= 14
    assert "self_sufficiency" in page.text


def test_times_are_local_and_their_zone_is_named(page):
    assert "all times Europe/Berlin" in page.text
    assert page.data["time"][0] == "2016-05-23 00:00"  # 22:00 UTC
    assert "7 days from Mon 23 May 2016, 00:00" in page.text


def test_method_names_the_rules_of_the_run_and_defines_every_number(page, tables):
    for word in ("pay as cleared", "rule based", "seasonal", "truthful", tables.kpis["event_hash"], "2.4.0"):
        assert word in page.text
    rows = re.findall(r"<th scope='row'>(\w+)</th><td>.*?<td class='text'>(.*?)</td>", page.html)
    assert {name for name, _ in rows} >= {"losses_kwh", "vm_min_pu", "cost_total_eur"}
    assert all(meaning for _, meaning in rows)


# ---- the numbers are those of the tables -----


def test_tiles_show_the_key_figures(page, tables):
    shown = page.values("data-kpi")
    assert shown == {name: pytest.approx(tables.kpis[name]) for name in shown}
    assert f"{tables.kpis['transformer_loading_max_percent']:.1f}" in page.text
    assert f"{tables.kpis['transformer_loading_max_percent_baseline']:.1f}" in page.text


def test_summary_names_worst_place_and_time(page, tables):
    row = tables.flows.loc[tables.flows["transformer_loading_percent"].idxmax()]
    local = row["start"].tz_localize("UTC").tz_convert("Europe/Berlin")
    when = f"{local:%a} {local.day} {local:%B %Y, %H:%M}"
    assert f"T1, reaches {row['transformer_loading_percent']:.1f} % of its rating on {when}" in page.text


def test_summary_tells_bills_as_the_tables_do(page, tables):
    people = tables.participants
    best = people.loc[people["gain"].idxmax()]
    saved = people["gain"].sum()
    assert f"{saved:,.2f} EUR ({100 * saved / people['cost_baseline'].sum():.1f} %) less" in page.text
    assert f"most: {best['participant']}, {best['gain']:.2f} EUR" in page.text


def test_a_market_that_costs_more_is_not_told_as_a_gain(tables):
    people = tables.participants.assign(gain=-tables.participants["gain"])
    kpis = dict(tables.kpis)
    kpis["cost_total_eur"], kpis["cost_total_baseline_eur"] = (
        kpis["cost_total_baseline_eur"],
        kpis["cost_total_eur"],
    )
    kpis["gain_total_eur"] = -kpis["gain_total_eur"]
    text = page_of(edit(tables, kpis=kpis, participants=people)).text
    assert re.search(
        r"That is [\d.,]+ EUR \([\d.]+ %\) more\. 0 of 12 participants pay less; 12 pay more", text
    )


def test_invoice_totals_are_the_sums_of_all_lines(page, tables):
    shown = page.values("data-invoice")
    assert shown == {name: pytest.approx(tables.invoices[name].sum()) for name in shown}
    assert {"total", "total_baseline", "network_charge", "imbalance_charge"} <= set(shown)
    per_home = tables.invoices.groupby("participant")["total"].sum()
    found = columns(page, "invoices")
    assert dict(zip(found["participant"], found["total"], strict=True)) == pytest.approx(
        per_home.to_dict(), abs=1e-5
    )


def test_gains_are_sorted_and_equal_the_participants_table(page, tables):
    found = columns(page, "participants")
    expected = tables.participants.sort_values("gain", ascending=False)
    assert found["participant"] == expected["participant"].tolist()
    np.testing.assert_allclose(floats(found["gain"]), expected["gain"], atol=1e-6)


def test_flows_of_both_cases_are_drawn_as_they_are(page, tables):
    flow = page.data["flow"]
    for suffix in ("", "_baseline"):
        expected = tables.flows[f"transformer_loading_percent{suffix}"]
        np.testing.assert_allclose(floats(flow["transformer"][f"value{suffix}"]), expected, atol=1e-4)
        lowest = tables.flows[f"vm_min_pu{suffix}"]
        np.testing.assert_allclose(floats(flow["vm_min"][f"value{suffix}"]), lowest, atol=1e-5)
    assert set(flow["transformer"]["where"]) == {"T1"}


def test_prices_are_drawn_between_the_retailers(page, tables):
    price = page.data["price"]
    np.testing.assert_allclose(floats(price["mean"]), tables.prices["price"], atol=1e-6)
    assert set(price["retail"]) == {RETAIL}
    assert set(price["feed_in"]) == {FEED_IN}
    assert floats(price["local_volume_kwh"]).sum() == pytest.approx(tables.kpis["local_volume_kwh"], abs=0.1)


def test_energy_balance_closes_in_every_bin(page, tables):
    energy = {name: floats(values) for name, values in page.data["energy"].items()}
    np.testing.assert_allclose(
        energy["own"] + energy["between"] + energy["upstream"], energy["use"], atol=1e-3
    )
    net = tables.schedules.groupby("period")["metered_kw"].sum().to_numpy() * 0.25
    np.testing.assert_allclose(energy["upstream"] - energy["export"], net, atol=1e-3)


def test_reverse_flow_hours_by_clock_sum_to_the_key_figure(page, tables):
    reverse = page.data["reverse"]
    assert sum(reverse["hours"]) == pytest.approx(tables.kpis["reverse_flow_hours"])
    assert sum(reverse["hours_baseline"]) == pytest.approx(tables.kpis["reverse_flow_hours_baseline"])


@pytest.mark.parametrize("period", [0, 48, 350, 671])
def test_curve_of_a_period_holds_its_bids_and_its_clearing(page, tables, period):
    curve = page.data["curve"]
    rows = range(curve["first"][period], curve["first"][period + 1])
    found = pd.DataFrame(
        {
            "participant": [curve["names"][curve["who"][n]] for n in rows],
            "side": ["buy" if curve["side"][n] == "b" else "sell" for n in rows],
            **{
                name: [np.inf if curve[name][n] is None else curve[name][n] for n in rows]
                for name in ("price", "quantity", "accepted")
            },
        }
    )
    expected = tables.bids.query("period == @period")[list(found.columns)]
    key = ["participant", "side"]
    pd.testing.assert_frame_equal(
        found.sort_values(key, ignore_index=True), expected.sort_values(key, ignore_index=True), atol=1e-6
    )
    prices = tables.prices.set_index("period").loc[period]
    assert curve["price_cleared"][period] == pytest.approx(prices["price"], abs=1e-6)
    assert curve["volume_kwh"][period] == pytest.approx(prices["volume_kwh"], abs=1e-6)


def test_violations_come_worst_first_with_those_behind_them(page, tables):
    found = columns(page, "violations")
    assert len(found["value"]) == len(tables.violations)
    assert found["value"] == sorted(found["value"], reverse=True)
    assert set(found["stage"]) == {"cleared", "metered", "baseline"}
    assert found["participants"][0] == "home 1; home 2; home 3"
    over = tables.flows["transformer_loading_percent"] > 100
    assert page.data["marks"]["broken"]["transformer"] == tables.flows.loc[over, "period"].tolist()
    assert page.data["marks"]["broken"]["voltage_low"] == []


def test_hover_of_a_branch_counts_the_participants_behind_it(page):
    grid = page.data["grid"]
    behind = dict(zip(grid["element"], grid["behind"], strict=True))
    assert behind["T1"] == "home 1, home 2, home 3, home 4, home 5, home 6 and 6 more"
    assert behind["line 1"] == "home 1, home 3, home 5, home 7, home 9, home 11"  # one side of the street
    assert behind["line 12"] == "home 12"  # its end
    assert behind["bus 2"] == "home 1"


def test_equal_tables_give_equal_bytes(tables):
    assert build_report(tables) == build_report(make_tables())


# ---- offline and safe -----


def test_nothing_is_loaded_from_anywhere(page):
    loading = {"src", "href", "data", "action", "poster", "srcset", "background", "cite", "formaction"}
    for tag, attrs in page.tags:
        for name in loading & set(attrs):
            assert attrs[name].startswith(("#", "data:,")), (tag, attrs)
    assert not {tag for tag, _ in page.tags} & {"iframe", "object", "embed", "img", "base"}
    own = "".join(text for key, text in page.parts.items() if key and len(text) < 1_000_000)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(|https?:", own)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("http-equiv", "")


def test_data_of_a_run_cannot_be_shared_by_a_button_of_the_chart_library():
    core = (ASSETS / "core.js").read_text()
    assert 'plotlyServerURL: ""' in core
    assert "showSendToCloud: false" in core
    assert '"sendChartToCloud"' in core


def test_a_week_stays_small(page):
    assert len(page.html.encode()) < 12_000_000


def test_hostile_names_stay_text_everywhere():
    names = [EVIL, "=1+1", "home & <b>3</b>", *(f"h{k}" for k in range(3))]
    tables = make_tables(len(names), 96, names=names)
    tables = edit(tables, title=EVIL, scenario_yaml=EVIL, timezone="Europe/Berlin")
    tables.kpis["scenario"] = EVIL
    page, honest = page_of(tables), page_of(make_tables(6, 96))
    assert [tag for tag, _ in page.tags] == [
        tag for tag, _ in honest.tags
    ]  # no tag more than an honest run has
    assert "<script>window.hacked" not in page.html
    assert EVIL in columns(page, "participants")["participant"]
    assert EVIL in page.text


def test_scripts_put_names_into_charts_only_through_safe():
    """Chart texts know HTML tags, so every name that reaches one must pass `safe`."""
    scripts = "".join((ASSETS / name).read_text() for name in ("charts.js", "grid.js", "curve.js"))
    for raw in re.findall(r"\$\{([^{}]*)\}", scripts):
        if re.search(r"GRID\.(element|behind|contributors)|bid\.who|\bname\b", raw):
            assert "safe(" in raw or raw in ("name}, lowest", "name"), raw
    for path in ASSETS.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()
        )


# ---- odd runs -----


def test_no_broken_limit_is_said_with_pride():
    page = page_of(make_tables(6, 96, broken=False))
    assert "No limit was broken in any period of the run, with the market or without." in page.text
    assert 'class="proud"' in page.html
    assert "no line, transformer or voltage limit is broken in any period. Nor without a market." in page.text
    assert columns(page, "violations")["element"] == []


def test_islanded_feeder_has_no_retailer_and_no_band():
    tables = make_tables(6, 96, islanded=True)
    tables.kpis["energy_not_served_kwh"] = 12.5
    page = page_of(tables)
    assert "with no retailer behind it" in page.text
    assert "12.50 kWh of load could not be served" in page.text
    assert page.values("data-kpi")["energy_not_served_kwh"] == 12.5
    assert page.data["price"]["retail"] == [None] * 96
    assert "upstream" not in page.data["curve"]["names"]


def test_nothing_traded_and_nothing_bid():
    tables = make_tables(6, 96)
    prices = tables.prices.assign(price=np.nan, volume_kwh=0.0, local_volume_kwh=0.0)
    kpis = {**tables.kpis, "local_volume_kwh": 0.0, "mean_price_eur_per_kwh": float("nan")}
    page = page_of(
        edit(tables, prices=prices, kpis=kpis, bids=tables.bids.iloc[:0], trades=tables.trades.iloc[:0])
    )
    assert "nothing was traded between participants" in page.text
    assert page.data["price"]["mean"] == [None] * 96
    assert page.data["curve"]["first"] == [0] * 97
    assert "mean_price_eur_per_kwh" not in page.values("data-kpi")


def test_one_participant_and_one_period():
    page = page_of(make_tables(1, 1))
    assert "one participant took part" in page.text
    assert columns(page, "participants")["participant"] == ["home 1"]
    assert len(page.data["time"]) == 1


def test_power_flow_without_solution_is_flagged_and_never_a_number():
    tables = make_tables(6, 96, broken=False)
    flows = tables.flows.copy()
    numbers = [n for n in flows.columns if flows[n].dtype == float and not n.endswith("_baseline")]
    flows.loc[10:12, numbers] = np.nan
    flows.loc[10:12, "converged"] = False
    page = page_of(edit(tables, flows=flows))
    assert "found no solution in 3 of 96 periods (first: Mon 23 May 2016, 02:30" in page.text
    assert page.data["marks"]["not_converged"] == [10, 11, 12]
    assert page.data["flow"]["line"]["value"][10:13] == [None] * 3
    assert "No limit was broken in any period that could be calculated" in page.text
    assert 'class="proud"' not in page.html


def test_all_power_flows_without_solution():
    tables = make_tables(6, 96)
    flows = tables.flows.copy()
    numbers = [n for n in flows.columns if flows[n].dtype == float]
    flows[numbers] = np.nan
    flows["converged"] = flows["converged_baseline"] = False
    elements = tables.elements.assign(worst_value=np.nan, worst_value_baseline=np.nan, worst_period=-1)
    page = page_of(edit(tables, flows=flows, elements=elements, violations=tables.violations.iloc[:0]))
    assert "found no solution in 96 of 96 periods" in page.text
    assert page.data["grid"]["when"] == [""] * len(elements)


def test_a_stopped_run_says_so(tables):
    text = page_of(edit(tables, kpis={**tables.kpis, "periods_planned": 2000})).text
    assert "stopped after 672 of 2,000 periods" in text


def test_categories_as_a_real_run_hands_them_out(tables, page):
    def categories(frame):
        texts = frame.select_dtypes("object").columns
        return frame.astype(dict.fromkeys(texts, "category"))

    names = ("bids", "trades", "schedules", "elements", "violations", "invoices", "flows", "participants")
    assert build_report(edit(tables, **{n: categories(getattr(tables, n)) for n in names})) == page.html


def test_three_phase_unbalance_is_drawn_when_it_is_known(tables, page):
    assert set(page.data["flow"]["unbalance"]["value"]) == {None}
    known = page_of(edit(tables, flows=tables.flows.assign(unbalance_percent=1.25)))
    assert set(known.data["flow"]["unbalance"]["value"]) == {1.25}


def test_missing_key_figures_leave_out_their_tiles_not_the_page(tables):
    page = page_of(edit(tables, kpis={"scenario": "bare", "periods": 672}))
    assert page.values("data-kpi") == {}
    assert "took part and nothing was traded" in page.text


def test_a_report_needs_a_period(tables):
    empty = {name: getattr(tables, name).iloc[:0] for name in ("prices", "flows", "schedules", "bids")}
    with pytest.raises(InvariantError, match="at least one period"):
        build_report(edit(tables, **empty))
