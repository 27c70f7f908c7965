"""Bills that are issued and payments over the bank: what is open, on its way, paid or returned.

::

    collection   open --------------------> paid          the participant pays its bill
    pay_out      open --> in_transit --> paid             a bill is paid out
                              +---------> returned        the money is in the wallet
    withdrawal   as pay_out; one that is open can be called off ("returned") too

A payment that is paid can still come back.  What an operator pays by other means goes from open to paid.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import chain

import numpy as np

from gridagora.billing.amounts import CENT
from gridagora.billing.parties import OPERATOR, Party, iban_error
from gridagora.billing.sepa import CreditTransfer, pain_001
from gridagora.engine.live.billed import IssuedMonth, Payment, PaymentStatus
from gridagora.engine.live.flexing import is_buyer
from gridagora.engine.live.money import TRANSIT, bill, book_named, invoiced, wallet
from gridagora.engine.live.payment_commands import ClosePayments, IssueInvoices, OrderPayments
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault, InputError, check_faults
from gridagora.ledger.escrow import BANK
from gridagora.model.money_events import InvoicesIssued, PaymentsClosed, PaymentsOrdered
from gridagora.model.time import clock

Move = tuple[str, str, int]
"""Account that pays, account that gets, and how much."""


def issue(state: LiveState, command: IssueInvoices) -> InvoicesIssued:
    """Issue the bills of the next month, all of whose sessions are settled."""
    check_faults(_issue_faults(state, command))
    moves = [
        (invoiced(name), bill(name), amount)
        for name, amount in zip(command.participants, command.payable, strict=True)
        if amount
    ]
    accounts, amounts = _postings(moves)
    return InvoicesIssued(
        at=command.at,
        actor=command.actor,
        month=command.month,
        first=command.first,
        end=command.end,
        number=command.numbers,
        participant=command.participants,
        payable=np.array(command.payable, np.int64),
        carried=np.array(command.carried, np.int64),
        document=command.documents,
        accounts=accounts,
        amount=amounts,
    )


def _issue_faults(state: LiveState, command: IssueInvoices) -> Iterator[Fault]:
    begin = state.billed.end(state.first)
    if command.first != begin:
        fix = f"the next month to be issued begins with session {begin}"
        yield refusal("month_state", "month", command.month, fix=fix)
    if not command.first < command.end <= state.next_settle:
        fix = "wait until all sessions of the month are settled"
        yield refusal("month_state", "month", command.month, fix=fix)
    if command.seen != state.billed.booked:
        yield refusal("bills_changed", "month", command.month, fix="make the bills again")
    for name, times in Counter(command.participants).items():
        known = state.register.get("participant", name) is not None or is_buyer(state, name)
        if times > 1 or not known:
            yield refusal("participant_unknown", "participants", name, fix="bill each participant once")
    wanted = [f"{command.month.replace('-', '')}-{k:04d}" for k in range(1, len(command.participants) + 1)]
    if list(command.numbers) != wanted:
        yield refusal("id_invalid", "numbers", command.month, fix="number bills from 1 without a gap")
    if any(amount % CENT for amount in command.payable):
        fix = "ask for whole cents and carry the rest"
        yield refusal("amount_out_of_bounds", "payable", command.month, fix=fix)


def apply_issued(state: LiveState, event: InvoicesIssued) -> None:
    """Book what the bills ask for, and note what is to be paid."""
    book_named(state, event.accounts, event.amount)
    billed = state.billed
    billed.months.append(IssuedMonth(month=event.month, first=event.first, end=event.end))
    for payment in bill_payments(event):
        billed.put(payment)
    billed.forget(event.at)


def bill_payments(event: InvoicesIssued) -> Iterator[Payment]:
    """Yield the payments that issued bills ask for; a bill of nothing asks for none."""
    rows = zip(event.number, event.participant, event.payable.tolist(), strict=True)
    for number, participant, amount in rows:
        if amount:
            yield Payment(
                id=number,
                kind="collection" if amount > 0 else "pay_out",
                participant=participant,
                month=event.month,
                amount=abs(amount),
                at=event.at,
            )


def order(state: LiveState, command: OrderPayments) -> tuple[PaymentsOrdered, ...]:
    """Put what is open into a payment file; one that is there already is not written again."""
    known = state.billed.files.get(command.message)
    if known is not None and known != command.month:
        raise InputError(
            [refusal("message_used", "message", command.message, fix="give the file a new name")]
        )
    if known is not None:
        return ()
    if state.open_terms.currency != "EUR":
        fix = "SEPA moves euro alone"
        raise InputError([refusal("field_invalid", "currency", state.open_terms.currency, fix=fix)])
    months = [one.month for one in state.billed.months]
    if command.month and command.month not in months:
        fix = "issue the bills of the month first"
        raise InputError([refusal("month_state", "month", command.month, fix=fix)])
    paid = [payment for payment in _open(state, command.month) if _payable(state, payment, command)]
    if not paid:
        raise InputError(
            [refusal("no_rows", "payments", command.month, fix="nothing that is open can be paid")]
        )
    moves = [(invoiced(p.participant), TRANSIT, p.amount) for p in paid if p.kind == "pay_out"]
    accounts, amounts = _postings(moves)
    ordered = PaymentsOrdered(
        at=command.at,
        actor=command.actor,
        message=command.message,
        month=command.month,
        payment=tuple(payment.id for payment in paid),
        content=_file(state, paid, command),
        accounts=accounts,
        amount=amounts,
    )
    return (ordered,)


def _open(state: LiveState, month: str) -> list[Payment]:
    return [
        payment
        for payment in state.billed.payments.values()
        if payment.month == month and payment.status == "open" and payment.kind != "collection"
    ]


def _payable(state: LiveState, payment: Payment, command: OrderPayments) -> bool:
    iban = _creditor(state, payment.participant).iban
    return not command.leave_out or bool(iban and iban_error(iban) is None)


def _creditor(state: LiveState, participant: str) -> Party:
    record = state.register.get("participant", participant)
    body = {} if record is None else record.body
    texts = {name: str(body.get(name) or "") for name in ("name", "iban", "bic")}
    return Party(participant=participant, **texts)


def _file(state: LiveState, paid: list[Payment], command: OrderPayments) -> str:
    """Return the file of payments; every fault of accounts and amounts is told at once."""
    transfers = [
        CreditTransfer(
            identifier=payment.id,
            creditor=_creditor(state, payment.participant),
            amount=payment.amount,
            text=f"{'Withdrawal' if payment.kind == 'withdrawal' else 'Credit note'} {payment.id}",
        )
        for payment in paid
    ]
    try:
        return pain_001(
            replace(command.debtor, participant=OPERATOR),
            transfers,
            message=command.message,
            created=clock(command.at),
            execution=date.fromisoformat(command.execution),
        ).decode()
    except InputError as error:
        raise InputError([replace(f, code=f.code or "field_invalid") for f in error.faults]) from None


def apply_ordered(state: LiveState, event: PaymentsOrdered) -> None:
    """Book payments that are on their way."""
    book_named(state, event.accounts, event.amount)
    state.billed.files[event.message] = event.month
    for id_ in event.payment:
        state.billed.put(replace(state.billed.payments[id_], status="in_transit", at=event.at))
    state.billed.forget(event.at)


def close(state: LiveState, command: ClosePayments) -> PaymentsClosed:
    """Note what became of payments; all of them must be at a step from which that can be."""
    check_faults(_close_faults(state, command))
    known = [state.billed.payments[id_] for id_ in command.payments]
    accounts, amounts = _postings([_closing(payment, command.outcome) for payment in known])
    return PaymentsClosed(
        at=command.at,
        actor=command.actor,
        payment=command.payments,
        outcome=command.outcome,
        reason=command.reason,
        accounts=accounts,
        amount=amounts,
    )


def _close_faults(state: LiveState, command: ClosePayments) -> Iterator[Fault]:
    if not command.payments:
        yield refusal("no_rows", "payments", 0, fix="name one or more")
    for id_, times in Counter(command.payments).items():
        payment = state.billed.payments.get(id_)
        if payment is None or times > 1:
            yield refusal("payment_unknown", "payments", id_, fix="name each payment that can change once")
        elif command.outcome not in _outcomes(payment):
            reason = f"the {payment.kind} is {payment.status}".replace("_", "-")
            yield refusal("payment_state", "payments", id_, reason=reason, fix="leave it out")


def _outcomes(payment: Payment) -> tuple[str, ...]:
    """Return what may become of a payment."""
    if payment.kind == "collection":
        return ("paid",) if payment.status == "open" else ()
    if payment.status == "open":
        return ("paid", "returned") if payment.kind == "withdrawal" else ("paid",)
    return {"in_transit": ("paid", "returned"), "paid": ("returned",)}.get(payment.status, ())


def _closing(payment: Payment, outcome: str) -> Move:
    """Return what a payment moves when it is closed."""
    own = invoiced(payment.participant)
    if payment.kind == "collection":
        return BANK, own, payment.amount
    there = TRANSIT if payment.kind == "withdrawal" or payment.status == "in_transit" else own
    there = BANK if payment.status == "paid" else there
    return there, BANK if outcome == "paid" else wallet(payment.participant), payment.amount


def apply_closed(state: LiveState, event: PaymentsClosed) -> None:
    """Book what became of payments."""
    book_named(state, event.accounts, event.amount)
    status: PaymentStatus = "paid" if event.outcome == "paid" else "returned"
    for id_ in event.payment:
        state.billed.put(replace(state.billed.payments[id_], status=status, at=event.at))


def _postings(moves: list[Move]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return two postings for each move."""
    accounts = tuple(chain.from_iterable((payer, payee) for payer, payee, _ in moves))
    amounts = chain.from_iterable((-amount, amount) for *_, amount in moves)
    return accounts, np.array(list(amounts), np.int64)
