"""Reading a table of lines: every fault at once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

REQUIRED = ("from", "to", "capacity_kw")
NUMBERS = ("capacity_kw", "reverse_kw", "loss_share", "reactance")
KNOWN = ("from", "to", *NUMBERS, "name")


def read_table(
    table: "pd.DataFrame", slack: str | None, *, connection: Mapping[str, float] | None = None
) -> tuple[list[str], list[str], Floats, list[str]]:
    """Return the ends, (capacity, reverse, loss share, reactance) and the names of the lines of a table.

    Raises `InputError` with every fault, those of the limits of the upstream connection too.

    >>> import pandas as pd
    >>> read_table(pd.DataFrame({"from": ["a"], "to": ["b"], "capacity_kw": [5.0]}), None)[2].tolist()
    [[5.0], [5.0], [0.0], [nan]]
    """
    columns = [str(name) for name in table.columns]
    faults = [*_header_faults(columns), *_connection_faults(connection or {})]
    if not set(REQUIRED) <= set(columns):
        check_faults(faults)
    start, end = (_names(table, name, faults) for name in ("from", "to"))
    names = _names(table, "name", faults) if "name" in columns else _numbered(start, end)
    faults += [
        _fault(f"row {row}, column name", name, ("another line has this name", "give each its own"))
        for row, name in enumerate(names)
        if name in names[:row]
    ]
    numbers = np.stack(
        [_column(table, name, faults) if name in columns else _absent(name, len(table)) for name in NUMBERS]
    )
    capacity, reverse, share, reactance = numbers
    faults += [*_value_faults(numbers, columns), *_line_faults(start, end)]
    faults += _joined_faults(start, end, slack)
    check_faults(faults)
    capacity = np.where(np.isnan(capacity), np.inf, capacity)
    reverse = np.where(np.isnan(reverse), capacity, reverse)
    return start, end, np.stack([capacity, reverse, np.nan_to_num(share), reactance]), names


def _names(table: "pd.DataFrame", column: str, faults: list[Fault]) -> list[str]:
    """Return names as text, "" with a fault where there is none."""
    missing = table[column].isna().to_numpy()
    found = ["" if gap else text for gap, text in zip(missing, table[column].astype(str), strict=True)]
    what = "line" if column == "name" else "node"
    for row, text in enumerate(found):
        if not text.strip():
            fault = _fault(f"row {row}, column {column}", None, (f"names no {what}", f"name the {what}"))
            faults.append(fault)
    return found


def _numbered(start: list[str], end: list[str]) -> list[str]:
    """Return the names of lines by their ends; parallel ones are numbered."""
    count: Counter[str] = Counter()
    names = []
    for a, b in zip(start, end, strict=True):
        name = f"{a}-{b}"
        count[name] += 1
        names.append(name if count[name] == 1 else f"{name} {count[name]}")
    return names


def _connection_faults(connection: Mapping[str, float]) -> Iterator[Fault]:
    for name, value in connection.items():
        if not (isinstance(value, int | float | np.number) and value >= 0):
            yield _fault(name, value, ("is no limit of the connection", "write kW >= 0"))


def _absent(name: str, count: int) -> Floats:
    return np.full(count, 0.0 if name == "loss_share" else np.nan)


def _header_faults(columns: list[str]) -> Iterator[Fault]:
    for name in REQUIRED:
        if name not in columns:
            yield _fault(f"column {name}", None, ("required column is missing", "one entry per line"))
    for name in columns:
        if name not in KNOWN:
            yield _fault(f"column {name}", name, ("unknown column", f"use only {', '.join(KNOWN)}"))


def _column(table: "pd.DataFrame", name: str, faults: list[Fault]) -> Floats:
    import pandas as pd

    values: Floats = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    for row in np.flatnonzero(np.isnan(values) & table[name].notna().to_numpy()).tolist():
        place = f"row {row}, column {name}"
        faults.append(_fault(place, table[name].iloc[row], ("is not a number", "write a number")))
    return values


def _value_faults(numbers: Floats, columns: list[str]) -> Iterator[Fault]:
    capacity, reverse, share, reactance = numbers
    wrong = (
        ("capacity_kw", capacity < 0, capacity, "is negative", "write kW >= 0, or nothing for no limit"),
        ("reverse_kw", reverse < 0, reverse, "is negative", "write kW >= 0, or nothing for no limit"),
        ("loss_share", (share < 0) | (share >= 1), share, "is no share", "write a number from 0 to below 1"),
        (
            "reactance",
            (reactance <= 0) | np.isinf(reactance),
            reactance,
            "is not above 0 and finite",
            "write a reactance > 0",
        ),
    )
    for name, bad, values, reason, fix in wrong:
        for row in np.flatnonzero(bad).tolist():
            yield _fault(f"row {row}, column {name}", float(values[row]), (reason, fix))
    if "reactance" in columns:
        given = ~np.isnan(reactance)
        if given.any():
            for row in np.flatnonzero(~given).tolist():
                reason, fix = "reactances of some lines only", "give them for all lines or none"
                yield _fault(f"row {row}, column reactance", None, (reason, fix))
        for row in np.flatnonzero(given & (share > 0)).tolist():
            reason = "loss shares do not go with reactances"
            yield _fault(
                f"row {row}, column loss_share", float(share[row]), (reason, "leave one of them out")
            )


def _line_faults(start: list[str], end: list[str]) -> Iterator[Fault]:
    if not start:
        yield _fault("table", 0, ("has no lines", "give at least one line, or no network at all"))
    for row, (a, b) in enumerate(zip(start, end, strict=True)):
        if a == b != "":
            yield _fault(f"row {row}", a, ("a line from a node to itself", "name two nodes"))


def _joined_faults(start: list[str], end: list[str], slack: str | None) -> Iterator[Fault]:
    """No slack, or nodes that no line joins to it."""
    nodes = list(dict.fromkeys(name for pair in zip(start, end, strict=True) for name in pair if name))
    if not nodes:
        return
    if slack is not None and slack not in nodes:
        reason, fix = "no line ends at the slack, so the network has none", f"name one of {nodes[:8]}"
        yield _fault("slack", slack, (reason, fix))
        return
    beside: dict[str, list[str]] = {name: [] for name in ("", *nodes)}
    for a, b in zip(start, end, strict=True):
        beside[a].append(b)
        beside[b].append(a)
    reached, open_nodes = {slack or nodes[0]}, [slack or nodes[0]]
    while open_nodes:
        new = [name for name in beside[open_nodes.pop()] if name not in reached]
        reached.update(new)
        open_nodes += new
    for name in nodes:
        if name not in reached:
            reason, fix = "no line joins it to the slack", "add a line (of capacity 0 to part them)"
            yield _fault(f"node {name}", name, (reason, fix))


def _fault(place: str, value: object, text: tuple[str, str]) -> Fault:
    return Fault(source="network table", place=place, value=value, reason=text[0], fix=text[1])
