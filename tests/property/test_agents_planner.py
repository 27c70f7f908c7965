"""Kept models give what fresh ones give; marginal values are what a kWh more or less is worth."""

import numpy as np
import pytest
from agents_samples import AXIS, DAY, outlook, street, tariffs

from gridagora.agents import Team
from gridagora.agents.curves import DOWN, UP, VALUE
from gridagora.agents.ems import Devices, Planner, planning_prices
from gridagora.agents.fleet import FleetState, Param, fleet_from_homes, initial_state
from gridagora.agents.penalties import EV_PENALTY, HEAT_PENALTY, LOAD_PENALTY
from gridagora.agents.ring import BATTERY_ROW, CAR_ROW, TANK_ROW, Ring, windows
from gridagora.model.study import AgentRules, MarketRules

HOURS = AXIS.hours


def test_a_kept_model_finds_the_optimum_that_a_new_one_finds():
    homes = street(6, several=True)
    team = Team(
        homes, AXIS, rules=AgentRules(ems="optimal", horizon_periods=DAY), tariffs=tariffs(), workers=2
    )
    state = team.initial_state()
    for t in range(0, AXIS.periods, 4):
        view = outlook(team, t, team.horizon(t, 4))
        price = planning_prices(tariffs(), MarketRules(), t=t, horizon=view.periods)
        kept = team.plan(state, t, 4, outlook=view)
        assert_same_optimum(team, state, t, view=view, price=price)
        state = team.deliver(state, t, 4, plan=kept).state


def program_cost(window, columns):
    return float(np.sum(window.cost * columns))


def assert_same_optimum(team, state, t, *, view, price):
    planner, fleet = team._planner, team.fleet
    held = state.array()
    stay = fleet.stay[:, t : t + view.periods]
    homes = planner._several
    terminal = np.full((fleet.homes, 3), 0.15)
    numbers = windows(
        fleet, homes, t, outlook=view, stay=stay, price=price, terminal=terminal, slots=planner._slots
    )
    for index, home in enumerate(homes.tolist()):
        window = numbers.of(index)
        kept, _ = planner._rings[home].solve(window, held[home], t)
        new, _ = Ring(fleet.params[home], planner._slots).solve(window, held[home], t)
        assert program_cost(window, kept) == pytest.approx(program_cost(window, new), abs=1e-7)


@pytest.mark.parametrize("device", range(3))
def test_dynamic_programming_equals_the_linear_program(device):
    """The two planners, on the same homes, forecasts and end values, at every hour of the study."""
    homes = street(5, only=device)
    fleet = fleet_from_homes(homes, AXIS)
    planner = Planner(fleet, slots=DAY)
    rings = [Ring(fleet.params[home], DAY) for home in range(len(homes))]
    state, checked = initial_state(fleet), 0
    terminal = np.full((len(homes), 3), 0.15)
    team = Team(homes, AXIS, rules=AgentRules(), tariffs=tariffs())
    row = (BATTERY_ROW, TANK_ROW, CAR_ROW)[device]
    for t in range(0, AXIS.periods - DAY, 4):
        view = outlook(team, t, DAY)
        price = planning_prices(tariffs(), MarketRules(), t=t, horizon=DAY)
        stay = fleet.stay[:, t : t + DAY]
        out = Devices(len(homes), DAY)
        planner._single(out, state, t, outlook=view, stay=stay, price=price, terminal=terminal)
        numbers = windows(
            fleet,
            np.arange(len(homes)),
            t,
            outlook=view,
            stay=stay,
            price=price,
            terminal=terminal,
            slots=DAY,
        )
        for home, ring in enumerate(rings):
            window = numbers.of(home)
            columns, duals = ring.solve(window, state.array()[home], t)
            mine = objective(
                fleet, home, out.plan[:, home], view=view, price=price, stay=stay, t=t, terminal=terminal
            )
            assert mine == pytest.approx(program_cost(window, columns), abs=1e-6)
            if same(out.plan, columns, device, home):
                values = np.append(-duals[1:, row], terminal[home, device])
                values[:-1] *= fleet.params[home, Param.TANK_KEEP] if device == 1 else 1.0
                on = stay[home] == np.append(stay[home, 1:], -2) if device == 2 else np.full(DAY, True)
                on &= (stay[home] >= 0) | (device != 2)
                less_full, less_empty = inner(fleet, home, device, out.plan[device, home, :, 1], stay[home])
                first = out.curves[device, home, :, :, 0, VALUE]
                assert np.all((values <= first[:, DOWN] + 1e-6)[on & less_empty])
                assert np.all((values >= first[:, UP] - 1e-6)[on & less_full])
                checked += 1
        state = after(state, out.plan, device, fleet=fleet, t=t)
    assert checked


def inner(fleet, home, device, stored, stay):
    """Where the store is not full, not empty: at a bound the dual may lie beyond the one-sided value."""
    p = fleet.params[home]
    need = np.where(stay >= 0, fleet.stays[np.maximum(stay, 0), 2], 0.0) if device == 2 else 0.0
    high, low = (p[2], p[11], need)[device], (p[3], 0.0, 0.0)[device]
    return stored < high - 1e-6, stored > low + 1e-6


def same(out, columns, device, home):
    """Whether both planners keep the same content (the optimum need not be unique)."""
    store = (6, 11, 8)[device]
    return bool(np.allclose(out[device, home, :, 1], columns[:, store], atol=1e-9))


def objective(fleet, home, out, *, view, price, stay, t, terminal):
    """Cost of a device's schedule as the linear program counts it."""
    battery, pump, car = out[:, :, 0]
    net = (view.load_kw[home] - view.pv_kw[home] + battery + pump + car) * HOURS
    p = fleet.params[home] * HOURS
    shed = np.maximum(net - p[0], 0.0)
    net = np.clip(net, -p[1], p[0])
    cost = (
        np.maximum(net, 0.0) @ price[:, 0] - np.maximum(-net, 0.0) @ price[:, 1] + LOAD_PENALTY * shed.sum()
    )
    if p[10] > 0.0:
        keep, tank = fleet.params[home, 12], out[1, :, 1]
        heat = fleet.cop[home, t : t + DAY] * pump * HOURS - view.heat_kw[home] * HOURS
        cost += HEAT_PENALTY * np.sum(tank[1:] - keep * tank[:-1] - heat[1:])
        cost -= terminal[home, 1] * tank[-1]
    if p[2] > 0.0:
        cost -= terminal[home, 0] * out[0, -1, 1]
    if p[8] > 0.0:
        ends = np.flatnonzero((stay[home] >= 0) & (np.append(stay[home, 1:], -2) != stay[home]))
        for k in ends:
            row = fleet.stays[stay[home, k]]
            later = max(0.0, row[1] - t - k - 1) * p[8] * fleet.params[home, 9]
            due = max(0.0, row[2] - later)
            cost += EV_PENALTY * max(0.0, due - out[2, k, 1])
            cost -= terminal[home, 2] * max(0.0, out[2, k, 1] - due) * (row[1] != t + k + 1)
    return cost


def after(state, out, device, *, fleet, t):
    contents = [state.battery_kwh, state.tank_kwh, state.ev_kwh]
    contents[device] = out[device, :, 3, 1].copy()
    if device == 2:
        contents[2] = np.where(fleet.stay[:, t + 3] == fleet.stay[:, t + 4], contents[2], 0.0)
    return FleetState(battery_kwh=contents[0], tank_kwh=contents[1], ev_kwh=contents[2])
