"""Key figures of a run, each with the same feeder without a market beside it (``_baseline``).

Self-sufficiency is the share of consumption covered inside the feeder (or home) in the same period, ``1 -
import / consumption``; self-consumption is the share of production used there, ``1 - export / production``
(MARKETS section 9).  Import and export of the feeder are sums over homes before losses.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gridagora.model.columns import Floats
from gridagora.model.events import AuctionCleared
from gridagora.studies.flexibility_tables import strategies_table
from gridagora.studies.flexibility_view import flex_money
from gridagora.studies.network_tables import network_kpis
from gridagora.studies.record import Flows, RunRecord
from gridagora.studies.tables import local_days, money_per_home
from gridagora.studies.zone_tables import zone_kpis
from gridagora.units import MICRO, WH_PER_KWH, amount_micro, to_micro


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """Energy of all homes over the finished periods: kWh, shape (periods, homes)."""

    consumption: Floats
    production: Floats
    metered: Floats
    curtailed: Floats
    unserved: Floats


def energy_with_market(record: RunRecord) -> Energy:
    """Return what homes consumed, produced and exchanged with the market."""
    return _energy(
        record,
        metered_wh=record.delivered("metered_wh"),
        curtailed_kw=record.delivered("curtailed_kw"),
        unserved_kw=record.delivered("unserved_kw"),
        flexible_kw=record.delivered("ev_kw") + record.delivered("heat_pump_kw"),
    )


def energy_without_market(record: RunRecord) -> Energy:
    """Return what the same homes consumed, produced and exchanged without a market."""
    return _energy(
        record,
        metered_wh=record.baseline_metered_wh,
        curtailed_kw=record.baseline_curtailed_kw,
        unserved_kw=record.baseline_unserved_kw,
        flexible_kw=record.baseline_ev_kw + record.baseline_heat_pump_kw,
    )


def _energy(
    record: RunRecord, *, metered_wh: Any, curtailed_kw: Floats, unserved_kw: Floats, flexible_kw: Floats
) -> Energy:
    homes, periods, hours = record.study.homes, record.periods, record.study.axis.hours
    load = np.stack([h.load_kw[:periods] for h in homes], axis=1)
    pv = np.stack([np.zeros(periods) if h.pv_kw is None else h.pv_kw[:periods] for h in homes], axis=1)
    return Energy(
        consumption=(load + flexible_kw - unserved_kw) * hours,
        production=(pv - curtailed_kw) * hours,
        metered=metered_wh / WH_PER_KWH,
        curtailed=curtailed_kw * hours,
        unserved=unserved_kw * hours,
    )


def _share(part: Any, whole: Any) -> Any:
    """Return 1 - part / whole, NaN where there is no whole."""
    whole = np.asarray(whole, dtype=np.float64)
    return 1.0 - np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def participants_table(record: RunRecord) -> pd.DataFrame:
    """One row per participant: assets, energy in kWh, costs in currency with and without the market.

    ``flex_received`` is a column of runs with a flexibility market alone, ``zone`` of those with zones;
    ``cost`` is what is left to pay.
    """
    study = record.study
    zones = {} if study.zones is None else {"zone": [study.zones.tree.names[k] for k in study.zones.of_home]}
    days, standing = len(local_days(record)[1]), int(to_micro(study.tariffs.standing_per_day))
    energy = energy_with_market(record)
    imported = np.maximum(energy.metered, 0).sum(axis=0)
    exported = np.maximum(-energy.metered, 0).sum(axis=0)
    received = flex_money(record).sum(axis=0) / MICRO
    cost = money_per_home(record.settled(), days=days, standing_micro=standing) - received
    flexible = {} if record.flexibility is None else {"flex_received": received}
    baseline = money_per_home(record.baseline_money, days=days, standing_micro=standing)
    consumed, produced = energy.consumption.sum(axis=0), energy.production.sum(axis=0)
    return pd.DataFrame(
        {
            "participant": [h.participant for h in study.homes],
            "kind": [h.kind for h in study.homes],
            "bus": [h.bus for h in study.homes],
            **zones,
            "pv_peak_kw": [h.pv_peak_kw for h in study.homes],
            "battery_kwh": [h.battery.energy_kwh if h.battery else 0.0 for h in study.homes],
            "ev": [h.ev is not None for h in study.homes],
            "heat_pump": [h.heat_pump is not None for h in study.homes],
            "consumption_kwh": consumed,
            "production_kwh": produced,
            "import_kwh": imported,
            "export_kwh": exported,
            **flexible,
            "cost": cost,
            "cost_baseline": baseline,
            "gain": baseline - cost,
            "self_sufficiency": _share(imported, consumed),
            "self_consumption": _share(exported, produced),
        }
    )


def kpis(record: RunRecord, participants: pd.DataFrame) -> dict[str, float | int | str]:
    """Return the key figures of a run by name, units in the names."""
    study, cur = record.study, record.study.tariffs.currency.lower()
    head: dict[str, Any] = {
        "scenario": study.name,
        "periods": record.periods,
        "periods_planned": study.axis.periods,
        "participants": len(study.homes),
        **_choices(record),
        "seed": study.seed,
        "currency": study.tariffs.currency,
        f"cost_total_{cur}": float(participants["cost"].sum()),
        f"cost_total_baseline_{cur}": float(participants["cost_baseline"].sum()),
        f"gain_total_{cur}": float(participants["gain"].sum()),
        "participants_better_off": int((participants["gain"] > 1e-9).sum()),
        "participants_worse_off": int((participants["gain"] < -1e-9).sum()),
    }
    return (
        head
        | (_market_kpis(record, cur) if record.flexibility is None else _flex_kpis(record, cur))
        | _energy_kpis(record)
        | _grid_kpis(record)
        | network_kpis(record, cur)
        | zone_kpis(record, cur)
        | {"event_hash": record.event_hash}
    )


def _choices(record: RunRecord) -> dict[str, str]:
    """Return by which rules the run went: those of the pool, or of the flexibility market."""
    study, rules = record.study, record.study.flexibility
    homes = {"ems": study.agents.ems, "forecast": study.agents.forecast}
    if rules is None:
        return {"mechanism": study.market.mechanism, **homes, "bidding": study.agents.bidding}
    return {
        "mechanism": "capacity_limit",
        **homes,
        "flex_strategy": rules.demand,
        "flex_payment": rules.payment,
        "flex_settlement": rules.settlement,
    }


def _flex_kpis(record: RunRecord, cur: str) -> dict[str, Any]:
    """Return the key figures of the flexibility market, of its settled strategy."""
    settled = strategies_table(record).iloc[0].to_dict()
    return {
        "flex_hours_overloaded_before": settled["overloaded_before_h"],
        "flex_hours_overloaded_after": settled["overloaded_after_h"],
        "flex_hours_cured": settled["cured_h"],
        "flex_share_cured": settled["share_cured"],
        "flex_hours_newly_overloaded": settled["newly_overloaded_h"],
        "flex_unmet_needs": settled["unmet"],
        "flex_sold_kwh": settled["sold_kwh"],
        "flex_metered_less_kwh": settled["metered_less_kwh"],
        "flex_deficiency_kwh": settled["deficiency_kwh"],
        f"flex_cost_{cur}": settled["operator_cost"],
        f"flex_sellers_cost_{cur}": settled["sellers_cost"],
        f"flex_sellers_gain_{cur}": settled["sellers_gain"],
        f"flex_budget_balance_{cur}": settled["budget_balance"],
    }


def _market_kpis(record: RunRecord, cur: str) -> dict[str, Any]:
    money = record.settled()
    local = money.local_bought_wh.sum(axis=1) / WH_PER_KWH
    price = record.column(AuctionCleared, "clearing_price") / MICRO
    traded = (np.maximum(money.traded_wh, 0).sum(axis=1)) / WH_PER_KWH
    known = ~np.isnan(price)
    worth, volume = float((price[known] * traded[known]).sum()), float(traded[known].sum())
    if record.study.zones is not None:  # each zone has a price of its own: the mean is that of all trades
        trades = record.traded()
        worth = float(amount_micro(trades.quantity_wh, trades.buyer_price).sum() / MICRO)
        volume = float(trades.quantity_wh.sum() / WH_PER_KWH)
    return {
        "local_volume_kwh": float(local.sum()),
        f"mean_price_{cur}_per_kwh": worth / volume if volume else float("nan"),
        "imbalance_kwh": float(np.abs(record.delivered("metered_wh") - money.traded_wh).sum() / WH_PER_KWH),
    }


def _energy_kpis(record: RunRecord) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for suffix, energy in (("", energy_with_market(record)), ("_baseline", energy_without_market(record))):
        feeder = energy.metered.sum(axis=1)
        imported, exported = float(np.maximum(feeder, 0).sum()), float(np.maximum(-feeder, 0).sum())
        consumption, production = float(energy.consumption.sum()), float(energy.production.sum())
        figures |= {
            f"consumption_kwh{suffix}": consumption,
            f"production_kwh{suffix}": production,
            f"import_kwh{suffix}": imported,
            f"export_kwh{suffix}": exported,
            f"self_sufficiency{suffix}": float(_share(imported, consumption)),
            f"self_consumption{suffix}": float(_share(exported, production)),
            f"curtailed_kwh{suffix}": float(energy.curtailed.sum()),
            f"energy_not_served_kwh{suffix}": float(energy.unserved.sum()),
        }
    return figures


def _grid_kpis(record: RunRecord) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for suffix, flows in (("", record.flows), ("_baseline", record.flows_baseline)):
        figures |= {f"{name}{suffix}": value for name, value in _flow_figures(record, flows).items()}
    stages = np.asarray(record.violations.stage)
    for suffix, stage in (("", "metered"), ("_baseline", "baseline"), ("_cleared", "cleared")):
        figures[f"violation_periods{suffix}"] = len(np.unique(record.violations.period[stages == stage]))
    return figures


def _flow_figures(record: RunRecord, flows: Flows) -> dict[str, Any]:
    """Return the key figures of the wires; a sum over periods of which one is unknown is not known."""
    hours = record.study.axis.hours
    lines = flows.loading_percent.shape[1] - flows.transformers
    reverse = np.where(flows.converged, flows.import_kw < 0, np.nan)
    return {
        "losses_kwh": float(np.where(flows.converged, flows.losses_kw, np.nan).sum() * hours),
        "transformer_loading_max_percent": _highest(flows.loading_percent[:, lines:]),
        "line_loading_max_percent": _highest(flows.loading_percent[:, :lines]),
        "vm_min_pu": -_highest(-flows.vm_pu),
        "vm_max_pu": _highest(flows.vm_pu),
        "unbalance_max_percent": _highest(flows.unbalance_percent),
        "peak_import_kw": _highest(flows.import_kw),
        "peak_export_kw": float(np.maximum(_highest(-flows.import_kw), 0.0)),
        "reverse_flow_hours": float(reverse.sum() * hours),
        "not_converged_periods": int((~flows.converged).sum()),
    }


def _highest(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else float("nan")
