"""Tables of zone markets: zones, their periods and flows, trades with every decision on them, welfare.

A figure of a zone counts the zones inside it: what passes its gate is of all of them.  Columns are told in
docs/reference/tables-and-kpis.md.
"""

from typing import Any

import numpy as np
import pandas as pd

from gridagora.model.columns import Floats
from gridagora.model.zone_columns import DECISIONS
from gridagora.reports.tables import UPSTREAM
from gridagora.studies.record import RunRecord, zones_of
from gridagora.studies.zone_view import (
    KINDS,
    SUPPLY,
    ZoneBook,
    ZoneSteps,
    decided_wh,
    exchanged_wh,
    inside,
    per_period,
    summed,
    zone_book,
    zone_sessions,
)
from gridagora.units import MICRO, WH_PER_KWH

WELFARE = MICRO * WH_PER_KWH
"""Micro-currency x Wh / kWh in one unit of currency."""

NO_PRICE = -1
"""Price of a zone in whose market nothing was traded."""


def zones_table(record: RunRecord, periods: pd.DataFrame, book: ZoneBook) -> pd.DataFrame:
    """One row per zone over the whole run, from `zone_periods_table` and the trades.

    Limits are the highest of all periods, kW, NaN where none is known.
    """
    rules = zones_of(record.study)
    tree, hours = rules.tree, record.study.axis.hours
    within = inside(rules).astype(np.int64)
    homes = np.bincount(rules.of_home, minlength=len(tree.zones))
    power = {name: _wide(record, periods, name) for name in ("consumption_kw", "production_kw")}
    refused = _refused(record, book)
    return pd.DataFrame(
        {
            "zone": list(tree.names),
            "level": [zone.level for zone in tree.zones],
            "parent": [zone.parent or "" for zone in tree.zones],
            "buses": within @ np.array([len(zone.buses) for zone in tree.zones]),
            "homes": within @ homes,
            "gate_elements": ["; ".join(zone.gate_elements) for zone in tree.zones],
            "import_limit_kw": _highest(_limit(record, rules.import_kw)),
            "export_limit_kw": _highest(_limit(record, rules.export_kw)),
            "consumption_kwh": power["consumption_kw"].sum(axis=0) * hours,
            "production_kwh": power["production_kw"].sum(axis=0) * hours,
            **_traded(record, book),
            "mean_price": _mean_price(record),
            "gate_use_max_percent": _gate_use(record, _wide(record, periods, "gate_import_kw")),
            "not_served_kwh": _wide(record, periods, "not_served_kwh").sum(axis=0),
            "refused_trades": refused[0],
            "refused_kwh": refused[1] / WH_PER_KWH,
            "island_periods": (per_period(record, "island") >= 0).sum(axis=0),
        }
    )


def _wide(record: RunRecord, periods: pd.DataFrame, name: str) -> Floats:
    """Return a column of `zone_periods_table` as (periods, zones)."""
    return np.asarray(periods[name], dtype=np.float64).reshape(record.periods, -1)


def _limit(record: RunRecord, limit_kw: Floats) -> Floats:
    """Return limits of gates, (periods, zones), NaN where none is known; the root has no gate."""
    found = np.where(np.isinf(limit_kw[: record.periods]), np.nan, limit_kw[: record.periods])
    found[:, zones_of(record.study).tree.root] = np.nan
    return np.asarray(found)


def _highest(values: Floats) -> Floats:
    known = ~np.isnan(values).all(axis=0)
    highest = np.where(np.isnan(values), -np.inf, values).max(axis=0, initial=-np.inf)
    return np.where(known, highest, np.nan)


def _gate_use(record: RunRecord, metered_kw: Floats) -> Floats:
    """Return the highest share of a gate's limit that was used either way, percent; NaN without a limit."""
    rules = zones_of(record.study)
    use = []
    for sign, limit_kw in ((1, rules.import_kw), (-1, rules.export_kw)):
        limit = _limit(record, limit_kw)
        flow = np.maximum(sign * metered_kw, 0.0)
        use.append(np.divide(flow, limit, out=np.full(flow.shape, np.nan), where=limit > 0))
    return 100.0 * _highest(np.concatenate(use))


