"""Homes at work under the limits that they sold: planned anew in every period, with what is known then."""

from collections.abc import Callable

import numpy as np

from gridagora.agents import Delivery, FleetState, fleet_from_homes, initial_state
from gridagora.agents.ems import planning_prices
from gridagora.agents.offers import (
    FlexibilityDay,
    HomeModels,
    LimitedSchedule,
    Limits,
    schedule_under_limits,
    state_after,
)
from gridagora.engine.flexibility.forecasts import FlexForecasts
from gridagora.model.columns import Floats
from gridagora.model.flexibility_study import FlexRules
from gridagora.model.study import Study


class LimitBook:
    """Limits in force at all meters, kW, shape (homes, periods): connections less what was sold."""

    def __init__(self, import_kw: Floats, export_kw: Floats) -> None:
        self.import_kw, self.export_kw = import_kw, export_kw

    def window(self, first: int, count: int) -> Limits:
        """Return the limits of ``[first, first + count)``."""
        cut = slice(first, first + count)
        return Limits(import_kw=self.import_kw[:, cut].copy(), export_kw=self.export_kw[:, cut].copy())

    def of(self, direction: str) -> Floats:
        """Return the limits that a product tightens: import for a cap, export for a floor."""
        return self.import_kw if direction == "cap" else self.export_kw

    def cut(self, direction: str, *, home: int, period: int, kw: float) -> None:
        """Take a sold cut off a limit (a negative one is bought back)."""
        rows = self.of(direction)
        rows[home, period] = max(rows[home, period] - kw, 0.0)


class FlexHomes:
    """The homes of a study: what they know, plan and do; one solver program for each, kept all the time.

    Parameters
    ----------
    study, rules : the study and its flexibility market
    forecasts : what they expect
    """

    def __init__(self, study: Study, rules: FlexRules, forecasts: FlexForecasts) -> None:
        self._study, self._forecasts = study, forecasts
        self.fleet = fleet_from_homes(study.homes, study.axis)
        self._horizon = max(rules.horizon_periods, study.axis.periods_per_day + rules.gate_closure_periods)
        self._models = HomeModels(self.fleet, min(self._horizon, study.axis.periods))

    def start(self) -> FleetState:
        """Return what is in store at the start of the study."""
        return initial_state(self.fleet)

    def connections(self) -> LimitBook:
        """Return the limits of the connections alone."""
        periods = self._study.axis.periods
        rows = [
            np.repeat(np.array([getattr(home, name) for home in self._study.homes])[:, None], periods, axis=1)
            for name in ("import_limit_kw", "export_limit_kw")
        ]
        return LimitBook(*rows)

    def day(self, state: FleetState, t: int) -> FlexibilityDay:
        """Return what homes know in period ``t``, which is running, of the horizon from there on."""
        horizon = min(self._horizon, self._study.axis.periods - t)
        price = planning_prices(self._study.tariffs, self._study.market, t=t, horizon=horizon)
        return FlexibilityDay(
            fleet=self.fleet,
            state=state,
            t=t,
            outlook=self._forecasts.outlook(t, t, horizon, running=True),
            price=price,
            models=self._models,
        )


def first_period(day: FlexibilityDay, plan: LimitedSchedule, capacity_kw: Floats) -> Delivery:
    """Return what homes do in the first period of their plan, all of which they know.

    Nobody is cut off: load that a limit leaves unserved is drawn all the same up to the connection capacity
    (homes,), and the limit is broken by as much.
    """
    unserved = plan.unserved_load_kw[:, :1]
    drawn = np.minimum(unserved, np.maximum(capacity_kw[:, None] - plan.net_kw[:, :1], 0.0))
    return Delivery(
        t=day.t,
        net_kw=plan.net_kw[:, :1] + drawn,
        battery_kw=plan.battery_kw[:, :1],
        ev_kw=plan.ev_kw[:, :1],
        heat_pump_kw=plan.heat_pump_kw[:, :1],
        curtailed_kw=plan.curtailed_kw[:, :1],
        unserved_load_kw=unserved - drawn,
        unserved_heat_kw=plan.unserved_heat_kw[:, :1],
        ev_short_kwh=plan.ev_short_kwh[:, :1],
        battery_kwh=plan.battery_kwh[:, :1],
        ev_kwh=plan.ev_kwh[:, :1],
        tank_kwh=plan.tank_kwh[:, :1],
        state=state_after(day, plan, 1),
    )


def run_without_limits(
    homes: FlexHomes, *, periods: int, progress: Callable[[int, int], None], stop: Callable[[], bool]
) -> list[Delivery]:
    """Run homes without a flexibility market, period by period: what was before it."""
    book, state, done = homes.connections(), homes.start(), []
    for t in range(periods):
        if stop():
            break
        day = homes.day(state, t)
        plan = schedule_under_limits(day, book.window(t, day.periods))
        done.append(first_period(day, plan, book.import_kw[:, t]))
        state = done[-1].state
        progress(t + 1, periods)
    return done
