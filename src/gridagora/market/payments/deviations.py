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

    Every price of the participant is scaled by 0.5, 0.8, 0.95, 1.05, 1.25 and 2, or every quantity by 0.5 and
    0.8; the market is cleared and paid again, and the gain is counted at the true prices.  The twelve who
    trade
    most are tried.  None found is no proof; one found is.
    """
    truth = market.own_value + amounts
    traded = market.by_player(market.accepted)
    money = float(np.abs(market.bids.price * market.bids.quantity).max(initial=0))
    best: Deviation | None = None
    for player in np.argsort(-traded, kind="stable")[:MOST_PLAYERS].tolist():
        mine = market.owner == player
        tries = [("price", factor) for factor in PRICE_FACTORS]
        for scaled, factor in [*tries, *(("quantity", factor) for factor in QUANTITY_FACTORS)]:
            told = market.restated(_scaled(market.bids, mine, scaled, factor=factor))
            paid = rule(told)[player]
            value = float((market.bids.side * market.bids.price * told.accepted)[mine].sum())
            gain = float(value + paid - truth[player])
            if gain > 1e-6 * money and (best is None or gain > best.gain):
                best = Deviation(
                    participant=market.names[player].item(), scaled=scaled, factor=factor, gain=gain
                )
    return best


def _scaled(bids: Bids, mine: NDArray[np.bool_], column: str, *, factor: float) -> Bids:
    names = ("side", "price", "quantity", "participant", "period", "node", "carrier", "group", "step")
    columns: dict[str, Any] = {name: getattr(bids, name) for name in names}
    values = columns[column] * np.where(mine, factor, 1.0)
    columns[column] = np.floor(values).astype(np.int64) if bids.is_integer else values
    return Bids(**columns)
