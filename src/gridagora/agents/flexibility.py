"""How far each device can move from its plan within a session, and what that is worth to it.

A move down leaves less in store at the end of the session than planned (a battery gives more or charges
less, a car or a heat pump waits), a move up leaves more.  What all moves of a session can take out of a
store, or bring into it, is spread over its periods: each has a share in proportion to the power that it has
for it, no more than the store still allows from there on.  Each period gets the same share of every step of
the value curve at the session's end.  So no kWh is offered twice; and as the curve is concave, whatever is
accepted in whichever periods is paid at least what the store loses, and costs at most what it gains.

Homes with several stores: the curve of each holds with the others at their plan.  Two stores may count on
the same cheap kWh of tomorrow, so each gets of every step of its curve only its share of the power that the
home can move in all.
"""

from dataclasses import dataclass

import numpy as np

from gridagora.agents.curves import DOWN, LENGTH, UP, VALUE
from gridagora.agents.fleet import Bools, Fleet, Floats, Param, Stay
from gridagora.agents.rules import Plan


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """A store in a session, seen from the meter; shapes (homes, n) unless said otherwise.

    ``planned_kw`` is the device's power.  A kWh into the device stores ``into`` kWh; a kWh out of it, if it
    can give any, takes ``out`` kWh.  ``down`` and ``up`` are the kWh stored that the device's power allows
    to move in a period, ``down_left`` and ``up_left`` what its content allows up to and in a period.
    ``value`` (homes, 2, STEPS, 2) is the value curve at the end of the session, ``kept`` the share of a kWh
    stored in a period that is still there then.
    """

    planned_kw: Floats
    into: Floats
    out: Floats
    down: Floats
    up: Floats
    down_left: Floats
    up_left: Floats
    value: Floats
    kept: Floats


def session_ranges(fleet: Fleet, plan: Plan) -> tuple[Range, ...] | None:
    """Ranges of battery, vehicle and heat pump around the plan; None when the plan has no marginal values."""
    if plan.battery_value is None or plan.ev_value is None or plan.tank_value is None:
        return None
    stores = (
        _battery(fleet, plan, plan.battery_value),
        _vehicle(fleet, plan, plan.ev_value),
        _pump(fleet, plan, plan.tank_value),
    )
    down = [_spread(store.down, _left(store.down_left)) for store in stores]
    up = [_spread(store.up, _left(store.up_left)) for store in stores]
    shares = zip(_shares(stores, down), _shares(stores, up), strict=True)
    return tuple(
        _range(fleet, store, moves=moves, shares=share)
        for store, moves, share in zip(stores, zip(down, up, strict=True), shares, strict=True)
    )


def _battery(fleet: Fleet, plan: Plan, value: Floats) -> Store:
    """Return the battery: it can charge less and give more, give less and charge more."""
    p, hours, like = fleet.params, fleet.hours, np.ones_like(plan.battery_kw)
    into, out = p[:, Param.CHARGE_EFF, None] * like, like / p[:, Param.DISCHARGE_EFF, None]
    charge, give = np.maximum(plan.battery_kw, 0.0), np.maximum(-plan.battery_kw, 0.0)
    return Store(
        planned_kw=plan.battery_kw,
        into=into,
        out=out,
        down=(charge * into + (p[:, Param.DISCHARGE_KW, None] - give) * out) * hours,
        up=(give * out + (p[:, Param.CHARGE_KW, None] - charge) * into) * hours,
        down_left=plan.battery_kwh - p[:, Param.BATTERY_MIN_KWH, None],
        up_left=p[:, Param.BATTERY_KWH, None] - plan.battery_kwh,
        value=value[:, -1],
        kept=like,
    )


def _vehicle(fleet: Fleet, plan: Plan, value: Floats) -> Store:
    """Return the car that is there now: what waits must be made good after the session, while it stays.

    A car that leaves within the session charges as planned.
    """
    t, n = plan.t, plan.periods
    into = fleet.params[:, Param.EV_EFF, None] * np.ones_like(plan.ev_kw)
    stay = fleet.stay[:, t]
    rows = fleet.stays[stay] if len(fleet.stays) else np.zeros((fleet.homes, len(Stay)))
    stays_on = (stay >= 0) & (fleet.stay[:, t + n - 1] == stay)
    most = np.where(stays_on, fleet.params[:, Param.EV_KW], 0.0)[:, None] * into * fleet.hours
    planned = np.where(stays_on[:, None], plan.ev_kw, 0.0) * into * fleet.hours
    missing = np.where(stays_on[:, None], rows[:, Stay.NEED_KWH, None] - plan.ev_kwh, 0.0)
    after = np.maximum(rows[:, Stay.DEPARTURE] - (t + n), 0.0)[:, None] * most
    return Store(
        planned_kw=plan.ev_kw,
        into=into,
        out=into,
        down=planned,
        up=most - planned,
        down_left=np.where(most > 0.0, after - missing[:, -1:], 0.0),
        up_left=missing,
        value=value[:, -1],
        kept=np.ones_like(into),
    )


