"""Zones of a grid: from its feeders with sources, from a user's table, or from electrical distance.

In each way a zone hangs on the one that it meets first on its way to the upstream grid, and the branches
between the two are its gate.  Source buses are the bulk grid's.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid._zone_parts import (
    BULK,
    dead_faults,
    fault,
    hanging,
    network_of,
    numbered,
    tree_of,
    unknown_faults,
    upstream,
)
from gridagora.grid.admittance import branches_of
from gridagora.grid.distance import between_nodes, electrical_distance
from gridagora.grid.model import GridModel
from gridagora.grid.topology import components
from gridagora.grid.zone_clusters import zones_by_distance
from gridagora.grid.zone_gates import gate_limits_kw, with_gates
from gridagora.model.network import Network
from gridagora.model.zones import DSO, ROOT, ZoneTree, read_zone_table, zone_faults

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LV_KV, MV_KV = 1.0, 36.0
"""Highest nominal voltages of low and medium voltage, kV (IEC 60038)."""

GENERATING = ("sgen", "gen", "storage")
"""Kinds of a net's own elements that are sources of energy."""

_DSO = 1
_LV, _MV, _HV = 0, 1, 2
_LEVELS = ("lv", "mv")

__all__ = [
    "electrical_distance",
    "gate_limits_kw",
    "zones_by_distance",
    "zones_from_feeders",
    "zones_from_table",
]


def zones_from_feeders(
    network: Network | GridModel,
    *,
    sources: Collection[str] | None = None,
    lv_feeders: Literal["station", "outgoing"] = "station",
) -> ZoneTree:
    """Return the zones of seed 000: each feeder with energy sources is one, LV inside MV inside the DSO.

    An MV feeder is what hangs on one outgoing branch of an HV/MV station; open rings stay two feeders.  An MV
    feeder has a source when one stands on it or below it.  A feeder without joins the electrically nearest
    zone, counted from the bus at which it begins to where that zone borders on others: a low-voltage feeder
    so comes to the MV feeder around it if that is a zone, an MV feeder without any source to another one.
    Stations and their busbars are the DSO's, buses of the upstream grid's connection the bulk grid's.

    Parameters
    ----------
    network : the grid, or its network
    sources : buses with generation or storage; default those of the grid's own generators and storages
    lv_feeders : "station": all behind one MV/LV station is one feeder; "outgoing": each outgoing branch of
        the station on its own, the busbar belongs to the MV feeder

    Raises
    ------
    InputError
        Lists every fault: an unknown bus in ``sources``, a disconnected bus, an unknown kind of feeder, no
        source in any feeder.

    Notes
    -----
    Seed 000 section 4.2.1, MARKETS.md section 5.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> tree = zones_from_feeders(Grid.by_name("cigre-lv"), sources=["Bus R11", "Bus C19"])
    >>> [(zone.name, zone.parent, len(zone.buses)) for zone in tree.zones]
    [('bulk', None, 4), ('dso', 'bulk', 0), ('lv Bus R1', 'dso', 20), ('lv Bus C1', 'dso', 20)]
    """
    network = network_of(network)
    faults = [*dead_faults(network), *unknown_faults(network, sources or ())]
    if lv_feeders not in ("station", "outgoing"):
        reason, fix = "is no kind of feeder", "write station or outgoing"
        faults.append(fault(network, "lv_feeders", lv_feeders, reason=reason, fix=fix))
    if not (np.isin(network.loads.kind, GENERATING).any() if sources is None else len(sources)):
        faults.append(_no_source(network, sources))
    check_faults(faults)
    label, level = _feeders(network, outgoing=lv_feeders == "outgoing")
    above, head = hanging(network, label, labels=len(level))
    # A feeder that hangs on the upstream connection itself is still the DSO's.
    above[above == BULK] = _DSO
    above[_DSO] = BULK
    has_source = _with_sources(network, label, above=above, sources=sources)
    if not has_source.any():
        check_faults([_no_source(network, sources)])
    joined = _joined(network, label, above=above, head=head, has_source=has_source)
    merged = joined[label]
    names = {BULK: (ROOT, "bulk"), _DSO: (DSO, DSO)}
    for zone in np.flatnonzero(has_source).tolist():
        kind = _LEVELS[level[zone]]
        names[zone] = (f"{kind} {_first_bus(network, head[zone])}", kind)
    parents = {zone: int(joined[above[zone]]) if zone > _DSO else BULK for zone in names}
    return with_gates(network, tree_of(network, merged, names=names, parents=parents))


def zones_from_table(network: Network | GridModel, table: "pd.DataFrame", *, root: str = ROOT) -> ZoneTree:
    """Return the zones of a user's table (bus, zone, parent), checked against the grid, with their gates.

    A bus that no row names goes with the next one on its way to a source that a row names; the root has the
    rest.

    Parameters
    ----------
    network : the grid, or its network
    table : see `ZoneTree.from_table`
    root : name of the bulk grid

    Raises
    ------
    InputError
        Lists every fault: those of `ZoneTree.from_table`, a bus that the grid has not, a disconnected bus,
        and, where the zones form a tree, every zone without a slack.

    Examples
    --------
    >>> import pandas as pd
    >>> from gridagora.adapters.grids import Grid
    >>> table = pd.DataFrame({"bus": ["16", "17"], "zone": ["end", "end"], "parent": ["", ""]})
    >>> zones_from_table(Grid.by_name("ieee33"), table).zone("end").gate_elements
    ('15',)
    """
    network = network_of(network)
    zones, faults = read_zone_table(table, root=root)
    named = [bus for zone in zones for bus in zone.buses]
    wrong = zone_faults(zones)
    faults = [*faults, *wrong, *unknown_faults(network, named), *dead_faults(network)]
    if wrong:
        check_faults(faults)
    return with_gates(network, _filled(network, ZoneTree(zones=zones)), known=faults)


