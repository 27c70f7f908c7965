"""Forecasts of many series at once: naive, seasonal, a blend of both, perfect.

A forecast issued at period t was made with the observations of the periods before t, and nothing else.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.study import ForecastName

Floats = NDArray[np.float64]

HOURS_PER_DAY = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Expected values of the periods ``[issued_at, issued_at + horizon)``, shape (series, horizon).

    Values have the unit of the observations; ``method`` names how they were made.
    """

    issued_at: int
    method: ForecastName
    values: Floats


def naive(history: Floats, *, horizon: int) -> Forecast:
    """Forecast by persistence: the last observed value stays.

    Parameters
    ----------
    history : observations of all periods before the issue time, shape (series, t)
    horizon : number of periods ahead

    With no observation at all (t = 0) the forecast is zero.

    >>> naive(np.array([[1.0, 2.0]]), horizon=3).values.tolist()
    [[2.0, 2.0, 2.0]]
    """
    rows, t = history.shape
    last = history[:, -1:] if t else np.zeros((rows, 1))
    return Forecast(issued_at=t, method="naive", values=np.repeat(last, horizon, axis=1))


def seasonal(history: Floats, *, horizon: int, season: int) -> Forecast:
    """Forecast each period by the latest observation at the same time of day.

    Parameters
    ----------
    history : observations of all periods before the issue time, shape (series, t)
    horizon : number of periods ahead
    season : periods in a day (`TimeAxis.periods_per_day`)

    In the first day, for times of day not yet seen, the last observation stays (as in `naive`); with no
    observation at all the forecast is zero.  The day is one of UTC, so that for one day after a clock change
    local habits are an hour off.

    >>> seasonal(np.array([[1.0, 2.0, 3.0]]), horizon=4, season=2).values.tolist()
    [[2.0, 3.0, 2.0, 3.0]]
    """
    rows, t = history.shape
    if not t:
        return Forecast(issued_at=0, method="seasonal", values=np.zeros((rows, horizon)))
    ahead = np.arange(horizon)
    same = t + ahead - season * (ahead // season + 1)
    if same[0] >= 0 and horizon <= season:
        values = history[:, same[0] : same[0] + horizon].copy()
    else:
        values = history[:, np.where(same >= 0, same, t - 1)]
    return Forecast(issued_at=t, method="seasonal", values=values)


def blended(history: Floats, *, horizon: int, season: int) -> Forecast:
    """Forecast by season, moved by the last error of it, which fades with a half-life of an hour.

    With s the seasonal forecast and e = observation - s in the last period before the issue time, period k
    ahead (from 0) is expected at ``s_k + e 2^(-(k + 1) / h)``, h periods an hour; where season and last
    observation are >= 0 the forecast is too.  A sunny hour or a running stove goes on for a while, the day's
    habit returns.  In the first day it is `seasonal`.

    Parameters
    ----------
    history : observations of all periods before the issue time, shape (series, t)
    horizon : number of periods ahead
    season : periods in a day (`TimeAxis.periods_per_day`)

    >>> day = np.zeros((1, 24))
    >>> history = np.concatenate([day, [[4.0]]], axis=1)
    >>> blended(history, horizon=3, season=24).values.tolist()
    [[2.0, 1.0, 0.5]]
    """
    base = seasonal(history, horizon=horizon, season=season).values
    t = history.shape[1]
    if t <= season:
        return Forecast(issued_at=t, method="blended", values=base)
    last = history[:, t - 1 : t]
    error = last - history[:, t - 1 - season : t - season]
    weight = 0.5 ** ((np.arange(horizon) + 1) * HOURS_PER_DAY / season)
    values = base + error * weight
    values = np.where((base >= 0.0) & (last >= 0.0), np.maximum(values, 0.0), values)
    return Forecast(issued_at=t, method="blended", values=values)


def perfect(series: Floats, *, t: int, horizon: int) -> Forecast:
    """Return what will happen: the benchmark that no forecast beats.

    >>> perfect(np.array([[1.0, 2.0, 3.0]]), t=1, horizon=2).values.tolist()
    [[2.0, 3.0]]
    """
    return Forecast(issued_at=t, method="perfect", values=series[:, t : t + horizon])


def forecast(series: Floats, *, method: ForecastName, t: int, horizon: int, season: int) -> Forecast:
    """Issue a forecast at period ``t`` by name; only "perfect" looks at ``series[:, t:]``.

    Parameters
    ----------
    series : observations of the whole study, shape (series, periods)
    method : "naive", "seasonal", "blended" or "perfect"
    t : issue time, first period of the forecast
    horizon : number of periods, ``t + horizon`` not beyond the study
    season : periods in a day

    Raises
    ------
    InputError : an unknown method, or a forecast beyond the study

    >>> forecast(np.array([[1.0, 2.0, 3.0]]), method="naive", t=1, horizon=2, season=96).values.tolist()
    [[1.0, 1.0]]
    """
    check_faults(_faults(series, method=method, t=t, horizon=horizon))
    if method == "perfect":
        return perfect(series, t=t, horizon=horizon)
    if method == "naive":
        return naive(series[:, :t], horizon=horizon)
    by_season = seasonal if method == "seasonal" else blended
    return by_season(series[:, :t], horizon=horizon, season=season)


def _faults(series: Floats, *, method: str, t: int, horizon: int) -> list[Fault]:
    faults = []
    if method not in get_args(ForecastName):
        fix = f"use one of {', '.join(get_args(ForecastName))}"
        faults.append(Fault(source="forecast", place="method", value=method, reason="is unknown", fix=fix))
    if t < 0 or horizon < 1 or t + horizon > series.shape[1]:
        reason, fix = "leaves the study", f"stay in [0, {series.shape[1]})"
        faults.append(
            Fault(source="forecast", place="t, horizon", value=(t, horizon), reason=reason, fix=fix)
        )
    return faults