def _pump(fleet: Fleet, plan: Plan, value: Floats) -> Store:
    """Return the heat pump and its tank: what waits is what the tank can give instead."""
    p, n = fleet.params, plan.periods
    cop = fleet.cop[:, plan.t : plan.t + n]
    return Store(
        planned_kw=plan.heat_pump_kw,
        into=cop,
        out=cop,
        down=plan.heat_pump_kw * cop * fleet.hours,
        up=(p[:, Param.PUMP_KW, None] - plan.heat_pump_kw) * cop * fleet.hours,
        down_left=plan.tank_kwh,
        up_left=np.where(p[:, Param.PUMP_KW, None] > 0.0, p[:, Param.TANK_KWH, None] - plan.tank_kwh, 0.0),
        value=value[:, -1],
        kept=p[:, Param.TANK_KEEP, None] ** np.arange(n - 1, -1, -1),
    )


def _left(budget: Floats) -> Floats:
    """Return what can be spent from each period on without breaking a later bound: the lowest to come."""
    low = np.minimum.accumulate(budget[:, ::-1], axis=1)[:, ::-1]
    return np.maximum(low, 0.0)


def _spread(most: Floats, budget: Floats) -> Floats:
    """Spread what can be spent over the periods in proportion to ``most`` (>= 0), never above it.

    ``budget``, which never falls, is what may be spent up to and in each period; where it holds spending
    back, later periods make up for it.
    """
    most = np.maximum(most, 0.0)
    rest = np.cumsum(most[:, ::-1], axis=1)[:, ::-1]
    total = np.minimum(rest[:, 0], budget[:, -1])
    spent, out = np.zeros(len(most)), np.zeros(most.shape)
    for k in range(most.shape[1]):
        share = np.divide(most[:, k], rest[:, k], out=np.zeros(len(most)), where=rest[:, k] > 0.0)
        wanted = np.minimum((total - spent) * share, most[:, k])
        out[:, k] = np.clip(wanted, 0.0, np.maximum(budget[:, k] - spent, 0.0))
        spent += out[:, k]
    return out


def _shares(stores: tuple[Store, ...], moves: list[Floats]) -> list[Floats]:
    """Share of each store in the electricity that a home can move, shape (homes,)."""
    power = [(move / store.into).sum(axis=1) for store, move in zip(stores, moves, strict=True)]
    whole = np.sum(power, axis=0)
    return [np.divide(part, whole, out=np.ones(len(whole)), where=whole > 0.0) for part in power]


def _range(
    fleet: Fleet, store: Store, *, moves: tuple[Floats, Floats], shares: tuple[Floats, Floats]
) -> Range:
    """Return the steps of a device: more out, less in (both run in the plan), less out, more in."""
    hours = fleet.hours
    charge, give = np.maximum(store.planned_kw, 0.0), np.maximum(-store.planned_kw, 0.0)
    down, down_value = _ladder(store.value[:, DOWN], moves[DOWN], share=shares[DOWN], kept=store.kept)
    up, up_value = _ladder(store.value[:, UP], moves[UP], share=shares[UP], kept=store.kept)
    wait = _widths(np.minimum(down, (charge * store.into * hours)[:, :, None]))
    more_out = _widths(down) - wait
    less_out = _widths(np.minimum(up, (give * store.out * hours)[:, :, None]))
    more_in = _widths(up) - less_out
    into, out = store.into[:, :, None], store.out[:, :, None]
    steps = [
        more_out / (out * hours),
        wait / (into * hours),
        less_out / (out * hours),
        more_in / (into * hours),
    ]
    worth = [down_value * out, down_value * into, up_value * out, up_value * into]
    low = store.planned_kw - steps[0].sum(axis=2) - steps[1].sum(axis=2)
    count = down.shape[2]
    return Range(
        low_kw=low,
        step_kw=np.concatenate(steps, axis=2),
        worth=np.concatenate(worth, axis=2),
        runs=np.arange(4 * count) < 2 * count,
    )


def _ladder(curve: Floats, moves: Floats, *, share: Floats, kept: Floats) -> tuple[Floats, Floats]:
    """Edges (kWh stored, from 0 at the plan) and values of the steps that each period offers.

    ``curve`` (homes, STEPS, 2), ``moves`` (homes, n) the kWh stored that the session's periods may move:
    each gets the same share of every step; the last step takes what is beyond the curve.
    """
    total = moves.sum(axis=1)
    edges = np.minimum(np.cumsum(curve[:, :, LENGTH], axis=1) * share[:, None], total[:, None])
    edges[:, -1] = total
    part = np.divide(moves, total[:, None], out=np.zeros(moves.shape), where=total[:, None] > 0.0)
    return part[:, :, None] * edges[:, None, :], kept[:, :, None] * curve[:, None, :, VALUE]


def _widths(edges: Floats) -> Floats:
    """Return lengths between the edges, from zero."""
    return np.diff(edges, axis=2, prepend=0.0)
