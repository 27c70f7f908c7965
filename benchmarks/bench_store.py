"""The durable store: events a second on SQLite, each on disk before it is answered; reading them back.

A command here is a bid for one period, its idempotency key, and the answer that is kept with it.  Databases
lie in the system's folder for temporary files; figures depend on how fast its disk is.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.group import GroupCommit
from gridagora.adapters.sql.store import Decision, SqlStore
from gridagora.model.flexibility_events import FlexBidsSubmitted

Figure = dict[str, Any]

COMMANDS = 20_000


def run() -> list[Figure]:
    """Return commands a second one by one and in groups, and how fast they are checked."""
    with tempfile.TemporaryDirectory() as folder:
        single = _seconds(Path(folder, "single.db"), COMMANDS // 20, together=1)
        hundred = _seconds(Path(folder, "hundred.db"), COMMANDS, together=100)
        threads = _group_seconds(Path(folder, "group.db"), COMMANDS)
        check, anew = _read_seconds(Path(folder, "group.db"))
    return [
        _rate("commands kept one by one", COMMANDS // 20 / single, least=100),
        _rate("commands kept 100 together", COMMANDS / hundred, least=5_000),
        _rate("commands by GroupCommit", COMMANDS / threads, least=3_000),
        _rate("events verified", COMMANDS / check, least=2_000),
        _rate("events replayed", COMMANDS / anew, least=2_000),
    ]


def _rate(name: str, value: float, *, least: float) -> Figure:
    return {"name": name, "value": value, "limit": least, "unit": "1/s", "sense": "at least"}


def bid(number: int) -> Decision:
    """Return what a single bid leads to."""
    one = np.ones(1, np.int64)
    event = FlexBidsSubmitted(
        at=number,
        auction=0,
        participant=one,
        period=one,
        side=np.ones(1, np.int8),
        step=one,
        price=np.array([0.25]),
        quantity_kw=np.array([4.0]),
        group=np.array([""]),
    )
    return Decision(events=(event,), answer='{"bid": 1}', key=f"key {number}", request=b"r" * 32)


def _seconds(path: Path, count: int, *, together: int) -> float:
    with Database(str(path), write=True, create=True) as database:
        store = SqlStore(database, "market")
        started = time.perf_counter()
        for first in range(0, count, together):
            store.keep([bid(number) for number in range(first, first + together)])
        return time.perf_counter() - started


def _group_seconds(path: Path, count: int) -> float:
    with (
        Database(str(path), write=True, create=True) as database,
        GroupCommit(SqlStore(database, "market")) as group,
    ):
        started = time.perf_counter()
        waiting = [group.submit(lambda n=n: bid(n), key=f"key {n}", request=b"r" * 32) for n in range(count)]
        for future in waiting:
            future.result()
        return time.perf_counter() - started


def _read_seconds(path: Path) -> tuple[float, float]:
    with Database(str(path)) as database:
        started = time.perf_counter()
        found = verify(database, "market").findings
        between = time.perf_counter()
        found += replay(database, "market").findings
        if found:
            raise RuntimeError(found)
        return between - started, time.perf_counter() - between
