"""What every clearing must satisfy, against slow independent definitions, on random markets with ties."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
from gridagora.market._share_kernel import share
from gridagora.model.bids import Bids

ALL = [pay_as_cleared, pay_as_bid, vickrey, trade_reduction]
EFFICIENT = ALL[:3]

property_test = settings(deadline=None, max_examples=120)


@st.composite
def markets(draw, *, whole=None, most=14, periods=1):
    whole = draw(st.booleans()) if whole is None else whole
    size = draw(st.integers(0, most))
    numbers = st.integers(-3, 9)
    amounts = st.integers(0, 7)
    if not whole:
        numbers = st.one_of(numbers.map(float), st.floats(-5, 10))
        amounts = st.one_of(amounts.map(lambda n: n / 10), st.floats(0, 8), st.just(1.1e-14))

    def columns(values):
        return draw(st.lists(values, min_size=size, max_size=size))

    return Bids(
        side=np.array(columns(st.sampled_from([1, -1])), dtype=int),
        price=np.array(columns(numbers), dtype=int if whole else float),
        quantity=np.array(columns(amounts), dtype=int if whole else float),
        participant=np.array(columns(st.integers(0, max(size // 2, 1))), dtype=int),
        period=np.array(columns(st.integers(0, periods - 1)), dtype=int),
    )


def best_welfare(side, price, quantity):
    """Welfare of E1 by a linear program, in units in which the largest quantity is 1."""
    size = quantity.max(initial=0)
    if size == 0:
        return 0.0
    answer = linprog(-side * price, A_eq=side[None, :], b_eq=[0], bounds=[(0, q) for q in quantity / size])
    assert answer.status == 0
    return -answer.fun * size


def residue(bids):
    return 0 if bids.is_integer else 1e-11 * (bids.quantity.sum() + 1e-300)


def money_residue(bids):
    return residue(bids) * (np.abs(bids.price).max(initial=0) + 1)


@property_test
@given(markets(most=25))
def test_welfare_is_that_of_an_independent_linear_program(bids):
    expected = best_welfare(bids.side.astype(float), bids.price, bids.quantity)
    for mechanism in EFFICIENT:
        assert mechanism(bids).welfare == pytest.approx(expected, rel=1e-7, abs=1e-7 + money_residue(bids))


@property_test
@given(markets(most=25))
def test_the_uniform_price_supports_what_is_accepted(bids):
    """Who is better than the price is filled, who is worse gets nothing (but for residues)."""
    result = pay_as_cleared(bids)
    if np.isnan(result.price).all():
        return
    slack = residue(bids)
    gain = bids.side * (bids.price - result.price[0])
    if bids.is_integer:
        # a midpoint rounded down stays inside the interval
        assert (result.accepted[gain > 0] == bids.quantity[gain > 0]).all()
    assert (bids.quantity - result.accepted)[gain > 0].sum() <= slack
    assert (result.accepted[gain < 0] == 0).all()


def price_interval(bids):
    """The equilibrium prices by their definition, with exact fractions."""
    quantity = [Fraction(q) for q in bids.quantity.tolist()]
    rows = list(zip(bids.side.tolist(), bids.price.tolist(), quantity, strict=True))

    def total(keep):
        return sum((q for side, price, q in rows if keep(side, price)), Fraction(0))

    prices = [
        p
        for p in sorted({price for _, price, q in rows if q > 0})
        if total(lambda s, x, p=p: s > 0 and x > p) <= total(lambda s, x, p=p: s < 0 and x <= p)
        and total(lambda s, x, p=p: s < 0 and x < p) <= total(lambda s, x, p=p: s > 0 and x >= p)
    ]
    volume = max(
        (
            min(total(lambda s, x, p=p: s > 0 and x >= p), total(lambda s, x, p=p: s < 0 and x <= p))
            for p in bids.price.tolist()
        ),
        default=0,
    )
    return volume, prices


@property_test
@given(markets(whole=True, most=25))
def test_price_and_volume_of_whole_bids_are_those_of_the_definition(bids):
    result = pay_as_cleared(bids)
    volume, prices = price_interval(bids)
    assert result.volume.sum() == volume
    if volume == 0:
        assert np.isnan(result.price).all()
    else:
        assert result.price.tolist() == [(min(prices) + max(prices)) // 2]


@property_test
@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_bucket_search_finds_what_the_definition_says_in_larger_markets(size, seed, levels):
    rng = np.random.default_rng(seed)
    bids = Bids(
        side=rng.choice([1, -1], size),
        price=rng.integers(-levels, levels, size) * 10 ** rng.integers(0, 9),
        quantity=rng.integers(0, 5, size),
    )
    volume, prices = price_interval(bids.take(bids.quantity > 0))
    result = pay_as_cleared(bids)
    assert result.volume.tolist() == [volume]
    if volume:
        assert result.price.tolist() == [(min(prices) + max(prices)) // 2]
    halved = Bids(side=bids.side, price=bids.price / 8, quantity=bids.quantity / 4)
    floats = pay_as_cleared(halved)
    assert floats.volume[0] == pytest.approx(float(volume) / 4, rel=1e-13)
    if volume:
        assert floats.price.tolist() == [(min(prices) / 8 + max(prices) / 8) / 2]


@property_test
@given(markets(periods=3))
def test_buys_equal_sells_to_the_last_places(bids):
    for mechanism in ALL:
        result = mechanism(bids)
        assert (result.accepted >= 0).all()
        assert (result.accepted <= bids.quantity).all()
        for period in result.period:
            mine = bids.period == period
            bought = result.accepted[mine & bids.is_buy].tolist()
            sold = result.accepted[mine & ~bids.is_buy].tolist()
            if bids.is_integer:
                assert sum(bought) == sum(sold)
            else:
                excess = abs(sum(map(Fraction, bought)) - sum(map(Fraction, sold)))
                places = 4 if mechanism is not trade_reduction else 12
                assert excess <= places * Fraction(math.ulp(math.fsum(bought)))


@pytest.mark.parametrize("kind", ["decimals", "wide", "ties"])
def test_no_rounding_error_adds_up_over_many_bids(kind):
    rng = np.random.default_rng(3)
    size = 20_000
    quantity = {
        "decimals": rng.integers(1, 999, size) / 1000,
        "wide": 10.0 ** rng.uniform(-9, 6, size),
        "ties": rng.random(size),
    }[kind]
    price = rng.integers(0, 3, size) / 10 if kind == "ties" else rng.random(size)
    bids = Bids(side=rng.choice([1, -1], size), price=price, quantity=quantity)
    accepted = pay_as_cleared(bids).accepted
    bought, sold = (sum(map(Fraction, accepted[bids.side == side].tolist())) for side in (1, -1))
    assert abs(bought - sold) <= 4 * Fraction(math.ulp(float(bought)))


@property_test
@given(markets(periods=3), st.randoms(use_true_random=False))
def test_order_of_the_bids_does_not_matter_bit_for_bit(bids, random):
    order = list(range(len(bids)))
    random.shuffle(order)
    # step tells bids of one participant apart, so that rows can be compared one by one
    named = Bids(**_columns(bids), step=np.arange(len(bids)))
    shuffled = named.take(order)
    for mechanism in ALL:
        one, other = mechanism(named), mechanism(shuffled)
        assert one.accepted[order].tobytes() == other.accepted.tobytes()
        assert one.paid[order].tobytes() == other.paid.tobytes()
        assert one.price.tobytes() == other.price.tobytes()
        assert one.payments.to_numpy().tobytes() == other.payments.to_numpy().tobytes()
        assert one.welfare == other.welfare
        assert one.trades.to_csv() == other.trades.to_csv()


def _columns(bids):
    return {name: getattr(bids, name) for name in ("side", "price", "quantity", "participant", "period")}


def test_what_is_spread_over_equal_bids_of_one_participant_does_not_depend_on_order():
    bids = Bids(
        side=[1, -1, -1, 1, 1],
        price=[0, -1, -1, 0, 0],
        quantity=[0, 2, 2, 2, 2],
        participant=[0, 0, 0, 0, 1],
        step=[0, 1, 2, 3, 4],
    )
    order = [0, 2, 1, 3, 4]
    assert vickrey(bids).paid[order].tolist() == vickrey(bids.take(order)).paid.tolist()


def test_floats_of_nameless_bids_do_not_depend_on_order_either():
    rng = np.random.default_rng(8)
    for _ in range(50):
        size = int(rng.integers(2, 300))
        side, price, quantity = rng.choice([1, -1], size), rng.integers(0, 4, size) / 10, rng.random(size)
        order = rng.permutation(size)
        one = pay_as_cleared(Bids(side=side, price=price, quantity=quantity))
        other = pay_as_cleared(Bids(side=side[order], price=price[order], quantity=quantity[order]))
        assert one.accepted[order].tobytes() == other.accepted.tobytes()


@property_test
@given(markets(most=30, periods=4))
def test_many_periods_at_once_are_each_period_alone(bids):
    for mechanism in ALL:
        together = mechanism(bids)
        for place, period in enumerate(together.period):
            rows = np.flatnonzero(bids.period == period)
            alone = mechanism(bids.take(rows))
            assert together.accepted[rows].tobytes() == alone.accepted.tobytes()
            assert together.paid[rows].tobytes() == alone.paid.tobytes()
            assert together.price[place : place + 1].tobytes() == alone.price.tobytes()


@property_test
@given(markets(most=30, periods=2))
def test_trades_realise_what_is_accepted_and_paid(bids):
    for mechanism in EFFICIENT:
        result = mechanism(bids)
        trades = result.trades
        assert (trades.quantity > 0).all()
        assert trades.quantity.sum() == pytest.approx(result.volume.sum(), rel=1e-12)
        if mechanism is vickrey:
            continue
        received = trades.assign(money=trades.quantity * trades.price).groupby("seller").money.sum()
        spent = trades.assign(money=trades.quantity * trades.price).groupby("buyer").money.sum()
        net = received.sub(spent, fill_value=0).reindex(result.payments.index, fill_value=0)
        np.testing.assert_allclose(net, result.payments, rtol=1e-9, atol=1e-9)
        assert result.budget_balance == pytest.approx(0, abs=1e-9)


@property_test
@given(markets(most=30))
def test_trades_with_oneself_are_as_few_as_can_be(bids):
    result = pay_as_cleared(bids)
    trades = result.trades
    volume = result.accepted[bids.is_buy].sum()
    for name in set(bids.participant.tolist()):
        mine = bids.participant == name
        both = result.accepted[mine & bids.is_buy].sum() + result.accepted[mine & ~bids.is_buy].sum()
        own = trades.quantity[(trades.buyer == name) & (trades.seller == name)].sum()
        assert own == pytest.approx(max(0, both - volume), abs=1e-9)


@property_test
@given(st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1), st.integers(1, 2**62 - 1))
def test_shares_of_whole_numbers_are_exact(quantity, part, level):
    quantity, part = min(quantity, level), min(part, level)
    quotient, rest = share(quantity, part, level)
    assert (quotient, rest) == divmod(quantity * part, level)
