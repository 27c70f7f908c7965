"""When a live market's state is kept as a snapshot: now and then while it runs, and when it is closed."""

import gc
import time
from threading import Thread

from gridagora.adapters.live_notices import up_to_date
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.snapshots import Snapshot, known_state, snapshots_of, write_snapshot
from gridagora.adapters.sql.states import Held, encode_state, state_version
from gridagora.engine.live.copying import copy_state
from gridagora.engine.live.state import LiveState
from gridagora.errors import GridAgoraError
from gridagora.model.events import Event

EVERY = 20_000
"""Events after which a snapshot is made: a start goes through no more of them than about so many."""

LEAST = 1_000
"""Events that make a snapshot worth its while after `AFTER_S`, and at the close."""

AFTER_S = 900.0
"""Real seconds after which a market with few events is kept too."""

YIELD_S = 0.0005
"""Given to other threads after each session that is written."""


class Snapshots:
    """Keeps the state of the market that this program writes.

    The writer's thread makes a copy, which takes some milliseconds; a thread of its own writes it in small
    parts.  What goes wrong on the way costs nothing but the snapshot.

    Parameters
    ----------
    database : open for writing
    name : of the market
    every : events after which a snapshot is made

    Notes
    -----
    ``failed`` says why the last one could not be kept, "" where it was.
    """

    def __init__(self, database: Database, name: str, *, every: int = EVERY) -> None:
        self._database = database
        self._name = name
        self._market = database.head(name).market
        self._every = every
        self._real = time.monotonic()
        self._writing: Thread | None = None
        self._held = Held()
        self._newest = 0
        self._seqs: tuple[frozenset[int], int] = (frozenset(), 0)
        self.failed = ""

    def begin(self) -> LiveState:
        """Return the state of now, by the newest snapshot and the events after it."""
        newest = next((one.seq for one in snapshots_of(self._database, self._market)), 0)
        found = up_to_date(self._database, self._name) or known_state(self._database, self._name)
        state, self._held = found
        self._newest = min(newest, state.events)
        return state

    def note(self, seq: int, event: Event) -> None:
        """Note an event that was applied."""
        self._held.note(seq, event)

    def wanted(self, events: int) -> bool:
        """Tell whether it is time for a snapshot of a state after so many events."""
        if self._writing is not None and self._writing.is_alive():
            return False
        new = events - self._newest
        return new >= self._every or (new >= LEAST and time.monotonic() - self._real >= AFTER_S)

    def copy(self, state: LiveState) -> LiveState:
        """Return a copy of the state, made in the thread that changes it."""
        seqs, before = self._seqs
        self._held.forget(seqs, before=before)
        collects = gc.isenabled()
        gc.disable()  # a collection on the way would look at all that is there, and find nothing
        try:
            return copy_state(state)
        finally:
            if collects:
                gc.enable()

    def keep(self, copied: LiveState) -> None:
        """Write a copy, whose events are on disk, in a thread of its own."""
        self._newest, self._real = copied.events, time.monotonic()
        self._writing = Thread(target=self._write, args=(copied,), name="snapshot", daemon=True)
        self._writing.start()

    def close(self, state: LiveState | None) -> None:
        """Wait for what is being written, then keep the last state, which nobody changes any more."""
        if self._writing is not None:
            self._writing.join()
        if state is None or state.events - self._newest < LEAST:
            return
        if self._database.head(self._name).seq == state.events:
            self._write(state, pause_s=0.0)

    def _write(self, state: LiveState, *, pause_s: float = YIELD_S) -> None:
        try:
            body, seqs = encode_state(state, self._held, pause=lambda: time.sleep(pause_s))
            snapshot = Snapshot(seq=state.events, version=state_version(), body=body)
            write_snapshot(self._database, self._market, snapshot)
            self._seqs, self.failed = (seqs, state.events), ""
        except (GridAgoraError, TypeError) as error:
            self.failed = str(error)
