"""Bad input to the order book: every fault at once, with its place, and nothing applied."""

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.market.book import Messages, OrderBook

GOOD = {"side": "buy", "price": 0.2, "quantity": 1.0}


def places(error):
    return [(fault.place, fault.reason) for fault in error.value.faults]


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ({"quantity": -1.0}, "quantity", "not above zero"),
        ({"quantity": 0}, "quantity", "not above zero"),
        ({"quantity": float("nan")}, "quantity", "not above zero"),
        ({"quantity": float("inf")}, "quantity", "not finite"),
        ({"quantity": 1e15}, "quantity", "not above zero"),
        ({"quantity": 0.0005}, "quantity", "off the grid"),
        ({"quantity": "much"}, "quantity", "no number"),
        ({"price": float("nan")}, "price", "needs a price"),
        ({"price": None}, "price", "needs a price"),
        ({"price": 0.20005}, "price", "off the grid"),
        ({"price": 10.0001}, "price", "outside the band"),
        ({"price": -1e30}, "price", "outside the band"),
        ({"kind": "market"}, "price", "has no price"),
        ({"side": "bid"}, "side", "no such side"),
        ({"kind": "iceberg"}, "kind", "no such kind"),
        ({"at": -1}, "at", "backwards"),
        ({"at": 1.5}, "at", "off the grid"),
        ({"at": "noon"}, "at", "no time"),
        ({"at": 5, "valid_until": 5}, "valid_until", "ends before"),
        ({"at": 5, "valid_until": "2026-01-01"}, "valid_until", "mixed"),
        ({"order": -3}, "order", "no number"),
        ({"participant": ["ann"]}, "participant", "no name"),
        ({"side": ["buy"]}, "side", "no name"),
    ],
)
def test_one_bad_order(change, place, reason):
    book = OrderBook()
    with pytest.raises(InputError) as error:
        book.submit(**GOOD | change)
    assert len(error.value.faults) == 1, str(error.value)
    fault = error.value.faults[0]
    assert fault.place == place
    assert reason in fault.reason
    assert fault.fix
    assert len(book.orders(resting_only=False)) == 0


def test_all_faults_of_a_table_are_told_with_their_rows_and_nothing_is_applied():
    book = OrderBook()
    messages = pd.DataFrame(
        {
            "action": ["new", "new", "cancel", "amend", "expire", "fly", "new"],
            "side": ["buy", "hold", None, None, None, None, "sell"],
            "price": [0.2, 0.3, None, None, None, None, 0.123456],
            "quantity": [1.0, -2.0, None, None, None, None, 1.0],
            "order": [3, 4, None, 3, None, None, 3],
            "at": [1, 2, 3, 4, 5, 6, 4],
        }
    )
    with pytest.raises(InputError) as error:
        book.replay(messages)
    assert sorted(places(error)) == sorted(
        [
            ("row 1, side", "no such side"),
            ("row 1, quantity", "quantity is not above zero, or beyond all measure"),
            ("row 2, order", "no order is named"),
            ("row 3, price", "the amendment changes nothing"),
            ("row 5, action", "no such action"),
            ("row 6, price", "off the grid of the book"),
            ("row 6, order", "this number is taken"),
            ("row 6, at", "time goes backwards"),
        ]
    )
    assert next(fault for fault in error.value.faults if fault.place == "row 1, quantity").value == -2.0
    assert len(book.orders(resting_only=False)) == 0
    assert book.submit(**GOOD).order == 0


def test_the_same_faults_in_integer_columns():
    messages = Messages(
        action=[0, 0, 1, 7],
        side=[0, 2, 0, 0],
        price_ticks=[2000, 2000, 0, 0],
        quantity_wh=[-1, 5, 0, 0],
        at=[3, 2, 3, 3],
    )
    with pytest.raises(InputError) as error:
        OrderBook().replay(messages)
    assert [place for place, _ in places(error)] == [
        "row 0, quantity",
        "row 1, side",
        "row 1, at",
        "row 2, order",
        "row 3, action",
    ]


def test_columns_of_messages_must_fit():
    with pytest.raises(InputError) as error:
        Messages(side=[0, 1], price_ticks=[1.5, 2.0], quantity_wh=[1], kind=[300, 0])
    assert sorted(place for place, _ in places(error)) == ["kind", "price_ticks", "quantity_wh"]
    with pytest.raises(InputError, match="no such participant"):
        OrderBook().replay(
            Messages(side=[0], price_ticks=[1], quantity_wh=[1], participant=[2], participants=("a",))
        )


def test_a_table_with_wrong_columns():
    with pytest.raises(InputError) as error:
        OrderBook().replay(pd.DataFrame({"side": ["buy"], "prise": [0.2], "quantity": [1.0]}))
    assert [(fault.value, fault.reason) for fault in error.value.faults] == [
        ("prise", "no such column"),
        (None, "no column 'price'"),
    ]


def test_a_gap_in_the_times_of_a_table():
    with pytest.raises(InputError, match="row 1, at: no time"):
        OrderBook().replay(pd.DataFrame([GOOD | {"at": 1}, GOOD]))


def test_a_table_may_have_an_empty_column_of_times():
    book = OrderBook()
    book.replay(pd.DataFrame([GOOD | {"at": None, "valid_until": None}] * 2))
    assert len(book.orders()) == 2


def test_a_number_given_twice_and_a_sort_of_time_changed():
    book = OrderBook()
    book.submit(**GOOD, order=5, at=1)
    with pytest.raises(InputError, match="this number is taken"):
        book.submit(**GOOD, order=5)
    with pytest.raises(InputError, match="mixed"):
        book.submit(**GOOD, at=np.datetime64("2026-01-01"))


@pytest.mark.parametrize("number", [None, "seven", 1.5, -1])
def test_no_order_has_such_a_number(number):
    with pytest.raises(InputError):
        OrderBook().cancel(number)


@pytest.mark.parametrize(
    "settings",
    [
        {"tick": 0},
        {"tick": 1e-7},
        {"tick": float("nan")},
        {"price_band": (1.0, -1.0)},
        {"price_band": (0.0, float("inf"))},
        {"price_band": (0.00005, 1.0)},
        {"price_band": (-1e6, 1e6)},
        {"self_match": "maybe"},
    ],
)
def test_a_book_that_cannot_be_opened(settings):
    with pytest.raises(InputError):
        OrderBook(**settings)


def test_something_else_than_a_table():
    with pytest.raises(InputError, match="no table of messages"):
        OrderBook().replay([GOOD])


def test_the_end_of_time_expires_what_ends_and_no_more():
    book = OrderBook()
    book.submit(**GOOD, valid_until=10)
    book.submit(**GOOD)
    assert book.expire(2**63 - 1) == (0,)
    assert len(book.orders()) == 1
