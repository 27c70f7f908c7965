"""How the flexibility market of a study works, as frozen numbers: who buys, for what, by which rules."""

from dataclasses import dataclass, field
from typing import Literal

from gridagora.model.flexibility import FlexProduct

DemandName = Literal["impact", "probability", "rebound_aware"]
"""How the DSO bids: for its forecast need, by impact or by impact x probability, or also against rebound."""

PaymentName = Literal["uniform", "pay_as_bid", "vcg", "vcg_one_sided", "shapley"]

SettlementName = Literal[
    "capacity_limit", "pay_delivered", "sliding_50", "threshold_75", "threshold_80", "uftp"
]
"""Names of `gridagora.settlement.flexibility_rules.RULES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexCosts:
    """What the DSO's costs are, currency; `gridagora.grid.DsoCosts` says what each stands for.

    Examples
    --------
    >>> FlexCosts(investment=200_000.0).deferral_years
    5.0
    """

    energy_price: float = 0.10
    replacement_cost: float = 20_000.0
    ambient_c: float = 20.0
    value_of_lost_load: float = 10.0
    emergency_percent: float = 120.0
    trip_percent: float = 150.0
    outage_hours: float = 1.0
    investment: float = 0.0
    deferral_years: float = 5.0
    discount_rate: float = 0.05
    kw_periods_per_year: float | None = None
    capacity_fee: float = 0.0
    fee_peaks: int = 1
    curtailed_price: float = 0.0
    curtailed_penalty: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservationRules:
    """The long-term auction: what the DSO reserves before the study begins, for which hours of each day.

    Parameters
    ----------
    need_kw : power to be held for the DSO in each period of the windows
    first_minute, last_minute : window of each day, local minutes since midnight, half-open
    fee_cap : highest availability fee the DSO pays, currency per kW and hour
    fee_asked : fee that sellers ask, currency per kW and hour; each draws its own around it with the seed
    activation_cap : highest price of an activation that a reserved seller may ask, currency per kWh
    lead_periods : periods between a call and the first period it is for, at least

    Examples
    --------
    >>> ReservationRules(need_kw=60.0).fee_cap
    0.02
    """

    need_kw: float
    first_minute: int = 17 * 60
    last_minute: int = 21 * 60
    fee_cap: float = 0.02
    fee_asked: float = 0.005
    activation_cap: float = 0.5
    lead_periods: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexRules:
    """How the flexibility market of a study works.

    Parameters
    ----------
    buyer : name of the grid operator that buys
    product : attributes of what is sold
    demand : how the operator bids in the market that is settled
    compare : other ways to bid, run beside it on the same days for comparison
    payment : rule of the activation auctions
    settlement : name of a rule of `gridagora.settlement.flexibility_rules.RULES`
    threshold_percent : loading from which an element counts as overloaded
    margin_percent : by which the rebound-aware operator plans below the threshold, percentage points
    planning_level : quantile of the forecast that is planned for
    forecast_error : standard deviation of a home's day-ahead forecast, share of its load; with the forecast
        method "perfect" it is drawn with the seed and shrinks as delivery nears; with other methods their own
        errors count
    gate_closure_periods : from the close of adjustment to delivery
    rebound_hours : how far before and after an activation the rebound-aware operator fears its energy
    horizon_periods : periods that homes plan over
    tolerance_kw : deficiency that counts as none
    penalty_per_kwh : charged for each kWh above the limit, currency
    activation_cost : of a home for each call beyond its free part, currency
    price_cap : what another way out costs the operator, currency per kWh: it bids no more; None: no such way
    costs : the operator's costs
    reservation : the long-term auction; None: none is held

    Examples
    --------
    >>> FlexRules().demand, FlexRules().product.direction
    ('rebound_aware', 'cap')
    """

    buyer: str = "DSO"
    product: FlexProduct = field(default_factory=lambda: FlexProduct(direction="cap"))
    demand: DemandName = "rebound_aware"
    compare: tuple[DemandName, ...] = ()
    payment: PaymentName = "uniform"
    settlement: SettlementName = "capacity_limit"
    threshold_percent: float = 95.0
    margin_percent: float = 1.0
    planning_level: float = 0.5
    forecast_error: float = 0.0
    gate_closure_periods: int = 1
    rebound_hours: float = 12.0
    horizon_periods: int = 36
    tolerance_kw: float = 0.1
    penalty_per_kwh: float = 0.5
    activation_cost: float = 0.0
    price_cap: float | None = 1.0
    costs: FlexCosts = FlexCosts()
    reservation: ReservationRules | None = None
