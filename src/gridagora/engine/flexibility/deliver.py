"""Delivery: at gate closure orders go out, cleared +/- adjustments; then the meters are read."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gridagora.engine.flexibility.adjustment import close_books, open_from
from gridagora.engine.flexibility.commands import CloseFlexGate, RecordFlexReadings
from gridagora.engine.flexibility.standing import ask_at_gate
from gridagora.engine.flexibility.state import LEAST_KW, FlexMarketState, time_faults
from gridagora.errors import Fault, check_faults, require
from gridagora.model.columns import Floats
from gridagora.model.flexibility import LIMITS
from gridagora.model.flexibility_events import DeliveryOrdered, FlexReadingsRecorded
from gridagora.model.numbers import read_numbers
from gridagora.model.time import clock

DECIMALS = 9
"""Orders are rounded to these decimals of a kW: adding and taking away leaves nothing behind."""


def close_gate(state: FlexMarketState, command: CloseFlexGate) -> DeliveryOrdered:
    """Send out orders for all periods before ``before`` that were open."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    if not state.open_from < command.before <= terms.end:
        reason = f"closes nothing: open are {state.open_from} to {terms.end - 1}"
        fix = "name the first period that stays open"
        faults.append(_fault("before", command.before, reason, fix=fix))
    else:
        gate = terms.begins(command.before - 1) - terms.begins(terms.gate_closure_periods) + terms.start
        if command.at < gate:
            reason = f"the gate of period {command.before - 1} closes at {clock(gate)}"
            fix = f"close it then, or no more than the periods before {open_from(state, command.at)}"
            faults.append(_fault("before", command.before, reason, fix=fix))
    check_faults(faults)
    first, points = state.open_from, len(terms.points)
    window = state.window(first, command.before - first)
    cleared = np.stack([period.cleared_kw[:, :points] for period in window], axis=2)
    adjusted = np.stack([period.adjusted_kw[:, :points] for period in window], axis=2)
    ordered = np.round(cleared + adjusted, DECIMALS) + 0.0
    limit = np.full(ordered.shape, np.nan)
    for product, (name, attributes) in enumerate(terms.products):
        capacity = terms.capacity_kw(name)[:, None]
        within = (ordered[product] >= 0) & (ordered[product] <= capacity + LEAST_KW)
        require(bool(within.all()), f"an order of {name} is below 0 or above the connection capacity")
        if attributes.direction in LIMITS:
            kept = np.maximum(capacity - ordered[product], 0.0)
            limit[product] = np.where(ordered[product] > LEAST_KW, kept, np.nan)
    return DeliveryOrdered(
        at=command.at,
        first=first,
        count=command.before - first,
        cleared_kw=cleared,
        adjusted_kw=adjusted,
        ordered_kw=ordered,
        limit_kw=limit,
    )


def record_readings(state: FlexMarketState, command: RecordFlexReadings) -> FlexReadingsRecorded:
    """Take readings in; a later reading of a period corrects an earlier one until it is settled."""
    check_faults([*time_faults(state, command.at), *_reading_faults(state, command)])
    metered, baseline = np.asarray(command.metered_kw, np.float64), command.baseline_kw
    return FlexReadingsRecorded(
        at=command.at,
        first=command.first,
        metered_kw=metered.reshape(*metered.shape[:2], -1),
        baseline_kw=None if baseline is None else np.asarray(baseline, np.float64),
    )


def apply_ordered(state: FlexMarketState, event: DeliveryOrdered) -> FlexMarketState:
    """Keep the orders; nothing of these periods is sold or bought any more."""
    require(event.first == state.open_from, "orders go out period by period, each once")
    before, points = event.first + event.count, len(state.open_terms.points)
    agreed = [period.sold_kw[:, :points] for period in state.window(event.first, event.count)]
    same = np.allclose(np.stack(agreed, axis=2), event.ordered_kw, rtol=0, atol=LEAST_KW)
    require(bool(same), "orders differ from what was cleared and adjusted")
    changed = {
        event.first + row: replace(state.period(event.first + row), ordered_kw=event.ordered_kw[:, :, row])
        for row in range(event.count)
    }
    state = close_books(state.with_periods(changed), before=before, at=event.at)
    return replace(ask_at_gate(state, event.first, event.count), open_from=before)


def apply_readings(state: FlexMarketState, event: FlexReadingsRecorded) -> FlexMarketState:
    """Keep the readings with their periods."""
    changed = {}
    for row in range(event.metered_kw.shape[1]):
        old = state.period(event.first + row)
        require(old.settled_wh is None, f"period {event.first + row} is settled")
        base = None if event.baseline_kw is None else event.baseline_kw[:, row]
        changed[event.first + row] = replace(old, metered_kw=event.metered_kw[:, row], baseline_kw=base)
    return state.with_periods(changed)


def _reading_faults(state: FlexMarketState, command: RecordFlexReadings) -> Iterator[Fault]:
    terms, points = state.open_terms, len(state.open_terms.points)
    told: dict[str, Any] = {"metered_kw": command.metered_kw}
    if command.baseline_kw is not None:
        told["baseline_kw"] = command.baseline_kw
    numbers, unread = read_numbers("flexibility delivery", **told)
    yield from unread
    given: dict[str, Floats] = dict(zip(told, numbers, strict=True))
    metered = given["metered_kw"]
    if metered.ndim not in (2, 3) or metered.shape[0] != points or metered.size == 0:
        reason = f"is not ({points} points, periods) or ({points} points, periods, readings)"
        yield _fault("metered_kw", metered.shape, reason, fix="give one row per connection point")
        return
    if (
        given.get("baseline_kw", metered[:, :, 0] if metered.ndim == 3 else metered).shape
        != metered.shape[:2]
    ):
        reason, fix = f"differs from the meters' {metered.shape[:2]}", "give one number per point and period"
        yield _fault("baseline_kw", given["baseline_kw"].shape, reason, fix=fix)
    end = command.first + metered.shape[1]
    if command.first < terms.first or end > terms.end:
        fix = f"choose periods of {terms.first} to {terms.end - 1}"
        yield _fault("first", command.first, "periods are outside the market", fix=fix)
        return
    if command.at < terms.begins(end):
        reason, fix = f"period {end - 1} is not over", f"read it at {clock(terms.begins(end))} or later"
        yield _fault("at", clock(command.at), reason, fix=fix)
    for number, period in enumerate(state.window(command.first, end - command.first), command.first):
        if period.settled_wh is not None:
            yield _fault(f"period {number}", number, "is settled already", fix="leave it out")
    for name, values in given.items():
        for point, column, *reading in np.argwhere(np.isinf(values)).tolist():
            place = f"{name}, row {point}, column {column}" + "".join(f", reading {one}" for one in reading)
            found = float(values[point, column, *reading])
            yield _fault(place, found, "is infinite", fix="write NaN where missing")


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="flexibility delivery", place=place, value=value, reason=reason, fix=fix)
