"""Several programs, one market: commands go through a table to the one that writes, answers come back.

A command waits in the table until the writer has carried it out; when the writer dies the next one goes on
with what waits.  Each has a key of its own, kept for ever with the market, so nothing is done twice.
"""

import json
import time
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import fields, replace
from functools import cache
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Any, cast, get_args, get_origin, get_type_hints
from uuid import uuid4

import numpy as np
from sqlalchemy import bindparam, delete, insert, select, update

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.codec import decode_command, encode
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import Receipt
from gridagora.engine.flexibility.commands import SubmitFlexBids, SubmitFlexOrder
from gridagora.engine.live.commands import LiveCommand
from gridagora.engine.live.flex_commands import RequestFlexibility
from gridagora.errors import CommandConflict, Fault, GridAgoraError, InputError, StoreError
from gridagora.model.bids import Bids
from gridagora.model.continuous import FlexBid

MOST = 512
"""Commands that are fetched at a time."""

PAUSE_S = 0.004
"""Between two looks at the table while something is expected."""

FORGET_S = 3600
"""Answers that nobody fetched for so long are dropped."""


def told(error: BaseException | None, receipt: Receipt | None) -> str:
    """Return an outcome as JSON text.

    >>> told(None, Receipt(first=1, last=2, answer="a"))
    '{"receipt": [1, 2, "a", false]}'
    """
    if receipt is not None:
        return json.dumps({"receipt": [receipt.first, receipt.last, receipt.answer, receipt.repeated]})
    if isinstance(error, InputError):
        names = ("source", "place", "reason", "fix", "code")
        faults = [{n: getattr(f, n) for n in names} | {"value": _plain(f.value)} for f in error.faults]
        return json.dumps({"faults": faults})
    kind = "conflict" if isinstance(error, CommandConflict) else "error"
    return json.dumps({kind: str(error)})


def outcome(text: str) -> Receipt:
    """Return the receipt of an outcome, or raise the error that it tells.

    >>> outcome(told(None, Receipt(first=1, last=2, answer="a"))).last
    2
    """
    said = json.loads(text)
    if "receipt" in said:
        first, last, answer, repeated = said["receipt"]
        return Receipt(first=first, last=last, answer=answer, repeated=repeated)
    if "faults" in said:
        raise InputError(Fault(**fault) for fault in said["faults"])
    if "conflict" in said:
        raise CommandConflict(said["conflict"])
    raise StoreError(said["error"])


def packed(command: LiveCommand) -> bytes:
    """Return a command as bytes; lists become arrays, mappings pairs, columns of flexibility what they mean.

    Raises
    ------
    InputError
        for columns of flexibility bids or orders with faults.
    """
    changed: dict[str, Any] = {}
    for field in fields(command):
        value = getattr(command, field.name)
        if isinstance(value, list):
            changed[field.name] = np.asarray(value)
        elif isinstance(command, SubmitFlexOrder) and isinstance(value, Mapping):
            changed[field.name] = FlexBid(**value)
        elif isinstance(command, SubmitFlexBids | RequestFlexibility) and isinstance(value, Mapping):
            changed[field.name] = Bids(**value)
        elif isinstance(value, Mapping):
            changed[field.name] = tuple((name, _held(part)) for name, part in value.items())
    return encode(replace(command, **changed))


def unpacked(body: bytes) -> LiveCommand:
    """Return the command of bytes that `packed` made, its mappings as they were.

    >>> from gridagora.engine.flexibility.commands import DecideTender
    >>> unpacked(packed(DecideTender(at=0, tender="winter", rejected={"ann": "late"}))).rejected
    {'ann': 'late'}
    """
    command = decode_command(body)
    changed: dict[str, Any] = {}
    for name in _mappings(cast("Hashable", type(command))):
        value = getattr(command, name)
        if isinstance(value, tuple):
            changed[name] = dict(value)
    return replace(command, **changed)


@cache
def _mappings(kind: Hashable) -> tuple[str, ...]:
    """Return the fields of a command that can hold a mapping."""
    found = get_type_hints(kind).items()
    return tuple(
        name for name, hint in found if Mapping in {get_origin(one) for one in (hint, *get_args(hint))}
    )


