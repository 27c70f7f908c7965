"""Values of the continuous market of flexibility: bids, trades and the state of its book.

Quantities are kW and whole watts inside, prices currency per kW and period, periods integer indices of the
study's time axis, times whole seconds since 1970 (UTC).  The rule that matches them is
`gridagora.market.short_flex`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Literal, Self

from gridagora.errors import Fault, check_faults

FlexSide = Literal["buy", "sell"]
FlexDirection = Literal["cap", "floor", "down", "up"]
FlexFill = Literal["normal", "fill_or_kill", "fill_and_kill"]
SelfMatch = Literal["cancel_resting", "cancel_incoming", "allow"]
FlexStatus = Literal["resting", "filled", "killed", "ended"]
EndReason = Literal[
    "cancelled", "expired", "closed", "self_match", "killed", "min_kw", "max_blocks", "rest_blocks"
]

W_PER_KW = 1_000
MAX_PERIODS = 100_000
"""Longest window of one bid: it bounds what one message can cost."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "side": ("buy", "sell"),
    "direction": ("cap", "floor", "down", "up"),
    "fill": ("normal", "fill_or_kill", "fill_and_kill"),
}
_LOWEST = {"number": 0, "first": 0, "periods": 1, "block_periods": 1, "max_blocks": 1, "rest_blocks": 0}
_NULLABLE = ("max_blocks", "valid_until")


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexBid:
    """A bid of the continuous market: a quantity of flexibility in each of some consecutive periods.

    Parameters
    ----------
    number : place in the order of arrival
    participant : who bids
    side : "buy" or "sell"
    direction : "cap" and "floor" limit net import and net export, counted as a cut below the connection
        capacity; "down" and "up" are less and more net import than the baseline
    first, periods : first period and number of periods
    quantity_kw : kW in each period, whole watts, > 0
    price : limit, currency per kW and period, any sign
    min_kw : least quantity of one trade, kW; equal to ``quantity_kw``: taken whole or not at all
    fill : "normal" rests with what did not trade; "fill_or_kill" trades whole at once or not at all;
        "fill_and_kill" trades what it can at once
    block_periods : periods that trade together, with the same quantity; 1: each period for itself
    max_blocks : number of blocks that may be activated; None: all
    rest_blocks : idle blocks between two activated ones
    valid_until : first second at which the bid is no longer valid; None: until gate closure
    area : where; only bids of equal areas meet, "" is an area too
    contract : long-term contract that a sell bid came from; "" if none

    Raises
    ------
    InputError
        Lists every field that is out of range or contradicts another.

    Notes
    -----
    The attributes of the ShortFlex order of NODES (FIELD.md 4a and 4d, product SHORT).

    Examples
    --------
    >>> bid = FlexBid(number=0, participant="anna", side="sell", direction="down", first=32, periods=8,
    ...               quantity_kw=3.0, price=0.05, block_periods=4, max_blocks=1)
    >>> bid.blocks, bid.end
    (2, 40)
    >>> FlexBid(number=0, participant="anna", side="sell", direction="left", first=0, periods=3,
    ...         quantity_kw=1.0, price=float("nan"), block_periods=2)
    Traceback (most recent call last):
    gridagora.errors.InputError: 3 faults in the input
      flexibility bid 0, direction: unknown (found 'left'); write one of cap, floor, down, up
      flexibility bid 0, price: is no finite number (found nan); write currency per kW and period
      flexibility bid 0, periods: is no whole number of blocks of 2 (found 3); write a multiple of 2
    """

    number: int
    participant: str
    side: FlexSide
    direction: FlexDirection
    first: int
    periods: int
    quantity_kw: float
    price: float
    min_kw: float = 0.0
    fill: FlexFill = "normal"
    block_periods: int = 1
    max_blocks: int | None = None
    rest_blocks: int = 0
    valid_until: int | None = None
    area: str = ""
    contract: str = ""

    def __post_init__(self) -> None:
        check_faults(self._faults())

    @property
    def end(self) -> int:
        """First period after the window."""
        return self.first + self.periods

    @property
    def blocks(self) -> int:
        """Number of blocks in the window."""
        return self.periods // self.block_periods

    @property
    def quantity_w(self) -> int:
        """Quantity in each period, whole watts."""
        return round(self.quantity_kw * W_PER_KW)

    @property
    def min_w(self) -> int:
        """Least quantity of one trade, whole watts, at least one."""
        return max(1, round(self.min_kw * W_PER_KW))

    def _faults(self) -> Iterator[Fault]:
        for name, words in _CHOICES.items():
            if getattr(self, name) not in words:
                yield self._fault(name, "unknown", fix=f"write one of {', '.join(words)}")
        for name in ("participant", "area", "contract"):
            if not isinstance(getattr(self, name), str):
                yield self._fault(name, "is no text", fix="write a name")
        if self.participant == "":
            yield self._fault("participant", "is empty", fix="name who bids")
        unsound = {name for name in (*_LOWEST, "valid_until") if not _is_whole(self, name)}
        for name in sorted(unsound):
            yield self._fault(name, "is no whole number", fix="write an integer")
        for name, low in _LOWEST.items():
            value = getattr(self, name)
            if name not in unsound and value is not None and value < low:
                yield self._fault(name, f"is below {low}", fix=f"write {low} or more")
        yield from self._amount_faults()
        if not unsound and self.periods >= 1 and self.block_periods >= 1:
            yield from self._block_faults()
        if self.contract and self.side == "buy":
            yield self._fault("contract", "only a sell comes from a contract", fix="leave it out")

    def _amount_faults(self) -> Iterator[Fault]:
        if not _is_finite(self.price):
            yield self._fault("price", "is no finite number", fix="write currency per kW and period")
        sound = True
        for name, low in (("quantity_kw", 0.001), ("min_kw", 0.0)):
            value = getattr(self, name)
            if not _is_finite(value):
                yield self._fault(name, "is no finite number", fix="write kW")
            elif value < low:
                yield self._fault(name, f"is below {low:g} kW", fix=f"write {low:g} kW or more")
            elif abs(value * W_PER_KW - round(value * W_PER_KW)) > 1e-6:
                yield self._fault(name, "is no whole number of watts", fix="round it to 0.001 kW")
            else:
                continue
            sound = False
        if sound and self.min_w > self.quantity_w:
            reason = f"is above the quantity of {self.quantity_kw:g} kW"
            yield self._fault("min_kw", reason, fix="write at most the quantity")

    def _block_faults(self) -> Iterator[Fault]:
        if self.periods > MAX_PERIODS:
            yield self._fault("periods", f"is above {MAX_PERIODS}", fix="split the bid")
        if self.periods % self.block_periods:
            reason = f"is no whole number of blocks of {self.block_periods}"
            yield self._fault("periods", reason, fix=f"write a multiple of {self.block_periods}")
        elif self.fill == "fill_or_kill":
            if self.max_blocks is not None and self.max_blocks < self.blocks:
                reason = f"forbids to fill all {self.blocks} blocks, which fill_or_kill demands"
                yield self._fault("max_blocks", reason, fix="leave it out, or use fill_and_kill")
            if self.rest_blocks > 0 and self.blocks > 1:
                reason = f"forbids to fill all {self.blocks} blocks, which fill_or_kill demands"
                yield self._fault("rest_blocks", reason, fix="leave it out, or use fill_and_kill")

    def _fault(self, place: str, reason: str, *, fix: str) -> Fault:
        source = f"flexibility bid {self.number}"
        return Fault(source=source, place=place, value=getattr(self, place), reason=reason, fix=fix)


