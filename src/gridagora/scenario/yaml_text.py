"""YAML text to plain values, with the line of every key.

The YAML 1.2 core rules apply: ``22:00`` stays text (YAML 1.1 makes it 1320), so do dates, ``on`` and ``no``.
A key that stands twice is a fault.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from gridagora.errors import Fault

Path = tuple[str | int, ...]

MAX_DEPTH = 30

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")


@dataclass(kw_only=True, slots=True)
class Document:
    """Values of a YAML text, the line of each path, and the faults found while reading."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_yaml(text: str, source: str) -> Document:
    r"""Read one YAML document.

    Parameters
    ----------
    text : the YAML text
    source : file name for faults

    Examples
    --------
    >>> document = read_yaml("from: 22:00\nprice: 0.3", "a.yaml")
    >>> document.data, document.lines[("price",)]
    ({'from': '22:00', 'price': 0.3}, 2)
    """
    document = Document()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            document.data = _construct(node, (), document, source=source)
    except yaml.MarkedYAMLError as error:
        document.faults.append(_syntax_fault(error, text, source))
    except yaml.reader.ReaderError as error:
        fix = "save the file as UTF-8 text"
        document.faults.append(
            Fault(
                source=source,
                place=f"character {error.position}",
                value=error.character,
                reason=error.reason,
                fix=fix,
            )
        )
    return document


def scalar(text: str) -> Any:
    """Read one plain scalar by the YAML 1.2 core rules.

    >>> scalar("0.3"), scalar("22:00"), scalar("true"), scalar("1e-3")
    (0.3, '22:00', True, 0.001)
    """
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return bool(_TRUE.fullmatch(text))
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return -math.inf if infinite[1] == "-" else math.inf
    return math.nan if _NAN.fullmatch(text) else text


def write_yaml(data: Any) -> str:
    r"""Write plain values as YAML that `read_yaml` reads back.

    >>> write_yaml({"from": "22:00", "days": ["sat"], "id": "08"})
    'from: "22:00"\ndays: [sat]\nid: "08"\n'
    """
    return str(
        yaml.dump(
            data, Dumper=_Writer, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        )
    )


class _Writer(yaml.SafeDumper):
    """Quotes every text that would be read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values twice rather than by reference."""
        return True


def _text_node(writer: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if isinstance(scalar(text), str) and ":" not in text else '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text_node)


def _construct(node: yaml.Node, path: Path, document: Document, *, source: str) -> Any:
    """Turn a node into plain values and note its line."""
    document.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > MAX_DEPTH:
        raise yaml.composer.ComposerError(
            None, None, "an alias stands inside what it names, or keys are nested too deep", node.start_mark
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document, source=source)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, (*path, i), document, source=source) for i, child in enumerate(node.value)]
    plain = isinstance(node, yaml.ScalarNode) and node.style is None and not (node.tag or "").startswith("!")
    return scalar(node.value) if plain else node.value


def _mapping(node: yaml.MappingNode, path: Path, document: Document, *, source: str) -> dict[str, Any]:
    """Turn a mapping node into a dict of text keys; a repeated key is a fault."""
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        line = key_node.start_mark.line + 1
        if key in result:
            first = document.lines[(*path, key)]
            place = f"line {line}, {dotted((*path, key))}"
            reason, fix = f"the key stands already in line {first}", "keep one of the two"
            document.faults.append(Fault(source=source, place=place, value=key, reason=reason, fix=fix))
            continue
        document.lines[(*path, key)] = line
        result[key] = _construct(value_node, (*path, key), document, source=source)
    return result


def dotted(path: Path) -> str:
    """Write a path with dots, as overrides do.

    >>> dotted(("tariffs", "retail", 0, "price"))
    'tariffs.retail.0.price'
    """
    return ".".join(str(part) for part in path)


def _syntax_fault(error: yaml.MarkedYAMLError, text: str, source: str) -> Fault:
    """Tell a syntax error with its line and, where it is known, the usual cause."""
    mark = error.problem_mark or error.context_mark
    number = mark.line + 1 if mark else 1
    lines = text.splitlines()
    line = lines[number - 1] if number <= len(lines) else ""
    problem = str(error.problem or error.context or "is not YAML")
    fix = "check indentation, colons and quotes here and one line above"
    if "\t" in line:
        problem, fix = "a tab stands where YAML wants spaces", "indent with spaces, two per level"
    elif "mapping values are not allowed" in problem:
        fix = 'quote the text after the first colon: key: "a: b"'
    return Fault(source=source, place=f"line {number}", value=line.strip(), reason=problem, fix=fix)
