"""A market and its clock: it may not leap, but may rest; what cannot be settled is told and settled."""

import time

import pytest
from live_bidding import TERMS, enter
from live_village import EPOCH, small, small_context

from gridagora.adapters import live_steps
from gridagora.adapters.clocks import ClockGuard, SystemClock
from gridagora.adapters.live import LiveRunner
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.bootstrap import live_terms
from gridagora.engine.live import machine
from gridagora.engine.live.commands import AcceptClock, DepositMoney, SettleBySchedule, SettleLiveSession
from gridagora.engine.live.timetable import PATIENCE_S
from gridagora.errors import InputError, SolverError
from gridagora.model.live_events import ClockAccepted, SettlementStuck

YEAR_S = 365 * 86_400


class Wall:
    """A clock on the wall, and the seconds that really pass, both moved by hand."""

    def __init__(self, now):
        self.shown, self.passed = now, 0.0

    def now(self):
        return self.shown

    def seconds_until(self, moment):
        return max(0.0, float(moment - self.shown))

    def steady(self):
        return self.passed

    def wait(self, seconds):
        """Let time pass."""
        self.passed += seconds
        self.shown += seconds


def run(url, wall, **changes):
    """Run the market of the tests by a clock on the wall."""
    terms = live_terms(small(), epoch=EPOCH, **(TERMS | changes))
    return LiveRunner(url, small_context(), terms, clock=wall, guard=ClockGuard(steady=wall.steady))


def until(condition, seconds=20.0):
    """Wait for something that will be."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def done_by(live, wall):
    """Wait until all that is due by the clock has been done."""
    until(lambda: live.ask(lambda state: state.open_terms.session(state.next_open).opens) > wall.shown)


def paid(live, key):
    """Book a deposit."""
    return live.do(DepositMoney(at=0, actor="op", participant="ann", amount=1), key=key)


def codes(action):
    """Return the codes of a refusal."""
    with pytest.raises(InputError) as caught:
        action()
    return [fault.code for fault in caught.value.faults]


@pytest.fixture
def wall():
    return Wall(EPOCH - 7200)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'a.db'}"


def test_a_clock_that_leaps_stops_the_market_until_it_is_back(url, wall):
    with run(url, wall) as live:
        enter(live)
        wall.wait(60)
        done_by(live, wall)
        opened = live.ask(lambda state: state.next_open)
        wall.shown += YEAR_S
        assert codes(lambda: paid(live, "a")) == ["clock_jump"]
        assert live.public_state()["clock_jump_s"] == YEAR_S
        wall.wait(600)
        assert codes(lambda: paid(live, "a")) == ["clock_jump"]
        time.sleep(0.05)
        assert live.ask(lambda state: state.next_open) == opened
        wall.shown -= YEAR_S
        assert not paid(live, "a").repeated
        assert live.public_state()["clock_jump_s"] == 0
        assert live.ask(lambda state: state.at) == wall.shown


def test_a_clock_that_leapt_is_followed_when_somebody_accepts_what_it_shows(url, wall):
    with run(url, wall) as live:
        enter(live)
        done_by(live, wall)
        before = live.ask(lambda state: state.at)

        def accept(now, reason="the hall's clock says so"):
            return live.do(AcceptClock(at=0, actor="root", now=now, reason=reason))

        assert codes(lambda: accept(wall.shown)) == ["clock_steady"]
        wall.shown += 86_400
        assert codes(lambda: accept(wall.shown - 86_400)) == ["clock_differs"]
        assert codes(lambda: paid(live, "a")) == ["clock_jump"]
        accept(wall.shown + 60)
        paid(live, "a")
        done_by(live, wall)
    with Database(url) as database:
        (event,) = [e for e in database.events("small") if isinstance(e, ClockAccepted)]
        assert (event.since, event.at) == (before, wall.shown)
        assert verify(database, "small").findings == ()
        assert replay(database, "small").findings == ()


def test_small_steps_and_a_program_that_was_not_there_need_nobody(url, wall):
    with run(url, wall) as live:
        enter(live)
        wall.shown += 500
        paid(live, "a")
    wall.shown += 3 * 86_400
    with run(url, wall) as live:
        paid(live, "b")
        done_by(live, wall)
        assert live.public_state()["clock_jump_s"] == 0


def test_a_clock_a_year_after_the_last_event_is_asked_about(url, wall):
    with run(url, wall) as live:
        enter(live)
        done_by(live, wall)
        opened = live.ask(lambda state: state.next_open)
    wall.shown += YEAR_S
    with run(url, wall) as live:
        assert live.public_state()["clock_jump_s"] >= YEAR_S - 86_400
        assert codes(lambda: paid(live, "b")) == ["clock_jump"]
        assert live.ask(lambda state: state.next_open) == opened
    wall.shown -= YEAR_S
    with run(url, wall) as live:
        paid(live, "b")


def test_time_stands_still_while_the_clock_is_behind(url, wall):
    with run(url, wall) as live:
        enter(live)
        wall.wait(3600)
        done_by(live, wall)
        paid(live, "a")
        at = live.ask(lambda state: state.at)
        wall.shown -= 1800
        paid(live, "b")
        assert live.ask(lambda state: state.at) == at
        until(lambda: live.public_state()["clock_behind_s"] == 1800)
        wall.wait(1900)
        paid(live, "c")
        assert live.ask(lambda state: state.at) == at + 100
        until(lambda: live.public_state()["clock_behind_s"] == 0)


def test_the_computers_own_clock_is_steady():
    guard = ClockGuard()
    clock = SystemClock()
    assert guard.leap_s(clock) == 0
    time.sleep(0.01)
    assert guard.leap_s(clock) == 0


def test_a_settlement_that_fails_is_told_and_the_market_goes_on(url, wall, monkeypatch):
    good = machine.HANDLERS[SettleLiveSession]

    def broken(state, command, context):
        if command.session == 1:
            raise SolverError("no sum")
        return good(state, command, context)

    monkeypatch.setattr(machine, "HANDLERS", dict(machine.HANDLERS) | {SettleLiveSession: broken})
    monkeypatch.setattr(live_steps, "RETRY_S", 0.01)
    with run(url, wall) as live:
        enter(live)

        def go(hours):
            for _ in range(hours * 12):
                wall.wait(300)
            done_by(live, wall)

        go(8)
        until(lambda: live.ask(lambda state: state.sessions[1].stuck is not None))
        assert live.ask(lambda state: (state.next_settle, state.sessions[1].stuck.reason)) == (1, "no sum")
        live.do(SettleBySchedule(at=0, actor="root", session=1, reason="known defect"))
        until(lambda: live.ask(lambda state: state.next_settle) > 3)
        assert live.ask(lambda state: state.sessions[1].by_schedule.actor) == "root"
        assert PATIENCE_S > 86_400
    with Database(url) as database:
        assert len([e for e in database.events("small") if isinstance(e, SettlementStuck)]) == 1
        assert verify(database, "small").findings == ()
        assert replay(database, "small").findings == ()
