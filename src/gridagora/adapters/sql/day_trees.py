"""The Merkle tree of a local day of a live market, over all postings booked and all trades settled on it.

Records and trees are those of a study (`gridagora.ledger.records`, `gridagora.ledger.merkle`), so the script
of the docs checks them.  A tree is final when its day is over: what is booked later belongs to a later day.
The key of a participant's salts follows from the hash of the event that registered it; who does not hold the
log cannot try records against a root.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, func, select
from sqlalchemy.sql import and_

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.projections_live import OWN, RETAILER
from gridagora.billing.documents import document_bill
from gridagora.billing.parties import RETAILER as RETAILER_NAME
from gridagora.engine.live.money import bill
from gridagora.ledger.journal import KINDS
from gridagora.ledger.merkle import MerkleTree
from gridagora.ledger.records import Record, leaf_salt, seal
from gridagora.model.flexibility_events import FlexSettled
from gridagora.model.live import LiveTerms
from gridagora.model.money_events import InvoicesIssued
from gridagora.units import amount_micro

AT_A_TIME = 500

SETTLED = frozenset({"SessionSettled", "SettlementCorrected"})
"""Kinds of events whose entries are numbered by the session."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayTree:
    """The records of a day with whose they are, their salts, and the tree over them."""

    day: str
    records: tuple[tuple[str, Record], ...]
    salts: tuple[bytes, ...]
    tree: MerkleTree


def day_at(timezone: str, moment: int) -> date:
    """Return the local day of a moment, seconds since 1970 UTC.

    >>> day_at("Europe/Berlin", 1_767_222_000).isoformat()
    '2026-01-01'
    """
    return datetime.fromtimestamp(moment, ZoneInfo(timezone)).date()


