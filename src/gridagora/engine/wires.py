"""The homes on their grid: power at connection points in, power flow and broken limits out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.grid import GridModel, PowerFlow, Violations, check_limits, participants_behind
from gridagora.grid.islands import IslandedFlow, IslandedGrid
from gridagora.grid.linear import linear_network
from gridagora.grid.linear_phases import linear_network_3ph, node_name
from gridagora.model.columns import Findings, Floats, Ints
from gridagora.model.linear_network import LinearNetwork
from gridagora.model.study import GridLimits, Study

KEPT_PERIODS = 96
"""Longest power flow that is kept to be asked for again: that of a session."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """Where homes stand in the linear network: names of its nodes, that of each home, that of the source.

    With phases a node is a bus and its phase, or a bus where a home loads all three.
    """

    names: tuple[str, ...]
    of_home: Ints
    slack: int

    def totals(self, values: Floats) -> Floats:
        """Sum values of homes, (periods, homes), at the nodes."""
        total = np.zeros((len(values), len(self.names)))
        np.add.at(total.T, self.of_home, np.ascontiguousarray(values.T))
        return total


class Wires:
    """A grid with the homes of a study on its buses.

    One home on one phase makes every power flow three-phase; homes without a phase then load all three alike.
    Where the study cuts a zone off, its gate is open (`gridagora.grid.islands`).

    Parameters
    ----------
    grid : the grid
    study : its homes and limits; homes' buses are ids of the grid
    """

    def __init__(self, grid: GridModel, study: Study) -> None:
        self.grid = grid
        self._limits = study.limits
        self._bus_of_participant = {home.participant: home.bus for home in study.homes}
        self._bus = np.array([grid.bus_position[home.bus] for home in study.homes], dtype=np.int64)
        self._phases = np.array([_phase_shares(home.phase) for home in study.homes])
        self._zones = study.zones
        self._islands = None if study.zones is None else IslandedGrid(grid, study.zones.tree)
        self._last: tuple[Floats, Floats, bytes, PowerFlow | IslandedFlow] | None = None
        self.three_phase = any(home.phase is not None for home in study.homes)
        self._points = list(dict.fromkeys((home.bus, home.phase) for home in study.homes))
        self._place = [self._points.index((home.bus, home.phase)) for home in study.homes]

    def flow(self, net_kw: Floats, net_kvar: Floats, first: int = 0) -> PowerFlow:
        """Calculate the power flow of net imports of homes, kW and kvar, (periods, homes), from ``first`` on.

        The last one is kept: what a market cleared on its wires is checked again as it stands.
        """
        found = self._kept(net_kw, net_kvar, cut=self._cut(first, len(net_kw)))
        return found.flow if isinstance(found, IslandedFlow) else found

    def flow_in(self, period: int, net_kw: Floats, net_kvar: Floats) -> PowerFlow:
        """Calculate the power flow of schedules tried for one period, kW and kvar, (tries, homes)."""
        cut = self._cut(period, 1)
        found = self._flow(net_kw, net_kvar, cut=None if cut is None else np.repeat(cut, len(net_kw), axis=0))
        return found.flow if isinstance(found, IslandedFlow) else found

    def formed_kw(self, net_kw: Floats, net_kvar: Floats, first: int = 0) -> Floats:
        """Return what the grid-forming source of each zone's island gives, kW, (periods, zones).

        As `IslandedFlow.formed_kw`, for the same power flow as `flow`; no columns in a study without zones.
        """
        found = self._kept(net_kw, net_kvar, cut=self._cut(first, len(net_kw)))
        if isinstance(found, IslandedFlow):
            return found.formed_kw
        return np.zeros((len(net_kw), 0 if self._zones is None else len(self._zones.tree.zones)))

    def _cut(self, first: int, count: int) -> Bools | None:
        """Return which gates are open, (periods, zones); None: none at all."""
        cut = None if self._zones is None else self._zones.cut[first : first + count]
        return None if cut is None or not cut.any() else cut

    def _kept(self, net_kw: Floats, net_kvar: Floats, *, cut: Bools | None) -> PowerFlow | IslandedFlow:
        gates = b"" if cut is None else cut.tobytes()
        if self._last is not None:
            kw, kvar, kept_gates, found = self._last
            if kept_gates == gates and np.array_equal(kw, net_kw) and np.array_equal(kvar, net_kvar):
                return found
        found = self._flow(net_kw, net_kvar, cut=cut)
        self._last = (net_kw.copy(), net_kvar.copy(), gates, found) if len(net_kw) <= KEPT_PERIODS else None
        return found

    def _flow(self, net_kw: Floats, net_kvar: Floats, *, cut: Bools | None) -> PowerFlow | IslandedFlow:
        if not self.three_phase:
            kw, kvar = self._at_buses(net_kw), self._at_buses(net_kvar)
            if cut is None or self._islands is None:
                return self.grid.power_flow(kw, kvar)
            return self._islands.power_flow(kw, kvar, cut=cut)
        kw, kvar = (
            np.stack([self._at_buses(values * self._phases[:, k]) for k in range(3)], axis=2)
            for values in (net_kw, net_kvar)
        )
        if cut is None or self._islands is None:
            return self.grid.power_flow_3ph(kw, kvar, zero_sequence="assume")
        return self._islands.power_flow_3ph(kw, kvar, cut=cut, zero_sequence="assume")

    def _at_buses(self, values: Floats) -> Floats:
        total = np.zeros((len(values), len(self.grid.buses)))
        np.add.at(total.T, self._bus, np.ascontiguousarray(values.T))
        return total

    def check_schedule(self, first: int, net_kw: Floats, net_kvar: Floats) -> Findings:
        """Check a cleared schedule from period ``first`` on: what limits it breaks, and who stands behind."""
        return self.check(self.flow(net_kw, net_kvar, first), net_kw, first=first)

    @property
    def nodes(self) -> Nodes:
        """Where the homes stand in the networks of `linear`."""
        slack = int(self.grid.network.sources.bus[0])
        if not self.three_phase:
            return Nodes(names=self.grid.buses, of_home=self._bus, slack=slack)
        names = (*(node_name(*point) for point in self._points), self.grid.buses[slack])
        return Nodes(names=names, of_home=np.array(self._place, dtype=np.int64), slack=len(names) - 1)

    def linear(
        self, net_kw: Floats, net_kvar: Floats, *, limits: GridLimits, losses: bool = False
    ) -> LinearNetwork:
        """Return the grid as a market sees it around net imports of homes, kW and kvar, (1, homes)."""
        if not self.three_phase:
            return linear_network(self.grid, self.flow(net_kw, net_kvar), limits=limits, losses=losses)
        at = self.nodes
        kw, kvar = (at.totals(values)[:, :-1] for values in (net_kw, net_kvar))
        return linear_network_3ph(self.grid, kw, kvar, points=self._points, limits=limits, losses=losses)

    def check(
        self, flow: PowerFlow, net_kw: Floats, *, first: int = 0, limits: GridLimits | None = None
    ) -> Findings:
        """Return the limits that a power flow breaks, with the homes behind each; default: the study's."""
        found = check_limits(flow, self._limits if limits is None else limits)
        behind = np.full(len(found), "", dtype=object)
        for grid, rows in self._grids(found, first=first, count=len(flow)):
            part = Violations(
                **{name: getattr(found, name)[rows] for name in Violations.__dataclass_fields__}
            )
            behind[rows] = participants_behind(
                part, grid, bus_of_participant=self._bus_of_participant, net_kw=net_kw
            )
        return Findings(
            converged=flow.converged,
            period=found.period + first,
            kind=tuple(found.kind.tolist()),
            element=tuple(found.element.tolist()),
            value=found.value,
            limit=found.limit,
            participants=tuple(behind.tolist()),
        )

    def _grids(self, found: Violations, *, first: int, count: int) -> Iterator[tuple[GridModel, Ints]]:
        """Yield the grid as it stands in the periods of some broken limits, with their rows."""
        cut = self._cut(first, count)
        if cut is None or self._islands is None:
            if len(found):
                yield self.grid, np.arange(len(found))
            return
        patterns, pattern = np.unique(cut[found.period], axis=0, return_inverse=True)
        for number, gates in enumerate(patterns):
            yield self._islands.at(gates), np.flatnonzero(pattern.reshape(-1) == number)


def _phase_shares(phase: int | None) -> list[float]:
    return [1 / 3] * 3 if phase is None else [float(k == phase) for k in (1, 2, 3)]
