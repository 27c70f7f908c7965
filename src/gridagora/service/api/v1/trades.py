"""Trades, their approvals by the controllers of zones, and the schedules that follow from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import Path, Query
from starlette.responses import Response

from gridagora.engine.live.context import session_context
from gridagora.engine.live.state import SessionState
from gridagora.engine.pool import nominated_kwh
from gridagora.engine.zone_desk import joined_trades
from gridagora.model.zone_columns import DECISIONS
from gridagora.model.zone_trades import STEPS
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.tools import AskedId, AskedSpan, Live, Span, TheMarket, known, paged, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here, Service
from gridagora.service.models.base import Count, money
from gridagora.service.models.market import Approval, ApprovalStep, ScheduleEntry, Trade
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.units import WH_PER_KWH, amount_micro, to_wh

api = router("trades")
Reader = Annotated[Caller, needs("trades.read")]
RowId = Annotated[str, Path(pattern=r"^[0-9]{1,15}-[0-9]{1,15}$", examples=["4-0"])]


@api.get("/trades", summary="List trades")
async def trades(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: AskedId = None,
    session: Annotated[Count | None, Query()] = None,
) -> Page[Trade]:
    """Return trades of sessions whose results are public, of which one party is the caller's."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    asked = reads.trades(live, names, span, session=session, after=page.after_pair(), most=page.fetch)
    rows = await reads.fetch(service, live, asked)
    return page.page(response, _trades(live, rows), key=lambda one: tuple(map(int, one.id.split("-"))))


@api.get("/trades/{id}", summary="Read a trade")
async def trade(*, live: TheMarket, service: Here, id: RowId, caller: Reader) -> Trade:
    """Return a trade."""
    names = reads.numbers(live, reads.whose(live, caller, None))
    return _trades(live, [await trade_row(live, service, id, names=names)])[0]


async def trade_row(live: Live, service: Service, id_: str, *, names: list[int] | None) -> Any:
    """Return a trade by its id as it is stored, if one of its parties is among ``names`` (None: all)."""
    session, row = map(int, id_.split("-"))
    asked = reads.trades(live, names, Span(None, None), session=session, after=(session, row - 1))
    found = [
        one for one in await reads.fetch(service, live, asked) if (one.session, one.row) == (session, row)
    ]
    return known(found[0] if found else None, f"trade {id_} of yours")


def _trades(live: Live, rows: Iterable[Any]) -> list[Trade]:
    names, terms = reads.Names(live), live.terms
    found = []
    for row in rows:
        amount = int(amount_micro(np.int64(row.quantity_wh), np.int64(row.buyer_price_micro)))
        found.append(
            Trade(
                id=f"{row.session}-{row.row}",
                session=row.session,
                period=row.period,
                start=utc(terms.begins(row.period)),
                buyer=names[row.buyer],
                seller=names[row.seller],
                quantity_wh=row.quantity_wh,
                price=money(row.buyer_price_micro),
                price_micro=row.buyer_price_micro,
                seller_price_micro=row.seller_price_micro,
                amount=money(amount),
                amount_micro=amount,
            )
        )
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Matched:
    """A matched trade of a zonal session, by its place."""

    session: SessionState
    place: int

    @property
    def key(self) -> tuple[int, ...]:
        return self.session.times.number, self.place


@api.get("/approvals", summary="List approvals of trades")
async def approvals(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: AskedId = None,
    session: Annotated[Count | None, Query()] = None,
) -> Page[Approval]:
    """Return the way of matched trades through the controllers of zones, for sessions that are kept.

    The five steps are those of `gridagora.model.zone_trades.STEPS`; a market without zones has none.
    """
    wanted = reads.whose(live, caller, participant)
    mine = None if wanted is None else frozenset(wanted)
    numbers = [session] if session is not None else sorted(live.state.sessions)
    rows = (
        matched
        for number in numbers
        if number in live.state.sessions and span.holds(live.terms.session(number).delivery_start)
        for matched in _matched(live.state.sessions[number])
        if mine is None or not mine.isdisjoint(_parties(matched))
    )
    return paged(page, response, rows, key=lambda one: one.key, make=_approval, kinds=(int, int))


