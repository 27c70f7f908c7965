"""What the devices of a home do in a period: one compiled kernel for rules, plans and delivery.

Order of use in a period (the rule is the same in planning and in delivery):

1. the vehicle charges, the heat pump heats: by rule or at the planned power, never beyond what the car still
   needs, what the tank can take, or below what the heat demand asks for;
2. the battery runs at its rule or its planned power;
3. forecast error is absorbed: net import is moved towards its target.  With a commitment the target is the
   commitment; battery, then (planned homes) pump, then car are moved, the car never so late that it would
   not be ready.  Where the imbalance is cheaper than what the devices would do (see `bidding.dispatched`)
   less than the committed exchange will do, down to none.  Without a commitment, a planned home's battery
   keeps the planned direction of exchange: an import that was planned stays an import, a planned zero stays
   zero; a rule-based home has no target;
4. beyond the import limit the vehicle is throttled first, then the pump, then load is shed (reported);
   beyond the export limit production is curtailed.  So it is where the net import is held between bounds.
"""

import numpy as np
from numpy.typing import NDArray

from gridagora.agents.fleet import Bools, Floats, Param, Stay
from gridagora.model._jit import compiled

Pair = tuple[float, float]
Triple = tuple[float, float, float]

IMPORT_KW, EXPORT_KW = int(Param.IMPORT_KW), int(Param.EXPORT_KW)
BATTERY_KWH, BATTERY_MIN = int(Param.BATTERY_KWH), int(Param.BATTERY_MIN_KWH)
CHARGE_KW, DISCHARGE_KW = int(Param.CHARGE_KW), int(Param.DISCHARGE_KW)
CHARGE_EFF, DISCHARGE_EFF = int(Param.CHARGE_EFF), int(Param.DISCHARGE_EFF)
EV_KW, EV_EFF = int(Param.EV_KW), int(Param.EV_EFF)
PUMP_KW, TANK_KWH, TANK_KEEP = int(Param.PUMP_KW), int(Param.TANK_KWH), int(Param.TANK_KEEP)
ARRIVAL, DEPARTURE, NEED = int(Stay.ARRIVAL), int(Stay.DEPARTURE), int(Stay.NEED_KWH)

SETPOINT_SHARE = 0.5
"""Share of the tank that the rule-based heat pump keeps full from any source."""
TINY_KW = 1e-9
CLOSE_KWH = 1e-6

OUTPUTS = (
    "net_kw",
    "battery_kw",
    "ev_kw",
    "heat_pump_kw",
    "curtailed_kw",
    "unserved_load_kw",
    "unserved_heat_kw",
    "ev_short_kwh",
    "battery_kwh",
    "ev_kwh",
    "tank_kwh",
)
"""Rows of the kernel's output, each (homes, periods)."""


