"""The page itself: template, style, scripts and data put together into one self-contained HTML text."""

from collections.abc import Iterable
from html import escape

from gridagora.errors import require
from gridagora.reports import flexibility, network, zones
from gridagora.reports.definitions import CHOICES, definition
from gridagora.reports.payload import MAX_VIOLATIONS, invoice_numbers, invoice_totals, payload, to_json
from gridagora.reports.series import Timeline, not_converged, timeline
from gridagora.reports.tables import RunTables
from gridagora.reports.templates import asset, filled
from gridagora.reports.words import cautions, number, span, summary, tile_difference

SCRIPTS = ("core.js", "charts.js", "grid.js", "{market}.js", "tables.js", "main.js")
"""The page's own scripts, in the order in which they run; {market} is "curve" (pool) or "flexibility"."""

TILES = (
    ("All bills together", "cost_total_{cur}", "{money}", 1.0, 2, "low"),
    ("Gain of participants", "gain_total_{cur}", "{money}", 1.0, 2, ""),
    ("Better off", "participants_better_off", "of {count} participants", 1.0, 0, ""),
    ("Overload cured", "flex_hours_cured", "of {overloaded} h", 1.0, 0, ""),
    ("Newly overloaded", "flex_hours_newly_overloaded", "h", 1.0, 0, ""),
    ("Without the wires", "violation_periods_copper_plate", "periods with a broken limit", 1.0, 0, ""),
    ("Price of safety", "safety_cost_{cur}", "{money} of welfare", 1.0, 2, ""),
    ("Traded inside one zone", "traded_inside_kwh", "kWh", 1.0, None, ""),
    ("Traded between zones", "traded_between_zones_kwh", "kWh", 1.0, None, ""),
    ("Trades refused", "trades_refused", "of {asked}", 1.0, 0, ""),
    ("Welfare given up by zones", "welfare_gap_{cur}", "{money}", 1.0, 2, ""),
    ("Paid for flexibility", "flex_cost_{cur}", "{money}", 1.0, 2, ""),
    ("Gain of its sellers", "flex_sellers_gain_{cur}", "{money}", 1.0, 2, ""),
    ("Traded between participants", "local_volume_kwh", "kWh", 1.0, None, ""),
    ("{mean}", "mean_price_{cur}_per_kwh", "{money}/kWh", 1.0, 4, ""),
    ("Highest transformer loading", "transformer_loading_max_percent", "%", 1.0, 1, "low"),
    ("Highest line loading", "line_loading_max_percent", "%", 1.0, 1, "low"),
    ("Lowest voltage", "vm_min_pu", "pu", 1.0, 4, "high"),
    ("Highest voltage", "vm_max_pu", "pu", 1.0, 4, "low"),
    ("Periods with a broken limit", "violation_periods", "of {periods}", 1.0, 0, "low"),
    ("Peak import", "peak_import_kw", "kW", 1.0, 1, "low"),
    ("Peak export", "peak_export_kw", "kW", 1.0, 1, "low"),
    ("Reverse flow", "reverse_flow_hours", "h", 1.0, None, "low"),
    ("Grid losses", "losses_kwh", "kWh", 1.0, None, "low"),
    ("Self-sufficiency", "self_sufficiency", "%", 100.0, 1, "high"),
    ("Self-consumption", "self_consumption", "%", 100.0, 1, "high"),
    ("Curtailed", "curtailed_kwh", "kWh", 1.0, None, "low"),
    ("Not served", "energy_not_served_kwh", "kWh", 1.0, None, "low"),
)
"""(label, key figure, unit, scale, digits, which direction is good) of the headline tiles."""

POOL_METHOD = (
    "Each period is auctioned before delivery; the cleared schedule is checked by an AC power flow; "
    "devices then follow their plans with the weather and use that really came; differences are "
    "settled with the retailer; the grid values of this page come from the power flow of the metered "
    "schedules. The feeder without a market has the same homes, devices, profiles and seed, with "
    "retailer prices only."
)

FLEX_METHOD = (
    "Homes plan their devices and trade energy with the retailer alone. The grid operator forecasts "
    "loads, finds by AC power flow when an element would be above its threshold, and buys "
    "flexibility in auctions before delivery; homes offer what keeping a limit would cost them, and "
    "plan anew with what they sold. Meters prove delivery. The grid values of this page come from "
    "the power flow of what was metered; without a market the same homes, devices, profiles and seed "
    "have no limits to keep."
)

