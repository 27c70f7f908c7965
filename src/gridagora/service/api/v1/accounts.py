"""Accounts of participants: balance, statement, deposits and withdrawals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette.responses import Response

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.codec import decode
from gridagora.engine.live.commands import DepositMoney, WithdrawMoney
from gridagora.engine.live.money import HOLD, RELEASE, WITHDRAWAL, available, bill, invoiced, wallet
from gridagora.ledger.journal import KINDS, EntryKind
from gridagora.model.flexibility_events import FlexSettled
from gridagora.model.live_events import MoneyMoved
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.tools import AskedSpan, Live, Span, TheMarket, known, paged, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here
from gridagora.service.headers import Repeatable, etag, tagged
from gridagora.service.models.accounts import Account, EscrowEntry, Payment, Posting, PostingPart
from gridagora.service.models.base import Count, Place, money
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("accounts")
Reader = Annotated[Caller, needs("accounts.read")]
Writer = Annotated[Caller, needs("accounts.write")]
MOST_TRADES = 1_000_000


def _account(live: Live, participant: str) -> Account:
    balance = live.state.balance
    paid, billed = balance.get(wallet(participant), 0), balance.get(bill(participant), 0)
    sent = balance.get(invoiced(participant), 0)
    free = available(live.state, participant)
    return Account(
        participant=participant,
        currency=live.terms.currency,
        wallet=money(paid),
        wallet_micro=paid,
        bill=money(billed),
        bill_micro=billed,
        invoiced=money(sent),
        invoiced_micro=sent,
        reserved_micro=live.state.reserved.get(participant, 0),
        available=money(free),
        available_micro=free,
    )


def number_of(live: Live, caller: Caller, participant: str) -> int:
    """Return the number of a participant, or of a buyer of flexibility, that is there and the caller's."""
    caller.require(live.subject(participant))
    return known(reads.number_of(live, participant), f"participant {participant!r}")


@api.get("/accounts", summary="List accounts")
async def accounts(*, live: TheMarket, page: AskedPage, response: Response, caller: Reader) -> Page[Account]:
    """Return accounts in the order of registration, then those of grid operators that buy flexibility."""
    rows = [
        (reads.number_of(live, name) or 0, name) for name in caller.only(reads.payers(live), live.subject)
    ]
    return paged(page, response, rows, key=lambda row: (row[0],), make=lambda row: _account(live, row[1]))


@api.get("/accounts/{participant}", summary="Read an account")
async def account(
    *, live: TheMarket, participant: Place, request: Request, response: Response, caller: Reader
) -> Account:
    """Return what a participant has, is due, and can still bind."""
    number_of(live, caller, participant)
    found = _account(live, participant)
    tagged(request, response, etag(found.model_dump_json()))
    return found


@api.get("/accounts/{participant}/postings", summary="Statement of an account")
async def statement(
    *,
    live: TheMarket,
    service: Here,
    participant: Place,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
) -> Page[Posting]:
    """Return the postings on a participant's accounts in the order in which they were booked.

    ``wallet:`` is the money that it paid in, ``participant:`` what is on no invoice yet, ``invoice:`` what
    invoices ask for that are not paid.
    """
    number = number_of(live, caller, participant)
    key = page.after_pair()
    asked = reads.postings(live, number, span, after=key, most=page.fetch)
    rows = await reads.fetch(service, live, asked)
    cut = page.page(response, rows, key=lambda row: (row.seq, row.row))
    told = await service.store.run(partial(about, live, number, cut.items))
    return Page(items=[_posting(row, told) for row in cut.items], next=cut.next)


