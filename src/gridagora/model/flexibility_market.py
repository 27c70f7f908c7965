"""A flexibility market that is open: who may sell and buy, what, and by which rules; its auctions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.model.flexibility import FlexProduct
from gridagora.model.reservation import Activation, Trigger

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
    start : moment at which period 0 of the study begins, seconds since 1970 UTC
    first, periods : periods of the study in which the market delivers, [first, first + periods)
    period_hours : length of a period, h
    reservation_payment, activation_payment : names of payment rules (`gridagora.market.payments`);
        "uniform" stands for "pay_as_bid" where buyers' steps are ordered or blocks are bid: no uniform price
        need suit everyone there
    settlement : name of a settlement rule for each product, in the order of ``products``
    fee_rule : rule of reservation fees (`gridagora.settlement.reservation.FEE_RULES`)
    penalty_micro_per_kwh : for each kWh of deficiency
    tolerance_kw, most_missing_percent : as in `gridagora.settlement.ReadingRules`
    gate_closure_periods : adjustment for a period closes that many periods before it
    window_periods : periods, counted from ``first``, over which lost readings and the thresholds of
        settlement rules are judged together
    areas : name and connection points of each area that orders of the continuous market may be for
    baseline : method by which products against a baseline are judged where whoever settles them gives no
        baseline (`gridagora.settlement.baselines.METHODS`)

    Examples
    --------
    >>> terms = FlexMarketTerms(points=(), buyers=("DSO",), products=(("cap", FlexProduct(direction="cap")),),
    ...                         start=0, first=0, periods=24, period_hours=1.0,
    ...                         settlement=("capacity_limit",))
    >>> terms.product("cap").direction
    'cap'
    >>> terms.open_from(7199, lead=1), terms.open_from(7200, lead=1)
    (3, 4)
    """

    points: tuple[ConnectionPoint, ...]
    buyers: tuple[str, ...]
    products: tuple[tuple[str, FlexProduct], ...]
    start: int
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
    window_periods: int = 1
    areas: tuple[tuple[str, tuple[str, ...]], ...] = ()
    baseline: str = "lem_schedule"

    def product(self, name: str) -> FlexProduct:
        """Return a product by its name."""
        return dict(self.products)[name]

    @property
    def participants(self) -> tuple[str, ...]:
        """Names by participant code: connection points, then buyers."""
        return self.participants_then(len(self.points))

    def participants_then(self, points: int) -> tuple[str, ...]:
        """Return the names by participant code when there were so many sellers; others joined since."""
        return tuple(point.participant for point in self.points[:points]) + self.buyers

    @property
    def end(self) -> int:
        """First period after those in which the market delivers."""
        return self.first + self.periods

    def begins(self, period: int) -> int:
        """Return the moment at which a period begins, seconds since 1970 UTC."""
        return self.start + round(period * self.period_hours * 3600)

    def open_from(self, at: int, *, lead: int = 0) -> int:
        """Return the first period that begins more than ``lead`` periods after a moment."""
        return (at - self.start) // round(self.period_hours * 3600) + 1 + lead

    def capacity_kw(self, name: str) -> NDArray[np.float64]:
        """Return the most of a product that each point can sell, kW, shape (points,).

        What a cap or a floor is counted from; against a baseline the way from full export to full import.
        """
        direction = self.product(name).direction
        most = [
            {"cap": point.import_kw, "floor": point.export_kw}.get(
                direction, point.import_kw + point.export_kw
            )
            for point in self.points
        ]
        return np.array(most, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContractRules:
    """What the contracts of a reservation auction say beside quantity and fee.

    Parameters
    ----------
    activation_cap : dearest price at which a called holder may offer, currency per kWh
    lead_periods, rest_periods, max_activations, auto_offer, trigger, activation, max_tests : as in
        `gridagora.model.reservation.FlexContract`

    Examples
    --------
    >>> ContractRules(activation_cap=0.5).auto_offer
    True
    """

    activation_cap: float
    lead_periods: int = 0
    rest_periods: int = 0
    max_activations: int | None = None
    auto_offer: bool = True
    trigger: Trigger | None = None
    activation: Activation = "auction"
    max_tests: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexAuction:
    """An auction: bids are taken until ``gate`` for delivery in [first, first + count).

    Parameters
    ----------
    number : its number, from 0 in the order of opening
    horizon : "reservation" (long-term) or "activation" (short-term, open to newcomers)
    product : name of the product
    first, count : delivery periods; an activation of several keeps each seller to the product's durations,
        rest and activations per day
    gate : moment from which bids are late, seconds since 1970 UTC
    ordered : whether the buyers' steps are taken in their order (probability-based demand)
    area : participants that may sell; empty: all
    contract : what the contracts of a reservation auction say; None for an activation
    element : line, transformer or bus that the buyer minds, as it names it; "": not said

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
    contract: ContractRules | None = None
    element: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RedispatchOrder:
    """An order for one period: any part of ``kw`` at ``price``, currency per kWh.

    A participant that sells imports less (or exports more), one that buys imports more.

    Examples
    --------
    >>> RedispatchOrder(participant="ann", side="sell", period=3, kw=20.0, price=0.3).kw
    20.0
    """

    participant: str
    side: Literal["buy", "sell"]
    period: int
    kw: float
    price: float
