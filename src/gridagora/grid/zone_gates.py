"""The gates of zones: which branches join a zone to its parent, and what may pass them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gridagora.errors import Fault, check_faults
from gridagora.grid._zone_parts import fault, is_live, network_of
from gridagora.grid.admittance import Branches, branches_of
from gridagora.grid.model import GridModel
from gridagora.model.network import NO_LIMIT_A, Network
from gridagora.model.zones import ZoneTree


def gate_limits_kw(
    network: Network | GridModel,
    tree: ZoneTree,
    *,
    power_factor: float = 1.0,
    loading_percent: float = 100.0,
) -> dict[str, float]:
    """Return what may pass the gate of each zone: the ratings of its branches together; inf: no limit known.

    Branches in parallel need not share a flow as their ratings do: the grid check has the last word.

    Parameters
    ----------
    network, tree : the grid, or its network, and its zones
    power_factor : active power per apparent power
    loading_percent : the share of a rating that may be used

    Raises
    ------
    InputError
        Lists every fault: numbers out of range, a gate of branches that the grid has not.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> from gridagora.grid.zones import zones_from_feeders
    >>> grid = Grid.by_name("cigre-lv")
    >>> tree = zones_from_feeders(grid, sources=["Bus R11", "Bus C19"])
    >>> {name: round(kw) for name, kw in gate_limits_kw(grid, tree, loading_percent=80).items()}
    {'dso': 760, 'lv Bus R1': 520, 'lv Bus C1': 240}
    """
    network = network_of(network)
    lines, transformers = network.lines, network.transformers
    check_faults(_limit_faults(network, tree, power_factor=power_factor, loading_percent=loading_percent))
    kv = network.node_kv[network.bus_node[np.maximum(lines.from_bus, lines.to_bus)]]
    line_kva = np.where(lines.rated_a >= NO_LIMIT_A, np.inf, np.sqrt(3.0) * kv * lines.rated_a)
    kva = dict(zip(network.elements, [*line_kva.tolist(), *transformers.rated_kva.tolist()], strict=True))
    share = power_factor * loading_percent / 100
    return {
        zone.name: share * sum(kva[name] for name in zone.gate_elements) if zone.gate_elements else np.inf
        for zone in tree.zones
        if zone.parent is not None
    }


def _limit_faults(
    network: Network, tree: ZoneTree, *, power_factor: float, loading_percent: float
) -> Iterator[Fault]:
    if not 0 < power_factor <= 1:
        fix = "give a number above 0, up to 1"
        yield fault(network, "power_factor", power_factor, reason="is no power factor", fix=fix)
    if not 0 < loading_percent < np.inf:
        fix = "give percent above 0"
        yield fault(network, "loading_percent", loading_percent, reason="is no loading", fix=fix)
    known = set(network.elements)
    for zone in tree.zones:
        strange = [name for name in zone.gate_elements if name not in known]
        if strange:
            fix = "give the grid of these zones"
            yield fault(network, f"zone {zone.name}", strange, reason="the grid has no such branch", fix=fix)


def with_gates(network: Network, tree: ZoneTree, *, known: Sequence[Fault] = ()) -> ZoneTree:
    """Return the tree with the gate of each zone.

    Raises with every zone that has no way to its parent, though a source feeds it; ``known`` faults are told
    with them.
    """
    gates: dict[str, list[str]] = {name: [] for name in tree.names}
    supplied: set[str] = set()
    zones_at = _zones_at(network, tree)
    for element, start, end in _joints(network, branches_of(network)):
        # A zone that stands at both ends has the branch inside.
        inside = zones_at[start] & zones_at[end] if element else set()
        for a in zones_at[start] - inside:
            for b in zones_at[end] - inside - {a}:
                for zone in (*_gated(tree, a, b), *_gated(tree, b, a)):
                    supplied.add(zone)
                    if element and element not in gates[zone]:
                        gates[zone].append(element)
    for source in network.bus_node[network.sources.bus].tolist():
        supplied |= {name for zone in zones_at[source] for name in tree.path(zone)}
    live = {
        name
        for node in np.flatnonzero(is_live(network)).tolist()
        for zone in zones_at[node]
        for name in tree.path(zone)
    }
    faults = [
        fault(
            network,
            f"zone {zone.name}",
            zone.parent,
            reason="a zone without a slack: no branch joins it to its parent, and no source stands in it",
            fix="name as parent the zone through which it is fed",
        )
        for zone in tree.zones
        if zone.name in live - supplied
    ]
    check_faults([*known, *faults])
    return ZoneTree(zones=tuple(replace(z, gate_elements=tuple(gates[z.name])) for z in tree.zones))


def _zones_at(network: Network, tree: ZoneTree) -> list[set[str]]:
    """Return the zones at each node; buses of several may share one through a closed switch."""
    of_bus = tree.zone_of_bus()
    found: list[set[str]] = [set() for _ in network.node_kv]
    for bus, node in zip(network.buses, network.bus_node.tolist(), strict=True):
        found[node].add(of_bus[bus])
    return found


def _joints(network: Network, branches: Branches) -> Iterator[tuple[str, int, int]]:
    """Yield what joins nodes: closed branches, and each node with itself."""
    elements = network.elements
    for row in np.flatnonzero(branches.closed).tolist():
        yield elements[row], int(branches.start[row]), int(branches.end[row])
    for node in range(len(network.node_kv)):
        yield "", node, node


def _gated(tree: ZoneTree, inner: str, outer: str) -> Iterator[str]:
    """Yield the zones around ``inner`` whose next zone with buses outwards is ``outer``."""
    way = tree.path(inner)
    if outer not in way:
        return
    for name in reversed(way[: way.index(outer)]):
        yield name
        if tree.zone(name).buses:
            return
