"""A study with zones from its scenario to its page: an evening in which a street is cut off."""

import json
import re
import subprocess

import numpy as np
import pytest
from test_reports_browser import BROWSER, FLAGS

import gridagora as ga
from gridagora.errors import SolverError
from gridagora.reports.tables import ZONE_TABLE_NAMES
from gridagora.studies import zone_nodes

HOUR = {"period.start": "2016-03-16T17:00", "period.length": "1h"}


@pytest.fixture(scope="module")
def run():
    return ga.run("island-evening")


def test_every_approved_trade_is_settled_and_nothing_else(run):
    zonal = run.zone_trades[run.zone_trades.decision == "approved"]
    keys = ["period", "buyer", "seller"]
    asked = zonal.assign(wh=(zonal.quantity_kwh * 1000).round(), worth=zonal.quantity_kwh * zonal.price)
    settled = run.trades.assign(worth=run.trades.quantity_wh * run.trades.price_micro_per_kwh / 1e9)
    first = asked.astype({"buyer": str, "seller": str}).groupby(keys)[["wh", "worth"]].sum()
    second = settled.astype({"buyer": str, "seller": str}).groupby(keys)[["quantity_wh", "worth"]].sum()
    assert first.index.equals(second.index)
    assert (first.wh == second.quantity_wh).all()
    assert np.allclose(first.worth, second.worth, atol=1e-5)


def test_books_balance_and_bills_are_what_participants_are_told(run):
    assert (run.journal.groupby("entry").amount_micro.sum() == 0).all()
    bills = run.invoices.groupby("participant", observed=True).total.sum()
    cost = run.participants.set_index("participant").cost
    assert np.allclose(bills.loc[cost.index], cost, atol=1e-6)


def test_zones_hold_the_energy_of_their_homes(run):
    home = run.participants.groupby("zone")[["consumption_kwh", "production_kwh"]].sum()
    zones = run.zones.set_index("zone")
    leaves = [name for name in zones.index if not (zones.parent == name).any()]
    assert np.allclose(zones.loc[leaves, "consumption_kwh"], home.loc[leaves, "consumption_kwh"])
    assert np.allclose(zones.loc["bulk", "production_kwh"], home.production_kwh.sum())
    assert zones.loc["bulk", "not_served_kwh"] == pytest.approx(run.kpis["energy_not_served_kwh"])


def test_an_open_gate_carries_nothing_and_its_homes_balance(run):
    frame = run.zone_periods
    cut = frame[(frame.island != "") & (frame.island.astype(str) == frame.zone.astype(str))]
    assert len(cut) > 0
    assert np.allclose(cut.gate_import_decided_kw, 0.0)
    balance = cut.consumption_kw + cut.battery_kw - cut.production_kw
    assert np.allclose(balance, cut.gate_import_kw, atol=0.05)
    assert cut.gate_import_kw.abs().max() < 5.0  # what homes deviate by is left to the source that forms it


def test_prices_at_buses_sum_up_and_leave_out_the_island(run):
    prices = run.nodal_prices
    parts = prices[["energy", "loss", "congestion", "voltage"]].sum(axis=1, min_count=4)
    assert np.allclose(parts, prices.price, atol=1e-6, equal_nan=True)
    frame = run.zone_periods
    islands = {(row.period, row.zone) for row in frame[frame.island != ""].itertuples()}
    away = [key in islands for key in zip(prices.period, prices.zone.astype(str), strict=True)]
    assert prices.price[away].isna().all()
    assert prices.price[~np.array(away)].notna().mean() > 0.9
    assert set(run.nodal_periods.status) <= {"passed", "unavoidable", "open", "not cleared"}


def test_a_period_without_prices_does_not_stop_the_run_and_is_told(monkeypatch):
    def no_answer(*_, **__):
        raise SolverError("no answer here")

    monkeypatch.setattr(zone_nodes, "NetworkPool", lambda *_: no_answer)
    found = ga.run("island-evening", overrides=HOUR)
    assert found.nodal_periods.status.tolist() == ["not cleared"]
    assert found.nodal_periods.reason.tolist() == ["no answer here"]
    assert found.nodal_prices.price.isna().all()
    data = found.tables.zones
    assert len(data.nodal_periods) == 1


def test_welfare_of_zones_never_beats_that_of_the_joint_clearing(run):
    assert (run.zone_welfare.gap > -1e-6).all()


def test_all_tables_are_written_and_the_page_draws_them(run, tmp_path):
    folder = run.write(tmp_path / "run")
    assert {path.stem for path in folder.glob("*.parquet")} >= set(ZONE_TABLE_NAMES)
    page = (folder / "report.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["zones"]["names"] == run.zones.zone.tolist()
    assert data["zones"]["trades"]
    assert len(data["network"]["labels"]) == len(run.nodal_periods)


def as_drawn(run, folder):
    page = run.report(folder / "report.html")
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_scripts_of_the_page_run_without_error(run, tmp_path):
    found = as_drawn(run, tmp_path)
    assert 'data-ready="yes"' in found[:500]
    assert re.search(r'<div id="errors" class="caution" role="alert" hidden="">\s*</div>', found)
    places = ("zone-map", "zone-flows", "zone-gate", "zone-price", "zone-island", "zone-welfare", "nodal")
    for place in places:
        assert "<svg" in found.split(f'id="chart-{place}"')[1][:4000], place
    assert "<li" in found.split('id="trade-steps"')[1][:500]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_a_gate_whose_limit_changes_is_told_with_both_ends(tmp_path):
    limit = {"zone": "lv LV2.101 Bus 68", "export_kw": 100, "from": "2016-03-16T17:30"}
    found = as_drawn(ga.run("island-evening", overrides=HOUR | {"zones.limits": [limit]}), tmp_path)
    told = found.split('id="zone-text"')[1].split("<")[0]
    assert "limit in 187.1 kW, out 100.0 to 187.1 kW." in told
