"""The border of `Bids`: turns what a caller gives into checked columns, or lists every fault at once."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, InputError

LARGEST = 1e100
"""Prices and quantities beyond this are no market data; the bound keeps all sums finite."""

LARGEST_TICK = 2**53
"""Integer prices up to here are also exact as floats."""

SIDES: dict[object, int] = {"buy": 1, "sell": -1, 1: 1, -1: -1}

Columns = dict[str, NDArray[Any] | None]


def checked(given: Mapping[str, object]) -> Columns:
    """Return the columns of `Bids`, fresh and of the right types; raise one `InputError` with all faults."""
    faults: list[Fault] = []
    raw = {name: _as_column(name, value, faults) for name, value in given.items()}
    length = _length(raw, faults)
    if faults:
        raise InputError(faults)
    columns: Columns = dict.fromkeys(given)
    columns["side"] = _sides(_present(raw, "side"), faults)
    price = _numbers("price", _present(raw, "price"), faults)
    quantity = _numbers("quantity", _present(raw, "quantity"), faults)
    columns["participant"] = _ids("participant", raw["participant"], faults)
    columns["period"] = _periods(raw["period"], faults)
    for name in ("node", "carrier", "group", "step"):
        columns[name] = _ids(name, raw[name], faults)
    if price is not None and quantity is not None:
        columns["price"], columns["quantity"] = _same_kind(price, quantity)
        _check_ranges(columns["price"], columns["quantity"], faults)
    if faults:
        raise InputError(faults)
    if columns["participant"] is None:
        columns["participant"] = np.arange(length)
    if columns["period"] is None:
        columns["period"] = np.zeros(length, dtype=np.int64)
    return columns


def header_faults(names: Sequence[str], required: Iterable[str], known: Iterable[str]) -> list[Fault]:
    """Faults of a table's header: required columns that lack, unknown or double ones."""
    known = tuple(known)
    missing = [
        _fault(f"column {name}", None, "required column is missing", f"add the column {name!r}")
        for name in required
        if name not in names
    ]
    unknown = [
        _fault(f"column {name}", name, "unknown column", f"use only {', '.join(known)}")
        for name in names
        if name not in known
    ]
    double = [
        _fault(f"column {name}", name, "column stands there more than once", "keep one of them")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    return missing + unknown + double


def concat_faults(parts: Sequence[Columns], optional: Iterable[str]) -> list[Fault]:
    """Faults of parts to be joined: an optional column that only some of them have."""
    return [
        _fault(f"part {index}, column {name}", None, "column is missing here only", "give it in all or none")
        for name in optional
        if any(part[name] is not None for part in parts)
        for index, part in enumerate(parts)
        if part[name] is None
    ]


def _fault(place: str, value: object, reason: str, fix: str) -> Fault:
    return Fault(source="bids", place=place, value=value, reason=reason, fix=fix)


def _row_faults(
    name: str, column: NDArray[Any], bad: NDArray[np.bool_], text: tuple[str, str]
) -> list[Fault]:
    reason, fix = text
    return [
        _fault(f"row {row}, column {name}", column[row : row + 1].tolist()[0], reason, fix)
        for row in np.flatnonzero(bad)
    ]


def _present(raw: Columns, name: str) -> NDArray[Any]:
    column = raw[name]
    return np.empty(0) if column is None else column


def _as_column(name: str, value: object, faults: list[Fault]) -> NDArray[Any] | None:
    if value is None:
        if name in ("side", "price", "quantity"):
            faults.append(
                _fault(f"column {name}", None, "required column is missing", "give one entry per bid")
            )
        return None
    if isinstance(value, (list, tuple)):
        value = _list_column(value)
    column = np.asarray(value)
    if column.ndim != 1:
        text = f"has {column.ndim} dimensions, not one"
        faults.append(_fault(f"column {name}", f"shape {column.shape}", text, "give one entry per bid"))
    return column


def _list_column(values: Sequence[object]) -> NDArray[Any]:
    """Make a column of a list; a list of mixed types stays as objects, so that nothing turns into text."""
    kinds = {type(value) for value in values}
    numeric = all(issubclass(kind, (int, float, np.number)) and kind is not bool for kind in kinds)
    if len(kinds) <= 1 or numeric:
        try:
            return np.asarray(values)
        except (ValueError, OverflowError):  # ragged rows or numbers beyond 64 bits
            pass
    column = np.empty(len(values), dtype=object)
    column[:] = [value if np.ndim(value) == 0 else str(value) for value in values]  # type: ignore[arg-type]
    return column


def _length(raw: Columns, faults: list[Fault]) -> int:
    lengths = {name: len(column) for name, column in raw.items() if column is not None and column.ndim == 1}
    if len(set(lengths.values())) > 1:
        length = lengths.get("price", max(lengths.values()))
        faults.extend(
            _fault(f"column {name}", count, f"length differs from the price's {length}", "one entry per bid")
            for name, count in lengths.items()
            if count != length
        )
    return lengths.get("price", 0)


def _sides(column: NDArray[Any], faults: list[Fault]) -> NDArray[np.int8]:
    if column.dtype.kind == "U":
        side = (column == "buy").astype(np.int8)
        side[column == "sell"] = -1
    elif column.dtype.kind in "iuf":
        side = (column == 1).astype(np.int8)
        side[column == -1] = -1
    elif column.dtype.kind in "OT":
        side = np.array([_side_of(value) for value in column.tolist()], dtype=np.int8)
    else:
        side = np.zeros(len(column), dtype=np.int8)
    bad = side == 0
    if bad.any():
        faults += _row_faults("side", column, bad, ("unknown side", "write 'buy' or 'sell', or +1 or -1"))
    return side


def _side_of(value: object) -> int:
    return SIDES.get(value, 0) if isinstance(value, (str, int)) and not isinstance(value, bool) else 0


def _numbers(name: str, column: NDArray[Any], faults: list[Fault]) -> NDArray[Any] | None:
    if column.dtype.kind == "O":
        return _numbers_of_objects(name, column, faults)
    if column.dtype.kind not in "iuf":
        bad = np.ones(len(column), dtype=bool)
        faults += _row_faults(name, column, bad, ("is not a number", "write a number"))
        return None
    if column.dtype == np.uint64 and len(column) and column.max() > np.iinfo(np.int64).max:
        bad = column > np.uint64(np.iinfo(np.int64).max)
        faults += _row_faults(name, column, bad, ("beyond 64-bit integers", "use a coarser unit"))
        return None
    return column


def _numbers_of_objects(name: str, column: NDArray[Any], faults: list[Fault]) -> NDArray[Any] | None:
    values = column.tolist()
    bad = np.array([not isinstance(v, (Real, Decimal)) or isinstance(v, bool) for v in values], dtype=bool)
    if bad.any():
        faults += _row_faults(name, column, bad, ("is not a number", "write a number"))
        return None
    whole = len(values) > 0 and all(isinstance(v, (int, np.integer)) for v in values)
    if whole and all(abs(int(v)) < 2**63 for v in values):
        return np.array(values, dtype=np.int64)
    return np.array([float(v) for v in values])


def _ids(name: str, column: NDArray[Any] | None, faults: list[Fault]) -> NDArray[Any] | None:
    """Copy ids; objects become text or integers, a missing id is a fault."""
    if column is None:
        return None
    if column.dtype.kind in "iuU":
        return column.astype(np.int64) if column.dtype.kind in "iu" else column.copy()
    if len(column) == 0:
        return np.empty(0, dtype=np.int64)
    if column.dtype.kind == "f":
        bad = ~(np.isfinite(column) & (column == np.rint(column)))
        if not bad.any():
            return column.astype(np.int64)
    else:
        values = column.tolist()
        if all(isinstance(value, str) for value in values):
            return np.array(values, dtype=np.str_)
        if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            return np.array(values, dtype=np.int64)
        texts = sum(isinstance(value, str) for value in values)
        wanted = str if 2 * texts >= len(values) else int
        bad = np.array([not isinstance(v, wanted) or isinstance(v, bool) for v in values], dtype=bool)
    faults += _row_faults(
        name, column, bad, ("is no id of the column's kind", "write all as text or all as integers")
    )
    return None


def _periods(column: NDArray[Any] | None, faults: list[Fault]) -> NDArray[np.int64] | None:
    if column is not None and column.dtype.kind not in "iuf" and len(column):
        try:
            objects = np.array([int(v) if v == int(v) else np.nan for v in column.tolist()], dtype=object)
            column = np.array(objects.tolist())
        except (TypeError, ValueError):
            bad = np.ones(len(column), dtype=bool)
            fix = "write the integer index of the delivery period"
            faults += _row_faults("period", column, bad, ("is no period index", fix))
            return None
    return _ids("period", column, faults)


def _same_kind(price: NDArray[Any], quantity: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if price.dtype.kind in "iu" and quantity.dtype.kind in "iu":
        return price.astype(np.int64), quantity.astype(np.int64)
    # adding zero copies and turns -0.0 into 0.0, so that equal prices have equal bits
    return price.astype(np.float64) + 0.0, quantity.astype(np.float64) + 0.0


def _check_ranges(price: NDArray[Any] | None, quantity: NDArray[Any] | None, faults: list[Fault]) -> None:
    if price is None or quantity is None or len(price) == 0 or len(price) != len(quantity):
        return
    whole = price.dtype.kind == "i"
    limit = LARGEST_TICK if whole else LARGEST
    # comparisons with NaN are False, so one minimum and one maximum show every fault
    if not (price.min() >= -limit and price.max() <= limit):
        bad = ~((price >= -limit) & (price <= limit))
        faults += _row_faults(
            "price", price, bad, ("price is not finite or too large", "write a finite number")
        )
    if not quantity.min() >= 0:
        text = ("quantity is negative or not a number", "write a quantity >= 0 and use the side")
        faults += _row_faults("quantity", quantity, ~(quantity >= 0), text)
    if not whole and quantity.max() > LARGEST:
        text = ("quantity is infinite or too large", "write a finite quantity")
        faults += _row_faults("quantity", quantity, quantity > LARGEST, text)
    if whole and not faults:
        _check_products(price, quantity, faults)


def _check_products(price: NDArray[Any], quantity: NDArray[Any], faults: list[Fault]) -> None:
    """Integer money is price x quantity in 64 bits: refuse what could overflow."""
    highest = max(int(price.max()), -int(price.min()), 1)
    total = float(quantity.sum(dtype=np.float64))
    if highest * total >= 2.0**62:
        row = int(quantity.argmax())
        reason = f"integer money overflows: largest price {highest} x total quantity {total:.4g} is over 2^62"
        fix = "use coarser ticks, a smaller limit or floats"
        faults.append(_fault(f"row {row}, column quantity", int(quantity[row]), reason, fix))
