"""Wires clock, store, grid and homes for a study: the only place that knows which of each is used."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.clocks import SimulatedClock
from gridagora.adapters.feeders import name_of_net
from gridagora.adapters.files import read_price_file
from gridagora.adapters.stores import BufferedStore, MemoryStore
from gridagora.adapters.studies import more_faults, resolve
from gridagora.adapters.worker import Worker
from gridagora.agents import Delivery, Team
from gridagora.engine.flexibility.dso import UnmetNeed
from gridagora.engine.flexibility.forecasts import FlexForecasts
from gridagora.engine.flexibility.operate import FlexHomes, run_without_limits
from gridagora.engine.flexibility.simulate import FlexOutcome, FlexWorld, run_flexibility
from gridagora.engine.live.context import LiveContext, LiveZones
from gridagora.engine.machine import MarketContext
from gridagora.engine.network import NetworkPool
from gridagora.engine.outlook import Expectation
from gridagora.engine.ports import Store
from gridagora.engine.simulate import World, join_deliveries, run_sessions, run_without_market
from gridagora.engine.wires import Wires
from gridagora.engine.zone_desk import ZoneDesk
from gridagora.errors import Fault, InputError, StoreError
from gridagora.grid import GridModel
from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
from gridagora.model.columns import Floats
from gridagora.model.events import Event
from gridagora.model.flexibility_study import DemandName, FlexRules
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import LiveMarketOpened
from gridagora.model.network import Network
from gridagora.model.study import Study
from gridagora.model.time import SECONDS_PER_DAY
from gridagora.scenario import load_scenario, parse_scenario, scenario_yaml
from gridagora.scenario.prices import LastingTariffs, without_price_files
from gridagora.scenario.yaml_text import read_yaml
from gridagora.settlement import Prices
from gridagora.units import to_micro

if TYPE_CHECKING:
    from gridagora.adapters.clocks import RunningClock
    from gridagora.adapters.live import LiveRunner

Progress = Callable[[int, int, str], None]
Stop = Callable[[], bool]

MECHANISMS = {
    "pay_as_cleared": pay_as_cleared,
    "pay_as_bid": pay_as_bid,
    "vickrey": vickrey,
    "trade_reduction": trade_reduction,
    "network": pay_as_cleared,  # what the wires cannot carry is cleared anew by `NetworkPool`
    "zonal": pay_as_cleared,  # in every zone; `ZoneDesk` decides on the trades
}

BUSY = 100_000
"""Homes x periods from which the half without a market of planning homes gets a process of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A scenario that was read and checked: ready to run, nothing left that could be refused."""

    study: Study
    network: Network
    scenario_yaml: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexSimulated:
    """A way in which the grid operator bids, run by itself: its events, meters, and needs nobody could cure.

    ``metered_kw`` is net import, kW, shape (periods, homes).
    """

    way: DemandName
    events: tuple[Event, ...]
    metered_kw: Floats
    unmet: tuple[UnmetNeed, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """Both halves of a study: the market's events, and the same homes without a market.

    ``strategies`` are those of a flexibility market: the settled one, whose events are the run's, then those
    beside it.
    """

    periods: int
    events: tuple[Event, ...]
    event_hash: str
    baseline: Delivery
    strategies: tuple[FlexSimulated, ...] = ()


def prepare(
    scenario: str | Path | Mapping[str, Any],
    *,
    overrides: Mapping[str, Any],
    seed: int | None = None,
    net: Any = None,
    live: bool = False,
) -> Prepared:
    """Read a scenario and everything it names; a pandapower net takes the place of its grid.

    ``live`` leaves files of prices to `live_context`: a live market has other periods than the scenario.

    Raises
    ------
    InputError
        with every fault of the scenario, its files, homes and grid.
    """
    changes = dict(overrides) if seed is None else {**overrides, "seed": seed}
    if net is not None:
        changes["grid"] = name_of_net(net)
    more = partial(more_faults, net=net)
    if isinstance(scenario, Mapping):
        spec = parse_scenario(scenario, changes, more=more)
    else:
        spec = load_scenario(scenario, changes, more=more)
    study, network = resolve(without_price_files(spec) if live else spec, net=net)
    return Prepared(study=study, network=network, scenario_yaml=scenario_yaml(spec))


def wires_of(prepared: Prepared) -> Wires:
    """Return the grid of a prepared scenario with its homes on their buses."""
    return Wires(GridModel(prepared.network), prepared.study)


@contextmanager
def open_store(prepared: Prepared, *, database: str | None, market: str | None) -> Iterator[Store]:
    """Yield the store that a study's events go to: in memory, or a new market of a database.

    Parameters
    ----------
    prepared : the study; the market has its name unless ``market`` gives another
    database : URL of a database or path of an SQLite file, made where it is not there; None: memory

    Raises
    ------
    InputError
        for a market that the database holds already: what was kept is never replaced.
    StoreError
        for a database that cannot be used.
    """
    if database is None:
        yield MemoryStore()
        return
    from gridagora.adapters.sql.database import Database
    from gridagora.adapters.sql.store import SqlStore

    name = market or prepared.study.name
    with Database(database, write=True, create=True) as opened:
        taken = {head.name for head in opened.heads() if head.seq > 0}
        if name in taken:
            free = next(f"{name}-{n}" for n in range(2, len(taken) + 3) if f"{name}-{n}" not in taken)
            reason, fix = "is kept there already", f"name the new one, for example --market {free}"
            fault = Fault(source=str(opened.address), place="market", value=name, reason=reason, fix=fix)
            raise InputError([fault])
        store = BufferedStore(SqlStore(opened, name))
        try:
            yield store
        except KeyboardInterrupt:
            store.flush()  # what was finished is kept
            raise
        store.flush()


def live_terms(prepared: Prepared, *, epoch: int, **changes: Any) -> LiveTerms:
    """Return the terms of a live market made of a scenario; ``changes`` go before what the scenario says.

    Parameters
    ----------
    prepared : the scenario
    epoch : moment at which its period 0 begins, a multiple of the scenario's resolution
    changes : fields of `LiveTerms`

    Raises
    ------
    InputError
        with every fault of the terms.
    """
    study = prepared.study
    said: dict[str, Any] = {
        "name": study.name,
        "mtu_s": study.axis.mtu_s,
        "session_periods": study.market.session_periods,
        "gate_lead_s": study.market.gate_lead_periods * study.axis.mtu_s,
        "mechanism": study.market.mechanism,
        "currency": study.tariffs.currency,
        "timezone": study.axis.timezone,
        "scenario": prepared.scenario_yaml,
    }
    return LiveTerms(epoch=epoch, **(said | changes))


def live_context(prepared: Prepared) -> LiveContext:
    """Return what a live market of a scenario stands in: grid, tariffs at any time, rules and limits.

    Raises
    ------
    InputError
        for files of prices with faults.
    """
    study = prepared.study
    spec = parse_scenario(read_yaml(prepared.scenario_yaml, "scenario").data)
    grid, zones = GridModel(prepared.network), study.zones
    tariffs = LastingTariffs(spec, partial(read_price_file, mtu_s=study.axis.mtu_s))
    kept: dict[tuple[Any, ...], Wires] = {}

    def wires(of: Study) -> Wires:
        who = tuple((home.participant, home.bus, home.phase) for home in of.homes)
        if who not in kept:
            kept.clear()  # who takes part changes seldom, and an older line-up does not come back
            kept[who] = Wires(grid, of)
        return kept[who]

    return LiveContext(
        tariffs=tariffs,
        tariffs_end=tariffs.end,
        wires=wires,
        mechanism=MECHANISMS[study.market.mechanism],
        rules=study.market,
        limits=study.limits,
        buses=frozenset(grid.buses),
        zones=None
        if zones is None
        else LiveZones(
            tree=zones.tree,
            import_kw=zones.import_kw.max(axis=0),
            export_kw=zones.export_kw.max(axis=0),
            lowest_price=zones.lowest_price,
            highest_price=zones.highest_price,
            most_kwh=zones.most_kwh,
        ),
        reactive_share=float(np.tan(np.arccos(spec.profiles.power_factor))),
    )


def live_runner(
    url: str,
    scenario: str | Path | Mapping[str, Any] | None = None,
    *,
    market: str | None = None,
    clock: "RunningClock | None" = None,
    epoch: int | None = None,
    **changes: Any,
) -> "LiveRunner":
    """Run a live market on a database: one that it holds, or a new one made of a scenario.

    Parameters
    ----------
    url : of the database
    scenario : of a new market; one that the database holds keeps the scenario that it was made of
    market : name of the market; that of the scenario, or the only one of the database, when left out
    clock : the computer's when left out
    epoch : of a new market; the last UTC midnight by the clock when left out
    changes : fields of `LiveTerms` of a new market

    Raises
    ------
    InputError
        for a scenario or terms with faults, or a database without a market and no scenario.
    StoreError
        for a database that cannot be used.
    """
    from gridagora.adapters.clocks import SystemClock
    from gridagora.adapters.live import LiveRunner

    terms = _terms_kept(url, market, new=scenario is not None)
    clock = clock or SystemClock()
    if terms is not None:
        prepared = prepare(read_yaml(terms.scenario, terms.name).data, overrides={}, live=True)
        return LiveRunner(url, live_context(prepared), terms, clock=clock)
    if scenario is None:
        reason, fix = "holds no live market", "name a scenario to make one of"
        raise InputError([Fault(source=url, place="market", value=market, reason=reason, fix=fix)])
    prepared = prepare(scenario, overrides={}, live=True)
    now = clock.now()
    begin = now - now % SECONDS_PER_DAY if epoch is None else epoch
    named = {} if market is None else {"name": market}
    terms = live_terms(prepared, epoch=begin, **(named | changes))
    return LiveRunner(url, live_context(prepared), terms, clock=clock)


def _terms_kept(url: str, market: str | None, *, new: bool) -> LiveTerms | None:
    """Return the terms of the live market that a database holds; None where it holds none of that name."""
    from gridagora.adapters.sql.database import Database

    try:
        with Database(url) as database:
            heads = [head for head in database.heads() if head.seq and market in (None, head.name)]
            firsts = [next(iter(database.events(head.name))) for head in heads]
    except StoreError:
        if new:
            return None  # not there yet; what else is wrong is told when it is opened for writing
        raise
    found = [event.terms for event in firsts if isinstance(event, LiveMarketOpened)]
    if market is None and len(found) > 1:
        names = ", ".join(terms.name for terms in found)
        reason, fix = "is not told, and there are several", f"name one of {names}"
        raise InputError([Fault(source=url, place="market", value=None, reason=reason, fix=fix)])
    return found[0] if found else None


def simulate(
    prepared: Prepared, wires: Wires, *, progress: Progress, stop: Stop, store: Store | None = None
) -> Simulated:
    """Run a study with its market and without; large ones use a second process for the half without.

    A study with a flexibility market runs once for each way in which the operator bids; the store keeps the
    settled one.  Without a store events are kept in memory.
    """
    study = prepared.study
    store = MemoryStore() if store is None else store
    context = _context(prepared, wires)
    if study.flexibility is not None:
        return _simulate_flexibility(
            context, wires.grid, study.flexibility, store=store, progress=progress, stop=stop
        )
    small = study.axis.periods * len(study.homes) < BUSY
    if small or study.agents.ems == "rule_based":
        done = _run_market(context, store, progress=progress, stop=stop)
        if not done:
            raise KeyboardInterrupt  # stopped before anything was finished
        return _simulated(done, store, _run_baseline(study, done, progress=progress, stop=never))
    with Worker("gridagora.bootstrap:baseline_in_child", study) as worker:
        done = _run_market(context, store, progress=progress, stop=stop)
        if not done:
            raise KeyboardInterrupt
        if done < study.axis.periods:
            worker.stop()
        return _simulated(done, store, worker.result())


def baseline_in_child(study: Study, stop: Stop) -> Delivery:
    """Run the half without a market; a `Worker` calls this in a second process."""
    return _run_baseline(study, study.axis.periods, progress=None, stop=stop)


def _simulate_flexibility(
    context: MarketContext, grid: GridModel, rules: FlexRules, *, store: Store, progress: Progress, stop: Stop
) -> Simulated:
    """Run the settled way of bidding, the others beside it, and the same homes without the market."""
    study = context.study
    strategies: list[FlexSimulated] = []
    periods, head = study.axis.periods, ""
    for way in dict.fromkeys((rules.demand, *rules.compare)):
        if strategies:
            store = MemoryStore()  # what stands beside the settled one is no market of its own
        outcome = _run_flexibility(
            context, grid, rules, way=way, store=store, until=periods, progress=progress, stop=stop
        )  # fmt: skip
        if outcome.delivery is None or (strategies and outcome.periods < periods):
            break  # stopped: what stands beside the settled one is whole or not there
        if not strategies:
            periods, head = outcome.periods, store.head()
        strategies.append(
            FlexSimulated(
                way=way,
                events=tuple(store.events()),
                metered_kw=outcome.delivery.net_kw.T,
                unmet=outcome.unmet,
            )
        )
    if not strategies:
        raise KeyboardInterrupt  # stopped before anything was finished

    def tell(done: int, total: int) -> None:
        progress(done, total, "without a market")

    homes = FlexHomes(study, rules, FlexForecasts(study, rules))
    before = run_without_limits(homes, periods=periods, progress=tell, stop=never)
    return Simulated(
        periods=periods,
        events=strategies[0].events,
        event_hash=head,
        baseline=join_deliveries(before),
        strategies=tuple(strategies),
    )


def _run_flexibility(
    context: MarketContext, grid: GridModel, rules: FlexRules, *, way: DemandName, store: Store,
    until: int, progress: Progress, stop: Stop,
) -> FlexOutcome:  # fmt: skip
    """Run one way of bidding up to a period, on a clock that starts early enough for the first auctions."""
    axis = context.study.axis

    def tell(done: int, total: int) -> None:
        progress(done, total, f"market, demand {way}")

    early = max(1, rules.gate_closure_periods, rules.reservation.lead_periods if rules.reservation else 0)
    start = int(axis.start.astype(np.int64)) - (early + 2) * axis.mtu_s
    clock = SimulatedClock(start)
    world = FlexWorld(grid=grid, rules=rules, way=way, store=store, clock=clock, until=until)
    return run_flexibility(context, world, progress=tell, stop=stop)


def _run_market(context: MarketContext, store: Store, *, progress: Progress, stop: Stop) -> int:
    study = context.study
    team = _team(study)
    epoch = int(study.axis.start.astype(np.int64))
    world = World(
        team=team,
        expectation=_expectation(study),
        store=store,
        clock=SimulatedClock(epoch),
    )

    def tell(done: int, total: int) -> None:
        progress(done, total, "market")

    return run_sessions(context, world, progress=tell, stop=stop)


def _run_baseline(study: Study, periods: int, *, progress: Progress | None, stop: Stop) -> Delivery:
    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "without a market")

    team, expectation = _team(study), _expectation(study)
    return run_without_market(study, team, expectation, periods=periods, progress=tell, stop=stop)


def _simulated(done: int, store: Store, baseline: Delivery) -> Simulated:
    """Cut both halves to the periods that both have finished."""
    periods = min(done, baseline.net_kw.shape[1])
    events = tuple(e for e in store.events() if getattr(e, "first", 0) < periods)
    return Simulated(periods=periods, events=events, event_hash=store.head(), baseline=baseline)


def _context(prepared: Prepared, wires: Wires) -> MarketContext:
    study = prepared.study
    return MarketContext(
        study=study,
        prices=Prices.from_tariffs(study.tariffs),
        standing_micro=_standing_micro(study),
        mechanism=MECHANISMS[study.market.mechanism],
        check=wires.check_schedule,
        rules_text=prepared.scenario_yaml,
        network=NetworkPool(wires, study) if study.market.mechanism == "network" else None,
        zones=ZoneDesk(wires, study, study.zones) if study.zones is not None else None,
    )


def _standing_micro(study: Study) -> NDArray[np.int64]:
    """Return the standing charge that falls due with each period: a day's where a local day begins."""
    dates = study.axis.local_dates
    begins = np.diff(dates, prepend=dates[0] - 1).astype(np.int64) > 0
    return np.asarray(begins * to_micro(study.tariffs.standing_per_day))


def _team(study: Study) -> Team:
    return Team(study.homes, study.axis, rules=study.agents, tariffs=study.tariffs, market=study.market)


def _expectation(study: Study) -> Expectation:
    return Expectation(study.homes, study.axis, method=study.agents.forecast)


def never() -> bool:
    """Tell that nobody wants to stop."""
    return False
