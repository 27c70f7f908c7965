"""Reserved flexibility in the engine: obligations of called holders, fees, tenders, dispatch, test calls."""

import numpy as np
import pytest
from flex_markets import CAP, DOWN, H, auction, bids, faults_of, opened, reserve, settle, terms
from test_engine_flexibility_faults import told

from gridagora.engine.flexibility.commands import (
    AwardTender,
    CallReservations,
    ClearFlexAuction,
    CloseFlexGate,
    DispatchContract,
    OpenFlexAuction,
    ReleaseReservation,
    SubmitFlexBids,
)
from gridagora.engine.flexibility.machine import FlexMarket, replay
from gridagora.model.events import canonical_bytes
from gridagora.model.flexibility_market import FlexAuction
from gridagora.model.reservation import Tender, TenderBid, Trigger

FULL = [[0.0], [0.0], [0.0]]
"""Meters that draw nothing: every cap is kept."""


def held(*, kw: float = 4.0, count: int = 1, buy: float = 9.0, auto_offer: bool = False, **rules):
    """A market in which ann holds 4 kW at a fee of 0.01, from period 4 on."""
    market = opened(**{name: rules.pop(name) for name in ("fee_rule",) if name in rules})
    rows = []
    for period in range(4, 4 + count):
        rows += [("DSO", "buy", period, buy, 0.02), ("ann", "sell", period, kw, 0.01)]
    reserve(market, bids(*rows), first=4, count=count, auto_offer=auto_offer, **rules)
    return market


def call(market: FlexMarket, *periods: int, kw: float = 3.0, at: int = 0, **more):
    command = CallReservations(
        at=at, contracts=("0:ann",), periods=periods, requested_kw=(kw,) * len(periods), **more
    )
    return market.do(command)


@pytest.mark.parametrize(
    ("offered", "withheld"), [(3.0, 0), (2.0, 13_333), (1.5, 20_000), (0.0, 40_000), (4.0, 0)]
)
def test_what_a_called_holder_does_not_offer_is_withheld(offered: float, withheld: int) -> None:
    market = held()
    call(market, 4)
    rows = [("DSO", "buy", 4, 9.0, 1.0), ("cat", "sell", 4, 1.0, 0.1)]
    rows += [("ann", "sell", 4, offered, 0.4)] if offered else []
    auction(market, bids(*rows), at=0, first=4)
    event = settle(market, 4, FULL)
    assert (event.fee_micro[0, 0], event.withheld_micro[0, 0]) == (40_000, withheld)
    # withheld fees go back to the buyer: the price of 1 for all that was sold, and the fee
    assert event.payment_micro[0, 0] == -round((offered + 1) * 1e6) - 40_000 + withheld
    assert market.state.balance.sum() == 0


def test_holder_that_is_not_called_keeps_its_fee() -> None:
    market = held()
    event = settle(market, 4, FULL)
    assert (event.fee_micro[0, 0], event.withheld_micro[0, 0]) == (40_000, 0)


def test_call_that_no_auction_follows_asks_nothing_of_the_holder() -> None:
    market = held()
    auction(market, bids(("DSO", "buy", 4, 1.0, 1.0), ("cat", "sell", 4, 1.0, 0.1)), at=0, first=4)
    call(market, 4, at=H)
    assert settle(market, 4, FULL).withheld_micro[0, 0] == 0


def test_called_holder_may_not_be_dearer_than_its_contract() -> None:
    market = held()
    call(market, 4)
    market.do(
        OpenFlexAuction(
            at=0, auction=FlexAuction(number=1, horizon="activation", product="cap", first=4, count=1, gate=H)
        )
    )
    dear = bids(("ann", "sell", 4, 1.0, 0.3), ("ann", "sell", 4, 3.0, 0.5), ("cat", "sell", 4, 1.0, 0.9))
    (fault,) = faults_of(market, SubmitFlexBids(at=0, auction=1, bids=dear))
    assert fault.place == "row 1, column price"
    assert "activation cap of contract 0:ann, 0.4" in fault.reason
    assert fault.fix == "offer the first 3 kW of period 4 at 0.4 or less"
    # beyond what it owes, it asks what it likes
    fine = bids(("ann", "sell", 4, 3.0, 0.4), ("ann", "sell", 4, 3.0, 0.5))
    market.do(SubmitFlexBids(at=0, auction=1, bids=fine))


