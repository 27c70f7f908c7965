"""How long homes take to price limits; run with ``python benchmarks/bench_offers.py``.

18 homes as in a street, a day of 24 hours, 10 limits for each hour: the models stay in the solver from limit
to limit.  The ratio is the time per limit to that of planning the home anew with a fresh model.
"""

from time import process_time
from typing import Any

import numpy as np

from gridagora.agents import Outlook, fleet_from_homes, initial_state
from gridagora.agents.offers import FlexibilityDay, capacity_offers, schedule_under_limits
from gridagora.model.flexibility import FlexProduct
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.time import TimeAxis

HOURS, LIMITS = 24, 10
KINDS = ("b", "bc", "bcp", "bp", "c", "cp", "p", "", "bcp") * 2
AXIS = TimeAxis(start=np.datetime64("2016-01-01"), periods=HOURS, mtu_s=3600)


def _home(rng: np.random.Generator, index: int, devices: str) -> Home:
    clock = np.arange(HOURS)
    load = 0.4 + rng.exponential(0.4, HOURS) + 1.5 * np.exp(-(((clock - 18) / 2.0) ** 2))
    car = ElectricVehicle(
        charge_kw=7.0,
        efficiency=0.9,
        arrival=np.array([15]),
        departure=np.array([24]),
        needed_kwh=rng.uniform(8.0, 30.0, 1),
    )
    pump = HeatPump(
        electric_kw=3.0,
        cop=rng.uniform(2.5, 3.5, HOURS),
        heat_demand_kw=rng.uniform(2.0, 6.0, HOURS),
        tank_kwh=12.0,
    )
    return Home(
        participant=f"home {index}",
        bus="1",
        load_kw=load,
        load_kvar=0.1 * load,
        pv_kw=rng.uniform(1.0, 6.0) * np.maximum(0.0, np.sin((clock - 7) / 10 * np.pi)),
        battery=Battery(energy_kwh=8.0, charge_kw=3.0, discharge_kw=3.0) if "b" in devices else None,
        ev=car if "c" in devices else None,
        heat_pump=pump if "p" in devices else None,
        import_limit_kw=17.0,
        export_limit_kw=10.0,
    )


def _day() -> FlexibilityDay:
    rng = np.random.default_rng(1)
    fleet = fleet_from_homes(tuple(_home(rng, index, kind) for index, kind in enumerate(KINDS)), AXIS)
    outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw, future_stays=True)
    price = np.stack([0.25 + rng.uniform(0.0, 0.2, HOURS), np.full(HOURS, 0.08)], axis=1)
    return FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook, price=price)


def run() -> list[dict[str, Any]]:
    """Measure, best of three; one figure per row."""
    day, windows = _day(), [(hour,) for hour in range(HOURS)]
    product = FlexProduct(direction="cap")

    def offers() -> float:
        start = process_time()
        capacity_offers(day, product, windows=windows, steps=LIMITS)
        return process_time() - start

    def plans() -> float:
        start = process_time()
        schedule_under_limits(day)
        return process_time() - start

    spent, fresh = min(offers() for _ in range(3)), min(plans() for _ in range(3))
    ratio = spent / (HOURS * LIMITS) / fresh
    return [
        {"name": "offers of 18 homes, 24 hours, 10 limits", "value": spent, "limit": 4.0, "unit": "s"},
        {"name": "a limit: kept / new models", "ratio": ratio, "limit": 0.5, "unit": "x"},
    ]


if __name__ == "__main__":
    for row in run():
        figure = row.get("ratio", row.get("value"))
        print(f"{row['name']:50s} {figure:9.3f} {row['unit']:2s}  at most {row['limit']}")
