"""Invoices: the bill of a participant and month, from the settled sessions that were delivered in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
from fastapi import Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from gridagora.adapters.bill_files import bill_pdf
from gridagora.adapters.sql.projections_live import RETAILER
from gridagora.billing.bills import Bill, BillLine, MonthSums, Terms, month_lines
from gridagora.billing.parties import Party
from gridagora.errors import require
from gridagora.ledger.journal import KINDS, EntryKind
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.accounts import movements
from gridagora.service.api.v1.tools import Live, Span, TheMarket, known, paged, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here, Service
from gridagora.service.models.accounts import Invoice, InvoiceLine
from gridagora.service.models.base import money
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.units import amount_micro

api = router("invoices")
Reader = Annotated[Caller, needs("invoices.read")]
InvoiceId = Annotated[str, Path(pattern=r"^.{1,200}:[0-9]{4}-(0[1-9]|1[0-2])$", examples=["ann:2026-01"])]
MOST_ROWS = 1_000_000

MOVED = {
    "release": "Paid and returned by escrow",
    "fee": "Fee of the market",
    "breach": "Energy beyond a declared limit",
    "emergency": "Compensation for having kept an emergency limit",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Month:
    """A local month of a market: its days, and the sessions ``[first, end)`` whose delivery begins in it."""

    begin: date
    last: date
    first: int
    end: int

    @property
    def label(self) -> str:
        """Name of the month, as in "2026-01"."""
        return f"{self.begin:%Y-%m}"


def month_of(live: Live, label: str) -> Month:
    """Return a month by its label."""
    try:
        begin = date.fromisoformat(f"{label}-01")
        after = (begin + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        raise wrong("time_invalid", "month", label, fix="write year and month, such as 2026-01") from None
    return Month(
        begin=begin,
        last=after - timedelta(days=1),
        first=_first_session(live, begin),
        end=_first_session(live, after),
    )


def _first_session(live: Live, day: date) -> int:
    """Return the first session whose delivery begins on a local day or later."""
    terms = live.terms
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(terms.timezone))
    length = terms.session_periods * terms.mtu_s
    return max(0, -((terms.epoch - int(local.timestamp())) // length))


def local_day(live: Live, moment: int) -> date:
    """Return the local day of a moment."""
    return datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(live.terms.timezone)).date()


@api.get("/invoices", summary="List invoices")
async def invoices(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    caller: Reader,
    participant: Annotated[str | None, Query(max_length=200)] = None,
    month: Annotated[str | None, Query(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", examples=["2026-01"])] = None,
) -> Page[Invoice]:
    """Return the invoices of a month (the present one where left out) in the order of registration."""
    wanted = month_of(live, month or f"{local_day(live, live.now()):%Y-%m}")
    names = reads.whose(live, caller, participant)
    rows = [
        record
        for record in live.state.register.all("participant")
        if names is None or record.id in set(names)
    ]
    cut = paged(page, response, rows, key=lambda record: (record.number,), make=lambda record: record.id)
    bills = await service.store.run(partial(bills_of, live, tuple(cut.items), wanted))
    return Page(items=[_told(live, bill, wanted) for bill in bills], next=cut.next)


@api.get("/invoices/{id}", summary="Read an invoice")
async def invoice(*, live: TheMarket, service: Here, id: InvoiceId, caller: Reader) -> Invoice:
    """Return the invoice of a participant and month; it may still grow until ``complete``."""
    bill, month = await _one(live, service, id, caller=caller)
    return _told(live, bill, month)


@api.get(
    "/invoices/{id}/pdf",
    summary="An invoice as PDF",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}},
)
async def pdf(*, live: TheMarket, service: Here, id: InvoiceId, caller: Reader) -> Response:
    """Return the invoice as a page to be printed."""
    bill, month = await _one(live, service, id, caller=caller)
    content = await service.store.run(partial(bill_pdf, bill))
    name = f'inline; filename="invoice-{month.label}.pdf"'
    return Response(content, media_type="application/pdf", headers={"Content-Disposition": name})


async def _one(live: Live, service: Service, id_: str, *, caller: Caller) -> tuple[Bill, Month]:
    participant, _, label = id_.rpartition(":")
    caller.require(live.subject(participant))
    known(live.state.register.get("participant", participant), f"participant {participant!r}")
    month = month_of(live, label)
    bills = await service.store.run(partial(bills_of, live, (participant,), month))
    return bills[0], month


def bills_of(live: Live, participants: tuple[str, ...], month: Month) -> list[Bill]:
    """Return the bills of participants; all is read from one state of the database."""
    with live.market.database.reading() as connection:
        return [_bill(live, connection, participant, month=month) for participant in participants]


def _bill(live: Live, connection: Connection, participant: str, *, month: Month) -> Bill:
    record = live.state.register.get("participant", participant)
    require(record is not None, "a bill is of a participant that is registered")
    number = record.number  # type: ignore[union-attr]
    sums = _sums(live, connection, number, month=month)
    name = str(record.body["name"])[:140]  # type: ignore[union-attr]
    return Bill(
        number=f"{month.begin:%Y%m}-{number + 1:04d}",
        issuer=Party(participant="operator", name=live.terms.name),
        recipient=Party(participant=participant, name=name),
        first=month.begin,
        last=month.last,
        issued=month.last + timedelta(days=1),
        terms=Terms(currency=live.terms.currency),
        lines=month_lines(sums),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Booked:
    """Postings of a month by kind of entry, and by kind of movement of money."""

    kinds: Mapping[str, int]
    moved: Mapping[str, int]


def _sums(live: Live, connection: Connection, number: int, *, month: Month) -> MonthSums:
    """Return what a month comes to; its sum is that of the postings on the participant's bill."""
    terms = live.terms
    span = Span(terms.session(month.first).delivery_start, terms.session(month.end).delivery_start)
    lines = connection.execute(reads.lines(live, number, span)).all()
    trades = connection.execute(reads.trades(live, [number], span, most=MOST_ROWS)).all()
    booked = _booked(live, connection, number, month=month)
    settled = {line.period for line in lines}
    bought, sold, local = _local([row for row in trades if row.period in settled], number)
    retail = feed_in = retail_wh = feed_in_wh = 0
    for line in lines:
        rest_wh = line.traded_wh - line.local_bought_wh + line.local_sold_wh
        rest = line.retail_micro + line.energy_micro - local.get(line.period, 0)
        if rest_wh > 0:
            retail, retail_wh = retail + rest, retail_wh + rest_wh
        else:
            feed_in, feed_in_wh = feed_in + rest, feed_in_wh - rest_wh
    total = {name: sum(int(getattr(line, f"{name}_micro")) for line in lines) for name in _LINES}
    for name in _LINES:
        found = booked.kinds.get("trade" if name == "energy" else name, 0)
        require(found == total[name], f"{name} of a bill is {total[name]}, and {found} was booked")
    return MonthSums(
        days=len({local_day(live, terms.begins(line.period)) for line in lines}),
        bought_wh=sum(line.local_bought_wh for line in lines),
        bought=bought,
        sold_wh=sum(line.local_sold_wh for line in lines),
        sold=sold,
        retail_wh=retail_wh,
        retail=retail,
        feed_in_wh=feed_in_wh,
        feed_in=feed_in,
        imbalance_wh=sum(line.metered_wh - line.traded_wh for line in lines),
        imbalance=total["imbalance"],
        network=total["network"],
        taxes=total["taxes"],
        standing=booked.kinds.get("standing", 0),
        journal=tuple((MOVED.get(kind, kind), amount) for kind, amount in booked.moved.items() if amount),
    )


