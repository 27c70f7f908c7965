"""Comparable days of the past: which count, which are chosen, and their mean in the hours of an event."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.settlement.baselines.inputs import BaselineInputs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SATURDAY = 5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Past:
    """Days before an event, the most recent first, in the local hours of the event and its adjustment.

    Parameters
    ----------
    power_kw : mean power, NaN where missing, shape (meters, days, slots)
    at_event, at_window : slot of each period of the event and of the adjustment window
    comparable : days that may be chosen, shape (meters, days)
    """

    power_kw: Floats
    at_event: Ints
    at_window: Ints
    comparable: Bools


def adjustment_window(inputs: BaselineInputs) -> Ints:
    """Return the periods of the same-day adjustment, none where the rules ask for none."""
    rules = inputs.rules
    if rules.adjustment == "none":
        return np.zeros(0, dtype=np.int64)
    first = int(inputs.event[0]) - rules.adjust_lead_minutes // inputs.period_minutes
    return np.arange(first, first + rules.adjust_minutes // inputs.period_minutes)


def collect(inputs: BaselineInputs, *, working_days: bool | None) -> Past:
    """Gather the days before an event by local clock time.

    A slot that a day has twice (an autumn hour) counts by its mean; one that it lacks (a spring hour) is
    missing.  A day is comparable when it is no holiday, has no order of this meter, is of the wanted kind
    (None: any), and all readings of the slots are there.
    """
    window = adjustment_window(inputs)
    calendar, wanted = inputs.calendar, np.concatenate([window, inputs.event])
    minutes, slot = np.unique(calendar.minute[wanted], return_inverse=True)
    today = int(calendar.day[inputs.event[0]])
    oldest = today - inputs.rules.look_back_days
    days = np.unique(calendar.day[(calendar.day < today) & (calendar.day >= oldest)])[::-1]
    power = _by_slot(inputs, days, minutes)
    complete = np.isfinite(power).all(axis=2)
    return Past(
        power_kw=power,
        at_event=slot[len(window) :],
        at_window=slot[: len(window)],
        comparable=complete & _allowed(inputs, days, working_days),
    )


def is_rest_day(inputs: BaselineInputs, day: int) -> bool:
    """Tell whether a day is a weekend or a holiday."""
    calendar = inputs.calendar
    first = int(np.searchsorted(calendar.day, day))
    return bool(calendar.weekday[first] >= SATURDAY or day in calendar.holidays)


def recent(past: Past, count: int) -> Bools:
    """Mark the ``count`` most recent comparable days of each meter; every meter must have them.

    Raises
    ------
    InputError
        Names each meter with too few comparable days.
    """
    found = past.comparable.sum(axis=1)
    reason = f"has fewer than {count} comparable days with all readings"
    fix = "give a longer history, ask for fewer days, or take another method"
    check_faults(
        Fault(source="baseline", place=f"meter {meter}", value=int(found[meter]), reason=reason, fix=fix)
        for meter in np.flatnonzero(found < count)
    )
    marked: Bools = past.comparable & (np.cumsum(past.comparable, axis=1) <= count)
    return marked


def mean_of(past: Past, chosen: Bools) -> Floats:
    """Average the chosen days of each meter, shape (meters, slots)."""
    total = np.where(chosen[:, :, None], past.power_kw, 0.0).sum(axis=1)
    return np.asarray(total / chosen.sum(axis=1)[:, None], dtype=np.float64)


def pick_by_level(past: Past, marked: Bools, *, x: int, y: int, pick: str) -> Bools:
    """Choose x of the y marked days by their mean power in the event; among equals the more recent day."""
    level = past.power_kw[:, :, past.at_event].mean(axis=2)
    key = np.where(marked, -level if pick == "high" else level, np.inf)
    order = np.argsort(key, axis=1, kind="stable")
    first = (y - x) // 2 if pick == "mid" else 0
    chosen = np.zeros_like(marked)
    np.put_along_axis(chosen, order[:, first : first + x], True, axis=1)
    return chosen


def _by_slot(inputs: BaselineInputs, days: Ints, minutes: Ints) -> Floats:
    calendar = inputs.calendar
    used = np.flatnonzero(np.isin(calendar.day, days) & np.isin(calendar.minute, minutes))
    place = (
        len(days) - 1 - np.searchsorted(days[::-1], calendar.day[used]),
        np.searchsorted(minutes, calendar.minute[used]),
    )
    last = np.full((len(days), len(minutes)), -1, dtype=np.int64)
    np.maximum.at(last, place, used)
    first = last.copy()
    np.minimum.at(first, place, used)
    power = (inputs.readings_kw[:, first] + inputs.readings_kw[:, last]) / 2
    return np.where(last < 0, np.nan, power)


def _allowed(inputs: BaselineInputs, days: Ints, working_days: bool | None) -> Bools:
    calendar = inputs.calendar
    weekday = calendar.weekday[np.searchsorted(calendar.day, days)]
    kind = ~np.isin(days, calendar.holidays)
    if working_days is not None:
        kind &= (weekday < SATURDAY) == working_days
    if inputs.called is None:
        return np.broadcast_to(kind, (inputs.meters, len(days)))
    meter, period = np.nonzero(inputs.called & np.isin(calendar.day, days))
    ordered = np.zeros((inputs.meters, len(days)), dtype=bool)
    ordered[meter, len(days) - 1 - np.searchsorted(days[::-1], calendar.day[period])] = True
    return kind & ~ordered
