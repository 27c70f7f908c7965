"""Zones found from data: clusters of buses that are electrically near."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid._zone_parts import BULK, dead_faults, fault, hanging, numbered, tree_of
from gridagora.grid.admittance import branches_of
from gridagora.grid.distance import electrical_distance
from gridagora.grid.topology import components
from gridagora.grid.zone_gates import with_gates
from gridagora.model.network import Network
from gridagora.model.zones import ROOT, ZoneTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def zones_by_distance(
    network: Network, *, zones: int | None = None, threshold: float | None = None
) -> ZoneTree:
    """Return zones of buses that are electrically near, by average-linkage clustering of their distances.

    A part of a cluster that hangs together with the rest only through another cluster joins its electrically
    nearest neighbour, so that every zone hangs together.  The same network gives the same zones.

    Parameters
    ----------
    network : the grid
    zones : how many clusters to make
    threshold : or the mean distance, per unit on 1 MVA, above which clusters stay apart

    Raises
    ------
    InputError
        Lists every fault: a disconnected bus, neither or both of ``zones`` and ``threshold``, or one that
        cannot be.

    Notes
    -----
    MARKETS.md section 5.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> tree = zones_by_distance(Grid.by_name("ieee33").network, zones=3)
    >>> [(zone.name, zone.parent, len(zone.buses)) for zone in tree.zones]
    [('bulk', None, 1), ('zone 1', 'bulk', 16), ('zone 2', 'zone 1', 10), ('zone 3', 'zone 1', 6)]
    """
    from scipy.cluster.hierarchy import cut_tree, fcluster, linkage
    from scipy.spatial.distance import squareform

    free = np.setdiff1d(np.arange(len(network.node_kv)), network.bus_node[network.sources.bus])
    check_faults([*dead_faults(network), *_cut_faults(network, zones, threshold, most=len(free))])
    _, first = np.unique(network.bus_node, return_index=True)
    distance = electrical_distance(network)[np.ix_(first[free], first[free])]
    if len(free) == 1:
        found = np.zeros(1, dtype=np.int64)
    else:
        links = linkage(squareform(distance, checks=False), method="average")
        if threshold is None:
            found = np.asarray(cut_tree(links, n_clusters=[zones or 1])[:, 0], dtype=np.int64)
        else:
            found = np.asarray(fcluster(links, threshold, "distance"), dtype=np.int64)
    label = np.full(len(network.node_kv), BULK, dtype=np.int64)
    label[free] = numbered(found) + 1
    label[free] = numbered(_connected(network, label, distance=distance, free=free)[free]) + 1
    above, _ = hanging(network, label, labels=int(label.max()) + 1)
    names = {BULK: (ROOT, "bulk")} | {
        zone: (f"zone {zone}", "zone") for zone in range(1, int(label.max()) + 1)
    }
    return with_gates(network, tree_of(network, label, names=names, parents=dict(enumerate(above.tolist()))))


def _connected(network: Network, label: Ints, *, distance: Floats, free: Ints) -> Ints:
    """Let parts of a cluster that hang together only through others join their nearest neighbour."""
    branches = branches_of(network)
    row = np.full(len(label), -1)
    row[free] = np.arange(len(free))
    start, end = branches.start[branches.closed], branches.end[branches.closed]
    inside = (row[start] >= 0) & (row[end] >= 0)
    start, end, label = start[inside], end[inside], label.copy()
    while True:
        same = label[start] == label[end]
        part = components(len(label), start[same], end[same])
        loose = _loose(part, label, free)
        border = np.flatnonzero(~same & (loose[start] | loose[end]))
        if not len(border):
            return label
        nearest = border[distance[row[start[border]], row[end[border]]].argmin()]
        mover, host = start[nearest], end[nearest]
        if not loose[mover]:
            mover, host = host, mover
        label[part == part[mover]] = label[host]


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
    if (zones is None) == (threshold is None):
        fix = "give one of them"
        yield fault(network, "zones, threshold", (zones, threshold), reason="needs one of the two", fix=fix)
    if zones is not None and not (isinstance(zones, int | np.integer) and 1 <= zones <= most):
        yield fault(network, "zones", zones, reason="cannot be made", fix=f"give a whole number, 1 to {most}")
    if threshold is not None and not threshold > 0:
        yield fault(network, "threshold", threshold, reason="is no distance", fix="give a number above 0")
