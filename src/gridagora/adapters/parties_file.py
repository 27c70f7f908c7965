"""Parties out of a file: one row each, with the columns of `gridagora.billing.parties.Party`.

``participant`` is the name in the run; the row ``operator`` tells who writes the bills, ``upstream`` who the
retailer is.  Empty cells are not known; without a name the participant's own is taken.
"""

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gridagora.adapters.bill_files import FORMULA, no_formula
from gridagora.adapters.tables import RawTable, column_faults, read_table
from gridagora.billing.parties import COLUMNS, OPERATOR, RETAILER, Party, compact, party_errors
from gridagora.errors import Fault
from gridagora.scenario.suggest import near

NOTE = """\
# Parties of the bills.  The row "operator" is who writes them.  The payment file needs its IBAN and those of
# all who get money.  country: two letters.  Who has a vat_id gets credits with value added tax.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parties:
    """Parties by participant; those that no file names are known by their participant's name alone."""

    named: Mapping[str, Party]

    def of(self, participant: str) -> Party:
        """Return the party of a participant."""
        plain = {OPERATOR: "Market operator", RETAILER: "Retailer"}.get(participant, participant)
        return self.named.get(participant) or Party(participant=participant, name=plain)


def read_parties(path: Path, known: Collection[str]) -> tuple[Parties, frozenset[str], list[Fault]]:
    """Read a parties file.

    Parameters
    ----------
    path : CSV, Excel or Parquet file
    known : participants of the run

    Returns
    -------
    The parties that could be read, the names of those with a fault, and every fault.
    """
    table, faults = read_table(path, text=True)
    if table is None:
        return Parties(named={}), frozenset(), faults
    unknown = [name for name in table.frame.columns if name not in COLUMNS]
    faults = column_faults(table, ("participant",))
    for name in unknown:
        fix = near(name, COLUMNS) or f"use only {', '.join(COLUMNS)}"
        reason = "is no column of parties"
        faults.append(Fault(source=table.source, place="header", value=name, reason=reason, fix=fix))
    if column_faults(table, ("participant",)):
        return Parties(named={}), frozenset(), faults
    named: dict[str, Party] = {}
    wrong: set[str] = set()
    for line, cells in enumerate(table.frame.drop(columns=unknown).to_dict("records")):
        party = _party({str(name): str(cell) for name, cell in cells.items()})
        found = _row_faults(table, line, party, known={*known, OPERATOR, RETAILER}, named=named)
        faults += found
        wrong |= {party.participant} if found else set()
        named.setdefault(party.participant, party)
    return Parties(named=named), frozenset(wrong), faults


def _party(cells: Mapping[str, str]) -> Party:
    texts = {name: _text(cell) for name, cell in cells.items()}
    party = Party(**({"participant": "", "name": ""} | texts))
    return replace(
        party, name=party.name or party.participant, iban=compact(party.iban), bic=compact(party.bic)
    )


def _text(cell: str) -> str:
    """Take off the apostrophe that was put before what looks like a formula."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _row_faults(
    table: RawTable, line: int, party: Party, *, known: Collection[str], named: Mapping[str, Party]
) -> list[Fault]:
    errors = party_errors(party) if party.participant else []
    if not party.participant:
        errors.append(("participant", "is missing", "name a participant of the run, or operator"))
    elif party.participant not in known:
        fix = near(party.participant, known) or "name a participant of the run, or operator"
        errors.append(("participant", "is no participant of the run", fix))
    elif party.participant in named:
        errors.append(("participant", "stands in the file twice", "keep one of the two rows"))
    return [
        table.fault(line, column, value=getattr(party, column), reason=reason, fix=fix)
        for column, reason, fix in errors
    ]


def parties_template(participants: Collection[str]) -> str:
    r"""Return a parties file with a row for the operator and each participant, to be filled in.

    >>> parties_template(["ann"]).splitlines()[-1]
    '"ann","ann","","","","","","",""'
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for who in (OPERATOR, *participants):
        writer.writerow([no_formula(who), no_formula(who), *[""] * (len(COLUMNS) - 2)])
    return NOTE + text.getvalue()
