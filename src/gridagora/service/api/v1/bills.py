"""The bills of participants and months: documents where they are issued, drafts where they can still grow.

A bill that is issued is never changed.  What is booked later for its sessions stands on the next bill, with a
reference to it; what it could not ask for in whole cents too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, select
from sqlalchemy.sql import and_

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.projections_live import RETAILER
from gridagora.billing.amounts import to_cents
from gridagora.billing.bills import DRAFT, ESCROWED, MEMOS, Bill, BillLine, MonthSums, Terms, month_lines
from gridagora.billing.documents import document_bill
from gridagora.billing.parties import LONGEST, OPERATOR, Party
from gridagora.engine.live.billed import PaymentStatus
from gridagora.engine.live.money import bill
from gridagora.engine.live.resources.participants import ADDRESS
from gridagora.engine.live.state import Record
from gridagora.errors import InvariantError, require
from gridagora.ledger.journal import KINDS, EntryKind
from gridagora.model.flexibility_events import FlexSettled
from gridagora.model.live_events import MoneyMoved
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.accounts import movements
from gridagora.service.api.v1.flexibility_bills import flexibility_of
from gridagora.service.api.v1.months import Issued, Month, issued_months, local_day
from gridagora.service.api.v1.tools import Live, Span
from gridagora.units import amount_micro

MOST_ROWS = 1_000_000

MOVED = {
    "release": ESCROWED,
    "fee": "Fee of the market",
    "breach": "Energy beyond a declared limit",
    "emergency": "Compensation for having kept an emergency limit",
}
"""What movements of money are about, as a bill says it."""

SETTLED = frozenset({"SessionSettled", "SettlementCorrected"})
"""Kinds of events whose postings have entries of sessions."""

FLEXIBILITY = FlexSettled.__name__
"""Kind of events whose postings have entries of periods."""

NOT_BILLED = frozenset({"InvoicesIssued"})
"""Kinds of events whose postings on a bill are that bill itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading:
    """What bills say beside their lines: who writes them, on what terms, when."""

    issuer: Party
    terms: Terms
    day: date


@dataclass(frozen=True, kw_only=True, slots=True)
class Drafting:
    """The month whose bills are made, the months that are issued, and what all of the bills say."""

    month: Month
    issued: Issued
    heading: Heading


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthBill:
    """A bill of a month; ``payment`` tells what became of what it asks for, "none" where that is nothing."""

    bill: Bill
    month: Month
    issued: bool
    payment: PaymentStatus | Literal["none"] = "none"


def plain_heading(live: Live) -> Heading:
    """Return the heading of drafts."""
    issuer = Party(participant=OPERATOR, name=live.terms.name)
    terms = Terms(currency=live.terms.currency)
    return Heading(issuer=issuer, terms=terms, day=local_day(live, live.now()))


def bills_of(live: Live, participants: Iterable[str], month: Month) -> list[MonthBill]:
    """Return the bills of participants; of an issued month those that there are."""
    with live.market.database.reading() as connection:
        issued = issued_months(live, connection)
        if month.label in issued.labels:
            return _documents(live, connection, participants, month=month)
        asked = Drafting(month=month, issued=issued, heading=plain_heading(live))
        drafts = (draft(live, connection, one, asked=asked) for one in participants)
        return [MonthBill(bill=one, month=month, issued=False) for one in drafts]


def _documents(
    live: Live, connection: Connection, participants: Iterable[str], *, month: Month
) -> list[MonthBill]:
    bill_, payment = tables.invoices.c, tables.payments.c
    joined = tables.invoices.outerjoin(
        tables.payments, and_(payment.market == bill_.market, payment.id == bill_.number)
    )
    asked = select(bill_.participant, bill_.document, payment.status).select_from(joined)
    asked = asked.where(bill_.market == live.number, bill_.month == month.label)
    names = reads.numbers(live, list(participants)) or []
    if len(names) == 1:
        asked = asked.where(bill_.participant == names[0])
    found = {row.participant: row for row in connection.execute(asked)}
    return [
        MonthBill(
            bill=document_bill(found[number].document),
            month=month,
            issued=True,
            payment=found[number].status or "none",
        )
        for number in names
        if number in found
    ]


def draft(live: Live, connection: Connection, participant: str, *, asked: Drafting) -> Bill:
    """Return the bill of a participant for a month that is not issued, of what is booked by now."""
    month, heading = asked.month, asked.heading
    number = reads.number_of(live, participant)
    if number is None:
        raise InvariantError("a bill is of a participant that is registered, or of a buyer of flexibility")
    booked = _booked(live, connection, number, asked=asked)
    sums = _sums(live, connection, number, month=month, booked=booked)
    flexibility = flexibility_of(live, connection, number, month=month)
    due = -sum(line.amount for line in flexibility)
    require(due == booked.flexibility, f"flexibility of a bill is {due}, and {booked.flexibility} was booked")
    return Bill(
        number=DRAFT,
        issuer=heading.issuer,
        recipient=_payer(live, participant),
        first=month.begin,
        last=month.last,
        issued=heading.day,
        terms=heading.terms,
        lines=(*month_lines(sums), *flexibility, *booked.late),
        opening=booked.opening,
    )


