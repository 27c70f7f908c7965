"""The flexibility market: its terms, requests of grid operators, auctions, offers, tenders."""

from dataclasses import replace
from typing import Annotated, Any, cast

import numpy as np
from fastapi import Query
from starlette.responses import Response

from gridagora.engine.flexibility.commands import (
    AwardTender,
    OpenFlexMarket,
    SubmitFlexBids,
    WithdrawFlexBids,
)
from gridagora.engine.flexibility.state import AuctionState
from gridagora.engine.live.bidding import connection_of
from gridagora.engine.live.flex_commands import RequestFlexibility
from gridagora.engine.live.refusals import refusal
from gridagora.errors import InputError
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_events import FlexAuctionCleared, FlexBidsSubmitted, TenderAwarded
from gridagora.model.flexibility_market import ConnectionPoint, ContractRules, FlexAuction, FlexMarketTerms
from gridagora.model.reservation import Tender, TenderBid
from gridagora.service.api.v1.tools import Live, TheMarket, known, paged, seconds, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import Subject
from gridagora.service.headers import Repeatable
from gridagora.service.models import flexibility as bodies
from gridagora.service.models.base import Count, Place
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("flexibility")
Everyone = Annotated[Caller, needs("market.read")]
Buyer = Annotated[Caller, needs("flex_requests.write")]
Seller = Annotated[Caller, needs("flex_offers.write")]
SIDES = {1: "buy", -1: "sell"}


def flex_terms(live: Live) -> FlexMarketTerms:
    """Return the terms of the flexibility market, which must be open."""
    terms = live.state.flex.terms
    if terms is None:
        fix = "the operator opens it: POST /api/v1/flexibility/market"
        raise InputError([refusal("market_not_open", "flexibility market", None, fix=fix)])
    return terms


def deal(live: Live, seller: str, *buyers: str) -> Subject:
    """Return whose a deal is: its seller, a participant, and its buyers, organisations of grid operators.

    Who sells in the continuous market may be a grid operator too.
    """
    terms = live.state.flex.terms
    if terms is not None and seller in terms.buyers:  # never the participant that may be called the same
        return Subject(organisations=frozenset({seller, *buyers}))
    subject = live.subject(seller)
    return replace(subject, organisations=subject.organisations.union(buyers))


@api.get("/flexibility/market", summary="The flexibility market")
async def market(live: TheMarket, _: Everyone) -> bodies.FlexMarket:
    """Return what is traded, by whom, and from which period on."""
    return _market(live)


def _market(live: Live) -> bodies.FlexMarket:
    terms = flex_terms(live)
    return bodies.FlexMarket(
        products=[name for name, _ in terms.products],
        points=[point.participant for point in terms.points],
        buyers=list(terms.buyers),
        first=terms.first,
        periods=terms.periods,
        start=utc(terms.start),
        period_s=round(terms.period_hours * 3600),
        open_from=live.state.flex.open_from,
    )


@api.post("/flexibility/market", status_code=201, summary="Open the flexibility market")
async def open_market(
    *,
    live: TheMarket,
    body: bodies.FlexMarketOpening,
    caller: Annotated[Caller, needs("market.operate")],
    repeat: Repeatable,
) -> bodies.FlexMarket:
    """Open it once; who sells are the participants that have a connection of known capacity by now."""
    if live.state.flex.terms is not None:
        raise wrong("market_open", "flexibility market", caller.identity.id, fix="use the one that is open")
    points = []
    for record in live.state.register.all("participant"):
        point = connection_of(live.state, record.id)
        if record.status == "active" and point is not None and {"import_kw", "export_kw"} & point.keys():
            points.append(
                ConnectionPoint(
                    participant=record.id,
                    bus=point["bus"],
                    import_kw=float(point.get("import_kw", 0.0)),
                    export_kw=float(point.get("export_kw", 0.0)),
                )
            )
    terms = FlexMarketTerms(
        points=tuple(points),
        buyers=tuple(body.buyers),
        products=tuple((one.name, _product(one)) for one in body.products),
        start=live.terms.epoch,
        first=body.first,
        periods=body.periods,
        period_hours=live.terms.hours,
        settlement=tuple(one.settlement for one in body.products),
        reservation_payment=body.reservation_payment,
        activation_payment=body.activation_payment,
        penalty_micro_per_kwh=body.penalty_micro_per_kwh,
        gate_closure_periods=body.gate_closure_periods,
    )
    await live.do(OpenFlexMarket(at=live.now(), terms=terms), repeat)
    return _market(live)


