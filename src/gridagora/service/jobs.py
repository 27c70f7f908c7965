"""Long work: the request is answered with 202 and a job, whose state can be asked for."""

import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from gridagora.service.auth.desk import Desk
from gridagora.service.auth.tables import jobs
from gridagora.service.problems import LOG, Problem, of_error

MOST_WAITING = 100
Progress = Callable[[int, int], None]
Work = Callable[[Progress], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A piece of long work.

    Parameters
    ----------
    id, owner, kind : which, whose, and what for
    status : ``"waiting"``, ``"running"``, ``"done"`` or ``"failed"``
    done, total : how far it is; total 0 where that is not known
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
        self._waiting = 0
        self._fail_those_left_behind()

    def start(self, owner: str, kind: str, work: Work) -> Job:
        """Take on a piece of work; called in a thread.

        Parameters
        ----------
        owner : identity that asked for it
        kind : what it is, a word
        work : is called with a progress callback (done, total) and returns the result as JSON values

        Raises
        ------
        Problem
            ``busy`` where too much waits already.
        """
        if self._waiting >= MOST_WAITING:
            raise Problem("busy", "too many jobs wait already", headers={"Retry-After": "10"})
        now, id = self._desk.now(), f"job-{secrets.token_hex(12)}"
        with self._desk.writing() as connection:
            connection.execute(
                insert(jobs).values(
                    id=id, owner=owner, kind=kind, status="waiting", worker=self._worker,
                    done=0, total=0, made_at=now, changed_at=now,
                )
            )  # fmt: skip
        self._waiting += 1
        self._pool.submit(self._carry_out, id, work)
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
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._fail_those_left_behind()

    def _carry_out(self, id: str, work: Work) -> None:
        self._waiting -= 1
        try:
            self._change(id, status="running")
            result = work(lambda done, total: self._change(id, done=done, total=total))
            self._change(id, status="done", result=json.dumps(result))
        except Exception as error:
            problem = of_error(error)
            LOG.error("job %s failed", id, exc_info=error if problem.status == 500 else None)
            self._change(id, status="failed", problem=json.dumps(problem.document(id)))

    def _change(self, id: str, **values: Any) -> None:
        with self._desk.writing() as connection:
            connection.execute(
                update(jobs).where(jobs.c.id == id).values(**values, changed_at=self._desk.now())
            )

    def _fail_those_left_behind(self) -> None:
        """Tell what this worker left behind when it last stopped as failed."""
        problem = json.dumps(Problem("internal_error", "the service stopped; ask again").document())
        here = jobs.c.worker.startswith(f"{socket.gethostname()}:", autoescape=True)
        with self._desk.writing() as connection:
            left = select(jobs.c.id, jobs.c.worker).where(here, jobs.c.status.in_(("waiting", "running")))
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
