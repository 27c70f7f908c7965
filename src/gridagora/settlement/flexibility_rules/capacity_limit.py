"""Rule of a called capacity limit: the call is paid in full, each kWh over the limit is charged."""

import numpy as np

from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.settlement.flexibility_rules.terms import FlexPay, FlexTerms, penalties


def capacity_limit(delivery: Delivery, terms: FlexTerms) -> FlexPay:
    """Pay the amount of the call, less the penalty price on each kWh of breach; a failed call earns nothing.

    ``net = call price x (capacity - L) x dt - penalty x max(0, P - L) x dt``.

    Notes
    -----
    FIELD.md 4d, CAP-T and CAP-A.  The availability fee beside it: `settle_reservation`.

    Examples
    --------
    >>> from gridagora.settlement.flexibility_delivery import Calls, check_limit
    >>> found = check_limit([[4.0]], Calls(called=[[True]], hours=1.0), limit_kw=3.0, capacity_kw=7.0)
    >>> pay = capacity_limit(found, FlexTerms(amount_micro=np.array([[1000]]), penalty_micro_per_kwh=1500))
    >>> pay.earned.tolist(), pay.penalty.tolist()
    ([[1000]], [[1500]])
    """
    lost = delivery.failed & (delivery.ordered_wh > 0)
    earned = np.where(lost, 0, np.asarray(terms.amount_micro, dtype=np.int64))
    return FlexPay(earned=earned, penalty=penalties(delivery, terms))
