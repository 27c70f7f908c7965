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

    def requests(self) -> Iterator[bodies.Request]:
        """Yield requests of grid operators."""
        return self._api.pages("/flexibility/requests", bodies.Request)

    def auction(self, number: int) -> bodies.Auction:
        """Return an auction."""
        return self._api.get(f"/flexibility/auctions/{number}", bodies.Auction)

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

    def open_tender(self, new: bodies.NewTender) -> bodies.TenderOut:
        """Open a tender as a grid operator."""
        return self._api.post("/flexibility/tenders", new, bodies.TenderOut)

    def tender(self, name: str) -> bodies.TenderOut:
        """Return a tender."""
        return self._api.get(f"/flexibility/tenders/{name}", bodies.TenderOut)

    def tenders(self, *, status: str | None = None) -> Iterator[bodies.TenderOut]:
        """Yield tenders."""
        return self._api.pages("/flexibility/tenders", bodies.TenderOut, status=status)

    def bid_in_tender(self, name: str, new: bodies.NewTenderBid) -> list[bodies.TenderBidOut]:
        """Bid in a tender that is open."""
        answer = self._api.send("POST", f"/flexibility/tenders/{name}/bids", json=new)
        return TypeAdapter(list[bodies.TenderBidOut]).validate_json(answer.content)

    def tender_bids(self, name: str) -> Iterator[bodies.TenderBidOut]:
        """Yield the bids of a tender that one may see, with what became of each."""
        return self._api.pages(f"/flexibility/tenders/{name}/bids", bodies.TenderBidOut)

    def withdraw_tender_bids(self, name: str, participant: str) -> None:
        """Take all that a participant bids in a tender back."""
        self._api.send("DELETE", f"/flexibility/tenders/{name}/bids/{participant}")

    def decide_tender(self, name: str, decision: bodies.TenderDecision | None = None) -> bodies.TenderResult:
        """Decide a tender that has closed, as its buyer."""
        path = f"/flexibility/tenders/{name}/decision"
        return self._api.post(path, decision or bodies.TenderDecision(), bodies.TenderResult)

    def offer_redispatch(self, new: bodies.NewRedispatchOrder) -> bodies.RedispatchOrderOut:
        """Be willing to change a schedule where that is paired."""
        return self._api.post("/flexibility/redispatch-orders", new, bodies.RedispatchOrderOut)

    def redispatch_orders(self) -> Iterator[bodies.RedispatchOrderOut]:
        """Yield orders of redispatch that wait for a pair."""
        return self._api.pages("/flexibility/redispatch-orders", bodies.RedispatchOrderOut)

    def withdraw_redispatch(self, participant: str, period: int) -> None:
        """Take an order of redispatch back."""
        self._api.send("DELETE", f"/flexibility/redispatch-orders/{participant}/{period}")

    def pair_redispatch(self, new: bodies.NewRedispatch) -> bodies.RedispatchResult:
        """Pair orders inside an area with opposite ones outside, as a grid operator."""
        return self._api.post("/flexibility/redispatch", new, bodies.RedispatchResult)

    def redispatch(self, *, participant: str | None = None) -> Iterator[bodies.RedispatchRow]:
        """Yield what was paired."""
        return self._api.pages("/flexibility/redispatch", bodies.RedispatchRow, participant=participant)

    def contract(self, id: str) -> bodies.Contract:
        """Return a contract."""
        return self._api.get(f"/flexibility/contracts/{id}", bodies.Contract)

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

    def cancel_order(self, product: str, number: int, *, as_operator: bool = False) -> None:
        """Cancel an order that rests in the continuous market."""
        path = "operator-orders" if as_operator else "orders"
        self._api.send("DELETE", f"/flexibility/{path}/{product}/{number}")

    def book(self, *, product: str | None = None) -> Iterator[bodies.Order]:
        """Yield the orders that rest in the continuous market."""
        return self._api.pages("/flexibility/book", bodies.Order, product=product)

    def deliveries(self, **filters: Any) -> Iterator[bodies.DeliveryOrder]:
        """Yield orders of delivery, and what was delivered."""
        return self._api.pages("/flexibility/deliveries", bodies.DeliveryOrder, **filters)

    def settle(self, periods: bodies.FlexSettlementRange) -> bodies.FlexSettlement:
        """Settle periods by the meter readings that are there, as the operator."""
        return self._api.post("/flexibility/settlements", periods, bodies.FlexSettlement)

    def activations(self, *, participant: str | None = None) -> Iterator[bodies.Activation]:
        """Yield calls, dispatches and emergencies."""
        return self._api.pages("/activations", bodies.Activation, participant=participant)
