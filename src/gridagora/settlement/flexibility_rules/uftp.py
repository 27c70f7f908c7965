"""The settlement rule of USEF and UFTP: price for what is delivered, penalty for what is deficient."""

from gridagora.settlement._proportions import share_of
from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.settlement.flexibility_rules.terms import FlexPay, FlexTerms, penalties


def uftp(delivery: Delivery, terms: FlexTerms) -> FlexPay:
    """Pay the delivered share of the amount, and charge the penalty price on the deficiency of each period.

    ``net = price x clip(base - actual, 0, ordered) - penalty x max(0, actual - (base - ordered))``.

    Notes
    -----
    FIELD.md 4e, UFTP example.

    Examples
    --------
    >>> import numpy as np
    >>> from gridagora.settlement.flexibility_delivery import Calls, check_baseline
    >>> found = check_baseline([[7.0, 8.0, 9.0, 10.0, 11.0]], Calls(called=[[True] * 5], hours=1.0),
    ...                        baseline_kw=10.0, ordered_kw=2.0, direction="down")
    >>> terms = FlexTerms(amount_micro=np.full((1, 5), 14_000_000), penalty_micro_per_kwh=11_000_000)
    >>> pay = uftp(found, terms)
    >>> ((pay.earned - pay.penalty) // 1_000_000).tolist()
    [[14, 14, -4, -22, -33]]
    """
    earned = share_of(terms.amount_micro, delivery.delivered_wh, delivery.ordered_wh)
    return FlexPay(earned=earned, penalty=penalties(delivery, terms))
