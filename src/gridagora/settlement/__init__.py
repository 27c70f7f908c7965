"""Trades, metered delivery and tariffs in; settlement lines in whole micro-units out."""

from gridagora.settlement.settle import Prices, SettlementLines, settle, settle_without_market
from gridagora.settlement.trades import PoolTrades, pool_trades

__all__ = ["PoolTrades", "Prices", "SettlementLines", "pool_trades", "settle", "settle_without_market"]
