"""Chance that belongs to a name: what one home draws does not depend on the other homes or their order."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return the random generator that belongs to a seed and names.

    >>> generator(1, "pv", "home 3").integers(1000) == generator(1, "pv", "home 3").integers(1000)
    np.True_
    """
    text = "\x1f".join(str(name) for name in names)
    words = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype="<u4")
    return np.random.default_rng([seed, *words.tolist()])


def holders(seed: int, device: str, homes: Iterable[str], *, share: float) -> frozenset[str]:
    """Draw which homes hold a device: the ``round(share x homes)`` homes with the lowest draw of their own.

    Adding a home changes at most the home at the margin.

    >>> holders(1, "pv", ["a", "b", "c", "d"], share=0.5) == holders(1, "pv", ["d", "c", "b", "a"], share=0.5)
    True
    """
    ranked = sorted(homes, key=lambda home: (generator(seed, device, "holds", home).random(), home))
    return frozenset(ranked[: int(np.floor(share * len(ranked) + 0.5))])


def size(seed: int, device: str, home: str, *, ends: tuple[float, float]) -> float:
    """Draw a size, uniform between the ends, in steps of 0.1.

    >>> size(1, "pv", "a", ends=(5.0, 5.0))
    5.0
    """
    low, high = ends
    if low == high:
        return low
    drawn = float(generator(seed, device, "size", home).uniform(low, high))
    return min(max(round(drawn, 1), low), high)


def pick(seed: int, what: str, home: str, *, options: Sequence[str]) -> str:
    """Draw one of several profiles for a home.

    >>> pick(1, "pv", "a", options=["PV1"])
    'PV1'
    """
    return options[int(generator(seed, what, "profile", home).integers(len(options)))]
