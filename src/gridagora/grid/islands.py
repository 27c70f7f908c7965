"""Power flow of a grid while the gates of some zones are open.

A zone whose gate is open is an island, with the zones inside it that have no open gate of their own.  In an
island a grid-forming source holds the voltage: `HEAD_PU` at its head, the bus at which its gate ends, without
limit of power.  What the island lacks or has left over passes that source, and is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid._zone_parts import fault
from gridagora.grid.admittance import Branches, branches_of
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel
from gridagora.grid.topology import components
from gridagora.model.network import Network, Sources
from gridagora.model.zone_study import islands_of
from gridagora.model.zones import ZoneTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HEAD_PU = 1.0
"""Voltage that the grid-forming source of an island holds at its head."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IslandedFlow:
    """A power flow with islands, and what the islands' own sources give.

    Parameters
    ----------
    flow : the whole grid; open gates carry nothing, losses are those of all parts, the import is that of the
        grid's own sources alone; a period converged if all its parts did
    formed_kw, formed_kvar : what the grid-forming source of each zone's island gives, + the island lacks,
        (periods, zones); 0 where a zone forms no island, NaN where not converged
    """

    flow: PowerFlow
    formed_kw: Floats
    formed_kvar: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Opened:
    """The grid with some gates open; its last sources are those of the islands ``zones``."""

    grid: GridModel
    zones: Ints


class IslandedGrid:
    """A grid whose zones can be cut off; the model of each pattern of open gates is built once.

    Parameters
    ----------
    grid : the grid
    tree : its zones and their gates; buses that no zone names are the bulk grid's

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> from gridagora.grid.zones import zones_from_feeders
    >>> grid = Grid.by_name("cigre-lv")
    >>> tree = zones_from_feeders(grid.network, sources=["Bus R11", "Bus I2", "Bus C19"])
    >>> kw, kvar = grid.base_import()
    >>> cut = np.zeros((2, len(tree.zones)), dtype=bool)
    >>> cut[1, tree.position("lv Bus R1")] = True
    >>> found = IslandedGrid(grid, tree).power_flow([kw, kw], [kvar, kvar], cut=cut)
    >>> found.flow.import_kw.round().tolist(), found.formed_kw.sum(axis=1).round().tolist()
    ([715.0, 317.0], [0.0, 394.0])
    """

    def __init__(self, grid: GridModel, tree: ZoneTree) -> None:
        self.grid, self.tree = grid, tree
        self._opened: dict[bytes, _Opened] = {}

    def power_flow(
        self, import_kw: ArrayLike, import_kvar: ArrayLike | None = None, *, cut: Bools
    ) -> IslandedFlow:
        """Calculate the balanced power flow of every period, in parts where gates are open.

        Parameters
        ----------
        import_kw, import_kvar : as in `GridModel.power_flow`, shape (periods, buses)
        cut : True where the gate of a zone is open, (periods, zones)

        Raises
        ------
        InputError
            When shapes do not fit, a value is not finite, or `island_faults` finds something.
        """
        return self._flow(import_kw, import_kvar, cut=cut, phases=1, zero_sequence="data")

    def power_flow_3ph(
        self,
        import_kw: ArrayLike,
        import_kvar: ArrayLike | None = None,
        *,
        cut: Bools,
        zero_sequence: Literal["data", "assume"] = "data",
    ) -> IslandedFlow:
        """Calculate the three-phase power flow of every period, in parts where gates are open.

        The star point of an island's source is earthed.

        Parameters
        ----------
        import_kw, import_kvar, zero_sequence : as in `GridModel.power_flow_3ph`, shape (periods, buses, 3)
        cut : True where the gate of a zone is open, (periods, zones)

        Raises
        ------
        InputError
            As `power_flow`, and when zero-sequence data are missing.
        """
        return self._flow(import_kw, import_kvar, cut=cut, phases=3, zero_sequence=zero_sequence)

    def at(self, cut: Bools) -> GridModel:
        """Return the grid with the gates of some zones open, (zones,), each island with its own source."""
        return self._open(cut).grid

    def _open(self, cut: Bools) -> _Opened:
        key = cut.tobytes()
        if key not in self._opened:
            network, tree = self.grid.network, self.tree
            check_faults(island_faults(network, tree, cut[None]))
            opened = _opened(network, tree, cut) if cut.any() else None
            self._opened[key] = opened or _Opened(grid=self.grid, zones=np.zeros(0, dtype=np.int64))
        return self._opened[key]

    def _flow(
        self,
        import_kw: ArrayLike,
        import_kvar: ArrayLike | None,
        *,
        cut: Bools,
        phases: int,
        zero_sequence: Literal["data", "assume"],
    ) -> IslandedFlow:
        kw = np.asarray(import_kw, dtype=np.float64)
        kvar = None if import_kvar is None else np.asarray(import_kvar, dtype=np.float64)
        cut = np.asarray(cut, dtype=np.bool_)
        check_faults(_shape_faults(self.grid.network, self.tree, cut, periods=len(kw)))
        patterns, pattern = np.unique(cut, axis=0, return_inverse=True)
        if not len(cut):  # no period is one pattern too: its arrays have the right shapes
            patterns = np.zeros((1, len(self.tree.zones)), dtype=np.bool_)
        parts, rows = [], []
        for number, gates in enumerate(patterns):
            at = np.flatnonzero(pattern.reshape(-1) == number)
            opened, reactive = self._open(gates), None if kvar is None else kvar[at]
            if phases == 1:
                flow = opened.grid.power_flow(kw[at], reactive)
            else:
                flow = opened.grid.power_flow_3ph(kw[at], reactive, zero_sequence=zero_sequence)
            parts.append(_told(flow, opened.zones, zones=len(self.tree.zones)))
            rows.append(at)
        return _joined(parts, np.argsort(np.concatenate(rows), kind="stable"))


