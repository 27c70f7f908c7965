"""Exact Shapley values of merit-order markets with whole quantities, for hundreds of players.

Owen's multilinear extension: the Shapley value of i is the integral over t in [0, 1] of the expected marginal
contribution of i when every other player is present with probability t.  The expectation needs only the
distribution of a sum of whole quantities (dynamic programming), and in t it is a polynomial of a degree below
the number of players, which Gauss-Legendre nodes integrate exactly.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market.payments.game import Part, intervals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT_EFFORT = 3e8
"""Table entries up to which exactness is paid for: nodes x players x units (x price intervals)."""

MOST_EFFORT = 3e9
"""Beyond this even few nodes take too long."""

FEW_NODES = 44
ROUNDED_UNITS = 3000
"""Units of what can be traded, where quantities are rounded to them."""

DECIMALS = 6
WHOLE = 1e-9
KEEP = 32
"""Backward tables are rebuilt in stretches of this many players."""


def quadrature_shapley(part: Part, *, nodes: int | None) -> tuple[Floats, Floats, bool] | None:
    """Shapley values, their error and whether they are exact; None if not whole, or too many."""
    units = whole_quantities(part.bids.quantity)
    if units is None:
        return None
    quantity, unit = units
    if _is_chain(part):
        return _chain(part, quantity, unit, nodes=nodes)
    return _by_intervals(part, quantity, unit, nodes=nodes)


def rounded_shapley(part: Part, *, nodes: int | None) -> tuple[Floats, Floats] | None:
    """Shapley values and their error from quantities rounded to units; None unless sellers form a chain.

    The running sums of the merit order are rounded, so that supply and demand stay where they are to half a
    unit.  What a seller gets is then taken as proportional to its own quantity.  The stated error is twice
    the largest change against units half as large again, besides that of the nodes.
    """
    if not _is_chain(part):
        return None
    price, quantity, sells = part.bids.price, part.bids.quantity, ~part.bids.is_buy
    wanted = quantity[~sells & (price > price[sells].min())].sum()
    offered = quantity[sells & (price < price[~sells].max())].sum()
    unit = float(min(wanted, offered)) / ROUNDED_UNITS
    fine, coarse = (_rounded(part, unit * size, nodes=nodes) for size in (1.0, 1.5))
    if fine is None or coarse is None:
        return None
    values, error = fine
    change = np.abs(values - coarse[0])
    sold = np.isin(np.arange(len(values)), part.owner[sells])
    change[sold] = change[sold].max(initial=0)
    return values, 2 * change + error


def _rounded(part: Part, unit: float, *, nodes: int | None) -> tuple[Floats, Floats] | None:
    """Shapley values with quantities rounded to a unit, in proportion to the true ones."""
    bids = part.bids
    quantity = np.zeros(len(bids), dtype=np.int64)
    for rows, rank in ((bids.is_buy, -bids.price), (~bids.is_buy, bids.price)):
        order = np.flatnonzero(rows)
        order = order[np.lexsort((part.owner[order], rank[order]))]
        ends = np.rint(np.cumsum(bids.quantity[order].astype(np.float64)) / unit)
        quantity[order] = np.diff(ends, prepend=0.0)
    found = _chain(part, quantity, unit, nodes=nodes)
    if found is None:
        return None
    values, error, _ = found
    # the loop ended with the sells in merit order: who has no unit of its own earns as its neighbour does
    seen = np.flatnonzero(quantity[order] > 0)
    near = seen[np.clip(np.searchsorted(seen, np.arange(len(order))), 0, len(seen) - 1)]
    rate = values[part.owner[order[near]]] / (quantity[order[near]] * unit)
    values[part.owner[order]] = rate * bids.quantity[order]
    buyer = part.owner[np.flatnonzero(bids.is_buy)[0]]
    values[buyer] = 0.0
    values[buyer] = part.welfare - values.sum()
    return values, error


def _is_chain(part: Part) -> bool:
    """Tell whether there is one buyer, who sells nothing, and each seller has one bid."""
    buys = part.bids.is_buy
    sellers, buyer = part.owner[~buys], np.unique(part.owner[buys])
    return len(buyer) == 1 and buyer[0] not in sellers and len(np.unique(sellers)) == len(sellers)


def whole_quantities(quantity: NDArray[Any]) -> tuple[Ints, float] | None:
    """Quantities as multiples of the largest unit that divides them all; None if it has over 6 decimals."""
    whole = quantity.astype(np.int64)
    scale = 1.0
    if quantity.dtype.kind == "f":
        for decimals in range(DECIMALS + 1):
            scale = 10.0**decimals
            if quantity.max(initial=0) * scale > 2**53:
                return None
            whole = np.rint(quantity * scale).astype(np.int64)
            if (np.abs(quantity * scale - whole) <= WHOLE * np.maximum(whole, 1)).all():
                break
        else:
            return None
    divisor = max(int(np.gcd.reduce(whole)) if len(whole) else 1, 1)
    return whole // divisor, divisor / scale


def _nodes(degree: int, effort: float, nodes: int | None) -> tuple[int, bool] | None:
    """How many nodes to take, and whether they are exact for a polynomial of this degree."""
    exact = (degree + 3) // 2
    if nodes is not None:
        return min(nodes, exact), nodes >= exact
    if exact * effort <= EXACT_EFFORT:
        return exact, True
    return (min(FEW_NODES, exact), exact <= FEW_NODES) if FEW_NODES * effort <= MOST_EFFORT else None


def _integrated(integrand: Any, count: int, exact: bool) -> tuple[Floats, Floats]:
    """Integrate over [0, 1]; the error is the change against 3/4 of the nodes, 0 where exact."""
    found = _integral(integrand, count)
    return found, np.zeros_like(found) if exact else found - _integral(integrand, max(1, count * 3 // 4))


def _integral(integrand: Any, count: int) -> Floats:
    place, weight = np.polynomial.legendre.leggauss(count)
    total: Floats = np.sum(
        [w / 2 * integrand((x + 1) / 2) for x, w in zip(place.tolist(), weight.tolist(), strict=True)], axis=0
    )
    return total


def _chain(
    part: Part, quantity: Ints, unit: float, *, nodes: int | None
) -> tuple[Floats, Floats, bool] | None:
    """One buyer, one bid per seller: sellers in merit order fill the buyer's units one after the other."""
    from gridagora.market.payments import _game_kernels

    price = part.bids.price.astype(np.float64)
    buys, sells = np.flatnonzero(part.bids.is_buy), np.flatnonzero(~part.bids.is_buy)
    sells = sells[quantity[sells] > 0]
    buys = buys[np.argsort(-price[buys], kind="stable")]
    sells = sells[np.lexsort((part.owner[sells], price[sells]))]
    sells = sells[price[sells] < price[buys].max()]
    ends = np.concatenate([[0], np.cumsum(quantity[buys])])
    # units worth more than the cost of each seller; the dearer ones are served by nobody
    worth = ends[np.searchsorted(-price[buys], -price[sells], side="left")]
    cap = int(min(worth.max(initial=0), quantity[sells].sum()))
    chosen = _nodes(len(sells), float(len(sells)) * cap, nodes)
    if chosen is None:
        return None
    utility = unit * np.interp(
        np.arange(cap + 1), ends, np.concatenate([[0.0], np.cumsum(price[buys] * quantity[buys])])
    )
    gains = (utility, price[sells] * unit, np.minimum(worth, cap))

    def integrand(t: float) -> Floats:
        chance = np.full(len(sells), t)
        return t * _game_kernels.expected_marginals(chance, quantity[sells], np.zeros(cap + 1), gains, KEEP)

    sold, error = _integrated(integrand, *chosen)
    out, off = np.zeros(len(part.players)), np.zeros(len(part.players))
    buyer = part.owner[buys[0]]
    out[part.owner[sells]], off[part.owner[sells]] = sold, np.abs(error).max(initial=0)
    # the buyer gets the rest of v, and with it the sum of all errors
    out[buyer], off[buyer] = part.welfare - sold.sum(), abs(error.sum())
    return out, off, chosen[1]


