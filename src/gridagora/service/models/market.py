"""Terms, sessions, bids, the order book, trades, prices and schedules."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gridagora.service.models.base import (
    Answer,
    Ask,
    Count,
    Micro,
    Moment,
    Money,
    Place,
    WattHours,
    Whole,
)
from gridagora.service.texts import check_text

Side = Literal["buy", "sell"]
SessionStatus = Literal["announced", "open", "cleared", "published", "settled"]
MOST_BIDS = 10_000
MOST_ROWS = 200_000
"""Rows of a request that becomes a job."""


class MarketState(Answer):
    """What everybody may know of the market."""

    name: str
    currency: str
    timezone: str
    now: Moment = Field(description="by the market's clock")
    epoch: Moment = Field(description="period 0 begins")
    period_s: int = Field(description="length of a period, s")
    session_periods: int = Field(description="periods that are auctioned together")
    mechanism: str
    lowest_price: float = Field(description="of a bid, currency per kWh")
    highest_price: float = Field(description="of a bid, currency per kWh")
    most_kwh: float = Field(description="largest bid, kWh")
    fee_ppm: int = Field(description="millionths of what sellers are paid that the operator keeps")
    escrow: bool
    open_sessions: list[int]
    next_gate: Moment | None
    participants: int = Field(description="active ones")
    flexibility: bool = Field(description="a flexibility market is open")


class Session(Answer):
    """A session: its moments, and how far it has come."""

    session: int
    status: SessionStatus
    first_period: int
    periods: int
    opens: Moment
    gate: Moment
    delivery_start: Moment
    delivery_end: Moment
    settles: Moment = Field(description="readings are taken until then")
    bids: int = Field(description="that stand or stood")
    called_off: str | None = Field(
        None, description="why nobody trades in it: its energy is settled at tariff; null where it is held"
    )
    stuck: str | None = Field(None, description="why it cannot be settled; null where it can be")
    by_schedule: str | None = Field(
        None, description="why it was settled as if all had kept to their schedules; null where meters told"
    )


class CallOff(Ask):
    """Why a session is called off; those who bid are told."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(check_text)]


class BySchedule(Ask):
    """Why a session is settled without its readings; those concerned are told."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(check_text)]


class ClockCheck(Ask):
    """A clock that leapt is right: what the time is, and how that is known."""

    now: Moment = Field(description="the time, within ten minutes of what the market's clock shows")
    reason: Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(check_text)]


class ClockState(Answer):
    """The market's clock."""

    now: Moment
    jump_s: int = Field(description="seconds that it leapt ahead and nobody has accepted; 0: it is followed")
    behind_s: int = Field(description="seconds that it shows less than the last event")


class PeriodResult(Answer):
    """What one period of a session came to."""

    period: int
    start: Moment
    price: Money | None = Field(description="currency per kWh; null where nothing was traded")
    price_micro: int | None
    volume_wh: WattHours


class GridFinding(Answer):
    """A limit of the grid that the schedule of a session goes beyond."""

    period: int
    kind: str
    element: str
    value: float
    limit: float


class ZoneResult(Answer):
    """What the market of one zone came to in one period."""

    zone: str
    period: int
    price: Money | None
    volume_wh: WattHours | None = Field(
        description="bought in it; null where few participants are, whom it would tell of"
    )
    import_wh: WattHours | None = Field(description="through its gate, + into it; null likewise")


class SessionResults(Answer):
    """Public results of a session."""

    session: int
    status: SessionStatus
    periods: list[PeriodResult]
    grid_findings: list[GridFinding]
    zones: list[ZoneResult]


class NewBid(Ask):
    """A bid: energy of one period, at a limit price.

    Say the period by its number or its start, the price as a decimal in currency or in micro-units, the
    quantity in Wh or kWh: one of each two.
    """

    participant: Place
    side: Side
    period: Count | None = Field(None, description="number of the period")
    start: Moment | None = Field(None, description="start of the period")
    price: Decimal | None = Field(
        None,
        max_digits=18,
        decimal_places=6,
        allow_inf_nan=False,
        description="currency per kWh, up to 6 places",
        examples=["0.250000"],
    )
    price_micro: Whole | None = Field(None, description="micro-currency per kWh")
    quantity_wh: Whole | None = Field(None, description="whole Wh", examples=[1500])
    quantity_kwh: Decimal | None = Field(
        None, max_digits=18, decimal_places=3, allow_inf_nan=False, description="kWh, up to 3 places"
    )


