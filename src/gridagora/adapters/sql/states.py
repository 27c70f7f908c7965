"""The state of a live market as bytes and back: what a snapshot holds.

Events that the state keeps stand in it by their numbers and are read from the chain, so that a snapshot is
small and no second copy of what happened.  Nothing is ever run from the bytes: classes are looked up among
those that a state is made of.  `state_version` tells by which classes and rules a state was made; a snapshot
of any other version is not used.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import resources
from typing import Any, get_args

import numpy as np

from gridagora.adapters.sql.codec import classes_of, decode_items, head_of_items, packed, put
from gridagora.engine.live.copying import CHANGING
from gridagora.engine.live.state import LiveState, Meters
from gridagora.errors import DamagedEvent
from gridagora.model.events import Event

FORMAT = 1
"""Of the bytes; `state_version` holds it."""

EVENTS = frozenset(get_args(Event))
SCALARS = frozenset({str, int, float, bool, type(None), np.ndarray})
NUMBERED, OBJECT, RECORD, ITEMS, LIST, SET, MAP, SHARED, AGAIN = range(9)
"""What a tuple of the bytes stands for, its first entry: `_Flat` writes them, `_Whole` reads them."""

FETCHED = 500
"""Events that are asked for at a time."""

_BY_NAME = {kind.__name__: kind for kind in CHANGING}


@cache
def _records() -> dict[str, type]:
    """Return the dataclasses that a state can hold, by name: those that the modules of its classes know."""
    modules = {kind.__module__: sys.modules[kind.__module__] for kind in CHANGING}
    known = (value for module in modules.values() for value in vars(module).values())
    ours = [value for value in known if isinstance(value, type) and is_dataclass(value)]
    return classes_of(*get_args(Event), *ours)


@cache
def state_version() -> str:
    """Return by which classes and rules a state is made here, as a hash.

    It is that of the names and fields of all classes of a state, and of the source of what folds events, so
    that a program with other rules never goes on from a state that it would not have come to.

    >>> len(state_version())
    64
    """
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for kind, names in CHANGING.items():
        digest.update(f"{kind.__name__} {names}\n".encode())
    for name, kind in sorted(_records().items()):
        shape = [(f.name, str(f.type)) for f in fields(kind)] if is_dataclass(kind) else list(vars(kind))
        digest.update(f"{name} {shape}\n".encode())
    for package in ("gridagora.engine.live", "gridagora.engine.flexibility"):
        for file in sorted(resources.files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()


class Held:
    """Numbers of the events that a state may hold, as its events go by.

    Examples
    --------
    >>> from gridagora.model.live_events import SessionOpened
    >>> held, event = Held(), SessionOpened(at=0, session=1)
    >>> held.note(7, event)
    >>> held.number(event), held.number(SessionOpened(at=0, session=1))
    (7, None)
    """

    def __init__(self) -> None:
        self._of: dict[int, tuple[int, Event]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def note(self, seq: int, event: Event) -> None:
        """Note an event of the chain; it is kept, so that no other takes its place in memory."""
        self._of[id(event)] = (seq, event)

    def number(self, event: Event) -> int | None:
        """Return the number of an event; None for one that was never noted."""
        found = self._of.get(id(event))
        return None if found is None else found[0]

    def forget(self, but: Iterable[int], *, before: int) -> None:
        """Forget events up to a number, but for some that a state still holds."""
        kept = set(but)
        self._of = {k: one for k, one in self._of.items() if one[0] > before or one[0] in kept}


class _Flat:
    """Makes tuples of what a state holds, which `codec.put` can write; notes the numbers of its events."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._shared: dict[tuple[Any, ...], int] = {}
        self.seqs: set[int] = set()

    def of(self, value: Any) -> Any:
        """Return a value as scalars, arrays and tuples that say what they stand for."""
        kind = type(value)
        if kind in SCALARS or isinstance(value, np.generic | Enum):
            return value
        if kind in EVENTS and (seq := self._held.number(value)) is not None:
            self.seqs.add(seq)
            return (NUMBERED, seq)
        if kind in CHANGING:
            return self._object(value, kind)
        if kind in (tuple, list):
            return (ITEMS if kind is tuple else LIST, *map(self.of, value))
        if kind is set:
            return (SET, *map(self.of, sorted(value)))
        if isinstance(value, Mapping):
            return (MAP, *(self.of(part) for pair in value.items() for part in pair))
        if _records().get(kind.__name__) is kind:
            return (RECORD, kind.__name__, *(self.of(getattr(value, f.name)) for f in fields(kind)))
        raise TypeError(f"no state holds a {kind.__name__}")

    def _object(self, value: Any, kind: type) -> tuple[Any, ...]:
        held = vars(value)
        if tuple(held) != CHANGING[kind]:
            raise TypeError(f"a {kind.__name__} has other attributes than one that is new")
        rows = kind is Meters
        parts = (self._rows(v) if rows and name == "row" else self.of(v) for name, v in held.items())
        return (OBJECT, kind.__name__, *parts)

    def _rows(self, rows: dict[str, int]) -> tuple[Any, ...]:
        """Return the rows of meters: as a rule the same for all sessions, and then written once."""
        named = tuple(rows.items())
        if named in self._shared:
            return (AGAIN, self._shared[named])
        self._shared[named] = len(self._shared)
        return (SHARED, *(part for pair in named for part in pair))


