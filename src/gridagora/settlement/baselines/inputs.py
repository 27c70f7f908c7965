"""What a baseline is calculated from: readings, the local calendar of their periods, and the rules."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.numbers import read_numbers

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MINUTES_PER_DAY = 1440
PICKS = ("high", "mid", "low")
ADJUSTMENTS = ("none", "additive", "additive_positive", "multiplicative")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calendar:
    """Local clock of UTC periods: a day of 23 or 25 hours is one day, and each hour keeps its name.

    Parameters
    ----------
    day : number of the local day of each period, ascending (days since 1970, or any other count)
    minute : local minute of the day at the start of each period, 0 to 1439
    weekday : Monday 0 to Sunday 6 of each period
    holidays : numbers of the days that count as rest days

    Examples
    --------
    >>> calendar = Calendar(day=np.repeat([0, 1], 24), minute=np.tile(np.arange(24) * 60, 2),
    ...                     weekday=np.repeat([4, 5], 24))
    >>> len(calendar.day)
    48
    """

    day: Ints
    minute: Ints
    weekday: Ints
    holidays: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BaselineRules:
    """Choices within the methods; what a method does not use, it does not look at.

    Parameters
    ----------
    x, y : x_of_y averages x of the y most recent comparable days
    pick : the x days with the highest, middle or lowest mean power in the hours of the event
    same_day_type : x_of_y compares working days with working days, rest days with rest days
    days : how many working days same_hour_mean averages
    look_back_days : comparable days may be this old, in days
    before_minutes : length before the event that meter_before averages
    adjustment : how x_of_y and same_hour_mean are shifted to the day itself: "none"; "additive": by the
        difference in the adjustment window; "additive_positive": the same where > 0; "multiplicative": by the
        ratio, within ``1 +/- most_change``
    adjust_lead_minutes : the window starts so long before the event; nothing known later is used
    adjust_minutes : length of the window, at most the lead
    most_change : bound of the multiplicative adjustment
    adjusted : False for meters that get no adjustment (batteries), shape (meters,); None: all get it

    Examples
    --------
    >>> BaselineRules(x=5, y=10, adjustment="additive_positive").pick
    'high'
    """

    x: int = 5
    y: int = 10
    pick: Literal["high", "mid", "low"] = "high"
    same_day_type: bool = True
    days: int = 5
    look_back_days: int = 60
    before_minutes: int = 60
    adjustment: Literal["none", "additive", "additive_positive", "multiplicative"] = "none"
    adjust_lead_minutes: int = 120
    adjust_minutes: int = 60
    most_change: float = 0.2
    adjusted: Bools | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BaselineInputs:
    """All that a baseline depends on; arrays are copied and locked, so that it can be calculated again.

    Parameters
    ----------
    readings_kw : mean net import of each period, + import, NaN: missing, shape (meters, periods)
    calendar : local clock of the same periods
    event : numbers of the periods to find a baseline for, in a row, within one local day
    period_minutes : length of a period
    called : True where a meter was under an order; such days are not comparable, shape (meters, periods)
    given_kw : announced net import of the event for nominated and lem_schedule, shape (meters, event periods)
    rules : choices within the methods

    Raises
    ------
    InputError
        Lists every fault with its place and fix.

    Examples
    --------
    >>> calendar = Calendar(day=np.repeat([0, 1], 24), minute=np.tile(np.arange(24) * 60, 2),
    ...                     weekday=np.repeat([3, 4], 24))
    >>> BaselineInputs(readings_kw=np.ones((3, 48)), calendar=calendar, event=[40], period_minutes=60).meters
    3
    """

    readings_kw: Floats
    calendar: Calendar
    event: Ints
    period_minutes: int = 15
    called: Bools | None = None
    given_kw: Floats | None = None
    rules: BaselineRules = BaselineRules()

    def __post_init__(self) -> None:
        given = () if self.given_kw is None else self.given_kw
        (readings, event, announced), faults = read_numbers(
            "baseline", readings_kw=self.readings_kw, event=self.event, given_kw=given
        )
        if not np.array_equal(event, np.rint(event)):
            faults.append(
                _fault("event", event.tolist(), "are no whole numbers", fix="give numbers of periods")
            )
        check_faults(faults)
        locked = {
            "readings_kw": np.array(readings),
            "event": event.astype(np.int64),
            "called": None if self.called is None else np.array(self.called, dtype=bool),
            "given_kw": None if self.given_kw is None else np.array(announced),
        }
        for name, values in locked.items():
            if values is not None:
                values.setflags(write=False)
            object.__setattr__(self, name, values)
        object.__setattr__(self, "calendar", _locked(self.calendar))
        if self.rules.adjusted is not None:
            adjusted = np.array(self.rules.adjusted, dtype=bool)
            adjusted.setflags(write=False)
            object.__setattr__(self, "rules", replace(self.rules, adjusted=adjusted))
        check_faults([*_rule_faults(self.rules, self.period_minutes), *_array_faults(self)])

    @property
    def meters(self) -> int:
        """How many meters."""
        return len(self.readings_kw)


def _locked(calendar: Calendar) -> Calendar:
    day, minute, weekday = (
        np.array(values, dtype=np.int64) for values in (calendar.day, calendar.minute, calendar.weekday)
    )
    for values in (day, minute, weekday):
        values.setflags(write=False)
    return Calendar(day=day, minute=minute, weekday=weekday, holidays=tuple(calendar.holidays))


def _rule_faults(rules: BaselineRules, period_minutes: int) -> Iterator[Fault]:
    if period_minutes < 1 or MINUTES_PER_DAY % period_minutes:
        fix = "write 5, 15, 30 or 60"
        yield _fault("period_minutes", period_minutes, "does not divide a day", fix=fix)
        return
    if not 1 <= rules.x <= rules.y:
        yield _fault("rules.x", rules.x, f"is not within 1 to y = {rules.y}", fix="write x <= y")
    if rules.pick == "mid" and (rules.y - rules.x) % 2:
        yield _fault("rules.x", rules.x, "has no middle in y", fix="let y - x be even")
    for name, known in (("pick", PICKS), ("adjustment", ADJUSTMENTS)):
        found = getattr(rules, name)
        if found not in known:
            yield _fault(f"rules.{name}", found, "is not known", fix=f"write one of {', '.join(known)}")
    for name in ("days", "look_back_days"):
        if getattr(rules, name) < 1:
            yield _fault(f"rules.{name}", getattr(rules, name), "is below 1", fix="write 1 or more")
    if rules.adjustment != "none":
        yield from length_faults(rules, period_minutes, ("adjust_lead_minutes", "adjust_minutes"))
    if rules.adjustment != "none" and rules.adjust_minutes > rules.adjust_lead_minutes:
        reason = "reaches into the event"
        yield _fault(
            "rules.adjust_minutes", rules.adjust_minutes, reason, fix="write at most adjust_lead_minutes"
        )
    if not 0 <= rules.most_change < 1:
        yield _fault("rules.most_change", rules.most_change, "is not in 0 to 1", fix="write e.g. 0.2")


def length_faults(rules: BaselineRules, period_minutes: int, names: tuple[str, ...]) -> Iterator[Fault]:
    """Faults of lengths in minutes that must be whole periods, one or more."""
    for name in names:
        found = getattr(rules, name)
        if found < period_minutes or found % period_minutes:
            reason = f"is not a multiple of {period_minutes} minutes"
            yield _fault(f"rules.{name}", found, reason, fix="write whole periods")


def _array_faults(inputs: BaselineInputs) -> Iterator[Fault]:
    readings, calendar = inputs.readings_kw, inputs.calendar
    if readings.ndim != 2:
        yield _fault("readings_kw", readings.shape, "is not (meters, periods)", fix="give a matrix")
        return
    meters, periods = readings.shape
    for meter, period in np.argwhere(np.isinf(readings)).tolist():
        place = f"readings_kw, meter {meter}, period {period}"
        yield _fault(place, readings[meter, period].item(), "is infinite", fix="write NaN where missing")
    for name in ("day", "minute", "weekday"):
        found = getattr(calendar, name).shape
        if found != (periods,):
            yield _fault(f"calendar.{name}", found, f"has not {periods} entries", fix="one entry per period")
            return
    yield from _calendar_faults(calendar)
    back = np.flatnonzero(np.diff(calendar.day) < 0)
    if len(back):
        found = int(calendar.day[back[0] + 1])
        yield _fault(f"calendar.day, period {back[0] + 1}", found, "goes back", fix="sort periods by time")
    yield from _event_faults(inputs)
    adjusted = inputs.rules.adjusted
    if adjusted is not None and np.shape(adjusted) != (meters,):
        yield _fault("rules.adjusted", np.shape(adjusted), f"has not {meters} entries", fix="one per meter")
    if inputs.called is not None and inputs.called.shape != (meters, periods):
        yield _fault(
            "called", inputs.called.shape, f"is not {(meters, periods)}", fix="same shape as readings_kw"
        )


def _calendar_faults(calendar: Calendar) -> Iterator[Fault]:
    for name, highest in (("minute", MINUTES_PER_DAY - 1), ("weekday", 6)):
        values = getattr(calendar, name)
        wrong = np.flatnonzero(~((values >= 0) & (values <= highest)))
        if len(wrong):
            reason = f"is not in 0 to {highest}"
            place = f"calendar.{name}, period {wrong[0]}"
            yield _fault(place, values[wrong[0]].item(), reason, fix="tell the local clock of each period")
    strange = [day for day in calendar.holidays if not isinstance(day, (int, np.integer))]
    if strange:
        fix = "count days as calendar.day does"
        yield _fault("calendar.holidays", strange, "are no numbers of days", fix=fix)


def _event_faults(inputs: BaselineInputs) -> Iterator[Fault]:
    event, periods = inputs.event, inputs.readings_kw.shape[1]
    if event.ndim != 1 or len(event) == 0:
        yield _fault("event", event.shape, "names no periods", fix="give the numbers of the event's periods")
    elif event.min() < 0 or event.max() >= periods:
        reason = f"is outside the {periods} periods of the calendar"
        yield _fault(
            "event", event.tolist(), reason, fix="readings of the event may be NaN, but need a place"
        )
    elif (np.diff(event) != 1).any():
        yield _fault(
            "event", event.tolist(), "is not one row of periods", fix="calculate each event on its own"
        )
    elif len(np.unique(inputs.calendar.day[event])) > 1:
        yield _fault("event", event.tolist(), "crosses local midnight", fix="calculate each day on its own")
    given = inputs.given_kw
    if given is not None and given.shape != (inputs.meters, event.size):
        reason = f"is not {(inputs.meters, event.size)}"
        yield _fault(
            "given_kw", given.shape, reason, fix="one row per meter, one column per period of the event"
        )
    elif given is not None:
        for meter, period in np.argwhere(~np.isfinite(given)).tolist():
            place = f"given_kw, meter {meter}, column {period}"
            yield _fault(place, given[meter, period].item(), "is no number", fix="announce each period")


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="baseline", place=place, value=value, reason=reason, fix=fix)
