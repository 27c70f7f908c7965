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


class Account(Answer):
    """Money of a participant."""

    participant: str
    currency: str
    wallet: Money = Field(description="paid in and not spent")
    wallet_micro: Micro
    bill: Money = Field(description="booked by sessions, + to the participant's credit")
    bill_micro: Micro
    reserved_micro: int = Field(description="that bids which stand may cost")
    available: Money = Field(description="that can still be bound or paid out")
    available_micro: Micro


class Posting(Answer):
    """A posting on an account of a participant."""

    event: int = Field(description="number of the event that booked it")
    at: Moment
    account: str
    what: str
    reference: str
    amount: Money
    amount_micro: Micro


class Payment(Ask):
    """Money that comes in or goes out."""

    amount_micro: Count = Field(gt=0, description="micro-units of currency", examples=[50_000_000])
    reference: Text = Field("", examples=["Bank transfer 2026-01-04"])


class PayOut(Ask):
    """From which account the pay-outs of a month are made, and when."""

    name: Annotated[str, Field(min_length=1, max_length=70), AfterValidator(check_text)]
    iban: Text
    bic: Text = ""
    execution: date = Field(description="day on which the bank is to pay")


class InvoiceLine(Answer):
    """A line of an invoice; amounts + owed."""

    text: str
    quantity_wh: int | None
    price_micro: int | None
    amount: Money
    amount_micro: Micro


class Invoice(Answer):
    """The bill of a participant and month, of the sessions that are settled; amounts + owed."""

    id: str = Field(description="participant and month", examples=["ann:2026-01"])
    number: str
    participant: str
    month: str
    first: str
    last: str
    issued: str
    due: str
    currency: str
    lines: list[InvoiceLine]
    total: Money
    total_micro: Micro
    payable_micro: int = Field(description="whole cents; below zero it is paid out")
    complete: bool = Field(description="all sessions of the month are settled")


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
