"""What a settlement rule is given beside the delivery, and what it answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.units import amount_micro

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlexTerms:
    """Money of an order: whole micro-units, as agreed when it was cleared.

    Parameters
    ----------
    amount_micro : due to the seller for full delivery, shape (meters, periods): price x energy, or what a
        payment rule (VCG, Shapley) awards
    penalty_micro_per_kwh : for each kWh of deficiency, >= 0, fits (meters, periods)

    Examples
    --------
    >>> FlexTerms(amount_micro=np.array([[14_000_000]])).penalty_micro_per_kwh
    0
    """

    amount_micro: Ints
    penalty_micro_per_kwh: Ints | int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlexPay:
    """What a rule awards: ``earned`` of the amount, ``penalty`` >= 0, micro-units, shape (meters, periods).

    Examples
    --------
    >>> pay = FlexPay(earned=np.array([[7]]), penalty=np.array([[11]]))
    >>> (pay.earned - pay.penalty).tolist()
    [[-4]]
    """

    earned: Ints
    penalty: Ints


def penalties(delivery: Delivery, terms: FlexTerms) -> Ints:
    """Return penalty price x deficiency in micro-units, >= 0."""
    return amount_micro(delivery.deficiency_wh, terms.penalty_micro_per_kwh)
