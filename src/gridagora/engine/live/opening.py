"""Opening of a live market by its terms."""

from gridagora.engine.live.commands import OpenLiveMarket
from gridagora.engine.live.context import LiveContext
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState
from gridagora.errors import InputError
from gridagora.model.live_events import LiveMarketOpened


def open_market(state: LiveState, command: OpenLiveMarket, context: LiveContext) -> LiveMarketOpened:
    """Open the market, once."""
    if state.terms is not None:
        fix = f"it is called {state.terms.name!r}"
        raise InputError([refusal("market_open", "market", command.terms.name, fix=fix)])
    if (command.terms.mechanism == "zonal") != (context.zones is not None):
        reason = "mechanism 'zonal' and the zones of the scenario belong together"
        fix = "use both or none"
        fault = refusal("field_invalid", "mechanism", command.terms.mechanism, reason=reason, fix=fix)
        raise InputError([fault])
    return LiveMarketOpened(at=command.at, terms=command.terms)


def apply_market(state: LiveState, event: LiveMarketOpened) -> None:
    """Begin with the first session whose gate is still to come."""
    terms = event.terms
    state.terms = terms
    first = max(0, terms.session_of(terms.period_at(event.at + terms.gate_lead_s)) + 1)
    state.first = state.oldest = first
    state.next_open = state.next_close = state.next_publish = state.next_settle = first
