"""Labels of nodes become zones: what hangs on what, on the way from the sources outwards."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, InputError
from gridagora.grid.admittance import branches_of
from gridagora.grid.model import GridModel
from gridagora.grid.topology import reached, spanning_tree
from gridagora.model.network import Network
from gridagora.model.zones import Zone, ZoneTree

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BULK = 0
"""Label of the nodes at which a source stands."""


def network_of(grid: Network | GridModel) -> Network:
    """Return the data of a grid, or those given; raises `InputError` when they are neither."""
    if isinstance(grid, GridModel):
        return grid.network
    if isinstance(grid, Network):
        return grid
    reason, fix = "is no grid", "give a Grid or its network"
    raise InputError([Fault(source="zones", place="network", value=grid, reason=reason, fix=fix)])


def upstream(network: Network) -> tuple[Ints, Ints]:
    """Return the nodes from the sources outwards, and the node before each (its own number at a source)."""
    branches, count = branches_of(network), len(network.node_kv)
    sources = np.unique(network.bus_node[network.sources.bus])
    start = np.concatenate([branches.start[branches.closed], np.full(len(sources), count)])
    end = np.concatenate([branches.end[branches.closed], sources])
    order, parent = spanning_tree(count + 1, start, end, root=count)
    own = np.arange(count)
    return order[1:], np.where(parent[:count] == count, own, parent[:count])


def hanging(network: Network, label: Ints, *, labels: int) -> tuple[Ints, Ints]:
    """Return on which label each label hangs and the node at which it begins; label 0 holds the sources."""
    order, parent = upstream(network)
    head = np.full(labels, -1, dtype=np.int64)
    head[label[order[::-1]]] = order[::-1]
    above = np.zeros(labels, dtype=np.int64)
    begun = head >= 0
    above[begun] = label[parent[head[begun]]]
    return above, head


def numbered(values: Ints) -> Ints:
    """Return values as numbers from 0 on, by first appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def tree_of(
    network: Network,
    label: Ints,
    *,
    names: Mapping[int, tuple[str, str]],
    parents: Mapping[int, int],
) -> ZoneTree:
    """Return the tree of labelled nodes; the buses of a zone in the order of the grid."""
    buses: dict[int, list[str]] = {zone: [] for zone in sorted(names)}
    for bus, zone in zip(network.buses, label[network.bus_node].tolist(), strict=True):
        buses[zone].append(bus)
    return ZoneTree(
        zones=tuple(
            Zone(
                name=names[zone][0],
                level=names[zone][1],
                parent=None if zone == BULK else names[parents[zone]][0],
                buses=tuple(own),
            )
            for zone, own in buses.items()
        )
    )


def is_live(network: Network) -> Bools:
    """Tell for each node whether a source feeds it."""
    branches, closed = branches_of(network), branches_of(network).closed
    return reached(
        len(network.node_kv),
        branches.start[closed],
        branches.end[closed],
        sources=network.bus_node[network.sources.bus],
    )


def dead_faults(network: Network) -> Iterator[Fault]:
    """Yield every bus that no source feeds."""
    for bus in np.flatnonzero(~is_live(network)[network.bus_node]).tolist():
        reason, fix = "a disconnected bus: no source feeds it", "close a switch or leave the bus out"
        yield fault(network, f"bus {network.buses[bus]}", False, reason=reason, fix=fix)


def unknown_faults(network: Network, buses: Iterable[str]) -> Iterator[Fault]:
    known = set(network.buses)
    for bus in buses:
        if bus not in known:
            fix = "use a bus of grid.buses (one without supply and load is left out there)"
            yield fault(network, f"bus {bus}", bus, reason="the grid has no such bus", fix=fix)


def fault(network: Network, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=network.name, place=place, value=value, reason=reason, fix=fix)
