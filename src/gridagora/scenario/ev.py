"""Electric vehicles at home: stays drawn from a weekday pattern, or read out of a charging profile.

Assumptions of the drawn pattern (ours, shaped after commuter cars; every number stands in `HABITS`): on a
weekday the car is used with probability 0.85, leaves about 07:30 and is back about 17:45; at weekends 0.6,
10:30 and 16:30 with a wider spread, all normal and clipped.  A trip's energy is the home's mean per day,
divided by the mean share of days with a trip, times a gamma variable of mean 1 and shape 3.  The car stays
plugged in from its return to its next departure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.resources import ElectricVehicle
from gridagora.model.time import SECONDS_PER_DAY, TimeAxis
from gridagora.scenario.clock import to_utc, utc_offsets
from gridagora.scenario.draw import generator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Habit:
    """One kind of day: chance of a trip, mean and spread of departure and return in local hours."""

    trip: float
    leave_h: float
    leave_spread_h: float
    return_h: float
    return_spread_h: float


HABITS = (
    Habit(trip=0.85, leave_h=7.5, leave_spread_h=1.0, return_h=17.75, return_spread_h=1.75),
    Habit(trip=0.6, leave_h=10.5, leave_spread_h=1.5, return_h=16.5, return_spread_h=2.5),
)
"""Weekday and weekend."""

ENERGY_SHAPE = 3.0
_TRIP_SHARE = (5 * HABITS[0].trip + 2 * HABITS[1].trip) / 7


def draw_vehicle(
    home: str, axis: TimeAxis, *, seed: int, charge_kw: float, kwh_per_day: float, efficiency: float
) -> ElectricVehicle:
    """Draw the stays of a home's vehicle; a day's draw is the same whatever period is studied.

    Parameters
    ----------
    home : id of the home; its draws depend on seed and id alone
    axis : periods of the study
    seed : seed of the scenario
    charge_kw : power of the charger, kW
    kwh_per_day : mean energy into the battery, kWh a day
    efficiency : energy into the battery per energy from the grid

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-06"), periods=7 * 96)
    >>> car = draw_vehicle("a", axis, seed=1, charge_kw=11.0, kwh_per_day=7.0, efficiency=0.9)
    >>> bool((car.arrival < car.departure).all() and (car.arrival[1:] >= car.departure[:-1]).all())
    True
    """
    leave, back, energy = _trips(home, axis, seed=seed, kwh_per_day=kwh_per_day)
    arrival = back[:-1] if back.size else back
    departure, needed = leave[1:], energy[:-1]
    return stays(axis, arrival, departure, needed_kwh=needed, charge_kw=charge_kw, efficiency=efficiency)


def stays(
    axis: TimeAxis, arrival: Ints, departure: Ints, *, needed_kwh: Floats, charge_kw: float, efficiency: float
) -> ElectricVehicle:
    """Cut stays, given in periods, to the study.

    A stay under way at the start brings only what charging at once from its arrival would have left to do;
    one that outlasts the study wants all its energy.  Stays that do not touch the study fall away, and needed
    energy is never more than the charger gives in the stay.

    >>> axis = TimeAxis(start=np.datetime64("2016-06-06"), periods=8)
    >>> need = np.array([6.0])
    >>> car = stays(axis, np.array([-2]), np.array([4]), needed_kwh=need, charge_kw=10.0, efficiency=0.9)
    >>> car.arrival.tolist(), car.departure.tolist(), car.needed_kwh.tolist()
    ([0], [4], [1.5])
    """
    first, last = np.maximum(arrival, 0), np.minimum(departure, axis.periods)
    kept = last > first
    per_period = axis.hours * charge_kw * efficiency
    left = np.maximum(needed_kwh - (first - arrival) * per_period, 0.0)
    return ElectricVehicle(
        charge_kw=charge_kw,
        efficiency=efficiency,
        arrival=first[kept].astype(np.int64),
        departure=last[kept].astype(np.int64),
        needed_kwh=np.minimum(left, (last - first) * per_period)[kept],
    )


def _trips(home: str, axis: TimeAxis, *, seed: int, kwh_per_day: float) -> tuple[Ints, Ints, Floats]:
    """Draw the trips around a study: departure and return as periods of the axis, and energy."""
    ends = axis.starts[[0, -1]]
    days = ends.astype(np.int64) + utc_offsets(ends, axis.timezone)
    first, last = (int(day) // SECONDS_PER_DAY for day in days)
    leave_h, back_h, energy, trip = _year_draws(home, seed, first - 14, last=last + 14)
    day = np.arange(first - 14, last + 14)[trip]
    leave = _periods(axis, day, leave_h[trip], up=False)
    back = _periods(axis, day, back_h[trip], up=True)
    return leave, back, energy[trip] * kwh_per_day / _TRIP_SHARE


def _year_draws(
    home: str, seed: int, first: int, *, last: int
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Draw departure, return (local hours), relative energy and use of the days [first, last) since 1970."""
    day = np.arange(first, last)
    weekend = (day + 3) % 7 >= 5
    draws = np.empty((4, day.size))
    years = day.astype("datetime64[D]").astype("datetime64[Y]")
    for year in np.unique(years):
        rng = generator(seed, "ev", home, year)
        table = np.vstack([rng.random(366), rng.normal(size=(2, 366)), rng.gamma(ENERGY_SHAPE, size=366)])
        inside = years == year
        of_year = (day[inside].astype("datetime64[D]") - year.astype("datetime64[D]")).astype(np.int64)
        draws[:, inside] = table[:, of_year]

    def of(name: str) -> Floats:
        return np.asarray(
            np.where(weekend, getattr(HABITS[1], name), getattr(HABITS[0], name)), dtype=np.float64
        )

    leave = np.clip(of("leave_h") + draws[1] * of("leave_spread_h"), 5.0, 12.0)
    back = np.clip(of("return_h") + draws[2] * of("return_spread_h"), 12.5, 23.5)
    return leave, back, draws[3] / ENERGY_SHAPE, draws[0] < of("trip")


