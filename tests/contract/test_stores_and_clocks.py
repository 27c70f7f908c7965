"""What every store and every clock must do; a new one is added to the fixture and nothing else."""

import numpy as np
import pytest

from gridagora.adapters.clocks import SimulatedClock
from gridagora.adapters.stores import MemoryStore
from gridagora.model.columns import Findings
from gridagora.model.events import GENESIS, ScheduleChecked, StudyOpened, chain_hash


def opened(seed=0):
    return StudyOpened(at=0, name="a", seed=seed, participants=("x",), rules="")


def checked(value=1.0):
    found = Findings(
        converged=np.array([True]),
        period=np.array([0]),
        kind=("voltage_low",),
        element=("bus",),
        value=np.array([value]),
        limit=np.array([0.9]),
        participants=("x",),
    )
    return ScheduleChecked(at=1, session=0, first=0, found=found)


@pytest.fixture(params=[MemoryStore])
def store(request):
    return request.param()


@pytest.fixture(params=[SimulatedClock])
def clock(request):
    return request.param(100)


def test_store_keeps_events_in_order(store):
    events = [opened(1), opened(2), checked()]
    store.append(events[:2])
    store.append(events[2:])
    assert list(store.events()) == events


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
def test_head_tells_changed_dropped_and_swapped_events_apart(store, other):
    store.append([opened(), checked()])
    twin = type(store)()
    twin.append(other)
    assert twin.head() != store.head()


def test_grouping_of_appends_does_not_matter(store):
    store.append([opened(), checked()])
    twin = type(store)()
    twin.append([opened()])
    twin.append([checked()])
    assert twin.head() == store.head()


def test_clock_reaches_the_moment_waited_for(clock):
    clock.wait_until(clock.now() + 5)
    assert clock.now() >= 105


def test_clock_never_goes_back(clock):
    clock.wait_until(50)
    assert clock.now() >= 100
