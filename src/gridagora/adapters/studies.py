"""From a checked scenario to numbers: everything is read, every fault of every file is told at once."""

from collections.abc import Set
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters import simbench
from gridagora.adapters.feeders import Feeder, feeder_from_pandapower, read_feeder
from gridagora.adapters.files import (
    KVAR,
    ParticipantTable,
    ProfileTable,
    read_participants,
    read_price_series,
    read_profiles,
)
from gridagora.adapters.zones import StudyZones, study_zones
from gridagora.agents import check_homes
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.network import Network
from gridagora.model.resources import Home
from gridagora.model.study import AgentRules, GridLimits, MarketRules, Study, Tariffs
from gridagora.model.time import TimeAxis
from gridagora.scenario.clock import scenario_axis
from gridagora.scenario.district import HomePlan, plan_district, plan_listed
from gridagora.scenario.flexibility import capacity_faults, flex_rules, flexibility_key_faults
from gridagora.scenario.homes import UnknownProfileError, make_homes
from gridagora.scenario.prices import scenario_tariffs
from gridagora.scenario.spec import ParticipantSpec, ScenarioSpec, SeriesSpec
from gridagora.scenario.suggest import near
from gridagora.scenario.zones import zone_key_faults, zone_windows

Floats = NDArray[np.float64]

_BESIDE_ZONES = frozenset({"gates", "loading_percent", "limits", "islands", "controllers"})
"""Keys of the section ``zones`` that say nothing of which zones there are."""


def resolve(spec: ScenarioSpec, *, net: Any = None) -> tuple[Study, Network]:
    """Read all that a scenario names and return the study and its network.

    Parameters
    ----------
    spec : a checked scenario (`gridagora.scenario.load_scenario`)
    net : a pandapower net instead of the grid that ``spec.grid`` names

    Raises
    ------
    InputError
        With every fault of grid, profiles, participants, homes and prices.
    """
    return _resolve(spec, net, sure_of_zones=True)


def _resolve(spec: ScenarioSpec, net: Any, *, sure_of_zones: bool) -> tuple[Study, Network]:
    """Read what a scenario names; its zones only if no faulty key was left out that they depend on."""
    faults: list[Fault] = []
    axis, found = scenario_axis(spec)
    faults += found
    feeder = _feeder(spec, net, faults)
    faults += flexibility_key_faults(spec)
    plans = _plans(spec, feeder, _by_hand(spec, faults), faults=faults)
    tariffs = None if axis is None else _tariffs(spec, axis, faults)
    homes = None if axis is None or plans is None else _homes(plans, spec, axis, faults=faults)
    zones = None
    if sure_of_zones:
        zones = _zones(spec, feeder, plans, axis=axis, faults=faults)
    elif axis is not None:
        faults += zone_windows(spec, axis)[1]
    check_faults(_in_line(fault, spec) for fault in faults)
    if axis is None or feeder is None or tariffs is None or homes is None:
        raise InputError(faults)
    study = _study(spec, axis, homes, tariffs=tariffs)
    if zones is not None:
        study = replace(study, zones=zones.rules(spec, homes))
    return study, feeder.network


def more_faults(spec: ScenarioSpec, keys: Set[str], *, net: Any = None) -> list[Fault]:
    """Return the faults of what a scenario names, although some of its keys were faulty and left out.

    Parameters
    ----------
    spec : the scenario without its faulty keys
    keys : the faulty keys, dotted; without a sure period, nothing that depends on it is read
    net : as in `resolve`
    """
    groups = {key.partition(".")[0] for key in keys}
    if groups & {"period", "resolution", "timezone"}:
        faults: list[Fault] = []
        feeder = _feeder(spec, net, faults)
        _plans(spec, feeder, _by_hand(spec, faults), faults=faults)
        return [_in_line(fault, spec) for fault in faults]
    try:
        sure = not groups & {"participants", "market"} and all(map(_leaves_zones, keys))
        _resolve(spec, net, sure_of_zones=sure)
    except InputError as error:
        return list(error.faults)
    return []


def _leaves_zones(key: str) -> bool:
    """Tell a key whose fault changes nothing in which zones there are."""
    group, _, rest = key.partition(".")
    return group != "zones" or rest.partition(".")[0] in _BESIDE_ZONES


def _zones(
    spec: ScenarioSpec,
    feeder: Feeder | None,
    plans: tuple[HomePlan, ...] | None,
    *,
    axis: TimeAxis | None,
    faults: list[Fault],
) -> StudyZones | None:
    """Find the zones, or note why they cannot be found."""
    wrong = zone_key_faults(spec)
    faults += wrong
    if spec.zones is None or axis is None:
        return None
    unsure = any(fault.place.startswith("zones") for fault in wrong)
    if unsure or feeder is None or plans is None:
        faults += zone_windows(spec, axis)[1]
        return None
    return study_zones(spec, feeder.network, plans, axis=axis, faults=faults)


