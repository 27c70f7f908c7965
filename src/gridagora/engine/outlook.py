"""What homes expect at a gate.

Forecasts of load, production and heat, issued with what was measured before it.
"""

import numpy as np

from gridagora.agents import Outlook
from gridagora.forecast import forecast
from gridagora.model.columns import Floats
from gridagora.model.resources import Home
from gridagora.model.study import ForecastName
from gridagora.model.time import TimeAxis


class Expectation:
    """Forecasts for all homes of a study by one method.

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=8, mtu_s=21600)
    >>> home = Home(participant="a", bus="1", load_kw=np.arange(8.0), load_kvar=np.zeros(8))
    >>> Expectation((home,), axis, method="seasonal").outlook(4, 4, 3).load_kw.tolist()
    [[0.0, 1.0, 2.0]]
    """

    def __init__(self, homes: tuple[Home, ...], axis: TimeAxis, *, method: ForecastName) -> None:
        zero = np.zeros(axis.periods)
        self._method: ForecastName = method
        self._season = axis.periods_per_day
        self._load = np.array([home.load_kw for home in homes])
        self._pv = np.array([zero if home.pv_kw is None else home.pv_kw for home in homes])
        self._heat = np.array([home.heat_pump.heat_demand_kw if home.heat_pump else zero for home in homes])
        self._reactive = np.array([home.load_kvar for home in homes])

    def outlook(self, gate: int, first: int, horizon: int) -> Outlook:
        """Return what is expected at period ``gate`` for ``[first, first + horizon)``.

        Shapes (homes, horizon).
        """
        return Outlook(
            load_kw=self._issue(self._load, gate, first, horizon=horizon),
            pv_kw=self._issue(self._pv, gate, first, horizon=horizon),
            heat_kw=self._issue(self._heat, gate, first, horizon=horizon),
            future_stays=self._method == "perfect",
        )

    def reactive(self, gate: int, first: int, horizon: int) -> Floats:
        """Return the reactive power expected at ``gate``, kvar, shape (homes, horizon)."""
        return self._issue(self._reactive, gate, first, horizon=horizon)

    def _issue(self, series: Floats, gate: int, first: int, *, horizon: int) -> Floats:
        ahead = first - gate
        issued = forecast(series, method=self._method, t=gate, horizon=ahead + horizon, season=self._season)
        return issued.values[:, ahead:]
