"""The reference of problems names every code that the source can tell, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from gridagora.engine.live.refusals import CODES
from gridagora.service.api import ROUTERS
from gridagora.service.api.v1 import ROUTERS as MARKET_ROUTERS
from gridagora.service.models.market import BulkBids
from gridagora.service.models.metering import BulkReadings, NewReading
from gridagora.service.problems import FAULT_KINDS, KINDS
from gridagora.service.routes import routes_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "problems.md"
PLACES = ("service", "engine/live", "engine/flexibility")
FIRST = ("refusal", "wrong", "PydanticCustomError")
"""Calls whose first argument is a code."""

ODD = (
    None,
    True,
    1,
    -1,
    10**40,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "x" * 101_000,
    "\ud800",
    "a\u202e",
    " ",
)
ODD += (
    "2026-13-01",
    "2026-01-01",
    "2026-01-01T00:00",
    1e300,
    "1e999",
    [],
    ["x"],
    [None] * 20_001,
    {},
    {"x": 1},
    b"\xff",
)


def told(heading):
    """Return the codes in the table below a heading of the page, with what is told of each."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, flags=re.MULTILINE))


def literal_codes():
    """Return the codes that stand in the source as texts."""
    found = set()
    for place in PLACES:
        for path in sorted((ROOT / "src" / "gridagora" / place).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                found.update(_codes(node))
    return found


def _codes(node) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        values = [word.value for word in node.keywords if word.arg == "code"]
        values += node.args[:1] if name in FIRST else []
        for value in values:
            parts = [value, *getattr(value, "values", ())]
            parts += [value.body, value.orelse] if isinstance(value, ast.IfExp) else []
            for inner in parts:
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value:
                    yield inner.value
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        names = [getattr(one, "id", "") for one in node.targets[0].elts]
        if "code" in names and isinstance(node.value, ast.Tuple):
            value = node.value.elts[names.index("code")]
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def models():
    """Return the bodies of all endpoints, with what is within them."""
    found, new = set(), [BulkBids, BulkReadings, NewReading]
    for route in routes_of([*MARKET_ROUTERS, *ROUTERS]):
        if route.body_field is not None:
            new.append(route.body_field.field_info.annotation)
    while new:
        one = new.pop()
        inner = [*getattr(one, "__args__", ())]
        if isinstance(one, type) and issubclass(one, BaseModel) and one not in found:
            found.add(one)
            inner += [field.annotation for field in one.model_fields.values()]
        new += inner
    return found


def model_codes():
    """Return the codes that values of bodies are refused with, by trying odd ones for each member."""
    found = set()
    for model in models():
        for body in (None, {}, {"unknown": 1}, *({name: odd} for name in model.model_fields for odd in ODD)):
            try:
                TypeAdapter(model).validate_python(body)
            except ValidationError as error:
                found.update(one["type"] for one in error.errors(include_input=False, include_url=False))
    return found


def test_every_kind_of_problem_is_told_as_it_is():
    expected = {code: f"{kind.status} | {kind.title}" for code, kind in KINDS.items()}
    rows = "\n".join(f"| `{code}` | {words} |" for code, words in expected.items())
    assert told("Problems") == expected, f"put these rows into docs/reference/problems.md:\n{rows}"


def test_every_refusal_of_the_market_is_told_with_its_meaning():
    rows = "\n".join(f"| `{code}` | {words} |" for code, words in CODES.items())
    assert told("Faults of the market") == CODES, f"put these rows into docs/reference/problems.md:\n{rows}"


def test_every_other_code_in_the_source_is_told_and_no_other():
    in_tables = set(told("Faults of the request")) | set(told("Faults of values"))
    known = set(CODES) | set(KINDS)
    in_source = (literal_codes() | set(FAULT_KINDS)) - known
    assert in_source - in_tables == set(), "add these codes to docs/reference/problems.md"
    assert set(told("Faults of the request")) - in_source == set(), "these codes are never told"


def test_every_code_of_a_value_is_told():
    missing = model_codes() - set(told("Faults of values")) - set(told("Faults of the request")) - set(CODES)
    assert missing == set(), "add these codes to docs/reference/problems.md"
