"""Contracts that are called in the continuous market (LONG): orders in their name, what counts as offered."""

from typing import Any

import numpy as np
import pytest
from flex_markets import CAP, H, auction, bids, faults_of, opened, order, reserve, settle
from test_engine_flexibility_faults import told

from gridagora.engine.flexibility.commands import (
    AwardTender,
    CallReservations,
    CancelFlexOrder,
    CloseFlexGate,
    ReleaseReservation,
    SubmitFlexOrder,
)
from gridagora.engine.flexibility.machine import FlexMarket, replay
from gridagora.model.continuous import FlexBid
from gridagora.model.events import canonical_bytes
from gridagora.model.reservation import Tender, TenderBid

FULL = [[0.0], [0.0], [0.0]]


def held(*kw: float, **rules: Any) -> FlexMarket:
    """A market in which ann holds kW from period 4 on at a fee of 0.01, to be called at 0.4 or less."""
    market = opened(activation_payment="pay_as_bid")
    rows = []
    for period, power in enumerate(kw or (4.0,), 4):
        rows += [("DSO", "buy", period, 9.0, 0.02), ("ann", "sell", period, power, 0.01)]
    reserve(market, bids(*rows), first=4, count=len(kw) or 1, activation="continuous", **rules)
    return market


def call(market: FlexMarket, *periods: int, kw: float = 3.0, at: int = 0, **more: Any) -> Any:
    return market.do(
        CallReservations(
            at=at, contracts=("0:ann",), periods=periods, requested_kw=(kw,) * len(periods), **more
        )
    )


def named(market: FlexMarket, *, kw: float, price: float, first: int = 4, **more: Any) -> SubmitFlexOrder:
    bid = FlexBid(
        number=market.state.books[0].last_number + 1,
        participant=more.pop("participant", "ann"),
        side="sell",
        direction="cap",
        first=first,
        periods=more.pop("periods", 1),
        quantity_kw=kw,
        price=price,
        contract="0:ann",
        **more,
    )
    return SubmitFlexOrder(at=H, product="cap", bid=bid)


def test_call_puts_an_order_into_the_book_in_the_name_of_its_contract() -> None:
    market = held()
    event = call(market, 4)
    (mine,) = event.orders
    assert (mine.contract, mine.side, mine.quantity_kw, mine.price) == ("0:ann", "sell", 3.0, 0.4)
    taken = order(market, "DSO", "buy", 4, kw=2.0, price=0.9, at=H)
    (trade,) = taken.trades
    assert (trade.contract, trade.quantity_kw, trade.price) == ("0:ann", 2.0, 0.4)
    settled = settle(market, 4, [[8.0], [0.0], [0.0]])
    assert settled.ordered_wh[0, 0, 0] == settled.delivered_wh[0, 0, 0] == 2000
    assert settled.due_micro[0, 0, 0] == 800_000
    # 2 kW sold and 1 kW that stood to the gate make up what was called: the fee is paid in full
    assert (settled.fee_micro[0, 0], settled.withheld_micro[0, 0]) == (40_000, 0)
    assert settled.payment_micro[0, 0] == -840_000
    assert market.state.balance.sum() == 0


def test_order_of_a_call_meets_a_bid_that_rests_at_the_price_of_the_bid() -> None:
    market = held()
    order(market, "DSO", "buy", 4, kw=1.0, price=0.7, at=0)
    event = call(market, 4)
    assert [(trade.seller, trade.quantity_kw, trade.price) for trade in event.trades] == [("ann", 1.0, 0.7)]
    assert market.state.books[0].sells[0].open_kw == (2.0,)
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)


def test_runs_of_equal_power_are_one_order_each() -> None:
    market = held(4.0, 4.0, 2.0)
    found = [(bid.first, bid.periods, bid.quantity_kw) for bid in call(market, 4, 5, 6).orders]
    assert found == [(4, 2, 3.0), (6, 1, 2.0)]


@pytest.mark.parametrize(
    ("cancel_at", "left"), [(None, 0), (H, 40_000), (3 * H, 0)], ids=["stands", "early", "late"]
)
def test_order_that_is_taken_back_was_not_offered(cancel_at: int | None, left: int) -> None:
    market = held()
    call(market, 4)
    if cancel_at == H:
        market.do(CancelFlexOrder(at=H, product="cap", number=0, participant="ann"))
    elif cancel_at:
        # its gate is at hour 3: the order has left the book then, and was offered
        late = CancelFlexOrder(at=cancel_at, product="cap", number=0, participant="ann")
        market.do(CloseFlexGate(at=3 * H, before=5))
        assert told(faults_of(market, late)) == [("number", "is no longer in the book")]
    assert settle(market, 4, FULL).withheld_micro[0, 0] == left


