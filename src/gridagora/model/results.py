"""What a market mechanism returns: accepted quantities, prices, payments and trades."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.model.bids import Bids

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClearingResult:
    """Outcome of an auction over one or many periods; tables are made when they are asked for.

    Parameters
    ----------
    bids : the bids that were cleared
    accepted : quantity accepted per bid, in the order of the bids
    period : ids of the periods, ascending
    price : currency per kWh (or ticks) per period, NaN where nothing can trade; the dual of the balance (E2)
    buy_price, sell_price : per period, where the rule makes buyers pay another price than sellers get
    paid_by_bid : money per bid (+ received, - paid) of rules without one price per period and side
    pairs : (row of the buy, row of the sell, quantity, price) of rules that trade pair by pair
    deficit_declared : True when the rule may pay out more than it takes in

    Notes
    -----
    Money is + received, - paid.  Results of integer bids are exact integers; prices are floats, which hold
    whole ticks exactly.  Sums of floats are correctly rounded, so that they do not depend on the order of
    the bids.

    Examples
    --------
    >>> bids = Bids(side=["buy", "sell"], price=[5.0, 3.0], quantity=[1.0, 1.0], participant=["ann", "bob"])
    >>> result = ClearingResult(
    ...     bids=bids, accepted=bids.quantity, period=np.array([0]), price=np.array([4.0])
    ... )
    >>> result.welfare, result.payments.to_dict(), result.budget_balance
    (2.0, {'ann': -4.0, 'bob': 4.0}, 0.0)
    """

    bids: Bids
    accepted: NDArray[Any]
    period: NDArray[np.int64]
    price: NDArray[np.float64]
    buy_price: NDArray[np.float64] | None = None
    sell_price: NDArray[np.float64] | None = None
    paid_by_bid: NDArray[Any] | None = None
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[Any]] | None = None
    deficit_declared: bool = False

    def __post_init__(self) -> None:
        for array in (self.accepted, self.period, self.price):
            array.setflags(write=False)

    @property
    def period_index(self) -> NDArray[np.int64]:
        """Position in ``period`` of each bid's period."""
        if len(self.period) <= 1:
            return np.zeros(len(self.bids), dtype=np.int64)
        return np.searchsorted(self.period, self.bids.period)

    @property
    def prices(self) -> "pd.DataFrame":
        """Price per period (rows), NaN where nothing can trade; buy and sell prices too where they differ."""
        import pandas as pd

        columns = {"price": self.price}
        if self.buy_price is not None and self.sell_price is not None:
            columns |= {"buy_price": self.buy_price, "sell_price": self.sell_price}
        return pd.DataFrame(columns, index=pd.Index(self.period, name="period"))

    @property
    def volume(self) -> NDArray[Any]:
        """Quantity bought per period, in the order of ``period``."""
        bought = self.bids.is_buy
        return sum_by(self.period_index[bought], self.accepted[bought], len(self.period))

    @property
    def welfare(self) -> float | int:
        """Value of the accepted buys minus cost of the accepted sells, by the bids' own prices (E1)."""
        return _total(self.bids.side * self.bids.price * self.accepted)

    @property
    def paid(self) -> NDArray[Any]:
        """Money per bid: + received, - paid."""
        if self.paid_by_bid is not None:
            return self.paid_by_bid
        index = self.period_index
        if self.buy_price is not None and self.sell_price is not None:
            price = np.where(self.bids.is_buy, self.buy_price[index], self.sell_price[index])
        else:
            price = self.price[index]
        # without trade the price is NaN and nothing is paid
        price = np.where(self.accepted > 0, price, 0)
        paid: NDArray[Any] = -self.bids.side * price.astype(self.accepted.dtype) * self.accepted
        return paid + 0  # no negative zeros

    @property
    def payments(self) -> "pd.Series[Any]":
        """Money per participant over all periods, + received, - paid; every participant is listed."""
        import pandas as pd

        names, index = np.unique(self.bids.participant, return_inverse=True)
        amounts = sum_by(index, self.paid, len(names))
        return pd.Series(amounts, index=pd.Index(names, name="participant"), name="payment")

    @property
    def budget_balance(self) -> float | int:
        """What is left with the operator; negative is a deficit."""
        return 0 - _total(self.paid)

    @property
    def trades(self) -> "pd.DataFrame":
        """Trades: buyer, seller, period, quantity, price (and seller_price where sellers get another price).

        Within a period the dearest accepted bid trades first, with the cheapest accepted ask; equal prices
        go by participant, step, group, node.  No one trades with itself unless that cannot be avoided.
        """
        import pandas as pd

        from gridagora.model.pairing import pair_accepted

        if self.pairs is not None:
            buy, sell, quantity, price = self.pairs
        else:
            buy, sell, quantity = pair_accepted(self.bids, self.accepted)
            price = self._unit_price(buy)
        columns = {
            "buyer": self.bids.participant[buy],
            "seller": self.bids.participant[sell],
            "period": self.bids.period[buy],
            "quantity": quantity,
            "price": price,
        }
        if self.pairs is None and (self.buy_price is not None or self.paid_by_bid is not None):
            columns["seller_price"] = self._unit_price(sell)
        return pd.DataFrame(columns)

    def _unit_price(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Money per kWh that accepted bids of these rows pay or get; whole ticks where the rule has them."""
        if self.paid_by_bid is not None:
            return np.asarray(-self.bids.side[rows] * self.paid_by_bid[rows] / self.accepted[rows])
        index = self.period_index[rows]
        price = self.price[index]
        if self.buy_price is not None and self.sell_price is not None:
            price = np.where(self.bids.is_buy[rows], self.buy_price[index], self.sell_price[index])
        return price.astype(self.accepted.dtype)


def _total(values: NDArray[Any]) -> float | int:
    """Sum that does not depend on the order: exact for integers, correctly rounded for floats."""
    if values.dtype.kind == "i":
        return int(values.sum())
    return math.fsum(values.tolist())


def sum_by(index: NDArray[np.int64], values: NDArray[Any], count: int) -> NDArray[Any]:
    """Sum per index; floats are added in ascending order, so that the order of the bids does not matter."""
    out = np.zeros(count, dtype=values.dtype)
    if len(values) == 0:
        return out
    order = np.lexsort((values, index))
    index = index[order]
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    out[index[starts]] = np.add.reduceat(values[order], starts)
    return out