def recipient_of(record: Record) -> Party:
    """Return a participant, or an organisation, as the recipient of a bill."""
    body = record.body
    told = {name: str(body.get(name) or "")[:LONGEST] for name in ("name", *ADDRESS, "iban")}
    return Party(participant=record.id, **told)


def _payer(live: Live, name: str) -> Party:
    """Return a participant, or a grid operator that buys flexibility, as the recipient of a bill."""
    kept = live.state.register
    record = kept.get("participant", name) or kept.get("organisation", name)
    return Party(participant=name, name=name) if record is None else recipient_of(record)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Booked:
    """Postings that a bill holds, by kind of entry and of movement; lines of late ones; what is carried.

    ``flexibility`` is what settlements of flexibility booked for the month, + received.
    """

    kinds: Mapping[str, int]
    moved: Mapping[str, int]
    flexibility: int
    late: tuple[BillLine, ...]
    opening: int


def _booked(live: Live, connection: Connection, number: int, *, asked: Drafting) -> _Booked:
    """Return what was booked on a participant's bill that its bill of a month is to hold."""
    month, issued = asked.month, asked.issued
    begin = issued.next(live)
    sent = _sent(live, connection, number)
    span = Span(live.terms.session(min(begin.first, month.first)).delivery_start, None)
    rows = connection.execute(reads.postings(live, number, span, most=MOST_ROWS)).all()
    rows = [row for row in rows if row.name.startswith(bill("")) and row.kind not in NOT_BILLED]
    moved = movements(live, rows)
    kinds: dict[str, int] = {}
    moves: dict[str, int] = {}
    flexible: dict[str, int] = {}
    late: dict[tuple[int, str], int] = {}
    before = -sent[-1].carried_micro if sent else 0
    for row in rows:
        session, kind = booked_for(live, row, moved)
        if month.first <= session < month.end:
            into = kinds if row.kind in SETTLED else flexible if row.kind == FLEXIBILITY else moves
            into[kind] = into.get(kind, 0) + row.amount_micro
        elif session < month.first and (session >= begin.first or row.seq > issued.seq):
            if month.first > begin.first:
                before += row.amount_micro
            else:
                late[session, kind] = late.get((session, kind), 0) + row.amount_micro
    if fee := int(connection.scalar(reads.escrow_fee(live, number, month.first, end=month.end)) or 0):
        moves |= {"release": moves.get("release", 0) + fee, "fee": moves.get("fee", 0) - fee}
    lines = tuple(_late_line(sent, key, amount) for key, amount in late.items() if amount)
    opening = to_cents(-before).carried if month.first > begin.first else -before
    flexibility = sum(flexible.values())
    return _Booked(kinds=kinds, moved=moves, flexibility=flexibility, late=lines, opening=opening)


def _sent(live: Live, connection: Connection, number: int) -> list[Any]:
    """Return the issued bills of a participant with their sessions, in their order."""
    bill_, month = tables.invoices.c, tables.issued_months.c
    joined = tables.invoices.join(
        tables.issued_months, and_(month.market == bill_.market, month.month == bill_.month)
    )
    asked = select(bill_.number, bill_.carried_micro, month.first_session, month.end_session)
    asked = asked.select_from(joined).where(bill_.market == live.number, bill_.participant == number)
    return list(connection.execute(asked.order_by(month.first_session)).all())


def booked_for(live: Live, row: Any, moved: Mapping[int, MoneyMoved]) -> tuple[int, str]:
    """Return the session that a posting is for, and its kind; what names none is for that of its moment."""
    if row.kind in SETTLED:
        return row.entry // KINDS, EntryKind(row.entry % KINDS).name.lower()
    if row.kind == FLEXIBILITY:  # entries are numbered by the period of delivery
        return live.terms.session_of(row.entry // KINDS), EntryKind(row.entry % KINDS).name.lower()
    kind = moved[row.seq].kind if row.seq in moved else row.kind
    told = moved[row.seq].reference.removeprefix("session ") if row.seq in moved else ""
    if told.isdigit():
        return int(told), kind
    return live.terms.session_of(live.terms.period_at(row.at)), kind


def _late_line(sent: list[Any], key: tuple[int, str], amount: int) -> BillLine:
    session, kind = key
    of = next((one.number for one in sent if one.first_session <= session < one.end_session), "")
    what = MOVED.get(kind) or MEMOS.get(kind, kind)
    told = f"Correction of invoice {of}" if of else "Correction of an earlier month"
    return BillLine(text=f"{told}, session {session}: {what}", amount=-amount, taxed=what != ESCROWED)


def _sums(live: Live, connection: Connection, number: int, *, month: Month, booked: _Booked) -> MonthSums:
    """Return what a month comes to; its sum is that of the postings on the participant's bill."""
    terms = live.terms
    span = Span(terms.session(month.first).delivery_start, terms.session(month.end).delivery_start)
    lines = connection.execute(reads.lines(live, number, span)).all()
    trades = connection.execute(reads.trades(live, [number], span, most=MOST_ROWS)).all()
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
