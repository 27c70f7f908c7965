"""Long-term reservations as values: what a buyer tenders, what sellers bid, and the contracts of both.

A contract reserves kW in the periods of its calendar.  The seller earns for being available, and again when
it is called; the buyer may release what it does not need, but never reserve more.  Whether a call keeps to
the contract (lead time, number of calls, rest, calendar) is said by `call_faults`.

Sources: MARKETS.md section 3 (long-term horizon); FIELD.md 4a (Piclo, NODES), 4b (sthlmflex), 4d (LONG,
TENDER).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model._reservation_check import column_of, fault_at, is_whole, name_faults, power_faults
from gridagora.model.flexibility import FlexProduct

Floats = NDArray[np.float64]

Source = Literal["tender", "long", "cap"]
SOURCES = ("tender", "long", "cap")
Activation = Literal["auction", "continuous", "dispatch"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
COMPARISONS = ("at_most", "at_least")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """A condition under which a contract is available at all (sthlmflex: forecast temperature <= -5 C).

    Examples
    --------
    >>> Trigger(name="temperature", threshold=-5.0).holds([-7.0, -5.0, 3.0, np.nan]).tolist()
    [True, True, False, False]
    """

    name: str
    threshold: float
    when: Literal["at_most", "at_least"] = "at_most"

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Tell where the condition holds; an unknown value (NaN) fulfils nothing."""
        known = np.asarray(values, dtype=np.float64)
        return np.asarray(known <= self.threshold if self.when == "at_most" else known >= self.threshold)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tender:
    """What a buyer wants to have reserved: where, when, how much, and at most at which prices.

    Parameters
    ----------
    name : of the tender; contracts are named after it
    buyer : the DSO
    product : what is reserved
    area : ids of buses, or names of participants (aggregators), that may bid; empty: everywhere
    windows : (first period, number of periods) of each service window; they may not overlap
    need_kw : needed in each window, kW >= 0; kept as a read-only array
    availability_cap : dearest availability price that is taken, currency per kW and hour
    utilisation_cap : dearest utilisation price that is taken, currency per kWh
    expected_calls : share of the windows in which a call is expected, 0 to 1; weighs utilisation
    source, max_activations, rest_periods, lead_periods, auto_offer, trigger, activation, max_tests : how its
        contracts may be called, see `FlexContract`; LONG is tendered as "long", with ``auto_offer``, by
        "auction" or "continuous"

    Raises
    ------
    InputError
        Lists every fault of the tender.

    Notes
    -----
    FIELD.md 4d, TENDER; 4a, Piclo: area, direction, service windows, period, need.

    Examples
    --------
    >>> tender = Tender(name="winter", buyer="dso", product=FlexProduct(direction="down"), windows=((17, 3),),
    ...                 need_kw=[40.0], expected_calls=0.2)
    >>> tender.periods_of(0)
    (17, 18, 19)
    """

    name: str
    buyer: str
    product: FlexProduct
    area: tuple[str, ...] = ()
    windows: tuple[tuple[int, int], ...]
    need_kw: Floats
    availability_cap: float = np.inf
    utilisation_cap: float = np.inf
    expected_calls: float = 1.0
    source: Source = "tender"
    max_activations: int | None = None
    rest_periods: int = 0
    lead_periods: int = 0
    auto_offer: bool = False
    trigger: Trigger | None = None
    activation: Activation = "dispatch"
    max_tests: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "area", tuple(sorted(self.area)))
        object.__setattr__(self, "windows", tuple(tuple(window) for window in self.windows))
        object.__setattr__(self, "need_kw", column_of(self.need_kw))
        check_faults(self._faults())

    def periods_of(self, window: int) -> tuple[int, ...]:
        """Return the periods of a window."""
        first, count = self.windows[window]
        return tuple(range(first, first + count))

    def _faults(self) -> Iterator[Fault]:
        source = f"tender {self.name}"
        yield from name_faults(source, name=self.name, buyer=self.buyer)
        if not self.windows:
            yield fault_at(source, "windows", self.windows, reason="is empty", fix="write e.g. ((17, 3),)")
        taken: set[int] = set()
        for place, (first, count) in enumerate(self.windows):
            where = f"window {place}"
            if not (is_whole(first) and is_whole(count) and first >= 0 and count >= 1):
                reason = "is no (first period >= 0, number of periods >= 1)"
                yield fault_at(source, where, (first, count), reason=reason, fix="write e.g. (17, 3)")
                continue
            if count < self.product.min_duration:
                reason = f"is shorter than one activation of the product, {self.product.min_duration} periods"
                yield fault_at(
                    source, where, (first, count), reason=reason, fix="lengthen it, or lower min_duration"
                )
            if taken & set(self.periods_of(place)):
                yield fault_at(
                    source, where, (first, count), reason="overlaps another window", fix="merge or shift it"
                )
            taken |= set(self.periods_of(place))
        yield from power_faults(source, "need_kw", self.need_kw, count=len(self.windows))
        for name in ("availability_cap", "utilisation_cap"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and float(value) >= 0):
                yield fault_at(
                    source, name, value, reason="is no price >= 0", fix="leave it out for no ceiling"
                )
        yield from _term_faults(source, self)
        if not (isinstance(self.expected_calls, Real) and 0 <= float(self.expected_calls) <= 1):
            reason, fix = "is no share", "write a number between 0 and 1"
            yield fault_at(source, "expected_calls", self.expected_calls, reason=reason, fix=fix)


