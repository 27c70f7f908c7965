"""The time axis of a study: equal half-open periods in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86_400

LAST_CLOCK = 253_402_300_800
"""Moment at which the year 10000 begins, s."""


def clock(moment: int) -> str:
    """Return a moment, seconds since 1970 UTC, as people read it; one beyond the year 9999 as it is.

    >>> clock(1_767_225_600), clock(10**15)
    ('2026-01-01T00:00:00Z', '1000000000000000 s after 1970')
    """
    if not 0 <= moment < LAST_CLOCK:
        return f"{moment} s after 1970"
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeAxis:
    """Equal half-open delivery periods ``[start + k mtu, start + (k + 1) mtu)`` in UTC.

    Parameters
    ----------
    start : start of the first period, UTC
    periods : how many periods
    mtu_s : length of a period (market time unit) in seconds; divides a day
    timezone : IANA name, only for local days and clock-time tariffs

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-01T00:00:00"), periods=96, mtu_s=900)
    >>> axis.hours, axis.starts[-1]
    (0.25, np.datetime64('2016-06-01T23:45:00'))
    """

    start: np.datetime64
    periods: int
    mtu_s: int = 900
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        faults = []
        if self.periods < 1:
            faults.append(_fault("periods", self.periods, "no period", fix="ask for one period or more"))
        if self.mtu_s < 1 or SECONDS_PER_DAY % self.mtu_s:
            faults.append(
                _fault("mtu_s", self.mtu_s, "does not divide a day", fix="use 300, 900, 1800 or 3600")
            )
        check_faults(faults)
        object.__setattr__(self, "start", self.start.astype("datetime64[s]"))

    @property
    def hours(self) -> float:
        """Length of a period in hours."""
        return self.mtu_s / SECONDS_PER_HOUR

    @property
    def starts(self) -> NDArray[np.datetime64]:
        """Start of each period, UTC, shape (periods,)."""
        return self.start + np.arange(self.periods) * np.timedelta64(self.mtu_s, "s")

    @property
    def local_dates(self) -> NDArray[np.datetime64]:
        """Date in the time zone at the start of each period, shape (periods,).

        >>> TimeAxis(start=np.datetime64("2016-06-01T21:45"), periods=2, timezone="Europe/Berlin").local_dates
        array(['2016-06-01', '2016-06-02'], dtype='datetime64[D]')
        """
        zone, seconds = ZoneInfo(self.timezone), self.starts.astype(np.int64).tolist()
        return np.array([datetime.fromtimestamp(s, zone).date() for s in seconds], dtype="datetime64[D]")

    @property
    def local_minutes(self) -> NDArray[np.int64]:
        """Minutes since local midnight on the clock at the start of each period, shape (periods,).

        >>> axis = TimeAxis(start=np.datetime64("2016-06-01T21:45"), periods=2, timezone="Europe/Berlin")
        >>> axis.local_minutes.tolist()
        [1425, 0]
        """
        zone, seconds = ZoneInfo(self.timezone), self.starts.astype(np.int64).tolist()
        times = [datetime.fromtimestamp(second, zone) for second in seconds]
        return np.array([60 * time.hour + time.minute for time in times], dtype=np.int64)

    @property
    def periods_per_day(self) -> int:
        """Periods in 24 hours."""
        return SECONDS_PER_DAY // self.mtu_s


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="time axis", place=place, value=value, reason=reason, fix=fix)
