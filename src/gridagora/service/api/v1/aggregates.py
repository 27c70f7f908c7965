"""Sums of areas by period, told so that no small group of connection points can be told apart.

What was metered and traded is told as it was first settled, and never in another way: two answers on one
area and period are the same, whoever asks, and whatever was corrected since.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from sqlalchemy import select
from starlette.responses import Response

from gridagora.adapters.sql import tables
from gridagora.engine.live.bidding import connection_of
from gridagora.engine.live.state import SessionState
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.limits import place_of
from gridagora.service.api.v1.tools import AskedSpan, Live, Span, TheMarket, known, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS, Subject
from gridagora.service.context import Here, Service
from gridagora.service.groups import Nest
from gridagora.service.models.aggregates import Aggregate
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.units import WH_PER_KWH

api = router("aggregates")
WHOLE = "*"
SUMS = (
    "import_wh",
    "export_wh",
    "scheduled_import_wh",
    "scheduled_export_wh",
    "local_bought_wh",
    "local_sold_wh",
)
W_PER_KW = 1_000
STEP = 32
"""Periods that are summed at once."""

Sums = dict[str, Counter[str]]
"""Amounts by name and place, without those of places within."""


class Areas:
    """The places that sums are told of: the zones of a market, or its buses and all of it.

    Parameters
    ----------
    live : the market
    """

    def __init__(self, live: Live) -> None:
        self.live = live
        zones = live.market.context.zones
        self._zone_of_bus = live.market.context.zone_of_bus
        self.zonal = zones is not None
        self.parent: dict[str, str | None] = {WHOLE: None}
        if zones is None:
            self.parent |= dict.fromkeys(sorted(live.market.context.buses), WHOLE)
        else:
            self.parent = {zone.name: zone.parent for zone in zones.tree.zones}
        inside: dict[str, list[str]] = {}
        for name, parent in self.parent.items():
            inside.setdefault(parent or "", []).append(name)
        self.nest = Nest(root=inside.pop("")[0], inside=inside)

    def of_bus(self, bus: str) -> str:
        """Return the innermost place that a bus lies in."""
        return self._zone_of_bus.get(bus, self.nest.root) if self.zonal else bus

    def of_place(self, kind: str, place: str) -> str:
        """Return the innermost place around that of a limit."""
        if kind == "participant":
            point = connection_of(self.live.state, place)
            return self.nest.root if point is None else self.of_bus(point["bus"])
        found = self.of_bus(place) if kind == "bus" else place
        return found if found in self.parent else self.nest.root

    def subject(self, place: str) -> Subject:
        """Return whose a place is."""
        return place_of(self.live, "zone", place) if self.zonal else NOBODYS

    def kind(self, place: str) -> Any:
        """Return what a place is."""
        return "zone" if self.zonal else "market" if place == WHOLE else "bus"

    def gate_kw(self, place: str) -> tuple[float | None, float | None]:
        """Return what the gate of a zone lets in and out, kW; None: anything, or there is no gate."""
        zones = self.live.market.context.zones
        if zones is None or self.parent[place] is None:
            return None, None
        at = zones.tree.names.index(place)
        most = (float(zones.import_kw[at]), float(zones.export_kw[at]))
        return most[0] if np.isfinite(most[0]) else None, most[1] if np.isfinite(most[1]) else None


@api.get("/aggregates", summary="Sums of areas")
async def aggregates(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Annotated[Caller, needs("aggregates.read")],
    place: Annotated[str | None, Query(max_length=200, description="zone, bus or *")] = None,
) -> Page[Aggregate]:
    """Return what the connection points of each area did together, for sessions whose gate has closed.

    An area with fewer connection points than `least_group` of the market is withheld, and so is one that
    would let such a group be told apart by taking sums from each other.
    """
    areas = Areas(live)
    if place is not None:
        caller.require(areas.subject(place))
        known(place if place in areas.parent else None, f"area {place!r}")
    mine = caller.only(sorted(areas.parent), areas.subject)
    wanted = frozenset(mine if place is None else [place])
    after = page.after(int, str)
    found: list[Aggregate] = []
    periods = await _periods(
        service, live, span, first=0 if after is None else int(after[0]), most=page.fetch
    )
    for start in range(0, len(periods), STEP):
        for one in await _told(service, areas, periods[start : start + STEP]):
            if one.place in wanted and (after is None or (one.period, one.place) > after):
                found.append(one)
        if len(found) >= page.fetch:
            break
    return page.page(response, found[: page.fetch], key=lambda one: (one.period, one.place))


async def _periods(service: Service, live: Live, span: Span, *, first: int, most: int) -> list[int]:
    """Return the periods there are sums of: of settled sessions, and of those whose gate has closed."""
    column = tables.bus_sums.c
    asked = select(column.period).distinct().where(column.market == live.number, column.period >= first)
    asked = asked.where(*reads.within(live, column.period, span)).order_by(column.period).limit(most)
    settled = [int(row.period) for row in await reads.fetch(service, live, asked)]
    closed = [
        period
        for session in live.state.kept()
        if session.gate is not None and session.settled is None
        for period in range(session.times.first, session.times.first + session.times.count)
        if period >= first and span.holds(live.terms.begins(period))
    ]
    return sorted({*settled, *closed})[:most]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """What the database has on some periods: sums by period, limits, and breaches with their limits."""

    sums: Mapping[int, Sequence[Any]]
    limits: Sequence[Any]
    broken: Sequence[Any]


async def _told(service: Service, areas: Areas, periods: Sequence[int]) -> Iterator[Aggregate]:
    """Return the areas with connection points in some periods, by period and name."""
    live = areas.live
    sums, limit, broken = tables.bus_sums.c, tables.grid_limits.c, tables.broken_limits.c
    begin, end = live.terms.begins(periods[0]), live.terms.begins(periods[-1] + 1)
    asked = select(*tables.bus_sums.columns).where(
        sums.market == live.number, sums.period.between(periods[0], periods[-1])
    )
    by_period: dict[int, list[Any]] = {period: [] for period in periods}
    for row in await reads.fetch(service, live, asked):
        by_period.setdefault(row.period, []).append(row)
    asked = select(*tables.grid_limits.columns).where(
        limit.market == live.number, limit.begins < end, limit.ends > begin
    )
    limits = await reads.fetch(service, live, asked)
    asked = select(broken.period, broken.net_wh, broken.allowed_wh, limit.place_kind, limit.place)
    joined = tables.broken_limits.join(
        tables.grid_limits, (limit.market == broken.market) & (limit.id == broken.id)
    )
    asked = asked.select_from(joined).where(
        broken.market == live.number, broken.period.between(periods[0], periods[-1])
    )
    rows = _Rows(sums=by_period, limits=limits, broken=await reads.fetch(service, live, asked))
    return (one for period in periods for one in _period(areas, rows, period))


def _period(areas: Areas, rows: _Rows, period: int) -> Iterator[Aggregate]:
    """Yield the areas with connection points in a period, by their names."""
    live = areas.live
    session = live.terms.session_of(period)
    own = _own(areas, rows.sums[period], live.state.sessions.get(session))
    own |= _forecast(areas, session, period) | _limits(areas, rows, period)
    settled = bool(rows.sums[period])
    least = live.terms.least_group
    withheld = areas.nest.withheld(own["points"], least=least)
    unforecast = areas.nest.withheld(own["forecast_points"], least=least, before=withheld)
    totals = {name: areas.nest.totals(amounts) for name, amounts in own.items()}
    for place in sorted(areas.parent):
        if not totals["points"][place]:
            continue
        told = [] if place in withheld else ["points", *(SUMS if settled else ())]
        if place not in withheld and place not in unforecast and totals["forecast_points"][place]:
            told += ["forecast_points", "forecast_wh"]
        values: dict[str, Any] = dict.fromkeys(("points", "forecast_points", "forecast_wh", *SUMS))
        values |= {name: totals[name][place] for name in told}
        yield Aggregate(
            place=place,
            kind=areas.kind(place),
            parent=areas.parent[place],
            session=session,
            period=period,
            start=utc(live.terms.begins(period)),
            settled=settled,
            withheld=withheld.get(place),  # type: ignore[arg-type]
            limits=totals["limits"][place],
            limit_import_kw=_most(totals, "import", place),
            limit_export_kw=_most(totals, "export", place),
            breaches=totals["breaches"][place],
            beyond_wh=totals["beyond_wh"][place],
            **(values | _gate(areas, place, values)),
        )


def _own(areas: Areas, settled: Sequence[Any], session: SessionState | None) -> Sums:
    """Return connection points and their sums by place; without sums where the session is not settled."""
    own: Sums = {name: Counter() for name in ("points", *SUMS)}
    for row in settled:
        for name, amounts in own.items():
            amounts[areas.of_bus(row.bus)] += getattr(row, name)
    if not settled and session is not None and session.gate is not None:
        own["points"].update(map(areas.of_bus, session.gate.buses))
    return own


def _forecast(areas: Areas, session: int, period: int) -> Sums:
    own: Sums = {"forecast_points": Counter(), "forecast_wh": Counter()}
    row = period - areas.live.terms.session(session).first
    kept = areas.live.state.sessions.get(session)
    for bus, expected in ({} if kept is None else kept.forecasts).items():
        place = areas.of_bus(bus)
        own["forecast_points"][place] += int(expected.points[row])
        own["forecast_wh"][place] += int(expected.net_wh[row])
    return own


def _limits(areas: Areas, rows: _Rows, period: int) -> Sums:
    """Return limits that hold in a period, their W, and what was delivered beyond them."""
    names = ("limits", "import_limits", "import_w", "export_limits", "export_w", "breaches", "beyond_wh")
    own: Sums = {name: Counter() for name in names}
    begin, end = (areas.live.terms.begins(period + k) for k in (0, 1))
    for row in rows.limits:
        if not (row.begins < end and row.ends > begin):
            continue
        place = areas.of_place(row.place_kind, row.place)
        own["limits"][place] += 1
        for side, kw in (("import", row.import_kw), ("export", row.export_kw)):
            if np.isfinite(kw):
                own[f"{side}_limits"][place] += 1
                own[f"{side}_w"][place] += round(kw * W_PER_KW)
    for row in rows.broken:
        if row.period == period:
            place = areas.of_place(row.place_kind, row.place)
            own["breaches"][place] += 1
            own["beyond_wh"][place] += abs(row.net_wh - row.allowed_wh)
    return own


def _most(totals: Mapping[str, Mapping[str, int]], side: str, place: str) -> float | None:
    """Return the sum of limits of one side, kW; None where there is none."""
    return totals[f"{side}_w"][place] / W_PER_KW if totals[f"{side}_limits"][place] else None


def _gate(areas: Areas, place: str, values: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the load of a zone's gate, and its limits."""
    told, most = None, areas.gate_kw(place)
    if areas.zonal and areas.parent[place] is not None and values["import_wh"] is not None:
        told = (values["import_wh"] - values["export_wh"]) / WH_PER_KWH / areas.live.terms.hours
    return {"gate_kw": told, "gate_import_kw": most[0], "gate_export_kw": most[1]}


def zones_withheld(areas: Areas, buses: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the zones whose exchange, and those whose own volume, would tell of a small group.

    Parameters
    ----------
    areas : of the market
    buses : of the participants of a session
    """
    least = areas.live.terms.least_group
    own = Counter(map(areas.of_bus, buses))
    flat = Nest(root="", inside={"": sorted(areas.parent)})
    return frozenset(areas.nest.withheld(own, least=least)), frozenset(flat.withheld(own, least=least))
