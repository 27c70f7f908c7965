"""What an auction pays by a rule, per period and participant, in whole micro-units.

Rules pay per period.  Where blocks join the periods there is one amount for all of them together; it is then
spread over the periods in proportion to what the participant bought and sold there (or, if that is nothing,
bid), by the largest remainder, so that nothing is lost.
"""

from typing import cast

import numpy as np

from gridagora.market import CapacityLimitResult
from gridagora.market.payments.rules import RuleName, payments
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility_market import FlexAuction
from gridagora.units import to_micro


def paid_by_rule(
    result: CapacityLimitResult, rule: str, auction: FlexAuction, *, participants: int, hours: float
) -> Ints:
    """Return what each participant gets (+) or pays (-), micro-units, shape (periods, participants).

    ``hours`` multiplies prices per kW and hour; it is 1 for prices per kW and period.
    """
    bids, table = result.bids, np.zeros((auction.count, participants), np.int64)
    if not (result.accepted > 0).any():
        return table
    found = payments(result, rule=cast(RuleName, rule), participants=range(participants))
    if not found.market.rules.joins_periods:
        by_period = found.by_period
        table[by_period.index.to_numpy() - auction.first] = to_micro(by_period.to_numpy() * hours)
        return table
    total = to_micro(found.amounts.to_numpy() * hours)
    traded, wanted = np.zeros(table.shape), np.zeros(table.shape)
    place = (bids.period - auction.first, bids.participant)
    np.add.at(traded, place, result.accepted)
    np.add.at(wanted, place, bids.quantity)
    for participant in np.flatnonzero(total).tolist():
        weight = traded[:, participant] if traded[:, participant].any() else wanted[:, participant]
        table[:, participant] = spread(int(total[participant]), weight)
    return table


def spread(total: int, weight: Floats) -> Ints:
    """Spread a whole amount in proportion to weights >= 0, not all 0, by the largest remainder.

    >>> spread(-10, np.array([1.0, 1.0, 1.0, 0.0])).tolist()
    [-4, -3, -3, 0]
    """
    share = abs(total) * (weight / weight.sum())
    parts = np.floor(share).astype(np.int64)
    left = abs(total) - int(parts.sum())
    order = np.argsort(parts - share, kind="stable")
    parts[order[:left]] += 1
    return np.asarray(parts if total >= 0 else -parts)
