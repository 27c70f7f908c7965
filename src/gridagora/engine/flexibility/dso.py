"""The grid operator: finds what it needs on the plans of homes, bids for it, and proves what none can cure.

Ways to bid (`gridagora.model.flexibility_study.DemandName`): "impact" and "probability" bid once for what
the forecast shows, as seed 003 does.  "rebound_aware" plans a margin below the threshold and bids in the
order that `gridagora.engine.flexibility.trading` tells.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from gridagora.engine.flexibility.operate import LimitBook
from gridagora.engine.flexibility.sellers import flexible_kw
from gridagora.grid import (
    DsoCosts,
    GridModel,
    Need,
    NeedRules,
    PointForecast,
    demand_curve,
    find_need,
    limit_quantity,
)
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility_study import DemandName, FlexRules
from gridagora.model.study import Study

SOLD_OUT_KW = 1e-9
"""Capacity of a home that has sold all of it: a demand curve wants capacities above 0."""
LEAST_KW = 1e-3
"""Below this a quantity is none."""
VOLTAGE_MARGIN = 0.001
"""Per unit of voltage that goes with a margin of one percentage point of loading."""
NARROW, WIDE = 0.5, 0.05
"""Least effect of homes that are asked for a cut at first, and of those asked when these have no more."""
LEAST_MARGIN = 0.01
"""Percentage points below the threshold that everyone plans for: meters count whole watt-hours."""
DAYS_PER_YEAR = 365.0

NeedKey = tuple[str, str, int]
"""Element, kind of its limit, period of the study."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnmetNeed:
    """A need that stays although all that is offered is taken: the proof by the grid model.

    ``needed_kw`` and ``offered_kw`` count from the connection capacities of the helping homes; ``value`` is
    the loading in percent (voltages: percent of the nominal one) with all that was offered, by power flow.
    ``least_kw`` is what somebody who ran all devices of all homes, so that the overloads of the day together
    are least, would leave at the element, kW, and ``least_value`` its value then, by power flow: above 0 the
    flexibility at hand is not enough for all needs, at 0 the market left something.
    """

    period: int
    element: str
    kind: str
    needed_kw: float
    offered_kw: float
    value: float
    least_kw: float = 0.0
    least_value: float = 0.0


def dso_costs(rules: FlexRules) -> DsoCosts:
    """Return the operator's costs as the grid's value functions take them."""
    return DsoCosts(**{field.name: getattr(rules.costs, field.name) for field in fields(rules.costs)})


