"""Who wants to be told what, and where."""

from gridagora.engine.live.resources.kind import Field, Kind

TOPICS = (
    "session",
    "bids",
    "trades",
    "prices",
    "limits",
    "activations",
    "readings",
    "settlement",
    "disputes",
    "register",
    "flexibility",
    "bills",
)

SUBSCRIPTION = Kind(
    name="subscription",
    fields={
        "organisation": Field(type="text", refers_to="organisation", fixed=True),
        "participant": Field(type="text", refers_to="participant", fixed=True),
        "topics": Field(type="texts", needed=True, choices=TOPICS),
        "url": Field(type="text"),
        "email": Field(type="text"),
    },
    statuses=("active", "paused", "closed"),
)
"""Notifications about topics."""
