"""Pure clearing: mechanisms (one rule set, one function, one file), the order book, checks of them."""

from gridagora.market.mechanisms.pay_as_bid import pay_as_bid
from gridagora.market.mechanisms.pay_as_cleared import pay_as_cleared
from gridagora.market.mechanisms.trade_reduction import trade_reduction
from gridagora.market.mechanisms.vickrey import vickrey

__all__ = ["pay_as_bid", "pay_as_cleared", "trade_reduction", "vickrey"]
