"""Stores of events: in memory, for studies and tests."""

from collections.abc import Iterator, Sequence

from gridagora.model.events import GENESIS, Event, chain_hash


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
