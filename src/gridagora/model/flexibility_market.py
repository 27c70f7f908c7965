"""A flexibility market that is open: who may sell and buy, what, and by which rules; its auctions."""

from dataclasses import dataclass
from typing import Literal

from gridagora.model.flexibility import FlexProduct

AuctionHorizon = Literal["reservation", "activation"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionPoint:
    """A meter that takes part: its bus and its connection capacity, kW >= 0 in each direction.

    Examples
    --------
    >>> ConnectionPoint(participant="R1", bus="Bus R1", import_kw=380.0, export_kw=190.0).import_kw
    380.0
    """

    participant: str
    bus: str
    import_kw: float
    export_kw: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexMarketTerms:
    """What holds for the whole market.

    Parameters
    ----------
    points : connection points of the sellers, one per participant
    buyers : grid operators
    products : name and attributes of each product that is traded
    first, periods : periods of the study in which the market delivers, [first, first + periods)
    period_hours : length of a period, h
    reservation_payment, activation_payment : names of payment rules (`gridagora.market.payments`)
    settlement : name of a settlement rule for each product, in the order of ``products``
    fee_rule : rule of reservation fees (`gridagora.settlement.reservation.FEE_RULES`)
    penalty_micro_per_kwh : for each kWh of deficiency
    tolerance_kw, most_missing_percent : as in `gridagora.settlement.ReadingRules`
    gate_closure_periods : adjustment for a period closes that many periods before it

    Examples
    --------
    >>> terms = FlexMarketTerms(points=(), buyers=("DSO",), products=(("cap", FlexProduct(direction="cap")),),
    ...                           first=0, periods=24, period_hours=1.0, settlement=("capacity_limit",))
    >>> terms.product("cap").direction
    'cap'
    """

    points: tuple[ConnectionPoint, ...]
    buyers: tuple[str, ...]
    products: tuple[tuple[str, FlexProduct], ...]
    first: int
    periods: int
    period_hours: float
    settlement: tuple[str, ...]
    reservation_payment: str = "pay_as_bid"
    activation_payment: str = "uniform"
    fee_rule: str = "offered"
    penalty_micro_per_kwh: int = 0
    tolerance_kw: float = 0.0
    most_missing_percent: float = 5.0
    gate_closure_periods: int = 1

    def product(self, name: str) -> FlexProduct:
        """Return a product by its name."""
        return dict(self.products)[name]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexAuction:
    """An auction: bids are taken until ``gate`` for delivery in [first, first + count).

    Parameters
    ----------
    number : its number, from 0 in the order of opening
    horizon : "reservation" (long-term) or "activation" (short-term, open to newcomers)
    product : name of the product
    first, count : delivery periods
    gate : moment from which bids are late, seconds since 1970 UTC
    ordered : whether the buyers' steps are taken in their order (probability-based demand)
    area : participants that may sell; empty: all

    Examples
    --------
    >>> FlexAuction(number=0, horizon="activation", product="cap", first=17, count=1, gate=0).ordered
    False
    """

    number: int
    horizon: AuctionHorizon
    product: str
    first: int
    count: int
    gate: int
    ordered: bool = False
    area: tuple[str, ...] = ()
