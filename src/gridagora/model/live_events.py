"""Events of a market on the real clock, beside those of its auctions.

Participants stand here by name; `GateClosed` gives those of a session the codes that its `AuctionCleared`,
`TradesDecided`, `ScheduleChecked`, `EnergyDelivered` and `SessionSettled` use: position in
``GateClosed.participants``, and the retailer behind them.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gridagora.model.columns import SettlementLines
from gridagora.model.live import LiveTerms

Ints = NDArray[np.int64]
NOTHING: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveMarketOpened:
    """The market exists from here on, by its terms."""

    at: int
    terms: LiveTerms


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceKept:
    """A record of the register was made or changed: what it is now, as canonical JSON text.

    ``version`` counts from 1; ``status`` is a word of its kind (a participant's "pending", "active" ...).
    """

    at: int
    actor: str
    kind: str
    id: str
    version: int
    status: str
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionOpened:
    """A session takes bids."""

    at: int
    session: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BidsTaken:
    """Bids of one participant, one entry each; they have the numbers ``number``, ``number + 1`` ...

    ``price`` micro-currency per kWh, ``quantity`` Wh, ``side`` 1 buys and -1 sells.
    """

    at: int
    actor: str
    session: int
    participant: str
    number: int
    period: Ints
    side: NDArray[np.int8]
    price: Ints
    quantity: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class BidsWithdrawn:
    """Bids of one participant were taken back before the gate."""

    at: int
    actor: str
    session: int
    participant: str
    numbers: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class GateClosed:
    """A session takes no more bids: who is in it, and the prices outside the market that hold for it.

    ``participants`` in the order of their codes, ``buses`` and ``phases`` (0: all three) where they stand,
    ``passive`` who never trades: all its energy is the retailer's at tariff.
    ``bids`` are the numbers of the bids in the order of the rows that `AuctionCleared` has for them, ahead of
    the retailer's.  Prices are micro-currency per kWh, one entry per period of the session; ``tariffs`` are
    the records that they were sent in, "" for the scenario's, and () where all are; ``stale`` are periods for
    which nobody sent any after the scenario's file had ended: what held at that time of its last day.
    """

    at: int
    session: int
    participants: tuple[str, ...]
    buses: tuple[str, ...]
    phases: Ints
    passive: NDArray[np.bool_]
    bids: Ints
    retail: Ints
    feed_in: Ints
    network: Ints
    taxes: Ints
    imbalance_short: Ints
    imbalance_long: Ints
    local_network_share: float
    imbalance_netted: bool
    tariffs: tuple[str, ...] = ()
    stale: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionPublished:
    """Results of a session are public, and each participant knows its schedule."""

    at: int
    session: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionCalledOff:
    """A session was called off: its bids are free, and all its energy is the retailer's at tariff.

    `GateClosed` and an `AuctionCleared` without bids follow it, so that its energy is billed as ever.
    """

    at: int
    actor: str
    session: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingsTaken:
    """Meter readings, one entry each: Wh in and out of a participant's meter in a period.

    ``participant`` is a position in ``participants``; ``quality`` 0 measured, 1 estimated, 2 corrected.  A
    later reading of the same period takes the place of an earlier one, which stays in the log.
    """

    at: int
    actor: str
    source: str
    participants: tuple[str, ...]
    participant: Ints
    period: Ints
    import_wh: Ints
    export_wh: Ints
    quality: NDArray[np.int8]


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingsNoted:
    """What was found in readings that came in, one entry each: what was not used, and what is doubted.

    ``start`` is the moment that a finding is about, seconds since 1970 UTC; ``rule`` one of
    `gridagora.settlement.metering.RULES`, or "refused" for what could not be read; ``told`` says it in words.
    """

    at: int
    actor: str
    source: str
    participant: tuple[str, ...]
    start: Ints
    rule: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitDeclared:
    """The grid operator limits what may be exchanged at a place, kW, in ``[begins, ends)``.

    ``place`` is a bus, a zone or a participant, as ``place_kind`` says; infinite: no limit on that side.
    """

    at: int
    actor: str
    id: str
    place_kind: str
    place: str
    begins: int
    ends: int
    import_kw: float
    export_kw: float
    emergency: bool
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MoneyMoved:
    """Postings of wallets and escrow: accounts by name, whole micro-units that sum to 0, and what for.

    A withdrawal has the id of the ``payment`` that it waits for.  What is held for a session has an entry for
    each ``trade`` (its row) with what is ``held``; where it is released also with what of that was ``paid``
    to the seller and kept as ``fee``: the rest went back to the buyer.
    """

    at: int
    actor: str
    reference: str
    kind: str
    accounts: tuple[str, ...]
    amount: Ints
    payment: str = ""
    trade: Ints = field(default_factory=lambda: NOTHING)
    held: Ints = field(default_factory=lambda: NOTHING)
    paid: Ints = field(default_factory=lambda: NOTHING)
    fee: Ints = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsBroken:
    """What was delivered in a session went beyond declared limits, one entry each.

    ``limit`` is the id of the limit; ``net_wh`` what the place took (+) or gave (-) in the period, and
    ``allowed_wh`` the bound that it went beyond, with the same sign.
    """

    at: int
    session: int
    limit: tuple[str, ...]
    period: Ints
    net_wh: Ints
    allowed_wh: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class SettlementStuck:
    """A session could not be settled several times; it is tried again, and its operators can decide."""

    at: int
    session: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledBySchedule:
    """A session is settled as if all had kept to their schedules; `SessionSettled` follows it.

    What the meters show stays in the log, and is booked when a dispute is decided.
    """

    at: int
    actor: str
    session: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockAccepted:
    """Somebody confirmed a clock that had leapt: from the last event at ``since`` to this one's moment."""

    at: int
    actor: str
    since: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SettlementCorrected:
    """A settled session was settled again by later readings: what that changes, booked as further entries.

    ``metered_wh`` are the readings of now, (periods, participants of the session); ``lines`` the differences
    to what was settled before; postings as in `SessionSettled`.
    """

    at: int
    session: int
    first: int
    dispute: str
    metered_wh: Ints
    lines: SettlementLines
    entry: Ints
    account: Ints
    amount: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class DisputeRaised:
    """A participant disputes the settlement of a session."""

    at: int
    actor: str
    id: str
    session: int
    participant: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DisputeDecided:
    """The operator decided on a dispute; ``settle_again``: by the readings that are known now."""

    at: int
    actor: str
    id: str
    accepted: bool
    settle_again: bool
    reason: str


LiveEvent = (
    LiveMarketOpened
    | ResourceKept
    | SessionOpened
    | BidsTaken
    | BidsWithdrawn
    | GateClosed
    | SessionCalledOff
    | SessionPublished
    | ReadingsTaken
    | FindingsNoted
    | LimitDeclared
    | MoneyMoved
    | LimitsBroken
    | SettlementStuck
    | SettledBySchedule
    | ClockAccepted
    | SettlementCorrected
    | DisputeRaised
    | DisputeDecided
)
