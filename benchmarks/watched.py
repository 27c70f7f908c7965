"""The service in a process that shows what it has in hand, and that starts in half a second.

``python -m benchmarks.watched`` reads all that the service is made of, then forks for each order that it is
sent.  The child is `gridagora serve` itself; only, what it has in hand is marked in a file that others map:
one byte for each of `PHASES`.  So who kills it knows afterwards in the middle of what it was.
"""

import gc
import importlib
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.served import Server

PHASES = (
    "start",
    "bid",
    "bulk",
    "job",
    "payment",
    "readings",
    "clearing",
    "settling",
    "snapshot",
    "disk",
)
"""What a service may be at; ``disk``: a transaction is being written."""

PLACE = {name: place for place, name in enumerate(PHASES)}
MODULES = (
    *("uvicorn", "uvloop", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite"),
    *("gridagora.cli", "gridagora.cli_serve", "gridagora.service.lines", "gridagora.service.serving"),
)
"""All that the service is made of: read once, before the first fork."""

SNAPSHOT_EVERY = 100
"""Events after which a snapshot of the state is kept: so that some kills fall into it."""

OF_COMMAND = {
    "DepositMoney": "payment",
    "WithdrawMoney": "payment",
    "TakeReadings": "readings",
    "CloseGate": "clearing",
    "SettleLiveSession": "settling",
}


class Signs:
    """The bytes in which a service shows what it has in hand.

    Parameters
    ----------
    path : of the file, which is made where it is not there
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(len(PHASES))
            self._bytes = mmap.mmap(file.fileno(), len(PHASES))

    def put(self, phase: str, here: bool) -> None:
        """Note that a phase begins, or has ended."""
        self._bytes[PLACE[phase]] = here

    def has(self, phase: str) -> bool:
        """Return whether the service is in a phase."""
        return bool(self._bytes[PLACE[phase]])

    def now(self) -> tuple[str, ...]:
        """Return all phases that the service is in."""
        return tuple(name for name in PHASES if self.has(name))

    def clear(self) -> None:
        """Forget all: the service is gone."""
        self._bytes[:] = bytes(len(PHASES))


def watch(signs: Signs) -> None:
    """Let this process show what it has in hand, and keep a snapshot more often than others do."""
    from gridagora.adapters.live_snapshots import Snapshots
    from gridagora.adapters.sql.store import SqlStore
    from gridagora.engine.live.machine import handle
    from gridagora.service import serving
    from gridagora.service.jobs import Jobs

    keep = SqlStore.keep

    @wraps(handle)
    def shown(state: Any, command: Any, context: Any) -> Any:
        kind = type(command).__name__
        many = kind == "SubmitBids" and len(command.period) > 1
        phase = "bulk" if many else OF_COMMAND.get(kind, "bid" if kind == "SubmitBids" else "")
        if phase:
            signs.put(phase, True)
        return handle(state, command, context)

    @wraps(keep)
    def kept(store: Any, decisions: Any, *more: Any, **others: Any) -> Any:
        signs.put("disk", bool(decisions))
        try:
            return keep(store, decisions, *more, **others)
        finally:
            for name in ("disk", "bid", "bulk", *OF_COMMAND.values()):
                signs.put(name, False)

    for module in tuple(sys.modules.values()):
        if getattr(module, "handle", None) is handle:
            module.handle = shown
    SqlStore.keep = kept
    Snapshots.__init__.__kwdefaults__["every"] = SNAPSHOT_EVERY
    Snapshots._write = during(signs, "snapshot", Snapshots._write)
    Jobs._carry_out = during(signs, "job", Jobs._carry_out)
    serving.Live = during(signs, "start", serving.Live)


def during(signs: Signs, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that shows a phase while it works."""

    @wraps(work)
    def shown(*arguments: Any, **named: Any) -> Any:
        signs.put(phase, True)
        try:
            return work(*arguments, **named)
        finally:
            signs.put(phase, False)

    return shown


class Nursery:
    """The process that forks: `Watched` servers are its children."""

    def __enter__(self) -> "Nursery":
        command = [sys.executable, "-m", "benchmarks.watched"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)

    def ask(self, order: dict[str, Any]) -> Any:
        """Send an order and return the answer."""
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Child:
    """A child of the nursery, with the methods of `subprocess.Popen` that are needed."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self._code: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        if self._code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        if self._code is None:
            self._code = self._nursery.ask({"wait": self.pid, "long": False})
        return self._code

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end; return its exit code."""
        if self._code is None:
            self._code = self._nursery.ask({"wait": self.pid, "long": True})
        return int(self._code)


class Watched(Server):
    """A server that shows what it has in hand, forked from a nursery.

    Parameters
    ----------
    nursery : that forks
    folder : for its signs and what it prints
    """

    def __init__(self, url: str, *, nursery: Nursery, folder: Path, speed: float = 1.0) -> None:
        super().__init__(url, speed=speed)
        self._nursery, self._folder = nursery, folder
        self.signs = Signs(folder / f"signs-{self.port}")

    def launch(self) -> None:
        """Start, and wait for nothing."""
        path = self._folder / f"said-{self.port}"
        self.log = path.open("w+b")
        self.signs.clear()
        self.signs.put("start", True)
        order = {"options": self.options, "log": str(path), "signs": str(self._folder / f"signs-{self.port}")}
        self.process = Child(self._nursery, self._nursery.ask(order))


def _become(order: dict[str, Any]) -> None:
    """Be the service; never returns."""
    from gridagora.cli import main

    with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        for output in (1, 2):
            os.dup2(log.fileno(), output)
    watch(Signs(Path(order["signs"])))
    sys.argv = ["gridagora", "serve", *order["options"]]
    code: Any = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _nurse() -> None:
    """Fork for each order that comes, until there are no more; then end the children that are left."""
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    children = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], 0 if order["long"] else os.WNOHANG)
            children.discard(pid)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                _become(order)
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _nurse()
