"""What everybody may know of a market: its sessions, and the prices and volumes of the last day.

All of it is read from the tables that are made from the events, so that every process of a service tells the
same, whoever writes the market.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.database import Database
from gridagora.model.live import LiveTerms
from gridagora.model.time import SECONDS_PER_DAY
from gridagora.units import MICRO, WH_PER_KWH

PUBLIC = ("published", "settled")
"""Sessions whose results everybody may know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardPeriod:
    """A delivery period: price, currency per kWh, None where nothing was traded; traded energy, kWh.

    ``local_kwh`` was traded among participants, ``import_kwh`` and ``export_kwh`` with the retailer.
    """

    begins: int
    price: float | None
    local_kwh: float
    import_kwh: float
    export_kwh: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """What everybody may know of a market at a moment.

    Parameters
    ----------
    now : the market's moment, s
    delivering, bidding : sessions whose energy flows now, and whose gate closes next; None for none
    gate : moment at which that gate closes
    participants : active ones
    bids : that stand in the next session
    settled : sessions that are settled
    events, head : length of the chain of events, and its last hash
    periods : of the last day and what is published of the next
    """

    now: int
    delivering: int
    bidding: int | None
    gate: int | None
    participants: int
    bids: int
    settled: int
    events: int
    head: str
    periods: tuple[BoardPeriod, ...]


def read_board(database: Database, terms: LiveTerms, now: int) -> Board:
    """Return what everybody may know of a market now.

    Parameters
    ----------
    database : that holds the market
    terms : of the market
    now : its moment, s
    """
    with database.reading() as connection:
        heads = tables.heads.c
        head = connection.execute(
            select(heads.market, heads.seq, heads.hash).where(heads.name == terms.name)
        ).one()
        market = int(head.market)
        bidding = _next_session(connection, market)
        settled = select(func.count()).select_from(tables.sessions)
        settled = settled.where(tables.sessions.c.market == market, tables.sessions.c.status == "settled")
        return Board(
            now=now,
            delivering=terms.session_of(terms.period_at(now)),
            bidding=bidding,
            gate=None if bidding is None else terms.session(bidding).gate,
            participants=_participants(connection, market),
            bids=0 if bidding is None else _bids(connection, market, bidding),
            settled=int(connection.scalar(settled) or 0),
            events=int(head.seq),
            head=bytes(head.hash).hex(),
            periods=_periods(connection, market, terms, now=now),
        )


def board_state(board: Board) -> Mapping[str, Any]:
    """Return a board as JSON values."""
    names = ("now", "delivering", "bidding", "gate", "participants", "bids", "settled", "events", "head")
    periods = [
        {name: getattr(period, name) for name in BoardPeriod.__dataclass_fields__} for period in board.periods
    ]
    return {**{name: getattr(board, name) for name in names}, "periods": periods}


def _next_session(connection: Connection, market: int) -> int | None:
    column = tables.sessions.c
    asked = select(func.min(column.session)).where(column.market == market, column.status == "open")
    found = connection.scalar(asked)
    return None if found is None else int(found)


def _participants(connection: Connection, market: int) -> int:
    column = tables.resources.c
    asked = select(func.count()).select_from(tables.resources)
    asked = asked.where(column.market == market, column.kind == "participant", column.status == "active")
    return int(connection.scalar(asked) or 0)


def _bids(connection: Connection, market: int, session: int) -> int:
    column = tables.live_bids.c
    asked = select(func.count()).select_from(tables.live_bids)
    asked = asked.where(column.market == market, column.session == session, column.withdrawn == 0)
    return int(connection.scalar(asked) or 0)


def _periods(connection: Connection, market: int, terms: LiveTerms, *, now: int) -> tuple[BoardPeriod, ...]:
    """Return the periods of published sessions from a day ago on."""
    first = terms.session_of(terms.period_at(now - SECONDS_PER_DAY))
    column = tables.sessions.c
    public = connection.scalars(
        select(column.session)
        .where(column.market == market, column.session >= first, column.status.in_(PUBLIC))
        .order_by(column.session)
    ).all()
    if not public:
        return ()
    span = (public[0] * terms.session_periods, (public[-1] + 1) * terms.session_periods)
    shown = set(public)
    price = tables.prices.c
    rows = connection.execute(
        select(price.period, price.price_micro)
        .where(price.market == market, price.period >= span[0], price.period < span[1])
        .order_by(price.period)
    )
    traded = _traded(connection, market, (public[0], public[-1]))
    return tuple(
        _period(terms, period, price_micro, traded=traded.get(period, (0, 0, 0)))
        for period, price_micro in rows
        if terms.session_of(period) in shown
    )


def _period(
    terms: LiveTerms, period: int, price_micro: float | None, *, traded: tuple[int, int, int]
) -> BoardPeriod:
    local, bought, sold = (wh / WH_PER_KWH for wh in traded)
    return BoardPeriod(
        begins=terms.begins(period),
        price=None if price_micro is None else price_micro / MICRO,
        local_kwh=local,
        import_kwh=bought,
        export_kwh=sold,
    )


def _traded(
    connection: Connection, market: int, sessions: tuple[int, int]
) -> dict[int, tuple[int, int, int]]:
    """Return what was traded in each period, Wh: among participants, bought from and sold to the retailer."""
    column = tables.trades.c
    local = (column.buyer >= 0) & (column.seller >= 0)
    parts = (local, column.seller < 0, column.buyer < 0)
    sums = [func.sum(column.quantity_wh).filter(part) for part in parts]
    rows = connection.execute(
        select(column.period, *sums)
        .where(column.market == market, column.session.between(*sessions))
        .group_by(column.period)
    )
    return {period: (int(a or 0), int(b or 0), int(c or 0)) for period, a, b, c in rows}
