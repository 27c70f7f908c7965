"""Trade reduction: a truthful double auction without deficit (McAfee 1992)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market.merit import RELATIVE_RESIDUE, MeritOrder, merit_order
from gridagora.market.ration import ration
from gridagora.model.bids import Bids
from gridagora.model.results import ClearingResult, sum_by


def trade_reduction(bids: Bids) -> ClearingResult:
    """Clear a double auction truthfully and without deficit by giving up the least valuable trade.

    With b and s the prices of the last bid and the last ask of the efficient trade:

    1. If both are filled in whole, and the midpoint p0 of the first rejected bid and the first rejected ask
       lies in [s, b], the efficient volume trades at p0.
    2. Otherwise the last bid and the last ask do not trade, all other buyers pay b and all other sellers get
       s; the difference stays with the operator.  The side that then offers more is rationed pro rata
       over all its bids, whatever their prices.

    Parameters
    ----------
    bids : of any number of periods; all nodes form one copper plate, groups and steps do not matter

    Returns
    -------
    ClearingResult
        ``buy_price`` and ``sell_price`` per period, ``price`` their mean; NaN where nothing trades.

    Raises
    ------
    InputError
        The bids name more than one carrier.

    Notes
    -----
    McAfee (1992), "A dominant strategy double auction", for bids of many units: as in Huang, Scheller-Wolf
    and Sycara (2002), whole bids are withdrawn, here with pro rata rationing.  Of several bids tied at the
    last price, the quantity of the largest is withdrawn, shared by all of them (their gain is zero anyway).
    Truthful in price for participants with one bid each and given quantities; overstating a quantity can pay
    where a side is rationed.  Money is never lacking, since b >= s.

    Examples
    --------
    >>> bids = Bids(side=["buy", "buy", "sell", "sell"], price=[9, 8, 2, 4], quantity=[1, 1, 1, 1])
    >>> result = trade_reduction(bids)
    >>> result.accepted.tolist(), result.prices.iloc[0].to_dict(), result.budget_balance
    ([1, 0, 1, 0], {'price': 6.0, 'buy_price': 8.0, 'sell_price': 4.0}, 4)
    """
    bids_, merit = _without_residues(bids)
    buy = _margin(bids_, merit, side=1)
    sell = _margin(bids_, merit, side=-1)
    middle = (buy.rejected + sell.rejected) / 2
    middle = np.floor(middle) if bids.is_integer else middle
    with np.errstate(invalid="ignore"):
        whole = buy.filled & sell.filled & (sell.price <= middle) & (middle <= buy.price)
    volume = np.where(whole, merit.volume, np.minimum(buy.kept, sell.kept))
    accepted = np.zeros_like(merit.accepted)
    for side in (buy, sell):
        accepted[side.rows] = _accepted(bids_, merit, side, whole=whole, volume=volume)
    traded = volume > 0
    buy_price = np.where(traded, np.where(whole, middle, buy.price), np.nan)
    sell_price = np.where(traded, np.where(whole, middle, sell.price), np.nan)
    mean = (buy_price + sell_price) / 2
    return ClearingResult(
        bids=bids,
        accepted=accepted,
        period=merit.period,
        price=np.floor(mean) if bids.is_integer else mean,
        buy_price=buy_price,
        sell_price=sell_price,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Margin:
    """One side's margin per period.

    ``price`` of the last accepted bid, ``rejected`` price of the first rejected one (NaN without), whether
    all at the margin are filled, the quantity kept after withdrawal, and of it that at the margin.
    """

    rows: NDArray[np.int64]
    price: NDArray[np.float64]
    rejected: NDArray[np.float64]
    filled: NDArray[np.bool_]
    kept: NDArray[Any]
    kept_at: NDArray[Any]


def _without_residues(bids: Bids) -> tuple[Bids, MeritOrder]:
    """Take bids that are mere rounding errors against their period's volume out of the auction."""
    merit = merit_order(bids)
    if bids.is_integer:
        return bids, merit
    residue = RELATIVE_RESIDUE * merit.volume[np.searchsorted(merit.period, bids.period)]
    tiny = (bids.quantity <= residue) & (bids.quantity > 0)
    if not tiny.any():
        return bids, merit
    kept = Bids(
        side=bids.side,
        price=bids.price,
        quantity=np.where(tiny, 0.0, bids.quantity),
        participant=bids.participant,
        period=bids.period,
    )
    return kept, merit_order(kept)


def _margin(bids: Bids, order: MeritOrder, *, side: int) -> _Margin:
    accepted, periods = order.accepted, len(order.period)
    index = np.searchsorted(order.period, bids.period)
    mine = (bids.side == side) & (bids.quantity > 0)
    rows = np.flatnonzero(mine & (accepted > 0))
    # merit falls from the best bid to the worst on either side
    merit = side * bids.price.astype(np.float64)
    last = np.full(periods, np.inf)
    np.minimum.at(last, index[rows], merit[rows])
    out = np.flatnonzero(mine & (merit < last[index]))
    first_out = np.full(periods, -np.inf)
    np.maximum.at(first_out, index[out], merit[out])
    level = np.flatnonzero(mine & (merit == last[index]))
    largest = np.zeros(periods, dtype=accepted.dtype)
    np.maximum.at(largest, index[level], bids.quantity[level])
    at = sum_by(index[level], accepted[level], periods)
    better = rows[merit[rows] > last[index[rows]]]
    above = sum_by(index[better], accepted[better], periods)
    offered = sum_by(index[level], bids.quantity[level], periods)
    kept_at = np.maximum(at - largest, 0)
    residue = 0.0 if bids.is_integer else RELATIVE_RESIDUE * (above + at)
    return _Margin(
        rows=rows,
        price=side * last,
        rejected=np.where(np.isfinite(first_out), side * first_out, np.nan),
        filled=offered - at <= residue,
        kept=above + kept_at,
        kept_at=kept_at,
    )


def _accepted(
    bids: Bids, merit: MeritOrder, margin: _Margin, *, whole: NDArray[np.bool_], volume: NDArray[Any]
) -> NDArray[Any]:
    """Quantities of one side's rows: the efficient ones, or what is kept, rationed to the volume."""
    rows = margin.rows
    group = np.searchsorted(merit.period, bids.period[rows])
    weight = merit.accepted[rows]
    level = np.flatnonzero((bids.price[rows] == margin.price[group]) & ~whole[group])
    weight[level] = ration(
        bids=bids, rows=rows[level], weight=weight[level], group=group[level], target=margin.kept_at
    )
    rationed = np.flatnonzero(~whole[group] & (margin.kept[group] > volume[group]))
    weight[rationed] = ration(
        bids=bids, rows=rows[rationed], weight=weight[rationed], group=group[rationed], target=volume
    )
    return weight
