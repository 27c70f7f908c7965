"""What every store and every clock must do; a new one is added to the fixture and nothing else."""

from contextlib import ExitStack
from itertools import count

import numpy as np
import pytest

from gridagora.adapters.clocks import SimulatedClock
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import SqlStore
from gridagora.adapters.stores import MemoryStore
from gridagora.model.columns import Findings
from gridagora.model.events import GENESIS, ScheduleChecked, StudyOpened, canonical_bytes, chain_hash


def opened(seed=0):
    return StudyOpened(at=0, name="a", seed=seed, participants=("x",), rules="")


def checked(value=1.0):
    found = Findings(
        converged=np.array([True]),
        period=np.array([0]),
        kind=("voltage_low",),
        element=("bus",),
        value=np.array([value]) if isinstance(value, float) else value,
        limit=np.array([0.9]),
        participants=("x",),
    )
    return ScheduleChecked(at=1, session=0, first=0, found=found)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def new_store(request, tmp_path):
    """Return a function that gives an empty store of one kind each time."""
    if request.param == "memory":
        yield MemoryStore
        return
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'a.db'}" if sqlite else request.getfixturevalue("new_postgresql")
    with ExitStack() as stack:
        database = stack.enter_context(Database(url, write=True, create=sqlite))
        number = count()
        yield lambda: SqlStore(database, f"market {next(number)}")


@pytest.fixture
def store(new_store):
    return new_store()


@pytest.fixture(params=[SimulatedClock])
def clock(request):
    return request.param(100)


def test_store_keeps_events_in_order(store):
    events = [opened(1), checked(1.0), checked(2.0)]
    store.append(events[:2])
    store.append(events[2:])
    assert list(map(canonical_bytes, store.events())) == list(map(canonical_bytes, events))


def test_new_store_is_empty(store):
    assert list(store.events()) == []
    assert store.head() == GENESIS.hex()


def test_append_of_nothing_changes_nothing(store):
    store.append([opened()])
    head = store.head()
    store.append([])
    assert store.head() == head
    assert len(list(store.events())) == 1


class Unreadable:
    def __repr__(self):
        raise TypeError("has no text")


def test_append_is_all_or_nothing(store):
    store.append([opened()])
    head = store.head()
    with pytest.raises(TypeError, match="has no text"):
        store.append([checked(), checked(Unreadable())])
    assert store.head() == head
    assert len(list(store.events())) == 1
    store.append([checked()])
    assert len(list(store.events())) == 2


def test_head_is_the_chain_of_all_events(store):
    events = [opened(), checked()]
    store.append(events)
    head = GENESIS
    for event in events:
        head = chain_hash(head, event)
    assert store.head() == head.hex()


@pytest.mark.parametrize(
    "other", [[checked(), opened()], [opened(), checked(1.0000001)], [opened()], [opened(9), checked()]]
)
def test_head_tells_changed_dropped_and_swapped_events_apart(new_store, other):
    store, twin = new_store(), new_store()
    store.append([opened(), checked()])
    twin.append(other)
    assert twin.head() != store.head()


def test_grouping_of_appends_does_not_matter(new_store):
    store, twin = new_store(), new_store()
    store.append([opened(), checked()])
    twin.append([opened()])
    twin.append([checked()])
    assert twin.head() == store.head()


def test_clock_reaches_the_moment_waited_for(clock):
    clock.wait_until(clock.now() + 5)
    assert clock.now() >= 105


def test_clock_never_goes_back(clock):
    clock.wait_until(50)
    assert clock.now() >= 100
