"""Settlement rules for flexibility by name: one rule is one pure function of delivery and terms."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.settlement.flexibility_rules.capacity_limit import capacity_limit
from gridagora.settlement.flexibility_rules.pay_delivered import pay_delivered
from gridagora.settlement.flexibility_rules.sliding import sliding
from gridagora.settlement.flexibility_rules.terms import FlexPay, FlexTerms
from gridagora.settlement.flexibility_rules.threshold import threshold
from gridagora.settlement.flexibility_rules.uftp import uftp

Rule = Callable[[Delivery, FlexTerms], FlexPay]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "capacity_limit": capacity_limit,
        "pay_delivered": pay_delivered,
        "sliding_50": partial(sliding, least_percent=50),
        "threshold_75": partial(threshold, least_percent=75),
        "threshold_80": partial(threshold, least_percent=80),
        "uftp": uftp,
    }
)
"""Rules by name: threshold_75 is of SWITCH, threshold_80 of NODES (sthlmflex), sliding_50 of TRANSITION."""

__all__ = [
    "RULES",
    "FlexPay",
    "FlexTerms",
    "Rule",
    "capacity_limit",
    "pay_delivered",
    "sliding",
    "threshold",
    "uftp",
]