class BidTaken(Answer):
    """A bid that was taken."""

    number: int = Field(description="of the bid")
    session: int
    at: Moment


class BidLine(Ask):
    """One of many bids of a participant in a session; units as in a single bid."""

    period: Count
    side: Side
    price_micro: Whole
    quantity_wh: Whole


class BulkBids(Ask):
    """Many bids of one participant in one session; all are taken or none."""

    participant: Place
    session: Count
    bids: Annotated[list[BidLine], Field(min_length=1, max_length=MOST_BIDS)]


class ManyBids(Ask):
    """Very many bids of one participant in one session: each is taken or refused by itself."""

    participant: Place
    session: Count
    bids: Annotated[list[Any], Field(min_length=1, max_length=MOST_ROWS)]


class BulkTaken(Answer):
    """Bids that were taken: they have the numbers from ``first_number`` on, in their order."""

    session: int
    first_number: int
    count: int
    at: Moment


class Withdrawal(Ask):
    """Bids to be taken back."""

    participant: Place
    session: Count
    numbers: list[Count] = Field(default=[], max_length=MOST_BIDS, description="empty: all that stand")


class Withdrawn(Answer):
    """Numbers of bids that were taken back."""

    numbers: list[int]


class Bid(Answer):
    """A bid and what became of it."""

    number: int
    participant: str
    session: int
    period: int
    start: Moment
    side: Side
    price: Money
    price_micro: Micro
    quantity_wh: WattHours
    status: Literal["standing", "withdrawn", "accepted", "partly_accepted", "not_accepted", "not_admitted"]
    accepted_wh: int | None = Field(description="whole Wh; null until results are public")


class BookLevel(Answer):
    """All that is bid at one price, without who bids."""

    period: int
    side: Side
    price: Money
    price_micro: Micro
    quantity_wh: WattHours
    bids: int


class OrderBook(Answer):
    """Aggregated depth of a session: bids to buy dearest first, to sell cheapest first."""

    session: int
    status: SessionStatus
    levels: list[BookLevel]


class Trade(Answer):
    """A trade of a session, seen by one of its parties or by who may see all."""

    id: str = Field(description="session and row", examples=["4-0"])
    session: int
    period: int
    start: Moment
    buyer: str
    seller: str
    quantity_wh: WattHours
    price: Money = Field(description="that the buyer pays, currency per kWh")
    price_micro: Micro
    seller_price_micro: Micro
    amount: Money = Field(description="that the buyer pays")
    amount_micro: Micro


class ApprovalStep(Answer):
    """One step of a trade on its way through the controllers of zones."""

    step: int = Field(ge=1, le=5, description="1 stated, 2 data, 3 own zone, 4 other zone and DSO, 5 supply")
    meaning: str
    by: str
    decision: Literal["stated", "approved", "rejected"]
    reason: str


class Approval(Answer):
    """The way of one matched trade through the controllers, up to five steps."""

    id: str = Field(description="session and place among the matched trades", examples=["4-0"])
    session: int
    period: int
    buyer: str
    seller: str
    buyer_zone: str
    seller_zone: str
    quantity_wh: WattHours
    price: Money
    approved: bool
    steps: list[ApprovalStep]


class ScheduleEntry(Answer):
    """What a participant is to take (+) or give (-) in a period by its trades and nominations."""

    participant: str
    session: int
    period: int
    start: Moment
    bought_wh: WattHours
    sold_wh: WattHours
    net_wh: WattHours
    net_kw: float = Field(description="mean power, + import")


class Zone(Answer):
    """A zone of the market, and the zone above it."""

    id: str
    parent: str | None
    buses: list[str]
    import_kw: float | None = Field(description="most through its gate into it; null: no limit")
    export_kw: float | None
