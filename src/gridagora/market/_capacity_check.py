"""What is wrong with capacity-limit offers: step lists, double offers, directions, blocks, connections."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault
from gridagora.market._capacity_reading import Reading
from gridagora.market.merit import COUNTING_SPAN
from gridagora.model.bids import Bids
from gridagora.model.flexibility import DIRECTIONS

if TYPE_CHECKING:
    import pandas as pd

DOUBLE, GAP, START, CHEAPER = 1, 2, 3, 4
"""What `_capacity_kernels.list_kinds` finds at a bid of a step list."""

RENUMBER = "number a bidder's steps of a period 0, 1, 2 ..."
UNNUMBERED_DOUBLE = (
    "second offer of one participant for one period",
    "keep one, or number the steps 0, 1, 2 ...",
)
LIST_FAULTS = {
    DOUBLE: (
        "step",
        "second offer of one participant for one period and step",
        "keep one, or renumber the steps",
    ),
    GAP: ("step", "step list has a gap before this step", RENUMBER),
    START: ("step", "step list starts at neither 0 nor 1", RENUMBER),
    CHEAPER: (
        "price",
        "a seller's step is cheaper than the one before, so it would be taken first",
        "sort the steps by price, or offer them as one block",
    ),
}
"""Column, reason and fix of each."""


def check_offers(
    offers: "Bids | Mapping[str, ArrayLike] | pd.DataFrame",
    *,
    connection_kw: Mapping[Any, float],
    now_period: int,
    direction: str | ArrayLike = "cap",
) -> tuple[Fault, ...]:
    """List every fault of offers before they enter a flexibility auction.

    Parameters
    ----------
    offers : `Bids`, or their columns as they came in (then NaN prices and unknown sides are listed too)
    connection_kw : connection capacity per participant, kW, for "down" and "up" the most that it can deviate
        from its baseline; sells of one period may not exceed it together
    now_period : the first period that can still be offered for
    direction : "cap", "floor", "down" or "up", one for all or one per offer

    Returns
    -------
    tuple of Fault
        Each with row, reason and fix; empty when all is well.

    Notes
    -----
    MARKETS.md section 3: the cut is sold below the connection capacity, so it cannot exceed it.

    Examples
    --------
    >>> offers = {"side": ["sell"], "price": [0.2], "quantity": [9.0], "participant": ["ann"], "period": [3]}
    >>> faults = check_offers(offers, connection_kw={"ann": 8.0}, now_period=4)
    >>> [fault.place for fault in faults]
    ['row 0, column quantity', 'row 0, column period']
    >>> faults[0].reason
    '9 kW are above the connection capacity of ann, 8 kW'
    """
    read = Reading.of(offers)
    faults = [*read.faults, *direction_faults(direction, read.count)]
    if read.bids is not None:
        faults += _step_faults(read, read.bids)
        faults += read.told(_connection_faults, ("side", "participant", "period"), connection_kw)
        faults += read.told(_late_faults, ("period",), now_period)
    return tuple(
        Fault(source="offers", place=fault.place, value=fault.value, reason=fault.reason, fix=fault.fix)
        for fault in faults
    )


def readable(offers: "Mapping[str, ArrayLike] | pd.DataFrame") -> tuple[Bids | None, list[Fault]]:
    """Read columns as bids, with harmless stand-ins for what is unreadable; and every fault of that."""
    read = Reading.of(offers)
    return read.bids, list(read.faults)


def _step_faults(read: Reading, bids: Bids) -> list[Fault]:
    """Faults of the step lists; a list that lacks an unreadable row may well have a gap there."""
    rows = read.rows("side", "participant", "period", "step")
    faults = read.at_rows(step_numbers(bids.take(rows))[1], rows)
    unnumbered = np.isin(np.arange(read.count), [int(fault.place[4:].split(",")[0]) for fault in faults])
    rows = rows[~unnumbered[rows]]
    part = bids.take(rows)
    lacking = unnumbered | ~read.known("side", "period", "step")
    complete = ~np.isin(part.participant, bids.participant[lacking])
    known = read.known("price")[rows]
    found = list_faults(part, step_numbers(part)[0], double_allowed=False, known=known, complete=complete)
    return faults + read.at_rows(found, rows)


def _late_faults(bids: Bids, now_period: int) -> Iterator[Fault]:
    late = np.flatnonzero(bids.period < now_period)
    reason = f"period is in the past: the next one is {now_period}"
    yield from _at(late, "period", bids.period, text=(reason, f"offer for period {now_period} or later"))


def _connection_faults(bids: Bids, connection_kw: Mapping[Any, float]) -> Iterator[Fault]:
    sells = np.flatnonzero(~bids.is_buy)
    names, owner = np.unique(bids.participant[sells], return_inverse=True)
    known = np.array([_capacity(connection_kw.get(name)) for name in names.tolist()])
    strangers = np.flatnonzero(np.isnan(known)[owner]) if len(sells) else sells
    unknown = sells[strangers[np.unique(owner[strangers], return_index=True)[1]]]
    text = ("no connection capacity is known of this participant", "name it in connection_kw")
    yield from _at(unknown, "participant", bids.participant, text=text)
    pairs, index = np.unique(np.stack([owner, bids.period[sells]]), axis=1, return_inverse=True)
    total = np.bincount(index.ravel(), weights=bids.quantity[sells], minlength=pairs.shape[1])
    over = total > known[pairs[0].astype(np.int64)] * (1 + 1e-9)
    for pair in np.flatnonzero(over):
        row = int(sells[np.flatnonzero(index.ravel() == pair)[-1]])
        who, capacity = names[int(pairs[0, pair])], known[int(pairs[0, pair])]
        yield Fault(
            source="bids",
            place=f"row {row}, column quantity",
            value=bids.quantity[row].item(),
            reason=f"{total[pair]:g} kW are above the connection capacity of {who}, {capacity:g} kW",
            fix=f"offer at most {capacity:g} kW in period {pairs[1, pair]}",
        )


def _capacity(value: Any) -> float:
    """Return a connection capacity in kW; NaN where there is none, or it is no number >= 0."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return float(value) if is_number and value >= 0 else float("nan")