def _in_line(fault: Fault, spec: ScenarioSpec) -> Fault:
    """Let a fault of a key of the scenario file stand at its place there, with the line."""
    return replace(fault, place=spec.place_of(fault.place)) if fault.source == spec.origin else fault


def _feeder(spec: ScenarioSpec, net: Any, faults: list[Fault]) -> Feeder | None:
    """Read the feeder, or note why it cannot be read."""
    try:
        if net is not None:
            return feeder_from_pandapower(net, name=spec.grid)
        return read_feeder(spec.grid, source=spec.origin)
    except InputError as error:
        faults.extend(error.faults)
        return None


def _by_hand(spec: ScenarioSpec, faults: list[Fault]) -> ParticipantTable | None:
    """Return participants written by hand; None when they are the loads of the grid, or unreadable."""
    chosen = spec.participants
    if chosen.file is None:
        if chosen.listed is None:
            return None
        faults += _twice(chosen.listed, spec)
        return ParticipantTable(participants=chosen.listed, rows=tuple(range(len(chosen.listed))))
    table, found = read_participants(chosen.file)
    faults += found
    return table


def _twice(participants: tuple[ParticipantSpec, ...], spec: ScenarioSpec) -> list[Fault]:
    """Tell participants of a list that stand twice."""
    first: dict[str, int] = {}
    faults = []
    for i, row in enumerate(participants):
        if row.participant in first:
            place = f"participants.list.{i}.participant"
            reason = f"stands already in participants.list.{first[row.participant]}"
            fix = "give each participant an id of its own"
            fault = Fault(source=spec.origin, place=place, value=row.participant, reason=reason, fix=fix)
            faults.append(fault)
        first.setdefault(row.participant, i)
    return faults


def _plans(
    spec: ScenarioSpec, feeder: Feeder | None, table: ParticipantTable | None, *, faults: list[Fault]
) -> tuple[HomePlan, ...] | None:
    """Plan the homes and check that their buses are there."""
    if spec.participants.file is not None or spec.participants.listed is not None:
        if table is None:
            return None
        plans, found = plan_listed(table.participants, spec)
        faults += found
        if feeder is not None:
            faults += _bus_faults(spec, table, feeder.network)
        faults += capacity_faults(spec, plans, _places(spec, table))
        return plans
    if feeder is None:
        return None
    faults += _negative_loads(feeder)
    loads = tuple(load for load in feeder.assets.loads if load.kw >= 0)
    plans, found = plan_district(spec, replace(feeder.assets, loads=loads))
    faults += found
    if not plans:
        fix = "list participants with their buses under participants.list or participants.file"
        faults.append(Fault(source=spec.origin, place="grid", value=spec.grid, reason="has no load", fix=fix))
    faults += capacity_faults(spec, plans, {})
    return plans


def _places(spec: ScenarioSpec, table: ParticipantTable) -> dict[str, tuple[str, str]]:
    """Return file and place of each participant written by hand; ``{}`` stands for the column."""
    file = spec.participants.file
    source = str(file) if file else spec.origin
    form = "row {}, column {{}}" if file else "participants.list.{}.{{}}"
    return {
        participant.participant: (source, form.format(row))
        for row, participant in zip(table.rows, table.participants, strict=True)
    }


def _negative_loads(feeder: Feeder) -> list[Fault]:
    """Tell loads that feed in: no profile of a home fits them."""
    fix = "make it an sgen of the net, or list the participants in the scenario"
    return [
        Fault(
            source=feeder.network.name,
            place=f"load {load.name}",
            value=f"{load.kw:g} kW",
            reason="is a load below 0, which cannot become a home",
            fix=fix,
        )
        for load in feeder.assets.loads
        if load.kw < 0
    ]


def _bus_faults(spec: ScenarioSpec, table: ParticipantTable, network: Network) -> list[Fault]:
    """Tell participants at a bus that the grid does not have."""
    known = set(network.buses)
    file = spec.participants.file
    faults = []
    for row, participant in zip(table.rows, table.participants, strict=True):
        if participant.bus not in known:
            place = f"row {row}, column bus" if file else f"participants.list.{row}.bus"
            some = ", ".join(network.buses[:3])
            fix = near(participant.bus, network.buses) or f"use one of {len(known)} buses, e.g. {some}"
            source = str(file) if file else spec.origin
            fault = Fault(
                source=source, place=place, value=participant.bus, reason="is no bus of the grid", fix=fix
            )
            faults.append(fault)
    return faults


def _tariffs(spec: ScenarioSpec, axis: TimeAxis, faults: list[Fault]) -> Tariffs:
    """Return the tariffs; series are read from their files."""

    def read_series(series: SeriesSpec, key: str) -> Floats:
        prices, found = read_price_series(series, axis)
        faults.extend(found)
        return prices

    return scenario_tariffs(spec, axis, read_series, faults=faults)


