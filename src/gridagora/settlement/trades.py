"""Who traded with whom in a cleared pool: whole watt-hours, every accepted Wh in exactly one trade.

A pool knows positions, not partners.  The partners are found by a stated rule, so that each buyer has the
same share of local energy in what it bought: energy of the upstream grid is split over the buyers (or
sellers) pro rata to their quantities, largest remainder first; the local rest is paired seller by seller in
the order of the participants.
"""

import numpy as np

from gridagora.model._jit import compiled
from gridagora.model.columns import Floats, Ints, PoolTrades


def pool_trades(
    *, bought_wh: Ints, sold_wh: Ints, paid: Floats, received: Floats, first: int = 0
) -> PoolTrades:
    """Pair the positions of cleared periods into trades.

    Parameters ---------- bought_wh, sold_wh : accepted Wh, shape (periods, homes + 1); the last column is
    the upstream grid paid, received : money of each position in micro-currency x Wh / kWh, >= 0 in the
    ordinary case, same shape first : number of the first period

    Examples
    --------
    Two buyers of 100 Wh each, a local seller of 80 Wh, the rest from upstream: each gets 40 Wh locally.

    >>> t = pool_trades(bought_wh=np.array([[100, 100, 0, 0]]), sold_wh=np.array([[0, 0, 80, 120]]),
    ...                 paid=np.array([[3e7, 3e7, 0, 0]]), received=np.array([[0, 0, 2.4e7, 3.6e7]]))
    >>> sorted(zip(t.buyer.tolist(), t.seller.tolist(), t.quantity_wh.tolist()))
    [(0, 2, 40), (0, 3, 60), (1, 2, 40), (1, 3, 60)]
    >>> t.buyer_price.tolist()
    [300000, 300000, 300000, 300000]
    """
    bought, sold = _net_upstream(bought_wh, sold_wh)
    period, buyer, seller, quantity = _pair(bought, sold)
    return PoolTrades(
        period=period + first,
        buyer=buyer,
        seller=seller,
        quantity_wh=quantity,
        buyer_price=_unit_price(paid, bought_wh)[period, buyer],
        seller_price=_unit_price(received, sold_wh)[period, seller],
    )


def _net_upstream(bought_wh: Ints, sold_wh: Ints) -> tuple[Ints, Ints]:
    """Take out what the upstream grid would trade with itself (only where retail equals feed-in)."""
    bought, sold = bought_wh.copy(), sold_wh.copy()
    both = np.minimum(bought[:, -1], sold[:, -1])
    bought[:, -1] -= both
    sold[:, -1] -= both
    return bought, sold


def _unit_price(money: Floats, quantity_wh: Ints) -> Ints:
    price = np.divide(money, quantity_wh, out=np.zeros(money.shape), where=quantity_wh > 0)
    return np.rint(price).astype(np.int64)


@compiled
def _share(quantity: Ints, total: int) -> Ints:
    """Split ``total`` over entries pro rata to their quantities, largest remainder first.

    Lower index first.
    """
    share = np.zeros_like(quantity)
    whole = quantity.sum()
    if whole == 0 or total == 0:
        return share
    rest = np.zeros_like(quantity)
    for i in range(len(quantity)):
        share[i] = quantity[i] * total // whole
        rest[i] = quantity[i] * total - share[i] * whole
    missing = total - share.sum()
    order = np.argsort(-rest, kind="mergesort")
    for i in order[:missing]:
        share[i] += 1
    return share


@compiled
def share_rows(quantity: Ints, total: Ints) -> Ints:
    """Split each row's total over the row's entries pro rata, largest remainder first, whole numbers."""
    out = np.zeros_like(quantity)
    for row in range(len(quantity)):
        out[row] = _share(quantity[row], total[row])
    return out


@compiled
def _pair(bought: Ints, sold: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    periods, columns = bought.shape
    up = columns - 1
    room = periods * 4 * columns  # who buys and sells at once trades with upstream and on both sides
    period = np.empty(room, np.int64)
    buyer = np.empty(room, np.int64)
    seller = np.empty(room, np.int64)
    quantity = np.empty(room, np.int64)
    n = 0
    for t in range(periods):
        buy_up = _share(bought[t, :up], sold[t, up])
        sell_up = _share(sold[t, :up], bought[t, up])
        for k in range(up):
            if buy_up[k] > 0:
                period[n], buyer[n], seller[n], quantity[n] = t, k, up, buy_up[k]
                n += 1
            if sell_up[k] > 0:
                period[n], buyer[n], seller[n], quantity[n] = t, up, k, sell_up[k]
                n += 1
        buy = bought[t, :up] - buy_up
        sell = sold[t, :up] - sell_up
        b = s = 0
        while b < up and s < up:
            wh = min(buy[b], sell[s])
            if wh > 0:
                period[n], buyer[n], seller[n], quantity[n] = t, b, s, wh
                n += 1
                buy[b] -= wh
                sell[s] -= wh
            if buy[b] == 0:
                b += 1
            elif sell[s] == 0:
                s += 1
    return period[:n].copy(), buyer[:n].copy(), seller[:n].copy(), quantity[:n].copy()
