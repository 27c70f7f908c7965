"""What zone markets are given: bids placed in zones, limits of gates; every fault at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.bids import Bids
from gridagora.model.numbers import read_numbers
from gridagora.model.zones import ZoneTree
from gridagora.units import WH_PER_KWH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHOWN = 20
"""How many faults of one kind are told."""

_ROUNDING = 1 + 1e-14
"""Keeps a limit of whole Wh whole: 1.001 kW are 1,000.9999999999999 Wh in floats."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GateLimits:
    """What may pass the gates of zones where that changes over time.

    Parameters
    ----------
    period : ids of periods, each once; more than those of the bids may be there
    import_kw, export_kw : kW >= 0, inf: no limit, (periods, zones): rows as ``period``, columns as the zones
        of the tree; what is said of the root is not used

    Notes
    -----
    They are checked where they are used, together with the bids.

    Examples
    --------
    >>> from gridagora.market.zonal import hierarchical_clearing
    >>> from gridagora.model.zones import Zone
    >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
    ...                        Zone(name="west", level="lv", parent="bulk", buses=("w",))))
    >>> bids = Bids(side=["sell", "buy"] * 2, price=[0.1, 0.3] * 2, quantity=[5.0] * 4, period=[7, 7, 8, 8],
    ...             node=["bulk", "west"] * 2)
    >>> kw = [[np.inf, 1.0], [np.inf, 2.0]]
    >>> limits = GateLimits(period=[7, 8], import_kw=kw, export_kw=kw)
    >>> hierarchical_clearing(bids, tree, transfer_kw=limits).imports[:, 1].tolist()
    [1.0, 2.0]
    """

    period: ArrayLike
    import_kw: ArrayLike
    export_kw: ArrayLike


TransferLimits = Mapping[str, float | tuple[float, float]] | GateLimits
"""What may pass the gate of a zone, kW: one number for both ways, or (import, export); or over time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ZonalInput:
    """Bids in zones: position of the zone and of the period of each bid, and limits in units of the bids.

    ``import_limit`` and ``export_limit`` are energy per period, (periods, zones), or (1, zones) where they
    do not change; inf: no limit.
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
    periods, at = np.unique(bids.period, return_inverse=True)
    if isinstance(transfer_kw, GateLimits):
        both, faults = _limits_over_time(tree, transfer_kw, periods=periods)
    else:
        both, faults = _limits_of(tree, transfer_kw)
    zone, strangers = _zones_of(bids, tree)
    hours, found = read_numbers("zones", period_h=period_h)
    if not found and not (hours[0].ndim == 0 and 0 < hours[0] < np.inf):
        fix = "give hours above 0"
        found = [_fault("period_h", period_h, "is no length of a period", fix=fix)]
    check_faults([*known, *strangers, *_carrier_faults(bids), *faults, *found])
    energy = whole_wh(both, period_h) if bids.is_integer else both * period_h
    return ZonalInput(zone=zone, periods=periods, at=at, import_limit=energy[0], export_limit=energy[1])


def whole_wh(limit_kw: ArrayLike, period_h: float) -> Floats:
    """Return what may pass a gate in a period, Wh rounded down to whole ones; inf: no limit.

    Whoever books trades of whole Wh against limits of gates rounds as the clearing does.

    Parameters
    ----------
    limit_kw : kW >= 0
    period_h : length of a period, hours

    Examples
    --------
    >>> whole_wh([1.001, 1.0019, np.inf], 1.0).tolist()
    [1001.0, 1001.0, inf]
    """
    return np.floor(np.asarray(limit_kw, dtype=np.float64) * period_h * WH_PER_KWH * _ROUNDING)


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
    strangers = nodes[place < 0].tolist()[:_SHOWN]
    return place[which], [_fault(f"node {node}", node, reason, fix=fix) for node in strangers]


def _carrier_faults(bids: Bids) -> Iterator[Fault]:
    names = [] if bids.carrier is None else sorted({str(name) for name in np.unique(bids.carrier)})
    if len(names) > 1:
        reason = "bids of several carriers cannot pass one gate"
        fix = "clear each carrier on its own: bids.take(bids.carrier == name)"
        yield _fault("column carrier", names, reason, fix=fix)


