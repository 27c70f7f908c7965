"""Optimal plans with perfect foresight against an independent linear program (scipy), full horizon."""

from itertools import product

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from gridagora.agents import Team
from gridagora.agents.penalties import EV_PENALTY, HEAT_PENALTY, LOAD_PENALTY
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.study import AgentRules, Tariffs
from gridagora.model.time import TimeAxis

PERIODS, HOURS = 48, 0.5
AXIS = TimeAxis(start=np.datetime64("2016-06-01"), periods=PERIODS, mtu_s=1800)
DEVICES = [name for name in product((False, True), repeat=3) if any(name)]


def random_home(seed, battery, car, pump, tight=False):
    rng = np.random.default_rng(seed)
    clock = np.arange(PERIODS) % 48
    pv = 5.0 * np.maximum(0.0, np.sin((clock - 12) / 24 * np.pi)) * rng.uniform(0.4, 1.0, PERIODS)
    load = rng.exponential(0.6, PERIODS)
    stays = {"arrival": [0, 16, 34], "departure": [9, 30, 48], "needed_kwh": rng.uniform(2.0, 11.0, 3)}
    return Home(
        participant="home",
        bus="1",
        load_kw=load,
        load_kvar=0.1 * load,
        pv_kw=pv if seed % 3 else None,
        battery=Battery(energy_kwh=7.0, charge_kw=2.5, discharge_kw=3.0, min_share=0.1) if battery else None,
        ev=ElectricVehicle(charge_kw=3.7, efficiency=0.9, **{k: np.array(v) for k, v in stays.items()})
        if car
        else None,
        heat_pump=HeatPump(
            electric_kw=2.0,
            cop=rng.uniform(2.5, 4.0, PERIODS),
            heat_demand_kw=rng.uniform(0.0, 6.0, PERIODS) if not tight else rng.uniform(0.0, 9.0, PERIODS),
            tank_kwh=9.0,
            loss_per_hour=0.02,
        )
        if pump
        else None,
        import_limit_kw=2.2 if tight else 9.0,
        export_limit_kw=1.5 if tight else 8.0,
    )


def random_tariffs(seed):
    rng = np.random.default_rng(seed + 1000)
    buy = {
        0: np.full(PERIODS, 0.3),
        1: rng.choice([0.22, 0.3, 0.41], PERIODS),
        2: rng.uniform(0.1, 0.5, PERIODS),
    }
    retail = buy[seed % 3] - 0.1
    flat = np.full(PERIODS, 1.0)
    feed_in = np.minimum(rng.uniform(0.0, 0.1, PERIODS), retail) if seed % 2 else 0.08 * flat
    return Tariffs(
        retail=retail,
        feed_in=np.maximum(feed_in, 0.0),
        network=0.07 * flat,
        taxes=0.03 * flat,
        imbalance_short=retail,
        imbalance_long=feed_in,
    )


def cost_of(team, delivery, tariffs):
    """What the household pays and misses, from what the devices really did."""
    net = delivery.net_kw[0] * HOURS
    buy = tariffs.retail + tariffs.network + tariffs.taxes
    cost = np.sum(buy * np.maximum(net, 0.0) - tariffs.feed_in * np.maximum(-net, 0.0))
    missing = (
        EV_PENALTY * delivery.ev_short_kwh.sum() + HEAT_PENALTY * delivery.unserved_heat_kw.sum() * HOURS
    )
    return cost + missing + LOAD_PENALTY * delivery.unserved_load_kw.sum() * HOURS


