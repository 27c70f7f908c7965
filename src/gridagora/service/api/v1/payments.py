"""Money as files: statements and lines of bills as CSV, bills of trades, payments by SEPA."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import Path, Query
from sqlalchemy import select
from starlette.responses import Response

from gridagora.adapters.bill_files import bill_pdf, no_formula
from gridagora.adapters.sql import tables
from gridagora.adapters.sql.projections_live import RETAILER
from gridagora.billing.bills import Bill, BillLine, Terms
from gridagora.billing.parties import OPERATOR, Party, compact
from gridagora.billing.sepa import NAME, sepa_text
from gridagora.engine.live.payment_commands import ClosePayments, OrderPayments
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.accounts import about, number_of
from gridagora.service.api.v1.bills import bills_of, recipient_of
from gridagora.service.api.v1.months import AskedMonth, MonthLabel, local_day, month_of
from gridagora.service.api.v1.tools import AskedId, AskedSpan, Live, TheMarket, known, utc
from gridagora.service.api.v1.trades import RowId, trade_row
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.context import Here
from gridagora.service.headers import Repeatable
from gridagora.service.models.accounts import BankPayment, CloseBankPayments, PaymentState, PayOut
from gridagora.service.models.base import Place, money
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.units import amount_micro

api = router("payments")
CSV, PDF, XML = "text/csv", "application/pdf", "application/xml"
MOST_ROWS = 1_000_000


def _sent(kind: str) -> Any:
    return {"response_class": Response, "responses": {200: {"content": {kind: {}}}}}


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, name: str) -> Response:
    """Return a table as CSV; no cell is taken for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([no_formula(str(cell)) for cell in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(text.getvalue(), media_type=f"{CSV}; charset=utf-8", headers=headers)


@api.get("/accounts/{participant}/statement", summary="Statement of an account as CSV", **_sent(CSV))
async def statement(
    *,
    live: TheMarket,
    service: Here,
    participant: Place,
    span: AskedSpan,
    caller: Annotated[Caller, needs("accounts.read")],
) -> Response:
    """Return all postings on a participant's accounts in a span of time; those of escrow by trade."""
    number = number_of(live, caller, participant)
    rows = await reads.fetch(service, live, reads.postings(live, number, span, most=MOST_ROWS))
    told = await service.store.run(partial(about, live, number, rows))
    lines = (
        (row.seq, f"{utc(row.at):%Y-%m-%dT%H:%M:%SZ}", row.name, *told.what(row), trade, money(amount))
        for row in rows
        for trade, amount in told.trades(row) or [("", row.amount_micro)]
    )
    columns = ("event", "at", "account", "what", "reference", "trade", "amount")
    return _table(columns, lines, name="statement")


@api.get("/trades/{id}/pdf", summary="The bill of a trade as PDF", **_sent(PDF))
async def trade_bill(
    *,
    live: TheMarket,
    service: Here,
    id: RowId,
    caller: Annotated[Caller, needs("trades.read")],
    side: Annotated[
        str | None, Query(pattern="^(buyer|seller)$", description="for who acts for both; else one's own")
    ] = None,
) -> Response:
    """Return the bill of a trade, between the operator and one side of it.

    The operator stands between both: neither is told the other's name or bank account, only its id, as in the
    list of trades.  What the trade comes to is paid by escrow and with the invoice of the month.
    """
    names = reads.numbers(live, reads.whose(live, caller, None))
    one = await trade_row(live, service, id, names=names)
    sides = {"buyer": one.buyer, "seller": one.seller}
    mine = [name for name, code in sides.items() if code != RETAILER and (names is None or code in names)]
    if side is not None and side not in mine:
        raise known(None, f"{side}'s bill of trade {id} that is yours")
    content = await service.store.run(partial(bill_pdf, _trade_bill(live, one, side or mine[0])))
    headers = {"Content-Disposition": f'inline; filename="trade-{id}.pdf"'}
    return Response(content, media_type=PDF, headers=headers)


def _trade_bill(live: Live, one: Any, side: str) -> Bill:
    names = reads.Names(live)
    buys = side == "buyer"
    own, other = (one.buyer, one.seller) if buys else (one.seller, one.buyer)
    price = one.buyer_price_micro if buys else one.seller_price_micro
    amount = int(amount_micro(np.int64(one.quantity_wh), np.int64(price)))
    begins = live.terms.begins(one.period)
    day = local_day(live, begins)
    told = f"{'from' if buys else 'to'} {names[other]}"
    line = BillLine(
        text=f"Energy {told}, {utc(begins):%Y-%m-%d %H:%M} UTC, trade {one.session}-{one.row}",
        quantity_wh=one.quantity_wh,
        amount=amount if buys else -amount,
    )
    record = known(live.state.register.get("participant", names[own]), f"participant {names[own]!r}")
    return Bill(
        number=f"{day:%Y%m%d}-T{one.session}.{one.row}{side[0].upper()}",
        issuer=Party(participant=OPERATOR, name=live.terms.name),
        recipient=recipient_of(record),
        first=day,
        last=day,
        issued=day + timedelta(days=1),
        terms=Terms(currency=live.terms.currency),
        lines=(line,),
        paid_with=f"the invoice of {day:%Y-%m}" + (" and out of escrow" if live.terms.escrow else ""),
    )


@api.get("/invoices/months/{month}/lines", summary="Lines for the existing bills as CSV", **_sent(CSV))
async def lines(
    *,
    live: TheMarket,
    service: Here,
    month: MonthLabel,
    caller: Annotated[Caller, needs("invoices.read")],
) -> Response:
    """Return the lines of a month of all participants that are yours, as for a retailer's own bills.

    Where what was carried in is not nothing it has a line too: lines sum to what is due.
    """
    names = reads.whose(live, caller, None)
    bills = await service.store.run(partial(bills_of, live, _all(live, names), month_of(live, month)))
    told = (
        (
            one.bill.recipient.participant,
            one.bill.number,
            line.text,
            "" if line.quantity_wh is None else line.quantity_wh,
            "" if line.price is None else money(line.price),
            money(line.amount),
            one.bill.terms.currency,
        )
        for one in bills
        for line in (*one.bill.lines, *_carried(one.bill))
    )
    columns = ("participant", "invoice", "text", "quantity_wh", "price", "amount", "currency")
    return _table(columns, told, name=f"lines-{month}")


def _carried(bill: Bill) -> list[BillLine]:
    """Return what was carried in as a line."""
    return [BillLine(text="Carried from the bill before", amount=bill.opening)] if bill.opening else []


def _all(live: Live, names: list[str] | None) -> tuple[str, ...]:
    registered = tuple(reads.payers(live))
    if names is None:
        return registered
    wanted = set(names)
    return tuple(name for name in registered if name in wanted)


@api.post("/payments/outcomes", summary="Note what the bank told of payments")
async def outcomes(
    *,
    live: TheMarket,
    service: Here,
    body: CloseBankPayments,
    caller: Annotated[Caller, needs("accounts.write")],
    repeat: Repeatable,
) -> list[BankPayment]:
    """Note payments as paid or returned, by the bank's statement; all of them, or none.

    An invoice that a participant pays is noted here too.  What is returned is in the participant's wallet.
    """
    caller.require(NOBODYS)
    command = ClosePayments(
        at=live.now(),
        actor=caller.identity.id,
        payments=tuple(body.payments),
        outcome=body.outcome,
        reason=body.reason,
    )
    await live.do(command, repeat)
    column = tables.payments.c
    asked = select(*tables.payments.columns).where(column.market == live.number, column.id.in_(body.payments))
    rows = await reads.fetch(service, live, asked.order_by(column.id))
    return [_payment(reads.Names(live), row) for row in rows]


@api.post("/payments/{month}", summary="Pay-outs of a month, or withdrawals, as SEPA file", **_sent(XML))
async def payments(
    *,
    live: TheMarket,
    service: Here,
    month: Annotated[str, Path(pattern=r"^([0-9]{4}-(0[1-9]|1[0-2])|withdrawals)$", examples=["2026-01"])],
    body: PayOut,
    caller: Annotated[Caller, needs("accounts.write")],
    repeat: Repeatable,
) -> Response:
    """Put what is open into a file of credit transfers (pain.001.001.09) and book it as being in transit.

    The file is written once: asked for again by its name (where none is told that of the market with the
    month or the last withdrawal) the same bytes come back and nothing is booked.  All that is wrong is told
    at once: accounts that lack, check digits, amounts.
    """
    caller.require(NOBODYS)
    label = "" if month == "withdrawals" else month_of(live, month).label
    message = body.message or _message(live, label or f"W{live.state.billed.withdrawals}")
    command = OrderPayments(
        at=live.now(),
        actor=caller.identity.id,
        month=label,
        message=message,
        debtor=Party(participant=OPERATOR, name=body.name, iban=compact(body.iban), bic=compact(body.bic)),
        execution=body.execution.isoformat(),
        leave_out=body.leave_out_without_account,
    )
    await live.do(command, repeat)
    column = tables.payment_files.c
    asked = select(column.content).where(column.market == live.number, column.message == message)
    (row,) = await reads.fetch(service, live, asked)
    headers = {"Content-Disposition": f'attachment; filename="{message}-pain.001.001.09.xml"'}
    return Response(row.content.encode(), media_type=XML, headers=headers)


def _message(live: Live, label: str) -> str:
    """Return the name of a file by which a bank knows a double: that of the market, and a label."""
    name = sepa_text(live.terms.name, NAME)
    kept = "-".join(re.findall("[A-Za-z0-9]+", name))[:20].strip("-") or "GA"
    return f"{kept}-{label}"


@api.get("/payments", summary="List payments over the bank")
async def list_payments(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    caller: Annotated[Caller, needs("accounts.read")],
    participant: AskedId = None,
    month: AskedMonth = None,
    status: Annotated[PaymentState | None, Query()] = None,
) -> Page[BankPayment]:
    """Return invoices to be paid and paid out, and withdrawals, with what became of them."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    column = tables.payments.c
    wanted = [column.market == live.number]
    wanted += [] if names is None else [column.participant.in_(names)]
    wanted += [] if month is None else [column.month == month]
    wanted += [] if status is None else [column.status == status]
    after = page.after(str)
    wanted += [] if after is None else [column.id > str(after[0])]
    asked = select(*tables.payments.columns).where(*wanted).order_by(column.id).limit(page.fetch)
    rows = await reads.fetch(service, live, asked)
    called = reads.Names(live)
    return page.page(response, [_payment(called, row) for row in rows], key=lambda one: (one.id,))


def _payment(names: reads.Names, row: Any) -> BankPayment:
    return BankPayment(
        id=row.id,
        kind=row.kind,
        participant=names[row.participant],
        month=row.month,
        amount=money(row.amount_micro),
        amount_micro=row.amount_micro,
        status=row.status,
        message=row.message,
        reason=row.reason,
        at=utc(row.at),
        ordered_at=None if row.ordered_at is None else utc(row.ordered_at),
        closed_at=None if row.closed_at is None else utc(row.closed_at),
    )
