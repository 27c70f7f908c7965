"""State of a flexibility market: the fold of its events.

Participants are codes: connection points, then buyers.  Points may join later: a period is kept as wide as
the market was when it last changed, and read as wide as it is now.  What belongs to a period is kept by
period, so that an event copies the periods it touches and no others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gridagora.errors import Fault, require
from gridagora.model.columns import Floats, Ints
from gridagora.model.continuous import FlexBookState
from gridagora.model.flexibility_events import FlexBidsSubmitted, TenderAwarded
from gridagora.model.flexibility_market import FlexAuction, FlexMarketTerms, RedispatchOrder
from gridagora.model.reservation import FlexContract, Tender, TenderBid
from gridagora.model.time import clock

LEAST_KW = 1e-9
"""Below this a sum of kW counts as nothing: what adding and taking away floats leaves behind."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PeriodState:
    """What was agreed, ordered and metered for one period.

    Parameters
    ----------
    cleared_kw, cleared_micro : of activation auctions and dispatches, shape (products, participants): kW that
        a point sold or a buyer bought, >= 0; money, + received
    adjusted_kw, adjusted_micro : of the continuous market, same shape: kW, + adds to the above
    reserved_micro : awarded for full availability, + received, shape (participants,)
    redispatch_micro, redispatch_kw : of paired redispatch, shape (participants,): + received; change of net
        import
    tested_kw : what unpaid test calls ordered of ``cleared_kw``, same shape
    ordered_kw : sent out for delivery, shape (products, points); None while the gate is open
    metered_kw : net import, shape (points, readings); None: not read yet
    baseline_kw : expected net import, shape (points,); None: not told yet
    settled_wh : delivered and ordered, shape (2, products, points); None: not settled yet
    """

    cleared_kw: Floats
    cleared_micro: Ints
    adjusted_kw: Floats
    adjusted_micro: Ints
    reserved_micro: Ints
    redispatch_micro: Ints
    redispatch_kw: Floats
    tested_kw: Floats
    ordered_kw: Floats | None = None
    metered_kw: Floats | None = None
    baseline_kw: Floats | None = None
    settled_wh: Ints | None = None

    @property
    def sold_kw(self) -> Floats:
        """Sold by points and bought by buyers so far, adjustments counted, shape (products, participants)."""
        return self.cleared_kw + self.adjusted_kw

    @property
    def paid_kw(self) -> Floats:
        """What is sold for pay: all but test calls."""
        return self.sold_kw - self.tested_kw


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AuctionState:
    """An auction with the bids that stand in it; ``cleared`` when it is over."""

    auction: FlexAuction
    bids: tuple[FlexBidsSubmitted, ...] = ()
    cleared: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ContractState:
    """A contract, what was called of it and what its holder then offered; arrays follow its calendar.

    ``fee_micro_per_kwh`` is the fee of each period, ``awarded_micro`` what it came to before any release,
    ``weights`` (periods, buyers) who pays it; ``asked_kw`` is what an auction asked of the holder after a
    call, so that without an auction nothing is missed; ``calls`` are the periods of each call or dispatch,
    ``tests`` counts those that were unpaid tests.
    """

    contract: FlexContract
    product: int
    point: int
    fee_micro_per_kwh: Ints
    awarded_micro: Ints
    weights: Ints
    requested_kw: Floats
    asked_kw: Floats
    offered_kw: Floats
    calls: tuple[tuple[int, ...], ...] = ()
    tests: int = 0

    def owed_kw(self, period: int) -> float:
        """Return what must be offered in a period: the smaller of reserved and requested, kW."""
        if period not in self.contract.periods:
            return 0.0
        place = self.contract.periods.index(period)
        return float(min(self.contract.reserved_kw[place], self.requested_kw[place]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TenderState:
    """A tender that takes bids until ``closes``, the bids that stand, and the decision once there is one."""

    tender: Tender
    product: str
    closes: int
    bids: tuple[TenderBid, ...] = ()
    awarded: TenderAwarded | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlexMarketState:
    """The fold of all events of a flexibility market; ``at`` is when the last one happened.

    ``auctions`` are by number, ``tenders`` in the order of opening, ``willing`` are orders of redispatch that
    wait for a pair, ``absent`` are sellers that left, ``books`` are by product, ``periods`` those of the
    market from its first, ``open_from`` is the first period that no order went out for, ``balance`` each
    account's micro-units.

    Examples
    --------
    >>> FlexMarketState().terms is None
    True
    """

    terms: FlexMarketTerms | None = None
    at: int | None = None
    auctions: tuple[AuctionState, ...] = ()
    tenders: tuple[TenderState, ...] = ()
    willing: tuple[RedispatchOrder, ...] = ()
    contracts: tuple[ContractState, ...] = ()
    books: tuple[FlexBookState, ...] = ()
    absent: tuple[str, ...] = ()
    open_from: int = 0
    periods: tuple[PeriodState, ...] = ()
    balance: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def open_terms(self) -> FlexMarketTerms:
        """Terms of the market, which must be open."""
        require(self.terms is not None, "the flexibility market is not open")
        return self.terms  # type: ignore[return-value]

    def period(self, number: int) -> PeriodState:
        """Return what is known of a period of the study."""
        return widened(self.periods[number - self.open_terms.first], self.open_terms)

    def window(self, first: int, count: int) -> tuple[PeriodState, ...]:
        """Return what is known of [first, first + count)."""
        start = first - self.open_terms.first
        require(0 <= start <= start + count <= len(self.periods), "periods outside the flexibility market")
        known: dict[int, PeriodState] = {}  # periods of which nothing is known are one object
        for period in self.periods[start : start + count]:
            if id(period) not in known:
                known[id(period)] = widened(period, self.open_terms)
        return tuple(known[id(period)] for period in self.periods[start : start + count])

    def with_periods(self, changed: Mapping[int, PeriodState]) -> "FlexMarketState":
        """Return the state with some periods, by their number, in place of the old ones."""
        periods = list(self.periods)
        for number, period in changed.items():
            periods[number - self.open_terms.first] = period
        return replace(self, periods=tuple(periods))


def empty_period(terms: FlexMarketTerms) -> PeriodState:
    """Return a period of which nothing is known yet."""
    shape = (len(terms.products), len(terms.participants))
    return PeriodState(
        cleared_kw=np.zeros(shape),
        cleared_micro=np.zeros(shape, np.int64),
        adjusted_kw=np.zeros(shape),
        adjusted_micro=np.zeros(shape, np.int64),
        reserved_micro=np.zeros(shape[1], np.int64),
        redispatch_micro=np.zeros(shape[1], np.int64),
        redispatch_kw=np.zeros(shape[1]),
        tested_kw=np.zeros(shape),
    )


def widened(period: PeriodState, terms: FlexMarketTerms) -> PeriodState:
    """Return a period with room for the sellers that joined since it was last changed."""
    missing = len(terms.participants) - len(period.reserved_micro)
    if not missing:
        return period
    place = len(terms.points) - missing
    everyone = ("reserved_micro", "redispatch_micro", "redispatch_kw")
    of_products = ("cleared_kw", "cleared_micro", "adjusted_kw", "adjusted_micro", "tested_kw")
    sellers = (
        ("ordered_kw", 1, 0.0),
        ("metered_kw", 0, np.nan),
        ("baseline_kw", 0, np.nan),
        ("settled_wh", 2, 0),
    )
    rows = [place] * missing
    changed = {name: np.insert(getattr(period, name), rows, 0) for name in everyone}
    changed |= {name: np.insert(getattr(period, name), rows, 0, axis=1) for name in of_products}
    changed |= {
        name: np.insert(value, rows, nothing, axis=axis)
        for name, axis, nothing in sellers
        if (value := getattr(period, name)) is not None
    }
    return replace(period, **changed)


def product_number(terms: FlexMarketTerms, name: str) -> int:
    """Return the number of a product that exists."""
    return [known for known, _ in terms.products].index(name)


def product_faults(terms: FlexMarketTerms, name: str, *, source: str) -> list[Fault]:
    """Faults of a product's name."""
    known = [product for product, _ in terms.products]
    if name in known:
        return []
    fix = f"write one of {', '.join(known)}"
    return [Fault(source=source, place="product", value=name, reason="product does not exist", fix=fix)]


def time_faults(state: FlexMarketState, at: int) -> list[Fault]:
    """Faults of the moment of a command: it may not lie before the last event."""
    if state.at is None or at >= state.at:
        return []
    reason, fix = "lies before what happened last", f"write {clock(state.at)} or more"
    return [Fault(source="flexibility market", place="at", value=clock(at), reason=reason, fix=fix)]


def shown(kw: float) -> str:
    """Return kW as a person reads them.

    >>> shown(2.50001)
    '2.50001 kW'
    """
    return f"{kw:.6g} kW"
