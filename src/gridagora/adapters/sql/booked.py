"""Rows of trades, settled lines and postings, which studies and live markets make alike.  Pure."""

from typing import Any

import numpy as np

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.made import Rows
from gridagora.model.columns import Ints, PoolTrades, SettlementLines


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
