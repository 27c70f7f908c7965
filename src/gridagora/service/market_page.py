"""The start page: the market's public state, drawn on the server, renewed by a few lines of script."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from math import ceil, floor, log10
from typing import Any
from zoneinfo import ZoneInfo

from gridagora.units import MICRO

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 880, 220, 64, 26, 12
"""Size of a chart, and of its margins, in units of its picture."""

LINES = 4
"""Lines across a chart, about so many."""


def market_page(state: Mapping[str, Any]) -> str:
    """Return the body of the start page.

    Parameters
    ----------
    state : what `gridagora.service.running.Running.public_state` returns
    """
    demo = ""
    if state["demo"]:
        demo = (
            '<p class="banner"><strong>This is a demonstration.</strong> Its homes are played, its clock '
            f"runs {state['speed']:g} times as fast as the real one, and everybody knows its passwords.</p>"
        )
    return f'{demo}<div id="board">{board_html(state)}</div><script src="/assets/board.js"></script>'


def board_html(state: Mapping[str, Any]) -> str:
    """Return the part of the page that changes."""
    zone = ZoneInfo(state["timezone"])
    now = state["now"]
    last = [period for period in state["periods"] if period["begins"] < now]
    coming = [period for period in state["periods"] if period["begins"] >= now]
    current = last[-1:] if last and now < last[-1]["begins"] + state["mtu_s"] else []
    moment = f"{_clock(now, zone, '%a %d %b %Y, %H:%M')} {escape(state['timezone'])}"
    tiles = [
        ("Price now", _price(current[0]["price"] if current else None), f"{state['currency']}/kWh"),
        ("Traded locally, last day", f"{sum(p['local_kwh'] for p in last):,.0f}", "kWh"),
        (
            "With the retailer, last day",
            f"{sum(p['import_kwh'] + p['export_kwh'] for p in last):,.0f}",
            "kWh",
        ),
        ("Next gate", _gate(state, zone), _waits(state)),
        ("Participants", f"{state['participants']:,}", "active"),
        ("Sessions settled", f"{state['settled']:,}", "so far"),
    ]
    boxes = "".join(
        f'<div class="tile"><span>{escape(name)}</span><strong>{escape(value)}</strong>'
        f"<em>{escape(unit)}</em></div>"
        for name, value, unit in tiles
    )
    shown = [*last, *coming]
    return (
        f'<p class="moment">{moment}</p><div class="tiles">{boxes}</div>'
        f"<h2>Price of local energy, {escape(state['currency'])}/kWh</h2>{price_chart(shown, state, zone)}"
        f"<h2>Traded energy, kWh per period</h2>{volume_chart(shown, state, zone)}"
        '<p class="key"><i class="local"></i>among participants <i class="import"></i>from the retailer '
        '<i class="export"></i>to the retailer</p>'
        f'<p class="proof">{state["events"]:,} events; the last has the hash '
        f"<code>{escape(state['head'])}</code></p>"
    )


def price_chart(periods: Sequence[Mapping[str, Any]], state: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Return prices as steps in an SVG picture; a period without trade is a gap."""
    known = [period["price"] for period in periods if period["price"] is not None]
    if not known:
        return '<p class="none">Nothing was traded yet.</p>'
    step = _step((max(*known, 0.0) - min(*known, 0.0)) or 1.0)
    low, high = floor(min(*known, 0.0) / step) * step, ceil(max(*known, step) / step) * step
    x, y = _scales(periods, state, (low, high))
    steps, pen = [], "M"
    for period in periods:
        if period["price"] is None:
            pen = "M"
            continue
        level = y(period["price"])
        steps.append(f"{pen}{x(period['begins']):.1f} {level:.1f}H{x(period['begins'] + state['mtu_s']):.1f}")
        pen = "L"
    path = f'<path class="price" d="{"".join(steps)}"/>'
    return _chart("Prices of the last day", periods, (low, high), state=state, zone=zone, marks=path)


