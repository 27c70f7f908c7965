"""Prices of the retailer, the grid and the state, sent ahead: they hold instead of those of the scenario."""

from collections.abc import Iterator

from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.resources.kind import Change, Field, Kind
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault
from gridagora.model.time import clock

COLUMNS = ("retail", "feed_in", "network", "taxes", "imbalance_short", "imbalance_long")
HIGHEST = 1_000.0
"""Largest price, currency per kWh, of either sign."""

WITHDRAWN = "withdrawn"


def _faults(state: LiveState, change: Change) -> Iterator[Fault]:
    sent = [name for name in COLUMNS if change.body.get(name) is not None]
    if not sent:
        yield refusal("field_missing", "retail", None, fix=f"send one or more of {', '.join(COLUMNS)}")
    lengths = {name: len(change.body[name]) for name in sent}
    if len(set(lengths.values())) > 1:
        yield refusal("columns_differ", "tariff", lengths, fix="give each column one price per period")
    terms = state.open_terms
    session = terms.session(terms.session_of(change.body["first"]))
    if change.status != WITHDRAWN and (session.number < state.next_close or session.gate <= change.at):
        reason = f"the gate of session {session.number} closed at {clock(session.gate)}"
        first = max(state.next_close, session.number + 1) * terms.session_periods
        fix = f"change prices from period {first} on"
        yield refusal("gate_closed", "first", change.body["first"], reason=reason, fix=fix)


TARIFF = Kind(
    name="tariff",
    fields={
        "first": Field(type="whole", needed=True, low=0, high=10**9),
        **{name: Field(type="numbers", low=-HIGHEST, high=HIGHEST) for name in COLUMNS},
    },
    statuses=("issued", WITHDRAWN),
    check=_faults,
)
"""Prices, currency per kWh, one per period from ``first`` on; of several the one that was sent last holds.

A column that is not sent keeps the price of the scenario.  What is withdrawn holds no more from the next gate
on; sessions whose gate has closed keep their prices in any case.
"""
