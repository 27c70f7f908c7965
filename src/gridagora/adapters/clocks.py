"""Clocks: the simulated one jumps to whatever moment is waited for."""


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
