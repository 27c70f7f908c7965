"""Paired redispatch: orders of those who are willing, and the pairs that a grid operator has made of them."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

from starlette.responses import Response

from gridagora.engine.flexibility.commands import SubmitRedispatchOrder, WithdrawRedispatchOrder
from gridagora.engine.live.flex_commands import RelieveArea
from gridagora.model.flexibility_events import RedispatchPaired
from gridagora.model.flexibility_market import FlexMarketTerms, RedispatchOrder
from gridagora.service.api.v1.deals import deal, flex_terms
from gridagora.service.api.v1.flexibility import Buyer, Seller, carried
from gridagora.service.api.v1.tools import AskedId, AskedSpan, Live, TheMarket, paged, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import Subject
from gridagora.service.headers import Repeatable
from gridagora.service.models import flexibility as bodies
from gridagora.service.models.base import Count, Place, money
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.units import amount_micro

api = router("flexibility")
LEAST_KW = 1e-3


@api.get("/flexibility/redispatch-orders", summary="List orders of redispatch")
async def orders(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Annotated[Caller, needs("flex_offers.read")],
) -> Page[bodies.RedispatchOrderOut]:
    """Return orders that wait for a pair: to who gave them; grid operators see what is paired for them."""
    terms = flex_terms(live)
    waiting = [one for one in live.state.flex.willing if span.holds(terms.begins(one.period))]
    mine = caller.only(waiting, lambda one: live.subject(one.participant))
    rows = sorted(mine, key=lambda one: (one.period, one.participant))
    return paged(
        page,
        response,
        rows,
        key=lambda one: (one.period, one.participant),
        make=lambda one: _order(terms, one),
        kinds=(int, str),
    )


def _order(terms: FlexMarketTerms, one: RedispatchOrder) -> bodies.RedispatchOrderOut:
    names = ("participant", "side", "period", "kw", "price")
    fields: dict[str, Any] = {name: getattr(one, name) for name in names}
    return bodies.RedispatchOrderOut(start=utc(terms.begins(one.period)), **fields)


@api.post("/flexibility/redispatch-orders", status_code=201, summary="Be willing to change a schedule")
async def order(
    *, live: TheMarket, body: bodies.NewRedispatchOrder, caller: Seller, repeat: Repeatable
) -> bodies.RedispatchOrderOut:
    """Sell (import less) or buy (import more) in a period, if it is paired with an opposite order."""
    caller.require(live.subject(body.participant))
    terms = flex_terms(live)
    one = RedispatchOrder(
        participant=body.participant, side=body.side, period=body.period, kw=body.kw, price=body.price
    )
    await live.do(SubmitRedispatchOrder(at=live.now(), order=one), repeat)
    return _order(terms, one)


@api.delete(
    "/flexibility/redispatch-orders/{participant}/{period}", summary="Take an order of redispatch back"
)
async def withdraw(
    *, live: TheMarket, participant: Place, period: Count, caller: Seller, repeat: Repeatable
) -> bodies.Carried:
    """Take the order of a participant for a period back before it is paired."""
    caller.require(live.subject(participant))
    flex_terms(live)
    command = WithdrawRedispatchOrder(at=live.now(), participant=participant, period=period)
    return carried(await live.do(command, repeat))


@api.get("/flexibility/redispatch", summary="List paired redispatch")
async def redispatch(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Annotated[Caller, needs("flex_orders.read")],
    participant: AskedId = None,
) -> Page[bodies.RedispatchRow]:
    """Return who sold, bought and paid for what was paired: one's own part, its grid operator all of it."""
    terms = flex_terms(live)
    rows = [
        row
        for numbered in live.follower.flex
        if isinstance(numbered.event, RedispatchPaired)
        for row in _rows(terms, numbered.seq, numbered.event)
        if span.holds(int(row.start.timestamp())) and participant in (None, row.participant)
    ]
    mine = caller.only(rows, lambda row: deal(live, row.participant, row.buyer))
    return paged(
        page, response, mine, key=lambda row: (row.event, row.row), make=lambda row: row, kinds=(int, int)
    )


