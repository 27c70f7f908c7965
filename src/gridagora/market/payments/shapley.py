"""Shapley payments: everyone gets its average marginal contribution over all orders of entry (F13)."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, InputError
from gridagora.market.payments.game import Market, Part, intervals, parts, value_table
from gridagora.market.payments.saturation import quadrature_shapley, rounded_shapley

Floats = NDArray[np.float64]

ENUMERATED = {"merit": 24, "ordered": 24, "mixed": 12}
"""Players up to which every coalition is valued, by how a coalition is cleared."""

CONFIDENCE = 0.99
"""Chance that the intervals of all players hold at once (normal approximation, Bonferroni)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapleyOptions:
    """How Shapley values are computed where there are choices.

    Parameters
    ----------
    nodes : Gauss-Legendre nodes where quantities are whole; None: enough to be exact unless that is too long
    samples : orders of entry drawn where sampling is needed, each used forwards and backwards
    seed : of the sampling
    sampling : True samples whatever else is possible
    """

    nodes: int | None = None
    samples: int = 1000
    seed: int = 0
    sampling: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapleyValues:
    """Shapley value per player, how far it may be off, and the methods used.

    ``error`` is 0 up to rounding where the method is exact; with fewer nodes the largest change against three
    quarters of them; with rounded quantities twice the change against coarser units; with sampling the half
    width of the confidence interval.
    """

    values: Floats
    error: Floats
    methods: tuple[str, ...]


def shapley_value(value: Callable[[frozenset[int]], float] | ArrayLike, players: int) -> Floats:
    """Shapley value of any game of up to 24 players, by valuing every coalition.

    Parameters
    ----------
    value : from a set of players (numbered from 0) to the coalition's value; or the values of all coalitions,
        where bit i of the position stands for player i; v of nobody must be 0
    players : how many there are

    Returns
    -------
    array
        One value per player; they sum to the value of all.

    Raises
    ------
    InputError
        More than 24 players, a table of another length than 2 ** players, or an empty coalition worth
        something.

    Notes
    -----
    MARKETS.md F13.  2 ** players values, folded in halves: O(2 ** players) after they are known.

    Examples
    --------
    Two left gloves, one right glove:

    >>> shapley_value(lambda m: float(2 in m and len(m) > 1), 3).round(4).tolist()
    [0.1667, 0.1667, 0.6667]
    """
    from gridagora.market.payments import _game_kernels

    if not 0 <= players <= ENUMERATED["merit"]:
        raise _refused("players", players, ("more than can be enumerated", "use at most 24 players"))
    count = 1 << players
    if callable(value):
        table = np.array([value(_members(mask, players)) for mask in range(count)], dtype=np.float64)
    else:
        table = np.asarray(value, dtype=np.float64)
    if table.shape != (count,):
        raise _refused("value", table.shape, ("not one value per coalition", f"give {count} values"))
    if table[0] != 0:
        raise _refused("value", table[0], ("the empty coalition is worth something", "give it the value 0"))
    return _game_kernels.table_shapley(table, players)


def _members(mask: int, players: int) -> frozenset[int]:
    return frozenset(i for i in range(players) if mask >> i & 1)


def shapley(market: Market, options: ShapleyOptions) -> ShapleyValues:
    """Add up the Shapley values of every part of the market; v is additive over them."""
    total, error = np.zeros(len(market.names)), np.zeros(len(market.names))
    methods = set()
    for part in parts(market):
        if not (part.accepted > 0).any():
            continue  # no trade at the optimum: no coalition is worth anything
        # drawn by its first period, so that no other period changes what a period is paid
        number = int(part.bids.period.min()) & 0xFFFFFFFF
        values, off, method = part_shapley(part, options, number=number)
        total[part.players] += values
        # errors of samples are independent between parts, those of quadrature add up
        error[part.players] = (
            np.hypot(error[part.players], off) if method == "sampling" else error[part.players] + off
        )
        methods.add(method)
    return ShapleyValues(values=total, error=error, methods=tuple(sorted(methods)))


def part_shapley(part: Part, options: ShapleyOptions, *, number: int) -> tuple[Floats, Floats, str]:
    """Shapley values of one part by the cheapest exact method, else by sampling: values, error, method."""
    count = len(part.players)
    exact = np.zeros(count)
    if options.sampling:
        return _sampled(part, options, number)
    if part.kind == "merit":
        simple = _one_buyer(part)
        if simple is not None:
            return simple, exact, "enumeration"
        found = quadrature_shapley(part, nodes=options.nodes)
        if found is not None:
            values, error, is_exact = found
            return values, error, "quadrature" if is_exact else "quadrature, fewer nodes"
    if count <= ENUMERATED[part.kind]:
        return shapley_value(value_table(part), count), exact, "enumeration"
    if part.kind == "merit" and (rounded := rounded_shapley(part, nodes=options.nodes)) is not None:
        return *rounded, "quadrature, rounded quantities"
    return _sampled(part, options, number)