@api.get("/approvals/{id}", summary="Read the approval of a trade")
async def approval(live: TheMarket, id: RowId, caller: Reader) -> Approval:
    """Return the five steps of a matched trade."""
    number, place = map(int, id.split("-"))
    kept = live.state.sessions.get(number)
    matched = None if kept is None else next((one for one in _matched(kept) if one.place == place), None)
    wanted = reads.whose(live, caller, None)
    if matched is not None and wanted is not None and set(wanted).isdisjoint(_parties(matched)):
        matched = None
    return _approval(known(matched, f"approval {id} of yours"))


def _matched(session: SessionState) -> Iterator[_Matched]:
    if session.status not in reads.PUBLIC or session.decided is None or session.auction.zonal is None:
        return
    for place in range(len(session.decided.decisions.approved)):
        yield _Matched(session=session, place=place)


def _name(session: SessionState, code: int) -> str:
    names = session.closed.participants
    return names[code] if code < len(names) else reads.RETAILER_NAME


def _columns(matched: _Matched) -> Any:
    session = matched.session
    if session.decided is None or session.auction.zonal is None:
        return None
    return joined_trades(session.auction.zonal.trades, session.decided.decisions.supplies)


def _parties(matched: _Matched) -> frozenset[str]:
    columns, place = _columns(matched), matched.place
    return frozenset(_name(matched.session, int(column[place])) for column in (columns.buyer, columns.seller))


def _approval(matched: _Matched) -> Approval:
    session, place, columns = matched.session, matched.place, _columns(matched)
    zones, decisions = session.auction.zonal.zones, session.decided.decisions  # type: ignore[union-attr]
    return Approval(
        id=f"{session.times.number}-{place}",
        session=session.times.number,
        period=int(columns.period[place]),
        buyer=_name(session, int(columns.buyer[place])),
        seller=_name(session, int(columns.seller[place])),
        buyer_zone=zones[int(columns.buyer_zone[place])],
        seller_zone=zones[int(columns.seller_zone[place])],
        quantity_wh=int(columns.quantity_wh[place]),
        price=money(int(columns.price[place])),
        approved=bool(decisions.approved[place]),
        steps=[
            ApprovalStep(
                step=int(decisions.step[row]),
                meaning=STEPS[int(decisions.step[row])],
                by=decisions.names[int(decisions.by[row])],
                decision=DECISIONS[int(decisions.decision[row])],  # type: ignore[arg-type]
                reason=decisions.reasons[int(decisions.reason[row])],
            )
            for row in np.flatnonzero(decisions.trade == place).tolist()
        ],
    )


@api.get("/schedules", summary="Schedules by participant")
async def schedules(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: Annotated[str, Query(max_length=200)],
) -> Page[ScheduleEntry]:
    """Return what a participant is to take and give by sessions whose results are public and still kept.

    What is firm although it found no partner in the market counts: it is bought from or sold to the retailer.
    """
    caller.require(live.subject(participant))
    found: list[ScheduleEntry] = []
    for number in sorted(live.state.sessions):
        session = live.state.sessions[number]
        times = session.times
        if session.status not in reads.PUBLIC or not span.overlaps(times.delivery_start, times.delivery_end):
            continue
        net = live.schedules.get(number)
        if net is None:
            net = live.schedules[number] = await service.store.run(partial(_net_wh, live, session))
        found += _entries(live, session, participant, net=net)
    inside = [one for one in found if span.holds(int(one.start.timestamp()))]
    return paged(page, response, inside, key=lambda one: (one.period,), make=lambda one: one)


def _net_wh(live: Live, session: SessionState) -> Any:
    """Return what is bought and sold, Wh, (2, participants, periods)."""
    from dataclasses import replace

    gate, cleared, decided = session.closed, session.auction, session.decided
    market = session_context(live.market.context, live.terms, gate)
    if decided is not None:
        cleared = replace(cleared, accepted=decided.accepted, paid=decided.paid)
    bought, sold = nominated_kwh(cleared, market.study, prices=market.prices)
    return np.stack([to_wh(bought), to_wh(sold)])


def _entries(live: Live, session: SessionState, participant: str, *, net: Any) -> Iterator[ScheduleEntry]:
    names = session.closed.participants
    if participant not in names:
        return
    code, terms = names.index(participant), live.terms
    for row in range(session.times.count):
        period = session.times.first + row
        bought, sold = int(net[0, code, row]), int(net[1, code, row])
        yield ScheduleEntry(
            participant=participant,
            session=session.times.number,
            period=period,
            start=utc(terms.begins(period)),
            bought_wh=bought,
            sold_wh=sold,
            net_wh=bought - sold,
            net_kw=(bought - sold) / WH_PER_KWH / terms.hours,
        )
