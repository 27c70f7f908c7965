"""What people do in a served market, and the memory of what was acknowledged to them.

`Traffic` bids, pays and sends readings until the server is gone; `Ledger` is the truth that the server is
held against afterwards; `ask_again` sends once more, under its key, what was never answered.
"""

import random
import time
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Any

from benchmarks.served import GONE, NAMES, Client

SAME = ("bid", "bulk")
"""Kinds of commands whose answer is the same whenever they are repeated."""

BULK = 40
LOOK_BACK = 9
"""Sessions that are looked at are so far behind the open ones at most."""

LONGEST_S = 30.0
"""What is not answered after so long, however often one asks, never is."""

PAUSE_S = 0.01
"""Between two single bids of one thread: the book shall not grow faster than it can be read again."""


class Ledger:
    """What clients sent, what was acknowledged of it, and what they were told.

    Commands have keys such as ``bid-3-0-17``; the word before the first dash is their kind.

    Parameters
    ----------
    seed : of chance
    may_be_down : whether 503 is an answer: nobody knows then whether the command was carried out
    """

    def __init__(self, seed: int = 0, *, may_be_down: bool = False) -> None:
        self.may_be_down = may_be_down
        self.rng, self.lock = random.Random(seed), Lock()
        self.sent: dict[str, tuple[str, Any]] = {}
        self.done: dict[str, Any] = {}
        self.refused: dict[str, Any] = {}
        self.down: list[tuple[Any, dict[str, str]]] = []
        self.trades: dict[str, Any] = {}
        self.settlements: dict[tuple[str, int], Any] = {}

    def put(self, key: str, path: str, body: Any) -> None:
        """Note a command before it is sent."""
        with self.lock:
            self.sent[key] = (path, body)

    def note(self, key: str, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
        """Note an answer; the same command is always answered the same."""
        with self.lock:
            if status == 503 and self.may_be_down:
                if headers is not None:  # not told by the end of a job
                    self.down.append((told, headers))
                return
            if 200 <= status < 300:
                assert key not in self.refused, f"{key} was refused, then taken: {told}"
                if key in self.done and kind_of(key) in SAME:
                    assert self.done[key] == told, f"{key}: {self.done[key]}, then {told}"
                self.done[key] = told
            else:
                assert status in (409, 422), (key, status, told)
                assert key not in self.done, f"{key} was taken, then refused: {told}"
                self.refused[key] = told

    def hear(self, seen: dict[Any, Any], which: Any, told: Any) -> None:
        """Note what was told of something that never changes."""
        with self.lock:
            known = seen.setdefault(which, told)
        assert known == told, f"{which}: {known}, then {told}"

    def answered(self, status: int, told: Any, headers: dict[str, str]) -> bool:
        """Return whether a question was answered; note where the store could not be used."""
        if status == 503 and self.may_be_down:
            with self.lock:
                self.down.append((told, headers))
            return False
        assert status == 200, (status, told)
        return True

    def unknown(self) -> list[str]:
        """Return the commands of which nobody knows whether they were carried out."""
        with self.lock:
            return [key for key in self.sent if key not in self.done and key not in self.refused]

    def acknowledged(self, *kinds: str) -> dict[str, Any]:
        """Return the answers to the commands of some kinds that were carried out, by their keys."""
        return {key: told for key, told in self.done.items() if kind_of(key) in kinds}


def kind_of(key: str) -> str:
    """Return the kind of a command: ``"bid"``, ``"bulk"``, ``"pay"``, ``"draw"`` or ``"read"``."""
    return key.partition("-")[0]


class Traffic:
    """Threads that bid one by one, in bulk and by jobs, pay in and out, send readings and look.

    Parameters
    ----------
    port : of the server
    ledger : notes all of it
    tag : tells keys of one traffic from those of another
    """

    def __init__(self, port: int, ledger: Ledger, tag: object) -> None:
        self.port, self.ledger, self.tag, self.over = port, ledger, tag, Event()
        self.faults: list[str] = []
        pool = (self.bid, self.bid, self.bulk)
        work = [*((one, "pool") for one in pool), *((one, "op") for one in (self.pay, self.read, self.look))]
        self.threads = [Thread(target=self._run, args=(*one, n)) for n, one in enumerate(work)]

    def start(self) -> "Traffic":
        """Begin."""
        for one in self.threads:
            one.start()
        return self

    def end(self) -> None:
        """Stop, and wait for all."""
        self.over.set()
        for one in self.threads:
            one.join(60)
            assert not one.is_alive()
        assert not self.faults, self.faults

    def _run(self, work: Callable[[Client, int], None], name: str, number: int) -> None:
        try:
            with Client(self.port, name) as client:
                work(client, number)
        except GONE as error:
            if self.ledger.may_be_down:  # the server stays, whatever its database does
                self.faults.append(repr(error))
        except Exception as error:
            self.faults.append(repr(error))

    def bid(self, client: Client, number: int) -> None:
        """Bid, each in the next sessions."""
        count, rng = 0, random.Random(f"{self.tag}-{number}")
        while not self.over.is_set():
            open_ = self._open(client)
            for _ in range(20):
                count += 1
                body = {
                    "participant": rng.choice(NAMES),
                    "period": 4 * rng.choice(open_[:2]) + rng.randrange(4),
                    "side": rng.choice(("buy", "sell")),
                    "price_micro": rng.randrange(80_000, 300_000),
                    "quantity_wh": rng.randrange(1, 2_000),
                }
                self._send(client, f"bid-{self.tag}-{number}-{count}", "/api/v1/bids", body)
                if self.over.wait(PAUSE_S):
                    return

    def bulk(self, client: Client, number: int) -> None:
        """Bid many times at once; every second time by a job, which is asked for until it has ended."""
        count, rng = 0, random.Random(f"{self.tag}-{number}")
        while not self.over.wait(0.1):
            count += 1
            session = self._open(client)[-1]
            bids = [
                {
                    "period": 4 * session + k % 4,
                    "side": rng.choice(("buy", "sell")),
                    "price_micro": rng.randrange(80_000, 300_000),
                    "quantity_wh": rng.randrange(1, 50),
                }
                for k in range(BULK)
            ]
            body = {"participant": rng.choice(NAMES), "session": session, "bids": bids}
            key, path = f"bulk-{self.tag}-{count}", "/api/v1/bids/bulk"
            if count % 2:
                self._send(client, key, path, body)
            else:
                self._by_job(client, key, path, body=body)

    def _by_job(self, client: Client, key: str, path: str, *, body: Any) -> None:
        self.ledger.put(key, path, body)
        headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
        status, job, told = client.ask("POST", path, body, **headers)
        if status != 202:
            self.ledger.note(key, status, job, told)
            return
        where = told["location"]
        while job.get("status") in ("waiting", "running"):
            time.sleep(10 * PAUSE_S)
            status, found, told = client.ask("GET", where)
            job = found if self.ledger.answered(status, found, told) else job
        failed = job["problem"]
        self.ledger.note(key, *((201, job["result"]) if failed is None else (failed["status"], failed)))

    def pay(self, client: Client, number: int) -> None:
        """Book deposits, and now and then a withdrawal."""
        count = 0
        while not self.over.wait(0.02):
            count += 1
            kind, what = ("draw", "withdrawals") if count % 5 == 0 else ("pay", "deposits")
            key = f"{kind}-{self.tag}-{count}"
            body = {"amount_micro": 1_000_000 + count, "reference": key}
            self._send(client, key, f"/api/v1/accounts/{NAMES[count % 4]}/{what}", body)

    def read(self, client: Client, number: int) -> None:
        """Send the readings of sessions that are in delivery."""
        told = set()
        while not self.over.wait(0.05):
            answer = client.ask("GET", "/api/v1/sessions?status=published&limit=50")
            for one in answer[1]["items"] if self.ledger.answered(*answer) else ():
                if one["session"] not in told:
                    told.add(one["session"])
                    rows = [
                        {
                            "participant": name,
                            "period": one["first_period"] + k,
                            "import_wh": 500,
                            "export_wh": 900 * row,
                        }
                        for row, name in enumerate(NAMES)
                        for k in range(one["periods"])
                    ]
                    key = f"read-{self.tag}-{one['session']}"
                    self._send(client, key, "/api/v1/readings/bulk", {"readings": rows})

    def look(self, client: Client, number: int) -> None:
        """Note trades and settlements of the last sessions."""
        rng = random.Random(f"{self.tag}-{number}")
        while not self.over.wait(0.1):
            look(client, self.ledger, self._open(client)[0] - rng.randrange(1, LOOK_BACK))

    def _open(self, client: Client) -> list[int]:
        """Return the sessions that take bids; waits where the market does not answer now."""
        while True:
            answer = client.ask("GET", "/api/v1/market")
            if self.ledger.answered(*answer) and answer[1]["open_sessions"]:
                return list(answer[1]["open_sessions"])
            time.sleep(0.1)

    def _send(self, client: Client, key: str, path: str, body: Any) -> None:
        self.ledger.put(key, path, body)
        status, told, headers = client.ask("POST", path, body, **{"Idempotency-Key": key})
        self.ledger.note(key, status, told, headers)
        if status == 503:
            time.sleep(0.05)


def look(client: Client, ledger: Ledger, session: int) -> None:
    """Note trades and settlements of a session; what was told of one before is the same now."""
    for path, seen, which in (
        ("trades", ledger.trades, lambda one: one["id"]),
        ("settlements", ledger.settlements, lambda one: (one["participant"], one["session"])),
    ):
        answer = client.ask("GET", f"/api/v1/{path}?session={max(0, session)}&limit=1000")
        for one in answer[1]["items"] if ledger.answered(*answer) else ():
            ledger.hear(seen, which(one), one)


def ask_again(port: int, ledger: Ledger) -> int:
    """Ask again for all that was not answered, and for some that was: the answers are the same.

    Returns how many commands were not answered before.
    """
    unknown = ledger.unknown()
    some = sorted(ledger.done)
    again = unknown + ledger.rng.sample(some, min(20, len(some)))
    with Client(port, "pool") as pool, Client(port, "op") as operator:
        end = time.monotonic() + LONGEST_S
        while again and time.monotonic() < end:
            for key in again:
                path, body = ledger.sent[key]
                client = pool if kind_of(key) in SAME else operator
                ledger.note(key, *client.ask("POST", path, body, **{"Idempotency-Key": key}))
            again = ledger.unknown()
    assert not ledger.unknown()
    return len(unknown)