def test_holder_without_automatic_orders_offers_in_the_contracts_name() -> None:
    market = held(auto_offer=False)
    assert call(market, 4).orders == ()
    market.do(named(market, kw=1.5, price=0.3))
    order(market, "ann", "sell", 4, kw=1.5, price=0.3, at=H)
    # of 3 kW called, 1.5 were offered in the contract's name, and 1.5 in no contract's
    assert settle(market, 4, FULL).withheld_micro[0, 0] == 20_000


def test_what_is_sold_before_the_call_counts_as_offered() -> None:
    market = held()
    auction(market, bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 0.1)), at=0, first=4)
    (mine,) = call(market, 4, at=H).orders
    assert mine.quantity_kw == 1.0
    assert settle(market, 4, FULL).withheld_micro[0, 0] == 0


def test_room_bounds_what_a_call_offers() -> None:
    market = held()
    order(market, "ann", "sell", 4, kw=8.0, price=0.9, at=0)
    assert [bid.quantity_kw for bid in call(market, 4).orders] == [2.0]
    # 8 kW were offered at more than the cap: 1 kW of 3 is missing
    assert settle(market, 4, FULL).withheld_micro[0, 0] == pytest.approx(13_333, abs=1)


def test_orders_in_a_contracts_name_keep_to_it() -> None:
    market = held()
    found = told(faults_of(market, named(market, kw=1.0, price=0.5, periods=2)))
    assert found == [
        ("first, periods", "period 5 is outside the contract's calendar"),
        ("price", "is above the activation cap of contract 0:ann, 0.4 per kW and period"),
    ]
    theirs = named(market, kw=1.0, price=0.1, participant="bob")
    assert told(faults_of(market, theirs)) == [("contract", "is no contract of bob for this product")]


def test_call_comes_before_the_gate_of_its_first_period() -> None:
    market = held()
    late = CallReservations(at=3 * H, contracts=("0:ann",), periods=(4,), requested_kw=(3.0,))
    assert told(faults_of(market, late)) == [("period 4", "is in the past: the next one is 5")]


def test_two_contracts_of_one_holder_count_a_sale_once() -> None:
    market = held()
    wide = Tender(
        name="more", buyer="DSO", product=CAP, windows=((4, 1),), need_kw=[3.0], source="long",
        auto_offer=True, activation="continuous",
    )  # fmt: skip
    bid = TenderBid(participant="ann", max_kw=3.0, availability=0.01, utilisation=0.2)
    market.do(AwardTender(at=0, product="cap", tender=wide, bids=(bid,)))
    auction(market, bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 0.1)), at=0, first=4)
    event = market.do(
        CallReservations(at=H, contracts=("0:ann", "more:ann:0"), periods=(4,), requested_kw=(3.0,))
    )
    assert [(bid.contract, bid.quantity_kw, bid.price) for bid in event.orders] == [
        ("0:ann", 1.0, 0.4), ("more:ann:0", 3.0, 0.2),
    ]  # fmt: skip
    assert not settle(market, 4, FULL).withheld_micro.any()
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)


def test_activation_auctions_ask_nothing_of_a_contract_that_is_called_continuously() -> None:
    market = held()
    call(market, 4)
    event = auction(market, bids(("DSO", "buy", 4, 9.0, 1.0), ("ann", "sell", 4, 1.0, 0.9)), at=0, first=4)
    assert not event.obligated.any()


def test_test_call_is_an_order_and_no_offer() -> None:
    market = held()
    event = call(market, 4, test=True)
    assert event.orders == ()
    assert market.state.period(4).tested_kw[0].tolist() == [3.0, 0.0, 0.0, 3.0]


def test_released_power_is_not_owed() -> None:
    market = held(4.0, 4.0)
    market.do(ReleaseReservation(at=0, contract="0:ann", periods=(4,), kw=(1.0,)))
    found = [(bid.first, bid.quantity_kw) for bid in call(market, 4, 5).orders]
    assert found == [(4, 1.0), (5, 3.0)]
    settled = settle(market, 4, np.zeros((3, 2)))
    assert settled.fee_micro[0].tolist() == [10_000, 40_000]
    assert not settled.withheld_micro.any()
