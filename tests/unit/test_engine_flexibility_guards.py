"""What nobody may do in a flexibility market: sell twice, test for ever, release what was called, ..."""

from typing import Any

import numpy as np
import pytest
from flex_markets import CAP, DOWN, H, auction, bids, faults_of, opened, order, reserve, settle
from test_engine_flexibility_faults import submit, told

from gridagora.engine.flexibility.commands import (
    AwardTender,
    CallReservations,
    ClearFlexAuction,
    CloseFlexGate,
    DispatchContract,
    OpenFlexAuction,
    PairRedispatch,
    RecordFlexReadings,
    ReleaseReservation,
    SettleFlexPeriods,
    SubmitFlexOrder,
)
from gridagora.engine.flexibility.machine import FlexMarket, replay
from gridagora.errors import InputError
from gridagora.market.mechanisms.redispatch_pairs import RedispatchOrder
from gridagora.model.events import canonical_bytes
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_market import ContractRules, FlexAuction
from gridagora.model.reservation import Tender, TenderBid

NAN = float("nan")
TENDER = Tender(name="w", buyer="DSO", product=CAP, windows=((4, 6),), need_kw=[6.0])


def tendered(**changed: Any) -> FlexMarket:
    """A market in which ann holds 6 kW in periods 4 to 9, to be dispatched at 0.2 per kWh."""
    market = opened(**changed)
    bid = TenderBid(participant="ann", max_kw=6.0, availability=0.1, utilisation=0.2)
    market.do(AwardTender(at=-H, product="cap", tender=TENDER, bids=(bid,)))
    return market


def dispatch(*periods: int, kw: float = 6.0, at: int = 0, test: bool = False) -> DispatchContract:
    return DispatchContract(at=at, contract="w:ann:0", periods=periods, kw=(kw,) * len(periods), test=test)


def opening(number: int, *, at: int, **changed: Any) -> OpenFlexAuction:
    given = {"horizon": "activation", "product": "cap", "first": 4, "count": 1, "gate": H} | changed
    return OpenFlexAuction(at=at, auction=FlexAuction(number=number, **given))


def test_capacity_is_reserved_once_by_auctions_that_stand_side_by_side() -> None:
    market = opened()
    rules = ContractRules(activation_cap=0.4)
    for number in (0, 1):
        market.do(opening(number, at=-9 * H, horizon="reservation", gate=-5 * H, contract=rules))
    offer = bids(("ann", "sell", 4, 8.0, 0.01))
    market.do(submit(offer, at=-9 * H, number=0))
    (fault,) = faults_of(market, submit(offer, at=-9 * H, number=1))
    assert fault.reason.endswith("of which 8 kW are reserved or offered already")
    tender = AwardTender(
        at=-9 * H, product="cap", tender=TENDER,
        bids=(TenderBid(participant="ann", max_kw=3.0, availability=0.1, utilisation=0.2),),
    )  # fmt: skip
    assert [fault.place for fault in faults_of(market, tender)] == ["bid 0, max_kw"]


def test_tender_bid_is_judged_in_the_windows_that_it_is_for() -> None:
    market = opened()
    reserve(market, bids(("ann", "sell", 4, 8.0, 0.01), ("DSO", "buy", 4, 8.0, 0.02)), first=4)
    two = Tender(name="two", buyer="DSO", product=CAP, windows=((4, 1), (6, 1)), need_kw=[5.0, 5.0])
    for windows, fine in (((1,), True), ((0,), False), (None, False)):
        bid = TenderBid(participant="ann", max_kw=5.0, availability=0.1, utilisation=0.2, windows=windows)
        command = AwardTender(at=-H, product="cap", tender=two, bids=(bid,))
        if fine:
            assert FlexMarket(market._store).do(command).volume_kw.tolist() == [[0.0, 5.0]]
            market = opened()
            reserve(market, bids(("ann", "sell", 4, 8.0, 0.01), ("DSO", "buy", 4, 8.0, 0.02)), first=4)
        else:
            assert [fault.place for fault in faults_of(market, command)] == ["bid 0, max_kw"]
    text = TenderBid(participant="ann", max_kw="much", availability=NAN, utilisation=0.2)
    found = faults_of(market, AwardTender(at=-H, product="cap", tender=two, bids=(text,)))
    assert {fault.place for fault in found} == {"bid 0, max_kw", "bid 0, availability"}


