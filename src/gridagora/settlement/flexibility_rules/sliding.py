"""Sliding pay: nothing up to a least share, all at full delivery, in proportion between."""

from math import gcd

import numpy as np

from gridagora.settlement._proportions import share_of
from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.settlement.flexibility_rules.terms import FlexPay, FlexTerms, penalties


def sliding(delivery: Delivery, terms: FlexTerms, *, least_percent: int) -> FlexPay:
    """Pay 0 at ``least_percent`` of the order of a call, all at 100 %, linear between; never more.

    ``earned = amount x max(0, share - least) / (1 - least)``; delivery beyond the order is not counted.

    Notes
    -----
    FIELD.md 4e, TRANSITION (SSEN, Oxford): 50 to 100 % per half hour.  Its public pages name the two ends and
    not the line between them: the straight one is ours.

    Examples
    --------
    >>> from gridagora.settlement.flexibility_delivery import Calls, check_limit
    >>> calls = Calls(called=[[True] * 4], hours=0.5)
    >>> found = check_limit([[2.0, 4.0, 5.0, 6.0]], calls, limit_kw=3.0, capacity_kw=7.0)
    >>> sliding(found, FlexTerms(amount_micro=np.full((1, 4), 1000)), least_percent=50).earned.tolist()
    [[1000, 500, 0, 0]]
    """
    common = gcd(100, least_percent)
    full, least = 100 // common, least_percent // common
    delivered, ordered = delivery.in_window(delivery.delivered_wh), delivery.in_window(delivery.ordered_wh)
    above = np.maximum(full * delivered - least * ordered, 0)
    earned = share_of(terms.amount_micro, above, (full - least) * ordered)
    return FlexPay(earned=earned, penalty=penalties(delivery, terms))
