"""Accounts of participants: balance, statement, deposits and withdrawals."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from starlette.requests import Request
from starlette.responses import Response

from gridagora.adapters.sql.codec import decode
from gridagora.engine.live.commands import DepositMoney, WithdrawMoney
from gridagora.engine.live.money import available, bill, wallet
from gridagora.ledger.journal import KINDS, EntryKind
from gridagora.model.live_events import MoneyMoved
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.tools import AskedSpan, Live, TheMarket, known, paged, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here
from gridagora.service.headers import Repeatable, etag, tagged
from gridagora.service.models.accounts import Account, Payment, Posting
from gridagora.service.models.base import Place, money
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("accounts")
Reader = Annotated[Caller, needs("accounts.read")]
Writer = Annotated[Caller, needs("accounts.write")]


def _account(live: Live, participant: str) -> Account:
    balance = live.state.balance
    paid, billed = balance.get(wallet(participant), 0), balance.get(bill(participant), 0)
    free = available(live.state, participant)
    return Account(
        participant=participant,
        currency=live.terms.currency,
        wallet=money(paid),
        wallet_micro=paid,
        bill=money(billed),
        bill_micro=billed,
        reserved_micro=live.state.reserved.get(participant, 0),
        available=money(free),
        available_micro=free,
    )


def number_of(live: Live, caller: Caller, participant: str) -> int:
    """Return the number of a participant that is there and the caller's."""
    caller.require(live.subject(participant))
    return known(live.state.register.get("participant", participant), f"participant {participant!r}").number


@api.get("/accounts", summary="List accounts")
async def accounts(*, live: TheMarket, page: AskedPage, response: Response, caller: Reader) -> Page[Account]:
    """Return the accounts of participants in the order of their registration."""
    mine = caller.only(live.state.register.all("participant"), lambda record: live.subject(record.id))
    return paged(
        page,
        response,
        mine,
        key=lambda record: (record.number,),
        make=lambda record: _account(live, record.id),
    )


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
    """Return the postings on a participant's wallet and bill in the order in which they were booked."""
    number = number_of(live, caller, participant)
    after = page.after(int, int)
    key = (-1, -1) if after is None else (int(after[0]), int(after[1]))
    asked = reads.postings(live, number, span, after=key, most=page.fetch)
    rows = await reads.fetch(service, live, asked)
    cut = page.page(response, rows, key=lambda row: (row.seq, row.row))
    moved = await service.store.run(partial(movements, live, cut.items))
    return Page(items=[_posting(row, moved) for row in cut.items], next=cut.next)


def movements(live: Live, rows: Any) -> Mapping[int, MoneyMoved]:
    """Return the movements of money behind postings, by the number of their event; reads the events."""
    from sqlalchemy import select

    from gridagora.adapters.sql import tables

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


def what(row: Any, moved: Mapping[int, MoneyMoved]) -> tuple[str, str]:
    """Return what a posting is about, and its reference."""
    if row.seq in moved:
        return moved[row.seq].kind, moved[row.seq].reference
    if row.kind == "FlexSettled":
        return "flexibility", ""
    kind = EntryKind(row.entry % KINDS).name.lower()
    again = " (corrected)" if row.kind == "SettlementCorrected" else ""
    return kind + again, f"session {row.entry // KINDS}"


def _posting(row: Any, moved: Mapping[int, MoneyMoved]) -> Posting:
    about, reference = what(row, moved)
    return Posting(
        event=row.seq,
        at=utc(row.at),
        account=row.name,
        what=about,
        reference=reference,
        amount=money(row.amount_micro),
        amount_micro=row.amount_micro,
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


@api.post("/accounts/{participant}/withdrawals", status_code=201, summary="Book a withdrawal")
async def withdraw(
    *, live: TheMarket, participant: Place, body: Payment, caller: Writer, repeat: Repeatable
) -> Account:
    """Book money that leaves a participant's wallet to the outside."""
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
