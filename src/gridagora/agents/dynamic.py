"""The exact plan of a home with one store: dynamic programming with concave piecewise linear values.

With one store s (battery, vehicle or tank) the home's problem over the horizon is

    V_k(s) = max_x  V_{k+1}(keep s + x) - g_k(x),        lowest <= s <= highest

where g_k is the cost of the period as a function of the energy x put into the store: convex and piecewise
linear, because a kWh more costs the feed-in price, then the retail price, then the penalty of shedding load,
each divided by the device's conversion.  V stays concave and piecewise linear; a step backwards merges two
sorted lists of slopes, a step forwards walks along both.  No linear program is built, and the result is its
optimum. The slopes of V around the planned content are the value curve of the store (`curves`).

Ties between now and later go to now for charging and for covering demand, to later for selling stored energy.
"""

import numpy as np
from numpy.typing import NDArray

from gridagora.agents.curves import STEPS, curve_around
from gridagora.agents.fleet import Floats
from gridagora.agents.kernels import (
    BATTERY_KWH,
    BATTERY_MIN,
    CHARGE_EFF,
    CHARGE_KW,
    DEPARTURE,
    DISCHARGE_EFF,
    DISCHARGE_KW,
    EV_EFF,
    EV_KW,
    EXPORT_KW,
    IMPORT_KW,
    NEED,
    PUMP_KW,
    TANK_KEEP,
    TANK_KWH,
)
from gridagora.agents.penalties import EV_PENALTY, HEAT_PENALTY, LOAD_PENALTY
from gridagora.model._jit import compiled

BATTERY, PUMP, EV = 0, 1, 2
PER_PERIOD = 10
"""Most segments that a period adds: two device pieces x four price pieces, heat slack, one cut."""
LATER, SLACK = 1.0, 2.0
"""Marks of stage segments: lose a tie to later; heat that is not served."""
CUT = 1e-12


@compiled
def _push(slopes: Floats, lengths: Floats, count: int, slope: float, length: float) -> int:
    """Append a segment to a sorted list, joined to the last one if the slope is the same; new count."""
    if length <= CUT:
        return count
    if count and slopes[count - 1] == slope:
        lengths[count - 1] += length
        return count
    slopes[count], lengths[count] = slope, length
    return count + 1


@compiled
def _prices(p: Floats, x: Floats, price: Floats, hours: float, edges: Floats, slopes: Floats) -> None:
    """Cost of net import as slopes between edges, kWh: curtail, export, import, shed load."""
    export, limit = p[EXPORT_KW] * hours, p[IMPORT_KW] * hours
    edges[0], edges[1], edges[2], edges[3] = -export - x[1] * hours, -export, 0.0, limit
    edges[4] = max(limit, (x[0] - x[1]) * hours)
    slopes[0], slopes[1], slopes[2], slopes[3] = 0.0, price[1], price[0], LOAD_PENALTY


@compiled
def _pieces(p: Floats, x: Floats, device: int, plugged: bool, hours: float, pieces: Floats) -> float:
    """Device pieces (electric kWh from, to, stored per electric kWh); returns the outflow of the store."""
    pieces[:] = 0.0
    if device == BATTERY:
        pieces[0, 0], pieces[0, 2] = -p[DISCHARGE_KW] * hours, 1.0 / p[DISCHARGE_EFF]
        pieces[1, 1], pieces[1, 2] = p[CHARGE_KW] * hours, p[CHARGE_EFF]
    elif device == EV and plugged:
        pieces[1, 1], pieces[1, 2] = p[EV_KW] * hours, p[EV_EFF]
    elif device == PUMP:
        pieces[1, 1], pieces[1, 2] = p[PUMP_KW] * hours, x[3]
        return float(x[2] * hours)
    return 0.0


