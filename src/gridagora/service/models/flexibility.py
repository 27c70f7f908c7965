"""The flexibility market: requests, auctions, offers, contracts, calls, continuous orders, activations."""

from typing import Annotated, Literal

from pydantic import Field

from gridagora.service.models.base import (
    Answer,
    Ask,
    Count,
    Id,
    Kilowatts,
    Micro,
    Moment,
    Money,
    Number,
    Place,
    Text,
)

Horizon = Literal["reservation", "activation"]
Side = Literal["buy", "sell"]
Direction = Literal["cap", "floor", "down", "up"]
Baseline = Literal["lem_schedule", "x_of_y", "same_hour_mean", "meter_before", "zero"]
Periods = Annotated[list[Count], Field(min_length=1, max_length=10_000)]


class FlexProductTerms(Ask):
    """A product of the flexibility market and how it is settled."""

    name: Id
    direction: Direction
    settlement: Place = Field(description="rule of settlement", examples=["capacity_limit"])
    min_duration: int = Field(1, ge=1, description="periods")
    max_duration: int | None = Field(None, ge=1, description="periods")
    max_activations_per_day: int | None = Field(None, ge=0)
    min_rest: int = Field(0, ge=0, description="periods")
    response_time_s: Kilowatts = Field(0.0, description="s")


class FlexMarketOpening(Ask):
    """Terms of the flexibility market; who sells are the participants with a connection of known capacity."""

    buyers: Annotated[list[Place], Field(min_length=1, max_length=20)] = Field(
        description="grid operators that buy: ids of their organisations"
    )
    products: Annotated[list[FlexProductTerms], Field(min_length=1, max_length=50)]
    first: Count = Field(description="first period of delivery")
    periods: int = Field(ge=1, le=1_000_000)
    reservation_payment: Place = "pay_as_bid"
    activation_payment: Place = "uniform"
    penalty_micro_per_kwh: Count = 0
    gate_closure_periods: int = Field(1, ge=0, le=10_000)
    baseline: Baseline = Field(
        "lem_schedule",
        description="what products of the directions down and up are measured from: the cleared schedule of "
        "the energy market, or a method over earlier readings",
    )


class FlexMarket(Answer):
    """The flexibility market as it is open."""

    products: list[str]
    points: list[str] = Field(description="sellers that the caller may know of")
    baseline: str
    buyers: list[str]
    first: int
    periods: int
    start: Moment
    period_s: int
    open_from: int = Field(description="first period that can still be traded")


class Need(Ask):
    """What a grid operator needs in a period, and pays at most."""

    period: Count
    kw: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    price: Number = Field(description="currency per kW and period (reservation: and hour)")


class NewRequest(Ask):
    """A request for flexibility: an auction, and what the buyer bids in it."""

    buyer: Place = Field(description="id of the grid operator's organisation")
    horizon: Horizon
    product: Place
    first: Count
    count: int = Field(ge=1, le=100_000, description="periods")
    gate: Moment = Field(description="offers are taken until then")
    needs: Annotated[list[Need], Field(min_length=1, max_length=10_000)]
    area: list[Place] = Field(default=[], description="participants that may sell; empty: all")
    element: Text = Field("", description="line, transformer or bus that is relieved")
    activation_cap: Kilowatts | None = Field(
        None, description="reservation: dearest price at which a called holder may offer, currency per kWh"
    )
    lead_periods: int = Field(0, ge=0, le=10_000)
    max_activations: int | None = Field(None, ge=0)


class OfferStepIn(Ask):
    """A step of an offer."""

    period: Count
    kw: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    price: Number = Field(description="currency per kW and period (reservation: and hour)")


class NewOffer(Ask):
    """What a participant offers in an auction; one set of steps per period."""

    participant: Place
    steps: Annotated[list[OfferStepIn], Field(min_length=1, max_length=10_000)]


class FlexBidRow(Answer):
    """A step that was bid in an auction, and what of it was accepted."""

    participant: str
    side: Side
    period: int
    kw: float
    price: float
    accepted_kw: float | None = None


