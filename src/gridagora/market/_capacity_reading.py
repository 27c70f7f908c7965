"""Offers as they came in, read as far as they can be: what is unreadable hides no fault of the rest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, InputError
from gridagora.model import bid_columns
from gridagora.model.bids import Bids

if TYPE_CHECKING:
    import pandas as pd

Given = dict[str, NDArray[Any]]
Rows = Mapping[str, frozenset[int]]

JUDGED = ("side", "price", "quantity", "participant", "period", "step")
"""Columns that the checks of offers look at."""

STAND_INS: dict[str, object] = {"side": "sell", "price": 0.0, "quantity": 0.0}
"""What stands in for a value that cannot be read; in other columns, the first that can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Offers as bids, with stand-ins where a value cannot be read.

    Parameters
    ----------
    bids : one per row; None where not even the rows are clear
    faults : of the reading
    count : number of rows
    unread : rows per column whose value is a stand-in

    Examples
    --------
    >>> read = Reading.of({"side": ["sell", "sell"], "price": [0.2, float("nan")], "quantity": [1.0, "two"]})
    >>> [fault.place for fault in read.faults], read.rows("price").tolist()
    (['row 1, column quantity', 'row 1, column price'], [0])
    """

    bids: Bids | None
    faults: tuple[Fault, ...]
    count: int
    unread: Rows

    @classmethod
    def of(cls, offers: "Bids | Mapping[str, ArrayLike] | pd.DataFrame") -> Self:
        """Read bids, or their columns as they came in."""
        if isinstance(offers, Bids):
            return cls(bids=offers, faults=(), count=len(offers), unread={})
        names = [str(name) for name in offers]
        faults = bid_columns.header_faults(names)
        if len(set(names)) < len(names):
            return cls(bids=None, faults=tuple(faults), count=len(offers), unread={})
        given = {name: _column(offers[name]) for name in names if name in bid_columns.COLUMNS}
        count = max((column.size for column in given.values()), default=0)
        lacking = [name for name in bid_columns.REQUIRED if name not in given]
        given |= {name: np.full(count, STAND_INS[name]) for name in lacking}
        # with a wrong header, it is not known either who offers
        nobody = ["participant"] if faults and "participant" not in given else []
        unread = {name: frozenset(range(count)) for name in lacking + nobody}
        try:
            return cls(bids=Bids(**given), faults=tuple(faults), count=count, unread=unread)
        except InputError as error:
            faults += error.faults
        for fault in faults:
            row, _, name = fault.place.removeprefix("row ").partition(", column ")
            if row.isdecimal():
                unread[name] = unread.get(name, frozenset()) | {int(row)}
        return cls(bids=_mended(given, unread, count), faults=tuple(faults), count=count, unread=unread)

    def known(self, *columns: str) -> NDArray[np.bool_]:
        """Tell which rows could be read in all these columns."""
        mask = np.ones(self.count, dtype=np.bool_)
        for column in columns:
            mask[list(self.unread.get(column, ()))] = False
        return mask

    def rows(self, *columns: str) -> NDArray[np.int64]:
        """Return the numbers of the rows that could be read in all these columns."""
        return np.flatnonzero(self.known(*columns))

    def told(
        self, check: Callable[[Bids, Any], Iterable[Fault]], columns: tuple[str, ...], given: Any
    ) -> list[Fault]:
        """Run a check on the rows that could be read in its columns."""
        if self.bids is None:
            return []
        rows = self.rows(*columns)
        return self.at_rows(check(self.bids.take(rows), given), rows)

    def at_rows(self, faults: Iterable[Fault], rows: NDArray[np.int64]) -> list[Fault]:
        """Return faults of some rows with the numbers that these have among all."""
        out = []
        for fault in faults:
            row, comma, rest = fault.place.removeprefix("row ").partition(",")
            place = f"row {rows[int(row)]}{comma}{rest}" if row.isdecimal() else fault.place
            out.append(replace(fault, place=place))
        return out


def _column(values: Any) -> NDArray[Any]:
    """Return a column in which numbers stay numbers beside text."""
    return bid_columns.list_column(values) if isinstance(values, (list, tuple)) else np.asarray(values)


def _mended(given: Given, unread: Rows, count: int) -> Bids | None:
    """Build the bids with stand-ins; None where columns differ in length or are no columns."""
    if any(column.shape != (count,) for column in given.values()):
        return None
    columns: dict[str, Any] = {}
    for name in JUDGED:
        if name in given:
            values, bad = given[name].tolist(), unread.get(name, frozenset())
            # a column of which no row can be read is numbered 0 throughout
            readable = (value for row, value in enumerate(values) if row not in bad)
            stand_in = STAND_INS.get(name, next(readable, 0))
            columns[name] = [stand_in if row in bad else value for row, value in enumerate(values)]
    try:
        return Bids(**columns)
    except InputError:
        return None
