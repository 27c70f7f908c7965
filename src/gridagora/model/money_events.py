"""Events of bills that are issued and of payments over a bank, beside the movements of `MoneyMoved`.

``accounts`` and ``amount`` are postings as in `MoneyMoved`, two for each bill or payment that moves money.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoicesIssued:
    """The bills of a month were issued: from here on they are documents that nothing changes.

    ``[first, end)`` are the sessions that the month adds; ``payable`` is whole cents in micro-units, + owed
    by the participant, ``carried`` what its next bill begins with; ``document`` is the bill as canonical JSON
    text (`gridagora.billing.documents`).
    """

    at: int
    actor: str
    month: str
    first: int
    end: int
    number: tuple[str, ...]
    participant: tuple[str, ...]
    payable: Ints
    carried: Ints
    document: tuple[str, ...]
    accounts: tuple[str, ...]
    amount: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class PaymentsOrdered:
    """Payments were put into a file for the bank: they are on their way, and in no other file.

    ``message`` names the file, ``month`` the one that it pays ("" for withdrawals); ``content`` is the file.
    """

    at: int
    actor: str
    message: str
    month: str
    payment: tuple[str, ...]
    content: str
    accounts: tuple[str, ...]
    amount: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class PaymentsClosed:
    """The bank told what became of payments: all of these were "paid", or all were "returned"."""

    at: int
    actor: str
    payment: tuple[str, ...]
    outcome: str
    reason: str
    accounts: tuple[str, ...]
    amount: Ints


MoneyEvent = InvoicesIssued | PaymentsOrdered | PaymentsClosed
