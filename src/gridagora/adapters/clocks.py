"""Clocks: the real one, one that runs faster, and the simulated one that jumps to what is waited for.

`ClockGuard` watches the clock of a live market, whose time never goes back.
"""

import time
from collections.abc import Callable
from typing import Protocol

from gridagora.model.time import SECONDS_PER_DAY

FAR = 10**11
"""A moment beyond all others, s since 1970: the seconds until then tell how a clock moves."""


class RunningClock(Protocol):
    """A clock that a live market runs by."""

    def now(self) -> int:
        """Return the present moment, seconds since 1970-01-01 UTC."""

    def seconds_until(self, moment: int) -> float:
        """Return the real seconds until a moment, 0 where it has come."""


def since_start() -> float:
    """Return the seconds since the computer was started, sleep included where the system counts it.

    >>> since_start() <= since_start()
    True
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SimulatedClock:
    """A clock that stands still until someone waits, then jumps; it never goes back.

    Examples
    --------
    >>> clock = SimulatedClock(100)
    >>> clock.wait_until(160)
    >>> clock.wait_until(120)
    >>> clock.now()
    160
    """

    def __init__(self, start: int) -> None:
        self._now = start

    def now(self) -> int:
        """Return the simulated moment, seconds since 1970-01-01 UTC."""
        return self._now

    def wait_until(self, moment: int) -> None:
        """Jump to the moment; a moment in the past changes nothing."""
        self._now = max(self._now, moment)

    def seconds_until(self, moment: int) -> float:
        """Return 0: nobody needs to wait."""
        return 0.0 * moment


class FastClock:
    """A clock that begins at a moment and runs ``factor`` times as fast as the real one.

    Parameters
    ----------
    start : moment that it shows now, seconds since 1970-01-01 UTC
    factor : its seconds in a real one, above 0

    Examples
    --------
    >>> clock = FastClock(100, factor=1e6)
    >>> clock.wait_until(1000)
    >>> clock.now() >= 1000, clock.seconds_until(0)
    (True, 0.0)
    """

    def __init__(self, start: int, *, factor: float) -> None:
        self._start, self._factor = start, factor
        self._began = time.monotonic()

    def resume(self, moment: int) -> None:
        """Go on from a later moment than the clock shows: where a market that stopped had come to."""
        if moment > self.now():
            self._start, self._began = moment, time.monotonic()

    def now(self) -> int:
        """Return the moment, seconds since 1970-01-01 UTC."""
        return self._start + int((time.monotonic() - self._began) * self._factor)

    def wait_until(self, moment: int) -> None:
        """Return when the moment has come."""
        while (rest := self.seconds_until(moment)) > 0:
            time.sleep(rest)

    def seconds_until(self, moment: int) -> float:
        """Return the real seconds until a moment, 0 where it has come."""
        shown = (time.monotonic() - self._began) * self._factor
        return max(0.0, (moment - self._start - shown) / self._factor)


class SystemClock:
    """The clock of the computer.

    Examples
    --------
    >>> SystemClock().now() > 1_700_000_000, SystemClock().seconds_until(0)
    (True, 0.0)
    """

    def now(self) -> int:
        """Return the present moment, seconds since 1970-01-01 UTC."""
        return int(time.time())

    def wait_until(self, moment: int) -> None:
        """Return when the moment has come."""
        while (rest := self.seconds_until(moment)) > 0:
            time.sleep(rest)

    def seconds_until(self, moment: int) -> float:
        """Return the seconds until a moment, 0 where it has come."""
        return max(0.0, moment - time.time())


class ClockGuard:
    """Watches the clock of a market, which would open and close all that a wrong clock leaps over.

    A clock that runs ahead of the seconds which really passed has leapt; it is followed again as soon as it
    is back, or once it is accepted.  A program that was not there knows no such seconds: it takes a clock
    up to ``most_sleep_s`` after its last event for the truth.

    Parameters
    ----------
    most_leap_s : real seconds that a clock may be put ahead at once
    most_sleep_s : seconds that a market may have been at rest
    steady : tells the seconds that really pass

    Examples
    --------
    >>> class Wall:
    ...     shown = 1000
    ...     def now(self): return self.shown
    ...     def seconds_until(self, moment): return moment - self.shown
    >>> wall, guard = Wall(), ClockGuard(steady=lambda: 0.0)
    >>> guard.leap_s(wall)
    0
    >>> wall.shown += 86_400
    >>> guard.leap_s(wall)
    86400
    >>> guard.accept()
    >>> guard.leap_s(wall)
    0
    """

    def __init__(
        self,
        *,
        most_leap_s: int = 600,
        most_sleep_s: int = 31 * SECONDS_PER_DAY,
        steady: Callable[[], float] = since_start,
    ) -> None:
        self.most_leap_s, self.most_sleep_s = most_leap_s, most_sleep_s
        self._steady = steady
        self._seen: tuple[RunningClock, float, float] | None = None
        self._rested_from = 0

    def begin(self, last: int) -> None:
        """Begin after a rest; ``last`` is the moment of the last event, 0 where there is none."""
        self._seen, self._rested_from = None, last

    def leap_s(self, clock: RunningClock) -> int:
        """Return the seconds that a clock has leapt ahead and that nobody has accepted; 0: follow it."""
        if self._rested_from:
            rested = clock.now() - self._rested_from
            if rested > self.most_sleep_s:
                return rested
            self._rested_from = 0
        left, real = clock.seconds_until(FAR), self._steady()
        if self._seen is not None and self._seen[0] is clock:
            leap = (self._seen[1] - left) - (real - self._seen[2])
            if leap > self.most_leap_s:
                return round(leap)
        self._seen = clock, left, real
        return 0

    def accept(self) -> None:
        """Take the clock as it is now for the truth."""
        self.begin(0)
