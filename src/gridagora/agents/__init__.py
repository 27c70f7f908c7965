"""Homes that plan, bid and deliver; `Team` is what the engine calls (see `gridagora.agents.team`)."""

from gridagora.agents.check import check_homes
from gridagora.agents.fleet import Fleet, FleetState, fleet_from_homes, initial_state
from gridagora.agents.rules import Delivery, Envelope, Outlook, Plan
from gridagora.agents.team import Team

__all__ = [
    "Delivery",
    "Envelope",
    "Fleet",
    "FleetState",
    "Outlook",
    "Plan",
    "Team",
    "check_homes",
    "fleet_from_homes",
    "initial_state",
]
