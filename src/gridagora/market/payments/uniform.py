"""Uniform pricing: everyone trades at the dual of the balance (F15)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, InputError
from gridagora.market.payments.game import Market


def uniform(market: Market) -> NDArray[Any]:
    """Pay each player the price times what it sold, minus what it bought, period by period.

    Raises `InputError` for ordered steps, blocks and horizons, where no one price suits everyone.
    """
    if not market.rules.is_plain:
        reason = "ordered steps, blocks and limits of a day leave no price that suits everyone"
        fix = "use pay_as_bid, vcg, vcg_one_sided or shapley"
        raise InputError([Fault(source="payments", place="rule", value="uniform", reason=reason, fix=fix)])
    price = market.price[np.searchsorted(market.period, market.bids.period)]
    price = np.where(market.accepted > 0, price, 0).astype(market.accepted.dtype)
    return market.by_player(-market.bids.side * price * market.accepted + 0)