@compiled
def _stage(
    base: float, edges: Floats, slopes: Floats, pieces: Floats, heat: float, out: Floats
) -> tuple[int, float]:
    """Rising cost slopes of filling the store: rows (slope, length, mark); count and lowest x."""
    count = 0
    lowest = -heat
    for piece in range(2):
        start, end, gain = pieces[piece]
        for j in range(4):
            low, high = max(start, edges[j] - base), min(end, edges[j + 1] - base)
            if high - low <= CUT:
                continue
            out[count, 0], out[count, 1] = slopes[j] / gain, (high - low) * gain
            out[count, 2] = LATER if piece == 0 and j == 2 else 0.0
            if piece == 0:
                lowest -= out[count, 1]
            count += 1
    if heat > CUT:
        place = count
        while place > 0 and out[place - 1, 0] > HEAT_PENALTY:
            out[place] = out[place - 1]
            place -= 1
        out[place, 0], out[place, 1], out[place, 2] = HEAT_PENALTY, heat, SLACK
        count += 1
    return count, lowest


@compiled
def _back(
    stage: Floats, steps: int, lowest: float, after: tuple[Floats, Floats], first: float, count: int,
    keep: float, bounds: Floats, before: tuple[Floats, Floats],
) -> int:  # fmt: skip
    """One step backwards: merge the stage's slopes with those of the value after; returns the count.

    The falling slopes lie over the store from ``first`` on; the result is cut to ``bounds``.
    """
    start = first - lowest
    for j in range(steps):
        start -= stage[j, 1]
    position = start / keep
    i, j, made = 0, steps - 1, 0
    while (i < count or j >= 0) and position < bounds[1]:
        if j < 0 or (i < count and after[0][i] >= stage[j, 0]):
            slope, length = after[0][i], after[1][i]
            i += 1
        else:
            slope, length = stage[j, 0], stage[j, 1]
            j -= 1
        end = position + length / keep
        made = _push(before[0], before[1], made, slope * keep, min(end, bounds[1]) - max(position, bounds[0]))
        position = end
    return made


@compiled
def _forward(
    stage: Floats,
    steps: int,
    lowest: float,
    value: tuple[Floats, Floats],
    first: float,
    count: int,
    held: float,
) -> float:
    """Find the best store after the period from ``held``: walk up while a kWh is worth its cost."""
    here, j, i = held + lowest, 0, 0
    left_cost = stage[0, 1] if steps else 0.0
    while j < steps and first - here > CUT:
        move = min(left_cost, first - here)
        here += move
        left_cost -= move
        if left_cost <= CUT:
            j += 1
            left_cost = stage[j, 1] if j < steps else 0.0
    skip = here - first
    while i < count and skip > CUT and value[1][i] <= skip + CUT:
        skip -= value[1][i]
        i += 1
    left_value = value[1][i] - max(skip, 0.0) if i < count else 0.0
    while j < steps and i < count:
        worth, cost = value[0][i], stage[j, 0]
        if cost > worth or (cost == worth and stage[j, 2] == LATER):
            break
        move = min(left_cost, left_value)
        here += move
        left_cost -= move
        left_value -= move
        if left_cost <= CUT:
            j += 1
            left_cost = stage[j, 1] if j < steps else 0.0
        if left_value <= CUT:
            i += 1
            left_value = value[1][i] if i < count else 0.0
    return float(here)


@compiled
def _bounds(p: Floats, device: int, stay: Floats, inside: bool, out: Floats) -> None:
    """Lowest and highest content of the store before a period, kWh."""
    out[0], out[1] = 0.0, 0.0
    if device == BATTERY:
        out[0], out[1] = p[BATTERY_MIN], p[BATTERY_KWH]
    elif device == PUMP:
        out[1] = p[TANK_KWH]
    elif inside:
        out[1] = stay[NEED]


@compiled
def _end_value(
    p: Floats,
    device: int,
    stay: Floats,
    last: int,
    terminal: float,
    hours: float,
    value: tuple[Floats, Floats],
) -> int:
    """Value slopes after period ``last``: what is left at the horizon's end, or a car's need as it leaves."""
    if device == BATTERY:
        return _push(value[0], value[1], 0, terminal, p[BATTERY_KWH] - p[BATTERY_MIN])
    if device == PUMP:
        return _push(value[0], value[1], 0, terminal, p[TANK_KWH])
    later = max(0.0, stay[DEPARTURE] - last - 1.0) * p[EV_KW] * p[EV_EFF] * hours
    must = max(0.0, stay[NEED] - later)
    count = _push(value[0], value[1], 0, EV_PENALTY, must)
    return _push(value[0], value[1], count, terminal, stay[NEED] - must)


