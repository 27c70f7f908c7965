"""What a report is made from: the tables of one run, and little else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

from gridagora.model.study import GridLimits

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAMES = (
    "bids",
    "prices",
    "trades",
    "schedules",
    "flows",
    "elements",
    "violations",
    "invoices",
    "participants",
    "journal",
)
"""The tables of a run, in the order of the flow of a study; also the names of its Parquet files."""

FLEX_TABLE_NAMES = (
    "flex_strategies",
    "flex_hours",
    "flex_loadings",
    "flex_auctions",
    "flex_bids",
    "flex_payments",
    "flex_rules",
    "flex_orders",
    "flex_deliveries",
    "flex_trades",
    "flex_contracts",
    "flex_unmet",
)
"""The further tables of a run with a flexibility market; also the names of their Parquet files."""

NETWORK_TABLE_NAMES = ("nodal_prices", "network_clearings")
"""The further tables of a market that knows the wires; also the names of their Parquet files."""

ZONE_TABLE_NAMES = (
    "zones",
    "zone_periods",
    "zone_flows",
    "zone_trades",
    "approvals",
    "zone_welfare",
    "nodal_prices",
    "nodal_periods",
)
"""The further tables of a run with zones; also the names of their Parquet files."""

UPSTREAM = "upstream"
"""The participant that stands for the retailer beyond the feeder."""

_PACKAGES = (
    "gridagora",
    "numpy",
    "pandas",
    "highspy",
    "power-grid-model",
    "pandapower",
    "simbench",
    "plotly",
)


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that decide a run's numbers, for the method notes.

    Returns
    -------
    dict[str, str]
        Package name to version; packages that are not installed are left out.

    Examples
    --------
    >>> "numpy" in installed_versions()
    True
    """
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexTables:
    """What the report of a flexibility market is made from: its tables, and by which rules it went.

    Parameters
    ----------
    buyer : name of the grid operator
    direction : of the product: "cap", "floor", "down" or "up"
    threshold_percent : loading above which an element counts as overloaded
    flex_strategies, flex_hours, flex_loadings, flex_auctions, flex_bids, flex_payments, flex_rules,
    flex_orders, flex_deliveries, flex_trades, flex_contracts, flex_unmet : the tables of the same names; the
        settled strategy is the first
    """

    buyer: str
    direction: str
    threshold_percent: float
    flex_strategies: "pd.DataFrame"
    flex_hours: "pd.DataFrame"
    flex_loadings: "pd.DataFrame"
    flex_auctions: "pd.DataFrame"
    flex_bids: "pd.DataFrame"
    flex_payments: "pd.DataFrame"
    flex_rules: "pd.DataFrame"
    flex_orders: "pd.DataFrame"
    flex_deliveries: "pd.DataFrame"
    flex_trades: "pd.DataFrame"
    flex_contracts: "pd.DataFrame"
    flex_unmet: "pd.DataFrame"

    @property
    def settled(self) -> str:
        """Name of the strategy that was settled."""
        return str(self.flex_strategies["strategy"].iloc[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkTables:
    """What a market that knows the wires adds: `gridagora.studies.network_tables`."""

    nodal_prices: "pd.DataFrame"
    network_clearings: "pd.DataFrame"


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneTables:
    """What markets of zones add: `gridagora.studies.zone_tables`, and prices at buses beside them.

    Parameters
    ----------
    dso : name of the zone of the grid operator, who decides on trades between zones
    zones, zone_periods, zone_flows, zone_trades, approvals, zone_welfare, nodal_prices, nodal_periods : the
        tables of the same names
    """

    dso: str
    zones: "pd.DataFrame"
    zone_periods: "pd.DataFrame"
    zone_flows: "pd.DataFrame"
    zone_trades: "pd.DataFrame"
    approvals: "pd.DataFrame"
    zone_welfare: "pd.DataFrame"
    nodal_prices: "pd.DataFrame"
    nodal_periods: "pd.DataFrame"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTables:
    """The tables of one run as a report needs them.

    Parameters
    ----------
    title : heading of the report
    kpis : key figures by name, units in the names; ``<name>_baseline`` is the feeder without a market
    bids, prices, trades, schedules, flows, elements, violations, invoices, participants, journal :
        the run's tables; power kW (+ import), energy kWh, times naive UTC; any may be empty
    scenario_yaml : the scenario as it was run, shown in the method notes
    timezone : IANA name in which the report states times
    currency : name of the currency of all prices and amounts
    limits : operational limits drawn in the charts
    versions : package versions for the method notes
    flexibility : the flexibility market in place of the pool; None: the run has a pool
    network : what a pool that knows the wires adds; None: it does not know them
    zones : what markets of zones add; None: there is one market for all
    """

    title: str
    kpis: Mapping[str, object]
    bids: "pd.DataFrame"
    prices: "pd.DataFrame"
    trades: "pd.DataFrame"
    schedules: "pd.DataFrame"
    flows: "pd.DataFrame"
    elements: "pd.DataFrame"
    violations: "pd.DataFrame"
    invoices: "pd.DataFrame"
    participants: "pd.DataFrame"
    journal: "pd.DataFrame"
    scenario_yaml: str = ""
    timezone: str = "UTC"
    currency: str = "EUR"
    limits: GridLimits = field(default_factory=GridLimits)
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    flexibility: FlexTables | None = None
    network: NetworkTables | None = None
    zones: ZoneTables | None = None

    def key(self, name: str) -> str:
        """Return the name of a key figure with ``{cur}`` replaced by the currency as key figures spell it."""
        return name.replace("{cur}", self.currency.lower())

    def number(self, name: str) -> float | None:
        """Return a key figure as a float, or None where it is missing, text or not finite.

        ``{cur}`` in a name stands for the currency as key figures spell it: ``cost_total_{cur}``.
        """
        value = self.kpis.get(self.key(name))
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            return None
        number = float(value)
        return number if abs(number) < float("inf") else None
