"""Makes the village of the demonstration: its homes with what they own, and people of every role."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gridagora.engine.live.commands import DepositMoney, KeepResource
from gridagora.errors import Fault, InputError
from gridagora.model.resources import Home
from gridagora.service.auth import records, tables
from gridagora.service.auth.admin import Administration
from gridagora.service.auth.audit import Note
from gridagora.service.auth.desk import Desk
from gridagora.service.auth.records import ROLE_OF_TYPE, OrganisationType
from gridagora.service.auth.rights import Role
from gridagora.service.demo.bots import ACTOR, PAYMENT
from gridagora.service.demo.homes import VillageHomes
from gridagora.service.platform import Done, Market

MARKET = "demo-village"
"""Name of the market of a demonstration: whoever has it has passwords that everybody knows."""

PASSWORD = "sun over the village"  # noqa: S105 - everybody may know it: it opens a demonstration alone
"""Password of everybody in a demonstration."""

SPEED = 288.0
"""Seconds of a demonstration in a real one: a day in five minutes."""

PORTFOLIO = 20
"""Homes that the aggregator acts for."""

FUSE_KW = 43.6
"""What the connection of a home carries either way: three phases of 63 A."""

BEGINS = (5, 9)
"""Month and day on which a new demonstration begins: when the sun shines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody in the demonstration."""

    email: str
    name: str
    organisation: str
    type: OrganisationType
    of: str
    participants: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()

    @property
    def role(self) -> Role:
        """What they act as."""
        return ROLE_OF_TYPE[self.type]


PEOPLE = (
    Person(
        email="admin@demo.example", name="Ada", organisation="operator", type="operator", of="Market operator"
    ),
    Person(
        email="regulator@demo.example",
        name="Rita",
        organisation="regulator",
        type="regulator",
        of="Regulator",
    ),
    Person(
        email="dso@demo.example",
        name="Dora",
        organisation="grid",
        type="dso",
        of="Village grid",
        areas=("*",),
    ),
    Person(email="retailer@demo.example", name="Ravi", organisation="retail", type="retailer", of="Retailer"),
    Person(email="aggregator@demo.example", name="Agnes", organisation="pool", type="aggregator", of="Pool"),
    Person(
        email="home@demo.example",
        name="Holly",
        organisation="village",
        type="community",
        of="Village community",
        participants=("home-01",),
    ),
)
"""One of every role; the last owns the first home."""


def demo_begins(now: int) -> int:
    """Return the moment at which the clock of a new demonstration begins: the last ninth of May.

    >>> datetime.fromtimestamp(demo_begins(1_795_000_000), UTC).isoformat()
    '2026-05-09T00:00:00+00:00'
    """
    today = datetime.fromtimestamp(now, UTC)
    begins = datetime(today.year, *BEGINS, tzinfo=UTC)
    if begins > today:
        begins = begins.replace(year=today.year - 1)
    return int(begins.timestamp())


def seed_people(desk: Desk, administration: Administration) -> None:
    """Make the people of a demonstration unless there are some; their password need not be changed."""
    if administration.people():
        return
    known = {"password_hash": desk.hashes.make_now(PASSWORD), "must_change": False}
    for one in PEOPLE:
        administration.add_organisation(one.organisation, name=one.of, kind=one.type, areas=one.areas)
        made = administration.add_person(
            one.email, name=one.name, organisation=one.organisation, participants=one.participants
        )
        with desk.changing(Note(actor=ACTOR, action="users.write", object=one.email)) as connection:
            records.change(connection, tables.users, made.user.id, values=known)


def seed_homes(market: Market, homes: VillageHomes) -> None:
    """Register the homes of the village in its market; those that are there already stay as they are."""
    sent: list[Future[Done]] = []
    for one in PEOPLE:
        sent.append(_keep(market, "organisation", one.organisation, name=one.of, role=one.role))
    for row, (name, home) in enumerate(zip(homes.names, homes.homes, strict=True)):
        sent.extend(_register(market, name, home, row=row))
    for done in sent:
        try:
            done.result()
        except InputError as error:
            if any(fault.code != "exists" for fault in error.faults):
                raise


def _register(market: Market, name: str, home: Home, *, row: int) -> Iterator["Future[Done]"]:
    """Hand in all that the market keeps of a home: itself, its connection, its devices, its first money."""
    belongs = {"organisation": "village"} | ({"aggregator": "pool"} if 0 < row <= PORTFOLIO else {})
    yield _keep(market, "participant", name, status="active", name=f"Home {row + 1}", **belongs)
    place: dict[str, Any] = {"bus": home.bus, "import_kw": FUSE_KW, "export_kw": FUSE_KW}
    place |= {} if home.phase is None else {"phase": home.phase}
    yield _keep(market, "connection_point", f"{name}-grid", status="active", participant=name, **place)
    for type_, body in _assets(home):
        yield _keep(
            market,
            "asset",
            f"{name}-{type_.replace('_', '-')}",
            status="approved",
            participant=name,
            type=type_,
            connection_point=f"{name}-grid",
            **body,
        )
    yield market.submit(
        DepositMoney(at=0, actor=ACTOR, participant=name, amount=PAYMENT, reference="first payment"),
        key=f"demo/first payment/{name}",
        request=name.encode(),
    )


def _assets(home: Home) -> Iterator[tuple[str, dict[str, float]]]:
    if home.pv_kw is not None:
        yield "pv", {"power_kw": home.pv_peak_kw}
    if home.battery is not None:
        yield "battery", {"power_kw": home.battery.discharge_kw, "energy_kwh": home.battery.energy_kwh}
    if home.ev is not None:
        yield "ev", {"power_kw": home.ev.charge_kw}
    if home.heat_pump is not None:
        yield "heat_pump", {"power_kw": home.heat_pump.electric_kw}


def _keep(market: Market, kind: str, id: str, *, status: str = "", **body: Any) -> "Future[Done]":
    """Hand in a new record; one that is there is refused, and stays."""
    command = KeepResource(at=0, actor=ACTOR, kind=kind, id=id, body=json.dumps(body), status=status)
    return market.submit(command)


def check_demo(markets: list[str], *, demo: bool, where: str) -> None:
    """Refuse a demonstration in a database of real markets, and a real service in that of a demonstration.

    Parameters
    ----------
    markets : that the database holds
    demo : whether a demonstration is to be served
    where : the database

    Raises
    ------
    InputError
        for either.
    """
    if demo and any(name != MARKET for name in markets):
        reason, fix = "is no demonstration's", "name another --database, or leave --demo out"
    elif not demo and MARKET in markets:
        reason = "is a demonstration's: everybody knows its passwords"
        fix = "name another --database, or say --demo"
    else:
        return
    raise InputError([Fault(source="serve", place="--database", value=where, reason=reason, fix=fix)])
