"""Meter readings over MQTT into a live market: a message is confirmed when what it says is on the disk.

Each message is one command with a key of its own, so that a message that comes again, because its
confirmation was lost, has no second effect.  What the rules of meter data refuse, and what cannot be read, is
noted for the participant concerned; what comes of points that nobody registered is only counted and logged,
so that strangers cannot fill the log of events.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread
from typing import Any, Protocol, TypeVar

import numpy as np

from gridagora.adapters.meters.messages import read_message
from gridagora.adapters.meters.mqtt import Broker, collect
from gridagora.adapters.sql.store import Receipt
from gridagora.engine.live.commands import LiveCommand, NoteFindings, TakeReadings
from gridagora.engine.live.metered import MeterFacts, Sound, facts_of, sound_readings
from gridagora.engine.live.refusals import plain_text
from gridagora.engine.live.state import LiveState
from gridagora.errors import Fault, GridAgoraError, InputError

SOURCE = "mqtt"
"""Source of readings that came so."""

MOST_FINDINGS = 50
"""Findings of one message that are noted."""

AGAIN_S = 5.0
"""Real seconds until a broker that cannot be reached, or a market that others write, is tried again."""

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class Writer(Protocol):
    """What the listener needs of `gridagora.adapters.live.LiveRunner`."""

    @property
    def writes(self) -> bool:
        """Whether this program is the one that writes the market."""

    def ask(self, question: Callable[[LiveState], Answer]) -> Answer:
        """Return what a question finds in the state."""

    def submit(self, command: LiveCommand, *, key: str = "", request: bytes = b"") -> "Future[Receipt]":
        """Hand in a command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    """A message as it came, and the names that it is called by."""

    point: str
    payload: bytes

    @property
    def digest(self) -> str:
        """Name of the message: the same whenever it comes."""
        return hashlib.sha256(self.point.encode("utf-8", "replace") + b"\n" + self.payload).hexdigest()


class MeterListener:
    """Listens to a broker in a thread of its own, while this program writes the market.

    Parameters
    ----------
    broker : where to listen
    runner : of the market
    now : the market's moment, s
    client_id : name of the session at the broker; the same after each start, so that nothing is missed

    Examples
    --------
    `gridagora serve --broker mqtt://localhost` starts one.
    """

    def __init__(self, broker: Broker, runner: Writer, now: Callable[[], int], *, client_id: str) -> None:
        self._broker, self._runner, self._now, self._client_id = broker, runner, now, client_id
        self._stop = Flag()
        self._told = ""
        self._counts = {"messages": 0, "readings": 0, "findings": 0, "unknown": 0}
        self._thread = Thread(target=self._work, name="meter listener", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """Return what is to be known: the connection, and what came since the start."""
        return {"connection": self._told, **self._counts}

    def close(self) -> None:
        """Stop; what was not confirmed stays with the broker and comes at the next start."""
        self._stop.set()
        self._thread.join()

    # --- the thread -------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stop.is_set():
            if self._runner.writes:
                try:
                    collect(
                        self._broker,
                        self.keep,
                        client_id=self._client_id,
                        stop=lambda: self._stop.is_set() or not self._runner.writes,
                        notice=self._notice,
                    )
                except GridAgoraError as error:
                    self._notice(str(error))
                except Exception:
                    self._notice("stopped by a defect; trying again")
                    log.exception("meter listener")
            self._stop.wait(AGAIN_S)

    def _notice(self, text: str) -> None:
        self._told = text
        log.warning("meter listener: %s", text)

    def keep(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Keep messages, (point, payload) each; what they say is on the disk when this returns.

        Raises
        ------
        GridAgoraError
            The market cannot be reached: the messages are to come again.
        """
        at = self._now()
        points = {point for point, _ in messages}
        facts = self._runner.ask(lambda state: facts_of(state, points, at))
        waiting: list[tuple[_Message, TakeReadings, Future[Receipt]]] = []
        notes: list[Future[Receipt]] = []
        for point, payload in messages:
            message = _Message(point=point, payload=payload)
            if point not in facts.participant:
                self._counts["unknown"] += 1
                log.warning("meter listener: a message of the unknown point %s", ascii(point)[:80])
                continue
            sound, refused = _read(message, facts, at=at)
            if sound.command is not None:
                handed = self._hand_in(sound.command, message, "readings")
                waiting.append((message, sound.command, handed))
            notes += self._noted(message, facts, told=[*_told(sound), *_refused(refused)], at=at)
        for message, command, future in waiting:
            faults = _outcome(future)
            if faults:
                notes += self._noted(message, facts, told=list(_refused(faults)), at=at)
            else:
                self._counts["readings"] += len(command.period)
        for future in notes:
            _outcome(future)
        self._counts["messages"] += len(messages)

    def _hand_in(self, command: LiveCommand, message: _Message, what: str) -> "Future[Receipt]":
        """Hand in a command under the key of its message; the same message is the same request."""
        digest = message.digest
        return self._runner.submit(command, key=f"{SOURCE}/{digest}/{what}", request=bytes.fromhex(digest))

    def _noted(
        self, message: _Message, facts: MeterFacts, *, told: list[tuple[int, str, str]], at: int
    ) -> "list[Future[Receipt]]":
        """Note findings, (moment, rule, words) each, for the participant of a message."""
        if not told:
            return []
        self._counts["findings"] += len(told)
        some = told[:MOST_FINDINGS]
        command = NoteFindings(
            at=at,
            actor=SOURCE,
            source=SOURCE,
            participant=(facts.participant[message.point],) * len(some),
            start=np.array([moment for moment, _, _ in some], np.int64),
            rule=tuple(rule for _, rule, _ in some),
            told=tuple(plain_text(words) for _, _, words in some),
        )
        return [self._hand_in(command, message, "findings")]


def _read(message: _Message, facts: MeterFacts, *, at: int) -> tuple[Sound, list[Fault]]:
    """Read a message by the rules of meter data."""
    readings, refused = read_message(
        message.point, message.payload, received=np.datetime64(at, "s"), keys=facts.keys
    )
    if not len(readings):
        return Sound(command=None, findings=()), refused
    return sound_readings(readings, facts, at=at, actor=SOURCE, source=SOURCE), refused


def _outcome(future: "Future[Receipt]") -> Sequence[Fault]:
    """Wait until a command is on the disk; return why it was refused."""
    try:
        future.result()
    except InputError as error:
        return error.faults
    return ()


def _told(sound: Sound) -> Iterator[tuple[int, str, str]]:
    for found in sound.findings:
        yield int(found.start.astype("datetime64[s]").astype(np.int64)), found.rule, str(found)


def _refused(faults: Sequence[Fault]) -> Iterator[tuple[int, str, str]]:
    for fault in faults:
        yield 0, fault.code or "refused", f"{fault.place}: {fault.reason}; {fault.fix}"