def _traded(record: RunRecord, book: ZoneBook) -> dict[str, Floats]:
    """Return what the homes of each zone bought and sold where, kWh, and the share bought inside it."""
    within = inside(zones_of(record.study)).astype(np.int64)
    count = len(within)
    found = exchanged_wh(record, book)
    local = found[:count, :count]
    own = np.einsum("za,ab,zb->z", within, local, within)
    bought, sold = within @ local.sum(axis=0), within @ local.sum(axis=1)
    bulk_bought, bulk_sold = within @ found[count, :count], within @ found[:count, count]
    all_bought = bought + bulk_bought
    wh = {
        "bought_inside_kwh": own,
        "bought_siblings_kwh": bought - own,
        "bought_bulk_kwh": bulk_bought,
        "sold_inside_kwh": own,
        "sold_siblings_kwh": sold - own,
        "sold_bulk_kwh": bulk_sold,
    }
    share = np.divide(own, all_bought, out=np.full(count, np.nan), where=all_bought > 0)
    return {name: values / WH_PER_KWH for name, values in wh.items()} | {"self_cover": share}


def _mean_price(record: RunRecord) -> Floats:
    price, volume = per_period(record, "price"), per_period(record, "volume_wh").astype(np.float64)
    volume = np.where(price == NO_PRICE, 0.0, volume)
    total = volume.sum(axis=0)
    worth = (np.where(price == NO_PRICE, 0.0, price / MICRO) * volume).sum(axis=0)
    return np.asarray(np.divide(worth, total, out=np.full(len(total), np.nan), where=total > 0))


def _refused(record: RunRecord, book: ZoneBook) -> tuple[Any, Any]:
    """Return number and Wh of refused trades of each zone's homes; what the DSO sought instead is not one."""
    within = inside(zones_of(record.study)).astype(np.int64)
    homes, trades = len(record.study.homes), book.trades
    count = np.zeros((len(within), len(within)), dtype=np.int64)
    wh = np.zeros_like(count)
    rows = np.flatnonzero(~book.approved & (book.kind != SUPPLY))
    # the retailer stands nowhere: a trade with it is one of the home's zones alone
    seller = np.where(trades.seller == homes, trades.buyer_zone, trades.seller_zone)[rows]
    buyer = np.where(trades.buyer == homes, trades.seller_zone, trades.buyer_zone)[rows]
    np.add.at(count, (seller, buyer), 1)
    np.add.at(wh, (seller, buyer), trades.quantity_wh[rows])

    def either(values: Any) -> Any:
        both = np.einsum("za,ab,zb->z", within, values, within)
        return within @ values.sum(axis=0) + within @ values.sum(axis=1) - both

    return either(count), either(wh)


def zone_periods_table(record: RunRecord, book: ZoneBook) -> pd.DataFrame:
    """One row per period and zone: price, gate, island, and the balance of its homes; kW + into the zone."""
    rules, hours, count = zones_of(record.study), record.study.axis.hours, record.periods
    names = rules.tree.names
    to_kw = 1.0 / (WH_PER_KWH * hours)
    island, price = per_period(record, "island"), per_period(record, "price")
    period = np.repeat(np.arange(count), len(names))
    values: dict[str, Any] = {
        "price": np.where(price == NO_PRICE, np.nan, price / MICRO),
        "volume_kwh": per_period(record, "volume_wh") / WH_PER_KWH,
        "gate_import_matched_kw": per_period(record, "import_wh") * to_kw,
        "gate_import_decided_kw": decided_wh(record, book) * to_kw,
        "gate_import_kw": summed(record, record.delivered("metered_wh")) * to_kw,
        "import_limit_kw": _limit(record, rules.import_kw),
        "export_limit_kw": _limit(record, rules.export_kw),
        **_balance(record),
        "joint_price": per_period(record, "joint_price") / MICRO,
        "joint_import_kw": per_period(record, "joint_import_wh") * to_kw,
    }
    return pd.DataFrame(
        {
            "period": period,
            "start": record.study.axis.starts[period],
            "zone": _labels(np.tile(np.arange(len(names)), count), names),
            "island": _labels(np.where(island < 0, len(names), island).ravel(), (*names, "")),
            **{name: np.asarray(part, dtype=np.float64).ravel() for name, part in values.items()},
        }
    )


