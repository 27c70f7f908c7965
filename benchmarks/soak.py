"""Many people at one market on two services, one of which is killed: ``python -m benchmarks.soak``.

Two `gridagora serve --demo` share a PostgreSQL database (a server of its own from the development tools,
unless a URL is named).  Twenty people of every role use both: aggregators and homes bid, administrators book
deposits, grid operators, retailers and regulators look.  Every few seconds the service that writes the market
gets the signal KILL, and is started again later; the other takes its place.  People whose service does not
answer ask the other one, commands under the same key.

In the end every bid and deposit that was acknowledged is there once, all accounts together are 0, and
`gridagora verify` and `gridagora replay` find nothing.  Printed is how long it took until another service
wrote the market, how long people waited, and what they were answered.
"""

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event, Lock, Thread
from typing import Any

from benchmarks.served import GONE, Client, Server, postgresql

USERS = {"admin": 2, "regulator": 2, "dso": 2, "retailer": 2, "aggregator": 6, "home": 6}
"""People of each role."""

PATIENCE_S = 60.0
"""Who is not answered for so long gives up, and the soak has failed."""

PAUSE_S = (0.02, 0.2)
"""Between what one person asks."""

READS = {
    "admin": ("/api/v1/accounts?limit=50", "/api/v1/users", "/api/v1/participants?limit=50"),
    "regulator": ("/api/v1/trades?limit=50", "/api/v1/audit?limit=20", "/api/v1/settlements?limit=50"),
    "dso": ("/api/v1/limits", "/api/v1/schedules?limit=20", "/api/v1/flexibility/requests"),
    "retailer": ("/api/v1/participants?limit=20", "/api/v1/invoices", "/api/v1/prices?limit=96"),
    "aggregator": ("/api/v1/bids?limit=20", "/api/v1/trades?limit=20", "/api/v1/accounts?limit=20"),
    "home": ("/api/v1/accounts/home-01", "/api/v1/trades?limit=20", "/api/v1/notifications?limit=20"),
}


