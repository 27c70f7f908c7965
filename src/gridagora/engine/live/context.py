"""What a live market stands in: its grid, its tariffs and rules; and the small study that each session is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gridagora.engine.machine import MarketContext
from gridagora.engine.network import NetworkPool
from gridagora.engine.pool import Mechanism
from gridagora.engine.timetable import MarketSession
from gridagora.engine.wires import Wires
from gridagora.engine.zone_desk import ZoneDesk
from gridagora.model.columns import Floats, Ints
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import GateClosed, LimitDeclared
from gridagora.model.resources import Home
from gridagora.model.study import AgentRules, GridLimits, MarketRules, Study, Tariffs
from gridagora.model.time import TimeAxis
from gridagora.model.zone_study import ZoneRules
from gridagora.model.zones import ZoneTree
from gridagora.settlement import Prices
from gridagora.units import to_micro

PRICE_COLUMNS = ("retail", "feed_in", "network", "taxes", "imbalance_short", "imbalance_long")


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveZones:
    """Zones of a live market, and what their gates let through at any time, kW, shape (zones,)."""

    tree: ZoneTree
    import_kw: Floats
    export_kw: Floats
    lowest_price: float = -np.inf
    highest_price: float = np.inf
    most_kwh: float = np.inf


class LiveTariffs(Protocol):
    """Prices outside the market for the periods of any axis."""

    def __call__(self, axis: TimeAxis, sent: Mapping[str, Floats] = ..., /) -> Tariffs:
        """Return them; what was sent goes before them, by column, NaN where nothing was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveContext:
    """What decisions of a live market ask beside its events; replaying events asks none of it.

    Parameters
    ----------
    tariffs : prices outside the market for the periods of any axis
    tariffs_end : moment from which on those out of a file repeat its last day; None: there are none
    wires : the grid with the homes of a study on it
    mechanism : the clearing rule
    rules, limits : of the pool and of the grid; sessions take their length from the terms of the market
    buses : ids of the grid's buses
    zones : where the market has zones
    reactive_share : reactive import per active import, kvar per kW, that is taken where nobody tells
    """

    tariffs: LiveTariffs
    wires: Callable[[Study], Wires]
    mechanism: Mechanism
    rules: MarketRules
    limits: GridLimits
    buses: frozenset[str]
    zones: LiveZones | None = None
    tariffs_end: int | None = None
    reactive_share: float = 0.0

    @property
    def zone_of_bus(self) -> Mapping[str, str]:
        """Name of the zone of each bus; empty where there are no zones."""
        return {} if self.zones is None else self.zones.tree.zone_of_bus()


def axis_of(terms: LiveTerms, first: int, count: int) -> TimeAxis:
    """Return the axis of periods ``[first, first + count)`` of a market.

    >>> terms = LiveTerms(name="a", epoch=0, scenario="")
    >>> axis_of(terms, 4, 2).starts.tolist() == [np.datetime64(3600, "s"), np.datetime64(4500, "s")]
    True
    """
    start = np.datetime64(terms.begins(first), "s")
    return TimeAxis(start=start, periods=count, mtu_s=terms.mtu_s, timezone=terms.timezone)


def market_session(terms: LiveTerms, number: int) -> MarketSession:
    """Return a session as the engine of a study knows it."""
    times = terms.session(number)
    return MarketSession(
        number=number,
        first=times.first,
        count=times.count,
        gate=times.first,
        gate_closure=times.gate,
        delivery_start=times.delivery_start,
        delivery_end=times.delivery_end,
    )


def session_prices(gate: GateClosed, *, first: int) -> Prices:
    """Return the prices of a closed session at the numbers of its periods, 0 before them.

    The engine finds a period by its number; what lies before is never asked for, and takes no memory.
    """

    def placed(values: Ints) -> Ints:
        out = np.zeros(first + len(values), np.int64)
        out[first:] = values
        return out

    columns = {name: placed(getattr(gate, name)) for name in PRICE_COLUMNS}
    return Prices(
        **columns, local_network_share=gate.local_network_share, imbalance_netted=gate.imbalance_netted
    )