def reference_cost(home, tariffs):
    """The same problem, written anew: a block of variables per quantity, no states but cumulative sums."""
    n, one, cumulative = PERIODS, sparse.eye(PERIODS), sparse.csr_matrix(np.tril(np.ones((PERIODS, PERIODS))))
    cost, lower, upper, balance, inequality, limit = [], [], [], [], [], []
    blocks = 0

    def block(price, high, sign):
        nonlocal blocks
        cost.append(np.broadcast_to(price, n))
        lower.append(np.zeros(n))
        upper.append(np.broadcast_to(high, n))
        balance.append(sign * one)
        blocks += 1
        return blocks - 1

    def at_most(terms, right):
        inequality.append(terms)
        limit.append(right)

    load = home.load_kw * HOURS
    pv = home.pv_kw * HOURS if home.pv_kw is not None else np.zeros(n)
    block(tariffs.retail + tariffs.network + tariffs.taxes, home.import_limit_kw * HOURS, 1.0)
    block(-tariffs.feed_in, home.export_limit_kw * HOURS, -1.0)
    block(0.0, pv, -1.0)
    block(LOAD_PENALTY, load, 1.0)
    if (b := home.battery) is not None:
        charge, discharge = block(0.0, b.charge_kw * HOURS, -1.0), block(0.0, b.discharge_kw * HOURS, 1.0)
        gain, loss = b.charge_efficiency * cumulative, cumulative / b.discharge_efficiency
        start = b.energy_kwh * b.initial_share
        at_most({charge: gain, discharge: -loss}, np.full(n, b.energy_kwh - start))
        at_most({charge: -gain, discharge: loss}, np.full(n, start - b.energy_kwh * b.min_share))
    if (ev := home.ev) is not None:
        plugged, stays = np.zeros(n), []
        for arrival, departure in zip(ev.arrival, ev.departure, strict=True):
            plugged[arrival:departure] = 1.0
            stays.append((np.arange(n) >= arrival) & (np.arange(n) < departure))
        car = block(0.0, plugged * ev.charge_kw * HOURS, -1.0)
        short = block(EV_PENALTY, np.concatenate([ev.needed_kwh, np.zeros(n - 3)]), 0.0)
        inside = sparse.csr_matrix(np.array(stays, dtype=float))
        pick = sparse.eye(3, n)
        at_most({car: -ev.efficiency * inside, short: -pick}, -ev.needed_kwh)
        at_most({car: ev.efficiency * inside}, ev.needed_kwh)
    if (p := home.heat_pump) is not None:
        keep = 1.0 - p.loss_per_hour * HOURS
        age = np.subtract.outer(np.arange(n), np.arange(n))
        decay = sparse.csr_matrix(np.where(age >= 0, keep ** np.maximum(age, 0), 0.0))
        pump = block(0.0, p.electric_kw * HOURS, -1.0)
        cold = block(HEAT_PENALTY, p.heat_demand_kw * HOURS, 0.0)
        heat = decay @ sparse.diags(p.cop)
        base = keep ** np.arange(1, n + 1) * p.tank_kwh * p.initial_share - decay @ (p.heat_demand_kw * HOURS)
        at_most({pump: heat, cold: decay}, p.tank_kwh - base)
        at_most({pump: -heat, cold: -decay}, base)
    rows = []
    for terms, right in zip(inequality, limit, strict=True):
        rows.append([terms.get(j, sparse.csr_matrix((len(right), n))) for j in range(blocks)])
    answer = linprog(
        np.concatenate(cost),
        A_eq=sparse.hstack(balance).tocsr(),
        b_eq=load - pv,
        A_ub=sparse.bmat(rows).tocsr() if rows else None,
        b_ub=np.concatenate(limit) if rows else None,
        bounds=np.stack([np.concatenate(lower), np.concatenate(upper)], axis=1),
    )
    assert answer.status == 0
    return answer.fun


@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("devices", DEVICES)
def test_perfect_foresight_equals_an_independent_linear_program(devices, tight):
    for seed in range(6):
        home, tariffs = random_home(seed, *devices, tight=tight), random_tariffs(seed)
        rules = AgentRules(ems="optimal", forecast="perfect", horizon_periods=PERIODS)
        team = Team((home,), AXIS, rules=rules, tariffs=tariffs, value_left=False)
        state = team.initial_state()
        plan = team.plan(state, 0, PERIODS, outlook=team.actual(0, PERIODS))
        delivery = team.deliver(state, 0, PERIODS, plan=plan)
        np.testing.assert_allclose(delivery.net_kw, plan.net_kw, atol=1e-6)
        reference = reference_cost(home, tariffs)
        assert cost_of(team, delivery, tariffs) == pytest.approx(reference, abs=1e-6, rel=1e-6), seed
