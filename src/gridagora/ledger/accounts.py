"""The chart of accounts: one per participant, then those of the system, known by small codes."""

from collections.abc import Sequence
from enum import IntEnum


class SystemAccount(IntEnum):
    """Accounts that belong to no participant; the code follows the participants' codes."""

    RETAILER = 0
    DSO_NETWORK = 1
    STATE_TAXES = 2
    OPERATOR_SURPLUS = 3
    ROUNDING = 4


SYSTEM_ACCOUNTS = ("retailer", "dso:network", "state:taxes", "operator:surplus", "rounding")
"""Names by `SystemAccount`.

The operator's surplus takes what a rule collects and does not pay out (or lacks); rounding takes what a split
into whole micro-units leaves over.
"""


def account_name(code: int, participants: Sequence[str], others: Sequence[str] = ()) -> str:
    """Return the name of an account by its code: participants first, then the system's, then the others'.

    ``others`` are participants of a flexibility market that are no homes of the study (its buyers).

    >>> [account_name(code, ["ann", "bob"], ["dso"]) for code in (1, 2, 7)]
    ['participant:bob', 'retailer', 'participant:dso']
    """
    if code < len(participants):
        return f"participant:{participants[code]}"
    place = code - len(participants)
    if place < len(SYSTEM_ACCOUNTS):
        return SYSTEM_ACCOUNTS[place]
    return f"participant:{others[place - len(SYSTEM_ACCOUNTS)]}"