@compiled
def _period(
    p: Floats, x: Floats, price: Floats, device: int, plugged: bool, hours: float, work: Floats
) -> tuple[int, float]:
    """Fill ``work`` with the stage of a period; returns its number of segments and the lowest x."""
    edges, slopes = np.empty(5), np.empty(4)
    pieces = np.empty((2, 3))
    _prices(p, x, price, hours, edges, slopes)
    heat = _pieces(p, x, device, plugged, hours, pieces)
    return _stage((x[0] - x[1]) * hours, edges, slopes, pieces, heat, work)


@compiled
def _power(
    p: Floats, stage: Floats, steps: int, device: int, stored: float, x: Floats, hours: float
) -> float:
    """Electric power, kW, that brings ``stored`` kWh into the store (less what flows out of a tank)."""
    if device == BATTERY:
        return float((stored * p[DISCHARGE_EFF] if stored < 0.0 else stored / p[CHARGE_EFF]) / hours)
    if device == EV:
        return float(stored / (p[EV_EFF] * hours))
    heat = stored + x[2] * hours
    before = 0.0
    for j in range(steps):
        if stage[j, 2] == SLACK:
            heat -= min(max(0.0, heat - before), stage[j, 1])
            break
        before += stage[j, 1]
    return max(0.0, float(heat / (x[3] * hours)))