def test_bids_above_the_cap_made_before_the_call_count_as_not_offered() -> None:
    market = held(auto_offer=True)
    market.do(
        OpenFlexAuction(
            at=0, auction=FlexAuction(number=1, horizon="activation", product="cap", first=4, count=1, gate=H)
        )
    )
    market.do(SubmitFlexBids(at=0, auction=1, bids=bids(("ann", "sell", 4, 2.0, 0.7))))
    call(market, 4)
    event = market.do(ClearFlexAuction(at=H, auction=1))
    assert list(zip(event.quantity_kw, event.price, event.step, event.obligated, strict=True)) == [
        (2.0, 0.7, 1, False),
        (3.0, 0.4, 0, True),
    ]


def test_a_later_auction_asks_only_for_what_is_not_sold() -> None:
    market = held(auto_offer=True)
    call(market, 4)
    auction(market, bids(("DSO", "buy", 4, 1.0, 1.0)), at=0, first=4)
    event = auction(market, bids(("DSO", "buy", 4, 9.0, 1.0)), at=H, first=4)
    assert event.quantity_kw[event.obligated].tolist() == [2.0]
    assert market.state.contracts[0].offered_kw.tolist() == [3.0]


@pytest.mark.parametrize(
    ("rules", "periods", "reason"),
    [
        ({"lead_periods": 6}, (4,), "comes 4 periods ahead, 6 are agreed"),
        ({"max_activations": 1}, (8,), "is one more than the 1 of the contract"),
        ({"rest_periods": 2}, (6,), "leaves 1 idle period to the call of 4, 2 are agreed"),
        ({}, (4,), "overlaps the call of 4"),
        ({}, (12,), "is outside the calendar, or all was released"),
    ],
)
def test_calls_keep_to_the_contract(rules, periods, reason: str) -> None:
    market = held(count=6, **rules)
    if "lead_periods" not in rules:
        call(market, 4)
    command = CallReservations(at=0, contracts=("0:ann",), periods=periods, requested_kw=(1.0,))
    assert told(faults_of(market, command))[0][1] == reason


def test_unknown_and_double_contracts_are_told_together() -> None:
    market = held()
    command = CallReservations(
        at=0, contracts=("0:zoe", "0:ann", "0:ann"), periods=(4,), requested_kw=(1.0, 0.0)
    )
    assert [reason for _, reason in told(faults_of(market, command))] == [
        "names one twice",
        "is not one per period (1)",
        "is no power",
        "contract does not exist",
    ]


def test_contract_with_a_trigger_is_called_only_where_it_holds() -> None:
    market = held(count=2, trigger=Trigger(name="temperature", threshold=-5.0))
    cold = np.zeros(24)
    cold[5] = -9.0
    command = CallReservations(
        at=0, contracts=("0:ann",), periods=(4,), requested_kw=(1.0,), conditions={"temperature": cold}
    )
    assert told(faults_of(market, command)) == [
        ("period 4", "is not available: temperature is not at most -5")
    ]
    call(market, 5, conditions={"temperature": cold})
    unknown = CallReservations(at=0, contracts=("0:ann",), periods=(4,), requested_kw=(1.0,))
    assert "is not among the values" in told(faults_of(market, unknown))[0][1]


