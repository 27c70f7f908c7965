"""Pure clearing: mechanisms (one rule set, one function, one file), the order book, and checks for any of them."""

from gridagora.market.mechanisms.pay_as_cleared import pay_as_cleared

__all__ = ["pay_as_cleared"]
