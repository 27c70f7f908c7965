"""Pay as bid: sellers get their own prices, buyers pay for it."""

from typing import Any

from numpy.typing import NDArray

from gridagora.market.mechanisms.capacity_limit import own_prices
from gridagora.market.payments.game import Market


def as_bid(market: Market) -> NDArray[Any]:
    """Pay sellers their own prices; buyers pay the sum, each with the same gain per kW within a period.

    One buyer pays what the sellers asked for, as in procurement.
    """
    paid = own_prices(market.bids, market.accepted, period=market.period, joined=market.rules.joins_periods)
    return market.by_player(paid)