def direction_faults(direction: str | ArrayLike, count: int) -> list[Fault]:
    """Faults of the products' directions: unknown ones, or several in one auction."""
    given = np.asarray(direction)
    fix = f"write one of {', '.join(DIRECTIONS)}"
    if given.ndim == 0:
        if given.item() in DIRECTIONS:
            return []
        return [_fault("direction", given.item(), ("unknown product direction", fix))]
    if given.shape != (count,):
        return [_fault("direction", f"shape {given.shape}", (f"is not one per bid ({count})", fix))]
    names = given.tolist()
    unknown = np.array([name not in DIRECTIONS for name in names], dtype=np.bool_)
    faults = list(_at(np.flatnonzero(unknown), "direction", given, text=("unknown product direction", fix)))
    if len(set(names) & set(DIRECTIONS)) > 1:
        reason = "different directions cannot trade with each other in one auction"
        faults.append(
            _fault(
                "column direction", sorted(set(map(str, names))), (reason, "clear each direction on its own")
            )
        )
    return faults


def step_numbers(bids: Bids) -> tuple[NDArray[np.int64] | None, list[Fault]]:
    """Granularity steps as whole numbers; "g3" reads as 3."""
    if bids.step is None or bids.step.dtype.kind == "i":
        return bids.step, []
    texts = [str(text).strip().removeprefix("g") for text in bids.step.tolist()]
    bad = np.array([not text.isdecimal() for text in texts], dtype=np.bool_)
    if bad.any():
        text = ("is no step number", "number the steps 0, 1, 2 ... or g0, g1, g2 ...")
        return None, list(_at(np.flatnonzero(bad), "step", bids.step, text=text))
    return np.array(texts, dtype=np.int64), []