def _one_buyer(part: Part) -> Floats | None:
    """Enumerate a market of one buyer and up to 20 sellers with one bid each; None for others."""
    from gridagora.market.payments import _game_kernels

    bids = part.bids
    buys = np.flatnonzero(bids.is_buy)
    sells = np.flatnonzero(~bids.is_buy)
    owners = part.owner[sells]
    buyer = np.unique(part.owner[buys])
    if len(buyer) != 1 or len(sells) > 20 or len(np.unique(owners)) < len(sells) or buyer[0] in owners:
        return None
    sells = sells[np.lexsort((owners, bids.price[sells]))]
    buys = buys[np.argsort(-bids.price[buys], kind="stable")]
    ends = np.cumsum(bids.quantity[buys].astype(np.float64))
    price, quantity = bids.price.astype(np.float64), bids.quantity.astype(np.float64)
    sold, everyone = _game_kernels.one_buyer_shapley(price[buys], ends, price[sells], quantity[sells])
    out = np.zeros(len(part.players))
    out[part.owner[sells]] = sold
    out[buyer[0]] = everyone - sold.sum()
    return out


def _sampled(part: Part, options: ShapleyOptions, number: int) -> tuple[Floats, Floats, str]:
    """Average marginal contributions over drawn orders of entry, each also backwards (antithetic)."""
    from gridagora.market.payments import _game_kernels

    count = len(part.players)
    rng = np.random.default_rng([options.seed, number])
    orders = np.argsort(rng.random((options.samples, count)), axis=1)
    if part.kind == "merit":
        shape = intervals(part)
        drawn = _game_kernels.sampled_marginals(shape.width, shape.bought, shape.offered, orders)
    else:
        drawn = _marginals(part, orders)
    # Bonferroni over the players, so that all intervals hold at once
    bound = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * max(count, 1)))
    runs = max(len(drawn), 1)
    spread = drawn.std(axis=0, ddof=1) if len(drawn) > 1 else np.full(count, np.inf)
    reach = _largest_marginals(part)
    # as if one more order had shown the largest marginal: rare ones may not have been drawn at all
    half = bound * np.hypot(spread / np.sqrt(runs), reach / runs)
    unseen = reach * min(1.0, np.log(2 * max(count, 1) / (1 - CONFIDENCE)) / runs)
    return drawn.mean(axis=0), np.where(spread > 0, half, np.maximum(half, unseen)), "sampling"


def _largest_marginals(part: Part) -> Floats:
    """Return a bound on what each player adds to any coalition: its own bids at the best counter-prices."""
    bids, welfare = part.bids, np.full(len(part.players), part.welfare)
    if part.kind == "mixed":
        return welfare
    buys = bids.is_buy
    dearest, cheapest = bids.price[buys].max(initial=-np.inf), bids.price[~buys].min(initial=np.inf)
    gain = np.where(buys, bids.price - cheapest, dearest - bids.price)
    own = np.bincount(part.owner, weights=np.maximum(gain, 0) * bids.quantity, minlength=len(welfare))
    return np.asarray(np.minimum(own, welfare), dtype=np.float64)


def _marginals(part: Part, orders: NDArray[np.int64]) -> Floats:
    """Marginal contributions where each coalition is cleared; values are kept by coalition."""
    known: dict[bytes, float] = {}
    out = np.zeros(orders.shape)
    for row, order in enumerate(orders):
        for run in (order, order[::-1]):
            member = np.zeros(len(part.players), dtype=np.bool_)
            before = 0.0
            for player in run.tolist():
                member[player] = True
                after = _known(part, member, known)
                out[row, player] += (after - before) / 2
                before = after
    return out


def _known(part: Part, member: NDArray[np.bool_], known: dict[bytes, float]) -> float:
    key = member.tobytes()
    if key not in known:
        known[key] = part.value(member)
    return known[key]


def _refused(place: str, value: Any, text: tuple[str, str]) -> InputError:
    return InputError([Fault(source="shapley_value", place=place, value=value, reason=text[0], fix=text[1])])
