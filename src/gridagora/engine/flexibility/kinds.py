"""Values of commands as events keep them: plain numbers and tuples; all that is of another kind is told.

Arrays, lists and numbers of numpy are taken as well.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from gridagora.engine.flexibility.commands import FlexCommand
from gridagora.errors import Fault, check_faults
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_market import (
    ConnectionPoint,
    ContractRules,
    FlexAuction,
    FlexMarketTerms,
    RedispatchOrder,
)
from gridagora.model.reservation import Tender, TenderBid

T = TypeVar("T")

Read = Callable[[Any], Any]
"""Returns a value as it is kept; raises TypeError with what it should be."""


def sound(command: FlexCommand) -> FlexCommand:
    """Return a command with its values as they are kept.

    Raises
    ------
    InputError
        Lists every value that is of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from gridagora.engine.flexibility.commands import ReleaseReservation
    >>> sound(ReleaseReservation(at=np.int64(0), contract="c", periods=np.array([4]), kw=[1])).periods
    (4,)
    """
    faults: list[Fault] = []
    kept = _read(command, OF_COMMANDS, place="", faults=faults)
    check_faults(faults)
    return kept


def _read(value: T, table: Mapping[str, Read], *, place: str, faults: list[Fault]) -> T:
    """Return a value with its fields read by a table, and note what is of the wrong kind."""
    changed: dict[str, Any] = {}
    for name, read in table.items():
        if not hasattr(value, name):
            continue
        given = getattr(value, name)
        try:
            changed[name] = read(given)
        except TypeError as error:
            where = f"{place}, {name}" if place else name
            faults.append(
                Fault(
                    source=f"command {type(value).__name__}" if not place else "flexibility market",
                    place=where,
                    value=given,
                    reason="is of the wrong kind",
                    fix=f"write {error}",
                )
            )
        else:
            faults += _within(changed, name, place)
    return replace(value, **changed)  # type: ignore[type-var]


def _within(changed: dict[str, Any], name: str, place: str) -> Iterator[Fault]:
    """Read what a field holds in turn, and yield its faults."""
    value = changed[name]
    where = f"{place}, {name}" if place else name
    faults: list[Fault] = []
    for kind, table in INSIDE.items():
        if isinstance(value, kind):
            changed[name] = _read(value, table, place=where, faults=faults)
    if name == "points":
        changed[name] = tuple(
            _read(one, OF_POINTS, place=f"{where}, {one.participant}", faults=faults) for one in value
        )
    yield from faults


def _whole(value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    message = "a whole number"
    raise TypeError(message)


def _number(value: Any) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    message = "a number"
    raise TypeError(message)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    message = "a text"
    raise TypeError(message)


def _flag(value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    message = "True or False"
    raise TypeError(message)


def _items(value: Any, read: Read, what: str) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise TypeError(what)
    try:
        return tuple(read(item) for item in value)
    except TypeError as error:
        raise TypeError(what) from error


def _loose(value: Any) -> Any:
    """Return a number as a float; the rest is judged where it is used."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else value


