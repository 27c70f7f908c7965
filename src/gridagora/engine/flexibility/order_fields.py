"""Bids of the continuous market as they came in: what cannot be read hides no fault of the rest."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from gridagora.errors import Fault, InputError
from gridagora.model.continuous import FlexBid

STAND_INS: Mapping[str, Any] = {
    "number": 0,
    "participant": "?",
    "side": "sell",
    "direction": "cap",
    "first": 0,
    "periods": 1,
    "quantity_kw": 0.001,
    "price": 0.0,
}
"""What stands in for a field that cannot be read; other fields take their defaults."""

Unread = frozenset[str]


def read_bid(given: FlexBid | Mapping[str, Any], *, number: int) -> tuple[FlexBid, list[Fault], Unread]:
    """Return a bid, with stand-ins where a field is missing or wrong; the faults; the fields stood in for.

    ``number`` stands in for that of the bid.

    >>> row = {"number": 3, "participant": "ann", "side": "sell", "direction": "cap", "first": 8,
    ...        "periods": 1, "quantity_kw": 2.0, "price": float("nan")}
    >>> bid, faults, unread = read_bid(row, number=3)
    >>> bid.quantity_kw, [fault.place for fault in faults], sorted(unread)
    (2.0, ['price'], ['price'])
    """
    if isinstance(given, FlexBid):
        return given, [], frozenset()
    known = {field.name: field for field in fields(FlexBid)}
    source = f"flexibility bid {given.get('number', number)}"
    faults = [
        Fault(source=source, place=name, value=given[name], reason="is no field of a bid", fix="leave it out")
        for name in given
        if name not in known
    ]
    missing = [name for name, field in known.items() if field.default is MISSING and name not in given]
    faults += [
        Fault(source=source, place=name, value=None, reason="is missing", fix="write it") for name in missing
    ]
    stand_ins = {**STAND_INS, "number": number}
    values = {name: given[name] for name in given if name in known} | {
        name: stand_ins[name] for name in missing
    }
    try:
        return FlexBid(**values), faults, frozenset(missing)
    except InputError as error:
        faults += error.faults
    wrong = {fault.place for fault in faults if fault.place in known}
    if wrong & {"periods", "block_periods", "max_blocks", "rest_blocks", "fill", "min_kw"}:
        # these depend on one another: none is judged further
        wrong |= {"block_periods", "max_blocks", "rest_blocks", "fill", "min_kw"}
    kept = {name: value for name, value in values.items() if name not in wrong}
    kept |= {name: stand_ins[name] for name in wrong if name in stand_ins}
    return FlexBid(**kept), faults, frozenset(wrong)
