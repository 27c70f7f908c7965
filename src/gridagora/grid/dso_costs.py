"""Parameters of a distribution system operator's costs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.ageing import ThermalModel
from gridagora.model.numbers import read_numbers

Floats = NDArray[np.float64]

SOURCE = "costs of the operator"

SERIES = ("energy_price", "ambient_c")
"""One number or one per period, of any sign."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DsoCosts:
    """Parameters of a system operator's costs; a part whose price is 0 is left out.

    Parameters
    ----------
    energy_price : of its losses, currency per kWh, one number or one per period
    replacement_cost : of a transformer in place, currency; 0: ageing is not counted
    thermal, ambient_c : thermal characteristics; ambient temperature, degC, one number or one per period
    value_of_lost_load : currency per kWh not served
    emergency_percent, trip_percent, outage_hours : as in `energy_not_served`
    investment, deferral_years, discount_rate : as in `deferral_value`
    kw_periods_per_year : as in `deferral_price`; None: the needs at hand, scaled to a year
    capacity_fee, fee_peaks : as in `capacity_fee_price`; the fee is that of the forecast's time
    curtailed_price, curtailed_penalty : compensation and penalty of curtailed generation, currency per kWh
    emission_kg_per_kwh, carbon_price_per_kg : of the generation that takes its place
    """

    energy_price: ArrayLike = 0.0
    replacement_cost: float = 0.0
    thermal: ThermalModel = field(default_factory=ThermalModel)
    ambient_c: ArrayLike = 20.0
    value_of_lost_load: float = 0.0
    emergency_percent: float = 120.0
    trip_percent: float = 150.0
    outage_hours: float = 1.0
    investment: float = 0.0
    deferral_years: float = 5.0
    discount_rate: float = 0.05
    kw_periods_per_year: float | None = None
    capacity_fee: float = 0.0
    fee_peaks: int = 1
    curtailed_price: float = 0.0
    curtailed_penalty: float = 0.0
    emission_kg_per_kwh: float = 0.0
    carbon_price_per_kg: float = 0.0

    def __post_init__(self) -> None:
        names = [name for name in self.__dataclass_fields__ if name != "thermal"]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        values, faults = read_numbers(SOURCE, **given)
        unread = {fault.place for fault in faults}
        read = {name: array for name, array in zip(given, values, strict=True) if name not in unread}
        check_faults([*faults, *_range_faults(read), *self._other_faults(read)])

    def _other_faults(self, read: Mapping[str, Floats]) -> Iterator[Fault]:
        for name in ("deferral_years", "fee_peaks"):
            if 0 <= read.get(name, np.ones(1)) < 1 and (name == "fee_peaks" or read[name] == 0):
                yield _fault(name, getattr(self, name), "is too small", fix="write e.g. 1")
        if "trip_percent" in read and read["trip_percent"] < read.get("emergency_percent", 0):
            reason = f"is below emergency_percent, {self.emergency_percent:g}"
            yield _fault("trip_percent", self.trip_percent, reason, fix="trip at or above it")
        if not isinstance(self.thermal, ThermalModel):
            yield _fault("thermal", self.thermal, "is no thermal model", fix="give a ThermalModel")


def _range_faults(read: Mapping[str, Floats]) -> Iterator[Fault]:
    for name, values in read.items():
        if name in SERIES and not np.isfinite(values).all():
            yield _fault(name, values.tolist(), "is not finite", fix="write numbers")
        elif name not in SERIES and not (values.ndim == 0 and 0 <= values < np.inf):
            reason, fix = "is negative or not a number", "write a number of 0 or more"
            yield _fault(name, values.tolist(), reason, fix=fix)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source=SOURCE, place=place, value=value, reason=reason, fix=fix)
