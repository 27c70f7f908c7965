"""Columns of the charts: one value per drawn point, from the tables of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.reports.bins import LABEL, Bins, Floats, Rule, duration_curve, local_times, make_bins, plain
from gridagora.reports.tables import RunTables

if TYPE_CHECKING:
    import pandas as pd

CASES = ("", "_baseline")
"""Column suffixes: with the market, and the same feeder without."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """The periods of a run: their numbers (ascending), local labels, and the bins they are drawn in."""

    periods: NDArray[np.int64]
    labels: list[str]
    bins: Bins

    def align(self, frame: "pd.DataFrame", column: str) -> Floats:
        """Return a column of a per-period table as one float per period, NaN where it has no row."""
        found = np.full(len(self.periods), np.nan)
        if column in frame.columns and len(frame):
            place = np.searchsorted(self.periods, frame["period"].to_numpy(dtype=np.int64))
            found[place] = frame[column].to_numpy(dtype=np.float64)
        return found

    def names(self, frame: "pd.DataFrame", column: str) -> NDArray[np.object_]:
        """Return a text column as one text per period, "" where the table has none."""
        found = np.full(len(self.periods), "", dtype=object)
        if column in frame.columns and len(frame):
            place = np.searchsorted(self.periods, frame["period"].to_numpy(dtype=np.int64))
            found[place] = frame[column].astype(str).to_numpy(dtype=object)
        return found

    def total(self, frame: "pd.DataFrame", values: Any) -> Floats:
        """Return the sum of ``values`` (one per row of a long table) for each period."""
        place = np.searchsorted(self.periods, frame["period"].to_numpy(dtype=np.int64))
        weights = np.asarray(values, dtype=np.float64)
        return np.bincount(place, weights=weights, minlength=len(self.periods)).astype(np.float64)

    def label(self, period: Any) -> str:
        """Return the local start of a period, "" for one that is not in the run."""
        if period is None or not np.isfinite(float(period)):
            return ""
        place = int(np.searchsorted(self.periods, int(period)))
        known = place < len(self.periods) and self.periods[place] == int(period)
        return self.labels[place] if known else ""


def timeline(tables: RunTables) -> Timeline:
    """Return the periods of a run, from the first of its per-period tables that has rows."""
    for frame in (tables.prices, tables.flows, tables.schedules, tables.bids):
        if len(frame):
            break
    rows = frame[["period", "start"]].drop_duplicates("period").sort_values("period")
    starts = rows["start"].to_numpy(dtype="datetime64[s]")
    labels = list(local_times(starts, tables.timezone).strftime(LABEL))
    bins = make_bins(starts, timezone=tables.timezone)
    return Timeline(periods=rows["period"].to_numpy(dtype=np.int64), labels=labels, bins=bins)


def price_series(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return prices (volume-weighted mean, lowest and highest of a bin), retailer's prices and traded kWh."""
    get = {
        name: line.align(tables.prices, name)
        for name in tables.prices.columns
        if name not in ("period", "start")
    }
    price, volume = get["price"], np.nan_to_num(get["volume_kwh"])
    weight = np.where(np.isnan(price), np.nan, np.maximum(volume, 1e-9))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = line.bins.gather(price * weight, "sum") / line.bins.gather(weight, "sum")
    sums = ("local_volume_kwh", "upstream_import_kwh", "upstream_export_kwh")
    return {
        "mean": plain(mean, 6),
        "low": plain(line.bins.gather(price, "min"), 6),
        "high": plain(line.bins.gather(price, "max"), 6),
        "retail": plain(line.bins.gather(get["retail"], "mean"), 6),
        "feed_in": plain(line.bins.gather(get["feed_in"], "mean"), 6),
        **{name: plain(line.bins.gather(get[name], "sum")) for name in sums},
    }


def _extreme(tables: RunTables, line: Timeline, column: str, *, where: str, rule: Any) -> dict[str, Any]:
    """Return a flow's extreme of each bin and where it stands, both cases."""
    found: dict[str, Any] = {}
    for suffix in CASES:
        values = line.align(tables.flows, column + suffix)
        found[f"value{suffix}"] = plain(line.bins.gather(values, rule), 5)
        if where:
            names = line.names(tables.flows, where + suffix)
            found[f"where{suffix}"] = line.bins.where(values, names, rule)
    return found


