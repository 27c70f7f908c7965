"""What a kind of record is: its fields, the words of its status, and checks of its own."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gridagora.engine.live.refusals import LONGEST_TEXT, is_text, refusal
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault

FieldType = Literal["text", "whole", "number", "truth", "texts", "numbers"]
LONGEST_LIST = 20_000

_SAID = {
    "text": f"a text of up to {LONGEST_TEXT} characters",
    "whole": "a whole number",
    "number": "a number",
    "truth": "true or false",
    "texts": "a list of texts",
    "numbers": "a list of numbers",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field of a record.

    Parameters
    ----------
    type : what it holds
    needed : False: it may be left out
    low, high : bounds of a number, of each in a list
    choices : words that a text can be
    refers_to : kind of record whose id it is
    fixed : True: it cannot change once the record is there
    """

    type: FieldType
    needed: bool = False
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    refers_to: str = ""
    fixed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of a record as it would be: what the checks of a kind look at; ``before`` None: it is new."""

    at: int
    id: str
    status: str
    body: Mapping[str, Any]
    before: Mapping[str, Any] | None
    context: Any


Check = Callable[[LiveState, Change], Iterator[Fault]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of record.

    Parameters
    ----------
    name : of the kind
    fields : by name
    statuses : the first is that of a new record
    check : what the fields alone do not tell
    """

    name: str
    fields: Mapping[str, Field]
    statuses: tuple[str, ...]
    check: Check | None = None


def field_faults(kind: Kind, state: LiveState, change: Change) -> Iterator[Fault]:
    """Yield every fault of a record's fields.

    >>> kind = Kind(name="a", fields={"x": Field(type="whole", low=0)}, statuses=("on",))
    >>> change = Change(at=0, id="1", status="on", body={"x": -1, "y": 2}, before=None, context=None)
    >>> [fault.code for fault in field_faults(kind, LiveState(), change)]
    ['field_unknown', 'field_invalid']
    """
    for name in sorted(change.body.keys() - kind.fields.keys()):
        yield refusal("field_unknown", name, change.body[name], fix=f"use {', '.join(kind.fields)}")
    for name, field in kind.fields.items():
        value = change.body.get(name)
        if value is None:
            if field.needed:
                yield refusal("field_missing", name, None, fix=f"write {_SAID[field.type]}")
            continue
        wrong = _wrong(field, value)
        if wrong:
            yield refusal("field_invalid", name, value, fix=wrong)
        elif field.refers_to and state.register.get(field.refers_to, value) is None:
            fix = f"name a {field.refers_to.replace('_', ' ')} that is there"
            yield refusal("reference_unknown", name, value, fix=fix)
        if field.fixed and change.before is not None and change.before.get(name) != value:
            reason, fix = "cannot change", f"keep {change.before.get(name)!r}"
            yield refusal("field_invalid", name, value, reason=reason, fix=fix)


def _wrong(field: Field, value: Any) -> str:
    """Return what to write instead of a value, "" where it is right."""
    match field.type:
        case "text":
            if not is_text(value):
                return f"write {_SAID['text']}, without control characters"
            return _wrong_choice(field, value)
        case "truth":
            return "" if isinstance(value, bool) else "write true or false"
        case "texts":
            if not isinstance(value, list) or not all(map(is_text, value[: LONGEST_LIST + 1])):
                return "write a list of texts"
            if len(value) > LONGEST_LIST:
                return f"write {LONGEST_LIST} texts or fewer"
            return next((wrong for text in value if (wrong := _wrong_choice(field, text))), "")
        case "numbers":
            if not isinstance(value, list) or not 0 < len(value) <= LONGEST_LIST:
                return f"write a list of 1 to {LONGEST_LIST} numbers"
            return next((wrong for number in value if (wrong := _wrong_number(field, number))), "")
        case _:
            if field.type == "whole" and type(value) is not int:
                return "write a whole number"
            return _wrong_number(field, value)


def _wrong_choice(field: Field, text: str) -> str:
    return "" if not field.choices or text in field.choices else f"write one of {', '.join(field.choices)}"


def _wrong_number(field: Field, value: Any) -> str:
    if type(value) not in (int, float) or not math.isfinite(value):
        return f"write {_SAID['number']}"
    return "" if field.low <= value <= field.high else f"write {field.low:g} to {field.high:g}"