def _told(flow: PowerFlow, island_zones: Ints, *, zones: int) -> IslandedFlow:
    """Tell the islands' sources, the last ones, from the grid's own."""
    if flow.source_kw is None or flow.source_kvar is None:
        raise TypeError(flow)
    own = flow.source_kw.shape[1] - len(island_zones)
    formed_kw, formed_kvar = np.zeros((len(flow), zones)), np.zeros((len(flow), zones))
    formed_kw[:, island_zones] = flow.source_kw[:, own:]
    formed_kvar[:, island_zones] = flow.source_kvar[:, own:]
    formed_kw[~flow.converged], formed_kvar[~flow.converged] = np.nan, np.nan
    if len(island_zones):
        kw, kvar = flow.source_kw[:, :own], flow.source_kvar[:, :own]
        flow = replace(
            flow, import_kw=kw.sum(axis=1), import_kvar=kvar.sum(axis=1), source_kw=kw, source_kvar=kvar
        )
    return IslandedFlow(flow=flow, formed_kw=formed_kw, formed_kvar=formed_kvar)


def _joined(parts: list[IslandedFlow], order: Ints) -> IslandedFlow:
    """Put the periods of several patterns into their order."""
    if len(parts) == 1:
        return parts[0]
    flows = [part.flow for part in parts]
    names = ("buses", "elements", "kinds")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(flow, name) for flow in flows])[order]
        for name in PowerFlow.__dataclass_fields__
        if name not in names and getattr(flows[0], name) is not None
    }
    return IslandedFlow(
        flow=replace(flows[0], **columns),
        formed_kw=np.concatenate([part.formed_kw for part in parts])[order],
        formed_kvar=np.concatenate([part.formed_kvar for part in parts])[order],
    )


