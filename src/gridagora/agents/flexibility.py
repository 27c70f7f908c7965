"""How far each device can move from its plan within a session, and what that is worth to it."""

from dataclasses import dataclass

import numpy as np

from gridagora.agents.fleet import Fleet, Floats, Param, Stay
from gridagora.agents.rules import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Powers open to a device, kW, and their worth per kWh of electricity, shape (homes, n).

    The device can run from ``low_kw`` (<= 0 for a battery that can discharge) over ``out_kw`` more, each kWh
    worth ``out_value``, and then over ``in_kw`` more, each worth ``in_value``.
    """

    low_kw: Floats
    out_kw: Floats
    in_kw: Floats
    out_value: Floats
    in_value: Floats


def session_ranges(fleet: Fleet, plan: Plan) -> tuple[Range, ...] | None:
    """Ranges of battery, vehicle and heat pump around the plan; None when the plan has no marginal values."""
    if plan.battery_value is None or plan.ev_value is None or plan.tank_value is None:
        return None
    ranges = []
    if fleet.has(Param.BATTERY_KWH).any():
        ranges.append(_battery(fleet, plan, plan.battery_value))
    if fleet.has(Param.EV_KW).any():
        ranges.append(_vehicle(fleet, plan, plan.ev_value))
    if fleet.has(Param.PUMP_KW).any():
        ranges.append(_pump(fleet, plan, plan.tank_value))
    return tuple(ranges) or None


def _battery(fleet: Fleet, plan: Plan, value: Floats) -> Range:
    p, hours = fleet.params, fleet.hours
    charge, discharge = p[:, Param.CHARGE_EFF, None], p[:, Param.DISCHARGE_EFF, None]
    into, out = np.maximum(plan.battery_kw, 0.0), np.maximum(-plan.battery_kw, 0.0)
    room = _left(p[:, Param.BATTERY_KWH, None] - plan.battery_kwh) / (charge * hours)
    reserve = _left(plan.battery_kwh - p[:, Param.BATTERY_MIN_KWH, None]) * discharge / hours
    into = into + _spend(room, p[:, Param.CHARGE_KW, None] - into)
    out = out + _spend(reserve, p[:, Param.DISCHARGE_KW, None] - out)
    return Range(low_kw=-out, out_kw=out, in_kw=into, out_value=value / discharge, in_value=value * charge)


def _vehicle(fleet: Fleet, plan: Plan, value: Floats) -> Range:
    """Range of the car: what may be postponed is what the charger can still make good after the session."""
    t, n = plan.t, plan.periods
    efficiency = fleet.params[:, Param.EV_EFF, None]
    per_kw = efficiency * fleet.hours
    stay = fleet.stay[:, t]
    plugged = (stay[:, None] >= 0) & (fleet.stay[:, t : t + n] == stay[:, None])
    rows = fleet.stays[stay] if len(fleet.stays) else np.zeros((fleet.homes, len(Stay)))
    most = np.where(plugged, fleet.params[:, Param.EV_KW, None], 0.0)
    missing = np.where(plugged, rows[:, Stay.NEED_KWH, None] - plan.ev_kwh, 0.0)
    after = np.maximum(rows[:, Stay.DEPARTURE] - (t + n), 0.0)[:, None] * most
    slack = np.where(plugged, after - missing[:, -1:] / per_kw, 0.0)
    later = _spend(_left(slack), plan.ev_kw)
    more = _spend(_left(missing / per_kw), most - plan.ev_kw)
    worth = value * efficiency
    zero = np.zeros_like(worth)
    return Range(low_kw=plan.ev_kw - later, out_kw=zero, in_kw=later + more, out_value=worth, in_value=worth)


def _pump(fleet: Fleet, plan: Plan, value: Floats) -> Range:
    p = fleet.params
    cop = fleet.cop[:, plan.t : plan.t + plan.periods]
    room = _left((p[:, Param.TANK_KWH, None] - plan.tank_kwh) / (cop * fleet.hours))
    reserve = _left(plan.tank_kwh / (cop * fleet.hours))
    more = _spend(room, p[:, Param.PUMP_KW, None] - plan.heat_pump_kw)
    less = _spend(reserve, plan.heat_pump_kw)
    worth = value * cop
    zero = np.zeros_like(worth)
    return Range(
        low_kw=plan.heat_pump_kw - less, out_kw=zero, in_kw=less + more, out_value=worth, in_value=worth
    )


def _left(budget: Floats) -> Floats:
    """Return what can be spent from each period on without breaking a later bound: the lowest to come."""
    low = np.minimum.accumulate(budget[:, ::-1], axis=1)[:, ::-1]
    return np.maximum(low, 0.0)


def _spend(budget: Floats, most: Floats) -> Floats:
    """Spend a budget on the periods in their order, at most ``most`` (>= 0) in each."""
    spent = np.zeros(budget.shape[0])
    out = np.zeros(budget.shape)
    for k in range(budget.shape[1]):
        out[:, k] = np.maximum(np.minimum(most[:, k], budget[:, k] - spent), 0.0)
        spent += out[:, k]
    return out
