"""Payment files: SEPA credit transfers as ISO 20022 pain.001.001.09, and the code that a phone pays by.

Source: ISO 20022 pain.001.001.09; EPC132-08 (customer-to-bank implementation guidelines: character set,
lengths, amounts); EPC069-12 (quick response code of a credit transfer).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from xml.etree import ElementTree as Tree

from gridagora.billing.amounts import CENT
from gridagora.billing.parties import Party, bic_error, iban_error
from gridagora.errors import Fault, check_faults
from gridagora.units import money_text

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
LARGEST = 99_999_999_999 * CENT
"""Largest amount of one transfer, micro-units: 999,999,999.99."""

LETTERS = {"Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Æ": "Ae", "æ": "ae"}
LETTERS |= {"Ø": "O", "ø": "o", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "ı": "i", "&": "+", "_": "-"}
NAME, TEXT, IDENTIFIER = 70, 140, 35
"""Longest name, text and identifier of a transfer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditTransfer:
    """One payment: ``amount`` in micro-units of whole cents, ``identifier`` unique in its file."""

    identifier: str
    creditor: Party
    amount: int
    text: str


def sepa_text(text: str, longest: int) -> str:
    """Write text in the letters that every bank in the SEPA takes; what has no likeness becomes a point.

    >>> sepa_text("Jörg & Søn <b>", 70)
    'Joerg + Son .b.'
    """
    spelled = "".join(LETTERS.get(letter, letter) for letter in unicodedata.normalize("NFC", text))
    plain = "".join(c for c in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(c))
    kept = re.sub(r"[^A-Za-z0-9/?:().,'+ -]", ".", plain)
    return re.sub(r"/{2,}", "/", kept).strip(" /")[:longest].strip(" /") or "."


def transfer_faults(debtor: Party, transfers: Sequence[CreditTransfer]) -> list[Fault]:
    """Return all that keeps transfers from being paid: accounts, amounts and identifiers.

    >>> ann = Party(participant="ann", name="Ann", iban="DE89370400440532013000")
    >>> paid = CreditTransfer(identifier="1", creditor=ann, amount=10_000, text="June")
    >>> transfer_faults(ann, [paid]), transfer_faults(ann, [paid, paid])[0].reason
    ([], 'stands in the file 2 times')
    """
    faults = list(_account_faults(debtor, "has money to pay out"))
    known = {debtor.participant}
    for transfer in transfers:
        if transfer.creditor.participant not in known:
            faults += _account_faults(transfer.creditor, "has money to get")
        known.add(transfer.creditor.participant)
        if not 0 < transfer.amount <= LARGEST or transfer.amount % CENT:
            reason, fix = "is not between 0.01 and 999999999.99 in whole cents", "split or leave it out"
            faults.append(_fault(transfer.identifier, transfer.amount, reason, fix=fix))
        if not re.fullmatch(r"(?!/)(?!.*//)[A-Za-z0-9/?:().,'+ -]{1,35}(?<!/)", transfer.identifier):
            fix = "use up to 35 letters, digits and -, no slash at an end"
            faults.append(_fault(transfer.identifier, transfer.identifier, "is no identifier", fix=fix))
    for identifier, times in Counter(transfer.identifier for transfer in transfers).items():
        if times > 1:
            reason = f"stands in the file {times} times"
            faults.append(_fault(identifier, identifier, reason, fix="number each payment once"))
    return faults


def _account_faults(party: Party, why: str) -> Iterator[Fault]:
    if not party.iban:
        yield _fault(f"{party.participant}, iban", "", f"is missing, and the party {why}", fix="add the IBAN")
    elif reason := iban_error(party.iban):
        yield _fault(f"{party.participant}, iban", party.iban, reason, fix="copy it from the bank statement")
    if party.bic and (reason := bic_error(party.bic)):
        yield _fault(f"{party.participant}, bic", party.bic, reason, fix="correct it, or leave it empty")


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="payments", place=place, value=value, reason=reason, fix=fix)


