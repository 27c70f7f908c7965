"""The zones of a study: found in the grid or read from a table, their gates, limits and islands.

Every fault of the section ``zones`` and of its files is told with the key or the row in which it stands.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.files import read_gate_series
from gridagora.adapters.tables import RawTable, column_faults, read_table
from gridagora.errors import Fault, InputError
from gridagora.grid.island_parts import island_obstacles
from gridagora.grid.zones import gate_limits_kw, zones_by_distance, zones_from_feeders, zones_from_table
from gridagora.model.network import Network
from gridagora.model.resources import Home
from gridagora.model.time import TimeAxis
from gridagora.model.zone_study import ZoneRules
from gridagora.model.zones import DSO, Zone, ZoneTree
from gridagora.scenario.district import HomePlan
from gridagora.scenario.spec import ScenarioSpec
from gridagora.scenario.spec_zones import GateLimitSpec, ZonesSpec, ZoneWindowSpec
from gridagora.scenario.suggest import near
from gridagora.scenario.zones import ZoneWindows, controller_bounds, gate_loading_percent, zone_windows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_SIDES = ("import_kw", "export_kw")
_LISTED = 12
"""Zones that are all named where none is near."""

_KEYS = {"sources": "zones.sources", "zones": "zones.count"}
"""Keys of the scenario by the arguments of the functions that find zones."""

_ROW = re.compile(r"\brow (\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyZones:
    """The zones of a study but for its homes: see `gridagora.model.zone_study.ZoneRules`."""

    tree: ZoneTree
    import_kw: Floats
    export_kw: Floats
    cut: Bools

    def rules(self, spec: ScenarioSpec, homes: Iterable[Home]) -> ZoneRules:
        """Return the rules of a study with these homes, all at buses of the grid."""
        zones, of_bus = spec.zones or ZonesSpec(), self.tree.zone_of_bus()
        return ZoneRules(
            tree=self.tree,
            of_home=np.array([self.tree.position(of_bus[home.bus]) for home in homes], dtype=np.int64),
            import_kw=self.import_kw,
            export_kw=self.export_kw,
            cut=self.cut,
            **controller_bounds(zones.controllers),
        )


def study_zones(
    spec: ScenarioSpec, network: Network, plans: Sequence[HomePlan], *, axis: TimeAxis, faults: list[Fault]
) -> StudyZones | None:
    """Return the zones that a scenario asks for, or None and every fault of them in ``faults``.

    Parameters
    ----------
    spec : a scenario with the section ``zones``
    network : its grid
    plans : its homes; those with generation or a battery are sources unless the scenario names others
    axis : its periods
    faults : takes the faults
    """
    zones, before = spec.zones or ZonesSpec(), len(faults)
    windows, found = zone_windows(spec, axis)
    faults += found
    series = [_series(entry, axis, faults) for entry in zones.limits]
    tree = _tree(spec, network, plans, faults=faults)
    if tree is None:
        return None
    faults += _name_faults(spec, zones, tree)
    if len(faults) > before:
        return None
    cut = _cut(zones, tree, windows.islands, periods=axis.periods)
    faults += _island_faults(spec, network, tree, cut=cut)
    if len(faults) > before:
        return None
    imports, exports = _rooms(spec, network, tree, windows=windows, series=series, periods=axis.periods)
    return StudyZones(tree=tree, import_kw=imports, export_kw=exports, cut=cut)


def _tree(
    spec: ScenarioSpec, network: Network, plans: Sequence[HomePlan], *, faults: list[Fault]
) -> ZoneTree | None:
    """Find the zones in the way that the scenario chose."""
    zones = spec.zones or ZonesSpec()
    if zones.origin == "table":
        return None if zones.file is None else _from_table(zones.file, network, faults)
    if zones.origin == "distance":
        if zones.count is None:
            return None
        find: Callable[[], ZoneTree] = partial(zones_by_distance, network, zones=zones.count)
    else:
        sources = _sources(spec, network, plans, faults=faults)
        if sources is None:
            return None
        find = partial(zones_from_feeders, network, sources=sources, lv_feeders=zones.lv_feeders)
    try:
        return find()
    except InputError as error:
        faults.extend(_of_key(fault, spec) for fault in error.faults)
        return None


def _of_key(fault: Fault, spec: ScenarioSpec) -> Fault:
    """Let a fault of an argument stand at its key; one of the grid stays at its element."""
    if fault.place == "sources":
        fix = "name buses with generation or a battery under zones.sources, or write from: distance"
        return replace(fault, source=spec.origin, place=_KEYS["sources"], fix=fix)
    key = _KEYS.get(fault.place)
    return fault if key is None else replace(fault, source=spec.origin, place=key)


def _sources(
    spec: ScenarioSpec, network: Network, plans: Sequence[HomePlan], *, faults: list[Fault]
) -> list[str] | None:
    """Return the buses with a source of energy, or None where a named one is not there."""
    zones, known = spec.zones or ZonesSpec(), set(network.buses)
    if zones.sources is None:
        own = [plan.bus for plan in plans if plan.pv_kwp > 0 or plan.battery_kwh > 0]
        return [bus for bus in dict.fromkeys(own) if bus in known]
    wrong = [(at, bus) for at, bus in enumerate(zones.sources) if bus not in known]
    for at, bus in wrong:
        fix = _near_bus(bus, network)
        place = f"zones.sources.{at}"
        faults.append(
            Fault(source=spec.origin, place=place, value=bus, reason="is no bus of the grid", fix=fix)
        )
    return None if wrong else list(zones.sources)


def _near_bus(bus: str, network: Network) -> str:
    some = ", ".join(network.buses[:3])
    return near(bus, network.buses) or f"use one of {len(network.buses)} buses, e.g. {some}"


def _from_table(path: Path, network: Network, faults: list[Fault]) -> ZoneTree | None:
    """Read the zones of a table; faults tell the rows of the file."""
    table, found = read_table(path, text=True)
    if table is not None:
        found = column_faults(table, ("bus", "zone", "parent"))
    faults += found
    if table is None or found:
        return None
    try:
        return zones_from_table(network, table.frame)
    except InputError as error:
        faults.extend(_in_row(fault, table, network) for fault in error.faults)
        return None


def _in_row(fault: Fault, table: RawTable, network: Network) -> Fault:
    """Let a fault of a bus or a zone stand at the row of the file that names it."""

    def row(match: re.Match[str]) -> str:
        return f"row {table.rows[int(match[1])]}"

    place, reason, fix = _ROW.sub(row, fault.place), _ROW.sub(row, fault.reason), fault.fix
    for column, kind in (("bus", "bus "), ("zone", "zone ")):
        name = fault.place.removeprefix(kind)
        lines = np.flatnonzero(table.frame[column].str.strip() == name)
        if fault.place.startswith(kind) and len(lines):
            place = f"row {table.rows[lines[0]]}, column {column}"
            if column == "bus" and name not in network.buses:
                fix = _near_bus(name, network)
    return replace(fault, source=table.source, place=place, reason=reason, fix=fix)


def _name_faults(spec: ScenarioSpec, zones: ZonesSpec, tree: ZoneTree) -> list[Fault]:
    """Tell limits and islands of zones that are not there, or that have no gate to open."""
    named = [("limits", at, entry) for at, entry in enumerate(zones.limits)]
    listed: list[tuple[str, int, ZoneWindowSpec]] = [
        *named,
        *(("islands", at, entry) for at, entry in enumerate(zones.islands)),
    ]
    faults = []
    for key, at, entry in listed:
        reason, fix = _objection(key, entry.zone, tree)
        if reason:
            place = f"zones.{key}.{at}.zone"
            faults.append(Fault(source=spec.origin, place=place, value=entry.zone, reason=reason, fix=fix))
    return faults


def _objection(key: str, name: str, tree: ZoneTree) -> tuple[str, str]:
    """Say why a zone cannot be limited or islanded, and what to write; empty where it can."""
    if name not in tree:
        gated = [zone.name for zone in tree.zones if _gated(zone, key)]
        some = ", ".join(gated[:_LISTED]) + (f" and {len(gated) - _LISTED} more" * (len(gated) > _LISTED))
        return "is no zone of this study", near(name, gated) or f"use one of {some}"
    zone = tree.zone(name)
    if zone.parent is None and key == "islands":
        return "is the bulk grid, which has nothing above it to be cut off from", "name a zone inside it"
    if zone.parent is None:
        fix = "write market.import_limit_kw and market.export_limit_kw for what the retailer sells and buys"
        return "is the bulk grid, which has no gate", fix
    if zone.level == DSO and key == "islands":
        reason = (
            "is the operator's: cut off, no zone would have a bulk grid, and nobody could approve a trade"
        )
        return reason, "name a zone inside it, or run another mechanism with market: {islanded: true}"
    return "", ""


def _gated(zone: Zone, key: str) -> bool:
    """Tell whether a zone can be limited or islanded."""
    return zone.parent is not None and (key == "limits" or zone.level != DSO)


def _cut(zones: ZonesSpec, tree: ZoneTree, windows: Iterable[slice | None], *, periods: int) -> Bools:
    """Return when the gate of each zone is open."""
    cut = np.zeros((periods, len(tree.zones)), dtype=bool)
    for entry, window in zip(zones.islands, windows, strict=True):
        if window is not None:
            cut[window, tree.position(entry.zone)] = True
    return cut


def _island_faults(spec: ScenarioSpec, network: Network, tree: ZoneTree, *, cut: Bools) -> list[Fault]:
    """Tell islands that do not hang together, or whose gate does not cut them off."""
    free = np.zeros(cut.shape)
    homeless = np.zeros(0, dtype=np.int64)
    rules = ZoneRules(tree=tree, of_home=homeless, import_kw=free, export_kw=free, cut=cut)
    why: dict[str, str] = {}
    for island in np.unique(rules.islands(0, len(cut)), axis=0):
        why |= island_obstacles(network, tree, island)
    listed = (spec.zones or ZonesSpec()).islands
    fix = "choose another zone, or draw the zones otherwise (zones.from, zones.sources)"
    return [
        Fault(
            source=spec.origin,
            place=f"zones.islands.{at}.zone",
            value=entry.zone,
            reason=f"cannot be an island: {why[entry.zone]}",
            fix=fix,
        )
        for at, entry in enumerate(listed)
        if entry.zone in why
    ]


def _series(entry: GateLimitSpec, axis: TimeAxis, faults: list[Fault]) -> dict[str, Any]:
    """Return what may pass a gate by direction: numbers of the scenario or series of its file, kW."""
    if entry.file is not None:
        columns, found = read_gate_series(entry.file, axis, timezone=entry.timezone)
        faults += found
        return dict(columns)
    return {side: getattr(entry, side) for side in _SIDES if getattr(entry, side) is not None}


def _rooms(
    spec: ScenarioSpec,
    network: Network,
    tree: ZoneTree,
    *,
    windows: ZoneWindows,
    series: Sequence[dict[str, Any]],
    periods: int,
) -> tuple[Floats, Floats]:
    """Return what may pass each gate: its rating, or the lowest of the limits that hold; (periods, zones)."""
    zones = spec.zones or ZonesSpec()
    rated = np.full(len(tree.zones), np.inf)
    if zones.gates == "ratings":
        kw = gate_limits_kw(network, tree, loading_percent=gate_loading_percent(spec, zones))
        rated = np.array([kw.get(name, np.inf) for name in tree.names])
    told = {side: np.full((periods, len(rated)), np.inf) for side in _SIDES}
    holds = {side: np.zeros((periods, len(rated)), dtype=bool) for side in _SIDES}
    for entry, window, values in zip(zones.limits, windows.limits, series, strict=True):
        at = tree.position(entry.zone)
        for side, value in values.items():
            limit = np.broadcast_to(value, periods)[window]
            told[side][window, at] = np.minimum(told[side][window, at], limit)
            holds[side][window, at] = True
    imports, exports = (np.where(holds[side], told[side], rated) for side in _SIDES)
    return imports, exports
