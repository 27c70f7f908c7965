"""What the client can ask about bills, escrow and payments over the bank."""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import TypeAdapter

from gridagora.client.transport import Transport
from gridagora.service.models import accounts as bodies


class Money:
    """Bills, escrow, payments and proofs of a platform."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    def accounts(self) -> Iterator[bodies.Account]:
        """Yield the accounts that one may see."""
        return self._api.pages("/accounts", bodies.Account)

    def escrow(self, participant: str, *, session: int | None = None) -> Iterator[bodies.EscrowEntry]:
        """Yield what was held for each trade of a participant, and what became of it."""
        return self._api.pages(f"/accounts/{participant}/escrow", bodies.EscrowEntry, session=session)

    def statement_csv(self, participant: str) -> bytes:
        """Return the statement of a participant as CSV."""
        return self._api.send("GET", f"/accounts/{participant}/statement").content

    def invoices(
        self, month: str | None = None, *, participant: str | None = None
    ) -> Iterator[bodies.Invoice]:
        """Yield the invoices of a month such as "2026-01", drafts until it is issued."""
        return self._api.pages("/invoices", bodies.Invoice, month=month, participant=participant)

    def invoice_lines(self, month: str) -> bytes:
        """Return the lines of a month as CSV, for bills that are written already."""
        return self._api.send("GET", f"/invoices/months/{month}/lines").content

    def issue(self, month: str, body: bodies.IssueBills) -> bodies.IssuedBills:
        """Issue the invoices of a settled month, as the operator: nothing changes them from then on."""
        return self._api.post(f"/invoices/months/{month}/issue", body, bodies.IssuedBills)

    def trade_pdf(self, trade: str, *, side: Literal["buyer", "seller"] | None = None) -> bytes:
        """Return the bill of a trade as PDF; who acts for both sides names one."""
        params = {} if side is None else {"side": side}
        return self._api.send("GET", f"/trades/{trade}/pdf", params=params).content

    def payments(
        self, *, participant: str | None = None, month: str | None = None, status: str | None = None
    ) -> Iterator[bodies.BankPayment]:
        """Yield payments over the bank: invoices to be paid and paid out, and withdrawals."""
        params = {"participant": participant, "month": month, "status": status}
        return self._api.pages("/payments", bodies.BankPayment, **params)

    def payment_file(self, month: str, body: bodies.PayOut) -> bytes:
        """Return the file that pays out the invoices of a month, or "withdrawals", as the operator."""
        return self._api.send("POST", f"/payments/{month}", json=body).content

    def close(
        self, payments: Sequence[str], outcome: Literal["paid", "returned"], *, reason: str = ""
    ) -> list[bodies.BankPayment]:
        """Note what the bank told of payments, as the operator."""
        told = bodies.CloseBankPayments(payments=list(payments), outcome=outcome, reason=reason)
        answer = self._api.send("POST", "/payments/outcomes", json=told)
        return TypeAdapter(list[bodies.BankPayment]).validate_json(answer.content)

    def proof_roots(self, *, first: str | None = None, last: str | None = None) -> Iterator[bodies.ProofRoot]:
        """Yield the roots of days such as "2026-01-31"; everybody may."""
        return self._api.pages("/proofs/roots", bodies.ProofRoot, first=first, last=last)
