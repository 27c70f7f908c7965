"""The capacity-limit auction against an independent mixed-integer program, F4-F10 as printed, by SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from gridagora.market import pay_as_cleared
from gridagora.market.checks import check_mechanism
from gridagora.market.mechanisms.capacity_limit import capacity_limit_auction
from gridagora.market.sample_markets import sample_markets
from gridagora.model.bids import Bids

CLOSE = {"rel": 1e-6, "abs": 2e-5}
"""Both programs take a switch within 1e-6 of a whole number for one."""


def best_welfare(bids, *, ordered, least=None, link=None):
    """Welfare of the optimum by equations F4-F10 as printed, blocks by one more switch each."""
    count = len(bids)
    q, u = bids.quantity.astype(float), (bids.side * bids.price).astype(float)
    rows, low, high, extra = [], [], [], 0

    def add(terms, lower, upper):
        rows.append(terms)
        low.append(lower)
        high.append(upper)

    for period in np.unique(bids.period):
        add({b: float(bids.side[b]) for b in np.flatnonzero(bids.period == period)}, 0, 0)
    if ordered:
        for b in np.flatnonzero(bids.is_buy):
            same = (bids.participant == bids.participant[b]) & (bids.period == bids.period[b]) & bids.is_buy
            before = np.flatnonzero(same & (bids.step < bids.step[b]))
            if len(before) and q[before].sum() > 0:
                y, extra = count + extra, extra + 1
                add({y: q[before].sum(), **dict.fromkeys(before, -1.0)}, -np.inf, 0)  # F8
                add({b: 1.0, y: -q[b]}, -np.inf, 0)  # F9
    switch = {}
    for b in range(count):
        share = 1.0 if link is not None and link[b] >= 0 else (0.0 if least is None else least[b])
        if share > 0:
            key = ("link", link[b]) if link is not None and link[b] >= 0 else ("bid", b)
            if key not in switch:
                switch[key], extra = count + extra, extra + 1
            add({b: 1.0, switch[key]: -q[b]}, -np.inf, 0)
            add({b: 1.0, switch[key]: -share * q[b]}, 0, np.inf)
    matrix = np.zeros((len(rows), count + extra))
    for i, terms in enumerate(rows):
        for column, value in terms.items():
            matrix[i, column] = value
    answer = milp(
        np.concatenate([-u, np.zeros(extra)]),
        constraints=LinearConstraint(matrix, low, high),
        bounds=Bounds(0, np.concatenate([q, np.ones(extra)])),
        integrality=np.arange(count + extra) >= count,
        # HiGHS with presolve calls feasible programs with blocks infeasible, or misses their optimum
        options={"mip_rel_gap": 0, "presolve": False},
    )
    return -answer.fun


@st.composite
def markets(draw, *, buyers, whole=None, periods=2):
    """Bids with numbered steps: buyers in any order of price, sellers ascending."""
    rows = []
    number = st.integers(0, 6)
    for period in range(draw(st.integers(1, periods))):
        for who in range(draw(st.integers(*buyers))):
            for step in range(draw(st.integers(1, 4))):
                rows.append((1, draw(number), draw(number), f"b{who}", period, step))
        for who in range(draw(st.integers(1, 4))):
            prices = sorted(draw(st.lists(number, min_size=1, max_size=3)))
            for step, price in enumerate(prices):
                rows.append((-1, price, draw(number), f"s{who}", period, step))
    side, price, quantity, participant, period, step = (list(c) for c in zip(*rows, strict=True))
    factor = 1 if (draw(st.booleans()) if whole is None else whole) else 0.1
    return Bids(
        side=side,
        price=np.array(price) * factor,
        quantity=np.array(quantity) * factor,
        participant=participant,
        period=period,
        step=step,
    )


def assert_legal(bids, accepted, *, ordered):
    assert (accepted >= 0).all()
    assert (accepted <= bids.quantity).all()
    for period in np.unique(bids.period):
        mine = bids.period == period
        assert (bids.side * accepted)[mine].sum() == pytest.approx(0, abs=1e-12)
    if ordered:
        for b in np.flatnonzero(bids.is_buy & (accepted > 0)):
            same = (bids.participant == bids.participant[b]) & (bids.period == bids.period[b]) & bids.is_buy
            before = same & (bids.step < bids.step[b])
            assert accepted[before] == pytest.approx(bids.quantity[before], rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(markets(buyers=(1, 1)))
def test_one_ordered_buyer_reaches_the_optimum(bids):
    result = capacity_limit_auction(bids, ordered=True)
    assert_legal(bids, result.accepted, ordered=True)
    assert result.welfare == pytest.approx(best_welfare(bids, ordered=True), **CLOSE)


@settings(max_examples=40, deadline=None)
@given(markets(buyers=(1, 1)))
def test_search_and_program_agree(bids):
    """A second buyer who buys nothing sends the same market through the program."""
    idle = Bids(
        side=[1] * 2 * len(np.unique(bids.period)),
        price=[-99, -98] * len(np.unique(bids.period)),
        quantity=[1, 1] * len(np.unique(bids.period)),
        participant=["idle"] * 2 * len(np.unique(bids.period)),
        period=np.repeat(np.unique(bids.period), 2),
        step=[0, 1] * len(np.unique(bids.period)),
    )
    search = capacity_limit_auction(bids, ordered=True)
    program = capacity_limit_auction(Bids.concat([bids, idle]), ordered=True)
    assert program.welfare == pytest.approx(search.welfare, **CLOSE)


@settings(max_examples=40, deadline=None)
@given(markets(buyers=(2, 3)))
def test_several_ordered_buyers_reach_the_optimum(bids):
    result = capacity_limit_auction(bids, ordered=True)
    assert_legal(bids, result.accepted, ordered=True)
    assert result.welfare == pytest.approx(best_welfare(bids, ordered=True), **CLOSE)


@settings(max_examples=40, deadline=None)
@given(markets(buyers=(1, 2)), st.booleans(), st.data())
def test_blocks_reach_the_optimum(bids, ordered, data):
    least = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(bids), max_size=len(bids)))
    )
    if bids.is_integer:
        least = np.round(least)
    result = capacity_limit_auction(bids, ordered=ordered, blocks=least)
    assert_legal(bids, result.accepted, ordered=ordered)
    assert result.welfare == pytest.approx(best_welfare(bids, ordered=ordered, least=least), **CLOSE)
    some = result.accepted > 0
    assert (result.accepted[some] >= (least * bids.quantity)[some] * (1 - 1e-9)).all()


@settings(max_examples=30, deadline=None)
@given(markets(buyers=(1, 2), periods=3), st.data())
def test_linked_blocks_reach_the_optimum(bids, data):
    group = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=len(bids), max_size=len(bids))))
    names = np.unique(bids.participant, return_inverse=True)[1]
    linked = Bids(
        **{n: getattr(bids, n) for n in ("side", "price", "quantity", "participant", "period", "step")},
        group=group,
    )
    result = capacity_limit_auction(linked, blocks="group")
    assert_legal(bids, result.accepted, ordered=False)
    link = np.where(group >= 0, names * 10 + group, -1)
    assert result.welfare == pytest.approx(best_welfare(linked, ordered=False, link=link), **CLOSE)


@settings(max_examples=40, deadline=None)
@given(markets(buyers=(1, 1)))
def test_order_does_not_matter_where_steps_get_cheaper(bids):
    """With a descending curve F8 binds nowhere, so both clearings are one."""
    price = bids.price.copy()
    for period in np.unique(bids.period):
        mine = np.flatnonzero((bids.period == period) & bids.is_buy)
        price[mine] = np.sort(price[mine])[::-1]
    descending = Bids(
        **{n: getattr(bids, n) for n in ("side", "quantity", "participant", "period", "step")}, price=price
    )
    plain, ordered = capacity_limit_auction(descending), capacity_limit_auction(descending, ordered=True)
    assert ordered.welfare == pytest.approx(plain.welfare, **CLOSE)
    assert ordered.volume == pytest.approx(plain.volume, rel=1e-9)
    np.testing.assert_allclose(ordered.price, plain.price, rtol=1e-9)
    energy = pay_as_cleared(descending)
    assert plain.accepted.tobytes() == energy.accepted.tobytes()
    assert plain.payments.tolist() == energy.payments.tolist()


def with_steps(bids, *, one_buyer):
    """The same market with numbered steps: sellers by price, buyers as they come."""
    participant = bids.participant.astype(str)
    if one_buyer:
        participant = (
            np.where(bids.is_buy, "dso", np.char.add("s", participant)) if len(bids) else participant
        )
    step = np.zeros(len(bids), dtype=np.int64)
    for key in {(p, t, s) for p, t, s in zip(participant, bids.period, bids.side, strict=True)}:
        mine = np.flatnonzero((participant == key[0]) & (bids.period == key[1]) & (bids.side == key[2]))
        order = mine if key[2] > 0 else mine[np.argsort(bids.price[mine], kind="stable")]
        step[order] = np.arange(len(mine))
    columns = {n: getattr(bids, n) for n in ("side", "price", "quantity", "period")}
    return Bids(**columns, participant=participant, step=step)


@pytest.mark.parametrize("one_buyer", [True, False])
def test_ordered_clearing_keeps_the_rules_of_every_mechanism(one_buyer):
    cases = [with_steps(bids, one_buyer=one_buyer) for bids in sample_markets(seed=3, count=30)]
    check_mechanism(lambda bids: capacity_limit_auction(bids, ordered=True), markets=cases).raise_if_failed()


def test_impact_based_clearing_keeps_the_rules_of_every_mechanism():
    check_mechanism(capacity_limit_auction).raise_if_failed()


def test_whole_blocks_keep_the_rules_of_every_mechanism():
    def all_or_nothing(bids):
        return capacity_limit_auction(bids, blocks=np.ones(len(bids)))

    check_mechanism(all_or_nothing, random_markets=20).raise_if_failed()
