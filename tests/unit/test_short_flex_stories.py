"""Stories of the continuous market of flexibility, and its bad input."""

from dataclasses import replace

import pytest

from gridagora.errors import InputError
from gridagora.market.short_flex import cancel, close, submit
from gridagora.model.continuous import FlexBid, FlexBookState


def bid(number, participant, side, **given):
    fields = {"direction": "down", "first": 8, "periods": 1, "quantity_kw": 5.0, "price": 0.1}
    return FlexBid(number=number, participant=participant, side=side, **(fields | given))


def sell(number, participant="anna", **given):
    return bid(number, participant, "sell", **given)


def buy(number, participant="dso", **given):
    return bid(number, participant, "buy", **given)


def play(*bids, state=None):
    """Submit bids one second apart; return the book, all trades as tuples and the last outcome."""
    state, told, outcome = state or FlexBookState(), [], None
    for at, item in enumerate(bids):
        state, trades, outcome = submit(state, item, at=state.at + at)
        told += [(t.seller, t.buyer, t.first, t.periods, t.quantity_kw, t.price) for t in trades]
    return state, told, outcome


def ends(outcome):
    return [(end.number, end.first, end.periods, end.quantity_kw, end.reason) for end in outcome.ended]


def places(caught):
    return [fault.place for fault in caught.value.faults]


# --- price, time, sides ---------------------------------------------------------------------------


def test_best_price_first_then_first_come_and_the_earlier_bid_sets_the_price():
    book, trades, outcome = play(
        sell(0, "anna", price=0.2),
        sell(1, "ben", price=0.1, quantity_kw=2.0),
        sell(2, "cleo", price=0.1, quantity_kw=2.0),
        buy(3, quantity_kw=5.0, price=0.3),
    )
    assert trades == [
        ("ben", "dso", 8, 1, 2.0, 0.1),
        ("cleo", "dso", 8, 1, 2.0, 0.1),
        ("anna", "dso", 8, 1, 1.0, 0.2),
    ]
    assert outcome.status == "filled"
    assert [entry.open_kw for entry in book.sells] == [(4.0,)]


def test_a_resting_buyer_sets_the_price_for_a_later_seller():
    _, trades, _ = play(buy(0, price=0.3), sell(1, price=0.1))
    assert trades == [("anna", "dso", 8, 1, 5.0, 0.3)]


def test_a_seller_may_buy_back_what_it_sold_to_adjust():
    _, trades, _ = play(sell(0), buy(1), sell(2, "ben", price=0.05), buy(3, "anna", quantity_kw=2.0))
    assert trades == [("anna", "dso", 8, 1, 5.0, 0.1), ("ben", "anna", 8, 1, 2.0, 0.05)]


@pytest.mark.parametrize("other", [{"direction": "up"}, {"area": "north"}, {"first": 9}, {"price": 0.09}])
def test_bids_of_another_direction_area_period_or_price_do_not_meet(other):
    book, trades, _ = play(sell(0), buy(1, **other))
    assert trades == []
    assert (len(book.buys), len(book.sells)) == (1, 1)


def test_each_period_finds_its_own_best_price_and_equal_neighbours_are_one_trade():
    _, trades, _ = play(
        sell(0, "anna", first=8, periods=4, price=0.2),
        sell(1, "ben", first=9, price=0.1),
        buy(2, first=7, periods=5, price=0.3),
    )
    assert trades == [
        ("ben", "dso", 9, 1, 5.0, 0.1),
        ("anna", "dso", 8, 1, 5.0, 0.2),
        ("anna", "dso", 10, 2, 5.0, 0.2),
    ]


def test_a_trade_names_the_contract_of_the_sell():
    _, trades, _ = submit(play(sell(0, contract="winter"))[0], buy(1), at=9)
    assert (trades[0].contract, trades[0].at, trades[0].direction) == ("winter", 9, "down")


def test_tenths_of_kilowatts_add_up_without_residue():
    book, _, outcome = play(sell(0, quantity_kw=0.3), buy(1, quantity_kw=0.1), buy(2, quantity_kw=0.2))
    assert outcome.status == "filled"
    assert (book.buys, book.sells) == ((), ())


# --- blocks ---------------------------------------------------------------------------------------


