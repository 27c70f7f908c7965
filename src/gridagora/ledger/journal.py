"""The journal: entries of postings in whole micro-units, each entry summing to zero.

A posting is never edited; a correction is a new entry.  Entries are numbered ``session * KINDS + kind``: the
number is the idempotency key, a session's entry can only be posted once.  Entries of a flexibility market are
numbered by the delivery period instead of the session; their kinds are their own, so no number is used twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import require

Ints = NDArray[np.int64]


class EntryKind(IntEnum):
    """What an entry is about."""

    TRADE = 0
    RETAIL = 1
    IMBALANCE = 2
    NETWORK = 3
    TAXES = 4
    STANDING = 5
    FLEX_ACTIVATION = 6
    FLEX_ADJUSTMENT = 7
    FLEX_DELIVERY = 8
    FLEX_RESERVATION = 9
    REDISPATCH = 10


FLEX_KINDS = frozenset(kind for kind in EntryKind if kind >= EntryKind.FLEX_ACTIVATION)
"""Kinds whose entries are numbered by delivery period."""

KINDS = len(EntryKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Postings:
    """Columns of postings: entry number, account code, amount in micro-units (+ received, - paid)."""

    entry: Ints
    account: Ints
    amount: Ints


def post(session: int, kind: EntryKind, amounts: Ints, *, counter_account: int) -> Postings:
    """Return one entry: every participant's amount, and the counter account takes the opposite of their sum.

    Parameters
    ----------
    session : number of the market session
    kind : what the entry is about
    amounts : micro-units per participant, + received, shape (participants,)
    counter_account : code of the system account on the other side

    Examples
    --------
    >>> entry = post(0, EntryKind.TAXES, np.array([-3, -4]), counter_account=4)
    >>> entry.account.tolist(), entry.amount.tolist()
    ([0, 1, 4], [-3, -4, 7])
    """
    codes = np.append(np.arange(len(amounts)), counter_account)
    values = np.append(amounts, -amounts.sum()).astype(np.int64)
    booked = values != 0
    number = np.full(int(booked.sum()), session * KINDS + kind, dtype=np.int64)
    return Postings(entry=number, account=codes[booked].astype(np.int64), amount=values[booked])


def post_all(number: int, kind: EntryKind, amounts: Ints) -> Postings:
    """Return one entry of amounts per account code that sum to zero, without a counter account.

    >>> post_all(2, EntryKind.FLEX_ADJUSTMENT, np.array([5, 0, -5])).account.tolist()
    [0, 2]
    """
    account = np.flatnonzero(amounts)
    require(int(amounts.sum()) == 0, f"entry of kind {kind.name.lower()} does not balance")
    return Postings(
        entry=np.full(len(account), number * KINDS + kind, dtype=np.int64),
        account=account.astype(np.int64),
        amount=amounts[account].astype(np.int64),
    )


def join(postings: Iterable[Postings]) -> Postings:
    """Return the postings of all parts in their order.

    >>> len(join([]).entry)
    0
    """
    parts = list(postings)
    none = np.zeros(0, dtype=np.int64)
    columns = {
        name: np.concatenate([none, *(getattr(part, name) for part in parts)])
        for name in ("entry", "account", "amount")
    }
    return Postings(**columns)


def check_postings(postings: Postings) -> None:
    """Raise `InvariantError` unless each entry sums to zero.

    >>> check_postings(Postings(entry=np.array([1, 1]), account=np.array([0, 2]), amount=np.array([-5, 5])))
    """
    if not len(postings.entry):
        return
    starts = np.flatnonzero(np.diff(postings.entry, prepend=postings.entry[0] - 1))
    sums = np.add.reduceat(postings.amount, starts)
    require(
        not sums.any(), f"journal entries do not balance: {postings.entry[starts][sums != 0][:5].tolist()}"
    )