ZONE_METHOD = (
    "Homes bid in the market of their zone. Each zone covers itself first, then trades with the zones beside "
    "it, then with the bulk grid, as far as its gate lets through. Every trade then goes through the local "
    "controllers: they check its data, the grid inside the zone by power flow with what was approved before, "
    "and the room in each gate; the grid operator (DSO) has the last word between zones and supplies "
    "shortages. What was refused is not delivered; load that must run is bought from the retailer, and shed "
    "on an island. Beside that, all zones are cleared jointly over the same gates, and some periods on the "
    "wires of the whole grid. The feeder without a market has the same homes, devices, profiles and seed."
)

ROUNDED = 100_000
"""Figures from which on a tile shows no decimals."""

SMALL_CHANGE = 0.001
"""Relative change from which on a tile calls it better or worse."""

ONLY_IF_ANY = frozenset({"curtailed_kwh", "energy_not_served_kwh"})
"""Tiles shown only where the figure is not zero in one of the cases."""


def build_report(tables: RunTables) -> str:
    """Return the report of a run as one HTML page that works offline.

    Numbers on the page are those of the tables and key figures, rounded for reading; long runs are drawn by
    hours or
    days, and the captions say so.  Equal tables give equal bytes.

    Parameters
    ----------
    tables : tables and key figures of a run, power kW (+ import), energy kWh

    Returns
    -------
    str
        HTML with scripts, style and data inside; it loads nothing from anywhere.

    Raises
    ------
    InvariantError
        when no table has a period.
    """
    require(
        any(len(frame) for frame in (tables.prices, tables.flows, tables.schedules, tables.bids)),
        "a report needs at least one period",
    )
    line = timeline(tables)
    parts = {
        **_market(tables, aggregation=escape(_aggregation(line))),
        "title": escape(tables.title),
        "subtitle": escape(f"{span(line)}; all times {tables.timezone}"),
        "tiles": _tiles(tables),
        "cautions": "".join(
            f'<p class="caution" role="alert">{escape(text)}</p>' for text in cautions(tables, line)
        ),
        "summary": "".join(
            f"<dt>{escape(topic)}</dt><dd>{escape(text)}</dd>" for topic, text in _topics(tables, line)
        ),
        "violations": _violations(tables),
        "invoice_totals": _invoice_totals(tables),
        "methods": _methods(tables),
        "kpis": _kpi_rows(tables),
        "versions": _pairs(tables.versions.items()),
        "scenario": escape(tables.scenario_yaml),
        "scenario_shown": "" if tables.scenario_yaml else "hidden",
        "aggregation": escape(_aggregation(line)),
        "style": asset("report.css"),
        "data": to_json(payload(tables, line)),
        "plotly": _plotly(),
        "scripts": "\n".join(asset(name) for name in _scripts(tables)),
    }
    return filled("report.html", **parts)


def _scripts(tables: RunTables) -> list[str]:
    market = "curve" if tables.flexibility is None else "flexibility"
    names = [name.format(market=market) for name in SCRIPTS]
    more = ["network.js"] if tables.network is not None or tables.zones is not None else []
    if tables.zones is not None:
        more = ["network.js", "zones.js", "zone_trade.js"]
    return [*names[:-1], *more, names[-1]]


def _market(tables: RunTables, *, aggregation: str) -> dict[str, str]:
    """Return the sections of the market that the run has, its links, and how it works."""
    flex = tables.flexibility
    if flex is None:
        pool = filled("pool.html", aggregation=aggregation, note=escape(_curve_note(tables)))
        links = _links(("prices", "Prices"), ("curve", "Supply and demand"))
        wires, link = "", ""
        if tables.network is not None:
            wires = filled("network.html", **network.parts(tables, tables.network))
            link = _links(("network", "Wires"))
        elif tables.zones is not None:
            found = zones.parts(tables, tables.zones, aggregation=aggregation)
            wires = filled("zones.html", **found)
            link = _links(("zones", "Zones"), ("zone-trade", "Life of a trade"))
        return {
            "flexibility": wires,
            "nav_flexibility": link,
            "pool": pool,
            "nav_pool": links,
            "method_text": POOL_METHOD if tables.zones is None else ZONE_METHOD,
        }
    section = filled("flexibility.html", aggregation=aggregation, **flexibility.parts(tables, flex))
    links = _links(
        ("flexibility", "Flexibility"),
        ("flex-curves", "Auctions"),
        ("flex-payments", "Payments"),
        ("flex-delivery", "Delivery"),
    )
    nothing = {"pool": "", "nav_pool": ""}
    return nothing | {"flexibility": section, "nav_flexibility": links, "method_text": FLEX_METHOD}


