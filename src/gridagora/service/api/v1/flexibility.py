"""The flexibility market: its terms, requests of grid operators, auctions, offers."""

from collections.abc import Iterable
from typing import Annotated, Any, cast

import numpy as np
from fastapi import Query
from starlette.responses import Response

from gridagora.engine.flexibility.commands import OpenFlexMarket, SubmitFlexBids, WithdrawFlexBids
from gridagora.engine.flexibility.state import AuctionState
from gridagora.engine.live.flex_commands import RequestFlexibility
from gridagora.engine.live.flexing import sellers
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_events import FlexAuctionCleared, FlexBidsSubmitted
from gridagora.model.flexibility_market import ContractRules, FlexAuction, FlexMarketTerms
from gridagora.service.api.v1.deals import deal, flex_terms
from gridagora.service.api.v1.tools import AskedId, Live, TheMarket, known, paged, seconds, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import Subject, may
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

PRICE_DIGITS = 9
"""Digits of a clearing price that are told; what is behind them is noise of computing the mean of two."""


@api.get("/flexibility/market", summary="The flexibility market")
async def market(live: TheMarket, caller: Everyone) -> bodies.FlexMarket:
    """Return what is traded, who buys, and from which period on; sellers as far as the caller knows them."""
    return _market(live, caller)


def _market(live: Live, caller: Caller) -> bodies.FlexMarket:
    terms = flex_terms(live)
    return bodies.FlexMarket(
        products=[name for name, _ in terms.products],
        points=_known_to(live, caller, (point.participant for point in terms.points)),
        baseline=terms.baseline,
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
    """Open it once; who sells are the active participants that have a connection of known capacity."""
    if live.state.flex.terms is not None:
        raise wrong("market_open", "flexibility market", caller.identity.id, fix="use the one that is open")
    terms = FlexMarketTerms(
        points=tuple(sellers(live.state)),
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
        baseline=body.baseline,
    )
    await live.do(OpenFlexMarket(at=live.now(), terms=terms), repeat)
    return _market(live, caller)


def _product(one: bodies.FlexProductTerms) -> FlexProduct:
    names = ("direction", "min_duration", "max_duration", "max_activations_per_day", "min_rest")
    return FlexProduct(response_time_s=one.response_time_s, **{name: getattr(one, name) for name in names})


# --- auctions -------------------------------------------------------------------------------------


def _known_to(live: Live, caller: Caller, names: Iterable[str]) -> list[str]:
    """Return the participants whose connection points a caller may see."""
    return [name for name in names if may(caller.identity, "connections.read", live.subject(name))]


def _fields(live: Live, caller: Caller, entry: AuctionState) -> dict[str, Any]:
    auction = entry.auction
    names = ("number", "horizon", "product", "first", "count", "element")
    told = {name: getattr(auction, name) for name in names}
    area, prices = _known_to(live, caller, auction.area), []
    cleared = _cleared(live, entry)
    if cleared is not None:
        found = enumerate(cleared.clearing_price.tolist(), auction.first)
        prices = [
            bodies.AuctionPrice(period=period, price=round(price, PRICE_DIGITS))
            for period, price in found
            if price == price
        ]
    gate = utc(auction.gate)
    return told | {"gate": gate, "area": area, "cleared": entry.cleared, "prices": prices}


def _auction(live: Live, caller: Caller, entry: AuctionState) -> bodies.Auction:
    return bodies.Auction(**_fields(live, caller, entry))


def _request(live: Live, caller: Caller, entry: AuctionState) -> bodies.Request:
    """Return an auction with its needs; limit prices are their buyer's, as bids of the market are."""
    needs_ = [
        bodies.NeedRow(
            buyer=row.participant,
            period=row.period,
            kw=row.kw,
            price=row.price if own else None,
            accepted_kw=row.accepted_kw if own else None,
        )
        for row in _rows(live, entry)
        if row.side == "buy"
        for own in (may(caller.identity, "flex_offers.read", deal(live, row.participant)),)
    ]
    return bodies.Request(**_fields(live, caller, entry), needs=needs_)


def _cleared(live: Live, entry: AuctionState) -> FlexAuctionCleared | None:
    """Return how an auction was cleared, or None."""
    if not entry.cleared:
        return None
    found = (one.event for one in reversed(live.follower.flex) if isinstance(one.event, FlexAuctionCleared))
    return next((event for event in found if event.auction.number == entry.auction.number), None)


def _rows(live: Live, entry: AuctionState) -> list[bodies.FlexBidRow]:
    """Return the steps of an auction as they stand, or as it was cleared."""
    event = _cleared(live, entry)
    if event is not None:
        return _told(live, event, event.accepted_kw.tolist())
    return [row for bids in entry.bids for row in _told(live, bids, [None] * len(bids.period))]


def _told(
    live: Live, event: FlexBidsSubmitted | FlexAuctionCleared, accepted: list[Any]
) -> list[bodies.FlexBidRow]:
    terms = flex_terms(live)
    names = terms.participants
    if isinstance(event, FlexAuctionCleared):
        names = terms.participants_then(len(event.capacity_kw))
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
    caller: Everyone,
    cleared: Annotated[bool | None, Query()] = None,
) -> Page[bodies.Auction]:
    """Return the auctions of flexibility in the order of their numbers."""
    rows = [entry for entry in live.state.flex.auctions if cleared in (None, entry.cleared)]
    return paged(page, response, rows, key=_number, make=lambda entry: _auction(live, caller, entry))


@api.get("/flexibility/auctions/{number}", summary="Read an auction")
async def auction(live: TheMarket, number: Count, caller: Everyone) -> bodies.Auction:
    """Return an auction."""
    return _auction(live, caller, _find(live, number))


@api.get("/flexibility/requests", summary="List requests")
async def requests(
    *, live: TheMarket, page: AskedPage, response: Response, caller: Everyone
) -> Page[bodies.Request]:
    """Return what grid operators ask for: auctions with what is needed; what they would pay is theirs."""
    rows = live.state.flex.auctions
    return paged(page, response, rows, key=_number, make=lambda entry: _request(live, caller, entry))


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
    return _request(live, caller, _find(live, number))


# --- offers ---------------------------------------------------------------------------------------


@api.get("/flexibility/auctions/{number}/offers", summary="List offers of an auction")
async def offers(
    *,
    live: TheMarket,
    number: Count,
    page: AskedPage,
    response: Response,
    caller: Annotated[Caller, needs("flex_offers.read")],
    participant: AskedId = None,
) -> Page[bodies.FlexBidRow]:
    """Return the steps that were offered; who bought in a period sees those of it that were accepted."""
    entry = _find(live, number)
    rows = _rows(live, entry)
    sold = [row for row in rows if row.side == "sell" and participant in (None, row.participant)]
    buyers: dict[int, set[str]] = {}
    for row in rows:
        if row.side == "buy" and row.accepted_kw:
            buyers.setdefault(row.period, set()).add(row.participant)

    def whose(row: bodies.FlexBidRow) -> Subject:
        return deal(live, row.participant, *(buyers.get(row.period, ()) if row.accepted_kw else ()))

    mine = caller.only(sold, whose)
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
