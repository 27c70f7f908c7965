"""The auction of the flexibility market: cuts below the connection capacity, bought by a grid operator."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.market._capacity_check import (
    block_faults,
    direction_faults,
    list_faults,
    step_numbers,
    unnumbered_faults,
)
from gridagora.market._capacity_clear import clear
from gridagora.market._capacity_rules import AuctionRules, Horizon
from gridagora.market.ration import ration
from gridagora.model.bids import Bids
from gridagora.model.flexibility import Direction
from gridagora.model.numbers import read_numbers
from gridagora.model.results import ClearingResult, sum_by


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CapacityLimitResult(ClearingResult):
    """Outcome of a capacity-limit auction, with the rules it was cleared by.

    Parameters
    ----------
    rules : what `gridagora.market.payments` needs to clear without a participant
    direction : "cap", "floor", "down" or "up"

    Examples
    --------
    >>> bids = Bids(side=["buy", "sell"], price=[5.0, 3.0], quantity=[1.0, 1.0], participant=["dso", "ann"])
    >>> capacity_limit_auction(bids, direction="floor").direction
    'floor'
    """

    rules: AuctionRules = field(default_factory=AuctionRules)
    direction: str = "cap"


def capacity_limit_auction(
    bids: Bids,
    *,
    ordered: bool = False,
    blocks: Literal["group"] | ArrayLike | None = None,
    horizon: Horizon | None = None,
    direction: Direction | ArrayLike = "cap",
) -> CapacityLimitResult:
    """Clear the market for capacity limits at the highest welfare, for any number of periods.

    Buyers (DSO, TSO) bid steps of utility, sellers (FSPs) steps of cost; the quantity sold is a cut below the
    connection capacity: limit = connection capacity - quantity sold.

    Parameters
    ----------
    bids : quantity in kW of cut (>= 0), price in currency per kW and period; ``step`` numbers the granularity
        steps of one bidder and period from 0 or 1 (also "g0", "g1" ...)
    ordered : False: impact-based, cheapest sell and dearest step first (F4-F6).  True: probability-based,
    each
        buyer's steps are taken in order (F7-F10), whatever their prices
    blocks : None: all bids are divisible; or per bid the share of its quantity that is accepted at least if
    any
        is (1: all or nothing); or "group": bids of one participant with the same ``group`` (text that is not
        empty, or a number >= 0), also of several periods, are accepted in whole or not at all
    horizon : clears days jointly under each seller's `ActivationLimits`
    direction : "cap" keeps net import below the limit, "floor" net export; "down" and "up" are kW against a
        baseline; the same clearing

    Returns
    -------
    CapacityLimitResult
        ``price`` is the dual of the balance with what is on or off held fixed, the middle of its interval.
        Impact-based, it is also what everyone pays (F15).  Otherwise no uniform price need suit everyone, so
        sellers get their own prices, and buyers pay for them, each with the same gain per kW.  Other rules:
        `gridagora.market.payments.payments`.

    Raises
    ------
    InputError
        Lists every fault: step lists with gaps, double steps or sells that get cheaper; several steps of a
        buyer without numbers (``ordered``); unknown or mixed directions; shares outside 0 to 1.
    SolverError
        The mixed-integer program found no optimum.

    Notes
    -----
    MARKETS.md section 3, F4-F10; seed 003 section 3.4.2.  One ordered buyer per period is cleared by a search
    over the breakpoints of welfare(Q) = U(Q) - C(Q) in O(n log n); several ordered buyers, blocks and
    horizons
    by a mixed-integer program.  Ties at the margin share pro rata; among equal welfare one ordered buyer gets
    the largest quantity, and a program's choice does not depend on the order of the bids.

    Examples
    --------
    The first kW are worth little but come before the third step (table 3-4 of seed 003).

    >>> bids = Bids(side=["buy"] * 4 + ["sell"] * 2, price=[0.3, 2, 9, 1, 0.1, 1.5], step=[0, 1, 2, 3, 0, 0],
    ...             quantity=[4, 2, 1, 1, 5, 5], participant=["dso"] * 4 + ["ann", "bob"])
    >>> capacity_limit_auction(bids, ordered=True).accepted.tolist()
    [4.0, 2.0, 1.0, 0.0, 5.0, 2.0]
    >>> capacity_limit_auction(bids).accepted.tolist()
    [1.0, 2.0, 1.0, 1.0, 5.0, 0.0]
    """
    steps, faults = step_numbers(bids)
    if not faults:
        faults += list_faults(bids, steps, double_allowed=True)
    if ordered and bids.step is None:
        faults += unnumbered_faults(bids)
    faults += direction_faults(direction, len(bids))
    least, links, found = _blocks(bids, blocks)
    check_faults([*faults, *found])
    rules = AuctionRules(ordered=ordered, steps=steps, least=least, links=links, horizon=horizon)
    cleared = clear(bids, rules)
    middle = (cleared.low + cleared.high) / 2
    paid = None
    if not rules.is_plain:
        paid = own_prices(bids, cleared.accepted, period=cleared.period, joined=rules.joins_periods)
    return CapacityLimitResult(
        bids=bids,
        accepted=cleared.accepted,
        period=cleared.period,
        price=np.floor(middle) if bids.is_integer else middle,
        paid_by_bid=paid,
        rules=rules,
        direction=str(np.asarray(direction).ravel()[0]) if np.size(direction) else "cap",
    )


def own_prices(
    bids: Bids, accepted: NDArray[Any], *, period: NDArray[np.int64], joined: bool
) -> NDArray[Any]:
    """Money per bid when sellers get their own prices and buyers, with equal gain per kW, pay for it.

    The gain is shared within a period, or over all where a rule joins them; whole money by largest remainder.
    """
    value = bids.side * bids.price * accepted
    index = np.searchsorted(period, bids.period)
    index = np.zeros_like(index) if joined else index
    count = 1 if joined else len(period)
    gain = _sums(index, value, count)
    buys = np.flatnonzero(bids.is_buy & (accepted > 0))
    weight = accepted[buys]
    bought = _sums(index[buys], weight, count)
    paid: NDArray[Any] = -value + 0
    if bids.is_integer:
        each, rest = np.divmod(gain, np.maximum(bought, 1))
        share = each[index[buys]] * weight
        share += ration(bids=bids, rows=buys, weight=weight, group=index[buys], target=rest)
    else:
        share = weight * np.divide(gain, bought, out=np.zeros(count), where=bought > 0)[index[buys]]
    paid[buys] += share
    return paid


def _sums(index: NDArray[np.int64], values: NDArray[Any], count: int) -> NDArray[Any]:
    """`sum_by`, without its sort by index where there is one period."""
    if count != 1:
        return sum_by(index, values, count)
    total: NDArray[Any] = np.sort(values).sum(keepdims=True)
    return total


def _blocks(
    bids: Bids, blocks: Literal["group"] | ArrayLike | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None, list[Fault]]:
    """Read ``blocks``: least shares, numbers of linked blocks, faults."""
    if blocks is None:
        return None, None, []
    if isinstance(blocks, str):
        if blocks == "group" and bids.group is not None:
            return None, _links(bids, bids.group), []
        reason = "needs the column group" if blocks == "group" else "unknown kind of blocks"
        fix = "give bids a group, a least share per bid, or None"
        return None, None, [Fault(source="bids", place="blocks", value=blocks, reason=reason, fix=fix)]
    (least,), faults = read_numbers("bids", blocks=blocks)
    return least, None, faults or list(block_faults(least, len(bids)))


def _links(bids: Bids, group: NDArray[Any]) -> NDArray[np.int64]:
    names = np.unique(bids.participant, return_inverse=True)[1]
    groups, index = np.unique(group, return_inverse=True)
    real = groups >= 0 if groups.dtype.kind == "i" else groups != ""
    number = names * (len(groups) + 1) + index
    return np.where(real[index], number, -1) if len(bids) else number