def _opened(network: Network, tree: ZoneTree, cut: Bools) -> _Opened:
    """Open the gates of zones, (zones,), and give each island a source at its head."""
    opened = _gates(network, tree, cut)
    lines, transformers, sources = network.lines, network.transformers, network.sources
    of_line, of_transformer = ~opened[: len(lines)], ~opened[len(lines) :]
    label = _labels(network, tree, cut)
    zones = np.array([zone for zone in np.unique(label) if zone >= 0], dtype=np.int64)
    heads = [_head(network, label, opened, zone=int(zone), tree=tree) for zone in zones]
    islands = Sources(
        name=np.array([f"island {tree.zones[zone].name}" for zone in zones], dtype=np.str_),
        bus=np.array(heads, dtype=np.int64),
        vm_pu=np.full(len(zones), HEAD_PU),
        va_degree=np.zeros(len(zones)),
    )
    columns = Sources.__dataclass_fields__
    both = {name: np.concatenate([getattr(sources, name), getattr(islands, name)]) for name in columns}
    changed = replace(
        network,
        lines=replace(lines, from_closed=lines.from_closed & of_line, to_closed=lines.to_closed & of_line),
        transformers=replace(
            transformers,
            hv_closed=transformers.hv_closed & of_transformer,
            lv_closed=transformers.lv_closed & of_transformer,
        ),
        sources=Sources(**both),
    )
    return _Opened(grid=GridModel(changed), zones=zones)


def _gates(network: Network, tree: ZoneTree, cut: Bools) -> Bools:
    """Tell which branches are open where some zones are cut off."""
    names = [name for row in np.flatnonzero(cut) for name in tree.zones[row].gate_elements]
    return np.isin(np.array(network.elements, dtype=np.str_), names)


def _labels(network: Network, tree: ZoneTree, cut: Bools) -> Ints:
    """Return the island of each bus, -1: joined to the bulk grid."""
    island = islands_of(tree, cut[None])[0]
    of_bus = {bus: island[row] for row, zone in enumerate(tree.zones) for bus in zone.buses}
    return np.array([of_bus.get(bus, -1) for bus in network.buses], dtype=np.int64)


def _head(network: Network, label: Ints, opened: Bools, *, zone: int, tree: ZoneTree) -> int:
    """Return the bus of an island at which its gate ends; of a gate elsewhere, another open branch."""
    own = _gates(network, tree, np.arange(len(tree.zones)) == zone)
    ends = np.concatenate([_ends(network, own), _ends(network, opened)])
    inside = ends[label[np.maximum(ends, 0)] == zone]
    return int(inside[inside >= 0][0])


def _ends(network: Network, rows: Bools) -> Ints:
    """Return the buses at both ends of some branches, -1 where an end has none."""
    lines, transformers = network.lines, network.transformers
    ends = (lines.to_bus, transformers.lv_bus), (lines.from_bus, transformers.hv_bus)
    return np.stack([np.concatenate(columns) for columns in ends], axis=1)[rows].reshape(-1)


def island_faults(network: Network, tree: ZoneTree, cut: ArrayLike) -> list[Fault]:
    """Return what keeps zones from being islands: gates that do not part them, parts without a source.

    Parameters
    ----------
    network, tree : the grid and its zones
    cut : True where the gate of a zone is open, (periods, zones)

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> from gridagora.grid.zones import zones_from_feeders
    >>> network = Grid.by_name("cigre-lv").network
    >>> tree = zones_from_feeders(network, sources=["Bus R11"])
    >>> [str(one) for one in island_faults(network, tree, [[True, False, False]])]
    ['cigre-lv, zone bulk: the bulk grid has no gate (found True); cut off a zone inside it']
    """
    cut = np.asarray(cut, dtype=np.bool_)
    faults = _shape_faults(network, tree, cut, periods=len(cut))
    if faults:
        return faults
    found: dict[str, Fault] = {}
    branches = branches_of(network)
    for gates in np.unique(cut, axis=0):
        if gates.any():
            for one in _pattern_faults(network, tree, gates, branches=branches):
                found.setdefault(str(one), one)
    return list(found.values())


def _shape_faults(network: Network, tree: ZoneTree, cut: Bools, *, periods: int) -> list[Fault]:
    shape = (periods, len(tree.zones))
    if cut.shape == shape:
        return []
    return [
        fault(network, "cut", cut.shape, reason="does not fit", fix=f"give shape {shape}: periods, zones")
    ]


def _pattern_faults(network: Network, tree: ZoneTree, cut: Bools, *, branches: Branches) -> list[Fault]:
    """Return the faults of one pattern of open gates; those of parts only where the gates themselves fit."""
    faults = [*_gate_faults(network, tree, cut)]
    if faults:
        return faults
    closed = branches.closed & ~_gates(network, tree, cut)
    faults = [*_joint_faults(network, tree, cut, branches=branches, closed=closed)]
    return faults or [*_part_faults(network, tree, cut, branches=branches, closed=closed)]


