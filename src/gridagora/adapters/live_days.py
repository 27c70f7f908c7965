"""Closes the local days of a live market: their Merkle trees become events as soon as they are final."""

from datetime import date, timedelta
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.day_trees import day_at, day_begins, day_tree
from gridagora.engine.live.commands import CloseDay
from gridagora.errors import GridAgoraError

if TYPE_CHECKING:
    from gridagora.adapters.live import LiveRunner

SHORTEST_S, LONGEST_S = 0.25, 60.0
"""Real seconds between two looks whether a day is over."""

RETRY_S = 10.0
"""Real seconds until a day that could not be closed is tried again."""


class DayCloser:
    """A thread that closes one day after the other of the market that a runner writes.

    A day is over once the log has gone beyond it: what is on its way may belong to it yet.  The tree is made
    beside the writer's thread, from what is on disk.

    Parameters
    ----------
    runner : of the market
    """

    def __init__(self, runner: "LiveRunner") -> None:
        self._runner = runner
        self._stop = Flag()
        self._thread = Thread(target=self._work, name=f"days {runner.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the day that is being closed, and stop."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = self._look() if self._runner.writes else RETRY_S
            except GridAgoraError:  # the runner says what is wrong; the day waits
                pause = RETRY_S

    def _look(self) -> float:
        """Close the next day if it is over; return the real seconds until the next look."""
        runner, zone = self._runner, self._runner.terms.timezone
        market = runner.database.head(runner.name).market
        with runner.database.reading() as connection:
            day, at = _next(connection, market, zone)
            over = None if day is None else day_begins(zone, day + timedelta(days=1))
            if day is None or over is None or at < over:
                wait = LONGEST_S if over is None else runner.clock.seconds_until(over)
                return min(LONGEST_S, max(SHORTEST_S, wait))
            tree = day_tree(connection, market, runner.terms, day=day).tree
        command = CloseDay(at=0, day=day.isoformat(), size=tree.size, root=tree.root.hex())
        runner.do(command, key=f"gridagora day {day}")
        return 0.0


def _next(connection: Connection, market: int, zone: str) -> tuple[date | None, int]:
    """Return the day that is closed next, None before the first event, and the moment of the last event."""
    event, root = tables.events.c, tables.day_roots.c
    moments = select(event.at).where(event.market == market)
    first = connection.scalar(moments.order_by(event.seq).limit(1))
    last = connection.scalar(moments.order_by(event.seq.desc()).limit(1))
    if first is None or last is None:
        return None, 0
    closed = connection.scalar(select(func.max(root.day)).where(root.market == market))
    day = day_at(zone, first) if closed is None else date.fromisoformat(closed) + timedelta(days=1)
    return day, int(last)
