"""From the section ``zones`` of a scenario to periods and bounds, and what must hold beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gridagora.errors import Fault
from gridagora.model.time import TimeAxis
from gridagora.scenario.clock import is_skipped, utc_moment
from gridagora.scenario.spec import ScenarioSpec
from gridagora.scenario.spec_zones import ControllersSpec, ZonesSpec, ZoneWindowSpec
from gridagora.scenario.values import duration_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OWNERS = {"lv_feeders": "feeders", "sources": "feeders", "file": "table", "count": "distance"}
"""Which way to find zones a key belongs to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneWindows:
    """The periods of each entry of ``limits`` and ``islands``, in their order; None where it has a fault."""

    limits: tuple[slice | None, ...]
    islands: tuple[slice | None, ...]


def controller_bounds(chosen: ControllersSpec) -> dict[str, float]:
    """Return the bounds of a trade as `gridagora.model.zone_study.ZoneRules` names them.

    >>> controller_bounds(ControllersSpec(most_kwh=5.0))
    {'lowest_price': -inf, 'highest_price': inf, 'most_kwh': 5.0}
    """
    infinite = float("inf")
    return {
        "lowest_price": -infinite if chosen.lowest_price is None else chosen.lowest_price,
        "highest_price": infinite if chosen.highest_price is None else chosen.highest_price,
        "most_kwh": infinite if chosen.most_kwh is None else chosen.most_kwh,
    }


def gate_loading_percent(spec: ScenarioSpec, zones: ZonesSpec) -> float:
    """Return the share of a rating that may pass a gate, percent.

    >>> spec = ScenarioSpec(grid="cigre-lv", limits={"transformer_loading_percent": 70.0}, zones={})
    >>> gate_loading_percent(spec, spec.zones)
    70.0
    """
    limits = spec.limits
    lower = min(limits.line_loading_percent, limits.transformer_loading_percent)
    return lower if zones.loading_percent is None else zones.loading_percent


def zone_key_faults(spec: ScenarioSpec) -> list[Fault]:
    """Tell a market of zones without zones and the other way round, and keys that do not fit together."""
    zones, market = spec.zones, spec.market
    if zones is None:
        if market.mechanism != "zonal" or spec.flexibility is not None:
            return []
        fix = "write zones: {} for zones of the grid's feeders, or choose another mechanism"
        reason = "needs the section zones"
        return [_fault(spec, "market.mechanism", market.mechanism, reason=reason, fix=fix)]
    faults = list(_way_faults(spec, zones))
    if spec.flexibility is not None:
        reason = "belong to the pool, and a study runs the pool or the flexibility market"
        faults.append(_fault(spec, "zones", "zones", reason=reason, fix="leave out zones or flexibility"))
        return faults
    if market.mechanism != "zonal":
        fix = "write market: {mechanism: zonal}, or leave zones out"
        reason = "has one market for all, and there are zones"
        faults.append(_fault(spec, "market.mechanism", market.mechanism, reason=reason, fix=fix))
    if market.islanded:
        reason = "leaves the zones no bulk grid to trade with"
        fix = "leave islanded out, and cut single zones off under zones.islands"
        faults.append(_fault(spec, "market.islanded", True, reason=reason, fix=fix))
    return faults


def _way_faults(spec: ScenarioSpec, zones: ZonesSpec) -> Iterator[Fault]:
    """Tell keys that the chosen way to find zones makes no use of, and those that it needs."""
    for key, owner in _OWNERS.items():
        value, default = getattr(zones, key), ZonesSpec.model_fields[key].default
        if value != default and zones.origin != owner:
            reason, fix = f"belongs to from: {owner}", f"leave {key} out, or write from: {owner}"
            yield _fault(spec, f"zones.{key}", _shown(value), reason=reason, fix=fix)
    needed = {"table": ("file", "zones.csv"), "distance": ("count", "4")}.get(zones.origin)
    if needed is not None and getattr(zones, needed[0]) is None:
        key, example = needed
        fix = f"write e.g. {key}: {example}"
        yield _fault(spec, "zones.from", zones.origin, reason=f"needs the key {key}", fix=fix)
    if zones.gates == "none" and zones.loading_percent is not None:
        reason, fix = "has no use with gates: none", "leave one of the two out"
        yield _fault(spec, "zones.loading_percent", zones.loading_percent, reason=reason, fix=fix)