def test_release_only_shrinks() -> None:
    market = held(count=2)
    more = ReleaseReservation(at=0, contract="0:ann", periods=(4, 9), kw=(5.0, 1.0))
    assert [place for place, _ in told(faults_of(market, more))] == ["period 4", "period 9"]
    market.do(ReleaseReservation(at=0, contract="0:ann", periods=(4,), kw=(1.0,)))
    event = settle(market, 4, [[0.0, 0.0]] * 3)
    assert event.fee_micro[0].tolist() == [10_000, 40_000]
    assert event.payment_micro.tolist() == [[-10_000, -40_000]]
    past = ReleaseReservation(at=6 * H, contract="0:ann", periods=(5,), kw=(0.0,))
    assert "is in the past" in told(faults_of(market, past))[0][1]


def test_test_call_is_an_order_without_pay_and_without_penalty() -> None:
    market = held()
    call(market, 4, kw=3.0, test=True)
    event = settle(market, 4, [[9.0], [0.0], [0.0]])
    assert event.ordered_wh[0, 0, 0] == 3000
    assert event.delivered_wh[0, 0, 0] == 1000
    for name in ("due_micro", "penalty_micro", "withheld_micro"):
        assert not getattr(event, name).any()
    assert event.payment_micro[0, 0] == -40_000


@pytest.mark.parametrize(("delivered", "kept"), [(True, 40_000), (False, 0)])
def test_fee_of_a_call_that_is_not_delivered_is_withheld_where_the_rule_says_so(
    delivered: bool, kept: int
) -> None:
    market = held(fee_rule="delivered", auto_offer=True)
    call(market, 4)
    auction(market, bids(("DSO", "buy", 4, 3.0, 1.0)), at=0, first=4)
    event = settle(market, 4, [[0.0 if delivered else 10.0], [0.0], [0.0]])
    assert event.fee_micro[0, 0] - event.withheld_micro[0, 0] == kept


def test_fee_by_the_month_before_looks_at_settled_periods() -> None:
    market = held(fee_rule="previous", count=2)
    auction(market, bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 0.1)), at=0, first=4)
    first = settle(market, 4, [[9.0], [0.0], [0.0]])
    second = settle(market, 5, FULL)
    assert (first.withheld_micro[0, 0], second.withheld_micro[0, 0]) == (0, 20_000)


def tender(**changed) -> Tender:
    given = {
        "name": "winter", "buyer": "DSO", "product": CAP, "windows": ((4, 2),), "need_kw": [6.0],
        "expected_calls": 0.5,
    }  # fmt: skip
    return Tender(**(given | changed))


TENDER_BIDS = (
    TenderBid(participant="ann", max_kw=4.0, availability=0.01, utilisation=0.2),
    TenderBid(participant="bob", max_kw=4.0, availability=0.02, utilisation=0.3),
    TenderBid(participant="cat", max_kw=4.0, availability=0.2, utilisation=0.1),
)


def test_tender_makes_contracts_that_are_dispatched_at_their_price() -> None:
    market = opened()
    event = market.do(AwardTender(at=-H, product="cap", tender=tender(), bids=TENDER_BIDS))
    assert event.volume_kw[:, 0].tolist() == [4.0, 2.0, 0.0]
    assert event.reason[1:] == ("in part: no more was needed", "dearer than what was needed")
    sent = market.do(DispatchContract(at=0, contract="winter:bob:0", periods=(4, 5), kw=(2.0, 1.0)))
    assert sent.paid_micro == (600_000, 300_000)
    settled = settle(market, 4, [[0.0, 0.0], [0.0, 8.0], [0.0, 0.0]])
    assert settled.due_micro[0, 1].tolist() == [600_000, 300_000]
    assert settled.penalty_micro[0, 1].tolist() == [0, 500_000]
    assert settled.fee_micro.tolist() == [[40_000, 40_000], [40_000, 40_000], [0, 0]]
    assert settled.payment_micro.tolist() == [[-680_000, 120_000]]
    assert market.state.balance.sum() == 0


