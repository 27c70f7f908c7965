"""Whether somebody gains by a false bid: a test of strategy-proofness on one market."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market.payments.game import Market
from gridagora.model.bids import Bids

PRICE_FACTORS = (0.5, 0.8, 0.95, 1.05, 1.25, 2.0)
"""By these a participant scales all its prices."""

QUANTITY_FACTORS = (0.5, 0.8)
"""By these it holds back quantity."""

MOST_PLAYERS = 12
"""So many participants are tried, those who trade most first."""

Rule = Callable[[Market], NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviation:
    """The false bid that pays best among those tried: who scales what by which factor, and what it gains."""

    participant: Any
    scaled: str
    factor: float
    gain: float


def best_deviation(market: Market, rule: Rule, amounts: NDArray[Any]) -> Deviation | None:
    """Try false bids one participant at a time; None when none of them pays.

    Every price of the participant is scaled by 0.5, 0.8, 0.95, 1.05, 1.25 and 2, or every quantity that may
    be accepted in part by 0.5 and 0.8: half a block could not be delivered.  The market is cleared and
    paid again, and the gain is counted by what the accepted total is worth to the participant in truth.
    The twelve who trade most are tried.  None found is no proof; one found is.
    """
    truth = market.own_value + amounts
    traded = market.by_player(market.accepted)
    money = float(np.abs(market.bids.price * market.bids.quantity).max(initial=0))
    best: Deviation | None = None
    whole = _whole(market)
    for player in np.argsort(-traded, kind="stable")[:MOST_PLAYERS].tolist():
        mine = market.owner == player
        tries = [("price", factor) for factor in PRICE_FACTORS]
        for scaled, factor in [*tries, *(("quantity", factor) for factor in QUANTITY_FACTORS)]:
            changed = mine & ~whole if scaled == "quantity" else mine
            if not changed.any():
                continue
            told = market.restated(_scaled(market.bids, changed, scaled, factor=factor))
            paid = rule(told)[player]
            gain = float(
                _worth(market, np.flatnonzero(mine), told.accepted, whole=whole) + paid - truth[player]
            )
            if gain > 1e-6 * money and (best is None or gain > best.gain):
                best = Deviation(
                    participant=market.names[player].item(), scaled=scaled, factor=factor, gain=gain
                )
    return best


def _whole(market: Market) -> NDArray[np.bool_]:
    """Mark bids whose quantity cannot be told smaller: blocks, and ordered steps of a buyer who has any."""
    rules, bids = market.rules, market.bids
    whole = np.zeros(len(bids), dtype=np.bool_)
    if rules.least is not None:
        whole |= rules.least > 0
    if rules.links is not None:
        whole |= rules.links >= 0
    if rules.ordered:
        whole |= bids.is_buy & np.isin(market.owner, market.owner[whole & bids.is_buy])
    return whole


def _worth(
    market: Market, rows: NDArray[np.int64], accepted: NDArray[Any], *, whole: NDArray[np.bool_]
) -> float:
    """Return the true utility minus cost of what a participant got: its own steps filled in their true order.

    A step that was told too small leaves room that the next one's quantity fills first.
    """
    bids, steps = market.bids, market.rules.steps
    fixed, free = rows[whole[rows]], rows[~whole[rows]]
    value = float((bids.side * bids.price * accepted)[fixed].sum())
    number = np.zeros(len(bids), dtype=np.int64) if steps is None else steps
    rank = -bids.side * bids.price
    rank = np.where(bids.is_buy & market.rules.ordered, number, rank)
    free = free[np.lexsort((rank[free], bids.side[free], bids.period[free]))]
    for group in np.split(free, _ends(bids.period[free], bids.side[free])):
        room = np.cumsum(bids.quantity[group]) - bids.quantity[group]
        taken = np.clip(accepted[group].sum() - room, 0, bids.quantity[group])
        value += float((bids.side[group] * bids.price[group] * taken).sum())
    return value


def _ends(period: NDArray[np.int64], side: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return where the period or the side changes."""
    return np.flatnonzero((np.diff(period) != 0) | (np.diff(side) != 0)) + 1


def _scaled(bids: Bids, mine: NDArray[np.bool_], column: str, *, factor: float) -> Bids:
    names = ("side", "price", "quantity", "participant", "period", "node", "carrier", "group", "step")
    columns: dict[str, Any] = {name: getattr(bids, name) for name in names}
    values = columns[column] * np.where(mine, factor, 1.0)
    columns[column] = np.floor(values).astype(np.int64) if bids.is_integer else values
    return Bids(**columns)
