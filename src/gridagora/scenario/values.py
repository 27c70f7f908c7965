"""The small values of a scenario file: durations, clock times, moments, numbers, ranges and file names.

Every parser raises a `PydanticCustomError` that carries the reason and the fix, so that a fault tells both.
"""

import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

from gridagora.scenario.suggest import near

MINUTES_PER_DAY = 1440
MAX_YEARS = 10
FIRST_YEAR, LAST_YEAR = 1900, 2200
GRID_FILE_ENDINGS = (".json", ".xlsx", ".xls")
RESOLUTIONS = ("5min", "15min", "30min", "1h")

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_GROUPS = {"all": range(7), "weekdays": range(5), "weekends": range(5, 7)}


def custom(reason: str, fix: str) -> PydanticCustomError:
    """Make an error that keeps reason and fix apart until it becomes a `gridagora.errors.Fault`."""
    return PydanticCustomError("gridagora", "{reason}", {"reason": reason, "fix": fix})


def parse_duration(value: Any) -> timedelta:
    """Read a duration such as ``15min``, ``1h`` or ``7d`` (a day is 24 hours, also when clocks change).

    >>> parse_duration("15min"), parse_duration("1.5h")
    (datetime.timedelta(seconds=900), datetime.timedelta(seconds=5400))
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise custom("is not a duration", 'write a number and a unit: "15min", "1h", "7d"')
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > MAX_YEARS * 366 * 86_400:
        raise custom(f"is longer than {MAX_YEARS} years", "write a shorter duration")
    return timedelta(seconds=seconds)


def parse_clock(value: Any) -> int:
    """Read a clock time ``HH:MM`` as minutes since midnight; ``24:00`` ends the day.

    >>> parse_clock("06:30"), parse_clock("24:00")
    (390, 1440)
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MINUTES_PER_DAY:
        return value
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else MINUTES_PER_DAY + 1
    if minutes > MINUTES_PER_DAY:
        raise custom("is not a clock time", 'write local clock time as "HH:MM", from "00:00" to "24:00"')
    return minutes


def parse_moment(value: Any) -> datetime:
    """Read a date or date and time; without an offset it is the local clock of the scenario's timezone.

    >>> parse_moment("2016-05-23").isoformat(), parse_moment("2016-01-01T00:00Z").isoformat()
    ('2016-05-23T00:00:00', '2016-01-01T00:00:00+00:00')
    """
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (local clock, placed by the axis)
    fix = "write year-month-day, e.g. 2016-05-23, or with a time 2016-05-23T06:00"
    if not isinstance(value, str):
        raise custom("is not a date", fix)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError as error:
        if "out of range" in str(error) or "must be in" in str(error):
            raise custom(f"is no date of the calendar ({error})", "check day, month and hour") from None
        raise custom("is not a date", fix) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise custom(f"is before {FIRST_YEAR} or after {LAST_YEAR}", "check the year")
    return moment


def parse_range(value: Any) -> tuple[float, float]:
    """Read a size: one number, or the two ends of a range to draw from.

    >>> parse_range(5), parse_range([4, 10])
    ((5.0, 5.0), (4.0, 10.0))
    """
    ends = value if isinstance(value, list | tuple) else (value, value)
    numbers = [x for x in ends if isinstance(x, int | float) and not isinstance(x, bool)]
    if len(ends) != 2 or len(numbers) != 2:
        raise custom("is neither a number nor a range", "write a number, or two: [4, 10]")
    low, high = float(numbers[0]), float(numbers[1])
    if not (low >= 0 and 0 <= high < float("inf")):
        raise custom("has a size that is below 0 or not finite", "write sizes of at least 0")
    if low > high:
        raise custom("has its larger end first", f"write the smaller number first: [{high:g}, {low:g}]")
    return low, high


