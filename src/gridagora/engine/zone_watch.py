"""The wires as controllers of zones watch them: which trades of a period go beyond what they bear.

A limit counts where the trades break it, or break it further than load that must run does anyway.  Those
trades are refused that weigh most on it for each kW, as a power flow around the schedule tells: a sale next
to a bus with high voltage before one at the other end of the grid, a sale to a neighbour after one that
leaves.  The schedule that is left goes through the power flow again, until nothing is worse than before.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gridagora.engine.wires import Wires
from gridagora.grid import PowerFlow, check_limits
from gridagora.model.columns import Floats, Ints
from gridagora.model.study import GridLimits
from gridagora.model.zones import ZoneTree

WORSE = 1e-6
"""Relative change of a value beyond its limit that counts: less is the accuracy of a power flow."""
STEP_KW = 1.0
"""Change of a home's net import by which its weight on a limit is measured."""
UNSOLVED = "the power flow has no solution with all that was bought"

Broken = dict[tuple[str, str], tuple[float, float]]
ZoneOf = Mapping[tuple[bool, str], int]
"""Position of the zone of a bus (True, name) or a branch (False, name)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objection:
    """A limit that a trade helps to break: the zone in which it stands (-1: none), and the words."""

    zone: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What trades would change, in their order: kW more import of the buyer, less of the seller; -1: no home.

    ``buyer_kw`` is 0 for load that runs whether or not it is traded.
    """

    buyer: Ints
    seller: Ints
    buyer_kw: Floats
    seller_kw: Floats