def _periods(axis: TimeAxis, day: Ints, hour: Floats, *, up: bool) -> Ints:
    """Return the period at a local hour of days: the next one when up, else the one it lies in."""
    local = (day * SECONDS_PER_DAY + np.rint(hour * 3600).astype(np.int64)).astype("datetime64[s]")
    after = (to_utc(local, axis.timezone)[0] - axis.start).astype(np.int64)
    return np.asarray(-(-after // axis.mtu_s) if up else after // axis.mtu_s, dtype=np.int64)


def vehicle_from_profile(
    charging_kw: Floats, axis: TimeAxis, *, charge_kw: float, hours_after: float, efficiency: float
) -> ElectricVehicle:
    """Read stays out of a charging profile: each run of charging is one stay.

    The car arrives when charging begins and leaves ``hours_after`` its end, or when the next run begins.  The
    charger has ``charge_kw``, also in a period in which the car is never charged.

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-06"), periods=8, mtu_s=3600)
    >>> charging = np.array([0, 10.0, 5.0, 0, 0, 0, 10.0, 0])
    >>> car = vehicle_from_profile(charging, axis, charge_kw=10.0, hours_after=2, efficiency=1.0)
    >>> car.arrival.tolist(), car.departure.tolist(), car.needed_kwh.tolist()
    ([1, 6], [5, 8], [15.0, 10.0])
    """
    power = np.maximum(charging_kw, 0.0)
    edges = np.diff(np.concatenate([[0], (power > 0).astype(np.int64), [0]]))
    arrival, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    total = np.concatenate([[0.0], np.cumsum(power)]) * axis.hours * efficiency
    leave = end + round(hours_after / axis.hours)
    leave = np.minimum(leave, np.concatenate([arrival[1:], [axis.periods]])[: leave.size])
    return ElectricVehicle(
        charge_kw=float(power.max(initial=charge_kw)),
        efficiency=efficiency,
        arrival=arrival.astype(np.int64),
        departure=leave.astype(np.int64),
        needed_kwh=total[end] - total[arrival],
    )
