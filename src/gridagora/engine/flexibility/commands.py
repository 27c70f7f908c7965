"""Commands of the flexibility market: what it is asked to do, in the imperative.

Each carries ``at``, seconds since 1970-01-01 UTC; periods are those of the study; power is in kW.  A command
with bad input raises `InputError` with all faults and changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from gridagora.model.bids import Bids
from gridagora.model.columns import Floats
from gridagora.model.continuous import FlexBid
from gridagora.model.flexibility_market import (
    ConnectionPoint,
    FlexAuction,
    FlexMarketTerms,
    RedispatchOrder,
)
from gridagora.model.reservation import Tender, TenderBid


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenFlexMarket:
    """Open the market by its terms."""

    at: int
    terms: FlexMarketTerms


@dataclass(frozen=True, kw_only=True, slots=True)
class AddFlexSeller:
    """Let a connection point sell in a market that is open, or one that left sell again.

    Who comes back keeps the connection that it had.
    """

    at: int
    point: ConnectionPoint


@dataclass(frozen=True, kw_only=True, slots=True)
class DropFlexSeller:
    """Let a seller offer nothing more: what stands lapses; what it sold, and contracts, bind it still."""

    at: int
    participant: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenFlexAuction:
    """Announce an auction of the long or the short term."""

    at: int
    auction: FlexAuction


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitFlexBids:
    """Take in bids of an auction: participants by name, kW, currency per kW and period (reservation: hour).

    One set of steps per participant and period; who wants to change it withdraws it first.  ``bids`` may be
    columns as they came in: then faults of numbers and sides are listed with all others.
    """

    at: int
    auction: int
    bids: Bids | Mapping[str, ArrayLike]


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawFlexBids:
    """Take a participant's bids of an auction back before its gate."""

    at: int
    auction: int
    participant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClearFlexAuction:
    """Clear an auction whose gate is closed; a reservation makes contracts, an activation binds."""

    at: int
    auction: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AwardTender:
    """Decide a tender for a product: contracts for those who win, a reason for those who do not."""

    at: int
    product: str
    tender: Tender
    bids: tuple[TenderBid, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenTender:
    """Announce a tender for a product; bids are taken until ``closes``, seconds since 1970 UTC."""

    at: int
    product: str
    tender: Tender
    closes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitTenderBid:
    """Bid in a tender that is open; one bid of a seller for a window."""

    at: int
    tender: str
    bid: TenderBid


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawTenderBids:
    """Take a seller's bids of a tender back before it closes."""

    at: int
    tender: str
    participant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DecideTender:
    """Decide a tender that has closed; ``rejected`` are sellers that the buyer does not take, and why."""

    at: int
    tender: str
    rejected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallReservations:
    """Call reserved power: its holders must offer it for these periods.

    They offer in the activation auctions, or in the continuous market where their contracts say so.
    ``requested_kw`` has one entry per period, asked of each contract; a ``test`` call orders it at once and
    is not paid.  ``conditions`` holds what triggers are judged by: a value per period of the study, by name.
    """

    at: int
    contracts: tuple[str, ...]
    periods: tuple[int, ...]
    requested_kw: tuple[float, ...]
    test: bool = False
    conditions: Mapping[str, ArrayLike] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseReservation:
    """Give reserved power free: ``kw`` per period is what stays reserved; it can only shrink."""

    at: int
    contract: str
    periods: tuple[int, ...]
    kw: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchContract:
    """Order power of a contract directly at its utilisation price (TENDER), without an auction."""

    at: int
    contract: str
    periods: tuple[int, ...]
    kw: tuple[float, ...]
    test: bool = False
    conditions: Mapping[str, ArrayLike] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitFlexOrder:
    """Put a bid into the continuous market of a product; its number is that of its arrival.

    ``bid`` may be its fields by name as they came in: then what is wrong with them is listed with all other
    faults.
    """

    at: int
    product: str
    bid: FlexBid | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelFlexOrder:
    """Take a resting bid of the continuous market back."""

    at: int
    product: str
    number: int
    participant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitRedispatchOrder:
    """Be willing to change a schedule: the order waits until it is paired, taken back or late."""

    at: int
    order: RedispatchOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawRedispatchOrder:
    """Take the order of a participant for a period back."""

    at: int
    participant: str
    period: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRedispatch:
    """Pair orders inside a congested area with opposite ones outside (IDCONS), if the grid carries them.

    ``needed_kw`` is the relief needed by period, ``shares`` what each buyer bears of the spread, any weights.
    """

    at: int
    inside: tuple[RedispatchOrder, ...]
    outside: tuple[RedispatchOrder, ...]
    needed_kw: Mapping[int, float]
    shares: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseFlexGate:
    """Close adjustment for all periods before ``before``: orders = cleared +/- adjustments go out."""

    at: int
    before: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordFlexReadings:
    """Record meters: mean net import in kW, + import, shape (points, periods); NaN where one is missing.

    Meters that are read several times in a period give (points, periods, readings).  ``baseline_kw`` of shape
    (points, periods) is needed by products against a baseline alone.
    """

    at: int
    first: int
    metered_kw: Floats
    baseline_kw: Floats | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleFlexPeriods:
    """Settle [first, first + count): delivery, claw-back, penalty, refund, reservation fees, adjustments."""

    at: int
    first: int
    count: int


FlexCommand = (
    OpenFlexMarket
    | AddFlexSeller
    | DropFlexSeller
    | OpenFlexAuction
    | SubmitFlexBids
    | WithdrawFlexBids
    | ClearFlexAuction
    | AwardTender
    | OpenTender
    | SubmitTenderBid
    | WithdrawTenderBids
    | DecideTender
    | CallReservations
    | ReleaseReservation
    | DispatchContract
    | SubmitFlexOrder
    | CancelFlexOrder
    | SubmitRedispatchOrder
    | WithdrawRedispatchOrder
    | PairRedispatch
    | CloseFlexGate
    | RecordFlexReadings
    | SettleFlexPeriods
)
