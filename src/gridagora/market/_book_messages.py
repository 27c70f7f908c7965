"""The messages of the order book: columns of integers, read from tables and from single calls."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, InputError, check_faults
from gridagora.units import MICRO, WH_PER_KWH

if TYPE_CHECKING:
    import pandas as pd

ACTIONS = ("new", "cancel", "amend", "expire")
NEW, CANCEL, AMEND, EXPIRE = range(4)
SIDES = ("buy", "sell")
BUY, SELL = range(2)
KINDS = ("limit", "market", "fill_or_kill", "fill_and_kill")
LIMIT, MARKET, FILL_OR_KILL, FILL_AND_KILL = range(4)

MISSING = int(np.iinfo(np.int64).min)
"""Stands in the integer columns for "not given"."""

BAD_ACTION, BAD_SIDE, BAD_KIND, BAD_QUANTITY, NO_PRICE, MARKET_PRICE, OUT_OF_BAND = (
    1 << bit for bit in range(7)
)
NO_ORDER, BAD_ORDER, EMPTY_AMEND, EXPIRY_PAST, TIME_BACK, NO_TIME, BAD_PARTICIPANT = (
    1 << bit for bit in range(7, 14)
)
FAULTS = (
    (BAD_ACTION, "action", "no such action", f"use one of {', '.join(ACTIONS)}"),
    (BAD_SIDE, "side", "no such side", f"use one of {', '.join(SIDES)}"),
    (BAD_KIND, "kind", "no such kind of order", f"use one of {', '.join(KINDS)}"),
    (
        BAD_QUANTITY,
        "quantity",
        "quantity is not above zero, or beyond all measure",
        "give kWh > 0 (at most 2^53 Wh) and let the side say the direction",
    ),
    (NO_PRICE, "price", "this kind of order needs a price", "give a price or use kind 'market'"),
    (MARKET_PRICE, "price", "a market order has no price", "leave the price out or use kind 'limit'"),
    (OUT_OF_BAND, "price", "price outside the band of the book", "widen price_band or mend the price"),
    (NO_ORDER, "order", "no order is named", "give the number of the order"),
    (BAD_ORDER, "order", "no number for an order", "give a whole number from 0 to 2**53 or leave it out"),
    (EMPTY_AMEND, "price", "the amendment changes nothing", "give a new price, a new quantity, or both"),
    (EXPIRY_PAST, "valid_until", "the order ends before it begins", "give a time after that of the message"),
    (TIME_BACK, "at", "time goes backwards", "sort the messages by time"),
    (NO_TIME, "at", "expiry needs a time", "say until when orders are to expire"),
    (BAD_PARTICIPANT, "participant", "no such participant", "give a place in participants, or -1 for none"),
)
GRID_TOLERANCE = 1e-6
LARGEST = 1 << 62
EXACT = 1 << 53


class Columns(NamedTuple):
    """The columns of `Messages` as the compiled kernel takes them."""

    action: NDArray[np.int8]
    side: NDArray[np.int8]
    kind: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    quantity_wh: NDArray[np.int64]
    order: NDArray[np.int64]
    participant: NDArray[np.int32]
    at: NDArray[np.int64]
    valid_until: NDArray[np.int64]


_TYPES = {
    "action": np.int8,
    "side": np.int8,
    "kind": np.int8,
    "price_ticks": np.int64,
    "quantity_wh": np.int64,
    "order": np.int64,
    "participant": np.int32,
    "at": np.int64,
    "valid_until": np.int64,
}
_DEFAULTS = {
    "action": NEW,
    "kind": LIMIT,
    "order": -1,
    "participant": -1,
    "at": MISSING,
    "valid_until": MISSING,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Messages:
    """A stream of order book messages as columns of integers, one entry per message.

    Parameters
    ----------
    side : 0 buy, 1 sell; read for new orders
    price_ticks : price in ticks of the book; `MISSING` for a market order or to keep it when amending
    quantity_wh : ordered energy in Wh, > 0; `MISSING` to keep it when amending
    action : 0 new, 1 cancel, 2 amend, 3 expire (only time passes); all new if left out
    kind : 0 limit, 1 market, 2 fill or kill, 3 fill and kill; all limit if left out
    order : the order to cancel or amend; for a new order the number it shall have, -1 for the next one
    participant : place in ``participants``, -1 for an anonymous order
    at : time, never falling: any whole number, or UTC in microseconds if ``utc``; `MISSING` for "as before"
    valid_until : first moment at which a new order is no longer valid; `MISSING` for never
    participants : names; if left out the codes themselves
    utc : whether the times are UTC in microseconds since 1970 (then tables show them as timestamps)

    Raises
    ------
    InputError
        if a column has another length, is not one-dimensional or holds no integers that fit.

    Examples
    --------
    >>> messages = Messages(side=[1, 0], price_ticks=[2500, 2600], quantity_wh=[800, 500])
    >>> len(messages), messages.at[0] == MISSING
    (2, np.True_)
    """

    side: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    quantity_wh: NDArray[np.int64]
    action: NDArray[np.int8] | None = None
    kind: NDArray[np.int8] | None = None
    order: NDArray[np.int64] | None = None
    participant: NDArray[np.int32] | None = None
    at: NDArray[np.int64] | None = None
    valid_until: NDArray[np.int64] | None = None
    participants: tuple[Hashable, ...] | None = None
    utc: bool = False

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        size = int(np.size(self.side))
        for name, kind in _TYPES.items():
            column = getattr(self, name)
            if column is None:
                column = np.full(size, _DEFAULTS[name], dtype=kind)
            object.__setattr__(self, name, _column(column, name=name, size=size, kind=kind, faults=faults))
        check_faults(faults)
        if self.participants is None:
            names: Sequence[Hashable] = range(int(self.columns.participant.max(initial=-1)) + 1)
        else:
            names = self.participants
        object.__setattr__(self, "participants", tuple(names))

    def __len__(self) -> int:
        return len(self.columns.action)

    @property
    def columns(self) -> Columns:
        """The integer columns, read-only."""
        return Columns(*(getattr(self, name) for name in Columns._fields))

    @property
    def names(self) -> tuple[Hashable, ...]:
        """The participants the codes stand for."""
        return self.participants or ()

    @property
    def is_timed(self) -> bool:
        """Whether any message carries a time."""
        return any(int(times.max(initial=MISSING)) != MISSING for times in self.columns[-2:])

    def value(self, field: str, row: int) -> object:
        """Return what a message says in a field, None if nothing."""
        found = int(getattr(self, {"price": "price_ticks", "quantity": "quantity_wh"}.get(field, field))[row])
        return None if found == MISSING else found

    @classmethod
    def from_frame(cls, frame: "pd.DataFrame", *, tick: float = 0.0001) -> "Messages":
        """Read messages from a table; the columns are those of `OrderBook.replay`.

        Raises
        ------
        InputError
            with every cell that cannot be read: unknown column, no number, price off the tick grid,
            quantity that is no whole Wh, unreadable time.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"side": ["sell"], "price": [0.25], "quantity": [0.8]})
        >>> Messages.from_frame(table).price_ticks.tolist()
        [2500]
        """
        messages, faults = read_frame(frame, tick_micro=round(tick * MICRO))
        check_faults(faults)
        return messages


def _column(values: Any, *, name: str, size: int, kind: type, faults: list[Fault]) -> NDArray[Any]:
    """Return a read-only contiguous column of the wanted integer type, or note why there is none."""
    array = np.asarray(values)
    reason, fix = "", ""
    if array.dtype.kind not in "iu" and array.size:
        reason, fix = "no whole numbers", "use an integer array"
    elif array.shape != (size,):
        reason, fix = f"has shape {array.shape}", f"one entry per message: ({size},)"
    elif array.size and (array.min() < np.iinfo(kind).min or array.max() > np.iinfo(kind).max):
        reason, fix = "numbers too large", f"must fit into {np.dtype(kind).name}"
    if reason:
        faults.append(Fault(source="messages", place=name, value=array.dtype.name, reason=reason, fix=fix))
        return np.zeros(0, dtype=kind)
    return frozen(np.ascontiguousarray(array, dtype=kind))


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view: one type for the compiled kernel, whatever the columns came from."""
    view = array.view()
    view.flags.writeable = False
    return view