@dataclass(frozen=True, kw_only=True, slots=True)
class TenderBid:
    """A seller's bid: any volume between ``min_kw`` and ``max_kw`` in each of its windows, or none.

    Nothing is checked here: the award lists the faults of all bids at once.

    Parameters
    ----------
    participant : seller
    min_kw, max_kw : volume in a window, kW
    availability : currency per kW and hour
    utilisation : currency per kWh
    max_run_periods : longest run of one call; None: as long as the product allows
    windows : places in the tender's windows, from 0; None: all of them

    Examples
    --------
    >>> TenderBid(participant="ann", min_kw=2.0, max_kw=9.0, availability=0.01, utilisation=0.3).min_kw
    2.0
    """

    participant: str
    min_kw: float = 0.0
    max_kw: float
    availability: float
    utilisation: float
    max_run_periods: int | None = None
    windows: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlexContract:
    """Reserved flexibility: kW in the periods of a calendar, its prices, and how it may be called.

    Parameters
    ----------
    id : name of the contract
    buyer, seller : the DSO and the participant
    product : what is reserved; its durations, rest and calls per day bind every call
    source : "tender", "long" or "cap": where it came from
    periods : the calendar, ascending
    reserved_kw : kW >= 0 in each period after releases; kept as a read-only array
    availability_micro_per_kw_h : whole micro-units for each kW reserved for an hour: the
        ``fee_micro_per_kwh`` of `gridagora.settlement.reservation.ReservationTerms`
    activation_cap_micro_per_kwh : whole micro-units per kWh: the dearest activation price of LONG, the
        utilisation price of TENDER
    max_activations : calls in the whole life of the contract; None: any number
    rest_periods : idle periods between two calls (recovery); the product's ``min_rest`` holds too
    lead_periods : a call comes this many periods before it starts, or earlier
    auto_offer : True: orders to sell follow from the contract by themselves (LONG); False: the seller bids
    trigger : available only where this holds; None: always
    activation : "auction": called holders offer in the activation auctions, beside newcomers; "continuous":
        they put orders to sell that name the contract into the continuous market; "dispatch": called directly
    max_tests : unpaid test calls in the whole life of the contract

    Raises
    ------
    InputError
        Lists every fault of the contract.

    Notes
    -----
    FIELD.md 4d, LONG and TENDER.

    Examples
    --------
    >>> contract = FlexContract(id="winter:ann", buyer="dso", seller="ann", source="long", periods=(17, 18),
    ...                         product=FlexProduct(direction="down"), reserved_kw=[5.0, 5.0],
    ...                         availability_micro_per_kw_h=20_000, activation_cap_micro_per_kwh=400_000)
    >>> obligation_kw(released(contract, 18, 2.0), [8.0, -3.0]).tolist()
    [5.0, 2.0]
    """

    id: str
    buyer: str
    seller: str
    product: FlexProduct
    source: Source
    periods: tuple[int, ...]
    reserved_kw: Floats
    availability_micro_per_kw_h: int
    activation_cap_micro_per_kwh: int
    max_activations: int | None = None
    rest_periods: int = 0
    lead_periods: int = 0
    auto_offer: bool = False
    trigger: Trigger | None = None
    activation: Activation = "auction"
    max_tests: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", tuple(self.periods))
        object.__setattr__(self, "reserved_kw", column_of(self.reserved_kw))
        check_faults(self._faults())

    def kw_in(self, period: int) -> float:
        """Return what is reserved in a period, kW; 0 outside the calendar."""
        return float(self.reserved_kw[self.periods.index(period)]) if period in self.periods else 0.0

    def _faults(self) -> Iterator[Fault]:
        source = f"contract {self.id}"
        yield from name_faults(source, id=self.id, buyer=self.buyer, seller=self.seller)
        yield from _term_faults(source, self)
        whole = all(is_whole(period) and period >= 0 for period in self.periods)
        if not (self.periods and whole and sorted(set(self.periods)) == list(self.periods)):
            reason = "is not a calendar of ascending periods >= 0"
            yield fault_at(source, "periods", self.periods, reason=reason, fix="write e.g. (17, 18, 41, 42)")
        yield from power_faults(source, "reserved_kw", self.reserved_kw, count=len(self.periods))
        for name in ("availability_micro_per_kw_h", "activation_cap_micro_per_kwh"):
            value = getattr(self, name)
            if not (is_whole(value) and value >= 0):
                fix = "round once with units.to_micro"
                yield fault_at(source, name, value, reason="is not whole micro-units >= 0", fix=fix)


