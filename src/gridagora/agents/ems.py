"""Optimal home energy management: the schedule of least cost over a rolling horizon.

A home minimises what it pays outside the local market, import x (retail + network + taxes) - export x
feed-in, plus penalties for a car that is not ready, missing heat and shed load, less the value of what is
left in store at the end of the horizon.  A home with one store is planned by dynamic programming
(`dynamic`), one with several by a linear program that stays in the solver (`ring`); both give the optimum of
the same problem.

Prices in planning: below zero they count as zero, and the feed-in price counts at most as the import price.
Otherwise a home could earn by burning energy (charging and discharging at once) or by trading in a circle
through one meter, which no device does.  Where energy is worth nothing at all the linear program may still
charge and discharge at once: it costs nothing, and only the net power leaves the plan.  Bills are made with
the prices as they are.

Value of what is left (``value_left``; without it stores run dry at the end of the horizon): a kWh in the
battery is worth half-way between the surplus that it saves, mean feed-in / charge efficiency, and the demand
that it covers, mean import price x discharge efficiency; so is the tank's heat, both per mean COP; a car
that stays longer must be able to be ready in time and a kWh in it is worth the mean import price /
efficiency.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from gridagora.agents.curves import STEPS
from gridagora.agents.fleet import Fleet, FleetState, Floats, Param
from gridagora.agents.ring import BATTERY as BATTERY_STORE
from gridagora.agents.ring import (
    CAR,
    CAR_STORE,
    CHARGE,
    DISCHARGE,
    PUMP,
    SHORT,
    TANK,
    Ring,
    windows,
)
from gridagora.agents.rules import Outlook, Plan, known_stays
from gridagora.model.study import MarketRules, Tariffs


def planning_prices(tariffs: Tariffs, market: MarketRules, *, t: int, horizon: int) -> Floats:
    """Prices at the meter that homes plan with: import and export, currency per kWh, shape (horizon, 2).

    Islanded, an imported kWh counts at the value of lost load and an exported one at nothing.
    """
    window = slice(t, t + horizon)
    if market.islanded:
        return np.tile([market.value_of_lost_load, 0.0], (horizon, 1))
    buy = np.maximum(tariffs.retail[window] + tariffs.network[window] + tariffs.taxes[window], 0.0)
    return np.stack([buy, np.clip(tariffs.feed_in[window], 0.0, buy)], axis=1)


def end_values(fleet: Fleet, price: Floats, cop: Floats) -> Floats:
    """Value of a kWh left in battery, tank and vehicle at the end of the horizon, shape (homes, 3).

    ``price`` (horizon, 2) as of `planning_prices`, ``cop`` (homes, horizon).
    """
    buy, sell = price.mean(axis=0)
    p = fleet.params
    battery = 0.5 * (sell / p[:, Param.CHARGE_EFF] + buy * p[:, Param.DISCHARGE_EFF])
    tank = 0.5 * (sell + buy) / cop.mean(axis=1)
    return np.stack([battery, tank, buy / p[:, Param.EV_EFF]], axis=1)


class Planner:
    """Plans the homes of a fleet again and again; keeps the solver's models and some scratch space.

    Parameters
    ----------
    fleet : the homes
    slots : longest horizon in periods
    value_left : whether what is left in store at the end of the horizon has a value
    workers : threads that solve linear programs side by side; the result does not depend on it
    """

    def __init__(self, fleet: Fleet, *, slots: int, value_left: bool = True, workers: int = 1) -> None:
        self._fleet = fleet
        self._slots = max(2, min(slots, fleet.periods))
        self._value_left = value_left
        stores = fleet.storages
        has = np.stack(
            [fleet.has(Param.BATTERY_KWH), fleet.has(Param.PUMP_KW), fleet.has(Param.EV_KW)], axis=1
        )
        self._has = has
        self._device = np.where(stores == 1, np.argmax(has, axis=1), -1)
        self._several = np.flatnonzero(stores > 1)
        self._rings: dict[int, Ring] = {}
        self._pool = (
            ThreadPoolExecutor(max_workers=workers) if workers > 1 and len(self._several) > 1 else None
        )

    def plan(self, state: FleetState, t: int, n: int, *, outlook: Outlook, price: Floats) -> Plan:
        """Plan ``[t, t + n)`` at least cost over the outlook's periods.

        ``price`` (horizon, 2) import and export per kWh, import >= export >= 0 (see `planning_prices`).
        Raises `SolverError` when a linear program has no optimum.
        """
        slots = max(n, self._slots)
        if slots > self._slots:
            self._slots = slots
            self._rings.clear()
        outlook = outlook.part(slots)
        price = price[:slots]
        fleet, horizon = self._fleet, outlook.periods
        stay = fleet.stay[:, t : t + horizon] if outlook.future_stays else known_stays(fleet, t, horizon)
        terminal = np.zeros((fleet.homes, 3))
        if self._value_left:
            terminal = end_values(fleet, price, fleet.cop[:, t : t + horizon])
        out = Devices(fleet.homes, n)
        self._single(out, state, t, outlook=outlook, stay=stay, price=price, terminal=terminal)
        self._multiple(out, state, t, outlook=outlook, stay=stay, price=price, terminal=terminal)
        return _assemble(fleet, out, t=t, outlook=outlook)

    def _single(
        self, out: "Devices", state: FleetState, t: int, *, outlook: Outlook, stay: NDArray[np.int32],
        price: Floats, terminal: Floats,
    ) -> None:  # fmt: skip
        """Homes with one store, by dynamic programming."""
        from gridagora.agents.dynamic import plan_all

        fleet = self._fleet
        window = slice(t, t + outlook.periods)
        series = np.stack([outlook.load_kw, outlook.pv_kw, outlook.heat_kw, fleet.cop[:, window]], axis=2)
        rows, curves = plan_all(
            fleet.params, self._device, series, price, np.ascontiguousarray(stay), fleet.stays, state.array(),
            terminal, t, fleet.hours, out.periods,
        )  # fmt: skip
        for device in range(3):
            chosen = self._device == device
            out.plan[device, chosen] = rows[chosen]
            out.curves[device, chosen] = curves[chosen]

    def _multiple(
        self, out: "Devices", state: FleetState, t: int, *, outlook: Outlook, stay: NDArray[np.int32],
        price: Floats, terminal: Floats,
    ) -> None:  # fmt: skip
        """Homes with several stores, by linear programs; then the curve of each, the others at their plan."""
        if not len(self._several):
            return
        numbers = windows(
            self._fleet, self._several, t,
            outlook=outlook, stay=stay, price=price, terminal=terminal, slots=self._slots,
        )  # fmt: skip
        held = state.array()
        jobs = [numbers.of(index) for index in range(len(self._several))]
        run = map if self._pool is None else self._pool.map
        rings = [self._ring(home) for home in self._several.tolist()]
        answers = run(lambda ring, job, store: ring.solve(job, store, t), rings, jobs, held[self._several])
        horizon, hours = outlook.periods, self._fleet.hours
        plans = np.zeros((3, len(self._several), horizon, 2))
        for row, (job, (columns, _)) in enumerate(zip(jobs, answers, strict=True)):
            columns = columns[:horizon]
            # the program takes out of the car what is due; the plan tells what is in it
            in_car = columns[:, CAR_STORE] + job.upper[:horizon, SHORT] - columns[:, SHORT]
            battery = (columns[:, CHARGE] - columns[:, DISCHARGE]) / hours
            plans[0, row] = np.stack([battery, columns[:, BATTERY_STORE]], axis=1)
            plans[1, row] = np.stack([columns[:, PUMP] / hours, columns[:, TANK]], axis=1)
            plans[2, row] = np.stack([columns[:, CAR] / hours, in_car], axis=1)
        out.plan[:, self._several] = plans[:, :, : out.periods]
        self._curves(out, plans, t, outlook=outlook, stay=stay, price=price, terminal=terminal)

    def _curves(
        self, out: "Devices", plans: Floats, t: int, *, outlook: Outlook, stay: NDArray[np.int32],
        price: Floats, terminal: Floats,
    ) -> None:  # fmt: skip
        """Value curves of homes with several stores: each store's with the others held at their plan."""
        from gridagora.agents.dynamic import curves_all

        fleet, window = self._fleet, slice(t, t + outlook.periods)
        device, place = np.nonzero(self._has[self._several].T)
        home = self._several[place]
        others = plans[..., 0].sum(axis=0)[place] - plans[device, place, :, 0]
        series = np.stack(
            [
                outlook.load_kw[home] + others,
                outlook.pv_kw[home],
                outlook.heat_kw[home],
                fleet.cop[home, window],
            ],
            axis=2,
        )
        out.curves[device, home] = curves_all(
            fleet.params[home], device, series, price, stay[home], fleet.stays,
            plans[device, place, : out.periods], terminal[home], t, fleet.hours,
        )  # fmt: skip

    def _ring(self, home: int) -> Ring:
        if home not in self._rings:
            self._rings[home] = Ring(self._fleet.params[home], self._slots)
        return self._rings[home]


