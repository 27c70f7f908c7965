"""Runs at the edges of a tariff: islands, feed-in that costs money, standing charges."""

import numpy as np
import pytest

import gridagora as ga

DAY = {"period.start": "2016-05-09", "period.length": "1d", "agents.ems": "rule_based"}


def test_rule_based_homes_of_an_island_trade_their_surplus():
    run = ga.run("village", overrides=DAY | {"market.islanded": True})
    alone = run.schedules.load_kw.sum() - run.schedules.baseline_kw.clip(lower=0).sum()
    assert run.kpis["local_volume_kwh"] > 100
    assert run.schedules.unserved_kw.sum() < 0.75 * alone


@pytest.mark.parametrize("bidding", ["truthful", "zero_intelligence", "fixed_margin"])
def test_nobody_pays_to_feed_in_what_it_can_curtail(bidding):
    run = ga.run("village", overrides=DAY | {"tariffs.feed_in": -0.05, "agents.bidding": bidding})
    assert run.kpis["local_volume_kwh"] > 100
    assert run.kpis["curtailed_kwh"] > 100
    assert run.invoices.feed_in_kwh.sum() == 0
    assert run.kpis["gain_total_eur"] > 0


def test_the_journal_holds_what_the_invoices_ask_for():
    """The two days and a bit of UTC are four local days; a session of six hours holds a midnight."""
    times = {"period.start": "2016-05-09T23:00", "period.length": "50h", "market.session": "5h"}
    run = ga.run("cigre-lv", overrides=times | {"agents.ems": "rule_based"})
    asked = run.invoices.groupby("participant", observed=True).total.sum()
    accounts = run.journal.account.astype(str).str.removeprefix("participant:")
    booked = run.journal.groupby(accounts).amount_micro.sum()[asked.index] / 1e6
    assert run.invoices.day.nunique() == 4
    assert np.allclose(booked, -asked, atol=1e-9)
    assert set(run.journal.memo) >= {"standing", "trade"}
