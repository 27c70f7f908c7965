"""Puts a service together and runs it: market, people, pages, health, and the server of HTTP."""

import asyncio
import gc
import hashlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from gridagora.adapters.clocks import FastClock, RunningClock, SystemClock
from gridagora.adapters.live_meters import MeterListener
from gridagora.adapters.meters.mqtt import TOPIC, broker_of
from gridagora.adapters.sql.address import read_address
from gridagora.adapters.sql.database import Database, Head
from gridagora.bootstrap import live_runner
from gridagora.engine.live.commands import AcceptClock
from gridagora.errors import Fault, InputError
from gridagora.model.live import LiveTerms
from gridagora.service.api import ROUTERS
from gridagora.service.api.v1 import ROUTERS as MARKET_ROUTERS
from gridagora.service.api.v1.tools import Live
from gridagora.service.app import create_app
from gridagora.service.auth.admin import Administration
from gridagora.service.auth.desk import Desk
from gridagora.service.demo.bots import Bots
from gridagora.service.demo.homes import SCENARIO, VillageHomes
from gridagora.service.demo.seed import MARKET, SPEED, check_demo, demo_begins, seed_homes, seed_people
from gridagora.service.health import add_health
from gridagora.service.running import Running
from gridagora.service.settings import Settings

ORDER = "GRIDAGORA_SERVE"
"""Variable of the environment in which the processes of a service find what to serve."""

BROKER_LOGIN = "GRIDAGORA_MQTT_PASSWORD"
"""Variable of the environment with the password of the broker's user."""

GRACE_S = 10
"""So long requests in hand may take when the service ends."""

KEEP_S = 75
"""Idle connections are closed after so long, s: later than proxies do it, who would send into closed ones."""

GARBAGE = (10_000, 20, 50)
"""When the collector of garbage looks: seldom at what is new, and very seldom at all there is."""

SWITCH_S = 0.001
"""Threads give way so often, s: at the usual 5 ms a writer waits for requests after each statement."""

FIRST_ADMINISTRATOR = "admin@localhost"

CHOICES = {
    name: type(LiveTerms.__dataclass_fields__[name].default)
    for name in LiveTerms.__dataclass_fields__.keys()
    - {"name", "epoch", "scenario", "mtu_s", "mechanism", "currency", "timezone"}
}
"""Terms of a new market that its operator can choose beside the scenario, and what they are."""

