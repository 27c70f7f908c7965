"""Facts of a market in the past tense, and the hash chain that binds them.

An event carries whole columns: all bids and results of a session are one `AuctionCleared`, so a year of
sessions stays some ten thousand events.  Participants are codes: home ``k`` of the study is ``k``, the
upstream grid (the retailer's two orders) is ``len(homes)``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

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
from gridagora.model.zone_columns import TradeDecisions, ZonalClearing

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


PoolEvent = StudyOpened | AuctionCleared | TradesDecided | ScheduleChecked | EnergyDelivered | SessionSettled

Event = PoolEvent | FlexEvent | LiveEvent


def canonical_bytes(value: Any) -> bytes:
    """Return bytes that tell a value apart from every other: type, name and shape before the content.

    >>> canonical_bytes((1, "a")) == canonical_bytes((1, "a")), canonical_bytes("1") == canonical_bytes(1)
    (True, False)
    """
    if isinstance(value, np.ndarray):
        head = f"array {value.dtype.str} {value.shape} ".encode()
        return head + np.ascontiguousarray(value).tobytes()
    if is_dataclass(value) and not isinstance(value, type):
        parts = [f"{type(value).__name__} ".encode()]
        parts += [f.name.encode() + b"=" + canonical_bytes(getattr(value, f.name)) for f in fields(value)]
        return b"".join(parts)
    if isinstance(value, tuple):
        return f"tuple {len(value)} ".encode() + b"".join(map(canonical_bytes, value))
    text = repr(value).encode()
    return f"{type(value).__name__} {len(text)} ".encode() + text


def chain_hash(previous: bytes, event: Event) -> bytes:
    """Return SHA-256 of the previous hash and the event.

    Changing, dropping or swapping one changes all after it.

    >>> first = StudyOpened(at=0, name="a", seed=1, participants=("x",), rules="")
    >>> len(chain_hash(GENESIS, first))
    32
    """
    return hashlib.sha256(previous + canonical_bytes(event)).digest()