def _homes(
    plans: tuple[HomePlan, ...], spec: ScenarioSpec, axis: TimeAxis, *, faults: list[Fault]
) -> tuple[Home, ...] | None:
    """Return the homes with their series."""
    table = None
    if spec.profiles.file is not None:
        table, found = read_profiles(spec.profiles.file, axis, timezone=spec.profiles.timezone)
        faults += found
        if table is None:
            return None
    profiles = StudyProfiles(axis, table=table, power_factor=spec.profiles.power_factor)
    homes, found = make_homes(plans, spec, axis, profiles=profiles)
    faults += found
    faults += check_homes(homes, axis)
    return homes


class StudyProfiles:
    """Profiles on the axis of a study: a user's file first, then SimBench's year 2016."""

    def __init__(self, axis: TimeAxis, *, table: ProfileTable | None, power_factor: float) -> None:
        self._axis, self._table = axis, table
        self._tangent = float(np.tan(np.arccos(power_factor)))
        self._kept: dict[tuple[str, str], Floats] = {}

    def has_own(self, name: str) -> bool:
        """Tell whether the user's file has the profile."""
        return self._table is not None and name in self._table.columns

    def active(self, name: str) -> Floats:
        """Return active power of a load per nominal power, or kW of a column of the user's file."""
        if self._table is not None and name in self._table.columns:
            return self._table.columns[name]
        self._require(name, load=True)
        return self._keep("active", name, simbench.active_profile)

    def production(self, name: str) -> Floats:
        """Return production per nominal power."""
        if self._table is not None and name in self._table.columns:
            return self._table.columns[name]
        self._require(name, load=False)
        return self._keep("production", name, simbench.production_profile)

    def reactive(self, name: str) -> Floats:
        """Return reactive power per nominal reactive power, or kvar of a column of the user's file."""
        if self._table is not None and name in self._table.columns:
            own = self._table.columns.get(f"{name}{KVAR}")
            return self._tangent * self._table.columns[name] if own is None else own
        self._require(name, load=True)
        return self._keep("reactive", name, simbench.reactive_profile)

    def heat(self, name: str) -> Floats:
        """Return a heat pump profile smoothed to a demand, per rated power."""
        self._require(name, load=True)
        return self._keep("heat", name, simbench.heat_profile)

    def _keep(self, kind: str, name: str, read: Any) -> Floats:
        """Read a profile once."""
        if (kind, name) not in self._kept:
            self._kept[kind, name] = read(name, self._axis)
        return self._kept[kind, name]

    def _require(self, name: str, *, load: bool) -> None:
        """Refuse a profile that SimBench has not, one of the other kind, and a study outside its year."""
        kind = "load" if load else "plant"
        if not (simbench.is_load(name) if load else simbench.is_plant(name)):
            fitting = simbench.load_names() if load else simbench.plant_names()
            known = [*(self._table.columns if self._table else ()), *fitting]
            some = "H0-A or G1-A" if load else "PV1 ... PV8"
            fix = near(name, known) or f"use a column of your file, or a SimBench profile such as {some}"
            raise UnknownProfileError(name, f"is no profile of a {kind}", fix)
        if simbench.outside_year(self._axis):
            ends = self._axis.starts[[0, -1]] + np.array([0, self._axis.mtu_s], "timedelta64[s]")
            span = " to ".join(f"{np.datetime_as_string(time, unit='m')}Z" for time in ends)
            reason = "reaches beyond SimBench's profiles, which cover the year 2016 in UTC alone"
            fix = "stay within 2016-01-01T00:00Z to 2017-01-01T00:00Z, or give profiles of your own in a file"
            raise UnknownProfileError(span, reason, fix, place="period")


def _study(spec: ScenarioSpec, axis: TimeAxis, homes: tuple[Home, ...], *, tariffs: Tariffs) -> Study:
    """Put the numbers of a study together."""
    mtu, market, agents, limits = spec.resolution, spec.market, spec.agents, spec.limits
    infinite = float("inf")
    return Study(
        name=spec.name,
        axis=axis,
        homes=homes,
        tariffs=tariffs,
        market=MarketRules(
            mechanism=market.mechanism,
            session_periods=market.session // mtu,
            gate_lead_periods=market.gate_lead // mtu,
            islanded=market.islanded,
            import_limit_kw=infinite if market.import_limit_kw is None else market.import_limit_kw,
            export_limit_kw=infinite if market.export_limit_kw is None else market.export_limit_kw,
            value_of_lost_load=market.value_of_lost_load,
            grid_margin=market.grid_margin,
            hold_from=market.hold_from,
            price_losses=market.price_losses,
        ),
        agents=AgentRules(
            ems=agents.ems,
            bidding=agents.bidding,
            forecast=agents.forecast,
            horizon_periods=agents.horizon // mtu,
            replan_periods=agents.replan // mtu,
            margin=agents.margin,
        ),
        limits=GridLimits(
            vm_min_pu=limits.voltage[0],
            vm_max_pu=limits.voltage[1],
            line_loading_percent=limits.line_loading_percent,
            transformer_loading_percent=limits.transformer_loading_percent,
        ),
        flexibility=flex_rules(spec),
        seed=spec.seed,
    )
