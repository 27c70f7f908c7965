"""GridAgora: local energy and flexibility markets on distribution grids.

Names are imported when first used, so that ``import gridagora`` and the command line start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridagora.adapters.grids import Grid
    from gridagora.engine.flexibility.machine import FlexMarket
    from gridagora.errors import (
        Fault,
        GridAgoraError,
        InfeasibleMarket,
        InputError,
        InvariantError,
        SolverError,
    )
    from gridagora.market import (
        ActivationLimits,
        CapacityLimitResult,
        Horizon,
        capacity_limit_auction,
        check_offers,
        pay_as_bid,
        pay_as_cleared,
        trade_reduction,
        vickrey,
    )
    from gridagora.market.book import OrderBook
    from gridagora.market.checks import check_mechanism
    from gridagora.market.mechanisms.network import network_auction
    from gridagora.market.mechanisms.redispatch_pairs import pair_redispatch
    from gridagora.market.mechanisms.tender import award_tender
    from gridagora.market.network_result import NetworkResult
    from gridagora.market.payments import Payments, payments, shapley_value
    from gridagora.market.rolling import RollingMarket
    from gridagora.model.bids import Bids
    from gridagora.model.dependencies import Carrier, Dependency, Rolling
    from gridagora.model.flexibility import FlexOffer, FlexProduct, OfferStep
    from gridagora.model.linear_network import LinearNetwork
    from gridagora.model.results import ClearingResult
    from gridagora.studies.run import Run, run

_HOME = {
    "ActivationLimits": "gridagora.market",
    "Bids": "gridagora.model.bids",
    "CapacityLimitResult": "gridagora.market",
    "Carrier": "gridagora.model.dependencies",
    "ClearingResult": "gridagora.model.results",
    "Dependency": "gridagora.model.dependencies",
    "Fault": "gridagora.errors",
    "FlexMarket": "gridagora.engine.flexibility.machine",
    "FlexOffer": "gridagora.model.flexibility",
    "FlexProduct": "gridagora.model.flexibility",
    "Grid": "gridagora.adapters.grids",
    "GridAgoraError": "gridagora.errors",
    "Horizon": "gridagora.market",
    "InfeasibleMarket": "gridagora.errors",
    "InputError": "gridagora.errors",
    "InvariantError": "gridagora.errors",
    "LinearNetwork": "gridagora.model.linear_network",
    "NetworkResult": "gridagora.market.network_result",
    "OfferStep": "gridagora.model.flexibility",
    "OrderBook": "gridagora.market.book",
    "Payments": "gridagora.market.payments",
    "Rolling": "gridagora.model.dependencies",
    "RollingMarket": "gridagora.market.rolling",
    "Run": "gridagora.studies.run",
    "SolverError": "gridagora.errors",
    "award_tender": "gridagora.market.mechanisms.tender",
    "capacity_limit_auction": "gridagora.market",
    "check_mechanism": "gridagora.market.checks",
    "check_offers": "gridagora.market",
    "network_auction": "gridagora.market.mechanisms.network",
    "pair_redispatch": "gridagora.market.mechanisms.redispatch_pairs",
    "pay_as_bid": "gridagora.market",
    "pay_as_cleared": "gridagora.market",
    "payments": "gridagora.market.payments",
    "run": "gridagora.studies.run",
    "shapley_value": "gridagora.market.payments",
    "trade_reduction": "gridagora.market",
    "vickrey": "gridagora.market",
}

__all__ = [
    "ActivationLimits",
    "Bids",
    "CapacityLimitResult",
    "Carrier",
    "ClearingResult",
    "Dependency",
    "Fault",
    "FlexMarket",
    "FlexOffer",
    "FlexProduct",
    "Grid",
    "GridAgoraError",
    "Horizon",
    "InfeasibleMarket",
    "InputError",
    "InvariantError",
    "LinearNetwork",
    "NetworkResult",
    "OfferStep",
    "OrderBook",
    "Payments",
    "Rolling",
    "RollingMarket",
    "Run",
    "SolverError",
    "award_tender",
    "capacity_limit_auction",
    "check_mechanism",
    "check_offers",
    "network_auction",
    "pair_redispatch",
    "pay_as_bid",
    "pay_as_cleared",
    "payments",
    "run",
    "shapley_value",
    "trade_reduction",
    "vickrey",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOME:
        message = f"module 'gridagora' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, so that a shell completes them."""
    return sorted(__all__)
