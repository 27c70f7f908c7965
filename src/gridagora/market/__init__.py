"""Pure clearing: mechanisms (one rule set, one function, one file), the order book, checks of them.

Who pays what for a cleared flexibility market is in `gridagora.market.payments`.
"""

from gridagora.market._capacity_check import check_offers
from gridagora.market._capacity_rules import ActivationLimits, Horizon
from gridagora.market.controllers import (
    Checks,
    Controllers,
    LocalController,
    is_approved,
    way_of_trade,
)
from gridagora.market.islanding import IslandResult, island
from gridagora.market.mechanisms.capacity_limit import CapacityLimitResult, capacity_limit_auction
from gridagora.market.mechanisms.pay_as_bid import pay_as_bid
from gridagora.market.mechanisms.pay_as_cleared import pay_as_cleared
from gridagora.market.mechanisms.trade_reduction import trade_reduction
from gridagora.market.mechanisms.vickrey import vickrey
from gridagora.market.zonal import GateLimits, ZonalResult, hierarchical_clearing, with_bulk
from gridagora.market.zonal_joint import JointResult, WelfareGap, joint_clearing, welfare_gap

__all__ = [
    "ActivationLimits",
    "CapacityLimitResult",
    "Checks",
    "Controllers",
    "GateLimits",
    "Horizon",
    "IslandResult",
    "JointResult",
    "LocalController",
    "WelfareGap",
    "ZonalResult",
    "capacity_limit_auction",
    "check_offers",
    "hierarchical_clearing",
    "is_approved",
    "island",
    "joint_clearing",
    "pay_as_bid",
    "pay_as_cleared",
    "trade_reduction",
    "vickrey",
    "way_of_trade",
    "welfare_gap",
    "with_bulk",
]
