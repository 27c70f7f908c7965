"""Stories of tenders and of the contracts that come of them."""

import math

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.market.mechanisms.tender import award_tender
from gridagora.model.flexibility import FlexProduct
from gridagora.model.reservation import (
    FlexContract,
    Tender,
    TenderBid,
    Trigger,
    call_faults,
    obligation_kw,
    periods_triggered,
    released,
)
from gridagora.settlement.reservation import ReservationTerms, check_availability, settle_reservation

DOWN = FlexProduct(direction="down")


def tender(**changes):
    given = {"name": "winter", "buyer": "dso", "product": DOWN, "windows": ((17, 3), (41, 3))}
    return Tender(**(given | {"need_kw": [10.0, 20.0], "expected_calls": 0.5} | changes))


def bid(participant, **changes):
    given = {"participant": participant, "max_kw": 12.0, "availability": 0.02, "utilisation": 0.2}
    return TenderBid(**(given | changes))


def contract(**changes):
    given = {"id": "c", "buyer": "dso", "seller": "ann", "product": DOWN, "source": "long"}
    prices = {"availability_micro_per_kw_h": 20_000, "activation_cap_micro_per_kwh": 400_000}
    calendar = {"periods": (17, 18, 19, 41, 42), "reserved_kw": [5.0, 5.0, 4.0, 6.0, 6.0]}
    return FlexContract(**(given | prices | calendar | changes))


def places_of(call):
    with pytest.raises(InputError) as caught:
        call()
    return [fault.place for fault in caught.value.faults]


def reasons(result):
    return {(answer.participant, answer.window): answer.reason for answer in result.answers}


def test_each_bid_hears_why():
    bids = [
        bid("cheap", max_kw=8.0),
        bid("far", availability=0.0),
        bid("greedy", availability=0.5),
        bid("hot", utilisation=9.0),
        bid("short", max_run_periods=2),
        bid("late", availability=0.09, windows=(1,)),
        bid("rest"),
    ]
    bus_of = {one.participant: "1" for one in bids} | {"far": "2"}
    asked = tender(area=("1",), availability_cap=0.1, utilisation_cap=1.0)
    result = award_tender(asked, bids, hours=1.0, bus_of=bus_of)
    assert reasons(result) == {
        # one contract of "rest" covers window 0 at the same cost
        ("cheap", 0): "as dear as the last that was taken, and no more was needed",
        ("cheap", 1): "in full",
        ("far", 0): "outside the area",
        ("far", 1): "outside the area",
        ("greedy", 0): "above the ceiling of availability",
        ("greedy", 1): "above the ceiling of availability",
        ("hot", 0): "above the ceiling of utilisation",
        ("hot", 1): "above the ceiling of utilisation",
        ("short", 0): "cannot cover window 0: runs 2 of its 3 periods",
        ("short", 1): "cannot cover window 1: runs 2 of its 3 periods",
        ("late", 1): "dearer than what was needed",
        ("rest", 0): "in part: no more was needed",
        ("rest", 1): "in full",
    }
    assert result.volume_kw.sum(axis=0).tolist() == [10.0, 20.0]


def test_a_need_that_cannot_be_covered_is_covered_as_far_as_it_goes():
    result = award_tender(tender(), [bid("a"), bid("b", max_kw=3.0, windows=(0,))], hours=1.0)
    assert result.covered_kw.tolist() == [10.0, 12.0]
    assert result.missing_kw.tolist() == [0.0, 8.0]
    nothing = award_tender(tender(), [], hours=1.0)
    assert (nothing.missing_kw.tolist(), nothing.contracts, nothing.expected_cost) == ([10.0, 20.0], (), 0.0)


def test_expected_calls_decide_between_a_dear_stand_by_and_a_dear_call():
    stand_by, call = bid("stand-by", availability=0.1, utilisation=0.0), bid("call", utilisation=0.5)
    one = {"windows": ((17, 3),), "need_kw": [12.0]}
    often = award_tender(tender(**one, expected_calls=1.0), [stand_by, call], hours=1.0)
    seldom = award_tender(tender(**one, expected_calls=0.1), [stand_by, call], hours=1.0)
    assert [c.seller for c in often.contracts] == ["stand-by"]
    assert [c.seller for c in seldom.contracts] == ["call"]
    assert often.expected_cost == pytest.approx(12 * 3 * 0.1)
    assert seldom.expected_cost == pytest.approx(12 * 3 * (0.02 + 0.05))


