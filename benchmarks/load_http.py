"""The live platform under load, over HTTP: ``python -m benchmarks.load_http``; ``--help`` tells the options.

Starts ``gridagora serve`` on a new SQLite database, then on PostgreSQL (a server of its own from the
development tools, unless a URL is named), and loads it from this process, on the same cores:

- single bids, closed loop: 64 connections, each sends its next bid when the last was answered;
- single bids, open loop at 500/s: arrivals by chance (Poisson), latency counted from the arrival that was
  due, so that a stall is not hidden by a generator that waits with it;
- bids in bulk, 1,000 in a request, 4 connections;
- reads beside bids: two thirds reads of sessions, prices, own bids and participants.

Every bid has a token and an Idempotency-Key and is on disk before it is answered.  The generator is raw
HTTP/1.1 over asyncio with kept connections and no pipelining; it takes about 40 us of a core per request.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from benchmarks.served import SECRET, add_machines, free_port, postgresql

CONNECTIONS, BULK_CONNECTIONS, BULK = 64, 4, 1_000
OPEN_RATE = 500.0
CLIENTS = 8

SINGLE_LEAST, BULK_LEAST, P99_MOST = 1_000.0, 20_000.0, 100.0


@dataclass(slots=True)
class Tally:
    """What came back: latencies in ms, and statuses that were not expected."""

    ms: list[float] = field(default_factory=list)
    wrong: dict[int, int] = field(default_factory=dict)
    sample: bytes = b""


class Line(asyncio.Protocol):
    """One kept connection: `ask` sends a request, ``answered`` is called with status and body."""

    def __init__(self) -> None:
        self.buffer = b""
        self.answered: Callable[[int, bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        self.answered = answered
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self.buffer.lower().find(b"content-length:", 0, head)
        length = int(self.buffer[at + 15 : self.buffer.find(b"\r\n", at)]) if at >= 0 else 0
        end = head + 4 + length
        if len(self.buffer) < end:
            return
        status, body = int(self.buffer[9:12]), self.buffer[head + 4 : end]
        self.buffer = self.buffer[end:]
        self.answered(status, body)

    def connection_lost(self, error: Exception | None) -> None:
        if self.answered is not None:
            self.answered(0, repr(error).encode())


class Load:
    """Requests to one server.

    Parameters
    ----------
    port : of the server
    tokens : of machine clients, used in turn
    names : participants to bid for
    periods : of sessions that are open
    """

    def __init__(self, port: int, tokens: list[str], names: list[str], periods: list[int]) -> None:
        self.port, self.tokens, self.names, self.periods = port, tokens, names, periods
        self.numbers = count()
        self.rng = random.Random(1)

    def message(self, method: str, path: str, body: bytes = b"", key: str = "") -> bytes:
        token = self.tokens[next(self.numbers) % len(self.tokens)]
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        if key:
            head += f"Idempotency-Key: {key}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body

    def single(self) -> bytes:
        number, rng = next(self.numbers), self.rng
        body = (
            f'{{"participant":"{rng.choice(self.names)}","period":{rng.choice(self.periods)},"side":"buy",'
            f'"price_micro":{rng.randrange(80_000, 300_000)},"quantity_wh":{rng.randrange(1, 4_000)}}}'
        )
        return self.message("POST", "/api/v1/bids", body.encode(), key=f"{os.getpid()}-{number}")

    def bulk(self) -> bytes:
        rng, number = self.rng, next(self.numbers)
        first = rng.choice(self.periods) // 4 * 4
        bids = [
            {"period": first + k % 4, "side": "buy", "price_micro": 80_000 + k * 100, "quantity_wh": 1 + k}
            for k in range(BULK)
        ]
        body = json.dumps({"participant": rng.choice(self.names), "session": first // 4, "bids": bids})
        return self.message("POST", "/api/v1/bids/bulk", body.encode(), key=f"bulk-{os.getpid()}-{number}")

    def mixed(self) -> bytes:
        draw = self.rng.random()
        if draw < 1 / 3:
            return self.single()
        paths = ("/api/v1/sessions?limit=20", "/api/v1/prices?limit=96", "/api/v1/participants?limit=20")
        own = f"/api/v1/bids?participant={self.rng.choice(self.names)}&limit=20"
        return self.message("GET", self.rng.choice((*paths, own)))

    async def closed(self, make: Callable[[], bytes], *, lines: int, seconds: float) -> tuple[Tally, float]:
        """Send from every line as fast as answers come; return the answers and the seconds it took."""
        tally, loop = Tally(), asyncio.get_running_loop()
        opened = [(await loop.create_connection(Line, "127.0.0.1", self.port))[1] for _ in range(lines)]
        end, done = time.perf_counter() + seconds, loop.create_future()
        left = len(opened)

        def go(line: Line) -> None:
            nonlocal left
            sent = time.perf_counter()
            if sent >= end:
                line.answered = None
                left -= 1
                if not left:
                    done.set_result(None)
                return
            line.ask(make(), lambda status, body: came(line, sent, status, body))

        def came(line: Line, sent: float, status: int, body: bytes) -> None:
            note(tally, sent, status, body)
            go(line)

        started = time.perf_counter()
        for line in opened:
            go(line)
        await done
        took = time.perf_counter() - started
        for line in opened:
            line.transport.close()
        return tally, took

    async def open_loop(
        self, make: Callable[[], bytes], *, rate: float, seconds: float
    ) -> tuple[Tally, float]:
        """Send at moments drawn by chance, whether or not earlier ones are answered."""
        tally, loop = Tally(), asyncio.get_running_loop()
        free = deque(
            [(await loop.create_connection(Line, "127.0.0.1", self.port))[1] for _ in range(CONNECTIONS)]
        )
        waiting: deque[float] = deque()
        sent = answered = 0

        def push() -> None:
            while waiting and free:
                due, line = waiting.popleft(), free.popleft()
                line.ask(make(), lambda status, body, line=line, due=due: came(line, due, status, body))

        def came(line: Line, due: float, status: int, body: bytes) -> None:
            nonlocal answered
            answered += 1
            line.answered = None
            note(tally, due, status, body)
            free.append(line)
            push()

        started = due = time.perf_counter()
        while due < started + seconds:
            due += self.rng.expovariate(rate)
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            waiting.append(due)
            sent += 1
            push()
        while answered < sent:
            await asyncio.sleep(0.01)
        took = time.perf_counter() - started
        for line in free:
            line.transport.close()
        return tally, took


def note(tally: Tally, since: float, status: int, body: bytes) -> None:
    if 200 <= status < 300:
        tally.ms.append((time.perf_counter() - since) * 1000)
    else:
        tally.wrong[status] = tally.wrong.get(status, 0) + 1
        tally.sample = body[:300]


def row(name: str, tally: Tally, took: float, *, each: int = 1) -> dict[str, object]:
    ms = sorted(tally.ms) or [float("nan")]
    at = lambda share: round(ms[min(len(ms) - 1, int(share * len(ms)))], 1)  # noqa: E731
    return {
        "load": name,
        "per_s": round(len(tally.ms) * each / took),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "worst_ms": round(ms[-1], 1),
        "refused": dict(tally.wrong),
        "sample": tally.sample.decode(errors="replace"),
    }


# --- the server --------------------------------------------------------------------------------------


def seed(url: str) -> tuple[list[str], list[int]]:
    """Open a market with the homes of the village and machine clients that bid for them."""
    from gridagora.bootstrap import live_runner
    from gridagora.engine.live.commands import KeepResource

    with live_runner(url, "village", open_lead_s=86_400) as live:
        buses = sorted(live.context.buses)[1:]

        def keep(kind: str, id_: str, status: str = "", **body: object) -> None:
            text = json.dumps(body)
            live.do(KeepResource(at=0, actor="load", kind=kind, id=id_, body=text, status=status))

        keep("organisation", "load", name="Load", role="aggregator")
        names = [f"home-{n:02d}" for n in range(1, 81)]
        for name, bus in zip(names, buses, strict=False):
            keep("participant", name, "active", name=name, organisation="load", aggregator="load")
            keep("connection_point", f"{name}-1", "active", participant=name, bus=bus)
        soon = live.terms.period_at(live.clock.now()) + 8
        periods = list(range(soon - soon % 4, soon + 64))
    add_machines(
        url,
        {"load": ("Load", "aggregator")},
        {f"load-{number}": ("load", "aggregator") for number in range(CLIENTS)},
    )
    return names, periods


@contextmanager
def server(url: str) -> Iterator[tuple[int, int]]:
    """Run the service on a database; yields its port and process."""
    port = free_port()
    run = "from gridagora.cli import main; main()"
    command = [sys.executable, "-c", run, "serve", "--database", url, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def tokens(port: int) -> list[str]:
    """Sign the machine clients in."""
    found = []
    for number in range(CLIENTS):
        form = {"grant_type": "client_credentials", "client_id": f"client:load-{number}"}
        form |= {"client_secret": SECRET}
        request = Request(f"http://127.0.0.1:{port}/oauth/token", data=urlencode(form).encode())
        with urlopen(request, timeout=10) as answer:
            found.append(json.load(answer)["access_token"])
    return found


async def measure(load: Load, *, seconds: float, loads: list[str], pid: int) -> list[dict[str, object]]:
    """Return a row of figures for each kind of load."""
    await load.closed(load.single, lines=8, seconds=1.0)  # warm
    many = {"lines": CONNECTIONS, "seconds": seconds}
    few = {"lines": BULK_CONNECTIONS, "seconds": seconds}
    at_500 = {"rate": OPEN_RATE, "seconds": seconds}
    kinds = {
        "closed": ("single bids, closed loop", 1, lambda: load.closed(load.single, **many)),
        "open": ("single bids, open loop 500/s", 1, lambda: load.open_loop(load.single, **at_500)),
        "bulk": ("bids in bulk", BULK, lambda: load.closed(load.bulk, **few)),
        "mixed": ("reads and bids", 1, lambda: load.closed(load.mixed, **many)),
    }
    rows = []
    for kind in loads:
        name, each, run = kinds[kind]
        before = cpu_s(pid)
        tally, took = await run()
        used = (cpu_s(pid) - before) / max(1, len(tally.ms)) * 1000
        rows.append(row(name, tally, took, each=each) | {"kind": kind, "cpu_ms": round(used, 2)})
    return rows


def cpu_s(pid: int) -> float:
    """Return the processor time of a process up to now, s; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def on(url: str, *, seconds: float, profile: str, loads: list[str]) -> list[dict[str, object]]:
    """Return the figures of one database."""
    import uvloop

    names, periods = seed(url)
    with server(url) as (port, pid):
        load = Load(port, tokens(port), names, periods)
        with profiled(pid, profile, seconds * len(loads)):
            return uvloop.run(measure(load, seconds=seconds, loads=loads, pid=pid))


