"""Each settlement rule against money computed by hand, reservations, and what is refused."""

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.settlement._proportions import share_of, split
from gridagora.settlement.flexibility import settle_flexibility
from gridagora.settlement.flexibility_delivery import Calls, check_baseline, check_limit
from gridagora.settlement.flexibility_rules import RULES, FlexTerms
from gridagora.settlement.reservation import (
    FEE_RULES,
    ReservationTerms,
    check_availability,
    settle_reservation,
)

NAN = float("nan")


def delivered(percents, *, window=None, hours=1.0):
    """Check deliveries of these percentages of 10 kW."""
    calls = Calls(called=np.ones((1, len(percents)), dtype=bool), hours=hours, window=window)
    metered = [[100.0 - 0.1 * percent for percent in percents]]
    return check_baseline(metered, calls, baseline_kw=100.0, ordered_kw=10.0, direction="down")


def receipts(percents, rule, *, penalty=0, window=None):
    terms = FlexTerms(amount_micro=np.full((1, len(percents)), 1000), penalty_micro_per_kwh=penalty)
    return settle_flexibility(delivered(percents, window=window), terms, rule=rule).receipt[0].tolist()


@pytest.mark.parametrize("hours", [0.25, 1.0])
def test_uftp_example_holds_exactly(hours):
    calls = Calls(called=[[True] * 5], hours=hours)
    found = check_baseline(
        [[7.0, 8.0, 9.0, 10.0, 11.0]], calls, baseline_kw=10.0, ordered_kw=2.0, direction="down"
    )
    unit = int(1_000_000 * hours)
    terms = FlexTerms(amount_micro=np.full((1, 5), 14 * unit), penalty_micro_per_kwh=11_000_000)
    lines = settle_flexibility(found, terms, rule="uftp")
    assert lines.receipt.tolist() == [[14 * unit, 14 * unit, -4 * unit, -22 * unit, -33 * unit]]
    assert (lines.payment == -lines.receipt).all()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("pay_delivered", [1000, 1000, 900, 800, 750, 740, 500, 0]),
        ("threshold_75", [1000, 1000, 900, 800, 750, 0, 0, 0]),
        ("threshold_80", [1000, 1000, 900, 800, 0, 0, 0, 0]),
        ("sliding_50", [1000, 1000, 800, 600, 500, 480, 0, 0]),
        ("uftp", [1000, 1000, 900, 800, 750, 740, 500, 0]),
        ("capacity_limit", [1000] * 8),
    ],
)
def test_rules_without_penalty(rule, expected):
    assert receipts([120, 100, 90, 80, 75, 74, 50, 0], rule) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("uftp", [1000, 700, -2000, -4000]),
        ("capacity_limit", [1000, 800, -1000, -3000]),
        ("threshold_75", [1000, 700, -2000, -4000]),
        ("sliding_50", [1000, 600, -2000, -4000]),
        ("pay_delivered", [1000, 900, 0, 0]),
    ],
)
def test_rules_charge_the_deficiency_also_beyond_the_order(rule, expected):
    assert receipts([100, 90, 0, -100], rule, penalty=200) == expected


def test_threshold_and_slide_look_at_the_whole_call():
    assert receipts([100, 50], "threshold_75", window=[0, 0]) == [1000, 500]
    assert receipts([100, 48], "threshold_75", window=[0, 0]) == [0, 0]
    assert receipts([100, 50], "sliding_50", window=[0, 0]) == [500, 500]


@pytest.mark.parametrize("rule", RULES)
def test_a_call_without_readings_earns_nothing(rule):
    calls = Calls(called=[[True]], hours=1.0)
    found = check_limit([[NAN]], calls, limit_kw=4.0, capacity_kw=10.0)
    terms = FlexTerms(amount_micro=np.array([[1000]]), penalty_micro_per_kwh=10)
    lines = settle_flexibility(found, terms, rule=rule)
    assert lines.claw_back.tolist() == [[1000]]
    assert lines.receipt.tolist() == [[0 if rule == "pay_delivered" else -60]]


@pytest.mark.parametrize("rule", RULES)
def test_an_amount_without_an_order_is_kept(rule):
    calls = Calls(called=[[False]], hours=1.0)
    found = check_limit([[9.0]], calls, limit_kw=4.0, capacity_kw=10.0)
    lines = settle_flexibility(found, FlexTerms(amount_micro=np.array([[70]])), rule=rule)
    assert lines.receipt.tolist() == [[70]]


def test_refund_goes_to_the_buyers_pro_rata_and_the_residue_is_named():
    terms = FlexTerms(amount_micro=np.array([[1000]]))
    lines = settle_flexibility(
        delivered([90]), terms, rule="pay_delivered", prepaid_micro=[[400], [400], [400]]
    )
    assert lines.refund.tolist() == [[33], [33], [33]]
    assert lines.rounding.tolist() == [1]
    assert lines.surplus.tolist() == [200]
    assert lines.payment.sum() + lines.receipt.sum() + 1 + 200 == 0


def test_deficit_of_a_payment_rule_is_a_negative_surplus():
    terms = FlexTerms(amount_micro=np.array([[1000]]))
    lines = settle_flexibility(delivered([100]), terms, rule="uftp", prepaid_micro=[[600]])
    assert lines.surplus.tolist() == [-400]
    assert lines.refund.tolist() == [[0]]


