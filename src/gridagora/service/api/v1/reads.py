"""Reads from the read tables of the market: what happened, as far back as the market goes."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Join, Row, Select, select
from sqlalchemy.sql import and_, case, func

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.projections_live import BUYER_FIRST, RETAILER, first_account
from gridagora.engine.live.flexing import is_buyer
from gridagora.service.api.v1.tools import Live, Span
from gridagora.service.auth.needs import Caller
from gridagora.service.auth.rights import Reach
from gridagora.service.context import Service

PUBLIC = ("published", "settled")
"""Status of sessions whose results are known."""

RETAILER_NAME = "upstream"


async def fetch(service: Service, live: Live, asked: Select[Any]) -> Sequence[Row[Any]]:
    """Return the rows that a statement asks for; read in a thread."""

    def read() -> Sequence[Row[Any]]:
        with live.market.database.reading() as connection:
            return connection.execute(asked).all()

    rows: Sequence[Row[Any]] = await service.store.run(partial(read))
    return rows


def whose(live: Live, caller: Caller, participant: str | None) -> list[str] | None:
    """Return the participants whose things a caller asks for and may see; None: all."""
    if participant is not None:
        caller.require(live.subject(participant))
        return [participant]
    if caller.reach is Reach.ALL:
        return None
    return caller.only(payers(live), live.subject)


def numbers(live: Live, names: Sequence[str] | None) -> list[int] | None:
    """Return the numbers of participants in the read tables."""
    if names is None:
        return None
    return [number for number in (number_of(live, name) for name in names) if number is not None]


def number_of(live: Live, name: str) -> int | None:
    """Return the number of a participant in the read tables, or of a grid operator that buys flexibility."""
    record = live.state.register.get("participant", name)
    if record is not None:
        return record.number
    return BUYER_FIRST + live.state.flex.open_terms.buyers.index(name) if is_buyer(live.state, name) else None


def payers(live: Live) -> list[str]:
    """Return all that have accounts: participants as they were registered, then buyers of flexibility."""
    terms = live.state.flex.terms
    names = [record.id for record in live.state.register.all("participant")]
    return names + ([] if terms is None else list(terms.buyers))


class Names:
    """Names of participants and buyers by their number in the read tables; the retailer has one too."""

    def __init__(self, live: Live) -> None:
        terms = live.state.flex.terms
        self._names = [record.id for record in live.state.register.all("participant")]
        self._buyers = () if terms is None else terms.buyers

    def __getitem__(self, number: int) -> str:
        if number >= BUYER_FIRST:
            return self._buyers[number - BUYER_FIRST]
        return RETAILER_NAME if number == RETAILER else self._names[number]


def within(live: Live, column: Any, span: Span) -> list[ColumnElement[bool]]:
    """Return conditions that a period begins within a span."""
    terms, found = live.terms, []
    if span.begin is not None:
        found.append(column >= -((terms.epoch - span.begin) // terms.mtu_s))
    if span.end is not None:
        found.append(column < -((terms.epoch - span.end) // terms.mtu_s))
    return found


def sessions_within(live: Live, column: Any, span: Span) -> list[ColumnElement[bool]]:
    """Return conditions that a session may have a period that begins within a span: they bound its number."""
    terms, found = live.terms, []
    length = terms.session_periods * terms.mtu_s
    if span.begin is not None:
        found.append(column >= (span.begin - terms.epoch) // length)
    if span.end is not None:
        found.append(column <= (span.end - 1 - terms.epoch) // length)
    return found


def behind(first: Any, second: Any, after: tuple[int, int]) -> list[ColumnElement[bool]]:
    """Return conditions that a row comes behind a place in the order of two columns; none from the start."""
    if after[0] < 0:
        return []
    return [first >= after[0], (first > after[0]) | (second > after[1])]


def _of(column: Any, names: list[int] | None) -> list[ColumnElement[bool]]:
    return [] if names is None else [column.in_(names)]


def bids(
    live: Live,
    names: list[int] | None,
    span: Span,
    *,
    session: int | None = None,
    number: int | None = None,
    after: int = 0,
    most: int = 1,
) -> Select[Any]:
    """Return the statement for bids with what was accepted of them, null where that is not public."""
    bid, row, step = tables.live_bids.c, tables.bids.c, tables.sessions.c
    public = step.status.in_(PUBLIC)
    wanted: list[ColumnElement[bool]] = [bid.market == live.number, bid.number > after]
    wanted += _of(bid.participant, names) + within(live, bid.period, span)
    wanted += sessions_within(live, bid.session, span)
    wanted += [] if session is None else [bid.session == session]
    wanted += [] if number is None else [bid.number == number]
    joined = tables.live_bids.join(
        tables.sessions, and_(step.market == bid.market, step.session == bid.session)
    ).outerjoin(tables.bids, and_(row.market == bid.market, row.session == bid.session, row.row == bid.row))
    columns = (bid.number, bid.participant, bid.session, bid.period, bid.side, bid.price_micro)
    accepted = case((public, row.accepted_wh), else_=None).label("accepted_wh")
    asked = select(*columns, bid.quantity_wh, bid.withdrawn, public.label("public"), accepted)
    return asked.select_from(joined).where(*wanted).order_by(bid.number).limit(most)


def trades(
    live: Live,
    names: list[int] | None,
    span: Span,
    *,
    session: int | None = None,
    after: tuple[int, int] = (-1, -1),
    most: int = 1,
) -> Select[Any]:
    """Return the statement for trades of sessions whose results are public."""
    trade, step = tables.trades.c, tables.sessions.c
    wanted: list[ColumnElement[bool]] = [trade.market == live.number, step.status.in_(PUBLIC)]
    wanted += behind(trade.session, trade.row, after)
    wanted += within(live, trade.period, span) + sessions_within(live, trade.session, span)
    wanted += [] if session is None else [trade.session == session]
    if names is not None:
        wanted.append(trade.buyer.in_(names) | trade.seller.in_(names))
    joined = tables.trades.join(
        tables.sessions, and_(step.market == trade.market, step.session == trade.session)
    )
    asked = select(*tables.trades.columns).select_from(joined).where(*wanted)
    return asked.order_by(trade.session, trade.row).limit(most)


def prices(live: Live, span: Span, *, after: int = -1, most: int = 1) -> Select[Any]:
    """Return the statement for prices of sessions whose results are public, and their volumes."""
    price, trade, step = tables.prices.c, tables.trades.c, tables.sessions.c
    length = live.terms.session_periods
    volume = (
        select(func.coalesce(func.sum(trade.quantity_wh), 0))
        .where(
            trade.market == price.market,
            trade.session == step.session,
            trade.period == price.period,
        )
        .scalar_subquery()
    )
    wanted = [price.market == live.number, price.period > after, step.status.in_(PUBLIC)]
    joined = tables.prices.join(
        tables.sessions,
        and_(
            step.market == price.market,
            step.session * length <= price.period,
            (step.session + 1) * length > price.period,
        ),
    )
    asked = select(price.period, price.price_micro, volume.label("volume_wh")).select_from(joined)
    return asked.where(*wanted, *within(live, price.period, span)).order_by(price.period).limit(most)


MONEY = ("energy_micro", "retail_micro", "imbalance_micro", "network_micro", "taxes_micro")
ENERGY = ("traded_wh", "local_bought_wh", "local_sold_wh")


def settlements(
    live: Live,
    names: list[int] | None,
    span: Span,
    *,
    session: int | None = None,
    after: tuple[int, int] = (-1, -1),
    most: int = 1,
) -> Select[Any]:
    """Return the statement for sums of settled sessions by participant."""
    line, step = tables.settlement_lines.c, tables.sessions.c
    length = live.terms.session_periods
    wanted: list[ColumnElement[bool]] = [line.market == live.number]
    wanted += behind(step.session, line.participant, after) + sessions_within(live, step.session, span)
    wanted += _of(line.participant, names) + within(live, line.period, span)
    wanted += [] if session is None else [step.session == session]
    if names is None and session is None:
        wanted.append(step.session.in_(_first_settled(live, span, after=after[0], most=most)))
    joined = tables.settlement_lines.join(
        tables.sessions,
        and_(
            step.market == line.market,
            step.session * length <= line.period,
            (step.session + 1) * length > line.period,
        ),
    )
    sums = [func.sum(line[name]).label(name) for name in (*ENERGY, *MONEY)]
    asked = select(step.session, line.participant, step.settled, *sums).select_from(joined).where(*wanted)
    grouped = asked.group_by(step.session, line.participant, step.settled)
    return grouped.order_by(step.session, line.participant).limit(most)


def _first_settled(live: Live, span: Span, *, after: int, most: int) -> Select[Any]:
    """Return the statement for the sessions that fill a page: each has a line; those at the ends may not."""
    step, line = tables.sessions.alias().c, tables.settlement_lines.alias().c
    begins = step.session * live.terms.session_periods
    settled = select(line.period).where(line.market == step.market, line.period == begins).exists()
    wanted = [step.market == live.number, step.session >= after, settled]
    asked = select(step.session).where(*wanted, *sessions_within(live, step.session, span))
    return asked.order_by(step.session).limit(most + 2)


def deliveries(
    live: Live,
    names: list[int] | None,
    span: Span,
    *,
    after: tuple[int, int] = (-1, -1),
    most: int = 1,
) -> Select[Any]:
    """Return the statement for what was scheduled, and metered as it was settled."""
    line = tables.settlement_lines.c
    wanted: list[ColumnElement[bool]] = [line.market == live.number]
    wanted += behind(line.period, line.participant, after)
    wanted += _of(line.participant, names) + within(live, line.period, span)
    asked = select(line.period, line.participant, line.traded_wh, tables.deliveries.c.metered_wh)
    return asked.select_from(_delivered()).where(*wanted).order_by(line.period, line.participant).limit(most)


def lines(live: Live, number: int, span: Span) -> Select[Any]:
    """Return the statement for all settlement lines of a participant, with what was metered."""
    line = tables.settlement_lines.c
    wanted = [line.market == live.number, line.participant == number, *within(live, line.period, span)]
    asked = select(*tables.settlement_lines.columns, tables.deliveries.c.metered_wh)
    return asked.select_from(_delivered()).where(*wanted).order_by(line.period)


def _delivered() -> Join:
    """Return settlement lines with the meter values that they were settled by."""
    line, meter = tables.settlement_lines.c, tables.deliveries.c
    same = (meter.market == line.market, meter.participant == line.participant, meter.period == line.period)
    return tables.settlement_lines.join(tables.deliveries, and_(*same))


def session_facts(live: Live, sessions: Sequence[int]) -> Select[Any]:
    """Return the statement for bids of sessions, and why they were called off or settled by schedule."""
    step, bid = tables.sessions.c, tables.live_bids.c
    of = (bid.market == step.market, bid.session == step.session)
    bids = select(func.count()).where(*of).scalar_subquery().label("bids")
    asked = select(step.session, step.called_off, step.by_schedule, bids)
    return asked.where(step.market == live.number, step.session.in_(sessions))


def readings(
    live: Live,
    names: list[int] | None,
    span: Span,
    *,
    after: tuple[int, int] = (-1, -1),
    most: int = 1,
) -> Select[Any]:
    """Return the statement for the readings that count."""
    read = tables.readings.c
    mine = None if names is None else [name for name in names if name >= after[0]]
    wanted: list[ColumnElement[bool]] = [read.market == live.number]
    wanted += behind(read.participant, read.period, after)
    wanted += _of(read.participant, mine) + within(live, read.period, span)
    asked = select(*tables.readings.columns).where(*wanted)
    return asked.order_by(read.participant, read.period).limit(most)


def findings(
    live: Live,
    names: list[int] | None,
    span: Span,
    *,
    rule: str | None = None,
    after: tuple[int, int] = (-1, -1),
    most: int = 1,
) -> Select[Any]:
    """Return the statement for what was found in readings, in the order in which it was found."""
    found = tables.findings.c
    wanted: list[ColumnElement[bool]] = [
        found.market == live.number,
        *behind(found.seq, found.row, after),
    ]
    wanted += _of(found.participant, names)
    wanted += [] if rule is None else [found.rule == rule]
    wanted += [] if span.begin is None else [found.moment >= span.begin]
    wanted += [] if span.end is None else [found.moment < span.end]
    asked = select(*tables.findings.columns).where(*wanted)
    return asked.order_by(found.seq, found.row).limit(most)


def escrow(
    live: Live,
    number: int,
    span: Span,
    *,
    session: int | None = None,
    after: tuple[int, int] = (-1, -1),
    most: int = 1,
) -> Select[Any]:
    """Return the statement for what was held for a participant's trades, with these; all that are public."""
    held, trade, step = tables.escrow.c, tables.trades.c, tables.sessions.c
    wanted: list[ColumnElement[bool]] = [held.market == live.number, step.status.in_(PUBLIC)]
    wanted += behind(held.session, held.row, after) + sessions_within(live, held.session, span)
    wanted.append((trade.buyer == number) | (trade.seller == number))
    wanted += within(live, trade.period, span)
    wanted += [] if session is None else [held.session == session]
    joined = _escrowed().join(tables.sessions, and_(step.market == held.market, step.session == held.session))
    columns = (trade.period, trade.buyer, trade.seller, trade.quantity_wh)
    asked = select(*tables.escrow.columns, *columns).select_from(joined).where(*wanted)
    return asked.order_by(held.session, held.row).limit(most)


