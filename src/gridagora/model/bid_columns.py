"""The border of `Bids`: turns what a caller gives into checked columns, or lists every fault at once."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults

LARGEST = 1e100
"""Prices and quantities beyond this are no market data; the bound keeps all sums finite."""

LARGEST_TICK = 2**52
"""Integer prices up to here, and sums of two, are also exact as floats."""

REQUIRED = ("side", "price", "quantity")
OPTIONAL = ("participant", "period", "node", "carrier", "group", "step")
COLUMNS = REQUIRED + OPTIONAL

SIDES: dict[object, int] = {"buy": 1, "sell": -1, 1: 1, -1: -1}

Columns = dict[str, NDArray[Any] | None]


def checked(given: Mapping[str, object]) -> Columns:
    """Return the columns of `Bids`, fresh and of the right types; raise one `InputError` with all faults."""
    faults: list[Fault] = []
    raw = {name: _as_column(name, value, faults) for name, value in given.items()}
    length = _common_length(raw, faults)
    check_faults(faults)
    ids = {name: _ids(name, raw[name], faults) for name in OPTIONAL if name != "period"}
    columns: Columns = ids | {
        "side": _sides(_present(raw, "side"), faults),
        "period": _periods(raw["period"], faults),
    }
    price = _numbers("price", _present(raw, "price"), faults)
    quantity = _numbers("quantity", _present(raw, "quantity"), faults)
    price, quantity = _same_kind(price, quantity)
    _check_ranges(price, quantity, faults)
    check_faults(faults)
    columns |= {"price": price, "quantity": quantity}
    if columns["participant"] is None:
        columns["participant"] = np.arange(length)
    if columns["period"] is None:
        columns["period"] = np.zeros(length, dtype=np.int64)
    return columns


def header_faults(names: Sequence[str]) -> list[Fault]:
    """Faults of a table's header: required columns that lack, unknown or double ones."""
    missing = [
        _fault(f"column {name}", None, ("required column is missing", f"add the column {name!r}"))
        for name in REQUIRED
        if name not in names
    ]
    unknown = [
        _fault(f"column {name}", name, ("unknown column", f"use only {', '.join(COLUMNS)}"))
        for name in names
        if name not in COLUMNS
    ]
    double = [
        _fault(f"column {name}", name, ("column stands there more than once", "keep one of them"))
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    return missing + unknown + double


def concat_faults(parts: Sequence[Columns]) -> list[Fault]:
    """Faults of parts to be joined: an optional column that only some of them have, or ids of two kinds."""
    missing = [
        _fault(
            f"part {index}, column {name}", None, ("column is missing here only", "give it in all or none")
        )
        for name in OPTIONAL
        if any(part[name] is not None for part in parts)
        for index, part in enumerate(parts)
        if part[name] is None
    ]
    mixed = [
        _fault(f"column {name}", sorted(kinds), ("text in one part, integers in another", "use one kind"))
        for name in OPTIONAL
        if len(kinds := {column.dtype.kind for p in parts if (column := p[name]) is not None and len(column)})
        > 1
    ]
    return missing + mixed


def _fault(place: str, value: object, text: tuple[str, str]) -> Fault:
    reason, fix = text
    return Fault(source="bids", place=place, value=value, reason=reason, fix=fix)


def _row_faults(
    name: str, column: NDArray[Any], *, bad: NDArray[np.bool_] | None = None, text: tuple[str, str]
) -> list[Fault]:
    """One fault per bad row (all rows if none are named)."""
    rows = np.arange(len(column)) if bad is None else np.flatnonzero(bad)
    return [_fault(f"row {row}, column {name}", column[row : row + 1].tolist()[0], text) for row in rows]


def _present(raw: Columns, name: str) -> NDArray[Any]:
    column = raw[name]
    return np.empty(0) if column is None else column


def _as_column(name: str, value: object, faults: list[Fault]) -> NDArray[Any] | None:
    if value is None:
        if name in REQUIRED:
            faults.append(_fault(f"column {name}", None, ("required column is missing", "one entry per bid")))
        return None
    column = list_column(value) if isinstance(value, (list, tuple)) else np.asarray(value)
    if column.ndim != 1:
        text = (f"has {column.ndim} dimensions, not one", "give one entry per bid")
        faults.append(_fault(f"column {name}", f"shape {column.shape}", text))
    return column


def list_column(values: Sequence[Any]) -> NDArray[Any]:
    """Make a column of a list; a list of mixed types stays as objects, so that nothing turns into text."""
    kinds = {type(value) for value in values}
    numeric = all(issubclass(kind, (int, float, np.number)) and kind is not bool for kind in kinds)
    if len(kinds) <= 1 or numeric:
        try:
            column = np.asarray(values)
        except (ValueError, OverflowError):  # rows of different length, or numbers beyond 64 bits
            column = np.empty(0)
        # integers of which some need an unsigned type would silently become floats
        if len(column) and not (kinds == {int} and column.dtype.kind == "f"):
            return column
    column = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        column[row] = value
    return column


def _common_length(raw: Columns, faults: list[Fault]) -> int:
    lengths = {name: len(column) for name, column in raw.items() if column is not None and column.ndim == 1}
    length = lengths.get("price", max(lengths.values(), default=0))
    text = (f"length differs from the price's {length}", "give one entry per bid")
    faults += [_fault(f"column {name}", count, text) for name, count in lengths.items() if count != length]
    return length


def _sides(column: NDArray[Any], faults: list[Fault]) -> NDArray[np.int8]:
    side: NDArray[np.int8]
    if column.dtype.kind == "U":
        side = (column == "buy").astype(np.int8)
        side[column == "sell"] = -1
    elif column.dtype.kind in "iuf":
        side = (column == 1).astype(np.int8)
        side[column == -1] = -1
    else:
        side = np.array([_side_of(value) for value in column.tolist()], dtype=np.int8)
    bad = side == 0
    if bad.any():
        text = ("unknown side", "write 'buy' or 'sell', or +1 or -1")
        faults += _row_faults("side", column, bad=bad, text=text)
    return side


def _side_of(value: object) -> int:
    return SIDES.get(value, 0) if isinstance(value, (str, int)) and not isinstance(value, bool) else 0


def _numbers(name: str, column: NDArray[Any], faults: list[Fault]) -> NDArray[Any] | None:
    if column.dtype.kind == "O":
        return _numbers_of_objects(name, column, faults)
    if column.dtype.kind not in "iuf":
        faults += _row_faults(name, column, text=("is not a number", "write a number"))
        return None
    if column.dtype == np.uint64 and len(column) and column.max() > np.iinfo(np.int64).max:
        bad = column > np.uint64(np.iinfo(np.int64).max)
        faults += _row_faults(name, column, bad=bad, text=("beyond 64-bit integers", "use a coarser unit"))
        return None
    return column


def _numbers_of_objects(name: str, column: NDArray[Any], faults: list[Fault]) -> NDArray[Any] | None:
    values = column.tolist()
    bad = np.array([not isinstance(v, (Real, Decimal)) or isinstance(v, bool) for v in values], dtype=bool)
    if bad.any():
        faults += _row_faults(name, column, bad=bad, text=("is not a number", "write a number"))
        # the other rows are judged all the same, so that every fault is told at once
        return np.array([0.0 if wrong else float(v) for v, wrong in zip(values, bad.tolist(), strict=True)])
    if not values or not all(isinstance(v, (int, np.integer)) for v in values):
        return np.array([float(v) for v in values])
    bad = np.array([abs(int(v)) >= 2**63 for v in values], dtype=bool)
    if bad.any():
        faults += _row_faults(name, column, bad=bad, text=("beyond 64-bit integers", "use a coarser unit"))
        return None
    return np.array(values, dtype=np.int64)


def _ids(name: str, column: NDArray[Any] | None, faults: list[Fault]) -> NDArray[Any] | None:
    """Copy ids; objects become text or integers, a missing id or one of another kind is a fault."""
    if column is None:
        return None
    if len(column) == 0:
        return np.empty(0, dtype=np.int64)
    if column.dtype.kind == "U":
        return column.copy()
    if column.dtype.kind in "iu":
        return column.astype(np.int64)
    if column.dtype.kind == "f":
        bad = ~(np.isfinite(column) & (column == np.rint(column)))
        if not bad.any():
            return column.astype(np.int64)
    else:
        values = column.tolist()
        texts = sum(isinstance(value, str) for value in values)
        kind: type = str if 2 * texts >= len(values) else int
        bad = np.array([not isinstance(v, kind) or isinstance(v, bool) for v in values], dtype=bool)
        if not bad.any():
            return np.array(values, dtype=np.str_ if kind is str else np.int64)
    text = ("is no id of the column's kind", "write all as text or all as integers")
    faults += _row_faults(name, column, bad=bad, text=text)
    return None


def _periods(column: NDArray[Any] | None, faults: list[Fault]) -> NDArray[np.int64] | None:
    if column is None or len(column) == 0 or column.dtype.kind in "iuf":
        return _ids("period", column, faults)
    values = column.tolist() if column.dtype.kind == "O" else [None] * len(column)
    bad = np.array([not isinstance(v, int) or isinstance(v, bool) for v in values], dtype=bool)
    if not bad.any():
        return np.array(values, dtype=np.int64)
    text = ("is no period index", "write the integer index of the delivery period")
    faults += _row_faults("period", column, bad=bad, text=text)
    return None


def _same_kind(
    price: NDArray[Any] | None, quantity: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as fresh integers, or both as floats; a column that has faults already counts as empty."""
    price = np.empty(0) if price is None else price
    quantity = np.empty(0) if quantity is None else quantity
    if price.dtype.kind in "iu" and quantity.dtype.kind in "iu":
        return price.astype(np.int64), quantity.astype(np.int64)
    # adding zero copies and turns -0.0 into 0.0, so that equal prices have equal bits
    return price.astype(np.float64) + 0.0, quantity.astype(np.float64) + 0.0


def _check_ranges(price: NDArray[Any], quantity: NDArray[Any], faults: list[Fault]) -> None:
    whole = price.dtype.kind == "i"
    limit = LARGEST_TICK if whole else LARGEST
    # comparisons with NaN are False, so one minimum and one maximum show every fault
    if not (price.min(initial=0) >= -limit and price.max(initial=0) <= limit):
        bad = ~((price >= -limit) & (price <= limit))
        text = ("price is not finite or too large", "write a finite number")
        faults += _row_faults("price", price, bad=bad, text=text)
    if not quantity.min(initial=0) >= 0:
        text = ("quantity is negative or not a number", "write a quantity >= 0 and use the side")
        faults += _row_faults("quantity", quantity, bad=~(quantity >= 0), text=text)
    if not whole and not quantity.max(initial=0) <= LARGEST:
        text = ("quantity is infinite or too large", "write a finite quantity")
        faults += _row_faults("quantity", quantity, bad=quantity > LARGEST, text=text)
    if whole and not faults and len(price):
        _check_products(price, quantity, faults)


def _check_products(price: NDArray[Any], quantity: NDArray[Any], faults: list[Fault]) -> None:
    """Integer money is price x quantity in 64 bits: refuse what could overflow."""
    highest = max(int(price.max()), -int(price.min()), 1)
    total = float(quantity.sum(dtype=np.float64))
    if highest * total >= 2.0**62:
        row = int(quantity.argmax())
        reason = f"integer money overflows: largest price {highest} x total quantity {total:.4g} is over 2^62"
        text = (reason, "use coarser ticks, a smaller limit or floats")
        faults.append(_fault(f"row {row}, column quantity", int(quantity[row]), text))
