"""Quantiles around a forecast, from the errors that the same kind of forecast made before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.forecast.methods import Forecast

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QuantileForecast:
    """Quantiles of the periods ``[issued_at, issued_at + horizon)``.

    Parameters
    ----------
    issued_at : first period of the forecast
    levels : quantile levels, ascending, (quantiles,)
    values : unit of the observations, (quantiles, horizon, series)
    """

    issued_at: int
    levels: Floats
    values: Floats


def seasonal_errors(history: Floats, *, season: int) -> Floats:
    """Return the errors of "as the day before" over a history: observed minus forecast, (series, t - season).

    Parameters
    ----------
    history : observations of all periods before the issue time, (series, t)
    season : periods in a day

    >>> seasonal_errors(np.array([[1.0, 2.0, 4.0, 2.0]]), season=2).tolist()
    [[3.0, 0.0]]
    """
    return np.asarray(history[:, season:] - history[:, :-season])


def with_quantiles(
    point: Forecast, errors: Floats, *, levels: ArrayLike, season: int, together: bool = True
) -> QuantileForecast:
    """Return a forecast with quantiles: its values plus quantiles of past errors at the same time of day.

    Parameters
    ----------
    point : expected values, (series, horizon)
    errors : past errors, observed minus forecast, whose last period is the one before ``point.issued_at``,
        (series, past periods); at least one day
    levels : quantile levels, ascending, in (0, 1)
    season : periods in a day
    together : True: the sum of all series has its level, and each series what it is expected to have then,
        its error regressed on the sum's; what a grid needs, for homes do not peak all at once.  False: every
        series has its own level, whatever the others do

    Raises
    ------
    InputError
        When there is no day of errors, a value is not finite or the levels are not ascending in (0, 1).

    Notes
    -----
    Regression of a part on the sum: ``b_i = cov(e_i, e) / var(e)``, and the ``b_i`` sum to 1, so that the
    series' quantiles sum to the sum's.

    Examples
    --------
    >>> point = Forecast(issued_at=4, method="seasonal", values=np.array([[1.0], [1.0]]))
    >>> errors = np.array([[-1.0, 0.0, 1.0, 2.0], [1.0, 0.0, -1.0, 0.0]])
    >>> made = with_quantiles(point, errors, levels=[0.5, 0.9], season=1)
    >>> made.values.sum(axis=2).round(2).tolist()
    [[2.0], [3.4]]
    >>> alone = with_quantiles(point, errors, levels=[0.5, 0.9], season=1, together=False)
    >>> alone.values.sum(axis=2).round(2).tolist()
    [[2.5], [4.4]]
    """
    level = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    check_faults(_faults(errors, level, season))
    series, horizon = point.values.shape
    past = errors.shape[1]
    quantile = np.empty((len(level), series, season))
    total = errors.sum(axis=0, keepdims=True)
    share = _share_of_sum(errors, total)
    for phase in range(season):
        # Counted back from the issue time, so that phase 0 is its time of day.
        chosen = np.arange(past)[(np.arange(past) - past) % season == phase]
        if together:
            quantile[:, :, phase] = np.quantile(total[0, chosen], level)[:, None] * share
        else:
            quantile[:, :, phase] = np.quantile(errors[:, chosen], level, axis=1)
    values = point.values + quantile[:, :, np.arange(horizon) % season]
    return QuantileForecast(issued_at=point.issued_at, levels=level, values=values.transpose(0, 2, 1))


def _share_of_sum(errors: Floats, total: Floats) -> Floats:
    """Return the regression of each series' error on the sum's; equal shares where the sum never errs."""
    centred, of_sum = errors - errors.mean(axis=1, keepdims=True), total - total.mean()
    variance = float((of_sum**2).sum())
    if variance <= 0:
        return np.full(len(errors), 1 / max(len(errors), 1))
    return np.asarray((centred * of_sum).sum(axis=1) / variance)


def _faults(errors: Floats, level: Floats, season: int) -> list[Fault]:
    faults = []
    if errors.ndim != 2 or errors.shape[1] < season:
        fix = f"give (series, periods) with at least {season} periods"
        faults.append(_fault("errors", errors.shape, reason="hold less than a day", fix=fix))
    if not np.isfinite(errors).all():
        faults.append(
            _fault("errors", float("nan"), reason="hold a value that is no number", fix="fill or drop it")
        )
    if not len(level) or not ((level > 0) & (level < 1)).all() or not (np.diff(level) > 0).all():
        fix = "write levels between 0 and 1 in ascending order"
        faults.append(_fault("levels", level.tolist(), reason="are no quantile levels", fix=fix))
    return faults


def _fault(place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source="quantiles", place=place, value=value, reason=reason, fix=fix)