def test_a_block_trades_whole_in_time_and_in_parts_in_quantity():
    book, trades, _ = play(
        sell(0, periods=8, block_periods=4),
        buy(1, first=8, periods=3),
        buy(2, "tso", first=6, periods=8, quantity_kw=2.0),
    )
    assert trades == [("anna", "tso", 8, 4, 2.0, 0.1)]
    assert book.sells[0].open_kw == (3.0, 5.0)
    assert book.buys[1].open_kw == (2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0)


def test_several_buyers_of_an_hour_do_not_add_up_to_a_block():
    _, trades, _ = play(buy(0, first=8), buy(1, first=9), sell(2, periods=2, block_periods=2))
    assert trades == []


def test_blocks_of_two_lengths_meet_where_both_are_whole():
    _, trades, _ = play(
        sell(0, first=8, periods=12, block_periods=3),
        buy(1, first=6, periods=14, block_periods=2),
    )
    assert trades == [("anna", "dso", 8, 12, 5.0, 0.1)]
    _, trades, _ = play(
        sell(0, first=8, periods=4, block_periods=2), buy(1, first=9, periods=4, block_periods=2)
    )
    assert trades == []


def test_max_blocks_counts_over_all_trades_and_takes_the_rest_out():
    book, trades, outcome = play(
        sell(0, periods=3, max_blocks=2),
        buy(1, first=8, quantity_kw=2.0),
        buy(2, "tso", first=8, periods=3),
    )
    assert trades == [
        ("anna", "dso", 8, 1, 2.0, 0.1),
        ("anna", "tso", 8, 1, 3.0, 0.1),
        ("anna", "tso", 9, 1, 5.0, 0.1),
    ]
    assert ends(outcome) == [(0, 10, 1, 5.0, "max_blocks")]
    assert book.sells == ()


def test_rest_blocks_keep_activations_apart():
    book, trades, outcome = play(sell(0, periods=5, rest_blocks=1), buy(1, first=9, periods=4))
    assert [(first, periods) for _, _, first, periods, *_ in trades] == [(9, 1), (11, 1)]
    assert ends(outcome) == [(0, 8, 1, 5.0, "rest_blocks")] + [
        (0, first, 1, 5.0, "rest_blocks") for first in (10, 12)
    ]
    assert book.sells == ()
    assert book.buys[0].open_kw == (0.0, 5.0, 0.0, 5.0)


def test_a_long_block_does_not_meet_a_bid_that_must_rest_inside_it():
    _, trades, _ = play(sell(0, periods=4, rest_blocks=1), buy(1, periods=4, block_periods=4))
    assert trades == []
    _, trades, _ = play(sell(0, periods=4, max_blocks=3), buy(1, periods=4, block_periods=4))
    assert trades == []


# --- least quantity and fill ----------------------------------------------------------------------


def test_a_bid_below_the_least_quantity_is_passed_over():
    book, trades, _ = play(sell(0, "anna", min_kw=3.0, price=0.05), sell(1, "ben"), buy(2, quantity_kw=2.0))
    assert trades == [("ben", "dso", 8, 1, 2.0, 0.1)]
    assert len(book.sells) == 2


def test_a_remainder_below_the_least_quantity_leaves_the_book_and_is_told():
    book, _, outcome = play(sell(0, min_kw=3.0), buy(1, quantity_kw=4.0))
    assert outcome.status == "filled"
    assert ends(outcome) == [(0, 8, 1, 1.0, "min_kw")]
    assert book.sells == ()


def test_a_least_quantity_of_all_is_taken_whole_or_not_at_all():
    _, trades, _ = play(sell(0, min_kw=5.0), buy(1, quantity_kw=4.9), buy(2, "tso", quantity_kw=6.0))
    assert trades == [("anna", "tso", 8, 1, 5.0, 0.1)]


def test_fill_or_kill_needs_all_periods():
    offers = (sell(0, "anna", periods=2, quantity_kw=3.0), sell(1, "ben", first=8, price=0.2))
    book, trades, outcome = play(*offers, buy(2, periods=2, price=0.3, fill="fill_or_kill"))
    assert trades == []
    assert (outcome.status, ends(outcome)) == ("killed", [(2, 8, 2, 5.0, "killed")])
    assert book.sells == play(*offers)[0].sells
    _, trades, outcome = play(
        *offers, sell(2, "ben", first=9), buy(3, periods=2, price=0.3, fill="fill_or_kill")
    )
    assert outcome.status == "filled"
    assert sum(periods * kw for *_, periods, kw, _ in trades) == 10.0


