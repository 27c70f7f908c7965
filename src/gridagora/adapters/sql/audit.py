"""Checks of what a database holds: the chain of events, the sums of the journal, read tables made anew."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, Table, func, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit_answers import broken_answers
from gridagora.adapters.sql.audit_roots import broken_roots
from gridagora.adapters.sql.audit_rows import MOST_FINDINGS, differing, head_seen, rows_of
from gridagora.adapters.sql.audit_scratch import made_anew
from gridagora.adapters.sql.codec import canonical_of, decode
from gridagora.adapters.sql.database import Database, Head, Progress, StoredEvent, quiet
from gridagora.adapters.sql.made import Names
from gridagora.adapters.sql.projections import VERSION
from gridagora.adapters.sql.snapshots import snapshot_findings
from gridagora.errors import DamagedEvent, StoreError
from gridagora.model.events import GENESIS


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What a check of a market found (nothing: all is well), and how many rows it looked at."""

    head: Head
    rows: int
    findings: tuple[str, ...]


def verify(database: Database, name: str, *, head: str | None = None, progress: Progress = quiet) -> Audit:
    """Check a market: its chain of events, the journal, the balances of accounts, answers, and roots of days.

    Parameters
    ----------
    database : open for reading
    name : name of the market
    head : hash that some event must have, kept elsewhere: without it a last event that was cut off, with its
        head, cannot be missed
    progress : called with (done, total, what)

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.adapters.sql.store import SqlStore
    >>> from gridagora.model.events import StudyOpened
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     store = SqlStore(database, "village")
    ...     store.append([StudyOpened(at=0, name="a", seed=0, participants=("x",), rules="")])
    ...     verify(database, "village").findings
    ()
    """
    found: list[str] = []
    known = database.head(name)
    try:
        found += _damaged_pages(database)
        found += islice(_broken_chain(database, known, kept=head, progress=progress), MOST_FINDINGS)
        with database.reading() as connection:
            found += _broken_books(connection, known)
            rows = _count(connection, tables.journal, known.market)
        found += broken_answers(database, known)
        found += broken_roots(database, known, progress=progress)
    except StoreError as error:
        return Audit(head=known, rows=0, findings=(*found, f"cannot be read further: {error}"))
    return Audit(head=known, rows=rows, findings=tuple(found))


def _damaged_pages(database: Database) -> list[str]:
    """Ask SQLite to check its file; PostgreSQL checks its pages itself where it was set up to."""
    if database.address.path is None:
        return []
    with database.reading() as connection:
        told = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA quick_check({MOST_FINDINGS})")]
    return [] if told == ["ok"] else [f"the file is damaged: {' '.join(text.split())}" for text in told]


def _broken_chain(database: Database, head: Head, *, kept: str | None, progress: Progress) -> Iterator[str]:
    seq, hashed, seen = 0, GENESIS, kept is None
    for stored in database.stored(head.name):
        if stored.seq > head.seq:
            break  # written since
        if stored.seq != seq + 1:
            yield f"event {seq + 1} is missing: event {stored.seq} follows {seq}"
        yield from _broken_event(stored, hashed)
        seq, hashed = stored.seq, stored.hash
        seen = seen or hashed.hex() == kept
        if seq % 100 == 0 or seq == head.seq:
            progress(seq, head.seq, "events")
    if (seq, hashed.hex()) != (head.seq, head.hash):
        yield f"the head names event {head.seq} with hash {head.hash[:16]}..., the last one is event {seq}"
    if not seen:
        yield f"no event has the hash {kept} that was kept elsewhere: events were cut off or replaced"


def _broken_event(stored: StoredEvent, before: bytes) -> Iterator[str]:
    try:
        if hashlib.sha256(before + canonical_of(stored.body)).digest() != stored.hash:
            yield f"event {stored.seq} is not the one that was appended: its hash differs"
        event = decode(stored.body)
    except DamagedEvent as error:
        yield f"event {stored.seq} cannot be read: {error}"
        return
    if (event.at, type(event).__name__) != (stored.at, stored.kind):
        yield f"event {stored.seq} is listed as {stored.kind} of {stored.at}, and is not"


def _broken_books(connection: Connection, head: Head) -> list[str]:
    posted, balances = tables.journal.c, tables.balances.c
    total = func.sum(posted.amount_micro)
    found = []
    unbalanced = connection.execute(
        select(posted.entry, total)
        .where(posted.market == head.market)
        .group_by(posted.entry)
        .having(total != 0)
        .order_by(posted.entry)
        .limit(MOST_FINDINGS)
    )
    found += [f"journal entry {entry} sums to {amount} micro-units" for entry, amount in unbalanced]
    sums = connection.execute(
        select(posted.account, total).where(posted.market == head.market).group_by(posted.account)
    )
    booked = {int(account): int(amount) for account, amount in sums}
    known = connection.execute(
        select(balances.account, balances.name, balances.amount_micro).where(balances.market == head.market)
    ).all()
    for account, name, amount in known:
        due = booked.pop(int(account), 0)
        if due != amount:
            found.append(f"account {name} shows {amount} micro-units, its postings sum to {due}")
    found += [f"account {account} has postings and no balance" for account in booked]
    heads, event = tables.heads.c, tables.events.c
    last = select(heads.seq).where(heads.market == head.market).scalar_subquery()
    beyond = select(event.seq).where(event.market == head.market, event.seq > last).order_by(event.seq)
    found += [
        f"event {seq} stands behind the head" for seq in connection.scalars(beyond.limit(MOST_FINDINGS))
    ]
    return found[:MOST_FINDINGS]


def replay(database: Database, name: str, *, progress: Progress = quiet) -> Audit:
    """Make every read table of a market anew from its events, beside the database, and compare.

    The newest snapshot of a live market's state, where a start would use it, is compared as well.

    Parameters
    ----------
    database : open for reading
    name : name of the market
    progress : called with (done, total, what)

    Raises
    ------
    DamagedEvent
        where an event cannot be read: nothing can then be made from what follows.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.adapters.sql.store import SqlStore
    >>> from gridagora.model.events import StudyOpened
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     store = SqlStore(database, "village")
    ...     store.append([StudyOpened(at=0, name="a", seed=0, participants=("x",), rules="")])
    ...     audit = replay(database, "village")
    >>> audit.findings, audit.rows
    ((), 7)
    """
    head = database.head(name)
    with database.reading() as connection:
        head = head_seen(connection, head)
        with made_anew(database, head, progress=progress) as (scratch, names):
            found = _other_names(connection, head, names)
            rows = 0
            for number, table in enumerate(tables.READ_TABLES):
                theirs, ours = (rows_of(one, table, head.market) for one in (connection, scratch))
                differences, count = differing(table, theirs, ours)
                found += differences
                rows += count
                progress(number + 1, len(tables.READ_TABLES), "comparing tables")
    found += snapshot_findings(database, name, progress=progress)
    return Audit(head=head, rows=rows, findings=tuple(found))


def _other_names(connection: Connection, head: Head, names: Names) -> list[str]:
    made = tables.projected.c
    row = connection.execute(
        select(made.version, made.seq, made.names).where(made.market == head.market)
    ).first()
    if row is None:
        return ["read tables were never made"]
    if (row.version, row.seq) != (VERSION, head.seq):
        return [f"read tables are made by version {row.version} up to event {row.seq} of {head.seq}"]
    return [] if Names.from_json(row.names) == names else ["names of accounts are not those of the events"]


def _count(connection: Connection, table: Table, market: int) -> int:
    return int(connection.scalar(select(func.count()).where(table.c.market == market)) or 0)
