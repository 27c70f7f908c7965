"""How long sessions are kept: disputes have their full time after a long stop, and wait for their end."""

import pytest
from live_village import BUSES, EPOCH, NAMES, Live

from gridagora.adapters.sql.made import Names
from gridagora.adapters.sql.projections import project
from gridagora.engine.live.commands import DecideDispute, RaiseDispute
from gridagora.errors import InputError
from gridagora.model.live_events import SettlementCorrected

DAY = 86_400
HOUR = 3600


def village(**changes):
    live = Live(readings_lead_s=HOUR, dispute_s=2 * DAY, **changes)
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus)
    return live


def dispute(live, session):
    live.do(
        RaiseDispute(
            at=live.now, actor="ann", id=f"{session}", session=session, participant="ann", reason="wrong"
        )
    )


def decide(live, session):
    command = DecideDispute(at=live.now, actor="op", id=f"{session}", accepted=True, settle_again=True)
    return live.do(command)


def names_after(events):
    names = Names()
    for seq, event in enumerate(events, 1):
        _, names = project(event, seq, names)
    return names


def test_what_is_settled_after_a_long_stop_can_be_disputed():
    live = village()
    live.until(EPOCH)
    live.until(EPOCH + 9 * DAY)
    assert live.state.oldest == 0
    dispute(live, 0)
    live.until(EPOCH + 11 * DAY)
    dispute(live, 1)
    live.until(EPOCH + 11 * DAY + 1)
    with pytest.raises(InputError, match="time for disputes is over"):
        dispute(live, 2)


def test_a_dispute_that_waited_long_is_decided():
    live = village()
    live.until(EPOCH + 4 * HOUR)
    dispute(live, 1)
    live.until(EPOCH + 12 * DAY)
    live.read(1, ann=[500] * 4)
    corrected = decide(live, 1)[1]
    assert isinstance(corrected, SettlementCorrected)
    assert names_after(live.events).live.lineup(1) == (0, 1, 2, 3)


def test_read_tables_forget_sessions_that_nothing_can_change():
    live = village()
    live.until(EPOCH + 12 * DAY)
    live.keep("participant", "eve", "active", name="eve")
    live.until(EPOCH + 12 * DAY + HOUR)
    kept = names_after(live.events).live
    assert len(kept.lineups) == 1
    assert live.state.oldest - 2 <= min(kept.sessions) <= live.state.oldest
    assert set(kept.settled) == {n for n in kept.sessions if n < live.state.next_settle}
    assert Names.from_json(Names(live=kept).to_json()).live == kept
