"""What stands behind a connection point: devices of a home, as frozen values.

Powers are kW and >= 0 in the direction the name tells; energies are kWh; series have one entry per period.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Battery:
    """A battery: stored energy rises by charge x efficiency and falls by discharge / efficiency."""

    energy_kwh: float
    charge_kw: float
    discharge_kw: float
    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95
    initial_share: float = 0.5
    min_share: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ElectricVehicle:
    """An electric vehicle's stays at home: plugged in over [arrival, departure), wants ``needed_kwh``.

    ``needed_kwh`` is the energy to be put into the vehicle's battery during the stay (after losses); it is
    never more than the charger can deliver in the stay.
    """

    charge_kw: float
    efficiency: float
    arrival: NDArray[np.int64]
    departure: NDArray[np.int64]
    needed_kwh: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatPump:
    """A heat pump with a thermal store: heat = cop x electricity; the store loses ``loss_per_hour``.

    ``heat_demand_kw`` and ``cop`` have one entry per period.  ``tank_kwh`` is thermal energy between the
    store's lowest and highest temperature.  Heat that neither can give is reported as unserved.
    """

    electric_kw: float
    cop: Floats
    heat_demand_kw: Floats
    tank_kwh: float
    loss_per_hour: float = 0.01
    initial_share: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """A participant's connection point with all that stands behind it.

    Parameters
    ----------
    participant : unique id
    bus : id of the grid bus
    load_kw : inflexible consumption, shape (periods,), >= 0
    load_kvar : reactive consumption of the inflexible load, shape (periods,)
    pv_kw : available photovoltaic production, shape (periods,), >= 0, or None
    import_limit_kw, export_limit_kw : connection capacity ("the fuse")
    phase : 1, 2 or 3 for a one-phase connection, None for three phases
    kind : "household", "business", "producer" ...; a label for reports
    passive : True when it never trades (fixed tariff, MARKETS section 1)
    """

    participant: str
    bus: str
    load_kw: Floats
    load_kvar: Floats
    pv_kw: Floats | None = None
    pv_peak_kw: float = 0.0
    battery: Battery | None = None
    ev: ElectricVehicle | None = None
    heat_pump: HeatPump | None = None
    import_limit_kw: float = np.inf
    export_limit_kw: float = np.inf
    phase: int | None = None
    kind: str = "household"
    passive: bool = False
