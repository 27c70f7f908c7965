"""From a cost curve to the steps of an offer: divisible where the curve is convex, blocks where it is not.

The steps are the edges of the curve's lower convex envelope.  An edge on which all points of the curve lie
is divisible.  An edge below a point of the curve (by more than `MONEY`) covers a section that is not convex:
sold in part it would be paid less than it costs, so it is a block.  Behind the first block all steps are
blocks as well, and a block whose sale without those before it could be underpaid is joined with its
forerunner, until every choice of blocks and of parts of the divisible steps pays at least its cost.
"""

from itertools import pairwise, product

import numpy as np

from gridagora.agents.fleet import Bools, Floats

MONEY = 1e-7
"""Currency by which a point may lie off an edge: the solver's noise."""
SAME_PRICE = 1e-7
"""Currency per kW by which the prices of joined steps may differ."""
TINY_KW = 1e-9

Part = tuple[float, float, bool]
"""kW, currency per kW, whether it is a block."""


def curve_steps(cut_kw: Floats, cost: Floats) -> list[Part]:
    """Return the steps (kW, currency per kW, block) of a cost curve, ascending in price.

    ``cut_kw`` ascends from 0, ``cost`` starts at 0 and does not fall; two points at the same cut are a jump,
    which a larger cut follows.
    Between its points the curve is taken as linear, which for a convex one is never below the truth.

    Examples
    --------
    >>> curve_steps(np.array([0.0, 4.0, 5.0, 6.0]), np.array([0.0, 0.0, 1.0, 3.0]))
    [(4.0, 0.0, False), (1.0, 1.0, False), (1.0, 2.0, False)]
    >>> curve_steps(np.array([0.0, 4.0, 4.0, 6.0]), np.array([0.0, 0.0, 1.0, 3.0]))
    [(4.0, 0.0, False), (2.0, 1.5, True)]
    """
    corners = _envelope(cut_kw, cost)
    parts: list[Part] = []
    for left, right in pairwise(corners):
        width = float(cut_kw[right] - cut_kw[left])
        price = float(cost[right] - cost[left]) / width
        between = slice(left + 1, right)
        chord = cost[left] + price * (cut_kw[between] - cut_kw[left])
        block = bool(np.any(cost[between] > chord + MONEY))
        price = 0.0 if price <= SAME_PRICE else price
        if parts and not block and not parts[-1][2] and price - parts[-1][1] <= SAME_PRICE:
            parts[-1] = _joined(parts[-1], (width, price, block))
        else:
            parts.append((width, price, block))
    return _covered(parts, cut_kw, cost)


def _envelope(cut_kw: Floats, cost: Floats) -> list[int]:
    """Return the indices of the corners of the lower convex envelope; of a jump only its foot counts."""
    corners: list[int] = []
    for k in range(len(cut_kw)):
        if corners and cut_kw[k] - cut_kw[corners[-1]] <= TINY_KW:
            continue
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            rise = (cost[b] - cost[a]) * (cut_kw[k] - cut_kw[a])
            if rise < (cost[k] - cost[a]) * (cut_kw[b] - cut_kw[a]):
                break
            corners.pop()
        corners.append(k)
    return corners


def _joined(first: Part, second: Part) -> Part:
    """Two steps as one at their mean price; a block if either is."""
    quantity = first[0] + second[0]
    price = (first[0] * first[1] + second[0] * second[1]) / quantity
    return quantity, price, first[2] or second[2]


def _covered(parts: list[Part], cut_kw: Floats, cost: Floats) -> list[Part]:
    """Make all steps from the first block on blocks, joined until no sale of some of them is underpaid."""
    first = next((k for k, part in enumerate(parts) if part[2]), len(parts))
    parts = parts[:first] + [(quantity, price, True) for quantity, price, _ in parts[first:]]
    while first < len(parts) and not _pays(parts, first, (cut_kw, cost)):
        parts[-2:] = [_joined(parts[-2], parts[-1])]
        first = min(first, len(parts) - 1)
    return parts


def _pays(parts: list[Part], first: int, curve: tuple[Floats, Floats]) -> bool:
    """Whether all choices of blocks from ``first`` on, with any part of those before, cover their cost."""
    cut_kw, cost = curve
    quantity = np.array([part[0] for part in parts])
    price = np.array([part[1] for part in parts])
    ends = np.concatenate([[0.0], np.cumsum(quantity[:first])])
    paid = np.concatenate([[0.0], np.cumsum((quantity * price)[:first])])
    chosen: Bools = np.array(list(product((False, True), repeat=len(parts) - first)), dtype=np.bool_)[1:]
    for blocks in chosen:
        size = float(quantity[first:][blocks].sum())
        money = float((quantity * price)[first:][blocks].sum())
        # both what is paid and what it costs are linear between these points
        below = np.concatenate([ends, np.clip(cut_kw - size, 0.0, ends[-1])])
        if np.any(_after(cut_kw, cost, below + size) > np.interp(below, ends, paid) + money + MONEY):
            return False
    return True


def _after(cut_kw: Floats, cost: Floats, wanted_kw: Floats) -> Floats:
    """Cost of cuts just above ``wanted_kw``, so behind a jump."""
    right = np.clip(np.searchsorted(cut_kw, wanted_kw + TINY_KW, side="right"), 1, len(cut_kw) - 1)
    width = np.maximum(cut_kw[right] - cut_kw[right - 1], TINY_KW)
    share = np.clip((wanted_kw - cut_kw[right - 1]) / width, 0.0, 1.0)
    return np.asarray(cost[right - 1] + share * (cost[right] - cost[right - 1]))
