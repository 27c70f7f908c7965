"""Tenders that collect bids, orders of redispatch that wait, and items that sum to what is posted."""

from dataclasses import replace

import numpy as np
import pytest
from flex_markets import CAP, H, auction, bids, faults_of, opened, reserve, settle

from gridagora import flexibility as flex
from gridagora.adapters.live_inbox import packed
from gridagora.adapters.sql.codec import decode_command
from gridagora.engine.flexibility.items import check_items
from gridagora.engine.flexibility.machine import replay
from gridagora.errors import InvariantError
from gridagora.ledger import Postings

CLOSES = -10 * H


def tender(**changed):
    given = {"name": "t", "buyer": "DSO", "product": CAP, "windows": ((4, 2),), "need_kw": [6.0]}
    return flex.Tender(**(given | changed))


def bid(name, kw, price=0.1, **more):
    return flex.TenderBid(participant=name, max_kw=kw, availability=price, utilisation=0.0, **more)


def open_tender(market, **changed):
    one = tender(**changed)
    return market.do(flex.OpenTender(at=-50 * H, product="cap", tender=one, closes=CLOSES))


def submit(market, *made, at=-40 * H, name="t"):
    for one in made:
        market.do(flex.SubmitTenderBid(at=at, tender=name, bid=one))


def reasons(event):
    rows = zip(event.bid, event.window, event.reason, strict=True)
    return {(event.participant[row], window): reason for row, window, reason in rows}


def test_a_tender_is_decided_on_the_bids_that_came_until_it_closed():
    market = opened()
    open_tender(market)
    submit(market, bid("ann", 4.0, 0.1), bid("bob", 4.0, 0.2), bid("cat", 4.0, 0.3))
    late = faults_of(market, flex.SubmitTenderBid(at=CLOSES, tender="t", bid=bid("cat", 1.0)))
    assert [fault.code for fault in late if fault.place == "at"] == ["gate_closed"]
    early = faults_of(market, flex.DecideTender(at=CLOSES - 1, tender="t"))
    assert [fault.code for fault in early] == ["gate_open"]
    decided = market.do(flex.DecideTender(at=CLOSES, tender="t"))
    assert decided.volume_kw[:, 0].tolist() == [4.0, 2.0, 0.0]
    assert reasons(decided)["cat", 0] == "dearer than what was needed"
    assert [one.contract.seller for one in market.state.contracts] == ["ann", "bob"]
    again = faults_of(market, flex.DecideTender(at=CLOSES, tender="t"))
    assert [fault.reason for fault in again] == ["is decided"]
    assert replay(market._store.events()).tenders[0].awarded == decided


def test_a_buyer_rejects_bids_with_a_reason():
    market = opened()
    open_tender(market)
    submit(market, bid("ann", 4.0), bid("bob", 4.0))
    wrong = faults_of(market, flex.DecideTender(at=CLOSES, tender="t", rejected={"cat": "x", "ann": " "}))
    assert {fault.reason for fault in wrong} == {"has no bid", "gives no reason"}
    decided = market.do(flex.DecideTender(at=CLOSES, tender="t", rejected={"ann": "failed its test"}))
    assert decided.volume_kw[:, 0].tolist() == [0.0, 4.0]
    assert reasons(decided)["ann", 0] == "rejected by the buyer: failed its test"


def test_who_reserved_its_power_elsewhere_holds_nobody_up():
    market = opened()
    open_tender(market)
    submit(market, bid("ann", 10.0), bid("bob", 4.0, 0.2))
    rows = (("DSO", "buy", 4, 3.0, 1.0), ("ann", "sell", 4, 3.0, 0.1))
    market.do(
        flex.OpenFlexAuction(
            at=-30 * H,
            auction=flex.FlexAuction(
                number=0,
                horizon="reservation",
                product="cap",
                first=4,
                count=1,
                gate=-20 * H,
                contract=flex_rules(),
            ),
        )
    )
    market.do(flex.SubmitFlexBids(at=-30 * H, auction=0, bids=bids(*rows)))
    market.do(flex.ClearFlexAuction(at=-20 * H, auction=0))
    decided = market.do(flex.DecideTender(at=CLOSES, tender="t"))
    assert decided.volume_kw[:, 0].tolist() == [0.0, 4.0]
    assert "3 kW are reserved" in reasons(decided)["ann", 0]


def flex_rules():
    return flex.ContractRules(activation_cap=0.4)


