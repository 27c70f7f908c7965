"""What a distribution system operator needs: periods and elements beyond their limit, and the cut that cures.

The forecast is a set of quantiles of the power at every connection point.  The power flow of all quantiles
and periods runs in one batch; where the planning quantile goes beyond a limit, the cut is searched on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid._need_rows import Rows, forecast_rows, rebound_rows
from gridagora.grid.admittance import admittance_of
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel
from gridagora.grid.need_rules import NeedRules, PointForecast, probability_beyond
from gridagora.model.numbers import read_numbers

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Strings = NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Need:
    """Flexibility needed, one row per period and limit, by period, then kind, then element.

    Parameters
    ----------
    period : period of the forecast
    kind : "line_loading", "transformer_loading", "voltage_high" or "voltage_low"
    element : branch name, or bus id for voltages (the first of the buses that share a node)
    reason : "forecast", or "rebound" where only shifted energy would go beyond the limit
    product : "cap" (less import helps) or "floor" (less export helps)
    value, limit : at the planning quantile (with the rebound, if that is the reason) and what may be; percent
        or per unit
    kw : cut needed at the element, kW >= 0: as if taken right behind it (at its bus for voltages); a
        kW at connection point i counts ``effect[i]`` kW, so cuts x cure it if ``sum(effect x) >= kw``
    meter_kw : the same cut as kW at the meters of the helping points, shared in proportion to their power
    after : value after that cut, by power flow; <= limit where ``curable``
    curable : False where even all power of the helping points in this direction does not suffice; ``kw`` is
        then the cut that comes nearest
    probability : that the value goes beyond the limit, from the quantiles
    per_kw : value moved per kW of cut at the element, ``value`` to ``after``; percent or per unit per kW, > 0
    losses_per_kw : losses of the grid saved per kW of the cut at the meters, kW per kW
    load_kw : net power of the helping points in the product's direction (import of a cap, export of a floor)
    effect : kW at the element per kW of cut at each point, (rows, points); 0 where a point does not help
    cut_kw : share of ``meter_kw`` of each point, (rows, points)
    quantile_value : the limited value at each quantile, moved by the rebound where that is the reason, (rows,
        quantiles); NaN where not converged
    points : names of the connection points
    levels : quantile levels of the forecast
    hours : length of a period, h
    flow : power flow of the planning quantile
    unsolved : periods whose planning quantile has no power flow solution: no cut can be stated for them
    """

    period: Ints
    kind: Strings
    element: Strings
    reason: Strings
    product: Strings
    value: Floats
    limit: Floats
    kw: Floats
    meter_kw: Floats
    after: Floats
    curable: Bools
    probability: Floats
    per_kw: Floats
    losses_per_kw: Floats
    load_kw: Floats
    effect: Floats
    cut_kw: Floats
    quantile_value: Floats
    points: tuple[str, ...]
    levels: Floats
    hours: float
    flow: PowerFlow
    unsolved: Ints

    def __len__(self) -> int:
        return len(self.period)

    @property
    def wanted_kw(self) -> Floats:
        """Limit on the sum of the helping meters in the product's direction, kW: ``load_kw - meter_kw``."""
        return np.asarray(self.load_kw - self.meter_kw)

    def at(self, element: str) -> "Need":
        """Return the needs of one element."""
        return self.take(np.flatnonzero(self.element == element))

    def take(self, rows: Ints) -> "Need":
        """Return some rows."""
        whole = ("points", "levels", "hours", "flow", "unsolved")
        kept = {name: getattr(self, name) for name in whole}
        cut = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__ if name not in whole}
        return Need(**kept, **cut)

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per need; ``helps`` names the helping points, the most effective first."""
        import pandas as pd

        names = (
            *("period", "kind", "element", "reason", "product", "value", "limit", "kw", "meter_kw", "after"),
            *("curable", "probability", "per_kw", "load_kw", "wanted_kw"),
        )
        frame = pd.DataFrame({name: getattr(self, name) for name in names})
        frame["helps"] = [self._helpers(row) for row in range(len(self))]
        return frame

    def helpers(self) -> "pd.DataFrame":
        """Return one row per need and helping point: row, period, element, point, effect, cut_kw."""
        import pandas as pd

        row, point = np.nonzero(self.effect)
        return pd.DataFrame(
            {
                "row": row,
                "period": self.period[row],
                "element": self.element[row],
                "point": np.array(self.points, dtype=np.str_)[point],
                "effect": self.effect[row, point],
                "cut_kw": self.cut_kw[row, point],
            }
        )

    def _helpers(self, row: int) -> str:
        order = np.argsort(-self.effect[row], kind="stable")
        return "; ".join(self.points[point] for point in order if self.effect[row, point] > 0)


def find_need(grid: GridModel, forecast: PointForecast, rules: NeedRules | None = None) -> Need:
    """Return every limit that a forecast goes beyond and the cut that cures it, verified by power flow.

    Parameters
    ----------
    grid : the grid
    forecast : quantiles of the import at the connection points
    rules : threshold, voltage band, planning quantile, rebound; default `NeedRules`

    Raises
    ------
    InputError
        With every fault of the forecast: unknown buses, shapes, levels, powers that are not finite.

    Notes
    -----
    Only points downstream help an overloaded element (in a mesh: those with enough effect); every point with
    enough effect helps a voltage.  A cut takes active power only; reactive power stays: the safe side.
    Rows are stated each on its own: the cut for a transformer also relieves what lies above and below it.
    MARKETS section 3; seed 003 section 3.4.4 (flexibility need finder).

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> grid = Grid.by_name("cigre-lv")
    >>> load = PointForecast.of_levels(
    ...     {"R1": "Bus R1", "R11": "Bus R11", "R18": "Bus R18"},
    ...     levels=[0.1, 0.5, 0.9],
    ...     import_kw=[[[300, 12, 30]], [[430, 15, 47]], [[520, 18, 60]]],
    ...     hours=1.0,
    ... )
    >>> need = find_need(grid, load)
    >>> need.to_frame()[["element", "value", "kw", "after", "probability"]].round(2).to_dict("records")
    [{'element': 'Trafo R0-R1', 'value': 99.73, 'kw': 23.15, 'after': 95.0, 'probability': 0.56}]
    """
    rules = rules or NeedRules()
    check_faults(forecast.faults(grid) + rules.faults(forecast))
    quantiles, periods, _ = forecast.import_kw.shape
    at_bus = forecast.at_buses(grid)
    flows = grid.power_flow(*(power.reshape(quantiles * periods, -1) for power in at_bus))
    planned = rules.position(forecast)
    flow = _part(flows, slice(planned * periods, (planned + 1) * periods))
    model = admittance_of(grid.network)
    rows = forecast_rows(grid, model, forecast=forecast, rules=rules, flow=flow)
    if rules.rebound is not None:
        back = rebound_rows(
            grid, model, forecast=forecast, rules=rules, rebound=rules.rebound, found=rows, flow=flow
        )
        rows = Rows.join([rows, back])
    rows = rows.ordered(grid)
    values = _quantile_values(flows, rows, quantiles)
    values = values + np.where(rows.is_rebound, rows.value - values[:, planned], 0.0)[:, None]
    return Need(
        **rows.columns(grid),
        probability=probability_beyond(
            forecast.levels, rows.above[:, None] * values, rows.above * rows.limit
        ),
        quantile_value=values,
        points=tuple(forecast.bus_of_point),
        levels=forecast.levels,
        hours=forecast.hours,
        flow=flow,
        unsolved=np.flatnonzero(~flow.converged),
    )


def limit_quantity(capacity_kw: ArrayLike, limit_kw: ArrayLike) -> Floats:
    """Return the quantity a system operator asks of a capacity-limit product, kW.

    It is the sum of the connection capacities behind the element minus the wanted limit on their sum: seed
    003 figure 3-4, 60 - 25 = 35 kW.  For a cap both are of import, for a floor both of export (reverse flow).
    Zero where the limit is not below the capacities.

    Parameters
    ----------
    capacity_kw : connection capacities downstream, kW, summed over the last axis
    limit_kw : wanted limit on the sum, kW

    Examples
    --------
    >>> limit_quantity([20, 25, 15], 25).item()
    35.0
    """
    total = np.asarray(capacity_kw, dtype=np.float64).sum(axis=-1)
    return np.asarray(np.maximum(total - np.asarray(limit_kw, dtype=np.float64), 0.0))


def needed_quantity(need: Need, capacity_kw: Mapping[str, ArrayLike]) -> Floats:
    """Return the capacity-limit quantity of every need, kW: `limit_quantity` of its helping points.

    Parameters
    ----------
    need : from `find_need`
    capacity_kw : connection capacity of each helping point in the products' direction, kW, one number or one
        per need; what is left of it where limits were sold before

    Raises
    ------
    InputError
        When a helping point has no capacity or one that is not positive.
    """
    return limit_quantity(helping_capacity(need, capacity_kw)[:, None], need.wanted_kw)


def helping_capacity(need: Need, capacity_kw: Mapping[str, ArrayLike]) -> Floats:
    """Return the summed connection capacity of the points that help each need, kW, (rows,)."""
    helps = np.asarray(need.effect > 0)
    some = {need.points[point] for point in np.unique(np.nonzero(helps)[1]).tolist()}
    values = [
        read_numbers("capacity_kw", kw=capacity_kw.get(point, 0.0))[0][0] if point in some else np.zeros(())
        for point in need.points
    ]
    check_faults(
        Fault(
            source="capacity_kw",
            place=f"point {point}",
            value=capacity_kw.get(point),
            reason="no connection capacity",
            fix="write a capacity in kW above 0",
        )
        for point, kw in zip(need.points, values, strict=True)
        if point in some and not np.all((kw > 0) & (kw < np.inf))
    )
    capacities = [np.broadcast_to(kw, len(need)) for kw in values]
    return np.asarray((helps * np.stack(capacities, axis=1)).sum(axis=1)) if capacities else np.zeros(0)


def _part(flow: PowerFlow, rows: slice) -> PowerFlow:
    """Return some periods of a balanced power flow."""
    whole = ("buses", "elements", "kinds", "unbalance_percent")
    values = {name: getattr(flow, name) for name in PowerFlow.__dataclass_fields__ if name not in whole}
    cut = {name: value[rows] for name, value in values.items() if value is not None}
    return PowerFlow(buses=flow.buses, elements=flow.elements, kinds=flow.kinds, **cut)


def _quantile_values(flows: PowerFlow, rows: Rows, quantiles: int) -> Floats:
    """Return the limited value of each row at each quantile."""
    periods = len(flows) // quantiles
    at = rows.period[:, None] + periods * np.arange(quantiles)
    column = rows.column[:, None]
    voltage = rows.is_voltage[:, None]
    loading = flows.loading_percent[at, np.where(voltage, 0, column)]
    return np.asarray(np.where(voltage, flows.vm_pu[at, np.where(voltage, column, 0)], loading))
