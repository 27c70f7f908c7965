"""Assets behind connection points, and their prequalification."""

from collections.abc import Iterator

from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.resources.kind import Change, Field, Kind
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault

TYPES = ("pv", "battery", "generator", "ev", "heat_pump", "load")


def _faults(state: LiveState, change: Change) -> Iterator[Fault]:
    point = change.body.get("connection_point")
    known = None if point is None else state.register.get("connection_point", point)
    if known is not None and known.body.get("participant") != change.body["participant"]:
        # told as where there is none: whose points there are is nobody else's business
        yield refusal(
            "reference_unknown", "connection_point", point, fix="name a connection point that is there"
        )
    if change.status == "rejected" and not str(change.body.get("reason", "")).strip():
        yield refusal("field_missing", "reason", None, fix="say why the asset was rejected")


ASSET = Kind(
    name="asset",
    fields={
        "participant": Field(type="text", needed=True, refers_to="participant", fixed=True),
        "type": Field(type="text", needed=True, choices=TYPES),
        "power_kw": Field(type="number", needed=True, low=0),
        "energy_kwh": Field(type="number", low=0),
        "connection_point": Field(type="text", refers_to="connection_point"),
        "products": Field(type="texts"),
        "reason": Field(type="text"),
    },
    statuses=("pending", "approved", "rejected", "withdrawn"),
    check=_faults,
)
"""A device; "approved": it is prequalified, so that its owner can sell."""
