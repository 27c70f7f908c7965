"""Proofs of a run: one Merkle tree a local day over every posting, trade and invoice, one leaf a participant.

A trade is two records, one of each side, so that each party opens its own and no other.  In a study the key
of a participant's salts follows from the run's event hash, so that everyone with the run gets the same roots;
where real people trade, keys are drawn by chance and kept by them.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gridagora.adapters.run_folder import RunFolder
from gridagora.ledger.merkle import MerkleTree
from gridagora.ledger.records import Record, checkpoint, leaf_salt, seal
from gridagora.studies.bill_sums import trade_sides
from gridagora.units import MICRO, WH_PER_KWH

Progress = Callable[[int, int, str], None]

FORMAT = "gridagora-proofs-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """One record of a participant: its place in the day's tree, salt and inclusion proof."""

    day: str
    index: int
    salt: bytes
    record: Record
    path: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DayRoot:
    """Head of a day's tree."""

    day: str
    size: int
    root: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Proofs:
    """Roots of all days of a run, and the proofs of one participant's records."""

    run: str
    participant: str | None
    roots: tuple[DayRoot, ...]
    records: tuple[Proof, ...] = field(default=())

    def checkpoints(self) -> str:
        """Return the heads of all days as text to be published, an empty line between them."""
        name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in self.run)
        return "\n".join(checkpoint(f"gridagora/{name}/{one.day}", one.size, one.root) for one in self.roots)

    def digest(self, first: str, last: str) -> str:
        """Return the root over the roots of the days from first to last, as bills name it.

        >>> Proofs(run="a", participant=None, roots=()).digest("2016-06-01", "2016-06-30")[:8]
        'e3b0c442'
        """
        return MerkleTree.of([one.root for one in self.roots if first <= one.day <= last]).root.hex()

    def to_json(self) -> dict[str, Any]:
        """Return roots and proofs as plain values: hashes and salts in hexadecimal digits."""
        return {
            "format": FORMAT,
            "run": self.run,
            "participant": self.participant,
            "roots": [{"day": one.day, "size": one.size, "root": one.root.hex()} for one in self.roots],
            "records": [
                {
                    "day": proof.day,
                    "index": proof.index,
                    "salt": proof.salt.hex(),
                    "record": dict(proof.record),
                    "path": [value.hex() for value in proof.path],
                }
                for proof in self.records
            ],
        }


def run_proofs(run: RunFolder, *, participant: str | None = None, progress: Progress | None = None) -> Proofs:
    """Build the trees of all days of a run, and the proofs of a participant's records.

    Parameters
    ----------
    run : a finished run
    participant : whose records are proven; None for the roots alone
    progress : called with days done, days in all and the day
    """
    roots, proofs = [], []
    days = run.days
    for number, (day, part) in enumerate(run.by_days()):
        if progress is not None:
            progress(number, len(days), day)
        records = _records(part)
        keys = {who: _key(run, who) for who in {who for who, _ in records}}
        salts = [leaf_salt(keys[who], day, index) for index, (who, _) in enumerate(records)]
        tree = MerkleTree.of([seal(record, salt) for (_, record), salt in zip(records, salts, strict=True)])
        roots.append(DayRoot(day=day, size=tree.size, root=tree.root))
        proofs += [
            Proof(day=day, index=index, salt=salts[index], record=record, path=tree.inclusion(index))
            for index, (who, record) in enumerate(records)
            if who == participant
        ]
    return Proofs(run=run.name, participant=participant, roots=tuple(roots), records=tuple(proofs))


def _key(run: RunFolder, who: str) -> bytes:
    return hmac.digest(run.event_hash, hashlib.sha256(who.encode()).digest(), "sha256")


def _records(run: RunFolder) -> list[tuple[str, Record]]:
    """Return the records of a day and whose they are: postings, sides of trades, invoices, in table order."""
    found: list[tuple[str, Record]] = []
    for table in (_postings(run), _trades(run), _invoices(run)):
        names = [str(name) for name in table.columns if name != "who"]
        columns = [table[name].tolist() for name in names]  # lists hold plain texts and whole numbers
        rows = zip(table["who"].tolist(), *columns, strict=True)
        found += [(who, dict(zip(names, values, strict=True))) for who, *values in rows]
    return found


def _postings(run: RunFolder) -> pd.DataFrame:
    journal = run.journal
    account = journal["account"].astype(str)
    return pd.DataFrame(
        {
            "who": account.str.removeprefix("participant:"),
            "kind": "posting",
            "entry": journal["entry"],
            "period": journal["period"],
            "account": account,
            "amount_micro": journal["amount_micro"],
            "memo": journal["memo"].astype(str),
        }
    )


def _trades(run: RunFolder) -> pd.DataFrame:
    sides = trade_sides(run)
    return pd.DataFrame(
        {
            "who": sides["participant"],
            "kind": "trade",
            "trade": sides["trade"],
            "side": sides["side"],
            "participant": sides["participant"],
            "other": sides["other"],
            "start": sides["start"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "quantity_wh": sides["quantity_wh"],
            "price_micro_per_kwh": sides["price"],
            "amount_micro": sides["amount"],
        }
    )


def _invoices(run: RunFolder) -> pd.DataFrame:
    """Return the invoices of a day, energy in Wh, money in micro-units with the signs of the invoices."""
    table = run.invoices
    columns: dict[str, Any] = {
        "who": table["participant"].astype(str),
        "kind": "invoice",
        "invoice_day": table["day"].astype(str),
    }
    for name in table.columns[2:]:
        energy = name.endswith("_kwh")
        values = np.rint(table[name] * (WH_PER_KWH if energy else MICRO)).astype(np.int64)
        columns[f"{name.removesuffix('_kwh')}_wh" if energy else f"{name}_micro"] = values
    return pd.DataFrame(columns)
