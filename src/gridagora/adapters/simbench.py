"""SimBench's profiles: one year of quarter hours, imported once into arrays of our own.

SimBench (Meinecke et al., Energies 13 (2020) 3290; data ODbL) gives 35,136 quarter hours of the leap year
2016 as naive times.  They are read as UTC here, so that no quarter hour is missing or double; the year is
``[2016-01-01T00:00Z, 2017-01-01T00:00Z)``.  Load profiles multiply a load's nominal active and reactive
power, renewables' profiles a plant's nominal power (their peak stays near 0.62 of it).

The profiles of scenario 0 are taken; those of scenarios 1 and 2 differ in the aggregates of lower grids alone
(names with lv, mv and hv).
"""

import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.cache import cached_arrays, versioned_key
from gridagora.errors import GridAgoraError
from gridagora.model.time import TimeAxis
from gridagora.scenario.heat import SMOOTH_H, smooth

Floats = NDArray[np.float64]

YEAR_START = np.datetime64("2016-01-01T00:00:00")
YEAR_PERIODS = 35_136
YEAR_MTU_S = 900
_FOLDER = Path("networks") / "1-complete_data-mixed-all-0-sw"
_LOADS, _PLANTS = "LoadProfile.csv", "RESProfile.csv"
_GROUPS = {
    "households": (_LOADS, ("H0-",)),
    "businesses": (_LOADS, ("G", "L0-", "L1-", "L2-", "BL-", "WB-")),
    "aggregates": (_LOADS, ("lv_", "mv_", "hv_")),
    "vehicles": (_LOADS, ("HLS_", "APLS_")),
    "heat": (_LOADS, ("Air_", "Soil_")),
    "plants": (_PLANTS, ("PV", "WP", "BM", "Hydro", "lv_", "mv_", "hv_")),
}
_IMPORT_VERSION = 2


def outside_year(axis: TimeAxis) -> bool:
    """Tell whether a study reaches beyond the year of the profiles.

    >>> outside_year(TimeAxis(start=np.datetime64("2016-12-31T23:45"), periods=2))
    True
    """
    end = axis.start + axis.periods * np.timedelta64(axis.mtu_s, "s")
    year_end = YEAR_START + YEAR_PERIODS * np.timedelta64(YEAR_MTU_S, "s")
    return bool(axis.start < YEAR_START or end > year_end)


def load_names() -> tuple[str, ...]:
    """Return the names of all load profiles, sorted."""
    columns = _header(_data_folder() / _LOADS)
    return tuple(sorted(name[:-6] for name in columns if name.endswith("_pload") and _group_of(name)))


def plant_names() -> tuple[str, ...]:
    """Return the names of all profiles of plants, sorted."""
    return tuple(sorted(_group("plants")))


def is_load(name: str) -> bool:
    """Tell whether SimBench has a load profile of this name."""
    group = _group_of(name)
    return group is not None and f"{name}_pload" in _group(group)


def is_plant(name: str) -> bool:
    """Tell whether SimBench has a profile of a plant of this name."""
    return name in _group("plants")


def active_profile(name: str, axis: TimeAxis) -> Floats:
    """Return a load's power per nominal power on an axis within 2016; longer periods take the mean."""
    return _on_axis(_group(_group_of(name) or "")[f"{name}_pload"], axis)


def reactive_profile(name: str, axis: TimeAxis) -> Floats:
    """Return a load's reactive power per nominal reactive power on an axis within 2016."""
    return _on_axis(_group(_group_of(name) or "")[f"{name}_qload"], axis)


def production_profile(name: str, axis: TimeAxis) -> Floats:
    """Return a plant's production per nominal power on an axis within 2016."""
    return _on_axis(_group("plants")[name], axis)


def heat_profile(name: str, axis: TimeAxis) -> Floats:
    """Return a heat pump's electric profile, smoothed to a demand for heat, on an axis within 2016."""
    return _on_axis(_smoothed(name), axis)


@lru_cache(maxsize=8)
def _smoothed(name: str) -> Floats:
    """Smooth the year of a heat pump profile, so that a study's edges do not change the demand."""
    return smooth(_group("heat")[f"{name}_pload"], hours=SMOOTH_H, axis_hours=YEAR_MTU_S / 3600)


def _on_axis(year: Floats, axis: TimeAxis) -> Floats:
    """Take the part of a year of quarter hours that an axis covers."""
    offset = int((axis.start - YEAR_START).astype(np.int64))
    if axis.mtu_s <= YEAR_MTU_S:
        index = (offset + np.arange(axis.periods) * axis.mtu_s) // YEAR_MTU_S
        return np.asarray(year[index], dtype=np.float64)
    count = axis.mtu_s // YEAR_MTU_S
    first = offset // YEAR_MTU_S
    part = year[first : first + axis.periods * count]
    return np.asarray(part.reshape(axis.periods, count).mean(axis=1), dtype=np.float64)


def _group_of(name: str) -> str | None:
    """Return the group of columns in which a load profile lies."""
    groups = ((group, starts) for group, (file, starts) in _GROUPS.items() if file == _LOADS)
    return next((group for group, starts in groups if name.startswith(starts)), None)


@lru_cache(maxsize=8)
def _group(group: str) -> dict[str, Floats]:
    """Return the columns of a group, from the cache or out of the installed SimBench package."""
    key = versioned_key("simbench-profiles", group, _IMPORT_VERSION, packages=["simbench"])
    return cached_arrays(key, lambda: _read_group(group))


def _read_group(group: str) -> dict[str, Floats]:
    """Read the columns of a group out of SimBench's text file."""
    file, starts = _GROUPS[group]
    path = _data_folder() / file
    columns = [column for column in _header(path) if column.startswith(starts)]
    table = _read_columns(path, columns)
    wrong = [
        name for name, values in table.items() if values.shape != (YEAR_PERIODS,) or np.isnan(values).any()
    ]
    if wrong:
        raise GridAgoraError(
            f"{path.name} of the installed SimBench is not a year of quarter hours: {wrong[:3]}"
        )
    return table


def _read_columns(path: Path, columns: Iterable[str]) -> dict[str, Floats]:
    """Read some columns of a text file separated by semicolons."""
    from pyarrow import csv, float64

    names = list(columns)
    options = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, float64()))
    table = csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=";"), convert_options=options)
    return {name: np.asarray(table[name].to_numpy(), dtype=np.float64) for name in names}


def _header(path: Path) -> list[str]:
    """Return the column names of a text file separated by semicolons."""
    with path.open(encoding="utf-8") as file:
        return file.readline().strip().split(";")


def _data_folder() -> Path:
    """Find SimBench's data without importing the package, which takes seconds."""
    found = importlib.util.find_spec("simbench")
    if found is None or not found.submodule_search_locations:
        raise GridAgoraError("SimBench is not installed; install the package simbench")
    return Path(found.submodule_search_locations[0]) / _FOLDER