def _balance(record: RunRecord) -> dict[str, Floats]:
    """Return what the homes of each zone used, made, stored and went without; kW, and kWh not served."""
    homes, count = record.study.homes, record.periods
    load = np.stack([home.load_kw[:count] for home in homes], axis=1)
    pv = np.stack([np.zeros(count) if h.pv_kw is None else h.pv_kw[:count] for h in homes], axis=1)
    kw = {name: record.delivered(name) for name in ("ev_kw", "heat_pump_kw", "curtailed_kw", "unserved_kw")}
    used = load + kw["ev_kw"] + kw["heat_pump_kw"] - kw["unserved_kw"]
    return {
        "consumption_kw": summed(record, used),
        "not_served_kwh": summed(record, kw["unserved_kw"]) * record.study.axis.hours,
        "production_kw": summed(record, pv - kw["curtailed_kw"]),
        "curtailed_kw": summed(record, kw["curtailed_kw"]),
        "battery_kw": summed(record, record.delivered("battery_kw")),
        "forming_kw": per_period(record, "island") * 0.0 if record.formed_kw is None else record.formed_kw,
    }


def zone_flows_table(record: RunRecord, book: ZoneBook) -> pd.DataFrame:
    """One row per period and pair of zones: approved trades from one to the other, kWh and what is paid."""
    names, trades = zones_of(record.study).tree.names, book.trades
    rows = np.flatnonzero(book.approved & (trades.buyer_zone != trades.seller_zone))
    frame = pd.DataFrame(
        {
            "period": trades.period[rows],
            "from_zone": trades.seller_zone[rows],
            "to_zone": trades.buyer_zone[rows],
            "quantity_kwh": trades.quantity_wh[rows] / WH_PER_KWH,
            "amount": book.amount_micro[rows] / MICRO,
        }
    )
    frame = frame.groupby(["period", "from_zone", "to_zone"], as_index=False).sum()
    frame.insert(1, "start", record.study.axis.starts[frame["period"].to_numpy()])
    for name in ("from_zone", "to_zone"):
        frame[name] = _labels(frame[name], names)
    return frame


def zone_trades_table(record: RunRecord, book: ZoneBook, steps: ZoneSteps) -> pd.DataFrame:
    """One row per trade asked for, with the last decision on it; upstream is the retailer."""
    zones, trades = zones_of(record.study).tree.names, book.trades
    people = [*(home.participant for home in record.study.homes), UPSTREAM]
    ids = trade_ids(book)
    last = np.full(len(ids), -1, dtype=np.int64)
    last[steps.trade] = np.arange(len(steps.trade))  # steps are in order: the last is written last

    def of_last(column: Any, texts: tuple[str, ...]) -> Any:
        known = last >= 0
        codes = np.where(known, column[np.maximum(last, 0)], -1) if len(column) else last
        return pd.Categorical.from_codes(codes, categories=pd.Index(list(texts), dtype=object))

    return pd.DataFrame(
        {
            "trade": ids,
            "period": trades.period,
            "start": record.study.axis.starts[trades.period],
            "buyer": _labels(trades.buyer, people),
            "buyer_zone": _labels(trades.buyer_zone, zones),
            "seller": _labels(trades.seller, people),
            "seller_zone": _labels(trades.seller_zone, zones),
            "market": _labels(trades.market, zones),
            "quantity_kwh": trades.quantity_wh / WH_PER_KWH,
            "price": trades.price / MICRO,
            "kind": _labels(book.kind, KINDS),
            "follows": np.where(book.follows < 0, "", ids[np.maximum(book.follows, 0)] if len(ids) else ""),
            "decision": np.where(book.approved, "approved", "rejected"),
            "last_step": steps.step[last] if len(steps.step) else last,
            "decided_by": of_last(steps.by, steps.names),
            "reason": of_last(steps.reason, steps.reasons),
        }
    ).astype({"decision": "category"})


def approvals_table(book: ZoneBook, steps: ZoneSteps) -> pd.DataFrame:
    """One row per step of every trade: who stated or decided, what, why, and when (UTC)."""
    ids = trade_ids(book)
    return pd.DataFrame(
        {
            "trade": pd.Categorical.from_codes(steps.trade, categories=pd.Index(ids, dtype=object)),
            "step": steps.step,
            "by": _labels(steps.by, steps.names),
            "decision": _labels(steps.decision, DECISIONS),
            "reason": _labels(steps.reason, steps.reasons),
            "at": steps.at.astype("datetime64[s]"),
        }
    )


