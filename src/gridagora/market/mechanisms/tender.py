"""Competitions for reserved flexibility: the cheapest set of bids that covers a need (Piclo, DPS).

A bid offers any volume between its smallest and its largest, or none, in each of its windows.  Per kW it is
expected to cost, in a window of ``h`` hours::

    availability x h + expected_calls x utilisation x h

In each window the award takes the volumes of least expected cost that cover the need; where all bids
together do not, it takes them all.  What smallest volumes force beyond the need is paid for too.  Every
winner is paid as bid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import check_faults, require
from gridagora.market._tender_check import bid_windows, disqualified, tender_faults
from gridagora.model.reservation import FlexContract, Tender, TenderBid
from gridagora.solve import LinearProgram, solve_mixed
from gridagora.units import to_micro

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT = 1e-6
"""Relative accuracy of a mixed-integer program."""

COST_SLACK = 1e-9
"""What the program of the fewest contracts may cost more, so that rounding never leaves it without answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TenderAnswer:
    """What one bid gets in one window, and why.

    Parameters
    ----------
    bid : place in the bids as given
    window : place in the tender's windows
    participant : seller
    kw : volume taken, 0 where rejected
    accepted : whether any was taken
    reason : for a person, e.g. "above the ceiling of availability"

    Examples
    --------
    >>> TenderAnswer(bid=0, window=0, participant="ann", kw=5.0, accepted=True, reason="in full").kw
    5.0
    """

    bid: int
    window: int
    participant: str
    kw: float
    accepted: bool
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TenderResult:
    """Awards of a tender.

    Parameters
    ----------
    tender : what was asked for
    answers : one per bid and window, by bid, then window
    volume_kw : taken, shape (bids, windows)
    covered_kw : reserved in each window, at most the need
    missing_kw : need that no bid covers, in each window
    expected_cost : availability and expected utilisation of all contracts, currency
    contracts : one per bid that won, at its own prices, by bid

    Examples
    --------
    See `award_tender`.

    >>> TenderResult.__slots__[0]
    'tender'
    """

    tender: Tender
    answers: tuple[TenderAnswer, ...]
    volume_kw: Floats
    covered_kw: Floats
    missing_kw: Floats
    expected_cost: float
    contracts: tuple[FlexContract, ...]


def award_tender(
    tender: Tender,
    bids: Sequence[TenderBid],
    *,
    hours: float,
    bus_of: Mapping[str, str] | None = None,
    now_period: int = 0,
) -> TenderResult:
    """Award a tender at least expected cost; each winner is paid its own prices (pay-as-bid).

    Parameters
    ----------
    tender : what is asked for
    bids : of any sellers; one of each for a window
    hours : length of a period
    bus_of : bus of each known participant; None: nobody is unknown, and an area names participants only
    now_period : the first period that can still be reserved

    Raises
    ------
    InputError
        Lists every fault: windows in the past or that do not exist, unknown participants, prices and volumes
        that are no numbers or below 0, a smallest volume above the largest, second bids for a window.
    SolverError
        The mixed-integer program found no optimum.

    Notes
    -----
    FIELD.md 4d, TENDER; 4a, Piclo: the buyer accepts or rejects each bid with a reason.  Each window is a
    covering program: min sum of c x, sum of x >= need, x = 0 or min <= x <= max.  Among equally cheap sets
    the one with the fewest contracts wins; then what the program finds with the bids in order of cost and
    name, so the order in which bids arrived decides nothing.  Within the set cheaper bids are filled first,
    equal ones by name.

    Examples
    --------
    The cheapest bid comes in one piece of 8 kW; bob has at least 5 kW more, cat just the rest.

    >>> from gridagora.model.flexibility import FlexProduct
    >>> tender = Tender(name="winter", buyer="dso", product=FlexProduct(direction="down"), windows=((17, 2),),
    ...                 need_kw=[10.0], expected_calls=0.5, availability_cap=0.1)
    >>> prices = {"ann": (8, 8, 0.02), "bob": (5, 9, 0.06), "cat": (0, 12, 0.03), "dan": (0, 9, 0.2)}
    >>> bids = [TenderBid(participant=name, min_kw=low, max_kw=high, availability=price, utilisation=0.0)
    ...         for name, (low, high, price) in prices.items()]
    >>> result = award_tender(tender, bids, hours=1.0)
    >>> result.volume_kw[:, 0].tolist(), round(result.expected_cost, 6)
    ([8.0, 0.0, 2.0, 0.0], 0.44)
    >>> [answer.reason for answer in result.answers][1::2]
    ['dearer than what was needed', 'above the ceiling of availability']
    >>> result.contracts[1].seller, result.contracts[1].reserved_kw.tolist()
    ('cat', [2.0, 2.0])
    """
    check_faults(tender_faults(tender, bids, hours=hours, bus_of=bus_of, now_period=now_period))
    volume = np.zeros((len(bids), len(tender.windows)))
    answers: dict[tuple[int, int], TenderAnswer] = {}
    for window, need in enumerate(tender.need_kw.tolist()):
        reasons = {
            row: disqualified(tender, bid, window, bus_of=bus_of)
            for row, bid in enumerate(bids)
            if window in bid_windows(tender, bid)
        }
        ranked = sorted(
            (row for row, reason in reasons.items() if not reason),
            key=lambda row: (_unit_cost(tender, bids[row]), bids[row].participant),
        )
        taken = _cover(
            [bids[row] for row in ranked], need, cost=[_unit_cost(tender, bids[row]) for row in ranked]
        )
        volume[ranked, window] = taken
        reasons |= _reasons(tender, [bids[row] for row in ranked], ranked, taken=taken, need=need)
        for row, reason in reasons.items():
            kw = float(volume[row, window])
            answers[row, window] = TenderAnswer(
                bid=row,
                window=window,
                participant=bids[row].participant,
                kw=kw,
                accepted=kw > 0,
                reason=reason,
            )
    need_kw, total = tender.need_kw, volume.sum(axis=0)
    # what is missing by the rounding of sums alone is not missing
    missing = np.where(total >= need_kw * (1 - EXACT), 0.0, need_kw - total)
    lasts = np.array([count * hours for _, count in tender.windows])
    unit = np.array([_unit_cost(tender, bid) for bid in bids])
    return TenderResult(
        tender=tender,
        answers=tuple(answers[key] for key in sorted(answers)),
        volume_kw=volume,
        covered_kw=need_kw - missing,
        missing_kw=missing,
        expected_cost=float(unit @ volume @ lasts),
        contracts=tuple(
            _contract(tender, bid, volume[row]) for row, bid in enumerate(bids) if volume[row].any()
        ),
    )