@compiled
def _clip(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


@compiled
def _battery_range(p: Floats, stored: float, hours: float) -> Pair:
    """Lowest (discharging, < 0) and highest battery power in kW from what is stored."""
    if p[BATTERY_KWH] <= 0.0:
        return 0.0, 0.0
    room = max(0.0, p[BATTERY_KWH] - stored) / (p[CHARGE_EFF] * hours)
    left = max(0.0, stored - p[BATTERY_MIN]) * p[DISCHARGE_EFF] / hours
    return -min(p[DISCHARGE_KW], left), min(p[CHARGE_KW], room)


@compiled
def _ev_range(p: Floats, stay: Floats, got: float, period: int, hours: float) -> Pair:
    """Power that the car must have now to be ready in time, and the most that it can take, kW."""
    missing = max(0.0, stay[NEED] - got)
    most = min(p[EV_KW], missing / (p[EV_EFF] * hours))
    later = (stay[DEPARTURE] - period - 1.0) * p[EV_KW] * p[EV_EFF] * hours
    must = max(0.0, missing - later) / (p[EV_EFF] * hours)
    return min(must, most), most


@compiled
def _pump_range(p: Floats, tank: float, heat: float, cop: float, hours: float) -> Pair:
    """Pump power that just covers the heat demand, and the power that fills the tank, kW."""
    before = tank * p[TANK_KEEP]
    must = max(0.0, heat * hours - before) / (cop * hours)
    fill = max(0.0, heat * hours + p[TANK_KWH] - before) / (cop * hours)
    return min(p[PUMP_KW], must), min(p[PUMP_KW], fill)


@compiled
def _rule(p: Floats, x: Floats, tank: float, net: float, ranges: Floats, hours: float) -> Pair:
    """Rule-based powers of battery and pump (``net``: load and car less production)."""
    per_kw = x[3] * hours
    setpoint = x[2] * hours + SETPOINT_SHARE * p[TANK_KWH] - tank * p[TANK_KEEP]
    pump_kw = _clip(setpoint / per_kw, ranges[1, 0], ranges[1, 1])
    battery_kw = _clip(-(net + pump_kw), ranges[0, 0], ranges[0, 1])
    surplus = -(net + pump_kw + battery_kw)
    if surplus > 0.0:
        pump_kw = min(ranges[1, 1], pump_kw + surplus)
    return battery_kw, pump_kw


@compiled
def _absorb(net: float, low: float, high: float, powers: Floats, ranges: Floats, devices: int) -> float:
    """Move ``net`` into [low, high] with the first devices of battery, pump and car; changes ``powers``."""
    for device in range(devices):
        change = _clip(net, low, high) - net
        if abs(change) <= TINY_KW:
            break
        new = _clip(powers[device] + change, ranges[device, 0], ranges[device, 1])
        net += new - powers[device]
        powers[device] = new
    return net


@compiled
def _target(by_plan: bool, planned: float, committed: float, loose: Floats) -> Pair:
    """Interval that the net import shall lie in: the commitment, else the planned direction of exchange."""
    if not np.isnan(committed):
        low = min(committed, 0.0) if loose[0] else committed
        return low, max(committed, 0.0) if loose[1] else committed
    if not by_plan:
        return -np.inf, np.inf
    low = -np.inf if planned < -TINY_KW else 0.0
    high = np.inf if planned > TINY_KW else 0.0
    return low, high


@compiled
def _limit(net: float, low: float, high: float, load: float, pv: float, powers: Floats) -> Triple:
    """Throttle car, pump, load above ``high``, curtail below ``low``; returns net, shed, curtailed."""
    for device in (2, 1):
        cut = min(max(0.0, net - high), powers[device])
        powers[device] -= cut
        net -= cut
    shed = min(max(0.0, net - high), load)
    if shed < TINY_KW:
        shed = 0.0
    curtailed = min(max(0.0, low - net), pv)
    return net - shed + curtailed, shed, curtailed


@compiled
def _ranges(
    p: Floats, x: Floats, stored: Floats, stay: Floats, period: int, hours: float, ranges: Floats
) -> None:
    """Fill ``ranges`` (battery, pump, car) with the powers possible in this period."""
    ranges[0] = _battery_range(p, stored[0], hours)
    ranges[1] = _pump_range(p, stored[2], x[2], x[3], hours) if p[PUMP_KW] > 0.0 else (0.0, 0.0)
    plugged = stay[DEPARTURE] > period and p[EV_KW] > 0.0
    ranges[2] = _ev_range(p, stay, stored[1], period, hours) if plugged else (0.0, 0.0)


@compiled
def _gives_up(p: Floats, stay: Floats, planned: Floats, period: int, hours: float) -> bool:
    """Whether the car could not be ready any more if all went by the plan."""
    if planned.size == 0:
        return False
    later = (stay[DEPARTURE] - period - 1.0) * p[EV_KW] * p[EV_EFF] * hours
    return bool(stay[NEED] - planned[4] > later + CLOSE_KWH)


@compiled
def _dispatch(
    p: Floats,
    x: Floats,
    tank: float,
    planned: Floats,
    committed: float,
    loose: Floats,
    gives_up: bool,
    ranges: Floats,
    powers: Floats,
    hours: float,
) -> float:
    """Set ``powers`` by plan or by rule and absorb the error; returns the net import before limits.

    A plan may give up on a car, as the least evil; else the car charges what it must.
    """
    by_plan = planned.size > 0
    if by_plan:
        if gives_up:
            ranges[2, 0] = min(ranges[2, 0], planned[3])
        for device in range(3):
            powers[device] = _clip(planned[device + 1], ranges[device, 0], ranges[device, 1])
    else:
        powers[2] = ranges[2, 1]
        base = x[0] - x[1] + powers[2]
        powers[0], powers[1] = _rule(p, x, tank, base, ranges, hours)
    low, high = _target(by_plan, planned[0] if by_plan else 0.0, committed, loose)
    net = x[0] - x[1] + powers[0] + powers[1] + powers[2]
    devices = 3 if by_plan and not np.isnan(committed) else 1
    return _absorb(net, low, high, powers, ranges, devices)


@compiled
def _store(p: Floats, x: Floats, powers: Floats, stored: Floats, hours: float) -> float:
    """Move the stored energy on by one period; returns the heat that is missing, kW."""
    battery = powers[0]
    stored[0] += hours * (battery * p[CHARGE_EFF] if battery > 0.0 else battery / p[DISCHARGE_EFF])
    stored[1] += hours * powers[2] * p[EV_EFF]
    if p[PUMP_KW] <= 0.0:
        return 0.0
    tank = float(stored[2] * p[TANK_KEEP] + hours * (x[3] * powers[1] - x[2]))
    stored[2] = max(0.0, tank)
    return max(0.0, -tank) / hours


@compiled
def _record(
    out: Floats, net: float, powers: Floats, shed: float, curtailed: float, cold: float, stored: Floats
) -> None:
    """Write one home and period into the rows of `OUTPUTS` (the car's shortfall is written elsewhere)."""
    out[0], out[1], out[2], out[3] = net, powers[0], powers[2], powers[1]
    out[4], out[5], out[6] = curtailed, shed, cold
    out[8], out[9], out[10] = stored[0], stored[1], stored[2]


@compiled
def simulate(
    params: Floats,
    series: Floats,
    stay: NDArray[np.int32],
    stays: Floats,
    state: Floats,
    planned: Floats,
    committed: Floats,
    loose: Floats,
    curtail: Bools,
    first: int,
    hours: float,
    held: Floats,
    known_until: int,
) -> Floats:
    """Run all homes through n periods from period ``first``; returns `OUTPUTS` (11, homes, n).

    ``series`` (homes, n, 4): load, production, heat demand in kW and COP; ``stay`` (homes, n) rows of
    ``stays`` or -1; ``state`` (homes, 3) battery, car, tank kWh, changed in place; ``planned`` (homes, n, 5):
    net, battery, pump, car kW and kWh in the car, or (homes, n, 0) for the rules; ``committed`` (homes, n)
    net kW or NaN; ``loose`` (homes, n, 2) 1 where an import, an export may fall short of its commitment;
    ``curtail`` (n,) True where surplus shall not be exported; ``held`` (homes, n, 2) least and most net
    import beside the connection's limits; the plan knew of stays that begin at ``known_until`` or before.
    """
    homes, periods = stay.shape
    out = np.zeros((11, homes, periods))
    powers = np.zeros(3)
    ranges = np.zeros((3, 2))
    away = np.zeros(3)
    for i in range(homes):
        p = params[i]
        for k in range(periods):
            x = series[i, k]
            row = stays[stay[i, k]] if stay[i, k] >= 0 else away
            _ranges(p, x, state[i], row, first + k, hours, ranges)
            gives_up = row[ARRIVAL] <= known_until and _gives_up(p, row, planned[i, k], first + k, hours)
            due = committed[i, k]
            if not np.isnan(due):
                due = _clip(due, -p[EXPORT_KW], p[IMPORT_KW])
            net = _dispatch(
                p, x, state[i, 2], planned[i, k], due, loose[i, k], gives_up, ranges, powers, hours
            )
            low, high = -p[EXPORT_KW], p[IMPORT_KW]
            if curtail[k]:
                low = max(low, 0.0 if np.isnan(due) else min(due, 0.0))
            low, high = max(low, held[i, k, 0]), min(high, held[i, k, 1])
            net = _absorb(net, low, high, powers, ranges, 1)
            net, shed, curtailed = _limit(net, low, high, x[0], x[1], powers)
            cold = _store(p, x, powers, state[i], hours)
            _record(out[:, i, k], net, powers, shed, curtailed, cold, state[i])
            if row[DEPARTURE] == first + k + 1:
                out[7, i, k] = max(0.0, row[NEED] - state[i, 1])
                state[i, 1] = 0.0
    return out
