"""A bill that is issued as a document: canonical JSON text from which the same bill is read for ever."""

import json
from dataclasses import asdict
from datetime import date
from typing import Any

from gridagora.billing.bills import Bill, BillLine, Terms
from gridagora.billing.parties import Party

FORMAT = "gridagora-invoice-1"


def bill_document(bill: Bill) -> str:
    """Return a bill as canonical JSON: the same bill is the same text.

    Examples
    --------
    >>> ann = Party(participant="ann", name="Ann")
    >>> bill = Bill(number="1", issuer=ann, recipient=ann, first=date(2016, 6, 1), last=date(2016, 6, 30),
    ...     issued=date(2016, 7, 1), terms=Terms(), lines=(BillLine(text="Energy", amount=5_004_000),))
    >>> document_bill(bill_document(bill)) == bill
    True
    """
    told: dict[str, Any] = {
        "format": FORMAT,
        "number": bill.number,
        "issuer": _party(bill.issuer),
        "recipient": _party(bill.recipient),
        "first": bill.first.isoformat(),
        "last": bill.last.isoformat(),
        "issued": bill.issued.isoformat(),
        "terms": asdict(bill.terms),
        "lines": [asdict(line) for line in bill.lines],
        "opening": bill.opening,
        "proof": bill.proof,
        "total": bill.total,
        "payable": bill.payable,
        "carried": bill.carried,
    }
    return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def document_bill(text: str) -> Bill:
    """Return the bill of a document that `bill_document` wrote."""
    told = json.loads(text)
    return Bill(
        number=told["number"],
        issuer=Party(**told["issuer"]),
        recipient=Party(**told["recipient"]),
        first=date.fromisoformat(told["first"]),
        last=date.fromisoformat(told["last"]),
        issued=date.fromisoformat(told["issued"]),
        terms=Terms(**told["terms"]),
        lines=tuple(BillLine(**line) for line in told["lines"]),
        opening=told["opening"],
        proof=told["proof"],
    )


def _party(party: Party) -> dict[str, str]:
    return {name: value for name, value in asdict(party).items() if value or name in ("participant", "name")}
