"""Payments on random markets: fast ways against the definition, and what each rule keeps or does not."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.errors import InputError
from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
from gridagora.market.mechanisms.capacity_limit import capacity_limit_auction
from gridagora.market.payments import payments, shapley_value
from gridagora.model.bids import Bids

RULES = ("uniform", "pay_as_bid", "vcg", "vcg_one_sided", "shapley")


@st.composite
def markets(draw, *, players=5, buyers=None, whole=None, single=False):
    """Random bids of one or two periods; ``buyers`` of 1 makes participant 0 the only buyer."""
    whole = draw(st.booleans()) if whole is None else whole
    rows = []
    for period in range(draw(st.integers(1, 2))):
        for who in range(draw(st.integers(2, players))):
            for _ in range(1 if single and who else draw(st.integers(1, 2))):
                side = draw(st.sampled_from([1, -1])) if buyers is None else (1 if who < buyers else -1)
                rows.append((side, draw(st.integers(0, 9)), draw(st.integers(0, 6)), who, period))
    side, price, quantity, participant, period = (list(c) for c in zip(*rows, strict=True))
    factor = 1 if whole else draw(st.sampled_from([0.1, 1 / 3]))
    return Bids(
        side=side,
        price=np.array(price) * factor,
        quantity=np.array(quantity) * factor,
        participant=participant,
        period=period,
    )


def welfare(bids, names, clear):
    kept = bids.take(np.isin(bids.participant, list(names)))
    return float(clear(kept).welfare) if len(kept) else 0.0


def by_definition(bids, clear):
    """Average marginal contribution over every order of entry."""
    names = np.unique(bids.participant).tolist()
    total = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    known = {}
    for order in orders:
        before = 0.0
        for place, name in enumerate(order):
            key = frozenset(order[: place + 1])
            if key not in known:
                known[key] = welfare(bids, key, clear)
            total[name] += (known[key] - before) / len(orders)
            before = known[key]
    return total


@settings(max_examples=60, deadline=None)
@given(markets())
def test_shapley_and_vcg_are_what_their_definitions_say(bids):
    result = pay_as_cleared(bids)
    found = payments(result, rule="shapley")
    scale = float(np.abs(bids.price * bids.quantity).sum()) + 1
    assert found.values.to_dict() == pytest.approx(by_definition(bids, pay_as_cleared), abs=1e-10 * scale)
    assert found.values.sum() == pytest.approx(result.welfare, abs=1e-10 * scale)
    assert found.budget_balance == pytest.approx(0, abs=1e-10 * scale)
    vcg = payments(result, rule="vcg")
    assert vcg.amounts.tolist() == pytest.approx(vickrey(bids).payments.tolist(), abs=1e-12 * scale)
    names = set(np.unique(bids.participant).tolist())
    for name in names:
        gain = result.welfare - welfare(bids, names - {name}, pay_as_cleared)
        assert vcg.values[name] == pytest.approx(gain, abs=1e-9 * scale)


def numbered(bids):
    """Number the buys of each period as they come, so that their order counts."""
    step = np.zeros(len(bids), dtype=np.int64)
    for key in {(p, t, s) for p, t, s in zip(bids.participant, bids.period, bids.side, strict=True)}:
        mine = np.flatnonzero((bids.participant == key[0]) & (bids.period == key[1]) & (bids.side == key[2]))
        order = mine if key[2] > 0 else mine[np.argsort(bids.price[mine], kind="stable")]
        step[order] = np.arange(len(mine))
    columns = {name: getattr(bids, name) for name in ("side", "price", "quantity", "participant", "period")}
    return Bids(**columns, step=step)


@settings(max_examples=40, deadline=None)
@given(markets(buyers=1))
def test_ordered_markets_are_paid_by_definition(bids):
    def clear(some):
        return capacity_limit_auction(some, ordered=True)

    bids = numbered(bids)
    result = clear(bids)
    scale = float(np.abs(bids.price * bids.quantity).sum()) + 1
    found = payments(result, rule="shapley")
    assert found.values.to_dict() == pytest.approx(by_definition(bids, clear), abs=1e-9 * scale)
    vcg = payments(result, rule="vcg")
    names = set(np.unique(bids.participant).tolist())
    for name in names:
        gain = result.welfare - welfare(bids, names - {name}, clear)
        assert vcg.values[name] == pytest.approx(gain, abs=1e-9 * scale)


@settings(max_examples=10, deadline=None)
@given(markets(players=4), st.data())
def test_markets_with_blocks_are_paid_by_definition(bids, data):
    least = {name: data.draw(st.sampled_from([0.0, 1.0])) for name in np.unique(bids.participant).tolist()}

    def clear(some):
        return capacity_limit_auction(
            some, blocks=np.array([least[name] for name in some.participant.tolist()])
        )

    scale = float(np.abs(bids.price * bids.quantity).sum()) + 1
    result = clear(bids)
    found = payments(result, rule="shapley")
    assert found.values.to_dict() == pytest.approx(by_definition(bids, clear), abs=1e-5 * scale)
    names = set(np.unique(bids.participant).tolist())
    vcg = payments(result, rule="vcg")
    for name in names:
        gain = result.welfare - welfare(bids, names - {name}, clear)
        assert vcg.values[name] == pytest.approx(gain, abs=1e-5 * scale)


@settings(max_examples=40, deadline=None)
@given(markets(), st.sampled_from(RULES))
def test_no_rule_makes_anyone_pay_for_taking_part(bids, rule):
    found = payments(pay_as_cleared(bids), rule=rule)
    scale = float(np.abs(bids.price * bids.quantity).sum()) + 1
    if rule != "vcg_one_sided":
        assert found.values.min() >= -1e-9 * scale
    if rule != "vcg":
        assert found.budget_balance == pytest.approx(0, abs=1e-9 * scale)
    else:
        assert found.budget_balance <= 1e-9 * scale


@settings(max_examples=30, deadline=None)
@given(markets(), st.sampled_from(RULES), st.randoms(use_true_random=False))
def test_order_of_bids_does_not_matter(bids, rule, random):
    order = list(range(len(bids)))
    random.shuffle(order)
    one = payments(pay_as_cleared(bids), rule=rule)
    two = payments(pay_as_cleared(bids.take(order)), rule=rule)
    assert one.amounts.tolist() == pytest.approx(two.amounts.tolist(), rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(markets(whole=True))
def test_payments_add_up_over_periods(bids):
    for rule in RULES:
        whole = payments(pay_as_cleared(bids), rule=rule).amounts
        parts = dict.fromkeys(whole.index, 0.0)
        for period in np.unique(bids.period):
            mine = payments(pay_as_cleared(bids.take(bids.period == period)), rule=rule).amounts
            for name, amount in mine.items():
                parts[name] += amount
        assert parts == pytest.approx(whole.to_dict(), abs=1e-9)


def one_buyer(sellers, *, seed, whole=True, bids_each=1):
    rng = np.random.default_rng(seed)
    quantity = rng.integers(1, 20, sellers * bids_each) * (1.0 if whole else np.pi / 10)
    wanted = np.array([0.2, 0.2, 0.2]) * quantity.sum()
    return Bids(
        side=[1] * 3 + [-1] * len(quantity),
        price=np.concatenate([[9.0, 6.0, 3.0], rng.random(len(quantity)) * 8]),
        quantity=np.concatenate([np.rint(wanted) if whole else wanted, quantity]),
        participant=np.concatenate([[0] * 3, np.repeat(np.arange(1, sellers + 1), bids_each)]),
    )


@pytest.mark.parametrize("bids_each", [1, 3])
def test_quadrature_equals_enumeration(bids_each):
    from gridagora.market.payments.game import market_of, parts, value_table
    from gridagora.market.payments.saturation import quadrature_shapley

    part = parts(market_of(pay_as_cleared(one_buyer(12, seed=1, bids_each=bids_each))))[0]
    values, error, exact = quadrature_shapley(part, nodes=None)
    assert exact
    assert not error.any()
    assert values.tolist() == pytest.approx(shapley_value(value_table(part), 13).tolist(), abs=1e-9)


def test_few_nodes_state_an_error_that_holds():
    result = pay_as_cleared(one_buyer(100, seed=2))
    exact = payments(result, rule="shapley")
    few = payments(result, rule="shapley", nodes=8)
    assert exact.errors.max() == 0
    assert exact.values.sum() == pytest.approx(result.welfare, rel=1e-12)
    off = (few.values - exact.values).abs()
    assert off.max() > 0
    assert (off <= few.errors + 1e-9).all()


@pytest.mark.parametrize("seed", range(5))
def test_samples_cover_the_exact_value(seed):
    bids = one_buyer(20, seed=seed, whole=False)
    exact = payments(pay_as_cleared(bids), rule="shapley")
    drawn = payments(pay_as_cleared(bids), rule="shapley", sampling=True, samples=400, seed=seed)
    assert exact.shapley.methods == ("enumeration",)
    assert drawn.shapley.methods == ("sampling",)
    assert ((drawn.values - exact.values).abs() <= drawn.errors).all()
    assert drawn.values.sum() == pytest.approx(exact.values.sum(), rel=1e-9)
    assert drawn.properties["strategy_proof"] is None


def test_samples_where_every_coalition_is_cleared():
    bids = numbered(one_buyer(6, seed=3, whole=False))
    bids = Bids(
        side=bids.side, price=np.where(bids.is_buy, 12 - bids.price, bids.price), quantity=bids.quantity,
        participant=bids.participant, step=bids.step,
    )  # fmt: skip
    result = capacity_limit_auction(bids, ordered=True)
    exact = payments(result, rule="shapley")
    drawn = payments(result, rule="shapley", sampling=True, samples=150, seed=1)
    assert ((drawn.values - exact.values).abs() <= drawn.errors).all()


def test_most_violated_coalition_is_found_among_many():
    few = payments(pay_as_cleared(one_buyer(12, seed=5)), rule="shapley")
    from gridagora.market.payments.excess import search
    from gridagora.market.payments.game import parts

    searched = search(few.market.names, few.shapley.values, parts(few.market))
    assert 0.95 * few.excess.maximum <= searched.maximum <= few.excess.maximum * (1 + 1e-9)
    many = payments(pay_as_cleared(one_buyer(40, seed=5)), rule="shapley").excess
    assert not many.is_complete
    assert many.maximum > 0
    assert 0 in many.most_violated


def test_shapley_is_not_strategy_proof_and_pays_losers():
    """A seller gains by overstating its cost, and one who sells nothing is paid."""
    bids = {"side": [1, -1, -1], "quantity": [1, 1, 1], "participant": ["dso", "cheap", "dear"]}
    true = payments(capacity_limit_auction(Bids(price=[10, 4, 6], **bids)), rule="shapley")
    told = payments(capacity_limit_auction(Bids(price=[10, 5, 6], **bids)), rule="shapley")
    assert true.amounts["cheap"] - 4 < told.amounts["cheap"] - 4
    assert true.amounts["dear"] == pytest.approx(2 / 3)
    assert true.properties == {
        "budget_balanced": True,
        "individually_rational": True,
        "strategy_proof": False,
    }
    assert true.deviation.gain > 0
    vcg = payments(capacity_limit_auction(Bids(price=[10, 4, 6], **bids)), rule="vcg")
    assert vcg.amounts["dear"] == 0
    assert vcg.properties == {"budget_balanced": False, "individually_rational": True, "strategy_proof": True}


def test_one_sided_vcg_is_balanced_by_the_buyer():
    bids = one_buyer(8, seed=4)
    two, one = (payments(pay_as_cleared(bids), rule=rule) for rule in ("vcg", "vcg_one_sided"))
    assert one.amounts.drop(0).tolist() == pytest.approx(two.amounts.drop(0).tolist())
    assert one.budget_balance == pytest.approx(0, abs=1e-9)
    assert one.amounts[0] < two.amounts[0]


def test_one_buyer_pays_the_sellers_own_prices():
    bids = one_buyer(8, seed=4)
    expected = pay_as_bid(bids, price_rule="seller").payments
    assert payments(pay_as_cleared(bids), rule="pay_as_bid").amounts.tolist() == pytest.approx(
        expected.tolist()
    )


def test_participants_choose_and_order_the_list():
    found = payments(pay_as_cleared(one_buyer(3, seed=1)), rule="uniform", participants=[2, 99, 0])
    assert found.amounts.index.tolist() == [2, 99, 0]
    assert found.amounts[99] == 0


def test_what_does_not_fit_is_refused():
    bids = one_buyer(4, seed=1)
    ordered = capacity_limit_auction(numbered(bids), ordered=True)
    with pytest.raises(InputError, match="no price that suits everyone"):
        payments(ordered, rule="uniform")
    with pytest.raises(InputError, match="not the best"):
        payments(trade_reduction(bids), rule="shapley")
    with pytest.raises(InputError, match="3 faults"):
        payments(ordered, rule="core", nodes=0, samples=1)
    with pytest.raises(InputError, match="at most 24"):
        shapley_value(len, 25)


def test_markets_without_trade_pay_nothing():
    for bids in (Bids(side=[], price=[], quantity=[]), Bids(side=[1], price=[3], quantity=[2])):
        for rule in RULES:
            found = payments(capacity_limit_auction(bids), rule=rule)
            assert found.amounts.tolist() == [0] * len(bids)
            assert found.budget_balance == 0
