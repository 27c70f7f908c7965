"""Forecasts of what participants take: they load the grid check where nobody bids."""

from collections.abc import Iterator

from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.resources.kind import Change, Field, Kind
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault


def _faults(state: LiveState, change: Change) -> Iterator[Fault]:
    terms = state.open_terms
    last = change.body["first"] + len(change.body["kw"])
    if terms.begins(last) <= change.at:
        yield refusal("time_invalid", "first", change.body["first"], fix="forecast what is still to come")


FORECAST = Kind(
    name="forecast",
    fields={
        "participant": Field(type="text", needed=True, refers_to="participant", fixed=True),
        "first": Field(type="whole", needed=True, low=0),
        "kw": Field(type="numbers", needed=True, low=-1e6, high=1e6),
        "method": Field(type="text"),
    },
    statuses=("issued", "withdrawn"),
    check=_faults,
)
"""Net import, kW, + import, one entry per period from ``first`` on."""