def test_auction_is_open_before_its_gate_and_cleared_before_delivery() -> None:
    market = opened()
    assert told(faults_of(market, opening(0, at=2 * H))) == [("gate", "the gate is closed already")]
    market.do(opening(0, at=0))
    market.do(submit(bids(("ann", "sell", 4, 8.0, 0.01)), at=0))
    late = ClearFlexAuction(at=4 * H + 5, auction=0)
    assert told(faults_of(market, late)) == [("at", "comes 5 s too late for delivery")]
    market.do(ClearFlexAuction(at=4 * H, auction=0))


def test_gate_closes_when_it_was_promised() -> None:
    market = opened(gate_closure_periods=2)
    assert told(faults_of(market, CloseFlexGate(at=2 * H - 1, before=5))) == [
        ("before", "the gate of period 4 closes at 1970-01-01T02:00:00Z")
    ]
    assert market.do(CloseFlexGate(at=2 * H, before=5)).count == 5


def test_unpaid_tests_are_as_many_as_the_contract_says() -> None:
    market = tendered()
    market.do(dispatch(4, test=True))
    assert told(faults_of(market, dispatch(6, test=True))) == [
        ("test", "is one more than the 1 of the contract")
    ]
    assert market.do(dispatch(6)).paid_micro == (1_200_000,)
    market = opened()
    rows = bids(
        *((who, side, t, 4.0, 0.01) for t in (4, 5) for who, side in (("DSO", "buy"), ("ann", "sell")))
    )
    reserve(market, rows, first=4, count=2, max_tests=0)
    command = CallReservations(at=0, contracts=("0:ann",), periods=(4,), requested_kw=(1.0,), test=True)
    assert told(faults_of(market, command)) == [("test", "is one more than the 0 of the contract")]


def test_what_was_called_is_not_released_for_the_fee() -> None:
    market = tendered()
    market.do(dispatch(4, 5))
    release = ReleaseReservation(at=0, contract="w:ann:0", periods=(5, 6), kw=(0.0, 0.0))
    assert told(faults_of(market, release)) == [("period 5", "was called already")]


def test_test_call_is_nobodys_to_trade() -> None:
    market = tendered()
    market.do(dispatch(4, test=True))
    order(market, "bob", "sell", 4, kw=6.0, price=0.0, at=H)
    for who, side in (("ann", "buy"), ("DSO", "sell")):
        with pytest.raises(InputError, match="write at most 0 kW"):
            order(market, who, side, 4, kw=1.0, price=0.1, at=H)


@pytest.mark.parametrize("rule", ["capacity_limit", "pay_delivered", "sliding_50", "threshold_75", "uftp"])
def test_test_that_fails_takes_nothing_of_what_was_sold_beside_it(rule: str) -> None:
    market = tendered(settlement=(rule,))
    auction(market, bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 1.0)), at=0, first=4)
    market.do(dispatch(4, test=True, at=H))
    # sold 2 kW, tested 6: of a connection of 10 kW it draws 8, so that the test fails alone
    event = settle(market, 4, [[8.0], [0.0], [0.0]])
    assert (event.ordered_wh[0, 0, 0], event.delivered_wh[0, 0, 0]) == (8000, 2000)
    assert event.due_micro[0, 0, 0] == 2_000_000
    assert not event.claw_back_micro.any()
    assert not event.penalty_micro.any()
    assert market.state.balance.sum() == 0


def pairing(period: int = 4, **changed: Any) -> PairRedispatch:
    given = {
        "at": 0,
        "inside": (RedispatchOrder(participant="ann", side="sell", period=period, kw=3.0, price=0.3),),
        "outside": (RedispatchOrder(participant="bob", side="buy", period=period, kw=3.0, price=0.1),),
        "needed_kw": {period: 3.0},
        "shares": {"DSO": 1.0},
    }
    return PairRedispatch(**(given | changed))


def test_pair_is_made_once_and_counts_for_the_next() -> None:
    market = opened()
    market.do(pairing(), feasible=lambda _: ())
    with pytest.raises(InputError) as error:
        market.do(pairing(), feasible=lambda _: ())
    assert [fault.reason for fault in error.value.faults] == ["was paired for period 4 already"] * 2
    asked: list[Any] = []
    more = pairing(
        inside=(RedispatchOrder(participant="cat", side="sell", period=4, kw=1.0, price=0.3),),
        outside=(RedispatchOrder(participant="cat", side="buy", period=5, kw=1.0, price=0.1),),
        needed_kw={4: 1.0},
    )
    assert market.do(more, feasible=lambda delta: asked.append(delta) or ()).kw.tolist() == []
    terms_of = market.state.period(4)
    assert terms_of.redispatch_kw.tolist() == [-3.0, 3.0, 0.0, 0.0]
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)


