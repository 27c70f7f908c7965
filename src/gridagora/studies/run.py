"""Run a study: a scenario in, a `Run` out with its key figures, tables and report."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from gridagora.bootstrap import Prepared, never, open_store, prepare
from gridagora.engine.ports import Store
from gridagora.errors import Fault, InputError
from gridagora.reports import build_report
from gridagora.reports.tables import (
    FLEX_TABLE_NAMES,
    NETWORK_TABLE_NAMES,
    TABLE_NAMES,
    ZONE_TABLE_NAMES,
    FlexTables,
    NetworkTables,
    RunTables,
    ZoneTables,
)
from gridagora.studies import flexibility_tables, metrics, network_tables, tables, zone_tables
from gridagora.studies.assemble import simulate_study
from gridagora.studies.flexibility_contracts import contracts_table
from gridagora.studies.flexibility_payments import DayGame, day_games, payments_table, rules_table
from gridagora.studies.record import RunRecord
from gridagora.studies.zone_view import ZoneBook, ZoneSteps, dso_of, zone_book, zone_steps

Progress = Callable[[int, int, str], None]
Stop = Callable[[], bool]

REPORT_NAME = "report.html"
KPIS_NAME = "kpis.json"
SCENARIO_NAME = "scenario.yaml"
WIDE_TABLES = ("voltages", "loadings")
FILES = frozenset(
    {
        REPORT_NAME,
        KPIS_NAME,
        SCENARIO_NAME,
        *(f"{name}.parquet" for name in TABLE_NAMES),
        *(f"{name}.parquet" for name in (*WIDE_TABLES, *FLEX_TABLE_NAMES, *NETWORK_TABLE_NAMES)),
        *(f"{name}.parquet" for name in ZONE_TABLE_NAMES),
    }
)
"""All that a run writes; a folder that holds anything else is not replaced."""


class Run:
    """A run's results: key figures, tables as DataFrames, the report; tables are made when first asked for.

    Attributes
    ----------
    kpis : dict of key figures, units in the names
    bids, prices, trades, schedules, flows, elements, violations, invoices, participants, journal : DataFrames
    voltages, loadings : per bus and per line or transformer, all periods
    flex_strategies, flex_hours, flex_loadings, flex_auctions, flex_bids, flex_payments, flex_rules,
    flex_orders, flex_deliveries, flex_trades, flex_contracts, flex_unmet : DataFrames of a flexibility
        market; for a run without one asking for them raises `InvariantError`
    nodal_prices, network_clearings : DataFrames of a market that knows the wires; empty without one
    zones, zone_periods, zone_flows, zone_trades, approvals, zone_welfare, nodal_periods : DataFrames of
        markets of zones, which have `nodal_prices` too; for a run without zones asking for the others raises
        `InvariantError`
    finished : False when the run was stopped before its end; results then hold the finished sessions

    Examples
    --------
    >>> import gridagora as ga
    >>> run = ga.run("village", overrides={"period.length": "1h"})
    >>> run.finished, len(run.prices)
    (True, 4)
    """

    def __init__(self, record: RunRecord, *, scenario_yaml: str) -> None:
        self.record = record
        self.scenario_yaml = scenario_yaml

    @property
    def finished(self) -> bool:
        """Whether all periods of the scenario were run."""
        return self.record.periods == self.record.study.axis.periods

    @property
    def event_hash(self) -> str:
        """Hash of the last event: equal for equal scenarios and seeds."""
        return self.record.event_hash

    @cached_property
    def kpis(self) -> dict[str, float | int | str]:
        """Key figures by name."""
        return metrics.kpis(self.record, self.participants)

    @cached_property
    def participants(self) -> pd.DataFrame:
        """Who took part, with assets, energy and costs."""
        return metrics.participants_table(self.record)

    @cached_property
    def bids(self) -> pd.DataFrame:
        """All bids and what was accepted of them."""
        return tables.bids_table(self.record)

    @cached_property
    def prices(self) -> pd.DataFrame:
        """Clearing price and volumes per period."""
        return tables.prices_table(self.record)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Trades of the pool in whole watt-hours."""
        return tables.trades_table(self.record)

    @cached_property
    def schedules(self) -> pd.DataFrame:
        """Devices, cleared and metered power per period and participant."""
        return tables.schedules_table(self.record)

    @cached_property
    def flows(self) -> pd.DataFrame:
        """The power flow per period, with and without the market."""
        return tables.flows_table(self.record)

    @cached_property
    def elements(self) -> pd.DataFrame:
        """Buses, lines and transformers with their worst values."""
        return tables.elements_table(self.record)

    @cached_property
    def violations(self) -> pd.DataFrame:
        """Limits broken, with those behind them."""
        return tables.violations_table(self.record)

    @cached_property
    def invoices(self) -> pd.DataFrame:
        """An invoice line per participant and day."""
        return tables.invoices_table(self.record)

    @cached_property
    def journal(self) -> pd.DataFrame:
        """Postings of the double-entry journal."""
        return tables.journal_table(self.record)

    @cached_property
    def voltages(self) -> pd.DataFrame:
        """Voltage per unit: a row per period, a column per bus."""
        return tables.wide_table(self.record.flows.vm_pu, self.record.drawing.buses)

    @cached_property
    def loadings(self) -> pd.DataFrame:
        """Loading in percent of rated current: a row per period, a column per line or transformer."""
        return tables.wide_table(self.record.flows.loading_percent, self.record.drawing.elements)

    @cached_property
    def nodal_prices(self) -> pd.DataFrame:
        """Price per node and its parts, in the periods that were cleared on the network."""
        return network_tables.nodal_prices_table(self.record)

    @cached_property
    def network_clearings(self) -> pd.DataFrame:
        """The periods that were cleared on the network, and the price of keeping the limits."""
        return network_tables.network_clearings_table(self.record)

    @cached_property
    def nodal_periods(self) -> pd.DataFrame:
        """The periods of a study with zones that were also cleared on the wires, and how that went."""
        return zone_tables.nodal_periods_table(self.record)

    @cached_property
    def zones(self) -> pd.DataFrame:
        """Zones with what they used, made, traded inside and outside, and what was refused."""
        return zone_tables.zones_table(self.record, self.zone_periods, self._zone_book)

    @cached_property
    def zone_periods(self) -> pd.DataFrame:
        """Price, gate and balance of each zone in each period."""
        return zone_tables.zone_periods_table(self.record, self._zone_book)

    @cached_property
    def zone_flows(self) -> pd.DataFrame:
        """Energy that approved trades move from zone to zone."""
        return zone_tables.zone_flows_table(self.record, self._zone_book)

    @cached_property
    def zone_trades(self) -> pd.DataFrame:
        """Every trade that was asked for, with the last decision on it."""
        return zone_tables.zone_trades_table(self.record, self._zone_book, self._zone_steps)

    @cached_property
    def approvals(self) -> pd.DataFrame:
        """Every step of every trade through the controllers."""
        return zone_tables.approvals_table(self._zone_book, self._zone_steps)

    @cached_property
    def zone_welfare(self) -> pd.DataFrame:
        """Welfare of the zones' markets and of one joint clearing."""
        return zone_tables.zone_welfare_table(self.record)

    @cached_property
    def _zone_book(self) -> ZoneBook:
        return zone_book(self.record)

    @cached_property
    def _zone_steps(self) -> ZoneSteps:
        return zone_steps(self.record)

    @cached_property
    def flex_strategies(self) -> pd.DataFrame:
        """The operator's ways of bidding side by side; the settled one is the first."""
        return flexibility_tables.strategies_table(self.record)

    @cached_property
    def flex_hours(self) -> pd.DataFrame:
        """Elements above the threshold before or after, and what became of them."""
        return flexibility_tables.hours_table(self.record)

    @cached_property
    def flex_loadings(self) -> pd.DataFrame:
        """The most loaded element of each period, before and after."""
        return flexibility_tables.loadings_table(self.record)

    @cached_property
    def flex_auctions(self) -> pd.DataFrame:
        """Auctions by period: asked, offered, sold, price, money."""
        return flexibility_tables.auctions_table(self.record)

    @cached_property
    def flex_bids(self) -> pd.DataFrame:
        """All bids of the auctions and what was accepted of them."""
        return flexibility_tables.bids_table(self.record)

    @cached_property
    def flex_payments(self) -> pd.DataFrame:
        """What every rule pays each participant on each day."""
        return payments_table(self.record, self._day_games)

    @cached_property
    def flex_rules(self) -> pd.DataFrame:
        """Budget balance, largest excess and properties of every rule on each day."""
        return rules_table(self.record, self._day_games)

    @cached_property
    def flex_orders(self) -> pd.DataFrame:
        """Delivery orders: cleared, adjusted, ordered, and the limit."""
        return flexibility_tables.orders_table(self.record)

    @cached_property
    def flex_deliveries(self) -> pd.DataFrame:
        """What was delivered of the orders, and the money for it."""
        return flexibility_tables.deliveries_table(self.record)

    @cached_property
    def flex_trades(self) -> pd.DataFrame:
        """Trades of the continuous market."""
        return flexibility_tables.trades_table(self.record)

    @cached_property
    def flex_contracts(self) -> pd.DataFrame:
        """Reservations by period: reserved, called, offered, fees."""
        return contracts_table(self.record)

    @cached_property
    def flex_unmet(self) -> pd.DataFrame:
        """Needs that no offer could cure."""
        return flexibility_tables.unmet_table(self.record)

    @cached_property
    def _day_games(self) -> list[DayGame]:
        return day_games(self.record)

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables that the run has; also those of its Parquet files."""
        more = () if self.record.flexibility is None else FLEX_TABLE_NAMES
        wires = NETWORK_TABLE_NAMES if network_tables.clearings(self.record) else ()
        zones = () if self.record.study.zones is None else ZONE_TABLE_NAMES
        return (*TABLE_NAMES, *WIDE_TABLES, *more, *wires, *zones)

    @property
    def tables(self) -> RunTables:
        """All that a report is made from."""
        study = self.record.study
        return RunTables(
            title=study.name,
            kpis=self.kpis,
            scenario_yaml=self.scenario_yaml,
            timezone=study.axis.timezone,
            currency=study.tariffs.currency,
            limits=study.limits,
            flexibility=self._flex_tables(),
            network=self._network_tables(),
            zones=self._zone_tables(),
            **{name: getattr(self, name) for name in TABLE_NAMES},
        )

    def _network_tables(self) -> NetworkTables | None:
        if not network_tables.clearings(self.record):
            return None
        return NetworkTables(nodal_prices=self.nodal_prices, network_clearings=self.network_clearings)

    def _zone_tables(self) -> ZoneTables | None:
        rules = self.record.study.zones
        if rules is None:
            return None
        return ZoneTables(dso=dso_of(rules), **{name: getattr(self, name) for name in ZONE_TABLE_NAMES})

    def _flex_tables(self) -> FlexTables | None:
        rules = self.record.study.flexibility
        if self.record.flexibility is None or rules is None:
            return None
        return FlexTables(
            buyer=rules.buyer,
            direction=rules.product.direction,
            threshold_percent=rules.threshold_percent,
            **{name: getattr(self, name) for name in FLEX_TABLE_NAMES},
        )

    def report(self, path: str | Path) -> Path:
        """Write the self-contained HTML report to ``path`` and return it."""
        target = Path(path)
        target.write_text(build_report(self.tables), encoding="utf-8")
        return target

    def write(self, directory: str | Path) -> Path:
        """Write kpis.json, Parquet tables, the scenario and report.html into ``directory``.

        Wholly or not at all.

        Everything is written beside the target first and then moved in one step; an older run there is
        replaced.

        Raises
        ------
        InputError
            when the target exists and is not the folder of a run, or holds other things beside one.
        """
        target = Path(directory)
        check_target(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            self._write_into(work)
            _move(work, target)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        return target

    def _write_into(self, folder: Path) -> None:
        text = json.dumps(_plain(self.kpis), indent=1, allow_nan=False)
        (folder / KPIS_NAME).write_text(text + "\n", encoding="utf-8")
        (folder / SCENARIO_NAME).write_text(self.scenario_yaml, encoding="utf-8")
        for name in self.table_names:
            frame: pd.DataFrame = getattr(self, name)
            frame.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)
        self.report(folder / REPORT_NAME)
        folder.chmod(0o755)


def run(
    scenario: str | Path | Mapping[str, object],
    *,
    net: object = None,
    overrides: Mapping[str, object] | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    database: str | None = None,
    market: str | None = None,
) -> Run:
    """Run a scenario with its market and without, check the grid, settle, and return the results.

    Parameters
    ----------
    scenario : name of a built-in scenario, path of a scenario file, or the scenario as a mapping
    net : a pandapower net in place of the scenario's ``grid``, which may then be left out
    overrides : dotted keys to change, e.g. ``{"market.mechanism": "pay_as_bid"}``
    seed : replaces the scenario's seed
    progress : called with (done, total, what) now and then
    stop : asked between sessions; True ends the run with the sessions finished so far
    database : URL of a database that keeps the market's events and tables, or path of an SQLite file
    market : its name there; the scenario's when not given

    Raises
    ------
    InputError
        with every fault of the scenario and its files, or for a market that the database holds already.
    StoreError
        for a database that cannot be used.

    Examples
    --------
    >>> import gridagora as ga
    >>> ga.run("village", overrides={"period.length": "1h"}).kpis["periods"]
    4
    """
    prepared = prepare(scenario, overrides=overrides or {}, seed=seed, net=net)
    with open_store(prepared, database=database, market=market) as store:
        return run_prepared(prepared, progress=progress, stop=stop, store=store)


def run_prepared(
    prepared: Prepared,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
    store: Store | None = None,
) -> Run:
    """Run a scenario that was read and checked before."""
    record = simulate_study(prepared, progress=progress or _quiet, stop=stop or never, store=store)
    return Run(record, scenario_yaml=prepared.scenario_yaml)


def _quiet(*_: object) -> None:
    return None


def check_target(target: Path) -> None:
    """Raise `InputError` where a run cannot be written: at or below a file, or among other things."""
    standing = next((path for path in (target, *target.parents) if path.exists()), target)
    value = standing.name
    if standing.exists() and not standing.is_dir():
        reason, fix = "is a file", "name a folder"
    elif standing == target and (other := _other_things(target)):
        value, reason, fix = other, "is not a run", "move it, or name a new or empty folder"
    else:
        return
    raise InputError([Fault(source="output", place=str(target), value=value, reason=reason, fix=fix)])


def _other_things(folder: Path) -> str:
    """Name what a folder holds that no run has written and that replacing it would destroy; "" if nothing."""
    found = sorted(path.name for path in folder.iterdir())
    others = [name for name in found if name not in FILES] if KPIS_NAME in found else found
    return ", ".join(others[:3]) + (" ..." if len(others) > 3 else "")


def _move(work: Path, target: Path) -> None:
    """Put ``work`` in the place of ``target``; an older run is only deleted once the new one stands."""
    if not target.exists():
        work.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    target.replace(old / "run")
    work.rename(target)
    shutil.rmtree(old)


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Return key figures as JSON knows them: NaN becomes null."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}
