"""Trades, metered delivery and tariffs in; settlement lines in whole micro-units out.

Baselines are in `gridagora.settlement.baselines`, settlement rules by name in
`gridagora.settlement.flexibility_rules`.
"""

from gridagora.settlement.flexibility import FlexSettlementLines, settle_flexibility
from gridagora.settlement.flexibility_delivery import (
    Calls,
    Delivery,
    ReadingRules,
    check_baseline,
    check_limit,
)
from gridagora.settlement.flexibility_rules import FlexTerms
from gridagora.settlement.reservation import (
    Availability,
    ReservationLines,
    ReservationTerms,
    check_availability,
    settle_reservation,
)
from gridagora.settlement.settle import Prices, settle, settle_without_market
from gridagora.settlement.trades import pool_trades

__all__ = [
    "Availability",
    "Calls",
    "Delivery",
    "FlexSettlementLines",
    "FlexTerms",
    "Prices",
    "ReadingRules",
    "ReservationLines",
    "ReservationTerms",
    "check_availability",
    "check_baseline",
    "check_limit",
    "pool_trades",
    "settle",
    "settle_flexibility",
    "settle_reservation",
    "settle_without_market",
]
