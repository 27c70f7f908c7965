"""Pydantic's errors in the words of a scenario file: key, line, value, reason and fix."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gridagora.errors import Fault
from gridagora.scenario.spec import HOMES_TAGS, PRICE_TAGS, ScenarioSpec
from gridagora.scenario.suggest import near
from gridagora.scenario.yaml_text import Document, dotted

_ROUNDS = 4
"""How often faulty keys are taken out: each round can only show what the one before hid."""

_Path = tuple[str | int, ...]
_Numbers = dict[int, list[int]]
"""Of each list that lost items, by its identity: the numbers that those left had before."""

_REASONS = {
    "missing": ("is missing", "add the key"),
    "float_type": ("is not a number", "write a number without quotes and with a decimal point, e.g. 0.3"),
    "int_type": ("is not a whole number", "write a whole number without quotes"),
    "bool_type": ("is neither true nor false", "write true or false without quotes"),
    "string_type": ("is not text", "write text, in quotes if it looks like a number"),
    "finite_number": ("is not a finite number", "write a number; leave the key out for no limit"),
    "model_type": ("is not a group of keys", "write keys and values below it, indented"),
    "model_attributes_type": ("is not a group of keys", "write keys and values below it, indented"),
    "dict_type": ("is not a group of keys", "write keys and values below it, indented"),
    "tuple_type": ("is not a list", "write a list: [a, b]"),
    "string_too_short": ("is empty", "write a text"),
    "too_short": ("is an empty list", "write at least one item"),
    "path_type": ("is not a file name", "write the name of a file"),
}


def validate(
    document: Document, *, label: str, base: Path | None, overridden: AbstractSet[tuple[str, ...]]
) -> tuple[ScenarioSpec | None, list[Fault]]:
    """Check the values of a document; return the scenario, or None and all faults."""
    try:
        spec = ScenarioSpec.model_validate(document.data, context={"base": base})
    except ValidationError as error:
        errors = [details for details in error.errors() if not _follows_from_another(details)]
        return None, [_fault(details, document, label, overridden=overridden) for details in errors]
    in_file = {dotted(path): line for path, line in document.lines.items() if path}
    lines = {key: line for key, line in in_file.items() if tuple(key.split(".")) not in overridden}
    return spec.read_from(label, lines), []


def without_faults(document: Document, *, label: str, base: Path | None) -> ScenarioSpec | None:
    """Return the scenario without its faulty keys, to look for more faults in the rest; None if none is left.

    It must never be run: a key that was taken out stands at its default.  Faults of items behind one that was
    taken out of a list are told with the number and the line that the file gives them.
    """
    data = deepcopy(document.data)
    numbers: _Numbers = {}
    for _ in range(_ROUNDS):
        try:
            spec = ScenarioSpec.model_validate(data, context={"base": base})
        except ValidationError as error:
            paths = [_removable(details) for details in error.errors()]
            if () in paths:
                return None
            for path in sorted(set(paths), key=_from_the_end, reverse=True):
                _remove(data, path, numbers)
        else:
            paths_now = list(_paths(data, numbers))
            lines = {dotted(now): document.lines[was] for now, was in paths_now if was in document.lines}
            moved = {dotted(now): dotted(was) for now, was in paths_now if now != was}
            return spec.read_from(label, lines, moved)
    return None


def _paths(
    data: Any, numbers: _Numbers, *, now: _Path = (), was: _Path = ()
) -> Iterator[tuple[_Path, _Path]]:
    """Yield the path of everything below, and the one it had before items were taken out of lists."""
    if now:
        yield now, was
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _paths(value, numbers, now=(*now, key), was=(*was, key))
    elif isinstance(data, list):
        own = numbers.get(id(data), range(len(data)))
        for at, (number, value) in enumerate(zip(own, data, strict=True)):
            yield from _paths(value, numbers, now=(*now, at), was=(*was, number))


def _removable(details: ErrorDetails) -> tuple[str | int, ...]:
    """Return the path that has to go with an error: the group itself where one of its keys is missing."""
    path = tuple(part for part in details["loc"] if part not in PRICE_TAGS | HOMES_TAGS)
    return path[:-1] if details["type"] == "missing" else path


def _from_the_end(path: tuple[str | int, ...]) -> list[tuple[bool, int, str]]:
    """Order paths so that the last item of a list goes first and the others keep their numbers."""
    return [(isinstance(part, int), part if isinstance(part, int) else 0, str(part)) for part in path]


def _remove(data: Any, path: _Path, numbers: _Numbers) -> None:
    """Take a key or an item out of nested mappings and lists; nothing happens where it is gone already."""
    for part in path[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1]
    if isinstance(data, dict):
        data.pop(last, None)
    elif isinstance(data, list) and isinstance(last, int) and last < len(data):
        numbers.setdefault(id(data), list(range(len(data)))).pop(last)
        del data[last]


def _follows_from_another(details: ErrorDetails) -> bool:
    """Tell a list that only looks empty because its items have faults of their own."""
    return details["type"] == "too_short" and bool(details["input"])


def _fault(
    details: ErrorDetails, document: Document, label: str, *, overridden: AbstractSet[tuple[str, ...]]
) -> Fault:
    """Turn one pydantic error into a fault."""
    path = tuple(part for part in details["loc"] if part not in PRICE_TAGS | HOMES_TAGS)
    reason, fix = words(details, path)
    names = tuple(str(part) for part in path)
    source, place = label, dotted(path) or "scenario"
    if any(_comes_from(key, names, path in document.lines) for key in overridden):
        source = "override"
    else:
        line = _line(document, path)
        place = f"line {line}, {place}" if line else place
    value = None if details["type"] == "missing" else details["input"]
    return Fault(source=source, place=place, value=_short(value), reason=reason, fix=fix)


def _comes_from(key: tuple[str, ...], names: tuple[str, ...], in_file: bool) -> bool:
    """Tell whether a fault at a path is due to an override: at or below its key, or beside what it made."""
    if names[: len(key)] == key:
        return True
    return not in_file and len(names) > 1 and key[: len(names) - 1] == names[:-1]


def words(details: ErrorDetails, path: tuple[str | int, ...]) -> tuple[str, str]:
    """Return reason and fix of an error of pydantic, found at a path of the scenario."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "gridagora":
        return str(context["reason"]), str(context["fix"])
    if kind == "extra_forbidden":
        known = _keys_at(path[:-1])
        return "unknown key", near(path[-1], known) or f"use one of {', '.join(known)}"
    if kind == "literal_error":
        options = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return "is not a choice", near(details["input"], options.split(", ")) or f"use one of {options}"
    if kind in ("float_type", "int_type") and _is_decimal_comma(details["input"]):
        return "has a decimal comma", f"write {str(details['input']).replace(',', '.')}"
    if kind == "missing" and path == ("grid",):
        return "is missing", "add e.g. grid: 1-LV-rural1--0-sw, cigre-lv or the path of a pandapower file"
    if kind in _REASONS:
        return _REASONS[kind]
    bounds = {
        "greater_than": "above",
        "greater_than_equal": "at least",
        "less_than": "below",
        "less_than_equal": "at most",
    }
    if kind in bounds:
        bound = next(iter(context.values()))
        return f"must be {bounds[kind]} {bound}", f"write a value {bounds[kind]} {bound}"
    return details["msg"], "see the scenario reference"


def _keys_at(path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that may stand at a path."""
    found: list[type[BaseModel]] = [ScenarioSpec]
    for part in path:
        if isinstance(part, str) and not part.isdigit():
            found = [inner for model in found for inner in _models_of(model, part)]
    return sorted({field.alias or name for model in found for name, field in model.model_fields.items()})


def _models_of(model: type[BaseModel], key: str) -> list[type[BaseModel]]:
    """Return the models that a key of a model may hold."""
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return _models_in(field.annotation)
    return []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _line(document: Document, path: tuple[str | int, ...]) -> int | None:
    """Return the line of a path, or of the nearest key above it."""
    while path:
        if path in document.lines:
            return document.lines[path]
        path = path[:-1]
    return document.lines.get(())


def _is_decimal_comma(value: Any) -> bool:
    """Tell "0,30", written for 0.30."""
    whole, comma, rest = value.partition(",") if isinstance(value, str) else ("", "", "")
    return bool(comma) and whole.lstrip("+-").isdigit() and rest.isdigit()


def _short(value: Any) -> Any:
    """Return a value short enough for one line."""
    text = repr(value)
    return value if len(text) <= 80 else text[:77] + "..."
