"""The homes on their grid: power at connection points in, power flow and broken limits out."""

from dataclasses import dataclass

import numpy as np

from gridagora.grid import GridModel, PowerFlow, check_limits, participants_behind
from gridagora.grid.linear import linear_network
from gridagora.grid.linear_phases import linear_network_3ph, node_name
from gridagora.model.columns import Findings, Floats, Ints
from gridagora.model.linear_network import LinearNetwork
from gridagora.model.study import GridLimits, Study

KEPT_PERIODS = 96
"""Longest power flow that is kept to be asked for again: that of a session."""


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
        self._last: tuple[Floats, Floats, PowerFlow] | None = None
        self.three_phase = any(home.phase is not None for home in study.homes)
        self._points = list(dict.fromkeys((home.bus, home.phase) for home in study.homes))
        self._place = [self._points.index((home.bus, home.phase)) for home in study.homes]

    def flow(self, net_kw: Floats, net_kvar: Floats) -> PowerFlow:
        """Calculate the power flow of net imports of homes, kW and kvar, shape (periods, homes).

        The last one is kept: what a market cleared on its wires is checked again as it stands.
        """
        last = self._last
        if last is not None and np.array_equal(last[0], net_kw) and np.array_equal(last[1], net_kvar):
            return last[2]
        flow = self._flow(net_kw, net_kvar)
        self._last = (net_kw.copy(), net_kvar.copy(), flow) if len(net_kw) <= KEPT_PERIODS else None
        return flow

    def _flow(self, net_kw: Floats, net_kvar: Floats) -> PowerFlow:
        if not self.three_phase:
            return self.grid.power_flow(self._at_buses(net_kw), self._at_buses(net_kvar))
        kw, kvar = (
            np.stack([self._at_buses(values * self._phases[:, k]) for k in range(3)], axis=2)
            for values in (net_kw, net_kvar)
        )
        return self.grid.power_flow_3ph(kw, kvar, zero_sequence="assume")

    def _at_buses(self, values: Floats) -> Floats:
        total = np.zeros((len(values), len(self.grid.buses)))
        np.add.at(total.T, self._bus, np.ascontiguousarray(values.T))
        return total

    def check_schedule(self, first: int, net_kw: Floats, net_kvar: Floats) -> Findings:
        """Check a cleared schedule from period ``first`` on: what limits it breaks, and who stands behind."""
        return self.check(self.flow(net_kw, net_kvar), net_kw, first=first)

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
        behind: tuple[str, ...] = ()
        if len(found):
            names = participants_behind(
                found, self.grid, bus_of_participant=self._bus_of_participant, net_kw=net_kw
            )
            behind = tuple(names.tolist())
        return Findings(
            converged=flow.converged,
            period=found.period + first,
            kind=tuple(found.kind.tolist()),
            element=tuple(found.element.tolist()),
            value=found.value,
            limit=found.limit,
            participants=behind,
        )


def _phase_shares(phase: int | None) -> list[float]:
    return [1 / 3] * 3 if phase is None else [float(k == phase) for k in (1, 2, 3)]
