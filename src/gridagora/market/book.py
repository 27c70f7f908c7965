"""The continuous order book: price-time priority, one compiled matching rule (MARKETS.md sections 3 and 4).

Buyers and sellers meet one by one.  An incoming order trades with the best opposite price first and, at one
price, with the order that has waited longest; each trade takes the price of the order that was there first.
Prices are whole ticks and quantities whole watt-hours inside, so nothing is ever lost to rounding.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.market._book_messages import (
    GRID_TOLERANCE,
    MISSING,
    NEW,
    Messages,
    Reader,
    describe,
    frame_reader,
    frozen,
    read,
)
from gridagora.market._book_names import Names, Numbers
from gridagora.market._book_state import (
    ALIVE,
    APPLIED,
    BEST_ASK,
    BEST_BID,
    COUNT,
    NOW,
    RESTING,
    TRADES,
    new_state,
    reserve,
)
from gridagora.market._book_tables import REASONS, Fill, Receipt, Rejected, View
from gridagora.units import MICRO

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fill", "Messages", "OrderBook", "Receipt"]

SELF_MATCH_RULES = ("cancel_resting", "cancel_incoming", "allow")
MAX_LEVELS = 100_000_000
MAX_ORDERS = 2**31 - 2


class OrderBook:
    """An order book for one product, with price-time priority.

    - Best price first, then first come first served; a trade takes the price of the earlier (resting) order.
    - Limit: what does not trade rests.  Market: trades at any price in the band, the remainder is killed.
      Fill-or-kill: trades whole at its limit or better at once, or not at all.  Fill-and-kill (IOC): trades
      what it can, the remainder is killed.
    - Amend: a new price or a larger quantity sends the order to the end of its queue (and may trade at once);
      a smaller quantity keeps its place.  The quantity is the total ordered, traded parts included, so a fill
      that crosses the amendment on its way cannot lead to more than was wanted.
    - Expiry: an order is valid while time < ``valid_until``; time is what the messages say, never a clock.
    - Self-match prevention: nobody trades with themselves.  ``"cancel_resting"`` (a common exchange default)
      takes the participant's own resting order out when their incoming order meets it, since the newer order
      tells what they want now; ``"cancel_incoming"`` ends the incoming order instead, its earlier trades
      stand; ``"allow"`` trades.  Own orders behind the last trade stay.  An order without participant is
      nobody's own.  A fill-or-kill order counts only orders of others and is killed without touching any if
      they fall short.

    Numbers of orders count from 0 in the order of arrival; a message may bring its own (see `replay`).

    Parameters
    ----------
    tick : price step, a multiple of 0.000001 currency/kWh; other prices are refused
    price_band : lowest and highest price taken, currency/kWh; may be negative
    self_match : ``"cancel_resting"``, ``"cancel_incoming"`` or ``"allow"``

    Raises
    ------
    InputError
        from every call with bad input, holding all faults; nothing is applied then.

    Examples
    --------
    >>> book = OrderBook()
    >>> book.submit(side="sell", price=0.25, quantity=2.0, participant="anna").order
    0
    >>> receipt = book.submit(side="buy", price=0.30, quantity=0.5, participant="ben")
    >>> receipt.status, receipt.fills[0].price
    ('filled', 0.25)
    >>> book.best_ask, book.best_bid
    (0.25, None)
    >>> book.trades[["buyer", "seller", "quantity", "price"]]
      buyer seller  quantity  price
    0   ben   anna       0.5   0.25
    """

    def __init__(
        self,
        *,
        tick: float = 0.0001,
        price_band: tuple[float, float] = (-10.0, 10.0),
        self_match: str = "cancel_resting",
    ) -> None:
        self._tick_micro = round(tick * MICRO) if 0 < tick < MICRO else 0
        ticks = [price * MICRO / max(self._tick_micro, 1) for price in price_band]
        check_faults(
            _setting_faults(tick=tick, tick_micro=self._tick_micro, ticks=ticks, self_match=self_match)
        )
        self._low, self._high = (round(price) for price in ticks)
        self._rule = SELF_MATCH_RULES.index(self_match)
        self._state = new_state(self._high - self._low + 1)
        self._names = Names()
        self._numbers = Numbers()
        self._utc: bool | None = None
        self._messages = 0
        self._rejections: list[Rejected] = []

    # --- commands ---------------------------------------------------------------------------------

    def submit(
        self,
        *,
        side: str,
        quantity: float,
        price: float | None = None,
        participant: Hashable = None,
        kind: str = "limit",
        valid_until: Any = None,
        at: Any = None,
        order: int | None = None,
    ) -> Receipt:
        """Take in an order, trade it, and return its receipt.

        Parameters
        ----------
        side : "buy" or "sell"
        quantity : kWh > 0, whole Wh
        price : limit in currency/kWh, any sign, on the tick grid; left out for a market order
        participant : who; None for an anonymous order
        kind : "limit", "market", "fill_or_kill" or "fill_and_kill"
        valid_until : first time at which the order is no longer valid; None: never ends
        at : time of the message, not before that of the last one (None: the same); UTC (datetime64, datetime,
            ISO text), or whole numbers >= 0 of any unit; one sort in one book
        order : number the order shall have; None: one more than the largest so far

        Examples
        --------
        >>> OrderBook().submit(side="buy", price=0.2, quantity=1.5, kind="fill_or_kill").status
        'killed'
        """
        cells = {
            "side": side,
            "price": price,
            "quantity": quantity,
            "participant": participant,
            "kind": kind,
            "valid_until": valid_until,
            "at": at,
            "order": order,
        }
        before = self._trade_count
        self._send("new", cells)
        return self._view.receipt(self._order_count - 1, before)

    def cancel(self, order: int, *, at: Any = None) -> Receipt:
        """Take an order out of the book and return its receipt.

        Raises
        ------
        InputError
            if there is no such order or it is no longer in the book; the attempt stands in `rejections`.

        Examples
        --------
        >>> book = OrderBook()
        >>> number = book.submit(side="buy", price=-0.05, quantity=1.0).order
        >>> book.cancel(number).status
        'cancelled'
        """
        before = self._trade_count
        self._send("cancel", {"order": order, "at": at})
        return self._view.receipt(self._numbers.place(order), before)

    def amend(
        self, order: int, *, price: float | None = None, quantity: float | None = None, at: Any = None
    ) -> Receipt:
        """Change the price or the total quantity (kWh, traded parts included) of a resting order.

        Raises
        ------
        InputError
            if there is no such order or it is no longer in the book; the attempt stands in `rejections`.

        Examples
        --------
        >>> book = OrderBook()
        >>> number = book.submit(side="buy", price=0.10, quantity=1.0).order
        >>> book.amend(number, price=0.12, quantity=3.0).open, book.best_bid
        (3.0, 0.12)
        """
        before = self._trade_count
        self._send("amend", {"order": order, "price": price, "quantity": quantity, "at": at})
        return self._view.receipt(self._numbers.place(order), before)

    def expire(self, now: Any) -> tuple[int, ...]:
        """Let time pass to ``now`` and return the numbers of the orders whose validity ended with this call.

        Examples
        --------
        >>> book = OrderBook()
        >>> _ = book.submit(side="sell", price=0.2, quantity=1.0, at=10, valid_until=20)
        >>> book.expire(19), book.expire(20)
        ((), (0,))
        """
        resting = self._resting()
        self._send("expire", {"at": now})
        ended = resting[self._state.orders["status"][resting] != RESTING]
        return tuple(self._numbers.of(np.sort(ended) - 1).tolist())

    def replay(self, messages: "Messages | pd.DataFrame") -> "pd.DataFrame":
        """Apply a stream of messages in its order and return the trades it makes (columns as `trades`).

        Parameters
        ----------
        messages : `Messages` (columns of integers, the fast way), or a table with the columns ``side``,
            ``price`` (currency/kWh), ``quantity`` (kWh) and, if wanted, ``action`` ("new", "cancel", "amend",
            "expire"), ``kind``, ``participant``, ``order``, ``at``, ``valid_until``, as in `submit`, `cancel`
            and `amend`

        Notes
        -----
        A cancel or amend that comes too late is part of the life of a market: it changes nothing and stands
        in `rejections`.  A message costs the same whatever the depth of the book (fill-or-kill walks the
        orders it would trade with).  Numbers of orders that do not count from 0 without gaps cost a look-up
        per message.

        Examples
        --------
        >>> import pandas as pd
        >>> book = OrderBook()
        >>> book.replay(pd.DataFrame({
        ...     "action": ["new", "new", "cancel"],
        ...     "side": ["sell", "buy", None],
        ...     "price": [0.20, 0.22, None],
        ...     "quantity": [1.0, 2.5, None],
        ...     "participant": ["anna", "ben", None],
        ...     "order": [7, 8, 7],
        ... }))[["buyer", "seller", "quantity", "price", "maker", "taker"]]
          buyer seller  quantity  price  maker  taker
        0   ben   anna       1.0    0.2      7      8
        >>> book.rejections[["message", "action", "order", "reason"]]
           message  action  order                          reason
        0        2  cancel      7  order is no longer in the book
        """
        before = self._trade_count
        if isinstance(messages, Messages):
            self._run(messages, [], _Origin(source="messages", rows=True, value=messages.value))
        else:
            reader = frame_reader(messages)
            self._run(read(reader, tick_micro=self._tick_micro), reader.faults, _Origin.of(reader))
        return self._view.trades(before)

    # --- what stands in the book ------------------------------------------------------------------

    @property
    def best_bid(self) -> float | None:
        """Highest price a resting order pays, currency/kWh; None if there is none."""
        level = int(self._state.counters[BEST_BID])
        return None if level < 0 else float(self._view.price(level))

    @property
    def best_ask(self) -> float | None:
        """Lowest price a resting order asks, currency/kWh; None if there is none."""
        level = int(self._state.counters[BEST_ASK])
        return None if level >= len(self._state.head) else float(self._view.price(level))

    @property
    def trades(self) -> "pd.DataFrame":
        """All trades in their order.

        Columns: buyer, seller, quantity (kWh), price (currency/kWh), at, maker and taker (numbers of the
        resting and the incoming order), and the exact quantity_wh and price_micro_per_kwh.
        """
        return self._view.trades(0)

    @property
    def rejections(self) -> "pd.DataFrame":
        """Messages that came too late or named no order.

        Columns: message (its place in all messages the book took), action, order, at, reason.
        """
        return self._view.rejections(self._rejections)

    def orders(self, *, resting_only: bool = True) -> "pd.DataFrame":
        """Return the orders as a table: bids then asks, each in the order in which they would trade.

        Parameters
        ----------
        resting_only : False returns every order ever taken, in the order of arrival

        Examples
        --------
        >>> book = OrderBook()
        >>> _ = book.submit(side="sell", price=0.3, quantity=2.0, participant="anna")
        >>> _ = book.submit(side="buy", price=0.3, quantity=0.5, participant="ben")
        >>> book.orders(resting_only=False)[["order", "participant", "filled", "open", "status"]]
           order participant  filled  open   status
        0      0        anna     0.5   1.5  resting
        1      1         ben     0.5   0.0   filled
        """
        slots = self._resting() if resting_only else np.arange(1, self._order_count + 1)
        return self._view.orders(slots)

    def depth(self) -> "pd.DataFrame":
        """Return the levels of the book, best price first: side, price, open quantity (kWh), orders.

        Examples
        --------
        >>> book = OrderBook()
        >>> for price in (0.20, 0.21, 0.20):
        ...     _ = book.submit(side="buy", price=price, quantity=1.0)
        >>> book.depth()
          side  price  quantity  orders
        0  buy   0.21       1.0       1
        1  buy   0.20       2.0       2
        """
        return self._view.depth(self._resting())

    # --- one way into the kernel ------------------------------------------------------------------

    def _send(self, action: str, cells: dict[str, Any]) -> None:
        """Apply one message; a rejection is the caller's fault here."""
        given = {name: [cell] for name, cell in cells.items() if cell is not None}
        reader = Reader({"action": [action], **given}, size=1, source="order book", rows=False)
        outcome = int(
            self._run(read(reader, tick_micro=self._tick_micro), reader.faults, _Origin.of(reader))[0]
        )
        if outcome != APPLIED:
            fix = "look up the resting orders with orders()"
            reason = REASONS[outcome]
            check_faults(
                [Fault(source="order book", place="order", value=cells["order"], reason=reason, fix=fix)]
            )

    def _run(self, messages: Messages, faults: list[Fault], origin: "_Origin") -> NDArray[np.uint8]:
        """Check all messages, then apply them all; return their outcomes."""
        from gridagora.market._book_kernel import apply

        numbers, taken = self._numbers.propose(messages)
        told = {fault.place for fault in faults}  # a cell that cannot be read is not judged a second time
        check_faults([*faults, *(f for f in self._faults(messages, taken, origin) if f.place not in told)])
        self._numbers.add(numbers)
        columns = messages.columns._replace(
            participant=frozen(self._names.codes(messages)), order=frozen(self._numbers.places(messages))
        )
        outcomes = np.zeros(len(messages), dtype=np.uint8)
        now = self._now
        self._state = reserve(self._state, len(numbers))
        apply(self._state, columns, outcomes, self._low, self._rule)
        self._note(messages, outcomes, now)
        return outcomes

    def _faults(self, messages: Messages, taken: NDArray[np.bool_], origin: "_Origin") -> list[Fault]:
        """Return everything that is wrong with the messages, seen from this book."""
        from gridagora.market._book_check import check

        masks = np.zeros(len(messages), dtype=np.uint16)
        found = check(messages.columns, masks, self._low, self._high, self._now, len(messages.names))
        faults = describe(masks, source=origin.source, value=origin.value, rows=origin.rows) if found else []
        for row in np.flatnonzero(messages.columns.action == NEW)[taken] if taken.any() else ():
            faults.append(
                origin.fault(
                    "order", int(row), reason="this number is taken", fix="give each order its own number"
                )
            )
        if self._utc is not None and messages.is_timed and messages.utc != self._utc:
            faults.append(
                origin.fault(
                    "at",
                    0,
                    reason="timestamps and plain numbers are mixed",
                    fix="use one sort of time in a book",
                )
            )
        if self._order_count + len(taken) > MAX_ORDERS:
            faults.append(
                origin.fault("order", 0, reason="the book is full", fix=f"a book takes {MAX_ORDERS} orders")
            )
        return faults

    def _note(self, messages: Messages, outcomes: NDArray[np.uint8], now: int) -> None:
        """Keep what the stream told: its sort of time, its length, its rejections."""
        if messages.is_timed:
            self._utc = messages.utc
        rows = np.flatnonzero(outcomes)
        if len(rows):
            columns = messages.columns
            at = columns.at[rows]
            if at.min() == MISSING:  # the time of the last message that told one
                at = np.maximum.accumulate(np.maximum(columns.at, now))[rows]
            place = rows + self._messages
            self._rejections.append((place, columns.action[rows], columns.order[rows], at, outcomes[rows]))
        self._messages += len(messages)

    @property
    def _order_count(self) -> int:
        return int(self._state.counters[COUNT])

    @property
    def _trade_count(self) -> int:
        return int(self._state.counters[TRADES])

    @property
    def _now(self) -> int:
        return int(self._state.counters[NOW])

    def _resting(self) -> NDArray[np.int64]:
        """Return the slots of the resting orders in the order in which they would trade."""
        from gridagora.market._book_kernel import list_resting

        slots = np.zeros(int(self._state.counters[ALIVE]), dtype=np.int64)
        list_resting(self._state, slots)
        return slots

    @property
    def _view(self) -> View:
        return View(
            state=self._state,
            names=self._names,
            numbers=self._numbers,
            utc=bool(self._utc),
            low=self._low,
            tick_micro=self._tick_micro,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Origin:
    """Where messages come from, to name the place of a fault."""

    source: str
    rows: bool
    value: Callable[[str, int], object]

    @classmethod
    def of(cls, reader: Reader) -> "_Origin":
        return cls(source=reader.source, rows=reader.rows, value=reader.value)

    def fault(self, field: str, row: int, *, reason: str, fix: str) -> Fault:
        place = f"row {row}, {field}" if self.rows else field
        return Fault(source=self.source, place=place, value=self.value(field, row), reason=reason, fix=fix)


def _setting_faults(*, tick: float, tick_micro: int, ticks: Sequence[float], self_match: str) -> list[Fault]:
    """Return what is wrong with the settings of a book; ``ticks`` is the price band in ticks."""
    wrong: list[tuple[str, object, str, str]] = []
    if tick_micro < 1 or abs(tick * MICRO - tick_micro) > GRID_TOLERANCE:
        wrong.append(("tick", tick, "no multiple of 0.000001 currency/kWh", "use e.g. 0.0001"))
    elif len(ticks) != 2 or not all(np.isfinite(ticks)) or not ticks[0] < ticks[1]:
        wrong.append(("price_band", ticks, "no band of prices", "give the lowest and the highest price"))
    elif any(abs(price - round(price)) > GRID_TOLERANCE for price in ticks):
        wrong.append(("price_band", ticks, "ends off the tick grid", "use multiples of the tick"))
    elif ticks[1] - ticks[0] >= MAX_LEVELS:
        wrong.append(
            ("price_band", ticks, f"more than {MAX_LEVELS} ticks", "narrow the band or use a larger tick")
        )
    if self_match not in SELF_MATCH_RULES:
        wrong.append(("self_match", self_match, "no such rule", f"use one of {', '.join(SELF_MATCH_RULES)}"))
    return [
        Fault(source="order book", place=place, value=value, reason=reason, fix=fix)
        for place, value, reason, fix in wrong
    ]
