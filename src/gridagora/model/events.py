"""Facts of a market in the past tense, and the hash chain that binds them.

An event carries whole columns: all bids and results of a session are one `AuctionCleared`, so a year of
sessions stays some ten thousand events.  Participants are codes: home ``k`` of the study is ``k``, the
upstream grid (the retailer's two orders) is ``len(homes)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gridagora.model.columns import (
    DeviceColumns,
    Findings,
    Floats,
    Ints,
    NodalClearing,
    PoolTrades,
    SettlementLines,
)
from gridagora.model.flexibility_events import FlexEvent
from gridagora.model.live_events import LiveEvent
from gridagora.model.money_events import MoneyEvent
from gridagora.model.zone_columns import TradeDecisions, ZonalClearing

_PLAIN = frozenset({str, int, float, bool, type(None)})

GENESIS = bytes(32)
"""What the first event of a chain is bound to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyOpened:
    """The market opened: who takes part, over which periods, by which rules (canonical text of the study)."""

    at: int
    name: str
    seed: int
    participants: tuple[str, ...]
    rules: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionCleared:
    """A session's bids and what became of them; shapes (bids,) and, per delivery period, (periods,).

    ``price`` is micro-currency per kWh and ``quantity``, ``accepted`` are Wh, all whole; ``paid`` is
    micro-currency x Wh / kWh, + received; ``clearing_price`` is NaN where nothing traded.  ``network`` is
    there where the market knows the wires; prices then differ by node, and ``clearing_price`` is that of the
    upstream connection.  ``zonal`` is there where zones have markets of their own; ``accepted`` is then what
    they matched, before the controllers decide, and ``clearing_price`` that of the bulk grid.
    """

    at: int
    session: int
    first: int
    participant: Ints
    period: Ints
    side: NDArray[np.int8]
    price: Ints
    quantity: Ints
    accepted: Ints
    paid: Floats
    clearing_price: Floats
    network: NodalClearing | None = None
    zonal: ZonalClearing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TradesDecided:
    """The controllers of zones decided on every trade of a session; shapes (bids,) of its auction.

    ``accepted`` and ``paid`` are what stands after that, in the units of `AuctionCleared`.
    """

    at: int
    session: int
    first: int
    decisions: TradeDecisions
    accepted: Ints
    paid: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleChecked:
    """The cleared schedule of a session went through the power flow."""

    at: int
    session: int
    first: int
    found: Findings


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyDelivered:
    """Meters of a session were read: nominated net import in kW, metered in Wh, shape (periods, homes)."""

    at: int
    session: int
    first: int
    cleared_kw: Floats
    metered_wh: Ints
    devices: DeviceColumns


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSettled:
    """Money of a session: its trades, settlement lines, and the postings that book them.

    Postings of one ``entry`` sum to zero; ``account`` are codes of `gridagora.ledger.accounts`.
    """

    at: int
    session: int
    first: int
    trades: PoolTrades
    lines: SettlementLines
    entry: Ints
    account: Ints
    amount: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandsAnswered:
    """Commands that came under idempotency keys: what was asked and answered, one entry each, in their order.

    The last event of the transaction that kept what they led to; one without such commands has none.
    ``request`` is the hashes of what was asked, one behind the other, ``length`` bytes each; ``first`` and
    ``last`` are the numbers of the events of each (last < first: none, as where a command was refused).
    """

    at: int
    key: tuple[str, ...]
    request: NDArray[np.uint8]
    length: Ints
    first: Ints
    last: Ints
    answer: tuple[str, ...]

    def requests(self) -> list[bytes]:
        """Return the hash of each request."""
        ends = np.cumsum(self.length)
        data = self.request.tobytes()
        return [data[end - size : end] for end, size in zip(ends.tolist(), self.length.tolist(), strict=True)]


@dataclass(frozen=True, kw_only=True, slots=True)
class DayClosed:
    """A local day of a live market is over: the Merkle tree over its postings and trades.

    ``day`` as in 2026-01-31, ``size`` records, ``root`` in hexadecimal.
    """

    at: int
    day: str
    size: int
    root: str


PoolEvent = StudyOpened | AuctionCleared | TradesDecided | ScheduleChecked | EnergyDelivered | SessionSettled

Event = PoolEvent | FlexEvent | LiveEvent | MoneyEvent | CommandsAnswered | DayClosed


def canonical_bytes(value: Any) -> bytes:
    """Return bytes that tell a value apart from every other: type, name and shape before the content.

    >>> canonical_bytes((1, "a")) == canonical_bytes((1, "a")), canonical_bytes("1") == canonical_bytes(1)
    (True, False)
    """
    kind = type(value)
    if isinstance(value, np.ndarray):
        return _head_of_array(value.dtype, value.shape) + value.tobytes()
    if isinstance(value, tuple):
        return b"tuple %d %s" % (len(value), b"".join(map(canonical_bytes, value)))
    if kind not in _PLAIN and is_dataclass(kind):
        begin, parts = _heads_of(kind)
        return begin + b"".join([head + canonical_bytes(getattr(value, name)) for name, head in parts])
    text = repr(value).encode()
    return b"%s %d %s" % (kind.__name__.encode(), len(text), text)


@cache
def _heads_of(kind: Hashable) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Return what a dataclass begins with, and its fields, each with what stands before its value."""
    named = cast("Any", kind)
    heads = tuple((field.name, f"{field.name}=".encode()) for field in fields(named))
    return f"{named.__name__} ".encode(), heads


@lru_cache(maxsize=4096)
def _head_of_array(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    return f"array {dtype.str} {shape} ".encode()


def chain_hash(previous: bytes, event: Event) -> bytes:
    """Return SHA-256 of the previous hash and the event.

    Changing, dropping or swapping one changes all after it.

    >>> first = StudyOpened(at=0, name="a", seed=1, participants=("x",), rules="")
    >>> len(chain_hash(GENESIS, first))
    32
    """
    return hashlib.sha256(previous + canonical_bytes(event)).digest()
