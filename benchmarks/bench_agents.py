"""How long homes take to plan, bid and deliver; run with ``python benchmarks/bench_agents.py``.

Planning times are ratios to a bare solve of the same size measured in the same run, so that they hold on any
machine; the absolute times per home and plan are processor seconds, there to be read.
"""

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

from gridagora.agents import Outlook, Team
from gridagora.agents.ems import Planner, planning_prices
from gridagora.forecast import forecast
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.study import AgentRules, MarketRules, Tariffs
from gridagora.model.time import TimeAxis

DAY, DAYS, REPLAN = 96, 4, 4
AXIS = TimeAxis(start=np.datetime64("2016-06-01"), periods=DAY * DAYS)
CLOCK = np.arange(AXIS.periods) % DAY
YEAR = 8784


def _home(rng: np.random.Generator, index: int, devices: str) -> Home:
    periods = AXIS.periods
    sun = np.maximum(0.0, np.sin((CLOCK - 24) / 48 * np.pi))
    load = 0.2 + rng.exponential(0.3, periods) + 0.6 * np.exp(-(((CLOCK - 76) / 8.0) ** 2))
    days = np.arange(DAYS - 1)
    car = ElectricVehicle(
        charge_kw=11.0,
        efficiency=0.9,
        arrival=days * DAY + rng.integers(64, 80, len(days)),
        departure=(days + 1) * DAY + rng.integers(24, 36, len(days)),
        needed_kwh=rng.uniform(3.0, 20.0, len(days)),
    )
    pump = HeatPump(
        electric_kw=3.0,
        cop=rng.uniform(2.5, 4.0, periods),
        heat_demand_kw=rng.uniform(1.0, 5.0, periods),
        tank_kwh=15.0,
    )
    return Home(
        participant=f"home {index}",
        bus="1",
        load_kw=load,
        load_kvar=0.1 * load,
        pv_kw=rng.uniform(3.0, 10.0) * sun * rng.uniform(0.5, 1.0, periods),
        battery=Battery(energy_kwh=8.0, charge_kw=3.0, discharge_kw=3.0) if "b" in devices else None,
        ev=car if "c" in devices else None,
        heat_pump=pump if "p" in devices else None,
        import_limit_kw=17.0,
        export_limit_kw=10.0,
    )


def _tariffs() -> Tariffs:
    flat = np.ones(AXIS.periods)
    retail = np.where((CLOCK >= 68) & (CLOCK < 84), 0.26, np.where(CLOCK < 24, 0.14, 0.20))
    return Tariffs(
        retail=retail,
        feed_in=0.08 * flat,
        network=0.07 * flat,
        taxes=0.04 * flat,
        imbalance_short=retail + 0.05,
        imbalance_long=0.05 * flat,
    )


def _team(devices: list[str], ems: str) -> Team:
    rng = np.random.default_rng(1)
    homes = tuple(_home(rng, index, kind) for index, kind in enumerate(devices))
    return Team(homes, AXIS, rules=AgentRules(ems=ems, horizon_periods=DAY), tariffs=_tariffs())


def _outlook(team: Team, t: int) -> Outlook:
    def issue(series: np.ndarray) -> np.ndarray:
        horizon = team.horizon(t, REPLAN)
        return forecast(series, method="seasonal", t=t, horizon=horizon, season=DAY).values

    fleet = team.fleet
    return Outlook(load_kw=issue(fleet.load_kw), pv_kw=issue(fleet.pv_kw), heat_kw=issue(fleet.heat_kw))


def _sessions(team: Team, first: int, last: int) -> dict[str, float]:
    """Seconds spent in each step of the sessions of [first, last)."""
    spent = dict.fromkeys(("forecast", "plan", "bids", "deliver"), 0.0)
    state = team.initial_state()

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = process_time()
        result = call()
        spent[name] += process_time() - start
        return result

    for t in range(first, last, REPLAN):
        view = timed("forecast", lambda t=t: _outlook(team, t))
        plan = timed("plan", lambda t=t, state=state, view=view: team.plan(state, t, REPLAN, outlook=view))
        timed("bids", lambda plan=plan: team.bids(plan))
        due = plan.net_kw
        done = timed(
            "deliver",
            lambda t=t, state=state, plan=plan, due=due: team.deliver(
                state, t, REPLAN, plan=plan, committed_kw=due
            ),
        )
        state = done.state
    return spent


def _kept_against_new(devices: str) -> float:
    """Time of a re-plan with kept models as a share of one with new models: ten homes, best of three."""
    team = _team([devices] * 10, "optimal")
    state = team.initial_state()
    price = planning_prices(_tariffs(), MarketRules(), t=0, horizon=AXIS.periods)

    def seconds(planners: list[Planner]) -> float:
        start = process_time()
        for t, planner in zip(range(0, DAY, REPLAN), planners, strict=True):
            planner.plan(state, t, REPLAN, outlook=_outlook(team, t), price=price[t : t + DAY])
        return process_time() - start

    kept = Planner(team.fleet, slots=DAY)
    count = DAY // REPLAN
    seconds([kept] * count)
    return min(seconds([kept] * count) for _ in range(3)) / seconds(
        [Planner(team.fleet, slots=DAY) for _ in range(count)]
    )


def _milliseconds(devices: str) -> float:
    """Time of a re-plan per home, best of three."""
    team = _team([devices] * 10, "optimal")
    _sessions(team, 0, DAY)
    best = min(_sessions(team, DAY, DAY * (DAYS - 1))["plan"] for _ in range(3))
    return 1e3 * best / ((DAYS - 2) * DAY // REPLAN) / 10


def run() -> list[dict[str, Any]]:
    """Measure; one figure per row."""
    rows: list[dict[str, Any]] = []
    for name, devices in (("two stores", "bp"), ("three stores", "bcp")):
        ratio = _kept_against_new(devices)
        rows.append(
            {"name": f"re-plan, {name}: kept / new models", "ratio": ratio, "limit": 0.5, "unit": "x"}
        )
    kinds = (("one store", "b", 0.2), ("two stores", "bp", 3.0), ("three stores", "bcp", 4.0))
    for name, devices, limit in kinds:
        value = _milliseconds(devices)
        rows.append({"name": f"re-plan of a home with {name}", "value": value, "limit": limit, "unit": "ms"})
    sessions = (DAYS - 2) * DAY // REPLAN
    mixed = ["b"] * 15 + ["c"] * 10 + ["p"] * 5 + ["bc"] * 6 + ["bp"] * 6 + ["bcp"] * 3 + [""] * 55
    for ems, limit in (("rule_based", 20.0), ("optimal", 200.0)):
        team = _team(mixed, ems)
        _sessions(team, 0, DAY)
        spent = _sessions(team, DAY, DAY * (DAYS - 1))
        for step, seconds in spent.items():
            value, name = seconds / sessions * YEAR, f"{ems}: {step}, a year of 100 homes"
            rows.append({"name": name, "value": value, "limit": limit, "unit": "s"})
    return rows


if __name__ == "__main__":
    for row in run():
        figure = row.get("ratio", row.get("value"))
        print(f"{row['name']:50s} {figure:9.3f} {row['unit']:2s}  at most {row['limit']}")
