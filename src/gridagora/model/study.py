"""A study, resolved to numbers: what the engine gets after scenario and profiles were checked."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.model.flexibility_study import FlexRules
from gridagora.model.resources import Home
from gridagora.model.time import TimeAxis
from gridagora.model.zone_study import ZoneRules

Floats = NDArray[np.float64]
MechanismName = Literal["pay_as_cleared", "pay_as_bid", "vickrey", "trade_reduction", "network", "zonal"]
ForecastName = Literal["perfect", "naive", "seasonal", "blended"]
BiddingName = Literal["truthful", "zero_intelligence", "fixed_margin"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tariffs:
    """Prices outside the local market, currency per kWh, one entry per period.

    ``retail`` and ``feed_in`` are energy only.  ``network`` and ``taxes`` are paid on every kWh imported at
    the meter, wherever it was bought; ``local_network_share`` is the part of ``network`` due on local energy.
    The retailer settles imbalance: a kWh short is bought at ``imbalance_short``, a kWh long sold at
    ``imbalance_long``; with ``imbalance_netted`` the participants are one balance group, whose
    imbalance costs what its exchange with the retailer changes; the two prices then only tell the spread.
    ``standing_per_day`` is currency per day and connection.
    """

    retail: Floats
    feed_in: Floats
    network: Floats
    taxes: Floats
    imbalance_short: Floats
    imbalance_long: Floats
    local_network_share: float = 1.0
    imbalance_netted: bool = True
    standing_per_day: float = 0.0
    currency: str = "EUR"


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketRules:
    """How the local pool works.

    ``session_periods`` delivery periods are auctioned at once, ``gate_lead_periods`` before the first.
    ``islanded``: no upstream orders; unserved load is valued at ``value_of_lost_load``.
    ``import_limit_kw`` and ``export_limit_kw`` bound the retailer's two orders.
    Mechanism "zonal": zones cover themselves, then trade further out; see `Study.zones`.
    Mechanism "network": the pool keeps ``grid_margin`` (a share) of every limit of the grid free, for what
    forecasts miss, values load that the wires cannot supply at ``value_of_lost_load``, and holds homes to
    what they sold in periods whose schedule uses more than ``hold_from`` (a share) of a limit; with
    ``price_losses`` prices contain marginal losses.
    """

    mechanism: MechanismName = "pay_as_cleared"
    session_periods: int = 4
    gate_lead_periods: int = 0
    islanded: bool = False
    import_limit_kw: float = np.inf
    export_limit_kw: float = np.inf
    value_of_lost_load: float = 10.0
    grid_margin: float = 0.0
    hold_from: float = 0.8
    price_losses: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentRules:
    """How homes plan and bid.

    ``ems`` "rule_based" (self-consumption) or "optimal" (LP over ``horizon_periods``, planned anew every
    ``replan_periods``); ``margin`` is the relative mark-up of fixed-margin bidding.
    """

    ems: Literal["rule_based", "optimal"] = "rule_based"
    bidding: BiddingName = "truthful"
    forecast: ForecastName = "blended"
    horizon_periods: int = 96
    replan_periods: int = 4
    margin: float = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class GridLimits:
    """Operational limits: voltage band per unit, loading in percent of rated current."""

    vm_min_pu: float = 0.9
    vm_max_pu: float = 1.1
    line_loading_percent: float = 100.0
    transformer_loading_percent: float = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Everything a run needs but the grid itself, as frozen numbers.

    With ``flexibility`` homes trade flexibility with the grid operator and energy with the retailer alone.
    With ``zones`` (mechanism "zonal") each zone has a market and a controller of its own.
    """

    name: str
    axis: TimeAxis
    homes: tuple[Home, ...]
    tariffs: Tariffs
    market: MarketRules
    agents: AgentRules
    limits: GridLimits
    flexibility: FlexRules | None = None
    zones: ZoneRules | None = None
    seed: int = 0
