"""A state that was kept and brought back is the state: the same values, and the same market after it."""

import inspect

import live_village
import numpy as np
import pytest
import test_live_called_off
import test_live_old_sessions
import test_live_stories

from gridagora.adapters.sql import states
from gridagora.adapters.sql.states import Held, decode_state, encode_state, state_version
from gridagora.engine.live.copying import CHANGING, copy_state
from gridagora.engine.live.machine import apply
from gridagora.engine.live.state import LiveState
from gridagora.errors import DamagedEvent

MODULES = (test_live_stories, test_live_old_sessions, test_live_called_off)
STORIES = [
    story
    for module in MODULES
    for name, story in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("test_") and not inspect.signature(story).parameters
]


def folded(events):
    """Return the state after some events, and the numbers of these."""
    state, held = LiveState(), Held()
    for seq, event in enumerate(events, 1):
        apply(state, event)
        held.note(seq, event)
    return state, held


def back(events, count):
    """Return the state after all events, of which the first ones were kept as bytes."""
    state, held = folded(events[:count])
    body, seqs = encode_state(state, held)
    again, numbers = decode_state(body, lambda asked: {seq: events[seq - 1] for seq in asked})
    assert encode_state(again, numbers) == (body, seqs)
    for event in events[count:]:
        apply(again, event)
    return again


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_state_of_every_story_is_brought_back_from_any_event(story, monkeypatch):
    made, begin = [], live_village.Live.__init__

    def noted(self, *given, **more):
        made.append(self)
        begin(self, *given, **more)

    monkeypatch.setattr(live_village.Live, "__init__", noted)
    story()
    for live in made:
        whole, held = folded(live.events)
        told = encode_state(whole, held)
        for count in np.unique(np.linspace(0, len(live.events), 6, dtype=np.int64)).tolist():
            assert encode_state(back(live.events, count), held) == told


def lively():
    """Return a market with bids that stand, withdrawn ones, readings and a limit."""
    live = live_village.Live(escrow=True)
    for name, bus in zip(live_village.NAMES, live_village.BUSES, strict=True):
        live.join(name, bus, money=10**6)
    live.until(live.now)
    live.bid("ann", 0, (0, 1, 200_000, 500), (1, 1, 200_000, 500))
    live.bid("bob", 0, (0, -1, 100_000, 500))
    live.until(live_village.EPOCH + 3600)
    live.read(0, ann=[500, 500, 0, 0], bob=[-500, 0, 0, 0])
    live.bid("ann", 2, (8, 1, 200_000, 500))
    return live


def test_a_copy_stays_what_it_was_whatever_the_state_goes_through():
    live = lively()
    state, held = folded(live.events)
    copied, told = copy_state(state), encode_state(state, held)
    live.bid("bob", 2, (8, -1, 100_000, 500))
    live.keep("participant", "ann", "active", version=1, name="Ann", passive=True)
    live.until(live_village.EPOCH + 30 * 3600)
    for event in live.events[copied.events :]:
        apply(state, event)
    assert encode_state(copied, held) == told != encode_state(state, folded(live.events)[1])


def test_bids_of_public_sessions_are_counted_and_not_held():
    live = lively()
    session = live.state.sessions[0]
    assert session.status == "published"
    assert session.book.count == 3
    assert not session.book.taken
    assert live.state.sessions[2].book.taken


def test_events_that_were_never_noted_stand_in_the_bytes():
    live = lively()
    body, seqs = encode_state(live.state, Held())
    again, _ = decode_state(body, lambda asked: {})
    assert not seqs
    assert encode_state(again, Held()) == (body, seqs)


def test_bytes_that_are_no_state_are_refused():
    live = lively()
    state, held = folded(live.events)
    body, _ = encode_state(state, held)
    for wrong in (b"", body[:40], body[:-1], b"GAe\x01\x00i\x01\x00\x00\x00\x01"):
        with pytest.raises(DamagedEvent):
            decode_state(wrong, lambda asked: {seq: live.events[seq - 1] for seq in asked})
    with pytest.raises(DamagedEvent):
        decode_state(body, lambda asked: {})


def test_only_classes_of_a_state_are_made_of_bytes():
    whole = states._Whole({})
    for tag in (states.OBJECT, states.RECORD):
        with pytest.raises(KeyError):
            whole.of((tag, "Popen", ()))
    with pytest.raises(ValueError, match="99"):
        whole.of((99, "Popen"))


def test_another_attribute_or_rule_is_another_version(monkeypatch):
    known = state_version()
    monkeypatch.setattr(states, "CHANGING", {**CHANGING, LiveState: (*CHANGING[LiveState], "more")})
    state_version.cache_clear()
    assert state_version() != known
    monkeypatch.undo()
    state_version.cache_clear()
    assert state_version() == known


def test_an_attribute_that_a_new_object_lacks_is_refused():
    state = LiveState()
    state.more = 1
    with pytest.raises(TypeError, match="LiveState"):
        encode_state(state, Held())