def test_a_smallest_volume_may_be_bought_beyond_the_need():
    block = bid("block", min_kw=15.0, max_kw=15.0, availability=0.001, utilisation=0.0)
    result = award_tender(tender(windows=((17, 3),), need_kw=[10.0]), [block, bid("b")], hours=1.0)
    assert result.volume_kw.tolist() == [[15.0], [0.0]]
    assert result.covered_kw.tolist() == [10.0]


def test_a_cheap_block_that_does_not_fit_is_told_so():
    block = bid("block", min_kw=30.0, max_kw=30.0, availability=0.01, utilisation=0.0)
    result = award_tender(
        tender(windows=((17, 3),), need_kw=[10.0]), [block, bid("b", utilisation=0)], hours=1
    )
    assert reasons(result)["block", 0] == (
        "its volumes do not fit: other bids together cover the need at less cost"
    )


def test_fewest_contracts_win_among_equal_costs():
    result = award_tender(
        tender(windows=((17, 3),), need_kw=[10.0]),
        [bid("a", max_kw=5.0), bid("b"), bid("c", max_kw=5.0)],
        hours=1.0,
    )
    assert [c.seller for c in result.contracts] == ["b"]


def test_contracts_carry_the_bid_and_settle():
    result = award_tender(tender(), [bid("a", min_kw=4.0, max_run_periods=3)], hours=0.25)
    (won,) = result.contracts
    assert won.periods == (17, 18, 19, 41, 42, 43)
    assert np.asarray(won.reserved_kw).tolist() == [10.0] * 3 + [12.0] * 3
    assert (won.availability_micro_per_kw_h, won.activation_cap_micro_per_kwh) == (20_000, 200_000)
    assert (won.source, won.activation, won.product.max_duration) == ("tender", "dispatch", 3)
    kw = np.asarray(won.reserved_kw)[None]
    there = check_availability(reserved_kw=kw, requested_kw=0 * kw, offered_kw=0 * kw, hours=0.25)
    terms = ReservationTerms(fee_micro_per_kwh=won.availability_micro_per_kw_h)
    lines = settle_reservation(there, terms, rule="offered")
    assert lines.fee.sum() == pytest.approx(1e6 * 0.02 * 0.25 * kw.sum())


def test_a_long_term_contract_is_tendered_with_its_conditions():
    cold = Trigger(name="temperature", threshold=-5.0)
    terms = {"source": "long", "auto_offer": True, "activation": "auction", "max_activations": 20}
    terms |= {"rest_periods": 4, "lead_periods": 24, "trigger": cold}
    (won,) = award_tender(tender(**terms), [bid("a")], hours=1.0).contracts
    assert {name: getattr(won, name) for name in terms} == terms
    assert places_of(lambda: tender(source="gift", lead_periods=-1)) == ["source", "lead_periods"]


def test_every_fault_of_the_bids_at_once():
    bids = [
        bid("ann", availability=math.nan),
        bid("eve"),
        bid("bob", min_kw=20.0),
        bid("cat", windows=(1, 2)),
        bid("cat", windows=(1,), max_kw=-1.0),
        bid("dan", max_kw=0.0, utilisation=-0.1, max_run_periods=0, windows=()),
    ]
    known = dict.fromkeys(("ann", "bob", "cat", "dan"), "1")
    assert places_of(lambda: award_tender(tender(), bids, hours=0.0, bus_of=known, now_period=18)) == [
        "hours",
        "tender winter, window 0",
        "bid 0, availability",
        "bid 1, participant",
        "bid 2, min_kw",
        "bid 3, windows",
        "bid 4, max_kw",
        "bid 4, min_kw",
        "bid 4, windows",
        "bid 5, utilisation",
        "bid 5, max_kw",
        "bid 5, max_run_periods",
        "bid 5, windows",
    ]


def test_every_fault_of_a_tender_at_once():
    long = FlexProduct(direction="up", min_duration=2)
    assert places_of(
        lambda: tender(
            name="",
            product=long,
            windows=((5, 1), (-1, 2), (5, 3)),
            need_kw=[1.0, math.nan, -2.0],
            availability_cap=math.nan,
            expected_calls=2.0,
        )
    ) == [
        "name",
        "window 0",
        "window 1",
        "window 2",
        "need_kw 1",
        "need_kw 2",
        "availability_cap",
        "expected_calls",
    ]
    assert places_of(lambda: tender(need_kw=["x", 1.0], windows=())) == ["windows", "need_kw"]


