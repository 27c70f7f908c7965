"""Commands of a live market: what it is asked to do, in the imperative.

Each carries ``at``, the moment at which the one writer carries it out, seconds since 1970 UTC, and ``actor``,
who asked.  A command that cannot be carried out raises `InputError` with every fault, each with a stable
code, and changes nothing.  Columns may be lists or arrays of whole numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.flexibility.commands import FlexCommand
from gridagora.engine.live.flex_commands import FlexibilityCommand
from gridagora.engine.live.payment_commands import PaymentCommand
from gridagora.model.live import LiveTerms

Wholes = Sequence[int] | NDArray[np.integer]
"""Whole numbers, one entry per bid or reading."""

MARKET = "market"
"""Actor of what the timetable does by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenLiveMarket:
    """Open the market by its terms, once."""

    at: int
    actor: str
    terms: LiveTerms


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepResource:
    """Make a record of the register, or change it.

    Parameters
    ----------
    kind : of the record, one of `gridagora.engine.live.resources.KINDS`
    id : of the record, unique within its kind
    body : the whole record as JSON text
    status : word of its kind; "" keeps what it is, a new one gets the first
    version : the one that is changed, 0 for a new record: who changes what has changed since is refused
    """

    at: int
    actor: str
    kind: str
    id: str
    body: str
    status: str = ""
    version: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSession:
    """Let a session take bids."""

    at: int
    session: int
    actor: str = MARKET


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitBids:
    """Take in bids of one participant, one entry each.

    ``period`` is one of the session's, ``side`` 1 buys and -1 sells, ``price`` micro-currency per kWh,
    ``quantity`` Wh.  All of them are taken or none.
    """

    at: int
    actor: str
    session: int
    participant: str
    period: Wholes
    side: Wholes
    price: Wholes
    quantity: Wholes


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawBids:
    """Take bids of one participant back before the gate: those of some numbers, or all."""

    at: int
    actor: str
    session: int
    participant: str
    numbers: Wholes = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseGate:
    """Close the gate of a session and clear it, decide on its trades, and check its schedule."""

    at: int
    session: int
    actor: str = MARKET


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOffSession:
    """Call the session off whose gate closes next: it cannot be cleared, or is not to be."""

    at: int
    session: int
    reason: str
    actor: str = MARKET


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishSession:
    """Make the results of a cleared session public."""

    at: int
    session: int
    actor: str = MARKET


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclareLimit:
    """Limit what may be exchanged at a place, kW >= 0, in ``[begins, ends)``.

    Parameters
    ----------
    id : of the limit; one that is there is replaced from now on
    place_kind : "bus", "zone" or "participant"
    place : its id
    begins, ends : moments
    import_kw, export_kw : infinite for no limit on that side
    emergency : True also limits what was cleared already: delivery is held against it
    reason : for those concerned
    """

    at: int
    actor: str
    id: str
    place_kind: str
    place: str
    begins: int
    ends: int
    import_kw: float = float("inf")
    export_kw: float = float("inf")
    emergency: bool = False
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeReadings:
    """Take meter readings, one entry each: Wh in and out of a participant's meter in a period.

    ``participant`` is a position in ``participants``; ``quality`` 0 measured, 1 estimated, 2 corrected, one
    for each or () for all measured.
    """

    at: int
    actor: str
    source: str
    participants: tuple[str, ...]
    participant: Wholes
    period: Wholes
    import_wh: Wholes
    export_wh: Wholes
    quality: Wholes = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteFindings:
    """Keep what was found in readings, one entry each: columns of `FindingsNoted`."""

    at: int
    actor: str
    source: str
    participant: tuple[str, ...]
    start: Wholes
    rule: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleLiveSession:
    """Settle a session by the readings that are there; what lacks is estimated."""

    at: int
    session: int
    actor: str = MARKET


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteStuck:
    """Keep that a session cannot be settled, so that its operators are told and can decide."""

    at: int
    session: int
    reason: str
    actor: str = MARKET


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleBySchedule:
    """Settle a session that cannot be settled by its readings: as if all had kept to their schedules."""

    at: int
    session: int
    reason: str
    actor: str = MARKET


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptClock:
    """Follow a clock that leapt ahead, or one that shows much later than the last event.

    ``now`` is what whoever accepts it takes to be the time; a clock that shows something else is not meant.
    """

    at: int
    actor: str
    now: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RaiseDispute:
    """Dispute the settlement of a session for a participant."""

    at: int
    actor: str
    id: str
    session: int
    participant: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DecideDispute:
    """Decide on a dispute.

    ``settle_again`` books what the readings known now change, as further entries.
    """

    at: int
    actor: str
    id: str
    accepted: bool
    settle_again: bool = False
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DepositMoney:
    """Money came in from outside for a participant's wallet, micro-units above 0."""

    at: int
    actor: str
    participant: str
    amount: int
    reference: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawMoney:
    """Money leaves a participant's wallet to the outside, micro-units above 0."""

    at: int
    actor: str
    participant: str
    amount: int
    reference: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseDay:
    """Keep the Merkle tree of a local day that is over; the runner makes it, out of what is on disk.

    ``day`` as in 2026-01-31, ``size`` records, ``root`` in hexadecimal.
    """

    at: int
    day: str
    size: int
    root: str


OwnCommand = (
    OpenLiveMarket
    | KeepResource
    | OpenSession
    | SubmitBids
    | WithdrawBids
    | CloseGate
    | CallOffSession
    | PublishSession
    | DeclareLimit
    | TakeReadings
    | NoteFindings
    | SettleLiveSession
    | NoteStuck
    | SettleBySchedule
    | AcceptClock
    | RaiseDispute
    | DecideDispute
    | DepositMoney
    | WithdrawMoney
    | CloseDay
    | FlexibilityCommand
)

LiveCommand = OwnCommand | PaymentCommand | FlexCommand
"""All that a live market can be asked to do: its own commands, and those of its flexibility market."""
