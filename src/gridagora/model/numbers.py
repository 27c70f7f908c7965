"""Numbers as a caller gives them: arrays of floats, or every entry that is none."""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault

Floats = NDArray[np.float64]


def read_numbers(source: str, **given: Any) -> tuple[tuple[Floats, ...], list[Fault]]:
    """Read arrays of numbers and list everything in them that is none, NaN in its place.

    Parameters
    ----------
    source : what the faults are told of
    given : numbers, lists or arrays by their names; NaN and infinite ones are numbers here

    Returns
    -------
    tuple
        The arrays in the order given, and the faults; an array whose rows differ in length is empty.

    Examples
    --------
    >>> (power, limit), faults = read_numbers("delivery", metered_kw=[[1.0, "two"]], limit_kw=3)
    >>> power.tolist(), limit.tolist(), str(faults[0])
    ([[1.0, nan]], 3.0, "delivery, metered_kw[0, 1]: is no number (found 'two'); write a number")
    """
    read = [_read(source, name, values) for name, values in given.items()]
    return tuple(values for values, _ in read), list(chain.from_iterable(faults for _, faults in read))


def _read(source: str, name: str, values: Any) -> tuple[Floats, list[Fault]]:
    try:
        return np.asarray(values, dtype=np.float64), []
    except (ValueError, TypeError):
        pass
    try:
        entries = np.array(values, dtype=object)
    except ValueError:
        entries = np.array([None, []], dtype=object)
    if any(isinstance(entry, (list, tuple, np.ndarray)) for entry in entries.ravel().tolist()):
        reason, fix = "has rows of different length", "give rows of one length, NaN where a number is missing"
        return np.empty(0), [Fault(source=source, place=name, value=str(values), reason=reason, fix=fix)]
    out, faults = np.full(entries.shape, np.nan), []
    for index, entry in np.ndenumerate(entries):
        try:
            out[index] = float(entry)
        except (ValueError, TypeError):
            place = f"{name}{list(index)}" if index else name
            faults.append(
                Fault(source=source, place=place, value=entry, reason="is no number", fix="write a number")
            )
    return out, faults
