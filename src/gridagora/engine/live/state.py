"""State of a live market: the fold of its events.

A market takes thousands of bids a second, so the state is not copied with each: it is one object that belongs
to the one writer, and `gridagora.engine.live.machine.apply` changes it in place.  Nothing else does.  What is
kept within are events and other values that never change, in dictionaries and lists that only `apply`
touches; the same events in the same order give the same state, always.  Who reads asks the writer's thread.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.flexibility.state import FlexMarketState
from gridagora.engine.live.billed import Billed
from gridagora.errors import require
from gridagora.model.columns import SettlementLines
from gridagora.model.events import (
    AuctionCleared,
    EnergyDelivered,
    ScheduleChecked,
    SessionSettled,
    TradesDecided,
)
from gridagora.model.live import LiveTerms, SessionTimes
from gridagora.model.live_events import (
    BidsTaken,
    DisputeRaised,
    GateClosed,
    Ints,
    LimitDeclared,
    LimitsBroken,
    SessionCalledOff,
    SettledBySchedule,
    SettlementCorrected,
    SettlementStuck,
)

SessionStatus = Literal["open", "cleared", "published", "settled"]
NO_READING = -1
"""Quality of a period that no meter told anything about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A record of the register as it is now; ``body`` is its JSON, read.

    ``maker`` made it, "" once it belongs to another organisation than then.
    """

    kind: str
    id: str
    version: int
    status: str
    body: Mapping[str, Any]
    at: int
    number: int
    maker: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dispute:
    """A dispute: how it was raised, and whether it still waits for a decision."""

    raised: DisputeRaised
    open: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class BusForecast:
    """Forecasts at a bus: how many points have one in each period of a session, and their sum, Wh."""

    points: Ints
    net_wh: Ints


class Book:
    """The bids of a session, as they came in: taking one more costs the same whatever stands there.

    Bids stay as the events that brought them.  ``withdrawn`` are numbers of bids that were taken back.
    """

    def __init__(self) -> None:
        self.taken: list[BidsTaken] = []
        self.withdrawn: set[int] = set()
        self._of: dict[str, list[BidsTaken]] = {}
        self._starts: dict[str, list[int]] = {}
        self.reserved: dict[str, int] = {}
        self.count = 0

    def take(self, bids: BidsTaken) -> None:
        """Add bids behind those that stand."""
        self.taken.append(bids)
        self._of.setdefault(bids.participant, []).append(bids)
        self._starts.setdefault(bids.participant, []).append(bids.number)
        self.count += len(bids.period)

    def closed(self) -> "Book":
        """Return a book that tells how many bids came, and holds none of them."""
        book = Book()
        book.count = self.count
        return book

    def of(self, participant: str) -> tuple[BidsTaken, ...]:
        """Return what a participant handed in, withdrawn bids too."""
        return tuple(self._of.get(participant, ()))

    def find(self, participant: str, number: int) -> tuple[BidsTaken, int] | None:
        """Return where a bid of a participant stands: with which others it came, and its row there."""
        place = bisect_right(self._starts.get(participant, ()), number) - 1
        if place < 0 or number in self.withdrawn:
            return None
        bids = self._of[participant][place]
        row = number - bids.number
        return (bids, row) if row < len(bids.period) else None

    def standing(self, bids: BidsTaken) -> NDArray[np.bool_]:
        """Return which of some bids were not taken back."""
        numbers = np.arange(bids.number, bids.number + len(bids.period))
        if not self.withdrawn:
            return np.ones(len(numbers), dtype=np.bool_)
        return np.array([number not in self.withdrawn for number in numbers.tolist()], dtype=np.bool_)

    def numbers_of(self, participant: str) -> list[int]:
        """Return the numbers of a participant's bids that stand, in their order."""
        return [
            number
            for bids in self._of.get(participant, ())
            for number in range(bids.number, bids.number + len(bids.period))
            if number not in self.withdrawn
        ]

    def columns(self) -> "BookColumns":
        """Return all bids that stand, in the order in which they came."""
        parts = [(bids, self.standing(bids)) for bids in self.taken]
        none = np.zeros(0, np.int64)

        def joined(name: str) -> Ints:
            found = [getattr(bids, name)[stands] for bids, stands in parts]
            return np.concatenate([none, *found]).astype(np.int64)

        numbers = [np.arange(b.number, b.number + len(b.period))[stands] for b, stands in parts]
        return BookColumns(
            number=np.concatenate([none, *numbers]),
            participant=tuple(b.participant for b, stands in parts for _ in range(int(stands.sum()))),
            period=joined("period"),
            side=joined("side").astype(np.int8),
            price=joined("price"),
            quantity=joined("quantity"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BookColumns:
    """Bids that stand in a session, one entry each; units as in `BidsTaken`."""

    number: Ints
    participant: tuple[str, ...]
    period: Ints
    side: NDArray[np.int8]
    price: Ints
    quantity: Ints

    @staticmethod
    def none() -> "BookColumns":
        """Return a book without bids."""
        return Book().columns()


class SessionState:
    """A session as far as it has come: its bids, and the event of each step that is done."""

    def __init__(self, times: SessionTimes) -> None:
        self.times = times
        self.status: SessionStatus = "open"
        self.book = Book()
        self.gate: GateClosed | None = None
        self.limits: tuple[LimitDeclared, ...] = ()
        self.forecasts: dict[str, BusForecast] = {}
        self.cleared: AuctionCleared | None = None
        self.decided: TradesDecided | None = None
        self.checked: ScheduleChecked | None = None
        self.delivered: EnergyDelivered | None = None
        self.settled: SessionSettled | None = None
        self.broken: LimitsBroken | None = None
        self.corrections: list[SettlementCorrected] = []
        self.held: dict[str, int] = {}
        self.called_off: SessionCalledOff | None = None
        self.stuck: SettlementStuck | None = None
        self.by_schedule: SettledBySchedule | None = None
        self.limit_money: dict[str, dict[str, int]] = {}

    @property
    def closed(self) -> GateClosed:
        """The closing of its gate, which must have happened."""
        require(self.gate is not None, f"the gate of session {self.times.number} is open")
        return self.gate  # type: ignore[return-value]

    @property
    def auction(self) -> AuctionCleared:
        """Its clearing, which must have happened."""
        require(self.cleared is not None, f"session {self.times.number} is not cleared")
        return self.cleared  # type: ignore[return-value]

    def lines(self) -> SettlementLines:
        """Return what is settled, corrections included."""
        if self.settled is None:
            require(False, f"session {self.times.number} is not settled")
        lines = self.settled.lines  # type: ignore[union-attr]
        names = SettlementLines.__dataclass_fields__
        return SettlementLines(
            **{
                name: sum((getattr(c.lines, name) for c in self.corrections), getattr(lines, name))
                for name in names
            }
        )


class Meters:
    """Readings of a session's periods: the last one of each participant and period counts.

    ``import_wh``, ``export_wh`` and ``quality`` have shape (participants that were read, periods).
    """

    def __init__(self, times: SessionTimes) -> None:
        self.times = times
        self.row: dict[str, int] = {}
        self._wh = np.zeros((2, 0, times.count), np.int64)
        self._quality = np.zeros((0, times.count), np.int8)

    def take(
        self, names: list[str], place: Ints, *, period: Ints, wh: Ints, quality: NDArray[np.int8]
    ) -> None:
        """Put readings in: ``place`` is a position in ``names``, ``wh`` (2, readings) import and export."""
        rows = np.array([self.row.setdefault(name, len(self.row)) for name in names], dtype=np.int64)
        more = len(self.row) - len(self._quality)
        if more > 0:
            room = max(more, len(self._quality))
            self._wh = np.concatenate([self._wh, np.zeros((2, room, self.times.count), np.int64)], axis=1)
            empty = np.full((room, self.times.count), NO_READING, np.int8)
            self._quality = np.concatenate([self._quality, empty])
        at = rows[place], period - self.times.first
        self._wh[:, at[0], at[1]] = wh
        self._quality[at] = quality

    def of(self, names: tuple[str, ...]) -> tuple[Ints, NDArray[np.int8]]:
        """Return import and export, Wh, (2, periods, participants), and quality, (periods, participants)."""
        wh = np.zeros((2, self.times.count, len(names)), np.int64)
        quality = np.full((self.times.count, len(names)), NO_READING, np.int8)
        places = [(k, self.row[name]) for k, name in enumerate(names) if name in self.row]
        if places:
            mine, rows = np.array(places).T
            wh[:, :, mine] = self._wh[:, rows].transpose(0, 2, 1)
            quality[:, mine] = self._quality[rows].T
        return wh, quality


class Register:
    """Records by kind and id, and which of them belong to a participant."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Record]] = {}
        self._owned: dict[tuple[str, str], dict[str, Record]] = {}

    def get(self, kind: str, id_: str) -> Record | None:
        """Return a record, or None."""
        return self._records.get(kind, {}).get(id_)

    def all(self, kind: str) -> tuple[Record, ...]:
        """Return the records of a kind in the order in which they were made."""
        return tuple(self._records.get(kind, {}).values())

    def count(self, kind: str) -> int:
        """Return how many records of a kind there are."""
        return len(self._records.get(kind, ()))

    def owned(self, kind: str, participant: str) -> tuple[Record, ...]:
        """Return the records of a kind that belong to a participant, in the order in which they were made."""
        return tuple(self._owned.get((kind, participant), {}).values())

    def keep(self, record: Record) -> None:
        """Put a record in the place of its older version."""
        before = self.get(record.kind, record.id)
        owner = str(record.body.get("participant", ""))
        if before is not None:
            was = str(before.body.get("participant", ""))
            if was != owner:
                self._owned.get((record.kind, was), {}).pop(record.id, None)
        self._records.setdefault(record.kind, {})[record.id] = record
        if owner:
            self._owned.setdefault((record.kind, owner), {})[record.id] = record


class LiveState:
    """All that is known of a live market.

    ``next_open`` ... ``next_settle`` are the numbers of the sessions that those steps come to next; sessions
    take each step in their order.  ``balance`` has micro-units by account name, all of them together 0;
    ``reserved`` what a wallet may have to pay for bids that stand; ``billed`` bills and payments;
    ``replaced_limits`` emergencies up to the moment at which something else was declared in their place.

    Examples
    --------
    >>> LiveState().terms is None, LiveState().next_open
    (True, 0)
    """

    def __init__(self) -> None:
        self.terms: LiveTerms | None = None
        self.at = 0
        self.events = 0
        self.register = Register()
        self.sessions: dict[int, SessionState] = {}
        self.meters: dict[int, Meters] = {}
        self.first = self.oldest = 0
        self.next_open = self.next_close = self.next_publish = self.next_settle = 0
        self.next_bid = 1
        self.limits: dict[str, LimitDeclared] = {}
        self.replaced_limits: list[LimitDeclared] = []
        self.balance: dict[str, int] = {}
        self.reserved: dict[str, int] = {}
        self.disputes: dict[str, Dispute] = {}
        self.billed = Billed()
        self.flex = FlexMarketState()

    @property
    def open_terms(self) -> LiveTerms:
        """Terms of the market, which must be open."""
        require(self.terms is not None, "the market is not open")
        return self.terms  # type: ignore[return-value]

    def kept(self) -> Iterator[SessionState]:
        """Yield the sessions that are kept, in their order."""
        return iter(self.sessions.values())