def day_begins(timezone: str, day: date) -> int:
    """Return the moment at which a local day begins, seconds since 1970 UTC.

    >>> day_begins("Europe/Berlin", date(2026, 1, 1))
    1767222000
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)).timestamp())


def day_tree(connection: Connection, market: int, terms: LiveTerms, *, day: date) -> DayTree:
    """Return the tree of a day from the read tables of a live market and the moments of its events."""
    span = tuple(day_begins(terms.timezone, one) for one in (day, day + timedelta(days=1)))
    seqs = tuple(_first_from(connection, market, moment) for moment in span)
    records = [
        *_postings(connection, market, seqs, terms=terms),
        *_invoices(connection, market, seqs),
        *_trades(connection, market, span, terms=terms),
        *_flexibility(connection, market, seqs, terms=terms),
    ]
    keys = _keys(connection, market, {who for who, _ in records})
    label = day.isoformat()
    salts = [leaf_salt(keys[who], label, index) for index, (who, _) in enumerate(records)]
    sealed = [seal(record, salt) for (_, record), salt in zip(records, salts, strict=True)]
    return DayTree(day=label, records=tuple(records), salts=tuple(salts), tree=MerkleTree.of(sealed))


def _first_from(connection: Connection, market: int, moment: int) -> int:
    """Return the number of the first event at a moment or later: moments of a live market never go back."""
    event = tables.events.c
    low, high = 1, 1 + int(connection.scalar(select(func.max(event.seq)).where(event.market == market)) or 0)
    while low < high:
        middle = (low + high) // 2
        at = connection.scalar(select(event.at).where(event.market == market, event.seq == middle))
        low, high = (middle + 1, high) if at is not None and at < moment else (low, middle)
    return low


def _postings(
    connection: Connection, market: int, seqs: tuple[int, ...], *, terms: LiveTerms
) -> list[tuple[str, Record]]:
    """Return the postings of a day; those that a bill holds name the month whose bill that is."""
    row, event, sum_ = tables.journal.c, tables.events.c, tables.balances.c
    joined = tables.journal.join(tables.events, and_(event.market == row.market, event.seq == row.seq)).join(
        tables.balances, and_(sum_.market == row.market, sum_.account == row.account)
    )
    asked = (
        select(row.seq, row.row, row.entry, row.amount_micro, event.at, event.kind, sum_.name)
        .select_from(joined)
        .where(row.market == market, row.seq >= seqs[0], row.seq < seqs[1])
        .order_by(row.seq, row.row)
    )
    months, found = _issued(connection, market), list[tuple[str, Record]]()
    session = 0  # a movement on a bill is booked with the session that is settled, right behind it
    for one in connection.execute(asked):
        session = one.entry // KINDS if one.kind in SETTLED else session
        record: dict[str, str | int] = {
            "kind": "posting",
            "event": one.seq,
            "row": one.row,
            "entry": one.entry,
            "at": one.at,
            "account": one.name,
            "amount_micro": one.amount_micro,
            "booked_by": one.kind,
        }
        if one.name.startswith(bill("")) and one.kind != InvoicesIssued.__name__:
            flexible = one.kind == FlexSettled.__name__
            of = terms.session_of(one.entry // KINDS) if flexible else session
            record["month"] = billed_in(terms, months, of, seq=one.seq)
        found.append((_owner(one.name), record))
    return found


def _issued(connection: Connection, market: int) -> list[tuple[str, int]]:
    """Return the months whose bills are issued, and the number of the event."""
    month = tables.issued_months.c
    asked = select(month.month, month.seq).where(month.market == market).order_by(month.seq)
    return [(one.month, one.seq) for one in connection.execute(asked)]


def billed_in(terms: LiveTerms, issued: Sequence[tuple[str, int]], session: int, *, seq: int) -> str:
    """Return the month on whose bill stands what an event booked for a session.

    It is the month of the session, or where that was issued before the event the first one that was not.

    >>> terms = LiveTerms(name="a", epoch=0, session_periods=96, scenario="")
    >>> [billed_in(terms, [("1970-01", 7)], session, seq=8) for session in (3, 40)]
    ['1970-02', '1970-02']
    """
    own = f"{day_at(terms.timezone, terms.session(session).delivery_start):%Y-%m}"
    before = [month for month, number in issued if number < seq]
    if own not in before:
        return own
    return f"{date.fromisoformat(f'{before[-1]}-01') + timedelta(days=31):%Y-%m}"


def _invoices(connection: Connection, market: int, seqs: tuple[int, ...]) -> list[tuple[str, Record]]:
    """Return the bills that were issued on a day, word for word."""
    sent, who_is = tables.invoices.c, tables.participants.c
    joined = tables.invoices.join(
        tables.participants, and_(who_is.market == sent.market, who_is.participant == sent.participant)
    )
    asked = select(sent.number, sent.month, sent.document, who_is.name).select_from(joined)
    asked = asked.where(sent.market == market, sent.seq >= seqs[0], sent.seq < seqs[1])
    return [
        (
            one.name,
            {
                "kind": "invoice",
                "number": one.number,
                "participant": one.name,
                "month": one.month,
                "total_micro": document_bill(one.document).total,
                "document": one.document,
            },
        )
        for one in connection.execute(asked.order_by(sent.number))
    ]


def _owner(account: str) -> str:
    """Return whose an account is; "" for those of the system, whatever participants are called."""
    kind, _, name = account.partition(":")
    return name if kind in OWN else ""


def _trades(
    connection: Connection, market: int, span: tuple[int, ...], *, terms: LiveTerms
) -> list[tuple[str, Record]]:
    trade, step, who_is = tables.trades.c, tables.sessions.c, tables.participants.c
    known = select(who_is.participant, who_is.name).where(who_is.market == market)
    names = {RETAILER: RETAILER_NAME} | {one.participant: one.name for one in connection.execute(known)}
    joined = tables.trades.join(
        tables.sessions, and_(step.market == trade.market, step.session == trade.session)
    )
    asked = select(*tables.trades.columns).select_from(joined)
    asked = asked.where(trade.market == market, step.settled >= span[0], step.settled < span[1])
    found: list[tuple[str, Record]] = []
    for one in connection.execute(asked.order_by(trade.session, trade.row)):
        sides = (
            ("buy", one.buyer, one.seller, one.buyer_price_micro, -1),
            ("sell", one.seller, one.buyer, one.seller_price_micro, 1),
        )
        for side, who, other, price, sign in sides:
            if who != RETAILER:
                amount = sign * int(amount_micro(np.int64(one.quantity_wh), np.int64(price)))
                told = (names[who], names[other], price, amount)
                found.append((names[who], _side(one, side, told, begins=terms.begins(one.period))))
    return found


def _side(one: Any, side: str, told: tuple[str, str, int, int], *, begins: int) -> Record:
    start = datetime.fromtimestamp(begins, UTC)
    return {
        "kind": "trade",
        "trade": f"{one.session}-{one.row}",
        "side": side,
        "participant": told[0],
        "other": told[1],
        "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "quantity_wh": one.quantity_wh,
        "price_micro_per_kwh": told[2],
        "amount_micro": told[3],
    }


def _flexibility(
    connection: Connection, market: int, seqs: tuple[int, ...], *, terms: LiveTerms
) -> list[tuple[str, Record]]:
    """Return what the postings of flexibility are made of, a record each."""
    line, who_is = tables.flexibility_lines.c, tables.participants.c
    joined = tables.flexibility_lines.join(
        tables.participants, and_(who_is.market == line.market, who_is.participant == line.participant)
    )
    asked = select(*tables.flexibility_lines.columns, who_is.name).select_from(joined)
    asked = asked.where(line.market == market, line.seq >= seqs[0], line.seq < seqs[1])
    return [
        (one.name, _flexibility_record(one, datetime.fromtimestamp(terms.begins(one.entry // KINDS), UTC)))
        for one in connection.execute(asked.order_by(line.seq, line.row))
    ]


def _flexibility_record(one: Any, start: datetime) -> Record:
    return {
        "kind": "flexibility",
        "event": one.seq,
        "row": one.row,
        "entry": one.entry,
        "participant": one.name,
        "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "product": one.product,
        "contract": one.contract,
        "reason": one.reason,
        "quantity_wh": one.energy_wh,
        "amount_micro": one.amount_micro,
    }


def _keys(connection: Connection, market: int, names: set[str]) -> Mapping[str, bytes]:
    """Return the key of each name: by the event that registered it, else by the first one."""
    births, wanted = dict.fromkeys(names, 1), sorted(names)
    record, event = tables.resources.c, tables.events.c
    mine = (record.market == market, record.kind == "participant")
    for some in (wanted[k : k + AT_A_TIME] for k in range(0, len(wanted), AT_A_TIME)):
        born = select(record.id, record.seq).where(*mine, record.id.in_(some))
        births.update((one.id, one.seq) for one in connection.execute(born))
    seqs, hashes = sorted(set(births.values())), dict[int, bytes]()
    for some_seqs in (seqs[k : k + AT_A_TIME] for k in range(0, len(seqs), AT_A_TIME)):
        asked = select(event.seq, event.hash).where(event.market == market, event.seq.in_(some_seqs))
        hashes.update((seq, bytes(hashed)) for seq, hashed in connection.execute(asked))
    return {
        name: hmac.digest(hashes[seq], hashlib.sha256(name.encode()).digest(), "sha256")
        for name, seq in births.items()
    }
