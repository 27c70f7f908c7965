"""Whole cents out of whole micro-units, with nothing lost; taxes that an amount includes; numbers as text."""

from dataclasses import dataclass

CENT = 10_000
"""Micro-units in a hundredth of a unit of currency: the least that a bank moves."""

BASIS_POINTS = 10_000
"""Parts in which a tax rate is given: 1900 are 19 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounded:
    """A sum split into whole cents and what is carried into the next bill; both micro-units."""

    payable: int
    carried: int


def divide(amount: int, parts: int) -> int:
    """Return the quotient of whole numbers as the nearest whole number, half to even.

    >>> divide(5, 2), divide(7, 2), divide(-5, 2), divide(8, 3)
    (2, 4, -2, 3)
    """
    quotient, rest = divmod(amount, parts)
    return quotient + (2 * rest > parts or (2 * rest == parts and quotient % 2 == 1))


def to_cents(total: int, *, carried: int = 0) -> Rounded:
    """Round a bill to whole cents; what was carried into it and what it leaves over are kept.

    >>> to_cents(12_345_678), to_cents(12_345_678, carried=4_500)
    (Rounded(payable=12350000, carried=-4322), Rounded(payable=12350000, carried=178))
    """
    due = total + carried
    payable = divide(due, CENT) * CENT
    return Rounded(payable=payable, carried=due - payable)


def tax_included(amount: int, rate_bp: int) -> int:
    """Return the value added tax that an amount includes, micro-units, at a rate in basis points.

    >>> tax_included(1_190_000, 1900)
    190000
    """
    return divide(amount * rate_bp, BASIS_POINTS + rate_bp)


def energy_text(energy_wh: int) -> str:
    """Write whole Wh as kWh with three digits.

    >>> energy_text(-1_250)
    '-1.250'
    """
    sign = "-" if energy_wh < 0 else ""
    return f"{sign}{abs(energy_wh) // 1000}.{abs(energy_wh) % 1000:03d}"
