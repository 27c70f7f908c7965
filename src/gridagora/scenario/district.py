"""The district builder: a grid's loads and the scenario's wishes become plans of homes.

A plan says what a home has, in sizes and names of profiles; `gridagora.scenario.homes` turns it into series.
Each home draws from seed and its own id (`gridagora.scenario.draw`), so that adding one leaves the others
alone.

Choices where no data speak:

* loads without a profile (CIGRE, IEEE, a user's grid) follow SimBench's: on low voltage residential loads are
  split into equal homes of at most ``home_kw`` with household profiles H0; commercial loads (CIGRE's names
  with C) follow G1 or G4, industrial ones (with I) G3.  On medium voltage a load stays one aggregate, and
  an aggregate's devices are as many times larger as it stands for homes of ``home_kw``.
* all homes of a village share its weather: photovoltaic profiles are those of the grid's own plants, else
  PV1, PV3, PV4 and PV7, which were measured in one region.
* a device of the SimBench grid goes to the first home at its bus without such a device; at a bus without a
  home it becomes a participant of its own.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gridagora.errors import Fault
from gridagora.scenario.draw import generator, holders, pick, size
from gridagora.scenario.spec import HoldersSpec, ParticipantSpec, ParticipantsSpec, ScenarioSpec
from gridagora.scenario.suggest import near

HOUSEHOLD_PROFILES = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")
COMMERCIAL_PROFILES = ("G1-A", "G1-B", "G4-A", "G4-B")
INDUSTRIAL_PROFILES = ("G3-A",)
AGGREGATE_PROFILES = {"residential": "lv_semiurb4", "commercial": "G4-M", "industrial": "G3-M"}
ONE_REGION_PV = ("PV1", "PV3", "PV4", "PV7")
AIR_PROFILES = ("Air_Parallel_1", "Air_Parallel_2")
SOIL_PROFILES = ("Soil_Alternative_1", "Soil_Alternative_2")
AIR_SHARE = 0.7
DEFAULT_SHARES = {"pv": 0.4, "battery": 0.5, "ev": 0.2, "heat_pump": 0.2}
LOW_VOLTAGE_KV = 1.0
TANK_KWH_PER_KW = 4.0
"""Store of a heat pump of the SimBench grid, which states none: kWh of heat per kW of electricity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPoint:
    """A load of the grid: nominal powers that multiply a profile of peak one; no profile when empty."""

    name: str
    bus: str
    kw: float
    kvar: float
    profile: str = ""
    phase: int | None = None
    vn_kv: float = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A generator or storage of the grid; ``kwh`` is zero for generators."""

    name: str
    bus: str
    kw: float
    profile: str = ""
    kwh: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GridAssets:
    """What is connected to a grid according to its own data."""

    loads: tuple[LoadPoint, ...]
    generators: tuple[Unit, ...] = ()
    storages: tuple[Unit, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class HomePlan:
    """What a home has: sizes, and names of profiles that sizes multiply."""

    participant: str
    bus: str
    kind: str = "household"
    phase: int | None = None
    profile: str = ""
    load_kw: float | None = None
    load_kvar: float | None = None
    pv_kwp: float = 0.0
    pv_profile: str = ""
    battery_kwh: float = 0.0
    battery_kw: float = 0.0
    ev_kw: float = 0.0
    ev_kwh_per_day: float = 0.0
    ev_profile: str = ""
    heat_pump_kw: float = 0.0
    heat_profile: str = ""
    tank_kwh: float = 0.0
    import_limit_kw: float = float("inf")
    export_limit_kw: float = float("inf")
    passive: bool = False


def plan_district(spec: ScenarioSpec, assets: GridAssets) -> tuple[tuple[HomePlan, ...], list[Fault]]:
    """Plan the homes of a scenario whose participants are the loads of its grid, ordered by id."""
    chosen = spec.participants
    heat, vehicles, loads = _sort_out(assets.loads)
    plans = {plan.participant: plan for point in loads for plan in _homes_of(point, chosen, spec.seed)}
    if chosen.assets == "simbench":
        plans = _with_own_assets(plans, assets, heat, vehicles=vehicles)
    weather = _weather(assets)
    return equip(plans, spec, weather)


def plan_listed(
    rows: Sequence[ParticipantSpec], spec: ScenarioSpec
) -> tuple[tuple[HomePlan, ...], list[Fault]]:
    """Plan the homes of a list or file of participants; device entries add to them only where written."""
    plans = {row.participant: _plan_of(row, spec) for row in rows}
    return equip(plans, spec, ONE_REGION_PV)


def equip(
    plans: Mapping[str, HomePlan], spec: ScenarioSpec, weather: Sequence[str]
) -> tuple[tuple[HomePlan, ...], list[Fault]]:
    """Give homes the devices of the scenario's entries and limits; unknown homes are faults."""
    faults: list[Fault] = []
    equipped = dict(plans)
    for device, add in (
        ("pv", _add_pv),
        ("battery", _add_battery),
        ("ev", _add_ev),
        ("heat_pump", _add_heat_pump),
    ):
        entry: HoldersSpec = getattr(spec.participants, device)
        sizes = _chosen_homes(device, entry, equipped, spec=spec, faults=faults)
        for home in sorted(sizes):
            equipped[home] = add(equipped[home], spec, sizes[home], weather=weather)
    passive = holders(spec.seed, "passive", equipped, share=spec.participants.passive_share)
    ordered = [
        _with_limits(equipped[home], spec.participants, home in passive)
        for home in sorted(equipped, key=_natural)
    ]
    return tuple(ordered), faults


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort "Load 9" before "Load 10"."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


