"""Suggestions for words that are nearly right."""

from collections.abc import Iterable
from difflib import get_close_matches


def near(word: object, known: Iterable[str], *, count: int = 3) -> str:
    """Return "did you mean ...?" for known words near this one, else an empty string.

    >>> near("mechansim", ["mechanism", "session"])
    'did you mean mechanism?'
    >>> near("xyz", ["mechanism"])
    ''
    """
    by_lower: dict[str, str] = {}
    for name in known:
        by_lower.setdefault(name.lower(), name)
    found = get_close_matches(str(word).lower(), by_lower, n=count, cutoff=0.6)
    return f"did you mean {' or '.join(by_lower[name] for name in found)}?" if found else ""
