"""Stated rules of the mechanisms that are easy to get subtly wrong."""

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
from gridagora.market._share_kernel import share
from gridagora.model.bids import Bids

ALL = [pay_as_cleared, pay_as_bid, vickrey, trade_reduction]


def test_whole_units_at_the_margin_go_to_the_largest_remainder_then_to_the_first_id():
    bids = Bids(
        side=["buy"] * 3 + ["sell"], price=[3, 3, 3, 1], quantity=[5, 5, 5, 7], participant=list("cabz")
    )
    assert pay_as_cleared(bids).accepted.tolist() == [2, 3, 2, 7]
    uneven = Bids(side=["buy"] * 2 + ["sell"], price=[3, 3, 1], quantity=[7, 3, 6], participant=list("baz"))
    assert pay_as_cleared(uneven).accepted.tolist() == [4, 2, 6]


def test_midpoint_of_whole_ticks_is_rounded_down_also_below_zero():
    for low, high, middle in ((4, 7, 5), (-7, -4, -6)):
        result = pay_as_cleared(Bids(side=["buy", "sell"], price=[high, low], quantity=[1, 1]))
        assert result.price.tolist() == [middle]
        assert result.paid.dtype == np.int64


def test_many_periods_in_any_order_with_gaps_between_their_ids():
    period = [900, -3, 900, 7, -3, 10**12]
    bids = Bids(
        side=[1, -1, -1, 1, 1, -1], price=[5, 2, 3, 9, 2, 1], quantity=[4, 3, 2, 1, 8, 1], period=period
    )
    result = pay_as_cleared(bids)
    assert result.period.tolist() == [-3, 7, 900, 10**12]
    assert result.accepted.tolist() == [2, 3, 2, 0, 3, 0]
    np.testing.assert_array_equal(result.price, [2.0, np.nan, 5.0, np.nan])
    assert result.prices.index.tolist() == result.period.tolist()


@pytest.mark.parametrize("rule", ["buyer", "seller", "midpoint"])
def test_pay_as_bid_prices(rule):
    bids = Bids(side=["buy", "buy", "sell", "sell"], price=[9, 7, 2, 4], quantity=[2, 3, 4, 5])
    result = pay_as_bid(bids, price_rule=rule)
    prices = {"buyer": [9, 7, 7], "seller": [2, 2, 4], "midpoint": [5, 4, 5]}[rule]
    assert result.trades.price.tolist() == prices
    assert result.trades.quantity.tolist() == [2, 2, 1]
    assert result.budget_balance == 0
    assert result.paid[0] == -2 * prices[0]


def test_pay_as_bid_refuses_an_unknown_price_rule():
    with pytest.raises(InputError, match="buyer, seller, midpoint"):
        pay_as_bid(Bids(side=[], price=[], quantity=[]), price_rule="mean")


@pytest.mark.parametrize("mechanism", ALL)
def test_carriers_do_not_mix(mechanism):
    columns = {"side": ["buy", "sell"], "price": [5, 1], "quantity": [1, 1]}
    with pytest.raises(InputError, match="heat"):
        mechanism(Bids(**columns, carrier=["heat", "electricity"]))
    assert mechanism(Bids(**columns, carrier=["heat", "heat"])).price.size == 1


def test_nobody_trades_with_itself_if_that_can_be_avoided():
    bids = Bids(
        side=["buy", "buy", "sell", "sell"],
        price=[9.0, 8.0, 2.0, 1.0],
        quantity=[2.0, 1.0, 1.0, 2.0],
        participant=["c", "a", "a", "b"],
    )
    trades = pay_as_cleared(bids).trades
    assert (trades.buyer != trades.seller).all()
    assert trades.quantity.sum() == 3.0


def test_one_participant_alone_trades_with_itself():
    bids = Bids(side=["buy", "sell"], price=[9, 2], quantity=[2, 5], participant=["a", "a"])
    assert pay_as_cleared(bids).trades[["buyer", "seller", "quantity"]].values.tolist() == [["a", "a", 2]]


def test_trade_reduction_rations_the_longer_side_pro_rata_whatever_the_prices():
    bids = Bids(side=[1, 1, 1, -1, -1], price=[9.0, 8.0, 7.0, 1.0, 6.0], quantity=[4.0, 2.0, 1.0, 3.0, 9.0])
    result = trade_reduction(bids)
    assert result.accepted.tolist() == [2.0, 1.0, 0.0, 3.0, 0.0]
    assert (result.buy_price[0], result.sell_price[0]) == (7.0, 6.0)
    assert result.budget_balance == 3.0
    assert result.trades[["price", "seller_price"]].drop_duplicates().values.tolist() == [[7.0, 6.0]]


def test_trade_reduction_among_equals_gives_up_one_bid_shared_by_all():
    bids = Bids(side=[1, 1, 1, -1, -1, -1], price=[9.0] * 3 + [1.0] * 3, quantity=[1.0] * 6)
    result = trade_reduction(bids)
    assert result.accepted.tolist() == pytest.approx([2 / 3] * 6)
    assert result.volume.tolist() == pytest.approx([2.0])


def test_vickrey_declares_its_deficit_and_the_others_have_none():
    bids = Bids(side=[1, -1], price=[10, 4], quantity=[1, 1])
    assert [mechanism(bids).deficit_declared for mechanism in ALL] == [False, False, True, False]


@pytest.mark.parametrize(
    ("quantity", "part", "level"),
    [(5, 7, 15), (0, 3, 9), (2**61, 2**61 - 1, 2**61 + 5), (2**62 - 1, 2**61 + 3, 2**62 - 1), (9, 9, 9)],
)
def test_shares_of_huge_whole_numbers_are_exact(quantity, part, level):
    assert share(quantity, part, level) == (
        divmod(quantity * part, level) if part != level else (quantity, 0)
    )


def test_results_cannot_be_written():
    result = pay_as_cleared(Bids(side=[1, -1], price=[10, 4], quantity=[1, 1]))
    with pytest.raises(ValueError, match="read-only"):
        result.accepted[0] = 5
