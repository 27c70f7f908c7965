"""Rule-based self-consumption, and the values that planning and delivery hand out.

The rules (no price is looked at): a vehicle charges on arrival at full power until its need is met; the heat
pump keeps its tank at least half full; the battery charges from what production is left and discharges to
cover demand; what production is then left heats the tank up to full; the rest is exported up to the export
limit.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from gridagora.agents.fleet import Bools, Fleet, FleetState, Floats, state_from_array


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What homes expect from period t on, kW, shape (homes, horizon); see `gridagora.forecast`.

    ``future_stays``: True when vehicle stays that have not begun are known (perfect foresight), else a home
    learns the need and the departure when the car arrives.
    """

    load_kw: Floats
    pv_kw: Floats
    heat_kw: Floats
    future_stays: bool = False

    @property
    def periods(self) -> int:
        """Length of the horizon in periods."""
        return int(self.load_kw.shape[1])

    def part(self, n: int) -> "Outlook":
        """Return the first ``n`` periods."""
        return replace(
            self, load_kw=self.load_kw[:, :n], pv_kw=self.pv_kw[:, :n], heat_kw=self.heat_kw[:, :n]
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What homes mean to do in ``[t, t + n)``: kW and kWh, shape (homes, n), import and charging +.

    ``net_kw`` is the planned net import, ``load_kw`` and ``pv_kw`` the forecast (production before
    curtailment).  ``battery_value``, ``ev_value`` (per stored kWh) and ``tank_value`` (per kWh of heat) are
    the value curves of what is in store at the end of the period, shape (homes, n, 2, STEPS, 2): steps down
    and up from the plan, each with its kWh and its currency per kWh (see `curves`); None in rule-based mode,
    which knows none.  ``future_stays``: the plan knew of vehicle stays that begin after ``t``.
    """

    t: int
    future_stays: bool = False
    load_kw: Floats
    pv_kw: Floats
    net_kw: Floats
    battery_kw: Floats
    ev_kw: Floats
    heat_pump_kw: Floats
    curtailed_kw: Floats
    battery_kwh: Floats
    ev_kwh: Floats
    tank_kwh: Floats
    battery_value: Floats | None = None
    ev_value: Floats | None = None
    tank_value: Floats | None = None

    @property
    def periods(self) -> int:
        """Number of periods n."""
        return int(self.net_kw.shape[1])

    def part(self, t: int, n: int) -> "Plan":
        """Return the plan of the periods ``[t, t + n)`` in it."""
        window = slice(t - self.t, t - self.t + n)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        cut: dict[str, Any] = {key: value[:, window] for key, value in values.items() if np.ndim(value) >= 2}
        return replace(self, t=t, **cut)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What homes did in ``[t, t + n)``: kW and kWh, shape (homes, n); ``state`` is the one at ``t + n``.

    ``net_kw`` is the metered net import = load - unserved load - pv + curtailed + battery + ev + heat pump.
    Stored energies are those at the end of each period.  ``unserved_heat_kw`` is thermal; ``ev_short_kwh`` is
    what a vehicle lacks when it leaves, in the last period of its stay.
    """

    t: int
    net_kw: Floats
    battery_kw: Floats
    ev_kw: Floats
    heat_pump_kw: Floats
    curtailed_kw: Floats
    unserved_load_kw: Floats
    unserved_heat_kw: Floats
    ev_short_kwh: Floats
    battery_kwh: Floats
    ev_kwh: Floats
    tank_kwh: Floats
    state: FleetState


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What the wires let homes exchange, kW, shape (homes, n); infinite where they set no bound.

    ``least_kw`` and ``most_kw`` bound the net import; ``shed_kw`` is load that was not supplied in the
    clearing: only that much is shed, however far the load is from its forecast.
    """

    least_kw: Floats
    most_kw: Floats
    shed_kw: Floats

    def part(self, offset: int, n: int) -> "Envelope":
        """Return the bounds of ``n`` periods from ``offset`` on."""
        window = slice(offset, offset + n)
        return Envelope(
            least_kw=self.least_kw[:, window],
            most_kw=self.most_kw[:, window],
            shed_kw=self.shed_kw[:, window],
        )


def run_devices(
    fleet: Fleet,
    state: FleetState,
    t: int,
    *,
    outlook: Outlook,
    curtail: Bools,
    plan: Plan | None = None,
    committed_kw: Floats | None = None,
    loose: Floats | None = None,
    held: Floats | None = None,
) -> Delivery:
    """Run the devices of all homes through the periods of the outlook, by plan or, without one, by rule.

    Parameters
    ----------
    fleet, state : the homes and their stored energy at the start of period ``t``
    t : first period
    outlook : load, production and heat demand in kW, actual or forecast
    curtail : shape (periods,), True where surplus without a buyer is curtailed instead of exported
    plan : set points for the same periods, None for the rules
    committed_kw : net import to be kept, kW, shape (homes, periods); NaN where there is none
    loose : shape (homes, periods, 2), 1 where the devices need not make up for an import (an export) that
        falls short of its commitment, as long as its direction stays; None for nowhere
    held : least and most net import, kW, shape (homes, periods, 2), infinite for none: surplus is curtailed,
        load is shed to keep them; None for nowhere
    """
    from gridagora.agents.kernels import simulate

    periods = outlook.periods
    window = slice(t, t + periods)
    series = np.stack([outlook.load_kw, outlook.pv_kw, outlook.heat_kw, fleet.cop[:, window]], axis=2)
    stay = fleet.stay[:, window]
    if not outlook.future_stays:
        stay = known_stays(fleet, t, periods)
    planned = np.zeros((fleet.homes, periods, 0))
    known_until = t + periods if plan is not None and plan.future_stays else t
    if plan is not None:
        planned = np.stack([plan.net_kw, plan.battery_kw, plan.heat_pump_kw, plan.ev_kw, plan.ev_kwh], axis=2)
    if committed_kw is None:
        committed_kw = np.full((fleet.homes, periods), np.nan)
    if loose is None:
        loose = np.zeros((fleet.homes, periods, 2))
    if held is None:
        held = np.tile([-np.inf, np.inf], (fleet.homes, periods, 1))
    now = state.array()
    out = simulate(
        fleet.params, series, np.ascontiguousarray(stay), fleet.stays, now, planned,
        np.ascontiguousarray(committed_kw), loose, curtail, t, fleet.hours, held, known_until,
    )  # fmt: skip
    return delivery_from_rows(t, out, state_from_array(now))


def known_stays(fleet: Fleet, t: int, periods: int) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """Stays of ``[t, t + periods)`` that had begun by period ``t``; -1 elsewhere, shape (homes, periods)."""
    stay = fleet.stay[:, t : t + periods]
    return np.where(stay == stay[:, :1], stay, np.int32(-1))


def delivery_from_rows(t: int, out: Floats, state: FleetState) -> Delivery:
    """`Delivery` from the kernel's rows (`kernels.OUTPUTS`)."""
    net, battery, ev, pump, curtailed, unserved, cold, short, battery_kwh, ev_kwh, tank_kwh = out
    return Delivery(
        t=t,
        net_kw=net,
        battery_kw=battery,
        ev_kw=ev,
        heat_pump_kw=pump,
        curtailed_kw=curtailed,
        unserved_load_kw=unserved,
        unserved_heat_kw=cold,
        ev_short_kwh=short,
        battery_kwh=battery_kwh,
        ev_kwh=ev_kwh,
        tank_kwh=tank_kwh,
        state=state,
    )


def rule_plan(fleet: Fleet, state: FleetState, t: int, *, outlook: Outlook, curtail: Bools) -> Plan:
    """Plan rule-based homes: what the rules would do if the forecast came true."""
    expected = run_devices(fleet, state, t, outlook=outlook, curtail=curtail)
    return Plan(
        t=t,
        future_stays=outlook.future_stays,
        load_kw=outlook.load_kw,
        pv_kw=outlook.pv_kw,
        net_kw=expected.net_kw,
        battery_kw=expected.battery_kw,
        ev_kw=expected.ev_kw,
        heat_pump_kw=expected.heat_pump_kw,
        curtailed_kw=expected.curtailed_kw,
        battery_kwh=expected.battery_kwh,
        ev_kwh=expected.ev_kwh,
        tank_kwh=expected.tank_kwh,
    )
