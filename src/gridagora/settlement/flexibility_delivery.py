"""Proof of delivery: what was ordered, what the meter shows, what is missing of it, in whole watt-hours.

Two kinds of product, one sum.  With ``s = +1`` for a cap and for "down", ``s = -1`` for a floor and for "up",
and power counted as net import::

    reference = connection capacity (limit products)     or  s x baseline (baseline products)
    ordered   = capacity - limit, the sold cut           or  the ordered power
    delivered = clip(reference - s P, 0, ordered)
    deficiency = max(0, s P - (reference - ordered)):    max(0, P - L) of a cap, max(0, -P - L) of a floor

so a capacity limit needs the smart meter alone.  "down" asks for less net import, "up" for more, as seen by
the grid (UMEI's "Up" is our "down").  P is the mean power of a period; several readings may lie in it.

Tolerance is a dead band: a deficiency of at most ``tolerance_kw`` is none, a larger one counts in full, so
that the tolerance forgives the meter and does not raise the limit.

Missing readings are judged per meter and window (one call): more than ``most_missing_percent`` of the called
readings missing, and the window fails: nothing delivered, all that was ordered deficient.  Fewer are
estimated, each at the window's least favourable reading of that meter, and flagged.  So a gap gains nothing
on the other readings, a single lost one fails a call of one reading, and 0 % forgives none.

Sources: MARKETS.md section 3; FIELD.md 4d (CAP), 4e (UFTP settlement).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.numbers import read_numbers
from gridagora.units import to_wh

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SIGNS = {"cap": 1, "floor": -1, "down": 1, "up": -1}
"""Factor that turns net import into what the product wants small."""

INFINITE = ("is infinite", "write NaN for a missing reading")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calls:
    """When the product was in force.

    Parameters
    ----------
    called : True where the meter was under the product, shape (meters, periods)
    hours : length of a period in hours
    window : number of the call that a period belongs to, shape (periods,); each period its own when left out

    Raises
    ------
    InputError
        Shapes that do not fit, or a length that is not positive.

    Examples
    --------
    >>> Calls(called=[[True, True, False]], hours=0.25).window.tolist()
    [0, 1, 2]
    """

    called: Bools
    hours: float
    window: Ints | None = None

    def __post_init__(self) -> None:
        (marks,), faults = read_numbers("delivery", called=self.called)
        check_faults(faults)
        called = marks != 0
        window = np.arange(called.shape[-1]) if self.window is None else np.asarray(self.window)
        if not np.isin(marks, (0, 1)).all():
            faults.append(
                _fault("called", "numbers", "is not True or False throughout", fix="write booleans")
            )
        if called.ndim != 2 or called.size == 0:
            faults.append(_fault("called", called.shape, "is not (meters, periods)", fix="give a matrix"))
        elif window.shape != called.shape[1:]:
            reason = f"has not one entry for each of {called.shape[1]} periods"
            faults.append(_fault("window", window.shape, reason, fix="number the call of each period"))
        elif not np.issubdtype(window.dtype, np.integer):
            reason = "are no whole numbers"
            faults.append(_fault("window", window.tolist(), reason, fix="number the call of each period"))
        if not 0 < self.hours < np.inf:
            faults.append(_fault("hours", self.hours, "is not positive", fix="write 0.25 for a quarter-hour"))
        check_faults(faults)
        object.__setattr__(self, "called", called)
        object.__setattr__(self, "window", np.unique(window, return_inverse=True)[1].astype(np.int64))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingRules:
    """What is forgiven to the meter: see the module's text.

    Parameters
    ----------
    tolerance_kw : deficiency of a period's mean power that counts as none, kW >= 0
    most_missing_percent : missing readings of a window that are estimated; more fail it; 0 to below 100

    Examples
    --------
    >>> ReadingRules(tolerance_kw=0.1).most_missing_percent
    5.0
    """

    tolerance_kw: float = 0.0
    most_missing_percent: float = 5.0

    def __post_init__(self) -> None:
        faults = []
        if not 0 <= self.tolerance_kw < np.inf:
            faults.append(
                _fault("tolerance_kw", self.tolerance_kw, "is below 0 or not finite", fix="write kW >= 0")
            )
        if not 0 <= self.most_missing_percent < 100:
            found = self.most_missing_percent
            faults.append(_fault("most_missing_percent", found, "is not in 0 to 100", fix="write e.g. 5"))
        check_faults(faults)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Delivery:
    """What was ordered and what was delivered: whole Wh, shapes (meters, periods).

    Parameters
    ----------
    ordered_wh : the sold cut or ordered energy, >= 0; 0 where not called
    delivered_wh : 0 to ordered
    deficiency_wh : distance from what was owed, >= 0; above ``ordered_wh`` where the meter went the wrong way
    reference_wh : what delivery is counted from, net import (capacity, - capacity of a floor, or baseline)
    counted_wh : metered net import as counted, estimates included; the reference where not called or failed
    estimated : a reading of the period was missing and was estimated
    failed : too many readings of the window were missing
    window : number of the call of each period, shape (periods,), from 0

    Examples
    --------
    >>> calls = Calls(called=[[True, True]], hours=1.0, window=[0, 0])
    >>> found = check_limit([[4.0, 7.0]], calls, limit_kw=4.0, capacity_kw=8.0)
    >>> found.share.tolist(), found.passed(75).tolist(), found.passed(60).tolist()
    ([[1.0, 0.25]], [[False, False]], [[True, True]])
    """

    ordered_wh: Ints
    delivered_wh: Ints
    deficiency_wh: Ints
    reference_wh: Ints
    counted_wh: Ints
    estimated: Bools
    failed: Bools
    window: Ints

    @property
    def share(self) -> Floats:
        """Delivered part of the order, 0 to 1; 1 where nothing is ordered."""
        return np.divide(
            self.delivered_wh,
            self.ordered_wh,
            out=np.ones(self.ordered_wh.shape),
            where=self.ordered_wh > 0,
        )

    def in_window(self, values: Ints) -> Ints:
        """Sum over the periods of each call, told at each of its periods, shape (meters, periods)."""
        return sum_windows(values, self.window)[:, self.window]

    def passed(self, least_percent: int) -> Bools:
        """Tell whether a call was delivered to at least this percentage, at each of its periods."""
        delivered, ordered = self.in_window(self.delivered_wh), self.in_window(self.ordered_wh)
        return np.asarray(100 * delivered >= least_percent * ordered)


def check_limit(
    metered_kw: ArrayLike,
    calls: Calls,
    *,
    limit_kw: ArrayLike,
    capacity_kw: ArrayLike,
    direction: Literal["cap", "floor"] = "cap",
    rules: ReadingRules | None = None,
) -> Delivery:
    """Check a capacity limit by the meter alone.

    Parameters
    ----------
    metered_kw : mean net import of each reading, + import, NaN: missing, shape (meters, n x periods) with n
        readings per period
    calls : when the limit was in force
    limit_kw : highest net import (cap) or net export (floor), >= 0, fits (meters, periods)
    capacity_kw : connection capacity in that direction, one number or one per meter and period
    direction : "cap" or "floor"
    rules : tolerance and missing readings

    Returns
    -------
    Delivery
        ``deficiency_wh`` is the breach: max(0, P - L) of a cap, max(0, - P - L) of a floor.

    Raises
    ------
    InputError
        Lists every fault: shapes, infinite readings, limits below 0 or above the capacity.

    Notes
    -----
    MARKETS.md section 3 (limit = connection capacity - sold quantity); FIELD.md 4d, CAP-T and CAP-A.

    Examples
    --------
    Capacity 8 kW, 5 kW sold: the limit is 3 kW.  The last quarter-hour is 1 kW over it.

    >>> calls = Calls(called=[[True, True, True]], hours=0.25)
    >>> found = check_limit([[2.0, 3.0, 4.0]], calls, limit_kw=3.0, capacity_kw=8.0)
    >>> found.delivered_wh.tolist(), found.deficiency_wh.tolist()
    ([[1250, 1250, 1000]], [[0, 0, 250]])
    """
    (readings, limit, capacity), unread = read_numbers(
        "delivery", metered_kw=metered_kw, limit_kw=limit_kw, capacity_kw=capacity_kw
    )
    faults = [*unread, *_reading_faults(readings, calls), *_direction_faults(direction, ("cap", "floor"))]
    faults += [*_shape_faults("limit_kw", limit, calls), *_shape_faults("capacity_kw", capacity, calls)]
    check_faults(faults)
    shape = calls.called.shape
    limit, capacity = np.broadcast_to(limit, shape), np.broadcast_to(capacity, shape)
    faults += _at(np.isinf(readings), "metered_kw", readings, text=INFINITE)
    wrong = calls.called & ~((limit >= 0) & (limit < np.inf))
    faults += _at(wrong, "limit_kw", limit, text=("is not a number >= 0", "write the limit in kW"))
    above = calls.called & ~wrong & ~(limit <= capacity)
    text = ("is above the connection capacity, or that is unknown", "limit = capacity - sold cut")
    check_faults([*faults, *_at(above, "limit_kw", limit, text=text)])
    reference, kept = _wh(capacity, calls), _wh(limit, calls)
    return _deliver(readings, calls, (reference, reference - kept), sign=SIGNS[direction], rules=rules)


def check_baseline(
    metered_kw: ArrayLike,
    calls: Calls,
    *,
    baseline_kw: ArrayLike,
    ordered_kw: ArrayLike,
    direction: Literal["down", "up"],
    rules: ReadingRules | None = None,
) -> Delivery:
    """Check an ordered change of power against a baseline.

    Parameters
    ----------
    metered_kw : mean net import of each reading, + import, NaN: missing, shape (meters, n x periods)
    calls : when the order was in force; a call of 0 kW holds the meter at its baseline (no rebound)
    baseline_kw : expected net import without the order, fits (meters, periods)
    ordered_kw : size of the change, >= 0, fits (meters, periods)
    direction : "down": baseline - metered is delivered; "up": metered - baseline
    rules : tolerance and missing readings

    Raises
    ------
    InputError
        Lists every fault: shapes, infinite readings, an order below 0, a called period without baseline.

    Notes
    -----
    FIELD.md 4e: delivered = clip(base - actual, 0, ordered); deficiency = max(0, actual - (base - ordered)).

    Examples
    --------
    >>> calls = Calls(called=[[True] * 3], hours=1.0)
    >>> found = check_baseline([[7.0, 9.0, 11.0]], calls, baseline_kw=10.0, ordered_kw=2.0, direction="down")
    >>> found.delivered_wh.tolist(), found.deficiency_wh.tolist()
    ([[2000, 1000, 0]], [[0, 1000, 3000]])
    """
    (readings, base, ordered), unread = read_numbers(
        "delivery", metered_kw=metered_kw, baseline_kw=baseline_kw, ordered_kw=ordered_kw
    )
    faults = [*unread, *_reading_faults(readings, calls), *_direction_faults(direction, ("down", "up"))]
    faults += [*_shape_faults("baseline_kw", base, calls), *_shape_faults("ordered_kw", ordered, calls)]
    check_faults(faults)
    shape = calls.called.shape
    base, ordered = np.broadcast_to(base, shape), np.broadcast_to(ordered, shape)
    faults += _at(np.isinf(readings), "metered_kw", readings, text=INFINITE)
    wrong = calls.called & ~((ordered >= 0) & (ordered < np.inf))
    faults += _at(
        wrong, "ordered_kw", ordered, text=("is not a number >= 0", "write kW; the direction has the sign")
    )
    unknown = calls.called & ~np.isfinite(base)
    faults += _at(
        unknown, "baseline_kw", base, text=("is no number where called", "calculate or nominate it")
    )
    check_faults(faults)
    sign = SIGNS[direction]
    pair = (sign * _wh(base, calls), _wh(ordered, calls))
    return _deliver(readings, calls, pair, sign=sign, rules=rules)


def sum_windows(values: NDArray[np.int64], window: Ints) -> Ints:
    """Sum whole numbers over the periods of each window, shape (meters, windows)."""
    out = np.zeros((len(values), int(window.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(out.T, window, np.asarray(values, dtype=np.int64).T)
    return out


def _wh(power_kw: Floats, calls: Calls) -> Ints:
    return to_wh(np.where(calls.called, power_kw, 0.0) * calls.hours)


def _deliver(
    readings: Floats, calls: Calls, pair: tuple[Ints, Ints], *, sign: int, rules: ReadingRules | None
) -> Delivery:
    """Count delivery in the sign of the product; ``pair`` is reference and order."""
    reference, ordered = pair
    allowed = rules or ReadingRules()
    window = np.asarray(calls.window)
    power, missing, failed = _filled(sign * readings, calls, allowed.most_missing_percent)
    counts = calls.called & ~failed
    counted = np.where(counts, to_wh(np.where(counts, power, 0.0) * calls.hours), reference)
    excess = counted - (reference - ordered)
    met = excess <= to_wh(allowed.tolerance_kw * calls.hours)
    delivered = np.where(met & counts, ordered, np.clip(reference - counted, 0, ordered))
    deficiency = np.where(met & counts, 0, np.maximum(excess, 0))
    return Delivery(
        ordered_wh=ordered,
        delivered_wh=delivered,
        deficiency_wh=deficiency,
        reference_wh=sign * reference,
        counted_wh=sign * counted,
        estimated=missing & counts,
        failed=failed,
        window=window,
    )


def _filled(signed: Floats, calls: Calls, most_missing_percent: float) -> tuple[Floats, Bools, Bools]:
    """Return mean power, where a reading is missing, and where the window fails, shapes (meters, periods)."""
    meters, periods = calls.called.shape
    window = np.asarray(calls.window)
    fine = signed.reshape(meters, periods, -1)
    absent = np.isnan(fine)
    lost = sum_windows(absent.sum(axis=2) * calls.called, window)
    due = sum_windows(calls.called * fine.shape[2], window)
    failed = (lost * 100 > most_missing_percent * due)[:, window] & calls.called
    seen = np.where(absent | ~calls.called[:, :, None], -np.inf, fine).max(axis=2)
    worst = np.full(due.shape, -np.inf)
    np.maximum.at(worst.T, window, seen.T)
    filled = np.where(absent, worst[:, window][:, :, None], fine)
    mean: Floats = filled.mean(axis=2)
    return mean, np.asarray(absent.any(axis=2)), np.asarray(failed)


def _reading_faults(readings: Floats, calls: Calls) -> Iterator[Fault]:
    meters, periods = calls.called.shape
    fits = readings.ndim == 2 and len(readings) == meters and readings.shape[1] > 0
    if not fits or readings.shape[1] % periods:
        reason = f"is not {meters} meters x a multiple of {periods} periods"
        yield _fault(
            "metered_kw", readings.shape, reason, fix="give one row per meter, NaN for missing readings"
        )


def _shape_faults(name: str, values: Floats, calls: Calls) -> Iterator[Fault]:
    shape = calls.called.shape
    if values.ndim > 2 or any(a not in (1, b) for a, b in zip(values.shape[::-1], shape[::-1], strict=False)):
        yield _fault(name, values.shape, f"does not fit {shape}", fix="give a number, or (meters, periods)")


def _direction_faults(direction: str, known: tuple[str, str]) -> Iterator[Fault]:
    if direction not in known:
        yield _fault(
            "direction", direction, "is no direction of this product", fix=f"write {' or '.join(known)}"
        )


def _at(wrong: Bools, name: str, values: Floats, *, text: tuple[str, str]) -> Iterator[Fault]:
    for meter, period in np.argwhere(wrong).tolist():
        place = f"{name}, meter {meter}, column {period}"
        yield _fault(place, float(values[meter, period]), text[0], fix=text[1])


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="delivery", place=place, value=value, reason=reason, fix=fix)
