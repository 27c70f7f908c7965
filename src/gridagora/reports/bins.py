"""Time bins of a report: a week is shown period by period, a year by days, with the rule stated.

One path for both: a short run has one period in each bin, so every rule (highest, lowest, sum, mean) is the
value.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

MAX_POINTS = 2_100
"""Points a time chart draws: three weeks of 15-min periods, one week of 5-min periods."""

LABEL = "%Y-%m-%d %H:%M"
Floats = NDArray[np.float64]
Rule = Literal["max", "min", "sum", "mean"]


def local_times(starts: ArrayLike, timezone: str) -> "pd.DatetimeIndex":
    """Return naive UTC starts as local times of an IANA time zone.

    >>> local_times(np.array(["2016-06-01T00:00"], "datetime64[s]"), "Europe/Berlin")[0].isoformat()
    '2016-06-01T02:00:00+02:00'
    """
    import pandas as pd

    return pd.DatetimeIndex(np.asarray(starts, dtype="datetime64[s]"), tz="UTC").tz_convert(timezone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bins:
    """Periods gathered for drawing.

    ``labels`` is the local wall time at which each bin starts, ``index`` the bin of each period, ``unit``
    what a bin
    is ("period", "hour" or "day"), ``hours`` the length of one period.
    """

    labels: list[str]
    index: NDArray[np.int64]
    unit: Literal["period", "hour", "day"]
    hours: float
    folded: bool

    def gather(self, values: ArrayLike, rule: Rule) -> Floats:
        """Return one value per bin by a rule; NaN periods are left out, a bin of NaN only is NaN.

        >>> starts = np.array(["2016-06-01T00:00", "2016-06-01T00:30"], "datetime64[s]")
        >>> bins = make_bins(starts, timezone="UTC", most=1)
        >>> bins.gather([1.0, 3.0], "max").tolist()
        [3.0]
        """
        import pandas as pd

        series = pd.Series(np.asarray(values, dtype=np.float64))
        if self.unit == "period":
            return np.asarray(series, dtype=np.float64)
        groups = series.groupby(self.index)
        found = groups.sum(min_count=1) if rule == "sum" else groups.agg(rule)
        return np.asarray(found.reindex(range(len(self.labels))), dtype=np.float64)

    def where(self, values: ArrayLike, names: ArrayLike, rule: Literal["max", "min"]) -> list[str]:
        """Return the name beside the highest or lowest value of each bin, "" where all are NaN."""
        import pandas as pd

        series = pd.Series(np.asarray(values, dtype=np.float64))
        labels = np.asarray(names, dtype=object)
        found = [""] * len(self.labels)
        valid = series[series.notna()]
        groups = valid.groupby(self.index[valid.index.to_numpy()])
        for number, row in (groups.idxmax() if rule == "max" else groups.idxmin()).items():
            found[int(str(number))] = str(labels[row])
        return found


def make_bins(starts: ArrayLike, *, timezone: str, most: int = MAX_POINTS) -> Bins:
    """Gather periods so that a chart draws about ``most`` points: periods, else hours, else local days.

    Parameters
    ----------
    starts : start of each period, naive UTC, ascending
    timezone : IANA name; days are local days
    most : highest number of points for periods or hours

    Examples
    --------
    >>> starts = np.datetime64("2016-01-01T00:00:00") + np.arange(8784) * np.timedelta64(3600, "s")
    >>> bins = make_bins(starts, timezone="Europe/Berlin")
    >>> bins.unit, len(bins.labels), bins.labels[0]
    ('day', 367, '2016-01-01 00:00')
    """
    import pandas as pd

    utc = np.asarray(starts, dtype="datetime64[s]")
    local = local_times(utc, timezone)
    hours = float(np.min(np.diff(utc)).astype(np.int64)) / 3600 if len(utc) > 1 else 0.25
    walls = local.tz_localize(None)
    folded = bool(walls.has_duplicates)
    if len(utc) <= most:
        labels = list(walls.strftime(LABEL))
        return Bins(labels=labels, index=np.arange(len(utc)), unit="period", hours=hours, folded=folded)
    if len(utc) * hours <= most and hours < 1:
        codes, keys = pd.factorize(local.tz_convert("UTC").floor("h"))
        labels = list(pd.DatetimeIndex(keys).tz_convert(timezone).strftime(LABEL))
        return Bins(labels=labels, index=codes.astype(np.int64), unit="hour", hours=hours, folded=folded)
    codes, keys = pd.factorize(walls.normalize())
    labels = list(pd.DatetimeIndex(keys).strftime(LABEL))
    return Bins(labels=labels, index=codes.astype(np.int64), unit="day", hours=hours, folded=False)


def duration_curve(values: ArrayLike, points: int = 400) -> list[tuple[float, float]]:
    """Return (percent of time, value that is reached or exceeded that long), highest first, NaN left out.

    The first point is the highest value and the last the lowest; between them every k-th sorted value is
    kept.

    >>> duration_curve([1.0, 3.0, float("nan"), 2.0])
    [(0.0, 3.0), (50.0, 2.0), (100.0, 1.0)]
    """
    found = np.asarray(values, dtype=np.float64)
    found = np.sort(found[~np.isnan(found)])[::-1]
    if not found.size:
        return []
    keep = np.unique(np.linspace(0, found.size - 1, min(points, found.size)).round().astype(np.int64))
    share = 100.0 * keep / max(found.size - 1, 1)
    return list(zip(share.tolist(), found[keep].tolist(), strict=True))


def plain(values: Any, digits: int = 4) -> list[float | None]:
    """Return floats rounded for the page, NaN and infinities as None (JSON knows neither).

    >>> plain([1.23456, float("nan")])
    [1.2346, None]
    """
    rounded = np.round(np.asarray(values, dtype=np.float64), digits)
    return [value if ok else None for value, ok in zip(rounded.tolist(), np.isfinite(rounded), strict=True)]