def describe(
    masks: NDArray[np.integer[Any]], *, source: str, value: Callable[[str, int], object], rows: bool
) -> list[Fault]:
    """Return the faults that the bits of each message stand for."""
    return [
        Fault(
            source=source,
            place=f"row {row}, {field}" if rows else field,
            value=value(field, int(row)),
            reason=reason,
            fix=fix,
        )
        for row in np.flatnonzero(masks)
        for bit, field, reason, fix in FAULTS
        if masks[row] & bit
    ]


# --- reading --------------------------------------------------------------------------------------

Cells = Mapping[str, Any]


class Reader:
    """Turns cells into integers and keeps the faults it meets; ``rows`` names rows in the places."""

    def __init__(self, cells: Cells, *, size: int, source: str, rows: bool) -> None:
        self.cells, self.size, self.source, self.rows = cells, size, source, rows
        self.faults: list[Fault] = []

    def value(self, field: str, row: int) -> object:
        """Return what was given in a cell, None if nothing was."""
        cells = self.cells.get(field)
        return None if cells is None else cells[row]

    def note(self, field: str, bad: NDArray[np.bool_], *, reason: str, fix: str) -> None:
        """Note a fault for each row that is bad."""
        for row in np.flatnonzero(bad):
            place = f"row {row}, {field}" if self.rows else field
            found = self.value(field, int(row))
            self.faults.append(Fault(source=self.source, place=place, value=found, reason=reason, fix=fix))

    def numbers(self, field: str) -> NDArray[np.float64]:
        """Return a column as floats, NaN where nothing is given."""
        cells = self.cells.get(field)
        if cells is None:
            return np.full(self.size, np.nan)
        array = np.asarray(cells)
        if array.dtype.kind in "iuf":
            return array.astype(np.float64)
        found = [_number(cell) for cell in as_cells(cells)]
        self.note(
            field, np.array([number is None for number in found]), reason="no number", fix="give a number"
        )
        return np.array([np.nan if number is None else number for number in found])

    def whole(self, field: str, *, per_unit: float, fix: str) -> NDArray[np.int64]:
        """Return a column in whole steps, `MISSING` where nothing is given."""
        exact = self.numbers(field) * per_unit
        given = ~np.isnan(exact)
        infinite = np.isinf(exact)
        self.note(field, infinite, reason="not finite", fix="give a finite number")
        exact = np.clip(np.where(given, exact, 0.0), -LARGEST, LARGEST)
        steps = np.rint(exact)
        off = ~infinite & (np.abs(exact - steps) > GRID_TOLERANCE)
        self.note(field, off, reason="off the grid of the book", fix=fix)
        return np.where(given, steps.astype(np.int64), MISSING)

    def codes(self, field: str, names: Sequence[str], *, default: int) -> NDArray[np.int64]:
        """Return a text column as places in ``names``: -1 if unknown, the default if not given."""
        codes, found = self.factors(field)
        known: dict[Hashable, int] = {name: place for place, name in enumerate(names)}
        return np.array([*(known.get(text, -1) for text in found), default])[codes]

    def factors(self, field: str) -> tuple[NDArray[np.int64], list[Hashable]]:
        """Return a column as codes and the names they stand for, -1 where nothing is given."""
        cells = self.cells.get(field)
        if cells is None:
            return np.full(self.size, -1), []
        array = as_cells(cells)
        bad = np.array([not _is_hashable(cell) for cell in array], dtype=bool)
        self.note(field, bad, reason="no name", fix="give a text or a number")
        array[bad] = None
        if self.size == 1:
            return (np.array([-1]), []) if _is_missing(array[0]) else (np.array([0]), [array[0]])
        import pandas as pd

        codes, names = pd.factorize(array)
        return np.asarray(codes, dtype=np.int64), list(names)

    def times(self, field: str, *, required: bool = False) -> tuple[NDArray[np.int64], bool | None]:
        """Return times as whole numbers and whether they are UTC (None: there are none)."""
        cells = self.cells.get(field)
        if cells is None:
            return np.full(self.size, MISSING), None
        array = np.asarray(cells)
        if array.dtype.kind in "iu":
            return array.astype(np.int64), False
        given = np.array([not _is_missing(cell) for cell in array], dtype=bool)
        if required and given.any():
            self.note(field, ~given, reason="no time", fix="give every message a time, or none")
        if not given.any():
            return np.full(self.size, MISSING), None
        if array.dtype.kind != "M":
            if all(isinstance(cell, int | np.integer) for cell in array[given]):
                return np.where(given, array, MISSING).astype(np.int64), False
            if all(isinstance(cell, int | float | np.number) for cell in array[given]):
                inexact = np.abs(np.where(given, array, 0).astype(np.float64)) > EXACT
                self.note(
                    field,
                    inexact,
                    reason="too large to be exact as a float",
                    fix="use integers or timestamps",
                )
                return self.whole(field, per_unit=1, fix="give whole numbers or timestamps"), False
            array = self._timestamps(field, array, given)
        stamps = array.astype("datetime64[us]")
        return np.where(np.isnat(stamps), MISSING, stamps.astype(np.int64)), True

    def _timestamps(self, field: str, array: ArrayLike, given: NDArray[np.bool_]) -> NDArray[np.datetime64]:
        import pandas as pd

        stamps = pd.to_datetime(pd.Series(array), utc=True, errors="coerce", format="ISO8601")
        self.note(
            field, given & stamps.isna().to_numpy(), reason="no time", fix="give UTC as 2026-06-01T12:00:00"
        )
        return stamps.dt.tz_localize(None).to_numpy()