def test_earlier_pairs_are_part_of_what_the_grid_is_asked() -> None:
    points = opened().state.open_terms.points
    four = (*points, type(points[0])(participant="dan", bus="b", import_kw=5.0, export_kw=5.0))
    market = opened(points=four)
    market.do(pairing(), feasible=lambda _: ())
    asked: list[Any] = []
    more = pairing(
        inside=(RedispatchOrder(participant="cat", side="sell", period=4, kw=1.0, price=0.3),),
        outside=(RedispatchOrder(participant="dan", side="buy", period=4, kw=1.0, price=0.1),),
    )
    market.do(more, feasible=lambda delta: asked.append(dict(delta)) or ())
    assert asked == [{("cat", 4): -1.0, ("dan", 4): 1.0, ("ann", 4): -3.0, ("bob", 4): 3.0}]


def test_redispatch_order_is_within_its_connection() -> None:
    much = pairing(inside=(RedispatchOrder(participant="ann", side="sell", period=4, kw=15.5, price=0.3),))
    with pytest.raises(InputError, match="15 kW"):
        opened().do(much, feasible=lambda _: ())


def test_product_limits_bind_an_activation_of_several_periods() -> None:
    once = FlexProduct(direction="cap", max_activations_per_day=1, min_duration=2, max_duration=2)
    market = opened(products=(("cap", once),))
    rows = [("DSO", "buy", t, 1.0, worth) for t, worth in zip(range(4, 9), (1, 1, 0.1, 2, 1), strict=True)]
    rows += [("ann", "sell", t, 1.0, 0.2) for t in range(4, 9)]
    event = auction(market, bids(*rows), at=0, first=4, count=5)
    assert event.accepted_kw[5:].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert event.payment_rule == "pay_as_bid"
    # a reservation is a calendar: what binds are its calls
    rows = [("DSO", "buy", t, 1.0, 0.02) for t in range(4, 9)] + [
        ("bob", "sell", t, 1.0, 0.01) for t in range(4, 9)
    ]
    market = opened(products=(("cap", once),))
    assert len(reserve(market, bids(*rows), first=4, count=5).contracts[0].periods) == 5


def test_dear_offer_of_a_called_holder_is_told_with_all_other_faults() -> None:
    market = opened()
    reserve(market, bids(("ann", "sell", 4, 4.0, 0.01), ("DSO", "buy", 4, 4.0, 0.02)), first=4)
    market.do(CallReservations(at=0, contracts=("0:ann",), periods=(4,), requested_kw=(3.0,)))
    market.do(opening(1, at=0))
    table = {
        "participant": ["ann", "bob", "zoe"], "side": ["sell"] * 3, "period": [4, 4, 2],
        "quantity": [3.0, 1.0, 1.0], "price": [0.5, NAN, 0.1],
    }  # fmt: skip
    found = told(faults_of(market, submit(table, at=0, number=1)))
    assert [place for place, _ in found] == [
        "row 1, column price",
        "row 2, column participant",
        "row 2, column period",
        "row 0, column price",
    ]


def test_all_faults_of_an_order_are_told_at_once() -> None:
    market = opened()
    row = {
        "number": 0, "participant": "ann", "side": "sell", "direction": "cap", "first": 1, "periods": 1,
        "quantity_kw": 99.0, "price": NAN, "colour": "red",
    }  # fmt: skip
    found = told(faults_of(market, SubmitFlexOrder(at=3 * H, product="cap", bid=row)))
    assert [place for place, _ in found] == ["colour", "price", "quantity_kw", "first"]
    found = told(faults_of(market, SubmitFlexOrder(at=3 * H, product="wind", bid=row)))
    assert [place for place, _ in found] == ["product", "colour", "price", "first"]
    del row["participant"], row["colour"]
    found = told(faults_of(market, SubmitFlexOrder(at=3 * H, product="cap", bid=row | {"periods": 0})))
    assert [place for place, _ in found] == ["participant", "periods", "price", "first"]
    fine = row | {"participant": "ann", "first": 5, "quantity_kw": 9.0, "price": 0.1}
    assert market.do(SubmitFlexOrder(at=3 * H, product="cap", bid=fine)).bid.quantity_kw == 9.0


