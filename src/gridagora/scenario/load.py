"""Scenario files: find, read, override and check them; every fault is told at once."""

from collections.abc import Callable, Iterable, Mapping, Set
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

from gridagora.errors import Fault, InputError, check_faults
from gridagora.scenario.flexibility import POOL_AGENTS
from gridagora.scenario.spec import ScenarioSpec
from gridagora.scenario.suggest import near
from gridagora.scenario.translate import validate, without_faults
from gridagora.scenario.yaml_text import Document, read_yaml, scalar, write_yaml

_BUILTIN = files("gridagora.scenario") / "builtin"

Overrides = Mapping[str, Any] | Iterable[str]
More = Callable[[ScenarioSpec, Set[str]], Iterable[Fault]]
"""Looks for faults beyond the keys: the scenario without its faulty keys, and those keys, dotted."""


def scenario_names() -> tuple[str, ...]:
    """Return the names of the built-in scenarios.

    >>> "village" in scenario_names()
    True
    """
    names = [entry.name.removesuffix(".yaml") for entry in _BUILTIN.iterdir() if entry.name.endswith(".yaml")]
    return tuple(sorted(names))


def scenario_descriptions() -> dict[str, str]:
    """Return name and one-line description of the built-in scenarios.

    >>> scenario_descriptions()["village"].startswith("A rural")
    True
    """
    documents = {name: read_yaml(_read_source(name)[0], name).data for name in scenario_names()}
    return {name: str(data.get("description", "")) for name, data in documents.items()}


def scenario_yaml(spec: ScenarioSpec) -> str:
    """Write a scenario as YAML with every key and default, so that it can be run again as it was.

    >>> spec = parse_scenario({"grid": "cigre-lv", "resolution": "30min"})
    >>> parse_scenario(read_yaml(scenario_yaml(spec), "copy").data) == spec
    True
    """
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    if spec.participants.home_kw is None:  # the only key whose null is not its default
        data["participants"]["home_kw"] = None
    if spec.flexibility is not None:  # it refuses what only the pool uses, defaults too
        del data["market"]
        for key in POOL_AGENTS:
            data["agents"].pop(key)
    return write_yaml(data)


def load_scenario(source: str | Path, overrides: Overrides = (), *, more: More | None = None) -> ScenarioSpec:
    """Read and check a scenario.

    Parameters
    ----------
    source : the name of a built-in scenario, or the path of a YAML file
    overrides : ``{"market.mechanism": "pay_as_bid"}`` or ``["market.mechanism=pay_as_bid"]``; dotted
        keys, list items by their number; values are checked as if they stood in the file
    more : where keys have faults, looks for those of what the other keys name, so that all are told at once

    Raises
    ------
    InputError
        With every fault of file and overrides: source, line and key, value, reason and fix.

    Examples
    --------
    >>> load_scenario("village", ["market.mechanism=pay_as_bid"]).market.mechanism
    'pay_as_bid'
    """
    text, label, base, stem = _read_source(source)
    document = read_yaml(text, label)
    check_faults(fault for fault in document.faults if isinstance(document.data, type(None)))
    return _check(document, label=label, base=base, stem=stem, overrides=overrides, more=more)


def parse_scenario(
    data: Mapping[str, Any],
    overrides: Overrides = (),
    *,
    source: str = "scenario",
    base: Path | None = None,
    more: More | None = None,
) -> ScenarioSpec:
    """Check a scenario given as a mapping; relative file names are taken from ``base``.

    Examples
    --------
    >>> parse_scenario({"grid": "1-LV-rural1--0-sw", "sead": 1})
    Traceback (most recent call last):
    gridagora.errors.InputError: 1 fault in the input
      scenario, sead: unknown key (found 1); did you mean seed?
    """
    return _check(
        Document(data=deepcopy(dict(data))),
        label=source,
        base=base,
        stem=source,
        overrides=overrides,
        more=more,
    )