def _curve_note(tables: RunTables) -> str:
    """Return what the supply and demand of a run with zones is."""
    if tables.zones is None:
        return ""
    return (
        "Here the bids of all zones stand together, as if there were one market; each zone cleared its own."
    )


def _links(*links: tuple[str, str]) -> str:
    return "".join(f'<a href="#{name}">{escape(text)}</a>' for name, text in links)


def _topics(tables: RunTables, line: Timeline) -> list[tuple[str, str]]:
    """Return the topics of the summary; what a market has of its own comes first."""
    flex = tables.flexibility
    first = [] if flex is None else [("Flexibility", flexibility.headline(tables, flex))]
    if tables.zones is not None:
        first = [("Zones", zones.headline(tables, tables.zones))]
    return [*first, *summary(tables, line)]


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _aggregation(line: Timeline) -> str:
    """Return what a point of the time charts stands for."""
    text = {
        "period": "Each point is one delivery period.",
        "hour": "Each point is one hour: the highest loading, the lowest and highest voltage, sums of "
        "energy.",
        "day": "Each point is one local day: the highest loading, the lowest and highest voltage, sums "
        "of energy.",
    }[line.bins.unit]
    if line.bins.unit == "day":
        text += " The first and the last day may be incomplete."
    if line.bins.folded:
        text += " Clocks go back in this time: the hour that comes twice is drawn twice over the same place."
    return text


def _tiles(tables: RunTables) -> str:
    words = {
        "money": tables.currency,
        "count": f"{len(tables.participants):,}",
        "periods": number(tables.number("periods"), 0),
        "mean": "Mean price of the pool" if tables.zones is None else "Mean price of trades",
        "asked": number(tables.number("zone_trades"), 0),
        "overloaded": number(tables.number("flex_hours_overloaded_before"), 0),
    }
    cells = []
    for label, key, unit, scale, digits, good in TILES:
        now, before = tables.number(key), tables.number(_baseline(key))
        if now is None or (key in ONLY_IF_ANY and not now and not before):
            continue
        if abs(now * scale) >= ROUNDED:
            digits = 0
        cells.append(
            f'<div class="tile"><h3>{escape(label.format(**words))}</h3>'
            f'<p class="now" data-kpi="{escape(tables.key(key))}" data-value="{now!r}">'
            f"{number(now * scale, digits)} <small>{escape(unit.format(**words))}</small></p>"
            f"{_before(now, before, scale=scale, digits=digits, good=good)}</div>"
        )
    return "".join(cells)


def _baseline(key: str) -> str:
    """Return the name of the same figure without a market; the currency stays last."""
    head, found, tail = key.partition("_{cur}")
    return f"{head}_baseline{found}{tail}"


def _before(now: float, before: float | None, *, scale: float, digits: int | None, good: str) -> str:
    """Return the second line of a tile: the figure without a market, and whether the change is a good one."""
    if before is None:
        return '<p class="before"></p>'
    places = digits if digits is not None else (0 if abs(before * scale) >= 1000 else 1)
    change = tile_difference(now, before, scale=scale, digits=places)
    better = (now < before) == (good == "low")
    small = abs(now - before) <= SMALL_CHANGE * abs(before)
    mood = "" if small or not good else ("better" if better else "worse")
    sign = {"better": "\u2713 ", "worse": "! "}.get(mood, "")
    return (
        f'<p class="before">without market {number(before * scale, digits)} '
        f'<span class="change {mood}" title="{mood}">{sign}{change}</span></p>'
    )


