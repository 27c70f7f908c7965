"""What homes and the grid operator expect of coming periods, and how far that may be off.

With the forecast method "perfect" the truth is blurred by errors that are drawn with the seed and shrink as
delivery nears; an error of 0 leaves the truth.  With any other method the method's own errors count.
"""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from gridagora.agents import Outlook
from gridagora.engine.outlook import Expectation
from gridagora.forecast import Forecast, seasonal_errors, with_quantiles
from gridagora.grid import PointForecast
from gridagora.model.columns import Floats
from gridagora.model.flexibility_study import FlexRules
from gridagora.model.study import Study

DAY_H = 24.0
"""Lead at which a forecast error has its full size."""
PERSISTENCE = 0.9
"""Correlation of a home's errors of two hours that follow each other."""
LEVELS = (0.1, 0.5, 0.9)
"""Quantiles of every forecast; the planning level comes beside them."""


def error_paths(
    homes: int, periods: int, *, hours: float, seed: int, persistence: float = PERSISTENCE
) -> Floats:
    """Return standard normal errors of each home that hang together in time, shape (homes, periods).

    Parameters
    ----------
    homes, periods : how many
    hours : length of a period, h
    seed : of the draw
    persistence : correlation of errors an hour apart, 0 to below 1

    Notes
    -----
    AR(1): ``e_t = r e_(t-1) + sqrt(1 - r^2) z_t`` with ``r = persistence^hours`` and ``e_0 = z_0``, so that
    every ``e_t`` has mean 0 and variance 1; homes are independent of each other.

    Examples
    --------
    >>> paths = error_paths(2, 5000, hours=1.0, seed=1)
    >>> bool(abs(paths.std() - 1) < 0.1), round(float(np.corrcoef(paths[0, 1:], paths[0, :-1])[0, 1]), 1)
    (True, 0.9)
    """
    drawn = np.random.default_rng(seed).standard_normal((homes, periods))
    kept = persistence**hours
    for period in range(1, periods):
        drawn[:, period] = kept * drawn[:, period - 1] + np.sqrt(1.0 - kept**2) * drawn[:, period]
    return np.asarray(drawn)


def error_share(lead_h: ArrayLike, *, error: float, day_h: float = DAY_H) -> Floats:
    """Return how far a forecast is off, a share of the load: ``error sqrt(min(lead, day) / day)``.

    Parameters
    ----------
    lead_h : from the forecast to the period, h; 0 in the running period, which is known
    error : standard deviation a day ahead, share of the load
    day_h : lead from which it does not grow

    Examples
    --------
    >>> error_share(np.array([0.0, 6.0, 24.0, 30.0]), error=0.04).tolist()
    [0.0, 0.02, 0.04, 0.04]
    """
    return np.asarray(error * np.sqrt(np.clip(np.asarray(lead_h, np.float64), 0.0, day_h) / day_h))