def _unit_cost(tender: Tender, bid: TenderBid) -> float:
    """Currency per kW and hour of a window."""
    return float(bid.availability + tender.expected_calls * bid.utilisation)


def _cover(bids: list[TenderBid], need: float, *, cost: list[float]) -> Floats:
    """Return the volumes of least cost that cover the need; bids come in order of cost and name."""
    least = np.array([bid.min_kw for bid in bids], dtype=np.float64)
    most = np.array([bid.max_kw for bid in bids], dtype=np.float64)
    if need <= 0:
        return np.zeros(len(bids))
    if most.sum() <= need:
        return most
    prices = np.array(cost)
    chosen = _chosen(least, most, prices, need=need)
    volume = _filled(np.where(chosen, least, 0.0), np.where(chosen, most, 0.0), need)
    require(bool(volume.sum() >= need * (1 - EXACT)), "an award covers less than it could")
    return volume


def _chosen(least: Floats, most: Floats, prices: Floats, *, need: float) -> NDArray[np.bool_]:
    """Return which bids are on: the cheapest cover and, if it is no dearer, the one of fewest contracts."""
    # in shares of the need, and no more of a bid than the need or its smallest volume: keeps entries near 1
    money, useful = float(prices.max()) or 1.0, np.minimum(most, np.maximum(least, need))
    first = _program(least / need, useful / need, prices / money, need=1.0)
    count = len(prices)
    whole = np.arange(2 * count) >= count
    answer = solve_mixed(first, whole=whole)
    cheapest = answer.values[count:] > 0.5
    paid = _paid(cheapest, least, most, prices=prices, need=need)
    bounded = _bounded(first, limit=answer.objective + COST_SLACK)
    fewest = solve_mixed(bounded, whole=whole).values[count:] > 0.5
    # the second program may use the solver's tolerance of the first one's cost: only exact ties count
    tied = most[fewest].sum() >= need and _paid(fewest, least, most, prices=prices, need=need) <= paid * (
        1 + 1e-12
    )
    return np.asarray(fewest if tied else cheapest)


def _paid(on: NDArray[np.bool_], least: Floats, most: Floats, *, prices: Floats, need: float) -> float:
    return float(prices @ _filled(np.where(on, least, 0.0), np.where(on, most, 0.0), need))


