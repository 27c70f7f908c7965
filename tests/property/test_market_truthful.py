"""Payments of the truthful mechanisms: against brute force, and against every bidder who tries to cheat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_market_clearing import best_welfare, markets, money_residue

from gridagora.market import trade_reduction, vickrey
from gridagora.model.bids import Bids

property_test = settings(deadline=None, max_examples=80)


@property_test
@given(markets())
def test_vickrey_pays_everyone_its_externality(bids):
    """v(N) - v(N without i) - w_i by linear programs."""
    result = vickrey(bids)
    side, price, quantity = bids.side.astype(float), bids.price, bids.quantity
    everyone = best_welfare(side, price, quantity)
    for name, received in result.payments.items():
        others = bids.participant != name
        own_value = (bids.side * price * result.accepted)[~others].sum()
        expected = everyone - best_welfare(side[others], price[others], quantity[others]) - own_value
        assert received == pytest.approx(expected, rel=1e-6, abs=1e-6 + 10 * money_residue(bids))


@property_test
@given(markets(whole=True, most=30))
def test_vickrey_payments_of_whole_bids_are_exact(bids):
    result = vickrey(bids)
    assert result.paid.dtype == np.int64
    for name, received in result.payments.items():
        others = bids.take(bids.participant != name)
        own_value = (bids.side * bids.price * result.accepted)[bids.participant == name].sum()
        assert received == result.welfare - vickrey(others).welfare - own_value


@property_test
@given(markets(most=30, periods=2))
def test_vickrey_never_ends_in_surplus_and_nobody_loses(bids):
    result = vickrey(bids)
    slack = 1e-9 + money_residue(bids)
    assert result.budget_balance <= slack
    gain = bids.side * bids.price * result.accepted + result.paid
    for name in set(bids.participant.tolist()):
        assert gain[bids.participant == name].sum() >= -slack


def utility(mechanism, bids, rows, values):
    result = mechanism(bids)
    return (bids.side[rows] * values * result.accepted[rows]).sum() + result.paid[rows].sum()


def with_prices(bids, rows, prices):
    price = bids.price.copy()
    price[rows] = prices
    return Bids(
        side=bids.side,
        price=price,
        quantity=bids.quantity,
        participant=bids.participant,
        period=bids.period,
    )


@settings(deadline=None, max_examples=60)
@given(markets(whole=False, most=10), st.data())
def test_no_false_prices_gain_anything_in_vickrey(bids, data):
    if len(bids) == 0:
        return
    liar = data.draw(st.sampled_from(sorted(set(bids.participant.tolist()))))
    rows = np.flatnonzero(bids.participant == liar)
    values = bids.price[rows]
    honest = utility(vickrey, bids, rows, values)
    for _ in range(8):
        lie = data.draw(st.lists(st.floats(-6, 11), min_size=len(rows), max_size=len(rows)))
        cheated = utility(vickrey, with_prices(bids, rows, lie), rows, values)
        assert cheated <= honest + 1e-9 + 10 * money_residue(bids)


@settings(deadline=None, max_examples=150)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_no_false_price_gains_anything_in_trade_reduction(size, seed, unit, tied):
    """Every bidder with one bid tries every price between, at and beyond the others'."""
    rng = np.random.default_rng(seed)
    price = rng.integers(0, 8, size).astype(float) if tied else np.round(rng.random(size) * 10, 3)
    bids = Bids(
        side=rng.choice([1, -1], size),
        price=price,
        quantity=np.ones(size) if unit else rng.integers(1, 6, size) / 2,
    )
    levels = np.unique(price)
    tries = np.concatenate([levels, levels - 1e-4, levels + 1e-4, [-1.0, 20.0]])
    for row in range(size):
        rows = np.array([row])
        honest = utility(trade_reduction, bids, rows, price[rows])
        assert honest >= -1e-9
        for lie in tries:
            assert utility(trade_reduction, with_prices(bids, rows, lie), rows, price[rows]) <= honest + 1e-9


@property_test
@given(markets(most=30, periods=2))
def test_trade_reduction_has_no_deficit_and_nobody_loses(bids):
    result = trade_reduction(bids)
    assert result.budget_balance >= -1e-9
    assert ((bids.side * bids.price * result.accepted + result.paid) >= -1e-9).all()
    assert (result.buy_price >= result.sell_price)[result.volume > 0].all()


@property_test
@given(st.integers(2, 16), st.integers(0, 2**32 - 1))
def test_trade_reduction_of_single_units_is_mcafees_auction(size, seed):
    """Against the printed rule, for one unit each and no ties."""
    rng = np.random.default_rng(seed)
    side = rng.choice([1, -1], size)
    price = rng.permutation(3 * size)[:size].astype(float)
    result = trade_reduction(Bids(side=side, price=price, quantity=np.ones(size)))
    bids, asks = np.sort(price[side > 0])[::-1], np.sort(price[side < 0])
    trades = sum(bid >= ask for bid, ask in zip(bids, asks, strict=False))
    expected = (trades - 1, bids[trades - 1], asks[trades - 1]) if trades else (0, np.nan, np.nan)
    if trades and trades < min(len(bids), len(asks)):
        middle = (bids[trades] + asks[trades]) / 2
        if asks[trades - 1] <= middle <= bids[trades - 1]:
            expected = (trades, middle, middle)
    if expected[0] < 1:
        assert result.volume.sum() == 0
    else:
        assert (result.volume[0], result.buy_price[0], result.sell_price[0]) == expected
