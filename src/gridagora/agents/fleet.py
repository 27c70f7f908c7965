"""All homes as arrays: what the kernels read (`Fleet`) and what changes in time (`FleetState`)."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from gridagora.model.resources import Home
from gridagora.model.time import TimeAxis

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Param(IntEnum):
    """Columns of `Fleet.params`: one number per home, kW, kWh or a share; a device that is not there is 0."""

    IMPORT_KW = 0
    EXPORT_KW = 1
    BATTERY_KWH = 2
    BATTERY_MIN_KWH = 3
    CHARGE_KW = 4
    DISCHARGE_KW = 5
    CHARGE_EFF = 6
    DISCHARGE_EFF = 7
    EV_KW = 8
    EV_EFF = 9
    PUMP_KW = 10
    TANK_KWH = 11
    TANK_KEEP = 12


class Stay(IntEnum):
    """Columns of `Fleet.stays`: one row per stay of a vehicle at home."""

    ARRIVAL = 0
    DEPARTURE = 1
    NEED_KWH = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """Homes as arrays: ``params`` (homes, `Param`), series (homes, periods) in kW.

    ``stay`` is the row of ``stays`` (columns `Stay`) that a period belongs to, -1 while the vehicle is away.
    ``tradable`` is False for passive homes.
    """

    participants: tuple[str, ...]
    hours: float
    params: Floats
    load_kw: Floats
    pv_kw: Floats
    heat_kw: Floats
    cop: Floats
    stay: NDArray[np.int32]
    stays: Floats
    initial: Floats
    tradable: Bools

    @property
    def homes(self) -> int:
        """Number of homes."""
        return len(self.participants)

    @property
    def periods(self) -> int:
        """Number of periods of the study."""
        return int(self.load_kw.shape[1])

    @property
    def storages(self) -> Ints:
        """Number of flexible devices (battery, vehicle, heat pump with tank) per home, shape (homes,)."""
        return self.has(Param.BATTERY_KWH) + self.has(Param.EV_KW) + self.has(Param.PUMP_KW)

    def has(self, column: Param) -> Ints:
        """1 where the parameter is above zero, shape (homes,)."""
        return (self.params[:, column] > 0).astype(np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetState:
    """Stored energy at the start of a period, kWh, shape (homes,).

    ``ev_kwh`` is what the vehicle got in its present stay (0 while away); ``tank_kwh`` is thermal.
    """

    battery_kwh: Floats
    ev_kwh: Floats
    tank_kwh: Floats

    def array(self) -> Floats:
        """Return the state as one array (homes, 3): battery, vehicle, tank."""
        return np.ascontiguousarray(np.stack([self.battery_kwh, self.ev_kwh, self.tank_kwh], axis=1))


def state_from_array(array: Floats) -> FleetState:
    """`FleetState` from an array (homes, 3): battery, vehicle, tank in kWh."""
    return FleetState(battery_kwh=array[:, 0].copy(), ev_kwh=array[:, 1].copy(), tank_kwh=array[:, 2].copy())


def initial_state(fleet: Fleet) -> FleetState:
    """Return the stored energy at the start of the study: ``initial_share``, vehicles at 0 kWh."""
    return state_from_array(fleet.initial)


def fleet_from_homes(homes: tuple[Home, ...], axis: TimeAxis) -> Fleet:
    """Homes as arrays over the axis; the homes must have passed `check_homes`.

    Parameters
    ----------
    homes : the participants, in the order that all results keep
    axis : time axis of the study; series have ``axis.periods`` entries

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=4)
    >>> home = Home(participant="a", bus="1", load_kw=np.ones(4), load_kvar=np.zeros(4))
    >>> fleet_from_homes((home,), axis).load_kw.shape
    (1, 4)
    """
    shape = (len(homes), axis.periods)
    stay, stays = _stays(homes, shape)
    zeros = np.zeros(axis.periods)
    pumps = [home.heat_pump for home in homes]
    return Fleet(
        participants=tuple(home.participant for home in homes),
        hours=axis.hours,
        params=np.array([_params(home, axis) for home in homes], dtype=np.float64).reshape(-1, len(Param)),
        load_kw=_series([home.load_kw for home in homes], shape),
        pv_kw=_series([zeros if home.pv_kw is None else home.pv_kw for home in homes], shape),
        heat_kw=_series([zeros if pump is None else pump.heat_demand_kw for pump in pumps], shape),
        cop=_series([zeros + 1.0 if pump is None else pump.cop for pump in pumps], shape),
        stay=stay,
        stays=stays,
        initial=np.array([_initial(home) for home in homes], dtype=np.float64).reshape(-1, 3),
        tradable=np.array([not home.passive for home in homes], dtype=np.bool_),
    )


def _series(rows: list[Floats], shape: tuple[int, int]) -> Floats:
    return np.ascontiguousarray(np.array(rows, dtype=np.float64).reshape(shape))


def _initial(home: Home) -> tuple[float, float, float]:
    battery = home.battery.energy_kwh * home.battery.initial_share if home.battery else 0.0
    tank = home.heat_pump.tank_kwh * home.heat_pump.initial_share if home.heat_pump else 0.0
    return battery, 0.0, tank


def _params(home: Home, axis: TimeAxis) -> list[float]:
    values = [0.0] * len(Param)
    values[Param.IMPORT_KW], values[Param.EXPORT_KW] = home.import_limit_kw, home.export_limit_kw
    values[Param.CHARGE_EFF] = values[Param.DISCHARGE_EFF] = values[Param.EV_EFF] = 1.0
    if (battery := home.battery) is not None:
        values[Param.BATTERY_KWH] = battery.energy_kwh
        values[Param.BATTERY_MIN_KWH] = battery.energy_kwh * battery.min_share
        values[Param.CHARGE_KW], values[Param.DISCHARGE_KW] = battery.charge_kw, battery.discharge_kw
        values[Param.CHARGE_EFF] = battery.charge_efficiency
        values[Param.DISCHARGE_EFF] = battery.discharge_efficiency
    if home.ev is not None:
        values[Param.EV_KW], values[Param.EV_EFF] = home.ev.charge_kw, home.ev.efficiency
    if home.heat_pump is not None:
        values[Param.PUMP_KW], values[Param.TANK_KWH] = home.heat_pump.electric_kw, home.heat_pump.tank_kwh
        values[Param.TANK_KEEP] = max(0.0, 1.0 - home.heat_pump.loss_per_hour * axis.hours)
    return values


def _stays(homes: tuple[Home, ...], shape: tuple[int, int]) -> tuple[NDArray[np.int32], Floats]:
    """Stay number of every home and period, and the stays themselves."""
    stay = np.full(shape, -1, dtype=np.int32)
    rows: list[tuple[float, float, float]] = []
    for index, home in enumerate(homes):
        if home.ev is None:
            continue
        columns = zip(
            home.ev.arrival.tolist(), home.ev.departure.tolist(), home.ev.needed_kwh.tolist(), strict=True
        )
        for arrival, departure, need in columns:
            stay[index, arrival:departure] = len(rows)
            rows.append((float(arrival), float(departure), float(need)))
    return stay, np.array(rows, dtype=np.float64).reshape(-1, len(Stay))
