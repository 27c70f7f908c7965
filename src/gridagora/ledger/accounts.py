"""The chart of accounts: one per participant, then those of the system, known by small codes."""

from collections.abc import Sequence
from enum import IntEnum


class SystemAccount(IntEnum):
    """Accounts that belong to no participant; the code follows the participants' codes."""

    RETAILER = 0
    DSO_NETWORK = 1
    STATE_TAXES = 2
    OPERATOR_SURPLUS = 3


SYSTEM_ACCOUNTS = ("retailer", "dso:network", "state:taxes", "operator:surplus")
"""Names by `SystemAccount`.

The operator's surplus takes what a rule collects and does not pay out (or lacks).
"""


def account_name(code: int, participants: Sequence[str]) -> str:
    """Return the name of an account by its code: participants first, then the system's.

    >>> account_name(1, ["ann", "bob"]), account_name(2, ["ann", "bob"])
    ('participant:bob', 'retailer')
    """
    if code < len(participants):
        return f"participant:{participants[code]}"
    return SYSTEM_ACCOUNTS[code - len(participants)]
