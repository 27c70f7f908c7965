"""The market as everybody may see it: state, sessions, timetable, prices, results, order book, zones."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from gridagora.engine.live.state import SessionState
from gridagora.model.live import SessionTimes
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.aggregates import Areas, zones_withheld
from gridagora.service.api.v1.tools import AskedSpan, Live, Span, TheMarket, known, paged, utc
from gridagora.service.auth.needs import public
from gridagora.service.context import Here, Service
from gridagora.service.depth import Level, depth_kept, sorted_levels
from gridagora.service.headers import etag, tagged
from gridagora.service.models.base import Count, money
from gridagora.service.models.market import (
    BookLevel,
    GridFinding,
    MarketState,
    OrderBook,
    PeriodResult,
    Session,
    SessionResults,
    Zone,
    ZoneResult,
)
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("market")
SIDES = {1: "buy", -1: "sell"}
MOST_AHEAD = 1_000
"""Sessions that are announced beyond those that are open."""


@api.get("/market", summary="The market now")
@public
async def market_state(live: TheMarket, request: Request, response: Response) -> MarketState:
    """Return the terms of the market, and what is open."""
    terms, state = live.terms, live.state
    open_ = [number for number, session in state.sessions.items() if session.status == "open"]
    now = live.now()
    gates = [terms.session(number).gate for number in open_]
    tagged(request, response, etag("market", live.follower.seq, now // 10))
    return MarketState(
        name=terms.name,
        currency=terms.currency,
        timezone=terms.timezone,
        now=utc(now),
        epoch=utc(terms.epoch),
        period_s=terms.mtu_s,
        session_periods=terms.session_periods,
        mechanism=terms.mechanism,
        lowest_price=terms.lowest_price,
        highest_price=terms.highest_price,
        most_kwh=terms.most_kwh,
        fee_ppm=terms.fee_ppm,
        escrow=terms.escrow,
        open_sessions=open_[:100],
        next_gate=utc(min(gates)) if gates else None,
        participants=sum(one.status == "active" for one in state.register.all("participant")),
        flexibility=state.flex.terms is not None,
    )


def shown(live: Live, times: SessionTimes) -> Session:
    """Return a session as it is answered; one that is not kept yet is announced, one kept no more settled."""
    session = live.state.sessions.get(times.number)
    status: Any = "announced" if times.number >= live.state.next_open else "settled"
    if session is not None:
        status = session.status
    return Session(
        session=times.number,
        status=status,
        first_period=times.first,
        periods=times.count,
        opens=utc(times.opens),
        gate=utc(times.gate),
        delivery_start=utc(times.delivery_start),
        delivery_end=utc(times.delivery_end),
        settles=utc(times.settles),
        bids=0 if session is None else session.book.count,
        called_off=_reason(session, "called_off"),
        stuck=_reason(session, "stuck") if status == "published" else None,
        by_schedule=_reason(session, "by_schedule"),
    )


async def _remembered(live: Live, service: Service, found: list[Session]) -> list[Session]:
    """Return sessions with what the database remembers of those that are kept no more."""
    gone = [
        one.session for one in found if one.status == "settled" and one.session not in live.state.sessions
    ]
    if not gone:
        return found
    rows = await reads.fetch(service, live, reads.session_facts(live, gone))
    names = ("bids", "called_off", "by_schedule")
    facts = {row.session: {name: getattr(row, name) for name in names} for row in rows}
    return [one.model_copy(update=facts.get(one.session, {})) for one in found]


def _reason(session: SessionState | None, name: str) -> str | None:
    """Return the reason of something that happened to a session; None where it did not."""
    event = getattr(session, name, None)
    return None if event is None else str(event.reason)


@api.get("/sessions", summary="Sessions and their timetable")
@public
async def sessions(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    status: Annotated[str | None, Query(max_length=20)] = None,
) -> Page[Session]:
    """Return sessions in their order, by the start of their delivery; announced ones up to a bound."""
    terms, state = live.terms, live.state
    first, last = state.first, state.next_open + MOST_AHEAD
    if span.begin is not None:
        first = max(first, min(last, terms.session_of(terms.period_at(span.begin - 1)) + 1))
    if span.end is not None:
        last = min(last, terms.session_of(terms.period_at(span.end - 1)) + 1)
    after = page.after(int)
    if after is not None:
        first = max(first, int(after[0]) + 1)

    def wanted() -> Iterator[Session]:
        for number in range(first, last):
            one = shown(live, terms.session(number))
            if status in (None, one.status):
                yield one

    cut = paged(page, response, wanted(), key=lambda one: (one.session,), make=lambda one: one)
    return Page(items=await _remembered(live, service, cut.items), next=cut.next)


def _times(live: Live, number: int) -> SessionTimes:
    inside = live.state.first <= number < live.state.next_open + MOST_AHEAD
    return known(live.terms.session(number) if inside else None, f"session {number}")


@api.get("/sessions/{session}", summary="A session")
@public
async def session(
    *, live: TheMarket, service: Here, session: Count, request: Request, response: Response
) -> Session:
    """Return the moments of a session and how far it has come."""
    (found,) = await _remembered(live, service, [shown(live, _times(live, session))])
    tagged(request, response, etag(found.model_dump_json()))
    return found


@api.get("/sessions/{session}/results", summary="Public results of a session")
@public
async def results(
    *, live: TheMarket, service: Here, session: Count, request: Request, response: Response
) -> SessionResults:
    """Return prices and volumes of a session, and where its schedule goes beyond limits of the grid."""
    times = _times(live, session)
    one = shown(live, times)
    span = Span(times.delivery_start, times.delivery_end)
    rows = await reads.fetch(service, live, reads.prices(live, span, most=times.count))
    kept = live.state.sessions.get(session)
    is_public = kept is not None and kept.status in reads.PUBLIC
    found = SessionResults(
        session=session,
        status=one.status,
        periods=[_price(live, row) for row in rows],
        grid_findings=list(_findings(kept)) if kept is not None and is_public else [],
        zones=list(_zones(live, kept)) if kept is not None and is_public else [],
    )
    tagged(request, response, etag(found.model_dump_json()))
    return found


def _price(live: Live, row: Any) -> PeriodResult:
    micro = None if row.price_micro is None else round(row.price_micro)
    return PeriodResult(
        period=row.period,
        start=utc(live.terms.begins(row.period)),
        price=None if micro is None else money(micro),
        price_micro=micro,
        volume_wh=int(row.volume_wh),
    )


def _findings(session: SessionState) -> Iterator[GridFinding]:
    if session.checked is None:
        return
    found = session.checked.found
    rows = zip(
        found.period.tolist(),
        found.kind,
        found.element,
        found.value.tolist(),
        found.limit.tolist(),
        strict=True,
    )
    for period, kind, element, value, limit in rows:
        if np.isfinite(value):
            yield GridFinding(period=period, kind=kind, element=element, value=value, limit=limit)


def _zones(live: Live, session: SessionState) -> Iterator[ZoneResult]:
    """Yield what the markets of zones came to, without volumes and exchange of few participants."""
    zonal = session.auction.zonal
    if zonal is None:
        return
    no_exchange, no_volume = zones_withheld(Areas(live), session.closed.buses)
    for row in range(len(zonal.price)):
        for place, name in enumerate(zonal.zones):
            price = int(zonal.price[row, place])
            yield ZoneResult(
                zone=name,
                period=session.times.first + row,
                price=None if price == -1 else money(price),
                volume_wh=None if name in no_volume else int(zonal.volume_wh[row, place]),
                import_wh=None if name in no_exchange else int(zonal.import_wh[row, place]),
            )


@api.get("/prices", summary="Prices by period")
@public
async def prices(
    *, live: TheMarket, service: Here, page: AskedPage, response: Response, span: AskedSpan
) -> Page[PeriodResult]:
    """Return the prices and volumes of sessions whose results are public."""
    after = page.after(int)
    asked = reads.prices(live, span, after=-1 if after is None else int(after[0]), most=page.fetch)
    found = [_price(live, row) for row in await reads.fetch(service, live, asked)]
    return page.page(response, found, key=lambda one: (one.period,))


@api.get("/sessions/{session}/book", summary="Order book of a session")
@public
async def book(
    *,
    service: Here,
    live: TheMarket,
    session: Count,
    request: Request,
    response: Response,
    period: Annotated[Count | None, Query(description="number of one period")] = None,
) -> OrderBook:
    """Return the aggregated depth of a session; who bids is not told."""
    one = shown(live, _times(live, session))
    tagged(
        request,
        response,
        etag("book", session, period, live.follower.depth.changes.get(session, 0), one.status),
    )
    if one.status in ("announced", "open", "cleared"):
        return order_book(one, live.follower.depth.levels(session, period=period))
    rows = await reads.fetch(service, live, depth_kept(live.number, session, period))
    return order_book(one, sorted_levels(map(_level, rows)))


def _level(row: Any) -> Level:
    names = ("period", "side", "price", "quantity", "bids")
    return Level(**{name: int(getattr(row, name)) for name in names})


def order_book(one: Session, found: Iterable[Level]) -> OrderBook:
    """Return a session's depth."""
    levels = [
        BookLevel(
            period=level.period,
            side=SIDES[level.side],  # type: ignore[arg-type]
            price=money(level.price),
            price_micro=level.price,
            quantity_wh=level.quantity,
            bids=level.bids,
        )
        for level in found
    ]
    return OrderBook(session=one.session, status=one.status, levels=levels)


@api.get("/zones", summary="Zones of the market")
@public
async def zones(live: TheMarket, page: AskedPage, response: Response) -> Page[Zone]:
    """Return the zones, and what their gates let through; none where the market has no zones."""
    context = live.market.context.zones
    made = (
        []
        if context is None
        else [
            Zone(
                id=zone.name,
                parent=zone.parent,
                buses=list(zone.buses),
                import_kw=_finite(context.import_kw[k]),
                export_kw=_finite(context.export_kw[k]),
            )
            for k, zone in enumerate(context.tree.zones)
        ]
    )
    made.sort(key=lambda zone: zone.id)
    return paged(page, response, made, key=lambda zone: (zone.id,), make=lambda zone: zone, kinds=(str,))


def _finite(kw: float) -> float | None:
    return float(kw) if np.isfinite(kw) else None
