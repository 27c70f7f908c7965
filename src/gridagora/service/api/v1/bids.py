"""Bids: one at a time by the shortest way, many at once, taken back, and what became of them."""

import csv
import io
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property, partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gridagora.engine.live.commands import SubmitBids, WithdrawBids
from gridagora.engine.live.refusals import refusal
from gridagora.errors import Fault, InputError
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import BidsTaken, BidsWithdrawn
from gridagora.service.api.jobs import accepted
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.parts import Tally, sound_rows, take_in_parts
from gridagora.service.api.v1.tools import (
    AskedId,
    AskedSpan,
    Live,
    Span,
    TheMarket,
    known,
    live_of,
    seconds,
    utc,
    wrong,
)
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here, service_of
from gridagora.service.headers import Command, Repeatable, command
from gridagora.service.jobs import Progress, Work
from gridagora.service.limits import JSON, Taken, media_type, parse_json, read_body, takes
from gridagora.service.models.base import Count, money
from gridagora.service.models.jobs import JobState
from gridagora.service.models.market import (
    MOST_BIDS,
    MOST_ROWS,
    Bid,
    BidLine,
    BidTaken,
    BulkBids,
    BulkTaken,
    ManyBids,
    NewBid,
    Withdrawal,
    Withdrawn,
)
from gridagora.service.pages import AskedPage, Page
from gridagora.service.problems import Problem
from gridagora.service.routes import PREFIX, GuardedRoute, router
from gridagora.service.settings import MIB
from gridagora.units import MICRO, WH_PER_KWH

api = router("bids")
SIDE = {"buy": 1, "sell": -1}
CSV = "text/csv"
MOST_BODY = 32 * MIB
LARGE_JSON = 4 * MIB
"""Bytes of a body beyond which it is read in a job."""

COLUMNS = ("period", "side", "price_micro", "quantity_wh")
Writer = Annotated[Caller, needs("bids.write")]
Reader = Annotated[Caller, needs("bids.read")]


