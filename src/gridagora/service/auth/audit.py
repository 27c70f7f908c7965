"""The audit log: who did what, each entry bound to the one before by a hash."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, insert, select

from gridagora.adapters.sql.locks import LOCK_SPACE
from gridagora.service.auth.tables import audit

AUDIT_LOCK = -1
"""What PostgreSQL's advisory lock is about while an entry is added."""

GENESIS = bytes(32)
PAGE = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """An entry to be made.

    Parameters
    ----------
    actor, organisation : who did it, and for whom
    action : what was done, e.g. ``"users.write"``
    object : what it was done to
    outcome : ``"done"``, ``"refused"`` or ``"failed"``
    address : network address
    detail : more, as JSON values; no secret
    """

    actor: str
    action: str
    organisation: str = ""
    object: str = ""
    outcome: str = "done"
    address: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An entry as it is kept; ``hash`` in hexadecimal."""

    seq: int
    at: int
    actor: str
    organisation: str
    action: str
    object: str
    outcome: str
    address: str
    detail: str
    hash: str


_FIELDS = ("seq", "at", "actor", "organisation", "action", "object", "outcome", "address", "detail")


def append(connection: Connection, note: Note, *, at: int) -> None:
    """Add an entry within the transaction of what it tells of."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK_SPACE, AUDIT_LOCK)))
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, before = (1, GENESIS) if last is None else (last.seq + 1, bytes(last.hash))
    row: dict[str, Any] = {
        "seq": seq,
        "at": at,
        "actor": note.actor,
        "organisation": note.organisation,
        "action": note.action,
        "object": note.object,
        "outcome": note.outcome,
        "address": note.address,
        "detail": json.dumps(dict(note.detail), sort_keys=True, ensure_ascii=False),
    }
    connection.execute(insert(audit).values(**row, hash=_chained(before, row)))


def _chained(before: bytes, row: Mapping[str, Any]) -> bytes:
    body = json.dumps([row[name] for name in _FIELDS], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + body.encode()).digest()


def entries(
    connection: Connection, *, before: int | None = None, limit: int, actor: str | None = None
) -> Sequence[Entry]:
    """Return entries, newest first: those before a number."""
    found = select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if before is not None:
        found = found.where(audit.c.seq < before)
    if actor is not None:
        found = found.where(audit.c.actor == actor)
    return [
        Entry(**{name: getattr(row, name) for name in _FIELDS}, hash=bytes(row.hash).hex())
        for row in connection.execute(found)
    ]


def verify(connection: Connection, progress: Callable[[int, int], None]) -> tuple[int, str]:
    """Recompute the chain; return how many entries there are, and what is wrong ("" for nothing)."""
    total = int(connection.scalar(select(func.count()).select_from(audit)) or 0)
    seq, before = 0, GENESIS
    while True:
        page = connection.execute(
            select(audit).where(audit.c.seq > seq).order_by(audit.c.seq).limit(PAGE)
        ).all()
        if not page:
            return total, ""
        for row in page:
            if row.seq != seq + 1:
                return total, f"entry {seq + 1} is missing"
            hashed = _chained(before, {name: getattr(row, name) for name in _FIELDS})
            if hashed != bytes(row.hash):
                return total, f"entry {row.seq} was changed"
            seq, before = row.seq, hashed
        progress(seq, total)
