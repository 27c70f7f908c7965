"""Facts of a flexibility market in the past tense; the chain of `gridagora.model.events` binds them.

Participants are codes: connection point ``k`` of the terms is ``k``, then the buyers; who joined later is in
the terms from its `FlexSellerJoined` on, so codes are those of the moment of an event.  Money is whole
micro-units, + received, - paid; power is kW; periods are those of the study.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.columns import Floats, Ints
from gridagora.model.continuous import FlexBid, FlexTrade
from gridagora.model.flexibility_market import (
    ConnectionPoint,
    FlexAuction,
    FlexMarketTerms,
    RedispatchOrder,
)
from gridagora.model.reservation import FlexContract, Tender, TenderBid

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexMarketOpened:
    """The market opened by its terms."""

    at: int
    terms: FlexMarketTerms


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexSellerJoined:
    """A connection point joined as the last of the sellers; ``code`` is its own, buyers move up by one."""

    at: int
    code: int
    point: ConnectionPoint


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexSellerLeft:
    """A seller offers nothing more, and why; ``lapsed`` tells each of its offers that stood."""

    at: int
    participant: str
    reason: str
    lapsed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexSellerReturned:
    """A seller that had left may offer again."""

    at: int
    participant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexAuctionOpened:
    """An auction was announced."""

    at: int
    auction: FlexAuction


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexBidsSubmitted:
    """Bids were taken: one entry per bid; ``side`` +1 buys, -1 sells; ``group`` names blocks, "" is none."""

    at: int
    auction: int
    participant: Ints
    period: Ints
    side: NDArray[np.int8]
    step: Ints
    price: Floats
    quantity_kw: Floats
    group: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexBidsWithdrawn:
    """A participant took its bids back."""

    at: int
    auction: int
    participant: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexAuctionCleared:
    """An auction was cleared.

    One entry per bid in ``participant`` to ``accepted_kw``; ``obligated`` marks bids that a contract made by
    itself.  ``clearing_price`` (periods,) is NaN where nothing was sold; ``welfare`` (periods,) in currency.
    ``paid_micro`` (periods, participants) is by the market's payment rule (reservations: per period of the
    window), ``surplus_micro`` (periods,) what that leaves with the operator.  ``capacity_kw`` (points,
    periods) is what limits were counted from.  Contracts come from reservations alone.
    """

    at: int
    auction: FlexAuction
    participant: Ints
    period: Ints
    side: NDArray[np.int8]
    step: Ints
    price: Floats
    quantity_kw: Floats
    group: NDArray[np.str_]
    obligated: Bools
    accepted_kw: Floats
    clearing_price: Floats
    welfare: Floats
    payment_rule: str
    paid_micro: Ints
    surplus_micro: Ints
    capacity_kw: Floats
    contracts: tuple[FlexContract, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TenderOpened:
    """A tender for a product was announced; bids are taken until ``closes``."""

    at: int
    product: str
    tender: Tender
    closes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TenderBidTaken:
    """A bid of a tender was taken."""

    at: int
    tender: str
    bid: TenderBid


@dataclass(frozen=True, kw_only=True, slots=True)
class TenderBidsWithdrawn:
    """A seller took its bids of a tender back."""

    at: int
    tender: str
    participant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TenderAwarded:
    """A tender for a product was decided; ``volume_kw`` has shape (bids, windows).

    ``participant`` has one entry per bid, ``bid``, ``window`` and ``reason`` one per bid and window bid for.
    """

    at: int
    tender: str
    product: str
    participant: tuple[str, ...]
    volume_kw: Floats
    bid: tuple[int, ...]
    window: tuple[int, ...]
    reason: tuple[str, ...]
    contracts: tuple[FlexContract, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservationsCalled:
    """Reserved power was called; ``requested_kw`` has one entry per period.

    A test call orders the smaller of reserved and requested power at once and is not paid; any other obliges
    the holders to offer it: in the activation auctions, or in the continuous market, where ``orders`` are
    those that contracts put in by themselves and ``trades`` what they met at once.
    """

    at: int
    contracts: tuple[str, ...]
    periods: tuple[int, ...]
    requested_kw: tuple[float, ...]
    test: bool
    orders: tuple[FlexBid, ...] = ()
    trades: tuple[FlexTrade, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservationReleased:
    """Reserved power was given free: ``kw`` per period stays reserved."""

    at: int
    contract: str
    periods: tuple[int, ...]
    kw: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ContractDispatched:
    """Power of a contract was ordered at its utilisation price; ``paid_micro`` per period, 0 for a test."""

    at: int
    contract: str
    periods: tuple[int, ...]
    kw: tuple[float, ...]
    paid_micro: tuple[int, ...]
    test: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexOrderTaken:
    """A bid entered the continuous market; its trades, and what became of the rest ("resting", ...)."""

    at: int
    product: str
    bid: FlexBid
    trades: tuple[FlexTrade, ...]
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexOrderCancelled:
    """A resting bid was taken back."""

    at: int
    product: str
    number: int
    participant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RedispatchOrderTaken:
    """Somebody is willing to change its schedule; the order waits for a pair."""

    at: int
    order: RedispatchOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class RedispatchOrderWithdrawn:
    """The order of a participant for a period was taken back."""

    at: int
    participant: str
    period: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RedispatchPaired:
    """Opposite orders inside and outside an area were paired (IDCONS).

    ``period`` to ``bid_micro`` have one entry per pair, prices in micro-units per kWh; the ``rejected``
    columns one per pair that the grid does not carry, with the reason.  ``party``, ``due_period`` and
    ``due_micro`` are who gets (+) or pays (-) how much; they sum to zero.  ``buyers`` are the grid operators
    that it was done for.
    """

    at: int
    period: Ints
    seller: Ints
    buyer: Ints
    kw: Floats
    energy_wh: Ints
    ask_micro: Ints
    bid_micro: Ints
    rejected_period: Ints
    rejected_inside: Ints
    rejected_outside: Ints
    rejected_kw: Floats
    rejected_reason: tuple[str, ...]
    party: Ints
    due_period: Ints
    due_micro: Ints
    buyers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryOrdered:
    """Adjustment closed for [first, first + count): what is to be delivered, per product.

    Arrays have shape (products, points, periods): ``cleared_kw`` from auctions and dispatches,
    ``adjusted_kw`` what was sold (+) or bought back (-) since, ``ordered_kw`` their sum, ``limit_kw`` the
    limit at the meter (NaN for products against a baseline, and where nothing was ordered).
    """

    at: int
    first: int
    count: int
    cleared_kw: Floats
    adjusted_kw: Floats
    ordered_kw: Floats
    limit_kw: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexReadingsRecorded:
    """Meters were read: kW, + import, NaN where missing.

    ``metered_kw`` has shape (points, periods, readings of a period), ``baseline_kw`` (points, periods).
    """

    at: int
    first: int
    metered_kw: Floats
    baseline_kw: Floats | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexItems:
    """What entries are made of, one row each: what a participant gets (+) or pays, for what and why.

    ``entry`` as in the postings, ``product`` and ``contract`` are names, "" for none.  ``reason`` is
    "activated", "adjusted", "redispatch", "claw_back", "penalty", "refund", "reserved" or "withheld";
    ``energy_wh`` >= 0 is what it is about, kW x h for what is reserved.
    """

    entry: Ints
    participant: Ints
    product: tuple[str, ...]
    reason: tuple[str, ...]
    contract: tuple[str, ...]
    energy_wh: Ints
    amount: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexSettled:
    """[first, first + count) was settled: shapes (products, points, periods), whole Wh and micro-units.

    ``due_micro`` is the amount for full delivery (cleared, dispatched and adjusted), ``claw_back_micro``
    taken back, ``penalty_micro`` charged.  ``fee_micro``, ``withheld_micro`` (points, periods) are
    reservation fees due for full availability and not paid.  ``payment_micro`` (buyers, periods) is what
    each buyer pays, <= 0 unless it sold.  The postings of one ``entry`` sum to zero; ``items`` tell what
    those of participants are made of (None: an event of a time without them).
    """

    at: int
    first: int
    count: int
    ordered_wh: Ints
    delivered_wh: Ints
    deficiency_wh: Ints
    estimated: Bools
    due_micro: Ints
    claw_back_micro: Ints
    penalty_micro: Ints
    fee_micro: Ints
    withheld_micro: Ints
    payment_micro: Ints
    surplus_micro: Ints
    entry: Ints
    account: Ints
    amount: Ints
    items: FlexItems | None = None


FlexEvent = (
    FlexMarketOpened
    | FlexSellerJoined
    | FlexSellerLeft
    | FlexSellerReturned
    | FlexAuctionOpened
    | FlexBidsSubmitted
    | FlexBidsWithdrawn
    | FlexAuctionCleared
    | TenderOpened
    | TenderBidTaken
    | TenderBidsWithdrawn
    | TenderAwarded
    | ReservationsCalled
    | ReservationReleased
    | ContractDispatched
    | FlexOrderTaken
    | FlexOrderCancelled
    | RedispatchOrderTaken
    | RedispatchOrderWithdrawn
    | RedispatchPaired
    | DeliveryOrdered
    | FlexReadingsRecorded
    | FlexSettled
)
