"""From a simulated study to its record.

Power flows of what was metered, limits broken, the half without a market.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from gridagora.bootstrap import FlexSimulated, Prepared, Simulated, simulate, wires_of
from gridagora.engine.ports import Store
from gridagora.engine.wires import Wires
from gridagora.grid import PowerFlow
from gridagora.model.columns import Findings, Floats, Ints, SettlementLines
from gridagora.model.events import AuctionCleared, EnergyDelivered, ScheduleChecked
from gridagora.model.flexibility_events import FlexEvent
from gridagora.model.network import NO_LIMIT_A, Bools
from gridagora.model.study import Study
from gridagora.settlement import Prices, settle_without_market
from gridagora.studies.record import (
    FlexRecord,
    FlexStrategy,
    FlexUnmet,
    Flows,
    GridDrawing,
    RunRecord,
    Violations,
)
from gridagora.studies.zone_nodes import nodal_pictures
from gridagora.units import WH_PER_KWH, to_wh

Progress = Callable[[int, int, str], None]
Stop = Callable[[], bool]


def simulate_study(
    prepared: Prepared, *, progress: Progress, stop: Stop, store: Store | None = None
) -> RunRecord:
    """Run a prepared study and return its record; its events go through the store, if one is given.

    Raises
    ------
    KeyboardInterrupt
        when it was stopped before its first session was finished: there is nothing to show.
    """
    wires = wires_of(prepared)
    simulated = simulate(prepared, wires, progress=progress, stop=stop, store=store)
    study, periods = prepared.study, simulated.periods
    metered = np.concatenate([e.metered_wh for e in simulated.events if isinstance(e, EnergyDelivered)])
    baseline = to_wh(simulated.baseline.net_kw[:, :periods].T * study.axis.hours)
    flows, found = _power_flow(wires, study, metered, progress=progress, what="power flow")
    flows_baseline, found_baseline = _power_flow(
        wires, study, baseline, progress=progress, what="power flow without a market"
    )
    cleared = [e.found for e in simulated.events if isinstance(e, ScheduleChecked)]
    networks = [e.network for e in simulated.events if isinstance(e, AuctionCleared)]
    plates = [one.plate for one in networks if one is not None]
    return RunRecord(
        study=study,
        periods=periods,
        events=simulated.events,
        event_hash=simulated.event_hash,
        baseline_metered_wh=baseline,
        baseline_money=_baseline_money(study, baseline),
        flows=flows,
        flows_baseline=flows_baseline,
        violations=join_violations(
            [("cleared", e) for e in cleared]
            + [("metered", found), ("baseline", found_baseline)]
            + [("copper_plate", e) for e in plates]
        ),
        drawing=_drawing(wires),
        flexibility=_flexibility(simulated, wires, study, settled=flows, progress=progress),
        formed_kw=_formed_kw(wires, study, metered),
        pictures=nodal_pictures(wires, study, simulated.events, metered_wh=metered, progress=progress),
        **_baseline_devices(simulated),
    )


def _flexibility(
    simulated: Simulated, wires: Wires, study: Study, *, settled: Flows, progress: Progress
) -> FlexRecord | None:
    """Return each way of bidding with the power flow of its meters; None without a flexibility market."""
    if not simulated.strategies:
        return None
    strategies = []
    for number, run in enumerate(simulated.strategies):
        metered = to_wh(run.metered_kw[: simulated.periods] * study.axis.hours)
        flows = settled
        if number > 0:
            what = f"power flow, demand {run.way}"
            flows, _ = _power_flow(wires, study, metered, progress=progress, what=what)
        events = tuple(e for e in run.events if isinstance(e, FlexEvent))
        strategies.append(
            FlexStrategy(name=run.way, events=events, metered_wh=metered, flows=flows, unmet=_unmet(run))
        )
    return FlexRecord(strategies=tuple(strategies))


def _unmet(run: FlexSimulated) -> FlexUnmet:
    return FlexUnmet(
        period=np.array([need.period for need in run.unmet], dtype=np.int64),
        element=tuple(need.element for need in run.unmet),
        needed_kw=np.array([need.needed_kw for need in run.unmet], dtype=np.float64),
        offered_kw=np.array([need.offered_kw for need in run.unmet], dtype=np.float64),
        loading_percent=np.array([need.value for need in run.unmet], dtype=np.float64),
        least_kw=np.array([need.least_kw for need in run.unmet], dtype=np.float64),
        least_percent=np.array([need.least_value for need in run.unmet], dtype=np.float64),
    )


def _power_flow(
    wires: Wires, study: Study, metered_wh: Ints, *, progress: Progress, what: str
) -> tuple[Flows, Findings]:
    """Calculate all periods, some days at a time so that a long run shows its progress."""
    periods = len(metered_wh)
    net_kw = metered_wh / (WH_PER_KWH * study.axis.hours)
    net_kvar = np.stack([home.load_kvar[:periods] for home in study.homes], axis=1)
    parts, findings = [], []
    limited = wires.grid.network.lines.rated_a < NO_LIMIT_A
    step = study.axis.periods_per_day * 30
    for first in range(0, periods, step):
        cut = slice(first, first + step)
        flow = wires.flow(net_kw[cut], net_kvar[cut], first)
        parts.append(_flows(flow, limited=limited))
        findings.append(wires.check(flow, net_kw[cut], first=first))
        progress(min(first + step, periods), periods, what)
    return _join_flows(parts), _join_findings(findings)


def _formed_kw(wires: Wires, study: Study, metered_wh: Ints) -> Floats | None:
    """Return what the grid-forming source of each island gives, kW, (periods, zones); None without zones."""
    if study.zones is None:
        return None
    periods = len(metered_wh)
    found = np.zeros((periods, len(study.zones.tree.zones)))
    cut = np.flatnonzero(study.zones.cut[:periods].any(axis=1))
    hours, days = study.axis.hours, np.unique(cut // study.axis.periods_per_day)
    for day in days.tolist():
        window = slice(day * study.axis.periods_per_day, min((day + 1) * study.axis.periods_per_day, periods))
        net_kvar = np.stack([home.load_kvar[window] for home in study.homes], axis=1)
        net_kw = metered_wh[window] / (WH_PER_KWH * hours)
        found[window] = wires.formed_kw(net_kw, net_kvar, window.start)
    return found


def _flows(flow: PowerFlow, *, limited: Bools) -> Flows:
    """Keep what the tables need; a line whose data state no limit has no loading."""
    unbalance = flow.unbalance_percent
    known = np.append(limited, np.ones(flow.loading_percent.shape[1] - len(limited), dtype=np.bool_))
    rows = len(flow.converged)
    return Flows(
        converged=flow.converged,
        import_kw=flow.import_kw,
        losses_kw=flow.losses_kw,
        vm_pu=furthest_phase(flow.vm_pu),
        loading_percent=flow.loading_percent
        if known.all()
        else np.where(known, flow.loading_percent, np.nan),
        transformers=flow.kinds.count("transformer"),
        unbalance_percent=np.full(rows, np.nan) if unbalance is None else unbalance.max(axis=1),
    )


def furthest_phase(vm_pu: Floats) -> Floats:
    """Return, of three phases, the voltage furthest from 1 per unit; a symmetric result is returned as it is.

    >>> furthest_phase(np.array([[[0.99, 1.02, 0.97]]])).tolist()
    [[0.97]]
    """
    if vm_pu.ndim == 2:
        return vm_pu
    worst = np.abs(np.nan_to_num(vm_pu, nan=1.0) - 1.0).argmax(axis=2)
    return np.asarray(np.take_along_axis(vm_pu, worst[:, :, None], axis=2)[:, :, 0])


def _join_flows(parts: list[Flows]) -> Flows:
    arrays = [f.name for f in fields(Flows) if f.name != "transformers"]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return Flows(transformers=parts[0].transformers, **joined)


def _join_findings(parts: list[Findings]) -> Findings:
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("converged", "period", "value", "limit")
    }
    for name in ("kind", "element", "participants"):
        columns[name] = tuple(text for p in parts for text in getattr(p, name))
    return Findings(**columns)


def join_violations(parts: list[tuple[str, Findings]]) -> Violations:
    """Join findings of several stages into one table in the order given."""
    texts = {
        name: tuple(text for _, p in parts for text in getattr(p, name))
        for name in ("kind", "element", "participants")
    }
    return Violations(
        period=np.concatenate([p.period for _, p in parts]),
        stage=tuple(stage for stage, p in parts for _ in p.kind),
        value=np.concatenate([p.value for _, p in parts]),
        limit=np.concatenate([p.limit for _, p in parts]),
        **texts,
    )


def _baseline_money(study: Study, metered_wh: Ints) -> SettlementLines:
    prices = Prices.from_tariffs(study.tariffs).window(0, len(metered_wh))
    return settle_without_market(metered_wh, prices)


def _baseline_devices(simulated: Simulated) -> dict[str, Floats]:
    names = {
        "baseline_curtailed_kw": "curtailed_kw",
        "baseline_ev_kw": "ev_kw",
        "baseline_heat_pump_kw": "heat_pump_kw",
        "baseline_unserved_kw": "unserved_load_kw",
    }
    cut = slice(0, simulated.periods)
    return {ours: getattr(simulated.baseline, theirs)[:, cut].T for ours, theirs in names.items()}


def _drawing(wires: Wires) -> GridDrawing:
    network = wires.grid.network
    buses = network.buses
    lines, transformers = network.lines, network.transformers

    def named(positions: Ints) -> tuple[str, ...]:
        return tuple(buses[k] if k >= 0 else "" for k in positions.tolist())

    return GridDrawing(
        buses=buses,
        x=network.bus_x,
        y=network.bus_y,
        elements=network.elements,
        from_bus=(*named(lines.from_bus), *named(transformers.hv_bus)),
        to_bus=(*named(lines.to_bus), *named(transformers.lv_bus)),
    )
