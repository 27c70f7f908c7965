"""Rows of escrow, of bills that were issued, and of payments over the bank.  Pure."""

from collections.abc import Mapping
from typing import Any

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.made import Rows
from gridagora.engine.live.billed import Payment
from gridagora.engine.live.money import HOLD, RELEASE, withdrawn
from gridagora.engine.live.payments import bill_payments
from gridagora.model.live_events import MoneyMoved
from gridagora.model.money_events import InvoicesIssued, PaymentsClosed, PaymentsOrdered

Numbers = Mapping[str, int]
"""Number of each participant."""


def moved_rows(event: MoneyMoved, seq: int, numbers: Numbers) -> tuple[Rows, ...]:
    """Return what a movement tells of trades in escrow, and of a withdrawal that waits for the bank."""
    if event.payment:
        return (_payments([withdrawn(event)], seq, numbers),)
    if event.kind not in (HOLD, RELEASE) or not len(event.trade):
        return ()
    columns = {"session": int(event.reference.rpartition(" ")[2]), "row": event.trade}
    if event.kind == HOLD:
        nothing = dict.fromkeys(("paid_micro", "fee_micro", "returned_micro"), 0)
        columns |= {"held_micro": event.held, "held_at": event.at, **nothing, "released_at": None}
        return (Rows(table=tables.escrow, columns=columns),)
    columns |= {
        "paid_micro": event.paid,
        "fee_micro": event.fee,
        "returned_micro": event.held - event.paid - event.fee,
        "released_at": event.at,
    }
    return (Rows(table=tables.escrow, columns=columns, mode="set"),)


def issued_rows(event: InvoicesIssued, seq: int, numbers: Numbers) -> tuple[Rows, ...]:
    """Return a month, its bills, and the payments that these ask for."""
    month = {
        "month": [event.month],
        "first_session": event.first,
        "end_session": event.end,
        "seq": seq,
        "at": event.at,
    }
    rows = [Rows(table=tables.issued_months, columns=month)]
    bills = {
        "participant": [numbers[name] for name in event.participant],
        "month": event.month,
        "number": event.number,
        "seq": seq,
        "payable_micro": event.payable,
        "carried_micro": event.carried,
        "document": event.document,
    }
    asked = list(bill_payments(event))
    rows += [Rows(table=tables.invoices, columns=bills)] if event.number else []
    rows += [_payments(asked, seq, numbers)] if asked else []
    return tuple(rows)


def _payments(payments: list[Payment], seq: int, numbers: Numbers) -> Rows:
    names = ("id", "kind", "month", "status", "at")
    columns: dict[str, Any] = {name: [getattr(one, name) for one in payments] for name in names}
    columns |= {
        "participant": [numbers[one.participant] for one in payments],
        "amount_micro": [one.amount for one in payments],
        "seq": seq,
    }
    columns |= dict.fromkeys(("message", "reason"), "")
    columns |= dict.fromkeys(("ordered_seq", "closed_seq", "ordered_at", "closed_at"))
    return Rows(table=tables.payments, columns=columns)


def ordered_rows(event: PaymentsOrdered, seq: int) -> tuple[Rows, ...]:
    """Return a file for the bank, and what it changes in the payments in it."""
    columns = {
        "id": event.payment,
        "status": "in_transit",
        "message": event.message,
        "ordered_seq": seq,
        "ordered_at": event.at,
    }
    file = {"message": [event.message], "month": event.month, "at": event.at, "content": event.content}
    return (
        Rows(table=tables.payments, columns=columns, mode="set"),
        Rows(table=tables.payment_files, columns=file),
    )


def closed_rows(event: PaymentsClosed, seq: int) -> Rows:
    """Return what became of payments."""
    columns = {
        "id": event.payment,
        "status": event.outcome,
        "reason": event.reason,
        "closed_seq": seq,
        "closed_at": event.at,
    }
    return Rows(table=tables.payments, columns=columns, mode="set")
