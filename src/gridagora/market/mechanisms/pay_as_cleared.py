"""Uniform pricing: everyone in a period trades at one price."""

from gridagora.market.merit import merit_order
from gridagora.model.bids import Bids
from gridagora.model.results import ClearingResult


def pay_as_cleared(bids: Bids) -> ClearingResult:
    """Clear a double auction at one price per period, at the welfare optimum.

    The price lies inside the marginal interval: a bid filled in part sets it; where supply and demand overlap
    vertically it is the midpoint of [max(last accepted ask, first rejected bid), min(last accepted bid,
    first rejected ask)], rounded down to a whole tick if the bids are integers.  Equal prices trade.
    Bids at the margin share pro rata; whole Wh by largest remainder, equal remainders by participant id.

    Parameters
    ----------
    bids : of any number of periods; all nodes form one copper plate, groups and steps do not matter

    Returns
    -------
    ClearingResult
        Price NaN and volume 0 in periods where nothing can trade.

    Raises
    ------
    InputError
        The bids name more than one carrier.

    Notes
    -----
    MARKETS.md section 2, E1 and E2.  Residues and balance: `gridagora.market.merit`.  Takes O(n) time.

    Examples
    --------
    >>> bids = Bids(side=["buy", "buy", "sell"], price=[0.30, 0.20, 0.10], quantity=[2.0, 2.0, 3.0])
    >>> result = pay_as_cleared(bids)
    >>> result.accepted.tolist(), result.price.tolist()
    ([2.0, 1.0, 3.0], [0.2])
    """
    merit = merit_order(bids)
    return ClearingResult(bids=bids, accepted=merit.accepted, period=merit.period, price=merit.price)
