"""Data of the page about markets of zones: map, flows, gates, prices, welfare, islands, lives of trades."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gridagora.reports.bins import Rule, plain
from gridagora.reports.columns import Column, numbers, texts
from gridagora.reports.nodal import nodal_data, shown
from gridagora.reports.series import Timeline
from gridagora.reports.tables import RunTables, ZoneTables
from gridagora.reports.words import number
from gridagora.reports.zone_trades import decision_columns, trade_lives

if TYPE_CHECKING:
    import pandas as pd

MOST_ZONES = 40
"""Zones drawn over time: those whose homes trade most."""

OTHERS = "other zones"
MOST_BANDS = 12
"""Zones that the drawing of flows tells apart; the smaller ones are drawn as one."""

GATE: tuple[tuple[str, str, Rule], ...] = (
    ("high", "gate_import_kw", "max"),
    ("low", "gate_import_kw", "min"),
    ("mean", "gate_import_kw", "mean"),
    ("matched", "gate_import_matched_kw", "mean"),
    ("decided", "gate_import_decided_kw", "mean"),
    ("import_limit", "import_limit_kw", "min"),
    ("export_limit", "export_limit_kw", "min"),
    ("price", "price", "mean"),
    ("joint", "joint_price", "mean"),
)
"""(name on the page, column of zone_periods, rule of a bin)."""

BALANCE = ("consumption_kw", "production_kw", "battery_kw", "gate_import_kw", "forming_kw")


def zones_data(tables: RunTables, zones: ZoneTables, line: Timeline) -> dict[str, Any]:
    """Return the data of the section; zones are numbered as in the table of zones."""
    frame = zones.zones
    names = frame["zone"].astype(str).tolist()
    place = {name: k for k, name in enumerate(names)}
    drawn = _drawn(frame)
    elements = tables.elements
    return {
        "names": names,
        "level": frame["level"].astype(str).tolist(),
        "parent": [place.get(name, -1) for name in frame["parent"].astype(str)],
        "island_periods": [int(n) for n in frame["island_periods"]],
        "gate_use": plain(frame["gate_use_max_percent"], 1),
        "limits": [plain(frame["import_limit_kw"]), plain(frame["export_limit_kw"])],
        "zone_of": [place.get(str(name), -1) for name in elements["zone"]],
        "gate_of": [place.get(str(name), -1) for name in elements["gate_of"]],
        "drawn": [place[name] for name in drawn],
        "over_time": [_over_time(zones.zone_periods, name, line) for name in drawn],
        "islands": {str(place[name]): spans for name in names if (spans := _spans(zones, name, line))},
        "balance": {str(place[name]): _balance(zones.zone_periods, name, line) for name in _cut_off(zones)},
        "flows": _flows(zones, names),
        "welfare": _welfare(zones, line),
        "trades": trade_lives(zones, line),
        "dso": zones.dso,
        "tables": {
            "zones": zone_columns(frame, tables.currency),
            "flows": flow_columns(zones, tables.currency),
            "decisions": decision_columns(zones),
        },
    }


def zone_nodal_data(tables: RunTables, zones: ZoneTables, line: Timeline) -> dict[str, Any]:
    """Return prices at buses as drawn, beside those of their zones; a period without prices says why."""
    table = zones.nodal_periods
    periods = shown(table)
    rows = {int(row["period"]): row for row in table.to_dict("records")}
    text = []
    for period in periods:
        row = rows[period]
        losses = f"Losses {number(row['losses_kwh'], 2)} kWh."
        good = row["status"] == "passed"
        text.append(losses if good else f"{losses} {row['status'].capitalize()}: {row['reason']}.")
    return nodal_data(tables, zones.nodal_prices, periods, line=line, text=text)


def _drawn(frame: "pd.DataFrame") -> list[str]:
    """Return the zones that are drawn over time, in the order of the table."""
    columns = [name for name in frame.columns if name.startswith(("bought_", "sold_"))]
    size = frame[columns].sum(axis=1)
    best = set(size.sort_values(ascending=False, kind="stable").index[:MOST_ZONES])
    return [str(name) for row, name in zip(frame.index, frame["zone"], strict=True) if row in best]


def _rows(frame: "pd.DataFrame", name: str) -> "pd.DataFrame":
    return frame[frame["zone"] == name]


def _over_time(frame: "pd.DataFrame", name: str, line: Timeline) -> dict[str, Any]:
    rows = _rows(frame, name)
    return {key: plain(line.bins.gather(line.align(rows, column), rule), 5) for key, column, rule in GATE}


def _spans(zones: ZoneTables, name: str, line: Timeline) -> list[list[str]]:
    """Return when a zone is part of an island: local begin of its first and end of its last period."""
    rows = _rows(zones.zone_periods, name)
    cut = rows["period"].to_numpy()[(rows["island"] != "").to_numpy()]
    place = np.searchsorted(line.periods, cut)
    parts = np.split(place, np.flatnonzero(np.diff(place) > 1) + 1) if len(place) else []
    last = len(line.labels) - 1
    return [[line.labels[part[0]], line.labels[min(part[-1] + 1, last)]] for part in parts]


def _cut_off(zones: ZoneTables) -> list[str]:
    """Return the zones that were an island by themselves."""
    found = {str(name) for name in zones.zone_periods["island"].unique()} - {""}
    return [str(name) for name in zones.zones["zone"] if str(name) in found]


def _balance(frame: "pd.DataFrame", name: str, line: Timeline) -> dict[str, Any]:
    """Return the balance of a zone's homes over time, kW; batteries and gates split by their sign."""
    rows = _rows(frame, name)
    kw = {key: line.align(rows, key) for key in BALANCE}
    lost = line.align(rows, "not_served_kwh") / line.bins.hours
    values = {
        "served": kw["consumption_kw"],
        "lost": lost,
        "made": kw["production_kw"],
        "charged": np.maximum(kw["battery_kw"], 0),
        "given": np.maximum(-kw["battery_kw"], 0),
        "entered": np.maximum(kw["gate_import_kw"], 0),
        "left": np.maximum(-kw["gate_import_kw"], 0),
        "formed": kw["forming_kw"],
    }
    return {key: plain(line.bins.gather(part, "mean"), 4) for key, part in values.items()}


