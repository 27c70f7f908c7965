"""The continuous market of flexibility: price-time priority, pay-as-bid.

One rule for the adjustment before gate closure, where anyone may buy or sell (MARKETS.md section 3), and for
the SHORT product (FIELD.md 4a and 4d).  The book is a value: each message makes a new one and tells what
traded.

- Bids meet if direction and area are equal.  Each period is traded for itself, in whole watts.
- An incoming bid goes through the opposite bids, best price first, at one price the earlier first, and trades
  with each what it can, earlier periods first, at the price of the resting (earlier) bid.
- Blocks: a trade covers whole blocks of both bids, with one quantity in all their periods.  A block trades
  with one bid at a time; bids of several others do not add up to cover its periods.
- ``max_blocks`` and ``rest_blocks`` count blocks with any trade, over all trades of the bid.  Each activated
  block is one activation.  A block that may not be activated any more leaves the book.
- ``min_kw``: no trade is below the least quantity of either bid; a bid that is too small is passed over.  A
  remainder below the bid's own least quantity leaves the book.
- Fill-or-kill counts the whole bid, all its blocks, by these same rules; if anything would be left, nothing
  happens.  Fill-and-kill ends what did not trade at once.
- Self-match prevention as in `gridagora.market.book`, for the blocks that would have traded.
- A bid lives while time < ``valid_until`` and, block by block, until the gate of its first period closes.

So plain bids (blocks of one period, no least quantity) trade as in `OrderBook` and never stay crossed; others
may, where they do not fit.  Whatever leaves the book without a trade is told as `FlexEnd`.  The sources name
the attributes only: the rules for blocks, for the order of periods and for small remainders are ours.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import lcm
from numbers import Integral
from typing import TypeVar

from gridagora.errors import Fault, check_faults
from gridagora.model.continuous import (
    W_PER_KW,
    EndReason,
    FlexBid,
    FlexBookState,
    FlexEnd,
    FlexOutcome,
    FlexStatus,
    FlexTrade,
    RestingBid,
    SelfMatch,
)

__all__ = ["cancel", "close", "submit"]

T = TypeVar("T")


def submit(
    state: FlexBookState, bid: FlexBid, *, at: int, open_from: int | None = None
) -> tuple[FlexBookState, tuple[FlexTrade, ...], FlexOutcome]:
    """Take a bid in, trade it against the book, and return the new book, the trades and what became of it.

    Parameters
    ----------
    state : the book before
    bid : its number is above those of all bids before
    at : time of the message, seconds since 1970 UTC, not before that of the last one
    open_from : first period whose gate is open at that time; None: as the book knows.  Gates never open again

    Raises
    ------
    InputError
        Lists all faults: gate closed or period past, number used, expired on arrival, time that runs back.

    Notes
    -----
    MARKETS.md section 3 (adjustment horizon), FIELD.md 4d (SHORT).  A message costs the bids of the other
    side up to the limit price, and what they have in common.

    Examples
    --------
    >>> offer = FlexBid(number=0, participant="anna", side="sell", direction="down", first=8, periods=4,
    ...                 quantity_kw=3.0, price=0.05)
    >>> need = FlexBid(number=1, participant="dso", side="buy", direction="down", first=10, periods=1,
    ...                quantity_kw=5.0, price=0.08)
    >>> book, _, _ = submit(FlexBookState(), offer, at=100)
    >>> book, trades, outcome = submit(book, need, at=160)
    >>> [(trade.seller, trade.first, trade.quantity_kw, trade.price) for trade in trades], outcome.status
    ([('anna', 10, 3.0, 0.05)], 'resting')
    >>> book.sells[0].open_kw, book.buys[0].open_kw
    ((3.0, 3.0, 0.0, 3.0), (2.0,))
    """
    open_from = max(state.open_from, open_from or 0)
    check_faults(_bid_faults(state, bid, at=at, open_from=open_from))
    state, gone = _let_time_pass(state, at=at, open_from=open_from)
    taker = _Standing(RestingBid.fresh(bid))
    facing = state.sells if bid.side == "buy" else state.buys
    touched, trades = _match(taker, facing, self_match=state.self_match, at=at)
    if bid.fill == "fill_or_kill" and min(taker.traded_w) < bid.quantity_w:
        taker, touched, trades = _Standing(RestingBid.fresh(bid)), {}, []
    if bid.fill != "normal":
        taker.drop(range(bid.blocks), "killed")
    ended = (*gone, *taker.ends(), *(end for maker in touched.values() for end in maker.ends()))
    state = _file(state, taker, _replaced(facing, touched))
    return state, tuple(trades), FlexOutcome(status=_status(taker), ended=ended)


def cancel(
    state: FlexBookState, number: int, *, participant: str, at: int
) -> tuple[FlexBookState, tuple[FlexEnd, ...]]:
    """Take what is left of a bid out of the book; return the new book and what left it.

    Raises
    ------
    InputError
        Lists all faults: no such bid in the book, bid of somebody else, time that runs back.

    Examples
    --------
    >>> bid = FlexBid(number=0, participant="anna", side="sell", direction="cap", first=8, periods=2,
    ...               quantity_kw=3.0, price=0.05)
    >>> book, _, _ = submit(FlexBookState(), bid, at=100)
    >>> book, ended = cancel(book, 0, participant="anna", at=130)
    >>> book.sells, ended[0].reason
    ((), 'cancelled')
    """
    faults = [*_time_faults(state, at)]
    gone: tuple[FlexEnd, ...] = ()
    if not faults:
        state, gone = _let_time_pass(state, at=at, open_from=state.open_from)
    buys, sells = (
        {place: _Standing(entry) for place, entry in enumerate(side) if entry.bid.number == number}
        for side in (state.buys, state.sells)
    )
    found = [*buys.values(), *sells.values()]
    check_faults([*faults, *_cancel_faults(state, number, participant=participant, found=found)])
    (standing,) = found
    standing.drop(range(standing.bid.blocks), "cancelled")
    state = replace(state, buys=_replaced(state.buys, buys), sells=_replaced(state.sells, sells))
    return state, (*gone, *standing.ends())


def close(state: FlexBookState, *, before_period: int, at: int) -> tuple[FlexBookState, tuple[FlexEnd, ...]]:
    """Close the gate of all periods before one; return the new book and what left it, expired bids too.

    A block leaves the book when its first period closes.  Closing again what is closed does nothing.

    Raises
    ------
    InputError
        Lists all faults: a period that is no whole number, time that runs back.

    Examples
    --------
    >>> bid = FlexBid(number=0, participant="anna", side="sell", direction="cap", first=8, periods=2,
    ...               quantity_kw=3.0, price=0.05)
    >>> book, _, _ = submit(FlexBookState(), bid, at=100)
    >>> book, ended = close(book, before_period=9, at=200)
    >>> book.sells[0].open_kw, [(end.first, end.reason) for end in ended]
    ((0.0, 3.0), [(8, 'closed')])
    """
    faults = [*_time_faults(state, at)]
    if not _is_whole(before_period):
        faults.append(
            _fault("before_period", before_period, "is no whole number", fix="write the index of a period")
        )
    check_faults(faults)
    return _let_time_pass(state, at=at, open_from=max(state.open_from, before_period))


# --- matching -------------------------------------------------------------------------------------


class _Standing:
    """A bid while one message is applied: what is open, traded and ended, block by block."""

    __slots__ = ("activated", "bid", "dropped", "open_w", "traded_w")

    def __init__(self, entry: RestingBid) -> None:
        self.bid = entry.bid
        self.open_w = list(entry.open_w)
        self.traded_w = list(entry.traded_w)
        self.activated = sum(map(bool, entry.traded_w))
        self.dropped: list[tuple[int, int, EndReason]] = []

    def blocks(self, first: int, end: int) -> range:
        """Blocks that cover the periods [first, end), which begin and end with a block."""
        length = self.bid.block_periods
        return range((first - self.bid.first) // length, (end - self.bid.first) // length)

    def available_w(self, blocks: range) -> int:
        """Most that can trade in all these blocks; 0 if they may not be activated."""
        watts = min(self.open_w[blocks.start : blocks.stop])
        return watts if watts and self._may_activate(self._idle(blocks)) else 0

    def trade(self, blocks: range, watts: int) -> None:
        """Trade in these blocks, and drop what can trade no more."""
        fresh = self._idle(blocks)
        for block in blocks:
            self.open_w[block] -= watts
            self.traded_w[block] += watts
            if self.open_w[block] < self.bid.min_w:
                self.drop((block,), "min_kw")
        if fresh:
            self._activate(fresh)

    def drop(self, blocks: Iterable[int], reason: EndReason) -> None:
        """End what is open in these blocks."""
        for block in blocks:
            if self.open_w[block]:
                self.dropped.append((block, self.open_w[block], reason))
                self.open_w[block] = 0

    def ends(self) -> Iterator[FlexEnd]:
        """Yield what was dropped, neighbouring blocks as one."""
        length = self.bid.block_periods
        for start, stop, (watts, reason) in _runs(
            (block, block + 1, (watts, reason)) for block, watts, reason in self.dropped
        ):
            yield FlexEnd(
                number=self.bid.number,
                first=self.bid.first + start * length,
                periods=(stop - start) * length,
                quantity_kw=watts / W_PER_KW,
                reason=reason,
            )

    def entry(self) -> RestingBid:
        return RestingBid(bid=self.bid, open_w=tuple(self.open_w), traded_w=tuple(self.traded_w))

    def _idle(self, blocks: range) -> list[int]:
        return [block for block in blocks if not self.traded_w[block]]

    def _may_activate(self, fresh: list[int]) -> bool:
        """Tell whether these open blocks, out of a row, may be activated at once.

        None of them is too near to an activated block, or it would not be open (see `_activate`); so they
        can only be too near to each other, and of several in a row two always are.
        """
        rested = not self.bid.rest_blocks or len(fresh) <= 1
        return rested and (self.bid.max_blocks is None or self.activated + len(fresh) <= self.bid.max_blocks)

    def _activate(self, fresh: list[int]) -> None:
        """Count the blocks as activated and drop the idle ones that they forbid."""
        self.activated += len(fresh)
        count, rest = self.bid.blocks, self.bid.rest_blocks
        for block in fresh if rest else ():
            self.drop(self._idle(range(max(0, block - rest), min(count, block + rest + 1))), "rest_blocks")
        if self.activated == self.bid.max_blocks:
            self.drop(self._idle(range(count)), "max_blocks")


def _match(
    taker: _Standing, facing: Sequence[RestingBid], *, self_match: SelfMatch, at: int
) -> tuple[dict[int, _Standing], list[FlexTrade]]:
    """Trade a bid against the opposite side; return the bids that changed, by place, and the trades."""
    bid, end = taker.bid, taker.bid.end
    sign = 1 if bid.side == "buy" else -1
    reach = bisect_right(facing, sign * bid.price, key=lambda entry: sign * entry.bid.price)
    touched: dict[int, _Standing] = {}
    trades: list[FlexTrade] = []
    for place, entry in enumerate(facing[:reach]):
        other = entry.bid
        if other.first >= end or other.first + other.periods <= bid.first:
            continue
        if other.direction != bid.direction or other.area != bid.area:
            continue
        maker = _Standing(entry)
        trades += _trade_pair(taker, maker, self_match=self_match, at=at)
        if maker.open_w != list(entry.open_w):
            touched[place] = maker
        if not any(taker.open_w):
            break
    return touched, trades


def _trade_pair(taker: _Standing, maker: _Standing, *, self_match: SelfMatch, at: int) -> list[FlexTrade]:
    """Trade all that two bids have in common, and return the trades, neighbouring periods as one."""
    own = self_match != "allow" and taker.bid.participant == maker.bid.participant
    done: list[tuple[int, int, int]] = []
    for first, end in _meetings(taker.bid, maker.bid):
        wanted, offered = taker.blocks(first, end), maker.blocks(first, end)
        watts = min(taker.available_w(wanted), maker.available_w(offered))
        if watts < max(taker.bid.min_w, maker.bid.min_w):
            continue
        if own and self_match == "cancel_resting":
            maker.drop(offered, "self_match")
        elif own:
            taker.drop(wanted, "self_match")
        else:
            taker.trade(wanted, watts)
            maker.trade(offered, watts)
            done.append((first, end, watts))
    buy, sell = (taker.bid, maker.bid) if taker.bid.side == "buy" else (maker.bid, taker.bid)
    return [
        FlexTrade(
            buy=buy.number,
            sell=sell.number,
            buyer=buy.participant,
            seller=sell.participant,
            direction=sell.direction,
            first=first,
            periods=end - first,
            quantity_kw=watts / W_PER_KW,
            price=maker.bid.price,
            at=at,
            area=sell.area,
            contract=sell.contract,
        )
        for first, end, watts in _runs(done)
    ]


def _meetings(one: FlexBid, other: FlexBid) -> Iterator[tuple[int, int]]:
    """Yield the shortest spans of periods, as [first, end), that are whole blocks of both bids."""
    begin, end = max(one.first, other.first), min(one.end, other.end)
    step = lcm(one.block_periods, other.block_periods)
    first = begin + (one.first - begin) % one.block_periods
    while first < end and (first - other.first) % other.block_periods:
        first += one.block_periods
    for start in range(first, end - step + 1, step):
        yield start, start + step


def _runs(spans: Iterable[tuple[int, int, T]]) -> Iterator[tuple[int, int, T]]:
    """Yield spans [first, end) with a value, neighbours of equal value as one."""
    held: tuple[int, int, T] | None = None
    for first, end, value in spans:
        if held is not None and held[1] == first and held[2] == value:
            held = (held[0], end, value)
            continue
        if held is not None:
            yield held
        held = (first, end, value)
    if held is not None:
        yield held


# --- the book -------------------------------------------------------------------------------------


def _replaced(side: tuple[RestingBid, ...], touched: dict[int, _Standing]) -> tuple[RestingBid, ...]:
    """Return a side with the touched bids as they are now, and without those that have nothing open."""
    entries = list(side)
    for place, standing in sorted(touched.items(), reverse=True):
        entries[place : place + 1] = [standing.entry()] if any(standing.open_w) else []
    return tuple(entries)


def _file(state: FlexBookState, taker: _Standing, facing: tuple[RestingBid, ...]) -> FlexBookState:
    """Return the book with the facing side as traded and with what rests of the incoming bid."""
    bid = taker.bid
    buying = bid.side == "buy"
    near, expiry = state.buys if buying else state.sells, state.next_expiry
    if any(taker.open_w):
        sign = -1 if buying else 1
        place = bisect_right(near, sign * bid.price, key=lambda entry: sign * entry.bid.price)
        near = (*near[:place], taker.entry(), *near[place:])
        expiry = _earliest((expiry, bid.valid_until))
    buys, sells = (near, facing) if buying else (facing, near)
    return replace(state, buys=buys, sells=sells, last_number=bid.number, next_expiry=expiry)


def _status(taker: _Standing) -> FlexStatus:
    if min(taker.traded_w) == taker.bid.quantity_w:
        return "filled"
    if any(taker.open_w):
        return "resting"
    return "killed" if any(reason == "killed" for _, _, reason in taker.dropped) else "ended"


def _let_time_pass(
    state: FlexBookState, *, at: int, open_from: int
) -> tuple[FlexBookState, tuple[FlexEnd, ...]]:
    """End what has expired and what is behind the gate."""
    expires = state.next_expiry is not None and state.next_expiry <= at
    if not expires and open_from == state.open_from:
        return replace(state, at=at), ()
    ended: list[FlexEnd] = []
    sides = []
    for side in (state.buys, state.sells):
        kept = [_alive(entry, at=at, open_from=open_from, ended=ended) for entry in side]
        sides.append(tuple(entry for entry in kept if any(entry.open_w)))
    buys, sells = sides
    expiry = _earliest(entry.bid.valid_until for entry in (*buys, *sells))
    state = replace(state, buys=buys, sells=sells, at=at, open_from=open_from, next_expiry=expiry)
    return state, tuple(ended)


def _alive(entry: RestingBid, *, at: int, open_from: int, ended: list[FlexEnd]) -> RestingBid:
    """Return what is still valid of a bid, and note what is not."""
    bid = entry.bid
    expired = bid.valid_until is not None and bid.valid_until <= at
    if not expired and bid.first >= open_from:
        return entry
    standing = _Standing(entry)
    if expired:
        standing.drop(range(bid.blocks), "expired")
    else:
        begun = -((bid.first - open_from) // bid.block_periods)
        standing.drop(range(min(begun, bid.blocks)), "closed")
    ended.extend(standing.ends())
    return standing.entry()


def _earliest(times: Iterable[int | None]) -> int | None:
    return min((time for time in times if time is not None), default=None)


# --- faults ---------------------------------------------------------------------------------------


def _bid_faults(state: FlexBookState, bid: FlexBid, *, at: int, open_from: int) -> Iterator[Fault]:
    timed = [*_time_faults(state, at)]
    yield from timed
    source = f"flexibility bid {bid.number}"
    if bid.number <= state.last_number:
        reason, fix = "is not above the last number", f"write {state.last_number + 1} or more"
        yield Fault(source=source, place="number", value=bid.number, reason=reason, fix=fix)
    if bid.first < open_from:
        reason, fix = "the gate of this period is closed", f"begin at period {open_from} or later"
        yield Fault(source=source, place="first", value=bid.first, reason=reason, fix=fix)
    if not timed and bid.valid_until is not None and bid.valid_until <= at:
        reason, fix = "the bid ends before it begins", f"write a second after {at}"
        yield Fault(source=source, place="valid_until", value=bid.valid_until, reason=reason, fix=fix)


def _cancel_faults(
    state: FlexBookState, number: int, *, participant: str, found: Sequence[_Standing]
) -> Iterator[Fault]:
    if not found:
        ended = _is_whole(number) and 0 <= number <= state.last_number
        reason = "is no longer in the book" if ended else "no bid has this number"
        yield _fault("number", number, reason, fix="look up the resting bids in buys and sells")
    elif found[0].bid.participant != participant:
        reason = f"did not place bid {number}"
        yield _fault("participant", participant, reason, fix="cancel bids of your own")


def _time_faults(state: FlexBookState, at: int) -> Iterator[Fault]:
    if not _is_whole(at):
        yield _fault("at", at, "is no whole number", fix="write seconds since 1970 UTC")
    elif at < state.at:
        yield _fault("at", at, "lies before the last message", fix=f"write {state.at} or more")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="flexibility book", place=place, value=value, reason=reason, fix=fix)
