"""Bids as columns: one frozen struct of NumPy arrays, one entry per bid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import check_faults
from gridagora.model import bid_columns
from gridagora.model.bid_columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


class Side(IntEnum):
    """The side of a bid, as stored in `Bids.side`."""

    BUY = 1
    SELL = -1


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Bids:
    """Bids of any number of participants and periods, one entry per bid in every column.

    Whole prices together with whole quantities stay integers (ticks and Wh) and are cleared exactly; in any
    other case both become floats.  Columns are read-only copies, so neither a mechanism nor a later
    change of the caller's arrays can alter a bid.

    Parameters
    ----------
    side : "buy" or "sell", `Side`, or +1 (buy) and -1 (sell)
    price : currency per kWh, any sign; or whole ticks
    quantity : kWh, >= 0; or whole Wh
    participant : id of the bidder, text or integer; the row number if left out
    period : integer index of the delivery period; 0 if left out
    node : bus of the bid; None if left out
    carrier : "electricity", "heat" ...; None if left out
    group : links bids that depend on each other; None if left out
    step : orders the granularity steps of a bidder; None if left out

    Raises
    ------
    InputError
        Lists every fault: NaN or infinite price, negative or NaN quantity, unknown side, columns of
        different lengths, each with row, column, value and fix.

    Notes
    -----
    DESIGN.md, "Bids are columns".

    Examples
    --------
    >>> bids = Bids(side=["buy", "sell"], price=[0.30, 0.10], quantity=[2.0, 3.0], participant=["ann", "bob"])
    >>> len(bids), bids.is_buy.tolist(), bids.period.tolist()
    (2, [True, False], [0, 0])
    """

    side: NDArray[np.int8]
    price: NDArray[Any]
    quantity: NDArray[Any]
    participant: NDArray[Any]
    period: NDArray[np.int64]
    node: NDArray[Any] | None
    carrier: NDArray[Any] | None
    group: NDArray[Any] | None
    step: NDArray[Any] | None

    def __init__(
        self,
        *,
        side: ArrayLike | Sequence[object],
        price: ArrayLike,
        quantity: ArrayLike,
        participant: ArrayLike | None = None,
        period: ArrayLike | None = None,
        node: ArrayLike | None = None,
        carrier: ArrayLike | None = None,
        group: ArrayLike | None = None,
        step: ArrayLike | None = None,
    ) -> None:
        given = {
            "side": side,
            "price": price,
            "quantity": quantity,
            "participant": participant,
            "period": period,
            "node": node,
            "carrier": carrier,
            "group": group,
            "step": step,
        }
        self._store(bid_columns.checked(given))

    def _store(self, columns: dict[str, NDArray[Any] | None]) -> None:
        for name in COLUMNS:
            column = columns[name]
            if column is not None:
                column.setflags(write=False)
            object.__setattr__(self, name, column)

    @classmethod
    def _trusted(cls, columns: dict[str, NDArray[Any] | None]) -> Self:
        """Build from columns that passed the checks before (rows of other bids)."""
        bids = object.__new__(cls)
        bids._store(columns)
        return bids

    @classmethod
    def from_frame(cls, frame: "pd.DataFrame") -> Self:
        """Read bids from a table with one row per bid and the columns of `Bids`.

        Raises `InputError` when a required column is missing, a column is unknown or a value is bad.

        >>> import pandas as pd
        >>> Bids.from_frame(pd.DataFrame({"side": ["buy"], "price": [3], "quantity": [10]})).price
        array([3])
        """
        check_faults(bid_columns.header_faults([str(name) for name in frame.columns]))
        return cls(**{str(name): frame[name].to_numpy() for name in frame.columns})

    def to_frame(self) -> "pd.DataFrame":
        """Return the bids as a table, side as "buy" or "sell", columns left out when not given.

        >>> Bids(side=[1], price=[3], quantity=[10]).to_frame().to_dict("list")["side"]
        ['buy']
        """
        import pandas as pd

        columns = {name: column for name, column in self._columns().items() if column is not None}
        columns["side"] = np.where(self.is_buy, "buy", "sell")
        return pd.DataFrame(columns)

    @classmethod
    def concat(cls, parts: Iterable["Bids"]) -> "Bids":
        """Join several bids into one, in their order; an optional column must be given in all or in none.

        >>> one = Bids(side=["buy"], price=[3], quantity=[10], participant=["ann"])
        >>> len(Bids.concat([one, one]))
        2
        """
        rows = list(parts)
        check_faults(bid_columns.concat_faults([part._columns() for part in rows]))
        if not rows:
            return cls(side=[], price=[], quantity=[])
        joined: dict[str, Any] = {
            name: None
            if getattr(rows[0], name) is None
            else np.concatenate([getattr(part, name) for part in rows])
            for name in COLUMNS
        }
        # built anew, since parts of different number types become floats together
        return cls(**joined)

    def take(self, rows: ArrayLike) -> "Bids":
        """Return the bids of a boolean mask or of row numbers, in that order.

        >>> Bids(side=[1, -1], price=[3, 2], quantity=[1, 1]).take([False, True]).price.tolist()
        [2]
        """
        index = np.asarray(rows)
        index = index.astype(np.int64) if index.size == 0 and index.dtype != np.bool_ else index
        return Bids._trusted({name: None if c is None else c[index] for name, c in self._columns().items()})

    def _columns(self) -> dict[str, NDArray[Any] | None]:
        return {name: getattr(self, name) for name in COLUMNS}

    def __len__(self) -> int:
        return len(self.side)

    @property
    def is_buy(self) -> NDArray[np.bool_]:
        """True for bids to buy, per bid."""
        return self.side > 0

    @property
    def is_integer(self) -> bool:
        """True when prices and quantities are whole ticks and Wh, which are cleared exactly."""
        return self.price.dtype.kind == "i"
