"""Read tables from events: one function per kind of event says which rows it makes.  Pure.

A new read table is a table, a migration, a function here, and a higher `VERSION`: a database that is opened
for writing then makes its read tables anew from the events.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.booked import answer_rows, booked, line_columns, trade_rows
from gridagora.adapters.sql.made import Names, Rows
from gridagora.adapters.sql.projections_live import LIVE_MAKERS
from gridagora.engine.flexibility.books import journal_codes
from gridagora.errors import require
from gridagora.ledger import account_name
from gridagora.ledger.accounts import SystemAccount
from gridagora.model.events import (
    AuctionCleared,
    CommandsAnswered,
    Event,
    SessionSettled,
    StudyOpened,
    TradesDecided,
)
from gridagora.model.flexibility_events import FlexMarketOpened, FlexSellerJoined, FlexSettled
from gridagora.model.live_events import LiveMarketOpened

VERSION = 11
"""Version of what is made from events; a higher one makes all read tables anew."""


def project(event: Event, seq: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    """Return the rows that an event makes, and the names after it.

    Parameters
    ----------
    event : the event
    seq : its number within the market, from 1
    names : names after the event before

    Examples
    --------
    >>> opened = StudyOpened(at=0, name="a", seed=1, participants=("x",), rules="")
    >>> rows, names = project(opened, 1, Names())
    >>> [part.table.name for part in rows], names.homes
    (['participants', 'balances'], ('x',))
    """
    if type(event) is CommandsAnswered:
        return (answer_rows(event),), names
    live = names.live is not None or type(event) is LiveMarketOpened
    make = (LIVE_MAKERS if live else _MAKERS).get(type(event))
    return ((), names) if make is None else make(cast("Any", event), seq, names)


def _opened(event: StudyOpened, _: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    homes = event.participants
    require(not names.homes and not names.others, "a study opens its market before anything else, once")
    who = {"participant": np.arange(len(homes)), "name": homes}
    accounts = _accounts(homes, (), first=0)
    names = Names(homes=homes, others=names.others, flex_codes=names.flex_codes)
    return (Rows(table=tables.participants, columns=who), accounts), names


def _flex_opened(event: FlexMarketOpened, _: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    codes, others = journal_codes(event.terms, names.homes)
    after = Names(homes=names.homes, others=others, flex_codes=tuple(codes.tolist()))
    # a flexibility market without a study around it has books of its own, system accounts included
    first = len(names.homes) + len(SystemAccount) if names.homes else 0
    return (_accounts(names.homes, others, first=first),), after


def _flex_joined(event: FlexSellerJoined, _: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    name, rows = event.point.participant, tuple[Rows, ...]()
    others = names.others if name in names.homes else (*names.others, name)
    account = len(names.homes) + len(SystemAccount) + len(names.others)
    if name in names.homes:
        account = names.homes.index(name)
    else:
        rows = (_accounts(names.homes, others, first=account),)
    codes = (*names.flex_codes[: event.code], account, *names.flex_codes[event.code :])
    return rows, Names(homes=names.homes, others=others, flex_codes=codes)


def _accounts(homes: tuple[str, ...], others: tuple[str, ...], *, first: int) -> Rows:
    codes = range(first, len(homes) + len(SystemAccount) + len(others))
    called = [account_name(code, homes, others) for code in codes]
    columns = {"account": np.array(codes, dtype=np.int64), "name": called, "amount_micro": 0}
    return Rows(table=tables.balances, columns=columns)


def _cleared(event: AuctionCleared, _: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    columns = {
        "session": event.session,
        "row": np.arange(len(event.period)),
        "period": event.period,
        "participant": event.participant,
        "side": event.side,
        "price_micro": event.price,
        "quantity_wh": event.quantity,
        "accepted_wh": event.accepted,
    }
    periods = event.first + np.arange(len(event.clearing_price))
    prices = {"period": periods, "price_micro": event.clearing_price}
    return (Rows(table=tables.bids, columns=columns), Rows(table=tables.prices, columns=prices)), names


def _decided(event: TradesDecided, _: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    columns = {
        "session": event.session,
        "row": np.arange(len(event.accepted)),
        "accepted_wh": event.accepted,
    }
    return (Rows(table=tables.bids, columns=columns, mode="set"),), names


def _settled(event: SessionSettled, seq: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    who = np.arange(len(names.homes) + 1)
    rows = (
        trade_rows(event.session, event.trades, who),
        Rows(table=tables.settlement_lines, columns=line_columns(event.lines, event.first, who)),
        *booked(seq, event.entry, event.account, amount=event.amount),
    )
    return rows, names


def _flex_settled(event: FlexSettled, seq: int, names: Names) -> tuple[tuple[Rows, ...], Names]:
    account = np.array(names.flex_codes, dtype=np.int64)[event.account]
    return booked(seq, event.entry, account, amount=event.amount), names


_MAKERS: dict[type, Callable[[Any, int, Names], tuple[tuple[Rows, ...], Names]]] = {
    StudyOpened: _opened,
    AuctionCleared: _cleared,
    TradesDecided: _decided,
    SessionSettled: _settled,
    FlexMarketOpened: _flex_opened,
    FlexSellerJoined: _flex_joined,
    FlexSettled: _flex_settled,
}
