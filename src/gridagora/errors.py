"""The exception tree of GridAgora.

::

    GridAgoraError
    ├── InputError        bad input: carries every fault found, each with place, value, reason and fix
    ├── SolverError       an optimisation has no answer: infeasible, unbounded or failed
    │   └── InfeasibleMarket   a market whose conditions and limits exclude each other: names some that do
    ├── StoreError        a database that cannot be used: missing, foreign, newer, locked, full or gone
    │   ├── DamagedEvent      stored bytes that are no event, or not those that were appended
    │   ├── CommandConflict   an idempotency key that was used before, for something else
    │   └── MarketTaken       another program writes the market; one at a time may
    └── InvariantError    a rule that must always hold was broken: a defect of ours, the run stops

Bad input is reported all at once, never one fault a time and never silently mended.
"""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN_FAULTS = 50
"""How many faults the text of an `InputError` tells; ``faults`` holds them all."""


class GridAgoraError(Exception):
    """Root of all errors raised on purpose by GridAgora."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault of an input: where it is, what stands there, why it is wrong and what mends it.

    Parameters
    ----------
    source : file or object, e.g. ``"village.yaml"`` or ``"bids"``
    place : row, key or element, e.g. ``"row 17"`` or ``"market.mechanism"``
    value : what was found
    reason : why it cannot be used
    fix : what to write instead
    code : a stable word for programs, e.g. ``"gate_closed"``; "" where there is none

    Examples
    --------
    >>> print(Fault(source="bids", place="row 3", value=-1.0, reason="quantity is negative", fix="use side"))
    bids, row 3: quantity is negative (found -1.0); use side
    """

    source: str
    place: str
    value: object
    reason: str
    fix: str
    code: str = ""

    def __str__(self) -> str:
        """Return the fault as one line for a person."""
        return f"{self.source}, {self.place}: {self.reason} (found {self.value!r}); {self.fix}"


class InputError(GridAgoraError, ValueError):
    """Input that cannot be used; ``faults`` holds every fault found.

    Examples
    --------
    >>> fault = Fault(source="a.csv", place="row 2", value="x", reason="no number", fix="write kW")
    >>> raise InputError([fault])
    Traceback (most recent call last):
    gridagora.errors.InputError: 1 fault in the input
      a.csv, row 2: no number (found 'x'); write kW
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = f"{count} fault{'s' if count != 1 else ''} in the input"
        rest = [f"... and {count - SHOWN_FAULTS} more (see .faults)"] if count > SHOWN_FAULTS else []
        super().__init__("\n  ".join([head, *map(str, self.faults[:SHOWN_FAULTS]), *rest]))

    def __reduce__(self) -> tuple[type["InputError"], tuple[tuple[Fault, ...]]]:
        """Pickle by the faults, so that the error crosses processes whole."""
        return type(self), (self.faults,)


class SolverError(GridAgoraError):
    """An optimisation that has no answer: infeasible, unbounded, or the solver failed."""


class InfeasibleMarket(SolverError):  # noqa: N818 - the name says what is wrong
    """A market in which not all conditions and limits can hold; ``conflict`` names some that cannot.

    Each of them is needed for the conflict: without any one of them the others can hold.
    """

    def __init__(self, conflict: Iterable[str]) -> None:
        self.conflict = tuple(conflict)
        text = "\n  ".join(["the market cannot be cleared, these exclude each other:", *self.conflict])
        super().__init__(text)

    def __reduce__(self) -> tuple[type["InfeasibleMarket"], tuple[tuple[str, ...]]]:
        """Pickle by the conflict, so that the error crosses processes whole."""
        return type(self), (self.conflict,)


class StoreError(GridAgoraError):
    """A database that cannot be used, with what to do about it; nothing that was acknowledged is lost."""


class DamagedEvent(StoreError):  # noqa: N818 - the name says what is wrong
    """Stored bytes that are no event, of a newer version, or not those that were appended."""


class CommandConflict(StoreError):  # noqa: N818 - the name says what is wrong
    """An idempotency key that was used before, for another request."""


class MarketTaken(StoreError):  # noqa: N818 - the name says what is wrong
    """Another program writes the market; it can be asked, and its place be taken when it ends."""


class InvariantError(GridAgoraError, AssertionError):
    """A rule that must always hold does not: a defect of the program, not of its input."""


def check_faults(faults: Iterable[Fault]) -> None:
    """Raise one `InputError` with all faults, or do nothing when there are none."""
    found = tuple(faults)
    if found:
        raise InputError(found)


def require(condition: bool, message: str) -> None:
    """Raise `InvariantError` unless the condition holds (kept under ``python -O``, unlike assert)."""
    if not condition:
        raise InvariantError(message)
