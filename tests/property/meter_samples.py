"""Random meters: intervals with holes, registers that tell the same energy, corrections and doubles."""

import numpy as np
from hypothesis import strategies as st

from gridagora.model.metering import MeterReadings
from gridagora.model.time import TimeAxis

START = np.datetime64("2026-03-23T00:00:00")
ZONE = "Europe/Berlin"


def axis_of(days: int, mtu_s: int = 3600) -> TimeAxis:
    """Days around the night on which the clock goes forward."""
    return TimeAxis(start=START, periods=days * 86_400 // mtu_s, mtu_s=mtu_s, timezone=ZONE)


def intervals(axis: TimeAxis, import_wh, export_wh=0, *, point="a", keep=None, late_s=600, **columns):
    """Return the intervals of a point, each received some time after its end."""
    rows = np.arange(axis.periods) if keep is None else np.flatnonzero(keep)
    start = axis.starts[rows]
    told = {"source": "dso", "received": start + axis.mtu_s + late_s} | columns
    return MeterReadings(
        point=point,
        start=start,
        duration_s=axis.mtu_s,
        import_wh=np.broadcast_to(import_wh, axis.periods)[rows],
        export_wh=np.broadcast_to(export_wh, axis.periods)[rows],
        **told,
    )


def registers(axis: TimeAxis, import_wh, export_wh=0, *, at, point="a", first=5_000_000, **columns):
    """Return the counters at the beginning of some periods (``axis.periods`` is the end of the last)."""
    at = np.asarray(at)
    moments = axis.start + at * np.timedelta64(axis.mtu_s, "s")
    stands = [
        first + np.concatenate([[0], np.cumsum(np.broadcast_to(values, axis.periods))])[at]
        for values in (import_wh, export_wh)
    ]
    told = {"source": "dso", "received": moments + 60} | columns
    return MeterReadings(
        point=point, start=moments, duration_s=0, import_wh=stands[0], export_wh=stands[1], **told
    )


@st.composite
def meters(draw) -> tuple[TimeAxis, np.ndarray, np.ndarray, MeterReadings]:
    """Draw an axis, true energy (2, periods), which intervals came, and all readings."""
    axis = axis_of(draw(st.integers(1, 21)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    energy = rng.integers(0, draw(st.sampled_from([3, 2000])), size=(2, axis.periods))
    came = rng.random(axis.periods) >= draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))
    hole = draw(st.integers(0, axis.periods))
    came[hole : hole + draw(st.integers(0, 60))] = False
    known = np.flatnonzero(rng.random(axis.periods + 1) < draw(st.sampled_from([0.0, 0.05, 0.5])))
    parts = [intervals(axis, energy[0], energy[1], keep=came)]
    parts.append(registers(axis, energy[0], energy[1], at=known))
    again = came & (rng.random(axis.periods) < 0.1)
    parts.append(intervals(axis, energy[0], energy[1], keep=again, late_s=4000))
    wrong = came & (rng.random(axis.periods) < 0.05)  # older versions, corrected later
    parts.append(intervals(axis, energy[0] + 7, energy[1], keep=wrong, late_s=60))
    return axis, energy, came, MeterReadings.concat(parts)


def same(first, second) -> bool:
    """Tell whether two checks came to the same values and flags."""
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("import_wh", "export_wh", "method", "doubtful")
    )
