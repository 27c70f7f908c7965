"""The books of a flexibility market: five entries per period, each of them summing to zero.

=================  ===============================================================  =================
entry              participants                                                     other side
=================  ===============================================================  =================
flex_activation    what auctions and dispatches pay and cost                        operator:surplus
flex_adjustment    trades of the continuous market, buyer to seller                 none
flex_delivery      claw-backs and penalties of sellers, refunds of buyers           rounding
flex_reservation   fees of reservations, less what is withheld                      surplus, rounding
redispatch         paired orders and who pays their spread                          rounding
=================  ===============================================================  =================

Accounts are codes: participants of the market, then `gridagora.ledger.accounts.SystemAccount`; entries are
numbered by delivery period.  `journal_codes` translates accounts into those of a study's journal.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gridagora.engine.flexibility.fees import Fees
from gridagora.engine.flexibility.state import FlexMarketState, PeriodState
from gridagora.errors import require
from gridagora.ledger import Postings, join, post_all
from gridagora.ledger.accounts import SystemAccount
from gridagora.ledger.journal import EntryKind
from gridagora.model.columns import Ints
from gridagora.model.flexibility_events import FlexSettled
from gridagora.model.flexibility_market import FlexMarketTerms


def period_entries(
    terms: FlexMarketTerms,
    window: Sequence[PeriodState],
    *,
    first: int,
    delivery: Ints,
    fees: Fees,
) -> Postings:
    """Return the entries of the periods from ``first``; ``delivery`` has shape (participants, periods)."""
    participants = len(terms.participants)
    parts = []
    for row, period in enumerate(window):
        cleared, traded = period.cleared_micro.sum(axis=0), period.adjusted_micro.sum(axis=0)
        handed, shared = delivery[:, row], period.redispatch_micro
        booked: tuple[tuple[EntryKind, Ints, dict[SystemAccount, int]], ...] = (
            (EntryKind.FLEX_ACTIVATION, cleared, {SystemAccount.OPERATOR_SURPLUS: -int(cleared.sum())}),
            (EntryKind.FLEX_ADJUSTMENT, traded, {}),
            (EntryKind.FLEX_DELIVERY, handed, {SystemAccount.ROUNDING: -int(handed.sum())}),
            (
                EntryKind.FLEX_RESERVATION,
                fees.receipt[:, row],
                {
                    SystemAccount.OPERATOR_SURPLUS: int(fees.surplus[row]),
                    SystemAccount.ROUNDING: int(fees.rounding[row]),
                },
            ),
            (EntryKind.REDISPATCH, shared, {SystemAccount.ROUNDING: -int(shared.sum())}),
        )
        for kind, amounts, others in booked:
            accounts = np.zeros(participants + len(SystemAccount), np.int64)
            accounts[:participants] = amounts
            for account, amount in others.items():
                accounts[participants + account] += amount
            parts.append(post_all(first + row, kind, accounts))
    return join(parts)


def apply_settled(state: FlexMarketState, event: FlexSettled) -> FlexMarketState:
    """Post the entries, and mark the periods as settled."""
    changed = {}
    for row, old in enumerate(state.window(event.first, event.count)):
        require(old.settled_wh is None, f"period {event.first + row} is settled already")
        read = old.ordered_kw is not None and old.metered_kw is not None
        require(read, f"period {event.first + row} is settled before its orders and readings")
        energy = np.stack([event.delivered_wh[:, :, row], event.ordered_wh[:, :, row]])
        changed[event.first + row] = replace(old, settled_wh=energy)
    balance = state.balance.copy()
    np.add.at(balance, event.account, event.amount)
    return replace(state.with_periods(changed), balance=balance)


def journal_codes(terms: FlexMarketTerms, homes: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
    """Translate accounts of the market into those of a study: homes, system accounts, then others.

    Returns
    -------
    codes : code in the study of each account of the market
    others : participants that are no homes (buyers, aggregators), for `gridagora.ledger.account_name`

    Examples
    --------
    >>> from gridagora.model.flexibility_market import ConnectionPoint
    >>> ann = ConnectionPoint(participant="ann", bus="b", import_kw=8.0, export_kw=8.0)
    >>> terms = FlexMarketTerms(points=(ann,), buyers=("DSO",), products=(), start=0, first=0, periods=1,
    ...                         period_hours=1.0, settlement=())
    >>> codes, others = journal_codes(terms, ["bob", "ann"])
    >>> codes.tolist(), others
    ([1, 7, 2, 3, 4, 5, 6], ('DSO',))
    """
    place = {name: number for number, name in enumerate(homes)}
    others = tuple(name for name in terms.participants if name not in place)
    after = len(homes) + len(SystemAccount)
    place |= {name: after + number for number, name in enumerate(others)}
    system = [len(homes) + account for account in SystemAccount]
    return np.array([place[name] for name in terms.participants] + system, dtype=np.int64), others