def test_fill_or_kill_that_falls_short_leaves_own_bids_alone():
    book, _, outcome = play(sell(0, "dso", price=0.05), sell(1, quantity_kw=4.0), buy(2, fill="fill_or_kill"))
    assert outcome.status == "killed"
    assert len(book.sells) == 2


def test_fill_and_kill_takes_what_there_is():
    book, trades, outcome = play(sell(0, quantity_kw=2.0, periods=2), buy(1, periods=3, fill="fill_and_kill"))
    assert trades == [("anna", "dso", 8, 2, 2.0, 0.1)]
    assert outcome.status == "killed"
    assert ends(outcome) == [(1, 8, 2, 3.0, "killed"), (1, 10, 1, 5.0, "killed")]
    assert (book.buys, book.sells) == ((), ())


def test_a_bid_that_may_not_activate_more_has_ended():
    _, _, outcome = play(sell(0, periods=2), buy(1, periods=2, max_blocks=1))
    assert (outcome.status, ends(outcome)) == ("ended", [(1, 9, 1, 5.0, "max_blocks")])


# --- self-match -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "open_sells", "open_buys", "traded", "ended"),
    [
        ("cancel_resting", [(5.0, 0.0)], [(5.0, 5.0)], 0, [(0, 9, 1, 5.0, "self_match")]),
        ("cancel_incoming", [(5.0, 5.0)], [(0.0, 5.0)], 0, [(1, 9, 1, 5.0, "self_match")]),
        ("allow", [(5.0, 0.0)], [(0.0, 5.0)], 1, []),
    ],
)
def test_nobody_trades_with_themselves(rule, open_sells, open_buys, traded, ended):
    state = FlexBookState(self_match=rule)
    book, trades, outcome = play(sell(0, periods=2), buy(1, "anna", first=9, periods=2), state=state)
    assert [entry.open_kw for entry in book.sells] == open_sells
    assert [entry.open_kw for entry in book.buys] == open_buys
    assert (len(trades), ends(outcome)) == (traded, ended)


def test_unknown_self_match_rule_is_refused():
    with pytest.raises(InputError, match="self_match: unknown"):
        FlexBookState(self_match="never")


# --- time -----------------------------------------------------------------------------------------


def test_a_bid_is_valid_before_its_last_second_only():
    book, _, _ = play(sell(0, valid_until=20), sell(1, "ben", price=0.2, valid_until=30))
    assert submit(book, buy(2, price=0.3), at=19)[1][0].seller == "anna"
    _, trades, outcome = submit(book, buy(2, price=0.3), at=20)
    assert [trade.seller for trade in trades] == ["ben"]
    assert ends(outcome) == [(0, 8, 1, 5.0, "expired")]


def test_a_gate_ends_blocks_whose_first_period_it_closes():
    book, _, _ = play(sell(0, periods=6, block_periods=3), sell(1, "ben", first=20, valid_until=50))
    book, ended = close(book, before_period=10, at=40)
    assert [(end.first, end.periods, end.reason) for end in ended] == [(8, 3, "closed")]
    assert book.sells[0].open_kw == (0.0, 5.0)
    book, ended = close(book, before_period=9, at=60)
    assert book.open_from == 10
    assert [(end.number, end.reason) for end in ended] == [(1, "expired")]
    assert close(book, before_period=99, at=60)[0].sells == ()


def test_the_gate_that_comes_with_a_bid_closes_before_it_trades():
    book, _, _ = play(sell(0, first=8, periods=2, block_periods=2))
    book, trades, outcome = submit(book, buy(1, first=9), at=5, open_from=9)
    assert trades == ()
    assert ends(outcome) == [(0, 8, 2, 5.0, "closed")]
    assert book.open_from == 9


def test_cancel_takes_out_what_is_left():
    book, _, _ = play(sell(0, periods=2), buy(1, first=8, quantity_kw=2.0), sell(2, valid_until=7))
    book, ended = cancel(book, 0, participant="anna", at=7)
    assert [(end.number, end.first, end.quantity_kw, end.reason) for end in ended] == [
        (2, 8, 5.0, "expired"),
        (0, 8, 3.0, "cancelled"),
        (0, 9, 5.0, "cancelled"),
    ]
    assert (book.buys, book.sells) == ((), ())


