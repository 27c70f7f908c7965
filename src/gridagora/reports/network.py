"""The part of the page about a market that knows the wires: prices on the grid, and what safety costs."""

from html import escape
from typing import TYPE_CHECKING, Any

from gridagora.reports.nodal import nodal_data, shown
from gridagora.reports.series import Timeline
from gridagora.reports.tables import NetworkTables, RunTables
from gridagora.reports.templates import filled
from gridagora.reports.words import number

if TYPE_CHECKING:
    import pandas as pd

ROWS = (
    ("Periods that break a limit: pool without wires", "violation_periods_copper_plate", "", 0),
    ("Periods that break a limit: as cleared", "violation_periods_cleared", "", 0),
    ("Periods that break a limit: as metered", "violation_periods", "", 0),
    ("Periods that break a limit: without a market", "violation_periods_baseline", "", 0),
    ("Periods cleared on the network", "network_cleared_periods", "", 0),
    ("Most clearings of a period", "network_rounds_max", "", 0),
    ("Periods in which no bids could keep all limits", "network_unavoidable_periods", "", 0),
    ("Periods left open", "network_open_periods", "", 0),
    ("Periods in which homes were held to what they sold", "network_held_periods", "", 0),
    ("Price of safety: welfare given up", "safety_cost_{cur}", "{money}", 2),
    ("Bought less than in the pool without wires", "safety_bought_less_kwh", "kWh", 1),
    ("Sold less", "safety_sold_less_kwh", "kWh", 1),
    ("Load that could not be supplied, as cleared", "safety_shed_kwh", "kWh", 1),
    ("Congestion rent, left with the operator", "congestion_rent_{cur}", "{money}", 2),
    ("Paid for losses in the prices", "priced_losses_{cur}", "{money}", 2),
)
"""(label, key figure, unit, digits) of the price of safety."""


def parts(tables: RunTables, network: NetworkTables) -> dict[str, str]:
    """Return the texts of the section, escaped, by the names in its template."""
    told, periods = len(network.network_clearings), shown(network.network_clearings)
    left_out = told - len(periods)
    cut = f"Shown: the {len(periods)} of {told:,} periods whose prices differ most." if left_out > 0 else ""
    return {
        "headline": _headline(tables),
        "safety": _safety(tables),
        "nodal": filled("nodal.html", nodal_note=escape(cut)) if told else "",
    }


def headline(tables: RunTables) -> str:
    """Return in sentences what knowing the wires changed and what it cost."""
    count = {name: int(tables.number(name) or 0) for name in _COUNTS}
    periods = number(tables.number("periods"), 0)
    text = (
        "The same bids in a pool without wires would break limits in "
        f"{count['violation_periods_copper_plate']} of {periods} periods; "
        f"as cleared {count['violation_periods_cleared']} do, as metered {count['violation_periods']}. "
    )
    cost = tables.number("safety_cost_{cur}") or 0.0
    less = tables.number("safety_bought_less_kwh") or 0.0
    unsold = tables.number("safety_sold_less_kwh") or 0.0
    text += (
        f"The price of that safety is {number(cost, 2)} {tables.currency} of welfare: "
        f"{number(less, 0)} kWh are not bought when they were wanted, {number(unsold, 0)} kWh not sold."
    )
    if count["network_unavoidable_periods"] or count["network_open_periods"]:
        bad = count["network_unavoidable_periods"] + count["network_open_periods"]
        text += f" In {bad} periods a limit stays broken: see the reasons below."
    return text


_COUNTS = (
    "violation_periods_copper_plate",
    "violation_periods_cleared",
    "violation_periods",
    "network_unavoidable_periods",
    "network_open_periods",
)


def _headline(tables: RunTables) -> str:
    safe = not tables.number("violation_periods_cleared")
    text = f'<p class="{"proud" if safe else "caution"}"><strong>{escape(headline(tables))}</strong></p>'
    reasons = _reasons(tables.network)
    if not reasons:
        return text
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f"{text}<ul>{items}</ul>"


def _reasons(network: NetworkTables | None) -> list[str]:
    """Return why limits stay broken, each reason once with how often it was met."""
    if network is None or not len(network.network_clearings):
        return []
    found = network.network_clearings["reason"]
    counts = found[found != ""].value_counts()
    return [f"{reason} ({times} periods)" for reason, times in list(counts.items())[:10]]


def _safety(tables: RunTables) -> str:
    rows = []
    for label, key, unit, digits in ROWS:
        value = tables.number(key)
        if value is None:
            continue
        shown = f"{number(value, digits)} {unit.format(money=tables.currency)}".strip()
        rows.append(
            f"<tr><th scope='row'>{escape(label)}</th>"
            f'<td data-safety="{escape(tables.key(key))}" data-value="{value!r}">{escape(shown)}</td></tr>'
        )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def network_data(tables: RunTables, network: NetworkTables, line: Timeline) -> dict[str, Any]:
    """Return nodal prices as drawn: see `gridagora.reports.nodal.nodal_data`."""
    periods = shown(network.network_clearings)
    text = _texts(network.network_clearings, periods, tables.currency)
    return nodal_data(tables, network.nodal_prices, periods, line=line, text=text)


def _texts(table: "pd.DataFrame", periods: list[int], currency: str) -> list[str]:
    """Return what happened in each period shown."""
    rows = {int(row["period"]): row for row in table.to_dict("records")}
    texts = []
    for period in periods:
        row = rows[period]
        rounds = f"{row['rounds']} {'clearing' if row['rounds'] == 1 else 'clearings'}"
        text = (
            f"The pool without wires: {number(row['price_plate'], 4)} {currency}/kWh. "
            f"Bought less: {number(row['bought_less_kwh'], 1)} kWh, sold less: "
            f"{number(row['sold_less_kwh'], 1)} kWh; {rounds}."
        )
        texts.append(text + (f" {row['reason']}." if row["reason"] else ""))
    return texts
