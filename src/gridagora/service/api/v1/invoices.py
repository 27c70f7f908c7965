"""Invoices: the bill of a participant and month, from the settled sessions that were delivered in it."""

from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from gridagora.adapters.bill_files import bill_pdf
from gridagora.billing.bills import BillLine, Terms
from gridagora.billing.documents import bill_document
from gridagora.billing.parties import OPERATOR, Party, compact, party_errors
from gridagora.engine.live.payment_commands import IssueInvoices
from gridagora.engine.live.refusals import refusal
from gridagora.errors import InputError, check_faults
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.bills import Drafting, Heading, MonthBill, bills_of, draft
from gridagora.service.api.v1.flexibility_bills import flexibility_is_settled
from gridagora.service.api.v1.months import AskedMonth, Month, MonthLabel, issued_months, local_day, month_of
from gridagora.service.api.v1.tools import AskedId, Live, TheMarket, known, paged, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.context import Here, Service
from gridagora.service.headers import Repeatable
from gridagora.service.models.accounts import Invoice, InvoiceLine, IssueBills, IssuedBills
from gridagora.service.models.base import money
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("invoices")
Reader = Annotated[Caller, needs("invoices.read")]
InvoiceId = Annotated[str, Path(pattern=r"^.{1,200}:[0-9]{4}-(0[1-9]|1[0-2])$", examples=["ann:2026-01"])]
TRIES = 5
"""How often bills are made again when something is booked on one meanwhile."""


@api.get("/invoices", summary="List invoices")
async def invoices(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    caller: Reader,
    participant: AskedId = None,
    month: AskedMonth = None,
) -> Page[Invoice]:
    """Return the invoices of a month (the present one where left out) in the order of registration."""
    wanted = month_of(live, month or f"{local_day(live, live.now()):%Y-%m}")
    names = reads.whose(live, caller, participant)
    rows = [
        (reads.number_of(live, name) or 0, name)
        for name in reads.payers(live)
        if names is None or name in set(names)
    ]
    cut = paged(page, response, rows, key=lambda row: (row[0],), make=lambda row: row[1])
    bills = await service.store.run(partial(bills_of, live, tuple(cut.items), wanted))
    return Page(items=[_told(one, live) for one in bills], next=cut.next)


@api.get("/invoices/{id}", summary="Read an invoice")
async def invoice(*, live: TheMarket, service: Here, id: InvoiceId, caller: Reader) -> Invoice:
    """Return the invoice of a participant and month: a draft until it is issued, then the same for ever."""
    return _told(await _one(live, service, id, caller=caller), live)


@api.get(
    "/invoices/{id}/pdf",
    summary="An invoice as PDF",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}},
)
async def pdf(*, live: TheMarket, service: Here, id: InvoiceId, caller: Reader) -> Response:
    """Return the invoice as a page to be printed."""
    one = await _one(live, service, id, caller=caller)
    content = await service.store.run(partial(bill_pdf, one.bill))
    name = f'inline; filename="invoice-{one.month.label}.pdf"'
    return Response(content, media_type="application/pdf", headers={"Content-Disposition": name})


async def _one(live: Live, service: Service, id_: str, *, caller: Caller) -> MonthBill:
    participant, _, label = id_.rpartition(":")
    caller.require(live.subject(participant))
    known(reads.number_of(live, participant), f"participant {participant!r}")
    month = month_of(live, label)
    found: list[MonthBill] = await service.store.run(partial(bills_of, live, (participant,), month))
    return known(found[0] if found else None, f"bill of {participant!r} in {label}: it came to nothing")


