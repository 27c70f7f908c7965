"""Money and energy are never made or lost between a cleared pool and the journal."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.errors import InvariantError
from gridagora.ledger import Postings, check_postings, post
from gridagora.ledger.journal import EntryKind
from gridagora.model.columns import PoolTrades
from gridagora.settlement import Prices, pool_trades, settle, settle_without_market
from gridagora.settlement.settle import net_out
from gridagora.units import amount_micro


def prices(periods=1, share=1.0, **values):
    base = {
        "retail": 300_000,
        "feed_in": 80_000,
        "network": 100_000,
        "taxes": 20_000,
        "imbalance_short": 330_000,
        "imbalance_long": 70_000,
    }
    columns = {name: np.full(periods, value) for name, value in (base | values).items()}
    return Prices(**columns, local_network_share=share)


@st.composite
def cleared_pools(draw):
    """Positions of a few homes that balance through the upstream column."""
    homes, periods = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    net = np.array(
        draw(st.lists(st.integers(-5000, 5000), min_size=homes * periods, max_size=homes * periods))
    )
    net = net.reshape(periods, homes)
    up = -net.sum(axis=1, keepdims=True)
    full = np.hstack([net, up])
    price = draw(st.integers(-50_000, 400_000))
    bought, sold = np.maximum(full, 0), np.maximum(-full, 0)
    return bought, sold, bought * float(price), sold * float(price), price


@settings(deadline=None, max_examples=150)
@given(cleared_pools())
def test_every_accepted_wh_is_in_exactly_one_trade(pool):
    bought, sold, paid, received, price = pool
    trades = pool_trades(bought_wh=bought, sold_wh=sold, paid=paid, received=received)
    for column, who in ((bought, trades.buyer), (sold, trades.seller)):
        total = np.zeros_like(column)
        np.add.at(total, (trades.period, who), trades.quantity_wh)
        assert (total == column).all()
    assert (trades.quantity_wh > 0).all()
    assert (trades.buyer != trades.seller).all()
    assert set(trades.buyer_price.tolist()) <= {price}


@settings(deadline=None, max_examples=150)
@given(cleared_pools())
def test_buyers_share_local_energy_alike(pool):
    bought, sold, paid, received, _ = pool
    trades = pool_trades(bought_wh=bought, sold_wh=sold, paid=paid, received=received)
    homes = bought.shape[1] - 1
    for t in range(len(bought)):
        total = bought[t, :homes].sum()
        upstream = sold[t, homes]
        if total == 0:
            continue
        rows = (trades.period == t) & (trades.seller == homes)
        got = np.zeros(homes, int)
        np.add.at(got, trades.buyer[rows], trades.quantity_wh[rows])
        assert np.abs(got - bought[t, :homes] * upstream / total).max() <= 1.0


@settings(deadline=None, max_examples=100)
@given(cleared_pools(), st.integers(-3000, 3000))
def test_trades_cost_buyers_what_sellers_and_the_retailer_get(pool, error):
    bought, sold, paid, received, _ = pool
    homes, periods = bought.shape[1] - 1, len(bought)
    trades = pool_trades(bought_wh=bought, sold_wh=sold, paid=paid, received=received)
    metered = bought[:, :homes] - sold[:, :homes] + error
    lines = settle(trades, metered, prices(periods))
    retailer = amount_micro(trades.quantity_wh, trades.seller_price)[trades.seller == homes].sum()
    retailer -= amount_micro(trades.quantity_wh, trades.buyer_price)[trades.buyer == homes].sum()
    assert lines.energy.sum() + retailer == 0
    assert (lines.traded_wh == bought[:, :homes] - sold[:, :homes]).all()
    assert (np.sign(lines.imbalance) == -np.sign(error)).all()


def test_delivery_as_traded_has_no_imbalance_and_pays_network_on_import_only():
    trades = pool_trades(
        bought_wh=np.array([[1000, 0, 0]]),
        sold_wh=np.array([[0, 1000, 0]]),
        paid=np.array([[1000 * 200_000.0, 0, 0]]),
        received=np.array([[0, 1000 * 200_000.0, 0]]),
    )
    lines = settle(trades, np.array([[1000, -1000]]), prices())
    assert lines.energy.tolist() == [[-200_000, 200_000]]
    assert lines.imbalance.tolist() == [[0, 0]]
    assert lines.network.tolist() == [[-100_000, 0]]
    assert lines.taxes.tolist() == [[-20_000, 0]]


def test_local_energy_pays_its_share_of_the_network_tariff():
    trades = pool_trades(
        bought_wh=np.array([[1000, 0, 0]]),
        sold_wh=np.array([[0, 400, 600]]),
        paid=np.array([[1000 * 300_000.0, 0, 0]]),
        received=np.array([[0, 400 * 300_000.0, 600 * 300_000.0]]),
    )
    lines = settle(trades, np.array([[1000, -400]]), prices(share=0.25))
    assert lines.network.tolist() == [[-(60_000 + 10_000), 0]]


def test_without_a_market_import_is_retail_and_export_feed_in():
    lines = settle_without_market(np.array([[1000, -500]]), prices())
    assert lines.retail.tolist() == [[-300_000, 40_000]]
    assert lines.network.tolist() == [[-100_000, 0]]


def test_rule_that_pays_sellers_otherwise_leaves_a_named_residue():
    trades = PoolTrades(
        period=np.array([0]),
        buyer=np.array([0]),
        seller=np.array([1]),
        quantity_wh=np.array([500]),
        buyer_price=np.array([210_000]),
        seller_price=np.array([190_000]),
    )
    lines = settle(trades, np.array([[500, -500]]), prices())
    entry = post(0, EntryKind.TRADE, lines.energy.sum(axis=0), counter_account=5)
    assert dict(zip(entry.account.tolist(), entry.amount.tolist(), strict=True))[5] == 10_000
    check_postings(entry)


@settings(deadline=None)
@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=20), st.integers(0, 1000))
def test_an_entry_always_sums_to_zero(amounts, session):
    entry = post(session, EntryKind.IMBALANCE, np.array(amounts), counter_account=len(amounts))
    assert entry.amount.sum() == 0
    check_postings(entry)


def test_a_cent_that_appears_from_nowhere_stops_the_run():
    entry = post(3, EntryKind.TAXES, np.array([-5, -7]), counter_account=2)
    forged = Postings(entry=entry.entry, account=entry.account, amount=entry.amount + np.array([1, 0, 0]))
    with pytest.raises(InvariantError, match="do not balance"):
        check_postings(forged)


@given(st.integers(-(10**9), 10**9), st.integers(-(10**6), 10**6))
def test_amounts_are_rounded_half_to_even_once(wh, price):
    from fractions import Fraction

    assert int(amount_micro(wh, price)) == round(Fraction(wh * price, 1000))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(st.integers(-4000, 4000), min_size=5, max_size=5), min_size=1, max_size=3))
def test_netted_imbalance_changes_hands_without_loss(rows):
    difference = np.array(rows)
    netted = net_out(difference)
    assert (netted.sum(axis=1) == 0).all()
    assert (np.sign(netted) * np.sign(difference) >= 0).all()
    assert (np.abs(netted) <= np.abs(difference)).all()
    rest = difference - netted
    assert ((rest >= 0).all(axis=1) | (rest <= 0).all(axis=1)).all()


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.integers(-4000, 4000), min_size=4, max_size=4),
    st.lists(st.integers(-4000, 4000), min_size=4, max_size=4),
)
def test_a_balance_group_pays_its_retailer_for_what_it_took_and_the_spread(nominated, errors):
    nominated, errors = np.array([nominated]), np.array([errors])
    nothing = np.zeros((1, 5), int)
    trades = pool_trades(bought_wh=nothing, sold_wh=nothing, paid=nothing, received=nothing)
    rules = replace(prices(), imbalance_netted=True)
    lines = settle(trades, nominated + errors, rules, nominated_wh=nominated)

    def cost(energy):
        return energy * (300 if energy > 0 else 80)

    planned, taken = nominated.sum(), (nominated + errors).sum()
    spread = 30 if taken > planned else 10
    due = cost(taken) - cost(planned) + spread * abs(taken - planned)
    assert -lines.imbalance.sum() == pytest.approx(due, abs=0.001 * abs(taken - planned) + 10)


def test_alone_each_pays_the_dual_price_and_together_they_cover_each_other():
    nothing = np.zeros((1, 3), int)
    trades = pool_trades(bought_wh=nothing, sold_wh=nothing, paid=nothing, received=nothing)
    metered, nominated = np.array([[700, -400]]), np.array([[0, 0]])
    apart = settle(trades, metered, prices(), nominated_wh=nominated)
    together = settle(trades, metered, replace(prices(), imbalance_netted=True), nominated_wh=nominated)
    assert apart.imbalance.tolist() == [[-231_000, 28_000]]
    assert together.imbalance.tolist() == [[-(120_000 + 99_000), 120_000]]


def test_a_bid_that_was_not_met_is_supplied_at_the_retail_price_not_as_imbalance():
    nothing = pool_trades(
        bought_wh=np.zeros((1, 3), int),
        sold_wh=np.zeros((1, 3), int),
        paid=np.zeros((1, 3)),
        received=np.zeros((1, 3)),
    )
    lines = settle(nothing, np.array([[1000, -500]]), prices(), nominated_wh=np.array([[1000, -500]]))
    assert lines.retail.tolist() == [[-300_000, 40_000]]
    assert lines.imbalance.tolist() == [[0, 0]]


def test_everybody_on_both_sides_of_one_period_is_paired_within_what_was_reserved():
    homes = 400
    sold = np.append(np.arange(1, homes + 1)[::-1] * 7, 0)[None, :]
    bought = np.append(np.arange(1, homes + 1) * 5, 0)[None, :]
    bought[0, -1] = sold.sum() - bought.sum()
    trades = pool_trades(bought_wh=bought, sold_wh=sold, paid=bought * 1.0, received=sold * 1.0)
    assert len(trades.quantity_wh) > 2 * (homes + 1) + 2
    assert np.array_equal(np.bincount(trades.buyer, trades.quantity_wh, homes + 1), bought[0])
    assert np.array_equal(np.bincount(trades.seller, trades.quantity_wh, homes + 1), sold[0])
