"""Delivery of flexibility: what was ordered and delivered, and its settlement."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, cast

import numpy as np
from starlette.responses import Response

from gridagora.engine.live.baselines import History, baseline_kw, called_points, history_periods
from gridagora.engine.live.flex_commands import SettleFlexibility
from gridagora.engine.live.readings import ESTIMATED
from gridagora.model.flexibility_events import FlexSettled
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.deals import deal, deals_of, flex_terms
from gridagora.service.api.v1.tools import AskedId, AskedSpan, Live, Span, TheMarket, paged, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.context import Here
from gridagora.service.headers import Repeatable
from gridagora.service.models import flexibility as bodies
from gridagora.service.models.base import money
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.units import WH_PER_KWH

api = router("flexibility")


@api.get("/flexibility/deliveries", summary="Orders of delivery")
async def delivery_orders(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Annotated[Caller, needs("flex_orders.read")],
    participant: AskedId = None,
) -> Page[bodies.DeliveryOrder]:
    """Return what was ordered for periods whose gate has closed, and what was delivered of it.

    A grid operator sees orders that it bought a part of; they are metered as one, and told as one.
    """
    rows, deals = list(_orders(live, span)), deals_of(live)

    def buyers(one: bodies.DeliveryOrder) -> set[str]:
        return deals.buyers(one.product, one.period, one.participant)

    mine = caller.only(rows, lambda row: deal(live, row[1].participant, *buyers(row[1])))
    wanted = [row for row in mine if participant in (None, row[1].participant)]
    return paged(
        page, response, wanted, key=lambda row: row[0], make=lambda row: row[1], kinds=(int, int, int)
    )


def _orders(live: Live, span: Span) -> Iterator[tuple[tuple[int, ...], bodies.DeliveryOrder]]:
    terms = flex_terms(live)
    for period in range(terms.first, min(live.state.flex.open_from, terms.end)):
        begins = terms.begins(period)
        known_ = live.state.flex.period(period)
        if known_.ordered_kw is None or not span.holds(begins):
            continue
        for product, point in np.argwhere(known_.ordered_kw > 0).tolist():
            settled = known_.settled_wh
            yield (
                (period, product, point),
                bodies.DeliveryOrder(
                    participant=terms.participants[point],
                    product=terms.products[product][0],
                    period=period,
                    start=utc(begins),
                    kw=float(known_.ordered_kw[product, point]),
                    settled=settled is not None,
                    delivered_wh=None if settled is None else int(settled[0, product, point]),
                    ordered_wh=None if settled is None else int(settled[1, product, point]),
                ),
            )


@api.post("/flexibility/settlements", status_code=201, summary="Settle flexibility")
async def settle(
    *,
    live: TheMarket,
    service: Here,
    body: bodies.FlexSettlementRange,
    caller: Annotated[Caller, needs("market.operate")],
    repeat: Repeatable,
) -> bodies.FlexSettlement:
    """Settle periods by the meter readings that are there; readings that lack are judged by the products.

    What was ordered against a baseline is measured from the baseline of the market, or from ``otherwise``.
    """
    terms = flex_terms(live)
    caller.require(NOBODYS)
    if not terms.first <= body.first <= body.first + body.count <= min(terms.end, live.state.flex.open_from):
        fix = f"settle periods {terms.first} to {live.state.flex.open_from - 1}, whose gates have closed"
        raise wrong("period_unknown", "first", body.first, fix=fix)
    read = partial(_measured, live, body.first, body.count, otherwise=body.otherwise)
    metered, baseline = await service.store.run(read)
    command = SettleFlexibility(
        at=live.now(), first=body.first, count=body.count, metered_kw=metered, baseline_kw=baseline
    )
    done = await live.do(command, repeat)
    event = cast("FlexSettled", done.events[1])
    names = flex_terms(live).participants_then(len(event.fee_micro))
    sums = np.zeros(len(names), np.int64)
    own = event.account < len(sums)
    np.add.at(sums, event.account[own], event.amount[own])
    totals = dict(zip(names, sums.tolist(), strict=True))
    return bodies.FlexSettlement(
        first=event.first,
        count=event.count,
        total={name: money(int(amount)) for name, amount in totals.items() if amount},
    )


def _measured(live: Live, first: int, count: int, *, otherwise: str) -> tuple[Any, Any]:
    """Return mean net import of the points and their baseline, kW, (points, periods)."""
    if not called_points(live.state, first, count).any():
        return _metered(live, first, count), None
    back = history_periods(live.terms.mtu_s)
    history = History(first=first - back, kw=_metered(live, first - back, back + count))
    baseline = baseline_kw(
        live.state, live.market.context, history, first=first, count=count, otherwise=otherwise
    )
    return history.kw[:, back:], baseline


def _metered(live: Live, first: int, count: int) -> Any:
    """Return mean net import of the points, kW, (points, periods); NaN where no meter told anything.

    Estimates prove nothing, so they are left out.
    """
    terms, live_terms = flex_terms(live), live.terms
    names = [point.participant for point in terms.points]
    found = np.full((len(names), count), np.nan)
    places = {number: k for k, number in enumerate(reads.numbers(live, names) or [])}
    span = Span(live_terms.begins(first), live_terms.begins(first + count))
    asked = reads.readings(live, list(places), span, most=len(names) * count)
    with live.market.database.reading() as connection:
        for row in connection.execute(asked):
            if row.quality != ESTIMATED:
                net = row.import_wh - row.export_wh
                found[places[row.participant], row.period - first] = net / WH_PER_KWH / live_terms.hours
    return found