def _filled(network: Network, tree: ZoneTree) -> ZoneTree:
    """Give each bus that no zone names to the zone that it hangs on."""
    of_bus = tree.zone_of_bus()
    order, parent = upstream(network)
    owner = np.full(len(network.node_kv), "", dtype=object)
    for bus, node in zip(network.buses, network.bus_node.tolist(), strict=True):
        owner[node] = owner[node] or of_bus.get(bus, "")
    root = tree.names[tree.root]
    for node in order:
        owner[node] = owner[node] or owner[parent[node]] or root
    rest: dict[str, list[str]] = {name: [] for name in tree.names}
    for bus, node in zip(network.buses, network.bus_node.tolist(), strict=True):
        if bus not in of_bus:
            rest[owner[node] or root].append(bus)
    return ZoneTree(zones=tuple(replace(z, buses=z.buses + tuple(rest[z.name])) for z in tree.zones))


def _feeders(network: Network, *, outgoing: bool) -> tuple[Ints, Ints]:
    """Return the feeder of each node (0 bulk, 1 DSO, feeders from 2 on) and the level of each feeder."""
    branches, count = branches_of(network), len(network.node_kv)
    level = np.searchsorted([LV_KV, MV_KV], network.node_kv)
    is_source = np.zeros(count, dtype=bool)
    is_source[network.bus_node[network.sources.bus]] = True
    is_busbar = np.zeros(count, dtype=bool)
    for row in np.flatnonzero(branches.closed[len(network.lines) :]) + len(network.lines):
        ends = np.array([branches.start[row], branches.end[row]])
        low, high = ends[np.argsort(level[ends], kind="stable")]
        is_busbar[low] |= level[low] < level[high]
    is_busbar &= (level == _MV) | ((level == _LV) & outgoing)
    inner = ~is_source & ~is_busbar & (level < _HV)
    start, end = branches.start[branches.closed], branches.end[branches.closed]
    kept = inner[start] & inner[end] & (level[start] == level[end])
    part = components(count, start[kept], end[kept])
    label = np.full(count, _DSO, dtype=np.int64)
    label[inner] = numbered(part[inner]) + 2
    label[is_source] = BULK
    levels = np.full(int(label.max(initial=_DSO)) + 1, _HV, dtype=np.int64)
    levels[label[inner]] = level[inner]
    if outgoing:
        _give_busbars(network, label, np.flatnonzero(is_busbar & (level == _LV) & ~is_source))
    return label, levels


def _give_busbars(network: Network, label: Ints, busbars: Ints) -> None:
    """Give low-voltage busbars to what feeds them."""
    order, parent = upstream(network)
    for node in order[np.isin(order, busbars)]:
        label[node] = label[parent[node]] if label[parent[node]] != BULK else _DSO


def _with_sources(network: Network, label: Ints, *, above: Ints, sources: Collection[str] | None) -> Bools:
    """Tell which feeders have a source on them or below them."""
    if sources is None:
        bus = network.loads.bus[np.isin(network.loads.kind, GENERATING)]
    else:
        position = {name: at for at, name in enumerate(network.buses)}
        bus = np.array([position[name] for name in sources], dtype=np.int64)
    found = np.zeros(len(above), dtype=bool)
    at = np.unique(label[network.bus_node[bus]])
    while (at > _DSO).any():
        found[at] = True
        at = np.unique(above[at])
    found[[BULK, _DSO]] = False
    return found


def _at_border(network: Network, label: Ints) -> Bools:
    """Tell which nodes have a branch to a node of another label."""
    branches = branches_of(network)
    across = branches.closed & (label[branches.start] != label[branches.end])
    found = np.zeros(len(label), dtype=bool)
    found[branches.start[across]] = found[branches.end[across]] = True
    return found


def _joined(network: Network, label: Ints, *, above: Ints, head: Ints, has_source: Bools) -> Ints:
    """Return the label that each label becomes: its own, or that of the zone that it joins."""
    becomes = np.arange(len(above))
    alone = np.flatnonzero(~has_source & (becomes > _DSO) & (head >= 0))
    first = alone[~np.isin(above[alone], alone)]
    if not len(first):
        return becomes
    members = np.flatnonzero(has_source[label] & _at_border(network, label))
    near = between_nodes(network, head[first], members)
    becomes[first] = label[members][near.argmin(axis=1)]
    for feeder in alone[np.isin(above[alone], alone)]:
        up = feeder
        while becomes[up] == up and not has_source[up]:
            up = above[up]
        becomes[feeder] = becomes[up]
    return becomes


def _no_source(network: Network, sources: Collection[str] | None) -> Fault:
    reason, fix = "no feeder has a source of energy", "name the buses with generation in `sources`"
    return fault(network, "sources", sources, reason=reason, fix=fix)


def _first_bus(network: Network, node: int) -> str:
    return network.buses[int(np.flatnonzero(network.bus_node == node)[0])]
