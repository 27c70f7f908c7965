"""Organisations, participants and their connection points."""

import re
from collections.abc import Iterator

from gridagora.billing.parties import bic_error, iban_error
from gridagora.engine.live.money import available
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.resources.kind import Change, Field, Kind
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault
from gridagora.ledger.escrow import LARGEST

ROLES = ("administrator", "regulator", "dso", "retailer", "aggregator", "prosumer")
PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")

ORGANISATION = Kind(
    name="organisation",
    fields={
        "name": Field(type="text", needed=True),
        "role": Field(type="text", needed=True, choices=ROLES),
        "email": Field(type="text"),
        "address": Field(type="text"),
    },
    statuses=("active", "closed"),
)
"""A company, an authority or a household: whom people and machines act for."""


def _account_faults(change: Change) -> Iterator[Fault]:
    """Yield what is wrong with a bank account."""
    for name, error in (("iban", iban_error), ("bic", bic_error)):
        value = change.body.get(name)
        if value and (reason := error(value)):
            fix = "copy it from the bank statement, in capitals without spaces"
            yield refusal("field_invalid", name, value, reason=reason, fix=fix)


def _participant_faults(state: LiveState, change: Change) -> Iterator[Fault]:
    yield from _account_faults(change)
    if change.before is None:
        if state.flex.terms is not None and change.id in state.flex.terms.buyers:
            reason, fix = "is the name of a grid operator that buys flexibility", "choose another one"
            yield refusal("id_invalid", "id", change.id, reason=reason, fix=fix)
        return
    cut = int(change.before.get("overdraft_micro", 0)) - int(change.body.get("overdraft_micro", 0))
    if cut > 0 and available(state, change.id) < cut:
        reason, fix = "is less than what the wallet uses already", "wait until it is paid in"
        value = change.body.get("overdraft_micro", 0)
        yield refusal("insufficient_funds", "overdraft_micro", value, reason=reason, fix=fix)


ADDRESS = ("street", "postcode", "city", "country", "vat_id")
"""What bills show below the name."""

PARTICIPANT = Kind(
    name="participant",
    fields={
        "name": Field(type="text", needed=True),
        "kind": Field(type="text", choices=("household", "business", "producer", "storage", "public")),
        "organisation": Field(type="text", refers_to="organisation"),
        "aggregator": Field(type="text", refers_to="organisation"),
        "email": Field(type="text"),
        "passive": Field(type="truth"),
        **{name: Field(type="text") for name in ADDRESS},
        "overdraft_micro": Field(type="whole", low=0, high=LARGEST),
        "iban": Field(type="text"),
        "bic": Field(type="text"),
    },
    statuses=("pending", "active", "suspended", "closed"),
    check=_participant_faults,
)
"""Who buys and sells; ``overdraft_micro`` is how far below zero its wallet may go, ``iban`` where it is paid.

``passive``: it never trades, and all its energy is the retailer's at tariff.  Everybody else answers for its
balance: what it takes or gives without a bid is imbalance.
"""


def _point_faults(state: LiveState, change: Change) -> Iterator[Fault]:
    bus = change.body["bus"]
    if bus not in change.context.buses:
        yield refusal("place_unknown", "bus", bus, fix="name a bus of the grid")
    key = change.body.get("public_key")
    if key is not None and not PUBLIC_KEY.fullmatch(key):
        yield refusal("field_invalid", "public_key", key, fix="write 64 hexadecimal digits (Ed25519)")
    others = state.register.owned("connection_point", change.body["participant"])
    if change.status == "active" and any(o.status == "active" and o.id != change.id for o in others):
        reason, fix = "has another active connection point", "close that one first"
        yield refusal("status_unknown", "status", change.status, reason=reason, fix=fix)


CONNECTION_POINT = Kind(
    name="connection_point",
    fields={
        "participant": Field(type="text", needed=True, refers_to="participant", fixed=True),
        "bus": Field(type="text", needed=True),
        "phase": Field(type="whole", low=0, high=3),
        "import_kw": Field(type="number", low=0),
        "export_kw": Field(type="number", low=0),
        "meter": Field(type="text"),
        "public_key": Field(type="text"),
    },
    statuses=("pending", "active", "closed"),
    check=_point_faults,
)
"""Where a participant is on the grid: ``phase`` 0 is all three, ``import_kw`` and ``export_kw`` the fuse.

``meter`` is the number by which meter data name it; with a ``public_key`` only signed readings are taken.
"""