class AuctionPrice(Answer):
    """The price that cleared a period of an auction, currency per kW and period (reservation: and hour)."""

    period: int
    price: float


class Auction(Answer):
    """An auction of flexibility."""

    number: int
    horizon: Horizon
    product: str
    first: int
    count: int
    gate: Moment
    area: list[str] = Field(description="those of the participants that may sell whom the caller may know of")
    element: str
    cleared: bool
    prices: list[AuctionPrice] = Field([], description="once it is cleared; of periods that were traded")


class NeedRow(Answer):
    """What a grid operator needs in a period; what it would pay is told to it alone."""

    buyer: str
    period: int
    kw: float
    price: float | None
    accepted_kw: float | None = None


class Request(Auction):
    """An auction with what its buyers need."""

    needs: list[NeedRow]


class TenderWindow(Ask):
    """A service window of a tender."""

    first: Count
    count: int = Field(ge=1, le=10_000)
    need_kw: Kilowatts


class NewTender(Ask):
    """A tender: sellers bid until it closes, then its buyer decides."""

    name: Id
    buyer: Place = Field(description="id of the grid operator's organisation")
    product: Place = Field(description="its direction is what is asked for")
    windows: Annotated[list[TenderWindow], Field(min_length=1, max_length=100)]
    closes: Moment = Field(description="bids are taken until then")
    area: list[Place] = Field(default=[], description="buses or participants that may sell; empty: all")
    availability_cap: Kilowatts | None = Field(None, description="dearest, currency per kW and hour")
    utilisation_cap: Kilowatts | None = Field(None, description="dearest, currency per kWh")
    expected_calls: Annotated[float, Field(ge=0, le=1)] = 1.0


class TenderWindowOut(Answer):
    """A service window of a tender."""

    first: int
    count: int
    need_kw: float


class TenderOut(Answer):
    """A tender as it stands; what is bid in it is sealed."""

    name: str
    buyer: str
    product: str
    direction: Direction
    windows: list[TenderWindowOut]
    closes: Moment
    area: list[str]
    availability_cap: float | None
    utilisation_cap: float | None
    expected_calls: float
    status: Literal["open", "closed", "decided"]


class NewTenderBid(Ask):
    """A seller's bid in a tender, for all its windows unless some are named."""

    participant: Place
    min_kw: Kilowatts = 0.0
    max_kw: Kilowatts
    availability: Kilowatts = Field(description="currency per kW and hour")
    utilisation: Kilowatts = Field(description="currency per kWh")
    windows: Annotated[list[Count], Field(max_length=100)] | None = Field(
        None, description="places in the tender's windows, from 0"
    )


class TenderBidOut(Answer):
    """A bid in a tender for one window, and what became of it."""

    participant: str
    window: int
    min_kw: float
    max_kw: float
    availability: float
    utilisation: float
    accepted_kw: float | None = Field(None, description="once the tender is decided")
    reason: str = ""


class Rejection(Ask):
    """A seller whose bids the buyer does not take, and why."""

    participant: Place
    reason: Annotated[Text, Field(min_length=1)]


class TenderDecision(Ask):
    """The buyer's decision: the cheapest bids that cover the need win, without those that it rejects."""

    rejected: list[Rejection] = Field(default=[], max_length=1_000)


class TenderResult(Answer):
    """The decision on a tender."""

    name: str
    bids: list[TenderBidOut]
    contracts: list[str]


class NewRedispatchOrder(Ask):
    """Somebody is willing to import less ("sell") or more ("buy") in a period, if it is paired."""

    participant: Place
    side: Side
    period: Count
    kw: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    price: Number = Field(description="currency per kWh: least to be paid, or most to pay")


class RedispatchOrderOut(Answer):
    """An order that waits for a pair."""

    participant: str
    side: Side
    period: int
    start: Moment
    kw: float
    price: float


class Relief(Ask):
    """Relief that a grid operator needs in a period, kW at the meters inside the area."""

    period: Count
    kw: float = Field(gt=0, le=1e9, allow_inf_nan=False)