def _by_intervals(
    part: Part, quantity: Ints, unit: float, *, nodes: int | None
) -> tuple[Floats, Floats, bool] | None:
    """Any two sides: per price interval min(D, S) = (D + S - |S - D|) / 2, S - D sums over players."""
    shape = intervals(part, quantity.astype(np.float64))
    net = np.rint(shape.offered - shape.bought).astype(np.int64)
    spans = np.abs(net).sum(axis=1)
    effort = float((np.count_nonzero(net, axis=1) * spans).sum())
    chosen = _nodes(len(part.players) - 1, effort, nodes)
    if chosen is None:
        return None
    out = (shape.width @ (shape.offered + shape.bought)) / 2

    def integrand(t: float) -> Floats:
        total = np.zeros(len(part.players))
        for k in range(len(net)):
            total += shape.width[k] * _distance_marginals(t, net[k], int(spans[k]))
        return total

    distance, error = _integrated(integrand, *chosen)
    return unit * (out - distance / 2), np.full_like(out, unit * np.abs(error).max() / 2), chosen[1]


def _distance_marginals(t: float, net: Ints, span: int) -> Floats:
    """Return each player's expected effect on the size of the net sum when others come with probability t."""
    from gridagora.market.payments import _game_kernels

    players = np.flatnonzero(net)
    mine = net[players]
    # the sum starts where all buyers are present: one who stays away adds its demand
    offset = int(mine[mine < 0].sum())
    chance = np.where(mine > 0, t, 1 - t)
    nothing = (np.zeros(0), np.zeros(0), np.zeros(len(mine), dtype=np.int64))
    terminal = np.abs(np.arange(span + 1) + offset).astype(np.float64)
    effect = _game_kernels.expected_marginals(chance, np.abs(mine), terminal, nothing, KEEP)
    out = np.zeros(len(net))
    out[players] = np.where(mine > 0, effect, -effect)
    return out
