"""The welfare-optimal clearing of a double auction, which most mechanisms start from.

Per period, with D>(p), D>=(p) the quantity of the buys above (at or above) a price and S<(p), S<=(p) that of
the sells below (at or below) it, a price p supports an optimum of E1 in MARKETS.md when

    D>(p) <= S<=(p)   and   S<(p) <= D>=(p).

These prices are an interval [low, high]: one point where a bid is filled in part, otherwise from
max(last accepted ask, first rejected bid) to min(last accepted bid, first rejected ask).

Residues.  With float quantities both comparisons allow a difference of 2**-40 of the quantity at hand, plus
some 2**-46 (up to 2**-45) of all quantity offered in the period: what is smaller is a rounding error of a
sum, sets no price, and is not traded at all if it is the whole volume.  Integers are compared exactly.

Balance.  Integers: accepted buys and sells are equal.  Floats: bids better than the margin are accepted in
whole and only the level at the margin is rounded, so that the exact sums of both sides differ by at most
4 units in the last place of the volume, whatever the number of bids (no error adds up with it).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, InputError
from gridagora.market.ration import extra_units
from gridagora.model.bids import Bids

RELATIVE_RESIDUE = 2.0**-40
"""Share of a compared quantity that counts as rounding error."""

ABSOLUTE_RESIDUE_UNITS = 2.0**15
"""The same in units of a period, which scale its total quantity to between 2**60 and 2**61."""

FLOAT_MASK = 0x7FFF_FFFF_FFFF_FFFF
"""Flips the bits of a negative float so that its bits ascend like its value."""

COUNTING_SPAN = 4
"""Periods are sorted by counting if they span at most this many times the number of bids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeritOrder:
    """The optimal clearing of every period; arrays per period have one entry per id in ``period``.

    ``order`` lists the bids period by period (None: they already are), ``starts`` where each period starts in
    that order.  ``low`` and ``high`` bound the prices that support the optimum; NaN without trade.
    """

    period: NDArray[np.int64]
    starts: NDArray[np.int64]
    order: NDArray[np.int64] | None
    accepted: NDArray[Any]
    volume: NDArray[Any]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    is_integer: bool

    @property
    def price(self) -> NDArray[np.float64]:
        """Middle of the price interval per period, rounded down to a whole tick; NaN without trade."""
        middle = (self.low + self.high) / 2
        return np.floor(middle) if self.is_integer else middle


def merit_order(bids: Bids) -> MeritOrder:
    """Clear every period at the welfare optimum (E1), ties at the margin pro rata.

    Raises `InputError` when the bids name more than one carrier: kWh of heat are not kWh of electricity.

    >>> bids = Bids(side=["buy", "sell", "sell"], price=[5, 1, 3], quantity=[3, 2, 2])
    >>> merit = merit_order(bids)
    >>> merit.accepted.tolist(), merit.volume.tolist(), merit.price.tolist()
    ([3, 2, 1], [3], [3.0])
    """
    from gridagora.market import _crossing_kernel, _period_kernel, _share_kernel

    _check_one_carrier(bids)
    order, starts = _by_period(bids.period)
    side, price, quantity = bids.side, bids.price, bids.quantity
    if order is not None:
        side, price, quantity = side[order], price[order], quantity[order]
    whole_numbers = bids.is_integer
    bits = price.view(np.int64)
    mask = 0 if whole_numbers else FLOAT_MASK
    if whole_numbers:
        residue = (0.0, 0.0)
        units: NDArray[Any] = np.ones(len(starts) - 1, dtype=np.int64)
    else:
        residue = (RELATIVE_RESIDUE, ABSOLUTE_RESIDUE_UNITS)
        units = _period_kernel.float_units(quantity, starts)
    keys, whole, amount = _crossing_kernel.clear_periods(bits, mask, side, quantity, starts, units, *residue)
    sums = whole if whole_numbers else amount
    traded = sums[:, 0] > 0
    accepted, at_margin, groups = _share_kernel.accept_better(
        bits, mask, side, quantity, starts, keys, traded
    )
    # columns of buys and sells become one list of groups, 2 x run (+ 1 for sells)
    level: NDArray[Any] = sums[:, 1::2].ravel()
    part: NDArray[Any] = sums[:, 2::2].ravel()
    if whole_numbers:
        rests, lacking = _share_kernel.share_integers(accepted, quantity, (at_margin, groups), level, part)
        if lacking.any():
            rows = at_margin if order is None else order[at_margin]
            accepted[at_margin] += extra_units(
                bids=bids, rows=rows, rest=rests, group=groups, lacking=lacking
            )
    else:
        _share_kernel.share_floats(accepted, quantity, (at_margin, groups), level, part)
    prices = _prices(keys[:, :2], mask, traded)
    return MeritOrder(
        period=bids.period[starts[:-1]] if order is None else bids.period[order[starts[:-1]]],
        starts=starts,
        order=order,
        accepted=accepted if order is None else _unsorted(accepted, order),
        volume=sums[:, 0],
        low=prices[0],
        high=prices[1],
        is_integer=whole_numbers,
    )


def _check_one_carrier(bids: Bids) -> None:
    if bids.carrier is None or len(bids) == 0 or bool((bids.carrier == bids.carrier[0]).all()):
        return
    names = sorted({str(name) for name in np.unique(bids.carrier)})
    reason = "bids of several carriers cannot trade with each other in one auction"
    fix = "clear each carrier on its own: bids.take(bids.carrier == name)"
    raise InputError([Fault(source="bids", place="column carrier", value=names, reason=reason, fix=fix)])


def _by_period(period: NDArray[np.int64]) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
    from gridagora.market import _period_kernel

    ascending, starts = _period_kernel.run_starts(period)
    if ascending:
        return None, starts
    lowest = int(period.min())
    span = int(period.max()) - lowest + 1
    if span <= COUNTING_SPAN * len(period):
        order = _period_kernel.counting_order(period, lowest, span)
    else:
        order = np.argsort(period, kind="stable")
    return order, _period_kernel.run_starts(period[order])[1]


def _prices(keys: NDArray[np.int64], mask: int, traded: NDArray[np.bool_]) -> NDArray[np.float64]:
    columns = np.ascontiguousarray(keys.T)
    bits = columns ^ ((columns >> 63) & mask)
    return np.where(traded, columns.astype(np.float64) if mask == 0 else bits.view(np.float64), np.nan)


def _unsorted(values: NDArray[Any], order: NDArray[np.int64]) -> NDArray[Any]:
    out = np.empty_like(values)
    out[order] = values
    return out
