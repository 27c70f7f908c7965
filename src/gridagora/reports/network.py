"""The part of the page about a market that knows the wires: prices on the grid, and what safety costs."""

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from gridagora.reports.bins import plain
from gridagora.reports.series import Timeline
from gridagora.reports.tables import NetworkTables, RunTables
from gridagora.reports.words import number

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 96
"""Periods whose nodal prices are on the page: those with the largest differences between nodes."""

PRICES = ("price", "energy", "loss", "congestion", "voltage")

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
    told, periods = len(network.network_clearings), _shown(network)
    left_out = told - len(periods)
    cut = f"Shown: the {len(periods)} of {told:,} periods whose prices differ most." if left_out > 0 else ""
    return {
        "headline": _headline(tables),
        "safety": _safety(tables),
        "nodal_shown": "" if told else "hidden",
        "cut": escape(cut),
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


def _shown(network: NetworkTables) -> list[int]:
    """Return the periods whose prices are on the page, in their order."""
    table = network.network_clearings
    if not len(table):
        return []
    spread = (table["price_highest"] - table["price_lowest"]).fillna(-1.0)
    best = table.assign(spread=spread).sort_values("spread", ascending=False, kind="stable").head(MAX_SHOWN)
    return sorted(int(period) for period in best["period"])


def network_data(tables: RunTables, network: NetworkTables, line: Timeline) -> dict[str, Any]:
    """Return nodal prices as drawn: per period shown, one value per bus of the elements table.

    A bus that has a node per phase shows the one whose price is furthest from that of energy.
    """
    periods, bus = _shown(network), _bus_of_nodes(tables, network)
    frame = network.nodal_prices
    frame = frame[frame["period"].isin(periods) & (frame["bus"].map(bus).astype(float) >= 0)]
    frame = frame.assign(at=frame["bus"].map(bus).astype(int), far=(frame["price"] - frame["energy"]).abs())
    frame = frame.sort_values(["period", "at", "far"], kind="stable")
    frame = frame.drop_duplicates(["period", "at"], keep="last")
    buses = sorted({int(at) for at in frame["at"]})
    data: dict[str, Any] = {"labels": [line.label(period) for period in periods], "bus": buses}
    for name in PRICES:
        wide = frame.pivot(index="period", columns="at", values=name).reindex(index=periods, columns=buses)
        data[name] = [plain(row, 6) for row in wide.to_numpy(dtype=float)]
    spread = [np.ptp([v for v in row if v is not None] or [0.0]) for row in data["price"]]
    data["worst"] = int(np.argmax(spread)) if spread else 0
    data["text"] = _texts(network.network_clearings, periods, tables.currency)
    return data


def _bus_of_nodes(tables: RunTables, network: NetworkTables) -> dict[str, int]:
    """Return the row in the elements table of each node's bus; -1 where it has none."""
    elements = tables.elements
    rows = np.flatnonzero((elements["kind"] == "bus").to_numpy())
    known = dict(zip(elements["element"].iloc[rows].astype(str), rows.tolist(), strict=True))
    nodes = [str(name) for name in network.nodal_prices["bus"].unique()]
    return {name: known.get(name, known.get(name.rpartition(".")[0], -1)) for name in nodes}


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
