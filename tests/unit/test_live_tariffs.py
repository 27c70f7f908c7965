"""Prices of a live market that vary: out of a file, and sent ahead by the retailer."""

import json

import numpy as np
import pytest
from live_village import BUSES, EPOCH, NAMES, Live, small

from gridagora.bootstrap import live_context, prepare
from gridagora.engine.live.machine import replay
from gridagora.errors import InputError

HOUR = 3600
DAY = 86_400
BEGIN = np.datetime64(EPOCH, "s")


def scenario(path, hours, *, rows=None, **tariffs):
    """Return a prepared scenario whose retail price is 0.30 and a hundredth more with each hour of a file."""
    lines = [f"{BEGIN + np.timedelta64(k, 'h')}Z,{300 + 10 * (k % 24)}" for k in range(hours)]
    path.write_text("\n".join(["time,eur", *(lines if rows is None else rows)]), encoding="utf-8")
    listed = [
        {"participant": name, "bus": bus, "profile": "H0-A", "load_kw": 1.0}
        for name, bus in zip(NAMES, BUSES, strict=True)
    ]
    file = {"file": str(path), "column": "eur", "per": "MWh"}
    return prepare(
        {
            "name": "small",
            "grid": "cigre-lv",
            "period": {"start": "2016-05-23", "length": "1d"},
            "participants": {"list": listed},
            "tariffs": {"retail": file, "feed_in": 0.08} | tariffs,
        },
        overrides={},
        live=True,
    )


def market(prepared, **changes):
    """Return a market of a prepared scenario."""
    terms = {"gate_lead_s": 900, "open_lead_s": 2 * HOUR, "readings_lead_s": HOUR}
    return Live(prepared, live_context(prepared), **(terms | changes))


def closed(live, number):
    """Close the gates up to a session and return its closing."""
    live.until(live.state.open_terms.session(number).gate)
    return live.state.sessions[number].closed


def refused(live, **body):
    """Return the codes of a refusal."""
    with pytest.raises(InputError) as caught:
        live.keep("tariff", "x", **body)
    return [fault.code for fault in caught.value.faults]


def test_a_file_holds_for_the_time_it_covers_and_its_last_day_after_that(tmp_path):
    live = market(scenario(tmp_path / "p.csv", 36))
    assert closed(live, 0).retail.tolist() == [300_000] * 4
    gate = closed(live, 2)
    assert (gate.retail.tolist(), gate.stale, gate.tariffs) == ([320_000] * 4, (), ())
    assert gate.imbalance_short.tolist() == (gate.retail + 20_000).tolist()
    assert closed(live, 35).retail.tolist() == [300_000 + 110_000] * 4
    gate = closed(live, 36)
    assert gate.retail.tolist() == [300_000 + 120_000] * 4  # what held at that time a day before
    assert gate.stale == (144, 145, 146, 147)
    assert closed(live, 60).retail.tolist() == gate.retail.tolist()


def test_a_file_with_a_gap_is_refused_whole(tmp_path):
    rows = [f"{BEGIN + np.timedelta64(k, 'h')}Z,300" for k in range(30) if k != 20]
    prepared = scenario(tmp_path / "p.csv", 30, rows=rows)
    with pytest.raises(InputError, match=r"p\.csv"):
        live_context(prepared)


def test_prices_that_were_sent_go_before_those_of_the_scenario():
    live = market(small())
    live.until(EPOCH - HOUR)
    live.keep("tariff", "t1", first=2, retail=[0.4, 0.5, 0.6], feed_in=[0.1, 0.1, 0.1])
    gate = closed(live, 0)
    assert gate.tariffs == ("", "", "t1", "t1")
    assert gate.retail.tolist() == [300_000, 300_000, 400_000, 500_000]
    assert gate.feed_in.tolist() == [80_000, 80_000, 100_000, 100_000]
    spread = gate.imbalance_short[0] - gate.retail[0]
    assert (gate.imbalance_short - gate.retail).tolist() == [spread] * 4
    gate = closed(live, 1)
    assert (gate.tariffs, gate.retail.tolist()) == (("t1", "", "", ""), [600_000, 300_000, 300_000, 300_000])
    assert closed(live, 2).tariffs == ()
    assert replay(live.events).sessions[1].closed.tariffs == gate.tariffs


def test_what_was_sent_last_holds_and_what_is_withdrawn_does_not():
    live = market(small())
    live.until(EPOCH - HOUR)
    live.keep("tariff", "t1", first=4, retail=[0.4] * 8)
    live.now += 1
    live.keep("tariff", "t2", first=4, imbalance_short=[0.9] * 2)
    assert closed(live, 1).tariffs == ("t2", "t2", "t1", "t1")
    assert live.state.sessions[1].closed.retail.tolist() == [400_000] * 4
    assert live.state.sessions[1].closed.imbalance_short.tolist()[:2] == [900_000] * 2
    live.keep("tariff", "t1", "withdrawn", version=1, first=4, retail=[0.4] * 8)
    assert closed(live, 2).retail.tolist() == [300_000] * 4


def test_prices_are_refused_with_reasons():
    live = market(small())
    live.until(EPOCH - 900)
    assert refused(live, first=3, retail=[0.3]) == ["gate_closed"]
    assert refused(live, first=4) == ["field_missing"]
    assert refused(live, first=4, retail=[0.3], taxes=[0.1, 0.2]) == ["columns_differ"]
    assert refused(live, first=4, retail=[1e9]) == ["field_invalid"]
    assert refused(live, first=10**30, retail=[0.1]) == ["field_invalid"]
    live.now = EPOCH + HOUR - 900  # its gate is due and has not been seen to close
    assert refused(live, first=4, retail=[0.3]) == ["gate_closed"]
    assert json.loads(live.keep("tariff", "t", first=8, retail=[0.3])[0].body) == {
        "first": 8,
        "retail": [0.3],
    }


def test_sent_prices_are_no_gap_of_a_file(tmp_path):
    live = market(scenario(tmp_path / "p.csv", 30))
    live.until(EPOCH + 28 * HOUR)
    live.keep("tariff", "t", first=121, retail=[0.25] * 2)
    gate = closed(live, 30)
    assert (gate.tariffs, gate.stale) == (("", "t", "t", ""), (120, 123))
    assert DAY == 24 * HOUR
