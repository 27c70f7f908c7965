"""A market's runner as the service sees it: commands with their events, and what everybody may know."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import Any

from gridagora.adapters.live import LiveRunner
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import Receipt
from gridagora.engine.live.commands import LiveCommand
from gridagora.engine.live.context import LiveContext
from gridagora.engine.live.state import LiveState
from gridagora.errors import GridAgoraError, StoreError
from gridagora.model.events import Event
from gridagora.model.live import LiveTerms
from gridagora.service.board import board_state, read_board
from gridagora.service.platform import Done

BOARD_S = 1.0
"""What everybody may know is read again after so long, s."""

LAG_S = 15.0
"""Real seconds that the timetable may be behind before the service says that it is not ready."""


class Running:
    """A runner as a `gridagora.service.platform.Market`.

    Parameters
    ----------
    runner : of the market
    terms : of the market
    speed : seconds of the market's clock in a real one
    demo : whether its homes are played
    """

    def __init__(self, runner: LiveRunner, terms: LiveTerms, *, speed: float, demo: bool) -> None:
        self.runner = runner
        self.terms = terms
        self._told: Mapping[str, Any] = {
            **{name: getattr(terms, name) for name in ("name", "currency", "timezone", "mtu_s")},
            "speed": speed,
            "demo": demo,
        }
        self._speed = speed
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="answers")
        self._lock = Lock()
        self._board: Mapping[str, Any] = {}
        self._board_at = float("-inf")
        self._newest: tuple[int, Sequence[Event]] = (0, ())
        self._watchers: list[Callable[[int, Sequence[Event]], None]] = []
        runner.listen(self._take)

    # --- what the service asks --------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the market in the database."""
        return self.terms.name

    @property
    def database(self) -> Database:
        """The database, open for writing; asked for anew before each use, since it may be reopened."""
        return self.runner.database

    @property
    def context(self) -> LiveContext:
        """What the market stands in: its buses, zones and tariffs."""
        return self.runner.context

    def now(self) -> int:
        """Return the market's moment, seconds since 1970 UTC."""
        return self.runner.clock.now()

    def clock_doubt(self) -> tuple[int, int]:
        """Return the seconds that the clock leapt ahead unaccepted, and those that it is behind events."""
        state = self.runner.public_state()
        return state["clock_jump_s"], state["clock_behind_s"]

    def submit(self, command: LiveCommand, *, key: str = "", request: bytes = b"") -> "Future[Done]":
        """Hand in a command; the future has its events when they are on disk, or its refusal."""
        answer: Future[Done] = Future()
        answer.set_running_or_notify_cancel()  # who stops waiting takes nothing back
        handed = self.runner.submit(command, key=key, request=request)
        handed.add_done_callback(lambda receipt: self._hand_on(receipt, answer))
        return answer

    def known(self) -> LiveState:
        """Return the state of now, as a copy of whoever asks."""
        return self.runner.known()

    def watch(self, told: Callable[[int, Sequence[Event]], None]) -> None:
        """Call ``told(first, events)`` from now on, from any thread, with events that came on disk."""
        self._watchers.append(told)
        self.runner.listen(told)

    def public_state(self) -> Mapping[str, Any]:
        """Return what everybody may know of the market now, as JSON values; read once a second at most."""
        with self._lock:
            if time.monotonic() - self._board_at >= BOARD_S:
                self._board = board_state(read_board(self.database, self.terms, self.now()))
                self._board_at = time.monotonic()
            jump, behind = self.clock_doubt()
            return {**self._told, **self._board, "clock_jump_s": jump, "clock_behind_s": behind}

    def readiness(self) -> Mapping[str, Any]:
        """Return whether commands are carried out now: ``ready``, and what that depends on.

        ``lag_s`` is by how many real seconds the timetable is late.
        """
        state = self.runner.public_state()
        found: dict[str, Any] = {"writer": state["writes"], "stuck": state["stuck"], "database": True}
        doubt = {name: state[name] for name in ("clock_jump_s", "clock_behind_s")}
        lag = 0.0
        try:
            if state["down"]:
                raise StoreError(str(state["down"]))
            gate = read_board(self.database, self.terms, self.now()).gate
            lag = 0.0 if gate is None else max(0.0, (self.now() - gate) / self._speed)
        except GridAgoraError as error:
            found |= {"database": False, "why": str(error)}
        in_time = not doubt["clock_jump_s"] and doubt["clock_behind_s"] < LAG_S and lag < LAG_S
        ready = found["database"] and not found["stuck"] and in_time
        return {"ready": ready, "lag_s": round(lag, 3), **doubt, **found}

    def close(self) -> None:
        """Finish what was handed in, give the lock back, and stop."""
        self.runner.close()
        self._pool.shutdown()

    # --- events of an answer ----------------------------------------------------------------------

    def _take(self, first: int, events: Sequence[Event]) -> None:
        self._newest = (first, events)

    def _hand_on(self, handed: "Future[Receipt]", answer: "Future[Done]") -> None:
        """Answer a command; the writer's thread, which calls this, has told its events the moment before."""
        error = handed.exception()
        if error is not None:
            answer.set_exception(error)
            return
        receipt = handed.result()
        first, events = self._newest
        if not receipt.repeated and first == receipt.first and len(events) == receipt.last - first + 1:
            answer.set_result(Done(first=first, events=tuple(events)))
            return
        try:
            self._pool.submit(self._look_up, receipt, answer)
        except RuntimeError:
            answer.set_exception(StoreError("the market is closed; ask again with the same key"))

    def _look_up(self, receipt: Receipt, answer: "Future[Done]") -> None:
        """Answer with events that this program has not carried out just now."""
        try:
            stored = self.database.events(self.name, after=receipt.first - 1)
            events = tuple(islice(stored, receipt.last - receipt.first + 1))
            for told in self._watchers:
                told(
                    receipt.first, events
                )  # they came on disk when the database was lost, and nobody was told
            answer.set_result(Done(first=receipt.first, events=events, repeated=receipt.repeated))
        except BaseException as error:
            answer.set_exception(error)
