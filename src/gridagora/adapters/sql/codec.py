"""Events as bytes and back, without loss: nested dataclasses, arrays, tuples, enums, every bit of a float.

A body is ``GAe``, the version of this format, a flag (1: compressed) and then one value.  Values tell what
they are, and dataclasses name their fields: what was stored years ago can be read, and its hash computed,
whatever fields its class has got since.  Nothing is ever run from a body: classes are looked up among those
that the type `gridagora.model.events.Event` is made of.  Commands of a live market are written the same way,
for programs that hand them to the one that writes.
"""

import re
import struct
import zlib
from collections.abc import Callable, Hashable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, lru_cache
from typing import Any, cast, get_args, get_origin, get_type_hints

import numpy as np

from gridagora.engine.live.commands import LiveCommand
from gridagora.errors import DamagedEvent, InvariantError, require
from gridagora.model.events import Event

MAGIC = b"GAe"
VERSION = 1
PLAIN, COMPRESSED = 0, 1
SMALL = 400
"""Bytes up to which compressing saves too little for its time."""

SHORT = 64
"""Bytes of a text up to which it is looked for among those that were read before."""

DEEPEST = 32
"""Levels of values within values; the deepest event has five."""

_REFUSALS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    InvariantError,
    struct.error,
)
"""What reading raises, and what classes raise that check their values."""

_LENGTH = struct.Struct("<Q")
_COUNT = struct.Struct("<I")
_DOUBLE = struct.Struct("<d")
_ARRAY_KINDS = "biufUSMm"
_DTYPE = re.compile(rf"[<>|][{_ARRAY_KINDS}]\d{{1,6}}(\[\d*\w+\])?")


@cache
def classes() -> dict[str, type]:
    """Return every dataclass and enum that an event or a command can hold, by name, found by walking types.

    >>> "AuctionCleared" in classes(), "NodalClearing" in classes(), "FlexContract" in classes()
    (True, True, True)
    """
    return classes_of(*get_args(Event), *get_args(LiveCommand))


def classes_of(*kinds: Any) -> dict[str, type]:
    """Return every dataclass and enum that values of some types can hold, by name."""
    found: dict[str, type] = {}
    for kind in kinds:
        _walk(kind, found)
    return found


def _walk(annotation: Any, found: dict[str, type]) -> None:
    kind = get_origin(annotation) or annotation
    ours = isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Enum))
    if not ours:
        for part in get_args(annotation):
            _walk(part, found)
        return
    if found.get(kind.__name__) is kind:
        return
    require(kind.__name__ not in found, f"two classes of events are called {kind.__name__}")
    found[kind.__name__] = kind
    if is_dataclass(kind):
        for part in get_type_hints(kind).values():
            _walk(part, found)


def encode(event: Event | LiveCommand) -> bytes:
    """Return an event or a command as bytes, compressed where that saves a tenth or more.

    Raises
    ------
    TypeError
        for a value that is none of those that events hold.

    Examples
    --------
    >>> from gridagora.model.events import StudyOpened
    >>> event = StudyOpened(at=0, name="a", seed=1, participants=("x",), rules="")
    >>> decode(encode(event)) == event
    True
    """
    parts: list[bytes] = []
    put(event, parts.append)
    return packed(b"".join(parts))


def packed(plain: bytes) -> bytes:
    """Return a written value as a body, compressed where that saves a tenth or more."""
    if len(plain) > SMALL:
        packed = zlib.compress(plain, 1)
        if len(packed) < 0.9 * len(plain):
            return b"".join((MAGIC, bytes((VERSION, COMPRESSED)), _LENGTH.pack(len(plain)), packed))
    return b"".join((MAGIC, bytes((VERSION, PLAIN)), plain))


def put(value: Any, out: Callable[[bytes], None]) -> None:
    """Write a value, bytes by bytes; raises `TypeError` for one that events do not hold."""
    kind = type(value)
    if kind is np.ndarray:
        _put_numbers(value, out)
    elif kind is str:
        out(b"s" + _text(value))
    elif kind is int:
        size = value.bit_length() // 8 + 1
        out(b"i" + _COUNT.pack(size) + value.to_bytes(size, "little", signed=True))
    elif kind is float:
        out(b"f" + _DOUBLE.pack(value))
    elif value is None or kind is bool:
        out({None: b"N", True: b"T", False: b"F"}[value])
    elif kind is tuple:
        out(head_of_items(len(value)))
        for item in value:
            put(item, out)
    elif isinstance(value, np.ndarray | np.generic):
        _put_numbers(value, out)
    elif kind.__name__ in classes() and classes()[kind.__name__] is kind:
        _put_ours(value, out)
    else:
        raise TypeError(f"events hold no {kind.__name__}: {value!r}")


def head_of_items(count: int) -> bytes:
    """Return what stands before the values of a tuple."""
    return b"t" + _COUNT.pack(count)


def _put_ours(value: Any, out: Callable[[bytes], None]) -> None:
    kind = type(value)
    if isinstance(value, Enum):
        out(b"e" + _text(kind.__name__) + _text(value.name) + _text(repr(value)))
        return
    names = _field_names(cast("Hashable", kind))
    out(b"d" + _text(kind.__name__) + _COUNT.pack(len(names)))
    for name, head in names:
        out(head)
        put(getattr(value, name), out)


