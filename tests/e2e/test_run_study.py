"""A whole study: what a user reads off a run must hold together."""

import json

import numpy as np
import pytest

import gridagora as ga

HALF_DAY = {"period.length": "12h"}


@pytest.fixture(scope="module", params=["rule_based", "optimal"])
def run(request):
    return ga.run("village", overrides={"period.length": "1d", "agents.ems": request.param})


def test_every_bought_wh_was_sold_and_no_bid_got_more_than_it_asked(run):
    bids = run.bids
    assert (bids.accepted <= bids.quantity + 1e-12).all()
    net = bids.assign(net=np.where(bids.side == "buy", bids.accepted, -bids.accepted))
    assert net.groupby("period")["net"].sum().abs().max() < 1e-9


def test_bids_are_settled_no_worse_than_they_asked(run):
    price = run.bids.merge(run.prices[["period", "price"]].rename(columns={"price": "p"}), on="period")
    won = price[price.accepted > 0]
    buys = won[won.side == "buy"]
    sells = won[won.side == "sell"]
    assert (buys["p"] <= buys["price"] + 1e-9).all()
    assert (sells["p"] >= sells["price"] - 1e-9).all()


def test_trades_hold_what_was_accepted(run):
    bought = run.bids[run.bids.side == "buy"].groupby("participant", observed=True).accepted.sum()
    traded = run.trades.groupby("buyer", observed=True).quantity_wh.sum() / 1000
    assert np.allclose(bought[bought > 0].sort_index(), traded.sort_index())


def test_every_journal_entry_sums_to_zero_and_so_does_the_journal(run):
    assert (run.journal.groupby("entry").amount_micro.sum() == 0).all()


def test_invoices_are_what_the_journal_booked(run):
    booked = run.journal[run.journal.account.str.startswith("participant:")]
    assert run.invoices.standing.sum() > 0
    assert run.invoices.total.sum() == pytest.approx(-booked.amount_micro.sum() / 1e6, abs=1e-6)


def test_invoices_add_up(run):
    parts = run.invoices.eval(
        "energy_charge - energy_credit + imbalance_charge + network_charge + taxes + standing"
    )
    assert np.allclose(parts, run.invoices.total)
    assert np.allclose(run.invoices.total_baseline - run.invoices.total, run.invoices.gain)
    by_home = run.invoices.groupby("participant", observed=True).total.sum()
    assert np.allclose(by_home.loc[run.participants.participant], run.participants.cost)


def test_meters_are_what_the_devices_did(run):
    s = run.schedules
    net = s.load_kw - s.unserved_kw - s.pv_kw + s.curtailed_kw + s.battery_kw + s.ev_kw + s.heat_pump_kw
    assert np.abs(net - s.metered_kw).max() < 0.003  # half a watt-hour in a quarter of an hour is 2 W


def test_grid_import_is_what_meters_and_losses_say(run):
    metered = run.schedules.groupby("period").metered_kw.sum()
    assert np.allclose(run.flows.import_kw, metered.to_numpy() + run.flows.losses_kw, atol=0.6)


def test_violations_are_those_of_the_flows(run):
    limits = run.record.study.limits
    high = (run.voltages.drop(columns="period") > limits.vm_max_pu + 1e-6).to_numpy().sum()
    told = run.violations.query("stage == 'metered' and kind == 'voltage_high'")
    assert len(told) == high


def test_written_run_holds_the_same_numbers(run, tmp_path):
    import pandas as pd

    folder = run.write(tmp_path / "out")
    assert json.loads((folder / "kpis.json").read_text())["event_hash"] == run.event_hash
    assert len(pd.read_parquet(folder / "trades.parquet")) == len(run.trades)
    assert (folder / "report.html").stat().st_size > 100_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_same_seed_same_hash_and_another_seed_another():
    first, second = (ga.run("village", overrides=HALF_DAY, seed=3) for _ in range(2))
    assert first.event_hash == second.event_hash
    assert first.bids.equals(second.bids)
    assert ga.run("village", overrides=HALF_DAY, seed=4).event_hash != first.event_hash


