"""The wires as controllers of zones watch them: whether a trade may be added to what was approved so far."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gridagora.engine.wires import Wires
from gridagora.grid import PowerFlow, check_limits
from gridagora.model.columns import Floats, Ints
from gridagora.model.study import GridLimits
from gridagora.model.zones import ZoneTree

AHEAD = 16
"""Trades that are tried in one power flow, each on top of those before it."""
WORSE = 1e-6
"""Relative change of a value beyond its limit that counts: less is the accuracy of a power flow."""

Broken = dict[tuple[str, str], tuple[float, float]]
ZoneOf = Mapping[tuple[bool, str], int]
"""Position of the zone of a bus (True, name) or a branch (False, name)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objection:
    """A limit that a trade would break, or break further: the zone in which it stands, and the words."""

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
    """Watches one period: knows the schedule approved so far, and tells what the next trade would break.

    Trades are asked in their order, and each is then approved or not.  A period whose schedule with all its
    trades breaks nothing needs a single power flow.

    Parameters
    ----------
    wires, zone_of : the grid, and the zone of each element and bus in it
    limits : of voltages and loadings
    period : period of the study
    base_kw, kvar : net import of homes before any trade, and of reactive power, shape (homes,)
    changes : the trades of the period
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
        changes: Changes,
    ) -> None:
        self._wires, self._zone_of, self._limits = wires, zone_of, limits
        self._period, self._kvar, self._changes = period, kvar, changes
        self._now = base_kw.copy()
        self._count = len(changes.buyer)
        self._safe = 0
        self._bad: dict[int, Objection] = {}
        flow = self._flow(np.array([base_kw]))
        self._base = _broken(flow, limits)[0]
        self._solved = bool(flow.converged[0])

    def objection(self, trade: int) -> Objection | None:
        """Tell what the next trade would break on top of what was approved; None: nothing."""
        if trade >= self._safe and trade not in self._bad:
            self._look_ahead(trade)
        return self._bad.get(trade)

    def approve(self, trade: int) -> None:
        """Add a trade to the schedule."""
        self._add(self._now, trade)

    def refuse(self, trade: int) -> None:
        """Leave a trade out: what was found about later ones rested on it."""
        self._safe = trade + 1
        self._bad = {}

    def objection_to(self, seller: int, kw: float) -> Objection | None:
        """Tell what it would break if a home gave so much more, kW, on top of what was approved."""
        net = self._now.copy()
        net[seller] -= kw
        flow = self._flow(net[None])
        return self._worse(flow, _broken(flow, self._limits), 0)

    def supply(self, seller: int, kw: float) -> None:
        """Add what a home gives, kW, beside the trades that are asked; what was found before is void."""
        self._now[seller] -= kw
        self._bad = {}
        self._safe = 0

    def _look_ahead(self, trade: int) -> None:
        """Try the next trades one on top of the other, and all that are left at once."""
        last = min(trade + AHEAD, self._count)
        tried, net = [], self._now.copy()
        for number in range(trade, self._count):
            self._add(net, number)
            if number < last:
                tried.append(net.copy())
        flow = self._flow(np.array([*tried, net]))
        broken = _broken(flow, self._limits)
        if self._worse(flow, broken, len(tried)) is None:
            self._safe = self._count
            return
        for place in range(len(tried)):
            found = self._worse(flow, broken, place)
            if found is not None:
                self._safe, self._bad[trade + place] = trade + place, found
                return
        self._safe = last

    def _add(self, net_kw: Floats, trade: int) -> None:
        changes = self._changes
        if changes.buyer[trade] >= 0:
            net_kw[changes.buyer[trade]] += changes.buyer_kw[trade]
        if changes.seller[trade] >= 0:
            net_kw[changes.seller[trade]] -= changes.seller_kw[trade]

    def _flow(self, net_kw: Floats) -> PowerFlow:
        kvar = np.broadcast_to(self._kvar, net_kw.shape)
        return self._wires.flow_in(self._period, net_kw, np.ascontiguousarray(kvar))

    def _worse(self, flow: PowerFlow, broken: list[Broken], row: int) -> Objection | None:
        """Return the first limit that a row of a power flow breaks, or breaks further than the base."""
        if not flow.converged[row]:
            reason = "the power flow has no solution with it"
            return Objection(zone=-1, reason=reason) if self._solved else None
        for (kind, element), (value, limit) in broken[row].items():
            before = self._base.get((kind, element))
            if not self._solved or (before is not None and not _is_further(value, before)):
                continue
            told = f"{value:.4f} pu" if kind.startswith("voltage") else f"{value:.2f} %"
            shown = f"{kind.replace('_', ' ')} of {element} {told}, limit {limit:g}"
            return Objection(zone=self._zone_of[kind.startswith("voltage"), element], reason=shown)
        return None


def _is_further(value: float, before: tuple[float, float]) -> bool:
    was, limit = before
    return abs(value - limit) > abs(was - limit) + WORSE * abs(limit)


def _broken(flow: PowerFlow, limits: GridLimits) -> list[Broken]:
    """Return the limits that each row of a power flow breaks: (kind, element) -> value, limit."""
    found = check_limits(flow, limits)
    rows: list[Broken] = [{} for _ in range(len(flow.converged))]
    columns = (found.period, found.kind, found.element, found.value, found.limit)
    for row, kind, element, value, limit in zip(*(column.tolist() for column in columns), strict=True):
        if kind != "not_converged":
            rows[row][kind, element] = (value, limit)
    return rows


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
