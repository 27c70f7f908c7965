"""Faults that were found in other open market tools: each is a test here."""

import numpy as np
import pytest

from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
from gridagora.model.bids import Bids

ALL = [pay_as_cleared, pay_as_bid, vickrey, trade_reduction]
EFFICIENT = ALL[:3]

RESIDUE = 1.1247e-14
"""The volume (MW) that once set a price of 1000 EUR/MWh."""


def market(buys, sells, **columns):
    """Build bids from (price, quantity) pairs."""
    rows = [("buy", *row) for row in buys] + [("sell", *row) for row in sells]
    side, price, quantity = zip(*rows, strict=True)
    return Bids(side=side, price=price, quantity=quantity, **columns)


@pytest.mark.parametrize("mechanism", EFFICIENT)
def test_slices_of_orders_trade_not_whole_orders(mechanism):
    """3 + 7 against 4 + 6 is 10, not the 13 of pairing full order sizes."""
    result = mechanism(market([(9, 3), (8, 7)], [(1, 4), (2, 6)]))
    assert result.volume.tolist() == [10]
    assert result.trades.quantity.sum() == 10


@pytest.mark.parametrize("mechanism", EFFICIENT)
def test_two_orders_of_one_user_at_one_price_both_trade(mechanism):
    result = mechanism(market([(5, 50), (5, 50)], [(1, 100)], participant=["a", "a", "b"]))
    assert result.accepted.tolist() == [50, 50, 100]


@pytest.mark.parametrize("mechanism", EFFICIENT)
def test_equal_marginal_prices_trade(mechanism):
    result = mechanism(market([(2, 3)], [(2, 3)]))
    assert result.volume.tolist() == [3]
    assert result.price.tolist() == [2]


@pytest.mark.parametrize("mechanism", EFFICIENT)
def test_all_demand_above_all_supply_trades(mechanism):
    assert mechanism(market([(9, 3), (8, 1)], [(1, 9)])).volume.tolist() == [4]


def test_ten_thousand_bids_on_a_price_grid_trade():
    rng = np.random.default_rng(1)
    bids = Bids(
        side=rng.choice([1, -1], 20_000),
        price=rng.integers(0, 50, 20_000) / 100,
        quantity=rng.integers(1, 9, 20_000) / 8,
    )
    for mechanism in ALL:
        assert mechanism(bids).volume[0] > 1000


def test_pay_as_bid_is_welfare_optimal():
    """Bids 30, 20 and offers 10, 25: matching the dearest offer first gives 15, the optimum is 20."""
    assert pay_as_bid(market([(30, 1), (20, 1)], [(10, 1), (25, 1)])).welfare == 20


def test_a_partly_filled_offer_sets_the_price():
    result = pay_as_cleared(market([(0.2006, 2.0), (0.19, 3.0)], [(0.15, 1.0), (0.1953, 5.0)]))
    assert result.price.tolist() == [0.1953]


def test_energy_in_tenths_is_not_lost():
    bids = market([(5.0, 0.1)] * 10, [(1.0, 0.3)] * 3 + [(2.0, 0.1)])
    result = pay_as_cleared(bids)
    assert result.accepted.tolist() == pytest.approx(bids.quantity.tolist(), abs=1e-15)


@pytest.mark.parametrize("mechanism", ALL)
def test_nothing_to_clear_gives_no_price_and_no_crash(mechanism):
    for bids in (
        Bids(side=[], price=[], quantity=[]),
        market([(5.0, 1.0)], []),
        market([], [(5.0, 1.0)]),
        market([(1.0, 1.0)], [(2.0, 1.0)]),
        market([(3, 0)], [(1, 0)]),
    ):
        result = mechanism(bids)
        assert np.isnan(result.price).all()
        assert result.volume.sum() == 0
        assert result.welfare == 0
        assert result.budget_balance == 0
        assert result.trades.empty
        assert list(result.trades.columns[:5]) == ["buyer", "seller", "period", "quantity", "price"]
        assert (result.payments == 0).all()
        assert len(result.prices) == len(np.unique(bids.period))


@pytest.mark.parametrize("mechanism", ALL)
def test_a_residue_on_offer_neither_trades_nor_sets_a_price(mechanism):
    real = market([(3000.0, 10.0)], [(281.74, 10.0), (2000.0, 5.0)])
    dirty = Bids.concat([real, Bids(side=["sell"], price=[1000.0], quantity=[RESIDUE], participant=[3])])
    np.testing.assert_array_equal(mechanism(dirty).price, mechanism(real).price)
    np.testing.assert_array_equal(mechanism(dirty).accepted[:3], mechanism(real).accepted)