def test_what_is_wrong_with_a_tender_is_told_at_once():
    market = opened()
    wrong = flex.OpenTender(
        at=-50 * H, product="cap", tender=tender(buyer="TSO", name="a:b", windows=((23, 2),)), closes=90 * H
    )
    assert {fault.place for fault in faults_of(market, wrong)} == {"buyer", "name", "window 0", "closes"}
    open_tender(market)
    again = flex.OpenTender(at=-50 * H, product="cap", tender=tender(), closes=CLOSES)
    assert [fault.place for fault in faults_of(market, again)] == ["name"]
    unknown = flex.SubmitTenderBid(at=-40 * H, tender="x", bid=bid("ann", 1.0))
    assert [fault.code for fault in faults_of(market, unknown)] == ["reference_unknown"]
    for command in (
        flex.WithdrawTenderBids(at=-40 * H, tender="x", participant="ann"),
        flex.WithdrawTenderBids(at=-40 * H, tender="t", participant="ann"),
        flex.DecideTender(at=CLOSES, tender="x"),
        flex.SubmitTenderBid(at=-40 * H, tender="t", bid=bid("zoe", 1.0)),
        flex.SubmitTenderBid(at=-40 * H, tender="t", bid=bid("ann", 99.0)),
        flex.SubmitTenderBid(at=-40 * H, tender="t", bid=bid("ann", 1.0, windows=(7,))),
    ):
        assert faults_of(market, command)
    submit(market, bid("ann", 1.0))
    second = faults_of(market, flex.SubmitTenderBid(at=-40 * H, tender="t", bid=bid("ann", 1.0)))
    assert [fault.reason for fault in second] == ["second bid of ann for one window"]
    market.do(flex.WithdrawTenderBids(at=-40 * H, tender="t", participant="ann"))
    submit(market, bid("ann", 2.0))
    assert [one.max_kw for one in market.state.tenders[0].bids] == [2.0]


def willing(name, side, *, kw=2.0, period=4, price=0.2):
    return flex.RedispatchOrder(participant=name, side=side, period=period, kw=kw, price=price)


def test_orders_of_redispatch_wait_until_they_are_paired():
    market = opened()
    for one in (willing("ann", "sell"), willing("bob", "buy"), willing("cat", "buy", period=5)):
        market.do(flex.SubmitRedispatchOrder(at=-9 * H, order=one))
    for wrong in (willing("ann", "sell"), willing("zoe", "sell"), willing("bob", "buy", kw=99.0, period=30)):
        assert faults_of(market, flex.SubmitRedispatchOrder(at=-9 * H, order=wrong))
    past = faults_of(market, flex.SubmitRedispatchOrder(at=6 * H, order=willing("ann", "sell")))
    assert "is in the past" in past[0].reason
    assert faults_of(market, flex.WithdrawRedispatchOrder(at=-9 * H, participant="ann", period=9))
    inside, outside = market.state.willing[:1], market.state.willing[1:2]
    paired = market.do(
        flex.PairRedispatch(
            at=-8 * H, inside=inside, outside=outside, needed_kw={4: 2.0}, shares={"DSO": 1.0}
        ),
        feasible=lambda _: (),
    )
    assert paired.buyers == ("DSO",)
    assert [(one.participant, one.period) for one in market.state.willing] == [("cat", 5)]
    market.do(flex.WithdrawRedispatchOrder(at=-8 * H, participant="cat", period=5))
    assert market.state.willing == ()


@pytest.mark.parametrize("rule", ["pay_as_bid", "vcg", "shapley"])
def test_items_sum_to_what_is_posted_whatever_the_payment_rule(rule):
    paid = {"reservation_payment": rule, "activation_payment": rule, "settlement": ("pay_delivered",)}
    market = opened(buyers=("DSO", "TSO"), **paid)
    rows = [("DSO", "buy", 4, 4.0, 1.0), ("TSO", "buy", 4, 2.0, 0.9)]
    rows += [("ann", "sell", 4, 4.0, 0.111), ("bob", "sell", 4, 5.0, 0.222)]
    reserve(market, bids(*rows), first=4)
    contract = market.state.contracts[0].contract.id
    market.do(flex.ReleaseReservation(at=-90 * H, contract=contract, periods=(4,), kw=(1.0,)))
    auction(market, bids(*rows), at=-50 * H, first=4)
    settled = settle(market, 4, [[9.0], [7.5], [1.0]])
    items = settled.items
    assert items is not None
    for who in range(5):
        assert items.amount[items.participant == who].sum() == settled.amount[settled.account == who].sum()
    assert {"reserved", "activated", "claw_back", "refund"} <= set(items.reason)
    assert set(items.product) == {"cap"}
    postings = Postings(entry=settled.entry, account=settled.account, amount=settled.amount)
    with pytest.raises(InvariantError, match="differ from what is posted"):
        check_items(replace(items, amount=items.amount + 1), postings, participants=5)


def test_commands_with_mappings_reach_the_program_that_writes():
    called = flex.CallReservations(
        at=0,
        contracts=("c",),
        periods=(4,),
        requested_kw=(1.0,),
        conditions={"temperature": np.array([1.0])},
    )
    again = decode_command(packed(called))
    assert again.conditions[0][0] == "temperature"
    market = opened()
    open_tender(market)
    submit(market, bid("ann", 4.0), bid("bob", 4.0))
    decided = decode_command(packed(flex.DecideTender(at=CLOSES, tender="t", rejected={"ann": "no"})))
    assert reasons(market.do(decided))["ann", 0] == "rejected by the buyer: no"
    reserve(other := opened(), bids(("DSO", "buy", 4, 4.0, 1.0), ("ann", "sell", 4, 4.0, 0.1)), first=4)
    id_ = other.state.contracts[0].contract.id
    call = flex.CallReservations(at=-50 * H, contracts=(id_,), periods=(4,), requested_kw=(4.0,))
    assert other.do(decode_command(packed(call))).contracts == (id_,)
