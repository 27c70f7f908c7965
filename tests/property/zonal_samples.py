"""Random trees of zones and markets on them, and how exact their sums are."""

import numpy as np
from hypothesis import strategies as st

from gridagora.model.bids import Bids
from gridagora.model.zones import Zone, ZoneTree

PERIODS = 2


@st.composite
def trees(draw, *, most=6, deep=True):
    """Return zones z0 (the root) to z5, each inside one with a smaller number."""
    count = draw(st.integers(1, most))
    parents = [draw(st.integers(0, k - 1)) if deep else 0 for k in range(1, count)]
    zones = [Zone(name="z0", level="bulk", parent=None)]
    zones += [
        Zone(name=f"z{k}", level="zone", parent=f"z{parents[k - 1]}", buses=(f"b{k}",))
        for k in range(1, count)
    ]
    return ZoneTree(zones=tuple(zones))


@st.composite
def zone_markets(draw, *, whole=None, tree=None, most=14):
    tree = draw(trees()) if tree is None else tree
    whole = draw(st.booleans()) if whole is None else whole
    size = draw(st.integers(0, most))
    prices = st.integers(0, 9)
    amounts = st.integers(0, 7)
    if not whole:
        prices = st.one_of(prices.map(float), st.floats(-2, 10))
        amounts = st.one_of(amounts.map(lambda n: n / 10), st.floats(0, 8))

    def columns(values):
        return draw(st.lists(values, min_size=size, max_size=size))

    bids = Bids(
        side=np.array(columns(st.sampled_from([1, -1])), dtype=int),
        price=np.array(columns(prices), dtype=int if whole else float),
        quantity=np.array(columns(amounts), dtype=int if whole else float),
        period=np.array(columns(st.integers(0, PERIODS - 1)), dtype=int),
        participant=np.arange(size),
        node=np.array(columns(st.sampled_from(tree.names)), dtype=np.str_),
    )
    unit = 1000 if whole else 1
    sizes = st.one_of(st.integers(0, 9), st.tuples(st.integers(0, 9), st.integers(0, 9)))
    limits = {
        name: np.divide(kw, unit).tolist()
        for name in tree.names[1:]
        if (kw := draw(st.none() | sizes)) is not None
    }
    return bids, tree, limits


def limits_of(tree, limits, bids):
    unit = 1000 if bids.is_integer else 1
    both = np.full((2, len(tree.zones)), np.inf)
    for name, kw in limits.items():
        both[:, tree.position(name)] = np.asarray(kw) * unit
    return both


def slack(bids):
    return 0 if bids.is_integer else 1e-9 * (1 + bids.quantity.sum())


def worth(bids):
    return 1e-7 * (1 + (np.abs(bids.price) * bids.quantity).sum())