def _pairs(zones: ZoneTables) -> "pd.DataFrame":
    """Return kWh and money of approved trades by the zones of seller and buyer, also inside one zone.

    The retailer counts as the bulk grid, homes of the root's own buses too.
    """
    frame = zones.zone_trades[zones.zone_trades["decision"] == "approved"]
    amount = frame["quantity_kwh"] * frame["price"]
    by = frame.assign(amount=amount).groupby(["seller_zone", "buyer_zone"], observed=True)
    return by[["quantity_kwh", "amount"]].sum().reset_index().astype({"seller_zone": str, "buyer_zone": str})


def _flows(zones: ZoneTables, names: list[str]) -> dict[str, Any]:
    """Return the bands from sellers' to buyers' zones; small zones together."""
    pairs = _pairs(zones)
    size = (
        pairs.groupby("seller_zone")["quantity_kwh"]
        .sum()
        .add(pairs.groupby("buyer_zone")["quantity_kwh"].sum(), fill_value=0.0)
    )
    large = set(size.sort_values(ascending=False, kind="stable").index[:MOST_BANDS])
    shown_names = [name for name in names if name in large]
    if len(size) > MOST_BANDS:
        shown_names.append(OTHERS)
    place = {name: k for k, name in enumerate(shown_names)}
    ends = {
        side: [place.get(name, len(shown_names) - 1) for name in pairs[f"{side}_zone"]]
        for side in ("seller", "buyer")
    }
    frame = pairs.assign(**ends).groupby(["seller", "buyer"], as_index=False)["quantity_kwh"].sum()
    frame = frame[frame["quantity_kwh"] > 0]
    return {
        "names": shown_names,
        "zone": [names.index(name) if name in names else -1 for name in shown_names],
        "from": [int(k) for k in frame["seller"]],
        "to": [int(k) for k in frame["buyer"]],
        "kwh": plain(frame["quantity_kwh"], 3),
    }


def _welfare(zones: ZoneTables, line: Timeline) -> dict[str, Any]:
    table = zones.zone_welfare
    return {
        name: plain(line.bins.gather(line.align(table, column), "sum"), 6)
        for name, column in (("zones", "welfare"), ("joint", "welfare_joint"), ("gap", "gap"))
    }


def zone_columns(frame: "pd.DataFrame", currency: str) -> list[Column]:
    """Return the table of zones."""
    figures = (
        ("homes", "homes", 0),
        ("gate_use_max_percent", "highest gate use (%)", 0),
        ("import_limit_kw", "import limit (kW)", 0),
        ("export_limit_kw", "export limit (kW)", 0),
        ("refused_trades", "refused trades", 0),
        ("refused_kwh", "refused (kWh)", 1),
        ("not_served_kwh", "not served (kWh)", 1),
        ("island_periods", "periods as an island", 0),
        ("consumption_kwh", "consumption (kWh)", 0),
        ("production_kwh", "production (kWh)", 0),
        ("bought_inside_kwh", "bought inside (kWh)", 1),
        ("bought_siblings_kwh", "from other zones (kWh)", 1),
        ("bought_bulk_kwh", "from the bulk grid (kWh)", 1),
        ("sold_siblings_kwh", "to other zones (kWh)", 1),
        ("sold_bulk_kwh", "to the bulk grid (kWh)", 1),
        ("mean_price", f"mean price ({currency}/kWh)", 4),
        ("buses", "buses", 0),
    )
    return [
        *(texts(key, key, frame[key]) for key in ("zone", "level", "parent")),
        numbers("self_cover", "covered inside (%)", frame["self_cover"] * 100, digits=0),
        *(numbers(key, label, frame[key], digits=digits) for key, label, digits in figures),
        texts("gate_elements", "gate", frame["gate_elements"]),
    ]


def flow_columns(zones: ZoneTables, currency: str) -> list[Column]:
    """Return what moved from zone to zone over the run, largest first."""
    frame = _pairs(zones).sort_values("quantity_kwh", ascending=False, kind="stable")
    return [
        texts("from", "from zone", frame["seller_zone"]),
        texts("to", "to zone", frame["buyer_zone"]),
        numbers("kwh", "energy (kWh)", frame["quantity_kwh"], digits=1),
        numbers("amount", f"paid ({currency})", frame["amount"], digits=2),
    ]
