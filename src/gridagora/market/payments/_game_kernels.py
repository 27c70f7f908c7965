"""Compiled: coalition values of merit-order markets, and Shapley values by enumeration and by sampling.

In the merit order v(M) is the integral over the price p of min(D(p), S(p)), demand above and supply below p
of
the coalition's bids.  Between two neighbouring prices both are constant, so a market is a list of intervals:
``width`` and per player ``bought`` and ``offered``.
"""

import numpy as np
from numpy.typing import NDArray

from gridagora.model._jit import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK_BITS = 10
"""The lowest players form blocks of 2**10 coalitions that stay in the fastest memory."""


@compiled
def subset_sums(values: Floats) -> Floats:
    """Sum of every subset; bit i of the position stands for entry i."""
    out = np.zeros(1 << len(values))
    for i in range(len(values)):
        size = 1 << i
        for k in range(size):
            out[size + k] = out[k] + values[i]
    return out


@compiled
def interval_table(width: Floats, bought: Floats, offered: Floats) -> Floats:
    """Value of every coalition of a merit-order market; arrays are (intervals,) and (intervals, players)."""
    count, players = bought.shape
    low = min(BLOCK_BITS, players)
    inner = 1 << low
    outer = 1 << (players - low)
    out = np.zeros(inner * outer)
    for k in range(count):
        demand, supply = subset_sums(bought[k, :low]), subset_sums(offered[k, :low])
        more_demand, more_supply = subset_sums(bought[k, low:]), subset_sums(offered[k, low:])
        for high in range(outer):
            part = out[high * inner : (high + 1) * inner]
            plus_demand, plus_supply = more_demand[high], more_supply[high]
            for i in range(inner):
                part[i] += width[k] * min(demand[i] + plus_demand, supply[i] + plus_supply)
    return out


@compiled
def interval_value(width: Floats, demand: Floats, supply: Floats) -> float:
    """Value of one coalition from its demand and supply per interval."""
    total = 0.0
    for k in range(len(width)):
        total += width[k] * min(demand[k], supply[k])
    return total


@compiled
def size_weights(players: int) -> tuple[Floats, Floats]:
    """Weight of v(M) in the Shapley value of a member, and of a stranger, by the size of M (F13)."""
    inside = np.zeros(players + 1)
    outside = np.zeros(players + 1)
    binomial = 1.0
    for size in range(1, players + 1):
        # (size - 1)! (n - size)! / n! = 1 / (n * binomial(n - 1, size - 1))
        inside[size] = 1.0 / (players * binomial)
        outside[size - 1] = inside[size]
        binomial = binomial * (players - size) / size
    return inside, outside


@compiled
def table_shapley(values: Floats, players: int) -> Floats:
    """Shapley value from the value of every coalition, by folding the table in halves."""
    inside, outside = size_weights(players)
    size = np.zeros(1, np.int64)
    folded = np.empty(len(values))
    stranger = 0.0
    sizes = np.zeros(len(values), np.int8)
    for i in range(players):
        step = 1 << i
        for k in range(step):
            sizes[step + k] = sizes[k] + 1
    for mask in range(len(values)):
        size = sizes[mask]
        folded[mask] = (inside[size] + outside[size]) * values[mask]
        stranger += outside[size] * values[mask]
    out = np.zeros(players)
    _fold(folded, players, out)
    return out - stranger


@compiled
def _fold(values: Floats, bits: int, out: Floats) -> None:
    """Add to ``out`` the sum over the coalitions with each player; ``values[0]`` becomes the sum of all."""
    for i in range(bits - 1, -1, -1):
        half = 1 << i
        total = 0.0
        for k in range(half):
            total += values[half + k]
            values[k] += values[half + k]
        out[i] += total


@compiled
def _gain_upto(quantity: float, value: Floats, ends: Floats, cost: float) -> float:
    """Gain of a seller of this cost from serving the buyer's first ``quantity``."""
    total = 0.0
    begin = 0.0
    for k in range(len(value)):
        total += max(value[k] - cost, 0.0) * max(min(quantity, ends[k]) - begin, 0.0)
        begin = ends[k]
    return total


