"""Columns of the page's tables, as its scripts read them."""

from typing import Any

from gridagora.reports.bins import plain

Column = dict[str, Any]


def numbers(key: str, label: str, values: Any, *, digits: int) -> Column:
    """Return a column of numbers shown with so many digits; a missing one is None."""
    return {"key": key, "label": label, "values": plain(values, 6), "digits": digits}


def texts(key: str, label: str, values: Any) -> Column:
    """Return a column of texts; None is "".

    >>> texts("who", "participant", ["ann", None])["values"]
    ['ann', '']
    """
    return {"key": key, "label": label, "values": ["" if v is None else str(v) for v in values]}
