"""What stays of needs, and whether it had to: with all that is offered, and if one hand ran all devices."""

from dataclasses import dataclass, replace

import numpy as np

from gridagora.agents.joint_dispatch import GridLimit, joint_dispatch
from gridagora.agents.offers import FlexibilityDay, connection_limits, schedule_under_limits
from gridagora.engine.flexibility.dso import GridOperator, NeedKey, UnmetNeed, keys_of
from gridagora.engine.flexibility.forecasts import FlexForecasts
from gridagora.grid import Need, PointForecast
from gridagora.model.columns import Floats

ROUNDS = 8
"""How often limits of the grid are put into the joint program anew, at the dispatch that it found."""
PROVEN_KW = 0.1
"""From here on what joint dispatch leaves is more than the distance of its straight lines from the truth."""
CLOSE_KW = 0.05
"""By how much the joint program and the power flow of its dispatch may differ in the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Joint:
    """What joint dispatch leaves in a window of periods: the needs of its power flow."""

    first: int
    count: int
    left: Need


class Proofs:
    """The needs of a study that stay, and what joint dispatch of all homes would leave of them at least.

    Parameters
    ----------
    operator, forecasts : find needs
    connection_kw : connection capacity of each home in the product's direction, kW, (homes,)
    """

    def __init__(self, operator: GridOperator, forecasts: FlexForecasts, connection_kw: Floats) -> None:
        self._operator, self._forecasts, self._connection = operator, forecasts, connection_kw
        self._joint: _Joint | None = None
        self.unmet: dict[NeedKey, UnmetNeed] = {}

    def forget(self, period: int) -> None:
        """Drop what was kept of a period."""
        for key in [key for key in self.unmet if key[2] == period]:
            del self.unmet[key]

    def keep(
        self, day: FlexibilityDay, seen: PointForecast, need: Need, *, first: int, lowest_kw: Floats
    ) -> None:
        """Keep the one need if it stays with all that is offered.

        Parameters
        ----------
        day : what homes know
        seen : forecast that the need was found on; its first period is ``first`` of the study
        lowest_kw : lowest limit of each home with all that it has sold and offers, kW, (homes,)
        """
        found = self._operator.proof(
            need, first=first, connection_kw=self._connection, lowest_kw=lowest_kw, plan=seen
        )
        if found is None:
            return
        if self._joint is None or not 0 <= found.period - self._joint.first < self._joint.count:
            count = seen.import_kw.shape[1]
            self._joint = _Joint(first=first, count=count, left=self._least(day, first, count))
        left, key = self._joint.left, (found.element, found.kind, found.period)
        rows = [row for row, other in enumerate(keys_of(left, first=self._joint.first)) if other == key]
        least = float(_lacking_kw(left)[rows[0]]) if rows else 0.0
        self.unmet[key] = replace(
            found,
            least_kw=least if least > PROVEN_KW else 0.0,
            least_value=_value_of(left, found, first=self._joint.first),
        )

    def _least(self, day: FlexibilityDay, first: int, count: int) -> Need:
        """Return what joint dispatch leaves; limits are straight lines at it, drawn anew until they hold."""
        cut, limits = slice(first - day.t, first - day.t + count), connection_limits(day)
        net = schedule_under_limits(day).net_kw[:, cut]
        seen = self._forecasts.at_meters(
            day.t, first, net_kw=net, import_kw=limits.import_kw[:, cut], export_kw=limits.export_kw[:, cut]
        )
        beyond = self._operator.planned(seen) - net.T
        rows: dict[NeedKey, GridLimit] = {}
        over: dict[NeedKey, float] = {}
        for _ in range(ROUNDS):
            left = self._operator.overloads(self._operator.certain(seen, net.T + beyond))
            keys, lacking = keys_of(left, first=first - day.t), _lacking_kw(left)
            wrong = [row for row, key in enumerate(keys) if lacking[row] - over.get(key, 0.0) > CLOSE_KW]
            if not wrong:
                break
            rows |= {
                keys[row]: self._limit(left, row, net=net, lacking_kw=float(lacking[row]), place=keys[row][2])
                for row in wrong
            }
            found = joint_dispatch(day, list(rows.values()), self._operator.direction)
            over = dict(zip(rows, found.over_kw.tolist(), strict=True))
            net = found.net_kw[:, cut]
        return self._operator.overloads(self._operator.certain(seen, net.T + beyond))

    def _limit(self, left: Need, row: int, *, net: Floats, lacking_kw: float, place: int) -> GridLimit:
        """Return the limit that a need is, as a straight line at a dispatch."""
        taken = left.effect[row] * net[:, left.period[row]]
        sign = 1.0 if self._operator.direction == "cap" else -1.0
        return GridLimit(
            period=place, effect=left.effect[row], most_kw=sign * float(taken.sum()) - lacking_kw
        )


def _lacking_kw(need: Need) -> Floats:
    """Return the cut at the element that would cure each need, even where homes do not have as much, kW."""
    rest = np.where(need.curable, 0.0, np.abs(need.after - need.limit) / need.per_kw)
    return np.asarray(need.kw + rest)


def _value_of(left: Need, unmet: UnmetNeed, *, first: int) -> float:
    """Return the value of an unmet need's element in the power flow of another state, percent."""
    flow, period = left.flow, unmet.period - first
    if unmet.kind.endswith("loading"):
        return float(flow.loading_percent[period, flow.elements.index(unmet.element)])
    volts = flow.vm_min_pu if unmet.kind == "voltage_low" else flow.vm_max_pu
    return 100.0 * float(volts[period, flow.buses.index(unmet.element)])
