"""Small markets on which mechanisms tend to fail: corner cases, and random ones from a seed."""

from collections.abc import Iterator

import numpy as np

from gridagora.model.bids import Bids

Row = tuple[str, float, float, str]

CORNERS: dict[str, list[Row]] = {
    "nobody": [],
    "only buyers": [("buy", 5, 2, "a"), ("buy", 3, 1, "b")],
    "only sellers": [("sell", 5, 2, "a")],
    "no overlap": [("buy", 1, 2, "a"), ("sell", 2, 2, "b")],
    "equal prices trade": [("buy", 2, 3, "a"), ("sell", 2, 3, "b")],
    "all demand above all supply": [("buy", 9, 3, "a"), ("buy", 8, 1, "b"), ("sell", 1, 4, "c")],
    "slices, not whole orders": [
        ("buy", 9, 3, "a"),
        ("buy", 8, 7, "b"),
        ("sell", 1, 4, "c"),
        ("sell", 2, 6, "d"),
    ],
    "two bids of one participant": [("buy", 5, 50, "a"), ("buy", 5, 50, "a"), ("sell", 1, 100, "b")],
    "buyer and seller in one": [
        ("buy", 5, 4, "a"),
        ("sell", 1, 6, "a"),
        ("buy", 4, 2, "b"),
        ("sell", 2, 3, "c"),
    ],
    "ties on the long side": [
        ("buy", 3, 5, "c"),
        ("buy", 3, 5, "a"),
        ("buy", 3, 5, "b"),
        ("sell", 1, 7, "d"),
    ],
    "ties on both sides": [("buy", 3, 2, "a"), ("buy", 3, 3, "b"), ("sell", 3, 1, "c"), ("sell", 3, 3, "d")],
    "nothing offered": [("buy", 3, 0, "a"), ("sell", 1, 0, "b")],
    "zero among others": [("buy", 3, 0, "a"), ("buy", 2, 4, "b"), ("sell", 1, 3, "c"), ("sell", 1, 0, "d")],
    "negative prices": [("buy", -1, 4, "a"), ("sell", -5, 2, "b"), ("sell", -1, 3, "c")],
    "worst pairing first": [
        ("buy", 30, 1, "a"),
        ("buy", 20, 1, "b"),
        ("sell", 10, 1, "c"),
        ("sell", 25, 1, "d"),
    ],
    "retailer": [
        ("sell", 30, 1000, "upstream"),
        ("buy", 8, 1000, "upstream"),
        ("buy", 30, 3, "a"),
        ("sell", 8, 2, "b"),
    ],
}
"""Markets by name; rows of side, price, quantity, participant."""


def sample_markets(*, seed: int, count: int) -> Iterator[Bids]:
    """Yield every corner case with floats and with integers, then random markets of one to three periods.

    >>> sum(1 for _ in sample_markets(seed=1, count=10)) == 2 * len(CORNERS) + 10
    True
    """
    for rows in CORNERS.values():
        side, price, quantity, participant = (
            (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
        )
        for kind in (float, int):
            yield Bids(
                side=np.asarray(side, dtype=np.str_),
                price=np.asarray(price, dtype=kind),
                quantity=np.asarray(quantity, dtype=kind),
                participant=np.asarray(participant, dtype=np.str_),
            )
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield _random_market(rng, whole=number % 2 == 0)


def _random_market(rng: np.random.Generator, *, whole: bool) -> Bids:
    """Few price levels, so that ties are common; floats with long fractions, so that sums round."""
    size = int(rng.integers(1, 25))
    levels = int(rng.integers(1, 12))
    price = rng.integers(-2, levels, size)
    quantity = rng.integers(0, 10, size)
    return Bids(
        side=rng.choice([1, -1], size),
        price=price if whole else price * 0.1,
        quantity=quantity if whole else quantity * rng.random(size),
        participant=rng.integers(0, size, size),
        period=rng.integers(0, int(rng.integers(1, 4)), size),
    )
