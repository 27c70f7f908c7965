"""A served market for tests: a process that can be killed, clients that remember what was acknowledged."""

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import time
from threading import Event, Lock, Thread
from urllib.parse import urlencode

from sqlalchemy import func, select

from gridagora.adapters.sql import tables as market_tables
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.bootstrap import live_runner
from gridagora.engine.live.commands import DepositMoney, KeepResource
from gridagora.model.events import SessionSettled
from gridagora.model.live_events import BidsTaken, GateClosed, MoneyMoved
from gridagora.service.auth import records, tables
from gridagora.service.auth.admin import Administration
from gridagora.service.auth.passwords import Hashes
from gridagora.service.settings import Settings

NAMES = ("ann", "bob", "cem", "dea")
BUSES = ("Bus R4", "Bus R6", "Bus R11", "Bus R15")
SECRET = "secret of a machine"
SCENARIO = {
    "name": "small",
    "grid": "cigre-lv",
    "period": {"start": "2016-05-23", "length": "1d"},
    "participants": {
        "list": [
            {"participant": name, "bus": bus, "profile": "H0-A", "load_kw": 1.0}
            for name, bus in zip(NAMES, BUSES, strict=True)
        ]
    },
    "tariffs": {"retail": 0.3, "feed_in": 0.08, "standing_per_day": 0.24},
}
TERMS = {
    "open_lead_s": 14_400,
    "gate_lead_s": 300,
    "readings_lead_s": 3600,
    "escrow": True,
    "fee_ppm": 10_000,
}
GONE = (OSError, http.client.HTTPException)
"""What a client sees when the server is killed."""


def seed(url, **changes):
    """Make a market with four homes, an administrator's machine and an aggregator's."""
    with live_runner(url, SCENARIO, **(TERMS | changes)) as live:
        for name, bus in zip(NAMES, BUSES, strict=True):
            body = {"name": name, "aggregator": "pool"}
            for kind, id_, status, fields in (
                ("organisation", "pool", "", {"name": "Pool", "role": "aggregator"}),
                ("participant", name, "active", body),
                ("connection_point", f"{name}-1", "active", {"participant": name, "bus": bus}),
                ("asset", f"{name}-pv", "approved", {"participant": name, "type": "pv", "power_kw": 10}),
            ):
                if kind != "organisation" or name == NAMES[0]:
                    text = json.dumps(fields)
                    live.do(KeepResource(at=0, actor="t", kind=kind, id=id_, body=text, status=status))
            live.do(DepositMoney(at=0, actor="t", participant=name, amount=10**12))
    with Database(url, write=True) as database:
        administration = Administration(database)
        administration.add_person("admin@example.org", name="Admin")
        administration.add_organisation("pool", name="Pool", kind="aggregator")
        hashed = Hashes(Settings()).make_now(SECRET)
        with database.looking() as connection:
            for id_, organisation, role in (
                ("op", "operator", "administrator"),
                ("pool", "pool", "aggregator"),
            ):
                records.add(
                    connection,
                    tables.clients,
                    {"id": f"client:{id_}", "name": id_, "role": role, "organisation": organisation}
                    | {"owner": "t", "participants": (), "scopes": ("*",), "status": "active"}
                    | {"secret_hash": hashed, "version": 1, "made_at": 0},
                )
        administration.close()


def free_port():
    """Return a port that nobody listens at."""
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return here.getsockname()[1]


