"""All that markets of zones need, in one place: making zones, clearing them, their controllers, islands.

    from gridagora import zones

    tree = zones.zones_from_feeders(grid.network)
    result = zones.hierarchical_clearing(bids, tree, transfer_kw=zones.gate_limits_kw(grid.network, tree))

The how-to page "Markets of zones" goes through all of it.
"""

from gridagora.grid.zones import (
    electrical_distance,
    gate_limits_kw,
    zones_by_distance,
    zones_from_feeders,
    zones_from_table,
)
from gridagora.market.controllers import (
    Checks,
    Controllers,
    LocalController,
    is_approved,
    way_of_trade,
)
from gridagora.market.islanding import IslandResult, island
from gridagora.market.zonal import GateLimits, ZonalResult, hierarchical_clearing, with_bulk
from gridagora.market.zonal_joint import JointResult, WelfareGap, joint_clearing, welfare_gap
from gridagora.model.zone_trades import STEPS, Approval, Supply, TradeRequest
from gridagora.model.zones import Zone, ZoneTree

__all__ = [
    "STEPS",
    "Approval",
    "Checks",
    "Controllers",
    "GateLimits",
    "IslandResult",
    "JointResult",
    "LocalController",
    "Supply",
    "TradeRequest",
    "WelfareGap",
    "ZonalResult",
    "Zone",
    "ZoneTree",
    "electrical_distance",
    "gate_limits_kw",
    "hierarchical_clearing",
    "is_approved",
    "island",
    "joint_clearing",
    "way_of_trade",
    "welfare_gap",
    "with_bulk",
    "zones_by_distance",
    "zones_from_feeders",
    "zones_from_table",
]
