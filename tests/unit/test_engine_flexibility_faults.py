"""Bad input to the flexibility market: every fault at once, with row, reason and fix; nothing is recorded."""

from typing import Any

import pytest
from flex_markets import CAP, DOWN, H, auction, bids, faults_of, opened, order, settle, terms

from gridagora.adapters.stores import MemoryStore
from gridagora.engine.flexibility.commands import (
    CancelFlexOrder,
    ClearFlexAuction,
    CloseFlexGate,
    OpenFlexAuction,
    OpenFlexMarket,
    RecordFlexReadings,
    SettleFlexPeriods,
    SubmitFlexBids,
    SubmitFlexOrder,
    WithdrawFlexBids,
)
from gridagora.engine.flexibility.machine import FlexMarket
from gridagora.errors import Fault, InputError, InvariantError
from gridagora.model.continuous import FlexBid
from gridagora.model.flexibility_market import ConnectionPoint, ContractRules, FlexAuction

NAN = float("nan")


def standing(market: FlexMarket, **changed: Any) -> int:
    """Open an auction of periods 4 to 7 whose gate is at hour 2."""
    number = len(market.state.auctions)
    given = {"horizon": "activation", "product": "cap", "first": 4, "count": 4, "gate": 2 * H}
    at = max(market.state.at or 0, 0)
    market.do(OpenFlexAuction(at=at, auction=FlexAuction(number=number, **(given | changed))))
    return number


def submit(offers: Any, *, at: int = H, number: int = 0) -> SubmitFlexBids:
    return SubmitFlexBids(at=at, auction=number, bids=offers)


def told(faults: tuple[Fault, ...]) -> list[tuple[str, str]]:
    assert all(fault.reason and fault.fix and fault.source for fault in faults)
    return [(fault.place, fault.reason) for fault in faults]


