"""GridAgora: local energy and flexibility markets on distribution grids.

Names are imported when first used, so that ``import gridagora`` and the command line start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridagora.adapters.grids import Grid
    from gridagora.errors import Fault, GridAgoraError, InputError, InvariantError, SolverError
    from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
    from gridagora.market.book import OrderBook
    from gridagora.market.checks import check_mechanism
    from gridagora.model.bids import Bids
    from gridagora.model.results import ClearingResult
    from gridagora.studies.run import Run, run

_HOME = {
    "Bids": "gridagora.model.bids",
    "ClearingResult": "gridagora.model.results",
    "Fault": "gridagora.errors",
    "Grid": "gridagora.adapters.grids",
    "GridAgoraError": "gridagora.errors",
    "InputError": "gridagora.errors",
    "InvariantError": "gridagora.errors",
    "OrderBook": "gridagora.market.book",
    "Run": "gridagora.studies.run",
    "SolverError": "gridagora.errors",
    "check_mechanism": "gridagora.market.checks",
    "pay_as_bid": "gridagora.market",
    "pay_as_cleared": "gridagora.market",
    "run": "gridagora.studies.run",
    "trade_reduction": "gridagora.market",
    "vickrey": "gridagora.market",
}

__all__ = [
    "Bids",
    "ClearingResult",
    "Fault",
    "Grid",
    "GridAgoraError",
    "InputError",
    "InvariantError",
    "OrderBook",
    "Run",
    "SolverError",
    "check_mechanism",
    "pay_as_bid",
    "pay_as_cleared",
    "run",
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