def flow_series(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return loading, voltage, unbalance, losses and exchange over time, with and without the market."""
    specs: tuple[tuple[str, str, str, Rule], ...] = (
        ("line", "line_loading_percent", "worst_line", "max"),
        ("transformer", "transformer_loading_percent", "worst_transformer", "max"),
        ("vm_min", "vm_min_pu", "vm_min_bus", "min"),
        ("vm_max", "vm_max_pu", "vm_max_bus", "max"),
        ("unbalance", "unbalance_percent", "", "max"),
        ("import_high", "import_kw", "", "max"),
        ("import_low", "import_kw", "", "min"),
        ("import_mean", "import_kw", "", "mean"),
    )
    found: dict[str, Any] = {
        name: _extreme(tables, line, column, where=where, rule=rule) for name, column, where, rule in specs
    }
    hours = line.bins.hours
    found["losses"] = {
        f"value{s}": plain(line.bins.gather(line.align(tables.flows, f"losses_kw{s}") * hours, "sum"))
        for s in CASES
    }
    return found


def duration_series(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return duration curves of loading and of the upstream exchange from all periods, both cases."""
    columns = {
        "line": "line_loading_percent",
        "transformer": "transformer_loading_percent",
        "import": "import_kw",
    }
    found = {}
    for name, column in columns.items():
        for suffix in CASES:
            points = duration_curve(line.align(tables.flows, column + suffix))
            found[name + suffix] = {
                "share": plain([p[0] for p in points], 2),
                "value": plain([p[1] for p in points]),
            }
    return found


def reverse_hours(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return the hours with export to the upstream grid by local hour of the day, both cases."""
    clock = np.array([int(label[11:13]) for label in line.labels], dtype=np.int64)
    found = {}
    for suffix in CASES:
        reverse = line.align(tables.flows, f"import_kw{suffix}") < 0
        found[f"hours{suffix}"] = plain(np.bincount(clock[reverse], minlength=24) * line.bins.hours)
    return found


def energy_series(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return where the consumed energy came from and where the produced went, kWh per bin.

    Behind the meter: use of a home (with battery charging) less its import.  Between homes: the smaller of
    all
    imports and all exports of a period.  The rest of imports (exports) is exchanged with the upstream grid.
    """
    frame, hours = tables.schedules, line.bins.hours
    kw = {name: frame[name].to_numpy(dtype=np.float64) for name in frame.columns if name.endswith("_kw")}
    unserved = np.nan_to_num(kw["unserved_kw"]) if "unserved_kw" in kw else 0.0
    devices = ("battery_kw", "ev_kw", "heat_pump_kw")
    use = np.nan_to_num(kw["load_kw"]) - unserved + sum(np.maximum(np.nan_to_num(kw[d]), 0) for d in devices)
    metered = np.nan_to_num(kw["metered_kw"])
    imported, exported = line.total(frame, np.maximum(metered, 0)), line.total(frame, np.maximum(-metered, 0))
    between = np.minimum(imported, exported)
    series = {
        "own": line.total(frame, np.maximum(use - np.maximum(metered, 0), 0)),
        "between": between,
        "upstream": imported - between,
        "export": exported - between,
        "use": line.total(frame, use),
        "load": line.total(frame, np.nan_to_num(kw["load_kw"]) - unserved),
        "ev": line.total(frame, np.nan_to_num(kw["ev_kw"])),
        "heat_pump": line.total(frame, np.nan_to_num(kw["heat_pump_kw"])),
        "charging": line.total(frame, np.maximum(np.nan_to_num(kw["battery_kw"]), 0)),
        "pv": line.total(frame, np.nan_to_num(kw["pv_kw"]) - np.nan_to_num(kw["curtailed_kw"])),
        "curtailed": line.total(frame, np.nan_to_num(kw["curtailed_kw"])),
    }
    return {name: plain(line.bins.gather(values * hours, "sum")) for name, values in series.items()}


def marks(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return the bins in which metered schedules break a limit, by kind, and those without a power flow."""

    def bins_of(periods: Any) -> list[int]:
        place = np.searchsorted(line.periods, np.unique(np.asarray(periods, dtype=np.int64)))
        return [int(number) for number in np.unique(line.bins.index[place])]

    rows = tables.violations
    metered = rows[rows["stage"].astype(str) == "metered"]
    kinds = metered["kind"].astype(str)
    names = {
        "line": "line_loading",
        "transformer": "transformer_loading",
        "voltage_low": "voltage_low",
        "voltage_high": "voltage_high",
    }
    broken = {name: bins_of(metered.loc[kinds == kind, "period"]) for name, kind in names.items()}
    return {"broken": broken, "not_converged": bins_of(not_converged(tables))}


def not_converged(tables: RunTables, suffix: str = "") -> Sequence[int]:
    """Return the numbers of the periods in which a power flow found no solution."""
    column = f"converged{suffix}"
    if column not in tables.flows.columns or not len(tables.flows):
        return []
    return [int(p) for p in tables.flows.loc[~tables.flows[column].astype(bool), "period"]]