def released(contract: FlexContract, period: int, kw: float) -> FlexContract:
    """Return the contract with only ``kw`` left reserved in a period: the buyer may release, never add.

    Raises
    ------
    InputError
        More than is reserved, less than 0, or a period outside the calendar.

    Notes
    -----
    FIELD.md 4d, LONG: reservation update, shrink only.

    Examples
    --------
    >>> contract = FlexContract(id="c", buyer="dso", seller="ann", source="long", periods=(17,),
    ...                         product=FlexProduct(direction="down"), reserved_kw=[5.0],
    ...                         availability_micro_per_kw_h=0, activation_cap_micro_per_kwh=0)
    >>> released(contract, 17, 6.0)
    Traceback (most recent call last):
    gridagora.errors.InputError: 1 fault in the input
      contract c, period 17: is not between 0 and the reserved 5 kW (found 6.0); a release only shrinks
    """
    source = f"contract {contract.id}"
    if period not in contract.periods:
        reason, fix = "is outside the calendar", f"choose one of {_shown(contract.periods)}"
        check_faults([fault_at(source, f"period {period}", period, reason=reason, fix=fix)])
    held = contract.kw_in(period)
    if not 0 <= kw <= held:
        reason = f"is not between 0 and the reserved {held:g} kW"
        check_faults([fault_at(source, f"period {period}", kw, reason=reason, fix="a release only shrinks")])
    reserved = np.array(contract.reserved_kw)
    reserved[contract.periods.index(period)] = kw
    return replace(contract, reserved_kw=reserved)


def obligation_kw(contract: FlexContract, requested_kw: ArrayLike) -> Floats:
    """Return what the seller owes in each period of the calendar when called: the smaller of both amounts.

    ``requested_kw``: kW called in each period of the contract, of any sign, 0 where not called.

    Raises
    ------
    InputError
        Not one finite number per period.

    Notes
    -----
    FIELD.md 4d, LONG: obligation = min(abs reserved, abs requested); in whole Wh at settlement, see
    `gridagora.settlement.reservation.check_availability`.

    Examples
    --------
    See `FlexContract`.
    """
    requested = np.abs(column_of(requested_kw))
    source = f"contract {contract.id}"
    check_faults(power_faults(source, "requested_kw", requested, count=len(contract.periods)))
    return np.asarray(np.minimum(np.abs(contract.reserved_kw), requested))


