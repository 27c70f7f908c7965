"""Money as files: statements and lines of bills as CSV, bills of trades, pay-outs by SEPA."""

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import Path, Query
from starlette.responses import Response

from gridagora.adapters.bill_files import bill_pdf, no_formula
from gridagora.adapters.sql.projections_live import RETAILER
from gridagora.billing.bills import Bill, BillLine, Terms
from gridagora.billing.parties import OPERATOR, Party, compact
from gridagora.billing.sepa import CreditTransfer, pain_001
from gridagora.errors import InputError
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.accounts import movements, number_of, what
from gridagora.service.api.v1.invoices import Month, bills_of, local_day, month_of
from gridagora.service.api.v1.tools import AskedSpan, Live, Span, TheMarket, known, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.context import Here
from gridagora.service.models.accounts import PayOut
from gridagora.service.models.base import Place, money
from gridagora.service.routes import router
from gridagora.units import amount_micro

api = router("payments")
CSV, PDF, XML = "text/csv", "application/pdf", "application/xml"
MOST_ROWS = 1_000_000
MonthLabel = Annotated[str, Path(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", examples=["2026-01"])]
TradeId = Annotated[str, Path(pattern=r"^[0-9]{1,15}-[0-9]{1,15}$", examples=["4-0"])]


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
    """Return all postings on a participant's wallet and bill in a span of time."""
    number = number_of(live, caller, participant)
    rows = await reads.fetch(service, live, reads.postings(live, number, span, most=MOST_ROWS))
    moved = await service.store.run(partial(movements, live, rows))
    told = (
        (row.seq, f"{utc(row.at):%Y-%m-%dT%H:%M:%SZ}", row.name, *what(row, moved), money(row.amount_micro))
        for row in rows
    )
    return _table(("event", "at", "account", "what", "reference", "amount"), told, name="statement")


@api.get("/trades/{id}/pdf", summary="The bill of a trade as PDF", **_sent(PDF))
async def trade_bill(
    *,
    live: TheMarket,
    service: Here,
    id: TradeId,
    caller: Annotated[Caller, needs("trades.read")],
    side: Annotated[str, Query(pattern="^(buyer|seller)$")] = "buyer",
) -> Response:
    """Return the bill of a trade, from the seller to the buyer.

    Where both have other prices it is the operator's, to whom ``side`` names.
    """
    names = reads.numbers(live, reads.whose(live, caller, None))
    session, row = map(int, id.split("-"))
    asked = reads.trades(live, names, Span(None, None), session=session, after=(session, row - 1))
    found = [one for one in await reads.fetch(service, live, asked) if one.row == row]
    one = known(found[0] if found else None, f"trade {id} of yours")
    content = await service.store.run(partial(bill_pdf, _trade_bill(live, one, side)))
    headers = {"Content-Disposition": f'inline; filename="trade-{id}.pdf"'}
    return Response(content, media_type=PDF, headers=headers)


def _trade_bill(live: Live, one: Any, side: str) -> Bill:
    names = reads.Names(live)
    buyer, seller = (_party(live, names[code], code) for code in (one.buyer, one.seller))
    wh = np.int64(one.quantity_wh)
    paid, got = (int(amount_micro(wh, np.int64(p))) for p in (one.buyer_price_micro, one.seller_price_micro))
    issuer, recipient, amount = seller, buyer, paid
    if paid != got:
        operator = Party(participant=OPERATOR, name=live.terms.name)
        issuer, recipient, amount = (operator, buyer, paid) if side == "buyer" else (operator, seller, -got)
    begins = live.terms.begins(one.period)
    day = local_day(live, begins)
    line = BillLine(
        text=f"Energy, {utc(begins):%Y-%m-%d %H:%M} UTC", quantity_wh=one.quantity_wh, amount=amount
    )
    return Bill(
        number=f"{day:%Y%m%d}-T{one.session}.{one.row}",
        issuer=issuer,
        recipient=recipient,
        first=day,
        last=day,
        issued=day + timedelta(days=1),
        terms=Terms(currency=live.terms.currency),
        lines=(line,),
    )


def _party(live: Live, name: str, code: int = 0) -> Party:
    """Return a participant, or the retailer, as a party of a bill."""
    record = live.state.register.get("participant", name)
    if code == RETAILER or record is None:
        return Party(participant=name, name="Retailer")
    body = record.body
    return Party(
        participant=name,
        name=str(body["name"])[:140],
        iban=str(body.get("iban") or ""),
        bic=str(body.get("bic") or ""),
    )


@api.get("/invoices/months/{month}/lines", summary="Lines for the existing bills as CSV", **_sent(CSV))
async def lines(
    *,
    live: TheMarket,
    service: Here,
    month: MonthLabel,
    caller: Annotated[Caller, needs("invoices.read")],
) -> Response:
    """Return the lines of a month of all participants that are yours, as for a retailer's own bills."""
    names = reads.whose(live, caller, None)
    bills = await service.store.run(partial(bills_of, live, _all(live, names), month_of(live, month)))
    told = (
        (
            bill.recipient.participant,
            bill.number,
            line.text,
            "" if line.quantity_wh is None else line.quantity_wh,
            "" if line.price is None else money(line.price),
            money(line.amount),
            bill.terms.currency,
        )
        for bill in bills
        for line in bill.lines
    )
    columns = ("participant", "invoice", "text", "quantity_wh", "price", "amount", "currency")
    return _table(columns, told, name=f"lines-{month}")


def _all(live: Live, names: list[str] | None) -> tuple[str, ...]:
    registered = tuple(record.id for record in live.state.register.all("participant"))
    if names is None:
        return registered
    wanted = set(names)
    return tuple(name for name in registered if name in wanted)


@api.post("/payments/{month}", summary="Pay-outs of a month as SEPA file", **_sent(XML))
async def payments(
    *,
    live: TheMarket,
    service: Here,
    month: MonthLabel,
    body: PayOut,
    caller: Annotated[Caller, needs("accounts.write")],
) -> Response:
    """Return the credit transfers (pain.001.001.09) of all invoices of a settled month that are paid out.

    All that is wrong is told at once: accounts that lack, check digits, amounts.  The same pay-outs give the
    same identifier, by which a bank knows a double.
    """
    caller.require(NOBODYS)
    wanted = month_of(live, month)
    if live.terms.currency != "EUR":
        raise wrong("field_invalid", "currency", live.terms.currency, fix="SEPA moves euro alone")
    if live.state.next_settle < wanted.end:
        reason, fix = "has sessions that are not settled", "wait until all of them are"
        raise wrong("session_state", "month", month, reason=reason, fix=fix)
    content = await service.store.run(partial(_payments, live, wanted, body))
    headers = {"Content-Disposition": f'attachment; filename="payments-{month}-pain.001.001.09.xml"'}
    return Response(content, media_type=XML, headers=headers)


def _payments(live: Live, month: Month, told: PayOut) -> bytes:
    transfers = [
        CreditTransfer(
            identifier=bill.number,
            creditor=_party(live, bill.recipient.participant),
            amount=-bill.payable,
            text=f"Credit note {bill.number}",
        )
        for bill in bills_of(live, _all(live, None), month)
        if bill.payable < 0
    ]
    debtor = Party(participant=OPERATOR, name=told.name, iban=compact(told.iban), bic=compact(told.bic))
    content = "\n".join(f"{one.identifier} {one.creditor.iban} {one.amount}" for one in transfers)
    try:
        return pain_001(
            debtor,
            transfers,
            message=f"GA-{month.begin:%Y%m}-{hashlib.sha256(content.encode()).hexdigest()[:16]}",
            created=f"{utc(live.now()):%Y-%m-%dT%H:%M:%SZ}",
            execution=told.execution,
        )
    except InputError as error:
        faults = [replace(fault, code=fault.code or "field_invalid") for fault in error.faults]
        raise InputError(faults) from None
