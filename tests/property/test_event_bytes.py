"""Events as bytes: nothing is lost, and bytes that are no event are refused with a reason."""

import math
import types
import typing
import zlib
from dataclasses import fields, is_dataclass
from enum import Enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gridagora.adapters.sql import codec
from gridagora.errors import DamagedEvent
from gridagora.model.events import GENESIS, Event, StudyOpened, canonical_bytes, chain_hash

KINDS = typing.get_args(Event)
DTYPES = st.sampled_from(["<i8", "<U0", ">i4", "<m8[15m]", "|i1", "<f8", "|b1", "<U5", "<f4", "<M8[s]"])
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
ARRAYS = DTYPES.flatmap(lambda kind: hnp.arrays(np.dtype(kind), SHAPES))
TEXTS = st.text(st.characters(codec=None), max_size=8)


def values(annotation: typing.Any, depth: int = 0) -> st.SearchStrategy[typing.Any]:
    """Values of the type that a field is said to have."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and is_dataclass(annotation):
        return instances(annotation, depth + 1)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if annotation is np.ndarray or origin is np.ndarray:
        return ARRAYS
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(part, depth) for part in parts])
    if origin is typing.Literal:
        return st.sampled_from(parts)
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return st.lists(values(parts[0], depth), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(part, depth) for part in parts))
    return {
        int: st.integers(-(2**70), 2**70),
        float: st.floats(),
        str: TEXTS,
        bool: st.booleans(),
        type(None): st.none(),
    }[annotation]


def instances(kind: type, depth: int = 0) -> st.SearchStrategy[typing.Any]:
    """Objects of a dataclass with any values of the right types, also such as its checks would refuse."""

    def build(given_values: dict[str, typing.Any]) -> typing.Any:
        made = object.__new__(kind)
        for name, value in given_values.items():
            object.__setattr__(made, name, value)
        return made

    hints = typing.get_type_hints(kind)
    return st.fixed_dictionaries({f.name: values(hints[f.name], depth) for f in fields(kind)}).map(build)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_every_event_survives(kind, data):
    event = data.draw(instances(kind))
    body = codec.encode(event)
    assert codec.canonical_of(body) == canonical_bytes(event)
    try:
        back = codec.decode(body)
    except DamagedEvent:
        return  # a class that checks its values has refused them
    assert type(back) is kind
    assert canonical_bytes(back) == canonical_bytes(event)
    assert chain_hash(GENESIS, back) == chain_hash(GENESIS, event)


def opened(**changes):
    return StudyOpened(**{"at": 0, "name": "a", "seed": 0, "participants": ("x",), "rules": ""} | changes)


@pytest.mark.parametrize("number", [-0.0, math.nan, math.inf, 5e-324, 0.1 + 0.2])
def test_every_bit_of_a_float_survives(number):
    back = codec.decode(codec.encode(opened(seed=number)))
    assert np.float64(back.seed).tobytes() == np.float64(number).tobytes()


def test_numbers_of_numpy_stay_what_they_are():
    back = codec.decode(codec.encode(opened(seed=np.int64(3))))
    assert type(back.seed) is np.int64


def test_long_events_are_compressed_where_it_pays():
    text = codec.encode(opened(rules="kWh " * 1000))
    assert text[4] == codec.COMPRESSED
    assert len(text) < 400
    chance = np.random.default_rng(1).bytes(1000).hex()
    assert codec.decode(codec.encode(opened(rules=chance))).rules == chance
    assert codec.encode(opened())[4] == codec.PLAIN


@pytest.mark.parametrize("value", [[1], {"a": 1}, object(), np.array([object()])])
def test_what_events_do_not_hold_is_refused_when_it_is_written(value):
    with pytest.raises(TypeError, match="events hold no"):
        codec.encode(opened(seed=value))


BODY = codec.encode(opened())


def newer_field() -> bytes:
    head, _, rest = BODY.partition(b"StudyOpened")
    count = (6).to_bytes(4, "little")
    more = (5).to_bytes(4, "little") + b"later" + b"N"
    return head + b"StudyOpened" + count + rest[4:] + more


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no event"),
        (b"SQLite format 3", "no event"),
        (b"GAe\x09\x00rest", "format 9"),
        (BODY[:4] + b"\x07" + BODY[5:], "packing"),
        (BODY[:4] + b"\x01" + bytes(8) + b"none", "damaged"),
        (BODY[:4] + b"\x01" + bytes(8) + zlib.compress(b"x"), "1 bytes in place of 0"),
        (BODY[:-1], "damaged at byte"),
        (BODY + b"x", "1 bytes follow"),
        (BODY.replace(b"StudyOpened", b"StudyClosed"), "no event 'StudyClosed'"),
        (BODY.replace(b"StudyOpened", b"PoolTradesX"), "no event"),
        (BODY.replace(b"rules", b"rulez"), "knows no rulez"),
        (newer_field(), "knows no later"),
        (b"GAe\x01\x00" + b"s\x01\x00\x00\x00a", "no event begins"),
        (b"GAe\x01\x00" + b"d\xff\xff\xff\xffabc", "promised"),
        (b"GAe\x01\x00" + b"d" + BODY[6:21] + b"\xff\xff\xff\x7f", "promised"),
    ],
)
def test_foreign_and_damaged_bytes_are_refused_with_a_reason(body, reason):
    with pytest.raises(DamagedEvent, match=reason):
        codec.decode(body)


def test_a_field_that_came_later_takes_its_default():
    from gridagora.model.events import AuctionCleared

    none = np.zeros(0, np.int64)
    columns = ("participant", "period", "side", "price", "quantity", "accepted", "paid", "clearing_price")
    event = AuctionCleared(at=0, session=0, first=0, **dict.fromkeys(columns, none))
    body = codec.encode(event)
    field = (5).to_bytes(4, "little") + b"zonal" + b"N"
    assert body.endswith(field)
    older = body.replace(b"AuctionCleared\x0d", b"AuctionCleared\x0c")[: -len(field)]
    assert codec.decode(older).zonal is None
    assert b"zonal" not in codec.canonical_of(older)


@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, len(BODY) - 1), byte=st.integers(0, 255))
def test_a_damaged_byte_is_an_error_of_ours_or_changes_the_event(place, byte):
    damaged = BODY[:place] + bytes([byte]) + BODY[place + 1 :]
    try:
        event = codec.decode(damaged)
    except DamagedEvent:
        return
    assert (damaged == BODY) == (canonical_bytes(event) == canonical_bytes(opened()))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read(data):
    for body in (data, b"GAe\x01\x00d" + data):
        with pytest.raises(DamagedEvent):
            codec.decode(body)