def test_tender_faults_are_told_together() -> None:
    market = opened()
    wrong = tender(buyer="TSO", product=DOWN, windows=((23, 2),))
    rows = (
        TenderBid(participant="ann", max_kw=11.0, availability=0.01, utilisation=0.2),
        TenderBid(participant="zoe", max_kw=1.0, availability=-1.0, utilisation=0.2),
    )
    found = told(faults_of(market, AwardTender(at=0, product="cap", tender=wrong, bids=rows)))
    assert [place for place, _ in found] == [
        "product", "buyer", "window 0", "bid 0, max_kw", "bid 1, participant", "bid 1, availability",
    ]  # fmt: skip
    market.do(AwardTender(at=0, product="cap", tender=tender(), bids=TENDER_BIDS))
    again = AwardTender(at=0, product="cap", tender=tender(), bids=())
    assert ("name", "a tender of this name was awarded") in told(faults_of(market, again))


def test_dispatch_is_within_reservation_and_capacity() -> None:
    market = opened()
    market.do(AwardTender(at=-H, product="cap", tender=tender(), bids=TENDER_BIDS))
    much = DispatchContract(at=0, contract="winter:ann:0", periods=(4,), kw=(5.0,))
    assert told(faults_of(market, much)) == [("kw, period 4", "is not above 0 and up to the reserved 4 kW")]
    auction(market, bids(("DSO", "buy", 4, 8.0, 1.0), ("ann", "sell", 4, 8.0, 0.1)), at=0, first=4)
    full = DispatchContract(at=H, contract="winter:ann:0", periods=(4,), kw=(3.0,))
    assert told(faults_of(market, full)) == [("kw, period 4", "is above what ann has not sold yet, 2 kW")]
    called = CallReservations(at=H, contracts=("winter:ann:0",), periods=(4,), requested_kw=(1.0,))
    assert told(faults_of(market, called))[0] == ("activation", "is dispatched, not called")
    market.do(CloseFlexGate(at=3 * H, before=5))
    late = DispatchContract(at=3 * H, contract="winter:ann:0", periods=(4,), kw=(1.0,))
    assert ("period 4", "is in the past: the next one is 5") in told(faults_of(market, late))


def test_contracts_survive_a_replay() -> None:
    market = held(count=3, auto_offer=True)
    market.do(AwardTender(at=-H, product="cap", tender=tender(windows=((10, 2),)), bids=TENDER_BIDS))
    market.do(DispatchContract(at=0, contract="winter:ann:0", periods=(10,), kw=(1.0,), test=True))
    call(market, 4, 5, at=0)
    auction(market, bids(("DSO", "buy", 4, 2.0, 1.0)), at=0, first=4)
    market.do(ReleaseReservation(at=H, contract="0:ann", periods=(6,), kw=(0.0,)))
    settle(market, 4, [[0.0] * 7] * 3)
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)
    assert market.state.balance.sum() == 0


def test_reservation_by_vcg_leaves_its_deficit_with_the_operator() -> None:
    market = opened(reservation_payment="vcg")
    reserve(
        market,
        bids(("DSO", "buy", 4, 5.0, 0.05), ("ann", "sell", 4, 5.0, 0.01), ("bob", "sell", 4, 5.0, 0.03)),
        first=4,
    )
    event = settle(market, 4, FULL)
    # without ann bob serves: she gets his cost; the DSO pays her cost
    assert event.fee_micro[0, 0] == 150_000
    assert event.payment_micro[0, 0] == -50_000
    assert event.surplus_micro[0] == -100_000
    assert market.state.balance.sum() == 0


def test_terms_name_participants_and_capacities() -> None:
    found = terms(products=(("cap", CAP), ("down", DOWN)), settlement=("capacity_limit", "uftp"))
    assert found.participants == ("ann", "bob", "cat", "DSO")
    assert found.capacity_kw("down").tolist() == [15.0, 12.0, 9.0]
