"""Plain rule: what is delivered is paid, the rest is clawed back, nothing is punished."""

import numpy as np

from gridagora.settlement._proportions import share_of
from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.settlement.flexibility_rules.terms import FlexPay, FlexTerms


def pay_delivered(delivery: Delivery, terms: FlexTerms) -> FlexPay:
    """Pay the delivered share of the amount; the penalty price is not used.

    Notes
    -----
    MARKETS.md section 3: settlement pays delivered quantity, claws back the rest, refunds the DSO.

    Examples
    --------
    >>> from gridagora.settlement.flexibility_delivery import Calls, check_limit
    >>> found = check_limit([[4.0]], Calls(called=[[True]], hours=1.0), limit_kw=3.0, capacity_kw=7.0)
    >>> pay_delivered(found, FlexTerms(amount_micro=np.array([[1000]]))).earned.tolist()
    [[750]]
    """
    earned = share_of(terms.amount_micro, delivery.delivered_wh, delivery.ordered_wh)
    return FlexPay(earned=earned, penalty=np.zeros_like(earned))
