"""What the client can ask: a method per resource, with the same schemas as the server's."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gridagora.client.flexibility import Flexibility
from gridagora.client.meters import Jobs, Meters
from gridagora.client.money import Money
from gridagora.client.records import Records
from gridagora.client.transport import Message, Transport, span
from gridagora.service.models import accounts, market, metering, records
from gridagora.service.models.aggregates import Aggregate
from gridagora.service.models.jobs import JobState

if TYPE_CHECKING:
    import httpx

    from gridagora.client.people import People


class Market:
    """A platform as a program sees it; use it in ``with``.

    Parameters
    ----------
    url : of the platform
    client_id, secret : of a machine client; left out, only what is public can be asked
    token : an access token, instead of a machine client
    timeout_s : of one request, s
    http : an `httpx.Client` to send by; one is made when left out

    Raises
    ------
    ApiError
        by every method, for a refusal: with a stable code and every fault.

    Examples
    --------
    >>> with Market("https://market.example") as anonymous:
    ...     anonymous.flexibility is not None
    True
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str = "",
        secret: str = "",
        token: str = "",
        timeout_s: float = 30.0,
        http: "httpx.Client | None" = None,
    ) -> None:
        self._api = Transport(
            url, client_id=client_id, secret=secret, token=token, timeout_s=timeout_s, http=http
        )
        self.flexibility = Flexibility(self._api)
        self.records = Records(self._api)
        self.meters = Meters(self._api)
        self.jobs = Jobs(self._api)
        self.money = Money(self._api)

    @classmethod
    def sign_in(
        cls, url: str, *, email: str, password: str, totp: str = "", http: "httpx.Client | None" = None
    ) -> "Market":
        """Return the platform as a person sees it; their session ends with `sign_out`.

        Parameters
        ----------
        url : of the platform
        email, password : of the person
        totp : code that their authenticator app shows, where they have a second factor
        http : an `httpx.Client` to send by; one is made when left out
        """
        market = cls(url, http=http)
        market._api.sign_in(email, password, totp=totp)
        return market

    def sign_out(self) -> None:
        """End the session with all its tokens."""
        self._api.sign_out()

    @cached_property
    def people(self) -> "People":
        """People, machines, organisations, and the audit log."""
        from gridagora.client.people import People

        return People(self._api)

    def __enter__(self) -> "Market":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._api.close()

    # --- the market -------------------------------------------------------------------------------

    def state(self) -> market.MarketState:
        """Return the terms of the market, and what is open."""
        return self._api.get("/market", market.MarketState)

    def sessions(
        self, *, begin: datetime | None = None, end: datetime | None = None, status: str | None = None
    ) -> Iterator[market.Session]:
        """Yield sessions by the start of their delivery, announced ones too."""
        return self._api.pages("/sessions", market.Session, status=status, **span(begin, end))

    def session(self, number: int) -> market.Session:
        """Return a session."""
        return self._api.get(f"/sessions/{number}", market.Session)

    def results(self, session: int) -> market.SessionResults:
        """Return the public results of a session."""
        return self._api.get(f"/sessions/{session}/results", market.SessionResults)

    def book(self, session: int) -> market.OrderBook:
        """Return the depth of a session."""
        return self._api.get(f"/sessions/{session}/book", market.OrderBook)

    def prices(
        self, *, begin: datetime | None = None, end: datetime | None = None
    ) -> Iterator[market.PeriodResult]:
        """Yield prices by period."""
        return self._api.pages("/prices", market.PeriodResult, **span(begin, end))

    def zones(self) -> Iterator[market.Zone]:
        """Yield the zones of the market."""
        return self._api.pages("/zones", market.Zone)

    # --- the register -----------------------------------------------------------------------------

    def participants(self) -> Iterator[records.Participant]:
        """Yield the participants that one may see."""
        return self._api.pages("/participants", records.Participant)

    def participant(self, id: str) -> records.Participant:
        """Return a participant."""
        return self._api.get(f"/participants/{id}", records.Participant)

    def register(self, new: records.NewParticipant) -> records.Participant:
        """Register a participant; the operator then sets it active."""
        return self._api.post("/participants", new, records.Participant)

    def set_participant_status(self, one: records.Participant, status: str) -> records.Participant:
        """Set the status of a participant, as the operator."""
        body = records.StatusChange(status=status)
        path = f"/participants/{one.id}/status"
        return self._api.put(path, body, records.Participant, version=one.version)

    def connection_points(self, *, participant: str | None = None) -> Iterator[records.ConnectionPoint]:
        """Yield connection points."""
        return self._api.pages("/connection-points", records.ConnectionPoint, participant=participant)

    def connect(self, new: records.NewConnectionPoint) -> records.ConnectionPoint:
        """Register a connection point."""
        return self._api.post("/connection-points", new, records.ConnectionPoint)

    def set_connection_status(self, one: records.ConnectionPoint, status: str) -> records.ConnectionPoint:
        """Set the status of a connection point, as its grid operator or the operator."""
        body = records.StatusChange(status=status)
        path = f"/connection-points/{one.id}/status"
        return self._api.put(path, body, records.ConnectionPoint, version=one.version)

    def assets(self, *, participant: str | None = None, status: str | None = None) -> Iterator[records.Asset]:
        """Yield assets with the state of their prequalification."""
        return self._api.pages("/assets", records.Asset, participant=participant, status=status)

    def submit_asset(self, new: records.NewAsset) -> records.Asset:
        """Submit an asset for prequalification."""
        return self._api.post("/assets", new, records.Asset)

    def qualify(self, one: records.Asset, *, approve: bool, reason: str = "") -> records.Asset:
        """Decide on the prequalification of an asset."""
        body = records.Qualification(decision="approve" if approve else "reject", reason=reason)
        return self._api.put(f"/assets/{one.id}/qualification", body, records.Asset, version=one.version)

    def products(self) -> Iterator[records.Product]:
        """Yield the products."""
        return self._api.pages("/products", records.Product)

    def issue_forecast(self, new: records.NewForecast) -> records.Forecast:
        """Issue a forecast of a participant's net import."""
        return self._api.post("/forecasts", new, records.Forecast)

    def tariffs(self) -> Iterator[records.Tariff]:
        """Yield the tariffs that were sent."""
        return self._api.pages("/tariffs", records.Tariff)

    def issue_tariff(self, new: records.NewTariff) -> records.Tariff:
        """Send prices ahead, as the retailer or the operator."""
        return self._api.post("/tariffs", new, records.Tariff)

    # --- trading ----------------------------------------------------------------------------------

    def bid(self, new: market.NewBid) -> market.BidTaken:
        """Bid."""
        return self._api.post("/bids", new, market.BidTaken)

    def bid_many(self, new: market.BulkBids) -> market.BulkTaken:
        """Bid up to 10,000 times: all are taken or none."""
        return self._api.post("/bids/bulk", new, market.BulkTaken)

    def withdraw(self, participant: str, session: int, numbers: Sequence[int] = ()) -> list[int]:
        """Take bids back before the gate; return their numbers."""
        body = market.Withdrawal(participant=participant, session=session, numbers=list(numbers))
        return self._api.post("/bids/withdrawals", body, market.Withdrawn).numbers

    def bids(self, *, participant: str | None = None, session: int | None = None) -> Iterator[market.Bid]:
        """Yield bids with what became of them."""
        return self._api.pages("/bids", market.Bid, participant=participant, session=session)

    def one_bid(self, number: int) -> market.Bid:
        """Return a bid with what became of it."""
        return self._api.get(f"/bids/{number}", market.Bid)

    def withdraw_bid(self, number: int) -> None:
        """Take one bid back before the gate."""
        self._api.send("DELETE", f"/bids/{number}")

    def bid_very_often(self, participant: str, session: int, bids: Sequence[market.BidLine]) -> JobState:
        """Bid up to 200,000 times, in a job: each bid is taken or refused by itself above 10,000."""
        rows = [one.model_dump(mode="json", exclude_none=True) for one in bids]
        body = {"participant": participant, "session": session, "bids": rows}
        return self._api.post("/bids/bulk", body, JobState, headers={"Prefer": "respond-async"})

    def trade(self, id: str) -> market.Trade:
        """Return a trade."""
        return self._api.get(f"/trades/{id}", market.Trade)

    def approval(self, id: str) -> market.Approval:
        """Return the way of a trade through the controllers of zones."""
        return self._api.get(f"/approvals/{id}", market.Approval)

    def trades(self, *, participant: str | None = None, session: int | None = None) -> Iterator[market.Trade]:
        """Yield trades."""
        return self._api.pages("/trades", market.Trade, participant=participant, session=session)

    def approvals(self, *, session: int | None = None) -> Iterator[market.Approval]:
        """Yield the ways of trades through the controllers of zones."""
        return self._api.pages("/approvals", market.Approval, session=session)

    def schedule(
        self, participant: str, *, begin: datetime | None = None, end: datetime | None = None
    ) -> Iterator[market.ScheduleEntry]:
        """Yield what a participant is to take and give."""
        asked = span(begin, end)
        return self._api.pages("/schedules", market.ScheduleEntry, participant=participant, **asked)

    # --- the grid ---------------------------------------------------------------------------------

    def aggregates(
        self, place: str | None = None, *, begin: datetime | None = None, end: datetime | None = None
    ) -> Iterator[Aggregate]:
        """Yield sums of the areas that one may see, by period."""
        return self._api.pages("/aggregates", Aggregate, place=place, **span(begin, end))

    def limits(self) -> Iterator[accounts.Limit]:
        """Yield limits of the grid that one may see."""
        return self._api.pages("/limits", accounts.Limit)

    def limit(self, id: str) -> accounts.Limit:
        """Return a limit of the grid."""
        return self._api.get(f"/limits/{id}", accounts.Limit)

    def breaches(self) -> Iterator[accounts.Breach]:
        """Yield deliveries beyond limits."""
        return self._api.pages("/breaches", accounts.Breach)

    def declare_limit(self, new: accounts.NewLimit, *, emergency: bool = False) -> accounts.Limit:
        """Limit what may be exchanged at a place; an emergency also limits what was cleared already."""
        return self._api.post("/emergencies" if emergency else "/limits", new, accounts.Limit)

    # --- after delivery ---------------------------------------------------------------------------

    def send_readings(self, readings: Sequence[metering.NewReading]) -> metering.ReadingsAnswer:
        """Send up to 10,000 meter readings: all are taken or none."""
        body = metering.BulkReadings(readings=list(readings))
        return self._api.post("/readings/bulk", body, metering.ReadingsAnswer)

    def send_readings_file(self, content: bytes) -> metering.ReadingsAnswer:
        """Send a CSV file of meter readings; it is checked by the rules of meter data."""
        headers = {"Content-Type": "text/csv"}
        answer = self._api.send("POST", "/readings/bulk", content=content, headers=headers)
        return metering.ReadingsAnswer.model_validate_json(answer.content)

    def readings(self, *, participant: str | None = None) -> Iterator[metering.Reading]:
        """Yield the readings that count."""
        return self._api.pages("/readings", metering.Reading, participant=participant)

    def deliveries(self, *, participant: str | None = None) -> Iterator[metering.Delivery]:
        """Yield what was delivered beside what was scheduled."""
        return self._api.pages("/deliveries", metering.Delivery, participant=participant)

    def settlements(
        self, *, participant: str | None = None, session: int | None = None
    ) -> Iterator[metering.SettlementLine]:
        """Yield what sessions came to."""
        path = "/settlements"
        return self._api.pages(path, metering.SettlementLine, participant=participant, session=session)

    def dispute(self, new: metering.NewDispute) -> metering.Dispute:
        """Dispute a settlement."""
        return self._api.post("/disputes", new, metering.Dispute)

    def disputes(self, *, participant: str | None = None) -> Iterator[metering.Dispute]:
        """Yield disputes."""
        return self._api.pages("/disputes", metering.Dispute, participant=participant)

    def one_dispute(self, id: str) -> metering.Dispute:
        """Return a dispute."""
        return self._api.get(f"/disputes/{id}", metering.Dispute)

    def decide(self, dispute: str, decision: metering.DisputeDecision) -> metering.Dispute:
        """Decide on a dispute, as the operator."""
        return self._api.post(f"/disputes/{dispute}/decision", decision, metering.Dispute)

    def call_off(self, session: int, why: str) -> market.Session:
        """Call the session off whose gate closes next, as the operator."""
        return self._api.post(f"/sessions/{session}/call-off", market.CallOff(reason=why), market.Session)

    def settle_by_schedule(self, session: int, why: str) -> market.Session:
        """Settle a session that is stuck as if all had kept to their schedules, as the operator."""
        body = market.BySchedule(reason=why)
        return self._api.post(f"/sessions/{session}/settlement", body, market.Session)

    def clock(self) -> market.ClockState:
        """Return the market's clock and whether it is in doubt, as the operator."""
        return self._api.get("/market/clock", market.ClockState)

    def accept_clock(self, now: datetime, why: str) -> market.ClockState:
        """Let the market follow a clock that leapt, as the operator."""
        return self._api.post("/market/clock", market.ClockCheck(now=now, reason=why), market.ClockState)

    def account(self, participant: str) -> accounts.Account:
        """Return what a participant has, is due, and can still bind."""
        return self._api.get(f"/accounts/{participant}", accounts.Account)

    def statement(self, participant: str) -> Iterator[accounts.Posting]:
        """Yield the postings on a participant's wallet and bill."""
        return self._api.pages(f"/accounts/{participant}/postings", accounts.Posting)

    def deposit(self, participant: str, amount_micro: int, reference: str = "") -> accounts.Account:
        """Book money that came in, as the operator."""
        body = accounts.Payment(amount_micro=amount_micro, reference=reference)
        return self._api.post(f"/accounts/{participant}/deposits", body, accounts.Account)

    def pay_out(self, participant: str, amount_micro: int, reference: str = "") -> accounts.Account:
        """Book money that goes out, as the operator."""
        body = accounts.Payment(amount_micro=amount_micro, reference=reference)
        return self._api.post(f"/accounts/{participant}/withdrawals", body, accounts.Account)

    def invoice(self, participant: str, month: str) -> accounts.Invoice:
        """Return the invoice of a participant and month, such as "2026-01"."""
        return self._api.get(f"/invoices/{participant}:{month}", accounts.Invoice)

    def invoice_pdf(self, participant: str, month: str) -> bytes:
        """Return an invoice as PDF."""
        return self._api.send("GET", f"/invoices/{participant}:{month}/pdf").content

    def proofs(
        self, participant: str, *, first: str | None = None, last: str | None = None
    ) -> accounts.Proofs:
        """Return the records of a participant with their proofs, of days such as "2026-01-31"."""
        return self._api.get("/proofs", accounts.Proofs, participant=participant, first=first, last=last)

    # --- as it happens ----------------------------------------------------------------------------

    def notifications(
        self, participant: str, *, topics: Sequence[str] = ()
    ) -> Iterator[accounts.Notification]:
        """Yield what happened to a participant, oldest first; of some topics, or of all."""
        asked = {"participant": participant, "topic": list(topics)}
        return self._api.pages("/notifications", accounts.Notification, **asked)

    def stream(
        self,
        *,
        participant: str | None = None,
        topics: Sequence[str] = (),
        notices: Sequence[str] = (),
        last_id: int | None = None,
        once: bool = False,
    ) -> Iterator[Message]:
        """Yield what happens, as it happens: sessions, prices, book, limits, activations, notices.

        Parameters
        ----------
        participant : whose notices are told too
        topics : all when left out
        notices : topics of the notices that are told, all when left out
        last_id : number of the last message that was seen; what came since is told first
        once : end when all that happened was told
        """
        path = "/stream" if participant is None else f"/participants/{participant}/stream"
        params: dict[str, Any] = {"topic": list(topics)} | ({"once": "true"} if once else {})
        params |= {"notice": list(notices)} if participant is not None and notices else {}
        return self._api.stream(path, params=params, last_id=last_id)
