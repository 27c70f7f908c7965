"""The feeder as a drawing: where its elements stand, and which participants are behind each of them."""

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Point = tuple[float, float]


def branches(elements: "pd.DataFrame") -> list[tuple[str, str, str, str]]:
    """Return (element, kind, from_bus, to_bus) of the branches that carry power.

    A branch whose worst loading is zero in both cases is open (a ring's normally open point): it does not
    tell who is behind whom.  A line without a loading, whose data state no limit, carries power.
    """
    rows = elements[elements["kind"] != "bus"]
    load = rows[["worst_value", "worst_value_baseline"]].astype(float).max(axis=1)
    live = rows[~(load <= 0)]
    columns = (live[name].astype(str) for name in ("element", "kind", "from_bus", "to_bus"))
    return list(zip(*columns, strict=True))


def source_bus(elements: "pd.DataFrame") -> str | None:
    """Return the bus that feeds the grid: upper side of a transformer, else the first bus."""
    rows = elements[elements["kind"] == "transformer"]
    lower = set(rows["to_bus"].astype(str))
    for bus in rows["from_bus"].astype(str):
        if bus not in lower:
            return str(bus)
    buses = elements.loc[elements["kind"] == "bus", "element"].astype(str)
    return str(buses.iloc[0]) if len(buses) else None


def walk(elements: "pd.DataFrame") -> tuple[list[str], dict[str, tuple[str, str]], bool]:
    """Walk the feeder from its source, breadth first.

    Returns
    -------
    order : buses reached, source first
    parent : bus -> (bus before it, branch between them)
    meshed : True where a branch closes a loop, so that "behind" has no meaning
    """
    neighbours: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for element, _, start, end in branches(elements):
        neighbours[start].append((end, element))
        neighbours[end].append((start, element))
    source = source_bus(elements)
    if source is None:
        return [], {}, False
    order, parent, seen = [source], {}, {source}
    queue, used, meshed = deque([source]), set(), False
    while queue:
        bus = queue.popleft()
        for other, element in neighbours[bus]:
            if element in used:
                continue
            used.add(element)
            if other in seen:
                meshed = True
                continue
            seen.add(other)
            parent[other] = (bus, element)
            order.append(other)
            queue.append(other)
    return order, parent, meshed


def participants_behind(elements: "pd.DataFrame", participants: "pd.DataFrame") -> dict[str, list[str]]:
    """Return the participants whose supply passes each element: at a bus, or down-stream of a branch.

    Branches of a meshed grid are left out: there no branch alone has participants behind it.
    """
    behind: dict[str, list[str]] = defaultdict(list)
    names = zip(participants["participant"].astype(str), participants["bus"].astype(str), strict=True)
    _, parent, meshed = walk(elements)
    for name, bus in names:
        behind[bus].append(name)
        while not meshed and bus in parent:
            bus, branch = parent[bus]
            behind[branch].append(name)
    return dict(behind)


def bus_points(elements: "pd.DataFrame") -> tuple[dict[str, Point], bool]:
    """Return where each bus is drawn and whether that is its real place.

    Grids without coordinates (or with one place for all) are drawn as a tree: distance from the source in
    branches
    to the right, end points one below the other.
    """
    rows = elements[elements["kind"] == "bus"]
    xs, ys = rows["x"].to_numpy(dtype=np.float64), rows["y"].to_numpy(dtype=np.float64)
    names = rows["element"].astype(str).tolist()
    known = bool(len(rows)) and bool(np.isfinite(xs).all() and np.isfinite(ys).all())
    if known and (len(rows) == 1 or np.ptp(xs) > 0 or np.ptp(ys) > 0):
        return dict(zip(names, zip(xs.tolist(), ys.tolist(), strict=True), strict=True)), True
    return _tree(elements, names), False


def _tree(elements: "pd.DataFrame", names: list[str]) -> dict[str, Point]:
    order, parent, _ = walk(elements)
    children: dict[str, list[str]] = defaultdict(list)
    depth = dict.fromkeys(order[:1], 0)
    for bus in order[1:]:
        before = parent[bus][0]
        children[before].append(bus)
        depth[bus] = depth[before] + 1
    rows: dict[str, float] = {}
    leaves = 0
    stack = [(bus, False) for bus in order[:1]]
    while stack:
        bus, done = stack.pop()
        if not children[bus]:
            rows[bus], leaves = float(leaves), leaves + 1
        elif done:
            rows[bus] = sum(rows[child] for child in children[bus]) / len(children[bus])
        else:
            stack.append((bus, True))
            stack.extend((child, False) for child in reversed(children[bus]))
    points = {bus: (float(depth[bus]), -rows[bus]) for bus in order}
    for number, bus in enumerate(name for name in names if name not in points):
        points[bus] = (float(number), -float(leaves + 1))
    return points
