"""What was forecast for the connection points of a session when its gate closed, summed by bus."""

from dataclasses import dataclass

import numpy as np

from gridagora.engine.live.gate import forecast_kw
from gridagora.engine.live.state import LiveState
from gridagora.model.columns import Ints
from gridagora.model.live_events import GateClosed
from gridagora.units import to_wh


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """Forecasts at a bus: how many points have one in each period of the session, and their sum, Wh."""

    points: Ints
    net_wh: Ints


def expected_of(state: LiveState, gate: GateClosed) -> dict[str, Expected]:
    """Return the forecasts of a session by bus, as they stand; buses without one are left out."""
    times, hours = state.open_terms.session(gate.session), state.open_terms.hours
    sums: dict[str, tuple[Ints, Ints]] = {}
    for name, bus in zip(gate.participants, gate.buses, strict=True):
        kw = forecast_kw(state, name, times)
        known = np.isfinite(kw)
        if known.any():
            none = np.zeros(times.count, np.int64)
            points, net_wh = sums.get(bus, (none, none))
            wh = to_wh(np.where(known, kw, 0.0) * hours)
            sums[bus] = points + known, net_wh + wh
    return {bus: Expected(points=points, net_wh=net_wh) for bus, (points, net_wh) in sums.items()}
