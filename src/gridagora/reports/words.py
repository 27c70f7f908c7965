"""The run in plain sentences and formatted numbers: what happened to trade, bills, wires and energy."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from gridagora.reports.bins import LABEL
from gridagora.reports.series import Timeline, not_converged
from gridagora.reports.tables import RunTables

MISSING = "n/a"


def number(value: float | None, digits: int | None = None) -> str:
    """Return a number for reading: thousands grouped, about four digits unless told otherwise.

    >>> number(12345.678), number(3.14159), number(0.98765, 3), number(None)
    ('12,346', '3.14', '0.988', 'n/a')
    """
    if value is None or not np.isfinite(value):
        return MISSING
    if digits is None:
        size = abs(value)
        digits = 0 if size >= 1000 else 1 if size >= 100 else 2
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "\u2212")


def moment(label: str) -> str:
    """Return a local label as a person writes it.

    >>> moment("2016-06-01 18:30")
    'Wed 1 June 2016, 18:30'
    """
    if not label:
        return "an unknown time"
    then = datetime.strptime(label, LABEL)  # noqa: DTZ007 - a wall time, shown beside its time zone
    return f"{then:%a} {then.day} {then:%B %Y, %H:%M}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The highest (or lowest) value of a flow, where it stood, and the start of its period in local time."""

    value: float
    where: str
    when: str


def peak(tables: RunTables, line: Timeline, column: str, *, where: str, lowest: bool = False) -> Peak | None:
    """Return the extreme of a flow column with its place and period; None where every period is NaN."""
    values = line.align(tables.flows, column)
    if not np.isfinite(values).any():
        return None
    row = int(np.nanargmin(values) if lowest else np.nanargmax(values))
    return Peak(
        value=float(values[row]), where=str(line.names(tables.flows, where)[row]), when=line.labels[row]
    )


def summary(tables: RunTables, line: Timeline) -> list[tuple[str, str]]:
    """Return (topic, sentences) of the run, in the order a planner asks."""
    found = [
        ("Trade", _trade(tables, line)),
        ("Bills", _bills(tables)),
        ("Wires", _wires(tables, line)),
        ("Voltage", _voltage(tables, line)),
        ("Limits", _limits(tables)),
        ("Energy", _energy(tables)),
    ]
    return [(topic, text) for topic, text in found if text]


def cautions(tables: RunTables, line: Timeline) -> list[str]:
    """Return what to know before trusting the numbers: a stopped run, power flows without a solution."""
    found = []
    planned, done = tables.number("periods_planned"), tables.number("periods")
    if planned and done is not None and done < planned:
        found.append(
            f"The run was stopped after {number(done, 0)} of {number(planned, 0)} periods; all figures "
            f"are of those."
        )
    for suffix, case in (("", "with the market"), ("_baseline", "without a market")):
        periods = not_converged(tables, suffix)
        if periods:
            first = ", ".join(moment(line.label(p)) for p in periods[:3])
            found.append(
                f"The power flow {case} found no solution in {len(periods):,} of {len(line.periods):,} "
                f"periods "
                f"(first: {first}). Their voltages, loadings and losses are not known and are left out of "
                f"every "
                "figure here; the schedules of those periods cannot be called safe."
            )
    return found


def span(line: Timeline) -> str:
    """Return the time a run covers, in words, local times."""
    hours = len(line.periods) * line.bins.hours
    minutes = line.bins.hours * 60
    if hours > 48:
        length = f"{number(hours / 24, 0 if hours % 24 == 0 else 1)} days"
    elif hours < 1:
        length = f"{hours * 60:g} minutes"
    else:
        length = f"{hours:g} hour{'s' if hours != 1 else ''}"
    return f"{length} from {moment(line.labels[0])}, in periods of {minutes:g} minutes"


def _trade(tables: RunTables, line: Timeline) -> str:
    if tables.flexibility is not None:
        return ""  # homes trade energy with the retailer alone
    local, price = tables.number("local_volume_kwh"), tables.number("mean_price_{cur}_per_kwh")
    count = len(tables.participants)
    who = f"{count} participants" if count != 1 else "one participant"
    if not local:
        start = f"Over {span(line)}, {who} took part and nothing was traded between participants."
    else:
        start = (
            f"Over {span(line)}, {who} took part and {number(local)} kWh changed hands between participants"
        )
        used = tables.number("consumption_kwh")
        start += f", {number(100 * local / used, 1)} % of what they consumed." if used else "."
    if price is None:
        return start
    what = "pool's mean price" if tables.zones is None else "mean price of all trades"
    mean = f"The {what} was {number(price, 3)} {tables.currency}/kWh"
    ends = [line.align(tables.prices, name) for name in ("feed_in", "retail")]
    if not all(np.isfinite(end).any() for end in ends):
        return f"{start} {mean}, with no retailer behind it."
    feed_in, retail = (number(float(np.nanmean(end)), 3) for end in ends)
    return f"{start} {mean}, beside {feed_in} for feeding in and {retail} for buying at the retailer (means)."


def _bills(tables: RunTables) -> str:
    cost, before, gain = (
        tables.number(name) for name in ("cost_total_{cur}", "cost_total_baseline_{cur}", "gain_total_{cur}")
    )
    if cost is None or before is None:
        return ""
    saved = before - cost if gain is None else gain
    share = f" ({number(100 * abs(saved) / abs(before), 1)} %)" if before else ""
    money = tables.currency
    if abs(saved) < 0.005:
        text = f"All bills together come to {number(cost, 2)} {money}, the same as without a market."
    else:
        word = "less" if saved > 0 else "more"
        text = (
            f"All bills together come to {number(cost, 2)} {money}; without a market {number(before, 2)} "
            f"{money}. "
            f"That is {number(abs(saved), 2)} {money}{share} {word}."
        )
    return f"{text} {_who_gains(tables)}".strip()


