"""Compiled: Vickrey-Clarke-Groves payments, every participant's externality from one sorted curve."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridagora.market._share_kernel import share
from gridagora.model._jit import compiled

Ints = NDArray[np.int64]
Numbers = NDArray[Any]


class _Curve(NamedTuple):
    """One period's market at its distinct prices: demand above, supply up to, surplus over the minimum."""

    price: Numbers
    above: Numbers
    upto: Numbers
    surplus: Numbers


@compiled
def _curve(price: Numbers, side: NDArray[np.int8], quantity: Numbers, reference: Any) -> _Curve:
    """Build the curve from bids sorted by price; ``surplus`` is U(p) - U(reference), integrated from there.

    U(p) is the sum of all bidders' gains at price p; its slope is supply minus demand, and a clearing price
    minimises it (the dual of E1).
    """
    count = 1
    for i in range(1, len(price)):
        count += price[i] != price[i - 1]
    curve = _Curve(
        np.empty(count, price.dtype),
        np.zeros(count, quantity.dtype),
        np.zeros(count, quantity.dtype),
        np.zeros(count, (price[:1] * quantity[:1]).dtype),
    )
    bought = np.zeros(count, quantity.dtype)
    level = -1
    for i in range(len(price)):
        if i == 0 or price[i] != price[i - 1]:
            level += 1
            curve.price[level] = price[i]
            if level > 0:
                curve.upto[level] = curve.upto[level - 1]
        if side[i] > 0:
            bought[level] += quantity[i]
        else:
            curve.upto[level] += quantity[i]
    for level in range(count - 2, -1, -1):
        curve.above[level] = curve.above[level + 1] + bought[level + 1]
    # from the reference price outwards, so that rounding errors stay as small as the distances are
    start = np.searchsorted(curve.price, reference)
    for level in range(start, count):
        low = reference if level == start else curve.price[level - 1]
        before = curve.surplus[level - 1] if level > start else curve.surplus[0] * 0
        net = (curve.upto[level - 1] - curve.above[level - 1]) if level > 0 else -(curve.above[0] + bought[0])
        curve.surplus[level] = before + net * (curve.price[level] - low)
    for level in range(start - 1, -1, -1):
        high = reference if level == start - 1 else curve.price[level + 1]
        before = curve.surplus[level + 1] if level < start - 1 else curve.surplus[0] * 0
        curve.surplus[level] = before - (curve.upto[level] - curve.above[level]) * (high - curve.price[level])
    return curve


@compiled
def _lowest_cover(curve: _Curve, price: Numbers, side: NDArray[np.int8], quantity: Numbers) -> int:
    """Level of the lowest price that clears the market without the given bids, by bisection."""
    low, high = 0, len(curve.price) - 1
    while low < high:
        middle = (low + high) // 2
        excess = curve.above[middle] - curve.upto[middle]
        for i in range(len(price)):
            if side[i] > 0 and price[i] > curve.price[middle]:
                excess -= quantity[i]
            elif side[i] < 0 and price[i] <= curve.price[middle]:
                excess += quantity[i]
        if excess <= 0:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _gain_difference(
    at: Any, reference: Any, price: Numbers, side: NDArray[np.int8], quantity: Numbers
) -> Any:
    """Gain of the given bids at one price minus that at the reference price."""
    total = quantity[0] * (at - at)
    for i in range(len(price)):
        sign = np.int64(side[i])
        total += quantity[i] * (
            max(sign * (price[i] - at), at - at) - max(sign * (price[i] - reference), at - at)
        )
    return total


@compiled
def bonuses(
    price: Numbers,
    side: NDArray[np.int8],
    quantity: Numbers,
    accepted: Numbers,
    starts: Ints,
    reference: Numbers,
    owned: Ints,
    owned_starts: Ints,
) -> Numbers:
    """Return what each participant gets in each period on top of trading at the reference price.

    Bids are sorted by period and price.  ``owned`` lists their positions by period and participant,
    ``owned_starts`` where each participant of a period starts.  The bonus is U without the participant at the
    reference price minus its minimum; nothing for those who do not trade.
    """
    out = np.zeros(len(owned_starts) - 1, (price[:1] * quantity[:1]).dtype)
    run = 0
    curve_of = -1
    for k in range(len(owned_starts) - 1):
        mine = owned[owned_starts[k] : owned_starts[k + 1]]
        while starts[run + 1] <= mine[0]:
            run += 1
        if accepted[mine].sum() <= 0:
            continue
        if curve_of != run:
            span = slice(starts[run], starts[run + 1])
            curve = _curve(price[span], side[span], quantity[span], reference[run])
            curve_of = run
        level = _lowest_cover(curve, price[mine], side[mine], quantity[mine])
        change = _gain_difference(curve.price[level], reference[run], price[mine], side[mine], quantity[mine])
        out[k] = max(change - curve.surplus[level], change - change)
    return out


@compiled
def spread_floats(
    bonus: NDArray[np.float64], accepted: NDArray[np.float64], owned: Ints, starts: Ints
) -> Numbers:
    """Spread each participant's bonus over its bids in proportion to what was accepted."""
    out = np.zeros(len(accepted))
    for k in range(len(starts) - 1):
        mine = owned[starts[k] : starts[k + 1]]
        total = accepted[mine].sum()
        if total > 0.0:
            for i in mine:
                out[i] = bonus[k] * (accepted[i] / total)
    return out


@compiled
def spread_integers(bonus: Ints, accepted: Ints, owned: Ints, starts: Ints) -> Ints:
    """Spread whole units likewise, by rounding the running share down."""
    out = np.zeros(len(accepted), np.int64)
    for k in range(len(starts) - 1):
        mine = owned[starts[k] : starts[k + 1]]
        total = accepted[mine].sum()
        if total == 0:
            continue
        each = bonus[k] // total
        rest = bonus[k] - each * total
        running = np.int64(0)
        before: Any = np.int64(0)
        for i in mine:
            running += accepted[i]
            after = share(running, rest, total)[0]
            out[i] = each * accepted[i] + after - before
            before = after
    return out
