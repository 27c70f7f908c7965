"""Baselines of ordered changes: the cleared schedule of the energy market, else a method over readings.

Readings are those of meters: periods with an order, and estimates, are no history.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.live.context import LiveContext, axis_of
from gridagora.engine.live.expected import Expected, expected_of
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.columns import Floats
from gridagora.model.flexibility import LIMITS
from gridagora.model.time import SECONDS_PER_DAY
from gridagora.settlement.baselines import BaselineInputs, BaselineRules, Calendar, calculate_baseline

Bools = NDArray[np.bool_]
SCHEDULE = "lem_schedule"
HISTORY_DAYS = BaselineRules().look_back_days
"""Days of readings that methods may look back on."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class History:
    """Net import of all points of the flexibility market, kW, NaN where no meter told it, (points, periods).

    ``first`` is the period of the first column, below 0 before the market's first.
    """

    first: int
    kw: Floats


def called_points(state: LiveState, first: int, count: int) -> Bools:
    """Return where a change against a baseline was ordered, shape (points, periods)."""
    terms = state.flex.open_terms
    rows = [row for row, (_, product) in enumerate(terms.products) if product.direction not in LIMITS]
    called = np.zeros((len(terms.points), count), np.bool_)
    for column, period in enumerate(state.flex.window(first, count)):
        if rows and period.ordered_kw is not None:
            called[:, column] = (period.ordered_kw[rows] > 0).any(axis=0)
    return called


def baseline_kw(
    state: LiveState, context: LiveContext, history: History, *, first: int, count: int, otherwise: str
) -> Floats:
    """Return what ordered changes are measured from, kW, (points, periods); NaN where nothing was ordered.

    Parameters
    ----------
    history : readings up to the end of these periods
    first, count : periods to be settled
    otherwise : method for those of whom the method of the market tells nothing

    Raises
    ------
    InputError
        Names every participant and period without a baseline, and why.
    """
    called = called_points(state, first, count)
    found = np.full(called.shape, np.nan)
    case = _Case(state, context, history)
    faults: list[Fault] = []
    for point, columns in _runs(called, case.calendar.day[first - history.first :]):
        periods = np.array(columns) + first
        try:
            found[point, columns] = case.of(point, periods, otherwise)
        except InputError as error:
            name = state.flex.open_terms.points[point].participant
            reason = "; ".join(dict.fromkeys(fault.reason for fault in error.faults))
            fix = "send readings, or settle with another method in otherwise"
            place = f"{name}, period {periods[0]}"
            faults.append(refusal("baseline_missing", place, otherwise, reason=reason, fix=fix))
    check_faults(faults)
    return found


def _runs(called: Bools, day: NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Yield each row of called periods of a point within one local day."""
    for point in np.flatnonzero(called.any(axis=1)).tolist():
        columns = np.flatnonzero(called[point])
        breaks = (np.diff(columns) != 1) | (np.diff(day[columns]) != 0)
        for run in np.split(columns, np.flatnonzero(breaks) + 1):
            yield point, run.tolist()


class _Case:
    """What baselines of one settlement share."""

    def __init__(self, state: LiveState, context: LiveContext, history: History) -> None:
        self._state, self._context, self._history = state, context, history
        self._expected: dict[int, Expected] = {}
        terms, flex = state.open_terms, state.flex.open_terms
        axis = axis_of(terms, history.first, history.kw.shape[1])
        days = axis.local_dates.astype(np.int64)
        weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
        self.calendar = Calendar(day=days, minute=axis.local_minutes, weekday=weekday)
        self._ordered = np.zeros(history.kw.shape, np.bool_)
        for column in range(history.kw.shape[1]):
            number = history.first + column
            if flex.first <= number < flex.end:
                ordered = state.flex.period(number).ordered_kw
                if ordered is not None:
                    self._ordered[:, column] = (ordered > 0).any(axis=0)

    def of(self, point: int, periods: NDArray[np.int64], otherwise: str) -> Floats:
        """Return the baseline of one point in a row of periods."""
        method = self._state.flex.open_terms.baseline
        if method == SCHEDULE:
            kw = self._scheduled(point, periods)
            if np.isfinite(kw).all():
                return kw
        elif method != otherwise:
            try:
                return self._by_history(point, periods, method)
            except InputError:
                pass  # the other method says what lacks
        if otherwise == SCHEDULE:
            kw = self._scheduled(point, periods)
            if not np.isfinite(kw).all():
                raise InputError(
                    [refusal("baseline_missing", "otherwise", otherwise, fix="use another method")]
                )
            return kw
        return self._by_history(point, periods, otherwise)

    def _scheduled(self, point: int, periods: NDArray[np.int64]) -> Floats:
        """Return the cleared schedule, NaN where the participant had none: it did not bid."""
        terms, name = self._state.open_terms, self._state.flex.open_terms.points[point].participant
        kw = np.full(len(periods), np.nan)
        for row, period in enumerate(periods.tolist()):
            number = terms.session_of(period)
            if number not in self._state.sessions:
                continue  # too long ago: the market keeps it no more
            if number not in self._expected:
                self._expected[number] = expected_of(self._state, number, self._context)
            found = self._expected[number]
            if name in found.firm:
                column = found.gate.participants.index(name)
                kw[row] = found.kw[period - terms.session(number).first, column]
        return kw

    def _by_history(self, point: int, periods: NDArray[np.int64], method: str) -> Floats:
        inputs = BaselineInputs(
            readings_kw=self._history.kw[point : point + 1],
            calendar=self.calendar,
            event=periods - self._history.first,
            period_minutes=self._state.open_terms.mtu_s // 60,
            called=self._ordered[point : point + 1],
        )
        return np.asarray(calculate_baseline(inputs, method=method).power_kw[0])


def history_periods(mtu_s: int) -> int:
    """Return how many periods of readings before an order baselines look at.

    >>> history_periods(900) == HISTORY_DAYS * 96
    True
    """
    return HISTORY_DAYS * SECONDS_PER_DAY // mtu_s