class Watch:
    """Watches the wires in one period.

    Parameters
    ----------
    wires, zone_of : the grid, and the zone of each element and bus in it
    limits : of voltages and loadings
    period : period of the study
    base_kw, kvar : net import of homes before any trade, and of reactive power, shape (homes,)
    """

    def __init__(
        self,
        wires: Wires,
        zone_of: ZoneOf,
        *,
        limits: GridLimits,
        period: int,
        base_kw: Floats,
        kvar: Floats,
    ) -> None:
        self._wires, self._zone_of, self._limits = wires, zone_of, limits
        self._period, self._kvar = period, kvar
        flow = self._flow(base_kw[None])
        self._base = _broken(flow, limits)
        self._solved = bool(flow.converged[0])

    def worse(self, net_kw: Floats) -> Broken | None:
        """Return what a schedule breaks beyond the load that must run; None: it has no power flow at all."""
        flow = self._flow(net_kw[None])
        if not self._solved:
            return {}  # where load alone has no power flow, any schedule is as good
        if not flow.converged[0]:
            return None
        found = _broken(flow, self._limits)
        return {place: value for place, value in found.items() if self._is_worse(place, value[0])}

    def refusals(
        self, broken: Broken | None, net_kw: Floats, changes: Changes, *, approved: Ints
    ) -> dict[int, Objection]:
        """Return the trades to be refused, and why, so that a schedule no longer breaks these limits.

        Parameters
        ----------
        broken : what `worse` found for it
        net_kw : the schedule, shape (homes,)
        changes : of all trades of the period
        approved : places of those that are in the schedule
        """
        if not len(approved):
            return {}
        if broken is None:
            late = approved[len(approved) // 2 :]
            return {place: Objection(zone=-1, reason=UNSOLVED) for place in late.tolist()}
        weights = self._weights(net_kw, changes, list(broken), approved=approved)
        refused: dict[int, Objection] = {}
        for k, (place, (value, limit)) in enumerate(broken.items()):
            allowed = self._base.get(place, (limit, limit))[0]
            excess = abs(value - allowed) - sum(weights[k, approved == one].sum() for one in refused)
            for at in _heaviest_first(weights[k], changes, approved):
                if excess <= 0:
                    break
                number = int(approved[at])
                if number not in refused:
                    refused[number] = self._objection(place, value, limit=limit)
                    excess -= weights[k, at]
        return refused

    def _weights(
        self, net_kw: Floats, changes: Changes, places: list[tuple[str, str]], *, approved: Ints
    ) -> Floats:
        """Return by how much each approved trade moves each broken value further beyond its limit."""
        homes = np.unique(np.concatenate([changes.buyer[approved], changes.seller[approved]]))
        homes = homes[homes >= 0]
        tried = np.repeat(net_kw[None], len(homes) + 1, axis=0)
        tried[np.arange(len(homes)), homes] += STEP_KW
        flow = self._flow(tried)
        slope = np.zeros((len(places), len(net_kw) + 1))
        for k, (kind, element) in enumerate(places):
            values = _values(flow, kind, element)
            slope[k, homes] = (values[:-1] - values[-1]) / STEP_KW * (-1.0 if kind == "voltage_low" else 1.0)
        slope = np.nan_to_num(slope)
        bought = slope[:, changes.buyer[approved]] * changes.buyer_kw[approved]
        sold = slope[:, changes.seller[approved]] * changes.seller_kw[approved]
        return np.asarray(bought - sold)

    def _flow(self, net_kw: Floats) -> PowerFlow:
        kvar = np.broadcast_to(self._kvar, net_kw.shape)
        return self._wires.flow_in(self._period, net_kw, np.ascontiguousarray(kvar))

    def _is_worse(self, place: tuple[str, str], value: float) -> bool:
        if place not in self._base:
            return True
        was, limit = self._base[place]
        return abs(value - limit) > abs(was - limit) + WORSE * abs(limit)

    def _objection(self, place: tuple[str, str], value: float, *, limit: float) -> Objection:
        kind, element = place
        voltage = kind.startswith("voltage")
        told = f"{value:.4f} pu" if voltage else f"{value:.2f} %"
        reason = f"{kind.replace('_', ' ')} of {element} would be {told}, limit {limit:g}"
        return Objection(zone=self._zone_of[voltage, element], reason=reason)


def _heaviest_first(weight: Floats, changes: Changes, approved: Ints) -> list[int]:
    """Return the places of trades that weigh on a limit: most per kW first, of equal ones the last."""
    size = np.maximum(changes.buyer_kw, changes.seller_kw)[approved]
    heavy = np.flatnonzero((weight > 0) & (size > 0))
    per_kw = np.round(weight[heavy] / size[heavy], 12)
    return [int(at) for at in heavy[np.lexsort((-heavy, -per_kw))]]


def _values(flow: PowerFlow, kind: str, element: str) -> Floats:
    """Return the value that a limit is about, in each row of a power flow."""
    if kind.endswith("_loading"):
        return np.asarray(flow.loading_percent[:, flow.elements.index(element)])
    values = flow.vm_min_pu if kind == "voltage_low" else flow.vm_max_pu
    return np.asarray(values[:, flow.buses.index(element)])


def _broken(flow: PowerFlow, limits: GridLimits) -> Broken:
    """Return the limits that a power flow of one row breaks: (kind, element) -> value, limit."""
    found = check_limits(flow, limits)
    columns = (found.kind, found.element, found.value, found.limit)
    listed = zip(*(column.tolist() for column in columns), strict=True)
    return {
        (kind, element): (value, limit) for kind, element, value, limit in listed if kind != "not_converged"
    }


def zones_of_elements(tree: ZoneTree, wires: Wires) -> dict[tuple[bool, str], int]:
    """Return the zone of each bus and each branch; a gate is watched by the zone that it leads to."""
    network = wires.grid.network
    of_bus = {bus: tree.position(name) for bus, name in tree.zone_of_bus().items()}
    found = {(True, bus): of_bus.get(bus, tree.root) for bus in network.buses}
    start = [*network.lines.from_bus.tolist(), *network.transformers.lv_bus.tolist()]
    for element, bus in zip(network.elements, start, strict=True):
        found[False, element] = found[True, network.buses[bus]]
    for at, zone in enumerate(tree.zones):
        found.update({(False, element): at for element in zone.gate_elements})
    return found
