"""Tenders of flexibility: opened by a grid operator, bid for until they close, decided with reasons."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

import numpy as np
from fastapi import Query
from starlette.responses import Response

from gridagora.engine.flexibility.commands import (
    DecideTender,
    OpenTender,
    SubmitTenderBid,
    WithdrawTenderBids,
)
from gridagora.engine.flexibility.state import TenderState
from gridagora.engine.flexibility.tenders import find
from gridagora.market._tender_check import bid_windows
from gridagora.model.flexibility_events import TenderAwarded
from gridagora.model.reservation import Tender, TenderBid
from gridagora.service.api.v1.deals import deal, flex_terms
from gridagora.service.api.v1.flexibility import Buyer, Everyone, Seller, carried
from gridagora.service.api.v1.tools import Live, TheMarket, known, paged, seconds, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import Subject
from gridagora.service.headers import Repeatable
from gridagora.service.models import flexibility as bodies
from gridagora.service.models.base import Place
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("flexibility")


def _find(live: Live, name: str) -> TenderState:
    return known(find(live.state.flex, name), f"tender {name!r}")


def _tender(live: Live, entry: TenderState) -> bodies.TenderOut:
    tender, now = entry.tender, live.now()
    caps = {
        name: float(cap) if np.isfinite(cap := getattr(tender, name)) else None
        for name in ("availability_cap", "utilisation_cap")
    }
    rows = zip(tender.windows, tender.need_kw.tolist(), strict=True)
    status = "decided" if entry.awarded is not None else "open" if now < entry.closes else "closed"
    return bodies.TenderOut(
        name=tender.name,
        buyer=tender.buyer,
        product=entry.product,
        direction=tender.product.direction,
        windows=[bodies.TenderWindowOut(first=f, count=n, need_kw=kw) for (f, n), kw in rows],
        closes=utc(entry.closes),
        area=list(tender.area),
        expected_calls=tender.expected_calls,
        status=cast("Any", status),
        **caps,
    )


@api.get("/flexibility/tenders", summary="List tenders")
async def tenders(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    _: Everyone,
    status: Annotated[str | None, Query(pattern="^(open|closed|decided)$")] = None,
) -> Page[bodies.TenderOut]:
    """Return tenders in the order of opening."""
    numbered = list(enumerate(_tender(live, entry) for entry in live.state.flex.tenders))
    rows = [row for row in numbered if status in (None, row[1].status)]
    return paged(page, response, rows, key=lambda row: (row[0],), make=lambda row: row[1])


@api.get("/flexibility/tenders/{name}", summary="Read a tender")
async def tender(live: TheMarket, name: Place, _: Everyone) -> bodies.TenderOut:
    """Return a tender."""
    return _tender(live, _find(live, name))


@api.post("/flexibility/tenders", status_code=201, summary="Open a tender")
async def open_tender(
    *, live: TheMarket, body: bodies.NewTender, caller: Buyer, response: Response, repeat: Repeatable
) -> bodies.TenderOut:
    """Ask for power in service windows; sellers bid until the tender closes."""
    caller.require(Subject(organisations=frozenset({body.buyer})))
    products = dict(flex_terms(live).products)
    if body.product not in products:
        raise wrong("reference_unknown", "product", body.product, fix=f"use one of {', '.join(products)}")
    caps = {
        name: cap
        for name in ("availability_cap", "utilisation_cap")
        if (cap := getattr(body, name)) is not None
    }
    asked = Tender(
        name=body.name,
        buyer=body.buyer,
        product=products[body.product],
        area=tuple(body.area),
        windows=tuple((one.first, one.count) for one in body.windows),
        need_kw=np.array([one.need_kw for one in body.windows]),
        expected_calls=body.expected_calls,
        **caps,
    )
    command = OpenTender(at=live.now(), product=body.product, tender=asked, closes=seconds(body.closes))
    await live.do(command, repeat)
    response.headers["Location"] = f"/api/v1/flexibility/tenders/{body.name}"
    return _tender(live, _find(live, body.name))


# --- bids -----------------------------------------------------------------------------------------


@api.get("/flexibility/tenders/{name}/bids", summary="List bids of a tender")
async def bids(
    *,
    live: TheMarket,
    name: Place,
    page: AskedPage,
    response: Response,
    caller: Annotated[Caller, needs("flex_offers.read")],
) -> Page[bodies.TenderBidOut]:
    """Return bids by window, with their answers once it is decided; its buyer sees them from closing on."""
    entry = _find(live, name)
    buyers = (entry.tender.buyer,) if live.now() >= entry.closes else ()
    rows = list(enumerate(_bids(entry)))
    mine = caller.only(rows, lambda row: deal(live, row[1].participant, *buyers))
    return paged(page, response, mine, key=lambda row: (row[0],), make=lambda row: row[1])


def _bids(entry: TenderState) -> Iterator[bodies.TenderBidOut]:
    awarded = entry.awarded
    answers: dict[tuple[int, int], tuple[float | None, str]] = {}
    if awarded is not None:
        for row, window, reason in zip(awarded.bid, awarded.window, awarded.reason, strict=True):
            answers[row, window] = float(awarded.volume_kw[row, window]), reason
    names = ("participant", "min_kw", "max_kw", "availability", "utilisation")
    for row, bid in enumerate(entry.bids):
        for window in bid_windows(entry.tender, bid):
            kw, reason = answers.get((row, window), (None, ""))
            fields = {name: getattr(bid, name) for name in names}
            yield bodies.TenderBidOut(window=window, accepted_kw=kw, reason=reason, **fields)


@api.post("/flexibility/tenders/{name}/bids", status_code=201, summary="Bid in a tender")
async def bid_in(
    *, live: TheMarket, name: Place, body: bodies.NewTenderBid, caller: Seller, repeat: Repeatable
) -> list[bodies.TenderBidOut]:
    """Bid before the tender closes; one bid for a window: who wants to change it withdraws it first."""
    caller.require(live.subject(body.participant))
    flex_terms(live)
    entry = _find(live, name)
    bid = TenderBid(
        participant=body.participant,
        min_kw=body.min_kw,
        max_kw=body.max_kw,
        availability=body.availability,
        utilisation=body.utilisation,
        windows=None if body.windows is None else tuple(body.windows),
    )
    await live.do(SubmitTenderBid(at=live.now(), tender=name, bid=bid), repeat)
    taken = TenderState(tender=entry.tender, product=entry.product, closes=entry.closes, bids=(bid,))
    return list(_bids(taken))


@api.delete("/flexibility/tenders/{name}/bids/{participant}", summary="Take bids of a tender back")
async def withdraw_bids(
    *, live: TheMarket, name: Place, participant: Place, caller: Seller, repeat: Repeatable
) -> bodies.Carried:
    """Take all that a participant bids in a tender back before it closes."""
    caller.require(live.subject(participant))
    flex_terms(live)
    _find(live, name)
    command = WithdrawTenderBids(at=live.now(), tender=name, participant=participant)
    return carried(await live.do(command, repeat))


# --- the decision ---------------------------------------------------------------------------------


@api.post("/flexibility/tenders/{name}/decision", status_code=201, summary="Decide a tender")
async def decide(
    *, live: TheMarket, name: Place, body: bodies.TenderDecision, caller: Buyer, repeat: Repeatable
) -> bodies.TenderResult:
    """Accept or reject each bid of a tender that has closed, with a reason; contracts follow."""
    entry = find(live.state.flex, name)
    caller.require(Subject() if entry is None else Subject(organisations=frozenset({entry.tender.buyer})))
    _find(live, name)
    rejected = {one.participant: one.reason for one in body.rejected}
    done = await live.do(DecideTender(at=live.now(), tender=name, rejected=rejected), repeat)
    event = cast("TenderAwarded", done.events[0])
    return bodies.TenderResult(
        name=name,
        bids=list(_bids(_find(live, name))),
        contracts=[contract.id for contract in event.contracts],
    )