# --- bad input ------------------------------------------------------------------------------------


def test_a_bid_tells_all_its_faults_at_once():
    with pytest.raises(InputError) as caught:
        FlexBid(
            number=-1,
            participant="",
            side="hold",
            direction="left",
            first=-3,
            periods=5,
            quantity_kw=0.0,
            price=float("nan"),
            min_kw=-1.0,
            fill="maybe",
            block_periods=2,
            max_blocks=0,
            rest_blocks=-1,
        )
    assert set(places(caught)) == {
        "number",
        "participant",
        "side",
        "direction",
        "first",
        "periods",
        "quantity_kw",
        "price",
        "min_kw",
        "fill",
        "max_blocks",
        "rest_blocks",
    }
    assert all(fault.reason and fault.fix and "-1" in fault.source for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("place", "given"),
    [
        ("quantity_kw", {"quantity_kw": -1.0}),
        ("quantity_kw", {"quantity_kw": float("inf")}),
        ("quantity_kw", {"quantity_kw": 0.0005}),
        ("quantity_kw", {"quantity_kw": 1.00005}),
        ("quantity_kw", {"quantity_kw": "5"}),
        ("price", {"price": float("-inf")}),
        ("price", {"price": None}),
        ("min_kw", {"min_kw": 5.1}),
        ("first", {"first": 8.0}),
        ("first", {"first": None}),
        ("periods", {"periods": True}),
        ("periods", {"periods": 100_001}),
        ("periods", {"periods": 3, "block_periods": 2}),
        ("block_periods", {"block_periods": 0}),
        ("valid_until", {"valid_until": 1.5}),
        ("area", {"area": None}),
        ("contract", {"contract": "winter", "side": "buy"}),
        ("max_blocks", {"fill": "fill_or_kill", "periods": 3, "max_blocks": 2}),
        ("rest_blocks", {"fill": "fill_or_kill", "periods": 3, "rest_blocks": 1}),
    ],
)
def test_a_bad_field_is_named(place, given):
    with pytest.raises(InputError) as caught:
        bid(0, "anna", **({"side": "sell"} | given))
    assert places(caught) == [place]


def test_a_bid_that_comes_too_late_is_refused_with_all_faults():
    book, _, _ = play(sell(0))
    book, _ = close(book, before_period=10, at=100)
    with pytest.raises(InputError) as caught:
        submit(book, buy(0, first=9, valid_until=120), at=99)
    assert places(caught) == ["at", "number", "first"]
    with pytest.raises(InputError) as caught:
        submit(book, buy(1, first=11, valid_until=120), at=120, open_from=12)
    assert places(caught) == ["first", "valid_until"]


def test_a_time_that_is_no_number_is_a_fault():
    for at in (None, 1.5, float("nan")):
        with pytest.raises(InputError) as caught:
            submit(FlexBookState(), buy(0, valid_until=3), at=at)
        assert places(caught) == ["at"]
    with pytest.raises(InputError) as caught:
        close(FlexBookState(at=5), before_period=2.5, at=4)
    assert places(caught) == ["at", "before_period"]


@pytest.mark.parametrize(
    ("number", "participant", "place", "reason"),
    [
        (0, "ben", "participant", "did not place bid 0"),
        (1, "dso", "number", "is no longer in the book"),
        (7, "anna", "number", "no bid has this number"),
        ("x", "anna", "number", "no bid has this number"),
    ],
)
def test_a_cancel_of_nothing_or_of_others_is_refused(number, participant, place, reason):
    book, _, _ = play(sell(0), buy(1, quantity_kw=1.0))
    with pytest.raises(InputError) as caught:
        cancel(book, number, participant=participant, at=9)
    assert [(fault.place, fault.reason) for fault in caught.value.faults] == [(place, reason)]
    with pytest.raises(InputError) as caught:
        cancel(book, number, participant=participant, at=0)
    assert places(caught) == ["at", place]


def test_a_refused_message_changes_nothing():
    book, _, _ = play(sell(0, valid_until=50))
    before = replace(book)
    with pytest.raises(InputError):
        cancel(book, 0, participant="ben", at=60)
    assert book == before