def volume_chart(periods: Sequence[Mapping[str, Any]], state: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Return traded energy as stacked bars in an SVG picture."""
    kinds = ("local", "import", "export")
    most = max((sum(period[f"{kind}_kwh"] for kind in kinds) for period in periods), default=0.0)
    if not most:
        return '<p class="none">Nothing was traded yet.</p>'
    high = ceil(most / _step(most)) * _step(most)
    x, y = _scales(periods, state, (0.0, high))
    bars = []
    for period in periods:
        below, left = 0.0, x(period["begins"])
        width = max(0.5, x(period["begins"] + state["mtu_s"]) - left - 0.8)
        for kind in kinds:
            value = period[f"{kind}_kwh"]
            if value > 0.0:
                top, foot = y(below + value), y(below)
                bars.append(
                    f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
                    f'height="{foot - top:.1f}"/>'
                )
                below += value
    return _chart(
        "Traded energy of the last day", periods, (0.0, high), state=state, zone=zone, marks="".join(bars)
    )


def _scales(
    periods: Sequence[Mapping[str, Any]], state: Mapping[str, Any], bounds: tuple[float, float]
) -> Any:
    """Return functions from a moment and from a value to a place in the picture."""
    first: int = periods[0]["begins"]
    end: int = periods[-1]["begins"] + state["mtu_s"]
    low, high = bounds

    def x(moment: float) -> float:
        return LEFT + (moment - first) / (end - first) * (WIDTH - LEFT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    return x, y


def _chart(
    title: str,
    periods: Sequence[Mapping[str, Any]],
    bounds: tuple[float, float],
    *,
    state: Mapping[str, Any],
    zone: ZoneInfo,
    marks: str,
) -> str:
    """Return a picture with its axes: values at the left, hours of the clock below, a line at this moment."""
    x, y = _scales(periods, state, bounds)
    low, high = bounds
    parts = []
    step = _step(high - low)
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        text = f"{value:,.{max(0, -floor(log10(step)))}f}"
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{text}</text>')
    for moment, text in _hours(periods, state, zone):
        parts.append(f'<text x="{x(moment):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>')
    now = x(state["now"])
    if LEFT < now <= WIDTH:
        parts.append(f'<line class="now" x1="{now:.1f}" x2="{now:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}{marks}</svg>'
    )


def _step(span: float) -> float:
    """Return how far apart the lines of a chart are: 1, 2 or 5 of some power of ten.

    >>> _step(47.0), _step(0.18)
    (10.0, 0.05)
    """
    power: float = 10.0 ** floor(log10(span / LINES))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= span / LINES * 0.75)


def _hours(
    periods: Sequence[Mapping[str, Any]], state: Mapping[str, Any], zone: ZoneInfo
) -> list[tuple[int, str]]:
    """Return moments to be labelled, full hours of the clock, and their labels: a few of them."""
    moments = [period["begins"] for period in periods]
    length = len(moments) * state["mtu_s"] / 3600
    apart = next(hours for hours in (1, 2, 3, 6, 12, 24) if hours >= length / 9 or hours == 24)
    found = []
    for moment in moments:
        local = datetime.fromtimestamp(moment, zone)
        if local.minute == 0 and local.hour % apart == 0 and moment > moments[0]:
            found.append((moment, local.strftime("%H:%M")))
    return found


def _gate(state: Mapping[str, Any], zone: ZoneInfo) -> str:
    return "-" if state["gate"] is None else _clock(state["gate"], zone, "%H:%M")


def _waits(state: Mapping[str, Any]) -> str:
    return "" if state["bidding"] is None else f"{state['bids']:,} bids in session {state['bidding']}"


def _price(price: float | None) -> str:
    """Return a price as text.

    >>> _price(0.08), _price(None)
    ('0.0800', '-')
    """
    return "-" if price is None else f"{round(price * MICRO) / MICRO:.4f}"


def _clock(moment: int, zone: ZoneInfo, form: str) -> str:
    """Return a moment by the clock of a place.

    >>> _clock(0, ZoneInfo("Europe/Berlin"), "%H:%M")
    '01:00'
    """
    return datetime.fromtimestamp(moment, UTC).astimezone(zone).strftime(form)