class NewRedispatch(Ask):
    """Pair the orders that wait: inside a congested area with opposite ones outside."""

    buyer: Place = Field(description="id of the grid operator's organisation: it pays the spread")
    area: Annotated[list[Place], Field(min_length=1, max_length=10_000)] = Field(
        description="zones, buses or participants inside"
    )
    relieves: Literal["import", "export"] = Field(description="what is too much inside")
    needs: Annotated[list[Relief], Field(min_length=1, max_length=96)]


class RedispatchRow(Answer):
    """What one party has of a paired redispatch."""

    event: int
    row: int
    participant: str
    buyer: str = Field(description="grid operator that it was done for")
    side: Literal["sell", "buy", "spread"]
    period: int
    start: Moment
    kw: float
    price_micro: Micro | None
    amount: Money
    amount_micro: Micro


class RejectedPair(Answer):
    """A pair that the grid does not carry."""

    period: int
    inside: str
    outside: str
    kw: float
    reason: str


class MissingRelief(Answer):
    """Relief that no pair gives."""

    period: int
    kw: float


class RedispatchResult(Answer):
    """What was paired for a grid operator."""

    event: int
    rows: list[RedispatchRow]
    rejected: list[RejectedPair]
    missing: list[MissingRelief]


class Contract(Answer):
    """A contract that reserves flexibility."""

    id: str
    buyer: str
    seller: str
    product: str
    source: str
    activation: str
    periods: list[int]
    reserved_kw: list[float]
    availability_micro_per_kw_h: Micro
    activation_cap_micro_per_kwh: Micro
    calls: int
    tests: int


class NewCall(Ask):
    """A call of reserved power: in each period so much is asked of each contract."""

    contracts: Annotated[list[Place], Field(min_length=1, max_length=1_000)]
    periods: Periods
    kw: Annotated[list[Kilowatts], Field(min_length=1, max_length=10_000)]
    test: bool = False


class PowerByPeriod(Ask):
    """Power of a contract by period."""

    periods: Periods
    kw: Annotated[list[Kilowatts], Field(min_length=1, max_length=10_000)]
    test: bool = False


class Carried(Answer):
    """A command of the flexibility market that was carried out."""

    event: int = Field(description="number of the event")
    at: Moment
    what: str


class NewOrder(Ask):
    """An order of the continuous market."""

    product: Place
    participant: Place
    side: Side
    first: Count
    periods: int = Field(1, ge=1, le=100_000)
    kw: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    price: Number = Field(description="currency per kW and period")
    min_kw: Kilowatts = 0.0
    fill: Literal["normal", "fill_or_kill", "fill_and_kill"] = "normal"
    area: Text = ""
    contract: Text = ""


class FlexTradeOut(Answer):
    """A trade of the continuous market."""

    buyer: str
    seller: str
    first: int
    periods: int
    kw: float
    price: float


class OrderTaken(Answer):
    """What became of an order."""

    number: int
    product: str
    outcome: str
    trades: list[FlexTradeOut]


class Order(Answer):
    """An order that rests in the continuous market; who gave it is told to its owner alone."""

    number: int
    product: str
    participant: str | None
    side: Side
    first: int
    periods: int
    kw: float
    price: float


class DeliveryOrder(Answer):
    """What a participant is to deliver of a product in a period."""

    participant: str
    product: str
    period: int
    start: Moment
    kw: float = Field(description="cut below the connection, or deviation from the baseline")
    settled: bool
    delivered_wh: int | None = None
    ordered_wh: int | None = None


class Activation(Answer):
    """A call, a dispatch, or an emergency limit."""

    kind: Literal["call", "dispatch", "emergency"]
    id: str
    participant: str
    begins: Moment
    ends: Moment
    test: bool = False
    text: str


class FlexSettlementRange(Ask):
    """Periods of the flexibility market to be settled by the meter readings that are there."""

    first: Count
    count: int = Field(ge=1, le=100_000)
    otherwise: Baseline = Field(
        "same_hour_mean", description="baseline of those of whom that of the market tells nothing"
    )


class FlexSettlement(Answer):
    """What the settlement of flexibility came to for each participant."""

    first: int
    count: int
    total: dict[str, Money]