@compiled
def _values(
    p: Floats, device: int, series: Floats, price: Floats, stay: NDArray[np.int32], stays: Floats,
    terminal: float, first: int, hours: float, slopes: Floats, lengths: Floats, counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Walk backwards: fill slopes, lengths and counts of the values after each period (row k + 1)."""
    horizon = series.shape[0]
    keep = p[TANK_KEEP] if device == PUMP else 1.0
    stage, bounds, away = np.empty((PER_PERIOD, 3)), np.zeros(2), np.zeros(3)
    count = 0
    for k in range(horizon - 1, -1, -1):
        row = stays[stay[k]] if stay[k] >= 0 else away
        inside = device != EV or stay[k] >= 0
        if k == horizon - 1 or (device == EV and row[DEPARTURE] == first + k + 1):
            count = _end_value(p, device, row, first + k, terminal, hours, (slopes[k + 1], lengths[k + 1]))
        counts[k + 1] = count
        if not inside:
            count = 0
            continue
        steps, lowest = _period(p, series[k], price[k], device, inside, hours, stage)
        _bounds(p, device, row, inside, bounds)
        after, before = (slopes[k + 1], lengths[k + 1]), (slopes[k], lengths[k])
        count = _back(stage, steps, lowest, after, bounds[0], count, keep, bounds, before)


@compiled
def _walk(
    p: Floats, device: int, series: Floats, price: Floats, stay: NDArray[np.int32], stays: Floats,
    held: float, first: int, hours: float, slopes: Floats, lengths: Floats, counts: NDArray[np.int64],
    out: Floats,
) -> None:  # fmt: skip
    """Walk forwards: fill ``out`` (n, 2) with kW and kWh stored."""
    keep = p[TANK_KEEP] if device == PUMP else 1.0
    stage, bounds, away = np.empty((PER_PERIOD, 3)), np.zeros(2), np.zeros(3)
    for k in range(out.shape[0]):
        row = stays[stay[k]] if stay[k] >= 0 else away
        inside = device != EV or stay[k] >= 0
        _bounds(p, device, row, inside, bounds)
        value = (slopes[k + 1], lengths[k + 1])
        out[k] = 0.0
        if not inside:
            held = 0.0
            continue
        steps, lowest = _period(p, series[k], price[k], device, inside, hours, stage)
        then = _forward(stage, steps, lowest, value, bounds[0], counts[k + 1], keep * held)
        then = min(max(then, bounds[0]), bounds[1])
        out[k, 0] = _power(p, stage, steps, device, then - keep * held, series[k], hours)
        out[k, 1] = then
        held = 0.0 if device == EV and row[DEPARTURE] == first + k + 1 else then


@compiled
def _reach(p: Floats, device: int, cop: float, hours: float) -> float:
    """How far a period can bring the store from its plan, kWh."""
    if device == BATTERY:
        return float((p[CHARGE_KW] * p[CHARGE_EFF] + p[DISCHARGE_KW] / p[DISCHARGE_EFF]) * hours)
    return float((p[EV_KW] * p[EV_EFF] if device == EV else p[PUMP_KW] * cop) * hours)


@compiled
def _read(
    p: Floats, device: int, series: Floats, stay: NDArray[np.int32], hours: float, slopes: Floats,
    lengths: Floats, counts: NDArray[np.int64], planned: Floats, curves: Floats,
) -> None:  # fmt: skip
    """Fill ``curves`` (n, 2, STEPS, 2) with the value curves around the planned contents."""
    reach = 0.0
    lowest = p[BATTERY_MIN] if device == BATTERY else 0.0
    for k in range(curves.shape[0]):
        curves[k] = 0.0
        if device == EV and stay[k] < 0:
            continue
        reach += _reach(p, device, series[k, 3], hours)
        curve_around(slopes[k + 1], lengths[k + 1], counts[k + 1], lowest, planned[k, 1], reach, curves[k])


@compiled
def plan_all(
    params: Floats, devices: NDArray[np.int64], series: Floats, price: Floats, stay: NDArray[np.int32],
    stays: Floats, state: Floats, terminal: Floats, first: int, hours: float, n: int,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Plan the homes with one store each; returns kW and kWh stored (homes, n, 2) and the value curves.

    ``devices`` (homes,) `BATTERY`, `PUMP` or `EV`, negative for homes to be left out; ``series`` (homes,
    horizon, 4) as in `kernels.simulate`; ``price`` (horizon, 2) import and export; ``stay`` (homes, horizon)
    rows of ``stays``, -1 while away; ``state`` (homes, 3); ``terminal`` (homes, 3) the value of a kWh left
    in battery, tank, vehicle.  The curves (homes, n, 2, STEPS, 2) are those of `curves.curve_around`.
    """
    homes, horizon = series.shape[0], series.shape[1]
    slopes = np.empty((horizon + 1, PER_PERIOD * (horizon + 1)))
    lengths = np.empty((horizon + 1, PER_PERIOD * (horizon + 1)))
    counts = np.zeros(horizon + 1, dtype=np.int64)
    out, curves = np.zeros((homes, n, 2)), np.zeros((homes, n, 2, STEPS, 2))
    for i in range(homes):
        device = devices[i]
        if device < 0:
            continue
        held = state[i, (0, 2, 1)[device]]
        p, x, end = params[i], series[i], terminal[i, device]
        _values(p, device, x, price, stay[i], stays, end, first, hours, slopes, lengths, counts)
        _walk(
            p, device, x, price, stay[i], stays, held, first, hours, slopes, lengths, counts, out[i]
        )  # fmt: skip
        _read(p, device, x, stay[i], hours, slopes, lengths, counts, out[i], curves[i])
    return out, curves


@compiled
def curves_all(
    params: Floats, devices: NDArray[np.int64], series: Floats, price: Floats, stay: NDArray[np.int32],
    stays: Floats, planned: Floats, terminal: Floats, first: int, hours: float,
) -> Floats:  # fmt: skip
    """Value curves of stores whose plan is known, one row per store; returns (rows, n, 2, STEPS, 2).

    ``planned`` (rows, n, 2) kW and kWh stored; the load in ``series`` holds the home's other devices at
    their plan; the rest as in `plan_all`, by row.
    """
    rows, horizon, n = series.shape[0], series.shape[1], planned.shape[1]
    slopes = np.empty((horizon + 1, PER_PERIOD * (horizon + 1)))
    lengths = np.empty((horizon + 1, PER_PERIOD * (horizon + 1)))
    counts = np.zeros(horizon + 1, dtype=np.int64)
    curves = np.zeros((rows, n, 2, STEPS, 2))
    for i in range(rows):
        p, device, x, end = params[i], devices[i], series[i], terminal[i, devices[i]]
        _values(p, device, x, price, stay[i], stays, end, first, hours, slopes, lengths, counts)
        _read(p, device, x, stay[i], hours, slopes, lengths, counts, planned[i], curves[i])
    return curves
