"""What must hold of homes before they can be simulated; every fault at once."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from gridagora.agents.fleet import Floats
from gridagora.errors import Fault
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.time import TimeAxis

ROUNDING_KWH = 1e-6


def check_homes(homes: tuple[Home, ...], axis: TimeAxis) -> list[Fault]:
    """All faults of the homes' devices and series: signs, ranges, lengths, gaps, order of vehicle stays.

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=2)
    >>> battery = Battery(energy_kwh=-1.0, charge_kw=1.0, discharge_kw=1.0, charge_efficiency=1.2)
    >>> home = Home(participant="a", bus="1", load_kw=np.ones(2), load_kvar=np.zeros(2), battery=battery)
    >>> for fault in check_homes((home,), axis): print(fault)
    home a, battery.energy_kwh: is not above 0 (found -1.0); write a number > 0 or leave the device out
    home a, battery.charge_efficiency: is not a share in (0, 1] (found 1.2); write e.g. 0.95
    """
    counts = Counter(home.participant for home in homes)
    faults = [
        Fault(source="homes", place=name, value=count, reason="duplicate participant", fix="use unique ids")
        for name, count in counts.items()
        if count > 1
    ]
    for home in homes:
        for place, value, reason, fix in _home(home, axis):
            source = f"home {home.participant}"
            faults.append(Fault(source=source, place=place, value=value, reason=reason, fix=fix))
    return faults


Found = Iterator[tuple[str, object, str, str]]


def _home(home: Home, axis: TimeAxis) -> Found:
    yield from _series("load_kw", home.load_kw, axis)
    yield from _series("load_kvar", home.load_kvar, axis, low=-np.inf)
    if home.pv_kw is not None:
        yield from _series("pv_kw", home.pv_kw, axis)
    for place in ("import_limit_kw", "export_limit_kw"):
        value = getattr(home, place)
        if not value >= 0.0:
            yield place, value, "is not >= 0", "write the fuse's kW, or leave it out"
    if home.battery is not None:
        yield from _battery(home.battery)
    if home.ev is not None:
        yield from _vehicle(home.ev, axis)
    if home.heat_pump is not None:
        yield from _pump(home.heat_pump, axis)


def _battery(battery: Battery) -> Found:
    yield from _positive("battery.energy_kwh", battery.energy_kwh)
    yield from _not_negative("battery.charge_kw", battery.charge_kw)
    yield from _not_negative("battery.discharge_kw", battery.discharge_kw)
    yield from _efficiency("battery.charge_efficiency", battery.charge_efficiency)
    yield from _efficiency("battery.discharge_efficiency", battery.discharge_efficiency)
    yield from _share("battery.min_share", battery.min_share)
    yield from _share("battery.initial_share", battery.initial_share)
    if battery.initial_share < battery.min_share:
        yield (
            "battery.initial_share",
            battery.initial_share,
            "is below min_share",
            "start at min_share or above",
        )


def _vehicle(ev: ElectricVehicle, axis: TimeAxis) -> Found:
    yield from _positive("ev.charge_kw", ev.charge_kw)
    yield from _efficiency("ev.efficiency", ev.efficiency)
    if not len(ev.arrival) == len(ev.departure) == len(ev.needed_kwh):
        lengths = (len(ev.arrival), len(ev.departure), len(ev.needed_kwh))
        yield (
            "ev.arrival",
            lengths,
            "arrival, departure and needed_kwh differ in length",
            "give one of each per stay",
        )
        return
    rate = ev.charge_kw * ev.efficiency * axis.hours
    # a charger that cannot charge has its own fault above: not one more for every stay
    deliverable = (ev.departure - ev.arrival) * rate if rate > 0.0 else np.inf
    tests = (
        (
            "ev.departure",
            ev.departure,
            ev.departure <= ev.arrival,
            "is not after arrival",
            "leave after arriving",
        ),
        (
            "ev.arrival",
            ev.arrival,
            (ev.arrival < 0) | (ev.arrival >= axis.periods),
            "is outside the study",
            "drop it",
        ),
        (
            "ev.departure",
            ev.departure,
            ev.departure > axis.periods,
            "is outside the study",
            "cut the stay and its need",
        ),
        ("ev.needed_kwh", ev.needed_kwh, ~(ev.needed_kwh >= 0.0), "is not >= 0", "write kWh"),
        (
            "ev.needed_kwh",
            ev.needed_kwh,
            ev.needed_kwh > deliverable + ROUNDING_KWH,
            "is more than the charger can deliver in the stay",
            "lower the need or raise charge_kw",
        ),
    )
    for place, values, wrong, reason, fix in tests:
        for row in np.flatnonzero(wrong):
            yield f"{place}[{row}]", values[row].item(), reason, fix
    for row in np.flatnonzero(ev.arrival[1:] < ev.departure[:-1]) + 1:
        yield (
            f"ev.arrival[{row}]",
            int(ev.arrival[row]),
            "is before the last departure",
            "sort and part the stays",
        )


def _pump(pump: HeatPump, axis: TimeAxis) -> Found:
    yield from _positive("heat_pump.electric_kw", pump.electric_kw)
    yield from _not_negative("heat_pump.tank_kwh", pump.tank_kwh)
    yield from _share("heat_pump.initial_share", pump.initial_share)
    yield from _series("heat_pump.heat_demand_kw", pump.heat_demand_kw, axis)
    yield from _series("heat_pump.cop", pump.cop, axis, low=np.nextafter(0.0, 1.0))
    if not 0.0 <= pump.loss_per_hour * axis.hours < 1.0:
        yield (
            "heat_pump.loss_per_hour",
            pump.loss_per_hour,
            "loses all in one period, or gains",
            "write e.g. 0.01",
        )


def _series(place: str, values: Floats, axis: TimeAxis, *, low: float = 0.0) -> Found:
    if np.shape(values) != (axis.periods,):
        yield (
            place,
            np.shape(values),
            f"has not {axis.periods} entries",
            "give one number per period of the study",
        )
        return
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= low)))
    if len(wrong):
        value = float(values[wrong[0]])
        many = f" ({len(wrong)} such periods)" if len(wrong) > 1 else ""
        yield (
            f"{place}[{wrong[0]}]",
            value,
            f"is a gap or has the wrong sign{many}",
            "fill the gap; loads are >= 0",
        )


def _positive(place: str, value: float) -> Found:
    if not (value > 0.0 and np.isfinite(value)):
        yield place, value, "is not above 0", "write a number > 0 or leave the device out"


def _not_negative(place: str, value: float) -> Found:
    if not (value >= 0.0 and np.isfinite(value)):
        yield place, value, "is not >= 0", "write a number >= 0"


def _efficiency(place: str, value: float) -> Found:
    if not 0.0 < value <= 1.0:
        yield place, value, "is not a share in (0, 1]", "write e.g. 0.95"


def _share(place: str, value: float) -> Found:
    if not 0.0 <= value <= 1.0:
        yield place, value, "is not a share in [0, 1]", "write e.g. 0.5"
