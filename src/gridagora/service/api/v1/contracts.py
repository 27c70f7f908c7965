"""Contracts of flexibility and their calls, the continuous market, orders of delivery, activations."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

import numpy as np
from starlette.responses import Response

from gridagora.engine.flexibility.commands import (
    CallReservations,
    CancelFlexOrder,
    DispatchContract,
    ReleaseReservation,
    SubmitFlexOrder,
)
from gridagora.engine.flexibility.state import ContractState, product_number
from gridagora.errors import InputError
from gridagora.model.flexibility_events import (
    ContractDispatched,
    FlexOrderTaken,
    ReservationsCalled,
)
from gridagora.service.api.v1.deals import deal, flex_terms
from gridagora.service.api.v1.flexibility import Buyer, Seller, carried
from gridagora.service.api.v1.limits import place_of
from gridagora.service.api.v1.tools import AskedId, AskedSpan, Live, TheMarket, known, paged, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import Subject, may
from gridagora.service.headers import Repeatable
from gridagora.service.models import flexibility as bodies
from gridagora.service.models.base import Count, Place
from gridagora.service.pages import AskedPage, Page
from gridagora.service.problems import Problem
from gridagora.service.routes import router

api = router("flexibility")
Reader = Annotated[Caller, needs("flex_orders.read")]
Activator = Annotated[Caller, needs("activations.write")]
TRIES = 5


def _contract(live: Live, entry: ContractState) -> bodies.Contract:
    contract = entry.contract
    names = ("id", "buyer", "seller", "source", "activation")
    return bodies.Contract(
        **{name: getattr(contract, name) for name in names},
        product=flex_terms(live).products[entry.product][0],
        periods=list(contract.periods),
        reserved_kw=np.asarray(contract.reserved_kw).tolist(),
        availability_micro_per_kw_h=contract.availability_micro_per_kw_h,
        activation_cap_micro_per_kwh=contract.activation_cap_micro_per_kwh,
        calls=len(entry.calls),
        tests=entry.tests,
    )


def _entry(live: Live, id_: str) -> ContractState | None:
    return next((entry for entry in live.state.flex.contracts if entry.contract.id == id_), None)


def _parties(live: Live, entry: ContractState) -> Subject:
    return deal(live, entry.contract.seller, entry.contract.buyer)


@api.get("/flexibility/contracts", summary="List contracts")
async def contracts(
    *, live: TheMarket, page: AskedPage, response: Response, caller: Reader, participant: AskedId = None
) -> Page[bodies.Contract]:
    """Return contracts that reserve flexibility, for their sellers and buyers, by their ids."""
    found = sorted(live.state.flex.contracts, key=lambda entry: entry.contract.id)
    mine = caller.only(found, lambda entry: _parties(live, entry))
    rows = [entry for entry in mine if participant in (None, entry.contract.seller)]
    return paged(
        page,
        response,
        rows,
        key=lambda entry: (entry.contract.id,),
        make=lambda entry: _contract(live, entry),
        kinds=(str,),
    )


@api.get("/flexibility/contracts/{id}", summary="Read a contract")
async def contract(live: TheMarket, id: Place, caller: Reader) -> bodies.Contract:
    """Return a contract."""
    entry = _entry(live, id)
    caller.require(Subject() if entry is None else _parties(live, entry))
    return _contract(live, known(entry, f"contract {id}"))


def _bought(live: Live, caller: Caller, ids: list[str]) -> None:
    """Refuse contracts that the caller did not buy, and such as are not there."""
    for id_ in ids:
        entry = _entry(live, id_)
        buyers = frozenset() if entry is None else frozenset({entry.contract.buyer})
        caller.require(Subject(organisations=buyers))
        known(entry, f"contract {id_}")


def _same_length(periods: list[int], kw: list[float]) -> None:
    if len(periods) != len(kw):
        raise wrong("columns_differ", "kw", len(kw), fix=f"give one entry per period, {len(periods)}")


@api.post("/flexibility/calls", status_code=201, summary="Call reserved power")
async def call(
    *, live: TheMarket, body: bodies.NewCall, caller: Activator, repeat: Repeatable
) -> bodies.Carried:
    """Oblige holders of contracts to offer their power in these periods, or test it once without pay."""
    flex_terms(live)
    _same_length(body.periods, body.kw)
    _bought(live, caller, body.contracts)
    command = CallReservations(
        at=live.now(),
        contracts=tuple(body.contracts),
        periods=tuple(body.periods),
        requested_kw=tuple(body.kw),
        test=body.test,
    )
    return carried(await live.do(command, repeat))


@api.post("/flexibility/contracts/{id}/releases", status_code=201, summary="Release reserved power")
async def release(
    *, live: TheMarket, id: Place, body: bodies.PowerByPeriod, caller: Buyer, repeat: Repeatable
) -> bodies.Carried:
    """Give reserved power free: what is told stays reserved; it can only shrink."""
    flex_terms(live)
    _same_length(body.periods, body.kw)
    _bought(live, caller, [id])
    command = ReleaseReservation(at=live.now(), contract=id, periods=tuple(body.periods), kw=tuple(body.kw))
    return carried(await live.do(command, repeat))


@api.post("/flexibility/contracts/{id}/dispatches", status_code=201, summary="Dispatch a contract")
async def dispatch(
    *, live: TheMarket, id: Place, body: bodies.PowerByPeriod, caller: Activator, repeat: Repeatable
) -> bodies.Carried:
    """Order power of a contract directly at its utilisation price."""
    flex_terms(live)
    _same_length(body.periods, body.kw)
    _bought(live, caller, [id])
    command = DispatchContract(
        at=live.now(), contract=id, periods=tuple(body.periods), kw=tuple(body.kw), test=body.test
    )
    return carried(await live.do(command, repeat))


# --- the continuous market ------------------------------------------------------------------------


@api.get("/flexibility/book", summary="Order book of the continuous market")
async def book(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    caller: Annotated[Caller, needs("market.read")],
    product: AskedId = None,
) -> Page[bodies.Order]:
    """Return the orders that rest; who gave one is told to those who may see it."""
    terms = flex_terms(live)
    found = [
        bodies.Order(
            number=resting.bid.number,
            product=name,
            participant=_if_known(live, caller, resting.bid.participant),
            side=resting.bid.side,
            first=resting.bid.first,
            periods=resting.bid.periods,
            kw=max(resting.open_kw, default=0.0),
            price=resting.bid.price,
        )
        for (name, _), state in zip(terms.products, live.state.flex.books, strict=True)
        if product in (None, name)
        for resting in (*state.buys, *state.sells)
    ]
    found.sort(key=lambda one: (one.product, one.number))
    return paged(
        page,
        response,
        found,
        key=lambda one: (one.product, one.number),
        make=lambda one: one,
        kinds=(str, int),
    )


def _if_known(live: Live, caller: Caller, who: str) -> str | None:
    return who if may(caller.identity, "flex_orders.read", deal(live, who)) else None


@api.post("/flexibility/orders", status_code=201, summary="Order in the continuous market")
async def order(
    *, live: TheMarket, body: bodies.NewOrder, caller: Seller, repeat: Repeatable
) -> bodies.OrderTaken:
    """Sell flexibility until the gate of its period, or buy back what was sold."""
    caller.require(live.subject(body.participant))
    return await _order(live, body, repeat)


@api.post("/flexibility/operator-orders", status_code=201, summary="Order as a grid operator")
async def operator_order(
    *, live: TheMarket, body: bodies.NewOrder, caller: Buyer, repeat: Repeatable
) -> bodies.OrderTaken:
    """Buy flexibility in the continuous market for a grid operator."""
    caller.require(Subject(organisations=frozenset({body.participant})))
    return await _order(live, body, repeat)


async def _order(live: Live, body: bodies.NewOrder, repeat: Any) -> bodies.OrderTaken:
    """Put an order in; its number is that of its arrival, so one that came in between is counted anew."""
    terms = flex_terms(live)
    products = dict(terms.products)
    if body.product not in products:
        raise wrong("reference_unknown", "product", body.product, fix=f"use one of {', '.join(products)}")
    names = ("participant", "side", "first", "periods", "price", "min_kw", "fill", "area", "contract")
    fields = {name: getattr(body, name) for name in names} | {"quantity_kw": body.kw}
    fields["direction"] = products[body.product].direction
    for tried in range(TRIES):
        number = live.state.flex.books[product_number(terms, body.product)].last_number + 1
        command = SubmitFlexOrder(at=live.now(), product=body.product, bid={"number": number, **fields})
        try:
            event = cast("FlexOrderTaken", (await live.do(command, repeat)).events[0])
        except InputError as error:
            if tried + 1 == TRIES or any(fault.place != "number" for fault in error.faults):
                raise
            continue
        return _taken(event)
    raise Problem("busy")


def _taken(event: FlexOrderTaken) -> bodies.OrderTaken:
    return bodies.OrderTaken(
        number=event.bid.number,
        product=event.product,
        outcome=event.outcome,
        trades=[
            bodies.FlexTradeOut(
                buyer=one.buyer,
                seller=one.seller,
                first=one.first,
                periods=one.periods,
                kw=one.quantity_kw,
                price=one.price,
            )
            for one in event.trades
        ],
    )


@api.delete("/flexibility/orders/{product}/{number}", summary="Cancel an order")
async def cancel(
    *, live: TheMarket, product: Place, number: Count, caller: Seller, repeat: Repeatable
) -> bodies.Carried:
    """Take a resting order back."""
    return await _cancel(live, product, number, caller=caller, repeat=repeat)


@api.delete("/flexibility/operator-orders/{product}/{number}", summary="Cancel an operator's order")
async def operator_cancel(
    *, live: TheMarket, product: Place, number: Count, caller: Buyer, repeat: Repeatable
) -> bodies.Carried:
    """Take a resting order of a grid operator back."""
    return await _cancel(live, product, number, caller=caller, repeat=repeat)


async def _cancel(live: Live, product: str, number: int, *, caller: Caller, repeat: Any) -> bodies.Carried:
    terms = flex_terms(live)
    books = {name: state for (name, _), state in zip(terms.products, live.state.flex.books, strict=True)}
    state = books.get(product)
    resting = () if state is None else (*state.buys, *state.sells)
    owner = next((one.bid.participant for one in resting if one.bid.number == number), None)
    caller.require(Subject() if owner is None else deal(live, owner))
    command = CancelFlexOrder(
        at=live.now(),
        product=product,
        number=number,
        participant=known(owner, f"order {number} of {product}"),
    )
    return carried(await live.do(command, repeat))


@api.get("/activations", summary="List activations")
async def activations(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: AskedId = None,
) -> Page[bodies.Activation]:
    """Return calls, dispatches and emergency limits, in the order of their beginning."""
    rows = [
        (subject, one)
        for subject, one in (*_flex_activations(live), *_emergencies(live))
        if span.overlaps(int(one.begins.timestamp()), int(one.ends.timestamp()))
        and participant in (None, one.participant)
    ]
    mine = [one for _, one in caller.only(rows, lambda row: row[0])]
    keyed = sorted(((int(one.begins.timestamp()), one.kind, one.id), place) for place, one in enumerate(mine))
    return paged(
        page, response, keyed, key=lambda row: row[0], make=lambda row: mine[row[1]], kinds=(int, str, str)
    )


def _flex_activations(live: Live) -> Iterator[tuple[Subject, bodies.Activation]]:
    terms = live.state.flex.terms
    if terms is None:
        return
    entries = {entry.contract.id: entry for entry in live.state.flex.contracts}
    for numbered in live.follower.flex:
        event: Any = numbered.event
        if not isinstance(event, ReservationsCalled | ContractDispatched):
            continue
        called = isinstance(event, ReservationsCalled)
        for id_ in event.contracts if isinstance(event, ReservationsCalled) else (event.contract,):
            entry = entries[id_]
            yield (
                _parties(live, entry),
                bodies.Activation(
                    kind="call" if called else "dispatch",
                    id=f"{numbered.seq}:{id_}",
                    participant=entry.contract.seller,
                    begins=utc(terms.begins(min(event.periods))),
                    ends=utc(terms.begins(max(event.periods) + 1)),
                    test=event.test,
                    text=f"{'Call' if called else 'Dispatch'} of contract {id_}",
                ),
            )


def _emergencies(live: Live) -> Iterator[tuple[Subject, bodies.Activation]]:
    for limit in live.state.limits.values():
        if limit.emergency:
            yield (
                place_of(live, limit.place_kind, limit.place),
                bodies.Activation(
                    kind="emergency",
                    id=limit.id,
                    participant=limit.place if limit.place_kind == "participant" else "",
                    begins=utc(limit.begins),
                    ends=utc(limit.ends),
                    text=limit.reason,
                ),
            )