class GridOperator:
    """The grid operator of a study.

    Parameters
    ----------
    grid : its grid
    study, rules : the study and its flexibility market
    way : how it bids
    """

    def __init__(self, grid: GridModel, study: Study, rules: FlexRules, *, way: DemandName) -> None:
        self._grid, self._rules, self._limits = grid, rules, study.limits
        self._way, self._costs = way, dso_costs(rules)
        self._points = tuple(home.participant for home in study.homes)
        self._sellers = tuple(home.participant for home in study.homes if not home.passive)
        self._margin = max(rules.margin_percent if way == "rebound_aware" else 0.0, LEAST_MARGIN)
        self._yearly_kw: dict[str, float] = {}
        direction = rules.product.direction
        self.holds = np.array(
            [not home.passive and flexible_kw(home, direction) > LEAST_KW for home in study.homes]
        )
        """Homes that can do more than they plan, (homes,)."""
        self.direction = rules.product.direction

    @property
    def goes_on(self) -> bool:
        """Whether it bids again for what it sees after an auction, and at gate closure."""
        return self._way == "rebound_aware"

    @property
    def ordered(self) -> bool:
        """Whether its steps are taken in their order."""
        return self._way == "probability"

    def needs(self, forecast: PointForecast, *, wide: bool = False) -> Need:
        """Return what it wants cured, as it plans: down to its margin.

        What is less than half a margin above its plan is left as it is.  ``wide``: homes with little effect
        may help too.
        """
        need = self._find(forecast, self._margin, least_effect=WIDE if wide else NARROW)
        voltage = np.char.startswith(need.kind, "voltage")
        enough = np.where(voltage, VOLTAGE_MARGIN, 1.0) * self._margin / 2
        return need.take(np.flatnonzero(np.abs(need.value - need.limit) >= enough))

    def pressed(self, forecast: PointForecast) -> Need:
        """Return what it wants to rule out where homes do all they can: down to its margin."""
        names = tuple(point for point, holds in zip(self._points, self.holds, strict=True) if holds)
        return self._find(forecast, self._margin, least_effect=WIDE, sellers=names)

    def planned(self, forecast: PointForecast) -> Floats:
        """Return the net import that it plans for, kW, (periods, homes)."""
        return np.asarray(forecast.import_kw[self._level(forecast)])

    def certain(
        self, forecast: PointForecast, import_kw: Floats, *, periods: Ints | None = None
    ) -> PointForecast:
        """Return a forecast in which net import, kW, (periods, homes), is known; the rest as planned for.

        ``periods``: those of the forecast that it is of; None: all.
        """
        level = self._level(forecast)
        kvar = forecast.import_kvar[level]
        return PointForecast.of_levels(
            forecast.bus_of_point,
            levels=forecast.levels[level],
            import_kw=import_kw[None],
            import_kvar=(kvar if periods is None else kvar[periods])[None],
            hours=forecast.hours,
        )

    def _level(self, forecast: PointForecast) -> int:
        return int(np.abs(forecast.levels - self._rules.planning_level).argmin())

    def overloads(self, forecast: PointForecast) -> Need:
        """Return what goes beyond the threshold itself."""
        return self._find(forecast, 0.0, least_effect=WIDE)

    def _find(
        self,
        forecast: PointForecast,
        margin: float,
        *,
        least_effect: float,
        sellers: tuple[str, ...] | None = None,
    ) -> Need:
        rules = NeedRules(
            threshold_percent=self._rules.threshold_percent - margin,
            vm_min_pu=self._limits.vm_min_pu + VOLTAGE_MARGIN * margin,
            vm_max_pu=self._limits.vm_max_pu - VOLTAGE_MARGIN * margin,
            planning_level=self._rules.planning_level,
            least_effect=least_effect,
            sellers=self._sellers if sellers is None else sellers,
        )
        need = find_need(self._grid, forecast, rules)
        return need.take(np.flatnonzero(need.product == self.direction))

    def free_demand(self, period: int, kw: float) -> Bids:
        """Return a bid for what costs nothing."""
        return Bids(
            side=np.ones(1, np.int8),
            price=np.zeros(1),
            quantity=np.array([kw]),
            participant=np.array([self._rules.buyer]),
            period=np.array([period]),
            group=np.array([""]),
            step=np.zeros(1, np.int64),
        )

    def helpers(self, need: Need) -> tuple[str, ...]:
        """Return the homes that help any of the needs."""
        return tuple(need.points[point] for point in np.flatnonzero((need.effect > 0).any(axis=0)).tolist())

    def open_needs(self, need: Need, book: LimitBook, *, first: int) -> Need:
        """Return the needs that the limits in force do not rule out already."""
        left = self._left_kw(need, book, first=first)
        return need.take(np.flatnonzero((left > need.wanted_kw + LEAST_KW) & (left > LEAST_KW)))

    def scarcest(self, need: Need) -> Need:
        """Return the needs of one element and kind in the order of time.

        It is the one that the fewest homes can cure, of several such the one that needs most: what those
        homes have is not to be sold for a need that others could cure.
        """
        names = np.char.add(np.char.add(need.element, "\n"), need.kind)
        _, index = np.unique(names, return_inverse=True)
        total = np.bincount(index, need.meter_kw)
        helping = np.array([(need.effect[index == k] > 0).any(axis=0).sum() for k in range(len(total))])
        rows = np.flatnonzero(index == int(np.lexsort((-total, helping))[0]))
        return need.take(rows[np.argsort(need.period[rows], kind="stable")])

    def smallest_first(self, need: Need) -> Need:
        """Return needs so that those of the period with the least cut come first.

        Of a period those come first that the fewest homes can cure.
        """
        largest = np.zeros(int(need.period.max(initial=-1)) + 1)
        np.maximum.at(largest, need.period, need.meter_kw)
        return need.take(np.lexsort((_helping(need), need.period, largest[need.period])))

    def dearest_first(self, need: Need, book: LimitBook, *, first: int) -> Need:
        """Return needs so that those whose cure is worth most come first, of equal ones the larger."""
        worth = np.zeros(len(need))
        for row in range(len(need)):
            demand = self.demand(need.take(np.array([row])), book, first=first)
            worth[row] = demand.price.max(initial=0.0)
        return need.take(np.lexsort((need.period, -need.meter_kw, -worth)))

    def hardest_of_periods(self, need: Need) -> Need:
        """Return one need of each period: of those that the fewest homes can cure the largest."""
        order = np.lexsort((-need.meter_kw, _helping(need), need.period))
        _, places = np.unique(need.period[order], return_index=True)
        return need.take(order[places])

    def demand(self, need: Need, book: LimitBook, *, first: int) -> Bids:
        """Return bids for needs of one element whose periods count from ``first``; one set per period.

        Reinforcement is spread over the kW and periods of a year like the neediest day that the element had
        so far, where the costs do not tell them.
        """
        capacity = {
            name: np.maximum(book.of(self.direction)[row, need.period + first], SOLD_OUT_KW)
            for row, name in enumerate(self._points)
        }
        return demand_curve(
            need,
            capacity_kw=capacity,
            costs=self._costs_of(need),
            basis="probability" if self.ordered else "impact",
            participant=self._rules.buyer,
            first_period=first,
            price_cap=self._rules.price_cap,
        )

    def _costs_of(self, need: Need) -> DsoCosts:
        if self._costs.kw_periods_per_year is not None:
            return self._costs
        element = str(need.element[0])
        known = float(need.meter_kw[need.reason == "forecast"].sum()) * DAYS_PER_YEAR
        self._yearly_kw[element] = yearly = max(self._yearly_kw.get(element, 0.0), known)
        return replace(self._costs, kw_periods_per_year=yearly) if yearly > 0 else self._costs

    def proof(
        self, need: Need, *, first: int, connection_kw: Floats, lowest_kw: Floats, plan: PointForecast
    ) -> UnmetNeed | None:
        """Return the proof that the one need stays with all offers taken; None if they cure it.

        Parameters
        ----------
        need : one row
        first : period of the study that the forecast begins with
        connection_kw, lowest_kw : connection capacity of each home, and its lowest limit with all that it
            has sold and offers, kW, (homes,)
        plan : forecast that the need was found on
        """
        helps, period = need.effect[0] > 0, int(need.period[0])
        sign = 1.0 if self.direction == "cap" else -1.0
        kept = self.planned(plan).copy()
        net = kept[period]
        kept[period] = np.where(helps, sign * np.minimum(sign * net, lowest_kw), net)
        left = self.overloads(self.certain(plan, kept))
        same = np.flatnonzero(
            (left.period == period) & (left.element == need.element[0]) & (left.kind == need.kind[0])
        )
        if not same.size:
            return None
        voltage = "voltage" in str(need.kind[0])
        return UnmetNeed(
            period=period + first,
            element=str(need.element[0]),
            kind=str(need.kind[0]),
            needed_kw=float(limit_quantity(connection_kw[helps], need.wanted_kw[0])),
            offered_kw=float((connection_kw - lowest_kw)[helps].sum()),
            value=float(left.value[same[0]]) * (100.0 if voltage else 1.0),
        )

    def _left_kw(self, need: Need, book: LimitBook, *, first: int) -> Floats:
        """Return the sum of the helping homes' limits in force, kW, (rows,)."""
        limits = book.of(self.direction)[:, need.period + first].T
        return np.asarray(np.where(need.effect > 0, limits, 0.0).sum(axis=1))


def _helping(need: Need) -> Ints:
    """Return how many homes help each need."""
    return np.asarray((need.effect > 0).sum(axis=1), np.int64)


def keys_of(need: Need, *, first: int) -> list[NeedKey]:
    """Return element, kind and period of the study of each need."""
    periods: Ints = need.period + first
    return list(zip(need.element.tolist(), need.kind.tolist(), periods.tolist(), strict=True))