@pytest.mark.parametrize("mechanism", ["pay_as_bid", "vickrey", "trade_reduction"])
def test_every_mechanism_runs_and_balances(mechanism):
    run = ga.run("village", overrides=HALF_DAY | {"market.mechanism": mechanism})
    assert run.journal.amount_micro.sum() == 0
    surplus = run.journal[run.journal.account == "operator:surplus"].amount_micro.sum()
    if mechanism == "pay_as_bid":
        assert abs(surplus) <= len(run.trades)  # prices are whole micro-units: the residue is booked here
    if mechanism == "vickrey":
        assert surplus <= 0  # VCG pays out more than it takes in
    if mechanism == "trade_reduction":
        assert surplus >= 0


@pytest.mark.parametrize("bidding", ["zero_intelligence", "fixed_margin"])
def test_homes_that_find_no_partner_are_supplied_by_the_retailer(bidding):
    run = ga.run("village", overrides=HALF_DAY | {"agents.bidding": bidding, "agents.forecast": "perfect"})
    assert run.kpis["imbalance_kwh"] < 0.01
    assert run.kpis["participants_worse_off"] == 0


def test_with_perfect_forecasts_nobody_loses_by_the_market():
    run = ga.run("village", overrides={"period.length": "1d", "agents.forecast": "perfect"})
    assert run.participants.gain.min() > -0.001


def test_an_island_serves_itself_and_says_what_it_could_not():
    run = ga.run("village", overrides=HALF_DAY | {"market.islanded": True})
    feeder = run.schedules.groupby("period").metered_kw.sum()
    assert feeder.max() < 0.5
    assert run.kpis["energy_not_served_kwh"] > 0
    assert "upstream" not in set(run.bids.participant)


def test_a_stopped_run_leaves_what_is_finished():
    asked = iter(range(1000))
    run = ga.run("village", overrides=HALF_DAY, stop=lambda: next(asked) >= 5)
    assert not run.finished
    assert run.kpis["periods"] == len(run.prices) == 5 * 4
    assert run.journal.amount_micro.sum() == 0


def test_a_run_stopped_before_its_first_session_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt):
        ga.run("village", overrides=HALF_DAY, stop=lambda: True)


def test_progress_reaches_its_end():
    seen = []
    ga.run("village", overrides={"period.length": "3h"}, progress=lambda *step: seen.append(step))
    assert "market" in {what for _, _, what in seen}
    assert all(done <= total for done, total, _ in seen)
    assert (12, 12, "market") in seen


def test_a_folder_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ga.InputError, match="not a run"):
        ga.run("village", overrides={"period.length": "1h"}).write(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_notes_beside_an_older_run_are_not_deleted(tmp_path):
    run = ga.run("village", overrides={"period.length": "1h"})
    folder = run.write(tmp_path / "runs" / "village")
    run.write(folder)  # a run alone is replaced
    (folder / "notes.md").write_text("what I saw")
    with pytest.raises(ga.InputError, match=r"notes\.md"):
        run.write(folder)
    assert (folder / "notes.md").read_text() == "what I saw"
    with pytest.raises(ga.InputError, match="is a file"):
        run.write(folder / "notes.md" / "below")


def test_a_grid_that_does_not_converge_has_flags_and_no_figures():
    run = ga.run({"grid": "cigre-lv", "period": {"length": "2h"}, "participants": {"load_scale": 50}})
    flagged = run.violations[run.violations.stage == "metered"]
    assert set(flagged.kind) == {"not_converged"}
    assert flagged.element.str.startswith("Bus").all()
    assert run.kpis["not_converged_periods"] == len(flagged) == 8
    for name in ("losses_kwh", "reverse_flow_hours", "peak_import_kw", "peak_export_kw", "vm_min_pu"):
        assert run.kpis[name] != run.kpis[name], name  # NaN: not known


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(monkeypatch):
    from gridagora import bootstrap

    overrides = {"period.length": "1d", "agents.ems": "optimal"}
    one = ga.run("village", overrides=overrides)
    monkeypatch.setattr(bootstrap, "BUSY", 0)
    two = ga.run("village", overrides=overrides)
    assert one.event_hash == two.event_hash
    assert one.participants.equals(two.participants)
