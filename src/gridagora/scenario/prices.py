"""Prices outside the local market: from a tariff's number, windows or series to one price per period."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults, require
from gridagora.model.study import Tariffs
from gridagora.model.time import SECONDS_PER_DAY, TimeAxis
from gridagora.scenario.clock import LocalClock, local_clock
from gridagora.scenario.spec import PriceSpec, ScenarioSpec, SeriesSpec, WindowSpec
from gridagora.scenario.values import MINUTES_PER_DAY, clock_text

Floats = NDArray[np.float64]
SeriesReader = Callable[[SeriesSpec, str], Floats]
NOTHING: Mapping[str, Floats] = MappingProxyType({})

LARGEST_PRICE = 1e6
"""Currency per kWh from which on a price can only be a slip."""

_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def scenario_tariffs(
    spec: ScenarioSpec,
    axis: TimeAxis,
    read_series: SeriesReader,
    *,
    faults: list[Fault],
    sent: Mapping[str, Floats] = NOTHING,
) -> Tariffs:
    """Return the tariffs of a scenario, one price per period; faults are added to the list.

    Parameters
    ----------
    spec : the scenario
    axis : periods of the study
    read_series : reads a price series for the axis; gets the series and its key for faults
    faults : list that faults are added to
    sent : prices by column that go before those of the scenario, NaN where there are none
    """
    clock = local_clock(axis)

    def per_period(price: PriceSpec, key: str) -> Floats:
        if isinstance(price, SeriesSpec):
            return read_series(price, key)
        if isinstance(price, tuple):
            found = _window_faults(price, clock, axis, key=key, source=spec.origin)
            faults.extend(found)
            return np.zeros(axis.periods) if found else window_prices(price, clock)
        return np.full(axis.periods, float(price))

    def prices(price: PriceSpec, key: str) -> Floats:
        found = sent_over(per_period(price, key), key.removeprefix("tariffs.").replace(".", "_"))
        faults.extend(_size_faults(found, key=key, source=spec.origin))
        return found

    def sent_over(found: Floats, name: str) -> Floats:
        return np.where(np.isnan(sent[name]), found, sent[name]) if name in sent else found

    tariffs, imbalance = spec.tariffs, spec.tariffs.imbalance
    retail, feed_in = prices(tariffs.retail, "tariffs.retail"), prices(tariffs.feed_in, "tariffs.feed_in")
    short, long = imbalance.short, imbalance.long
    return Tariffs(
        retail=retail,
        feed_in=feed_in,
        network=prices(tariffs.network, "tariffs.network"),
        taxes=prices(tariffs.taxes, "tariffs.taxes"),
        imbalance_netted=imbalance.netted,
        imbalance_short=sent_over(retail + imbalance.spread, "imbalance_short")
        if short is None
        else prices(short, "tariffs.imbalance.short"),
        imbalance_long=sent_over(feed_in - imbalance.spread, "imbalance_long")
        if long is None
        else prices(long, "tariffs.imbalance.long"),
        local_network_share=tariffs.local_network_share,
        standing_per_day=tariffs.standing_per_day,
        currency=tariffs.currency,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceFile:
    """All prices of a file, currency per kWh, one for each ``mtu_s`` seconds from ``start`` on, UTC."""

    start: int
    mtu_s: int
    prices: Floats

    @property
    def end(self) -> int:
        """Moment at which the last price ends."""
        return self.start + len(self.prices) * self.mtu_s

    def on(self, axis: TimeAxis) -> Floats:
        """Return the prices of an axis: what lies beyond the file has the prices of its nearest day.

        >>> file = PriceFile(start=0, mtu_s=43_200, prices=np.array([1.0, 2.0, 3.0, 4.0]))
        >>> file.on(TimeAxis(start=np.datetime64("1970-01-02T12"), periods=4, mtu_s=43_200)).tolist()
        [4.0, 3.0, 4.0, 3.0]
        """
        count = len(self.prices)
        day = min(count, SECONDS_PER_DAY // self.mtu_s)
        place = (axis.starts.astype("datetime64[s]").astype(np.int64) - self.start) // self.mtu_s
        place = np.where(place < count, place, count - day + (place - count) % day)
        return np.asarray(self.prices[np.where(place < 0, place % day, place)], dtype=np.float64)


def without_price_files(spec: ScenarioSpec) -> ScenarioSpec:
    """Return a scenario with prices of 0 in the place of those out of files.

    >>> spec = ScenarioSpec(grid="cigre-lv", tariffs={"retail": 0.3})
    >>> without_price_files(spec).tariffs.retail
    0.3
    """
    tariffs = spec.tariffs
    flat = {name: 0.0 for name, price in tariffs if isinstance(price, SeriesSpec)}
    imbalance = {name: 0.0 for name, price in tariffs.imbalance if isinstance(price, SeriesSpec)}
    changed = {**flat, "imbalance": tariffs.imbalance.model_copy(update=imbalance)}
    return spec.model_copy(update={"tariffs": tariffs.model_copy(update=changed)})


class LastingTariffs:
    """The tariffs of a scenario for the periods of any axis: for a market that goes on and on.

    Parameters
    ----------
    spec : the scenario
    read_file : returns all prices of a file

    Examples
    --------
    >>> tariffs = LastingTariffs(ScenarioSpec(grid="cigre-lv", tariffs={"retail": 0.3}))
    >>> axis = TimeAxis(start=np.datetime64("2030-01-01"), periods=2)
    >>> tariffs(axis).retail.tolist(), tariffs(axis, {"retail": np.array([np.nan, 0.2])}).retail.tolist()
    ([0.3, 0.3], [0.3, 0.2])
    """

    def __init__(
        self, spec: ScenarioSpec, read_file: Callable[[SeriesSpec], PriceFile] | None = None
    ) -> None:
        tariffs = spec.tariffs
        named = [getattr(tariffs, name) for name in ("retail", "feed_in", "network", "taxes")]
        named += [getattr(tariffs.imbalance, name) for name in ("short", "long")]
        series = [price for price in named if isinstance(price, SeriesSpec)]
        require(read_file is not None or not series, "prices out of files are read by somebody")
        self._spec = spec
        self._files = [(one, read_file(one)) for one in series if read_file is not None]
        self.end = min((file.end for _, file in self._files), default=None)
        """Moment from which on not all prices are told by their files; None: there are none."""

    def __call__(self, axis: TimeAxis, sent: Mapping[str, Floats] = NOTHING) -> Tariffs:
        """Return the tariffs of an axis; prices that were sent go before them, NaN where none were."""
        faults: list[Fault] = []

        def read_series(series: SeriesSpec, _: str) -> Floats:
            return next(file for one, file in self._files if one is series).on(axis)

        found = scenario_tariffs(self._spec, axis, read_series, faults=faults, sent=sent)
        check_faults(faults)
        return found


def window_prices(windows: tuple[WindowSpec, ...], clock: LocalClock) -> Floats:
    """Return the price of each period: that of the first window which holds its start; NaN where none does.

    A window over midnight belongs, after midnight, to the day on which it began.

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-06-06"), periods=4, mtu_s=21600)
    >>> night = WindowSpec(start="18:00", end="06:00", price=0.1)
    >>> window_prices((night, WindowSpec(price=0.3)), local_clock(axis)).tolist()
    [0.1, 0.3, 0.3, 0.1]
    """
    prices = np.full(clock.minute.size, np.nan)
    for window in reversed(windows):
        prices[_inside(window, clock.minute, clock.weekday)] = window.price
    return prices


def _inside(window: WindowSpec, minute: NDArray[np.int64], weekday: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the clock times that a window holds."""
    today = np.isin(weekday, sorted(window.days))
    if window.start < window.end:
        return today & (minute >= window.start) & (minute < window.end)
    yesterday = np.isin((weekday - 1) % 7, sorted(window.days))
    return (today & (minute >= window.start)) | (yesterday & (minute < window.end))