def _check(
    document: Document,
    *,
    label: str,
    base: Path | None,
    stem: str,
    overrides: Overrides,
    more: More | None,
) -> ScenarioSpec:
    """Apply overrides and validate; raise all faults at once."""
    if not isinstance(document.data, dict):
        raise InputError([*document.faults, _not_a_mapping(document.data, label)])
    faults = list(document.faults)
    given = set()
    for key, value in _pairs(overrides, faults):
        given.add(tuple(key.split(".")))
        _override(document.data, key, value, faults=faults)
    document.data.setdefault("name", stem)
    spec, found = validate(document, label=label, base=base, overridden=given)
    faults += found
    if faults and more is not None:
        rest = without_faults(document, label=label, base=base)
        keys = {fault.place.rpartition(", ")[2] for fault in faults}
        faults += [] if rest is None else more(rest, keys)
    check_faults(faults)
    if spec is None:
        raise InputError(faults)
    return spec


def _read_source(source: str | Path) -> tuple[str, str, Path | None, str]:
    """Return text, label, directory and stem of a built-in scenario or a file."""
    if isinstance(source, str) and source in scenario_names():
        return (_BUILTIN / f"{source}.yaml").read_text(encoding="utf-8"), f"{source}.yaml", None, source
    path = Path(source)
    label = str(path)
    if not path.is_file():
        raise InputError([_not_found(label, is_directory=path.is_dir())])
    try:
        return path.read_text(encoding="utf-8-sig"), label, path.resolve().parent, path.stem
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 text (byte {error.start})"
        fix = "save the file with the encoding UTF-8"
        place = f"byte {error.start}"
        found = error.object[error.start : error.start + 1]
        raise InputError([Fault(source=label, place=place, value=found, reason=reason, fix=fix)]) from None
    except OSError as error:
        fix = "check the permissions of the file"
        fault = Fault(
            source=label, place="file", value=label, reason=f"cannot be read: {error.strerror}", fix=fix
        )
        raise InputError([fault]) from None


def _not_found(label: str, *, is_directory: bool) -> Fault:
    """Tell a missing scenario, with near names."""
    known = ", ".join(scenario_names())
    hint = near(label, scenario_names())
    if is_directory:
        reason, fix = "is a directory", "name the YAML file in it"
    else:
        reason = "is neither a built-in scenario nor a file"
        fix = hint or f"write the path of a YAML file, or one of {known}"
    return Fault(source="scenario", place="name", value=label, reason=reason, fix=fix)


def _not_a_mapping(data: Any, label: str) -> Fault:
    """Tell a file that is empty or holds something else than keys and values."""
    fix = "write keys and values, at least: grid: 1-LV-rural1--0-sw"
    reason = "the file is empty" if data is None else f"holds a {type(data).__name__}, not keys and values"
    return Fault(
        source=label, place="file", value=data if data is None else str(data)[:40], reason=reason, fix=fix
    )


def _pairs(overrides: Overrides, faults: list[Fault]) -> Iterable[tuple[str, Any]]:
    """Split overrides into keys and values; text values are read as YAML scalars or lists are kept."""
    if isinstance(overrides, Mapping):
        yield from overrides.items()
        return
    for item in [overrides] if isinstance(overrides, str) else overrides:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            fix = "write key=value, e.g. market.mechanism=pay_as_bid"
            faults.append(
                Fault(source="override", place=item, value=item, reason="has no key and value", fix=fix)
            )
            continue
        parsed = read_yaml(value, "override")
        faults += parsed.faults
        yield key.strip(), parsed.data if value.strip() else scalar(value)


def _override(data: dict[str, Any], key: str, value: Any, *, faults: list[Fault]) -> None:
    """Set one dotted key; mappings on the way are made, list items must be there."""
    *path, last = key.split(".")
    place: Any = data
    for part in path:
        if isinstance(place, dict):
            if not isinstance(place.get(part), dict | list):
                place[part] = {}
            place = place[part]
        elif isinstance(place, list) and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        else:
            place = None
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list) and last.isdigit() and int(last) < len(place):
        place[int(last)] = value
    else:
        reason, fix = "leads to nothing that can be set", "use the keys of the scenario, list items by number"
        faults.append(Fault(source="override", place=key, value=value, reason=reason, fix=fix))