@cache
def _field_names(kind: Hashable) -> tuple[tuple[str, bytes], ...]:
    return tuple((field.name, _text(field.name)) for field in fields(cast("Any", kind)))


def _put_numbers(value: Any, out: Callable[[bytes], None]) -> None:
    out(_head_of_numbers(b"a" if isinstance(value, np.ndarray) else b"g", value.dtype, value.shape))
    out(value.tobytes())


@lru_cache(maxsize=4096)
def _head_of_numbers(tag: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    if dtype.kind not in _ARRAY_KINDS:
        raise TypeError(f"events hold no array of {dtype}")
    sizes = b"".join(map(_LENGTH.pack, shape))
    return tag + _text(dtype.str) + _COUNT.pack(len(shape)) + sizes


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return _COUNT.pack(len(data)) + data


def decode(body: bytes) -> Event:
    """Return the event of a body.

    Raises
    ------
    DamagedEvent
        saying what is wrong with bytes that are no event, or one of a newer version.
    """
    return cast("Event", _read(body, _OBJECTS))


def decode_command(body: bytes) -> LiveCommand:
    """Return the command of a body; raises `DamagedEvent` for bytes that are none.

    >>> from gridagora.engine.live.commands import CloseGate
    >>> decode_command(encode(CloseGate(at=0, session=3))).session
    3
    """
    return cast("LiveCommand", _read(body, _OBJECTS, kinds=get_args(LiveCommand)))


def canonical_of(body: bytes) -> bytes:
    """Return `gridagora.model.events.canonical_bytes` of a stored event as it was when it was stored.

    A field that its class got later is not in it, so a chain of hashes holds for ever.

    Examples
    --------
    >>> from gridagora.model.events import StudyOpened, canonical_bytes
    >>> event = StudyOpened(at=0, name="a", seed=1, participants=("x",), rules="")
    >>> canonical_of(encode(event)) == canonical_bytes(event)
    True
    """
    return cast("bytes", _read(body, _CANONICAL))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Build:
    """What is made of the values that are read: objects, or their canonical bytes."""

    plain: Callable[[Any], Any]
    items: Callable[[list[Any]], Any]
    array: Callable[[np.dtype[Any], tuple[int, ...], bytes], Any]
    record: Callable[[str, dict[str, Any]], Any]
    member: Callable[[str, str, str], Any]


def decode_items(body: bytes) -> tuple[Any, ...]:
    """Return the tuple of a body; raises `DamagedEvent` for bytes that are none.

    >>> parts = []
    >>> put((1, ("a", None)), parts.append)
    >>> decode_items(packed(b"".join(parts)))
    (1, ('a', None))
    """
    plain = _plain_of(body)
    reader = _Reader(plain, _OBJECTS)
    try:
        found = reader.value(0)
    except _REFUSALS as error:
        raise DamagedEvent(f"the values are damaged at byte {reader.at}: {error}") from error
    if not isinstance(found, tuple) or reader.at != len(plain):
        raise DamagedEvent("these bytes are no tuple of values")
    return found


def _plain_of(body: bytes) -> bytes:
    if body[:3] != MAGIC or len(body) < 6:
        raise DamagedEvent("these bytes are no event: they do not begin as one")
    version, flag = body[3], body[4]
    if version != VERSION:
        raise DamagedEvent(f"the event has format {version}; this version of GridAgora reads {VERSION}")
    return body[5:] if flag == PLAIN else _unpacked(body, flag)


def _read(body: bytes, build: _Build, *, kinds: tuple[type, ...] = get_args(Event)) -> Any:
    plain = _plain_of(body)
    reader = _Reader(plain, build)
    try:
        name, value = reader.event(kinds)
    except _REFUSALS as error:
        raise DamagedEvent(f"the event is damaged at byte {reader.at}: {error}") from error
    if reader.at != len(plain):
        raise DamagedEvent(f"the event {name} is damaged: {len(plain) - reader.at} bytes follow its end")
    return value


def _unpacked(body: bytes, flag: int) -> bytes:
    if flag != COMPRESSED or len(body) < 13:
        raise DamagedEvent(f"the event is damaged: no way of packing is called {flag}")
    (size,) = _LENGTH.unpack_from(body, 5)
    try:
        plain = zlib.decompress(body[13:])
    except zlib.error as error:
        raise DamagedEvent(f"the event is damaged: {error}") from error
    if len(plain) != size:
        raise DamagedEvent(f"the event is damaged: {len(plain)} bytes in place of {size}")
    return plain


class _Reader:
    """Reads values from the front of a body; ``at`` is the byte that it has come to."""

    def __init__(self, data: bytes, build: _Build) -> None:
        self._data = data
        self._build = build
        self.at = 0

    def event(self, kinds: tuple[type, ...]) -> tuple[str, Any]:
        """Read one event, or another value of some kinds; return the name of its class with it."""
        if self._take(1) != b"d":
            raise ValueError("no event begins here")
        start = self.at
        name = self._text()
        kind = classes().get(name)
        if kind not in kinds:
            raise ValueError(f"this version of GridAgora knows no event {name!r}")
        self.at = start
        return name, self._record(0)

    def value(self, depth: int) -> Any:
        """Read one value."""
        if depth > DEEPEST:
            raise ValueError("values are nested too deep")
        tag, build = self._take(1), self._build
        if tag == b"s":
            return build.plain(self._text())
        if tag == b"i":
            return build.plain(int.from_bytes(self._take(self._count()), "little", signed=True))
        if tag == b"a":
            return build.array(*self._numbers())
        if tag == b"t":
            return build.items([self.value(depth + 1) for _ in range(self._items())])
        if tag == b"f":
            return build.plain(_DOUBLE.unpack(self._take(8))[0])
        if tag in b"NTF":
            return build.plain({b"N": None, b"T": True, b"F": False}[tag])
        if tag == b"d":
            return self._record(depth)
        if tag == b"g":
            dtype, _, data = self._numbers()
            return build.plain(np.frombuffer(data, dtype)[0])
        if tag == b"e":
            return build.member(self._text(), self._text(), self._text())
        raise ValueError(f"no value begins with {tag!r}")

    def _record(self, depth: int) -> Any:
        name = self._text()
        given = {}
        for _ in range(self._items()):
            field = self._text()
            given[field] = self.value(depth + 1)
        return self._build.record(name, given)

    def _numbers(self) -> tuple[np.dtype[Any], tuple[int, ...], bytes]:
        dtype = _dtype_of(self._text())
        shape = tuple([_LENGTH.unpack(self._take(8))[0] for _ in range(self._items())])
        cells = 1
        for size in shape:
            cells *= size
        return dtype, shape, self._take(cells * dtype.itemsize)

    def _text(self) -> str:
        data = self._take(self._count())
        return _kept_text(data) if len(data) <= SHORT else data.decode("utf-8", "surrogatepass")

    def _count(self) -> int:
        at = self.at
        (count,) = _COUNT.unpack_from(self._data, at)  # refuses what ends too early
        self.at = at + 4
        return count  # type: ignore[no-any-return]

    def _items(self) -> int:
        """Read how many values follow; each has at least a byte."""
        count = self._count()
        if count > len(self._data) - self.at:
            raise ValueError(f"{count} values are promised, more than can follow")
        return count

    def _take(self, size: int) -> bytes:
        at = self.at
        taken = self._data[at : at + size]
        if len(taken) != size:
            raise ValueError(f"{size} bytes are promised and {len(self._data) - at} follow")
        self.at = at + size
        return taken


@lru_cache(maxsize=16_384)
def _kept_text(data: bytes) -> str:
    """Return a short text; names come again and again, and are then one object in memory."""
    return data.decode("utf-8", "surrogatepass")


@lru_cache(maxsize=256)
def _dtype_of(name: str) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(name):
        raise ValueError(f"no array of events is of {name!r}")
    return np.dtype(name)


def _make_array(dtype: np.dtype[Any], shape: tuple[int, ...], data: bytes) -> Any:
    if not data:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _make_record(name: str, given: dict[str, Any]) -> Any:
    kind = classes().get(name)
    if kind is None or not is_dataclass(kind):
        raise ValueError(f"this version of GridAgora knows no {name!r}")
    known, needed = _known_and_needed(cast("Hashable", kind))
    if not given.keys() <= known:
        unknown = ", ".join(sorted(given.keys() - known))
        raise ValueError(f"this version of GridAgora knows no {unknown} of {name}")
    if not needed <= given.keys():
        raise ValueError(f"{name} lacks {', '.join(sorted(needed - given.keys()))}")
    return kind(**given)


@cache
def _known_and_needed(kind: Hashable) -> tuple[frozenset[str], frozenset[str]]:
    """Return the fields of a class, and those that have no value of their own."""
    known = fields(cast("Any", kind))
    needed = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    return frozenset(f.name for f in known), frozenset(needed)


def _make_member(name: str, member: str, _: str) -> Any:
    kind = classes().get(name)
    if kind is None or not issubclass(kind, Enum):
        raise ValueError(f"this version of GridAgora knows no {name!r}")
    return kind[member]


_OBJECTS = _Build(
    plain=lambda value: value, items=tuple, array=_make_array, record=_make_record, member=_make_member
)


def _canonical_plain(value: Any) -> bytes:
    return _canonical_repr(type(value).__name__, repr(value))


def _canonical_repr(name: str, text: str) -> bytes:
    data = text.encode()
    return f"{name} {len(data)} ".encode() + data


def _canonical_record(name: str, given: dict[str, bytes]) -> bytes:
    return b"".join([f"{name} ".encode(), *(key.encode() + b"=" + data for key, data in given.items())])


_CANONICAL = _Build(
    plain=_canonical_plain,
    items=lambda items: b"".join([f"tuple {len(items)} ".encode(), *items]),
    array=lambda dtype, shape, data: f"array {dtype.str} {shape} ".encode() + data,
    record=_canonical_record,
    member=lambda name, _, text: _canonical_repr(name, text),
)
