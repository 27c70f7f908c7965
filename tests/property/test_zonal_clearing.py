"""Zone markets on random trees of zones: limits, balance of energy and money, and what they lose jointly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from zonal_samples import limits_of, slack, trees, worth, zone_markets

from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction
from gridagora.market.islanding import island
from gridagora.market.zonal import hierarchical_clearing, with_bulk
from gridagora.market.zonal_joint import joint_clearing, welfare_gap
from gridagora.model.bids import Bids
from gridagora.model.zones import ZoneTree

property_test = settings(deadline=None, max_examples=60)


def net_of_subtrees(bids, tree, accepted):
    """Return what the bids in and below each zone take, (periods, zones)."""
    periods = np.unique(bids.period)
    net = np.zeros((len(periods), len(tree.zones)))
    for node, period, amount in zip(bids.node, bids.period, bids.side * accepted, strict=True):
        for name in tree.path(str(node)):
            net[np.searchsorted(periods, period), tree.position(name)] += amount
    return net


@property_test
@given(zone_markets(), st.sampled_from([pay_as_cleared, pay_as_bid, trade_reduction]))
def test_limits_hold_and_energy_balances_in_every_zone(market, mechanism):
    bids, tree, limits = market
    result = hierarchical_clearing(bids, tree, transfer_kw=limits, mechanism=mechanism)
    assert (result.accepted >= 0).all()
    assert (result.accepted <= bids.quantity + slack(bids)).all()
    assert np.array_equal(result.by_depth.sum(axis=0), result.accepted) or not bids.is_integer
    net = net_of_subtrees(bids, tree, result.accepted)
    assert np.abs(net[:, 0]).max(initial=0) <= slack(bids)
    assert np.abs(net[:, 1:] - result.imports[:, 1:]).max(initial=0) <= slack(bids)
    import_limit, export_limit = limits_of(tree, limits, bids)
    assert (result.imports <= import_limit + slack(bids)).all()
    assert (-result.imports <= export_limit + slack(bids)).all()


@property_test
@given(zone_markets())
def test_money_balances_in_every_zone_and_no_one_loses(market):
    bids, tree, limits = market
    result = hierarchical_clearing(bids, tree, transfer_kw=limits)
    places = np.searchsorted(result.period, bids.period)
    ancestors = tree.ancestors()[:, [tree.position(str(node)) for node in bids.node]]
    paid = np.zeros(len(bids))
    for depth, accepted in enumerate(result.by_depth):
        rows = np.flatnonzero(accepted > 0)
        price = result.price[places[rows], ancestors[depth, rows]]
        assert not np.isnan(price).any()
        assert (bids.side[rows] * (bids.price[rows] - price) >= -1e-9 * (1 + np.abs(price))).all()
        money = -bids.side[rows] * price * accepted[rows]
        paid[rows] += money
        of_market = np.zeros(result.price.shape)
        np.add.at(of_market, (places[rows], ancestors[depth, rows]), money)
        assert np.abs(of_market).max(initial=0) <= worth(bids)
    assert np.allclose(paid, result.paid, rtol=1e-9, atol=1e-9)
    assert result.payments.sum() == pytest.approx(0, abs=worth(bids))


@property_test
@given(zone_markets())
def test_zones_in_turn_are_never_better_than_one_joint_market(market):
    bids, tree, limits = market
    found = welfare_gap(bids, tree, transfer_kw=limits)
    assert found.gap >= -worth(bids)
    assert found.hierarchical.welfare >= -worth(bids)


@property_test
@given(zone_markets())
def test_the_joint_market_is_that_of_an_independent_program(market):
    """A second formulation: no flows, the net of each subtree is bounded instead."""
    bids, tree, limits = market
    joint = joint_clearing(bids, tree, transfer_kw=limits)
    import_limit, export_limit = limits_of(tree, limits, bids)
    expected = 0.0
    for row, period in enumerate(np.unique(bids.period)):
        mine = bids.take(bids.period == period)
        inside = np.array([[name in tree.path(str(node)) for node in mine.node] for name in tree.names])
        nets = inside * mine.side
        bounded = [
            (nets[k], limit[k], sign)
            for limit, sign in ((import_limit, 1), (export_limit, -1))
            for k in range(1, len(nets))
            if np.isfinite(limit[k])
        ]
        answer = linprog(
            -mine.side * mine.price.astype(float),
            A_ub=np.array([sign * net for net, _, sign in bounded]) if bounded else None,
            b_ub=[limit for _, limit, _ in bounded] if bounded else None,
            A_eq=nets[:1],
            b_eq=[0],
            bounds=[(0, float(q)) for q in mine.quantity],
        )
        assert answer.status == 0
        expected -= answer.fun
        accepted = joint.accepted[bids.period == period]
        assert np.allclose(nets[1:] @ accepted, joint.imports[row, 1:], atol=1e-6)
    assert joint.welfare == pytest.approx(expected, abs=worth(bids))


@property_test
@given(zone_markets())
def test_closed_gates_leave_nothing_to_lose(market):
    bids, tree, _ = market
    found = welfare_gap(bids, tree, transfer_kw=dict.fromkeys(tree.names[1:], 0.0))
    assert found.gap == pytest.approx(0, abs=worth(bids))
    for name in set(bids.node.tolist()):
        rows = bids.node == name
        alone = pay_as_cleared(bids.take(rows)).accepted
        assert np.allclose(found.hierarchical.accepted[rows], alone, atol=slack(bids))


@st.composite
def one_sided(draw):
    """Return zones side by side in the root, each with buyers or sellers only."""
    bids, tree, limits = draw(zone_markets(tree=draw(trees(deep=False))))
    sides = np.array([draw(st.sampled_from([1, -1])) for _ in tree.zones])
    side = sides[[tree.position(str(node)) for node in bids.node]]
    frame = bids.to_frame().assign(side=side)
    return Bids.from_frame(frame), tree, limits


@property_test
@given(one_sided())
def test_one_sided_zones_side_by_side_lose_nothing(market):
    """They have no trade of their own, so that the root's market sees all that the gates let through."""
    bids, tree, limits = market
    assert welfare_gap(bids, tree, transfer_kw=limits).gap == pytest.approx(0, abs=worth(bids))


