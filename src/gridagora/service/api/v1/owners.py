"""Who a record belongs to, as it is made or changed: what only the operator sets, names, organisations."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

from gridagora.engine.live.commands import MARKET, KeepResource
from gridagora.engine.live.state import Record
from gridagora.errors import InputError
from gridagora.service.api.v1.reads import RETAILER_NAME
from gridagora.service.api.v1.tools import Live, wrong
from gridagora.service.auth import records as identities
from gridagora.service.auth import tables
from gridagora.service.auth.needs import Caller
from gridagora.service.auth.records import ROLE_OF_TYPE
from gridagora.service.auth.rights import Reach, reach_of
from gridagora.service.context import Service
from gridagora.service.problems import Problem


def check_owner(caller: Caller, fields: dict[str, Any], *, before: Record | None) -> None:
    """Keep what only the operator sets: overdrafts, and organisations but one's own of a new participant."""
    if reach_of(caller.identity, "market.operate") is Reach.ALL:
        return
    was = {"organisation": caller.identity.organisation} if before is None else before.body
    for name in ("overdraft_micro", "organisation"):
        if fields.get(name) not in (was.get(name), None):
            raise Problem("forbidden", f"{name} is set by the operator of the market")
        if before is not None and name in was:
            fields.setdefault(name, was[name])


def belong_to(caller: Caller, fields: dict[str, Any]) -> None:
    """Let a new participant belong to who registers it: to an aggregator as such, for that may change."""
    role = caller.identity.role
    if role == "aggregator":
        fields.setdefault("aggregator", caller.identity.organisation)
    elif role in ("retailer", "prosumer"):
        fields.setdefault("organisation", caller.identity.organisation)


async def check_name(service: Service, caller: Caller, id_: str) -> None:
    """Refuse a participant that is called as the retailer or another organisation, whose deals name it."""
    free = reach_of(caller.identity, "market.operate") is Reach.ALL or id_ == caller.identity.organisation
    taken = not free and await service.store.run(partial(_organisation, service, id_)) is not None
    if taken or id_ == RETAILER_NAME:
        reason = "is the name of an organisation"
        raise wrong("id_invalid", "id", id_, reason=reason, fix="choose another one")


async def know_organisations(live: Live, service: Service, fields: dict[str, Any]) -> None:
    """Put organisations that a record names into the market's register, where the identities know them."""
    for name in ("organisation", "aggregator"):
        id_ = fields.get(name)
        if id_ is None or live.state.register.get("organisation", id_) is not None:
            continue
        found = await service.store.run(partial(_organisation, service, id_))
        if found is None:
            continue
        body = json.dumps({"name": found.name, "role": ROLE_OF_TYPE[found.type]})
        with suppress(InputError):  # somebody else has just done the same
            command = KeepResource(at=0, actor=MARKET, kind="organisation", id=id_, body=body)
            await live.do(command)


def _organisation(service: Service, id_: str) -> Any:
    with service.desk.reading() as connection:
        return identities.find(connection, tables.organisations, id_)
