"""The part of the page about markets of zones: what they covered, what was refused, what the split costs."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from gridagora.reports.nodal import shown
from gridagora.reports.tables import RunTables, ZoneTables
from gridagora.reports.templates import filled
from gridagora.reports.words import number
from gridagora.reports.zone_trades import MOST_TRADES
from gridagora.reports.zones_payload import MOST_ZONES

if TYPE_CHECKING:
    import pandas as pd


def parts(tables: RunTables, zones: ZoneTables, *, aggregation: str) -> dict[str, str]:
    """Return the texts of the section, escaped, by the names in its template."""
    islands = zones.zones["island_periods"].to_numpy() > 0
    left_out = len(zones.zones) - MOST_ZONES
    note = f" Zones are many: {MOST_ZONES} are drawn, those with most trade." if left_out > 0 else ""
    return {
        "aggregation": aggregation,
        "headline": _paragraph(
            headline(tables, zones),
            proud=not tables.number("energy_not_served_kwh") and not _beyond(zones),
        ),
        "refusals": escape(refusals(zones)),
        "welfare": escape(welfare_text(tables)),
        "nodal": _nodal(zones),
        "island_shown": "" if islands.any() else "hidden",
        "islands": "".join(f"<p>{escape(text)}</p>" for text in island_texts(tables, zones)),
        "cut": escape(note),
        "most_trades": str(MOST_TRADES),
        "currency": escape(tables.currency),
    }


def _paragraph(text: str, *, proud: bool) -> str:
    return f'<p class="{"proud" if proud else "caution"}"><strong>{escape(text)}</strong></p>'


def headline(tables: RunTables, zones: ZoneTables) -> str:
    """Return in sentences what zones covered themselves, what gates carried, and what was refused."""
    inside, between, bulk = (tables.number(f"traded_{name}_kwh") or 0.0 for name in _WHERE)
    total = inside + between + bulk
    asked, refused = tables.number("zone_trades") or 0.0, tables.number("trades_refused") or 0.0
    share = f" ({number(100 * inside / total, 0)} %)" if total else ""
    text = (
        f"Of {number(total, 0)} kWh traded, {number(inside, 0)} kWh{share} stayed inside one zone, "
        f"{number(between, 0)} kWh went from zone to zone, and {number(bulk, 0)} kWh were exchanged with the "
        f"bulk grid. "
    )
    kwh = f" ({number(tables.number('refused_kwh'), 1)} kWh)" if refused else ""
    text += (
        f"Controllers decided on {number(asked, 0)} trades and refused "
        f"{number(refused, 0) if refused else 'none'}{kwh}. {_gates(zones)}"
    )
    lost, periods = tables.number("energy_not_served_kwh") or 0.0, tables.number("island_periods") or 0.0
    if periods:
        hours = number(periods * _hours(zones.zone_periods), 2)
        text += f" For {hours} h a zone was an island."
    if periods or lost:
        text += f" {number(lost, 1)} kWh of load could not be served." if lost else " All load was served."
    return text


_WHERE = ("inside", "between_zones", "bulk")


def _gates(zones: ZoneTables) -> str:
    """Return which gate came nearest to its limit, as metered."""
    use = zones.zones.dropna(subset=["gate_use_max_percent"])
    if not len(use):
        return "No gate has a limit."
    place = int(np.argmax(use["gate_use_max_percent"].to_numpy()))
    name, highest = use["zone"].iloc[place], number(float(use["gate_use_max_percent"].iloc[place]), 0)
    beyond = _beyond(zones)
    if beyond:
        which = "One gate" if beyond == 1 else f"{beyond} gates"
        return f"{which} carried more than the limit as metered, at most {highest} % at {name}."
    return f"No gate carried more than its limit; the fullest, that of {name}, reached {highest} %."


def _beyond(zones: ZoneTables) -> int:
    """Return how many gates carried more than their limit, as metered."""
    return int((zones.zones["gate_use_max_percent"] > 100.0 + 1e-6).sum())


def refusals(zones: ZoneTables) -> str:
    """Return who refused how much, and what the buyers got instead."""
    trades = zones.zone_trades
    refused = trades[(trades["decision"] == "rejected") & (trades["kind"] != "supply")]
    if not len(refused):
        return "No trade was refused."
    by = refused.groupby([refused["decided_by"].astype(str), refused["last_step"]], sort=False)
    sums = by["quantity_kwh"].agg(["size", "sum"]).sort_values("sum", ascending=False).reset_index()
    told = [
        f"{int(row['size']):,} by {row['decided_by']} in step {row['last_step']} "
        f"({number(float(row['sum']), 1)} kWh)"
        for row in sums.head(6).to_dict("records")
    ]
    more = f"; {int(sums['size'].iloc[6:].sum()):,} by others" if len(sums) > 6 else ""
    supplied = trades[(trades["kind"] == "supply") & (trades["decision"] == "approved")]
    worst = str(refused["reason"].iloc[int(np.argmax(refused["quantity_kwh"].to_numpy()))])
    text = f"Refused: {'; '.join(told)}{more}. Of the largest it was said: {worst}."
    if len(supplied):
        kwh = number(float(supplied["quantity_kwh"].sum()), 1)
        text += (
            f" In place of refused trades the DSO supplied {kwh} kWh otherwise ({len(supplied):,} requests)."
        )
    return text


def welfare_text(tables: RunTables) -> str:
    """Return what clearing zone by zone costs against one joint clearing over the same gates."""
    gap, share = tables.number("welfare_gap_{cur}"), tables.number("welfare_gap_share")
    joint, own = tables.number("welfare_joint_{cur}"), tables.number("welfare_zones_{cur}")
    if gap is None or joint is None or own is None:
        return "Welfare is not known."
    money = tables.currency
    text = (
        f"By the bids' own prices, what the zones matched is worth {number(own, 2)} {money}; one joint "
        f"clearing of all zones, over the same gates, would make {number(joint, 2)} {money}. "
    )
    if abs(gap) < 0.005:
        return text + "To clear zone by zone costs nothing here."
    part = "" if share is None else f" ({number(100 * share, 2)} %)"
    return text + f"To clear zone by zone, each covering itself first, costs {number(gap, 2)} {money}{part}."


def island_texts(tables: RunTables, zones: ZoneTables) -> list[str]:
    """Return a sentence about each zone that was an island by itself."""
    frame = zones.zone_periods
    hours = _hours(frame)
    money = tables.number("lost_load_cost_{cur}")
    texts = []
    for name in zones.zones.loc[zones.zones["island_periods"] > 0, "zone"]:
        rows = frame[(frame["zone"] == name) & (frame["island"] == name)]
        if not len(rows):
            continue  # part of the island of a zone around it
        served, lost = float(rows["consumption_kw"].sum()) * hours, float(rows["not_served_kwh"].sum())
        made, curtailed = (float(rows[key].sum()) * hours for key in ("production_kw", "curtailed_kw"))
        given = float(rows["battery_kw"].clip(upper=0).sum()) * -hours
        share = f" ({number(100 * lost / (served + lost), 1)} %)" if served + lost > 0 else ""
        text = (
            f"{name} was an island for {number(len(rows) * hours, 2)} h: {number(served, 1)} kWh were "
            f"served, {number(lost, 1)} kWh{share} were not. Its homes made {number(made, 1)} kWh, their "
            f"batteries gave {number(given, 1)} kWh; {number(curtailed, 1)} kWh of solar energy had no use."
        )
        texts.append(text)
    if texts and money:
        texts.append(
            f"At the value of lost load, what was not served costs {number(money, 2)} {tables.currency}."
        )
    return texts


def _hours(frame: "pd.DataFrame") -> float:
    """Return the length of a period, hours."""
    starts = frame.drop_duplicates("period").sort_values("period")["start"]
    if len(starts) < 2:
        return 0.25
    return float((starts.iloc[1] - starts.iloc[0]).total_seconds()) / 3600


def _nodal(zones: ZoneTables) -> str:
    """Return the part about prices at buses; a sentence where no period has any."""
    periods = zones.nodal_periods
    if not len(periods):
        return "<p>No period was cleared jointly on the wires.</p>"
    failed = periods[~periods["status"].astype(str).isin(["passed"])]
    note = (
        f"{len(shown(periods))} periods are shown, at most one of each hour. Marks: the price of the market "
        "of the bus's zone, where something was traded in it. Prices at buses are for comparison: nobody "
        "pays by them."
    )
    if len(failed):
        reasons = failed["reason"].astype(str).value_counts()
        told = "; ".join(f"{reason} ({count} periods)" for reason, count in list(reasons.items())[:3])
        note += f" In {len(failed)} of them not all limits could be kept, or no prices were found: {told}."
    return filled("nodal.html", nodal_note=escape(note))
