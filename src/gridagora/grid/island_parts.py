"""Whether zones can be cut off: an island hangs together, and opening its gate takes nothing else with it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gridagora.grid.admittance import branches_of
from gridagora.grid.topology import components
from gridagora.model.network import Network
from gridagora.model.zones import ZoneTree

Ints = NDArray[np.int64]

_MAINLAND = -1


def island_obstacles(network: Network, tree: ZoneTree, island: Ints) -> dict[str, str]:
    """Return, by the name of an island's zone, why it cannot be one; empty where all can.

    Parameters
    ----------
    network, tree : the grid and its zones, which name all its buses
    island : position of the island of each zone, -1: joined to the bulk grid

    Examples
    --------
    The buses 17 and 18 at the end of a feeder can be cut off; with the far bus 22 they fall apart:

    >>> from gridagora.adapters.grids import Grid
    >>> from gridagora.grid.zones import zones_from_table
    >>> import pandas as pd
    >>> network = Grid.by_name("ieee33").network
    >>> def why(*buses):
    ...     table = pd.DataFrame({"bus": buses, "zone": "end", "parent": ""})
    ...     tree = zones_from_table(network, table)
    ...     return island_obstacles(network, tree, np.array([-1, tree.position("end")]))
    >>> why("16", "17"), why("16", "17", "21")
    ({}, {'end': 'only its gate joins its parts with bus 16 and bus 21'})
    """
    found: dict[str, str] = {}
    for zone, reason in _obstacles(network, tree, island):
        found.setdefault(tree.names[zone], reason)
    return found


def _obstacles(network: Network, tree: ZoneTree, island: Ints) -> Iterator[tuple[int, str]]:
    """Yield island and reason of all that keeps islands from being some."""
    of_bus = tree.zone_of_bus()
    bus_zone = np.array([tree.position(of_bus[bus]) for bus in network.buses], dtype=np.int64)
    label = np.full(len(network.node_kv), _MAINLAND, dtype=np.int64)
    label[network.bus_node] = island[bus_zone]
    for bus in np.flatnonzero(label[network.bus_node] != island[bus_zone]).tolist():
        at = max(int(label[network.bus_node[bus]]), int(island[bus_zone[bus]]))
        yield (
            at,
            f"a closed switch that is no branch joins it to what lies outside at bus {network.buses[bus]}",
        )
    for at in np.unique(label[network.bus_node[network.sources.bus]]).tolist():
        if at != _MAINLAND:
            yield at, "a source of the grid stands in it, so it would not be cut off"
    yield from _past_gates(network, tree, label)
    yield from _fallen_apart(network, tree, label)


def _past_gates(network: Network, tree: ZoneTree, label: Ints) -> Iterator[tuple[int, str]]:
    """Yield islands with a closed branch to the outside that is not of a gate that opens."""
    branches, elements = branches_of(network), network.elements
    across = np.flatnonzero(branches.closed & (label[branches.start] != label[branches.end]))
    for row in across.tolist():
        ends = [int(label[branches.start[row]]), int(label[branches.end[row]])]
        islands = [at for at in ends if at != _MAINLAND]
        if not any(elements[row] in tree.zones[at].gate_elements for at in islands):
            yield islands[0], f"{elements[row]} joins it to what lies outside, and is not of its gate"


def _fallen_apart(network: Network, tree: ZoneTree, label: Ints) -> Iterator[tuple[int, str]]:
    """Yield islands in several parts, and islands through which buses of the mainland are fed."""
    branches = branches_of(network)
    inside = branches.closed & (label[branches.start] == label[branches.end])
    part = components(len(label), branches.start[inside], branches.end[inside])
    for at in np.unique(label[label != _MAINLAND]).tolist():
        _, first = np.unique(part[label == at], return_index=True)
        if len(first) > 1:
            names = [_bus_at(network, node) for node in np.sort(np.flatnonzero(label == at)[first])[:3]]
            yield at, f"only its gate joins its parts with {' and '.join(f'bus {name}' for name in names)}"
    live = np.unique(part[network.bus_node[network.sources.bus]])
    dead = (label == _MAINLAND) & ~np.isin(part, live)
    start, end = branches.start[branches.closed], branches.end[branches.closed]
    for one, other in ((start, end), (end, start)):
        beyond = dead[one] & (label[other] != _MAINLAND)
        for node, at in zip(one[beyond].tolist(), label[other[beyond]].tolist(), strict=True):
            yield at, f"bus {_bus_at(network, node)} is not in it, and is fed through it alone"


def _bus_at(network: Network, node: int) -> str:
    return network.buses[int(np.flatnonzero(network.bus_node == node)[0])]
