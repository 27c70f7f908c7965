"""What was forecast for the connection points of a session when its gate closed, summed by bus."""

import numpy as np

from gridagora.engine.live.state import BusForecast, LiveState
from gridagora.model.columns import Floats, Ints
from gridagora.model.live import SessionTimes
from gridagora.model.live_events import GateClosed
from gridagora.units import to_wh


def forecast_kw(state: LiveState, participant: str, times: SessionTimes) -> Floats:
    """Return the newest forecast of a participant's net import in a session, kW; NaN where there is none."""
    kw = np.full(times.count, np.nan)
    for record in state.register.owned("forecast", participant):
        if record.status != "issued":
            continue
        first, values = int(record.body["first"]), np.asarray(record.body["kw"], dtype=np.float64)
        begin, end = max(times.first, first), min(times.first + times.count, first + len(values))
        if begin < end:
            kw[begin - times.first : end - times.first] = values[begin - first : end - first]
    return kw


def bus_forecasts(state: LiveState, gate: GateClosed) -> dict[str, BusForecast]:
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
    return {bus: BusForecast(points=points, net_wh=net_wh) for bus, (points, net_wh) in sums.items()}
