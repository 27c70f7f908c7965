"""Plans of homes and profiles become homes: one number per period."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.time import TimeAxis
from gridagora.scenario.district import HOUSEHOLD_PROFILES, HomePlan
from gridagora.scenario.draw import pick
from gridagora.scenario.ev import draw_vehicle, vehicle_from_profile
from gridagora.scenario.heat import heat_pump
from gridagora.scenario.spec import ScenarioSpec

Floats = NDArray[np.float64]

HOUSEHOLD_KW = 3.0
"""Nominal power of a listed household that names neither profile nor power: about 2,500 kWh a year."""

STAY_AFTER_CHARGING_H = {"HLS": 8.0, "APLS": 4.0}
"""How long a car of a SimBench charging profile stays after its charge: at home, at work (assumed)."""


class UnknownProfileError(LookupError):
    """A profile that no source has; ``fix`` says what to write instead.

    ``place`` is the key at fault where it is not the participant that asks for the profile.
    """

    def __init__(self, name: str, reason: str, fix: str, *, place: str | None = None) -> None:
        super().__init__(name)
        self.name, self.reason, self.fix, self.place = name, reason, fix, place


class Profiles(Protocol):
    """Profiles on the axis of the study; raise `UnknownProfileError` for a name that is not there."""

    def active(self, name: str) -> Floats:
        """Return active power of a load: per nominal kW, or in kW for a column of a user's file."""

    def production(self, name: str) -> Floats:
        """Return production per nominal kW."""

    def reactive(self, name: str) -> Floats:
        """Return reactive power: per nominal kvar, or in kvar for a column of a user's file."""

    def heat(self, name: str) -> Floats:
        """Return a heat pump profile smoothed to a demand, per rated kW."""

    def has_own(self, name: str) -> bool:
        """Tell whether a user's file has the profile (its columns are in kW)."""


def make_homes(
    plans: Iterable[HomePlan], spec: ScenarioSpec, axis: TimeAxis, *, profiles: Profiles
) -> tuple[tuple[Home, ...], list[Fault]]:
    """Turn plans into homes; profiles that are missing are faults, each name once."""
    homes: list[Home] = []
    faults: dict[str, Fault] = {}
    for plan in plans:
        try:
            homes.append(_home(plan, spec, axis, profiles=profiles))
        except UnknownProfileError as error:
            place = error.place or f"participant {plan.participant}"
            fault = Fault(
                source=spec.origin, place=place, value=error.name, reason=error.reason, fix=error.fix
            )
            faults.setdefault(error.name, fault)
    return tuple(homes), list(faults.values())


def _home(plan: HomePlan, spec: ScenarioSpec, axis: TimeAxis, *, profiles: Profiles) -> Home:
    """Turn one plan into a home."""
    load_kw, load_kvar = _load(plan, spec, axis, profiles=profiles)
    pv_kw = plan.pv_kwp * np.maximum(profiles.production(plan.pv_profile), 0.0) if plan.pv_kwp else None
    return Home(
        participant=plan.participant,
        bus=plan.bus,
        load_kw=load_kw,
        load_kvar=load_kvar,
        pv_kw=pv_kw,
        pv_peak_kw=plan.pv_kwp,
        battery=_battery(plan, spec),
        ev=_vehicle(plan, spec, axis, profiles=profiles),
        heat_pump=_heat_pump(plan, axis, profiles),
        import_limit_kw=plan.import_limit_kw,
        export_limit_kw=plan.export_limit_kw,
        phase=plan.phase,
        kind=plan.kind,
        passive=plan.passive,
    )


def _load(plan: HomePlan, spec: ScenarioSpec, axis: TimeAxis, *, profiles: Profiles) -> tuple[Floats, Floats]:
    """Return the inflexible load: a file's column is in kW, SimBench's profile multiplies a nominal power."""
    if plan.load_kw == 0 and not plan.load_kvar:
        return np.zeros(axis.periods), np.zeros(axis.periods)
    tangent = float(np.tan(np.arccos(spec.profiles.power_factor)))
    name, own = plan.profile or plan.participant, False
    if plan.profile or spec.profiles.source == "files":
        own = profiles.has_own(name)
    else:
        name = pick(spec.seed, "load", plan.participant, options=HOUSEHOLD_PROFILES)
    if own:
        factor = spec.participants.load_scale if plan.load_kw is None else plan.load_kw
        load = factor * profiles.active(name)
        return load, factor * profiles.reactive(name)
    nominal = HOUSEHOLD_KW * spec.participants.load_scale if plan.load_kw is None else plan.load_kw
    reactive = nominal * tangent if plan.load_kvar is None else plan.load_kvar
    return nominal * np.maximum(profiles.active(name), 0.0), reactive * profiles.reactive(name)


def _battery(plan: HomePlan, spec: ScenarioSpec) -> Battery | None:
    """Return the battery of a plan; efficiency counts once in and once out."""
    if not plan.battery_kwh:
        return None
    chosen = spec.participants.battery
    return Battery(
        energy_kwh=plan.battery_kwh,
        charge_kw=plan.battery_kw,
        discharge_kw=plan.battery_kw,
        charge_efficiency=chosen.efficiency,
        discharge_efficiency=chosen.efficiency,
        initial_share=chosen.initial_share,
    )


def _vehicle(
    plan: HomePlan, spec: ScenarioSpec, axis: TimeAxis, *, profiles: Profiles
) -> ElectricVehicle | None:
    """Return the vehicle of a plan, drawn or read out of a SimBench charging profile."""
    if not plan.ev_kw:
        return None
    efficiency = spec.participants.ev.efficiency
    if plan.ev_profile:
        after = STAY_AFTER_CHARGING_H[plan.ev_profile.partition("_")[0]]
        charging = plan.ev_kw * profiles.active(plan.ev_profile)
        return vehicle_from_profile(
            charging, axis, charge_kw=plan.ev_kw, hours_after=after, efficiency=efficiency
        )
    return draw_vehicle(
        plan.participant,
        axis,
        seed=spec.seed,
        charge_kw=plan.ev_kw,
        kwh_per_day=plan.ev_kwh_per_day,
        efficiency=efficiency,
    )


def _heat_pump(plan: HomePlan, axis: TimeAxis, profiles: Profiles) -> HeatPump | None:
    """Return the heat pump of a plan."""
    if not plan.heat_pump_kw:
        return None
    return heat_pump(
        profiles.heat(plan.heat_profile),
        axis,
        electric_kw=plan.heat_pump_kw,
        tank_kwh=plan.tank_kwh,
        ground=plan.heat_profile.startswith("Soil_"),
    )
