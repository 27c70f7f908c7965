"""What a power flow of a schedule found."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.events import Floats, Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """Broken limits as columns, and which periods the power flow solved; ``period`` counts from ``first``."""

    converged: NDArray[np.bool_]
    period: Ints
    kind: tuple[str, ...]
    element: tuple[str, ...]
    value: Floats
    limit: Floats
    participants: tuple[str, ...]
