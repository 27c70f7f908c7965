"""Compiled: Vickrey-Clarke-Groves payments of a merit-order market, all players from one sorted curve."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._vickrey_kernel import _curve, _gain_difference, _lowest_cover
from gridagora.model._jit import compiled

Ints = NDArray[np.int64]
Numbers = NDArray[Any]


@compiled
def payments(
    bids: tuple[Numbers, NDArray[np.int8], Numbers, Numbers],
    owner: Ints,
    index: Ints,
    starts: Ints,
    reference: Numbers,
    players: int,
) -> tuple[Ints, Ints, Numbers]:
    """Payments as (period position, player, money); bids (price, side, quantity, accepted) by period, price.

    A player gets the reference price for what it sells net, and the gains of the others without it at that
    price minus their minimum (see `gridagora.market.mechanisms.vickrey`); nothing if it does not trade.
    """
    price, side, quantity, accepted = bids
    count = len(price)
    at, who = np.empty(count, np.int64), np.empty(count, np.int64)
    money = np.zeros(count, (price[:1] * quantity[:1]).dtype)
    used = 0
    for run in range(len(starts) - 1):
        span = slice(starts[run], starts[run + 1])
        mine, begins = _by_owner(owner[span], players)
        # gathered once: the bids of a player are then a view
        own_price, own_side = price[span][mine], side[span][mine]
        own_quantity, given = quantity[span][mine], accepted[span][mine]
        curve = _curve(price[span], side[span], quantity[span], reference[run])
        for k in range(len(begins) - 1):
            own = slice(begins[k], begins[k + 1])
            net = given[0] * 0
            trades = False
            for i in range(own.start, own.stop):
                net += np.int64(own_side[i]) * given[i]
                trades |= given[i] > 0
            at[used] = index[span.start]
            who[used] = owner[span.start + mine[own.start]]
            if trades:
                level = _lowest_cover(curve, own_price[own], own_side[own], own_quantity[own])
                change = _gain_difference(
                    curve.price[level], reference[run], own_price[own], own_side[own], own_quantity[own]
                )
                bonus = max(change - curve.surplus[level], change - change)
                money[used] = bonus - reference[run] * net
            used += 1
    return at[:used], who[:used], money[:used]


@compiled
def _by_owner(owner: Ints, players: int) -> tuple[Ints, Ints]:
    """Positions player by player, each player's in their order, and where each player starts."""
    nexts = np.zeros(players + 1, np.int64)
    for who in owner:
        nexts[who + 1] += 1
    begins = np.empty(len(owner) + 1, np.int64)
    used = 0
    for who in range(players):
        if nexts[who + 1] > 0:
            begins[used] = nexts[who]
            used += 1
        nexts[who + 1] += nexts[who]
    begins[used] = len(owner)
    mine = np.empty(len(owner), np.int64)
    for i in range(len(owner)):
        mine[nexts[owner[i]]] = i
        nexts[owner[i]] += 1
    return mine, begins[: used + 1]