def periods_triggered(contract: FlexContract, values: Mapping[str, ArrayLike]) -> tuple[int, ...]:
    """Return the periods of the calendar in which the contract is available at all.

    ``values``: the condition by name, one value per period of the study from 0; NaN: unknown.  Without a
    trigger the whole calendar is available.

    Raises
    ------
    InputError
        The condition is missing or ends before the calendar.

    Notes
    -----
    FIELD.md 4b, sthlmflex: available when the forecast is at most -5 C.

    Examples
    --------
    >>> contract = FlexContract(id="c", buyer="dso", seller="ann", source="long", periods=(0, 1, 2),
    ...                         product=FlexProduct(direction="down"), reserved_kw=[5.0, 5.0, 5.0],
    ...                         availability_micro_per_kw_h=0, activation_cap_micro_per_kwh=0,
    ...                         trigger=Trigger(name="temperature", threshold=-5.0))
    >>> periods_triggered(contract, {"temperature": [-9.0, 1.0, -5.0]})
    (0, 2)
    """
    if contract.trigger is None:
        return contract.periods
    name, source = contract.trigger.name, f"contract {contract.id}"
    if name not in values:
        fix = "give one value per period of the study"
        check_faults(
            [fault_at(source, f"trigger {name}", sorted(values), reason="is not among the values", fix=fix)]
        )
    series = np.atleast_1d(np.asarray(values[name], dtype=np.float64))
    if len(series) <= contract.periods[-1]:
        reason = f"ends before the last period of the calendar, {contract.periods[-1]}"
        check_faults(
            [fault_at(source, f"trigger {name}", len(series), reason=reason, fix="give a longer series")]
        )
    holds = contract.trigger.holds(series[np.array(contract.periods)])
    return tuple(period for period, on in zip(contract.periods, holds.tolist(), strict=True) if on)


def call_faults(
    contract: FlexContract,
    periods: Sequence[int],
    *,
    at_period: int,
    earlier_calls: Sequence[Sequence[int]] = (),
    periods_per_day: int | None = None,
) -> tuple[Fault, ...]:
    """List what forbids a call: calendar, lead time, duration, number of calls, rest.

    Parameters
    ----------
    contract : what is called
    periods : of this call, one after the other
    at_period : the period in which the call is sent
    earlier_calls : periods of the calls so far, in any order
    periods_per_day : judges the product's ``max_activations_per_day``; None: leaves it to the caller

    Notes
    -----
    FIELD.md 4d, LONG: calendar, max activations, recovery, lead time; seed 003, table 2-2.  The trigger is
    judged by `periods_triggered`.

    Examples
    --------
    >>> contract = FlexContract(id="c", buyer="dso", seller="ann", source="long", periods=(17, 18, 19, 20),
    ...                         product=FlexProduct(direction="down"), reserved_kw=[5.0] * 4, lead_periods=8,
    ...                         availability_micro_per_kw_h=0, activation_cap_micro_per_kwh=0, rest_periods=2)
    >>> [fault.reason for fault in call_faults(contract, (19, 20), at_period=12, earlier_calls=[(17,)])]
    ['comes 7 periods ahead, 8 are agreed', 'leaves 1 idle period to the call of 17, 2 are agreed']
    """
    source = f"contract {contract.id}"
    called = sorted(periods)
    if not called or called != list(range(called[0], called[0] + len(called))):
        reason, fix = "is no row of consecutive periods", "call each run of periods on its own"
        return (fault_at(source, "call", tuple(periods), reason=reason, fix=fix),)
    faults = [
        fault_at(source, f"period {period}", period, reason="is outside the calendar, or all was released",
               fix=f"choose one of {_shown(contract.periods)}")
        for period in called if not contract.kw_in(period) > 0
    ]  # fmt: skip
    ahead = called[0] - at_period
    if ahead < contract.lead_periods:
        reason = f"comes {_periods(ahead)} ahead, {contract.lead_periods} are agreed"
        faults.append(
            fault_at(source, "call", at_period, reason=reason, fix="call earlier, or later periods")
        )
    faults += _run_faults(contract, called)
    faults += _count_faults(contract, called, earlier_calls, periods_per_day=periods_per_day)
    faults += _rest_faults(contract, called, earlier_calls)
    return tuple(faults)


