"""Everything the page's charts and tables draw, as one JSON-ready mapping."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from gridagora.reports.bins import plain
from gridagora.reports.columns import Column, numbers, texts
from gridagora.reports.curves import curve_data
from gridagora.reports.flexibility_payload import flex_data
from gridagora.reports.layout import bus_points, participants_behind
from gridagora.reports.network import network_data
from gridagora.reports.series import (
    Timeline,
    duration_series,
    energy_series,
    flow_series,
    marks,
    price_series,
    reverse_hours,
)
from gridagora.reports.tables import RunTables
from gridagora.reports.zones_payload import zone_nodal_data, zones_data

if TYPE_CHECKING:
    import pandas as pd

MAX_VIOLATIONS = 5_000
"""Rows of the violations table on the page; the rest are in violations.parquet."""

NAMED = 6
"""Participants named in a hover text before "and n more"."""

SHARES = ("self_sufficiency", "self_sufficiency_baseline", "self_consumption", "self_consumption_baseline")

UNITS = {"voltage_low": "pu", "voltage_high": "pu", "not_converged": ""}
"""Unit of a broken limit by its kind; loadings are in percent."""


def to_json(value: Any) -> str:
    r"""Return JSON that may stand inside an HTML script element: no ``<``, ``>`` or ``&`` survives.

    >>> to_json({"name": "</script><b>"})
    '{"name":"\\u003c/script\\u003e\\u003cb\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def payload(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return the data of the whole page."""
    limits = tables.limits
    return {
        "title": tables.title,
        "currency": tables.currency,
        "timezone": tables.timezone,
        "bin": line.bins.unit,
        "hours": line.bins.hours,
        "limits": {
            "vm_min": limits.vm_min_pu,
            "vm_max": limits.vm_max_pu,
            "line": limits.line_loading_percent,
            "transformer": limits.transformer_loading_percent,
        },
        "time": line.bins.labels,
        **_market(tables, line),
        "flow": flow_series(tables, line),
        "duration": duration_series(tables, line),
        "reverse": reverse_hours(tables, line),
        "energy": energy_series(tables, line),
        "shares": {name: tables.number(name) for name in SHARES},
        "marks": marks(tables, line),
        "grid": grid_data(tables, line),
        "tables": {
            "participants": participants_columns(tables),
            "invoices": invoice_columns(tables),
            "violations": violation_columns(tables, line),
        },
    }


def _market(tables: RunTables, line: Timeline) -> dict[str, Any]:
    if tables.flexibility is not None:
        return {"flexibility": flex_data(tables, tables.flexibility, line)}
    pool = {"price": price_series(tables, line), "curve": curve_data(tables, line)}
    if tables.zones is not None:
        nodal = zone_nodal_data(tables, tables.zones, line)
        return {**pool, "zones": zones_data(tables, tables.zones, line), "network": nodal}
    if tables.network is None:
        return pool
    return {**pool, "network": network_data(tables, tables.network, line)}


def grid_data(tables: RunTables, line: Timeline) -> dict[str, Any]:
    """Return the elements as drawn: place, worst values of both cases, when, and who is behind."""
    elements = tables.elements
    points, real = bus_points(elements)
    behind = participants_behind(elements, tables.participants)
    blame = _contributors(tables)
    kinds, names = elements["kind"].astype(str).tolist(), elements["element"].astype(str).tolist()
    ends = zip(elements["from_bus"].astype(str), elements["to_bus"].astype(str), strict=True)
    places: list[list[float | None]] = []
    for kind, name, (start, end) in zip(kinds, names, ends, strict=True):
        first, second = (name, name) if kind == "bus" else (start, end)
        places.append([*points.get(first, (None, None)), *points.get(second, (None, None))])
    who = [behind.get(name, []) for name in names]
    return {
        "real": real,
        "geographic": real and _is_geographic(places),
        "element": names,
        "kind": kinds,
        "place": places,
        "value": plain(elements["worst_value"]),
        "value_baseline": plain(elements["worst_value_baseline"]),
        "when": [line.label(p) for p in elements["worst_period"]],
        "when_baseline": [
            line.label(p) for p in elements.get("worst_period_baseline", [None] * len(elements))
        ],
        "broken": [int(n) for n in elements["violation_periods"].fillna(0)],
        "broken_baseline": [int(n) for n in elements["violation_periods_baseline"].fillna(0)],
        "behind": [_name_list(found) for found in who],
        "contributors": [blame.get(name, "") for name in names],
    }


def _is_geographic(places: list[list[float | None]]) -> bool:
    """Tell degrees (stretched by latitude when drawn) from metres or plain drawing units."""
    xs = [p[0] for p in places if p[0] is not None]
    ys = [p[1] for p in places if p[1] is not None]
    if not xs or not ys:
        return False
    small = max(xs) - min(xs) < 2 and max(ys) - min(ys) < 2
    return small and min(ys) > 20 and max(ys) < 72 and min(xs) > -25 and max(xs) < 50


