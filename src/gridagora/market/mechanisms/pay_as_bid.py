"""Discriminatory pricing: every trade has the price of its own bids."""

from typing import Literal, get_args

import numpy as np

from gridagora.errors import Fault, InputError
from gridagora.market.merit import merit_order
from gridagora.model.bids import Bids
from gridagora.model.pairing import pair_accepted
from gridagora.model.results import ClearingResult, sum_by

PriceRule = Literal["buyer", "seller", "midpoint"]


def pay_as_bid(bids: Bids, *, price_rule: PriceRule = "buyer") -> ClearingResult:
    """Clear a double auction at the welfare optimum, the dearest bid trading with the cheapest ask.

    Volumes are those of `pay_as_cleared`.  Accepted buys, dearest first, meet accepted sells, cheapest first
    (equal prices by participant, step, group, node), and no one meets itself unless that is unavoidable.

    Parameters
    ----------
    bids : of any number of periods; all nodes form one copper plate, groups and steps do not matter
    price_rule : "buyer" (default) trades at the buyer's price, "seller" at the seller's, "midpoint" halfway
        (rounded down to a whole tick if the bids are integers)

    Returns
    -------
    ClearingResult
        ``trades`` holds the prices paid; ``price`` is the dual of the balance, as in `pay_as_cleared`.

    Raises
    ------
    InputError
        Unknown price rule, or the bids name more than one carrier.

    Notes
    -----
    MARKETS.md section 2.  Not truthful: with "buyer" a buyer gains by bidding just above the margin.

    Examples
    --------
    >>> bids = Bids(side=["buy", "buy", "sell"], price=[2, 3, 1], quantity=[15, 20, 25])
    >>> pay_as_bid(bids).trades[["buyer", "quantity", "price"]].values.tolist()
    [[1, 20, 3], [0, 5, 2]]
    """
    if price_rule not in get_args(PriceRule):
        fix = f"use one of {', '.join(get_args(PriceRule))}"
        raise InputError(
            [Fault(source="pay_as_bid", place="price_rule", value=price_rule, reason="unknown rule", fix=fix)]
        )
    merit = merit_order(bids)
    buy, sell, quantity = pair_accepted(bids, merit.accepted)
    price = bids.price[sell if price_rule == "seller" else buy]
    if price_rule == "midpoint":
        asked = bids.price[sell]
        price = (price + asked) // 2 if bids.is_integer else (price + asked) / 2
    amount = price * quantity
    paid = sum_by(np.concatenate([buy, sell]), np.concatenate([-amount, amount]), len(bids))
    return ClearingResult(
        bids=bids,
        accepted=merit.accepted,
        period=merit.period,
        price=merit.price,
        paid_by_bid=paid,
        pairs=(buy, sell, quantity, price),
    )
