"""The rows of a need: which limits are broken, who helps, and the cut that the power flow confirms."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.grid.admittance import Admittance
from gridagora.grid.cuts import Cases, gradients_of, smallest_share, values_of
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel
from gridagora.grid.need_rules import NeedRules, PointForecast, Rebound
from gridagora.grid.sensitivity import OperatingPoints, downstream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDING = 1e-9
_LEAST_SLOPE = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rows:
    """Needs by number: positions of elements and buses instead of names; columns as in `Need`."""

    period: Ints
    is_voltage: Bools
    column: Ints
    above: Floats
    limit: Floats
    is_rebound: Bools
    direction: Floats
    value: Floats
    kw: Floats
    meter_kw: Floats
    after: Floats
    curable: Bools
    per_kw: Floats
    losses_per_kw: Floats
    load_kw: Floats
    effect: Floats
    cut_kw: Floats

    def __len__(self) -> int:
        return len(self.period)

    @classmethod
    def join(cls, parts: list["Rows"]) -> "Rows":
        """Return the rows of several parts."""
        columns = {name: [getattr(part, name) for part in parts] for name in cls.__dataclass_fields__}
        return cls(**{name: np.concatenate(arrays) for name, arrays in columns.items()})

    def take(self, rows: Ints) -> "Rows":
        """Return some rows."""
        return Rows(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def ordered(self, grid: GridModel) -> "Rows":
        """Return the rows by period, kind and name of the element."""
        kind, element = self._names(grid)
        return self.take(np.lexsort((element, kind, self.period)))

    def columns(self, grid: GridModel) -> dict[str, Any]:
        """Return the columns that `Need` takes over, with names."""
        kind, element = self._names(grid)
        same = ("period", "value", "limit", "kw", "meter_kw", "after", "curable", "per_kw", "losses_per_kw")
        return {
            **{name: getattr(self, name) for name in (*same, "load_kw", "effect", "cut_kw")},
            "kind": kind,
            "element": element,
            "reason": np.where(self.is_rebound, "rebound", "forecast"),
            "product": np.where(self.direction > 0, "cap", "floor"),
        }

    def _names(self, grid: GridModel) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        bus, branch = np.where(self.is_voltage, self.column, 0), np.where(self.is_voltage, 0, self.column)
        elements = np.array(grid.elements or ("",), dtype=np.str_)[branch]
        kinds = np.char.add(np.array(grid.kinds or ("",), dtype=np.str_)[branch], "_loading")
        of_bus = np.where(self.above > 0, "voltage_high", "voltage_low")
        element = np.where(self.is_voltage, np.array(grid.buses, dtype=np.str_)[bus], elements)
        return np.where(self.is_voltage, of_bus, kinds), element


def forecast_rows(
    grid: GridModel, model: Admittance, *, forecast: PointForecast, rules: NeedRules, flow: PowerFlow
) -> Rows:
    """Return a row for every limit that the planning quantile goes beyond."""
    period, is_voltage, column, above, limit = _beyond(grid, flow, rules)
    planned = rules.position(forecast)
    kw, kvar = forecast.at_buses(grid, planned)
    cases = Cases(
        import_kw=kw[period],
        import_kvar=kvar[period],
        is_voltage=is_voltage,
        column=column,
        above=above,
        limit=limit,
    )
    power = forecast.import_kw[planned][period]
    return _solved(grid, model, cases=cases, period=period, power=power, forecast=forecast, rules=rules)


def rebound_rows(
    grid: GridModel,
    model: Admittance,
    *,
    forecast: PointForecast,
    rules: NeedRules,
    rebound: Rebound,
    found: Rows,
    flow: PowerFlow,
) -> Rows:
    """Return a row for every period in which shifted energy would go beyond the limit of its element.

    Energy returns in periods without a need; where it would go beyond the limit, that period becomes a need
    too and the energy looks for the next free ones, until all of it has found a place.
    """
    parts = [found.take(np.zeros(0, dtype=np.int64))]
    keys = np.stack([found.is_voltage, found.column, found.above, found.direction], axis=1)
    for key in np.unique(keys, axis=0):
        rows = np.flatnonzero((keys == key).all(axis=1))
        free = flow.converged.copy()
        free[found.period[rows]] = False
        one = found.take(rows)
        for _ in range(len(free)):
            new = _returning(grid, model, forecast=forecast, rules=rules, one=one, free=free, rebound=rebound)
            if not len(new):
                break
            parts.append(new)
            free[new.period] = False
    return Rows.join(parts)


def _returning(
    grid: GridModel,
    model: Admittance,
    *,
    forecast: PointForecast,
    rules: NeedRules,
    one: Rows,
    free: Bools,
    rebound: Rebound,
) -> Rows:
    """Return the free periods in which the energy shifted for one limit would go beyond it."""
    shifted = np.zeros(len(free))
    shifted[one.period] = one.meter_kw
    back = rebound.returned_kw(shifted, free, hours=forecast.hours)
    period = np.flatnonzero((back > 0) & free)
    who = one.cut_kw.sum(axis=0)
    total = who.sum()
    if not period.size or total <= 0:
        return one.take(np.zeros(0, dtype=np.int64))
    planned, column = rules.position(forecast), forecast.columns(grid)
    power = forecast.import_kw[planned][period] + one.direction[0] * back[period, None] * who / total
    kw, kvar = (values[period] for values in forecast.at_buses(grid, planned))
    added = np.zeros_like(kw)
    np.add.at(added.T, column, (power - forecast.import_kw[planned][period]).T)
    count = len(period)
    cases = Cases(
        import_kw=kw + added,
        import_kvar=kvar,
        is_voltage=np.repeat(one.is_voltage[:1], count),
        column=np.repeat(one.column[:1], count),
        above=np.repeat(one.above[:1], count),
        limit=np.repeat(one.limit[:1], count),
    )
    value = values_of(grid, cases, np.zeros_like(kw))
    # A rebound that has no solution at all is left to the power flow of what is delivered.
    over = np.flatnonzero(cases.above * (value - cases.limit) > _ROUNDING * cases.limit)
    rows = _solved(
        grid,
        model,
        cases=cases.take(over),
        period=period[over],
        power=power[over],
        forecast=forecast,
        rules=rules,
    )
    columns = {name: getattr(rows, name) for name in Rows.__dataclass_fields__}
    return Rows(**{**columns, "is_rebound": np.ones(len(rows), dtype=bool)})


def _beyond(grid: GridModel, flow: PowerFlow, rules: NeedRules) -> tuple[Ints, Bools, Ints, Floats, Floats]:
    """Return period, is_voltage, column, above and limit of every limit that a flow goes beyond."""
    with np.errstate(invalid="ignore"):
        loaded = flow.loading_percent > rules.threshold_percent * (1 + _ROUNDING)
        low = flow.vm_pu < rules.vm_min_pu * (1 - _ROUNDING)
        high = flow.vm_pu > rules.vm_max_pu * (1 + _ROUNDING)
    # Buses that share a node share its need; the first of them states it.
    _, first = np.unique(grid.network.bus_node, return_index=True)
    shown = np.isin(np.arange(len(grid.buses)), first)
    parts = []
    for cells, voltage, sign, bound in (
        (loaded, 0.0, 1.0, rules.threshold_percent),
        (low & shown, 1.0, -1.0, rules.vm_min_pu),
        (high & shown, 1.0, 1.0, rules.vm_max_pu),
    ):
        period, column = np.nonzero(cells)
        one = np.ones(len(period))
        parts.append((period, one * voltage, column, one * sign, one * bound))
    when, is_voltage, where, above, limit = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return when.astype(np.int64), is_voltage > 0, where.astype(np.int64), above, limit


def _solved(
    grid: GridModel,
    model: Admittance,
    *,
    cases: Cases,
    period: Ints,
    power: Floats,
    forecast: PointForecast,
    rules: NeedRules,
) -> Rows:
    """Return the rows of cases: helping points, the cut in proportion to their power, its effect half way."""
    column, nothing = forecast.columns(grid), np.zeros_like(cases.import_kw)
    value = values_of(grid, cases, nothing)
    start = OperatingPoints(grid, cases.import_kw, cases.import_kvar, model=model)
    slope = cases.above[:, None] * gradients_of(start, cases)
    reference = _reference(grid, cases, slope)
    direction = np.where(slope[np.arange(len(cases)), reference] >= 0, 1.0, -1.0)
    helps = _helping(grid, cases, slope=slope, reference=reference, rules=rules)[:, column]
    if rules.sellers is not None:
        helps &= np.isin(list(forecast.bus_of_point), rules.sellers)
    most = np.where(helps, np.maximum(direction[:, None] * power, 0.0), 0.0)
    whole = np.zeros_like(cases.import_kw)
    np.add.at(whole.T, column, (direction[:, None] * most).T)
    share, after, curable = smallest_share(
        grid, cases, whole, value=value, slope=cases.above[:, None] * slope
    )
    half = OperatingPoints(grid, cases.import_kw - share[:, None] / 2 * whole, cases.import_kvar, model=model)
    middle = cases.above[:, None] * gradients_of(half, cases)
    losses = half.losses_gradient(np.arange(len(cases)))[0]
    effect = np.where(helps, _effects(middle, reference)[:, column], 0.0)
    cut = share[:, None] * most
    kw, meter_kw = (effect * cut).sum(axis=1), cut.sum(axis=1)
    saved = direction * (losses[:, column] * cut).sum(axis=1)
    at_reference = np.abs(middle[np.arange(len(cases)), reference])
    moved = np.abs(value - after)
    return Rows(
        period=period,
        is_voltage=cases.is_voltage,
        column=cases.column,
        above=cases.above,
        limit=cases.limit,
        is_rebound=np.zeros(len(cases), dtype=bool),
        direction=direction,
        value=value,
        kw=kw,
        meter_kw=meter_kw,
        after=after,
        curable=curable,
        per_kw=np.where(kw > 0, moved / np.where(kw > 0, kw, 1.0), at_reference),
        losses_per_kw=saved / np.where(meter_kw > 0, meter_kw, 1.0),
        load_kw=(direction[:, None] * np.where(helps, power, 0.0)).sum(axis=1),
        effect=effect,
        cut_kw=cut,
    )


def _reference(grid: GridModel, cases: Cases, slope: Floats) -> Ints:
    """Return the bus right behind each element (the end that moves it most), or the bus itself."""
    network = grid.network
    first = np.concatenate([network.lines.from_bus, network.transformers.hv_bus])
    last = np.concatenate([network.lines.to_bus, network.transformers.lv_bus])
    branch = np.where(cases.is_voltage, 0, cases.column)
    if not len(first):
        return cases.column
    row, start, end = np.arange(len(cases)), np.maximum(first[branch], 0), np.maximum(last[branch], 0)
    behind = np.where(np.abs(slope[row, end]) >= np.abs(slope[row, start]), end, start)
    return np.where(cases.is_voltage, cases.column, behind)


def _effects(slope: Floats, reference: Ints) -> Floats:
    """Return the effect of a kW at each bus relative to one at the reference bus."""
    base = slope[np.arange(len(slope)), reference][:, None]
    return np.divide(slope, base, out=np.zeros_like(slope), where=np.abs(base) > _LEAST_SLOPE)


def _helping(grid: GridModel, cases: Cases, *, slope: Floats, reference: Ints, rules: NeedRules) -> Bools:
    """Tell which buses help: with enough effect, and behind an element that is a branch of a tree."""
    helps = _effects(slope, reference) >= rules.least_effect
    behind = downstream(grid)
    loading = np.flatnonzero(~cases.is_voltage)
    of_case = behind[cases.column[loading]]
    helps[loading] &= of_case | ~of_case.any(axis=1, keepdims=True)
    return helps
