"""What holds for every delivery and every rule: bounds, conservation in integers, monotony."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.settlement._proportions import share_of
from gridagora.settlement.flexibility import settle_flexibility
from gridagora.settlement.flexibility_delivery import Calls, ReadingRules, check_baseline, check_limit
from gridagora.settlement.flexibility_rules import RULES, FlexTerms
from gridagora.settlement.reservation import ReservationTerms, check_availability, settle_reservation


@st.composite
def cases(draw, missing=True):
    """Calls, readings and orders of a few meters, with a random generator for the rest."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    meters, periods, fine = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    calls = Calls(
        called=rng.random((meters, periods)) < 0.8,
        hours=draw(st.sampled_from([0.25, 0.5, 1.0])),
        window=np.sort(rng.integers(0, 3, periods)),
    )
    metered = rng.uniform(-12, 12, (meters, periods * fine)).round(2)
    if missing:
        metered[rng.random(metered.shape) < 0.2] = np.nan
    return calls, metered, rng


def check(calls, metered, rng, *, kind):
    shape = calls.called.shape
    rules = ReadingRules(tolerance_kw=0.3, most_missing_percent=30)
    if kind in ("cap", "floor"):
        limit = rng.uniform(0, 8, shape).round(2)
        return check_limit(metered, calls, limit_kw=limit, capacity_kw=8.0, direction=kind, rules=rules)
    base, order = rng.uniform(-5, 5, shape), rng.uniform(0, 6, shape).round(1)
    return check_baseline(metered, calls, baseline_kw=base, ordered_kw=order, direction=kind, rules=rules)


@pytest.mark.parametrize("kind", ["cap", "floor", "down", "up"])
@settings(deadline=None, max_examples=60)
@given(case=cases())
def test_delivery_stays_within_the_order(case, kind):
    calls, metered, rng = case
    found = check(calls, metered, rng, kind=kind)
    assert ((found.share >= 0) & (found.share <= 1)).all()
    assert ((found.delivered_wh >= 0) & (found.delivered_wh <= found.ordered_wh)).all()
    assert (found.deficiency_wh + found.delivered_wh >= found.ordered_wh).all()
    assert (found.deficiency_wh[~calls.called] == 0).all()
    assert not (found.estimated & found.failed).any()


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=50)
@given(case=cases(), buyers=st.integers(1, 4))
def test_payments_sum_to_zero_in_every_period(case, buyers, rule):
    calls, metered, rng = case
    found = check(calls, metered, rng, kind="cap")
    shape = calls.called.shape
    terms = FlexTerms(
        amount_micro=rng.integers(-10, 10**7, shape), penalty_micro_per_kwh=rng.integers(0, 10**6, shape)
    )
    prepaid = rng.integers(0, 10**7, (buyers, shape[1])) * (rng.random((buyers, shape[1])) < 0.7)
    lines = settle_flexibility(found, terms, rule=rule, prepaid_micro=prepaid)
    total = lines.receipt.sum(axis=0) + lines.payment.sum(axis=0) + lines.surplus + lines.rounding
    assert (total == 0).all()
    assert (lines.amount - lines.claw_back - lines.penalty == lines.receipt).all()
    assert (np.abs(lines.rounding) * 2 <= buyers).all()
    assert all(column.dtype == np.int64 for column in (lines.receipt, lines.payment, lines.rounding))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["cap", "floor", "down", "up"])
@settings(deadline=None, max_examples=25)
@given(case=cases(missing=False))
def test_delivering_more_never_earns_less(case, kind, rule):
    calls, metered, rng = case
    seed = int(rng.integers(2**32))
    sign = 1 if kind in ("cap", "down") else -1
    better = metered - sign * rng.uniform(0, 3, metered.shape)
    terms = FlexTerms(amount_micro=rng.integers(0, 10**7, calls.called.shape), penalty_micro_per_kwh=300_000)
    less, more = (
        settle_flexibility(
            check(calls, readings, np.random.default_rng(seed), kind=kind), terms, rule=rule
        ).receipt
        for readings in (metered, better)
    )
    assert (more >= less).all()


@settings(deadline=None, max_examples=200)
@given(st.integers(-(10**15), 10**15), st.integers(1, 10**13), st.data())
def test_share_is_the_nearest_whole_number_and_ties_go_to_even(amount, whole, data):
    part = data.draw(st.integers(0, whole))
    found = int(share_of(amount, part, whole))
    error = 2 * (found * whole - amount * part)
    assert abs(error) <= whole
    assert abs(error) < whole or found % 2 == 0


@settings(deadline=None, max_examples=60)
@given(case=cases())
def test_fees_sum_to_zero_and_never_exceed_what_is_due(case):
    calls, _, rng = case
    shape = calls.called.shape
    power = [rng.uniform(0, 9, shape) * (rng.random(shape) < 0.7) for _ in range(3)]
    found = check_availability(
        reserved_kw=power[0], requested_kw=power[1], offered_kw=power[2], hours=calls.hours
    )
    terms = ReservationTerms(fee_micro_per_kwh=rng.integers(0, 10**6, shape))
    lines = settle_reservation(found, terms, rule="offered", weights=rng.integers(0, 9, (3, shape[1])))
    assert (lines.receipt.sum(axis=0) + lines.payment.sum(axis=0) + lines.rounding == 0).all()
    assert ((lines.receipt >= 0) & (lines.receipt <= lines.fee)).all()
    assert (lines.withheld[found.is_met] == 0).all()
