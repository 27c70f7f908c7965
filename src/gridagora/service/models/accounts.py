"""Accounts, invoices, notifications, proofs, limits and where they were broken."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gridagora.service.models.base import (
    Answer,
    Ask,
    Count,
    Id,
    Kilowatts,
    Micro,
    Moment,
    Money,
    Place,
    Text,
)
from gridagora.service.texts import check_text

Line = Annotated[str, Field(max_length=140), AfterValidator(check_text)]
"""A line of a name or an address."""


class Account(Answer):
    """Money of a participant."""

    participant: str
    currency: str
    wallet: Money = Field(description="paid in and not spent")
    wallet_micro: Micro
    bill: Money = Field(description="booked and on no invoice yet, + to the participant's credit")
    bill_micro: Micro
    invoiced: Money = Field(description="invoices that are not paid, + to the participant's credit")
    invoiced_micro: Micro
    reserved_micro: int = Field(description="that bids which stand may cost")
    available: Money = Field(description="that can still be bound or paid out")
    available_micro: Micro


class PostingPart(Answer):
    """The part of a posting that is for one trade."""

    trade: str
    amount: Money
    amount_micro: Micro


class Posting(Answer):
    """A posting on an account of a participant."""

    event: int = Field(description="number of the event that booked it")
    at: Moment
    account: str
    what: str
    reference: str
    amount: Money
    amount_micro: Micro
    trades: list[PostingPart] = Field(description="for escrow: the parts by trade, which sum to the amount")


class Payment(Ask):
    """Money that comes in or goes out."""

    amount_micro: Count = Field(gt=0, description="micro-units of currency", examples=[50_000_000])
    reference: Text = Field("", examples=["Bank transfer 2026-01-04"])


class PayOut(Ask):
    """From which account payments are made, and when."""

    name: Annotated[str, Field(min_length=1, max_length=70), AfterValidator(check_text)]
    iban: Text
    bic: Text = ""
    execution: date = Field(description="day on which the bank is to pay")
    message: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9-]{0,34})?$")] = Field(
        "", description="name of the file; the same one is written once, and given again word for word"
    )
    leave_out_without_account: bool = Field(
        False, description="leave open what goes to participants without an IBAN; else nothing is written"
    )


PaymentState = Literal["open", "in_transit", "paid", "returned"]


class Issuer(Ask):
    """Who writes invoices, as the law wants it told; the name of the market where none is given."""

    name: Line = Field("", max_length=140)
    street: Line = ""
    postcode: Line = ""
    city: Line = ""
    country: Line = Field("", examples=["DE"])
    vat_id: Line = ""
    iban: Line = Field("", description="account to which invoices are paid")
    bic: Line = ""


class IssueBills(Ask):
    """What all invoices of a month say."""

    issuer: Issuer = Field(default_factory=lambda: Issuer.model_validate({}))
    vat_percent: float = Field(0.0, ge=0, le=100, multiple_of=0.01, description="that the amounts include")
    due_days: int = Field(14, ge=0, le=365)


class IssuedBills(Answer):
    """What a month came to when its invoices were issued."""

    month: str
    invoices: int
    to_pay_micro: Micro = Field(description="that participants are to pay")
    paid_out_micro: Micro = Field(description="that is to be paid out to participants")
    carried_micro: Micro = Field(description="that goes into the next invoices, + owed by participants")


class BankPayment(Answer):
    """A payment over the bank: an invoice to be paid or paid out, or a withdrawal from a wallet."""

    id: str = Field(description="number of the invoice, or of the withdrawal")
    kind: Literal["collection", "pay_out", "withdrawal"]
    participant: str
    month: str = Field(description='of the invoice; "" for a withdrawal')
    amount: Money
    amount_micro: Micro
    status: PaymentState
    message: str = Field(description='name of the payment file that it is in, "" for none')
    reason: str
    at: Moment
    ordered_at: Moment | None
    closed_at: Moment | None


class CloseBankPayments(Ask):
    """What the bank told of payments: all are noted, or none."""

    payments: list[Place] = Field(min_length=1, max_length=10_000, examples=[["202601-0001"]])
    outcome: Literal["paid", "returned"] = Field(
        description='"paid": booked by the bank; "returned": it came back, and the money is in the wallet'
    )
    reason: Text = ""


class EscrowEntry(Answer):
    """What was held for a trade from its match on, and what became of it when delivery was proven.

    ``held`` is paid + fee + returned once it is released.
    """

    trade: str
    session: int
    period: int
    start: Moment
    buyer: str
    seller: str
    quantity_wh: int
    held: Money
    held_micro: Micro
    held_at: Moment
    paid_micro: Micro = Field(description="to the seller's wallet, for the part that was delivered")
    fee_micro: Micro = Field(description="kept by the operator, of the seller's part")
    returned_micro: Micro = Field(description="to the buyer's wallet")
    released_at: Moment | None


class InvoiceLine(Answer):
    """A line of an invoice; amounts + owed."""

    text: str
    quantity_wh: int | None
    price_micro: int | None
    amount: Money
    amount_micro: Micro


class Invoice(Answer):
    """The invoice of a participant and month, of the sessions that are settled; amounts + owed."""

    id: str = Field(description="participant and month", examples=["ann:2026-01"])
    number: str
    participant: str
    month: str
    first: str
    last: str
    issued: str | None = Field(description="day; null for a draft")
    due: str | None = Field(description="day; null for a draft")
    currency: str
    lines: list[InvoiceLine]
    total: Money
    total_micro: Micro
    opening_micro: Micro = Field(description="carried from the invoice before, below a cent")
    payable_micro: int = Field(description="whole cents; below zero it is paid out")
    carried_micro: Micro = Field(description="below a cent: the next invoice begins with it")
    complete: bool = Field(description="all sessions of the month are settled")
    status: Literal["draft", "issued"] = Field(description="an issued invoice never changes")
    payment: PaymentState | Literal["none"] = Field(description='"none": nothing is to be paid')


class Notification(Answer):
    """Something that happened to a participant."""

    id: int = Field(description="number of the event")
    at: Moment
    topic: str
    text: str
    session: int | None = None


class ProofRoot(Answer):
    """Head of the Merkle tree of a day's records."""

    day: str
    size: int
    over: bool = Field(description="the day is over: its root changes no more and can be published")
    root: str = Field(description="hexadecimal")
    checkpoint: str = Field(description="text to be published (C2SP tlog-checkpoint)")


