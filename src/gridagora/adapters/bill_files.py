"""Bills as files: PDF pages set by typst, tables as CSV and Excel.

A page's content goes to typst as data and is never read as its markup; a cell of a table is never a formula.
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from gridagora.billing.bills import Bill
from gridagora.billing.page import bill_page
from gridagora.billing.sepa import payment_code
from gridagora.errors import require

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings that make a sheet take text for a formula."""


def bill_pdf(bill: Bill) -> bytes:
    """Return a bill as PDF; the same bill gives the same bytes.

    >>> from datetime import date
    >>> from gridagora.billing.bills import BillLine, Terms
    >>> from gridagora.billing.parties import Party
    >>> ann = Party(participant="ann", name="Ann")
    >>> bill = Bill(number="7", issuer=ann, recipient=ann, first=date(2016, 6, 1), last=date(2016, 6, 30),
    ...     issued=date(2016, 7, 1), terms=Terms(), lines=(BillLine(text="Energy", amount=5_004_000),))
    >>> bill_pdf(bill)[:5]
    b'%PDF-'
    """
    data = json.dumps(bill_page(bill, code=_code(bill)))
    issued = datetime(bill.issued.year, bill.issued.month, bill.issued.day, tzinfo=UTC)
    compiler, template = _compiler()
    page = compiler.compile(
        template, format="pdf", sys_inputs={"bill": data}, timestamp=int(issued.timestamp())
    )
    require(isinstance(page, bytes), "a bill is one document")
    return bytes(page)


@cache
def _compiler() -> tuple[Any, bytes]:
    """Return the compiler, which has read its fonts (that takes longer than setting a bill), and the page."""
    import typst

    template = (files("gridagora.adapters") / "template_files" / "bill.typ").read_bytes()
    return typst.Compiler(template), template


def _code(bill: Bill) -> str:
    """Return the payment code of a bill as SVG; "" where a phone could not pay it."""
    if bill.payable <= 0 or not bill.issuer.iban or bill.terms.currency != "EUR":
        return ""
    import segno

    picture = BytesIO()
    text = payment_code(bill.issuer, bill.payable, bill.number)
    segno.make(text, error="m", micro=False).save(picture, kind="svg", border=1)
    return picture.getvalue().decode()


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Write rows of text as CSV; an apostrophe stands before what a sheet would take for a formula."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: no_formula(text) for name, text in row.items()} for row in rows)


def no_formula(text: str) -> str:
    """Return text that no sheet takes for a formula: an apostrophe stands before it where one would.

    >>> no_formula("=1+1"), no_formula("-1.5"), no_formula("ann")
    ("'=1+1", '-1.5', 'ann')
    """
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def write_xlsx(path: Path, sheets: Mapping[str, tuple[Sequence[str], Sequence[Mapping[str, str]]]]) -> None:
    """Write sheets of rows of text as an Excel file; numbers become numbers, nothing a formula."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    for title, (columns, rows) in sheets.items():
        sheet = book.create_sheet(title)
        sheet.freeze_panes = "A2"
        numbers = {
            name for name in columns if all(NUMBER.fullmatch(row[name]) or not row[name] for row in rows)
        }
        sheet.append(list(columns))
        for row in rows:
            cells = []
            for name in columns:
                number = name in numbers - {"number"} and row[name]
                cell = WriteOnlyCell(sheet, value=float(row[name]) if number else row[name])
                if not number:
                    cell.data_type = "s"
                cells.append(cell)
            sheet.append(cells)
    book.save(path)


def file_name(text: str) -> str:
    """Return text as part of a file name: letters, digits, points and dashes alone.

    >>> file_name("../Ann & Bob")
    'Ann_Bob'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._-")[:60] or "bill"