class ShortRoute(GuardedRoute):
    """The route of single bids: what `GuardedRoute` does before it, and nothing of the framework after it.

    The endpoint says for the documentation what it takes; its ``shortly`` is what is called.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler: find the caller, read the body, check it in one pass, and bid."""
        action = str(self.action)

        async def handle(request: Request) -> Response:
            service = service_of(request)
            caller = request.state.caller = Caller(await service.tokens.of_request(request), action)
            settings = service.settings
            await read_body(
                request, Taken(), most_bytes=min(SHORT_BODY, settings.body_bytes), wait_s=settings.body_wait_s
            )
            body = validated(_BID, await request.json() if await request.body() else None)
            repeat = await command(request, request.headers.get("idempotency-key"))
            return await bid_now(live_of(request), body, caller, repeat=repeat)

        return handle

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; faults are told by the layer around all routes, and there is nothing to be closed."""
        response = await self._shortly(Request(scope, receive, send))
        await response(scope, receive, send)

    @cached_property
    def _shortly(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.get_route_handler()


short = APIRouter(prefix=PREFIX, tags=["bids"], route_class=ShortRoute)
"""Has the one route that is asked thousands of times a second; it stands before all others."""


@short.post("/bids", status_code=201, response_model=BidTaken, summary="Bid")
async def bid(*, live: TheMarket, body: NewBid, caller: Writer, repeat: Repeatable) -> Response:
    """Take a bid, for the session that auctions its period; it counts when the answer comes."""
    return await bid_now(live, body, caller, repeat=repeat)


async def bid_now(live: Live, body: NewBid, caller: Caller, *, repeat: Command) -> Response:
    """Take a bid and answer."""
    caller.require(live.subject(body.participant))
    terms = live.terms
    period, price, quantity = _columns_of(body, terms)
    order = SubmitBids(
        at=live.now(),
        actor=caller.identity.id,
        session=terms.session_of(period),
        participant=body.participant,
        period=(period,),
        side=(SIDE[body.side],),
        price=(price,),
        quantity=(quantity,),
    )
    done = await live.do(order, repeat)
    taken = done.events[0]
    if not isinstance(taken, BidsTaken):
        raise Problem("idempotency_key_reused")
    at = utc(taken.at).isoformat().replace("+00:00", "Z")
    return Response(
        f'{{"number":{taken.number},"session":{taken.session},"at":"{at}"}}',
        status_code=201,
        media_type=JSON,
        headers={"Location": f"/api/v1/bids/{taken.number}"},
    )


def _columns_of(body: NewBid, terms: LiveTerms) -> tuple[int, int, int]:
    """Return period, micro-price and Wh of a bid that says each in one of two ways."""
    faults: list[Fault] = []
    for one, other in (("period", "start"), ("price", "price_micro"), ("quantity_wh", "quantity_kwh")):
        given = [name for name in (one, other) if getattr(body, name) is not None]
        if len(given) != 1:
            code = "field_invalid" if given else "field_missing"
            faults.append(refusal(code, one, getattr(body, one), fix=f"write one of {one} and {other}"))
    period = body.period
    if body.start is not None:
        period = period_of(terms, seconds(body.start), "start", faults=faults)
    if faults:
        raise InputError(faults)
    price = body.price_micro if body.price is None else int(body.price * MICRO)
    quantity = body.quantity_wh if body.quantity_kwh is None else int(body.quantity_kwh * WH_PER_KWH)
    return int(period or 0), int(price or 0), int(quantity or 0)


def period_of(terms: LiveTerms, moment: int, place: str, *, faults: list[Fault]) -> int:
    """Return the period that begins at a moment; a moment at which none begins is added to the faults."""
    if (moment - terms.epoch) % terms.mtu_s or moment < terms.epoch:
        fix = f"periods begin every {terms.mtu_s} s from {utc(terms.epoch).isoformat()} on"
        faults.append(refusal("period_unknown", place, utc(moment).isoformat(), fix=fix))
    return terms.period_at(moment)


_BID = TypeAdapter(NewBid)
_BULK = TypeAdapter(BulkBids)
_MANY = TypeAdapter(ManyBids)
_LINES = TypeAdapter(list[BidLine])
SHORT_BODY = 16_384


@api.post(
    "/bids/bulk",
    status_code=201,
    response_model=BulkTaken,
    summary="Bid many times at once",
    responses={202: {"model": JobState, "description": "For very many, and if preferred: a job"}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": BulkBids.model_json_schema(ref_template="#/components/schemas/{model}")},
                CSV: {"schema": {"type": "string"}, "example": ",".join(COLUMNS) + "\n8,buy,250000,1500\n"},
            },
        }
    },
)
@takes(JSON, CSV, most_bytes=MOST_BODY, unread_bytes=LARGE_JSON)
async def bulk(
    *,
    live: TheMarket,
    service: Here,
    request: Request,
    caller: Writer,
    repeat: Repeatable,
    participant: Annotated[str | None, Query(max_length=200, description="of a CSV file")] = None,
    session: Annotated[Count | None, Query(description="of a CSV file")] = None,
) -> Any:
    """Take up to 10,000 bids of a participant in a session, all or none; or up to 200,000 in a job.

    A CSV file has the columns period, side (buy or sell), price_micro and quantity_wh; whose it is and for
    which session are told by the address.  With ``Prefer: respond-async`` the answer is a job.  More bids
    than 10,000 become one in which each bid is taken or refused by itself.
    """
    body, told = await request.body(), None
    if media_type(request) == CSV:
        name, number = _told(participant, session), _whole(session)
        caller.require(live.subject(name))
        if body.count(b"\n") > MOST_BIDS + 1:
            work: Work = partial(
                _file_in_parts, live=live, caller=caller, body=body, name=name, session=number, repeat=repeat
            )
            return await accepted(service, caller, "bids", work=work, repeat=repeat, held=len(body))
        columns = read_csv(body.decode("utf-8-sig"))
    else:
        told = await request.json() if 0 < len(body) <= LARGE_JSON else None
        lines = told.get("bids") if isinstance(told, dict) else None
        if len(body) > LARGE_JSON or (isinstance(lines, list) and len(lines) > MOST_BIDS):
            caller.only((), live.subject)  # the work asks for the participant
            work = partial(_json_in_parts, live=live, caller=caller, body=body, repeat=repeat)
            return await accepted(service, caller, "bids", work=work, repeat=repeat, held=len(body))
        many = validated(_BULK, told)
        name, number, columns = many.participant, many.session, _columns(many.bids)
    caller.require(live.subject(name))
    order = _order(live, caller, name, session=number, columns=columns)
    if "respond-async" in request.headers.get("prefer", ""):
        return await accepted(
            service, caller, "bids", work=partial(_work, live, order, repeat), repeat=repeat, held=len(body)
        )
    done = await live.do(order, repeat)
    return _bulk_taken(done.events[0])


def _columns(lines: Iterable[BidLine]) -> dict[str, list[int]]:
    found = [(one.period, SIDE[one.side], one.price_micro, one.quantity_wh) for one in lines]
    return {name: [row[k] for row in found] for k, name in enumerate(COLUMNS)}


def _order(
    live: Live, caller: Caller, name: str, *, session: int, columns: Mapping[str, list[int]]
) -> SubmitBids:
    return SubmitBids(
        at=live.now(),
        actor=caller.identity.id,
        session=session,
        participant=name,
        period=np.array(columns["period"], np.int64),
        side=np.array(columns["side"], np.int64),
        price=np.array(columns["price_micro"], np.int64),
        quantity=np.array(columns["quantity_wh"], np.int64),
    )


def _work(live: Live, order: SubmitBids, repeat: Command, *_progress: Any) -> dict[str, Any]:
    """Carry a command out in the thread of jobs."""
    done = live.market.submit(order, key=repeat.key, request=repeat.request).result()
    return _bulk_taken(done.events[0]).model_dump(mode="json")


def _json_in_parts(
    progress: Progress, *, live: Live, caller: Caller, body: bytes, repeat: Command
) -> dict[str, Any]:
    """Take the bids of a JSON body one by one; called in the thread of jobs."""
    told = validated(_MANY, parse_json(body))
    caller.require(live.subject(told.participant))
    tally = Tally(total=len(told.bids))
    lines, numbers = sound_rows(_LINES, told.bids, "bids", tally=tally)
    order = _order(live, caller, told.participant, session=told.session, columns=_columns(lines))
    take_in_parts(
        live, order, repeat, place_of=lambda row: f"bids[{numbers[row]}]", tally=tally, progress=progress
    )
    return tally.document()


def _file_in_parts(
    progress: Progress,
    *,
    live: Live,
    caller: Caller,
    body: bytes,
    name: str,
    session: int,
    repeat: Command,
) -> dict[str, Any]:
    """Take the bids of a CSV file one by one; called in the thread of jobs."""
    columns = read_csv(body.decode("utf-8-sig"), most=MOST_ROWS)
    tally = Tally(total=len(columns["period"]))
    order = _order(live, caller, name, session=session, columns=columns)
    take_in_parts(live, order, repeat, place_of=lambda row: f"line {row + 2}", tally=tally, progress=progress)
    return tally.document()


def _bulk_taken(taken: Any) -> BulkTaken:
    return BulkTaken(
        session=taken.session, first_number=taken.number, count=len(taken.period), at=utc(taken.at)
    )


def _told(participant: str | None, session: int | None) -> str:
    missing = [name for name, value in (("participant", participant), ("session", session)) if value is None]
    if missing or participant is None:
        faults = [
            refusal("field_missing", f"query.{name}", None, fix=f"add ?{name}=... ") for name in missing
        ]
        raise InputError(faults)
    return participant


def _whole(session: int | None) -> int:
    return int(session or 0)


def validated(adapter: TypeAdapter[Any], value: Any) -> Any:
    """Return a body as its model; a body with faults is told as FastAPI tells it."""
    from fastapi.exceptions import RequestValidationError

    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        faults = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(faults) from None


def read_csv(text: str, *, most: int = MOST_BIDS) -> dict[str, list[int]]:
    r"""Return the columns of a CSV file of bids, with every fault of its first rows.

    >>> read_csv("period,side,price_micro,quantity_wh\n8,buy,250000,1500\n")["side"]
    [1]
    """
    rows = list(csv.reader(io.StringIO(text)))
    head = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in COLUMNS if name not in head]
    if missing:
        fix = f"the first line is {','.join(COLUMNS)}"
        raise InputError([refusal("field_missing", f"column {name}", None, fix=fix) for name in missing])
    lines = [row for row in rows[1:] if row]
    if not 0 < len(lines) <= most:
        raise wrong(
            "no_rows", "rows", len(lines), reason="too few or too many rows", fix=f"send 1 to {most:,}"
        )
    faults: list[Fault] = []
    columns = {name: [_cell(row, line, head.index(name), faults=faults) for line, row in enumerate(lines, 2)]
               for name in COLUMNS}  # fmt: skip
    if faults:
        raise InputError(faults[:100])
    return columns


def _cell(row: list[str], line: int, place: int, *, faults: list[Fault]) -> int:
    text = row[place].strip() if place < len(row) else ""
    if text in SIDE:
        return SIDE[text]
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 15:
        return int(text)
    faults.append(refusal("not_whole", f"line {line}", text, fix="write a whole number, or buy or sell"))
    return 0


@api.get("/bids", summary="List bids")
async def bids(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: AskedId = None,
    session: Annotated[Count | None, Query()] = None,
) -> Page[Bid]:
    """Return bids in the order of their numbers, with what became of them."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    after = page.after(int)
    asked = reads.bids(
        live, names, span, session=session, after=0 if after is None else int(after[0]), most=page.fetch
    )
    rows = await reads.fetch(service, live, asked)
    return page.page(response, _bids(live, rows), key=lambda one: (one.number,))


