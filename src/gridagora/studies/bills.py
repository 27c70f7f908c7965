"""Bills of a finished run: monthly, per trade or as lines, with the payment file of what is paid out."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gridagora.adapters.bill_files import bill_pdf, file_name, write_csv, write_xlsx
from gridagora.adapters.parties_file import Parties, read_parties
from gridagora.adapters.run_folder import RunFolder, read_run_folder
from gridagora.billing.bills import Bill, BillLine, Terms, carry_over, month_bills
from gridagora.billing.page import LINE_COLUMNS, STATEMENT_COLUMNS, line_rows, statement_rows
from gridagora.billing.parties import OPERATOR, RETAILER
from gridagora.billing.sepa import CreditTransfer, pain_001, transfer_faults
from gridagora.errors import Fault, check_faults
from gridagora.scenario.suggest import near
from gridagora.studies.bill_sums import month_sums
from gridagora.studies.proofs import run_proofs
from gridagora.units import amount_micro

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["month", "trade", "lines"]
Progress = Callable[[int, int, str], None]

PAYMENTS_NAME = "payments-pain.001.001.09.xml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What bills are wanted.

    Parameters
    ----------
    kind : one bill a month, one a trade, or the lines alone for the bill that somebody else writes
    participant : whose bills; None for all
    parties : file of names, addresses and accounts
    terms : tax and time to pay; the run knows the currency
    issued : date of the bills; None for the day after the last day of each
    proof : name on monthly bills the digest of their records
    """

    kind: Kind = "month"
    participant: str | None = None
    parties: Path | None = None
    terms: Terms = field(default_factory=Terms)
    issued: date | None = None
    proof: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class RunBills:
    """Bills of a run and what is paid out; ``payments`` is None where no payment file can be made."""

    kind: Kind
    bills: tuple[Bill, ...]
    payments: bytes | None

    @property
    def to_pay(self) -> int:
        """Sum of what is to be paid, micro-units."""
        return sum(bill.payable for bill in self.bills if bill.payable > 0)

    @property
    def paid_out(self) -> int:
        """Sum of what is paid out, micro-units, >= 0."""
        return sum(-bill.payable for bill in self.bills if bill.payable < 0)

    def write(self, directory: str | Path, *, progress: Progress | None = None) -> Path:
        """Write bills, tables and payments into a new or empty folder, wholly or not at all; return it.

        Raises
        ------
        InputError
            where the folder holds something: bills are never written over.
        """
        target = Path(directory)
        check_faults(folder_faults(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            self._write_into(work, progress or _quiet)
            work.chmod(0o755)
            if target.exists():
                target.rmdir()
            work.rename(target)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        return target

    def _write_into(self, folder: Path, progress: Progress) -> None:
        lines, statements = line_rows(self.bills), statement_rows(self.bills)
        write_csv(folder / "statements.csv", STATEMENT_COLUMNS, statements)
        write_csv(folder / "lines.csv", LINE_COLUMNS, lines)
        sheets = {"statements": (STATEMENT_COLUMNS, statements), "lines": (LINE_COLUMNS, lines)}
        write_xlsx(folder / "bills.xlsx", sheets)
        if self.payments is not None:
            (folder / PAYMENTS_NAME).write_bytes(self.payments)
        if self.kind == "lines":
            return
        for number, bill in enumerate(self.bills):
            progress(number, len(self.bills), "setting bills")
            name = f"{file_name(bill.number)}_{file_name(bill.recipient.participant)}.pdf"
            (folder / name).write_bytes(bill_pdf(bill))


def run_bills(
    folder: str | Path,
    choice: Choice,
    *,
    output: Path | None = None,
    progress: Progress | None = None,
) -> RunBills:
    """Return the bills of a run in the folder that ``gridagora run`` wrote.

    Parameters
    ----------
    folder : the run
    choice : which bills
    output : where they are to be written; only checked here, before any work
    progress : called with days done, days in all, and the day, while records are hashed

    Raises
    ------
    InputError
        with every fault of the run, the parties and the choice.
    """
    run = read_run_folder(folder)
    faults = [] if output is None else folder_faults(output)
    parties, wrong = Parties(named={}), frozenset[str]()
    if choice.parties is not None:
        parties, wrong, found = read_parties(choice.parties, run.participants)
        faults += found
    if choice.participant is not None:
        faults += participant_faults(choice.participant, run.participants)
    if OPERATOR in run.participants:
        reason, fix = "is the name of who writes the bills", "give the participant another name and run again"
        faults.append(Fault(source="run", place="participants", value=OPERATOR, reason=reason, fix=fix))
    terms = replace(choice.terms, currency=run.currency)
    make = _trade_bills if choice.kind == "trade" else _month_bills
    bills = make(run, replace(choice, terms=terms), parties)
    transfers = _transfers(bills) if choice.kind == "month" else []
    payable = bool(transfers) and choice.parties is not None and run.currency == "EUR"
    if payable:
        sound = [one for one in transfers if one.creditor.participant not in wrong]
        told = transfer_faults(parties.of(OPERATOR), sound)
        faults += [fault for fault in told if fault.place.partition(", ")[0] not in wrong]
    check_faults(faults)
    if choice.proof and choice.kind != "trade":
        bills = _with_proofs(run, bills, progress)
    payments = _payments(bills, parties, transfers) if payable else None
    return RunBills(kind=choice.kind, bills=bills, payments=payments)


def folder_faults(folder: Path) -> list[Fault]:
    """Tell a folder that holds something, or a file in its place."""
    if folder.exists() and not folder.is_dir():
        reason = "is a file"
    elif folder.exists() and any(folder.iterdir()):
        reason = "holds something, and bills are never written over"
    else:
        return []
    fix = "name a new or empty folder"
    return [Fault(source="output", place=str(folder), value=folder.name, reason=reason, fix=fix)]


def participant_faults(name: str, known: Collection[str]) -> list[Fault]:
    """Tell a name that is no participant of the run."""
    if name in known:
        return []
    fix = near(name, known) or f"name one of {len(known)}, such as {next(iter(known), 'none')}"
    reason = "is no participant of the run"
    return [Fault(source="command line", place="--participant", value=name, reason=reason, fix=fix)]


def _month_bills(run: RunFolder, choice: Choice, parties: Parties) -> tuple[Bill, ...]:
    """Return the bills of all months; numbers are the same whether all are wanted or one participant's."""
    months = [(parties.of(who), first, last, sums) for who, first, last, sums in month_sums(run)]
    bills = month_bills(months, issuer=parties.of(OPERATOR), terms=choice.terms, issued=choice.issued)
    wanted = choice.participant
    return tuple(bill for bill in bills if wanted in (None, bill.recipient.participant))


def _with_proofs(run: RunFolder, bills: Sequence[Bill], progress: Progress | None) -> tuple[Bill, ...]:
    proofs = run_proofs(run, progress=progress)
    return tuple(
        replace(bill, proof=proofs.digest(bill.first.isoformat(), bill.last.isoformat())) for bill in bills
    )


def _trade_bills(run: RunFolder, choice: Choice, parties: Parties) -> tuple[Bill, ...]:
    """Return two bills for each trade: the operator bills the buyer, and writes the seller a credit note.

    Neither side is told the name or the bank account of the other.
    """
    trades = run.trades
    if choice.participant is not None:
        who = choice.participant
        trades = trades[(trades["buyer"] == who) | (trades["seller"] == who)]
    received = _received(trades)
    bills: list[Bill] = []
    for index, trade, income in zip(trades.index, trades.to_dict("records"), received, strict=True):
        buyer, seller = str(trade["buyer"]), str(trade["seller"])
        day = date.fromisoformat(run.day[trade["period"]])
        when = f"{trade['start']:%Y-%m-%d %H:%M} UTC, trade {index}"
        sides = [
            ("B", buyer, f"Energy from {seller}, {when}", int(trade["amount_micro"])),
            ("S", seller, f"Energy to {buyer}, {when}", -income),
        ]
        bills += [
            Bill(
                number=f"{day:%Y%m%d}-T{index}{letter}",
                issuer=parties.of(OPERATOR),
                recipient=parties.of(who),
                first=day,
                last=day,
                issued=choice.issued or day + timedelta(days=1),
                terms=choice.terms,
                lines=(BillLine(text=what, quantity_wh=int(trade["quantity_wh"]), amount=amount),),
            )
            for letter, who, what, amount in sides
            if who != RETAILER
        ]
    wanted = choice.participant
    return tuple(bill for bill in carry_over(bills) if wanted in (None, bill.recipient.participant))


def _received(trades: "pd.DataFrame") -> list[int]:
    """Return what the seller of each trade gets, micro-units."""
    return [
        int(amount) for amount in amount_micro(trades["quantity_wh"], trades["seller_price_micro_per_kwh"])
    ]


def _transfers(bills: Sequence[Bill]) -> list[CreditTransfer]:
    """Return a payment for each bill below zero."""
    return [
        CreditTransfer(
            identifier=bill.number,
            creditor=bill.recipient,
            amount=-bill.payable,
            text=f"Credit note {bill.number}",
        )
        for bill in bills
        if bill.payable < 0
    ]


def _payments(bills: Sequence[Bill], parties: Parties, transfers: Sequence[CreditTransfer]) -> bytes:
    """Return the payment file; its identifier follows from what it pays, so that a bank knows a double."""
    content = "\n".join(f"{one.identifier} {one.creditor.iban} {one.amount}" for one in transfers)
    issued = max(bill.issued for bill in bills)
    return pain_001(
        parties.of(OPERATOR),
        transfers,
        message=f"GA-{issued:%Y%m%d}-{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        created=f"{issued.isoformat()}T00:00:00Z",
        execution=max(bill.due for bill in bills),
    )


def _quiet(*_: object) -> None:
    return None
