"""Shapley values of many sellers with any quantities, and sampled ones: the stated error covers the truth."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.market import capacity_limit_auction, pay_as_cleared
from gridagora.market.payments import payments
from gridagora.market.payments.game import market_of, parts, value_table
from gridagora.market.payments.saturation import rounded_shapley
from gridagora.market.payments.shapley import shapley_value
from gridagora.model.bids import Bids


def one_buyer(sellers, *, seed, skew=1.0, scale=1.0):
    """Return bids of a buyer with four steps, and sellers of skewed, fractional quantities."""
    rng = np.random.default_rng(seed)
    offered = rng.lognormal(0.0, skew, sellers) * scale
    wanted = rng.dirichlet(np.ones(4)) * offered.sum() * rng.uniform(0.2, 1.2)
    return Bids(
        side=[1] * 4 + [-1] * sellers,
        price=np.concatenate([rng.uniform(1, 9, 4), rng.uniform(0, 8, sellers)]),
        quantity=np.concatenate([wanted, offered]),
        participant=["dso"] * 4 + [f"s{number:04d}" for number in range(sellers)],
    )


@given(sellers=st.integers(1, 13), seed=st.integers(0, 10_000), skew=st.sampled_from([0.0, 0.5, 1.5]))
@settings(deadline=None, max_examples=60)
def test_rounded_quantities_err_by_no_more_than_stated(sellers, seed, skew):
    result = pay_as_cleared(one_buyer(sellers, seed=seed, skew=skew))
    if result.welfare <= 0:
        return
    (part,) = parts(market_of(result))
    true = shapley_value(value_table(part), sellers + 1)
    found, error = rounded_shapley(part, nodes=None)
    assert found.sum() == np.float64(result.welfare) or abs(found.sum() - result.welfare) < 1e-9
    np.testing.assert_allclose(found, true, atol=1e-3 * result.welfare)
    assert (error < 0.01 * result.welfare).all()


def test_a_thousand_sellers_of_any_quantity_within_a_thousandth_of_v():
    """The same market in kW and in whole units: exact there."""
    rng = np.random.default_rng(1)
    whole = one_buyer(1000, seed=1)
    units = np.concatenate([rng.integers(1000, 4000, 4), rng.integers(1, 32, 1000)])
    columns = {"side": whole.side, "price": whole.price, "participant": whole.participant}
    exact = payments(pay_as_cleared(Bids(quantity=units * 1.0, **columns)), rule="shapley", nodes=64)
    result = pay_as_cleared(Bids(quantity=units * 0.1234567891, **columns))
    start = time.process_time()
    found = payments(result, rule="shapley")
    assert time.process_time() - start < 5
    assert found.shapley.methods == ("quadrature, rounded quantities",)
    assert found.errors.max() < 1e-3 * result.welfare
    off = (found.values - exact.values * 0.1234567891).abs()
    assert (off <= found.errors).all()
    assert off.max() < 3e-4 * result.welfare


def test_sampled_intervals_cover_also_what_no_drawn_order_shows():
    """Sellers behind cheap ones that nearly always suffice: few orders of entry show their worth."""
    bids = Bids(
        side=[1] + [-1] * 13, price=[10.0] + [1.0] * 12 + [9.0], quantity=[20.0] + [10.0] * 12 + [1.0],
        participant=["dso", *(f"s{number:02d}" for number in range(13))],
    )  # fmt: skip
    result = capacity_limit_auction(bids)
    exact = payments(result, rule="shapley").values
    covered = []
    for seed in range(60):
        found = payments(result, rule="shapley", sampling=True, samples=20, seed=seed)
        covered.append(bool(((found.values - exact).abs() <= found.errors).all()))
    assert np.mean(covered) >= 0.95


def test_sampled_intervals_of_ordered_buyers_cover():
    rng = np.random.default_rng(4)
    covered = []
    for seed in range(60):
        asked = np.sort(rng.uniform(0, 6, 7))
        bids = Bids(
            side=[1] * 3 + [-1] * 7, price=[*rng.uniform(0, 9, 3), *asked], quantity=rng.uniform(0.5, 4, 10),
            participant=["dso"] * 3 + list("abcdefg"), step=[0, 1, 2] + [0] * 7,
        )  # fmt: skip
        result = capacity_limit_auction(bids, ordered=True)
        exact = payments(result, rule="shapley").values
        found = payments(result, rule="shapley", sampling=True, samples=100, seed=seed)
        covered.append(bool(((found.values - exact).abs() <= found.errors + 1e-9).all()))
    assert np.mean(covered) >= 0.97
