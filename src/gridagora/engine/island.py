"""An island balances itself: devices follow first, then what is left over is curtailed, what lacks is shed.

Homes deviate from their schedules, and there is no upstream grid to take the difference.  The islands' net
import is brought to zero in each period, by the first of these ways that still can:

- a surplus: load that was shed is served, less is taken from batteries, batteries charge more, exported
  production is curtailed;
- a lack: production that was curtailed is let through, batteries charge less, more is taken from them, cars
  charge less, heat pumps heat less, imported load is shed.

Load that the market had to shed, since not enough was on offer, then comes before storage: it is served out
of sun that would be curtailed and out of what batteries take in.

Within a way homes give pro rata to what each can.  Each can because a battery, a car or a pump may go to
zero, an export can be curtailed and an import be shed: nothing remains unbalanced but rounding.  Losses of
the island's wires are not in it: the grid-forming source bears them.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gridagora.agents import Delivery
from gridagora.agents.fleet import Fleet, FleetState, Param, Stay
from gridagora.model.columns import Floats, Ints

TINY_KW = 1e-9
"""Nobody is asked to make up for less: the last digits of a sum."""

_BATTERY, _EV, _PUMP, _CURTAILED, _UNSERVED = range(5)
"""Rows of powers, each as it adds to the net import: unserved load is negative."""


def balance_islands(delivery: Delivery, fleet: Fleet, *, start: FleetState, island: Ints) -> Delivery:
    """Return the delivery with the net import of each island brought to zero in every period.

    What a battery, a car or a tank holds follows from period to period.  A home that is joined to the grid
    again goes by its schedule as far as its battery then can; the grid takes the difference, within the
    home's connection.  Homes on no island in these periods stay as they are.

    Parameters
    ----------
    delivery : what homes did, shape (homes, periods)
    fleet : the homes
    start : what was in store at the first period
    island : number of the island that a home is on, -1: on none, shape (homes, periods)

    Examples
    --------
    >>> from gridagora.agents import Team
    >>> from gridagora.model.resources import Battery, Home
    >>> from gridagora.model.study import AgentRules, Tariffs
    >>> from gridagora.model.time import TimeAxis
    >>> axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=2, mtu_s=3600)
    >>> names = "retail feed_in network taxes imbalance_short imbalance_long".split()
    >>> tariffs, zero = Tariffs(**{name: np.zeros(2) for name in names}), np.zeros(2)
    >>> sun = Home(participant="sun", bus="1", load_kw=zero, load_kvar=zero, pv_kw=np.array([3.0, 1.0]))
    >>> box = Battery(energy_kwh=2.0, charge_kw=5.0, discharge_kw=5.0, charge_efficiency=1.0,
    ...               discharge_efficiency=1.0, initial_share=0.5)
    >>> box = Home(participant="box", bus="1", load_kw=zero, load_kvar=zero, battery=box)
    >>> eats = Home(participant="eats", bus="1", load_kw=zero + 4, load_kvar=zero)
    >>> team = Team((sun, box, eats), axis, rules=AgentRules(), tariffs=tariffs)
    >>> start, island = team.initial_state(), np.array([[0, 1], [0, 1], [-1, 1]])
    >>> did = team.deliver(start, 0, 2)
    >>> now = balance_islands(did, team.fleet, start=start, island=island)
    >>> now.battery_kw[1].tolist(), now.curtailed_kw[0].tolist(), now.unserved_load_kw[2].tolist()
    ([1.0, -2.0], [2.0, 0.0], [0.0, 1.0])
    """
    rows = np.flatnonzero((island >= 0).any(axis=1))
    if not rows.size:
        return delivery
    run = _Run(delivery, fleet, start, rows=rows)
    for k in range(island.shape[1]):
        run.balance(k, island[rows, k])
    return run.delivery()


class _Run:
    """Some homes on their way through the periods of a delivery.

    Series have shape (periods, homes), powers (periods, rows, homes); all else has one entry per home.
    """

    def __init__(self, delivery: Delivery, fleet: Fleet, start: FleetState, *, rows: Ints) -> None:
        window = slice(delivery.t, delivery.t + delivery.net_kw.shape[1])
        did, param = delivery, fleet.params[rows].T
        columns = did.battery_kw, did.ev_kw, did.heat_pump_kw, did.curtailed_kw, -did.unserved_load_kw
        self._did, self._rows, self._hours, self._param = did, rows, fleet.hours, param
        self._powers = np.ascontiguousarray(np.stack([c[rows] for c in columns]).transpose(2, 0, 1))
        self._load, self._pv = fleet.load_kw[rows, window].T, fleet.pv_kw[rows, window].T
        self._heat, self._cop = fleet.heat_kw[rows, window].T, fleet.cop[rows, window].T
        departure = np.append(fleet.stays[:, Stay.DEPARTURE], -1.0)[fleet.stay[rows, window]].T
        self._leaves = departure == np.arange(window.start, window.stop)[:, None] + 1
        names = ("net_kw", "unserved_heat_kw", "ev_short_kwh", "battery_kwh", "ev_kwh", "tank_kwh")
        self._net, self._cold, self._short, self._battery, self._car, self._tank = (
            np.ascontiguousarray(getattr(did, name)[rows].T) for name in names
        )
        self._stored, self._warm = start.battery_kwh[rows].copy(), start.tank_kwh[rows].copy()
        self._missing = np.zeros(len(rows))

    def balance(self, k: int, island: Ints) -> None:
        """Balance the islands of a period and move what is in store on."""
        param, powers, net, hours = self._param, self._powers[k], self._net[k], self._hours
        empty = self._stored - param[Param.BATTERY_MIN_KWH], param[Param.BATTERY_KWH] - self._stored
        left = np.maximum(empty[0], 0.0) * param[Param.DISCHARGE_EFF] / hours
        room = np.maximum(empty[1], 0.0) / (param[Param.CHARGE_EFF] * hours)
        least, most = -np.minimum(param[Param.DISCHARGE_KW], left), np.minimum(param[Param.CHARGE_KW], room)
        kept, charged = np.clip(powers[_BATTERY], least, most), powers[_EV].copy()
        net += kept - powers[_BATTERY]
        powers[_BATTERY] = kept
        over = np.maximum(-param[Param.EXPORT_KW] - net, net - param[Param.IMPORT_KW])
        excess = np.where(over > 0.0, np.copysign(over, net), 0.0)
        self._move(k, np.arange(len(net)), excess, battery=(least, most))
        bulk = int(island.max()) + 1
        group = np.where(island < 0, bulk, island)
        total = np.asarray(np.bincount(group, net, minlength=bulk + 1), dtype=np.float64)
        total[bulk] = 0.0
        self._move(k, group, total, battery=(least, most))
        self._serve(k, group, joined=bulk)
        self._store(k, charged)

    def _move(self, k: int, group: Ints, lack_kw: Floats, *, battery: tuple[Floats, Floats]) -> None:
        """Take away what each group of homes lacks (surplus: -), as far as its homes can."""
        powers, net = self._powers[k], self._net[k]
        for sign, ways in ((1.0, self._raising), (-1.0, self._lowering)):
            wanted = np.where(-sign * lack_kw > TINY_KW, -sign * lack_kw, 0.0)
            if not wanted.any():
                continue
            for row, can in ways(k, *battery):
                have = np.bincount(group, can, minlength=len(wanted))
                given = np.minimum(wanted, have)
                share = np.divide(given, have, out=np.zeros_like(have), where=have > 0.0)
                part = sign * can * share[group]
                powers[row] += part
                net += part
                wanted -= given
                if not wanted.any():
                    break

    def _serve(self, k: int, group: Ints, *, joined: int) -> None:
        """Serve load that was shed, as far as sun is curtailed or batteries charge on the same island."""
        powers, net, param = self._powers[k], self._net[k], self._param
        for row in (_CURTAILED, _BATTERY):
            shed = _within(-powers[_UNSERVED], param[Param.IMPORT_KW] - net)
            free = _within(powers[row], net + param[Param.EXPORT_KW])
            wanted, have = (np.bincount(group, kw, minlength=joined + 1) for kw in (shed, free))
            moved = np.minimum(wanted, have)
            moved[joined] = 0.0
            moved[moved <= TINY_KW] = 0.0
            for sign, to, can, total in ((1.0, _UNSERVED, shed, wanted), (-1.0, row, free, have)):
                share = np.divide(moved, total, out=np.zeros_like(total), where=total > 0.0)
                part = sign * can * share[group]
                powers[to] += part
                net += part

    def _raising(self, k: int, _least: Floats, most: Floats) -> Iterator[tuple[int, Floats]]:
        """Yield each way to more net import, and what each home then can; powers change in between."""
        powers, net, limit = self._powers[k], self._net[k], self._param[Param.IMPORT_KW]
        yield _UNSERVED, _within(-powers[_UNSERVED], limit - net)
        yield _BATTERY, _within(-powers[_BATTERY], limit - net)
        yield _BATTERY, _within(most - np.maximum(powers[_BATTERY], 0.0), limit - net)
        yield _CURTAILED, _within(self._pv[k] - powers[_CURTAILED], -net)

    def _lowering(self, k: int, least: Floats, _most: Floats) -> Iterator[tuple[int, Floats]]:
        """Yield each way to less net import, and what each home then can; powers change in between."""
        powers, net, limit = self._powers[k], self._net[k], self._param[Param.EXPORT_KW]
        yield _CURTAILED, _within(powers[_CURTAILED], net + limit)
        yield _BATTERY, _within(powers[_BATTERY], net + limit)
        yield _BATTERY, _within(np.minimum(powers[_BATTERY], 0.0) - least, net + limit)
        yield _EV, _within(powers[_EV], net + limit)
        yield _PUMP, _within(powers[_PUMP], net + limit)
        yield _UNSERVED, _within(self._load[k] + powers[_UNSERVED], net)

    def _store(self, k: int, charged: Floats) -> None:
        """Move the stored energy on by one period; ``charged`` is what cars had taken, kW."""
        param, powers, hours = self._param, self._powers[k], self._hours
        battery = powers[_BATTERY]
        into, out = battery * param[Param.CHARGE_EFF], battery / param[Param.DISCHARGE_EFF]
        self._stored += hours * np.where(battery > 0.0, into, out)
        self._battery[k] = self._stored
        self._missing += hours * param[Param.EV_EFF] * (charged - powers[_EV])
        self._car[k] -= self._missing
        self._short[k] += np.where(self._leaves[k], self._missing, 0.0)
        self._missing[self._leaves[k]] = 0.0
        pumps = param[Param.PUMP_KW] > 0.0
        tank = self._warm * param[Param.TANK_KEEP]
        tank += hours * (self._cop[k] * powers[_PUMP] - self._heat[k])
        self._cold[k] = np.where(pumps, np.maximum(-tank, 0.0) / hours, self._cold[k])
        self._warm = np.where(pumps, np.maximum(tank, 0.0), self._warm)
        self._tank[k] = self._warm

    def delivery(self) -> Delivery:
        """Return what all homes did."""
        did = self._did
        powers = self._powers.transpose(1, 0, 2)
        state = did.state
        return replace(
            did,
            net_kw=self._put(did.net_kw, self._net),
            battery_kw=self._put(did.battery_kw, powers[_BATTERY]),
            ev_kw=self._put(did.ev_kw, powers[_EV]),
            heat_pump_kw=self._put(did.heat_pump_kw, powers[_PUMP]),
            curtailed_kw=self._put(did.curtailed_kw, powers[_CURTAILED]),
            unserved_load_kw=self._put(did.unserved_load_kw, 0.0 - powers[_UNSERVED]),
            unserved_heat_kw=self._put(did.unserved_heat_kw, self._cold),
            ev_short_kwh=self._put(did.ev_short_kwh, self._short),
            battery_kwh=self._put(did.battery_kwh, self._battery),
            ev_kwh=self._put(did.ev_kwh, self._car),
            tank_kwh=self._put(did.tank_kwh, self._tank),
            state=FleetState(
                battery_kwh=self._put(state.battery_kwh, self._stored),
                ev_kwh=self._put(state.ev_kwh, state.ev_kwh[self._rows] - self._missing),
                tank_kwh=self._put(state.tank_kwh, self._warm),
            ),
        )

    def _put(self, values: Floats, changed: Floats) -> Floats:
        """Return values of all homes with those of these homes, given with the homes last."""
        found = values.copy()
        found[self._rows] = changed.T
        return found


def _within(power: Floats, limit: Floats) -> Floats:
    return np.maximum(np.minimum(power, limit), 0.0)
