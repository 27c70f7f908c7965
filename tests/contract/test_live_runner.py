"""A market at work: killed at any moment it goes on, several programs share it, nothing happens twice."""

import json
import random
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path

import pytest
from live_bidding import TERMS, enter, runner
from live_village import EPOCH, small, small_context

from gridagora.adapters import live_steps
from gridagora.adapters.clocks import FastClock
from gridagora.adapters.live import LiveRunner
from gridagora.adapters.sql.audit import replay as make_anew
from gridagora.adapters.sql.audit import verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import SqlStore
from gridagora.bootstrap import live_runner, live_terms
from gridagora.engine.live.commands import SubmitBids
from gridagora.engine.live.machine import replay
from gridagora.errors import CommandConflict, InputError, MarketTaken, StoreError
from gridagora.model.live_events import BidsTaken, SessionOpened

PROGRAM = Path(__file__).with_name("live_bidding.py")


def until(condition, seconds=20.0):
    """Wait for something that will be."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def offer(live, key, **changes):
    """Hand in a bid of ann in the session that opened last."""
    session = changes.pop("session", None)
    if session is None:
        session = live.ask(lambda state: state.next_open - 1)
    bid = {"participant": "ann", "period": [session * 4], "side": [1], "price": [250_000], "quantity": [100]}
    return live.submit(SubmitBids(at=0, actor="ann", session=session, **(bid | changes)), key=key)


def sound(url):
    """Check chain, books and read tables, and that no money was made or lost."""
    with Database(url) as database:
        assert verify(database, "small").findings == ()
        assert make_anew(database, "small").findings == ()
        state = replay(database.events("small"))
    assert sum(state.balance.values()) == 0
    names = [name for name in state.balance if name.startswith("wallet:")]
    assert all(state.balance[name] >= 0 for name in names)
    return state


FIRST = 8
"""Answers that a program gives before it is killed at any moment."""


def killed(url, cycle, after):
    """Let a program bid until it is killed; return what it was told is on disk."""
    command = [sys.executable, str(PROGRAM), url, str(cycle)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        told = [program.stdout.readline().strip() for _ in range(FIRST)]  # however busy the machine is
        time.sleep(after)
        program.kill()
        told += program.stdout.read().splitlines()
    whole = [line for line in told if line.endswith("}")]
    return {key: answer for key, _, answer in (line.partition(" {") for line in whole)}


def cycles(tmp_path, count):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    draw = random.Random(7)
    told: dict[str, str] = {}
    for cycle in range(count):
        told |= killed(url, cycle, draw.uniform(0.05, 1.2))
    state = sound(url)
    with Database(url, write=True) as database:
        kept = SqlStore(database, "small").receipts(list(told))
        taken = [event for event in database.events("small") if isinstance(event, BidsTaken)]
    assert {key: "{" + answer for key, answer in told.items()} == {
        key: receipt.answer for key, (_, receipt) in kept.items()
    }
    numbers = [event.number for event in taken]
    assert numbers == list(range(1, len(numbers) + 1))  # none twice, none missing
    acknowledged = {json.loads(r.answer)["number"] for _, r in kept.values() if "number" in r.answer}
    assert acknowledged <= set(numbers)
    return state, told


def test_nothing_acknowledged_is_lost_when_the_program_is_killed(tmp_path):
    state, told = cycles(tmp_path, 3)
    assert len(told) > 20
    assert state.next_close > 0


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_200_kills(tmp_path):
    state, told = cycles(tmp_path, 200)
    assert len(told) > 2000
    assert state.next_settle > 50


def test_a_runner_carries_out_what_is_due_and_goes_on_after_a_stop(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with runner(url) as live:
        enter(live)
        until(lambda: live.ask(lambda state: state.next_settle) > 0)
        first = live.ask(lambda state: state.next_settle)
    with live_runner(url, clock=FastClock(EPOCH, factor=3600)) as again:
        assert again.name == "small"
        until(lambda: again.ask(lambda state: state.next_settle) > first)
        assert again.public_state()["stuck"] == {}
    sound(url)


def test_the_same_key_is_answered_as_before(tmp_path):
    with runner(f"sqlite:///{tmp_path / 'a.db'}", factor=60) as live:
        enter(live)
        session = live.ask(lambda state: state.next_open - 1)
        first = offer(live, "k", session=session).result()
        again = offer(live, "k", session=session).result()
        assert (first.answer, first.repeated, again.repeated) == (again.answer, False, True)
        with pytest.raises(CommandConflict):
            offer(live, "k", session=session, quantity=[101]).result()
        with pytest.raises(InputError, match="printable"):
            offer(live, "k\x00", session=session).result()
        with pytest.raises(InputError) as caught:
            offer(live, "", session=session, price=[10**9]).result()
        assert caught.value.faults[0].code == "price_out_of_bounds"


def test_listeners_hear_what_is_on_disk_in_its_order(tmp_path):
    with runner(f"sqlite:///{tmp_path / 'a.db'}") as live:
        heard = []
        stop = live.listen(lambda first, events: heard.append((first, events)))
        enter(live)
        until(lambda: any(isinstance(e, SessionOpened) for _, events in heard for e in events))
        stop()
        places = [first + k for first, events in heard for k in range(len(events))]
        assert places == list(range(places[0], places[0] + len(places)))


def test_a_second_program_cannot_write_an_sqlite_market(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with runner(url), pytest.raises(StoreError, match="one at a time"):
        runner(url)


def test_a_step_that_fails_is_told_and_the_rest_goes_on(tmp_path, monkeypatch):
    from gridagora.engine.live import machine
    from gridagora.engine.live.commands import PublishSession

    def broken(state, command, context):
        raise ZeroDivisionError("no publisher")

    handlers = dict(machine.HANDLERS) | {PublishSession: broken}
    monkeypatch.setattr(machine, "HANDLERS", handlers)
    with runner(f"sqlite:///{tmp_path / 'a.db'}") as live:
        until(lambda: live.ask(lambda state: state.next_close) > 2)
        assert live.public_state()["stuck"] == {"PublishSession": "no publisher"}
        assert live.ask(lambda state: state.next_publish) == 0


def test_a_session_that_cannot_be_cleared_is_called_off_and_the_next_ones_are_held(tmp_path, monkeypatch):
    from gridagora.engine.live import machine
    from gridagora.engine.live.commands import CloseGate
    from gridagora.errors import SolverError

    good, tries = machine.HANDLERS[CloseGate], []

    def broken(state, command, context):
        if command.session == 1:
            tries.append(command.at)
            raise SolverError("no flow\x00")
        return good(state, command, context)

    monkeypatch.setattr(machine, "HANDLERS", dict(machine.HANDLERS) | {CloseGate: broken})
    monkeypatch.setattr(live_steps, "RETRY_S", 0.02)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with runner(url) as live:
        until(lambda: live.ask(lambda state: state.next_settle) > 2)
        assert live.ask(lambda state: state.sessions[1].called_off.reason) == (
            "It could not be cleared: no flow."
        )
        assert live.ask(lambda state: [state.sessions[n].called_off for n in (0, 2)]) == [None, None]
        assert len(tries) == live_steps.TRIES
    with Database(url) as database:
        assert verify(database, "small").findings == ()
        assert make_anew(database, "small").findings == ()


def test_a_database_that_comes_back_is_opened_again(tmp_path):
    path = tmp_path / "a.db"
    with runner(f"sqlite:///{path}", factor=60) as live:
        enter(live)
        session = live.ask(lambda state: state.next_open - 1)
        offer(live, "a", session=session).result()
        path.rename(tmp_path / "away.db")
        with pytest.raises(StoreError):
            offer(live, "b", session=session).result()
        until(lambda: live.public_state()["down"])
        assert not path.exists()  # no new market in the place of one that was lost
        (tmp_path / "away.db").rename(path)
        until(lambda: not live.public_state()["down"])
        until(lambda: live.writes)
        assert offer(live, "a", session=session).result().repeated
    sound(f"sqlite:///{path}")


def test_programs_share_a_market_on_postgresql(new_postgresql):
    terms, context = live_terms(small(), epoch=EPOCH, **TERMS), small_context()
    one = LiveRunner(new_postgresql, context, terms, clock=FastClock(EPOCH - 7200, factor=60))
    two = LiveRunner(new_postgresql, context, terms, clock=FastClock(EPOCH - 7200, factor=60))
    try:
        assert (one.writes, two.writes) == (True, False)
        enter(two)
        session = one.ask(lambda state: state.next_open - 1)
        started = time.perf_counter()
        futures = [offer(two, f"k{k}", session=session) for k in range(200)]
        wait(futures)
        spent = time.perf_counter() - started
        numbers = sorted(json.loads(future.result().answer)["number"] for future in futures)
        assert numbers == list(range(1, 201))
        assert spent < 10
        with pytest.raises(InputError) as caught:
            offer(two, "", session=session, price=[10**9]).result()
        assert caught.value.faults[0].code == "price_out_of_bounds"
        with pytest.raises(CommandConflict):
            offer(two, "k0", session=session, quantity=[7]).result()
        with pytest.raises(StoreError, match="read tables"):
            two.ask(lambda state: state.at)
        one.close()
        until(lambda: two.writes)
        assert offer(two, "k0", session=session).result().repeated
        assert two.ask(lambda state: state.next_bid) == 201
    finally:
        one.close()
        two.close()
    sound(new_postgresql)


def test_commands_wait_for_the_next_writer(new_postgresql):
    terms, context = live_terms(small(), epoch=EPOCH, **TERMS), small_context()
    one = LiveRunner(new_postgresql, context, terms, clock=FastClock(EPOCH - 7200, factor=60))
    enter(one)
    session = one.ask(lambda state: state.next_open - 1)
    two = LiveRunner(new_postgresql, context, terms, clock=FastClock(EPOCH - 7200, factor=60))
    try:
        one._desk.close()  # the writer dies between taking a command and carrying it out
        future = offer(two, "", session=session)
        time.sleep(0.2)
        assert not future.done()
        one.close()
        assert json.loads(future.result(timeout=20).answer)["number"] == 1
    finally:
        two.close()


def test_only_one_store_has_the_lock(new_postgresql):
    terms = live_terms(small(), epoch=EPOCH, **TERMS)
    with (
        LiveRunner(new_postgresql, small_context(), terms, clock=FastClock(EPOCH, factor=1)),
        Database(new_postgresql, write=True) as database,
        pytest.raises(MarketTaken),
    ):
        SqlStore(database, "small")
