"""Faults of offers are told together: one that hides the row's value hides no fault of the others."""

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.market import check_offers
from gridagora.model.bids import Bids

NAN = float("nan")
GOOD = {
    "side": ["sell"] * 6,
    "price": [0.2, 0.3, 0.5, 0.1, 0.2, 0.3],
    "quantity": [9.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    "participant": ["ann", *["bob"] * 5],
    "period": [5, 5, 6, 6, 6, 3],
    "step": [0, 0, 0, 2, 0, 0],
}
"""Row 0 is above its connection, row 3 behind a gap, row 4 a second offer, row 5 in the past."""
KNOWN = {"row 0, column quantity", "row 3, column step", "row 4, column step", "row 5, column period"}


def told(offers, **options):
    options = {"connection_kw": {"ann": 8.0, "bob": 10.0}, "now_period": 4} | options
    faults = check_offers(offers, **options)
    assert all(fault.reason and fault.fix for fault in faults)
    return {fault.place for fault in faults}


@pytest.mark.parametrize("as_table", [dict, pd.DataFrame])
@pytest.mark.parametrize(
    ("change", "places", "hidden"),
    [
        ({"price": [0.2, "abc", NAN, 0.1, 0.2, 0.3]}, {"row 1, column price", "row 2, column price"}, ()),
        ({"quantity": [9.0, -1.0, float("inf"), 1.0, 1.0, NAN]},
         {f"row {row}, column quantity" for row in (1, 2, 5)}, ()),
        ({"period": [NAN, 5, 6, 6, 6, 3]}, {"row 0, column period"}, {"row 0, column quantity"}),
        ({"participant": [None, *["bob"] * 5]}, {"row 0, column participant"}, {"row 0, column quantity"}),
        ({"side": ["sell", "Sell", "sell", "sell", "sell", "sell"]}, {"row 1, column side"},
         {"row 3, column step"}),
        ({"step": ["g0", "gx", "g0", "g2", "g0", "g0"]}, {"row 1, column step"}, {"row 3, column step"}),
        ({"colour": ["red"] * 6}, {"column colour"}, ()),
    ],
)  # fmt: skip
def test_an_unreadable_value_hides_no_other_fault(as_table, change, places, hidden):
    assert told(as_table(GOOD | change)) == KNOWN - set(hidden) | places


def test_a_missing_column_hides_no_fault_of_the_others():
    assert told({name: column for name, column in GOOD.items() if name != "price"}) == KNOWN | {
        "column price"
    }


def test_an_unreadable_row_makes_no_fault_elsewhere():
    """A period that cannot be read is no second offer, and a price that cannot be read no cheap step."""
    offers = {
        "side": ["sell"] * 4,
        "price": [0.2, NAN, 0.5, 0.6],
        "quantity": [1.0] * 4,
        "participant": ["bob"] * 4,
        "period": [5, 5, 5, 5.5],
        "step": [0, 1, 2, 0],
    }
    assert told(offers) == {"row 1, column price", "row 3, column period"}
    offers["price"] = [0.5, NAN, 0.2, 0.6]
    assert told(offers) == {"row 1, column price", "row 2, column price", "row 3, column period"}


@pytest.mark.parametrize("capacity", [NAN, -3.0, None, "8"])
def test_a_capacity_that_is_none_is_told_once(capacity):
    offers = {name: column[1:3] for name, column in GOOD.items()}
    assert told(offers, connection_kw={"bob": capacity}) == {"row 0, column participant"}


def test_bids_tell_text_and_nan_of_one_column_together():
    with pytest.raises(InputError) as error:
        Bids(side=["buy"] * 3, price=[0.2, "x", NAN], quantity=np.ones(3))
    assert [fault.place for fault in error.value.faults] == ["row 1, column price", "row 2, column price"]
