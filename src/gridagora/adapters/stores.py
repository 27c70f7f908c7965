"""Stores of events in memory: for studies and tests, and in front of a slower one."""

from collections.abc import Iterator, Sequence

from gridagora.engine.ports import Store
from gridagora.model.events import GENESIS, Event, chain_hash

TOGETHER = 64
"""Events that a `BufferedStore` hands on at once: a few seconds of a study."""


class MemoryStore:
    """Keeps events in a list and the hash of the chain's head.

    Examples
    --------
    >>> from gridagora.model.events import StudyOpened
    >>> store = MemoryStore()
    >>> store.append([StudyOpened(at=0, name="a", seed=0, participants=("x",), rules="")])
    >>> len(list(store.events())), len(store.head())
    (1, 64)
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._head = GENESIS

    def append(self, events: Sequence[Event]) -> None:
        """Keep the events, all or none, after those already kept and move the head of the chain."""
        head = self._head
        for event in events:
            head = chain_hash(head, event)
        self._events.extend(events)
        self._head = head

    def events(self) -> Iterator[Event]:
        """Yield all events in the order they were kept."""
        return iter(self._events)

    def head(self) -> str:
        """Return the hash of the last event in hexadecimal."""
        return self._head.hex()


class BufferedStore:
    """Hands events on in groups: for a study, where nobody waits for the answer to a single command.

    What was appended last is lost with the process; `flush` hands it on.

    Examples
    --------
    >>> from gridagora.model.events import StudyOpened
    >>> behind = MemoryStore()
    >>> store = BufferedStore(behind)
    >>> store.append([StudyOpened(at=0, name="a", seed=0, participants=("x",), rules="")])
    >>> len(list(behind.events())), len(list(store.events())), len(list(behind.events()))
    (0, 1, 1)
    """

    def __init__(self, store: Store, *, together: int = TOGETHER) -> None:
        self._store = store
        self._together = together
        self._waiting: list[Event] = []

    def append(self, events: Sequence[Event]) -> None:
        """Take the events, and hand on what has gathered once it is enough."""
        self._waiting.extend(events)
        if len(self._waiting) >= self._together:
            self.flush()

    def flush(self) -> None:
        """Hand on what has gathered; what cannot be kept is not tried again."""
        waiting, self._waiting = self._waiting, []
        self._store.append(waiting)

    def events(self) -> Iterator[Event]:
        """Yield all events in the order they were kept."""
        self.flush()
        return self._store.events()

    def head(self) -> str:
        """Return the hash of the last event in hexadecimal."""
        self.flush()
        return self._store.head()
