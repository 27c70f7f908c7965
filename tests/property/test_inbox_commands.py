"""Every command of a live market goes through the inbox of its programs and comes out equal.

The commands are those that the registry of the market has, and values are made from the types of their
fields, so a new command is tried as soon as it is there.
"""

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridagora.adapters.live_inbox import packed, unpacked
from gridagora.engine.flexibility.machine import HANDLERS as FLEX_HANDLERS
from gridagora.engine.live.commands import LiveCommand
from gridagora.engine.live.machine import FLEX_COMMANDS, HANDLERS
from gridagora.model.bids import Bids
from gridagora.model.continuous import FlexBid
from gridagora.model.flexibility import FlexProduct
from gridagora.model.live import LiveTerms
from gridagora.model.reservation import Tender, Trigger

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WHOLE = st.integers(-(2**62), 2**62)
NUMBER = st.floats(allow_nan=True, allow_infinity=True)
WHOLES = st.lists(st.integers(-(2**40), 2**40), max_size=4)
NUMBERS = st.lists(NUMBER, min_size=1, max_size=4)
PRODUCT = st.builds(FlexProduct, direction=st.sampled_from(("cap", "floor", "up", "down")))
COLUMNS = {"side": [1, -1], "price": [0.2, 0.1], "quantity": [1.0, 2.0], "participant": ["DSO", "ann"]}
BID = {
    "number": 0,
    "participant": "ann",
    "side": "sell",
    "direction": "cap",
    "first": 3,
    "periods": 2,
    "quantity_kw": 2.0,
    "price": 0.1,
}
TENDER = Tender(
    name="winter",
    buyer="DSO",
    product=FlexProduct(direction="cap"),
    windows=((3, 2), (8, 1)),
    need_kw=np.array([2.0, 3.5]),
    area=("north",),
    trigger=Trigger(name="temperature", threshold=-5.0, when="at_least"),
)
SAMPLES: Mapping[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: WHOLE,
    float: NUMBER,
    str: TEXT,
    type(None): st.none(),
    Bids: st.just(Bids(**COLUMNS, period=[4, 5])),
    FlexBid: st.just(FlexBid(**BID)),
    FlexProduct: PRODUCT,
    Tender: st.sampled_from((TENDER, replace(TENDER, trigger=None, area=()))),
    LiveTerms: st.just(LiveTerms(name="village", epoch=0, scenario="grid: cigre-lv")),
}
BY_NAME: Mapping[str, st.SearchStrategy[Any]] = {
    "bids": st.sampled_from((Bids(**COLUMNS, period=[4, 5]), COLUMNS | {"period": [4, 5]})),
    "bid": st.sampled_from((FlexBid(**BID), BID)),
    "conditions": st.dictionaries(TEXT, NUMBERS | NUMBERS.map(np.array), max_size=2),
}
"""Fields of commands that come as columns or mappings of what events hold."""


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as annotations name it."""
    if hint in SAMPLES:
        return SAMPLES[hint]
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return st.one_of(*map(of, parts))
    if kind is Literal:
        return st.sampled_from(parts)
    if kind is np.ndarray:
        whole = "int" in str(hint) or "signed" in str(hint)
        return WHOLES.map(lambda v: np.array(v, np.int64)) if whole else NUMBERS.map(np.array)
    if kind is tuple:
        many = parts[-1] is Ellipsis
        return st.lists(of(parts[0]), max_size=3).map(tuple) if many else st.tuples(*map(of, parts))
    if kind is Mapping:
        return st.dictionaries(of(parts[0]), of(parts[1]), max_size=3)
    if kind is Sequence:
        return st.lists(of(parts[0]), max_size=3) | st.lists(of(parts[0]), max_size=3).map(tuple)
    if is_dataclass(hint):
        return made(hint)
    raise AssertionError(f"no values of {hint} are known here")


@cache
def made(kind: Any) -> st.SearchStrategy[Any]:
    """Return objects of a class that does not look at its values, with all of its fields."""
    hints = get_type_hints(kind)
    assert not hasattr(kind, "__post_init__"), f"{kind.__name__} checks its values: give it a sample"
    return st.builds(kind, **{f.name: of(hints[f.name]) for f in fields(kind)})


def equal(one: Any, other: Any) -> bool:
    """Tell whether two values are the same; a list may have become an array."""
    if is_dataclass(one):
        return type(one) is type(other) and all(
            equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)
        )
    if isinstance(one, list | np.ndarray):
        a, b = np.asarray(one), np.asarray(other)
        same = not isinstance(one, np.ndarray) or a.dtype == b.dtype
        return same and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(one, tuple):
        return type(other) is tuple and len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and list(one) == list(other)
            and all(equal(one[name], other[name]) for name in one)
        )
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and one == other


def command(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    names = {f.name: of(hints[f.name]) if f.name not in BY_NAME else None for f in fields(kind)}
    found = {name: BY_NAME[name] if how is None else how for name, how in names.items()}
    if kind.__name__ in ("SubmitTenderBid", "AwardTender"):
        found |= {name: of(hints[name]) for name in ("bid", "bids") if name in hints}
    return st.builds(kind, **found)


def test_all_commands_that_are_carried_out_can_be_handed_to_another_program():
    assert {*HANDLERS, *FLEX_COMMANDS} == set(get_args(LiveCommand))
    assert {*FLEX_HANDLERS} <= FLEX_COMMANDS


@pytest.mark.parametrize("kind", get_args(LiveCommand), ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_command_comes_out_of_the_inbox_as_it_went_in(kind, data):
    given_ = data.draw(command(kind))
    again = unpacked(packed(given_))
    assert type(again) is kind
    for field in fields(kind):
        sent, got = getattr(given_, field.name), getattr(again, field.name)
        if type(got) is Bids and isinstance(sent, Mapping):
            sent = Bids(**sent)
        if type(got) is FlexBid and isinstance(sent, Mapping):
            sent = FlexBid(**sent)
        assert equal(sent, got), field.name
