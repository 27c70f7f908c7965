"""Tables of a run, read from its events: what `gridagora.run` hands out and writes as Parquet.

One function per table, each from the record alone; columns are told in docs/reference/tables-and-kpis.md.
Participants and other names are categories, so that a year of a hundred homes fits in memory.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gridagora.billing import invoice_lines
from gridagora.engine.flexibility.books import journal_codes
from gridagora.ledger import account_name
from gridagora.ledger.accounts import SystemAccount
from gridagora.ledger.journal import FLEX_KINDS, KINDS, EntryKind
from gridagora.model.columns import SettlementLines
from gridagora.model.events import AuctionCleared, SessionSettled
from gridagora.model.flexibility_events import FlexSettled
from gridagora.reports.tables import UPSTREAM
from gridagora.studies.flexibility_view import flex_money, views
from gridagora.studies.record import Flows, RunRecord
from gridagora.studies.zone_view import zone_of_elements
from gridagora.units import MICRO, WH_PER_KWH, amount_micro, to_micro

STAGES = ("cleared", "metered", "baseline", "copper_plate")
"""Stages of a schedule; the last is that of a network market's bids in a pool that knows no wires."""


def _names(record: RunRecord) -> list[str]:
    return [home.participant for home in record.study.homes]


def _labels(codes: Any, names: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(np.asarray(codes, dtype=np.int64), categories=pd.Index(list(names)))


def _start(record: RunRecord, period: Any) -> Any:
    return record.study.axis.starts[np.asarray(period)]


def _long(record: RunRecord) -> dict[str, Any]:
    """Return period, start and participant of every cell of a (periods, homes) array, row by row."""
    homes = len(record.study.homes)
    period = np.repeat(np.arange(record.periods), homes)
    who = np.tile(np.arange(homes), record.periods)
    return {"period": period, "start": _start(record, period), "participant": _labels(who, _names(record))}


def bids_table(record: RunRecord) -> pd.DataFrame:
    """One row per bid: price in currency per kWh, quantity and accepted in kWh; upstream is the retailer.

    With a flexibility market in its place the pool has no bids: the retailer's two are nobody's to meet.
    With zones what is accepted is what their controllers let stand.
    """
    column: dict[str, Any] = {
        name: record.column(AuctionCleared, name)
        for name in ("participant", "period", "side", "price", "quantity")
    }
    column["accepted"] = record.accepted()
    if record.flexibility is not None:
        column = {name: values[:0] for name, values in column.items()}
    names = [*_names(record), UPSTREAM]
    return pd.DataFrame(
        {
            "period": column["period"],
            "start": _start(record, column["period"]),
            "participant": _labels(column["participant"], names),
            "side": _labels(np.where(column["side"] > 0, 0, 1), ["buy", "sell"]),
            "price": column["price"] / MICRO,
            "quantity": column["quantity"] / WH_PER_KWH,
            "accepted": column["accepted"] / WH_PER_KWH,
        }
    )


def trades_table(record: RunRecord) -> pd.DataFrame:
    """One row per trade of the pool: whole Wh, micro-prices, and what the buyer pays."""
    trades = record.traded()
    names = [*_names(record), UPSTREAM]
    return pd.DataFrame(
        {
            "period": trades.period,
            "start": _start(record, trades.period),
            "buyer": _labels(trades.buyer, names),
            "seller": _labels(trades.seller, names),
            "quantity_wh": trades.quantity_wh,
            "price_micro_per_kwh": trades.buyer_price,
            "seller_price_micro_per_kwh": trades.seller_price,
            "amount_micro": amount_micro(trades.quantity_wh, trades.buyer_price),
        }
    )


def prices_table(record: RunRecord) -> pd.DataFrame:
    """One row per period: clearing price (NaN: nothing traded), volumes in kWh, the retailer's prices."""
    periods, homes = record.periods, len(record.study.homes)
    tariffs = record.study.tariffs
    trades = record.traded()
    buyer, seller = trades.buyer, trades.seller

    def volume(rows: Any) -> Any:
        return (
            np.bincount(trades.period[rows], weights=trades.quantity_wh[rows], minlength=periods) / WH_PER_KWH
        )

    imported, exported = volume(seller == homes), volume(buyer == homes)
    local = volume((seller < homes) & (buyer < homes))
    islanded = record.study.market.islanded
    return pd.DataFrame(
        {
            "period": np.arange(periods),
            "start": _start(record, np.arange(periods)),
            "price": record.column(AuctionCleared, "clearing_price") / MICRO,
            "volume_kwh": local + imported + exported,
            "local_volume_kwh": local,
            "retail": np.full(periods, np.nan) if islanded else tariffs.retail[:periods],
            "feed_in": np.full(periods, np.nan) if islanded else tariffs.feed_in[:periods],
            "upstream_import_kwh": imported,
            "upstream_export_kwh": exported,
        }
    )


def schedules_table(record: RunRecord) -> pd.DataFrame:
    """One row per period and participant: devices, cleared and metered net import in kW, states in kWh."""
    periods, homes, hours = record.periods, record.study.homes, record.study.axis.hours
    to_kw = 1.0 / (WH_PER_KWH * hours)
    zero = np.zeros(periods)
    load = np.stack([h.load_kw[:periods] for h in homes], axis=1)
    pv = np.stack([zero if h.pv_kw is None else h.pv_kw[:periods] for h in homes], axis=1)
    arrays: dict[str, Any] = {"load_kw": load, "pv_kw": pv}
    for name in ("curtailed_kw", "battery_kw", "ev_kw", "heat_pump_kw", "unserved_kw", "cleared_kw"):
        arrays[name] = record.delivered(name)
    arrays["metered_kw"] = record.delivered("metered_wh") * to_kw
    for name in ("battery_kwh", "ev_kwh", "tank_kwh"):
        arrays[name] = record.delivered(name)
    arrays["baseline_kw"] = record.baseline_metered_wh * to_kw
    columns = {name: values.astype(np.float32).ravel() for name, values in arrays.items()}
    return pd.DataFrame(_long(record) | columns)


def flows_table(record: RunRecord) -> pd.DataFrame:
    """One row per period: what the power flow showed, with the market and (``_baseline``) without."""
    with_market = _flow_columns(record, record.flows)
    without = _flow_columns(record, record.flows_baseline)
    base = {f"{name}_baseline": values for name, values in without.items()}
    head = {"period": np.arange(record.periods), "start": _start(record, np.arange(record.periods))}
    return pd.DataFrame(head | with_market | base)


def _flow_columns(record: RunRecord, flows: Flows) -> dict[str, Any]:
    drawing = record.drawing
    lines = flows.loading_percent.shape[1] - flows.transformers
    line, worst_line = _extreme(flows.loading_percent[:, :lines], np.argmax)
    trafo, worst_trafo = _extreme(flows.loading_percent[:, lines:], np.argmax)
    low, low_bus = _extreme(flows.vm_pu, np.argmin)
    high, high_bus = _extreme(flows.vm_pu, np.argmax)
    return {
        "converged": flows.converged,
        "import_kw": flows.import_kw,
        "losses_kw": flows.losses_kw,
        "vm_min_pu": low,
        "vm_min_bus": _labels(low_bus, drawing.buses),
        "vm_max_pu": high,
        "vm_max_bus": _labels(high_bus, drawing.buses),
        "line_loading_percent": line,
        "worst_line": _labels(worst_line, drawing.elements[:lines]),
        "transformer_loading_percent": trafo,
        "worst_transformer": _labels(worst_trafo, drawing.elements[lines:]),
        "reverse_flow": flows.import_kw < 0,
        "unbalance_percent": flows.unbalance_percent,
    }


def _extreme(values: Any, pick: Any) -> tuple[Any, Any]:
    """Return each row's extreme and its column; NaN and -1 (no category) where the row holds no number."""
    rows = len(values)
    if values.shape[1] == 0:
        return np.full(rows, np.nan), np.full(rows, -1)
    known = ~np.isnan(values).all(axis=1)
    worst = np.full(rows, -np.inf if pick is np.argmax else np.inf)
    where = pick(np.where(np.isnan(values), worst[:, None], values), axis=1)
    value = values[np.arange(rows), where]
    return value, np.where(known, where, -1)


def elements_table(record: RunRecord) -> pd.DataFrame:
    """One row per bus, line and transformer: place in the drawing, worst value, periods beyond the limits.

    With zones also the zone of each, and of which zone a branch is the gate.
    """
    drawing, limits = record.drawing, record.study.limits
    transformers = record.flows.transformers
    lines = len(drawing.elements) - transformers
    place = {bus: (x, y) for bus, x, y in zip(drawing.buses, drawing.x, drawing.y, strict=True)}
    nowhere = (np.nan, np.nan)
    start = [place.get(bus, nowhere) for bus in (*drawing.buses, *drawing.from_bus)]
    end = [nowhere] * len(drawing.buses) + [place.get(bus, nowhere) for bus in drawing.to_bus]
    maxima = np.repeat(
        [limits.line_loading_percent, limits.transformer_loading_percent], [lines, transformers]
    )
    columns: dict[str, Any] = {
        "element": [*drawing.buses, *drawing.elements],
        "kind": ["bus"] * len(drawing.buses) + ["line"] * lines + ["transformer"] * transformers,
        "from_bus": [*drawing.buses, *drawing.from_bus],
        "to_bus": [""] * len(drawing.buses) + [*drawing.to_bus],
        "x": [p[0] for p in start],
        "y": [p[1] for p in start],
        "x_to": [p[0] for p in end],
        "y_to": [p[1] for p in end],
    }
    for suffix, flows in (("", record.flows), ("_baseline", record.flows_baseline)):
        bus_value, bus_period = _extreme(np.abs(flows.vm_pu - 1.0).T, np.argmax)
        del bus_value
        branch_value, branch_period = _extreme(flows.loading_percent.T, np.argmax)
        vm = flows.vm_pu[np.maximum(bus_period, 0), np.arange(len(drawing.buses))]
        low, high = flows.vm_pu < limits.vm_min_pu, flows.vm_pu > limits.vm_max_pu
        columns[f"worst_value{suffix}"] = np.concatenate([vm, branch_value])
        columns[f"worst_period{suffix}"] = np.concatenate([bus_period, branch_period])
        columns[f"violation_periods{suffix}"] = np.concatenate(
            [(low | high).sum(axis=0), (flows.loading_percent > maxima).sum(axis=0)]
        )
    if record.study.zones is not None:
        columns |= zone_of_elements(record)
    return pd.DataFrame(columns)


def violations_table(record: RunRecord) -> pd.DataFrame:
    """One row per limit broken: stage (`STAGES`), value, limit, those behind it."""
    found = record.violations
    return pd.DataFrame(
        {
            "period": found.period,
            "start": _start(record, found.period),
            "stage": pd.Categorical(found.stage, categories=STAGES),
            "kind": list(found.kind),
            "element": list(found.element),
            "value": found.value,
            "limit": found.limit,
            "participants": list(found.participants),
        }
    ).astype({"kind": "category", "element": "category"})


def invoices_table(record: RunRecord) -> pd.DataFrame:
    """One row per local day and participant: energy in kWh, charges in currency, total + = to pay.

    ``flexibility``, what was received for it, is a column of runs with a flexibility market alone.
    """
    study, periods = record.study, record.periods
    day, day_names = local_days(record)
    money = record.settled()
    standing = int(to_micro(study.tariffs.standing_per_day))
    metered = record.delivered("metered_wh").astype(np.int64)
    difference = metered - money.traded_wh
    net_upstream = money.traded_wh - money.local_bought_wh + money.local_sold_wh
    columns = {
        "local_bought_kwh": money.local_bought_wh,
        "local_sold_kwh": money.local_sold_wh,
        "retail_kwh": np.maximum(net_upstream, 0),
        "feed_in_kwh": np.maximum(-net_upstream, 0),
        "imbalance_kwh": difference,
        "energy_charge": np.minimum(money.energy, 0) + np.minimum(money.retail, 0),
        "energy_credit": np.maximum(money.energy, 0) + np.maximum(money.retail, 0),
        "imbalance_charge": money.imbalance,
        "network_charge": money.network,
        "taxes": money.taxes,
        "flexibility": flex_money(record),
        "total": money.total + flex_money(record),
        "total_baseline": record.baseline_money.total,
    }
    lines = invoice_lines(columns, day[:periods], standing_micro=standing)
    homes = len(study.homes)
    rows: dict[str, Any] = {
        "day": np.repeat(day_names, homes),
        "participant": _labels(np.tile(np.arange(homes), len(day_names)), _names(record)),
    }
    received = ["flexibility"] if record.flexibility is not None else []
    for name in (*list(columns)[:10], *received, "standing"):
        sign = 1 if name.endswith(("_kwh", "_credit", "flexibility")) else -1
        scale = WH_PER_KWH if name.endswith("_kwh") else MICRO
        rows[name] = sign * lines[name].ravel() / scale + 0.0
    rows["total"] = -(lines["total"] + lines["standing"]).ravel() / MICRO
    rows["total_baseline"] = -(lines["total_baseline"] + lines["standing"]).ravel() / MICRO
    rows["gain"] = (lines["total"] - lines["total_baseline"]).ravel() / MICRO
    return pd.DataFrame(rows)


def local_days(record: RunRecord) -> tuple[Any, Any]:
    """Return the number of each finished period's local day and the days' dates ("2016-06-01")."""
    dates, number = np.unique(record.study.axis.local_dates[: record.periods], return_inverse=True)
    return number.astype(np.int64), dates.astype(str)


def journal_table(record: RunRecord) -> pd.DataFrame:
    """One row per posting: entry, period that it is about, account, micro-units, what it is about.

    Entries of the pool are about a session and name its first period.
    """
    names = _names(record)
    events = [e for e in record.events if isinstance(e, SessionSettled)]
    settled = views(record)[0] if record.flexibility is not None else None
    flex = [] if settled is None else [e for e in settled.events(FlexSettled) if e.first < record.periods]
    first = np.array([e.first for e in events], dtype=np.int64)
    booked: list[SessionSettled | FlexSettled] = [*events, *flex]
    entry = np.concatenate([e.entry for e in booked]).astype(np.int64)
    account = [record.column(SessionSettled, "account").astype(np.int64)]
    others: tuple[str, ...] = ()
    if settled is not None:
        codes, others = journal_codes(settled.terms, names)
        account += [codes[e.account] for e in flex]
    count = len(names) + len(SystemAccount) + len(others)
    accounts = [account_name(code, names, others) for code in range(count)]
    session = np.minimum(entry // KINDS, max(len(first) - 1, 0))
    by_period = np.isin(entry % KINDS, [int(kind) for kind in FLEX_KINDS])
    return pd.DataFrame(
        {
            "entry": entry,
            "period": np.where(by_period, entry // KINDS, first[session]) if len(first) else entry // KINDS,
            "account": _labels(np.concatenate(account), accounts),
            "amount_micro": np.concatenate([e.amount for e in booked]).astype(np.int64),
            "memo": _labels(entry % KINDS, [kind.name.lower() for kind in EntryKind]),
        }
    )


def money_per_home(money: SettlementLines, *, days: int, standing_micro: int) -> Any:
    """Return what each home paid in all, currency, + = paid, standing charges included."""
    return (days * standing_micro - money.total.sum(axis=0)) / MICRO


def wide_table(values: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Return a (periods, columns) array as a frame of single precision with a period column first."""
    frame = pd.DataFrame(values.astype(np.float32), columns=list(columns))
    frame.insert(0, "period", np.arange(len(values)))
    return frame
