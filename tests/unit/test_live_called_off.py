"""Sessions that are called off: bids and money are free, energy is billed at tariff, the market goes on."""

import numpy as np
import pytest
from live_village import BUSES, EPOCH, NAMES, Live

from gridagora.engine.live.commands import CallOffSession
from gridagora.engine.live.machine import replay
from gridagora.engine.live.money import available, bill
from gridagora.engine.live.notices import notices
from gridagora.errors import InputError
from gridagora.model.live_events import GateClosed, SessionCalledOff

HOUR = 3600


def village(**changes):
    """Return a market with two bids that could be matched, at the gate of its first session."""
    live = Live(
        gate_lead_s=900, open_lead_s=2 * HOUR, readings_lead_s=HOUR, escrow=True, fee_ppm=10_000, **changes
    )
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus, money=5_000_000)
    live.until(EPOCH - HOUR)
    live.bid("ann", 0, (0, 1, 280_000, 1000))
    live.bid("bob", 0, (0, -1, 100_000, 1000))
    return live


def call_off(live, session=0, reason="the grid is not known"):
    """Return the command of an administrator."""
    return CallOffSession(at=live.now, actor="op", session=session, reason=reason)


def test_bids_and_money_are_free_and_energy_is_billed_at_tariff():
    live = village()
    assert available(live.state, "ann") < 5_000_000
    made = live.do(call_off(live))
    assert [type(event).__name__ for event in made] == ["SessionCalledOff", "GateClosed", "AuctionCleared"]
    assert available(live.state, "ann") == 5_000_000
    assert live.state.reserved == {}
    live.now = EPOCH + HOUR
    live.read(0, ann=[1000, 0, 0, 0], bob=[-1000, 0, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    session = live.state.sessions[0]
    assert (session.status, session.called_off.reason) == ("settled", "the grid is not known")
    lines = session.lines()
    assert not len(session.settled.trades.period)
    assert not lines.imbalance.any()
    assert lines.retail[0, :2].tolist() == [-300_000, 80_000]
    assert "escrow" not in live.state.balance
    assert sum(live.state.balance.values()) == 0
    assert live.state.balance[bill("ann")] == lines.total[:, 0].sum()
    assert live.state.sessions[1].gate.passive.tolist() == [False] * 4


def test_only_the_session_whose_gate_is_next_is_called_off():
    live = village()
    live.until(EPOCH - 900)
    for command in (call_off(live), call_off(live, 7), call_off(live, 1, reason=" ")):
        before = live.state.events
        with pytest.raises(InputError) as caught:
            live.do(command)
        assert live.state.events == before
        assert caught.value.faults[0].code in ("session_state", "session_unknown", "field_missing")


def test_who_bid_is_told_why():
    live = village()
    live.do(call_off(live))
    told = [
        notice
        for seq, event in enumerate(live.events)
        if isinstance(event, SessionCalledOff)
        for notice in notices(seq, event, live.state)
    ]
    assert [notice.participant for notice in told] == ["ann", "bob"]
    assert "called off" in told[0].text
    assert "the grid is not known" in told[0].text


def test_replay_comes_to_the_same_state():
    live = village()
    live.do(call_off(live))
    live.until(EPOCH + 3 * HOUR)
    again = replay(live.events)
    assert again.balance == live.state.balance
    assert again.next_settle == live.state.next_settle
    gate = next(event for event in live.events if isinstance(event, GateClosed))
    assert np.array_equal(again.sessions[0].gate.passive, gate.passive)