@dataclass(kw_only=True, slots=True)
class Seen:
    """What people sent and were told, all together.

    Parameters
    ----------
    bids, deposits : that were acknowledged: number and content of each bid, account and amount by reference
    statuses : how often which status was told
    waits : seconds from a question to its answer, over all attempts
    faults : what nobody should see
    """

    lock: Lock = field(default_factory=Lock)
    numbers: count = field(default_factory=lambda: count(1))
    bids: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    deposits: dict[str, tuple[str, int]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class User(Thread):
    """A person who signs in at one of two services, and goes to the other when it does not answer."""

    def __init__(self, role: str, number: int, ports: list[int], *, seen: Seen, over: Event) -> None:
        super().__init__(name=f"{role}-{number}")
        self.role, self.seen, self.over = role, seen, over
        self.rng = random.Random(self.name)
        self.ports = ports[number % 2 :] + ports[: number % 2]
        self.client: Client | None = None
        self.token = ""

    def run(self) -> None:
        """Do what the role does until it is over."""
        try:
            self._sign_in()
            while not self.over.wait(self.rng.uniform(*PAUSE_S)):
                if self.role in ("aggregator", "home") and self.rng.random() < 0.7:
                    self._bid()
                elif self.role == "admin" and self.rng.random() < 0.5:
                    self._pay()
                elif self.role == "dso" and self.rng.random() < 0.1:
                    self._limit()
                else:
                    self._ask("GET", self.rng.choice(READS[self.role]))
        except Exception as error:
            with self.seen.lock:
                self.seen.faults.append(f"{self.name}: {error!r}")
        finally:
            if self.client is not None:
                self.client.line.close()

    def _sign_in(self) -> None:
        from gridagora.service.demo.seed import PASSWORD

        end = time.monotonic() + PATIENCE_S
        while not self.token:
            try:
                with Client(self.ports[0], f"{self.role}@demo.example", password=PASSWORD) as client:
                    self.token = client.token
            except GONE:
                assert time.monotonic() < end, "nobody lets people in"
                self.ports.reverse()
        self._connect()

    def _connect(self) -> None:
        self.client = Client(self.ports[0])
        self.client.token = self.token

    def _other(self) -> None:
        """Go to the other service."""
        assert self.client is not None
        self.client.line.close()
        self.ports.reverse()
        self._connect()
        time.sleep(0.05)

    def _ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Ask until there is an answer; no answer but 503 is no answer of a service."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE_S:
            assert self.client is not None
            try:
                status, told, _ = self.client.ask(method, path, body, **headers)
            except GONE:
                status, told = 0, None
            with self.seen.lock:
                self.seen.statuses[status] += 1
            if status not in (0, 503):
                with self.seen.lock:
                    self.seen.waits.append(time.monotonic() - began)
                assert status < 500, (method, path, told)
                return status, told
            self._other()
        raise TimeoutError(f"nobody answered {method} {path}")

    def _number(self) -> int:
        with self.seen.lock:
            return next(self.seen.numbers)

    def _bid(self) -> None:
        _, market = self._ask("GET", "/api/v1/market")
        if not market["open_sessions"]:
            return
        number = self._number()
        home = 1 if self.role == "home" else self.rng.randrange(2, 22)
        body = {
            "participant": f"home-{home:02d}",
            "period": 4 * self.rng.choice(market["open_sessions"]) + self.rng.randrange(4),
            "side": self.rng.choice(("buy", "sell")),
            "price_micro": 100_000 + number,
            "quantity_wh": self.rng.randrange(1, 300),
        }
        status, told = self._ask("POST", "/api/v1/bids", body, **{"Idempotency-Key": f"bid-{number}"})
        assert status in (201, 409, 422), told  # the gate has closed, or the home has nothing to sell
        if status == 201:
            with self.seen.lock:
                assert told["number"] not in self.seen.bids, told
                content = (body["participant"], body["price_micro"], body["quantity_wh"])
                self.seen.bids[told["number"]] = content

    def _pay(self) -> None:
        number = self._number()
        name, reference = f"home-{self.rng.randrange(1, 100):02d}", f"soak {number}"
        body = {"amount_micro": 1_000_000 + number, "reference": reference}
        path = f"/api/v1/accounts/{name}/deposits"
        status, told = self._ask("POST", path, body, **{"Idempotency-Key": f"pay-{number}"})
        assert status == 201, told
        with self.seen.lock:
            self.seen.deposits[reference] = (name, body["amount_micro"])

    def _limit(self) -> None:
        number = self._number()
        begins = datetime.now(UTC).replace(microsecond=0) + timedelta(days=400)
        body = {
            "id": f"soak-{number}",
            "place_kind": "participant",
            "place": f"home-{self.rng.randrange(1, 100):02d}",
            "begins": begins.isoformat(),
            "ends": (begins + timedelta(hours=1)).isoformat(),
            "import_kw": 5.0,
        }
        status, told = self._ask("POST", "/api/v1/limits", body, **{"Idempotency-Key": f"limit-{number}"})
        assert status in (201, 409, 422), told


@dataclass(frozen=True, kw_only=True, slots=True)
class Soaked:
    """What a soak found: seconds until another service wrote, after each kill, and what people saw."""

    take_overs: list[float]
    seen: Seen
    events: int


def soak(url: str, *, kills: int, every_s: float = 8.0, speed: float = 60.0) -> Soaked:
    """Let people use two services on one database, and kill the one that writes.

    Parameters
    ----------
    url : of an empty PostgreSQL database
    kills : how often
    every_s : seconds between two kills
    speed : seconds of the market's clock in a real one

    Raises
    ------
    AssertionError
        where something acknowledged was lost or done twice, or somebody saw what nobody should.
    """
    services = [Server(url, speed=speed, options=("--demo",)) for _ in range(2)]
    seen, over, take_overs = Seen(), Event(), []
    with services[0], services[1]:
        ports = [one.port for one in services]
        many = [(role, n) for role, number in USERS.items() for n in range(number)]
        users = [User(role, n, list(ports), seen=seen, over=over) for role, n in many]
        for one in users:
            one.start()
        try:
            for _ in range(kills):
                time.sleep(every_s)
                take_overs.append(_kill_the_writer(services))
            time.sleep(every_s)
        finally:
            over.set()
            for one in users:
                one.join()
        assert not seen.faults, seen.faults
        for one in services:
            one.stop()
    return Soaked(take_overs=take_overs, seen=seen, events=_check(url, seen))


def _writes(service: Server) -> bool:
    try:
        with Client(service.port) as client:
            return bool(client.get("/readyz")[1]["writer"])
    except GONE:
        return False


def _kill_the_writer(services: list[Server]) -> float:
    """Kill the service that writes; return the seconds until the other does; start the first again."""
    services.sort(key=_writes)
    other, writer = services
    assert _writes(writer)
    began = time.monotonic()
    writer.kill()
    while not _writes(other):
        assert time.monotonic() < began + PATIENCE_S, "nobody took the writer's place"
        time.sleep(0.11)  # strangers may ask ten times a second
    took = time.monotonic() - began
    writer.start()
    return took


def _check(url: str, seen: Seen) -> int:
    """Hold the database against what was acknowledged; return the number of events."""
    from sqlalchemy import func, select

    from gridagora.adapters.sql import tables
    from gridagora.adapters.sql.audit import replay, verify
    from gridagora.adapters.sql.database import Database
    from gridagora.model.live_events import BidsTaken, MoneyMoved
    from gridagora.service.demo.seed import MARKET

    with Database(url) as database:
        findings = [*verify(database, MARKET).findings, *replay(database, MARKET).findings]
        assert not findings, findings
        events = list(database.events(MARKET))
        with database.reading() as connection:
            assert connection.scalar(select(func.sum(tables.balances.c.amount_micro))) == 0
    bids, numbers, deposits = Counter[Any](), {}, Counter[Any]()
    for event in events:
        if isinstance(event, BidsTaken) and len(event.price) == 1:
            numbers[event.number] = (event.participant, int(event.price[0]), int(event.quantity[0]))
            bids[numbers[event.number]] += 1
        elif isinstance(event, MoneyMoved) and event.kind == "deposit":
            deposits[event.reference, int(event.amount.max())] += 1
    for number, content in seen.bids.items():
        assert numbers.get(number) == content, f"bid {number} was lost"
        assert bids[content] == 1, f"bid {number} was taken {bids[content]} times"
    for reference, (_, amount) in seen.deposits.items():
        assert deposits[reference, amount] == 1, f"{reference}: {deposits[reference, amount]} times"
    return len(events)


def told(found: Soaked) -> str:
    """Return the figures of a soak as text."""
    waits = sorted(found.seen.waits)
    at = [waits[min(len(waits) - 1, int(share * len(waits)))] for share in (0.5, 0.99)]
    statuses = found.seen.statuses.most_common()
    answers = ", ".join(f"{times:,} x {status or 'none'}" for status, times in statuses)
    rows = (
        f"{sum(USERS.values())} people, {len(found.take_overs)} kills of the service that writes",
        "  until the other wrote: " + ", ".join(f"{one:.1f} s" for one in found.take_overs),
        f"  waited: {at[0] * 1000:.0f} ms (p50), {at[1] * 1000:.0f} ms (p99), {waits[-1]:.1f} s at most",
        f"  answers: {answers}",
        f"  kept: {len(found.seen.bids):,} bids and {len(found.seen.deposits):,} deposits of theirs",
        f"  {found.events:,} events; nothing lost, nothing done twice",
    )
    return "\n".join(rows)


def main() -> int:
    """Print what was found; return 0 where nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument(
        "--database", default="", metavar="URL", help="an empty PostgreSQL database of your own"
    )
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--every", type=float, default=8.0, metavar="S", help="seconds between two kills")
    options = parser.parse_args()
    with postgresql(options.database) as url:
        try:
            print(told(soak(url, kills=options.kills, every_s=options.every)))
        except AssertionError as error:
            print(f"LOST: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
