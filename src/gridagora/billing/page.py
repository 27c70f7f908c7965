"""A bill as words: what its page says, ready to be set; and the rows of a bill that another bill takes in."""

from collections.abc import Sequence
from typing import Any

from gridagora.billing.amounts import BASIS_POINTS, energy_text
from gridagora.billing.bills import DRAFT, Bill, BillLine
from gridagora.billing.parties import Party
from gridagora.units import money_text

WORDS = {
    "page": "Page",
    "issuer": "From",
    "recipient": "To",
    "vat_id": "VAT number",
    "code": "Pay by scanning",
    "proof": "Digest of the records of the days covered. Check it with the proof of your records:",
}


def plain(text: str) -> str:
    r"""Return text with a mark in the place of each control character, fit for a page or a sheet.

    >>> plain("a\nb") == "a\N{REPLACEMENT CHARACTER}b"
    True
    """
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def bill_page(bill: Bill, *, code: str = "") -> dict[str, Any]:
    """Return what the page of a bill says: texts, lists and mappings of texts, numbers written out.

    Parameters
    ----------
    bill : the bill
    code : picture of the payment code as SVG text; "" for none

    Examples
    --------
    >>> from datetime import date
    >>> from gridagora.billing.bills import Terms
    >>> ann = Party(participant="ann", name="Ann")
    >>> bill = Bill(number="7", issuer=ann, recipient=ann, first=date(2016, 6, 1), last=date(2016, 6, 30),
    ...     issued=date(2016, 7, 1), terms=Terms(), lines=(BillLine(text="Energy", amount=5_004_000),))
    >>> bill_page(bill)["demand"]
    {'name': 'To pay, EUR', 'value': '5.00'}
    """
    currency = bill.terms.currency
    is_draft = bill.number == DRAFT
    asks = not bill.paid_with and not is_draft
    return {
        "title": _title(bill),
        "words": WORDS,
        "footer": plain(f"{bill.issuer.name} · {bill.number}"),
        "facts": [
            ["Number", plain(bill.number)],
            ["Participant", plain(bill.recipient.participant)],
            *([] if is_draft else [["Date", bill.issued.isoformat()]]),
            ["Period", period_text(bill)],
            *([["Due", bill.due.isoformat()]] if asks and bill.payable else []),
        ],
        "issuer": _party(bill.issuer),
        "recipient": _party(bill.recipient),
        "columns": ["What for", "kWh", f"{currency} / kWh", currency],
        "lines": [_line(line) for line in bill.lines],
        "sums": _sums(bill),
        "demand": _demand(bill),
        "carried": "" if bill.paid_with else _carried(bill),
        "terms": _terms(bill),
        "code": code if asks else "",
        "proof": bill.proof,
    }


def _demand(bill: Bill) -> dict[str, str]:
    """Return what the page comes to; a bill that is paid with another one asks for no whole cents."""
    currency, names = bill.terms.currency, ("To be paid out", "To pay")
    if bill.paid_with:
        name = "Credited" if bill.total < 0 else "Charged"
        return {"name": f"{name}, {currency}", "value": money_text(abs(bill.total))}
    return {
        "name": f"{names[bill.payable >= 0]}, {currency}",
        "value": money_text(abs(bill.payable), digits=2),
    }


def _title(bill: Bill) -> str:
    kind = "Credit note" if (bill.total if bill.paid_with else bill.payable) < 0 else "Invoice"
    return f"{kind}, draft" if bill.number == DRAFT else kind


def period_text(bill: Bill) -> str:
    """Return the days that a bill covers."""
    return bill.first.isoformat() + (f" to {bill.last.isoformat()}" if bill.last != bill.first else "")


def _party(party: Party) -> dict[str, Any]:
    return {
        "name": plain(party.name),
        "address": [plain(line) for line in party.address],
        "vat_id": plain(party.vat_id),
    }


def _line(line: BillLine) -> dict[str, str]:
    return {
        "text": plain(line.text),
        "quantity": "" if line.quantity_wh is None else energy_text(line.quantity_wh),
        "price": "" if line.price is None else money_text(line.price),
        "amount": money_text(line.amount),
    }