def zone_windows(spec: ScenarioSpec, axis: TimeAxis) -> tuple[ZoneWindows, list[Fault]]:
    """Place the windows of limits and islands on the periods of a study.

    What reaches beyond the study is cut; a window that has no period of it is a fault, as are one that ends
    before it begins, one off the periods, and a time that the clock skips.

    Examples
    --------
    >>> import numpy as np
    >>> island = {"zone": "street", "from": "2016-05-23T18:00", "to": "2016-05-23T20:00"}
    >>> spec = ScenarioSpec(grid="cigre-lv", zones={"islands": [island]})
    >>> axis = TimeAxis(start=np.datetime64("2016-05-22T22:00"), periods=96, timezone="Europe/Berlin")
    >>> zone_windows(spec, axis)[0].islands
    (slice(72, 80, None),)
    """
    zones = spec.zones or ZonesSpec()
    faults: list[Fault] = []
    found = {
        key: tuple(
            _window(entry, f"zones.{key}.{at}", spec, axis=axis, faults=faults) for at, entry in listed
        )
        for key, listed in (("limits", enumerate(zones.limits)), ("islands", enumerate(zones.islands)))
    }
    return ZoneWindows(limits=found["limits"], islands=found["islands"]), faults


def _window(
    entry: ZoneWindowSpec, place: str, spec: ScenarioSpec, *, axis: TimeAxis, faults: list[Fault]
) -> slice | None:
    """Return the periods of one entry."""
    before, ends = len(faults), [0, axis.periods]
    for at, (key, moment) in enumerate((("from", entry.start), ("to", entry.end))):
        if moment is None:
            continue
        if is_skipped(moment, spec.timezone):
            reason, fix = f"the clock of {spec.timezone} skips this time", "write a time an hour later"
            faults.append(_fault(spec, f"{place}.{key}", str(moment), reason=reason, fix=fix))
            continue
        seconds = _seconds(axis, utc_moment(moment, spec.timezone))
        if seconds % axis.mtu_s:
            reason = f"is off the periods of {duration_text(spec.resolution)}"
            earlier = utc_moment(moment, spec.timezone) - timedelta(seconds=seconds % axis.mtu_s)
            fix = f"write e.g. {_local(earlier, spec)}"
            faults.append(_fault(spec, f"{place}.{key}", str(moment), reason=reason, fix=fix))
        ends[at] = -(-seconds // axis.mtu_s)
    if len(faults) > before:
        return None
    first, last = ends
    if last <= first and entry.start is not None and entry.end is not None:
        reason, fix = "ends before it starts or at once", "write a time to that is after from"
        faults.append(_fault(spec, place, _span(entry), reason=reason, fix=fix))
        return None
    if last <= 0 or first >= axis.periods:
        begin = _EPOCH + timedelta(seconds=int(axis.start.astype("datetime64[s]").astype(int)))
        end = begin + timedelta(seconds=axis.periods * axis.mtu_s)
        reason = "is outside the study"
        fix = f"write times within {_local(begin, spec)} to {_local(end, spec)}, or leave it out"
        faults.append(_fault(spec, place, _span(entry), reason=reason, fix=fix))
        return None
    return slice(max(first, 0), min(last, axis.periods))


def _seconds(axis: TimeAxis, moment: datetime) -> int:
    """Return the seconds from the begin of a study to a moment."""
    begin = int(axis.start.astype("datetime64[s]").astype(int))
    return round((moment - _EPOCH).total_seconds()) - begin


def _local(moment: datetime, spec: ScenarioSpec) -> str:
    """Return a moment as local clock time."""
    return moment.astimezone(ZoneInfo(spec.timezone)).strftime("%Y-%m-%dT%H:%M")


def _span(entry: ZoneWindowSpec) -> str:
    """Return a window as it was written."""
    ends = (moment.isoformat() if moment else "..." for moment in (entry.start, entry.end))
    return " to ".join(ends)


def _shown(value: object) -> object:
    """Return a value as the scenario has it."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _fault(spec: ScenarioSpec, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=spec.origin, place=place, value=value, reason=reason, fix=fix)