@api.get("/bids/{number}", summary="Read a bid")
async def one_bid(*, live: TheMarket, service: Here, number: Count, caller: Reader) -> Bid:
    """Return a bid with what became of it."""
    names = reads.numbers(live, reads.whose(live, caller, None))
    rows = await reads.fetch(service, live, reads.bids(live, names, Span(None, None), number=number))
    return known(next(iter(_bids(live, rows)), None), f"bid {number} of yours")


@api.delete("/bids/{number}", summary="Take a bid back")
async def withdraw_one(
    *, live: TheMarket, service: Here, number: Count, caller: Writer, repeat: Repeatable
) -> Withdrawn:
    """Take one bid back before the gate."""
    names = reads.numbers(live, reads.whose(live, caller, None))
    rows = await reads.fetch(service, live, reads.bids(live, names, Span(None, None), number=number))
    row = known(rows[0] if rows else None, f"bid {number} of yours")
    order = WithdrawBids(
        at=live.now(),
        actor=caller.identity.id,
        session=row.session,
        participant=reads.Names(live)[row.participant],
        numbers=(number,),
    )
    return _withdrawn((await live.do(order, repeat)).events)


@api.post("/bids/withdrawals", status_code=201, summary="Take bids back")
async def withdraw(*, live: TheMarket, body: Withdrawal, caller: Writer, repeat: Repeatable) -> Withdrawn:
    """Take bids of a participant in a session back before the gate: those that are named, or all."""
    caller.require(live.subject(body.participant))
    order = WithdrawBids(
        at=live.now(),
        actor=caller.identity.id,
        session=body.session,
        participant=body.participant,
        numbers=tuple(body.numbers),
    )
    return _withdrawn((await live.do(order, repeat)).events)


def _withdrawn(events: Iterable[object]) -> Withdrawn:
    found = next(event for event in events if isinstance(event, BidsWithdrawn))
    return Withdrawn(numbers=found.numbers.tolist())


def _bids(live: Live, rows: Iterable[Any]) -> list[Bid]:
    names, terms = reads.Names(live), live.terms
    return [
        Bid(
            number=row.number,
            participant=names[row.participant],
            session=row.session,
            period=row.period,
            start=utc(terms.begins(row.period)),
            side="buy" if row.side > 0 else "sell",
            price=money(row.price_micro),
            price_micro=row.price_micro,
            quantity_wh=row.quantity_wh,
            status=_status(row),
            accepted_wh=row.accepted_wh,
        )
        for row in rows
    ]


def _status(row: Any) -> Any:
    if row.withdrawn:
        return "withdrawn"
    if not row.public:
        return "standing"
    if row.accepted_wh is None:
        return "not_admitted"
    if row.accepted_wh == 0:
        return "not_accepted"
    return "accepted" if row.accepted_wh >= row.quantity_wh else "partly_accepted"
