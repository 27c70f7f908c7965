"""Bids that were accepted at a loss, or left out at a gain, because something about them is whole."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_market import Market
from gridagora.market.network_result import Paradoxes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

RESIDUE = 1e-7
"""A loss below this share of the largest bid's value is a rounding error."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Units:
    """Bids in canonical order, joined by switches and conditions into units; -1: a bid of its own.

    ``may_stay_out`` tells of each unit whether all its conditions hold with nothing accepted, ``simple``
    whether one switch is all that makes it.
    """

    of_bid: Ints
    may_stay_out: Bools
    simple: Bools

    def __len__(self) -> int:
        return len(self.may_stay_out)


def units_of(market: Market) -> Units:
    """Join bids that hang on one switch or stand in one condition."""
    if not market.switches and not market.dependencies:
        none = np.zeros(0, dtype=np.bool_)
        return Units(of_bid=np.full(len(market), -1), may_stay_out=none, simple=none)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count, switches = len(market), market.switches
    hung = np.flatnonzero(market.switch >= 0)
    ends = [(hung, count + market.switch[hung])]
    first = count + switches
    for number, one in enumerate(market.dependencies):
        ends.append((np.array(one.bids, dtype=np.int64), np.full(len(one.bids), first + number)))
    start, end = (np.concatenate([pair[side] for pair in ends]) for side in (0, 1))
    size = first + len(market.dependencies)
    part = connected_components(
        coo_array((np.ones(len(start)), (start, end)), shape=(size, size)), directed=False
    )[1]
    joined = np.unique(start)
    names, index = np.unique(part[joined], return_inverse=True)
    of_bid = np.full(count, -1)
    of_bid[joined] = index
    may, simple = np.ones(len(names), dtype=np.bool_), np.ones(len(names), dtype=np.bool_)
    for number, one in enumerate(market.dependencies):
        mine = int(np.searchsorted(names, part[first + number]))
        simple[mine] = False
        met = {"<=": one.quantity >= 0, ">=": one.quantity <= 0, "=": one.quantity == 0}
        may[mine] &= one.kind != "or" and (one.kind != "sum" or met[one.op])
    return Units(of_bid=of_bid, may_stay_out=may, simple=simple)


def find_paradoxes(market: Market, units: Units, accepted: Floats, *, price: Floats) -> Paradoxes:
    """Return what prices do not explain; ``price`` is what each bid pays per unit, reactive power included.

    Rows are those of canonical order.
    """
    gain = market.side * (market.price - price)
    of_bid, inside = units.of_bid, units.of_bid >= 0
    worth = np.abs(market.price) * market.quantity
    residue = RESIDUE * max(float(np.nanmax(worth, initial=0.0)), 1e-12)
    total = np.bincount(of_bid[inside], weights=np.nan_to_num(gain * accepted)[inside], minlength=len(units))
    whole = np.bincount(
        of_bid[inside], weights=np.nan_to_num(gain * market.quantity)[inside], minlength=len(units)
    )
    used = np.bincount(of_bid[inside], weights=accepted[inside], minlength=len(units)) > 0
    lossy = used & (total < -residue)
    kind = np.where(
        lossy & units.may_stay_out,
        "accepted",
        np.where(lossy, "forced", np.where(~used & units.simple & (whole > residue), "rejected", "")),
    )
    loss = np.where(kind == "rejected", whole, -total)
    rows = np.flatnonzero(inside & (np.append(kind, "")[of_bid] != ""))
    rows = rows[(accepted[rows] > 0) | (kind[of_bid[rows]] == "rejected")]
    return Paradoxes(bid=rows, unit=of_bid[rows], kind=kind[of_bid[rows]], loss=loss[of_bid[rows]])


def compensate(market: Market, found: Paradoxes, accepted: Floats, *, price: Floats, rent: float) -> Floats:
    """Return money per bid, + received: losses made good from the rent, the rest from those who gain.

    Who gains gives in proportion to its gain; as no more is given than gained, everyone still gains.
    """
    out = np.zeros(len(market))
    mine = found.kind == "accepted"
    surplus = np.nan_to_num(market.side * (market.price - price) * accepted)
    for unit in np.unique(found.unit[mine]):
        rows = found.bid[mine & (found.unit == unit)]
        out[rows] += float(found.loss[found.unit == unit][0]) * accepted[rows] / accepted[rows].sum()
    owed = float(out.sum()) - max(rent, 0.0)
    givers = np.where((surplus > 0) & (out == 0), surplus, 0.0)
    if owed > 0 and givers.sum() > 0:
        out -= givers * min(owed / givers.sum(), 1.0)
    return out
