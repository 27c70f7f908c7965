"""Heat pumps: heat demand out of SimBench's electric profiles, and a coefficient of performance.

SimBench gives the electric power of heat pumps that switch on and off beside a buffer.  Their heat, smoothed
over half a day, is taken as the demand of the building, so that the buffer is ours to use.

Assumptions: outdoor temperature is a yearly and a daily wave typical of central Germany
(`outdoor_temperature`), no data; ground stays at 8 degrees; the sink is 40 degrees (floor heating and new
radiators).
"""

import numpy as np
from numpy.typing import NDArray

from gridagora.model.resources import HeatPump
from gridagora.model.time import TimeAxis

Floats = NDArray[np.float64]

SINK_C = 40.0
GROUND_C = 8.0
SMOOTH_H = 12.0


def outdoor_temperature(axis: TimeAxis) -> Floats:
    """Return the assumed outdoor temperature in degrees Celsius.

    9.5 degrees on average, 9.5 less on 18 January, and 3.5 more at 14:00 UTC than on the day's average.

    >>> axis = TimeAxis(start=np.datetime64("2016-01-18"), periods=24, mtu_s=3600)
    >>> outdoor_temperature(axis).round(1)[[2, 14]].tolist()
    [-3.5, 3.5]
    """
    hours = (axis.starts - np.datetime64("2016-01-18T00:00:00")).astype(np.int64) / 3600
    yearly = -9.5 * np.cos(2 * np.pi * hours / (365.25 * 24))
    daily = 3.5 * np.cos(2 * np.pi * (hours % 24 - 14) / 24)
    return np.asarray(9.5 + yearly + daily, dtype=np.float64)


def coefficient_of_performance(source_c: Floats, *, ground: bool) -> Floats:
    """Return heat per electricity for a source temperature and the sink of 40 degrees.

    The regressions of Staffell et al., "A review of domestic heat pumps", Energy Environ. Sci. 5 (2012) 9291:
    air ``6.81 - 0.121 d + 0.00063 d^2``, ground ``8.77 - 0.150 d + 0.000734 d^2`` with d = sink - source.

    >>> coefficient_of_performance(np.array([0.0, 10.0]), ground=False).round(2).tolist()
    [2.98, 3.75]
    """
    lift = np.maximum(SINK_C - source_c, 15.0)
    if ground:
        return np.asarray(8.77 - 0.150 * lift + 0.000734 * lift**2, dtype=np.float64)
    return np.asarray(6.81 - 0.121 * lift + 0.00063 * lift**2, dtype=np.float64)


def smooth(profile: Floats, *, hours: float, axis_hours: float) -> Floats:
    """Return the centred moving mean of a profile; at the ends the mean of what is there.

    >>> smooth(np.array([0.0, 3.0, 0.0, 0.0]), hours=3, axis_hours=1).tolist()
    [1.5, 1.0, 1.0, 0.0]
    """
    half = round(hours / axis_hours / 2 - 0.5)
    total = np.concatenate([[0.0], np.cumsum(profile)])
    index = np.arange(profile.size)
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, profile.size)
    return np.asarray((total[high] - total[low]) / (high - low), dtype=np.float64)


def heat_pump(
    shape: Floats, axis: TimeAxis, *, electric_kw: float, tank_kwh: float, ground: bool
) -> HeatPump:
    """Make a heat pump whose heat demand follows an electric profile.

    Parameters
    ----------
    shape : smoothed electric power per rated power, one entry per period
    axis : periods of the study
    electric_kw : rated electric power, kW
    tank_kwh : heat that the store holds, kWh
    ground : ground source; else outdoor air
    """
    source = np.full(axis.periods, GROUND_C) if ground else outdoor_temperature(axis)
    cop = coefficient_of_performance(source, ground=ground)
    demand = np.maximum(shape, 0.0) * electric_kw * cop
    return HeatPump(electric_kw=electric_kw, cop=cop, heat_demand_kw=demand, tank_kwh=tank_kwh)