DEMO_TERMS = {
    "gate_lead_s": 900,
    "readings_lead_s": 7200,
    "escrow": True,
    "fee_ppm": 5_000,
    "retailer": "retail",
}
"""Terms of a demonstration: the gate a quarter of an hour before delivery, settled two hours after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be served.

    Parameters
    ----------
    database : URL, or path of an SQLite file
    scenario : of a new market; "" for one that is there, or the built-in village
    demo : whether homes are played
    speed : seconds of the market's clock in a real one; 0: 1, or the demonstration's
    terms : of a new market, fields of `LiveTerms` that go before what the scenario says
    host, port : where the service listens
    workers : processes
    broker, topic : from which meter readings are taken over MQTT, "" for none
    proxy : addresses, with commas, of proxies whose word on a client's address is taken; "" for none
    accept_clock : whether a clock that shows much later than the last event is right
    """

    database: str
    scenario: str = ""
    demo: bool = False
    speed: float = 0.0
    terms: Mapping[str, Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    broker: str = ""
    topic: str = TOPIC
    proxy: str = ""
    accept_clock: bool = False

    @property
    def pace(self) -> float:
        """Seconds of the market's clock in a real one."""
        return self.speed or (SPEED if self.demo else 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What the person at the console is told: the market, the first administrator's password ("": none).

    ``clock_jump_s`` : seconds since the last event where those are more than the market follows by itself
    """

    market: str
    opened: bool
    password: str
    clock_jump_s: int = 0


def check_order(order: Order) -> None:
    """Raise `InputError` with all that is wrong with an order."""
    faults = []
    if order.workers > 1 and read_address(order.database).path is not None:
        reason, fix = "share no SQLite file", "use PostgreSQL, or one process"
        faults.append(_fault("--workers", order.workers, reason, fix=fix))
    if order.demo and order.scenario:
        reason, fix = "is not played", "leave --market out: the demonstration is the built-in village"
        faults.append(_fault("--market", order.scenario, reason, fix=fix))
    faults.extend(_term_faults(order.terms))
    if order.workers < 1:
        faults.append(_fault("--workers", order.workers, "is no process", fix="use 1 or more"))
    if not 0.0 <= order.speed <= 100_000.0:
        faults.append(_fault("--speed", order.speed, "cannot be kept", fix="use 1 to 100000"))
    faults.extend(_proxy_faults(order.proxy))
    if order.broker:
        try:
            broker_of(order.broker, topic=order.topic)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)


def _proxy_faults(proxies: str) -> Iterator[Fault]:
    for one in filter(None, (part.strip() for part in proxies.split(","))):
        try:
            ip_network(one, strict=False)
        except ValueError:
            yield _fault("--proxy", one, "is no address", fix="write such as 127.0.0.1 or 10.0.0.0/24")


def _term_faults(terms: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in terms.items():
        kind = CHOICES.get(name)
        if kind is None:
            yield _fault(
                "--set", name, "is no term of a market", fix=f"use one of {', '.join(sorted(CHOICES))}"
            )
        elif type(value) is not kind and not (kind is float and type(value) is int):
            said = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]
            yield _fault(f"--set {name}", value, "is of another kind", fix=f"write {said}")


def prepare_service(order: Order) -> Prepared:
    """Make what a service needs before its first request: tables, market, people.

    Raises
    ------
    InputError
        for a database that is a demonstration's, or is not, as it should not be.
    StoreError
        for a database that cannot be used.
    """
    heads = _heads(order.database)
    check_demo([head.name for head in heads], demo=order.demo, where=str(read_address(order.database)))
    running = open_market(order)
    try:
        administration = Administration(running.database)
        password = ""
        if order.demo:
            desk = Desk(lambda: running.database, settings_of(order))
            seed_people(desk, administration)
            desk.hashes.close()
            seed_homes(running, VillageHomes(running.terms))
        elif not administration.people():
            password = administration.add_person(FIRST_ADMINISTRATOR, name="Administrator").password
        administration.close()
        if order.accept_clock and running.clock_doubt()[0]:
            reason = "accepted at the start of the service"
            running.runner.do(AcceptClock(at=0, actor="console", now=running.now(), reason=reason))
        jump = running.clock_doubt()[0]
    finally:
        running.close()
    if order.demo:
        VillageHomes(running.terms).bids(0)  # what plans is compiled now: no gate closes meanwhile
    opened = not any(head.seq for head in heads)
    return Prepared(market=running.name, opened=opened, password=password, clock_jump_s=jump)


def open_market(order: Order) -> Running:
    """Open the market of an order: the one in the database, or a new one."""
    clock = _clock(order)
    if order.demo:
        begins = clock.now() - clock.now() % 86_400
        runner = live_runner(order.database, SCENARIO, market=MARKET, clock=clock, epoch=begins, **DEMO_TERMS)
    else:
        known = [head for head in _heads(order.database) if head.seq]
        scenario = order.scenario or (None if known else SCENARIO)
        runner = live_runner(order.database, scenario, clock=clock, **order.terms)
    return Running(runner, runner.terms, speed=order.pace, demo=order.demo)


def _clock(order: Order) -> RunningClock:
    """Return the clock: the computer's, or one that goes on where a market with a fast one ended."""
    if order.pace == 1.0:
        return SystemClock()
    now = SystemClock().now()
    start = demo_begins(now) if order.demo else now
    with_events = [head for head in _heads(order.database) if head.seq]
    if with_events:
        with Database(order.database) as database:
            last = max(next(database.stored(head.name, after=head.seq - 1)).at for head in with_events)
        start = last if order.demo else max(start, last)
    return FastClock(start, factor=order.pace)


def _heads(url: str) -> list[Head]:
    """Return the markets of a database; none where it is not there yet, or is empty."""
    path = read_address(url).path
    if path is not None and not (path.exists() and path.stat().st_size):
        return []
    with Database(url, write=True) as database:  # tables of an older version are brought up to date
        return database.heads()


def settings_of(order: Order) -> Settings:
    """Return the settings of a service; in a demonstration nobody needs a second factor."""
    return replace(Settings(), people_need_totp=not order.demo)


def make_app(order: Order) -> FastAPI:
    """Return the application of an order; its market runs until the application ends."""
    running = open_market(order)
    bots = None
    if order.demo:
        homes = VillageHomes(running.terms)
        bots = Bots(running, running.terms, homes, acts=lambda: running.runner.writes)

    meters = _listener(order, running)

    def end() -> None:
        if meters is not None:
            meters.close()
        if bots is not None:
            bots.stop()
        running.close()

    app = create_app(running, settings=settings_of(order), routers=(*ROUTERS, *MARKET_ROUTERS))
    add_health(app, running)
    app.state.meters = meters
    if bots is not None:
        bots.start()
    return _living(app, running, end)


def _listener(order: Order, running: Running) -> MeterListener | None:
    """Listen to the broker of an order; the process that writes the market does, the others stand by."""
    if not order.broker:
        return None
    broker = broker_of(order.broker, topic=order.topic, password=os.environ.get(BROKER_LOGIN))
    kept = f"{read_address(order.database)} {running.name}"
    client_id = "gridagora-" + hashlib.sha256(kept.encode()).hexdigest()[:12]
    return MeterListener(broker, running.runner, running.now, client_id=client_id)


def _living(app: FastAPI, running: Running, end: Callable[[], None]) -> FastAPI:
    """Let an application read its market's events before it begins, and call something at its end.

    What is there then stays there: the collector of garbage looks through it no more, which it would do for
    a quarter of a second every few seconds.
    """
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(here: FastAPI) -> AsyncIterator[Any]:
        try:
            async with inner(here) as state:
                app.state.live = Live(running)
                gc.collect()
                gc.freeze()
                gc.set_threshold(*GARBAGE)
                yield state
        finally:
            await asyncio.to_thread(end)

    app.router.lifespan_context = lifespan
    return app


def app_of_environment() -> FastAPI:
    """Return the application that the environment orders: one of several processes calls this."""
    sys.setswitchinterval(SWITCH_S)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    return make_app(Order(**json.loads(os.environ[ORDER])))


def serve(order: Order) -> None:
    """Serve until the process is told to end; what was acknowledged is then on disk and the lock is free."""
    import uvicorn

    from gridagora.service.lines import Line

    os.environ[ORDER] = json.dumps(asdict(order))
    uvicorn.run(
        "gridagora.service.serving:app_of_environment",
        factory=True,
        host=order.host,
        port=order.port,
        workers=order.workers,
        log_level="warning",
        access_log=False,
        http=Line,
        proxy_headers=bool(order.proxy),
        forwarded_allow_ips=order.proxy,
        server_header=False,
        timeout_keep_alive=KEEP_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def default_database(*, demo: bool) -> Path:
    """Return where a market is kept if nobody says otherwise: in the person's folder for data."""
    from platformdirs import user_data_path

    return user_data_path("gridagora", appauthor=False) / ("demo.db" if demo else "market.db")


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="serve", place=place, value=value, reason=reason, fix=fix)