def _violations(tables: RunTables) -> str:
    """Return a sentence and counts by stage and kind; pride where there is nothing to count."""
    frame = tables.violations
    limits = tables.limits
    band = (
        f"{limits.vm_min_pu:g} to {limits.vm_max_pu:g} pu, lines up to {limits.line_loading_percent:g} %, "
        f"transformers "
        f"up to {limits.transformer_loading_percent:g} %"
    )
    if not len(frame):
        blind = not_converged(tables) or not_converged(tables, "_baseline") or not len(tables.flows)
        seen = "that could be calculated" if blind else "of the run"
        return (
            f'<p class="{"" if blind else "proud"}"><strong>No limit was broken in any period {seen}, '
            f"with the market or without.</strong> Checked by power flow: {escape(band)}.</p>"
        )
    counts = frame.groupby([frame["stage"].astype(str), frame["kind"].astype(str)]).agg(
        rows=("period", "size"), periods=("period", "nunique"), elements=("element", "nunique")
    )
    rows = "".join(
        f"<tr><td>{escape(str(stage))}</td><td class=text>{escape(str(kind).replace('_', ' '))}</td>"
        f"<td>{row.periods:,}</td><td>{row.elements:,}</td><td>{row.rows:,}</td></tr>"
        for (stage, kind), row in zip(counts.index, counts.itertuples(), strict=True)
    )
    cut = (
        f" The {MAX_VIOLATIONS:,} furthest beyond their limit are listed."
        if len(frame) > MAX_VIOLATIONS
        else ""
    )
    return (
        f"<p>Limits: {escape(band)}. <em>cleared</em>: the schedule the market sold; <em>metered</em>: "
        f"what was "
        f"delivered; <em>baseline</em>: the feeder without a market{_plate(tables)}.{cut}</p>"
        '<div class="scroll"><table><thead><tr><th>stage</th><th class="text">kind</th><th>periods</th>'
        f"<th>elements</th><th>entries</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _plate(tables: RunTables) -> str:
    text = "; <em>copper_plate</em>: the same bids in a pool that does not know the wires"
    return "" if tables.network is None else text


def _invoice_totals(tables: RunTables) -> str:
    if not len(tables.invoices):
        return "<p>No invoice was written in this run.</p>"
    shown = invoice_numbers(tables)
    sums = invoice_totals(tables)[[name for name, _, _ in shown]].sum()
    return "".join(
        f"<tr><th scope='row'>{escape(label)}</th><td>{escape(unit or tables.currency)}</td>"
        f'<td data-invoice="{name}" data-value="{total!r}">{number(total, 2)}</td></tr>'
        for (name, label, unit), total in zip(shown, map(float, sums), strict=True)
    ).join(("<table><tbody>", "</tbody></table>"))


def _methods(tables: RunTables) -> str:
    """Return how the market, the forecasts and the planning of this run work."""
    rows = []
    for key, texts in CHOICES.items():
        choice = tables.kpis.get(key)
        if choice is not None:
            rows.append((f"{key}: {str(choice).replace('_', ' ')}", texts.get(str(choice), "")))
    for key in ("seed", "event_hash"):
        if key in tables.kpis:
            rows.append((key.replace("_", " "), str(tables.kpis[key])))
    return _pairs(rows)


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(text))}</dd>" for name, text in rows)


def _kpi_rows(tables: RunTables) -> str:
    """Return every numeric key figure with its definition; baselines stand beside their figure."""
    money = f"_{tables.currency.lower()}"
    rows, done = [], set()
    for name, value in tables.kpis.items():
        if name in done or isinstance(value, str):
            continue
        twin = _twin(name, money)
        done |= {name, twin}
        cells = (_raw(value), _raw(tables.kpis[twin]) if twin in tables.kpis else "")
        rows.append(
            f"<tr><th scope='row'>{escape(name)}</th><td>{cells[0]}</td><td>{cells[1]}</td>"
            f"<td class='text'>{escape(definition(name, tables.currency))}</td></tr>"
        )
    return "".join(rows)


def _twin(name: str, money: str) -> str:
    head, found, tail = name.partition(money)
    return f"{head}_baseline{found}{tail}"


def _raw(value: object) -> str:
    if value is None or value != value:  # NaN: the figure does not exist in this run
        return "n/a"
    if isinstance(value, float):
        return escape(f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.0f}")
    text = str(value)
    return f"<code>{escape(text)}</code>" if len(text) > 24 else escape(text)