def _escrowed() -> Join:
    """Return what was held for trades, with the trades."""
    held, trade = tables.escrow.c, tables.trades.c
    same = and_(trade.market == held.market, trade.session == held.session, trade.row == held.row)
    return tables.escrow.join(tables.trades, same)


def escrow_fee(live: Live, seller: int, first: int, *, end: int) -> Select[Any]:
    """Return the statement for what the market kept, in micro-units, of a seller's money in some sessions."""
    held, trade = tables.escrow.c, tables.trades.c
    wanted = (held.market == live.number, held.session >= first, held.session < end, trade.seller == seller)
    return select(func.sum(held.fee_micro)).select_from(_escrowed()).where(*wanted)


def postings(
    live: Live, number: int, span: Span, *, after: tuple[int, int] = (-1, -1), most: int = 1
) -> Select[Any]:
    """Return the statement for postings on the accounts of a participant, with their events."""
    row, event, sum_ = tables.journal.c, tables.events.c, tables.balances.c
    first = first_account(number)
    wanted: list[ColumnElement[bool]] = [
        row.market == live.number,
        row.account.in_(range(first, first_account(number + 1))),
        *behind(row.seq, row.row, after),
    ]
    wanted += [] if span.begin is None else [event.at >= span.begin]
    wanted += [] if span.end is None else [event.at < span.end]
    joined = tables.journal.join(tables.events, and_(event.market == row.market, event.seq == row.seq)).join(
        tables.balances, and_(sum_.market == row.market, sum_.account == row.account)
    )
    columns = (row.seq, row.row, row.entry, row.amount_micro, event.at, event.kind, sum_.name)
    asked = select(*columns).select_from(joined).where(*wanted)
    return asked.order_by(row.seq, row.row).limit(most)
