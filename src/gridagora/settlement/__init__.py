"""Trades, metered delivery and tariffs in; settlement lines in whole micro-units out."""

from gridagora.settlement.settle import Prices, settle, settle_without_market
from gridagora.settlement.trades import pool_trades

__all__ = ["Prices", "pool_trades", "settle", "settle_without_market"]