def _name_list(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _contributors(tables: RunTables) -> dict[str, str]:
    """Return for each element the participants named at its worst broken limit as metered."""
    rows = tables.violations
    if not len(rows):
        return {}
    rows = rows[rows["stage"].astype(str) == "metered"]
    excess = (rows["value"] / rows["limit"] - 1).abs().fillna(0)
    worst = rows.assign(excess=excess).sort_values("excess", ascending=False).drop_duplicates("element")
    return dict(zip(worst["element"].astype(str), worst["participants"].astype(str), strict=True))


def participants_columns(tables: RunTables) -> list[Column]:
    """Return the participants table, largest gain first."""
    frame, money = tables.participants.sort_values("gain", ascending=False, kind="stable"), tables.currency
    names = (("participant", "participant"), ("kind", "kind"), ("bus", "bus"))
    flags = (("ev", "electric vehicle"), ("heat_pump", "heat pump"))
    received = (("flex_received", f"received for flexibility ({money})", 2),)
    figures = (
        ("gain", f"gain ({money})", 2),
        ("cost", f"cost with market ({money})", 2),
        ("cost_baseline", f"cost without ({money})", 2),
        *(received if "flex_received" in frame.columns else ()),
        ("consumption_kwh", "consumption (kWh)", 1),
        ("production_kwh", "production (kWh)", 1),
        ("import_kwh", "import (kWh)", 1),
        ("export_kwh", "export (kWh)", 1),
        ("pv_peak_kw", "PV (kWp)", 1),
        ("battery_kwh", "battery (kWh)", 1),
    )
    shares = (("self_sufficiency", "self-sufficiency (%)"), ("self_consumption", "self-consumption (%)"))
    return [
        *(texts(key, label, frame[key]) for key, label in names),
        *(numbers(key, label, frame[key], digits=digits) for key, label, digits in figures),
        *(texts(key, label, np.where(frame[key].astype(bool), "yes", "")) for key, label in flags),
        *(numbers(key, label, frame[key] * 100, digits=0) for key, label in shares),
    ]


INVOICE_NUMBERS = (
    ("local_bought_kwh", "bought locally", "kWh"),
    ("local_sold_kwh", "sold locally", "kWh"),
    ("retail_kwh", "from retailer", "kWh"),
    ("feed_in_kwh", "to retailer", "kWh"),
    ("imbalance_kwh", "imbalance, net", "kWh"),
    ("energy_charge", "energy charge", ""),
    ("energy_credit", "energy credit", ""),
    ("imbalance_charge", "imbalance charge", ""),
    ("flexibility", "received for flexibility", ""),
    ("network_charge", "network charge", ""),
    ("taxes", "taxes", ""),
    ("standing", "standing charge", ""),
    ("total", "total to pay", ""),
    ("total_baseline", "total without market", ""),
    ("gain", "gain", ""),
)
"""Columns of invoices with their labels and units ("" is the currency)."""


def invoice_numbers(tables: RunTables) -> list[tuple[str, str, str]]:
    """Return (column, label, unit) of the invoices; the money of a market that the run lacks is left out."""
    absent = {"flexibility"} if tables.flexibility is None else {"local_bought_kwh", "local_sold_kwh"}
    return [row for row in INVOICE_NUMBERS if row[0] not in absent]


def invoice_totals(tables: RunTables) -> "pd.DataFrame":
    """Return the invoices of each participant summed over all days."""
    names = [name for name, _, _ in invoice_numbers(tables)]
    frame = tables.invoices.assign(participant=tables.invoices["participant"].astype(str))
    return frame.groupby("participant", sort=True)[names].sum().reset_index()


def invoice_columns(tables: RunTables) -> list[Column]:
    """Return the invoices summed per participant over the run."""
    frame = invoice_totals(tables)
    return [
        texts("participant", "participant", frame["participant"]),
        *(
            numbers(key, f"{label} ({unit or tables.currency})", frame[key], digits=2 if not unit else 1)
            for key, label, unit in invoice_numbers(tables)
        ),
    ]


def violation_columns(tables: RunTables, line: Timeline) -> list[Column]:
    """Return broken limits, the furthest beyond their limit first, at most `MAX_VIOLATIONS`."""
    frame = tables.violations
    excess = (frame["value"].astype(float) / frame["limit"].astype(float) - 1).abs().fillna(np.inf)
    frame = (
        frame.assign(excess=excess).sort_values("excess", ascending=False, kind="stable").head(MAX_VIOLATIONS)
    )
    return [
        texts("stage", "stage", frame["stage"]),
        texts("time", "period begins", [line.label(p) for p in frame["period"]]),
        texts("kind", "kind", frame["kind"].astype(str).str.replace("_", " ")),
        texts("element", "element", frame["element"]),
        numbers("value", "value", frame["value"], digits=3),
        numbers("limit", "limit", frame["limit"], digits=3),
        texts("unit", "unit", [UNITS.get(str(kind), "%") for kind in frame["kind"]]),
        texts("participants", "participants", frame["participants"]),
    ]
