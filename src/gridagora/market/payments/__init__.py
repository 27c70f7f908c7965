"""Who pays and gets what for a cleared market: one rule, one file."""

from gridagora.market.payments.rules import Payments, payments
from gridagora.market.payments.shapley import shapley_value

__all__ = ["Payments", "payments", "shapley_value"]
