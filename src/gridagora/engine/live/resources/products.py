"""Products that can be traded: what is asked of who offers them."""

from gridagora.engine.live.resources.kind import Field, Kind

PRODUCT = Kind(
    name="product",
    fields={
        "name": Field(type="text", needed=True),
        "market": Field(type="text", needed=True, choices=("energy", "flexibility")),
        "horizon": Field(type="text", choices=("reservation", "activation", "adjustment")),
        "direction": Field(type="text", choices=("up", "down", "cap", "floor")),
        "least_kw": Field(type="number", low=0),
        "response_time_s": Field(type="whole", low=0),
        "description": Field(type="text"),
    },
    statuses=("draft", "active", "retired"),
)
"""What is traded, for people and for prequalification; the clearing rules are in the terms of the market."""