def session_context(
    context: LiveContext,
    terms: LiveTerms,
    gate: GateClosed,
    *,
    limits: tuple[LimitDeclared, ...] = (),
) -> MarketContext:
    """Return the small study that a closed session is.

    Parameters
    ----------
    context, terms : of the market
    gate : who is in the session, and its prices
    limits : declared limits; those of zones narrow their gates
    """
    times = terms.session(gate.session)
    end = times.first + times.count
    none = np.zeros(0)
    homes = tuple(
        Home(
            participant=name,
            bus=bus,
            load_kw=none,
            load_kvar=none,
            phase=int(phase) or None,
            passive=passive,
        )
        for name, bus, phase, passive in zip(
            gate.participants, gate.buses, gate.phases.tolist(), gate.passive.tolist(), strict=True
        )
    )
    study = Study(
        name=terms.name,
        axis=axis_of(terms, 0, end),
        homes=homes,
        tariffs=Tariffs(
            retail=none, feed_in=none, network=none, taxes=none, imbalance_short=none, imbalance_long=none
        ),
        market=replace(context.rules, mechanism=terms.mechanism, session_periods=terms.session_periods),
        agents=AgentRules(),
        limits=context.limits,
    )
    if context.zones is not None:
        study = replace(study, zones=_zone_rules(context.zones, terms, gate, limits=limits))
    wires = context.wires(study)
    return MarketContext(
        study=study,
        prices=session_prices(gate, first=times.first),
        standing_micro=_standing(context, terms, first=times.first, count=times.count),
        mechanism=context.mechanism,
        check=wires.check_schedule,
        rules_text="",
        network=NetworkPool(wires, study) if terms.mechanism == "network" else None,
        zones=ZoneDesk(wires, study, study.zones) if study.zones is not None else None,
    )


def _zone_rules(
    zones: LiveZones, terms: LiveTerms, gate: GateClosed, *, limits: tuple[LimitDeclared, ...]
) -> ZoneRules:
    """Return the zones of a session; gates are as wide as the narrowest limit leaves them."""
    times = terms.session(gate.session)
    of_bus, tree = zones.tree.zone_of_bus(), zones.tree
    shape = (times.first + times.count, len(tree.zones))
    rooms = []
    for side in ("import_kw", "export_kw"):
        room = np.zeros(shape)
        room[times.first :] = getattr(zones, side)
        for limit in limits:
            if limit.place_kind == "zone":
                held = limited_periods(limit, terms, first=times.first, count=times.count)
                column = room[times.first :, tree.position(limit.place)]
                column[held] = np.minimum(column[held], getattr(limit, side))
        rooms.append(room)
    return ZoneRules(
        tree=tree,
        of_home=np.array([tree.position(of_bus[bus]) for bus in gate.buses], dtype=np.int64),
        import_kw=rooms[0],
        export_kw=rooms[1],
        cut=np.zeros(shape, dtype=np.bool_),
        lowest_price=zones.lowest_price,
        highest_price=zones.highest_price,
        most_kwh=zones.most_kwh,
    )


def limited_periods(limit: LimitDeclared, terms: LiveTerms, *, first: int, count: int) -> Ints:
    """Return which of ``count`` periods from ``first`` on a limit touches, counted from 0.

    >>> limit = LimitDeclared(at=0, actor="dso", id="1", place_kind="bus", place="b", begins=900, ends=1000,
    ...                       import_kw=1.0, export_kw=1.0, emergency=False, reason="")
    >>> limited_periods(limit, LiveTerms(name="a", epoch=0, scenario=""), first=0, count=4).tolist()
    [1]
    """
    begins = terms.epoch + (first + np.arange(count)) * terms.mtu_s
    return np.flatnonzero((begins < limit.ends) & (begins + terms.mtu_s > limit.begins))


def _standing(context: LiveContext, terms: LiveTerms, *, first: int, count: int) -> Ints:
    """Return the standing charge due with each period: a day's where a local day begins."""
    dates = axis_of(terms, first - 1, count + 1).local_dates
    charge = to_micro(context.tariffs(axis_of(terms, first, count)).standing_per_day)
    out = np.zeros(first + count, np.int64)
    out[first:] = (np.diff(dates).astype(np.int64) > 0) * charge
    return out
