"""Snapshots in the database: a market's state after some event, so that a start need not begin at the first.

A snapshot is used where it was made by the same classes and rules, where the event that it names has the same
hash in the chain, and where its bytes are those that were written.  Any other is passed over: the events are
the truth, and a snapshot only saves time.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.codec import decode
from gridagora.adapters.sql.database import Database, quiet
from gridagora.adapters.sql.states import Held, decode_state, encode_state, state_version
from gridagora.engine.live.machine import apply
from gridagora.engine.live.state import LiveState
from gridagora.errors import DamagedEvent
from gridagora.model.events import Event

PART = 128 * 1024
"""Bytes of a row; each is written in a transaction of its own, so that no command waits for more than one."""

KEPT = 2
"""Snapshots of a market that are kept."""

TIDY = 50_000
"""Events of a long replay after which those that the state holds no more are forgotten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A snapshot as it stands in the database: the event that it was made after, version and bytes."""

    seq: int
    version: str
    body: bytes


def snapshots_of(database: Database, market: int) -> Iterator[Snapshot]:
    """Yield the snapshots of a market that fit its chain and are whole, newest first."""
    column, part, event = tables.snapshots.c, tables.snapshot_parts.c, tables.events.c
    asked = (
        select(column.seq, column.version, column.hash, column.checksum, column.parts, event.hash)
        .join(tables.events, (event.market == column.market) & (event.seq == column.seq))
        .where(column.market == market)
        .order_by(column.seq.desc())
    )
    with database.reading() as connection:
        heads = connection.execute(asked).all()
    for seq, version, hashed, checksum, parts, in_chain in heads:
        bodies = select(part.body).where(part.market == market, part.seq == seq).order_by(part.part)
        with database.reading() as connection:
            found = [bytes(body) for body in connection.scalars(bodies)]
        body = b"".join(found)
        whole = len(found) == parts and hashlib.sha256(body).digest() == bytes(checksum)
        if whole and bytes(hashed) == bytes(in_chain):
            yield Snapshot(seq=int(seq), version=version, body=body)


def write_snapshot(database: Database, market: int, snapshot: Snapshot) -> None:
    """Keep a snapshot, part by part between what else is written, and drop those that are too old.

    Raises
    ------
    StoreError
        when it could not be kept; what is written before it is whole is never read.
    """
    body, seq = snapshot.body, snapshot.seq
    parts = [body[first : first + PART] for first in range(0, len(body), PART)]
    head, part = tables.snapshots, tables.snapshot_parts
    with database.looking() as connection:
        _drop(connection, market, but=(seq,), most=KEPT)
        connection.execute(delete(part).where(part.c.market == market, part.c.seq == seq))
        connection.execute(delete(head).where(head.c.market == market, head.c.seq == seq))
    for number, data in enumerate(parts):
        with database.looking() as connection:
            connection.execute(insert(part).values(market=market, seq=seq, part=number, body=data))
    event = tables.events.c
    with database.looking() as connection:
        hashed = connection.scalar(select(event.hash).where(event.market == market, event.seq == seq))
        if hashed is None:
            return  # it was made of what did not come on disk
        row = {"version": snapshot.version, "hash": hashed, "checksum": hashlib.sha256(body).digest()}
        connection.execute(insert(head).values(market=market, seq=seq, parts=len(parts), **row))


def _drop(connection: Connection, market: int, *, but: tuple[int, ...], most: int) -> None:
    """Drop all but the newest snapshots less one, and parts that belong to none."""
    head, part = tables.snapshots, tables.snapshot_parts
    seqs = select(head.c.seq).where(head.c.market == market).order_by(head.c.seq.desc())
    kept = [seq for seq in connection.scalars(seqs) if seq not in but][: most - 1]
    for table in (head, part):
        connection.execute(delete(table).where(table.c.market == market, table.c.seq.not_in(kept)))


def known_state(
    database: Database, name: str, *, told: Callable[[LiveState, Event], None] | None = None
) -> tuple[LiveState, Held]:
    """Return the state of a live market: its newest snapshot that can be used, and the events after it.

    Parameters
    ----------
    database : open for reading
    name : of the market
    told : called with the state after each event and the event; every event is then gone through

    Raises
    ------
    DamagedEvent
        naming an event that cannot be read.
    """
    state, held = (LiveState(), Held()) if told is not None else _begin(database, database.head(name).market)
    for event in database.events(name, after=state.events):
        apply(state, event)
        held.note(state.events, event)
        if told is not None:
            told(state, event)
        if state.events % TIDY == 0:
            _, seqs = encode_state(state, held)
            held.forget(seqs, before=state.events)
    return state, held


def _begin(database: Database, market: int) -> tuple[LiveState, Held]:
    """Return the state of the newest snapshot that can be used; that before the first event without one."""
    for snapshot in snapshots_of(database, market):
        if snapshot.version != state_version():
            continue
        try:
            state, held = decode_state(snapshot.body, lambda seqs: _events(database, market, seqs))
        except DamagedEvent:
            continue
        if state.events == snapshot.seq:
            return state, held
    return LiveState(), Held()


def _events(database: Database, market: int, seqs: list[int]) -> dict[int, Event]:
    column = tables.events.c
    asked = select(column.seq, column.body).where(column.market == market, column.seq.in_(seqs))
    with database.reading() as connection:
        return {int(seq): decode(bytes(body)) for seq, body in connection.execute(asked)}


def snapshot_findings(database: Database, name: str, *, progress: Callable[..., None] = quiet) -> list[str]:
    """Compare the newest snapshot of a live market with the fold of its events; return what differs.

    A snapshot of another version of the program is not looked at, since it is never used.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.adapters.sql.store import SqlStore
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     store = SqlStore(database, "village")
    ...     snapshot_findings(database, "village")
    []
    """
    market = database.head(name).market
    fitting = (one for one in snapshots_of(database, market) if one.version == state_version())
    snapshot = next(fitting, None)
    if snapshot is None:
        return []
    state, held = LiveState(), Held()
    for stored in database.stored(name):
        event = decode(stored.body)
        apply(state, event)
        held.note(stored.seq, event)
        if stored.seq % TIDY == 0:
            held.forget(encode_state(state, held)[1], before=stored.seq)
        if stored.seq % 100 == 0:
            progress(stored.seq, snapshot.seq, "folding events")
        if stored.seq == snapshot.seq:
            break
    if encode_state(state, held)[0] == snapshot.body:
        return []
    return [f"the snapshot after event {snapshot.seq} is not the fold of the events"]