def _limits_of(tree: ZoneTree, given: object) -> tuple[Floats, list[Fault]]:
    """Return limits that do not change over time, (import and export, 1, zones), kW, and their faults."""
    both = np.full((2, 1, len(tree.zones)), np.inf)
    if given is None:
        return both, []
    if not isinstance(given, Mapping):
        fix = "give kW by the names of zones, or GateLimits"
        return both, [_fault("transfer_kw", given, "is no table of limits", fix=fix)]
    faults = []
    for name, value in given.items():
        place = f"transfer_kw {name}"
        known = name in tree
        if not known:
            fix = f"use one of {tree.names[:9]}"
            faults.append(_fault(place, name, "there is no such zone", fix=fix))
        elif tree.zone(name).parent is None:
            faults.append(_fault(place, value, "the root has no gate", fix="leave it out"))
        (limit,), strange = read_numbers("zones", limit=value)
        if strange or not (limit >= 0).all() or limit.shape not in ((), (1,), (2,)):
            fix = "give kW >= 0, or (import, export); GateLimits where they change over time"
            faults.append(_fault(place, value, "is no limit", fix=fix))
        elif known:
            both[:, 0, tree.position(name)] = limit
    return both, faults


def _limits_over_time(tree: ZoneTree, given: GateLimits, *, periods: Ints) -> tuple[Floats, list[Fault]]:
    """Return the limits of the periods of the bids, (import and export, periods, zones), and their faults."""
    (ids,), faults = read_numbers("zones", **{"transfer_kw period": given.period})
    if not faults:
        faults = list(_period_faults(ids, periods))
    rows = np.zeros(len(periods), dtype=np.int64)
    if not faults:
        order = np.argsort(ids, kind="stable")
        rows = order[np.searchsorted(ids[order], periods)]
    both = np.full((2, len(periods), len(tree.zones)), np.inf)
    shape = (ids.size, len(tree.zones))
    for way, (name, values) in enumerate((("import_kw", given.import_kw), ("export_kw", given.export_kw))):
        (limit,), strange = read_numbers("zones", **{f"transfer_kw {name}": values})
        faults += strange
        if limit.shape == shape:
            faults += _size_faults(tree, ids, limit, name=name, told=bool(strange))
            both[way] = limit[rows] if shape[0] else np.inf
        elif not strange:
            fix = f"give shape {shape}: periods and zones of the tree"
            faults.append(_fault(f"transfer_kw {name}", limit.shape, "does not fit", fix=fix))
    return both, faults


def _period_faults(ids: Floats, periods: Ints) -> Iterator[Fault]:
    place = "transfer_kw period"
    if ids.ndim != 1:
        yield _fault(place, ids.shape, "is no list of periods", fix="give the id of each row")
        return
    broken = ids[~(np.isfinite(ids) & (ids == np.floor(ids)))].tolist()
    if broken:
        yield _fault(place, broken[:_SHOWN], "is no id of a period", fix="give whole numbers")
    known, count = np.unique(ids, return_counts=True)
    if (count > 1).any():
        yield _fault(place, known[count > 1].tolist()[:_SHOWN], "is there twice", fix="give each one row")
    lacking = np.setdiff1d(periods, ids).tolist()
    if lacking:
        reason, fix = "periods of the bids have no limits", "add a row for each; inf: no limit"
        yield _fault(place, lacking[:_SHOWN], reason, fix=fix)


def _size_faults(tree: ZoneTree, ids: Floats, limit: Floats, *, name: str, told: bool) -> Iterator[Fault]:
    """Yield limits below 0 or unknown, but for the root; what is no number may be told already."""
    wrong = (limit < 0) if told else ~(limit >= 0)
    wrong[:, tree.root] = False
    for row, zone in np.argwhere(wrong)[:_SHOWN].tolist():
        period = ids[row].tolist() if ids.ndim == 1 else row
        place = f"transfer_kw {name}, period {period:.0f}, zone {tree.names[zone]}"
        yield _fault(place, float(limit[row, zone]), "is no limit", fix="give kW >= 0, inf: no limit")


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="zones", place=place, value=value, reason=reason, fix=fix)