@pytest.mark.parametrize("mechanism", ALL)
@pytest.mark.parametrize("rest", [-RESIDUE, RESIDUE])
def test_a_residue_in_demand_or_supply_does_not_reach_the_next_offer(mechanism, rest):
    clean = mechanism(market([(3000.0, 10.0)], [(50.0, 10.0), (1000.0, 100.0)]))
    more_demand = mechanism(market([(3000.0, 10.0 + rest)], [(50.0, 10.0), (1000.0, 100.0)]))
    more_supply = mechanism(market([(3000.0, 10.0)], [(50.0, 10.0 + rest), (1000.0, 100.0)]))
    np.testing.assert_array_equal(more_demand.price, clean.price)
    np.testing.assert_array_equal(more_supply.price, clean.price)
    assert more_demand.accepted[2] == more_supply.accepted[2] == 0.0


def test_sums_of_tenths_are_residues_too():
    """0.1 + 0.2 exceeds 0.3 in floats; that must not buy a sliver at 1000."""
    result = pay_as_cleared(market([(3000.0, 0.1 + 0.2)], [(50.0, 0.1), (60.0, 0.2), (1000.0, 9.0)]))
    assert result.price.tolist() == [(60.0 + 1000.0) / 2]
    assert result.accepted[3] == 0.0


def test_a_lone_residue_does_not_trade():
    result = pay_as_cleared(market([(3000.0, RESIDUE)], [(1000.0, 1.0)]))
    assert np.isnan(result.price).all()
    assert result.accepted.tolist() == [0.0, 0.0]


def test_small_quantities_beside_an_unlimited_retailer_are_no_residues():
    """A thousandth of a watt-hour still trades next to limits of a million kilowatt-hours."""
    result = pay_as_cleared(market([(0.3, 1e-6), (0.08, 1e6)], [(0.3, 1e6), (0.1, 2e-6)]))
    assert result.accepted.tolist() == [1e-6, 0.0, 0.0, 1e-6]
    assert result.price.tolist() == [0.1]


@pytest.mark.parametrize("scale", [1e-60, 1e-9, 1.0, 1e9, 1e60])
def test_any_unit_of_quantity_gives_the_same_market(scale):
    prices = [5.0, 4.0, 3.0, 1.0, 2.0, 3.5]
    shares = np.array([1.0, 2.0, 3.0, 2.0, 1.5, 9.0])
    side = [1, 1, 1, -1, -1, -1]
    expected = pay_as_cleared(Bids(side=side, price=prices, quantity=shares))
    result = pay_as_cleared(Bids(side=side, price=prices, quantity=shares * scale))
    np.testing.assert_allclose(result.accepted, expected.accepted * scale, rtol=1e-14)
    assert result.price.tolist() == expected.price.tolist()


# the double-auction corner cases that users of GridLAB-D reported


def test_overlap_in_price_takes_the_mean_of_both_ends():
    assert pay_as_cleared(market([(10.0, 5.0)], [(4.0, 5.0)])).price.tolist() == [7.0]


def test_two_sellers_at_the_marginal_price_set_it():
    result = pay_as_cleared(market([(10.0, 3.0), (2.0, 3.0)], [(4.0, 2.0), (4.0, 2.0)]))
    assert result.price.tolist() == [4.0]
    assert result.accepted.tolist() == [3.0, 0.0, 1.5, 1.5]


def test_equal_buyers_with_supply_for_one_share_it_at_their_price():
    result = pay_as_cleared(market([(6.0, 2.0), (6.0, 2.0)], [(1.0, 2.0)]))
    assert result.price.tolist() == [6.0]
    assert result.accepted.tolist() == [1.0, 1.0, 2.0]


def test_unresponsive_load_that_uses_all_supply_prices_between_seller_and_the_next_buyer():
    result = pay_as_cleared(market([(9999.0, 5.0), (8.0, 1.0)], [(3.0, 5.0)]))
    assert result.price.tolist() == [(8.0 + 9999.0) / 2]
    assert result.accepted.tolist() == [5.0, 0.0, 5.0]


def test_unresponsive_load_above_all_supply_prices_at_its_own_bid():
    result = pay_as_cleared(market([(9999.0, 7.0)], [(3.0, 5.0)]))
    assert result.price.tolist() == [9999.0]
    assert result.accepted.tolist() == [5.0, 5.0]


def test_negative_prices_and_both_zeros_are_ordinary_prices():
    result = pay_as_cleared(market([(-1.0, 4.0), (-0.0, 1.0)], [(-5.0, 2.0), (0.0, 3.0)]))
    assert result.accepted.tolist() == [1.0, 1.0, 2.0, 0.0]
    assert result.price.tolist() == [-1.0]