def as_cells(values: Any) -> NDArray[np.object_]:
    """Return a fresh array of Python objects, sequences among them as they are."""
    return np.fromiter(values, dtype=object, count=len(values))


def _is_hashable(cell: object) -> bool:
    try:
        hash(cell)
    except TypeError:
        return False
    return True


def _is_missing(cell: object) -> bool:
    """Tell whether a cell is None, NaN, NaT or NA."""
    if cell is None:
        return True
    try:
        return bool(cell != cell)  # only missing values differ from themselves
    except (TypeError, ValueError):  # pandas.NA has no truth value
        return True


def _number(cell: Any) -> float | None:
    """Return a cell as a float, NaN if it is missing, None if it is no number."""
    if _is_missing(cell):
        return float("nan")
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def read(reader: Reader, *, tick_micro: int) -> Messages:
    """Return the messages in the cells of a reader; where a cell is faulty something harmless stands."""
    tick = tick_micro / MICRO
    names_of, names = reader.factors("participant")
    at, at_utc = reader.times("at", required=reader.rows)
    until, until_utc = reader.times("valid_until")
    if None not in (at_utc, until_utc) and at_utc != until_utc:
        reason, fix = (
            "timestamps and plain numbers are mixed",
            "use the same sort of time in at and valid_until",
        )
        reader.faults.append(
            Fault(source=reader.source, place="valid_until", value=None, reason=reason, fix=fix)
        )
        until = np.full(reader.size, MISSING)
    order = reader.whole("order", per_unit=1, fix="give the whole number of an order")
    return Messages(
        action=reader.codes("action", ACTIONS, default=NEW if "action" not in reader.cells else -1).astype(
            np.int8
        ),
        side=reader.codes("side", SIDES, default=-1).astype(np.int8),
        kind=reader.codes("kind", KINDS, default=LIMIT).astype(np.int8),
        price_ticks=reader.whole(
            "price", per_unit=MICRO / tick_micro, fix=f"use whole multiples of {tick:g}"
        ),
        quantity_wh=reader.whole("quantity", per_unit=WH_PER_KWH, fix="use whole watt-hours: 0.001 kWh"),
        order=np.where(order == MISSING, -1, order),
        participant=names_of.astype(np.int32),
        at=at,
        valid_until=until,
        participants=tuple(names),
        utc=bool(at_utc or until_utc),
    )


