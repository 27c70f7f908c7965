"""The store of one market: appends events, and in the same transaction what is made from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, bindparam, func, insert, select, update

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.codec import decode, encode
from gridagora.adapters.sql.database import Database, Progress, page_of, quiet
from gridagora.adapters.sql.locks import lock_market, lock_schema
from gridagora.adapters.sql.made import Names, Rows
from gridagora.adapters.sql.projections import VERSION, project
from gridagora.adapters.sql.rows import insert_rows, write_rows
from gridagora.errors import CommandConflict, StoreError
from gridagora.model.events import GENESIS, CommandsAnswered, Event, chain_hash

MOST_KEYS = 500
"""Idempotency keys that are looked up in one statement."""


_KNOWN = select(*tables.commands.c["key", "request", "first_seq", "last_seq", "answer"]).where(
    tables.commands.c.market == bindparam("of"),
    tables.commands.c.key.in_(bindparam("some", expanding=True)),
)
"""What was answered under some keys; made once, since making a statement takes longer than asking it."""

_MOVE = (
    update(tables.heads)
    .where(
        tables.heads.c.market == bindparam("of"),
        tables.heads.c.seq == bindparam("here"),
        tables.heads.c.hash == bindparam("hashed"),
    )
    .values(seq=bindparam("seq"), hash=bindparam("hash"))
)
"""Moves the head of a market on, from where this program knows it to be and from nowhere else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a command leads to: its events, and the answer to whoever gave it.

    Parameters
    ----------
    events : what happened; may be none, where a command was refused
    answer : text, as a rule JSON, that the same command gets again whenever it is repeated
    key : idempotency key of the command, "" for none; kept for ever
    request : hash of the command, so that the same key for another command is refused
    rows : that are written with the events, of tables that are not made from events alone
    """

    events: tuple[Event, ...] = ()
    answer: str = ""
    key: str = ""
    request: bytes = b""
    rows: tuple[Rows, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What was kept: numbers of the first and the last event (last < first: none), and the answer.

    ``repeated`` tells that the command had been carried out before and nothing was done now.
    """

    first: int
    last: int
    answer: str
    repeated: bool = False


class SqlStore:
    """Keeps the events of one market in a database; implements `gridagora.engine.ports.Store`.

    All of an append is kept or nothing: events, read tables and answers stand in one transaction, and when
    `append` returns they are on disk.  Where commands had keys, the last event of a transaction is a
    `CommandsAnswered` that binds keys, requests and answers into the chain.

    Parameters
    ----------
    database : open for writing
    name : name of the market; a new one is begun

    Raises
    ------
    StoreError
        when another program, or another store of this one, writes the market.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gridagora.model.events import StudyOpened
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     store = SqlStore(database, "village")
    ...     store.append([StudyOpened(at=0, name="a", seed=0, participants=("x",), rules="")])
    ...     len(list(store.events())), len(store.head())
    (1, 64)
    """

    def __init__(self, database: Database, name: str, *, progress: Progress = quiet) -> None:
        self.database = database
        self.name = name
        with database.looking() as connection:
            self._market = _find_or_begin(connection, name)
        with database.looking() as connection:
            if connection.dialect.name == "postgresql":
                lock_market(connection, self._market, name)
            heads, projected = tables.heads.c, tables.projected.c
            head = connection.execute(select(heads.seq, heads.hash).where(heads.market == self._market)).one()
            self._seq, self._hash = int(head.seq), bytes(head.hash)
            self._at = _last_moment(connection, self._market, self._seq)
            made = connection.execute(
                select(projected.version, projected.seq, projected.names).where(
                    projected.market == self._market
                )
            ).first()
        if made is not None and (made.version, made.seq) == (VERSION, self._seq):
            self._names = Names.from_json(made.names)
        else:
            self.rebuild(progress=progress)
        self._answered: tuple[int, CommandsAnswered] | None = None
        database.claim(name)

    # --- the store of the engine ------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> None:
        """Keep the events, all or none, after those already kept; return when they are on disk."""
        self.keep([Decision(events=tuple(events))])

    def events(self) -> Iterator[Event]:
        """Yield all events in the order they were kept."""
        return self.database.events(self.name)

    def head(self) -> str:
        """Return the hash of the last event in hexadecimal."""
        return self._hash.hex()

    @property
    def count(self) -> int:
        """Number of events that are kept."""
        return self._seq

    @property
    def answered(self) -> tuple[int, CommandsAnswered] | None:
        """Number and event of the answers of the last transaction; None where no command had a key."""
        return self._answered

    # --- commands ---------------------------------------------------------------------------------

    def keep(self, decisions: Sequence[Decision]) -> list[Receipt]:
        """Keep what commands led to in one transaction; return the receipts, in their order.

        Raises
        ------
        StoreError
            when nothing of it was kept; the database then takes no more writes until it is opened anew.
        TypeError, InvariantError
            for events that cannot be kept; nothing was written, and others can be.
        """
        with self.database.alone:
            batch = self._stage(decisions)
            if batch.seq > self._seq:
                with self.database.writing() as connection:
                    self._write(connection, batch)
            self._seq, self._hash, self._names, self._at = batch.seq, batch.hash, batch.names, batch.at
            self._answered = batch.answered
        return batch.receipts

    def receipts(self, keys: Sequence[str]) -> dict[str, tuple[bytes, Receipt]]:
        """Return, for each idempotency key that was used before, the hash of its request and its receipt."""
        found = {}
        with self.database.looking() as connection:
            for first in range(0, len(keys), MOST_KEYS):
                some = {"of": self._market, "some": keys[first : first + MOST_KEYS]}
                for key, request, start, end, answer in connection.execute(_KNOWN, some):
                    receipt = Receipt(first=start, last=end, answer=answer, repeated=True)
                    found[key] = (bytes(request), receipt)
        return found

    def receipt(self, key: str, request: bytes) -> Receipt | None:
        """Return the receipt of a command that was carried out before, None for a new one.

        Raises
        ------
        CommandConflict
            when the key was used for another request.
        """
        found = self.receipts([key]).get(key)
        return None if found is None else same_request(key, request, found)

    # --- inside -----------------------------------------------------------------------------------

    def _stage(self, decisions: Sequence[Decision]) -> "_Batch":
        """Work out all that is to be written; nothing is changed yet."""
        batch = _Batch(self._market, self._seq, self._hash, names=self._names, at=self._at)
        for decision in decisions:
            first = batch.seq + 1
            for event in decision.events:
                batch.add(event)
            batch.rows.extend(decision.rows)
            batch.receipts.append(Receipt(first=first, last=batch.seq, answer=decision.answer))
        batch.answer(decisions)
        return batch

    def _write(self, connection: Connection, batch: "_Batch") -> None:
        projected = tables.projected
        here = {"of": self._market, "here": self._seq, "hashed": self._hash}
        moved = connection.execute(_MOVE, here | {"seq": batch.seq, "hash": batch.hash})
        if moved.rowcount != 1:
            raise StoreError(f"another program has written the market {self.name!r}; nothing was written")
        insert_rows(connection, tables.events, names=_names_of(tables.events), rows=batch.events)
        write_rows(connection, self._market, batch.rows)
        made: dict[str, object] = {"seq": batch.seq}
        if batch.names is not self._names:  # long in a live market, and seldom another
            made["names"] = batch.names.to_json()
        connection.execute(update(projected).where(projected.c.market == self._market).values(made))

    def rebuild(self, *, progress: Progress = quiet) -> None:
        """Make the read tables of the market anew from its events, in one transaction."""
        with self.database.writing() as connection:
            for table in (*reversed(tables.READ_TABLES), tables.projected):
                connection.execute(table.delete().where(table.c.market == self._market))
            seq, names = 0, Names()
            while page := page_of(connection, self._market, seq):
                rows: list[Rows] = []
                for stored in page:
                    seq = stored.seq
                    made, names = project(decode(stored.body), seq, names)
                    rows.extend(made)
                write_rows(connection, self._market, rows)
                progress(seq, self._seq, "making read tables")
            connection.execute(
                insert(tables.projected).values(
                    market=self._market, version=VERSION, seq=seq, names=names.to_json()
                )
            )
        self._names = names


