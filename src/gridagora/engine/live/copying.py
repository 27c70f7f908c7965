"""Copies of a live market's state: what changes is copied, what never changes is shared.

A copy costs some microseconds for each session that is kept, so the writer's thread can make one between two
commands; what takes longer is done with the copy, by others.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gridagora.engine.live.state import LiveState, Meters, SessionState
from gridagora.model.live import SessionTimes


def _attributes(*begin: Any) -> dict[type, tuple[str, ...]]:
    """Return the attributes of classes that change in place, found by walking objects that are new."""
    found: dict[type, tuple[str, ...]] = {}
    for one in begin:
        if hasattr(one, "__dict__") and type(one) not in found:
            found[type(one)] = tuple(vars(one))
            found |= _attributes(*vars(one).values())
    return found


_TIMES = SessionTimes(
    number=0, first=0, count=1, opens=0, gate=0, delivery_start=0, delivery_end=0, settles=0
)
CHANGING: Mapping[type, tuple[str, ...]] = _attributes(LiveState(), SessionState(_TIMES), Meters(_TIMES))
"""Attributes of the classes of a state that change in place; all others never change."""

_FLAT = frozenset({list, set})
_DEEP = frozenset({*CHANGING, dict, list, set})


def copy_state(state: LiveState) -> LiveState:
    """Return a state that is equal to another one, and stays so whatever that one goes through.

    >>> copy_state(LiveState()).events
    0
    """
    copied: LiveState = _object(state)
    return copied


def _object(value: Any) -> Any:
    made = object.__new__(type(value))
    held = made.__dict__
    for name, part in value.__dict__.items():
        kind = type(part)
        if kind is dict:
            held[name] = _map(part)
        elif kind is np.ndarray or kind in _FLAT:
            held[name] = part.copy()
        else:
            held[name] = _object(part) if kind in CHANGING else part
    return made


def _map(held: dict[Any, Any]) -> dict[Any, Any]:
    """Return a copy of a dictionary, whose values are all of one kind."""
    kind = type(next(iter(held.values()), None))
    if kind not in _DEEP:
        return held.copy()
    if kind in _FLAT:
        return {key: value.copy() for key, value in held.items()}
    copied = _object if kind in CHANGING else _map
    return {key: copied(value) for key, value in held.items()}
