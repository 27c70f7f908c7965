"""Tenders against an enumeration of all sets of bids, which shares no code with the program."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.market.mechanisms.tender import award_tender
from gridagora.model.flexibility import FlexProduct
from gridagora.model.reservation import Tender, TenderBid

WINDOWS = ((0, 1), (4, 2))


@st.composite
def auctions(draw):
    calls = draw(st.sampled_from([0.0, 0.25, 1.0]))
    need = draw(st.lists(st.integers(0, 40).map(lambda x: x / 4), min_size=2, max_size=2))
    tender = Tender(
        name="t",
        buyer="dso",
        product=FlexProduct(direction="down"),
        windows=WINDOWS,
        need_kw=need,
        expected_calls=calls,
    )
    bids = []
    for number in range(draw(st.integers(0, 6))):
        low = draw(st.sampled_from([0, 0, 2, 5, 9])) / 2
        high = low + draw(st.integers(0 if low else 1, 12)) / 4
        prices = [draw(st.integers(0, 6)) / 4 for _ in range(2)]
        windows = draw(st.sampled_from([None, (0,), (1,)]))
        bids.append(
            TenderBid(
                participant=f"p{number}",
                min_kw=low,
                max_kw=high,
                availability=prices[0],
                utilisation=prices[1],
                windows=windows,
            )
        )
    return tender, bids


def cheapest(bids, need, calls):
    """Least cost per hour over all sets of bids that cover as much as can be covered."""
    target = min(need, sum(bid.max_kw for bid in bids))
    best = np.inf
    for on in product([False, True], repeat=len(bids)):
        chosen = sorted(
            (bid for bid, used in zip(bids, on, strict=True) if used),
            key=lambda bid: bid.availability + calls * bid.utilisation,
        )
        if sum(bid.max_kw for bid in chosen) < target - 1e-12:
            continue
        left, cost = target - sum(bid.min_kw for bid in chosen), 0.0
        for bid in chosen:
            more = min(max(left, 0.0), bid.max_kw - bid.min_kw)
            left -= more
            cost += (bid.min_kw + more) * (bid.availability + calls * bid.utilisation)
        best = min(best, cost)
    return target, best


@settings(deadline=None, max_examples=150)
@given(auctions(), st.randoms(use_true_random=False))
def test_awards_are_the_cheapest_cover_and_ignore_the_order_of_bids(auction, random):
    tender, bids = auction
    result = award_tender(tender, bids, hours=0.5)
    total = 0.0
    for window, (_, count) in enumerate(WINDOWS):
        mine = [bid for bid in bids if bid.windows is None or window in bid.windows]
        target, cost = cheapest(mine, result.tender.need_kw[window], tender.expected_calls)
        assert result.covered_kw[window] == pytest.approx(target, abs=1e-9)
        total += cost * count * 0.5
    assert result.expected_cost == pytest.approx(total, abs=1e-9)
    for bid, volumes in zip(bids, result.volume_kw.tolist(), strict=True):
        assert all(kw == 0 or bid.min_kw - 1e-12 <= kw <= bid.max_kw + 1e-12 for kw in volumes)
    assert np.allclose(result.covered_kw + result.missing_kw, result.tender.need_kw)

    shuffled = bids.copy()
    random.shuffle(shuffled)
    again = award_tender(tender, shuffled, hours=0.5)
    at = {bid.participant: row for row, bid in enumerate(shuffled)}
    for bid, volumes in zip(bids, result.volume_kw.tolist(), strict=True):
        assert again.volume_kw[at[bid.participant]].tolist() == volumes


@settings(deadline=None, max_examples=100)
@given(auctions())
def test_contracts_answers_and_volumes_agree(auction):
    tender, bids = auction
    result = award_tender(tender, bids, hours=1.0)
    reserved = {c.seller: sum(c.reserved_kw) for c in result.contracts}
    counts = np.array([count for _, count in WINDOWS])
    for bid, volumes in zip(bids, result.volume_kw, strict=True):
        assert reserved.get(bid.participant, 0.0) == pytest.approx(float(volumes @ counts))
    assert all(answer.reason and answer.accepted == (answer.kw > 0) for answer in result.answers)
    assert len(result.answers) == sum(2 if bid.windows is None else 1 for bid in bids)


@settings(deadline=None, max_examples=60)
@given(auctions(), st.integers(1, 12))
def test_one_more_bid_never_makes_the_same_cover_dearer(auction, kw):
    tender, bids = auction
    before = award_tender(tender, bids, hours=1.0)
    newcomer = TenderBid(participant="new", max_kw=float(kw), availability=0.5, utilisation=0.5)
    after = award_tender(tender, [*bids, newcomer], hours=1.0)
    assert (after.covered_kw >= before.covered_kw - 1e-9).all()
    if not before.missing_kw.any():
        assert after.expected_cost <= before.expected_cost + 1e-9