def _rows(terms: FlexMarketTerms, seq: int, event: RedispatchPaired) -> Iterator[bodies.RedispatchRow]:
    names, buyer, number = terms.participants, ", ".join(event.buyers), 0
    columns = (event.period, event.seller, event.buyer, event.kw, event.energy_wh)
    prices = zip(event.ask_micro.tolist(), event.bid_micro.tolist(), strict=True)
    pairs = zip(*(column.tolist() for column in columns), prices, strict=True)
    for period, seller, taker, kw, energy_wh, (ask, bid) in pairs:
        sides = (("sell", seller, ask, 1), ("buy", taker, bid, -1))
        spread = 0
        for side, who, price, sign in sides:
            amount = sign * int(amount_micro(energy_wh, price))
            spread -= amount
            yield _row(
                terms,
                seq,
                number,
                who=(names[who], buyer, side),
                period=period,
                kw=kw,
                price=price,
                amount=amount,
            )
            number += 1
        yield _row(
            terms, seq, number, who=(buyer, buyer, "spread"), period=period, kw=kw, price=None, amount=spread
        )
        number += 1


def _row(
    terms: FlexMarketTerms,
    seq: int,
    number: int,
    *,
    who: tuple[str, str, str],
    period: int,
    kw: float,
    price: int | None,
    amount: int,
) -> bodies.RedispatchRow:
    return bodies.RedispatchRow(
        event=seq,
        row=number,
        participant=who[0],
        buyer=who[1],
        side=cast("Any", who[2]),
        period=period,
        start=utc(terms.begins(period)),
        kw=kw,
        price_micro=price,
        amount=money(amount),
        amount_micro=amount,
    )


@api.post("/flexibility/redispatch", status_code=201, summary="Pair redispatch")
async def pair(
    *, live: TheMarket, body: bodies.NewRedispatch, caller: Buyer, repeat: Repeatable
) -> bodies.RedispatchResult:
    """Pair orders inside an area with opposite ones outside, at the least spread that the grid carries."""
    caller.require(Subject(organisations=frozenset({body.buyer})))
    terms = flex_terms(live)
    needed = {one.period: one.kw for one in body.needs}
    if len(needed) < len(body.needs):
        raise wrong("duplicate_period", "needs", len(body.needs), fix="name each period once")
    command = RelieveArea(
        at=live.now(),
        buyer=body.buyer,
        inside=tuple(_inside(live, body.area)),
        relieves=body.relieves,
        periods=tuple(needed),
        needed_kw=tuple(needed.values()),
    )
    done = await live.do(command, repeat)
    event, names = cast("RedispatchPaired", done.events[0]), terms.participants
    for period, kw in zip(event.period.tolist(), event.kw.tolist(), strict=True):
        needed[period] -= kw
    rejected = zip(
        event.rejected_period.tolist(),
        event.rejected_inside.tolist(),
        event.rejected_outside.tolist(),
        event.rejected_kw.tolist(),
        event.rejected_reason,
        strict=True,
    )
    return bodies.RedispatchResult(
        event=done.first,
        rows=list(_rows(terms, done.first, event)),
        rejected=[
            bodies.RejectedPair(period=period, inside=names[one], outside=names[other], kw=kw, reason=reason)
            for period, one, other, kw, reason in rejected
        ],
        missing=[
            bodies.MissingRelief(period=period, kw=round(kw, 3))
            for period, kw in needed.items()
            if kw >= LEAST_KW
        ],
    )


def _inside(live: Live, area: list[str]) -> Iterator[str]:
    """Yield the sellers in an area of zones, buses and participants; every place must be there."""
    context, points = live.market.context, flex_terms(live).points
    zones = set() if context.zones is None else {zone.name for zone in context.zones.tree.zones}
    places = context.buses | zones | {point.participant for point in points}
    for place in area:
        if place not in places:
            raise wrong("place_unknown", "area", place, fix="name zones, buses or sellers of this market")
    wanted = set(area)
    for point in points:
        if wanted & {point.participant, point.bus, *live.areas_of_bus(point.bus)}:
            yield point.participant