def pain_001(
    debtor: Party, transfers: Sequence[CreditTransfer], *, message: str, created: str, execution: date
) -> bytes:
    """Return the payment file of credit transfers in euro: one debtor, one batch, number and sum as control.

    Parameters
    ----------
    debtor : who pays; its IBAN is needed
    transfers : one or more
    message : identifier of the file, up to 35 letters
    created : time of its making, ``2016-07-01T00:00:00Z``
    execution : day on which the bank is to pay

    Raises
    ------
    InputError
        with every fault of accounts, amounts and identifiers.

    Examples
    --------
    >>> ann = Party(participant="ann", name="Ann", iban="DE89370400440532013000")
    >>> paid = CreditTransfer(identifier="1", creditor=ann, amount=10_000, text="June")
    >>> text = pain_001(ann, [paid], message="m", created="2016-07-01T00:00:00Z", execution=date(2016, 7, 4))
    >>> b"<CtrlSum>0.01</CtrlSum>" in text
    True
    """
    empty = (
        [] if transfers else [_fault("transfers", 0, "there are none", fix="write no file without payments")]
    )
    check_faults(empty + transfer_faults(debtor, transfers))
    control = str(len(transfers)), money_text(sum(one.amount for one in transfers), digits=2)
    root = Tree.Element("Document", xmlns=NAMESPACE)
    body = Tree.SubElement(root, "CstmrCdtTrfInitn")
    head = Tree.SubElement(body, "GrpHdr")
    _put(head, "MsgId", sepa_text(message, IDENTIFIER))
    _put(head, "CreDtTm", created)
    _put(head, "NbOfTxs", control[0])
    _put(head, "CtrlSum", control[1])
    _put(head, "InitgPty/Nm", sepa_text(debtor.name, NAME))
    batch = Tree.SubElement(body, "PmtInf")
    _put(batch, "PmtInfId", sepa_text(message, IDENTIFIER))
    _put(batch, "PmtMtd", "TRF")
    _put(batch, "NbOfTxs", control[0])
    _put(batch, "CtrlSum", control[1])
    _put(batch, "PmtTpInf/SvcLvl/Cd", "SEPA")
    _put(batch, "ReqdExctnDt/Dt", execution.isoformat())
    _put(batch, "Dbtr/Nm", sepa_text(debtor.name, NAME))
    _put(batch, "DbtrAcct/Id/IBAN", debtor.iban)
    _put(
        batch,
        "DbtrAgt/FinInstnId/BICFI" if debtor.bic else "DbtrAgt/FinInstnId/Othr/Id",
        debtor.bic or "NOTPROVIDED",
    )
    _put(batch, "ChrgBr", "SLEV")
    for transfer in transfers:
        _put_transfer(Tree.SubElement(batch, "CdtTrfTxInf"), transfer)
    Tree.indent(root)
    written: bytes = Tree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _put_transfer(place: Tree.Element, transfer: CreditTransfer) -> None:
    _put(place, "PmtId/EndToEndId", transfer.identifier)
    amount = _put(place, "Amt/InstdAmt", money_text(transfer.amount, digits=2))
    amount.set("Ccy", "EUR")
    if transfer.creditor.bic:
        _put(place, "CdtrAgt/FinInstnId/BICFI", transfer.creditor.bic)
    _put(place, "Cdtr/Nm", sepa_text(transfer.creditor.name, NAME))
    _put(place, "CdtrAcct/Id/IBAN", transfer.creditor.iban)
    _put(place, "RmtInf/Ustrd", sepa_text(transfer.text, TEXT))


def _put(place: Tree.Element, path: str, text: str) -> Tree.Element:
    """Add nested elements, the innermost with a text."""
    for name in path.split("/"):
        place = Tree.SubElement(place, name)
    place.text = text
    return place


def payment_code(creditor: Party, amount: int, text: str) -> str:
    """Return what a quick response code says so that a banking app fills in the transfer (EPC069-12).

    Parameters
    ----------
    creditor : who is paid; its IBAN is needed
    amount : micro-units of whole cents, > 0
    text : what it is for

    Examples
    --------
    >>> ann = Party(participant="ann", name="Ann", iban="DE89370400440532013000")
    >>> payment_code(ann, 12_340_000, "201606-0001").splitlines()[5:8]
    ['Ann', 'DE89370400440532013000', 'EUR12.34']
    """
    name, purpose = sepa_text(creditor.name, NAME), sepa_text(text, TEXT)
    euros = money_text(amount, digits=2)
    lines = ("BCD", "002", "1", "SCT", creditor.bic, name, creditor.iban, f"EUR{euros}", "", "", purpose)
    return "\n".join(lines)