def test_all_faults_of_a_table_are_told_at_once() -> None:
    market = opened()
    standing(market)
    offers = {
        "participant": ["ann", "bob", "bob", "zoe", "cat", "cat", "ann", "DSO", "bob", "ann"],
        "side": ["sell", "sell", "sell", "sell", "sell", "sell", "buy", "sell", "sell", "sell"],
        "period": [4, 5, 5, 4, 4, 4, 5, 5, 1, 8],
        "step": [0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        "quantity": [11.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        "price": [0.1, NAN, 0.1, 0.1, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1],
    }
    found = told(faults_of(market, submit(offers)))
    assert found == [
        ("row 1, column price", "price is not finite or too large"),
        ("row 2, column step", "second offer of one participant for one period and step"),
        ("row 5, column price", "a seller's step is cheaper than the one before, so it would be taken first"),
        ("row 3, column participant", "unknown participant"),
        ("row 7, column participant", "a grid operator sells nothing in an auction"),
        ("row 0, column quantity", "11 kW are above the connection capacity of ann, 10 kW"),
        ("row 8, column period", "period is in the past: the next one is 2"),
        ("row 6, column participant", "only grid operators buy in an auction"),
        ("row 8, column period", "period is not in auction 0"),
        ("row 9, column period", "period is not in auction 0"),
    ]
    assert market.state.auctions[0].bids == ()


def test_second_offer_of_a_later_submission_is_refused() -> None:
    market = opened()
    number = standing(market)
    market.do(submit(bids(("ann", "sell", 4, 2.0, 0.1), ("ann", "sell", 5, 2.0, 0.1))))
    again = submit(bids(("bob", "sell", 4, 2.0, 0.1), ("ann", "sell", 5, 2.0, 0.2)))
    assert told(faults_of(market, again)) == [
        ("row 1, column participant", "second offer of one participant for one period")
    ]
    market.do(WithdrawFlexBids(at=H, auction=number, participant="ann"))
    market.do(again)
    assert [part.participant.tolist() for part in market.state.auctions[0].bids] == [[1, 0]]


def test_late_bid_is_told_by_how_much_it_is_late() -> None:
    market = opened()
    standing(market)
    offers = bids(("ann", "sell", 4, 2.0, 0.1))
    assert told(faults_of(market, submit(offers, at=2 * H + 90))) == [("at", "comes 90 s after the gate")]
    withdraw = WithdrawFlexBids(at=2 * H, auction=0, participant="bob")
    assert told(faults_of(market, withdraw)) == [
        ("at", "comes 0 s after the gate"),
        ("participant", "has no bids in this auction"),
    ]
    early = ClearFlexAuction(at=2 * H - 5, auction=0)
    assert told(faults_of(market, early)) == [("at", "comes 5 s before the gate closes")]


def test_auction_that_is_unknown_or_over_takes_no_bids() -> None:
    market = opened()
    offers = {"side": ["sell"], "price": [NAN], "quantity": [1.0], "participant": ["ann"], "period": [4]}
    found = told(faults_of(market, submit(offers)))
    assert found == [
        ("auction", "auction does not exist"),
        ("row 0, column price", "price is not finite or too large"),
    ]
    auction(market, bids(("ann", "sell", 4, 1.0, 0.1)), at=0, first=4)
    for command in (submit(bids(("ann", "sell", 4, 1.0, 0.1))), ClearFlexAuction(at=H, auction=0)):
        assert told(faults_of(market, command)) == [("auction", "auction is cleared already")]


def test_auction_outside_the_market_is_refused_with_every_fault() -> None:
    market = opened()
    wrong = FlexAuction(
        number=3, horizon="reservation", product="wind", first=-2, count=40, gate=0, area=("zoe",)
    )
    found = told(faults_of(market, OpenFlexAuction(at=0, auction=wrong)))
    assert [place for place, _ in found] == [
        "number", "product", "first, count", "first", "gate", "area", "contract",
    ]  # fmt: skip
    rules = ContractRules(activation_cap=-1.0, lead_periods=-2)
    wrong = FlexAuction(
        number=0, horizon="activation", product="cap", first=4, count=1, gate=0, contract=rules
    )
    assert len(faults_of(market, OpenFlexAuction(at=0, auction=wrong))) == 3


def test_capacity_counts_what_is_sold_and_offered_elsewhere() -> None:
    market = opened()
    auction(market, bids(("DSO", "buy", 4, 3.0, 1.0), ("ann", "sell", 4, 3.0, 0.1)), at=0, first=4)
    order(market, "ann", "sell", 4, kw=2.0, price=0.3, at=H)
    number = standing(market)
    found = faults_of(market, submit(bids(("ann", "sell", 4, 6.0, 0.1)), number=number))
    assert told(found) == [
        (
            "row 0, column quantity",
            "6 kW are above the connection capacity of ann, 10 kW, "
            "of which 5 kW are sold or offered elsewhere",
        )
    ]
    market.do(submit(bids(("ann", "sell", 4, 5.0, 0.1)), number=number))
    assert "less what is sold or offered" in order_faults(market, "ann", "sell", kw=0.5)[0][1]


def order_faults(market: FlexMarket, who: str, side: Any, *, kw: float, **changed: Any) -> Any:
    given = {
        "participant": who,
        "side": side,
        "quantity_kw": kw,
        "direction": "cap",
        "first": 4,
        "periods": 1,
    }
    number = market.state.books[0].last_number + 1
    bid = FlexBid(number=number, price=0.1, **(given | changed))
    at = max(market.state.at or 0, H)
    return told(faults_of(market, SubmitFlexOrder(at=at, product="cap", bid=bid)))


def test_orders_of_the_continuous_market_are_checked() -> None:
    market = opened()
    assert order_faults(market, "ann", "buy", kw=1.0) == [("quantity_kw", "buys back more than ann sold")]
    assert order_faults(market, "DSO", "sell", kw=1.0) == [("quantity_kw", "sells more than DSO bought")]
    assert order_faults(market, "zoe", "sell", kw=1.0) == [("participant", "unknown participant")]
    assert order_faults(market, "ann", "sell", kw=11.0)[0][1].startswith("is above the connection capacity")
    found = order_faults(market, "ann", "sell", kw=1.0, direction="up", first=2, contract="x")
    assert found == [
        ("direction", "product cap is a cap"),
        ("contract", "is no contract of ann for this product"),
        ("first", "the gate of this period is closed"),
    ]
    assert order_faults(market, "ann", "sell", kw=1.0, first=23, periods=2)[0] == (
        "first, periods",
        "is outside the market",
    )
    bid = FlexBid(
        number=0, participant="ann", side="sell", direction="cap", first=4, periods=1, quantity_kw=1.0,
        price=0.1,
    )  # fmt: skip
    for command in (
        SubmitFlexOrder(at=H, product="wind", bid=bid),
        CancelFlexOrder(at=H, product="wind", number=0, participant="ann"),
    ):
        assert told(faults_of(market, command)) == [("product", "product does not exist")]
    missing = CancelFlexOrder(at=H, product="cap", number=7, participant="ann")
    assert told(faults_of(market, missing)) == [("number", "no bid has this number")]


def test_closed_gates_stay_closed() -> None:
    market = opened()
    standing(market)
    assert told(faults_of(market, CloseFlexGate(at=2 * H, before=6))) == [
        ("before", "the gate of period 5 closes at 1970-01-01T04:00:00Z")
    ]
    market.do(CloseFlexGate(at=4 * H, before=6))
    assert told(faults_of(market, CloseFlexGate(at=4 * H, before=6))) == [
        ("before", "closes nothing: open are 6 to 23")
    ]
    assert told(faults_of(market, ClearFlexAuction(at=4 * H, auction=0))) == [
        ("first", "orders went out up to period 6")
    ]
    assert told(faults_of(market, CloseFlexGate(at=H, before=7)))[0] == (
        "at",
        "lies before what happened last",
    )


def test_readings_and_settlements_are_checked() -> None:
    market = opened()
    read = RecordFlexReadings(at=H, first=0, metered_kw=[[0.0, 0.0]] * 3)
    assert told(faults_of(market, read)) == [("at", "period 1 is not over")]
    wrong = RecordFlexReadings(at=9 * H, first=0, metered_kw=[[0.0]])
    assert told(faults_of(market, wrong)) == [
        ("metered_kw", "is not (3 points, periods) or (3 points, periods, readings)")
    ]
    wrong = RecordFlexReadings(
        at=9 * H, first=0, metered_kw=[[float("inf")]] * 3, baseline_kw=[[0.0, 0.0]] * 3
    )
    assert len(faults_of(market, wrong)) == 4
    early = SettleFlexPeriods(at=9 * H, first=0, count=1)
    assert told(faults_of(market, early)) == [
        ("period 0", "its gate is open"),
        ("period 0", "no meter was read"),
    ]
    assert told(faults_of(market, SettleFlexPeriods(at=0, first=20, count=9))) == [
        ("first, count", "is outside the market")
    ]
    settle(market, 0, [[0.0]] * 3)
    again = SettleFlexPeriods(at=9 * H, first=0, count=1)
    assert told(faults_of(market, again)) == [("period 0", "is settled already")]
    read = RecordFlexReadings(at=9 * H, first=0, metered_kw=[[0.0]] * 3)
    assert told(faults_of(market, read)) == [("period 0", "is settled already")]


def test_terms_are_checked_all_at_once() -> None:
    points = (
        ConnectionPoint(participant="ann", bus="b", import_kw=-1.0, export_kw=NAN),
        ConnectionPoint(participant="ann", bus="b", import_kw=1.0, export_kw=1.0),
    )
    wrong = terms(
        points=points, buyers=(), products=(("cap", CAP), ("down", DOWN)), settlement=("none",),
        activation_payment="gift", fee_rule="x", reservation_payment="y", periods=0, tolerance_kw=-1.0,
        penalty_micro_per_kwh=-1, gate_closure_periods=-1, most_missing_percent=100.0, period_hours=0.0,
    )  # fmt: skip
    with pytest.raises(InputError) as error:
        FlexMarket(MemoryStore()).do(OpenFlexMarket(at=0, terms=wrong))
    assert len(error.value.faults) == 15


def test_market_is_opened_once_and_first() -> None:
    with pytest.raises(InvariantError, match="not open"):
        FlexMarket(MemoryStore()).do(CloseFlexGate(at=0, before=1))
    market = opened()
    with pytest.raises(InvariantError, match="open already"):
        market.do(OpenFlexMarket(at=0, terms=terms()))