@api.post("/invoices/months/{month}/issue", status_code=201, summary="Issue the invoices of a month")
async def issue(
    *,
    live: TheMarket,
    service: Here,
    month: MonthLabel,
    body: IssueBills,
    caller: Annotated[Caller, needs("accounts.write")],
    repeat: Repeatable,
) -> IssuedBills:
    """Issue the invoices of a settled month, one month after the other: nothing changes them from then on.

    What is booked later for its sessions stands on the next invoice, with a reference to this one.
    """
    caller.require(NOBODYS)
    wanted = month_of(live, month)
    if live.state.next_settle < wanted.end:
        reason, fix = "has sessions that are not settled", "wait until all of them are"
        raise wrong("month_state", "month", month, reason=reason, fix=fix)
    heading = _heading(live, body)
    for left in reversed(range(TRIES)):
        command = await service.store.run(partial(_bills_to_issue, live, wanted, heading))
        try:
            await live.do(replace(command, at=live.now(), actor=caller.identity.id), repeat)
            break
        except InputError as error:
            if not left or any(fault.code != "bills_changed" for fault in error.faults):
                raise
    bills = await service.store.run(partial(bills_of, live, reads.payers(live), wanted))
    sums = [one.bill.payable for one in bills]
    return IssuedBills(
        month=month,
        invoices=len(bills),
        to_pay_micro=sum(amount for amount in sums if amount > 0),
        paid_out_micro=-sum(amount for amount in sums if amount < 0),
        carried_micro=sum(one.bill.carried for one in bills),
    )


def _heading(live: Live, body: IssueBills) -> Heading:
    """Return what all bills say; every fault of the issuer is told."""
    told = {name: value for name, value in body.issuer.model_dump().items() if value}
    told |= {name: compact(told[name]) for name in ("iban", "bic") if name in told}
    issuer = Party(participant=OPERATOR, **{"name": live.terms.name} | told)
    check_faults(
        refusal("field_invalid", f"issuer.{place}", getattr(issuer, place), reason=reason, fix=fix)
        for place, reason, fix in party_errors(issuer)
    )
    terms = Terms(currency=live.terms.currency, vat_bp=round(body.vat_percent * 100), due_days=body.due_days)
    return Heading(issuer=issuer, terms=terms, day=local_day(live, live.now()))


def _bills_to_issue(live: Live, month: Month, heading: Heading) -> IssueInvoices:
    """Return the command that issues the bills of a month by what is booked now."""
    seen = live.state.billed.booked  # before the database is read: what is booked meanwhile is found out
    with live.market.database.reading() as connection:
        asked = Drafting(month=month, issued=issued_months(live, connection), heading=heading)
        made = [draft(live, connection, one, asked=asked) for one in reads.payers(live)]
    bills = [
        replace(one, number=f"{month.begin:%Y%m}-{k:04d}")
        for k, one in enumerate((one for one in made if one.lines or one.payable), start=1)
    ]
    return IssueInvoices(
        at=0,
        actor="",
        month=month.label,
        first=month.first if asked.issued.labels else max(month.first, live.state.first),
        end=month.end,
        seen=seen,
        numbers=tuple(one.number for one in bills),
        participants=tuple(one.recipient.participant for one in bills),
        payable=tuple(one.payable for one in bills),
        carried=tuple(one.carried for one in bills),
        documents=tuple(bill_document(one) for one in bills),
    )


def _told(one: MonthBill, live: Live) -> Invoice:
    bill = one.bill
    return Invoice(
        id=f"{bill.recipient.participant}:{one.month.label}",
        number=bill.number,
        participant=bill.recipient.participant,
        month=one.month.label,
        first=bill.first.isoformat(),
        last=bill.last.isoformat(),
        issued=bill.issued.isoformat() if one.issued else None,
        due=bill.due.isoformat() if one.issued else None,
        currency=bill.terms.currency,
        lines=[_line(line) for line in bill.lines],
        total=money(bill.total),
        total_micro=bill.total,
        opening_micro=bill.opening,
        payable_micro=bill.payable,
        carried_micro=bill.carried,
        complete=live.state.next_settle >= one.month.end and flexibility_is_settled(live, one.month),
        status="issued" if one.issued else "draft",
        payment=one.payment,
    )


def _line(line: BillLine) -> InvoiceLine:
    return InvoiceLine(
        text=line.text,
        quantity_wh=line.quantity_wh,
        price_micro=line.price,
        amount=money(line.amount),
        amount_micro=line.amount,
    )
