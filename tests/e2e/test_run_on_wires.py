"""A study with the pool that knows its wires, on a feeder that a pool without them would break."""

import json
import re
import subprocess

import numpy as np
import pytest
from test_reports_browser import BROWSER, FLAGS

import gridagora as ga

DAY = {"period.start": "2016-05-08T10:00", "period.length": "7h"}


@pytest.fixture(scope="module")
def run():
    return ga.run("suburb-2035", overrides=DAY)


def test_limits_that_a_pool_would_break_are_kept_as_cleared_and_as_metered(run):
    kpis = run.kpis
    assert kpis["violation_periods_copper_plate"] >= 3
    assert kpis["violation_periods_cleared"] == 0 == kpis["violation_periods"]
    assert kpis["network_unavoidable_periods"] == 0 == kpis["network_open_periods"]
    broken = run.violations.query("stage == 'copper_plate'").period.nunique()
    assert broken == kpis["violation_periods_copper_plate"]


def test_parts_sum_to_the_price_at_every_bus(run):
    prices = run.nodal_prices
    parts = prices[["energy", "loss", "congestion", "voltage"]].sum(axis=1)
    assert np.allclose(parts, prices.price, atol=1e-6)
    assert len(prices) == len(run.network_clearings) * len(run.record.drawing.buses)
    assert (prices[["congestion", "voltage"]].abs().max(axis=1) > 0).any()


def test_the_price_of_safety_is_what_the_bids_say(run):
    table = run.network_clearings
    assert (table.safety_cost > -1e-4).all()
    assert run.kpis["safety_cost_eur"] == pytest.approx(table.safety_cost.sum())
    assert run.kpis["safety_sold_less_kwh"] > 0
    assert set(table.status) == {"passed"}


def test_bids_are_settled_no_worse_than_they_asked_at_their_own_bus(run):
    bus = run.participants.set_index("participant").bus
    bids = run.bids[(run.bids.participant != "upstream") & (run.bids.accepted > 0)]
    bids = bids.assign(bus=bids.participant.astype(str).map(bus))
    nodal = run.nodal_prices.assign(bus=run.nodal_prices.bus.astype(str))[["period", "bus", "price"]]
    found = bids.merge(nodal.rename(columns={"price": "p"}), on=["period", "bus"])
    buys, sells = found[found.side == "buy"], found[found.side == "sell"]
    assert len(found)
    assert (buys.p <= buys.price + 1e-6).all()
    assert (sells.p >= sells.price - 1e-6).all()


def test_books_balance_and_the_operator_keeps_the_congestion_rent(run):
    journal = run.journal
    assert (journal.groupby("entry").amount_micro.sum() == 0).all()
    kept = journal[journal.account == "operator:surplus"].amount_micro.sum() / 1e6
    assert run.kpis["congestion_rent_eur"] > 0
    assert kept == pytest.approx(run.kpis["congestion_rent_eur"], abs=1e-3)


def test_nothing_is_left_to_the_retailer_beyond_what_was_accepted(run):
    assert not run.record.settled().retail.any()
    bids = run.bids
    net = bids.assign(net=np.where(bids.side == "buy", bids.accepted, -bids.accepted))
    assert net.groupby("period")["net"].sum().abs().max() < 1e-9


def test_the_report_shows_prices_on_the_grid_and_the_price_of_safety(run, tmp_path):
    folder = run.write(tmp_path / "run")
    page = (folder / "report.html").read_text()
    assert 'id="chart-nodal"' in page
    assert "would break limits in" in page
    assert f'data-value="{run.kpis["safety_cost_eur"]!r}"' in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])["network"]
    assert len(data["price"]) == len(data["labels"]) == len(run.network_clearings)
    assert (folder / "nodal_prices.parquet").exists()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_scripts_of_the_page_run_without_error(run, tmp_path):
    page = run.report(tmp_path / "report.html")
    command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert 'data-ready="yes"' in found[:500]
    assert re.search(r'<div id="errors" class="caution" role="alert" hidden="">\s*</div>', found)
    drawn = found.split('id="chart-nodal"')[1].split('id="chart-nodal-parts"')
    assert all("<svg" in part for part in drawn)


def test_losses_in_prices_are_paid_from_what_they_collect():
    noon = {"period.start": "2016-05-08T13:00", "period.length": "1h"}
    found = ga.run("suburb-2035", overrides={**noon, "market.price_losses": True})
    assert len(found.network_clearings) == 4
    assert found.kpis["priced_losses_eur"] > 0
    assert found.nodal_prices.loss.abs().max() > 0
    assert (found.journal.groupby("entry").amount_micro.sum() == 0).all()


def test_other_markets_have_no_nodal_prices():
    found = ga.run("village", overrides={"period.length": "1h"})
    assert not len(found.nodal_prices)
    assert not len(found.network_clearings)
    assert "nodal_prices" not in found.table_names
    assert "safety_cost_eur" not in found.kpis
