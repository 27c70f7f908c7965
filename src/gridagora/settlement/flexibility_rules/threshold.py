"""All or nothing below a threshold: a call delivered too little earns nothing."""

import numpy as np

from gridagora.settlement._proportions import share_of
from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.settlement.flexibility_rules.terms import FlexPay, FlexTerms, penalties


def threshold(delivery: Delivery, terms: FlexTerms, *, least_percent: int) -> FlexPay:
    """Pay the delivered share, but nothing in a call delivered below ``least_percent``.

    The energy of all periods of the call counts.  The platforms name no penalty; one is charged where the
    terms have a price for it.

    Notes
    -----
    FIELD.md 4e: 75 % in SWITCH, 80 % in sthlmflex on NODES.  What is paid above the threshold is not public;
    the delivered energy is.

    Examples
    --------
    >>> from gridagora.settlement.flexibility_delivery import Calls, check_limit
    >>> found = check_limit([[3.8, 4.2]], Calls(called=[[True, True]], hours=1.0), limit_kw=3, capacity_kw=7)
    >>> threshold(found, FlexTerms(amount_micro=np.array([[1000, 1000]])), least_percent=75).earned.tolist()
    [[800, 0]]
    """
    earned = share_of(terms.amount_micro, delivery.delivered_wh, delivery.ordered_wh)
    kept = np.where(delivery.passed(least_percent), earned, 0)
    return FlexPay(earned=kept, penalty=penalties(delivery, terms))