class FlexForecasts:
    """Forecasts of all homes of a study: what they plan with, and its quantiles at the meters.

    Parameters
    ----------
    study, rules : the study and its flexibility market
    """

    def __init__(self, study: Study, rules: FlexRules) -> None:
        homes, axis = study.homes, study.axis
        self._expectation = Expectation(homes, axis, method=study.agents.forecast)
        self._perfect = study.agents.forecast == "perfect"
        self._error = rules.forecast_error if self._perfect else 0.0
        self._hours, self._season = axis.hours, axis.periods_per_day
        self._load = np.array([home.load_kw for home in homes]).reshape(len(homes), axis.periods)
        pv = [np.zeros(axis.periods) if home.pv_kw is None else home.pv_kw for home in homes]
        self._pv = np.array(pv).reshape(len(homes), axis.periods)
        heat = [np.zeros(axis.periods) if h.heat_pump is None else h.heat_pump.heat_demand_kw for h in homes]
        self._heat = np.array(heat).reshape(len(homes), axis.periods)
        self._paths = error_paths(len(homes), axis.periods, hours=axis.hours, seed=study.seed)
        self._bus = {home.participant: home.bus for home in homes}
        self.levels = np.array(sorted({*LEVELS, rules.planning_level}))
        # every offer of a gate asks for it, and it reads all that was measured
        self._spread = lru_cache(maxsize=1)(lambda gate: self._past(gate).std(axis=1))

    def outlook(self, gate: int, first: int, horizon: int, *, running: bool = False) -> Outlook:
        """Return what is expected at the start of period ``gate`` for ``[first, first + horizon)``.

        ``running``: the first period has begun, so it is known as it is.
        """
        known = self._expectation.outlook(gate, first, horizon)
        load = known.load_kw * (
            1.0 + self._shares(gate, first, horizon) * self._paths[:, first : first + horizon]
        )
        load, pv, heat = np.maximum(load, 0.0), known.pv_kw.copy(), known.heat_kw.copy()
        if running:
            for rows, truth in ((load, self._load), (pv, self._pv), (heat, self._heat)):
                rows[:, 0] = truth[:, first]
        return Outlook(load_kw=load, pv_kw=pv, heat_kw=heat, future_stays=known.future_stays)

    def reactive(self, gate: int, first: int, horizon: int) -> Floats:
        """Return the reactive power expected at ``gate``, kvar, shape (homes, horizon)."""
        return self._expectation.reactive(gate, first, horizon)

    def at_meters(
        self, gate: int, first: int, *, net_kw: Floats, import_kw: Floats, export_kw: Floats
    ) -> PointForecast:
        """Return quantiles of net import around plans, the sum of all homes having its level.

        Parameters
        ----------
        gate : period at whose start the forecast is made
        first : first period
        net_kw : net import that homes plan, kW, (homes, periods)
        import_kw, export_kw : limits at the meters, kW, same shape: no error leads beyond them, for a battery
            makes up for it, but where a plan is beyond its limit already
        """
        horizon = net_kw.shape[1]
        moved = net_kw + self._deviations(gate, first, horizon)
        moved = np.clip(moved, np.minimum(-export_kw, net_kw), np.maximum(import_kw, net_kw))
        kvar = self.reactive(gate, first, horizon).T
        return PointForecast.of_levels(
            self._bus,
            levels=self.levels,
            import_kw=moved.transpose(0, 2, 1),
            import_kvar=np.broadcast_to(kvar, (len(self.levels), *kvar.shape)),
            hours=self._hours,
        )

    def error_kw(self, gate: int, period: int) -> Floats:
        """Return how far each home's net import in a period may be off as seen at ``gate``, kW, (homes,).

        A standard deviation: of the drawn errors, or of those of "as the day before" made up to ``gate``.
        """
        lead = (period - gate) * self._hours
        if self._perfect:
            return np.asarray(self._load[:, period] * error_share(lead, error=self._error))
        if gate < 2 * self._season:
            return np.zeros(len(self._load))
        return np.asarray(self._spread(gate) * error_share(lead, error=1.0))

    def _shares(self, gate: int, first: int, horizon: int) -> Floats:
        lead = (np.arange(first, first + horizon) - gate) * self._hours
        return error_share(lead, error=self._error)

    def _deviations(self, gate: int, first: int, horizon: int) -> Floats:
        """Return what each home is off by where the sum of all is at its level, (levels, homes, horizon)."""
        if not self._perfect:
            return self._past_errors(gate, first, horizon)
        expected = self.outlook(gate, first, horizon).load_kw
        variance = (expected * self._shares(gate, first, horizon)) ** 2
        total = np.sqrt(variance.sum(axis=0))
        part = np.divide(variance, total, out=np.zeros_like(variance), where=total > 0)
        scores = np.array([NormalDist().inv_cdf(level) for level in self.levels.tolist()])
        return np.asarray(scores[:, None, None] * part)

    def _past(self, gate: int) -> Floats:
        """Return the errors of "as the day before" that were made up to ``gate``, kW, (homes, periods)."""
        return seasonal_errors((self._load - self._pv)[:, :gate], season=self._season)

    def _past_errors(self, gate: int, first: int, horizon: int) -> Floats:
        """Return quantiles of the errors of "as the day before", smaller the nearer delivery is.

        In the first two days there are none yet: the forecast is then taken as certain.
        """
        shape = (len(self.levels), len(self._load), horizon)
        if gate < 2 * self._season:
            return np.zeros(shape)
        ahead = first - gate
        nothing = Forecast(issued_at=gate, method="seasonal", values=np.zeros((shape[1], ahead + horizon)))
        made = with_quantiles(nothing, self._past(gate), levels=self.levels, season=self._season)
        lead = (np.arange(first, first + horizon) - gate) * self._hours
        return np.asarray(made.values[:, ahead:].transpose(0, 2, 1) * error_share(lead, error=1.0))
