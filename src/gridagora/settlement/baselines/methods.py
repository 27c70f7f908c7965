"""Baseline methods: each a pure function of the inputs, net import in kW, shape (meters, event periods).

No method suits all (Lind 2023): the highest x of y lies above the truth and is poor for PV and batteries;
meter_before can be driven up by charging before the event; a nominated one needs a gate before the offer.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.settlement.baselines.history import (
    Past,
    adjustment_window,
    collect,
    is_rest_day,
    mean_of,
    pick_by_level,
    recent,
)
from gridagora.settlement.baselines.inputs import BaselineInputs, length_faults

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def x_of_y(inputs: BaselineInputs) -> Floats:
    """Average x of the y most recent comparable days: the highest, middle or lowest in the event's hours.

    Comparable are days of the same type (working day, rest day), no holidays, no days with an order of the
    meter, with all readings in the event's hours and the adjustment window.  An event on a holiday compares
    with weekends.  FIELD.md 5.
    """
    rules = inputs.rules
    _check_window(inputs)
    working = not is_rest_day(inputs, int(inputs.calendar.day[inputs.event[0]]))
    past = collect(inputs, working_days=working if rules.same_day_type else None)
    chosen = pick_by_level(past, recent(past, rules.y), x=rules.x, y=rules.y, pick=rules.pick)
    return _adjusted(inputs, past, mean_of(past, chosen))


def same_hour_mean(inputs: BaselineInputs) -> Floats:
    """Average the same hours of the preceding working days, whatever day the event is on.

    FIELD.md 4a: the default of NODES, five days.
    """
    _check_window(inputs)
    past = collect(inputs, working_days=True)
    return _adjusted(inputs, past, mean_of(past, recent(past, inputs.rules.days)))


def meter_before(inputs: BaselineInputs) -> Floats:
    """Hold the mean of the last readings before the event (meter before, meter after).

    Every reading of that time must be there.  FIELD.md 4a, SWITCH (MBMA).
    """
    check_faults(length_faults(inputs.rules, inputs.period_minutes, ("before_minutes",)))
    first = int(inputs.event[0])
    before = np.arange(first - inputs.rules.before_minutes // inputs.period_minutes, first)
    check_faults(_missing(inputs, before, "rules.before_minutes"))
    level = inputs.readings_kw[:, before].mean(axis=1)
    return np.repeat(level[:, None], len(inputs.event), axis=1)


def given(inputs: BaselineInputs) -> Floats:
    """Take the net import that was announced: nominated by the seller, or the cleared schedule of the market.

    The schedule of the local energy market is what the meter owes there already, so delivery of flexibility
    is counted from it (MARKETS.md section 3).
    """
    if inputs.given_kw is None:
        fault = Fault(
            source="baseline",
            place="given_kw",
            value=None,
            reason="nothing was announced",
            fix="give the nominated power or the cleared schedule",
        )
        check_faults([fault])
    return np.array(inputs.given_kw)


def zero(inputs: BaselineInputs) -> Floats:
    """Expect nothing: for plant that runs only when ordered (FIELD.md 4a)."""
    return np.zeros((inputs.meters, len(inputs.event)))


def _applies(inputs: BaselineInputs) -> Bools:
    adjusted = inputs.rules.adjusted
    return np.ones(inputs.meters, dtype=bool) if adjusted is None else adjusted


def _check_window(inputs: BaselineInputs) -> None:
    """Refuse an adjustment whose readings of the day are not there."""
    window = adjustment_window(inputs)
    if len(window):
        check_faults(_missing(inputs, window, "rules.adjustment", apply=_applies(inputs)))


def _adjusted(inputs: BaselineInputs, past: Past, mean: Floats) -> Floats:
    """Shift the mean of the past to what the meter shows before the event of the day itself."""
    base, rules = mean[:, past.at_event], inputs.rules
    if rules.adjustment == "none":
        return base
    apply, window = _applies(inputs), adjustment_window(inputs)
    actual, usual = inputs.readings_kw[:, window].mean(axis=1), mean[:, past.at_window].mean(axis=1)
    if rules.adjustment == "multiplicative":
        check_faults(_no_ratio(usual, apply))
        ratio = np.divide(actual, usual, out=np.ones_like(usual), where=apply)
        factor: Floats = np.clip(ratio, 1 - rules.most_change, 1 + rules.most_change)
        return base * factor[:, None]
    shift = np.where(apply, actual - usual, 0.0)
    if rules.adjustment == "additive_positive":
        shift = np.maximum(shift, 0.0)
    return base + shift[:, None]


def _missing(
    inputs: BaselineInputs, periods: Ints, rule: str, *, apply: Bools | None = None
) -> Iterator[Fault]:
    if periods[0] < 0:
        reason = "reaches before the first reading"
        yield Fault(
            source="baseline", place=rule, value=int(periods[0]), reason=reason, fix="give more readings"
        )
        return
    wrong = np.isnan(inputs.readings_kw[:, periods])
    for meter, column in np.argwhere(wrong if apply is None else wrong & apply[:, None]).tolist():
        yield Fault(
            source="baseline",
            place=f"readings_kw, meter {meter}, period {periods[column]}",
            value=float("nan"),
            reason="is missing, and the baseline needs it",
            fix="estimate the reading, or take a method without readings of the day",
        )


def _no_ratio(usual: Floats, apply: Bools) -> Iterator[Fault]:
    for meter in np.flatnonzero(apply & ~(usual > 0)):
        yield Fault(
            source="baseline",
            place=f"meter {meter}",
            value=float(usual[meter]),
            reason="usual power in the adjustment window is not > 0 kW, so it has no ratio",
            fix="adjust additively, or set rules.adjusted to False for this meter",
        )