def _held(value: Any) -> Any:
    """Return what a mapping holds as events can: a list is an array."""
    return np.asarray(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class Inbox:
    """The table of one market.

    Parameters
    ----------
    database : open for writing
    market : number of the market in it
    """

    def __init__(self, database: Database, market: int) -> None:
        self._database = database
        self._market = market

    def put(self, rows: Sequence[tuple[str, str, str, bytes]]) -> None:
        """Hand in commands: id, runner, key and body of each."""
        now = time.time_ns()
        with self._database.looking() as connection:
            connection.execute(
                insert(tables.inbox),
                [
                    {
                        "market": self._market,
                        "id": id_,
                        "place": now + k,
                        "runner": runner,
                        "key": key,
                        "body": body,
                        "done": 0,
                        "answer": "",
                    }
                    for k, (id_, runner, key, body) in enumerate(rows)
                ],
            )

    def waiting(self) -> list[tuple[str, str, bytes]]:
        """Return commands without an answer, oldest first: id, key and body."""
        column = tables.inbox.c
        asked = select(column.id, column.key, column.body).where(
            column.market == self._market, column.done == 0
        )
        with self._database.looking() as connection:
            found = connection.execute(asked.order_by(column.place).limit(MOST)).all()
        return [(id_, key, bytes(body)) for id_, key, body in found]

    def answer(self, answers: Sequence[tuple[str, str]]) -> None:
        """Keep the answers of commands, by id; drop those that were never fetched."""
        column = tables.inbox.c
        change = update(tables.inbox).where(column.market == self._market, column.id == bindparam("which"))
        late = time.time_ns() - FORGET_S * 10**9
        with self._database.looking() as connection:
            connection.execute(
                change.values(done=1, answer=bindparam("said")),
                [{"which": id_, "said": text} for id_, text in answers],
            )
            connection.execute(
                delete(tables.inbox).where(
                    column.market == self._market, column.done == 1, column.place < late
                )
            )

    def fetch(self, runner: str) -> list[tuple[str, str]]:
        """Take the answers to the commands of a runner out: id and answer."""
        column = tables.inbox.c
        mine = (column.market == self._market, column.runner == runner, column.done == 1)
        with self._database.looking() as connection:
            found = connection.execute(select(column.id, column.answer).where(*mine)).all()
            if found:
                ids = [id_ for id_, _ in found]
                connection.execute(delete(tables.inbox).where(*mine, column.id.in_(ids)))
        return [(id_, answer) for id_, answer in found]


class Post:
    """Sends commands to whoever writes the market, and brings the answers: one thread for both.

    What was handed in stays in the table if this program ends; what waits here for an answer is answered
    with an error when the table cannot be reached.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._runner = uuid4().hex
        self._out: SimpleQueue[tuple[str, str, bytes, Future[Receipt]] | None] = SimpleQueue()
        self._pending: dict[str, Future[Receipt]] = {}
        self._failed: str | None = None
        self._thread = Thread(target=self._work, name="live post", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether the table could be reached up to now."""
        return self._failed is None

    def send(self, command: LiveCommand, key: str, request: bytes) -> "Future[Receipt]":
        """Hand in a command, its key and the hash of its request; the future has what the writer answers."""
        answer: Future[Receipt] = Future()
        answer.set_running_or_notify_cancel()
        if self._failed is not None:
            answer.set_exception(StoreError(self._failed))
            return answer
        try:
            body = bytes([len(request)]) + request + packed(command)
            self._out.put((uuid4().hex, key, body, answer))
        except InputError as error:
            answer.set_exception(error)
        return answer

    def close(self) -> None:
        """Wait for no more answers."""
        self._out.put(None)
        self._thread.join()

    def _work(self) -> None:
        open_ = True
        try:
            while open_:
                open_ = self._send_what_waits()
                for id_, text in self._inbox.fetch(self._runner) if self._pending else ():
                    _settle(self._pending.pop(id_, None), text)
            reason = "this program stops; ask another one with the same key"
        except GridAgoraError as error:
            reason = str(error)
        self._failed = reason
        while not self._out.empty():
            late = self._out.get()
            if late is not None:
                self._pending[late[0]] = late[3]
        for future in self._pending.values():
            future.set_exception(StoreError(reason))

    def _send_what_waits(self) -> bool:
        """Hand in what came since; wait a moment where nothing did; False after the last."""
        batch = []
        try:
            one = self._out.get(timeout=PAUSE_S if self._pending else 1.0)
            while one is not None:
                batch.append(one)
                self._pending[one[0]] = one[3]
                if len(batch) >= MOST:
                    break
                one = self._out.get_nowait()
            else:
                return False
        except Empty:
            pass
        if batch:
            self._inbox.put([(id_, self._runner, key, body) for id_, key, body, _ in batch])
        return True


def _settle(future: "Future[Receipt] | None", text: str) -> None:
    if future is None:
        return
    try:
        future.set_result(outcome(text))
    except GridAgoraError as error:
        future.set_exception(error)


class Desk:
    """Carries out what waits in the table, in the program that writes: one thread.

    Parameters
    ----------
    inbox : the table
    submit : hands a command to the market with its key and the hash of its request
    """

    def __init__(self, inbox: Inbox, submit: Any) -> None:
        self._inbox, self._submit = inbox, submit
        self._stop = Flag()
        self._taken: set[str] = set()
        self._answers: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._thread = Thread(target=self._work, name="live desk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Carry out nothing more."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                busy = self._take()
                busy = self._give() or busy
                self._stop.wait(PAUSE_S if busy or self._taken else 5 * PAUSE_S)
        except GridAgoraError:
            self._stop.set()  # the database is gone: the runner finds that out by itself

    def _take(self) -> bool:
        found = [row for row in self._inbox.waiting() if row[0] not in self._taken]
        for id_, key, body in found:
            self._taken.add(id_)
            try:
                end = 1 + body[0]  # first the hash of what was asked with the key, and its length
                request, command = body[1:end], unpacked(body[end:])
                future = self._submit(command, key or f"inbox:{id_}", request)
            except GridAgoraError as error:
                self._answers.put((id_, told(error, None)))
                continue
            future.add_done_callback(lambda done, id_=id_: self._done(id_, done))
        return bool(found)

    def _done(self, id_: str, future: "Future[Receipt]") -> None:
        error = future.exception()
        if isinstance(error, StoreError) and not isinstance(error, CommandConflict):
            return  # not carried out: whoever writes next finds it in the table
        self._answers.put((id_, told(error, None if error else future.result())))

    def _give(self) -> bool:
        answers = []
        while not self._answers.empty():
            answers.append(self._answers.get())
        if answers:
            self._inbox.answer(answers)
            self._taken.difference_update(id_ for id_, _ in answers)
        return bool(answers)