_LINES = ("energy", "retail", "imbalance", "network", "taxes")


def _local(trades: Any, number: int) -> tuple[int, int, dict[int, int]]:
    """Return what local trades cost and brought, and their money by period; + received."""
    bought = sold = 0
    by_period: dict[int, int] = {}
    for row in trades:
        if RETAILER in (row.buyer, row.seller):
            continue
        wh, due = np.int64(row.quantity_wh), 0
        if row.buyer == number:
            due = -int(amount_micro(wh, np.int64(row.buyer_price_micro)))
            bought += due
        if row.seller == number:  # both: who sells to itself
            paid = int(amount_micro(wh, np.int64(row.seller_price_micro)))
            sold, due = sold + paid, due + paid
        by_period[row.period] = by_period.get(row.period, 0) + due
    return bought, sold, by_period


def _booked(live: Live, connection: Connection, number: int, *, month: Month) -> _Booked:
    """Return what was booked on a participant's bill for the sessions of a month."""
    begin = live.terms.session(month.first).delivery_start
    asked = reads.postings(live, number, Span(begin, None), most=MOST_ROWS)
    rows = [row for row in connection.execute(asked) if row.name.startswith("participant:")]
    moved = movements(live, rows)
    kinds: dict[str, int] = {}
    moves: dict[str, int] = {}
    for row in rows:
        if row.seq in moved:
            session = moved[row.seq].reference.rpartition(" ")[2]
            if session.isdigit() and month.first <= int(session) < month.end:
                kind = moved[row.seq].kind
                moves[kind] = moves.get(kind, 0) + row.amount_micro
        elif row.kind != "FlexSettled" and month.first <= row.entry // KINDS < month.end:
            kind = EntryKind(row.entry % KINDS).name.lower()
            kinds[kind] = kinds.get(kind, 0) + row.amount_micro
    return _Booked(kinds=kinds, moved=moves)


def _told(live: Live, bill: Bill, month: Month) -> Invoice:
    return Invoice(
        id=f"{bill.recipient.participant}:{month.label}",
        number=bill.number,
        participant=bill.recipient.participant,
        month=month.label,
        first=bill.first.isoformat(),
        last=bill.last.isoformat(),
        issued=bill.issued.isoformat(),
        due=bill.due.isoformat(),
        currency=bill.terms.currency,
        lines=[_line(line) for line in bill.lines],
        total=money(bill.total),
        total_micro=bill.total,
        payable_micro=bill.payable,
        complete=live.state.next_settle >= month.end,
    )


def _line(line: BillLine) -> InvoiceLine:
    return InvoiceLine(
        text=line.text,
        quantity_wh=line.quantity_wh,
        price_micro=line.price,
        amount=money(line.amount),
        amount_micro=line.amount,
    )
