"""What a live market knows of its bills: the months that were issued, and payments over the bank."""

from dataclasses import dataclass
from typing import Literal

PaymentKind = Literal["collection", "pay_out", "withdrawal"]
"""A bill that the participant pays, one that is paid out to it, money that it takes out of its wallet."""

PaymentStatus = Literal["open", "in_transit", "paid", "returned"]

RETURN_S = 60 * 86_400
"""A payment that is closed can still come back for so long, s: longer than banks take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedMonth:
    """A month whose bills are issued, and its sessions ``[first, end)``."""

    month: str
    first: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """A payment over the bank, micro-units > 0; ``month`` is "" for a withdrawal."""

    id: str
    kind: PaymentKind
    participant: str
    month: str
    amount: int
    at: int
    status: PaymentStatus = "open"


class Billed:
    """Issued months in their order; payments that can still change; files that were written.

    ``files`` is the month ("": withdrawals) by the name of the file; ``booked`` counts the events that booked
    something on a participant's bill, ``withdrawals`` those that took money out of a wallet.

    Examples
    --------
    >>> Billed().end(5), Billed().months
    (5, [])
    """

    def __init__(self) -> None:
        self.months: list[IssuedMonth] = []
        self.payments: dict[str, Payment] = {}
        self.files: dict[str, str] = {}
        self.booked = 0
        self.withdrawals = 0

    def end(self, first: int) -> int:
        """Return the session with which the next month to be issued begins; ``first`` is the market's."""
        return self.months[-1].end if self.months else first

    def put(self, payment: Payment) -> None:
        """Put a payment in the place of what it was."""
        self.payments[payment.id] = payment

    def forget(self, at: int) -> None:
        """Forget payments that were closed too long ago to come back."""
        done = ("paid", "returned")
        gone = [p.id for p in self.payments.values() if p.status in done and p.at + RETURN_S < at]
        for id_ in gone:
            del self.payments[id_]