def encode_state(
    state: LiveState, held: Held, *, pause: Callable[[], None] = lambda: None
) -> tuple[bytes, frozenset[int]]:
    """Return a state as bytes, and the numbers of the events that stand in it by their number.

    Parameters
    ----------
    state : one that nobody changes meanwhile
    held : numbers of its events; one that is not there is written in full
    pause : called now and then on the way, so that other threads come to their turn

    Raises
    ------
    TypeError
        for a value of which a state is not made.

    Examples
    --------
    >>> body, _ = encode_state(LiveState(), Held())
    >>> decode_state(body, lambda seqs: {})[0].events
    0
    """
    flat = _Flat(held)
    parts: list[bytes] = []
    if tuple(vars(state)) != CHANGING[LiveState]:
        raise TypeError("the LiveState has other attributes than one that is new")
    apart = (state.sessions, state.meters)
    put(
        (*(flat.of(v) for v in vars(state).values() if v is not apart[0] and v is not apart[1]),),
        parts.append,
    )
    for sessions in apart:
        parts.append(head_of_items(len(sessions)))
        for number, session in sessions.items():
            put((number, flat.of(session)), parts.append)
            pause()
    put(np.array(sorted(flat.seqs), np.int64), parts.append)
    return packed(b"".join((head_of_items(4), *parts))), frozenset(flat.seqs)


def decode_state(body: bytes, fetch: Callable[[list[int]], Mapping[int, Event]]) -> tuple[LiveState, Held]:
    """Return the state of some bytes, and the numbers of its events.

    Parameters
    ----------
    body : as `encode_state` made it, by the same `state_version`
    fetch : returns the events of some numbers

    Raises
    ------
    DamagedEvent
        for bytes that are no state, or name events that are not there.
    """
    try:
        rest, sessions, meters, seqs = decode_items(body)
        events: dict[int, Event] = {}
        for first in range(0, len(seqs), FETCHED):
            events.update(fetch(seqs[first : first + FETCHED].tolist()))
        whole = _Whole(events)
        found = {"sessions": dict(map(whole.pair, sessions)), "meters": dict(map(whole.pair, meters))}
        names = [name for name in CHANGING[LiveState] if name not in found]
        state = LiveState()
        found |= dict(zip(names, map(whole.of, rest), strict=True))
        vars(state).update({name: found[name] for name in CHANGING[LiveState]})
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise DamagedEvent(f"the snapshot is damaged: {error!r}") from error
    held = Held()
    for seq, event in events.items():
        held.note(seq, event)
    return state, held


_CONTAINERS: Mapping[int, type] = {ITEMS: tuple, LIST: list, SET: set}


class _Whole:
    """Makes values of the tuples that `_Flat` made."""

    def __init__(self, events: Mapping[int, Event]) -> None:
        self._events = events
        self._shared: list[dict[str, int]] = []

    def pair(self, pair: tuple[int, Any]) -> tuple[int, Any]:
        """Return a number and the value of what stands behind it."""
        number, value = pair
        return number, self.of(value)

    def of(self, flat: Any) -> Any:
        """Return the value of a tuple, or what is no tuple as it is."""
        if type(flat) is not tuple:
            return flat
        tag = flat[0]
        if tag == NUMBERED:
            return self._events[flat[1]]
        if tag in (OBJECT, RECORD):
            return self._made(tag, flat)
        if tag in (ITEMS, LIST, SET):
            return _CONTAINERS[tag](map(self.of, flat[1:]))
        if tag == MAP:
            parts = [self.of(part) for part in flat[1:]]
            return dict(zip(parts[::2], parts[1::2], strict=True))
        if tag == SHARED:
            self._shared.append(dict(zip(flat[1::2], flat[2::2], strict=True)))
            return dict(self._shared[-1])
        if tag == AGAIN:
            return dict(self._shared[flat[1]])
        raise ValueError(f"no value of a state is called {tag!r}")

    def _made(self, tag: int, flat: tuple[Any, ...]) -> Any:
        values = map(self.of, flat[2:])
        if tag == RECORD:
            kind = _records()[flat[1]]
            return kind(**dict(zip((f.name for f in fields(kind)), values, strict=True)))
        kind = _BY_NAME[flat[1]]
        made: Any = object.__new__(kind)
        vars(made).update(zip(CHANGING[kind], values, strict=True))
        return made
