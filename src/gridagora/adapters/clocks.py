"""Clocks: the real one, one that runs faster, and the simulated one that jumps to what is waited for."""

import time


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
