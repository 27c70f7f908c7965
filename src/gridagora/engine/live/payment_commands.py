"""Commands about issued bills and payments over the bank."""

from dataclasses import dataclass
from typing import Literal

from gridagora.billing.parties import Party


@dataclass(frozen=True, kw_only=True, slots=True)
class IssueInvoices:
    """Issue the bills of a month; its columns are those of `gridagora.model.money_events.InvoicesIssued`.

    Parameters
    ----------
    seen : how many events had booked on bills when these were made
        (`gridagora.engine.live.billed.Billed.booked`); if there are more by now, the command is refused, and
        the bills have to be made again
    numbers : ``YYYYMM-0001`` and so on, without a gap
    """

    at: int
    actor: str
    month: str
    first: int
    end: int
    seen: int
    numbers: tuple[str, ...]
    participants: tuple[str, ...]
    payable: tuple[int, ...]
    carried: tuple[int, ...]
    documents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPayments:
    """Write a payment file of what is open: bills of a month that are paid out, or withdrawals.

    Parameters
    ----------
    month : whose bills; "" for withdrawals from wallets
    message : name of the file; a file that is there is not written again, and nothing happens
    debtor : who pays; its IBAN is needed
    execution : day on which the bank is to pay, as in "2026-02-03"
    leave_out : True: payments to participants without a sound account stay open; else all are refused
    """

    at: int
    actor: str
    month: str
    message: str
    debtor: Party
    execution: str
    leave_out: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosePayments:
    """Note what became of payments by the bank's statement: all of them, or none.

    "paid": the bank paid it, or a participant paid its bill; "returned": it came back, and the money is in
    the wallet.
    """

    at: int
    actor: str
    payments: tuple[str, ...]
    outcome: Literal["paid", "returned"]
    reason: str = ""


PaymentCommand = IssueInvoices | OrderPayments | ClosePayments
