"""Power flow of a grid while the gates of some zones are open.

A zone whose gate is open is an island, with the zones inside it that have no open gate of their own.  In an
island a grid-forming source holds the voltage: `HEAD_PU` at its head, the bus at which its gate ends, without
limit of power.  What the island lacks or has left over passes that source, and is told.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid._zone_parts import fault
from gridagora.grid.admittance import branches_of
from gridagora.grid.flow import PowerFlow
from gridagora.grid.island_parts import island_obstacles
from gridagora.grid.model import GridModel
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
    tree : its zones and their gates; every bus is in one

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
            When shapes do not fit, a value is not finite, or a zone cannot be an island.
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
            check_faults(_obstacle_faults(network, tree, cut))
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
    label = islands_of(tree, cut[None])[0][_zones_of_buses(network, tree)]
    opened = _across(network, label)
    lines, transformers, sources = network.lines, network.transformers, network.sources
    of_line, of_transformer = ~opened[: len(lines)], ~opened[len(lines) :]
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


def _zones_of_buses(network: Network, tree: ZoneTree) -> Ints:
    of_bus = tree.zone_of_bus()
    return np.array([tree.position(of_bus[bus]) for bus in network.buses], dtype=np.int64)


def _across(network: Network, label: Ints) -> Bools:
    """Tell which closed branches lead from one label of a bus to another: those of open gates."""
    branches = branches_of(network)
    at_node = np.empty(len(network.node_kv), dtype=np.int64)
    at_node[network.bus_node] = label
    return np.asarray(branches.closed & (at_node[branches.start] != at_node[branches.end]))


def _head(network: Network, label: Ints, opened: Bools, *, zone: int, tree: ZoneTree) -> int:
    """Return the bus of an island at which its gate ends; of a gate elsewhere, another open branch."""
    own = np.isin(np.array(network.elements, dtype=np.str_), tree.zones[zone].gate_elements)
    ends = np.concatenate([_ends(network, own & opened), _ends(network, opened)])
    return int(ends[label[ends] == zone][0])


def _ends(network: Network, rows: Bools) -> Ints:
    """Return the buses at both ends of some closed branches, the lower end first."""
    lines, transformers = network.lines, network.transformers
    ends = (lines.to_bus, transformers.lv_bus), (lines.from_bus, transformers.hv_bus)
    return np.stack([np.concatenate(columns) for columns in ends], axis=1)[rows].reshape(-1)


def _obstacle_faults(network: Network, tree: ZoneTree, cut: Bools) -> list[Fault]:
    found = island_obstacles(network, tree, islands_of(tree, cut[None])[0])
    fix = "choose another zone, or draw the zones otherwise"
    return [
        fault(network, f"zone {name}", True, reason=f"cannot be an island: {why}", fix=fix)
        for name, why in found.items()
    ]


def _shape_faults(network: Network, tree: ZoneTree, cut: Bools, *, periods: int) -> list[Fault]:
    shape = (periods, len(tree.zones))
    if cut.shape == shape:
        return []
    return [
        fault(network, "cut", cut.shape, reason="does not fit", fix=f"give shape {shape}: periods, zones")
    ]
