"""Zones found from data: clusters of buses that are electrically near."""

from collections.abc import Iterator
from dataclasses import dataclass

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
)
from gridagora.grid.admittance import branches_of
from gridagora.grid.distance import between_nodes
from gridagora.grid.model import GridModel
from gridagora.grid.topology import components
from gridagora.grid.zone_gates import with_gates
from gridagora.model.network import Network
from gridagora.model.zones import ROOT, ZoneTree

MOST_NODES = 10_000
"""How many buses are clustered at most: 24 bytes per pair of them are held at a time."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def zones_by_distance(
    network: Network | GridModel, *, zones: int | None = None, threshold: float | None = None
) -> ZoneTree:
    """Return zones of buses that are electrically near, by average-linkage clustering of their distances.

    A part of a cluster that hangs together with the rest only through another cluster joins its electrically
    nearest neighbour, so that every zone hangs together, be it only at the buses of the sources.  The same
    network gives the same zones.  Time and memory grow with the square of the number of buses: 5,500 take
    about 6 s and 0.8 GB, 10,000 are the most.

    Parameters
    ----------
    network : the grid, or its network
    zones : how many clusters to make
    threshold : or the mean distance, per unit on 1 MVA, above which clusters stay apart

    Raises
    ------
    InputError
        Lists every fault: a disconnected bus, too many buses, neither or both of ``zones`` and
        ``threshold``, or one that cannot be.

    Notes
    -----
    MARKETS.md section 5.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> tree = zones_by_distance(Grid.by_name("ieee33"), zones=3)
    >>> [(zone.name, zone.parent, len(zone.buses)) for zone in tree.zones]
    [('bulk', None, 1), ('zone 1', 'bulk', 16), ('zone 2', 'zone 1', 10), ('zone 3', 'zone 1', 6)]
    """
    network = network_of(network)
    free = np.setdiff1d(np.arange(len(network.node_kv)), network.bus_node[network.sources.bus])
    check_faults([*dead_faults(network), *_cut_faults(network, zones, threshold, most=len(free))])
    edges, found = _clusters(network, free, zones=zones, threshold=threshold)
    label = np.full(len(network.node_kv), BULK, dtype=np.int64)
    label[free] = numbered(found) + 1
    label[free] = numbered(_connected(label, edges, free=free)[free]) + 1
    above, _ = hanging(network, label, labels=int(label.max()) + 1)
    names = {BULK: (ROOT, "bulk")} | {
        zone: (f"zone {zone}", "zone") for zone in range(1, int(label.max()) + 1)
    }
    return with_gates(network, tree_of(network, label, names=names, parents=dict(enumerate(above.tolist()))))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Edges:
    """Closed branches between nodes that no source holds, and how far apart their ends are."""

    start: Ints
    end: Ints
    apart: Floats


def _clusters(
    network: Network, free: Ints, *, zones: int | None, threshold: float | None
) -> tuple[_Edges, Ints]:
    """Return the branches between free nodes, and the cluster of each free node."""
    from scipy.cluster.hierarchy import cut_tree, fcluster, linkage
    from scipy.spatial.distance import squareform

    branches = branches_of(network)
    row = np.full(len(network.node_kv), -1)
    row[free] = np.arange(len(free))
    start, end = branches.start[branches.closed], branches.end[branches.closed]
    inside = (row[start] >= 0) & (row[end] >= 0)
    start, end = start[inside], end[inside]
    distance = between_nodes(network, free, free)
    edges = _Edges(start=start, end=end, apart=distance[row[start], row[end]])
    if len(free) == 1:
        return edges, np.zeros(1, dtype=np.int64)
    condensed = squareform(distance, checks=False)
    del distance  # the largest of all that is held
    links = linkage(condensed, method="average")
    if threshold is None:
        return edges, np.asarray(cut_tree(links, n_clusters=[zones or 1])[:, 0], dtype=np.int64)
    return edges, np.asarray(fcluster(links, threshold, "distance"), dtype=np.int64)


def _connected(label: Ints, edges: _Edges, *, free: Ints) -> Ints:
    """Let parts of a cluster that hang together only through others join their nearest neighbour.

    In each round all parts move whose nearest neighbour stays where it is; where there is none, the one that
    is nearest to its neighbour.
    """
    label = label.copy()
    ends = np.concatenate([edges.start, edges.end]), np.concatenate([edges.end, edges.start])
    apart = np.tile(edges.apart, 2)
    while True:
        same = label[edges.start] == label[edges.end]
        part = components(len(label), edges.start[same], edges.end[same])
        loose = _loose(part, label, free)
        border = np.flatnonzero(loose[ends[0]] & (label[ends[0]] != label[ends[1]]))
        if not len(border):
            return label
        ranked = border[np.lexsort((border, apart[border], part[ends[0][border]]))]
        _, first = np.unique(part[ends[0][ranked]], return_index=True)
        nearest = ranked[first]
        stays = ~loose[ends[1][nearest]]
        moves = nearest[stays] if stays.any() else nearest[[apart[nearest].argmin()]]
        becomes = np.full(int(part.max()) + 1, -1, dtype=np.int64)
        becomes[part[ends[0][moves]]] = label[ends[1][moves]]
        label = np.where(becomes[part] >= 0, becomes[part], label)


def _loose(part: Ints, label: Ints, free: Ints) -> Bools:
    """Tell which nodes lie outside the largest part of their cluster; of equal parts the first is kept."""
    size = np.bincount(part)
    ranked = free[np.lexsort((free, -size[part[free]], label[free]))]
    labels, first = np.unique(label[ranked], return_index=True)
    kept = np.zeros(int(labels.max()) + 1, dtype=np.int64)
    kept[labels] = part[ranked[first]]
    loose = np.zeros(len(part), dtype=bool)
    loose[free] = part[free] != kept[label[free]]
    return loose


def _cut_faults(
    network: Network, zones: int | None, threshold: float | None, *, most: int
) -> Iterator[Fault]:
    if most > MOST_NODES:
        reason = f"has more than {MOST_NODES} buses: clustering takes time and memory by their square"
        fix = "use zones_from_feeders or zones_from_table, or a part of the grid"
        yield fault(network, "network", most, reason=reason, fix=fix)
    if (zones is None) == (threshold is None):
        fix = "give one of them"
        yield fault(network, "zones, threshold", (zones, threshold), reason="needs one of the two", fix=fix)
    if zones is not None and not (isinstance(zones, int | np.integer) and 1 <= zones <= most):
        yield fault(network, "zones", zones, reason="cannot be made", fix=f"give a whole number, 1 to {most}")
    if threshold is not None and not threshold > 0:
        yield fault(network, "threshold", threshold, reason="is no distance", fix="give a number above 0")
