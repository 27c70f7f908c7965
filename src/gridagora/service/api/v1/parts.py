"""Bodies of very many rows: a job takes them part by part, so that others are served between two parts.

Each row stands for itself: what is refused is told with its place, all else is taken.  Every part is a
command with a key of its own made from that of the request.  A request that is sent again after the service
was stopped goes on where it was, and nothing is taken twice.
"""

import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from gridagora.engine.live.commands import SubmitBids, TakeReadings
from gridagora.errors import Fault, InputError
from gridagora.service.api.v1.tools import Live, utc
from gridagora.service.headers import Command
from gridagora.service.jobs import Progress
from gridagora.service.problems import of_fault, of_validation

PART = 500
"""Rows of one command: what single bids wait for at most."""

LONGEST_REST_S = 0.2

SLICE = 250
"""Rows whose form is checked at once: so long other threads wait."""

MOST_TOLD = 10_000
"""Refused rows that the result tells one by one; it counts all."""

COLUMNS: Mapping[type, tuple[str, ...]] = {
    TakeReadings: ("participant", "period", "import_wh", "export_wh", "quality"),
    SubmitBids: ("period", "side", "price", "quantity"),
}
"""Columns of commands that are taken in parts."""

Columns = TakeReadings | SubmitBids
_ROW = re.compile(r"(?P<column>\w+)\[(?P<row>\d+)\]")


class Tally:
    """What became of the rows of a body: counts, and the rows that were refused.

    ``left_out`` counts readings that the rules of meter data do not use.
    """

    def __init__(self, *, total: int) -> None:
        self.total = total
        self.taken = self.refused = self.left_out = self.at = 0
        self.errors: list[dict[str, Any]] = []

    def refuse(self, told: Iterable[dict[str, Any]], *, rows: int) -> None:
        """Note rows as refused, with the faults that are told of them."""
        self.refused += rows
        self.errors += list(told)[: MOST_TOLD - len(self.errors)]

    def document(self) -> dict[str, Any]:
        """Return the result of a job."""
        return {
            "rows": self.total,
            "taken": self.taken,
            "refused": self.refused,
            "left_out": self.left_out,
            "at": utc(self.at).isoformat() if self.at else None,
            "errors": self.errors,
        }


def sound_rows(
    adapter: TypeAdapter[Any], rows: Sequence[Any], place: str, *, tally: Tally
) -> tuple[list[Any], list[int]]:
    """Return the rows whose form is right, and their numbers; the others are noted as refused."""
    good: list[Any] = []
    numbers: list[int] = []
    for first in range(0, len(rows), SLICE):
        part = rows[first : first + SLICE]
        try:
            good += adapter.validate_python(part)
            numbers += range(first, first + len(part))
        except ValidationError as error:
            wrong: dict[int, list[dict[str, Any]]] = {}
            for one in error.errors():
                row, *inner = one["loc"]
                told = {**one, "loc": (f"{place}[{first + int(row)}]", *inner)}
                wrong.setdefault(int(row), []).append(of_validation(told))
            left = [row for row in range(len(part)) if row not in wrong]
            tally.refuse((told for row in sorted(wrong) for told in wrong[row]), rows=len(wrong))
            good += adapter.validate_python([part[row] for row in left])
            numbers += [first + row for row in left]
    return good, numbers


def take_in_parts(
    live: Live,
    command: Columns,
    repeat: Command,
    *,
    place_of: Callable[[int], str],
    tally: Tally,
    progress: Progress,
) -> None:
    """Have the rows of a command taken, part by part; called in a thread.

    Parameters
    ----------
    live : the market
    command : with all rows
    repeat : key and hash of the request
    place_of : name of a row by its number in the command, for what is told of it
    tally : counts, to which is added
    progress : is told rows
    """
    key, count = repeat.key or uuid.uuid4().hex, len(command.period)
    for part, first in enumerate(range(0, count, PART)):
        progress(tally.taken + tally.refused, tally.total)
        rows = np.arange(first, min(count, first + PART))
        begun = time.monotonic()
        _take_part(live, command, rows, key=f"{key}/{part}", request=repeat.request, place_of=place_of,
                   tally=tally)  # fmt: skip
        time.sleep(min(LONGEST_REST_S, time.monotonic() - begun))  # the other half of the time is others'


def _take_part(
    live: Live,
    command: Columns,
    rows: "np.ndarray[Any, Any]",
    *,
    key: str,
    request: bytes,
    place_of: Callable[[int], str],
    tally: Tally,
) -> None:
    """Have rows taken; what is refused is left out and the others are sent again."""
    while len(rows):
        try:
            done = live.market.submit(_rows_of(command, rows, live.now()), key=key, request=request).result()
        except InputError as error:
            wrong = _wrong(command, error.faults, rows)
            tally.refuse(_told(error.faults, rows, place_of), rows=len(wrong))
            rows = np.setdiff1d(rows, wrong)
            continue
        event: Any = done.events[0]  # of these commands it has columns
        tally.taken += len(event.period)
        tally.at = event.at
        if not done.repeated:
            return
        rows, key = _left_out(command, rows, event), f"{key}+"


def _rows_of(command: Columns, rows: "np.ndarray[Any, Any]", at: int) -> Columns:
    """Return a command for some rows, which names nobody else than these do."""
    columns: dict[str, Any] = {
        name: np.asarray(getattr(command, name))[rows] for name in COLUMNS[type(command)]
    }
    if isinstance(command, TakeReadings):
        codes, columns["participant"] = np.unique(columns["participant"], return_inverse=True)
        columns["participants"] = tuple(command.participants[code] for code in codes.tolist())
    return replace(command, at=at, **columns)


def _wrong(command: Columns, faults: Iterable[Fault], rows: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return the rows that faults name; all where a fault is about no single row."""
    found: set[int] = set()
    for fault in faults:
        named = _ROW.fullmatch(fault.place)
        if named is None or named["column"] not in COLUMNS[type(command)]:
            return rows
        found.add(int(named["row"]))
    return np.asarray(rows[sorted(found)])


def _told(
    faults: Iterable[Fault], rows: "np.ndarray[Any, Any]", place_of: Callable[[int], str]
) -> Iterator[dict[str, Any]]:
    for fault in faults:
        named = _ROW.fullmatch(fault.place)
        row = None if named is None or named["column"] == "participants" else int(named["row"])
        if row is None:
            place = f"{place_of(int(rows[0]))} to {place_of(int(rows[-1]))}"
        else:
            place = f"{place_of(int(rows[row]))}.{named['column'] if named else ''}"
        yield of_fault(fault) | {"place": place}


def _left_out(command: Columns, rows: "np.ndarray[Any, Any]", event: Any) -> "np.ndarray[Any, Any]":
    """Return the rows that an event of the same request, carried out before, does not hold."""
    there = Counter(_held(command, event, np.arange(len(event.period))))
    left = []
    for row, held in zip(rows.tolist(), _held(command, command, rows), strict=True):
        if there[held]:
            there[held] -= 1
        else:
            left.append(row)
    return np.array(left, np.int64)


def _held(command: Columns, told: Any, rows: "np.ndarray[Any, Any]") -> Iterator[tuple[Any, ...]]:
    """Return what rows of a command, or of its event, say, participants by name."""
    columns = [np.asarray(getattr(told, name))[rows].tolist() for name in COLUMNS[type(command)]]
    if isinstance(command, TakeReadings):
        columns[0] = [told.participants[code] for code in columns[0]]
    return zip(*columns, strict=True)
