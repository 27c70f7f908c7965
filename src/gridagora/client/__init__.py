"""A typed client of a GridAgora platform's API.

    from gridagora.client import Market

    with Market("https://market.example", client_id="client:...", secret="...") as market:
        for trade in market.trades(participant="ann"):
            ...

The how-to page "Use the API" goes through a day of a market.
"""

from gridagora.client.calls import Market
from gridagora.client.transport import ApiError, Fault, Message

__all__ = ["ApiError", "Fault", "Market", "Message"]