@contextmanager
def profiled(pid: int, file: str, seconds: float) -> Iterator[None]:
    """Record where a process spends its time, by py-spy, into a file."""
    if not file:
        yield
        return
    spy = ["py-spy", "record", "--gil", "-r", "200", "-d", str(int(seconds)), "-f", "raw", "-o", file]
    with subprocess.Popen([*spy, "-p", str(pid)], stdout=subprocess.DEVNULL):
        yield


def main() -> int:
    """Print the figures; return 0 where the limits are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_http")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each kind of load")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--postgresql", metavar="URL", default="", help="an empty database of your own")
    parser.add_argument("--profile", metavar="FILE", default="", help="record the server with py-spy")
    parser.add_argument("--loads", metavar="WORDS", default="closed,open,bulk,mixed", help="some of them")
    options = parser.parse_args()
    kept = True
    asked = {"seconds": options.seconds, "profile": options.profile, "loads": options.loads.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "postgresql":
            url = f"sqlite:///{folder}/market.db"
            kept &= show("SQLite", on(url, **asked))
        if options.only != "sqlite":
            with postgresql(options.postgresql) as url:
                kept &= show("PostgreSQL", on(url, **asked))
    return 0 if kept else 1


def show(name: str, rows: list[dict[str, object]]) -> bool:
    """Print figures of one database; tell whether the limits are kept."""
    print(name)
    for one in rows:
        told = (
            f"  {one['load']:<30} {one['per_s']:>8,}/s  p50 {one['p50_ms']:>6} ms  p99 {one['p99_ms']:>6} ms"
        )
        told += f"  worst {one['worst_ms']:>7} ms  processor {one['cpu_ms']:>5} ms each"
        print(told, f"  refused {one['refused']} {one['sample']}" if one["refused"] else "")
    limits = {
        "closed": lambda one: one["per_s"] >= SINGLE_LEAST,
        "open": lambda one: one["p99_ms"] <= P99_MOST,
        "bulk": lambda one: one["per_s"] >= BULK_LEAST,
    }
    return all(limits.get(one["kind"], bool)(one) and not one["refused"] for one in rows)


if __name__ == "__main__":
    sys.exit(main())
