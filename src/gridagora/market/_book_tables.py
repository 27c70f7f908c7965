"""What the order book shows: tables, receipts and fills from the arrays of its state."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.market._book_messages import ACTIONS, KINDS, MARKET, SIDES, as_cells
from gridagora.market._book_names import Names, Numbers
from gridagora.market._book_state import NEVER, TRADES, State
from gridagora.units import MICRO, WH_PER_KWH

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("unknown", "resting", "filled", "cancelled", "expired", "killed", "self_match")
REASONS = ("", "no such order", "order is no longer in the book")

Rejected = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fill:
    """One trade of an order: who bought from whom, how many kWh, at which price (currency/kWh), when."""

    buyer: Hashable
    seller: Hashable
    quantity: float
    price: float
    at: int | np.datetime64
    maker: int
    taker: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The state of an order after a call, and the trades the call made.

    Parameters
    ----------
    order : number of the order
    status : "resting", "filled", "cancelled", "expired", "killed" (what a market, fill-or-kill or
        fill-and-kill order could not trade at once) or "self_match" (taken out by self-match prevention)
    quantity : ordered kWh
    filled : traded kWh since the order came
    open : kWh still in the book
    fills : trades made by this call
    """

    order: int
    status: str
    quantity: float
    filled: float
    open: float
    fills: tuple[Fill, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The state of a book together with what its integers mean."""

    state: State
    names: Names
    numbers: Numbers
    utc: bool
    low: int
    tick_micro: int

    def price(self, level: ArrayLike) -> NDArray[np.float64]:
        """Return the price of levels in currency/kWh."""
        return self._micro(level) / MICRO

    def trades(self, first: int) -> "pd.DataFrame":
        """Return the trades from the first wanted on."""
        import pandas as pd

        trades = self.state.trades[first : self._trade_count]
        micro, quantity_wh = self._micro(trades["level"]), trades["quantity_wh"].copy()
        columns = {
            "buyer": self.names.of(trades["buyer"]),
            "seller": self.names.of(trades["seller"]),
            "quantity": quantity_wh / WH_PER_KWH,
            "price": micro / MICRO,
            "at": self._times(trades["at"].copy()),
            "maker": self.numbers.of(trades["maker"] - 1),
            "taker": self.numbers.of(trades["taker"] - 1),
            "quantity_wh": quantity_wh,
            "price_micro_per_kwh": micro,
        }
        return pd.DataFrame(columns, copy=False)

    def orders(self, slots: NDArray[np.int64]) -> "pd.DataFrame":
        """Return these orders."""
        import pandas as pd

        table = self.state.orders[slots]
        return pd.DataFrame(
            {
                "order": self.numbers.of(slots - 1),
                "participant": self.names.of(table["participant"]),
                "side": _texts(SIDES, table["side"]),
                "kind": _texts(KINDS, table["kind"]),
                "price": np.where(table["kind"] == MARKET, np.nan, self.price(table["level"])),
                "quantity": table["quantity_wh"] / WH_PER_KWH,
                "filled": table["filled_wh"] / WH_PER_KWH,
                "open": table["open_wh"] / WH_PER_KWH,
                "status": _texts(STATUSES, table["status"]),
                "at": self._times(table["at"].copy()),
                "valid_until": self._ends(table["valid_until"]),
            }
        )

    def depth(self, slots: NDArray[np.int64]) -> "pd.DataFrame":
        """Return the levels that these resting orders make, in their order."""
        import pandas as pd

        table = self.state.orders[slots]
        starts = np.flatnonzero(np.diff(table["level"], prepend=-1))
        open_wh = np.add.reduceat(table["open_wh"], starts) if len(starts) else np.zeros(0)
        return pd.DataFrame(
            {
                "side": _texts(SIDES, table["side"][starts]),
                "price": self.price(table["level"][starts]),
                "quantity": open_wh / WH_PER_KWH,
                "orders": np.diff(starts, append=len(table)),
            }
        )

    def rejections(self, rejected: Sequence[Rejected]) -> "pd.DataFrame":
        """Return the rejected messages."""
        import pandas as pd

        nothing = [np.zeros(0, dtype=np.int64)] * 5
        message, action, order, at, reason = (
            np.concatenate(parts) for parts in zip(nothing, *rejected, strict=True)
        )
        return pd.DataFrame(
            {
                "message": message,
                "action": _texts(ACTIONS, action),
                "order": order,
                "at": self._times(at),
                "reason": _texts(REASONS, reason),
            }
        )

    def receipt(self, place: int, first_trade: int) -> Receipt:
        """Return the state of an order and the trades from the first wanted on."""
        order = self.state.orders[place + 1]
        return Receipt(
            order=int(self.numbers.of(np.array([place]))[0]),
            status=STATUSES[order["status"]],
            quantity=int(order["quantity_wh"]) / WH_PER_KWH,
            filled=int(order["filled_wh"]) / WH_PER_KWH,
            open=int(order["open_wh"]) / WH_PER_KWH,
            fills=tuple(self._fill(trade) for trade in self.state.trades[first_trade : self._trade_count]),
        )

    def _fill(self, trade: np.void) -> Fill:
        buyer, seller = self.names.of(np.array([trade["buyer"], trade["seller"]]))
        maker, taker = self.numbers.of(np.array([trade["maker"], trade["taker"]]) - 1).tolist()
        return Fill(
            buyer=buyer,
            seller=seller,
            quantity=int(trade["quantity_wh"]) / WH_PER_KWH,
            price=float(self.price(trade["level"])),
            at=np.datetime64(int(trade["at"]), "us") if self.utc else int(trade["at"]),
            maker=maker,
            taker=taker,
        )

    @property
    def _trade_count(self) -> int:
        return int(self.state.counters[TRADES])

    def _micro(self, level: ArrayLike) -> NDArray[np.int64]:
        return (np.asarray(level, dtype=np.int64) + self.low) * self.tick_micro

    def _times(self, times: NDArray[np.int64]) -> NDArray[Any]:
        return times.astype("datetime64[us]") if self.utc else times

    def _ends(self, times: NDArray[np.int64]) -> Any:
        """Return ends of validity, NaT or NA where there is none."""
        import pandas as pd

        never = times == NEVER
        if self.utc:
            return np.where(never, np.datetime64("NaT"), times.astype("datetime64[us]"))
        return pd.arrays.IntegerArray(np.where(never, 0, times), never)


def _texts(names: Sequence[str], codes: NDArray[Any]) -> NDArray[np.object_]:
    return np.asarray(as_cells(names)[codes.astype(np.intp)], dtype=object)