@compiled
def _weights_by_block(sizes: Ints, cheap: int, inner: int, players: int) -> tuple[Floats, Floats]:
    """Weights of coalitions by their number of cheap sellers and the rest of their members."""
    inside, outside = size_weights(players)
    both = np.empty((cheap + 1, inner))
    strange = np.empty((cheap + 1, inner))
    for size in range(cheap + 1):
        for mask in range(inner):
            at = size + sizes[mask] + 1
            both[size, mask] = inside[at] + outside[at]
            strange[size, mask] = outside[at]
    return both, strange


@compiled
def _cheap_half(value: Floats, ends: Floats, cost: Floats, offered: Floats) -> tuple[Floats, Floats]:
    """Quantity and value of every coalition of the cheap sellers."""
    cheap = len(cost)
    start = np.zeros(1 << cheap)
    base = np.zeros(1 << cheap)
    for i in range(cheap):
        half = 1 << i
        for k in range(half):
            start[half + k] = start[k] + offered[i]
            gain = _gain_upto(start[k] + offered[i], value, ends, cost[i])
            base[half + k] = base[k] + gain - _gain_upto(start[k], value, ends, cost[i])
    return start, base


@compiled
def one_buyer_shapley(value: Floats, ends: Floats, cost: Floats, offered: Floats) -> tuple[Floats, float]:
    """Exact Shapley values of the sellers of one buyer with a descending curve, one bid each, ascending cost.

    A seller's gain depends on the quantity of the cheaper sellers alone, so a coalition's value grows seller
    by seller.  The dear half runs in blocks that stay in the fastest memory.  Also returns v(N).
    """
    sellers = len(cost)
    low = min(BLOCK_BITS, sellers)
    cheap = sellers - low
    inner = 1 << low
    sizes = np.zeros(max(inner, 1 << cheap), np.int64)
    for mask in range(1, len(sizes)):
        sizes[mask] = sizes[mask >> 1] + (mask & 1)
    # the buyer is in every coalition of value, so a coalition of s sellers has size s + 1
    both, strange = _weights_by_block(sizes, cheap, inner, sellers + 1)
    position = np.zeros(inner)
    worth = np.zeros(inner)
    dear = np.zeros(low)
    blocks = np.zeros(1 << cheap)
    stranger = 0.0
    start, base = _cheap_half(value, ends, cost[:cheap], offered[:cheap])
    for mask in range(1 << cheap):
        position[0] = start[mask]
        worth[0] = base[mask]
        for i in range(low):
            _grow(position, worth, 1 << i, offered[cheap + i], value, ends, cost[cheap + i])
        size = sizes[mask]
        mine = both[size]
        other = strange[size]
        for k in range(inner):
            stranger += other[k] * worth[k]
            position[k] = mine[k] * worth[k]
        _fold(position, low, dear)
        blocks[mask] = position[0]
    everyone = worth[inner - 1]
    out = np.zeros(sellers)
    _fold(blocks, cheap, out)
    out[cheap:] = dear
    out -= stranger
    return out, everyone


@compiled
def _grow(
    position: Floats, worth: Floats, half: int, quantity: float, value: Floats, ends: Floats, cost: float
) -> None:
    """Add one seller to the first ``half`` coalitions: where it starts, and what it is worth there."""
    for k in range(half):
        position[half + k] = position[k] + quantity
        worth[half + k] = worth[k]
    begin = 0.0
    for step in range(len(value)):
        margin = value[step] - cost
        end = ends[step]
        if margin > 0.0:
            for k in range(half):
                served = min(position[half + k], end) - min(max(position[k], begin), end)
                worth[half + k] += margin * max(served, 0.0)
        begin = end


@compiled
def sampled_marginals(width: Floats, bought: Floats, offered: Floats, orders: Ints) -> Floats:
    """Marginal contributions of every player in given orders, each also backwards; (orders, players)."""
    count, players = bought.shape
    out = np.zeros((len(orders), players))
    demand, supply = np.empty(count), np.empty(count)
    for number in range(len(orders)):
        for backwards in range(2):
            demand[:] = 0.0
            supply[:] = 0.0
            before = 0.0
            for place in range(players):
                i = orders[number, players - 1 - place if backwards else place]
                for k in range(count):
                    demand[k] += bought[k, i]
                    supply[k] += offered[k, i]
                after = interval_value(width, demand, supply)
                out[number, i] += 0.5 * (after - before)
                before = after
    return out