def test_readings_that_are_no_numbers_are_told_by_place() -> None:
    market = opened()
    read = RecordFlexReadings(at=3 * H, first=0, metered_kw=[["a"], [0.0], [0.0]])
    assert told(faults_of(market, read)) == [("metered_kw[0, 0]", "is no number")]
    read = RecordFlexReadings(at=3 * H, first=0, metered_kw=[[1.0], [0.0, 2.0], [0.0]])
    assert told(faults_of(market, read))[0] == ("metered_kw", "has rows of different length")
    call = CallReservations(at=0, contracts=("x",), periods=(4,), requested_kw=("a",))
    assert [place for place, _ in told(faults_of(market, call))] == ["kw 0", "contract"]


def metered(market: FlexMarket, ann: Any, *, first: int = 4) -> Any:
    """Settle readings of ann; the others draw nothing."""
    mine = np.array(ann, dtype=np.float64)
    return settle(market, first, np.stack([mine, 0 * np.nan_to_num(mine), 0 * np.nan_to_num(mine)]))


@pytest.mark.parametrize(
    ("readings", "delivered", "estimated", "failed"),
    [
        ([6.0, 6.0, 6.0, 6.0], 4000, False, False),
        ([6.0, 6.0, NAN, 6.0], 4000, True, False),
        ([5.0, 5.0, NAN, 7.0], 4000, True, False),
        ([6.0, 6.0, NAN, 9.0], 2500, True, False),
        ([6.0, NAN, NAN, 6.0], 0, False, True),
    ],
)
def test_several_readings_of_a_period_are_forgiven_by_the_percent(
    readings, delivered: int, estimated: bool, failed: bool
) -> None:
    market = opened(most_missing_percent=25.0, settlement=("pay_delivered",))
    auction(market, bids(("DSO", "buy", 4, 4.0, 1.0), ("ann", "sell", 4, 4.0, 1.0)), at=0, first=4)
    event = metered(market, [readings])
    assert event.delivered_wh[0, 0, 0] == delivered
    assert event.estimated[0, 0, 0] == estimated
    assert event.deficiency_wh[0, 0, 0] == 4000 - delivered
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)


def two_periods(**changed: Any) -> FlexMarket:
    market = opened(**changed)
    rows = [("DSO", "buy", t, 4.0, 1.0) for t in (4, 5)] + [("ann", "sell", t, 4.0, 1.0) for t in (4, 5)]
    auction(market, bids(*rows), at=0, first=4, count=2)
    return market


def test_periods_of_a_window_are_judged_together() -> None:
    alone, together = (
        two_periods(settlement=("threshold_75",)),
        two_periods(settlement=("threshold_75",), window_periods=2),
    )
    # 4 of 4 kWh and 2 of 4: the second is below 75 %, both are 75 % exactly
    readings = [[6.0, 8.0], [0.0, 0.0], [0.0, 0.0]]
    assert settle(alone, 4, readings).claw_back_micro[0, 0].tolist() == [0, 4_000_000]
    assert settle(together, 4, readings).claw_back_micro[0, 0].tolist() == [0, 2_000_000]
    gaps = [[6.0, NAN], [0.0, 0.0], [0.0, 0.0]]
    lost = settle(two_periods(most_missing_percent=50.0), 4, gaps)
    kept = settle(two_periods(most_missing_percent=50.0, window_periods=2), 4, gaps)
    assert lost.delivered_wh[0, 0].tolist() == [4000, 0]
    assert (kept.delivered_wh[0, 0].tolist(), kept.estimated[0, 0].tolist()) == ([4000, 4000], [False, True])


def test_window_is_settled_whole() -> None:
    market = two_periods(window_periods=3)
    market.do(CloseFlexGate(at=9 * H, before=9))
    market.do(RecordFlexReadings(at=9 * H, first=0, metered_kw=np.zeros((3, 9))))
    for first, count in ((4, 2), (3, 2)):
        (fault,) = faults_of(market, SettleFlexPeriods(at=9 * H, first=first, count=count))
        assert fault.reason == "cuts a window of 3 periods, which are judged together"
    market.do(SettleFlexPeriods(at=9 * H, first=3, count=6))


