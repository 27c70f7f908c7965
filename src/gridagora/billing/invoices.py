"""Invoice lines per participant and day: settlement lines summed, plus the standing charge.

Billing knows nothing of markets: it gets columns of settled amounts and the day of each period.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def invoice_lines(columns: Mapping[str, Ints], day: Ints, *, standing_micro: int) -> dict[str, Ints]:
    """Sum settled columns over each day and add the standing charge.

    Parameters
    ----------
    columns : name -> amounts or Wh per period and participant, shape (periods, participants)
    day : number of the local day of each period, not falling, shape (periods,)
    standing_micro : micro-units charged per day and participant

    Returns
    -------
    name -> sums, shape (days, participants), with ``standing`` (<= 0: paid) added

    Examples
    --------
    >>> lines = invoice_lines({"energy": np.array([[1, -5], [2, 0], [4, 0]])}, np.array([0, 0, 1]),
    ...                       standing_micro=10)
    >>> lines["energy"].tolist(), lines["standing"].tolist()
    ([[3, -5], [4, 0]], [[-10, -10], [-10, -10]])
    """
    starts = np.flatnonzero(np.diff(day, prepend=day[0] - 1)) if len(day) else np.zeros(0, np.int64)
    sums = {name: np.add.reduceat(values, starts, axis=0) for name, values in columns.items()}
    shape = next(iter(sums.values())).shape
    return sums | {"standing": np.full(shape, -standing_micro, dtype=np.int64)}
