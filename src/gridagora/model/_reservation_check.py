"""Checks that tenders and contracts share: names, powers, whole numbers."""

from collections.abc import Iterator
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault

Floats = NDArray[np.float64]


def column_of(values: ArrayLike) -> Floats:
    """Return the values as a column that never changes; what holds no numbers as one of no shape."""
    try:
        column = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        column = np.array(np.nan)
    column.setflags(write=False)
    return column


def power_faults(source: str, name: str, power: Floats, *, count: int) -> Iterator[Fault]:
    if power.shape != (count,):
        yield fault_at(
            source, name, power.shape, reason=f"is not one number each ({count})", fix="give one kW each"
        )
        return
    for place in np.flatnonzero(~((power >= 0) & (power < np.inf))).tolist():
        yield fault_at(
            source, f"{name} {place}", float(power[place]), reason="is no power >= 0", fix="write kW"
        )


def name_faults(source: str, **names: str) -> Iterator[Fault]:
    for place, name in names.items():
        if not (isinstance(name, str) and name):
            yield fault_at(source, place, name, reason="is no name", fix="write a text that is not empty")


def is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def fault_at(source: str, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=source, place=place, value=value, reason=reason, fix=fix)