def _term_faults(source: str, terms: Tender | FlexContract) -> Iterator[Fault]:
    """Faults of how a contract may be called, which its tender says before."""
    for name, known in (("source", SOURCES), ("activation", ACTIVATIONS)):
        if getattr(terms, name) not in known:
            fix = f"write one of {', '.join(known)}"
            yield fault_at(source, name, getattr(terms, name), reason="is not known", fix=fix)
    for name in ("max_activations", "rest_periods", "lead_periods", "max_tests"):
        value = getattr(terms, name)
        if value is not None and not (is_whole(value) and value >= 0):
            yield fault_at(source, name, value, reason="is no whole number >= 0", fix="write 0 or more")
    if terms.trigger is not None and terms.trigger.when not in COMPARISONS:
        fix = f"write one of {', '.join(COMPARISONS)}"
        yield fault_at(source, "trigger", terms.trigger.when, reason="is not known", fix=fix)
    if terms.trigger is not None and not np.isfinite(terms.trigger.threshold):
        yield fault_at(
            source, "trigger", terms.trigger.threshold, reason="is no threshold", fix="write a number"
        )


def _run_faults(contract: FlexContract, called: list[int]) -> Iterator[Fault]:
    shortest, longest = contract.product.min_duration, contract.product.max_duration
    if len(called) < shortest or (longest is not None and len(called) > longest):
        end = "or more" if longest is None else f"to {longest}"
        reason = f"lasts {_periods(len(called))}, the product {shortest} {end}"
        yield fault_at(
            f"contract {contract.id}", "call", tuple(called), reason=reason, fix="change its length"
        )


def _rest_faults(
    contract: FlexContract, called: list[int], earlier: Sequence[Sequence[int]]
) -> Iterator[Fault]:
    source, rest = f"contract {contract.id}", max(contract.rest_periods, contract.product.min_rest)
    for other in sorted(sorted(call) for call in earlier if call):
        idle = max(called[0] - other[-1], other[0] - called[-1]) - 1
        of = f"the call of {_shown(other)}"
        if idle < 0:
            yield fault_at(
                source, "call", tuple(called), reason=f"overlaps {of}", fix="call each period once"
            )
        elif idle < rest:
            reason = f"leaves {idle} idle period{'s' * (idle != 1)} to {of}, {rest} are agreed"
            yield fault_at(source, "call", tuple(called), reason=reason, fix="leave more rest between calls")


def _count_faults(
    contract: FlexContract,
    called: list[int],
    earlier: Sequence[Sequence[int]],
    *,
    periods_per_day: int | None,
) -> Iterator[Fault]:
    source, most = f"contract {contract.id}", contract.max_activations
    if most is not None and len(earlier) >= most:
        reason = f"is one more than the {most} of the contract"
        yield fault_at(source, "call", len(earlier) + 1, reason=reason, fix="call another contract")
    daily = contract.product.max_activations_per_day
    if daily is None or periods_per_day is None:
        return
    today = called[0] // periods_per_day
    already = sum(min(call) // periods_per_day == today for call in earlier if call)
    if already >= daily:
        reason = f"is one more than the {daily} per day of the product"
        yield fault_at(source, "call", already + 1, reason=reason, fix="call another contract")


def _periods(count: int) -> str:
    return f"{count} period{'s' if count != 1 else ''}"


def _shown(periods: Sequence[int]) -> str:
    shown = ", ".join(map(str, periods[:6]))
    return shown if len(periods) <= 6 else f"{shown} ... {periods[-1]}"