def _who_gains(tables: RunTables) -> str:
    frame, money = tables.participants, tables.currency
    if len(frame) < 2:
        return ""
    gains = frame["gain"].to_numpy(dtype=np.float64)
    names = frame["participant"].astype(str).to_numpy()
    winners, losers = int((gains > 1e-9).sum()), int((gains < -1e-9).sum())
    text = f"{winners} of {len(frame)} participants pay less"
    if winners:
        best = int(np.nanargmax(gains))
        text += f" (most: {names[best]}, {number(gains[best], 2)} {money})"
    if losers:
        worst = int(np.nanargmin(gains))
        pay = "pays" if losers == 1 else "pay"
        text += f"; {losers} {pay} more (most: {names[worst]}, {number(-gains[worst], 2)} {money})"
    return text + "."


def _wires(tables: RunTables, line: Timeline) -> str:
    parts = []
    for kind, column, where in (
        ("transformer", "transformer_loading_percent", "worst_transformer"),
        ("line", "line_loading_percent", "worst_line"),
    ):
        now = peak(tables, line, column, where=where)
        before = peak(tables, line, f"{column}_baseline", where=f"{where}_baseline")
        if now is None:
            continue
        text = f"The most loaded {kind}, {now.where}, reaches {number(now.value, 1)} % of its rating "
        text += f"on {moment(now.when)}"
        if before is not None:
            other = f" at {before.where}" if before.where != now.where else ""
            text += (
                f"; without a market the peak is {number(before.value, 1)} %{other} on {moment(before.when)}"
            )
        parts.append(text + ".")
    return " ".join(parts)


def _voltage(tables: RunTables, line: Timeline) -> str:
    parts = []
    for word, column, where, lowest in (
        ("lowest", "vm_min_pu", "vm_min_bus", True),
        ("highest", "vm_max_pu", "vm_max_bus", False),
    ):
        now = peak(tables, line, column, where=where, lowest=lowest)
        before = peak(tables, line, f"{column}_baseline", where=f"{where}_baseline", lowest=lowest)
        if now is None:
            continue
        place = _named("bus", now.where)
        text = f"The {word} voltage is {number(now.value, 3)} pu at {place} on {moment(now.when)}"
        text += f" (without a market {number(before.value, 3)} pu)." if before is not None else "."
        parts.append(text)
    if not parts:
        return ""
    band = f"{tables.limits.vm_min_pu:g} to {tables.limits.vm_max_pu:g} pu"
    return " ".join(parts) + f" The allowed band is {band}."


def _periods(count: float) -> str:
    return f"{int(count):,} period{'s' if count != 1 else ''}"


def _named(kind: str, name: str) -> str:
    """Return an element's name, with its kind before it unless the name tells it."""
    return name if kind in name.lower() else f"{kind} {name}"


def _limits(tables: RunTables) -> str:
    now, before = tables.number("violation_periods"), tables.number("violation_periods_baseline")
    planned = tables.number("violation_periods_cleared")
    if now is None:
        return ""
    blind = " that could be calculated" if len(not_converged(tables)) else ""
    text = (
        f"With the market, no line, transformer or voltage limit is broken in any period{blind}."
        if now == 0
        else f"Limits are broken in {_periods(now)} with the market{_worst_element(tables)}."
    )
    if before is not None:
        text += (
            " Nor without a market." if now == before == 0 else f" Without a market: in {_periods(before)}."
        )
    if planned:
        text += f" The schedules as cleared, before delivery, would break limits in {_periods(planned)}."
    return text


def _worst_element(tables: RunTables) -> str:
    frame = tables.elements
    if not len(frame) or not (frame["violation_periods"].fillna(0) > 0).any():
        return ""
    row = frame.iloc[int(np.argmax(frame["violation_periods"].fillna(0)))]
    name = _named(str(row["kind"]), str(row["element"]))
    return f", most often at {name} ({_periods(row['violation_periods'])})"


def _energy(tables: RunTables) -> str:
    parts = []
    for word, name in (("covers", "self_sufficiency"), ("uses", "self_consumption")):
        now, before = tables.number(name), tables.number(f"{name}_baseline")
        if now is None:
            continue
        what = "of its consumption itself" if word == "covers" else "of its solar production itself"
        text = f"The feeder {word} {number(100 * now, 1)} % {what}"
        parts.append(
            text + (f" ({number(100 * before, 1)} % without a market)." if before is not None else ".")
        )
    losses, before = tables.number("losses_kwh"), tables.number("losses_kwh_baseline")
    if losses is not None:
        text = f"Grid losses are {number(losses)} kWh"
        parts.append(text + (f", without a market {number(before)} kWh." if before is not None else "."))
    for name, text in (
        ("energy_not_served_kwh", "of load could not be served"),
        ("curtailed_kwh", "of solar energy was curtailed"),
    ):
        value = tables.number(name)
        if value:
            parts.append(f"{number(value)} kWh {text}.")
    return " ".join(parts)


def tile_difference(now: float | None, before: float | None, *, scale: Any = 1.0, digits: int) -> str:
    """Return the change from the feeder without a market with its sign, "" where one of them is missing.

    >>> tile_difference(9.0, 10.0, digits=1)
    '−1.0'
    """
    if now is None or before is None:
        return ""
    change = (now - before) * scale
    text = number(change, digits)
    if float(text.replace(",", "").replace("\u2212", "-")) == 0:
        return "no change"
    return text if change < 0 else f"+{text}"
