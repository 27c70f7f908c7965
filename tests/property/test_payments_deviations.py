"""VCG is strategy-proof whatever the rules of the auction: no false bid that is tried may seem to pay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.market import capacity_limit_auction
from gridagora.market.payments import payments
from gridagora.model.bids import Bids

STEP = st.tuples(st.integers(0, 20), st.integers(1, 8), st.sampled_from([0.0, 0.5, 1.0]))


@st.composite
def markets(draw):
    """One or two buyers with any steps, sellers with rising ones, each bid with a least share."""
    rows = []
    for side, names in ((1, ("D", "E")), (-1, ("a", "b", "c"))):
        for name in names:
            steps = draw(st.lists(STEP, min_size=0 if name in "Ec" else 1, max_size=3))
            steps = steps if side > 0 else sorted(steps)
            rows += [(side, name, number, *step) for number, step in enumerate(steps)]
    side, name, number, price, quantity, least = (list(column) for column in zip(*rows, strict=True))
    bids = Bids(side=side, price=price, quantity=np.array(quantity) * 1.0, participant=name, step=number)
    return bids, np.array(least)


@given(market=markets(), ordered=st.booleans(), blocks=st.booleans())
@settings(deadline=None, max_examples=40)
def test_no_false_bid_pays_under_vcg(market, ordered, blocks):
    bids, least = market
    result = capacity_limit_auction(bids, ordered=ordered, blocks=least if blocks else None)
    found = payments(result, rule="vcg")
    assert found.deviation is None


def test_half_a_block_is_no_bid_of_its_owner():
    """A seller of 8 kW or nothing, of which 4 are wanted: 4 would sell, but cannot be delivered."""
    bids = Bids(side=[1, -1], price=[5.0, 1.0], quantity=[4.0, 8.0], participant=["d", "s"])
    found = payments(capacity_limit_auction(bids, blocks=[0.0, 1.0]), rule="vcg")
    assert found.amounts.abs().sum() == 0
    assert found.properties["strategy_proof"]


def test_ordered_steps_are_worth_what_they_are_in_their_order():
    """The buyer tells half of each step and gets 2.5 kW: worth 2.5 x 0.3, not 2 x 0.3 + 0.5 x 9."""
    bids = Bids(
        side=[1, 1, -1], price=[0.3, 9.0, 1.4], quantity=[4.0, 1.0, 9.0], participant=["d", "d", "s"],
        step=[0, 1, 0],
    )  # fmt: skip
    found = payments(capacity_limit_auction(bids, ordered=True), rule="vcg")
    assert found.properties["strategy_proof"]


def test_who_withholds_saves_its_dear_step():
    """The seller holds back half of each step: it still sells its 4 cheap kW, at a dearer price."""
    bids = Bids(
        side=[1, -1, -1, -1], price=[20.0, 1.0, 5.0, 9.0], quantity=[6.0, 4.0, 4.0, 9.0],
        participant=["d", "s", "s", "z"], step=[0, 0, 1, 0],
    )  # fmt: skip
    found = payments(capacity_limit_auction(bids), rule="uniform").deviation
    assert found.participant == "s"
    # 4 kW sold at 9 that cost 1 each, against 6 kW sold at 5 of which 2 cost 5
    assert found.gain == pytest.approx(4 * (9 - 1) - 4 * (5 - 1))