def _of(kind: type, what: str) -> Read:
    def read(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        raise TypeError(what)

    return read


def _many(read: Read, what: str) -> Read:
    return lambda value: _items(value, read, what)


def _pair(value: Any, *, read: Read) -> tuple[str, Any]:
    name, other = _items(value, lambda item: item, "pairs") if not isinstance(value, str) else (value, None)
    return _text(name), read(other)


def _products(value: Any) -> tuple[tuple[str, FlexProduct], ...]:
    what = 'pairs of name and FlexProduct, e.g. (("cap", FlexProduct(direction="cap")),)'
    try:
        return _items(value, lambda item: _pair(item, read=_of(FlexProduct, what)), what)
    except ValueError as error:
        raise TypeError(what) from error


def _areas(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    what = 'pairs of name and connection points, e.g. (("north", ("ann", "bob")),)'
    try:
        return _items(value, lambda item: _pair(item, read=_many(_text, what)), what)
    except ValueError as error:
        raise TypeError(what) from error


def _contract(value: Any) -> ContractRules | None:
    if value is None or isinstance(value, ContractRules):
        return value
    message = "ContractRules, or leave it out"
    raise TypeError(message)


def _auction(value: Any) -> FlexAuction | int:
    return value if isinstance(value, FlexAuction) else _whole(value)


def _tender(value: Any) -> Tender | str:
    """Return a tender, or the name of one."""
    if isinstance(value, Tender | str):
        return value
    message = "a Tender, or the name of one"
    raise TypeError(message)


def _named(value: Any, read: Read, what: str) -> dict[str, Any]:
    """Return a mapping, or pairs as they come out of a database, by name."""
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        return {_text(name): read(held) for name, held in pairs}
    except (TypeError, ValueError) as error:
        raise TypeError(what) from error


def _reasons(value: Any) -> dict[str, str]:
    return _named(value, _text, 'reasons by seller, e.g. {"ann": "never answered a test"}')


def _series(value: Any) -> dict[str, Any]:
    return _named(value, lambda held: held, 'a value per period by name, e.g. {"temperature": [1.0, -6.0]}')


def _bids(value: Any) -> Any:
    """Return bids of a tender as a tuple; those of an auction are read with it."""
    many = isinstance(value, list | tuple) and all(isinstance(bid, TenderBid) for bid in value)
    return tuple(value) if many else value


NAMES = _many(_text, 'a tuple of names, e.g. ("DSO",)')

OF_COMMANDS: Mapping[str, Read] = MappingProxyType(
    {
        "at": _whole,
        "terms": _of(FlexMarketTerms, "FlexMarketTerms"),
        "point": _of(ConnectionPoint, "a ConnectionPoint"),
        "reason": _text,
        "auction": _auction,
        "bids": _bids,
        "tender": _tender,
        "order": _of(RedispatchOrder, "a RedispatchOrder"),
        "closes": _whole,
        "rejected": _reasons,
        "conditions": _series,
        "first": _whole,
        "count": _whole,
        "before": _whole,
        "periods": _many(_whole, "a tuple of whole numbers, e.g. (17, 18)"),
        "contracts": NAMES,
        "contract": _text,
        "requested_kw": _many(_loose, "a tuple of kW, one per period"),
        "kw": _many(_loose, "a tuple of kW, one per period"),
        "test": _flag,
        "inside": _many(lambda order: order, "a tuple of RedispatchOrder"),
        "outside": _many(lambda order: order, "a tuple of RedispatchOrder"),
        "needed_kw": _of(Mapping, "kW by period, e.g. {17: 20.0}"),
        "shares": _of(Mapping, 'weights by buyer, e.g. {"DSO": 1.0}'),
    }
)
"""How the fields of commands are read."""

OF_TERMS: Mapping[str, Read] = MappingProxyType(
    {
        "points": _many(_of(ConnectionPoint, "points"), "a tuple of ConnectionPoint"),
        "buyers": NAMES,
        "products": _products,
        "settlement": _many(_text, 'a tuple of rules, e.g. ("uftp",)'),
        "areas": _areas,
        **dict.fromkeys(("start", "first", "periods", "gate_closure_periods", "window_periods"), _whole),
        "penalty_micro_per_kwh": _whole,
        "baseline": _text,
        **dict.fromkeys(("period_hours", "tolerance_kw", "most_missing_percent"), _number),
    }
)
"""How the fields of `FlexMarketTerms` are read."""

OF_POINTS: Mapping[str, Read] = MappingProxyType(
    {"participant": _text, "bus": _text, "import_kw": _number, "export_kw": _number}
)
"""How the fields of `ConnectionPoint` are read."""

OF_AUCTIONS: Mapping[str, Read] = MappingProxyType(
    {
        **dict.fromkeys(("number", "first", "count", "gate"), _whole),
        "ordered": _flag,
        "area": NAMES,
        "contract": _contract,
        "element": _text,
    }
)
"""How the fields of `FlexAuction` are read."""

OF_RULES: Mapping[str, Read] = MappingProxyType(
    {
        "activation_cap": _number,
        **dict.fromkeys(("lead_periods", "rest_periods", "max_tests"), _whole),
        "max_activations": lambda value: None if value is None else _whole(value),
        "auto_offer": _flag,
    }
)
"""How the fields of `ContractRules` are read."""

INSIDE: Mapping[type, Mapping[str, Read]] = MappingProxyType(
    {FlexMarketTerms: OF_TERMS, FlexAuction: OF_AUCTIONS, ContractRules: OF_RULES, ConnectionPoint: OF_POINTS}
)
"""Values with fields of their own."""
