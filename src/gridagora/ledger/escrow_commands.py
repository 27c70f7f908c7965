"""Commands and answers of wallets and escrow; see `gridagora.ledger.escrow` for what they do.

Every command carries a ``key`` that its sender makes (the idempotency key: the same command sent again is
answered as before and has no second effect) and ``at``, the time that the single writer stamped on it in
seconds UTC.  Amounts are whole micro-units of currency, energy is whole Wh.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """Open a wallet, or change how far below zero it may go (``overdraft`` >= 0)."""

    key: str
    at: int
    account: str
    overdraft: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Deposit:
    """Money came in from outside for a wallet."""

    key: str
    at: int
    account: str
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdraw:
    """Money leaves a wallet to the outside."""

    key: str
    at: int
    account: str
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pay:
    """Move money at once from a wallet to another, or to a system account as a fee."""

    key: str
    at: int
    payer: str
    payee: str
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Put the money of a trade into escrow until its delivery is proven.

    Parameters
    ----------
    transfer : name of the held transfer, used once
    payer, payee : wallets
    amount : what full delivery costs
    quantity_wh : what full delivery is
    deadline : last second in which delivery can be proven
    fee_ppm : millionths of what is paid out that the operator keeps
    """

    key: str
    at: int
    transfer: str
    payer: str
    payee: str
    amount: int
    quantity_wh: int
    deadline: int
    fee_ppm: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Delivery is proven: pay its share out and return the rest; up to the deadline."""

    key: str
    at: int
    transfer: str
    delivered_wh: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Void:
    """The trade is called off: return all; up to the deadline."""

    key: str
    at: int
    transfer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Expire:
    """No delivery was proven in time: return all; after the deadline, and anybody may ask for it."""

    key: str
    at: int
    transfer: str


Command = Open | Deposit | Withdraw | Pay | Hold | Release | Void | Expire

Code = Literal[
    "bad_amount",
    "unknown_account",
    "same_account",
    "insufficient_funds",
    "unknown_transfer",
    "transfer_exists",
    "not_pending",
    "after_deadline",
    "before_deadline",
    "key_reused",
]
"""Why a command was refused; the codes are stable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """The command took effect; ``postings`` are account and amount, + received, and sum to zero."""

    key: str
    postings: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The command had no effect."""

    key: str
    code: Code
    reason: str


Outcome = Done | Refused
