"""Reservation fees: was the seller there when called, and what does it keep of its fee, in whole micro-units.

A long-term contract reserves power and pays for it by the hour.  When the DSO calls, the seller must offer::

    obligation = min(|reserved|, |requested|)           (0 where not called)
    counted    = min(offered, obligation)

What it then keeps of the fee is a rule by name, one function of availability and terms:

``offered``    the share of the obligation that was offered; all where not called
``delivered``  the same, and nothing for a call delivered to less than ``least_percent`` (SWITCH)
``previous``   the average delivery of the month before; nothing where called and not offered (TRANSITION)

Sources: MARKETS.md section 3 (long-term horizon); FIELD.md 4a, 4d (LONG), 2 (ContractSettlement).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults, require
from gridagora.model.numbers import read_numbers
from gridagora.settlement._proportions import share_of, split
from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.units import amount_micro, to_wh

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Availability:
    """What was reserved, called and offered: whole Wh (kW x hours), shapes (meters, periods), all >= 0.

    Parameters
    ----------
    reserved_wh : held for the DSO after releases
    requested_wh : called by the DSO
    obligation_wh : the smaller of the two
    offered_wh : offered in time, at most the obligation

    Examples
    --------
    >>> found = check_availability(reserved_kw=[[5.0]], requested_kw=[[8.0]], offered_kw=[[4.0]], hours=1.0)
    >>> found.obligation_wh.tolist(), found.is_met.tolist()
    ([[5000]], [[False]])
    """

    reserved_wh: Ints
    requested_wh: Ints
    obligation_wh: Ints
    offered_wh: Ints

    @property
    def is_met(self) -> NDArray[np.bool_]:
        """Whether all that was owed was offered; True where not called."""
        return self.offered_wh >= self.obligation_wh


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReservationTerms:
    """The fee of a reservation and what its rule needs.

    Parameters
    ----------
    fee_micro_per_kwh : whole micro-units for each kW reserved for an hour, >= 0, fits (meters, periods)
    delivery : orders of the same meters and periods, for the rule ``delivered``
    least_percent : delivery that keeps the fee of a call
    previous_wh : delivered and ordered Wh of the month before, shape (2, meters), for the rule ``previous``;
        who had no order then keeps the full fee

    Examples
    --------
    >>> ReservationTerms(fee_micro_per_kwh=50_000).least_percent
    75
    """

    fee_micro_per_kwh: Ints | int
    delivery: Delivery | None = None
    least_percent: int = 75
    previous_wh: Ints | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReservationLines:
    """Fees of a reservation: whole micro-units.

    Parameters
    ----------
    fee : due for full availability, shape (meters, periods)
    withheld : not paid for want of availability, same shape
    receipt : fee - withheld, same shape
    payment : of each DSO, <= 0, shape (buyers, periods)
    rounding : residue of splitting, for the rounding account, shape (periods,)

    Examples
    --------
    See `settle_reservation`.

    >>> ReservationLines.__slots__[0]
    'fee'
    """

    fee: Ints
    withheld: Ints
    receipt: Ints
    payment: Ints
    rounding: Ints


def check_availability(
    *, reserved_kw: ArrayLike, requested_kw: ArrayLike, offered_kw: ArrayLike, hours: float
) -> Availability:
    """Compare what a seller offered with what it owed when called.

    Parameters
    ----------
    reserved_kw : power under contract after releases, shape (meters, periods); the sign is not looked at
    requested_kw : called power, same shape, 0 where not called; the sign is not looked at
    offered_kw : power bid in time, >= 0, same shape
    hours : length of a period in hours

    Raises
    ------
    InputError
        Lists every fault: shapes, numbers that are not finite, offers below 0.

    Notes
    -----
    FIELD.md 4d, LONG: obligation = min(abs reserved, abs requested); 2, ContractSettlement.

    Examples
    --------
    >>> found = check_availability(reserved_kw=[[5.0, 5.0]], requested_kw=[[-3.0, 0.0]],
    ...                            offered_kw=[[4.0, 0.0]], hours=0.25)
    >>> found.obligation_wh.tolist(), found.offered_wh.tolist(), found.is_met.tolist()
    ([[750, 0]], [[750, 0]], [[True, True]])
    """
    given = {"reserved_kw": reserved_kw, "requested_kw": requested_kw, "offered_kw": offered_kw}
    values, unread = read_numbers("reservation", **given)
    power = dict(zip(given, values, strict=True))
    check_faults(unread)
    check_faults(_power_faults(power, hours))
    reserved, requested = (to_wh(np.abs(power[name]) * hours) for name in ("reserved_kw", "requested_kw"))
    obligation = np.minimum(reserved, requested)
    return Availability(
        reserved_wh=reserved,
        requested_wh=requested,
        obligation_wh=obligation,
        offered_wh=np.minimum(to_wh(power["offered_kw"] * hours), obligation),
    )


def fee_if_offered(availability: Availability, terms: ReservationTerms) -> Ints:
    """Return the fee in proportion to what was offered of the obligation.

    >>> found = check_availability(reserved_kw=[[4.0]], requested_kw=[[4.0]], offered_kw=[[3.0]], hours=1.0)
    >>> fee_if_offered(found, ReservationTerms(fee_micro_per_kwh=1000)).tolist()
    [[3000]]
    """
    return share_of(_full_fee(availability, terms), availability.offered_wh, availability.obligation_wh)


def fee_if_delivered(availability: Availability, terms: ReservationTerms) -> Ints:
    """Return the fee as offered, and nothing for a call that was not delivered (FIELD.md 4a, SWITCH).

    >>> from gridagora.settlement.flexibility_delivery import Calls, check_limit
    >>> found = check_availability(reserved_kw=[[4.0]], requested_kw=[[4.0]], offered_kw=[[4.0]], hours=1.0)
    >>> meter = check_limit([[5.5]], Calls(called=[[True]], hours=1.0), limit_kw=3.0, capacity_kw=7.0)
    >>> fee_if_delivered(found, ReservationTerms(fee_micro_per_kwh=1000, delivery=meter)).tolist()
    [[0]]
    """
    if terms.delivery is None:
        check_faults([_fault("delivery", None, "is missing", fix="give the checked delivery of the orders")])
        return np.zeros_like(availability.reserved_wh)
    passed = terms.delivery.passed(terms.least_percent)
    return np.where(passed, fee_if_offered(availability, terms), 0)


def fee_by_previous(availability: Availability, terms: ReservationTerms) -> Ints:
    """Return the fee by the average delivery of the month before (FIELD.md 4a, TRANSITION).

    >>> found = check_availability(reserved_kw=[[4.0]], requested_kw=[[0.0]], offered_kw=[[0.0]], hours=1.0)
    >>> terms = ReservationTerms(fee_micro_per_kwh=1000, previous_wh=np.array([[900], [1000]]))
    >>> fee_by_previous(found, terms).tolist()
    [[3600]]
    """
    before = np.zeros((2, 0), dtype=np.int64) if terms.previous_wh is None else np.asarray(terms.previous_wh)
    if (
        before.shape != (2, len(availability.reserved_wh))
        or (before[0] > before[1]).any()
        or (before < 0).any()
    ):
        reason = "is not delivered (row 0) and ordered (row 1) Wh of each meter"
        check_faults(
            [_fault("previous_wh", before.tolist(), reason, fix="give both, 0 <= delivered <= ordered")]
        )
    fee = share_of(_full_fee(availability, terms), before[0][:, None], before[1][:, None])
    absent = (availability.obligation_wh > 0) & (availability.offered_wh == 0)
    return np.where(absent, 0, fee)


FEE_RULES: Mapping[str, Callable[[Availability, ReservationTerms], Ints]] = MappingProxyType(
    {"delivered": fee_if_delivered, "offered": fee_if_offered, "previous": fee_by_previous}
)
"""Fee rules by name."""


def settle_reservation(
    availability: Availability,
    terms: ReservationTerms,
    *,
    rule: str,
    weights: ArrayLike | None = None,
) -> ReservationLines:
    """Settle the fees of reservations by a rule chosen by name.

    Parameters
    ----------
    availability : what was reserved, called and offered
    terms : the fee and what the rule needs
    rule : "offered", "delivered" or "previous"
    weights : share of each DSO in the fees, whole numbers >= 0, shape (buyers, periods); None: one DSO

    Returns
    -------
    ReservationLines
        Receipts + payments + rounding = 0 in every period.

    Raises
    ------
    InputError
        An unknown rule, a fee that is negative or not whole, or something that the rule needs is missing.

    Examples
    --------
    >>> found = check_availability(reserved_kw=[[4.0, 4.0]], requested_kw=[[4.0, 0.0]],
    ...                            offered_kw=[[3.0, 0.0]], hours=1.0)
    >>> lines = settle_reservation(found, ReservationTerms(fee_micro_per_kwh=1000), rule="offered")
    >>> lines.receipt.tolist(), lines.withheld.tolist(), lines.payment.tolist()
    ([[3000, 4000]], [[1000, 0]], [[-3000, -4000]])
    """
    shape = availability.reserved_wh.shape
    shares = np.ones((1, shape[1]), dtype=np.int64) if weights is None else np.asarray(weights)
    faults = list(_term_faults(terms, shares, shape))
    if rule not in FEE_RULES:
        faults.append(_fault("rule", rule, "is not known", fix=f"write one of {', '.join(FEE_RULES)}"))
    check_faults(faults)
    fee, receipt = _full_fee(availability, terms), FEE_RULES[rule](availability, terms)
    paid, rounding = split(receipt.sum(axis=0), shares)
    lines = ReservationLines(
        fee=fee, withheld=fee - receipt, receipt=receipt, payment=-paid, rounding=-rounding
    )
    left = lines.receipt.sum(axis=0) + lines.payment.sum(axis=0) + lines.rounding
    require(not left.any(), "settlement of a reservation made or lost money")
    return lines


def _full_fee(availability: Availability, terms: ReservationTerms) -> Ints:
    return amount_micro(availability.reserved_wh, terms.fee_micro_per_kwh)


def _power_faults(power: Mapping[str, NDArray[np.float64]], hours: float) -> Iterator[Fault]:
    shape = power["reserved_kw"].shape
    if not 0 < hours < np.inf:
        yield _fault("hours", hours, "is not positive", fix="write 0.25 for a quarter-hour")
    for name, values in power.items():
        if values.ndim != 2 or values.shape != shape:
            yield _fault(
                name, values.shape, f"is not (meters, periods) {shape}", fix="give three equal matrices"
            )
            continue
        wrong = ~np.isfinite(values) | ((values < 0) & (name == "offered_kw"))
        for meter, period in np.argwhere(wrong).tolist():
            place = f"{name}, meter {meter}, column {period}"
            yield _fault(
                place, values[meter, period].item(), "is no power", fix="write 0 where there is none"
            )


def _term_faults(terms: ReservationTerms, weights: Ints, shape: tuple[int, ...]) -> Iterator[Fault]:
    periods = shape[1]
    fee = np.asarray(terms.fee_micro_per_kwh)
    if not np.issubdtype(fee.dtype, np.integer) or (fee < 0).any():
        fix = "round once with units.to_micro, >= 0"
        yield _fault("fee_micro_per_kwh", fee.tolist(), "is not whole micro-units >= 0", fix=fix)
    if fee.ndim > 2 or any(a not in (1, b) for a, b in zip(fee.shape[::-1], shape[::-1], strict=False)):
        yield _fault("fee_micro_per_kwh", fee.shape, f"does not fit {shape}", fix="one fee, or one per entry")
    if terms.delivery is not None and terms.delivery.ordered_wh.shape != shape:
        found = terms.delivery.ordered_wh.shape
        yield _fault("delivery", found, f"is not of {shape}", fix="check the same meters and periods")
    if weights.ndim != 2 or len(weights) == 0 or weights.shape[1] != periods:
        yield _fault("weights", weights.shape, f"is not (buyers, {periods})", fix="one row per DSO")
    if not np.issubdtype(weights.dtype, np.integer) or (weights < 0).any():
        yield _fault(
            "weights", str(weights.dtype), "is not whole numbers >= 0", fix="give e.g. the reserved Wh"
        )


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="reservation", place=place, value=value, reason=reason, fix=fix)