def check_band(value: tuple[float, float]) -> tuple[float, float]:
    """Accept a band whose ends differ.

    >>> check_band((0.9, 1.1))
    (0.9, 1.1)
    """
    if value[0] == value[1]:
        raise custom("is no band", "write the lowest and the highest voltage allowed: [0.9, 1.1]")
    return value


def parse_days(value: Any) -> frozenset[int]:
    """Read days: ``all``, ``weekdays``, ``weekends`` or a list of ``mon`` ... ``sun`` (Monday is 0).

    >>> sorted(parse_days("weekends"))
    [5, 6]
    """
    if isinstance(value, frozenset):
        return value
    if isinstance(value, str) and value in _DAY_GROUPS:
        return frozenset(_DAY_GROUPS[value])
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list | tuple) and names and all(name in _DAYS for name in names):
        return frozenset(_DAYS.index(name) for name in names)
    raise custom("does not name days", "write all, weekdays, weekends, or a list such as [sat, sun]")


def check_timezone(value: str) -> str:
    """Accept an IANA time zone; name near ones otherwise.

    >>> check_timezone("Europe/Berlin")
    'Europe/Berlin'
    """
    names = available_timezones()
    if value not in names:
        raise custom("is not a time zone", near(value, names) or 'use an IANA name, e.g. "Europe/Berlin"')
    return value


def _check_resolution(value: timedelta) -> timedelta:
    """Accept the market time units in use."""
    if value not in {parse_duration(text) for text in RESOLUTIONS}:
        raise custom("is not an offered resolution", f"use one of {', '.join(RESOLUTIONS)}")
    return value


def duration_text(value: timedelta) -> str:
    """Write a duration as `parse_duration` reads it.

    >>> duration_text(timedelta(minutes=90)), duration_text(timedelta(days=7)), duration_text(timedelta(0))
    ('90min', '7d', '0min')
    """
    seconds = round(value.total_seconds())
    unit = next((unit for unit in ("d", "h", "min") if seconds and seconds % _UNITS[unit] == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}" if seconds else "0min"


def clock_text(minute: int) -> str:
    """Write minutes since midnight as a clock time.

    >>> clock_text(390)
    '06:30'
    """
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _range_value(value: tuple[float, float]) -> float | list[float]:
    return value[0] if value[0] == value[1] else list(value)


def _days_value(value: frozenset[int]) -> str | list[str]:
    group = next((name for name, days in _DAY_GROUPS.items() if value == frozenset(days)), None)
    return group or [_DAYS[day] for day in sorted(value)]


def _grid_beside_scenario(value: str, info: ValidationInfo) -> str:
    """Make the relative path of a grid file one from the scenario file's directory."""
    if not value.lower().endswith(GRID_FILE_ENDINGS):
        return value
    return str(_beside_scenario(Path(value), info))


def _beside_scenario(value: Path, info: ValidationInfo) -> Path:
    """Make a relative path one from the scenario file's directory, where the file can be found again."""
    base = (info.context or {}).get("base")
    return value if base is None or value.is_absolute() else Path(base) / value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
Whole = Annotated[int, Field(strict=True)]
Truth = Annotated[bool, Field(strict=True)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(duration_text)]
Resolution = Annotated[Duration, AfterValidator(_check_resolution)]
ClockTime = Annotated[int, BeforeValidator(parse_clock), PlainSerializer(clock_text)]
Moment = Annotated[datetime, BeforeValidator(parse_moment), PlainSerializer(datetime.isoformat)]
Range = Annotated[tuple[float, float], BeforeValidator(parse_range), PlainSerializer(_range_value)]
Band = Annotated[Range, AfterValidator(check_band)]
Days = Annotated[frozenset[int], BeforeValidator(parse_days), PlainSerializer(_days_value)]
Timezone = Annotated[str, AfterValidator(check_timezone)]
DataFile = Annotated[Path, AfterValidator(_beside_scenario), PlainSerializer(str)]
GridName = Annotated[str, Field(min_length=1), AfterValidator(_grid_beside_scenario)]
