"""Group commit: commands of many threads, carried out one after the other, kept in one transaction."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import TracebackType

from gridagora.adapters.sql.database import quiet
from gridagora.adapters.sql.store import Decision, Receipt, SqlStore, same_request
from gridagora.errors import StoreError
from gridagora.model.events import Event

MOST_TOGETHER = 512
"""Commands of one transaction at most: a bound for how long the first of them waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Submission:
    """A command that waits: what decides it, its key and hash, and where the answer goes."""

    decide: Callable[[], Decision]
    key: str
    request: bytes
    answer: "Future[Receipt]"


class GroupCommit:
    """One thread that carries out commands and keeps what they lead to, as many together as are waiting.

    A command is a function that looks at the state of the market, changes it, and returns its `Decision`.
    All of them run in this one thread, so they need no locks.  Whoever gave a command is answered when it is
    on disk.  A command that raises has changed nothing, and whoever gave it gets the error.  When a write
    fails the thread takes no more commands: the state in memory is then ahead of the disk, and the program
    must begin anew from the events.

    Parameters
    ----------
    store : the market
    most : commands of one transaction at most
    told : called with the number and the event of answers that were kept, in the writing thread, after those
        who gave the commands were answered; an error stops the store

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.adapters.sql.database import Database
    >>> from gridagora.model.events import StudyOpened
    >>> event = StudyOpened(at=0, name="a", seed=0, participants=("x",), rules="")
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     with GroupCommit(SqlStore(database, "village")) as group:
    ...         opening = lambda: Decision(events=(event,), answer="opened")
    ...         first = group.submit(opening, key="k1", request=b"open").result()
    ...         again = group.submit(opening, key="k1", request=b"open").result()
    >>> first.answer, first.repeated, again.answer, again.repeated
    ('opened', False, 'opened', True)
    """

    def __init__(
        self, store: SqlStore, *, most: int = MOST_TOGETHER, told: Callable[[int, Event], None] = quiet
    ) -> None:
        self._store = store
        self._told = told
        self._most = most
        self._queue: SimpleQueue[_Submission | None] = SimpleQueue()
        self._door = Lock()
        self._closed: str | None = None
        self._thread = Thread(target=self._work, name=f"store {store.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> "GroupCommit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self, decide: Callable[[], Decision], *, key: str = "", request: bytes = b""
    ) -> "Future[Receipt]":
        """Hand in a command; the receipt comes when what it led to is on disk.

        Parameters
        ----------
        decide : carries the command out and returns what it leads to; runs in the store's thread
        key : idempotency key; a command whose key was used before is not carried out again
        request : hash of the command

        Returns
        -------
        future : its result is the receipt, or an error: `CommandConflict` for a key that was used for another
            request, `StoreError` when the store has stopped, or what ``decide`` raises
        """
        answer: Future[Receipt] = Future()
        with self._door:
            if self._closed is not None:
                answer.set_exception(StoreError(self._closed))
            else:
                self._queue.put(_Submission(decide=decide, key=key, request=request, answer=answer))
        return answer

    def close(self) -> None:
        """Finish what was handed in, then take no more."""
        with self._door:
            self._closed = self._closed or "the store is closed"
            self._queue.put(None)
        self._thread.join()

    # --- the one thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._next()
            waiting = [one for one in batch if one.answer.set_running_or_notify_cancel()]
            try:
                self._carry_out(waiting)
            except BaseException as error:
                self._stop(waiting, error)
                open_ = False
        while not self._queue.empty():
            late = self._queue.get()
            if late is not None and late.answer.set_running_or_notify_cancel():
                late.answer.set_exception(StoreError(self._closed or "the store is closed"))

    def _next(self) -> tuple[list[_Submission], bool]:
        """Wait for a command; return it with all that came meanwhile, and False after the last."""
        batch: list[_Submission] = []
        one = self._queue.get()
        while one is not None:
            batch.append(one)
            if len(batch) >= self._most:
                return batch, True
            try:
                one = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _carry_out(self, batch: Sequence[_Submission]) -> None:
        """Decide a batch, keep it, and answer: first the disk, then the people."""
        keys = [one.key for one in batch if one.key]
        known = self._store.receipts(keys) if keys else {}
        mine: dict[str, tuple[bytes, int]] = {}
        decisions: list[Decision] = []
        outcomes: list[int | Receipt | Exception] = []
        for one in batch:
            try:
                if one.key in known:
                    outcomes.append(same_request(one.key, one.request, known[one.key]))
                elif one.key in mine:
                    request, place = mine[one.key]
                    nothing = Receipt(first=0, last=0, answer="")
                    same_request(one.key, one.request, (request, nothing))
                    outcomes.append(-1 - place)
                else:
                    decided = replace(one.decide(), key=one.key, request=one.request)
                    if one.key:
                        mine[one.key] = (one.request, len(decisions))
                    outcomes.append(len(decisions))
                    decisions.append(decided)
            except Exception as error:
                outcomes.append(error)
        receipts = self._store.keep(decisions)
        for one, outcome in zip(batch, outcomes, strict=True):
            _answer(one, outcome, receipts)
        if self._store.answered is not None:
            self._told(*self._store.answered)

    def _stop(self, waiting: Sequence[_Submission], error: BaseException) -> None:
        with self._door:
            self._closed = f"the store has stopped, begin anew from the events; why it stopped: {error}"
        told = error if isinstance(error, StoreError) else StoreError(self._closed)
        for one in waiting:
            if not one.answer.done():
                one.answer.set_exception(told)


def _answer(one: _Submission, outcome: int | Receipt | Exception, receipts: Sequence[Receipt]) -> None:
    """Hand a command its outcome; a number >= 0 is its own receipt's place, -1 - place that of its twin."""
    if isinstance(outcome, Exception):
        one.answer.set_exception(outcome)
    elif isinstance(outcome, Receipt):
        one.answer.set_result(outcome)
    elif outcome >= 0:
        one.answer.set_result(receipts[outcome])
    else:
        one.answer.set_result(replace(receipts[-1 - outcome], repeated=True))
