"""The network auction against other formulations, its own limits, and the meaning of its prices."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.market.mechanisms.network import network_auction
from gridagora.market.mechanisms.pay_as_cleared import pay_as_cleared
from gridagora.model.bids import Bids
from gridagora.model.linear_network import LinearNetwork

sys.path.insert(0, str(Path(__file__).parent))
from network_samples import NODES, Written, random_bids, random_linear, random_table

MANY = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)
KINDS = ("transfer", "lossy", "dc", "linear_ac", "lossless_ac", "points")


def network_of(kind, rng):
    if kind in ("transfer", "lossy", "dc"):
        table = random_table(rng, reactance=kind == "dc", losses=kind == "lossy")
        return LinearNetwork.from_table(table)
    return random_linear(rng, points=2 if kind == "points" else 1, losses=kind != "lossless_ac")


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
@MANY
def test_welfare_is_that_of_another_formulation(kind, seed):
    rng = np.random.default_rng(seed)
    network, bids = network_of(kind, rng), random_bids(rng)
    result = network_auction(bids, network=network)
    assert result.welfare == pytest.approx(Written(bids, network).welfare(), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
@MANY
def test_parts_limits_and_money(kind, seed):
    rng = np.random.default_rng(seed)
    network, bids = network_of(kind, rng), random_bids(rng)
    result = network_auction(bids, network=network, period_hours=0.5)
    parts = sum(part.to_numpy() for part in result.price_parts.values())
    np.testing.assert_allclose(parts, result.prices.to_numpy(), atol=1e-14)
    assert ((result.accepted >= 0) & (result.accepted <= bids.quantity)).all()
    assert result.rent.sum() == pytest.approx(result.budget_balance, abs=1e-9)
    imports = result.imports.sum(axis=1).to_numpy()
    np.testing.assert_allclose(imports, -result.losses.to_numpy()[:, 0], atol=1e-9)
    outcome = result.carriers[0]
    if network.lines is not None:
        low, high = -network.lines.reverse_kw, network.lines.capacity_kw
        assert ((outcome.flows >= low - 1e-6) & (outcome.flows <= high + 1e-6)).all()
    else:
        points = network.point_of(result.period)
        rows = network.rows()
        low, high = (side[points if len(side) > 1 else 0 * points] for side in (rows.lower, rows.upper))
        assert ((outcome.values >= low - 1e-6) & (outcome.values <= high + 1e-6)).all()
    assert_rational(result, network)


def assert_rational(result, network):
    """Every bid that gains at its node's price is accepted in whole, none at a loss."""
    bids = result.bids
    node = np.array([network.nodes.index(name) for name in bids.node])
    at = (result.period_index, node)
    kvar = np.zeros(len(NODES)) if network.kvar_per_kw is None else network.kvar_per_kw
    reactive = result.reactive_prices.to_numpy()[at] * kvar[node]
    gain = bids.side * (bids.price - result.prices.to_numpy()[at] - reactive)
    known = ~np.isnan(gain)
    assert (result.accepted[known & (gain < -1e-6)] <= 1e-6).all()
    whole = known & (gain > 1e-6)
    np.testing.assert_allclose(result.accepted[whole], bids.quantity[whole], atol=1e-6)


@pytest.mark.parametrize("kind", ["transfer", "lossy", "dc", "linear_ac"])
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_prices_are_what_one_more_kwh_costs(kind, seed):
    rng = np.random.default_rng(seed)
    network, bids = network_of(kind, rng), random_bids(rng, periods=1)
    result = network_auction(bids, network=network)
    if np.isnan(result.price[0]):
        return
    kvar = np.zeros(len(NODES)) if network.kvar_per_kw is None else network.kvar_per_kw
    small = 1e-4
    for place, node in enumerate(NODES):
        # a supplier at no price adds energy, a buyer at any price takes it
        changed = []
        for side, price in ((-1, -50.0), (1, 50.0)):
            extra = Bids(
                side=[side], price=[price], quantity=[small], period=[0], node=[node], participant=["extra"]
            )
            welfare = network_auction(Bids.concat([bids, extra]), network=network).welfare
            changed.append((welfare - side * price * small - result.welfare) / small * -side)
        low, high = sorted(changed)
        shown = result.prices.loc[0, node] + kvar[place] * result.reactive_prices.loc[0, node]
        if abs(low) < 5 and abs(high) < 5:
            assert low - 1e-4 <= shown <= high + 1e-4


@given(seed=seeds, ticks=st.booleans())
@settings(max_examples=80, deadline=None)
def test_one_node_is_pay_as_cleared(seed, ticks):
    rng = np.random.default_rng(seed)
    bids = random_bids(rng, ticks=ticks, nodes=("",))
    plain, plate = pay_as_cleared(bids), network_auction(bids)
    assert plate.accepted.tobytes() == plain.accepted.tobytes()
    np.testing.assert_array_equal(plate.prices["price"], plain.price)
    assert plate.payments.equals(plain.payments)
    program = network_auction(bids, network=LinearNetwork.single())
    assert program.welfare == pytest.approx(plain.welfare, abs=1e-9)
    if not ticks:
        np.testing.assert_allclose(program.accepted, plain.accepted, atol=1e-9)
        np.testing.assert_allclose(program.price, plain.price, atol=1e-9)


@given(seed=seeds)
@MANY
def test_ties_take_the_middle_of_the_price_interval(seed):
    rng = np.random.default_rng(seed)
    bids = random_bids(rng, ticks=True, nodes=("",), count=10)
    plain, program = pay_as_cleared(bids), network_auction(bids, network=LinearNetwork.single())
    # with equal prices on both sides more or less may be traded at the same welfare, at the same price
    traded = ~np.isnan(program.price) & ~np.isnan(plain.price)
    np.testing.assert_allclose(program.price[traded], plain.price[traded], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, ticks=st.booleans())
@settings(max_examples=15, deadline=None)
def test_order_of_bids_does_not_matter(kind, seed, ticks):
    rng = np.random.default_rng(seed)
    network, bids = network_of(kind, rng), random_bids(rng, ticks=ticks)
    order = rng.permutation(len(bids))
    one, other = (network_auction(some, network=network) for some in (bids, bids.take(order)))
    np.testing.assert_allclose(other.accepted, one.accepted[order], atol=1e-9)
    np.testing.assert_allclose(other.prices, one.prices, atol=1e-9)


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_negative_prices_burn_nothing(seed):
    rng = np.random.default_rng(seed)
    network, bids = random_linear(rng), random_bids(rng, low=-0.5)
    result = network_auction(bids, network=network)
    outcome = result.carriers[0]
    points = network.point_of(result.period)
    tangent = network.loss_kw[points] + (network.loss_per_kw[points] * outcome.kw).sum(axis=1)
    tangent += (network.loss_per_kvar[points] * outcome.kvar).sum(axis=1)
    assert (outcome.losses_kw <= np.maximum(tangent, 0) + 1e-4).all()
    assert_rational(result, network)
