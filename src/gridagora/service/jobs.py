"""Long work: the request is answered with 202 and a job, whose state can be asked for."""

import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event as Flag
from typing import Any

from sqlalchemy import ColumnElement, case, delete, insert, select, update

from gridagora.errors import GridAgoraError, StoreError
from gridagora.service.auth.desk import Desk
from gridagora.service.auth.tables import jobs
from gridagora.service.problems import LOG, Problem, of_error

MOST_WAITING = 100
MOST_HELD = 256 << 20
"""Bytes of the bodies that jobs hold while they wait, together."""

PROGRESS_S = 0.5
"""Progress is written down so often at most, s: each time is a transaction."""

UNDER_WAY = ("waiting", "running")
ALL = case((jobs.c.total > 0, jobs.c.total), else_=1)
"""How far a job is that is done."""

AGAIN_S = 0.5
"""So long until a change of a job that could not be kept is tried again, s."""

Progress = Callable[[int, int], None]
Work = Callable[[Progress], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A piece of long work.

    Parameters
    ----------
    id, owner, kind : which, whose, and what for
    status : ``"waiting"``, ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``
    done, total : how far it is; total 0 where that is not known; once it is done they are
        the same, 1 where nothing was counted
    made_at, changed_at : moments
    result : JSON values, when it is done
    problem : problem document, when it has failed
    """

    id: str
    owner: str
    kind: str
    status: str
    done: int
    total: int
    made_at: int
    changed_at: int
    result: Mapping[str, Any] | None
    problem: Mapping[str, Any] | None


class _Cancelled(GridAgoraError):  # noqa: N818 - ends a piece of work that nobody wants any more
    """The job was cancelled."""


def _name(key: str, request: bytes) -> str:
    """Return the id of a job: for a request with an idempotency key always the same."""
    if not key:
        return f"job-{secrets.token_hex(12)}"
    return f"job-{hashlib.sha256(key.encode()).hexdigest()[:16]}{request.hex()[:8]}"


def _of_key(id: str) -> ColumnElement[bool]:
    """Return the condition that a job is of the same key, whatever was asked with it."""
    return jobs.c.id.startswith(id[:-8], autoescape=True)


class Jobs:
    """Carries out long work in one thread, and keeps its state in the database where every process sees it.

    Parameters
    ----------
    desk : database and clock
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._waiting = self._held = 0
        self._closed = Flag()
        self._fail_those_left_behind()

    def start(
        self, owner: str, kind: str, work: Work, *, key: str = "", request: bytes = b"", held: int = 0
    ) -> Job:
        """Take on a piece of work; called in a thread.

        Parameters
        ----------
        owner : identity that asked for it
        kind : what it is, a word
        work : is called with a progress callback (done, total) and returns the result as JSON values
        key, request : idempotency key and hash of the request: the same again is the same job, which begins
            anew where it had failed or was cancelled
        held : bytes that it keeps while it waits

        Raises
        ------
        Problem
            ``busy`` where too much waits already, ``idempotency_key_reused`` for a key of another request.
        """
        if self._waiting >= MOST_WAITING or self._held + held > MOST_HELD:
            raise Problem("busy", "too many jobs wait already", headers={"Retry-After": "10"})
        now, id = self._desk.now(), _name(key, request)
        with self._desk.writing() as connection:
            known = connection.execute(select(jobs.c.id, jobs.c.status).where(_of_key(id))).first()
            if known is not None and known.id != id:
                raise Problem("idempotency_key_reused")
            is_new = known is None or known.status in ("failed", "cancelled")
            if is_new:
                connection.execute(delete(jobs).where(jobs.c.id == id))
                connection.execute(
                    insert(jobs).values(
                        id=id, owner=owner, kind=kind, status="waiting", worker=self._worker,
                        done=0, total=0, made_at=now, changed_at=now,
                    )
                )  # fmt: skip
        if is_new:
            self._waiting += 1
            self._held += held
            self._pool.submit(self._carry_out, id, work, held)
        return self.get(id)

    def cancel(self, id: str) -> Job:
        """Cancel a job that has not ended, which then stops at its next step; called in a thread."""
        self._change(id, UNDER_WAY, status="cancelled")
        return self.get(id)

    def get(self, id: str) -> Job:
        """Return a job; called in a thread.

        Raises
        ------
        Problem
            ``not_found`` where there is none.
        """
        with self._desk.reading() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == id)).first()
        if row is None:
            raise Problem("not_found", f"there is no job {id}")
        values = {name: value for name, value in row._mapping.items() if name != "worker"}
        for name in ("result", "problem"):
            values[name] = None if values[name] is None else json.loads(values[name])
        return Job(**values)

    def close(self) -> None:
        """Let the work in hand end; what waits is told as failed."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._fail_those_left_behind()

    def _carry_out(self, id: str, work: Work, held: int) -> None:
        self._waiting -= 1
        try:
            if self._surely(id, UNDER_WAY, status="running"):
                result = work(self._progress(id))
                told = json.dumps(result)
                self._surely(id, ("running", "done"), status="done", done=ALL, total=ALL, result=told)
        except _Cancelled:
            LOG.info("job %s was cancelled", id)
        except Exception as error:
            problem = of_error(error)
            LOG.error("job %s failed", id, exc_info=error if problem.status == 500 else None)
            told = json.dumps(problem.document(id))
            self._surely(id, ("running", "failed"), status="failed", problem=told)
        finally:
            self._held -= held

    def _progress(self, id: str) -> Progress:
        """Return what a piece of work tells its progress; it raises where the job was cancelled."""
        told = -PROGRESS_S

        def tell(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= PROGRESS_S:
                told = time.monotonic()
                if not self._change(id, ("running",), done=done, total=total):
                    raise _Cancelled

        return tell

    def _change(self, id: str, was: tuple[str, ...], **values: Any) -> bool:
        """Change a job that has one of some states; tell whether it had."""
        changed = update(jobs).where(jobs.c.id == id, jobs.c.status.in_(was))
        with self._desk.writing() as connection:
            return connection.execute(changed.values(**values, changed_at=self._desk.now())).rowcount == 1

    def _surely(self, id: str, was: tuple[str, ...], **values: Any) -> bool:
        """Change a job; while the store cannot be used wait until it can: somebody asks for the job.

        The state that it shall have is one of those that it may have: a change may be kept and not answered.
        """
        while True:
            try:
                return self._change(id, was, **values)
            except StoreError:
                if self._closed.wait(AGAIN_S):
                    raise

    def _fail_those_left_behind(self) -> None:
        """Tell what this worker left behind when it last stopped as failed."""
        problem = json.dumps(Problem("internal_error", "the service stopped; ask again").document())
        here = jobs.c.worker.startswith(f"{socket.gethostname()}:", autoescape=True)
        with self._desk.writing() as connection:
            left = select(jobs.c.id, jobs.c.worker).where(here, jobs.c.status.in_(UNDER_WAY))
            gone = [row.id for row in connection.execute(left) if not self._is_elsewhere(row.worker)]
            connection.execute(
                update(jobs).where(jobs.c.id.in_(gone)).values(status="failed", problem=problem)
            )

    def _is_elsewhere(self, worker: str) -> bool:
        """Tell whether another process of this machine that still runs works on it."""
        number = int(worker.rpartition(":")[2])
        if number == os.getpid():
            return False
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