def trade_ids(book: ZoneBook) -> Any:
    """Return the id of each trade: its session, and its place there in the order of decisions."""
    pairs = zip(book.session.tolist(), book.number.tolist(), strict=True)
    return np.array([f"{session}-{number:04d}" for session, number in pairs], dtype=object)


def zone_welfare_table(record: RunRecord) -> pd.DataFrame:
    """One row per period: value by the bids' own prices of what zones matched and of one joint clearing."""
    welfare, joint = (per_period(record, name) / WELFARE for name in ("welfare", "joint_welfare"))
    period = np.arange(record.periods)
    return pd.DataFrame(
        {
            "period": period,
            "start": record.study.axis.starts[period],
            "welfare": welfare,
            "welfare_joint": joint,
            "gap": joint - welfare,
        }
    )


def nodal_periods_table(record: RunRecord) -> pd.DataFrame:
    """One row per period that was also cleared jointly on the wires: how that went; currency per kWh.

    Prices are NaN where none was found; ``reason`` says why, or what stands in the way of keeping all limits.
    """
    found = record.pictures
    period = np.array([int(one.period[0]) for one in found], dtype=np.int64)
    price = [np.where(np.isnan(one.parts[0, 0]), np.nan, one.price[0] / MICRO) for one in found]
    known = [one[~np.isnan(one)] for one in price]
    return pd.DataFrame(
        {
            "period": period,
            "start": record.study.axis.starts[period],
            "status": np.array([one.status[0] for one in found], dtype=object),
            "reason": np.array([one.reason[0] for one in found], dtype=object),
            "rounds": np.array([int(one.rounds[0]) for one in found], dtype=np.int64),
            "price_lowest": np.array([one.min() if len(one) else np.nan for one in known], dtype=np.float64),
            "price_highest": np.array([one.max() if len(one) else np.nan for one in known], dtype=np.float64),
            "losses_kwh": np.array([int(one.loss_wh[0]) for one in found]) / WH_PER_KWH,
        }
    )


def zone_kpis(record: RunRecord, currency: str) -> dict[str, Any]:
    """Return the key figures of zone markets; none for other markets."""
    if record.study.zones is None:
        return {}
    book = zone_book(record)
    count = len(zones_of(record.study).tree.zones)
    found = exchanged_wh(record, book) / WH_PER_KWH
    local = found[:count, :count]
    own = float(np.trace(local))
    asked, supplied = book.kind != SUPPLY, (book.kind == SUPPLY) & book.approved
    welfare = zone_welfare_table(record)
    total, joint = float(welfare["welfare"].sum()), float(welfare["welfare_joint"].sum())
    lost = float(record.delivered("unserved_kw").sum() * record.study.axis.hours)
    return {
        "zones": count,
        "zone_trades": int(asked.sum()),
        "trades_refused": int((asked & ~book.approved).sum()),
        "refused_kwh": float(book.trades.quantity_wh[asked & ~book.approved].sum() / WH_PER_KWH),
        "refused_supplied_kwh": float(book.trades.quantity_wh[supplied].sum() / WH_PER_KWH),
        "approvals": sum(len(one.decided.decisions.trade) for one in zone_sessions(record)),
        f"welfare_zones_{currency}": total,
        f"welfare_joint_{currency}": joint,
        f"welfare_gap_{currency}": joint - total,
        "welfare_gap_share": (joint - total) / joint if joint > 0 else float("nan"),
        "traded_inside_kwh": own,
        "traded_between_zones_kwh": float(local.sum()) - own,
        "traded_bulk_kwh": float(found[count].sum() + found[:, count].sum()),
        "island_periods": int((per_period(record, "island") >= 0).any(axis=1).sum()),
        f"lost_load_cost_{currency}": lost * record.study.market.value_of_lost_load,
    }


def _labels(codes: Any, names: Any) -> Any:
    return pd.Categorical.from_codes(
        np.asarray(codes, dtype=np.int64), categories=pd.Index(list(names), dtype=object)
    )