class Server:
    """`gridagora serve` in a process of its own; where it was started before, at the same port."""

    def __init__(self, url, *, speed=1.0, options=()):
        self.url, self.port = url, free_port()
        self.options = ("--speed", str(speed), *options)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def start(self):
        """Start, and wait until commands are carried out."""
        run = "from gridagora.cli import main; main()"
        command = [sys.executable, "-c", run, "serve", "--database", self.url, "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.wait("/readyz")
        return self

    def wait(self, path, *, status=200, seconds=60.0):
        """Wait until a path answers with a status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                with Client(self.port) as client:
                    if client.get(path)[0] == status:
                        return
            except GONE:
                pass
            if self.process.poll() is not None:
                raise AssertionError(self.process.stdout.read())
            time.sleep(0.1)
        raise AssertionError(f"{path} did not answer {status}")

    def kill(self):
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """End it as Ctrl-C does; return what it printed."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=60)[0]
        assert self.process.returncode == 0, said
        return said


class Client:
    """A machine at one kept connection."""

    def __init__(self, port, name=None):
        self.line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.token = None
        if name is not None:
            form = {
                "grant_type": "client_credentials",
                "client_id": f"client:{name}",
                "client_secret": SECRET,
            }
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            try:
                status, told, _ = self.ask("POST", "/oauth/token", urlencode(form), **kind)
                assert status == 200, told
            except BaseException:
                self.line.close()
                raise
            self.token = told["access_token"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.line.close()

    def ask(self, method, path, body=None, **headers):
        """Return status, document and headers of an answer."""
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        self.line.request(method, path, body, headers)
        answer = self.line.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text, dict(answer.headers)

    def get(self, path):
        """Return status and document."""
        return self.ask("GET", path)[:2]

    def send(self, path, body, key):
        """Send a command that may be repeated; return status and document."""
        return self.ask("POST", path, body, **{"Idempotency-Key": key})[:2]


class Ledger:
    """What clients sent, and what was acknowledged of it: the truth that a killed server is held against."""

    def __init__(self, seed=0, *, may_be_down=False):
        self.may_be_down = may_be_down
        self.rng, self.lock = random.Random(seed), Lock()
        self.sent, self.done, self.refused, self.trades = {}, {}, {}, {}

    def put(self, key, path, body):
        """Note a command before it is sent."""
        with self.lock:
            self.sent[key] = (path, body)

    def note(self, key, status, told):
        """Note an answer; the same command is always answered the same."""
        with self.lock:
            if 200 <= status < 300:
                assert key not in self.refused, f"{key} was refused, then taken: {told}"
                if key in self.done and key.startswith("bid"):
                    assert self.done[key] == told
                self.done[key] = told
            else:
                assert status == 409 or (status == 503 and self.may_be_down), (key, status, told)
                assert key not in self.done, f"{key} was taken, then refused: {told}"
                if status == 409:
                    self.refused[key] = told

    def unknown(self):
        """Return the commands of which nobody knows whether they were carried out."""
        with self.lock:
            return [key for key in self.sent if key not in self.done and key not in self.refused]


class Traffic:
    """Threads that bid, pay in, send readings and look at trades until the server is gone."""

    def __init__(self, port, ledger, tag):
        self.port, self.ledger, self.tag, self.over = port, ledger, tag, Event()
        work = (self.bid, self.bid, self.bid, self.pay, self.read, self.look)
        self.faults = []
        self.threads = [Thread(target=self._run, args=(one, n)) for n, one in enumerate(work)]

    def start(self):
        """Begin."""
        for one in self.threads:
            one.start()
        return self

    def end(self):
        """Stop, and wait for all."""
        self.over.set()
        for one in self.threads:
            one.join(60)
            assert not one.is_alive()
        assert not self.faults, self.faults

    def _run(self, work, number):
        try:
            with Client(self.port, "pool" if work == self.bid else "op") as client:
                work(client, number)
        except GONE:
            return  # the server was killed
        except Exception as error:
            self.faults.append(repr(error))

    def bid(self, client, number):
        """Bid, each in the next sessions."""
        count, rng = 0, random.Random(number)
        while not self.over.is_set():
            open_ = client.get("/api/v1/market")[1]["open_sessions"]
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
                if self.over.is_set():
                    return

    def pay(self, client, number):
        """Book deposits."""
        count = 0
        while not self.over.wait(0.02):
            count += 1
            path = f"/api/v1/accounts/{NAMES[count % 4]}/deposits"
            self._send(client, f"pay-{self.tag}-{count}", path, {"amount_micro": 1_000_000 + count})

    def read(self, client, number):
        """Send the readings of sessions that are in delivery."""
        told = set()
        while not self.over.wait(0.05):
            found = client.get("/api/v1/sessions?status=published&limit=50")[1]["items"]
            for one in found:
                if one["session"] in told:
                    continue
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
                status, _ = client.send("/api/v1/readings/bulk", {"readings": rows}, key)
                assert status in (201, 409, 422), _

    def look(self, client, number):
        """Note trades that were told."""
        while not self.over.wait(0.1):
            status, told = client.get("/api/v1/trades?limit=1000")
            assert status == 200, told
            for one in told["items"]:
                known = self.ledger.trades.setdefault(one["id"], one)
                assert known == one

    def _send(self, client, key, path, body):
        self.ledger.put(key, path, body)
        status, told = client.send(path, body, key)
        self.ledger.note(key, status, told)


def settle_unknown(port, ledger):
    """Ask again for all that was not answered, and for some that was: the answers are the same."""
    again = ledger.unknown() + ledger.rng.sample(sorted(ledger.done), min(20, len(ledger.done)))
    for name, word in (("pool", "bid"), ("op", "pay")):
        with Client(port, name) as client:
            for key in again:
                if key.startswith(word):
                    path, body = ledger.sent[key]
                    ledger.note(key, *client.send(path, body, key))
    assert not ledger.unknown()


def check_books(url, ledger):
    """Hold the database against what was acknowledged."""
    with Database(url) as database:
        assert not verify(database, "small").findings
        assert not replay(database, "small").findings
        events = list(database.events("small"))
        with database.reading() as connection:
            balances = dict(
                connection.execute(
                    select(market_tables.balances.c.name, market_tables.balances.c.amount_micro)
                ).all()
            )
            bids = connection.scalar(select(func.count()).select_from(market_tables.live_bids))
    taken = {event.number: event for event in events if isinstance(event, BidsTaken)}
    told = {key: answer for key, answer in ledger.done.items() if key.startswith("bid")}
    assert len({answer["number"] for answer in told.values()}) == len(told)
    assert {answer["number"] for answer in told.values()} == set(taken)  # none lost, none twice
    assert bids == len(taken)
    for key, answer in told.items():
        event, body = taken[answer["number"]], ledger.sent[key][1]
        assert (event.participant, int(event.period[0]), int(event.price[0]), int(event.quantity[0])) == (
            body["participant"], body["period"], body["price_micro"], body["quantity_wh"]
        )  # fmt: skip
    paid = sum(ledger.sent[key][1]["amount_micro"] for key in ledger.done if key.startswith("pay"))
    moved = sum(int(e.amount.max()) for e in events if isinstance(e, MoneyMoved) and e.kind == "deposit")
    assert moved == paid + len(NAMES) * 10**12 == -balances["bank"]
    assert sum(balances.values()) == 0
    settled = [event.session for event in events if isinstance(event, SessionSettled)]
    closed = [event.session for event in events if isinstance(event, GateClosed)]
    for numbers in (settled, closed):  # each once, in their order
        assert numbers == list(range(min(numbers, default=0), min(numbers, default=0) + len(numbers)))
    return len(taken), len(closed), len(settled)
