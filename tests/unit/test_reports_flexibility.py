"""The report of a flexibility market: its numbers are those of the tables, the pool's sections are gone."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flex_records import BUYER, NAMES, STRATEGIES, make_record
from test_reports_page import ASSETS, EVIL, Page

from gridagora.reports import build_report
from gridagora.reports.flexibility import RULES, headline, rules_text
from gridagora.reports.flexibility_payload import flex_data
from gridagora.reports.series import timeline
from gridagora.studies.run import Run

SECTIONS = (
    "summary", "flexibility", "flex-curves", "flex-payments", "flex-delivery", "grid", "loading", "voltage",
    "exchange", "violations", "energy", "gains", "invoices", "method",
)  # fmt: skip


@pytest.fixture(scope="module")
def run():
    return Run(make_record(), scenario_yaml="name: streets\n")


@pytest.fixture(scope="module")
def page(run):
    return Page(build_report(run.tables))


@pytest.fixture(scope="module")
def flex(page):
    return page.data["flexibility"]


def edited(tables, **changes):
    return dataclasses.replace(tables, flexibility=dataclasses.replace(tables.flexibility, **changes))


def values(columns, key):
    return next(column["values"] for column in columns if column["key"] == key)


# ---- the page -----


def test_sections_and_links_are_those_of_the_flexibility_market(page):
    assert tuple(a["id"] for tag, a in page.tags if tag == "section") == SECTIONS
    assert tuple(a["href"][1:] for tag, a in page.tags if tag == "a") == SECTIONS
    assert "curve" not in page.data
    assert "price" not in page.data


def test_every_chart_and_every_element_that_a_script_wants_is_there(page):
    ids = {a.get("id") for _, a in page.tags}
    assert set(re.findall(r'byId\("([a-z-]+)"\)', page.html)) <= ids
    scripts = "".join((ASSETS / f"{name}.js").read_text() for name in ("charts", "grid", "flexibility"))
    drawn = set(re.findall(r'^chart\("([a-z-]+)"', scripts, re.MULTILINE))
    places = {str(i).removeprefix("chart-") for i in ids if str(i).startswith("chart-")}
    assert drawn == places
    tables = set(re.findall(r'makeTable\("([a-z-]+)"', page.html))
    assert {f"table-{name}" for name in tables} <= ids


def test_controls_can_be_named_and_used_by_keyboard(page):
    """Each control is a button, a select in a label, or a region that takes the focus to be scrolled."""
    buttons = [a for tag, a in page.tags if tag == "button" and a.get("class", "").startswith("way")]
    assert [a["data-way"] for a in buttons] == list(STRATEGIES)
    assert [a["aria-pressed"] for a in buttons] == ["true", "false", "false"]
    for name in ("flex-auction", "flex-hour", "flex-day"):
        assert re.search(rf'<label>\w+ <select id="{name}">', page.html)
    for name in ("flex-back", "flex-next"):
        assert next(a for _, a in page.tags if a.get("id") == name)["aria-label"]
    live = {a["id"] for _, a in page.tags if a.get("aria-live") == "polite"}
    assert {"flex-way-text", "flex-curve-text", "flex-day-text", "flex-delivery-text"} <= live
    assert any(a.get("role") == "region" and a.get("tabindex") == "0" for _, a in page.tags)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_names_reach_charts_only_through_safe():
    script = (ASSETS / "flexibility.js").read_text()
    for raw in re.findall(r"\$\{([^{}]*)\}", script):
        if re.search(r"bid\.who|where", raw):
            assert "safe(" in raw, raw


def test_hostile_names_stay_text(run):
    tables = edited(
        run.tables,
        buyer=EVIL,
        flex_bids=run.flex_bids.assign(participant=EVIL),
        flex_deliveries=run.flex_deliveries.assign(participant=EVIL, deficiency_kwh=1.0),
        flex_hours=run.flex_hours.assign(element=EVIL),
    )
    found = Page(build_report(tables))
    honest = Page(build_report(run.tables))
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in honest.tags]
    assert "<script>window.hacked" not in found.html


def test_the_page_loads_nothing_and_equal_runs_give_equal_bytes(run, page):
    own = "".join(text for key, text in page.parts.items() if key and len(text) < 1_000_000)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(|https?:", own)
    assert build_report(run.tables) == page.html


# ---- sentences -----


def test_headline_tells_hours_loading_and_cost(run, page):
    row = run.flex_strategies.iloc[0]
    text = headline(run.tables, run.tables.flexibility)
    assert text in page.text
    assert (
        f"cured {row['cured_h']:.0f} of {row['overloaded_before_h']:.0f} hours (100.0 %) in which a line or "
        "transformer was above 95 %; no hour is newly overloaded." in text
    )
    assert f"{row['loading_max_before_percent']:.1f} % to {row['loading_max_after_percent']:.1f} %" in text
    assert f"{BUYER} paid {row['operator_cost']:.2f} EUR" in text
    after, before = row["voltage_periods_after"], row["voltage_periods_before"]
    assert f"A voltage is outside its limits in {after} periods ({before} before)." in text
    healed = edited(run.tables, flex_strategies=run.flex_strategies.assign(voltage_periods_after=0))
    assert f"No voltage is outside its limits (in {before} periods before)." in headline(
        healed, healed.flexibility
    )
    assert 'class="proud"' in page.html


def test_new_overloads_and_unmet_needs_are_not_hidden(run):
    worse = Run(make_record(settled="impact"), scenario_yaml="")
    text = headline(worse.tables, worse.tables.flexibility)
    row = worse.flex_strategies.iloc[0]
    count = int(row["newly_overloaded_h"])
    assert f"; {count} hour{' is' if count == 1 else 's are'} newly overloaded." in text
    assert "1 need could not have been cured with all that was offered; 1 of them not even if" in text
    page = Page(build_report(worse.tables))
    assert re.search(r'<p class="caution"><strong>Bidding impact-based', page.html)
    assert "kWh were missing, at R15" in page.text


def test_nothing_overloaded_is_said_as_it_is(run):
    frame = run.flex_strategies.assign(overloaded_before_h=0.0, overloaded_after_h=0.0)
    tables = edited(run.tables, flex_strategies=frame)
    assert headline(tables, tables.flexibility).startswith("No line or transformer is above 95 % without")
    tables = edited(run.tables, flex_strategies=frame.assign(newly_overloaded_h=1.0, overloaded_after_h=1.0))
    text = headline(tables, tables.flexibility)
    assert "flexibility market; with it, 1 hour is newly overloaded. " in text


def test_money_that_neither_side_pays_is_not_hidden(run):
    frame = run.flex_strategies.assign(budget_balance=-133.434)
    tables = edited(run.tables, flex_strategies=frame)
    text = headline(tables, tables.flexibility)
    assert "The sellers received 133.43 EUR more than DSO paid: the market pays it out without taking" in text
    fined = edited(run.tables, flex_strategies=frame.assign(operator_cost=-32.03))
    text = headline(fined, fined.flexibility)
    assert "DSO got back 32.03 EUR more than it paid for flexibility (" in text
    even = edited(run.tables, flex_strategies=run.flex_strategies.assign(budget_balance=0.0001))
    assert "bear it" not in headline(even, even.flexibility)


def test_what_is_paid_for_keeping_power_ready_and_what_came_back_are_told_apart(run):
    def text(fee, fine):
        contracts = run.flex_contracts[run.flex_contracts["strategy"] == STRATEGIES[0]].head(1)
        orders = run.flex_deliveries[run.flex_deliveries["strategy"] == STRATEGIES[0]].head(1)
        tables = edited(
            run.tables,
            flex_contracts=contracts.assign(fee=fee, withheld=0.5),
            flex_deliveries=orders.assign(claw_back=0.25, penalty=fine),
        )
        return headline(tables, tables.flexibility)

    assert (
        "in auctions, 2.00 EUR for keeping power ready; sellers gave back 1.75 EUR for what they did not "
        "deliver); by" in text(2.5, 1.5)
    )
    assert "in auctions); by" in text(0.5, -0.25)


def test_the_first_auction_shown_is_where_the_market_is_worth_most(run, flex):
    for name in STRATEGIES:
        curves = flex["curves"][name]
        worth = [
            w or 0.0 for w, h in zip(curves["welfare"], curves["horizon"], strict=True) if h == "activation"
        ]
        assert curves["horizon"][curves["pick"]] == "activation"
        assert curves["welfare"][curves["pick"]] == max(worth) > 0


def test_comparison_shows_the_table_of_strategies(run, page):
    shown = re.findall(r'data-flex="(\w+)" data-value="([^"]+)"', page.html)
    for column in ("cured_h", "share_cured", "newly_overloaded_h", "operator_cost", "unmet"):
        found = [float(value) for name, value in shown if name == column]
        assert found == pytest.approx(run.flex_strategies[column].astype(float).tolist())
    assert "68 % (impact-based) and 72 % (probability-based)" in page.text
    assert "those are not figures of this run" in page.text


def test_text_of_a_day_is_computed_from_its_numbers(run, flex):
    day = flex["days"]["impact"][0]
    rules = run.flex_rules[(run.flex_rules["strategy"] == "impact") & (run.flex_rules["day"] == day["day"])]
    left = float(rules.loc[rules["rule"] == "vcg", "budget_balance"].iloc[0])
    assert f"VCG pays out {-left:.2f} EUR more than it takes in" in day["text"]
    assert "Settled by uniform price" in day["text"]
    surplus = rules.assign(
        budget_balance=np.where(rules["rule"] == "vcg", 3.0, 0.0),
        largest_excess=0.0,
        individually_rational=rules["rule"] != "uniform",
        strategy_proof="not known",
    )
    paid = run.flex_payments[
        (run.flex_payments["strategy"] == "impact") & (run.flex_payments["day"] == day["day"])
    ]
    text = rules_text(surplus, paid, buyers={BUYER}, currency="EUR")
    assert "VCG takes in 3.00 EUR more than it pays out." in text
    assert "Somebody is worse off than without the market under uniform price." in text
    assert "No group of players would gain by leaving, under any rule." in text
    assert "false bid" not in text
    assert "no uniform price" not in text
    ordered = rules_text(rules[rules["rule"] != "uniform"], paid, buyers={BUYER}, currency="EUR")
    assert ordered.startswith("Of the day's bids no uniform price can be made that suits everyone. ")


# ---- data of charts and tables -----


def test_loading_is_drawn_before_and_after(run, flex):
    for name, strategy in zip(STRATEGIES, run.record.flexibility.strategies, strict=True):
        after = strategy.flows.loading_percent.max(axis=1)
        np.testing.assert_allclose(flex["after"][name]["value"], after, rtol=1e-4)
    np.testing.assert_allclose(
        flex["before"]["value"], run.record.flows_baseline.loading_percent.max(axis=1), rtol=1e-4
    )
    assert set(flex["before"]["where"]) == {"T1"}
    new = run.flex_hours[
        (run.flex_hours["strategy"] == "impact") & (run.flex_hours["state"] == "newly overloaded")
    ]
    assert flex["marks"]["impact"]["new"] == new["period"].tolist()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_curves_of_any_hour_hold_its_bids(run, flex, strategy):
    curves = flex["curves"][strategy]
    bids = run.flex_bids[run.flex_bids["strategy"] == strategy]
    auctions = run.flex_auctions[run.flex_auctions["strategy"] == strategy]
    assert len(curves["labels"]) == len(auctions)
    for place in (0, len(curves["labels"]) - 1):
        held = slice(curves["first"][place], curves["first"][place + 1])
        start = pd.Timestamp(curves["labels"][place])
        wanted = bids[(bids["auction"] == curves["auction"][place]) & (bids["start"] == start)]
        found = pd.DataFrame(
            {
                "participant": [curves["names"][k] for k in curves["who"][held]],
                "side": ["buy" if letter == "b" else "sell" for letter in curves["side"][held]],
                "step": curves["step"][held],
                "price": curves["price"][held],
                "quantity_kw": curves["quantity"][held],
                "accepted_kw": curves["accepted"][held],
            }
        )
        pd.testing.assert_frame_equal(
            found, wanted[list(found.columns)].reset_index(drop=True), check_dtype=False, atol=1e-5
        )
        row = auctions[(auctions["auction"] == curves["auction"][place]) & (auctions["start"] == start)].iloc[
            0
        ]
        assert curves["sold_kw"][place] == pytest.approx(row["sold_kw"], abs=1e-5)
        assert curves["ordered"][place] == (strategy == "probability")


def test_payments_of_a_day_stand_side_by_side_with_their_sum(run, flex):
    day = flex["days"]["impact"][0]
    paid = run.flex_payments[
        (run.flex_payments["strategy"] == "impact") & (run.flex_payments["day"] == day["day"])
    ]
    assert values(day["payments"], "participant") == [BUYER, *NAMES, "sum"]
    for rule in RULES:
        column = values(day["payments"], rule)
        np.testing.assert_allclose(column[:-1], paid[rule], atol=1e-5)
        assert column[-1] == pytest.approx(paid[rule].sum(), abs=1e-5)
    ordered = flex["days"]["probability"][0]
    assert set(values(ordered["payments"], "uniform")) == {None}
    assert "uniform price" not in values(ordered["rules"], "rule")


def test_hours_and_orders_of_each_strategy_are_its_rows(run, flex):
    for name in STRATEGIES:
        hours = run.flex_hours[run.flex_hours["strategy"] == name]
        assert values(flex["hours"][name], "state") == hours["state"].tolist()
        orders = flex["deliveries"][name]
        assert len(values(orders, "kept")) == (run.flex_orders["strategy"] == name).sum()
    assert "missed" in values(flex["deliveries"]["impact"], "kept")
    assert set(values(flex["deliveries"]["probability"], "kept")) == {"delivered"}


def test_each_seller_has_a_line_that_sums_its_orders_and_fees(run, flex):
    found = flex["sellers"][STRATEGIES[0]]
    received = dict(zip(values(found, "participant"), values(found, "received"), strict=True))
    expected = run.participants.set_index("participant")["flex_received"]
    assert received == pytest.approx(expected.to_dict(), abs=1e-5)
    missed = dict(
        zip(
            values(flex["sellers"]["impact"], "participant"),
            values(flex["sellers"]["impact"], "missed"),
            strict=True,
        )
    )
    assert missed["R15"] > 0
    assert sum(missed.values()) == missed["R15"]


def test_a_long_run_shows_the_hours_that_matter_and_says_so(run, monkeypatch):
    monkeypatch.setattr("gridagora.reports.flexibility_payload.MAX_BIDS", 300)
    tables = run.tables
    found = flex_data(tables, tables.flexibility, timeline(tables))
    assert "only the hours above the threshold can be chosen" in found["shown"]
    assert found["curves"]["impact"]["labels"] == []
    worst = set(run.flex_hours["start"])
    assert {pd.Timestamp(label) for label in found["curves"][STRATEGIES[0]]["labels"]} <= worst


def test_every_asset_of_the_page_is_used():
    names = {path.stem for path in Path(ASSETS).glob("*.js")}
    pool = {"core", "charts", "grid", "curve", "flexibility", "network", "tables", "main"}
    assert names == {*pool, "zones", "zone_trade"}
