"""How far each device can move from its plan within a session, and what that is worth to it."""

from dataclasses import dataclass

import numpy as np

from gridagora.agents.fleet import Bools, Fleet, Floats, Param, Stay
from gridagora.agents.rules import Plan

PLANNED_MORE = np.array([True, False])
"""Steps of a device that only consumes: what is planned and can wait, and what can be had beyond it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Powers open to a device beyond ``low_kw``: steps in kW and their worth per kWh of electricity.

    ``low_kw`` (homes, n) is the least that it can run at (below 0 for a battery that can discharge);
    ``step_kw`` and ``worth`` are (homes, n, steps); ``runs`` (steps,) tells the steps that are part of the
    plan.
    """

    low_kw: Floats
    step_kw: Floats
    worth: Floats
    runs: Bools


def session_ranges(fleet: Fleet, plan: Plan) -> tuple[Range, ...] | None:
    """Ranges of battery, vehicle and heat pump around the plan; None when the plan has no marginal values."""
    if plan.battery_value is None or plan.ev_value is None or plan.tank_value is None:
        return None
    battery = _battery(fleet, plan, plan.battery_value)
    return battery, _vehicle(fleet, plan, plan.ev_value), _pump(fleet, plan, plan.tank_value)


def _battery(fleet: Fleet, plan: Plan, value: Floats) -> Range:
    """Range of the battery: more discharge, planned discharge, planned charge, more charge."""
    p, hours = fleet.params, fleet.hours
    charge, discharge = p[:, Param.CHARGE_EFF, None], p[:, Param.DISCHARGE_EFF, None]
    into, out = np.maximum(plan.battery_kw, 0.0), np.maximum(-plan.battery_kw, 0.0)
    room = _left(p[:, Param.BATTERY_KWH, None] - plan.battery_kwh) / (charge * hours)
    reserve = _left(plan.battery_kwh - p[:, Param.BATTERY_MIN_KWH, None]) * discharge / hours
    more_in = _spend(room, p[:, Param.CHARGE_KW, None] - into)
    more_out = _spend(reserve, p[:, Param.DISCHARGE_KW, None] - out)
    less, more = value[..., 0], value[..., 1]
    worth = np.stack([less / discharge, more / discharge, less * charge, more * charge], axis=2)
    step = np.stack([more_out, out, into, more_in], axis=2)
    return Range(low_kw=-out - more_out, step_kw=step, worth=worth, runs=np.array([True, False, True, False]))


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
    later = _spend(_left(slack), np.where(plugged, plan.ev_kw, 0.0))
    more = _spend(_left(missing / per_kw), most - plan.ev_kw)
    step = np.stack([later, more], axis=2)
    return Range(
        low_kw=plan.ev_kw - later, step_kw=step, worth=value * efficiency[..., None], runs=PLANNED_MORE
    )


def _pump(fleet: Fleet, plan: Plan, value: Floats) -> Range:
    """Range of the heat pump: what may be postponed is what the tank can give instead."""
    p = fleet.params
    cop = fleet.cop[:, plan.t : plan.t + plan.periods]
    room = _left((p[:, Param.TANK_KWH, None] - plan.tank_kwh) / (cop * fleet.hours))
    reserve = _left(plan.tank_kwh / (cop * fleet.hours))
    more = _spend(room, p[:, Param.PUMP_KW, None] - plan.heat_pump_kw)
    less = _spend(reserve, plan.heat_pump_kw)
    step = np.stack([less, more], axis=2)
    return Range(
        low_kw=plan.heat_pump_kw - less, step_kw=step, worth=value * cop[..., None], runs=PLANNED_MORE
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
