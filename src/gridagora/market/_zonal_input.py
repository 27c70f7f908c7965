"""What zone markets are given: bids placed in zones, limits of gates; every fault at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.bids import Bids
from gridagora.model.numbers import read_numbers
from gridagora.model.zones import ZoneTree
from gridagora.units import WH_PER_KWH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TransferLimits = Mapping[str, float | tuple[float, float]]
"""What may pass the gate of a zone, kW: one number for both ways, or (import, export)."""

_SHOWN_NODES = 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ZonalInput:
    """Bids in zones: position of the zone and of the period of each bid, and limits in units of the bids.

    ``import_limit`` and ``export_limit`` (zones,) are energy per period; inf: no limit.
    """

    zone: Ints
    periods: Ints
    at: Ints
    import_limit: Floats
    export_limit: Floats


def zonal_input(
    bids: Bids,
    tree: ZoneTree,
    *,
    transfer_kw: TransferLimits | None,
    period_h: float,
    known: Sequence[Fault] = (),
) -> ZonalInput:
    """Place bids in zones and turn limits into energy per period; raises `InputError` with every fault.

    Whole quantities are Wh and others kWh; a limit that is no whole Wh is rounded down.  ``known`` are faults
    found before, told with the others.
    """
    limits, faults = _limits_of(tree, transfer_kw)
    zone, strangers = _zones_of(bids, tree)
    hours, found = read_numbers("zones", period_h=period_h)
    if not found and not (hours[0].ndim == 0 and 0 < hours[0] < np.inf):
        fix = "give hours above 0"
        found = [_fault("period_h", period_h, "is no length of a period", fix=fix)]
    check_faults([*known, *strangers, *_carrier_faults(bids), *faults, *found])
    both = np.full((2, len(tree.zones)), np.inf)
    for name, limit in limits.items():
        both[:, tree.position(name)] = limit
    energy = both * period_h
    if bids.is_integer:
        energy = np.floor(energy * WH_PER_KWH)
    periods, at = np.unique(bids.period, return_inverse=True)
    return ZonalInput(zone=zone, periods=periods, at=at, import_limit=energy[0], export_limit=energy[1])


def _zones_of(bids: Bids, tree: ZoneTree) -> tuple[Ints, list[Fault]]:
    """Return the position of each bid's zone: its node is the name of a zone or one of its buses."""
    if bids.node is None:
        if len(tree.zones) == 1 or len(bids) == 0:
            return np.full(len(bids), tree.root, dtype=np.int64), []
        fix = "give each bid its zone or bus as node"
        return np.zeros(0, dtype=np.int64), [_fault("column node", None, "bids stand in no zone", fix=fix)]
    known = {bus: tree.position(zone) for bus, zone in tree.zone_of_bus().items()}
    known |= {name: position for position, name in enumerate(tree.names)}
    nodes, which = np.unique(bids.node, return_inverse=True)
    place = np.array([known.get(str(node), -1) for node in nodes.tolist()], dtype=np.int64)
    reason, fix = "is no zone and no bus of one", "use a name of the tree, or a bus of its zones"
    strangers = nodes[place < 0].tolist()[:_SHOWN_NODES]
    return place[which], [_fault(f"node {node}", node, reason, fix=fix) for node in strangers]


def _carrier_faults(bids: Bids) -> Iterator[Fault]:
    names = [] if bids.carrier is None else sorted({str(name) for name in np.unique(bids.carrier)})
    if len(names) > 1:
        reason = "bids of several carriers cannot pass one gate"
        fix = "clear each carrier on its own: bids.take(bids.carrier == name)"
        yield _fault("column carrier", names, reason, fix=fix)


def _limits_of(tree: ZoneTree, given: object) -> tuple[dict[str, Floats], list[Fault]]:
    """Return the limits by zone, one or two numbers each, and their faults."""
    if given is None:
        return {}, []
    if not isinstance(given, Mapping):
        fix = "give kW by the names of zones"
        return {}, [_fault("transfer_kw", given, "is no table of limits", fix=fix)]
    limits: dict[str, Floats] = {}
    faults = []
    for name, value in given.items():
        place = f"transfer_kw {name}"
        if name not in tree:
            fix = f"use one of {tree.names[:9]}"
            faults.append(_fault(place, name, "there is no such zone", fix=fix))
        elif tree.zone(name).parent is None:
            faults.append(_fault(place, value, "the root has no gate", fix="leave it out"))
        (limit,), strange = read_numbers("zones", limit=value)
        if strange or not (limit >= 0).all() or limit.shape not in ((), (1,), (2,)):
            fix = "give kW >= 0, or (import, export)"
            faults.append(_fault(place, value, "is no limit", fix=fix))
        limits[str(name)] = limit
    return limits, faults


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="zones", place=place, value=value, reason=reason, fix=fix)