def test_periods_may_have_readings_in_different_numbers() -> None:
    market = two_periods(most_missing_percent=40.0, window_periods=2, settlement=("pay_delivered",))
    market.do(CloseFlexGate(at=6 * H, before=6))
    hourly, quarters = np.zeros((3, 1)), np.zeros((3, 1, 4))
    hourly[0], quarters[0, 0] = 6.0, (6.0, 6.0, 8.0, NAN)
    market.do(RecordFlexReadings(at=6 * H, first=4, metered_kw=hourly))
    market.do(RecordFlexReadings(at=6 * H, first=5, metered_kw=quarters))
    event = market.do(SettleFlexPeriods(at=6 * H, first=4, count=2))
    # the lost quarter counts as the worst reading of the window, 8 kW: 7 kW in the mean
    assert event.delivered_wh[0, 0].tolist() == [4000, 3000]


def test_baseline_products_take_several_readings_too() -> None:
    market = opened(products=(("down", DOWN),), settlement=("uftp",), most_missing_percent=50.0)
    rows = bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 1.0))
    auction(market, rows, at=0, first=4, product="down")
    readings = np.zeros((3, 1, 2))
    readings[0, 0] = 5.0, NAN
    event = settle(market, 4, readings, baseline=[[6.0], [0.0], [0.0]])
    assert event.delivered_wh[0, 0, 0] == 1000
    wrong = RecordFlexReadings(at=9 * H, first=5, metered_kw=readings, baseline_kw=np.zeros((3, 2)))
    assert told(faults_of(market, wrong)) == [("baseline_kw", "differs from the meters' (3, 1)")]
    wrong = RecordFlexReadings(at=9 * H, first=5, metered_kw=readings + np.inf)
    assert told(faults_of(market, wrong))[0] == ("metered_kw, row 0, column 0, reading 0", "is infinite")


def test_command_that_comes_twice_is_done_once() -> None:
    market = tendered()
    commands = [
        opening(0, at=0),
        submit(bids(("ann", "sell", 4, 1.0, 0.1), ("DSO", "buy", 4, 1.0, 1.0)), at=0),
        ClearFlexAuction(at=H, auction=0),
        dispatch(8, at=H),
        SubmitFlexOrder(
            at=H, product="cap",
            bid={"number": 0, "participant": "bob", "side": "sell", "direction": "cap", "first": 4,
                 "periods": 1, "quantity_kw": 1.0, "price": 0.1},
        ),
        CloseFlexGate(at=4 * H, before=6),
    ]  # fmt: skip
    for command in commands:
        market.do(command)
        assert faults_of(market, command)
    settle(market, 4, np.zeros((3, 2)))
    assert faults_of(market, SettleFlexPeriods(at=6 * H, first=4, count=2))


def test_response_time_of_a_product_is_left_to_its_sellers() -> None:
    slow = FlexProduct(direction="cap", response_time_s=2 * H)
    with pytest.raises(InputError, match="raise gate_closure_periods"):
        opened(products=(("cap", slow),))
    market = opened(products=(("cap", slow),), gate_closure_periods=2)
    rows = bids(("ann", "sell", 9, 4.0, 0.01), ("DSO", "buy", 9, 4.0, 0.02))
    reserve(market, rows, first=9)
    call = CallReservations(at=7 * H + 60, contracts=("0:ann",), periods=(9,), requested_kw=(1.0,))
    assert told(faults_of(market, call)) == [("at", "comes 7140 s ahead, the product needs 7200")]
    assert told(faults_of(market, opening(1, at=0, gate=2 * H + 1))) == [
        ("gate", "the gate leaves sellers less than the product's response time")
    ]
    market.do(opening(1, at=0, gate=2 * H))
    late = ClearFlexAuction(at=2 * H + 9, auction=1)
    assert told(faults_of(market, late)) == [("at", "comes 9 s too late for delivery")]