@property_test
@given(zone_markets(), st.randoms(use_true_random=False))
def test_the_order_of_bids_and_zones_does_not_matter(market, rng):
    bids, tree, limits = market
    result = hierarchical_clearing(bids, tree, transfer_kw=limits)
    order = list(range(len(bids)))
    rng.shuffle(order)
    mixed = hierarchical_clearing(bids.take(order), tree, transfer_kw=limits)
    assert mixed.accepted.tobytes() == result.accepted[np.array(order, dtype=int)].tobytes()
    assert mixed.price.tobytes() == result.price.tobytes()
    zones = list(tree.zones)
    rng.shuffle(zones)
    other = hierarchical_clearing(bids, ZoneTree(zones=tuple(zones)), transfer_kw=limits)
    assert np.allclose(other.accepted, result.accepted, atol=slack(bids))


@property_test
@given(zone_markets())
def test_the_bulk_grid_serves_whom_it_can_reach(market):
    """With wide gates nobody is left who would pay what the bulk grid asks, or sell for what it pays."""
    bids, tree, _ = market
    whole = with_bulk(bids, tree, pays=1, asks=8)
    result = hierarchical_clearing(whole, tree)
    left = (whole.quantity - result.accepted)[: len(bids)]
    assert (left[bids.is_buy & (bids.price > 8)] <= slack(bids)).all()
    assert (left[~bids.is_buy & (bids.price < 1)] <= slack(bids)).all()


@property_test
@given(zone_markets(), st.data())
def test_an_island_balances_itself_and_sheds_the_lowest_bids_first(market, data):
    bids, tree, _ = market
    name = data.draw(st.sampled_from(tree.names))
    firm = np.array(data.draw(st.lists(st.booleans(), min_size=len(bids), max_size=len(bids))), dtype=bool)
    result = island(name, bids, tree, value_of_lost_load=100.0, firm=firm)
    own = result.bids
    assert set(own.node.tolist()) <= {zone for zone in tree.names if name in tree.path(zone)}
    for period in np.unique(own.period):
        rows = own.period == period
        buys, sells = rows & own.is_buy, rows & ~own.is_buy
        assert result.served[buys].sum() == pytest.approx(result.served[sells].sum(), abs=slack(bids) * 2)
        need = rows & firm[result.rows] & own.is_buy
        lack = max(own.quantity[need].sum() - own.quantity[sells].sum(), 0)
        assert result.not_served[rows].sum() == pytest.approx(lack, abs=1e-8)
        shed = need & (result.not_served > 1e-8)
        if shed.any():
            dearest = own.price[shed].max()
            assert (result.not_served[need & (own.price > dearest)] <= 1e-8).all()
            assert (result.served[need & (own.price < dearest)] <= 1e-8).all()
    parts = result.served + result.not_served + result.declined + result.not_called
    assert np.allclose(parts, own.quantity)
