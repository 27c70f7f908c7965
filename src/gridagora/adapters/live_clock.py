"""Whether a live market may go by its clock: nothing is carried out while a leap of it is in doubt."""

from gridagora.adapters.clocks import ClockGuard, RunningClock
from gridagora.engine.live.commands import AcceptClock, LiveCommand
from gridagora.engine.live.refusals import refusal
from gridagora.errors import InputError
from gridagora.model.time import clock as clock_text


def check_clock(guard: ClockGuard, clock: RunningClock, command: LiveCommand) -> None:
    """Refuse a command while the clock is in doubt; the one that accepts the clock ends the doubt.

    Raises
    ------
    InputError
        ``clock_jump`` while a clock that leapt is neither back nor accepted; ``clock_steady`` and
        ``clock_differs`` where there is nothing to accept, or it shows another time than who accepts it.
    """
    shown, leap = clock.now(), guard.leap_s(clock)
    if isinstance(command, AcceptClock):
        if not leap:
            raise InputError([refusal("clock_steady", "clock", clock_text(shown), fix="leave it as it is")])
        if abs(command.now - shown) > guard.most_leap_s:
            fix = f"set the computer's clock right, or accept the {clock_text(shown)} that it shows"
            raise InputError([refusal("clock_differs", "now", clock_text(command.now), fix=fix)])
        guard.accept()
    elif leap:
        reason = f"the clock leapt {leap} s ahead, and the market waits until it is back or is accepted"
        fix = "send it again then, with the same key"
        raise InputError([refusal("clock_jump", "clock", clock_text(shown), reason=reason, fix=fix)])
