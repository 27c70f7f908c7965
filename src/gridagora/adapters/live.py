"""A live market at work: its store, its state, its clock, and the thread that does what is due.

One program writes a market at a time; on PostgreSQL others hand it their commands (`live_inbox`) and take its
place when it ends.  A runner that loses its database opens it again as soon as it is there, and goes on from
the events: what was acknowledged is in them, what was not can be asked again with the same key.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from threading import Event as Flag
from threading import RLock, Thread
from types import TracebackType
from typing import Any, TypeVar

from gridagora.adapters.clocks import ClockGuard, FastClock, RunningClock, SystemClock
from gridagora.adapters.live_clock import check_clock
from gridagora.adapters.live_days import DayCloser
from gridagora.adapters.live_inbox import Desk, Inbox, Post
from gridagora.adapters.live_notices import notice_rows
from gridagora.adapters.live_snapshots import Snapshots
from gridagora.adapters.live_steps import Steps
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.group import GroupCommit
from gridagora.adapters.sql.made import Rows
from gridagora.adapters.sql.snapshots import known_state
from gridagora.adapters.sql.store import Decision, Receipt, SqlStore
from gridagora.engine.live.answers import answer_of
from gridagora.engine.live.commands import LiveCommand, OpenLiveMarket
from gridagora.engine.live.context import LiveContext
from gridagora.engine.live.copying import copy_state
from gridagora.engine.live.machine import apply, handle
from gridagora.engine.live.notices import notices
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState
from gridagora.engine.live.timetable import due, next_moment
from gridagora.errors import GridAgoraError, InputError, MarketTaken, StoreError
from gridagora.model.events import Event, canonical_bytes
from gridagora.model.live import LiveTerms

LONGEST_PAUSE_S = 1.0
"""Real seconds after which the thread looks again in any case."""

LONGEST_KEY = 255
"""Characters of an idempotency key at most."""

Answer = TypeVar("Answer")
Listener = Callable[[int, Sequence[Event]], None]
"""Called with the number of the first of some events, and these, when they are on disk; must be quick."""


class LiveRunner:
    """Runs one live market on a database.

    Parameters
    ----------
    url : of the database; an SQLite file is made where it is not there
    context : grid, tariffs and rules of the market
    terms : of a market that is opened if the database does not hold it yet
    clock : tells the moment; the computer's when left out
    actor : who opens the market
    guard : of the clock; one with the usual bounds when left out

    Raises
    ------
    StoreError
        for a database that cannot be used, on SQLite also when another program writes it.

    Notes
    -----
    `gridagora.bootstrap.live_runner` makes one of a scenario, or of what the database holds.
    """

    def __init__(
        self,
        url: str,
        context: LiveContext,
        terms: LiveTerms,
        *,
        clock: RunningClock | None = None,
        actor: str = "operator",
        guard: ClockGuard | None = None,
    ) -> None:
        self.url, self.name, self.context = url, terms.name, context
        self.clock: RunningClock = clock or SystemClock()
        self._terms, self._actor = terms, actor
        self._guard, self._steps = guard or ClockGuard(), Steps()
        self._door = RLock()
        self._stop, self._wake = Flag(), Flag()
        self._listeners: list[Listener] = []
        self._state: LiveState | None = None
        self._database: Database | None = None
        self._group: GroupCommit | None = None
        self._post: Post | None = None
        self._desk: Desk | None = None
        self._snapshots: Snapshots | None = None
        self._down = ""
        self._shown: Mapping[str, Any] = {}
        self._seen = self._acknowledged = 0
        self._next: int | None = None
        self._open()
        self._thread = Thread(target=self._work, name=f"live {self.name}", daemon=True)
        self._thread.start()
        self._days = DayCloser(self)

    def __enter__(self) -> "LiveRunner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what others ask --------------------------------------------------------------------------

    @property
    def database(self) -> Database:
        """The database, open for writing; asked for anew before each use, since it may be reopened."""
        with self._door:
            if self._database is None:
                raise StoreError(self._down or "the market is closed")
            return self._database

    @property
    def terms(self) -> LiveTerms:
        """Terms of the market."""
        return self._terms

    @property
    def writes(self) -> bool:
        """Whether this program is the one that writes the market."""
        return self._group is not None

    def do(self, command: LiveCommand, *, key: str = "", timeout_s: float | None = 60.0) -> Receipt:
        """Carry out a command and return when it is on disk.

        Parameters
        ----------
        command : its ``at`` is set here, by the market's clock
        key : idempotency key: a command that comes again with it is answered as before
        timeout_s : how long to wait, s; the command may still be carried out after that

        Raises
        ------
        InputError
            with every fault of the command, each with a code.
        CommandConflict
            when the key was used for another command.
        StoreError
            when the market cannot be reached; it is not known whether the command was carried out: ask again
            with the same key.
        """
        return self.submit(command, key=key).result(timeout_s)

    def submit(self, command: LiveCommand, *, key: str = "", request: bytes = b"") -> "Future[Receipt]":
        """Hand in a command; the future has what `do` returns or raises.

        ``request`` is the hash of what was asked with the key, where that is more than the command: a command
        may hold what was made up for it, such as an id.
        """
        if not key.isprintable() or len(key) > LONGEST_KEY:
            fix = f"use up to {LONGEST_KEY} printable characters"
            return _failed(InputError([refusal("text_invalid", "key", key[:80], fix=fix)]))
        if key and not request:
            request = hashlib.sha256(canonical_bytes(replace(command, at=0))).digest()
        with self._door:
            if self._group is not None:
                return self._hand_in(self._group, command, key=key, request=request)
            if self._post is not None:
                return self._post.send(command, key, request)
        return _failed(StoreError(self._down or "the market is closed"))

    def ask(self, question: Callable[[LiveState], Answer]) -> Answer:
        """Return what a question finds in the state, asked in the thread that writes.

        Raises
        ------
        StoreError
            where another program writes the market: its read tables tell what is known.
        """
        with self._door:
            group, state = self._group, self._state
        if group is None or state is None:
            raise StoreError(self._down or "another program writes this market; look at the read tables")
        found: list[Answer] = []

        def look() -> Decision:
            found.append(question(state))
            return Decision()

        group.submit(look).result()
        return found[0]

    def known(self) -> LiveState:
        """Return the state of now as a copy that belongs to who asks; listen before, to miss nothing."""
        if self.writes:
            return self.ask(copy_state)
        return known_state(self.database, self.name)[0]

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell somebody all events from now on; returns what ends that."""
        self._listeners.append(listener)

        def stop() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return stop

    def public_state(self) -> Mapping[str, Any]:
        """Return what everybody may know of the market now.

        ``clock_jump_s`` are the seconds that its clock leapt ahead, which somebody has to accept;
        ``clock_behind_s`` those that it shows less than the last event, whose moment holds until then.
        """
        now = self.clock.now()
        return {
            "market": self.name,
            "now": now,
            "clock_jump_s": self._guard.leap_s(self.clock),
            "clock_behind_s": max(0, int(self._shown.get("at", now)) - now),
            "writes": self.writes,
            "down": self._down,
            "stuck": self._steps.stuck(),
            **self._shown,
        }

    def close(self) -> None:
        """Finish what was handed in, then stop."""
        self._days.close()
        self._stop.set()
        self._wake.set()
        self._thread.join()
        self._shut("the market is closed", clean=True)

    # --- opening and closing ----------------------------------------------------------------------

    def _open(self) -> None:
        """Open the database; become the writer, or one who asks the writer."""
        database = Database(self.url, write=True, create=self._acknowledged == 0)
        try:
            store = SqlStore(database, self.name)
            _check_nothing_lost(store, self._acknowledged)
        except MarketTaken:
            market = database.head(self.name).market
            with self._door:
                self._database, self._down = database, ""
                self._post = Post(Inbox(database, market))
                self._seen = database.head(self.name).seq
            return
        except GridAgoraError:
            database.close()
            raise
        with self._door:
            self._database, self._down = database, ""
            self._begin(store)

    def _begin(self, store: SqlStore) -> None:
        """Go on from the events of a store that is ours to write."""
        self._snapshots = Snapshots(store.database, self.name)
        state = self._snapshots.begin()
        self._state, self._steps = state, Steps()
        if isinstance(self.clock, FastClock):
            self.clock.resume(state.at)
        self._guard.begin(state.at)
        self._group = GroupCommit(store, told=self._note)
        if state.terms is None:
            opening = OpenLiveMarket(at=0, actor=self._actor, terms=self._terms)
            self._hand_in(self._group, opening).result()
        if self._database is not None and self._database.address.path is None:
            market = self._database.head(self.name).market
            self._desk = Desk(
                Inbox(self._database, market),
                lambda command, key, request: self.submit(command, key=key, request=request),
            )

    def _shut(self, reason: str, *, clean: bool = False) -> None:
        with self._door:
            parts = (self._desk, self._post, self._group)
            database, state, snapshots = self._database, self._state, self._snapshots
            self._desk = self._post = self._group = self._database = self._state = self._snapshots = None
            self._down = reason
        for part in parts:
            if part is not None:
                part.close()
        if snapshots is not None:
            snapshots.close(state if clean else None)
        if database is not None:
            database.close()

    def _keep_snapshot(self, group: GroupCommit, snapshots: Snapshots) -> None:
        """Keep a copy of the state, once what it holds is on disk, where it is time for that."""
        state, copies = self._state, []
        if state is None or not snapshots.wanted(state.events):
            return

        def look() -> Decision:
            if self._state is state:
                copies.append(snapshots.copy(state))
            return Decision()

        group.submit(look).result()
        for copied in copies:
            snapshots.keep(copied)

    # --- commands ---------------------------------------------------------------------------------

    def _hand_in(
        self, group: GroupCommit, command: LiveCommand, *, key: str = "", request: bytes = b""
    ) -> "Future[Receipt]":
        made: list[tuple[Event, ...]] = []
        state = self._state

        def decide() -> Decision:
            if state is None or self._state is not state:
                raise StoreError("the state of the market was lost; it is made anew from the events")
            check_clock(self._guard, self.clock, command)
            at = max(self.clock.now(), state.at)
            events = handle(state, replace(command, at=at), self.context)
            made.append(events)
            return self._applied(state, events)

        future = group.submit(decide, key=key, request=request)
        future.add_done_callback(lambda done: self._tell(done, made))
        return future

    def _applied(self, state: LiveState, events: tuple[Event, ...]) -> Decision:
        """Change the state; after a defect on the way nobody knows what it is, and it is made anew."""
        try:
            rows: list[Rows] = []
            for event in events:
                apply(state, event)
                rows += notice_rows(notices(state.events, event, state))
                if self._snapshots is not None:
                    self._snapshots.note(state.events, event)
        except BaseException as error:
            self._state = None
            self._wake.set()
            raise StoreError(f"the state of the market broke: {error}") from error
        return Decision(events=events, answer=answer_of(events), rows=tuple(rows))

    def _tell(self, future: "Future[Receipt]", made: list[tuple[Event, ...]]) -> None:
        error = future.exception()
        if isinstance(error, StoreError):
            self._wake.set()
            return
        if error is None and made and not future.result().repeated:
            self._acknowledged = max(self._acknowledged, future.result().last)
            self._announce(future.result().first, made[0])

    def _note(self, seq: int, event: Event) -> None:
        """Take in what no command made: which keys were answered."""
        if self._state is not None:
            apply(self._state, event)
        self._acknowledged = max(self._acknowledged, seq)
        self._announce(seq, (event,))

    def _announce(self, first: int, events: Sequence[Event]) -> None:
        for listener in tuple(self._listeners):
            listener(first, events)

    # --- what is due ------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                pause = self._look()
            except GridAgoraError as error:
                self._shut(str(error))
                pause = LONGEST_PAUSE_S
            self._wake.wait(pause)
            self._wake.clear()

    def _look(self) -> float:
        """Do what there is to be done; return the real seconds until there may be more."""
        if self._database is None:
            self._open()
        group = self._group
        if group is None:
            return self._follow()
        while not self._stop.is_set() and self._do_due(group):
            pass
        if self._snapshots is not None:
            self._keep_snapshot(group, self._snapshots)
        if self._next is None:
            return LONGEST_PAUSE_S
        return min(LONGEST_PAUSE_S, max(0.001, self.clock.seconds_until(self._next)))

    def _do_due(self, group: GroupCommit) -> bool:
        """Carry out the next step that is due; False where there is none."""
        state = self._state
        if state is None:
            raise StoreError("the state of the market is lost; it is made anew from the events")
        real, steps = time.monotonic(), self._steps
        made: list[tuple[Event, ...]] = []
        tried: list[LiveCommand] = []

        def decide() -> Decision:
            if self._state is not state:
                raise StoreError("the state of the market was lost; it is made anew from the events")
            if self._guard.leap_s(self.clock):
                self._next, self._shown = None, _shown(state)
                return Decision()
            now, waits = max(self.clock.now(), state.at), steps.waiting(real)
            wanted = due(state, now, without=waits)
            command = steps.instead(wanted, state)
            if wanted is None or command is None:
                self._next, self._shown = next_moment(state, without=waits), _shown(state)
                return Decision()
            tried.append(wanted)
            events = handle(state, command, self.context)
            made.append(events)
            return self._applied(state, events)

        future = group.submit(decide)
        future.add_done_callback(lambda done: self._tell(done, made))
        try:
            future.result()
        except StoreError:
            raise
        except Exception as error:  # the timetable goes on with what else is due, and tells what is stuck
            if not tried:
                raise StoreError(str(error)) from error
            steps.failed(tried[0], str(error), real)
        return bool(tried)

    def _follow(self) -> float:
        """Try to take the writer's place; tell listeners what it wrote."""
        database = self.database
        post = self._post
        if post is not None and not post.usable:
            raise StoreError("the database cannot be reached")
        try:
            store = SqlStore(database, self.name)
        except MarketTaken:
            self._read_along(database)
            return 0.2
        with self._door:
            self._begin(store)
        return 0.0

    def _read_along(self, database: Database) -> None:
        head = database.head(self.name)
        self._shown = {"events": head.seq, "head": head.hash}
        if not self._listeners:
            self._seen = head.seq
            return
        for event in database.events(self.name, after=self._seen):
            self._seen += 1
            self._announce(self._seen, (event,))


def _failed(error: Exception) -> "Future[Receipt]":
    future: Future[Receipt] = Future()
    future.set_exception(error)
    return future


def _check_nothing_lost(store: SqlStore, acknowledged: int) -> None:
    """Refuse a database that came back with fewer events than it had."""
    if store.count < acknowledged:
        raise StoreError(
            f"the database came back with {store.count} events, and {acknowledged} were acknowledged; "
            "bring back what is missing"
        )


def _shown(state: LiveState) -> Mapping[str, Any]:
    """Return what everybody may know of a market's state."""
    terms = state.open_terms
    return {
        "at": state.at,
        "events": state.events,
        "participants": len(state.register.all("participant")),
        "sessions": {
            "open": [s.times.number for s in state.kept() if s.status == "open"][:100],
            "next_gate": terms.session(state.next_close).gate,
            "cleared": state.next_close - state.first,
            "settled": state.next_settle - state.first,
        },
    }
