"""Units, signs and rounding, said once for the whole package.

======================  =======================  ==========================================================
quantity                unit                     sign
======================  =======================  ==========================================================
power                   kW, kvar                 + import (consumption), - export (generation)
energy                  kWh; whole Wh in trades  bids and trades are >= 0 and carry a side
price of energy         currency per kWh         any sign
money                   currency; micro-units    + received, - paid (from a participant's point of view)
voltage                 per unit of the bus      > 0
time                    UTC, half-open periods   local time only at the edge
======================  =======================  ==========================================================

Floats are for physics and optimisation.  From a trade on, energy is whole watt-hours and money is whole
micro-units of currency; the residue of a rounding is booked to a named account and never lost.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

MICRO = 1_000_000
"""Micro-units in one unit of currency."""

WH_PER_KWH = 1_000
"""Watt-hours in one kilowatt-hour."""


def to_micro(amount: ArrayLike) -> NDArray[np.int64]:
    """Round currency to whole micro-units, half to even.

    >>> to_micro([0.1234565, -2.0]).tolist()
    [123456, -2000000]
    """
    return np.rint(np.asarray(amount, dtype=np.float64) * MICRO).astype(np.int64)


def to_wh(energy_kwh: ArrayLike) -> NDArray[np.int64]:
    """Round energy in kWh to whole watt-hours, half to even.

    >>> to_wh([0.25, 1.2346]).tolist()
    [250, 1235]
    """
    return np.rint(np.asarray(energy_kwh, dtype=np.float64) * WH_PER_KWH).astype(np.int64)


def amount_micro(energy_wh: ArrayLike, price_micro_per_kwh: ArrayLike) -> NDArray[np.int64]:
    """Money for whole watt-hours at a whole micro-price per kWh, rounded once, half to even, in integers.

    >>> amount_micro([250, 1235], [300_000, 100_001]).tolist()
    [75000, 123501]
    """
    product = np.asarray(energy_wh, dtype=np.int64) * np.asarray(price_micro_per_kwh, dtype=np.int64)
    quotient, rest = np.divmod(product, WH_PER_KWH)
    up = (rest * 2 > WH_PER_KWH) | ((rest * 2 == WH_PER_KWH) & (quotient % 2 == 1))
    return np.asarray(quotient + up, dtype=np.int64)


def money_text(amount: int, *, digits: int = 6) -> str:
    """Write micro-units as units of currency with 2 or 6 digits; two digits must be all there are.

    >>> money_text(-1_234_500_000), money_text(12_350_000, digits=2)
    ('-1234.500000', '12.35')
    """
    whole, rest = divmod(abs(amount), MICRO)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{rest:06d}"[: None if digits == 6 else -4]