class Proof(Answer):
    """A record of a participant, and the proof that it is in its day's tree."""

    day: str
    index: int
    salt: str
    record: dict[str, str | int]
    path: list[str]


class Proofs(Answer):
    """Roots and proofs in the form of ``gridagora proofs``: the script of the docs checks them offline."""

    format: str
    run: str
    participant: str
    roots: list[ProofRoot]
    records: list[Proof]


class NewLimit(Ask):
    """A limit of the grid operator on what may be exchanged at a place."""

    id: Id | None = Field(
        None, description="a limit that is there is replaced; made by the platform if left out"
    )
    place_kind: Literal["bus", "zone", "participant"]
    place: Place
    begins: Moment
    ends: Moment
    import_kw: Kilowatts | None = Field(None, description="kW; left out: no limit")
    export_kw: Kilowatts | None = Field(None, description="kW; left out: no limit")
    reason: Text = ""


class Limit(Answer):
    """A limit as it holds."""

    id: str
    place_kind: str
    place: str
    begins: Moment
    ends: Moment
    import_kw: float | None
    export_kw: float | None
    emergency: bool
    reason: str
    declared_at: Moment


class Breach(Answer):
    """A delivery that went beyond a limit."""

    limit: str
    session: int
    period: int
    start: Moment
    net_wh: int
    allowed_wh: int