def test_every_fault_of_a_contract_at_once():
    assert places_of(
        lambda: contract(
            source="gift",
            periods=(18, 17),
            reserved_kw=[1.0],
            availability_micro_per_kw_h=0.5,
            rest_periods=-1,
            activation="later",
            trigger=Trigger(name="t", threshold=math.nan, when="often"),
        )
    ) == [
        "source",
        "activation",
        "rest_periods",
        "trigger",
        "trigger",
        "periods",
        "reserved_kw",
        "availability_micro_per_kw_h",
    ]


def test_a_release_only_shrinks():
    less = released(contract(), 19, 1.0)
    assert (less.kw_in(19), less.kw_in(17), less.kw_in(20), contract().kw_in(19)) == (1.0, 5.0, 0.0, 4.0)
    for period, kw in ((19, 2.0), (20, 1.0), (17, -1.0), (17, math.nan)):
        with pytest.raises(InputError):
            released(less, period, kw)


def test_obligation_is_the_smaller_amount_of_any_sign():
    assert obligation_kw(contract(), [-9.0, 2.0, 0.0, 6.0, -1.0]).tolist() == [5.0, 2.0, 0.0, 6.0, 1.0]
    assert places_of(lambda: obligation_kw(contract(), [1.0])) == ["requested_kw"]


def test_a_trigger_opens_some_periods():
    cold = np.zeros(43)
    cold[[18, 42]] = -5.0
    triggered = contract(trigger=Trigger(name="temperature", threshold=-5.0))
    assert periods_triggered(triggered, {"temperature": cold}) == (18, 42)
    assert periods_triggered(contract(), {}) == contract().periods
    over = contract(trigger=Trigger(name="loading", threshold=91.0, when="at_least"))
    assert periods_triggered(over, {"loading": cold + 95.0}) == (17, 19, 41)
    for values in ({}, {"temperature": cold[:42]}):
        assert places_of(lambda values=values: periods_triggered(triggered, values)) == [
            "trigger temperature"
        ]


@pytest.mark.parametrize(
    ("changes", "periods", "given", "reason"),
    [
        ({}, (17, 18), {}, None),
        ({}, (19, 20), {}, "outside the calendar"),
        ({}, (17, 19), {}, "no row of consecutive"),
        ({}, (), {}, "no row of consecutive"),
        ({"lead_periods": 8}, (17,), {"at_period": 10}, "comes 7 periods ahead, 8 are agreed"),
        ({"lead_periods": 8}, (17,), {"at_period": 9}, None),
        ({}, (17,), {"at_period": 18}, "comes -1 periods ahead"),
        ({"max_activations": 1}, (41,), {"earlier_calls": [(17,)]}, "one more than the 1 of the contract"),
        ({}, (18, 19), {"earlier_calls": [(17, 18)]}, "overlaps the call of 17, 18"),
        ({"rest_periods": 1}, (18,), {"earlier_calls": [(17,)]}, "leaves 0 idle periods"),
        ({"rest_periods": 1}, (17,), {"earlier_calls": [(19,)]}, None),
        (
            {"product": FlexProduct(direction="down", min_rest=2)},
            (17,),
            {"earlier_calls": [(19,)]},
            "leaves 1 idle",
        ),
        (
            {"product": FlexProduct(direction="down", min_duration=2)},
            (17,),
            {},
            "lasts 1 period, the product 2 or",
        ),
        ({"product": FlexProduct(direction="down", max_duration=1)}, (17, 18), {}, "the product 1 to 1"),
        (
            {"product": FlexProduct(direction="down", max_activations_per_day=1)},
            (19,),
            {"earlier_calls": [(17,), (41,)], "periods_per_day": 24},
            "one more than the 1 per day",
        ),
        ({"reserved_kw": [0.0, 5.0, 5.0, 5.0, 5.0]}, (17,), {}, "all was released"),
    ],
)
def test_what_forbids_a_call(changes, periods, given, reason):
    found = call_faults(contract(**changes), periods, **({"at_period": 0} | given))
    assert (reason is None and not found) or (len(found) == 1 and reason in found[0].reason), found