def _gate_faults(network: Network, tree: ZoneTree, cut: Bools) -> Iterator[Fault]:
    known = set(network.elements)
    for row in np.flatnonzero(cut).tolist():
        zone = tree.zones[row]
        place = f"zone {zone.name}"
        strange = [name for name in zone.gate_elements if name not in known]
        if zone.parent is None:
            fix = "cut off a zone inside it"
            yield fault(network, place, True, reason="the bulk grid has no gate", fix=fix)
        elif strange:
            fix = "give the grid of these zones"
            yield fault(network, place, strange, reason="the grid has no such branch", fix=fix)
        elif not zone.gate_elements:
            reason, fix = "no branch joins it to its parent: nothing can be opened", "leave it uncut"
            yield fault(network, place, (), reason=reason, fix=fix)


def _joint_faults(
    network: Network, tree: ZoneTree, cut: Bools, *, branches: Branches, closed: Bools
) -> Iterator[Fault]:
    """Yield what joins an island to the rest beside its gate: switches, branches, sources."""
    label = _labels(network, tree, cut)
    first = _first_buses(network)
    at_node = label[first]
    for bus in np.flatnonzero(label != at_node[network.bus_node]).tolist():
        other = first[network.bus_node[bus]]
        joined = f"{network.buses[other]} and {network.buses[bus]}"
        reason = f"a closed switch joins {_apart(tree, label[other], label[bus])}"
        yield fault(network, f"bus {network.buses[bus]}", joined, reason=reason, fix=_FIX_JOINT)
    start, end = at_node[branches.start], at_node[branches.end]
    for row in np.flatnonzero(closed & (start != end)).tolist():
        reason = f"joins {_apart(tree, start[row], end[row])} and is no gate of a zone that is cut off"
        name = network.elements[row]
        yield fault(network, f"branch {name}", name, reason=reason, fix=_FIX_JOINT)
    for bus in network.sources.bus[label[network.sources.bus] >= 0].tolist():
        zone = tree.zones[label[bus]].name
        reason, fix = "the upstream grid feeds this bus, whatever gate is open", "leave the zone uncut"
        yield fault(network, f"zone {zone}", network.buses[bus], reason=reason, fix=fix)


_FIX_JOINT = "open it in the data, or let a gate hold it"


def _apart(tree: ZoneTree, one: int, other: int) -> str:
    names = ["the bulk grid" if at < 0 else f"island {tree.zones[at].name}" for at in (one, other)]
    return " and ".join(names)


def _first_buses(network: Network) -> Ints:
    return np.unique(network.bus_node, return_index=True)[1].astype(np.int64)


def _part_faults(
    network: Network, tree: ZoneTree, cut: Bools, *, branches: Branches, closed: Bools
) -> Iterator[Fault]:
    """Yield islands of several parts, and buses that lose their source."""
    first = _first_buses(network)
    label = _labels(network, tree, cut)[first]
    part = components(len(first), branches.start[closed], branches.end[closed])
    open_gates = ", ".join(tree.zones[row].name for row in np.flatnonzero(cut))
    for zone in np.unique(label[label >= 0]).tolist():
        parts, at = np.unique(part[label == zone], return_index=True)
        if len(parts) > 1:
            buses = tuple(network.buses[bus] for bus in first[label == zone][np.sort(at)])
            reason = "falls into parts that nothing joins; a bus of each is named"
            fix = "make each part a zone of its own, or close a switch between them"
            yield fault(network, f"island {tree.zones[zone].name}", buses, reason=reason, fix=fix)
    live = np.unique(part[network.bus_node[network.sources.bus]])
    for node in np.flatnonzero((label < 0) & ~np.isin(part, live)).tolist():
        bus = network.buses[first[node]]
        reason = f"no source feeds it while the gates of {open_gates} are open"
        fix = "put it into the zone through which it is fed"
        yield fault(network, f"bus {bus}", bus, reason=reason, fix=fix)