class _Batch:
    """What one transaction writes, and where the market stands after it."""

    def __init__(self, market: int, seq: int, hashed: bytes, *, names: Names, at: int) -> None:
        self.seq, self.hash, self.names, self.at = seq, hashed, names, at
        self.events: list[tuple[object, ...]] = []
        self.rows: list[Rows] = []
        self.receipts: list[Receipt] = []
        self.answered: tuple[int, CommandsAnswered] | None = None
        self._market = market

    def add(self, event: Event) -> None:
        """Add an event behind those that are there, with the rows that it makes."""
        self.seq, self.hash, self.at = self.seq + 1, chain_hash(self.hash, event), event.at
        made, self.names = project(event, self.seq, self.names)
        self.rows.extend(made)
        row = (self._market, self.seq, event.at, type(event).__name__, encode(event), self.hash)
        self.events.append(row)

    def answer(self, decisions: Sequence[Decision]) -> None:
        """Add what the commands with keys were answered, where there are any."""
        keyed = [pair for pair in zip(decisions, self.receipts, strict=True) if pair[0].key]
        if not keyed:
            return
        event = CommandsAnswered(
            at=self.at,
            key=tuple(decision.key for decision, _ in keyed),
            request=np.frombuffer(b"".join(decision.request for decision, _ in keyed), np.uint8),
            length=np.array([len(decision.request) for decision, _ in keyed], np.int64),
            first=np.array([receipt.first for _, receipt in keyed], np.int64),
            last=np.array([receipt.last for _, receipt in keyed], np.int64),
            answer=tuple(receipt.answer for _, receipt in keyed),
        )
        self.add(event)
        self.answered = (self.seq, event)


def same_request(key: str, request: bytes, found: tuple[bytes, Receipt]) -> Receipt:
    """Return the receipt that a key has, or raise `CommandConflict` if its request was another."""
    known, receipt = found
    if known != request:
        raise CommandConflict(f"the idempotency key {key!r} was used before, for another request")
    return receipt


def _names_of(table: object) -> list[str]:
    return [column.name for column in table.columns]  # type: ignore[attr-defined]


def _last_moment(connection: Connection, market: int, seq: int) -> int:
    """Return the moment of an event, 0 before the first."""
    event = tables.events.c
    found = connection.scalar(select(event.at).where(event.market == market, event.seq == seq))
    return 0 if found is None else int(found)


def _find_or_begin(connection: Connection, name: str) -> int:
    """Return the number of a market; begin it, with no events, where there is none of this name."""
    heads = tables.heads
    if connection.dialect.name == "postgresql":
        lock_schema(connection)
    found = connection.scalar(select(heads.c.market).where(heads.c.name == name))
    if found is not None:
        return int(found)
    market = int(connection.scalar(select(func.coalesce(func.max(heads.c.market), 0))) or 0) + 1
    connection.execute(insert(heads).values(market=market, name=name, seq=0, hash=GENESIS))
    connection.execute(
        insert(tables.projected).values(market=market, version=VERSION, seq=0, names=Names().to_json())
    )
    return market
