"""Whole numbers in proportion: each part is rounded once, half to even, and what is left over is told."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]

SQUARE_FITS = 3_000_000_000
"""Up to here the square of a number fits into 63 bits."""


def share_of(amount: ArrayLike, part: ArrayLike, whole: ArrayLike) -> Ints:
    """Return ``amount x part / whole`` in integers, rounded once, half to even; the amount where whole is 0.

    Parameters
    ----------
    amount : whole micro-units, any sign
    part, whole : 0 <= part <= whole, whole numbers of one unit

    Examples
    --------
    >>> share_of([14, 15, 9, -7], [1, 1, 0, 1], [2, 2, 0, 3]).tolist()
    [7, 8, 9, -2]
    """
    wholes = np.asarray(whole, dtype=np.int64)
    kind = object if np.max(wholes, initial=0) > SQUARE_FITS else np.int64
    sums, parts = np.asarray(amount, dtype=kind), np.asarray(part, dtype=kind)
    divisor = np.maximum(wholes, 1).astype(kind)
    quotient = sums // divisor
    product = (sums - quotient * divisor) * parts
    rest = product // divisor
    left = product - rest * divisor
    total = quotient * parts + rest
    up = (left * 2 > divisor) | ((left * 2 == divisor) & (total % 2 == 1))
    return np.where(wholes > 0, np.asarray(total + up, dtype=np.int64), np.asarray(amount, dtype=np.int64))


def split(total: Ints, weights: Ints) -> tuple[Ints, Ints]:
    """Split each period's total over parties pro rata to their weights, and tell what rounding leaves over.

    Parameters
    ----------
    total : micro-units per period, shape (periods,)
    weights : >= 0, shape (parties, periods); a period without any weight is split evenly

    Returns
    -------
    parts : shape (parties, periods)
    residue : total - sum of the parts, shape (periods,); at most half a micro-unit per party

    Examples
    --------
    >>> parts, residue = split(np.array([100, 100]), np.array([[1, 0], [1, 0], [1, 0]]))
    >>> parts.tolist(), residue.tolist()
    ([[33, 33], [33, 33], [33, 33]], [1, 1])
    """
    used = np.where(weights.sum(axis=0) > 0, weights, 1)
    parts = share_of(total[None, :], used, used.sum(axis=0)[None, :])
    return parts, np.asarray(total - parts.sum(axis=0), dtype=np.int64)
