"""A settlement that fails: operators are told, they or a week settle it by schedule, the market goes on."""

import numpy as np
import pytest
from live_village import BUSES, EPOCH, NAMES, Live

from gridagora.engine.live.commands import (
    AcceptClock,
    DecideDispute,
    NoteStuck,
    RaiseDispute,
    SettleBySchedule,
    SettleLiveSession,
)
from gridagora.engine.live.machine import replay
from gridagora.engine.live.money import bill
from gridagora.engine.live.notices import OPERATORS, notices
from gridagora.engine.live.timetable import PATIENCE_S, due
from gridagora.errors import InputError
from gridagora.model.live_events import SettledBySchedule, SettlementStuck

HOUR = 3600
SETTLES = EPOCH + 2 * HOUR


def village(**changes):
    """Return a market whose first session is due for settlement: ann has bought 1 kWh of bob."""
    terms = {"gate_lead_s": 900, "open_lead_s": 2 * HOUR, "readings_lead_s": HOUR, "escrow": True}
    live = Live(**(terms | changes))
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus, money=5_000_000, passive=name == "dea")
    live.until(EPOCH - HOUR)
    live.bid("ann", 0, (0, 1, 200_000, 1000))
    live.bid("bob", 0, (0, -1, 200_000, 1000))
    live.until(EPOCH + HOUR)
    live.read(0, bob=[-900, 0, 0, 0], dea=[300, 300, 300, 300])
    live.until(SETTLES - 1)
    live.now = SETTLES
    return live


def stuck(live):
    """Note that the first session cannot be settled."""
    return live.do(NoteStuck(at=live.now, session=0, reason="no numbers"))


def by_schedule(live, session=0, reason="the meters are broken"):
    """Return the command of an administrator."""
    return SettleBySchedule(at=live.now, actor="root", session=session, reason=reason)


def refused(live, command):
    """Return the codes of a refusal."""
    with pytest.raises(InputError) as caught:
        live.do(command)
    return [fault.code for fault in caught.value.faults]


def test_a_session_is_settled_by_schedule_where_it_is_stuck():
    live = village()
    assert refused(live, by_schedule(live)) == ["session_state"]
    stuck(live)
    assert refused(live, by_schedule(live, reason=" ")) == ["field_missing"]
    assert refused(live, by_schedule(live, session=1)) == ["session_state"]
    live.do(by_schedule(live))
    session = live.state.sessions[0]
    assert (session.status, session.by_schedule.actor) == ("settled", "root")
    lines = session.lines()
    assert not lines.imbalance.any()
    assert session.delivered.metered_wh[:, 0].tolist() == [1000, 0, 0, 0]
    assert session.delivered.metered_wh[:, 1].tolist() == [-1000, 0, 0, 0]
    assert session.delivered.metered_wh[:, 3].tolist() == [300] * 4  # never trades: what its meter told
    assert live.state.balance["wallet:ann"] == live.state.balance["wallet:bob"] == 5_000_000  # unproven
    assert lines.energy[0, :2].tolist() == [-200_000, 200_000]
    assert sum(live.state.balance.values()) == 0
    assert replay(live.events).balance == live.state.balance


def test_what_the_meters_told_is_booked_when_a_dispute_is_decided():
    live = village()
    stuck(live)
    live.do(by_schedule(live))
    live.do(RaiseDispute(at=live.now, actor="bob", id="d", session=0, participant="bob", reason="meter"))
    live.do(DecideDispute(at=live.now, actor="root", id="d", accepted=True, settle_again=True))
    session = live.state.sessions[0]
    lines = session.lines()
    assert lines.imbalance[0, 1] == -session.closed.imbalance_short[0] // 10  # 100 Wh short
    assert live.state.balance[bill("bob")] == lines.total[:, 1].sum()
    assert live.state.balance[bill("ann")] == lines.total[:, 0].sum()


def test_after_a_week_it_is_settled_by_itself_and_those_after_it_follow():
    live = village()
    stuck(live)
    assert refused(live, NoteStuck(at=live.now, session=0, reason="no numbers")) == ["session_state"]
    waits = frozenset({SettleLiveSession})
    late = live.now + PATIENCE_S
    while (command := due(live.state, late - 1, without=waits)) is not None:
        live.do(command)
    assert (live.state.next_settle, live.state.sessions[0].status) == (0, "published")
    (told,) = [live.do(due(live.state, late, without=waits))]
    assert "no numbers" in next(event for event in told if isinstance(event, SettledBySchedule)).reason
    live.until(late)
    assert live.state.next_settle > 100
    assert not np.any([session.by_schedule for number, session in live.state.sessions.items() if number])


def test_those_who_operate_the_market_are_told():
    live = village()
    events = [*stuck(live), *live.do(by_schedule(live))]
    told = [notice for event in events for notice in notices(1, event, live.state)]
    assert [one.participant for one in told if "no numbers" in one.text] == [OPERATORS]
    assert [one.participant for one in told if "by schedule" in one.text] == [OPERATORS, *NAMES]
    assert isinstance(events[0], SettlementStuck)


def test_who_accepts_a_clock_says_why():
    live = village()
    live.now += 10**6
    assert refused(live, AcceptClock(at=live.now, actor="root", now=live.now, reason="")) == ["field_missing"]
    (event,) = live.do(AcceptClock(at=live.now, actor="root", now=live.now, reason="looked at my watch"))
    assert event.at - event.since > 900_000
    (told,) = notices(1, event, live.state)
    assert (told.participant, told.text[:24]) == (OPERATORS, "root accepted a clock 10")