def _product(one: bodies.FlexProductTerms) -> FlexProduct:
    names = ("direction", "min_duration", "max_duration", "max_activations_per_day", "min_rest")
    return FlexProduct(response_time_s=one.response_time_s, **{name: getattr(one, name) for name in names})


# --- auctions -------------------------------------------------------------------------------------


def _fields(entry: AuctionState) -> dict[str, Any]:
    auction = entry.auction
    names = ("number", "horizon", "product", "first", "count", "element")
    told = {name: getattr(auction, name) for name in names}
    return told | {"gate": utc(auction.gate), "area": list(auction.area), "cleared": entry.cleared}


def _auction(entry: AuctionState) -> bodies.Auction:
    return bodies.Auction(**_fields(entry))


def _request(live: Live, entry: AuctionState) -> bodies.Request:
    return bodies.Request(**_fields(entry), needs=[row for row in _rows(live, entry) if row.side == "buy"])


def _rows(live: Live, entry: AuctionState) -> list[bodies.FlexBidRow]:
    """Return the steps of an auction as they stand, or as it was cleared."""
    if entry.cleared:
        for one in reversed(live.follower.flex):
            event = one.event
            if isinstance(event, FlexAuctionCleared) and event.auction.number == entry.auction.number:
                return _told(live, event, event.accepted_kw.tolist())
    return [row for bids in entry.bids for row in _told(live, bids, [None] * len(bids.period))]


def _told(
    live: Live, event: FlexBidsSubmitted | FlexAuctionCleared, accepted: list[Any]
) -> list[bodies.FlexBidRow]:
    names = flex_terms(live).participants
    columns = (event.participant, event.side, event.period, event.quantity_kw, event.price)
    rows = zip(*(np.asarray(column).tolist() for column in columns), accepted, strict=True)
    return [
        bodies.FlexBidRow(
            participant=names[who],
            side=cast("Any", SIDES[side]),
            period=period,
            kw=kw,
            price=price,
            accepted_kw=taken,
        )
        for who, side, period, kw, price, taken in rows
    ]


def _find(live: Live, number: int) -> AuctionState:
    auctions = live.state.flex.auctions
    return known(auctions[number] if number < len(auctions) else None, f"auction {number}")


def _number(entry: AuctionState) -> tuple[int, ...]:
    return (entry.auction.number,)


@api.get("/flexibility/auctions", summary="List auctions")
async def auctions(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    _: Everyone,
    cleared: Annotated[bool | None, Query()] = None,
) -> Page[bodies.Auction]:
    """Return the auctions of flexibility in the order of their numbers."""
    rows = [entry for entry in live.state.flex.auctions if cleared in (None, entry.cleared)]
    return paged(page, response, rows, key=_number, make=_auction)


@api.get("/flexibility/auctions/{number}", summary="Read an auction")
async def auction(live: TheMarket, number: Count, _: Everyone) -> bodies.Auction:
    """Return an auction."""
    return _auction(_find(live, number))


@api.get("/flexibility/requests", summary="List requests")
async def requests(
    *, live: TheMarket, page: AskedPage, response: Response, _: Everyone
) -> Page[bodies.Request]:
    """Return what grid operators ask for: auctions with the steps of their buyers."""
    rows = live.state.flex.auctions
    return paged(page, response, rows, key=_number, make=lambda entry: _request(live, entry))


@api.post("/flexibility/requests", status_code=201, summary="Request flexibility")
async def request_flexibility(
    *, live: TheMarket, body: bodies.NewRequest, caller: Buyer, response: Response, repeat: Repeatable
) -> bodies.Request:
    """Announce an auction and bid in it what is needed; offers are taken until its gate."""
    caller.require(Subject(organisations=frozenset({body.buyer})))
    flex_terms(live)
    rules = None
    if body.horizon == "reservation":
        rules = ContractRules(
            activation_cap=body.activation_cap or 0.0,
            lead_periods=body.lead_periods,
            max_activations=body.max_activations,
        )
    needs_: dict[str, list[Any]] = {
        "participant": [body.buyer] * len(body.needs),
        "side": ["buy"] * len(body.needs),
        "period": [one.period for one in body.needs],
        "quantity": [one.kw for one in body.needs],
        "price": [one.price for one in body.needs],
    }
    auction_ = FlexAuction(
        number=len(live.state.flex.auctions),
        horizon=body.horizon,
        product=body.product,
        first=body.first,
        count=body.count,
        gate=seconds(body.gate),
        area=tuple(body.area),
        contract=rules,
        element=body.element,
    )
    done = await live.do(RequestFlexibility(at=live.now(), auction=auction_, bids=needs_), repeat)
    number = cast("Any", done.events[0]).auction.number
    response.headers["Location"] = f"/api/v1/flexibility/auctions/{number}"
    return _request(live, _find(live, number))