def test_test_call_is_neither_paid_nor_charged():
    found = delivered([40, 90])
    terms = FlexTerms(amount_micro=np.array([[0, 1000]]), penalty_micro_per_kwh=200)
    lines = settle_flexibility(found, terms, rule="uftp", test=[[True, False]])
    assert lines.receipt.tolist() == [[0, 700]]
    assert found.passed(75).tolist() == [[False, True]]


def test_faults_of_a_settlement_are_told_all_at_once():
    terms = FlexTerms(amount_micro=np.array([[5.0]]), penalty_micro_per_kwh=-1)
    with pytest.raises(InputError) as error:
        settle_flexibility(delivered([90]), terms, rule="best", prepaid_micro=[[-4]], test=[[True]])
    assert [fault.place for fault in error.value.faults] == [
        "amount_micro",
        "penalty_micro_per_kwh",
        "prepaid_micro",
        "rule",
        "amount_micro, meter 0, column 0",
    ]


def test_shapes_of_a_settlement_are_checked():
    terms = FlexTerms(amount_micro=np.array([[5, 5]]), penalty_micro_per_kwh=np.array([1.0, 2.0]))
    with pytest.raises(InputError) as error:
        settle_flexibility(
            delivered([90]), terms, rule="uftp", prepaid_micro=np.zeros((1, 2)), test=[[True] * 3]
        )
    assert [fault.place for fault in error.value.faults] == [
        "amount_micro",
        "penalty_micro_per_kwh",
        "penalty_micro_per_kwh",
        "prepaid_micro",
        "prepaid_micro",
        "test",
    ]


def test_large_sums_stay_exact():
    whole, part = 7 * 10**12 + 1, 3 * 10**12 + 1
    amount = 9 * 10**15 + 7
    found = int(share_of(amount, part, whole))
    assert abs(found * whole - amount * part) * 2 <= whole
    parts, residue = split(np.array([amount]), np.array([[10**15], [2 * 10**15]]))
    assert int(parts.sum() + residue.sum()) == amount


def available(**values):
    base = {"reserved_kw": 4.0, "requested_kw": 4.0, "offered_kw": 4.0} | values
    return check_availability(**{name: [[value]] for name, value in base.items()}, hours=0.5)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({}, 2000),
        ({"offered_kw": 3.0}, 1500),
        ({"offered_kw": 9.0}, 2000),
        ({"offered_kw": 0.0}, 0),
        ({"requested_kw": 0.0, "offered_kw": 0.0}, 2000),
        ({"requested_kw": 2.0, "offered_kw": 2.0}, 2000),
        ({"reserved_kw": -4.0, "requested_kw": -2.0, "offered_kw": 1.0}, 1000),
    ],
)
def test_fee_follows_what_was_offered_when_called(values, kept):
    lines = settle_reservation(available(**values), ReservationTerms(fee_micro_per_kwh=1000), rule="offered")
    assert lines.receipt.tolist() == [[kept]]
    assert lines.withheld.tolist() == [[2000 - kept]]
    assert lines.payment.tolist() == [[-kept]]


def test_fee_is_lost_where_the_call_was_not_delivered():
    terms = ReservationTerms(fee_micro_per_kwh=1000, delivery=delivered([74]))
    assert settle_reservation(available(), terms, rule="delivered").receipt.tolist() == [[0]]
    terms = ReservationTerms(fee_micro_per_kwh=1000, delivery=delivered([74]), least_percent=70)
    assert settle_reservation(available(), terms, rule="delivered").receipt.tolist() == [[2000]]


def test_fee_by_the_month_before():
    terms = ReservationTerms(fee_micro_per_kwh=1000, previous_wh=np.array([[3], [4]]))
    assert settle_reservation(available(), terms, rule="previous").receipt.tolist() == [[1500]]
    gone = available(offered_kw=0.0)
    assert settle_reservation(gone, terms, rule="previous").receipt.tolist() == [[0]]
    new = ReservationTerms(fee_micro_per_kwh=1000, previous_wh=np.array([[0], [0]]))
    assert settle_reservation(available(), new, rule="previous").receipt.tolist() == [[2000]]


def test_fee_is_shared_by_the_buyers_and_the_residue_is_named():
    terms = ReservationTerms(fee_micro_per_kwh=500)
    lines = settle_reservation(available(), terms, rule="offered", weights=[[1], [1], [1]])
    assert lines.payment.tolist() == [[-333], [-333], [-333]]
    assert lines.rounding.tolist() == [-1]


def test_faults_of_a_reservation():
    with pytest.raises(InputError) as error:
        check_availability(reserved_kw=[[1.0]], requested_kw=[[NAN]], offered_kw=[[-1.0]], hours=0.0)
    assert len(error.value.faults) == 3
    bad = ReservationTerms(fee_micro_per_kwh=-1)
    with pytest.raises(InputError) as error:
        settle_reservation(available(), bad, rule="none", weights=[[0.5, 0.5]])
    assert [fault.place for fault in error.value.faults] == [
        "fee_micro_per_kwh",
        "weights",
        "weights",
        "rule",
    ]


@pytest.mark.parametrize("rule", sorted(set(FEE_RULES) - {"offered"}))
def test_a_rule_asks_for_what_it_needs(rule):
    with pytest.raises(InputError):
        settle_reservation(available(), ReservationTerms(fee_micro_per_kwh=1), rule=rule)