@compiled
def expected_marginals(
    chance: Floats, quantity: Ints, terminal: Floats, gains: tuple[Floats, Floats, Ints], keep: int
) -> Floats:
    """Return the expected effect of each player on a value that depends on the running sum of those present.

    Player i is present with ``chance[i]``, then adds ``quantity[i]`` whole units to the sum, which stops at
    the
    last entry of ``terminal`` (the value at the end by the sum).  ``gains`` adds what is earned on the way:
    the buyer's utility by unit, each seller's cost of a unit, and the last unit worth it (0: earns nothing).
    Backward values are kept every ``keep`` players and rebuilt in between, so memory stays small.
    """
    players, cap = len(quantity), len(terminal) - 1
    marks = (players + keep - 1) // keep
    kept = np.empty((marks + 1, cap + 1))
    row, spare = terminal.copy(), terminal.copy()
    gain = np.zeros(cap + 1)
    for i in range(players - 1, -1, -1):
        if (i + 1) % keep == 0 or i == players - 1:
            kept[i // keep + 1] = row
        _earn(gain, gains, quantity[i], i)
        _effects(spare, row, gain, quantity[i])
        for at in range(cap + 1):
            row[at] += chance[i] * spare[at]
    ahead = np.empty((keep, cap + 1))
    mass = np.zeros(cap + 1)
    mass[0] = 1.0
    out = np.zeros(players)
    last = 0
    for mark in range(marks):
        first = mark * keep
        stop = min(first + keep, players)
        row[:] = kept[mark + 1]
        # what a player's coming changes, by the sum before it: rebuilt backwards, used forwards
        for i in range(stop - 1, first - 1, -1):
            _earn(gain, gains, quantity[i], i)
            effect = ahead[i - first]
            _effects(effect, row, gain, quantity[i])
            for at in range(cap + 1):
                row[at] += chance[i] * effect[at]
        for i in range(first, stop):
            effect = ahead[i - first]
            total = 0.0
            for at in range(last + 1):
                total += mass[at] * effect[at]
            out[i] = total
            last = _spread(mass, last, chance[i], quantity[i])
    return out


@compiled
def _earn(gain: Floats, gains: tuple[Floats, Floats, Ints], quantity: int, i: int) -> None:
    """Write what seller i earns on its way, by the sum before it: utility of its units minus their cost."""
    utility, cost, worth = gains
    top = worth[i]
    if len(utility) < len(gain):
        return
    whole = max(min(top - quantity, len(gain) - 1), 0)
    spent = cost[i] * quantity
    for at in range(whole):
        gain[at] = utility[at + quantity] - utility[at] - spent
    for at in range(whole, top):
        gain[at] = utility[top] - utility[at] - cost[i] * (top - at)
    gain[top:] = 0.0


@compiled
def _effects(out: Floats, row: Floats, gain: Floats, quantity: int) -> None:
    """How much the value changes when a player adds its quantity, by the sum before it."""
    cap = len(row) - 1
    inner = max(cap - quantity, 0)
    for at in range(inner):
        out[at] = row[at + quantity] - row[at] + gain[at]
    top = row[cap]
    for at in range(inner, cap + 1):
        out[at] = top - row[at] + gain[at]


@compiled
def _spread(mass: Floats, last: int, chance: float, quantity: int) -> int:
    """Let one player come or not; returns the last sum that can be reached."""
    cap = len(mass) - 1
    if quantity == 0:
        return last
    reach = min(last + quantity, cap)
    over = 0.0
    for at in range(max(cap - quantity, 0), min(last, cap) + 1):
        over += mass[at]
    top = mass[cap]
    for at in range(reach, quantity - 1, -1):
        stays = mass[at] * (1.0 - chance)
        mass[at] = stays + chance * mass[at - quantity]
    for at in range(min(quantity, cap + 1)):
        mass[at] *= 1.0 - chance
    if reach == cap:
        mass[cap] = top * (1.0 - chance) + chance * over
    return reach