def _sums(bill: Bill) -> list[list[str]]:
    """Return the sums below the lines: charges, credits, taxes in them, what was carried in."""
    rows = []
    if bill.charges and bill.credits:
        rows += [["Charges", money_text(bill.charges)], ["Credits", money_text(-bill.credits)]]
    rows.append(["Sum", money_text(bill.total)])
    rate = f"{bill.terms.vat_bp * 100 / BASIS_POINTS:g} %"
    for name, tax in zip(("charges", "credits"), bill.vat, strict=True):
        if tax:
            rows.append([f"VAT of {rate} in the {name}", money_text(tax)])
    if bill.opening:
        rows.append(["Carried from the bill before", money_text(bill.opening)])
    return rows


def _carried(bill: Bill) -> str:
    if not bill.carried:
        return ""
    amount = money_text(bill.carried)
    return f"{amount} {bill.terms.currency} is carried into the next bill, as banks move whole cents."


def _terms(bill: Bill) -> list[str]:
    if bill.paid_with:
        return [f"This is paid with {plain(bill.paid_with)}: nothing is to be paid by this page."]
    if bill.number == DRAFT:
        return ["This is a draft: it can still change, and nothing is to be paid by it."]
    amount = f"{money_text(abs(bill.payable), digits=2)} {bill.terms.currency}"
    by = bill.due.isoformat()
    if bill.payable > 0:
        account = f" to {_spaced(bill.issuer.iban)}" if bill.issuer.iban else ""
        bank = f" ({bill.issuer.bic})" if bill.issuer.iban and bill.issuer.bic else ""
        return [f"Please pay {amount} by {by}{account}{bank}, reference {plain(bill.number)}."]
    if bill.payable < 0:
        account = f" to your account ending in {bill.recipient.iban[-4:]}" if bill.recipient.iban else ""
        return [f"We pay {amount} by {by}{account}, reference {plain(bill.number)}."]
    return ["Nothing is to be paid."]


def _spaced(iban: str) -> str:
    return " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))


LINE_COLUMNS = (
    "number",
    "participant",
    "name",
    "first_day",
    "last_day",
    "line",
    "text",
    "quantity_kwh",
    "price_per_kwh",
    "amount",
    "currency",
)
"""Columns of bills as lines; amounts + owed by the participant."""

STATEMENT_COLUMNS = (
    "number",
    "participant",
    "name",
    "first_day",
    "last_day",
    "charges",
    "credits",
    "total",
    "carried_in",
    "payable",
    "carried_out",
    "due",
    "currency",
)
"""Columns of the statements: one row a bill, netted to one amount; ``payable`` is whole cents, + to pay."""


def line_rows(bills: Sequence[Bill]) -> list[dict[str, str]]:
    """Return the lines of bills as rows of text, for the bill that somebody else writes.

    >>> line_rows([])
    []
    """
    rows = []
    for bill in bills:
        for number, line in enumerate(bill.lines, start=1):
            told = _line(line)
            values = (str(number), told["text"], told["quantity"], told["price"], told["amount"])
            cells = (*_head(bill), *values, bill.terms.currency)
            rows.append(dict(zip(LINE_COLUMNS, cells, strict=True)))
    return rows


def statement_rows(bills: Sequence[Bill]) -> list[dict[str, str]]:
    """Return bills as rows of text: what is owed both ways, netted, rounded to cents and carried.

    >>> statement_rows([])
    []
    """
    rows = []
    for bill in bills:
        money = (bill.charges, bill.credits, bill.total, bill.opening)
        ends = (money_text(bill.payable, digits=2), money_text(bill.carried), bill.due.isoformat())
        cells = (*_head(bill), *map(money_text, money), *ends, bill.terms.currency)
        rows.append(dict(zip(STATEMENT_COLUMNS, cells, strict=True)))
    return rows


def _head(bill: Bill) -> tuple[str, ...]:
    who = bill.recipient
    days = (bill.first.isoformat(), bill.last.isoformat())
    return (plain(bill.number), plain(who.participant), plain(who.name), *days)