class Devices:
    """Rows of battery, pump, vehicle: ``plan`` (3, homes, n, 2) kW and kWh stored, and value ``curves``."""

    def __init__(self, homes: int, periods: int) -> None:
        self.periods = periods
        self.plan: Floats = np.zeros((3, homes, periods, 2))
        self.curves: Floats = np.zeros((3, homes, periods, 2, STEPS, 2))


def _assemble(fleet: Fleet, out: Devices, *, t: int, outlook: Outlook) -> Plan:
    """Plan of the fleet from the rows of its devices."""
    n = out.periods
    load, pv = outlook.load_kw[:, :n], outlook.pv_kw[:, :n]
    battery, pump, car = out.plan[..., 0]
    net = load - pv + battery + pump + car
    curtailed = np.clip(-fleet.params[:, Param.EXPORT_KW, None] - net, 0.0, pv)
    shed = np.clip(net - fleet.params[:, Param.IMPORT_KW, None], 0.0, load)
    return Plan(
        t=t,
        future_stays=outlook.future_stays,
        load_kw=load,
        pv_kw=pv,
        net_kw=net + curtailed - shed,
        battery_kw=battery,
        ev_kw=car,
        heat_pump_kw=pump,
        curtailed_kw=curtailed,
        battery_kwh=out.plan[0, ..., 1],
        ev_kwh=out.plan[2, ..., 1],
        tank_kwh=out.plan[1, ..., 1],
        battery_value=out.curves[0],
        ev_value=out.curves[2],
        tank_value=out.curves[1],
    )