FIELDS = ("action", "side", "price", "quantity", "participant", "kind", "order", "at", "valid_until")


def frame_reader(frame: "pd.DataFrame") -> Reader:
    """Return a reader of a table of messages; refuse a table whose columns are not those of messages."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        reason, fix = "no table of messages", "give a DataFrame or Messages"
        found = type(frame).__name__
        raise InputError([Fault(source="messages", place="messages", value=found, reason=reason, fix=fix)])
    needed = (
        set() if "action" in frame and not (frame["action"] == "new").any() else {"side", "price", "quantity"}
    )
    unknown = [
        Fault(
            source="messages",
            place="columns",
            value=name,
            reason="no such column",
            fix=f"use {', '.join(FIELDS)}",
        )
        for name in frame.columns
        if name not in FIELDS
    ]
    missing = [
        Fault(
            source="messages", place="columns", value=None, reason=f"no column {name!r}", fix=f"add {name!r}"
        )
        for name in sorted(needed - set(frame.columns))
    ]
    check_faults(unknown + missing)
    cells = {str(name): _cells(frame[name]) for name in frame.columns}
    return Reader(cells, size=len(frame), source="messages", rows=True)


def _cells(column: "pd.Series[Any]") -> Any:
    """Return the cells of a column as an array, times of a zone as naive UTC."""
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy()


def read_frame(frame: "pd.DataFrame", *, tick_micro: int) -> tuple[Messages, list[Fault]]:
    """Return the messages of a table and the faults of its cells."""
    reader = frame_reader(frame)
    messages = read(reader, tick_micro=tick_micro)
    return messages, reader.faults