def _filled(least: Floats, most: Floats, need: float) -> Floats:
    """Fill from the smallest volumes up to the need, the cheapest first."""
    room = most - least
    before = np.concatenate([[0.0], np.cumsum(room)[:-1]])
    return np.asarray(least + np.clip(need - least.sum() - before, 0.0, room))


def _program(least: Floats, most: Floats, prices: Floats, *, need: float) -> LinearProgram:
    """Columns: volume x of each bid, then whether it is on, y; rows: the need, x <= most y, x >= least y."""
    count = len(prices)
    x, own = np.arange(count), np.arange(1, count + 1)
    rows = np.concatenate(
        [np.stack([0 * x, own, own + count], axis=1).ravel(), np.stack([own, own + count], axis=1).ravel()]
    )
    entries = np.concatenate([np.ones(3 * count), np.stack([-most, -least], axis=1).ravel()])
    return LinearProgram(
        cost=np.concatenate([prices, np.zeros(count)]),
        lower=np.zeros(2 * count),
        upper=np.concatenate([most, np.ones(count)]),
        row_lower=np.concatenate([[need], np.full(count, -np.inf), np.zeros(count)]),
        row_upper=np.concatenate([[np.inf], np.zeros(count), np.full(count, np.inf)]),
        starts=np.concatenate([3 * x, 3 * count + 2 * np.arange(count + 1)]).astype(np.int32),
        rows=rows.astype(np.int32),
        entries=entries,
    )


def _bounded(first: LinearProgram, *, limit: float) -> LinearProgram:
    """Return the program of the fewest contracts that cost no more than ``limit``: one row more."""
    count, last = len(first.cost) // 2, len(first.row_lower)
    old = first.rows[: 3 * count].reshape(count, 3)
    entries = np.concatenate([np.ones((count, 3)), first.cost[:count, None]], axis=1)
    rows = np.concatenate([old, np.full((count, 1), last)], axis=1)
    return replace(
        first,
        cost=np.repeat([0.0, 1.0], count),
        row_lower=np.append(first.row_lower, -np.inf),
        row_upper=np.append(first.row_upper, limit),
        starts=np.concatenate([4 * np.arange(count), 4 * count + 2 * np.arange(count + 1)]).astype(np.int32),
        rows=np.concatenate([rows.ravel(), first.rows[3 * count :]]).astype(np.int32),
        entries=np.concatenate([entries.ravel(), first.entries[3 * count :]]),
    )


def _reasons(
    tender: Tender, bids: list[TenderBid], rows: list[int], *, taken: Floats, need: float
) -> dict[int, str]:
    """Say of each qualified bid why it was taken, in part, or not."""
    costs = np.array([_unit_cost(tender, bid) for bid in bids])
    dearest = costs[taken > 0].max(initial=-np.inf)
    reasons = {}
    for row, bid, kw, cost in zip(rows, bids, taken.tolist(), costs.tolist(), strict=True):
        if kw > 0:
            reasons[row] = "in full" if kw == bid.max_kw else "in part: no more was needed"
        elif need <= 0:
            reasons[row] = "nothing is needed in this window"
        elif cost > dearest:
            reasons[row] = "dearer than what was needed"
        elif cost == dearest:
            reasons[row] = "as dear as the last that was taken, and no more was needed"
        else:
            reasons[row] = "its volumes do not fit: other bids together cover the need at less cost"
    return reasons


def _contract(tender: Tender, bid: TenderBid, volume: Floats) -> FlexContract:
    """Return the contract of a bid over the windows that it won; a long run is cut to what the seller can."""
    won = np.flatnonzero(volume).tolist()
    calendar = sorted(
        (period, float(volume[window])) for window in won for period in tender.periods_of(window)
    )
    longest = [run for run in (bid.max_run_periods, tender.product.max_duration) if run is not None]
    return FlexContract(
        id=f"{tender.name}:{bid.participant}:{won[0]}",
        buyer=tender.buyer,
        seller=bid.participant,
        product=replace(tender.product, max_duration=min(longest, default=None)),
        source=tender.source,
        periods=tuple(period for period, _ in calendar),
        reserved_kw=np.array([kw for _, kw in calendar]),
        availability_micro_per_kw_h=int(to_micro(bid.availability)),
        activation_cap_micro_per_kwh=int(to_micro(bid.utilisation)),
        max_activations=tender.max_activations,
        rest_periods=tender.rest_periods,
        lead_periods=tender.lead_periods,
        auto_offer=tender.auto_offer,
        trigger=tender.trigger,
        activation=tender.activation,
        max_tests=tender.max_tests,
    )
