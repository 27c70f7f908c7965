"""Conditions between bids, carriers with networks of their own, and how far a market looks ahead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.linear_network import LinearNetwork
from gridagora.model.numbers import read_numbers

Floats = NDArray[np.float64]

OPERATORS = ("<=", ">=", "=")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependency:
    """A condition on the acceptance of bids; with ``z_b = 1`` if bid b is accepted at all.

    A bid of an "and" or "or" counts as accepted from its least share on, or a thousandth of its quantity.

    Parameters
    ----------
    kind : "and": all or none; "xor": at most one; "or": at least one; "sum": the sum of ``coefficients``
        times accepted quantities is ``op`` ``quantity``
    bids : row numbers of the bids, of any periods and carriers
    op, quantity, coefficients : of a sum; coefficients default to 1

    Notes
    -----
    MARKETS.md section 2; seed 003 table 3-2.

    Examples
    --------
    A heat pump of COP 3 buys electricity (row 0) and sells heat (row 1):

    >>> Dependency.sum_of([0, 1], "=", 0.0, coefficients=[3.0, -1.0]).kind
    'sum'
    >>> Dependency.xor(2, 3).bids
    (2, 3)
    """

    kind: Literal["and", "xor", "or", "sum"]
    bids: tuple[int, ...]
    op: Literal["<=", ">=", "="] = "<="
    quantity: float = 0.0
    coefficients: tuple[float, ...] | None = None

    @classmethod
    def all_of(cls, *rows: int) -> "Dependency":
        """AND: the bids are accepted all or none."""
        return cls(kind="and", bids=tuple(rows))

    @classmethod
    def xor(cls, *rows: int) -> "Dependency":
        """XOR: at most one of the bids is accepted."""
        return cls(kind="xor", bids=tuple(rows))

    @classmethod
    def any_of(cls, *rows: int) -> "Dependency":
        """OR: at least one of the bids is accepted."""
        return cls(kind="or", bids=tuple(rows))

    @classmethod
    def sum_of(
        cls,
        rows: Iterable[int],
        op: Literal["<=", ">=", "="],
        quantity: float,
        *,
        coefficients: Sequence[float] | None = None,
    ) -> "Dependency":
        """SUM: what is accepted of the bids, weighted, is at most, at least or exactly a quantity."""
        weights = None if coefficients is None else tuple(coefficients)
        return cls(kind="sum", bids=tuple(rows), op=op, quantity=quantity, coefficients=weights)

    def __post_init__(self) -> None:
        """Hold plain numbers; what is none stays and is told with the other faults of a market."""
        weights = None if self.coefficients is None else tuple(map(_plain, self.coefficients))
        values = {"bids": tuple(map(_plain, self.bids)), "quantity": _plain(self.quantity)}
        for name, value in (*values.items(), ("coefficients", weights)):
            object.__setattr__(self, name, value)

    @property
    def weights(self) -> tuple[float, ...]:
        """The coefficients, 1 where none are given."""
        return (1.0,) * len(self.bids) if self.coefficients is None else self.coefficients

    def __str__(self) -> str:
        """Return the condition as a person would write it."""
        if self.kind != "sum":
            return f"{self.kind.upper()}({', '.join(map(str, self.bids))})"
        terms = " + ".join(f"{w:g} y{b}" for w, b in zip(self.weights[:6], self.bids[:6], strict=True))
        more = " + ..." if len(self.bids) > len(self.weights[:6]) else ""
        return f"SUM {terms}{more} {self.op} {self.quantity:g}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Carrier:
    """A form of energy with its network; None: a copper plate.

    >>> Carrier(name="heat").name
    'heat'
    """

    name: str
    network: LinearNetwork | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rolling:
    """A horizon of which only the first periods are binding; the others are a forecast nobody pays for.

    Parameters
    ----------
    first_binding : number of periods, from the first, whose results hold

    Examples
    --------
    >>> Rolling().first_binding
    1
    """

    first_binding: int = 1

    def __post_init__(self) -> None:
        whole = isinstance(self.first_binding, int | np.integer)
        if not whole or self.first_binding < 1:
            value, fix = self.first_binding, "write a whole number of at least 1"
            reason = "no period would hold" if whole else "is no whole number"
            check_faults(
                [Fault(source="horizon", place="first_binding", value=value, reason=reason, fix=fix)]
            )


def dependency_faults(dependencies: Sequence[Dependency], quantity: Floats) -> list[Fault]:
    """Faults of conditions on bids of these quantities: unknown or double bids, sums that cannot be met.

    >>> [fault.place for fault in dependency_faults([Dependency.xor(0, 7)], np.array([1.0, 2.0]))]
    ['dependency 0']
    """
    faults: list[Fault] = []
    for number, one in enumerate(dependencies):
        found = list(_faults_of(one, quantity)) if isinstance(one, Dependency) else [_NO_CONDITION]
        faults += [
            Fault(source="dependencies", place=f"dependency {number}", value=value, reason=reason, fix=fix)
            for value, reason, fix in found
        ]
    return faults


_NO_CONDITION = (None, "is no condition", "give Dependency values")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _faults_of(one: Dependency, quantity: Floats) -> Iterable[tuple[object, str, str]]:
    unknown = [row for row in one.bids if not (isinstance(row, int) and 0 <= row < len(quantity))]
    if unknown:
        last = len(quantity) - 1
        fix = f"name rows from 0 to {last}" if last >= 0 else "leave it out: the market has no bids"
        yield unknown, "names bids that do not exist", fix
    if len(set(one.bids)) < len(one.bids):
        yield one.bids, "names a bid twice", "name each bid once"
    if one.kind not in ("and", "xor", "or", "sum"):
        yield one.kind, "is no kind of condition", "write and, xor, or, sum"
    if one.kind == "sum":
        yield from _sum_faults(one, quantity, known=not unknown)
    least = 1 if one.kind in ("or", "sum") else 2
    if len(one.bids) < least:
        yield one.bids, f"needs at least {'one bid' if least == 1 else 'two bids'}", "name the bids it joins"


def _sum_faults(one: Dependency, quantity: Floats, *, known: bool) -> Iterable[tuple[object, str, str]]:
    if one.op not in OPERATORS:
        yield one.op, "is no comparison", "write <=, >= or ="
    (weights, wanted), found = read_numbers("", weights=one.weights, quantity=one.quantity)
    if len(weights) != len(one.bids):
        yield len(weights), f"has not one coefficient for each of {len(one.bids)} bids", "give as many"
        return
    if found or not (np.isfinite(weights).all() and np.isfinite(wanted)):
        yield one.quantity, "has numbers that are not finite", "write finite numbers"
        return
    if not known or not one.bids:
        return
    reach = weights * quantity[list(one.bids)]
    low, high = float(reach[reach < 0].sum()), float(reach[reach > 0].sum())
    slack = 1e-9 * (1 + abs(low) + abs(high))
    if (one.op in (">=", "=") and one.quantity > high + slack) or (
        one.op in ("<=", "=") and one.quantity < low - slack
    ):
        yield one.quantity, f"cannot be met: the bids reach {low:g} to {high:g}", "ask for what they reach"