def test_orders_for_an_area_are_of_those_in_it() -> None:
    wrong = (("north", ("ann", "zoe")), ("north", ()))
    with pytest.raises(InputError) as error:
        opened(areas=wrong)
    assert [fault.value for fault in error.value.faults] == ["north", "zoe"]
    market = opened(areas=(("north", ("ann", "bob")),))
    row = {
        "number": 0, "participant": "cat", "side": "sell", "direction": "cap", "first": 4, "periods": 1,
        "quantity_kw": 1.0, "price": 0.1, "area": "north",
    }  # fmt: skip
    outside = SubmitFlexOrder(at=0, product="cap", bid=row)
    assert told(faults_of(market, outside)) == [("area", "cat is not in this area")]
    south = SubmitFlexOrder(at=0, product="cap", bid=row | {"area": "south"})
    assert told(faults_of(market, south)) == [("area", "area does not exist")]
    market.do(SubmitFlexOrder(at=0, product="cap", bid=row | {"participant": "ann"}))
    everywhere = row | {"number": 1, "participant": "DSO", "side": "buy", "area": ""}
    assert market.do(SubmitFlexOrder(at=0, product="cap", bid=everywhere)).trades == ()
    near = SubmitFlexOrder(at=0, product="cap", bid=everywhere | {"number": 2, "area": "north"})
    assert market.do(near).trades[0].area == "north"


def test_penalty_goes_to_who_bought_even_for_nothing() -> None:
    market = opened(buyers=("TSO", "DSO"), activation_payment="pay_as_bid")
    auction(market, bids(("DSO", "buy", 4, 3.0, 0.0), ("ann", "sell", 4, 3.0, 0.0)), at=0, first=4)
    event = settle(market, 4, [[10.0], [0.0], [0.0]])
    assert event.penalty_micro[0, 0, 0] == 1_500_000
    assert event.payment_micro.tolist() == [[0], [1_500_000]]


def test_refund_goes_to_who_holds_what_was_sold_on() -> None:
    market = opened(buyers=("TSO", "DSO"), activation_payment="pay_as_bid")
    auction(market, bids(("DSO", "buy", 4, 3.0, 1.0), ("ann", "sell", 4, 3.0, 0.5)), at=0, first=4)
    order(market, "TSO", "buy", 4, kw=3.0, price=0.9, at=H)
    order(market, "DSO", "sell", 4, kw=3.0, price=0.9, at=H)
    event = settle(market, 4, [[10.0], [0.0], [0.0]])
    # the DSO gains 2.7 - 1.5, the TSO pays 2.7 and gets the penalty of 1.5
    assert event.payment_micro.tolist() == [[-1_200_000], [1_200_000]]


def test_continuous_orders_keep_their_conditions_and_are_booked_at_the_earlier_price() -> None:
    market = opened()

    def put(who: str, side: str, first: int, *, kw: float, price: float, **more: Any) -> Any:
        row = {
            "number": market.state.books[0].last_number + 1, "participant": who, "side": side,
            "direction": "cap", "first": first, "periods": 1, "quantity_kw": kw, "price": price,
        }  # fmt: skip
        taken = market.do(SubmitFlexOrder(at=H, product="cap", bid=row | more))
        return taken.outcome, [(t.seller, t.first, t.periods, t.quantity_kw, t.price) for t in taken.trades]

    put("ann", "sell", 4, kw=2.0, price=0.1)
    put("bob", "sell", 4, kw=2.0, price=0.2)
    assert put("DSO", "buy", 4, kw=5.0, price=1.0, fill="fill_or_kill") == ("killed", [])
    assert not market.state.period(4).sold_kw.any()
    both = [("ann", 4, 1, 2.0, 0.1), ("bob", 4, 1, 2.0, 0.2)]
    assert put("DSO", "buy", 4, kw=4.0, price=1.0, fill="fill_or_kill") == ("filled", both)
    put("cat", "sell", 8, kw=3.0, price=0.1, periods=8, block_periods=2, rest_blocks=1, max_blocks=2)
    blocks = [("cat", 8, 2, 3.0, 0.1), ("cat", 12, 2, 3.0, 0.1)]
    assert put("DSO", "buy", 8, kw=3.0, price=1.0, periods=8, fill="fill_and_kill") == ("killed", blocks)
    put("cat", "sell", 18, kw=4.0, price=0.3, min_kw=3.0)
    assert put("DSO", "buy", 18, kw=2.0, price=1.0) == ("resting", [])
    assert put("DSO", "buy", 18, kw=3.0, price=0.5) == ("filled", [("cat", 18, 1, 3.0, 0.3)])
    event = settle(market, 4, np.zeros((3, 15)))
    # 2 x 0.1 + 2 x 0.2, four periods of 3 x 0.1, and 3 x 0.3
    assert event.payment_micro.sum() == -(200_000 + 400_000 + 1_200_000 + 900_000)
    assert market.state.balance[:4].tolist() == [200_000, 400_000, 2_100_000, -2_700_000]