def _window_faults(
    windows: tuple[WindowSpec, ...], clock: LocalClock, axis: TimeAxis, *, key: str, source: str
) -> list[Fault]:
    """Tell window ends between two periods, and clock times of the week without a price."""
    faults = []
    step = axis.mtu_s // 60
    offset = int(clock.minute[0]) % step
    for i, window in enumerate(windows):
        for name, end in (("from", window.start), ("to", window.end)):
            if (end - offset) % step:
                reason = f"lies between two periods of {step} min"
                fix = f"use a multiple of {step} min, or a finer resolution"
                faults.append(_fault(source, f"{key}.{i}.{name}", clock_text(end), reason=reason, fix=fix))
    minute = np.tile(np.arange(MINUTES_PER_DAY), 7)
    weekday = np.repeat(np.arange(7), MINUTES_PER_DAY)
    bare = ~np.any([_inside(window, minute, weekday) for window in windows], axis=0)
    if bare.any():
        first = int(np.argmax(bare))
        found = f"{_DAY_NAMES[int(weekday[first])]} {clock_text(int(minute[first]))}"
        fix = "add a last window with a price alone; it holds wherever no other does"
        faults.append(_fault(source, key, found, reason="no window gives a price for this time", fix=fix))
    return faults


def _size_faults(prices: Floats, *, key: str, source: str) -> list[Fault]:
    """Tell a price that no energy has: money is counted in millionths, and their sums must stay exact."""
    worst = float(prices[np.argmax(np.abs(prices))]) if prices.size else 0.0
    if not abs(worst) > LARGEST_PRICE:
        return []
    reason = f"is no price per kWh: its size is above {LARGEST_PRICE:,.0f}"
    return [_fault(source, key, worst, reason=reason, fix="write currency per kWh, e.g. 0.30")]


def _fault(source: str, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=source, place=place, value=value, reason=reason, fix=fix)