# --- offers ---------------------------------------------------------------------------------------


@api.get("/flexibility/auctions/{number}/offers", summary="List offers of an auction")
async def offers(
    *,
    live: TheMarket,
    number: Count,
    page: AskedPage,
    response: Response,
    caller: Annotated[Caller, needs("flex_offers.read")],
    participant: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[bodies.FlexBidRow]:
    """Return the steps that were offered, with what of each was accepted once the auction is cleared."""
    entry = _find(live, number)
    sold = [
        row for row in _rows(live, entry) if row.side == "sell" and participant in (None, row.participant)
    ]
    buyers = {row.participant for row in _rows(live, entry) if row.side == "buy"} if entry.cleared else set()
    mine = caller.only(sold, lambda row: deal(live, row.participant, *buyers))
    numbered = list(enumerate(mine))
    return paged(page, response, numbered, key=lambda one: (one[0],), make=lambda one: one[1])


@api.post("/flexibility/auctions/{number}/offers", status_code=201, summary="Offer flexibility")
async def offer(
    *, live: TheMarket, number: Count, body: bodies.NewOffer, caller: Seller, repeat: Repeatable
) -> list[bodies.FlexBidRow]:
    """Offer in an auction: one set of steps per period; who wants to change it withdraws it first."""
    caller.require(live.subject(body.participant))
    flex_terms(live)
    _find(live, number)
    columns: dict[str, list[Any]] = {
        "participant": [body.participant] * len(body.steps),
        "side": ["sell"] * len(body.steps),
        "period": [one.period for one in body.steps],
        "quantity": [one.kw for one in body.steps],
        "price": [one.price for one in body.steps],
    }
    done = await live.do(SubmitFlexBids(at=live.now(), auction=number, bids=columns), repeat)
    event = cast("FlexBidsSubmitted", done.events[0])
    return _told(live, event, [None] * len(event.period))


@api.delete("/flexibility/auctions/{number}/offers/{participant}", summary="Take an offer back")
async def withdraw(
    *, live: TheMarket, number: Count, participant: Place, caller: Seller, repeat: Repeatable
) -> bodies.Carried:
    """Take all that a participant offers in an auction back before its gate."""
    caller.require(live.subject(participant))
    flex_terms(live)
    _find(live, number)
    command = WithdrawFlexBids(at=live.now(), auction=number, participant=participant)
    return carried(await live.do(command, repeat))


def carried(done: Any) -> bodies.Carried:
    """Return what a command that was carried out is answered with."""
    event = done.events[0]
    return bodies.Carried(event=done.first, at=utc(event.at), what=type(event).__name__)


# --- tenders --------------------------------------------------------------------------------------


@api.post("/flexibility/tenders", status_code=201, summary="Decide a tender")
async def tender(
    *, live: TheMarket, body: bodies.NewTender, caller: Buyer, repeat: Repeatable
) -> bodies.TenderResult:
    """Decide on the bids that came in for a tender: contracts for those who win, a reason for the others."""
    caller.require(Subject(organisations=frozenset({body.buyer})))
    product = dict(flex_terms(live).products).get(body.product)
    if product is None:
        raise wrong(
            "reference_unknown", "product", body.product, fix="name a product of the flexibility market"
        )
    command = AwardTender(
        at=live.now(),
        product=body.product,
        tender=Tender(
            name=body.name,
            buyer=body.buyer,
            product=product,
            area=tuple(body.area),
            windows=tuple((one.first, one.count) for one in body.windows),
            need_kw=np.array([one.need_kw for one in body.windows]),
            expected_calls=body.expected_calls,
        ),
        bids=tuple(_tender_bid(one) for one in body.bids),
    )
    event = cast("TenderAwarded", (await live.do(command, repeat)).events[0])
    rows = zip(event.bid, event.window, event.reason, strict=True)
    return bodies.TenderResult(
        name=event.tender,
        bids=[
            bodies.TenderBidResult(
                participant=event.participant[bid], kw=float(event.volume_kw[bid, window]), reason=reason
            )
            for bid, window, reason in rows
        ],
        contracts=[contract.id for contract in event.contracts],
    )


def _tender_bid(one: bodies.TenderOffer) -> TenderBid:
    return TenderBid(
        participant=one.participant,
        min_kw=one.min_kw,
        max_kw=one.max_kw,
        availability=one.availability,
        utilisation=one.utilisation,
    )
