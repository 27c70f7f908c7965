"""What the client can ask of the flexibility market."""

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from gridagora.client.transport import Transport
from gridagora.service.models import flexibility as bodies


class Flexibility:
    """The flexibility market of a platform."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    def market(self) -> bodies.FlexMarket:
        """Return what is traded, by whom, and from which period on."""
        return self._api.get("/flexibility/market", bodies.FlexMarket)

    def open(self, terms: bodies.FlexMarketOpening) -> bodies.FlexMarket:
        """Open the flexibility market, as the operator."""
        return self._api.post("/flexibility/market", terms, bodies.FlexMarket)

    def request(self, new: bodies.NewRequest) -> bodies.Request:
        """Request flexibility as a grid operator: an auction with what is needed."""
        return self._api.post("/flexibility/requests", new, bodies.Request)

    def auctions(self, *, cleared: bool | None = None) -> Iterator[bodies.Auction]:
        """Yield auctions."""
        return self._api.pages("/flexibility/auctions", bodies.Auction, cleared=cleared)

    def offer(self, auction: int, new: bodies.NewOffer) -> list[bodies.FlexBidRow]:
        """Offer in an auction."""
        answer = self._api.send("POST", f"/flexibility/auctions/{auction}/offers", json=new)
        return TypeAdapter(list[bodies.FlexBidRow]).validate_json(answer.content)

    def offers(self, auction: int) -> Iterator[bodies.FlexBidRow]:
        """Yield the offers of an auction with what was accepted."""
        return self._api.pages(f"/flexibility/auctions/{auction}/offers", bodies.FlexBidRow)

    def withdraw_offer(self, auction: int, participant: str) -> None:
        """Take all that a participant offers in an auction back."""
        self._api.send("DELETE", f"/flexibility/auctions/{auction}/offers/{participant}")

    def tender(self, new: bodies.NewTender) -> bodies.TenderResult:
        """Decide a tender on the bids that came in."""
        return self._api.post("/flexibility/tenders", new, bodies.TenderResult)

    def contracts(self, *, participant: str | None = None) -> Iterator[bodies.Contract]:
        """Yield contracts."""
        return self._api.pages("/flexibility/contracts", bodies.Contract, participant=participant)

    def call(self, new: bodies.NewCall) -> bodies.Carried:
        """Call reserved power."""
        return self._api.post("/flexibility/calls", new, bodies.Carried)

    def dispatch(self, contract: str, power: bodies.PowerByPeriod) -> bodies.Carried:
        """Dispatch a contract directly."""
        return self._api.post(f"/flexibility/contracts/{contract}/dispatches", power, bodies.Carried)

    def release(self, contract: str, power: bodies.PowerByPeriod) -> bodies.Carried:
        """Release reserved power."""
        return self._api.post(f"/flexibility/contracts/{contract}/releases", power, bodies.Carried)

    def order(self, new: bodies.NewOrder, *, as_operator: bool = False) -> bodies.OrderTaken:
        """Order in the continuous market, as a participant or as a grid operator."""
        path = "/flexibility/operator-orders" if as_operator else "/flexibility/orders"
        return self._api.post(path, new, bodies.OrderTaken)

    def book(self, *, product: str | None = None) -> Iterator[bodies.Order]:
        """Yield the orders that rest in the continuous market."""
        return self._api.pages("/flexibility/book", bodies.Order, product=product)

    def deliveries(self, **filters: Any) -> Iterator[bodies.DeliveryOrder]:
        """Yield orders of delivery, and what was delivered."""
        return self._api.pages("/flexibility/deliveries", bodies.DeliveryOrder, **filters)

    def activations(self, *, participant: str | None = None) -> Iterator[bodies.Activation]:
        """Yield calls, dispatches and emergencies."""
        return self._api.pages("/activations", bodies.Activation, participant=participant)