def list_faults(
    bids: Bids,
    steps: NDArray[np.int64] | None,
    *,
    double_allowed: bool,
    known: NDArray[np.bool_] | None = None,
    complete: NDArray[np.bool_] | None = None,
) -> Iterator[Fault]:
    """Faults of step lists: double offers, gaps, a first step that is not 0 or 1, sells that get cheaper.

    ``double_allowed`` permits several bids of one bidder and period without step numbers.  ``known``: bids
    whose price could be read; ``complete``: bids whose list lacks no unreadable row.
    """
    from gridagora.market import _capacity_kernels, _period_kernel

    if len(bids) == 0 or (steps is None and double_allowed):
        return
    names = np.ascontiguousarray(bids.participant)
    words = names.view(np.uint32).reshape(len(bids), -1)
    codes, used = _capacity_kernels.bidder_codes(words, bids.period, bids.side)
    if used == len(bids) and steps is None:
        return
    numbers = np.zeros(len(bids), dtype=np.int64) if steps is None else steps
    lowest, span = int(numbers.min()), int(numbers.max()) - int(numbers.min()) + 1
    if span <= COUNTING_SPAN * len(bids):
        order = _period_kernel.counting_order(numbers, lowest, span)
    else:
        order = np.argsort(numbers, kind="stable")
    order = order[_period_kernel.counting_order(codes[order], 0, used)]
    price = bids.price if known is None or known.all() else _carried(bids.price, order, codes, known=known)
    kinds, any_fault = _capacity_kernels.list_kinds(order, codes, numbers, price, bids.side)
    if not any_fault:
        return
    if complete is not None:
        kinds[~complete[order] & ((kinds == GAP) | (kinds == START))] = 0
    if steps is None:
        yield from _at(order[kinds == DOUBLE], "participant", bids.participant, text=UNNUMBERED_DOUBLE)
        return
    for kind, (column, *text) in LIST_FAULTS.items():
        values = bids.price if column == "price" else steps
        yield from _at(order[kinds == kind], column, values, text=(text[0], text[1]))


def _carried(
    price: NDArray[Any], order: NDArray[np.int64], codes: NDArray[np.int64], *, known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Put the price of the step before in place of one that cannot be read; of a first step, the lowest."""
    out = np.where(known, price.astype(np.float64), -np.inf)
    for before, row in pairwise(order.tolist()):
        if not known[row] and codes[before] == codes[row]:
            out[row] = out[before]
    return out


def unnumbered_faults(bids: Bids) -> Iterator[Fault]:
    """Buyers with several bids in a period but no step numbers: their order is unknown."""
    from gridagora.market import _capacity_kernels

    rows = np.flatnonzero(bids.is_buy)
    if len(rows) == 0:
        return
    buys = bids.take(rows)
    words = np.ascontiguousarray(buys.participant).view(np.uint32).reshape(len(rows), -1)
    codes, _ = _capacity_kernels.bidder_codes(words, buys.period, buys.side)
    first = np.unique(codes, return_index=True)[1]
    second = np.setdiff1d(np.arange(len(rows)), first)
    text = ("a buyer's second bid for one period has no step number", "give the column step: 0, 1, 2 ...")
    yield from _at(rows[second], "step", bids.participant, text=text)


def block_faults(least: NDArray[np.float64], count: int) -> Iterator[Fault]:
    """Faults of the least acceptance per bid."""
    fix = "write one share per bid: 0 divisible, 1 all or nothing"
    if least.shape != (count,):
        yield _fault("blocks", f"shape {least.shape}", (f"is not one per bid ({count})", fix))
        return
    bad = ~((least >= 0) & (least <= 1))
    yield from _at(np.flatnonzero(bad), "blocks", least, text=("least share is not between 0 and 1", fix))


def _at(
    rows: Iterable[Any] | NDArray[Any], column: str, values: NDArray[Any], *, text: tuple[str, str]
) -> Iterator[Fault]:
    for row in np.sort(np.asarray(rows, dtype=np.int64)).tolist():
        yield _fault(f"row {row}, column {column}", values[row : row + 1].tolist()[0], text)


def _fault(place: str, value: object, text: tuple[str, str]) -> Fault:
    return Fault(source="bids", place=place, value=value, reason=text[0], fix=text[1])