def _sort_out(loads: Iterable[LoadPoint]) -> tuple[list[LoadPoint], list[LoadPoint], list[LoadPoint]]:
    """Part heat pumps and vehicles, which SimBench keeps as loads, from the loads of homes."""
    heat = [load for load in loads if load.profile.startswith(("Air_", "Soil_"))]
    vehicles = [load for load in loads if load.profile.startswith(("HLS_", "APLS_"))]
    apart = {load.name for load in (*heat, *vehicles)}
    return heat, vehicles, [load for load in loads if load.name not in apart]


def _homes_of(point: LoadPoint, chosen: ParticipantsSpec, seed: int) -> list[HomePlan]:
    """Plan the homes behind a load: one, or several equal ones for a large residential load."""
    kw, kvar = point.kw * chosen.load_scale, point.kvar * chosen.load_scale
    base = HomePlan(participant=point.name, bus=point.bus, phase=point.phase, load_kw=kw, load_kvar=kvar)
    if point.profile:
        return [replace(base, kind=_kind_of(point.profile), profile=point.profile)]
    category = _category(point.name)
    if point.vn_kv > LOW_VOLTAGE_KV:
        return [replace(base, kind="aggregate", profile=AGGREGATE_PROFILES[category])]
    if category != "residential":
        options = COMMERCIAL_PROFILES if category == "commercial" else INDUSTRIAL_PROFILES
        return [replace(base, kind="business", profile=pick(seed, "load", point.name, options=options))]
    count = 1 if chosen.home_kw is None else max(1, -int(-point.kw // chosen.home_kw))
    names = [point.name] if count == 1 else [f"{point.name} home {i + 1}" for i in range(count)]
    return [
        replace(
            base,
            participant=name,
            load_kw=kw / count,
            load_kvar=kvar / count,
            profile=pick(seed, "load", name, options=HOUSEHOLD_PROFILES),
        )
        for name in names
    ]


def _category(name: str) -> str:
    """Read residential, commercial or industrial out of a CIGRE load's name; anything else is residential."""
    match = re.fullmatch(r"Load (R|CI|C|I)\d+", name)
    return {"C": "commercial", "CI": "commercial", "I": "industrial"}.get(
        match[1] if match else "", "residential"
    )


def _kind_of(profile: str) -> str:
    """Return the kind of participant that a SimBench profile stands for."""
    if profile.startswith("H0"):
        return "household"
    if profile.startswith("L"):
        return "farm"
    return "aggregate" if profile.startswith(("lv_", "mv_", "hv_")) else "business"


def _weather(assets: GridAssets) -> tuple[str, ...]:
    """Return the photovoltaic profiles of the grid's own plants, or those of one region."""
    own = sorted({unit.profile for unit in assets.generators if re.fullmatch(r"PV\d+", unit.profile)})
    return tuple(own) or ONE_REGION_PV


def _chosen_homes(
    device: str, entry: HoldersSpec, plans: Mapping[str, HomePlan], *, spec: ScenarioSpec, faults: list[Fault]
) -> dict[str, float | None]:
    """Return the homes that get a device, with a size where one is given."""
    if entry.homes is not None:
        sizes = dict(entry.homes) if isinstance(entry.homes, dict) else dict.fromkeys(entry.homes)
        for home in sorted(set(sizes) - set(plans)):
            fix = near(home, plans) or f"use one of {len(plans)} ids, e.g. {', '.join(sorted(plans)[:3])}"
            place = f"participants.{device}.homes"
            faults.append(
                Fault(source=spec.origin, place=place, value=home, reason="is not a participant", fix=fix)
            )
        return {home: value for home, value in sizes.items() if home in plans}
    by_default = spec.participants.assets == "shares" and not (
        spec.participants.file or spec.participants.listed
    )
    share = entry.share if entry.share is not None else DEFAULT_SHARES[device] * by_default
    able = [home for home, plan in plans.items() if _can_have(device, plan)]
    return dict.fromkeys(holders(spec.seed, device, able, share=share))


def _can_have(device: str, plan: HomePlan) -> bool:
    """Tell whether a drawn device may go to a home that has none yet."""
    if device == "pv":
        return plan.pv_kwp == 0 and plan.kind != "producer"
    if device == "battery":
        return plan.pv_kwp > 0 and plan.battery_kwh == 0
    if device == "ev":
        return plan.kind == "household" and plan.ev_kw == 0
    return plan.kind == "household" and plan.heat_pump_kw == 0


def _scale(plan: HomePlan, spec: ScenarioSpec) -> float:
    """Return how many homes an aggregate stands for; its devices are as many times larger."""
    if plan.kind != "aggregate" or not plan.load_kw:
        return 1.0
    return max(1.0, plan.load_kw / (spec.participants.home_kw or plan.load_kw))


def _add_pv(plan: HomePlan, spec: ScenarioSpec, given: float | None, *, weather: Sequence[str]) -> HomePlan:
    entry = spec.participants.pv
    drawn = size(spec.seed, "pv", plan.participant, ends=entry.size_kwp) * _scale(plan, spec)
    profile = entry.profile or pick(spec.seed, "pv", plan.participant, options=weather)
    return replace(plan, pv_kwp=given or drawn, pv_profile=profile)


def _add_battery(
    plan: HomePlan, spec: ScenarioSpec, given: float | None, *, weather: Sequence[str]
) -> HomePlan:
    entry = spec.participants.battery
    if entry.size_kwh is not None or plan.pv_kwp == 0:
        ends = entry.size_kwh or (5.0, 10.0)
        drawn = size(spec.seed, "battery", plan.participant, ends=ends) * _scale(plan, spec)
    else:
        drawn = round(size(spec.seed, "battery", plan.participant, ends=entry.kwh_per_kwp) * plan.pv_kwp, 1)
    energy = given or drawn
    return replace(plan, battery_kwh=energy, battery_kw=energy * entry.kw_per_kwh)


def _add_ev(plan: HomePlan, spec: ScenarioSpec, given: float | None, *, weather: Sequence[str]) -> HomePlan:
    entry = spec.participants.ev
    return replace(
        plan,
        ev_kw=given or size(spec.seed, "ev", plan.participant, ends=entry.charge_kw),
        ev_kwh_per_day=size(spec.seed, "ev energy", plan.participant, ends=entry.kwh_per_day),
    )


def _add_heat_pump(
    plan: HomePlan, spec: ScenarioSpec, given: float | None, *, weather: Sequence[str]
) -> HomePlan:
    entry = spec.participants.heat_pump
    return replace(
        plan,
        heat_pump_kw=given or size(spec.seed, "heat pump", plan.participant, ends=entry.electric_kw),
        heat_profile=_heat_profile(plan.participant, spec),
        tank_kwh=size(spec.seed, "tank", plan.participant, ends=entry.tank_kwh),
    )


def _heat_profile(home: str, spec: ScenarioSpec) -> str:
    """Draw the heat pump profile of a home, of outdoor air or ground as the scenario says."""
    source = spec.participants.heat_pump.source
    if source == "mixed":
        source = "air" if generator(spec.seed, "heat pump", "source", home).random() < AIR_SHARE else "soil"
    return pick(spec.seed, "heat pump", home, options=AIR_PROFILES if source == "air" else SOIL_PROFILES)


def _with_limits(plan: HomePlan, chosen: ParticipantsSpec, passive: bool) -> HomePlan:
    """Apply the connection limits of all homes where a home has none of its own."""
    infinite = float("inf")
    incoming, outgoing = chosen.import_limit_kw, chosen.export_limit_kw
    return replace(
        plan,
        passive=plan.passive or passive,
        import_limit_kw=incoming
        if incoming is not None and plan.import_limit_kw == infinite
        else plan.import_limit_kw,
        export_limit_kw=outgoing
        if outgoing is not None and plan.export_limit_kw == infinite
        else plan.export_limit_kw,
    )


def _with_own_assets(
    plans: dict[str, HomePlan], assets: GridAssets, heat: list[LoadPoint], *, vehicles: list[LoadPoint]
) -> dict[str, HomePlan]:
    """Hand the grid's own plants, storages, heat pumps and vehicles to the homes at their buses."""
    plans = dict(plans)
    for unit in assets.generators:
        _attach(
            plans,
            unit.name,
            unit.bus,
            device="pv_kwp",
            kind="producer",
            pv_kwp=unit.kw,
            pv_profile=unit.profile,
        )
    for unit in assets.storages:
        _attach(
            plans,
            unit.name,
            unit.bus,
            device="battery_kwh",
            kind="storage",
            battery_kwh=unit.kwh,
            battery_kw=unit.kw,
        )
    for load in vehicles:
        _attach(
            plans, load.name, load.bus, device="ev_kw", kind="vehicle", ev_kw=load.kw, ev_profile=load.profile
        )
    for load in heat:
        sizes: dict[str, str | float] = {
            "heat_pump_kw": load.kw,
            "heat_profile": load.profile,
            "tank_kwh": TANK_KWH_PER_KW * load.kw,
        }
        _attach(plans, load.name, load.bus, device="heat_pump_kw", kind="heat pump", **sizes)
    return plans


def _attach(
    plans: dict[str, HomePlan], name: str, bus: str, *, device: str, kind: str, **device_fields: str | float
) -> None:
    """Give a device to a home at its bus that has none, else make it a participant."""
    hosts = [
        home
        for home, plan in plans.items()
        if plan.bus == bus and not getattr(plan, device) and (plan.load_kw or device == "battery_kwh")
    ]
    at_bus = sorted(hosts, key=_natural)
    if device == "battery_kwh":
        at_bus.sort(key=lambda home: plans[home].pv_kwp == 0)
    if at_bus:
        plans[at_bus[0]] = replace(plans[at_bus[0]], **device_fields)  # type: ignore[arg-type]
    else:
        own = HomePlan(participant=name, bus=bus, kind=kind, load_kw=0.0, load_kvar=0.0)
        plans[name] = replace(own, **device_fields)  # type: ignore[arg-type]


def _plan_of(row: ParticipantSpec, spec: ScenarioSpec) -> HomePlan:
    """Plan a participant written by hand; sizes left out are drawn or follow from the others."""
    chosen = spec.participants
    home, infinite = row.participant, float("inf")
    battery_kw = row.battery_kwh * chosen.battery.kw_per_kwh if row.battery_kw is None else row.battery_kw
    per_day = row.ev_kwh_per_day
    drawn_per_day = size(spec.seed, "ev energy", home, ends=chosen.ev.kwh_per_day)
    tank = (
        size(spec.seed, "tank", home, ends=chosen.heat_pump.tank_kwh)
        if row.tank_kwh is None
        else row.tank_kwh
    )
    scale = chosen.load_scale
    return HomePlan(
        participant=home,
        bus=row.bus,
        kind=row.kind,
        phase=row.phase,
        profile=row.profile or "",
        load_kw=row.load_kw * scale if row.load_kw is not None else None,
        pv_kwp=row.pv_kwp,
        pv_profile=(row.pv_profile or pick(spec.seed, "pv", home, options=ONE_REGION_PV))
        if row.pv_kwp
        else "",
        battery_kwh=row.battery_kwh,
        battery_kw=battery_kw,
        ev_kw=row.ev_kw,
        ev_kwh_per_day=drawn_per_day if per_day is None else per_day,
        heat_pump_kw=row.heat_pump_kw,
        heat_profile=_heat_profile(home, spec) if row.heat_pump_kw else "",
        tank_kwh=tank,
        import_limit_kw=infinite if row.import_limit_kw is None else row.import_limit_kw,
        export_limit_kw=infinite if row.export_limit_kw is None else row.export_limit_kw,
        passive=row.passive,
    )
