"""Linked, whole and converted bids: against exhaustive search, another solver, and their own conditions."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.errors import InfeasibleMarket, InputError
from gridagora.market.mechanisms.network import network_auction
from gridagora.market.rolling import RollingMarket
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Dependency, Rolling
from gridagora.model.linear_network import LinearNetwork

sys.path.insert(0, str(Path(__file__).parent))
from network_samples import Written, random_bids, random_linear, random_table

seeds = st.integers(0, 10**6)


def network_of(kind, rng):
    if kind == "linear_ac":
        return random_linear(rng, losses=False)
    return LinearNetwork.from_table(random_table(rng, reactance=kind == "dc"))


def best_by_search(bids, network, least):
    """Try every way of what is on: each is a linear program with bounds."""
    hung = np.flatnonzero(least > 0)
    best = -np.inf
    for on in itertools.product([False, True], repeat=len(hung)):
        written = Written(bids, network)
        for b, lit in zip(hung.tolist(), on, strict=True):
            most = float(bids.quantity[b]) if lit else 0.0
            written.bounds[b] = (float(least[b]) * most, most)
        try:
            best = max(best, written.welfare())
        except AssertionError:
            continue
    return best


@pytest.mark.parametrize("kind", ["transfer", "dc", "linear_ac"])
@given(seed=seeds)
@settings(max_examples=8, deadline=None)
def test_blocks_are_chosen_as_by_exhaustive_search(kind, seed):
    rng = np.random.default_rng(seed)
    network, bids = network_of(kind, rng), random_bids(rng, count=12, periods=1)
    least = np.where(rng.random(12) < 0.4, rng.choice([0.3, 1.0], 12), 0.0)
    result = network_auction(bids, network=network, blocks=least)
    assert result.welfare == pytest.approx(best_by_search(bids, network, least), abs=1e-6)
    partly = (result.accepted > 1e-7) & (result.accepted < least * bids.quantity - 1e-6)
    assert not partly.any()


def conditions_of(rng, count):
    """Random conditions, as `Dependency` and as rows of the second formulation."""
    made, rows = [], []
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.choice(["and", "xor", "sum"])
        some = rng.choice(count, 3, replace=False).tolist()
        if kind == "and":
            made.append(Dependency.all_of(*some[:2]))
            rows.append(({("z", some[0]): 1.0, ("z", some[1]): -1.0}, 0.0, 0.0))
        elif kind == "xor":
            made.append(Dependency.xor(*some))
            rows.append(({("z", b): 1.0 for b in some}, -np.inf, 1.0))
        else:
            weights = rng.uniform(0.5, 3, 3) * np.array([1, 1, -1])
            limit = float(rng.uniform(0, 4))
            made.append(Dependency.sum_of(some, "<=", limit, coefficients=weights.tolist()))
            rows.append(({("y", b): float(w) for b, w in zip(some, weights, strict=True)}, -np.inf, limit))
    return made, rows


@pytest.mark.parametrize("kind", ["transfer", "dc", "linear_ac"])
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_conditions_against_another_formulation(kind, seed):
    rng = np.random.default_rng(seed)
    network, bids = network_of(kind, rng), random_bids(rng, count=14)
    made, rows = conditions_of(rng, 14)
    least = np.zeros(14)
    for one in made:
        if one.kind == "and":
            least[list(one.bids)] = 1e-3
    result = network_auction(bids, network=network, dependencies=made)
    best = Written(bids, network).mixed_welfare(least=least, conditions=rows)
    assert result.welfare == pytest.approx(best, abs=1e-5)
    parts = sum(part.to_numpy() for part in result.price_parts.values())
    np.testing.assert_allclose(parts, result.prices.to_numpy(), atol=1e-12)
    assert result.rent.sum() == pytest.approx(result.budget_balance, abs=1e-9)


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_no_one_pays_for_paradoxes_twice(seed):
    rng = np.random.default_rng(seed)
    network, bids = network_of("transfer", rng), random_bids(rng, count=16, periods=1)
    blocks = np.where(rng.random(16) < 0.5, 1.0, 0.0)
    told = network_auction(bids, network=network, blocks=blocks)
    lossy = told.paradoxical[told.paradoxical["kind"] == "accepted"]
    gain = bids.side * bids.price * told.accepted + told.paid
    assert set(np.flatnonzero(gain < -1e-6)) == set(lossy["bid"])
    paid = network_auction(bids, network=network, blocks=blocks, paradoxes="compensate")
    assert paid.welfare == told.welfare
    assert (bids.side * bids.price * paid.accepted + paid.paid > -1e-6).all()
    assert paid.budget_balance > -1e-6
    assert paid.rent.sum() == pytest.approx(paid.budget_balance, abs=1e-9)
    again = network_auction(bids, network=network, blocks=blocks, paradoxes="reclear")
    assert not (again.paradoxical["kind"] == "accepted").any()
    assert again.welfare <= told.welfare + 1e-9


def test_the_optimum_is_not_cut_off():
    """A market on which HiGHS without bounds of its columns reported less (HiGHS issue 3273)."""
    rng = np.random.default_rng(2085)
    network, bids = random_linear(rng, losses=False), random_bids(rng, count=14)
    result = network_auction(bids, network=network, dependencies=conditions_of(rng, 14)[0])
    assert result.welfare == pytest.approx(0.9254922626683412)


def test_two_halves_of_a_block_decide_together():
    bids = Bids(
        side=["sell", "sell", "buy", "buy"],
        price=[1.0, 1.0, 3.0, 0.5],
        quantity=[4.0, 4.0, 4.0, 4.0],
        period=[0, 1, 0, 1],
        participant=["plant", "plant", "ann", "ann"],
        group=["run", "run", "", ""],
        node=["a"] * 4,
    )
    result = network_auction(bids, blocks="group")
    assert result.accepted.tolist() == [4.0, 4.0, 4.0, 4.0]
    assert result.welfare == pytest.approx(6.0)


def test_a_car_is_full_at_departure():
    night = Bids(
        side=["buy"] * 3 + ["sell"] * 3,
        price=[0.5, 0.5, 0.5, 0.30, 0.10, 0.20],
        quantity=[5.0, 5, 5, 9, 9, 9],
        period=[0, 1, 2, 0, 1, 2],
        participant=["car"] * 3 + ["grid"] * 3,
    )
    full = Dependency.sum_of([0, 1, 2], "=", 8.0)
    result = network_auction(night, dependencies=[full])
    np.testing.assert_allclose(result.accepted[:3], [0, 5, 3])
    np.testing.assert_allclose(result.price[1:], [0.1, 0.2])
    assert result.paradoxical.empty


def heat_market():
    """Electricity at 0.2 upstream, heat wanted at up to 0.15, a heat pump, a boiler at 0.12."""
    return Bids(
        side=["sell", "buy", "sell", "sell", "buy"],
        price=[0.20, 0.0, 0.0, 0.12, 0.15],
        quantity=[50.0, 4.0, 12.0, 20.0, 15.0],
        carrier=["electricity", "electricity", "heat", "heat", "heat"],
        node=["grid", "home", "plant", "town", "town"],
        participant=["grid", "pump", "pump", "boiler", "town"],
    )


def test_a_heat_pump_sells_heat_as_dear_as_its_electricity_allows():
    wire = pd.DataFrame({"from": ["grid"], "to": ["home"], "capacity_kw": [10.0]})
    pipe = pd.DataFrame({"from": ["plant"], "to": ["town"], "capacity_kw": [9.0], "loss_share": [0.1]})
    carriers = {"heat": LinearNetwork.from_table(pipe)}
    pump = Dependency.sum_of([1, 2], "=", 0.0, coefficients=[3.0, -1.0])
    bids = heat_market()
    result = network_auction(bids, network=wire, carriers=carriers, dependencies=[pump])
    # 9 kW fit through the pipe, 8.1 arrive; the boiler delivers the rest and sets the price
    np.testing.assert_allclose(result.accepted, [3.0, 3.0, 9.0, 6.9, 15.0], atol=1e-9)
    prices = result.prices.loc[0]
    assert prices["heat", "town"] == pytest.approx(0.12)
    assert prices["electricity", "home"] == pytest.approx(0.20)
    assert result.losses.loc[0, "heat"] == pytest.approx(0.9)
    # the pump's own price of heat is a third of that of its electricity; the pipe's rent is the rest
    assert prices["heat", "plant"] == pytest.approx(0.2 / 3)
    parts = {name: part.loc[0, ("heat", "town")] for name, part in result.price_parts.items()}
    assert sum(parts.values()) == pytest.approx(0.12)
    assert parts["loss"] == pytest.approx(0.2 / 3 / 0.9 - 0.2 / 3)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_a_window_starts_warm_and_ends_the_same(seed):
    rng = np.random.default_rng(seed)
    network = LinearNetwork.from_table(random_table(rng))
    bids = random_bids(rng, count=60, periods=6)
    market = RollingMarket(horizon=Rolling(first_binding=1), network=network)
    for first in range(4):
        window = bids.take((bids.period >= first) & (bids.period < first + 3))
        warm, cold = market.clear(window), network_auction(window, network=network)
        np.testing.assert_allclose(warm.accepted, cold.accepted, atol=1e-8)
        np.testing.assert_allclose(warm.prices, cold.prices, atol=1e-8)
        later = warm.period_index > 0
        assert (warm.paid[later] == 0).all()


def infeasible(bids, **options):
    with pytest.raises(InfeasibleMarket) as error:
        network_auction(bids, **options)
    return error.value.conflict


@pytest.mark.parametrize(
    ("more", "limit"), [({"reactance": [1.0]}, "limit of a-b in period 0"), ({}, "capacity of a-b")]
)
def test_an_impossible_market_names_the_smallest_conflict(more, limit):
    line = pd.DataFrame({"from": ["a"], "to": ["b"], "capacity_kw": [3.0], **more})
    bids = Bids(
        side=["sell", "buy", "buy", "buy"],
        price=[0.1, 0.3, 0.3, 0.3],
        quantity=[20.0, 5.0, 8.0, 5.0],
        node=["a", "b", "b", "a"],
    )
    must = [
        Dependency.sum_of([3], ">=", 1.0),
        Dependency.sum_of([1, 2], ">=", 6.0),
        Dependency.xor(1, 3),
    ]
    found = infeasible(bids, network=line, dependencies=must)
    assert found == ("dependency 1: SUM 1 y1 + 1 y2 >= 6", limit)


def test_a_whole_bid_that_must_be_taken_but_does_not_fit():
    line = pd.DataFrame({"from": ["a"], "to": ["b"], "capacity_kw": [3.0]})
    bids = Bids(
        side=["sell", "buy", "buy"], price=[0.1, 0.3, 0.3], quantity=[9.0, 5.0, 8.0], node=["a", "b", "b"]
    )
    some = [Dependency.any_of(1, 2), Dependency.xor(1, 2)]
    found = infeasible(bids, network=line, dependencies=some, blocks=[0.0, 1.0, 0.5])
    assert found == (
        "dependency 0: OR(1, 2)",
        "least quantity of bid 1",
        "least quantity of bid 2",
        "capacity of a-b",
    )


def test_conditions_that_exclude_each_other_are_found_before_the_market():
    bids = Bids(side=["buy", "sell", "sell"], price=[0.3, 0.1, 0.1], quantity=[5.0, 5.0, 5.0])
    circle = [
        Dependency.any_of(1, 2),
        Dependency.sum_of([0], ">=", 1.0),
        Dependency.all_of(1, 2),
        Dependency.xor(1, 2),
    ]
    with pytest.raises(InputError, match="cannot hold together") as error:
        network_auction(bids, dependencies=circle)
    assert error.value.faults[0].place == "dependency 0, dependency 2, dependency 3"


def test_clearing_again_keeps_what_the_market_cannot_do_without():
    # an OR wants the seller, whose least share only the loss-making buyer can take
    bids = Bids(
        side=["sell", "buy", "buy"],
        price=[3.0, 2.0, 6.0],
        quantity=[10.0, 10.0, 2.0],
        participant=["plant", "baths", "homes"],
    )
    options = {"dependencies": [Dependency.any_of(0)], "blocks": [0.3, 0.3, 0.0]}
    told = network_auction(bids, **options)
    again = network_auction(bids, paradoxes="reclear", **options)
    assert told.paradoxical["kind"].tolist() == ["accepted"]
    assert again.paradoxical["kind"].tolist() == ["forced"]
    assert again.accepted.tolist() == told.accepted.tolist()
