"""Bids at the border: what is taken, what is refused, and that nobody can alter a bid."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.model.bids import Bids, Side


def faults_of(**columns):
    with pytest.raises(InputError) as caught:
        Bids(**columns)
    return {fault.place: fault for fault in caught.value.faults}


@pytest.mark.parametrize(
    "side",
    [
        ["buy", "sell"],
        [Side.BUY, Side.SELL],
        [1, -1],
        [1.0, -1.0],
        np.array(["buy", "sell"], dtype=object),
        pd.Series(["buy", "sell"], index=[7, 9]),
        pd.Series(["buy", "sell"], dtype="category"),
        pd.Series(["buy", "sell"], dtype="string"),
        (Side.BUY, "sell"),
        np.array([1, -1], dtype=np.int32),
    ],
    ids=repr,
)
def test_sides_are_taken_in_every_spelling(side):
    bids = Bids(side=side, price=[1, 2], quantity=[3, 4])
    assert bids.side.tolist() == [1, -1]
    assert bids.side.dtype == np.int8
    assert bids.is_buy.tolist() == [True, False]


@pytest.mark.parametrize(
    ("price", "quantity", "kind"),
    [
        (np.array([1], np.int32), np.array([2], np.uint16), "i"),
        ([1], [2], "i"),
        ([1.0], [2], "f"),
        ([1], [2.5], "f"),
        ([Decimal("0.5")], [2], "f"),
        (np.array([1], dtype=object), pd.Series([2]), "i"),
        (np.array([1.5], np.float32), [2], "f"),
    ],
)
def test_only_whole_prices_with_whole_quantities_stay_integers(price, quantity, kind):
    bids = Bids(side=["buy"], price=price, quantity=quantity)
    assert bids.price.dtype.kind == bids.quantity.dtype.kind == kind
    assert bids.price.dtype.itemsize == bids.quantity.dtype.itemsize == 8
    assert bids.is_integer == (kind == "i")


def test_left_out_columns_have_defaults():
    bids = Bids(side=["buy", "sell"], price=[1, 2], quantity=[3, 4])
    assert bids.participant.tolist() == [0, 1]
    assert bids.period.tolist() == [0, 0]
    assert (bids.node, bids.carrier, bids.group, bids.step) == (None, None, None, None)


def test_every_fault_is_told_at_once_with_row_column_value_and_fix():
    found = faults_of(
        side=["buy", "bye", "sell", "sell "],
        price=[1.0, np.nan, np.inf, 2.0],
        quantity=[-1.0, 1.0, np.nan, np.inf],
        participant=["a", None, "c", "d"],
        period=[0, 1.5, 2, 3],
    )
    assert set(found) == {
        "row 1, column side",
        "row 3, column side",
        "row 1, column price",
        "row 2, column price",
        "row 0, column quantity",
        "row 2, column quantity",
        "row 3, column quantity",
        "row 1, column participant",
        "row 1, column period",
    }
    assert found["row 0, column quantity"].value == -1.0
    assert found["row 3, column side"].value == "sell "
    assert all(fault.fix and fault.source == "bids" for fault in found.values())


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"price": [1.0, 2.0, 3.0]}, "column side"),
        ({"price": [[1.0], [2.0]]}, "column price"),
        ({"price": 1.0}, "column price"),
        ({"price": None}, "column price"),
        ({"price": ["1", "2"]}, "row 0, column price"),
        ({"price": [True, False]}, "row 0, column price"),
        ({"quantity": [1, True]}, "row 1, column quantity"),
        ({"quantity": np.array([1, 2], dtype="datetime64[s]")}, "row 0, column quantity"),
        ({"quantity": [1, None]}, "row 1, column quantity"),
        ({"price": [1, 1], "quantity": [2**63, 1]}, "row 0, column quantity"),
        ({"price": [10**6, 1], "quantity": [2**60, 1]}, "row 0, column quantity"),
        ({"price": [2**60, 1], "quantity": [1, 1]}, "row 0, column price"),
        ({"side": [True, False]}, "row 0, column side"),
        ({"side": [1, 0]}, "row 1, column side"),
        ({"side": [1, np.nan]}, "row 1, column side"),
        ({"participant": ["a", 1]}, "row 1, column participant"),
        ({"participant": [1.5, 2.0]}, "row 0, column participant"),
        ({"node": ["a", np.nan]}, "row 1, column node"),
        ({"period": ["2016-01-01", "2016-01-02"]}, "row 0, column period"),
        ({"period": np.array([0, 1], dtype="datetime64[s]")}, "row 0, column period"),
    ],
)
def test_nasty_columns_are_refused(columns, place):
    given = {"side": ["buy", "sell"], "price": [1.0, 2.0], "quantity": [1.0, 1.0]} | columns
    assert place in faults_of(**given)


def test_bids_share_no_memory_with_the_caller_and_cannot_be_written():
    price = np.array([1.0, 2.0])
    who = np.array(["a", "b"])
    bids = Bids(side=[1, -1], price=price, quantity=[1.0, 1.0], participant=who, period=np.array([0, 1]))
    price[0] = 9.0
    who[0] = "z"
    assert bids.price.tolist() == [1.0, 2.0]
    assert bids.participant.tolist() == ["a", "b"]
    for name in ("side", "price", "quantity", "participant", "period"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(bids, name)[0] = 0
    with pytest.raises(AttributeError):
        bids.price = price


def test_table_there_and_back():
    bids = Bids(
        side=["buy", "sell"],
        price=[1.5, -2.0],
        quantity=[3.0, 0.0],
        participant=["ann", "bob"],
        period=[4, 5],
        node=["n1", "n2"],
        carrier=["heat", "heat"],
        group=[1, 2],
        step=[0, 1],
    )
    frame = bids.to_frame()
    assert frame.side.tolist() == ["buy", "sell"]
    pd.testing.assert_frame_equal(Bids.from_frame(frame).to_frame(), frame)
    pd.testing.assert_frame_equal(Bids.from_frame(frame.set_index(np.array([7, 7]))).to_frame(), frame)


def test_table_with_unknown_missing_and_double_columns_is_refused():
    frame = pd.DataFrame([["buy", 1, 2]], columns=["side", "prise", "prise"])
    with pytest.raises(InputError) as caught:
        Bids.from_frame(frame)
    text = str(caught.value)
    for part in ("column price", "column quantity", "unknown column", "more than once"):
        assert part in text


def test_take_and_concat():
    bids = Bids(side=[1, -1, 1], price=[1, 2, 3], quantity=[4, 5, 6], participant=["a", "b", "c"])
    assert bids.take([2, 0]).participant.tolist() == ["c", "a"]
    assert bids.take(bids.is_buy).price.tolist() == [1, 3]
    assert len(bids.take([])) == 0
    with pytest.raises(ValueError, match="read-only"):
        bids.take([0]).price[0] = 1
    both = Bids.concat([bids, bids.take([1])])
    assert both.participant.tolist() == ["a", "b", "c", "b"]
    assert both.is_integer
    mixed = Bids.concat([bids, Bids(side=[1], price=[0.5], quantity=[1.0], participant=["d"])])
    assert mixed.price.tolist() == [1.0, 2.0, 3.0, 0.5]
    assert len(Bids.concat([])) == 0


def test_concat_refuses_a_column_that_only_some_parts_have_and_ids_of_two_kinds():
    part = {"side": [1], "price": [1], "quantity": [1]}
    with pytest.raises(InputError, match="part 1, column node"):
        Bids.concat([Bids(**part, node=["n"]), Bids(**part)])
    with pytest.raises(InputError, match="text in one part"):
        Bids.concat([Bids(**part, participant=["a"]), Bids(**part)])


def test_no_bids_at_all_and_a_copy_through_pickle():
    assert len(Bids(side=[], price=[], quantity=[])) == 0
    bids = pickle.loads(pickle.dumps(Bids(side=["buy"], price=[1], quantity=[2])))
    assert bids.price.tolist() == [1]