def movements(live: Live, rows: Any) -> Mapping[int, MoneyMoved]:
    """Return the movements of money behind postings, by the number of their event; reads the events."""
    seqs = sorted({row.seq for row in rows if row.kind == MoneyMoved.__name__})
    column, found = tables.events.c, {}
    with live.market.database.reading() as connection:
        for first in range(0, len(seqs), 500):
            asked = select(column.seq, column.body).where(
                column.market == live.number, column.seq.in_(seqs[first : first + 500])
            )
            for seq, body in connection.execute(asked):
                event = decode(bytes(body))
                if isinstance(event, MoneyMoved):
                    found[seq] = event
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What the postings of a participant are about.

    Parameters
    ----------
    moved : movements of money by the number of their event
    numbers : of invoices and payments by event and amount
    held : trades in escrow by session, with what was held for each and what became of it
    participant : whose postings, by its number
    """

    moved: Mapping[int, MoneyMoved]
    numbers: Mapping[tuple[int, int], str]
    held: Mapping[int, Sequence[Any]]
    participant: int

    def what(self, row: Any) -> tuple[str, str]:
        """Return what a posting is about, and its reference."""
        if row.seq in self.moved:
            moved = self.moved[row.seq]
            names = (moved.payment, moved.reference) if moved.kind == WITHDRAWAL else (moved.reference,)
            return moved.kind, ": ".join(name for name in names if name)
        if row.kind in PAYMENTS:
            return PAYMENTS[row.kind], self.numbers.get((row.seq, abs(row.amount_micro)), "")
        kind = EntryKind(row.entry % KINDS).name.lower()
        if row.kind == FlexSettled.__name__:
            return kind, f"period {row.entry // KINDS}"
        again = " (corrected)" if row.kind == "SettlementCorrected" else ""
        return kind + again, f"session {row.entry // KINDS}"

    def trades(self, row: Any) -> list[tuple[str, int]]:
        """Return the parts of a posting by trade, which sum to it; none before the trades are public."""
        moved = self.moved.get(row.seq)
        if moved is None or moved.kind not in (HOLD, RELEASE) or not len(moved.trade):
            return []
        session = int(moved.reference.rpartition(" ")[2])
        parts = [
            (f"{session}-{one.row}", part)
            for one in self.held.get(session, ())
            if (part := self._part(one, row.name.startswith(wallet("")), hold=moved.kind == HOLD))
        ]
        return parts if sum(part for _, part in parts) == row.amount_micro else []

    def _part(self, one: Any, to_wallet: bool, *, hold: bool) -> int:
        buys, sells = int(one.buyer == self.participant), int(one.seller == self.participant)
        if hold:
            return -int(one.held_micro) * buys
        if to_wallet:
            return int(one.returned_micro * buys + one.paid_micro * sells)
        return int((one.paid_micro + one.fee_micro) * (buys - sells))


PAYMENTS = {"InvoicesIssued": "invoice", "PaymentsOrdered": "pay-out", "PaymentsClosed": "payment"}
"""What postings of bills and payments are about, by the kind of their event."""


def about(live: Live, number: int, rows: Sequence[Any]) -> About:
    """Return what postings of a participant are about; reads events and tables."""
    moved = movements(live, rows)
    escrowed = {
        int(event.reference.rpartition(" ")[2])
        for event in moved.values()
        if event.kind in (HOLD, RELEASE) and len(event.trade)
    }
    held: dict[int, list[Any]] = {}
    with live.market.database.reading() as connection:
        for session in sorted(escrowed):
            asked = reads.escrow(live, number, Span(None, None), session=session, most=MOST_TRADES)
            held[session] = list(connection.execute(asked))
        numbers = _numbers(live, connection, number, rows=rows)
    return About(moved=moved, numbers=numbers, held=held, participant=number)


def _numbers(
    live: Live, connection: Connection, number: int, *, rows: Sequence[Any]
) -> dict[tuple[int, int], str]:
    """Return the numbers of invoices and payments by the event that booked them and the amount."""
    if not any(row.kind in PAYMENTS for row in rows):
        return {}
    pay = tables.payments.c
    found: dict[tuple[int, int], list[str]] = {}
    for one in connection.execute(
        select(*tables.payments.columns).where(pay.market == live.number, pay.participant == number)
    ):
        for seq in (one.seq, one.ordered_seq, one.closed_seq):
            if seq is not None:
                found.setdefault((seq, one.amount_micro), []).append(one.id)
    return {key: ", ".join(ids) for key, ids in found.items()}


def _posting(row: Any, told: About) -> Posting:
    what, reference = told.what(row)
    return Posting(
        event=row.seq,
        at=utc(row.at),
        account=row.name,
        what=what,
        reference=reference,
        amount=money(row.amount_micro),
        amount_micro=row.amount_micro,
        trades=[
            PostingPart(trade=trade, amount=money(part), amount_micro=part)
            for trade, part in told.trades(row)
        ],
    )


@api.get("/accounts/{participant}/escrow", summary="Escrow of a participant's trades")
async def escrow(
    *,
    live: TheMarket,
    service: Here,
    participant: Place,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    session: Annotated[Count | None, Query()] = None,
) -> Page[EscrowEntry]:
    """Return for each trade what was held, when, and what was paid out and returned when it was released.

    Where a seller's measured export does not cover all that it sold in a period, each of its trades of the
    period is paid the same share of its amount, rounded down; the rest goes back to the buyer.
    """
    number = number_of(live, caller, participant)
    key = page.after_pair()
    asked = reads.escrow(live, number, span, session=session, after=key, most=page.fetch)
    rows = await reads.fetch(service, live, asked)
    cut = page.page(response, rows, key=lambda row: (row.session, row.row))
    names = reads.Names(live)
    return Page(items=[_escrow(live, names, row) for row in cut.items], next=cut.next)


def _escrow(live: Live, names: reads.Names, row: Any) -> EscrowEntry:
    return EscrowEntry(
        trade=f"{row.session}-{row.row}",
        session=row.session,
        period=row.period,
        start=utc(live.terms.begins(row.period)),
        buyer=names[row.buyer],
        seller=names[row.seller],
        quantity_wh=row.quantity_wh,
        held=money(row.held_micro),
        held_micro=row.held_micro,
        held_at=utc(row.held_at),
        paid_micro=row.paid_micro,
        fee_micro=row.fee_micro,
        returned_micro=row.returned_micro,
        released_at=None if row.released_at is None else utc(row.released_at),
    )


@api.post("/accounts/{participant}/deposits", status_code=201, summary="Book a deposit")
async def deposit(
    *, live: TheMarket, participant: Place, body: Payment, caller: Writer, repeat: Repeatable
) -> Account:
    """Book money that came in from outside for a participant's wallet."""
    caller.require(live.subject(participant))
    command = DepositMoney(
        at=live.now(),
        actor=caller.identity.id,
        participant=participant,
        amount=body.amount_micro,
        reference=body.reference,
    )
    await live.do(command, repeat)
    return _account(live, participant)


@api.post("/accounts/{participant}/withdrawals", status_code=201, summary="Order a withdrawal")
async def withdraw(
    *, live: TheMarket, participant: Place, body: Payment, caller: Writer, repeat: Repeatable
) -> Account:
    """Take money out of a participant's wallet, whole cents: it waits for the next file for the bank.

    See `POST /payments/withdrawals` and `POST /payments/outcomes`; what comes back is in the wallet again.
    """
    caller.require(live.subject(participant))
    command = WithdrawMoney(
        at=live.now(),
        actor=caller.identity.id,
        participant=participant,
        amount=body.amount_micro,
        reference=body.reference,
    )
    await live.do(command, repeat)
    return _account(live, participant)