def _is_whole(bid: FlexBid, name: str) -> bool:
    value = getattr(bid, name)
    if value is None:
        return name in _NULLABLE
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexTrade:
    """A trade between two bids: the same quantity in each of some consecutive periods.

    Parameters
    ----------
    buy, sell : numbers of the bids
    buyer, seller : their participants
    direction, area : of both bids
    first, periods : first period and number of periods
    quantity_kw : kW in each period
    price : of the earlier bid, currency per kW and period
    at : time of the later bid, seconds since 1970 UTC
    contract : long-term contract that the sell bid came from; "" if none

    Examples
    --------
    >>> trade = FlexTrade(buy=1, sell=0, buyer="dso", seller="anna", direction="down", first=32, periods=4,
    ...                   quantity_kw=2.0, price=0.05, at=0)
    >>> trade.quantity_kw * trade.periods * trade.price
    0.4
    """

    buy: int
    sell: int
    buyer: str
    seller: str
    direction: FlexDirection
    first: int
    periods: int
    quantity_kw: float
    price: float
    at: int
    area: str = ""
    contract: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexEnd:
    """A part of a bid that left the book without a trade, and why.

    Parameters
    ----------
    number : of the bid
    first, periods : first period and number of periods
    quantity_kw : kW in each period that is no longer wanted or offered
    reason : "cancelled", "expired", "closed" (gate), "self_match", "killed", "min_kw" (the remainder is below
        the least quantity), "max_blocks" or "rest_blocks" (the block may not be activated any more)

    Examples
    --------
    >>> FlexEnd(number=0, first=32, periods=4, quantity_kw=1.0, reason="expired").reason
    'expired'
    """

    number: int
    first: int
    periods: int
    quantity_kw: float
    reason: EndReason


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexOutcome:
    """What became of a bid on arrival, and what else left the book with it.

    Parameters
    ----------
    status : "resting" (some of it stays in the book), "filled" (all of it traded), "killed" (the fill rule
        took out what did not trade at once), "ended" (nothing stays, for the reasons in ``ended``)
    ended : parts of this and of other bids that left the book without a trade, in order

    Examples
    --------
    >>> FlexOutcome(status="filled").ended
    ()
    """

    status: FlexStatus
    ended: tuple[FlexEnd, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RestingBid:
    """A bid in the book with what is open and what has traded, whole watts for each of its blocks.

    Examples
    --------
    >>> bid = FlexBid(number=0, participant="anna", side="sell", direction="down", first=32, periods=2,
    ...               quantity_kw=3.0, price=0.05)
    >>> RestingBid.fresh(bid).open_kw
    (3.0, 3.0)
    """

    bid: FlexBid
    open_w: tuple[int, ...]
    traded_w: tuple[int, ...]

    @classmethod
    def fresh(cls, bid: FlexBid) -> Self:
        """Return the bid as it arrives: all of it open."""
        return cls(bid=bid, open_w=(bid.quantity_w,) * bid.blocks, traded_w=(0,) * bid.blocks)

    @property
    def open_kw(self) -> tuple[float, ...]:
        """What is open in each block, kW in each of its periods."""
        return tuple(watts / W_PER_KW for watts in self.open_w)


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexBookState:
    """The book of the continuous market: a value, so every message makes a new one.

    Parameters
    ----------
    self_match : what happens when bids of one participant meet: "cancel_resting", "cancel_incoming", "allow"
    buys, sells : resting bids, best price first, at one price the earlier first
    open_from : first period whose gate is still open
    at : time of the last message, seconds since 1970 UTC
    last_number : largest number of a bid so far
    next_expiry : no bid expires before this second; None: none expires

    Examples
    --------
    >>> FlexBookState(open_from=8).buys
    ()
    """

    self_match: SelfMatch = "cancel_resting"
    buys: tuple[RestingBid, ...] = ()
    sells: tuple[RestingBid, ...] = ()
    open_from: int = 0
    at: int = 0
    last_number: int = -1
    next_expiry: int | None = None

    def __post_init__(self) -> None:
        words = ("cancel_resting", "cancel_incoming", "allow")
        if self.self_match not in words:
            fix = f"write one of {', '.join(words)}"
            check_faults(
                [
                    Fault(
                        source="flexibility book",
                        place="self_match",
                        value=self.self_match,
                        reason="unknown",
                        fix=fix,
                    )
                ]
            )
