"""Rows of trades, settled lines, postings and answers, which studies and live markets make alike.  Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.made import Rows
from gridagora.model.columns import Ints, PoolTrades, SettlementLines
from gridagora.model.events import CommandsAnswered, DayClosed


def trade_rows(session: int, trades: PoolTrades, who: Ints) -> Rows:
    """Return the trades of a session; ``who`` is the number of each participant by its code there."""
    columns = {
        "session": session,
        "row": np.arange(len(trades.period)),
        "period": trades.period,
        "buyer": who[trades.buyer],
        "seller": who[trades.seller],
        "quantity_wh": trades.quantity_wh,
        "buyer_price_micro": trades.buyer_price,
        "seller_price_micro": trades.seller_price,
    }
    return Rows(table=tables.trades, columns=columns)


def line_columns(lines: SettlementLines, first: int, who: Ints) -> dict[str, Any]:
    """Return settled lines from period ``first`` on, one row per period and participant."""
    periods, homes = lines.energy.shape
    return {
        "period": np.repeat(first + np.arange(periods), homes),
        "participant": np.tile(who[:homes], periods),
        "traded_wh": lines.traded_wh.ravel(),
        "local_bought_wh": lines.local_bought_wh.ravel(),
        "local_sold_wh": lines.local_sold_wh.ravel(),
        "energy_micro": lines.energy.ravel(),
        "retail_micro": lines.retail.ravel(),
        "imbalance_micro": lines.imbalance.ravel(),
        "network_micro": lines.network.ravel(),
        "taxes_micro": lines.taxes.ravel(),
    }


def meter_columns(metered_wh: Ints, first: int, who: Ints) -> dict[str, Any]:
    """Return what was metered from period ``first`` on, Wh, one row per period and participant.

    >>> rows = meter_columns(np.array([[1, -2]]), 8, np.array([5, 7, 9]))
    >>> rows["period"].tolist(), rows["participant"].tolist(), rows["metered_wh"].tolist()
    ([8, 8], [5, 7], [1, -2])
    """
    periods, homes = metered_wh.shape
    return {
        "period": np.repeat(first + np.arange(periods), homes),
        "participant": np.tile(who[:homes], periods),
        "metered_wh": metered_wh.ravel(),
    }


def bus_rows(first: int, buses: tuple[str, ...], columns: Mapping[str, Ints]) -> dict[str, Any]:
    """Return sums by bus from period ``first`` on; columns are (periods, participants), ``buses`` whose.

    >>> sums = bus_rows(4, ("b", "a", "b"), {"wh": np.array([[1, 2, 3]])})
    >>> sums["period"].tolist(), sums["bus"], sums["wh"].tolist()
    ([4, 4], ['a', 'b'], [2, 4])
    """
    names, place = np.unique(np.array(buses, np.str_), return_inverse=True)
    periods = len(next(iter(columns.values())))
    made: dict[str, Any] = {
        "period": np.repeat(first + np.arange(periods), len(names)),
        "bus": names.tolist() * periods,
    }
    for name, values in columns.items():
        sums = np.zeros((len(names), periods), np.int64)
        np.add.at(sums, place, values.T)
        made[name] = sums.T.ravel()
    return made


def booked(seq: int, entry: Ints, account: Ints, *, amount: Ints) -> tuple[Rows, ...]:
    """Return postings, and what they add to the balances of their accounts."""
    if not len(entry):
        return ()
    posted = {
        "seq": seq,
        "row": np.arange(len(entry)),
        "entry": entry,
        "account": account,
        "amount_micro": amount,
    }
    touched, place = np.unique(account, return_inverse=True)
    sums = np.zeros(len(touched), dtype=np.int64)
    np.add.at(sums, place, amount)
    added = {"account": touched, "amount_micro": sums}
    return Rows(table=tables.journal, columns=posted), Rows(table=tables.balances, columns=added, mode="add")


def root_rows(event: DayClosed, seq: int) -> Rows:
    """Return the root of a day that was closed."""
    columns = {"day": [event.day], "size": event.size, "root": event.root, "seq": seq}
    return Rows(table=tables.day_roots, columns=columns)


def answer_rows(event: CommandsAnswered) -> Rows:
    """Return the idempotency keys that an event tells of, with what was asked and answered."""
    columns = {
        "key": event.key,
        "request": event.requests(),
        "first_seq": event.first,
        "last_seq": event.last,
        "answer": event.answer,
    }
    return Rows(table=tables.commands, columns=columns)
