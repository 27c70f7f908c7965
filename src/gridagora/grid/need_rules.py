"""What a need is searched with: the forecast at the connection points, the rules, chance from quantiles."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.model import GridModel
from gridagora.model.numbers import read_numbers

Floats = NDArray[np.float64]

SPREADS = ("even", "at_once")
"""How shifted energy may return."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebound:
    """How shifted energy returns: evenly, or all at once, in the free periods around an activation.

    Parameters
    ----------
    hours_after : length of the free periods after an activation in which its energy may return, h
    hours_before : the same before it, for devices that charge in advance, h
    share : part of the cut energy that returns (1: all of it is shifted, none is given up)
    spread : "even" over those periods; "at_once": any one of them may take all of it, so each is checked so

    A period is free when it has no need itself: where the operator buys a limit, nothing can return.

    Raises
    ------
    InputError
        Hours or a share that are negative or not finite, an unknown spread.
    """

    hours_after: float = 3.0
    hours_before: float = 0.0
    share: float = 1.0
    spread: Literal["even", "at_once"] = "even"

    def __post_init__(self) -> None:
        names = ("hours_after", "hours_before", "share")
        faults = [
            _fault(f"rebound.{name}", value, reason="is negative or not finite", fix="write 0 or more")
            for name in names
            if not 0 <= (value := getattr(self, name)) < np.inf
        ]
        if self.spread not in SPREADS:
            fix = f"write one of {', '.join(SPREADS)}"
            faults.append(_fault("rebound.spread", self.spread, reason="is not known", fix=fix))
        check_faults(faults)

    def returned_kw(self, cut_kw: Floats, free: NDArray[np.bool_], *, hours: float) -> Floats:
        """Return the power that comes back in each period, kW, (periods,).

        >>> rule = Rebound(hours_after=2.0)
        >>> rule.returned_kw(np.array([0, 6.0, 0, 0, 0]), np.array([1, 0, 1, 1, 1], bool), hours=1.0).tolist()
        [0.0, 0.0, 3.0, 3.0, 0.0]
        """
        after, before = round(self.hours_after / hours), round(self.hours_before / hours)
        open_periods = np.flatnonzero(free)
        back = np.zeros(len(cut_kw))
        for period in np.flatnonzero(cut_kw).tolist():
            at = int(np.searchsorted(open_periods, period))
            chosen = open_periods[max(at - before, 0) : at + after]
            part = 1.0 if self.spread == "at_once" else 1.0 / max(after + before, 1)
            back[chosen] += self.share * part * cut_kw[period]
        return back


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedRules:
    """Limits and rules of the search for needs.

    Parameters
    ----------
    threshold_percent : loading from which a line or transformer counts as overloaded (seed 003: 95 %)
    vm_min_pu, vm_max_pu : voltage band, per unit
    planning_level : quantile that the operator plans for; one of the forecast's levels
    least_effect : smallest effect, kW at the element per kW, with which a point counts as helping
    rebound : how shifted energy returns; None: not looked at
    sellers : connection points that can sell a cut, so that they alone help; None: all
    """

    threshold_percent: float = 95.0
    vm_min_pu: float = 0.9
    vm_max_pu: float = 1.1
    planning_level: float = 0.5
    least_effect: float = 0.05
    rebound: Rebound | None = None
    sellers: tuple[str, ...] | None = None

    def position(self, forecast: "PointForecast") -> int:
        """Return the position of the planning quantile among the forecast's."""
        return int(np.abs(forecast.levels - self.planning_level).argmin())

    def faults(self, forecast: "PointForecast") -> list[Fault]:
        """Return what cannot be used."""
        faults = []
        levels = forecast.levels
        if not len(levels) or abs(levels[self.position(forecast)] - self.planning_level) > 1e-9:
            fix = f"use one of {', '.join(f'{level:g}' for level in levels)}"
            faults.append(
                _fault(
                    "planning_level", self.planning_level, reason="the forecast has no such quantile", fix=fix
                )
            )
        if not 0 < self.vm_min_pu < self.vm_max_pu:
            band = (self.vm_min_pu, self.vm_max_pu)
            faults.append(
                _fault("vm_min_pu, vm_max_pu", band, reason="is no voltage band", fix="write 0 < min < max")
            )
        if not 0 < self.threshold_percent < np.inf:
            fix = "write a percentage above 0"
            faults.append(
                _fault("threshold_percent", self.threshold_percent, reason="is no loading", fix=fix)
            )
        if not 0 < self.least_effect <= 1:
            faults.append(
                _fault("least_effect", self.least_effect, reason="is no effect", fix="write 0 < effect <= 1")
            )
        strangers = sorted(set(self.sellers or ()) - set(forecast.bus_of_point))
        if strangers:
            fix = "name points of the forecast"
            faults.append(_fault("sellers", strangers, reason="are no connection points", fix=fix))
        return faults


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PointForecast:
    """Quantiles of the net import at every connection point.

    Each quantile is taken as one state of the whole grid.  Points that are forecast one by one must not be
    joined level by level, which would let all peak together: `gridagora.forecast.quantiles` gives quantiles
    in which the sum has its level.

    Parameters
    ----------
    bus_of_point : bus id of each connection point, in the order of the last axis
    levels : quantile levels, ascending, in (0, 1), (quantiles,)
    import_kw, import_kvar : net import, + consumption, (quantiles, periods, points)
    hours : length of a period, h
    """

    bus_of_point: Mapping[str, str]
    levels: Floats
    import_kw: Floats
    import_kvar: Floats
    hours: float

    @classmethod
    def of_levels(
        cls,
        bus_of_point: Mapping[str, str],
        *,
        levels: ArrayLike,
        import_kw: ArrayLike,
        import_kvar: ArrayLike | None = None,
        hours: float,
    ) -> Self:
        """Build from arrays or lists; reactive power is 0 if left out."""
        reactive = 0.0 if import_kvar is None else import_kvar
        (level, kw, kvar), faults = read_numbers(
            "need", levels=levels, import_kw=import_kw, import_kvar=reactive
        )
        check_faults(faults)
        kvar = np.zeros_like(kw) if import_kvar is None else kvar
        level = np.atleast_1d(level)
        return cls(bus_of_point=dict(bus_of_point), levels=level, import_kw=kw, import_kvar=kvar, hours=hours)

    @classmethod
    def certain(
        cls,
        bus_of_point: Mapping[str, str],
        *,
        import_kw: ArrayLike,
        import_kvar: ArrayLike | None = None,
        hours: float,
    ) -> Self:
        """Build from one state known for certain, (periods, points): its only quantile is the median."""
        kw: Any = [import_kw]
        kvar: Any = None if import_kvar is None else [import_kvar]
        return cls.of_levels(bus_of_point, levels=[0.5], import_kw=kw, import_kvar=kvar, hours=hours)

    def under(self, import_kw: ArrayLike = np.inf, export_kw: ArrayLike = np.inf) -> Self:
        """Return the forecast of meters that keep below limits: those that were sold, where they were.

        Needs overlap: a cut for a transformer also relieves the lines below it.  So buy for one element, and
        find the needs of the forecast under the limits bought: what they list is still to be bought.

        Parameters
        ----------
        import_kw, export_kw : highest net import and net export, kW >= 0, fit (periods, points)

        Raises
        ------
        InputError
            Limits that are negative, no numbers, or of another shape.

        Examples
        --------
        >>> load = PointForecast.certain({"a": "1", "b": "1"}, import_kw=[[5.0, 2.0]], hours=1.0)
        >>> load.under([[3.0, np.inf]]).import_kw.tolist()
        [[[3.0, 2.0]]]
        """
        given = {"import_kw": import_kw, "export_kw": export_kw}
        limits, faults = read_numbers("limits", **given)
        shape = self.import_kw.shape[1:]
        for name, limit in zip(given, limits, strict=True):
            if limit.ndim > 2 or any(
                a not in (1, b) for a, b in zip(limit.shape[::-1], shape[::-1], strict=False)
            ):
                fix = f"give a number, or (periods, points) = {shape}"
                faults.append(_fault(name, limit.shape, reason="does not fit", fix=fix))
            elif not (limit >= 0).all():
                faults.append(_fault(name, float(limit.min()), reason="is no limit", fix="write kW >= 0"))
        check_faults(faults)
        kept = np.clip(self.import_kw, -limits[1], limits[0])
        return replace(self, import_kw=kept)

    def columns(self, grid: GridModel) -> NDArray[np.int64]:
        """Return the bus column of each point."""
        return np.array([grid.bus_position[bus] for bus in self.bus_of_point.values()], dtype=np.int64)

    def at_buses(self, grid: GridModel, quantile: int | None = None) -> tuple[Floats, Floats]:
        """Return the import summed at the buses, kW and kvar, (quantiles, periods, buses).

        With the position of a quantile, that one alone, (periods, buses).
        """
        chosen = slice(None) if quantile is None else quantile
        column, summed = self.columns(grid), []
        for power in (self.import_kw[chosen], self.import_kvar[chosen]):
            total = np.zeros((*power.shape[:-1], len(grid.buses)))
            np.add.at(total.T, column, power.T)
            summed.append(total)
        return summed[0], summed[1]

    def faults(self, grid: GridModel) -> list[Fault]:
        """Return what cannot be used with a grid."""
        faults = [
            _fault(f"point {point}", bus, reason="unknown bus", fix="use a bus of grid.buses")
            for point, bus in self.bus_of_point.items()
            if bus not in grid.bus_position
        ]
        periods = self.import_kw.shape[1] if self.import_kw.ndim == 3 else 0
        wanted = (len(self.levels), periods, len(self.bus_of_point))
        for name in ("import_kw", "import_kvar"):
            power = getattr(self, name)
            if power.shape != wanted:
                fix = f"give shape (quantiles, periods, points) = {wanted}"
                faults.append(_fault(name, power.shape, reason="does not fit", fix=fix))
            elif not np.isfinite(power).all():
                at = tuple(np.argwhere(~np.isfinite(power))[0].tolist())
                faults.append(
                    _fault(f"{name}{at}", float(power[at]), reason="is no power", fix="write kW or kvar")
                )
        if not ((self.levels > 0) & (self.levels < 1)).all() or not (np.diff(self.levels) > 0).all():
            fix = "write levels between 0 and 1 in ascending order"
            faults.append(_fault("levels", self.levels.tolist(), reason="are no quantile levels", fix=fix))
        if self.import_kw.ndim == 3 and not periods:
            faults.append(_fault("import_kw", 0, reason="has no periods", fix="forecast one period or more"))
        if not 0 < self.hours < np.inf:
            faults.append(
                _fault("hours", self.hours, reason="is no length of a period", fix="write hours above 0")
            )
        return faults


def probability_beyond(levels: Floats, values: Floats, limit: ArrayLike) -> Floats:
    """Return the probability that a value is above a limit, from its quantiles.

    The value is taken as linear in the probability between two levels, and as constant beyond the outermost;
    it may also fall with the level (reverse flow).  NaN counts as beyond (the power flow has no solution).

    Parameters
    ----------
    levels : quantile levels, ascending, (quantiles,)
    values : value at each level, (..., quantiles)
    limit : (...)

    Examples
    --------
    >>> probability_beyond(np.array([0.1, 0.5, 0.9]), np.array([80.0, 100.0, 120.0]), 90.0).round(6).item()
    0.7
    """
    v = np.where(np.isnan(values), np.inf, values) - np.asarray(limit, dtype=np.float64)[..., None]
    v = np.clip(v, -1e300, 1e300)
    first, last = v[..., :-1], v[..., 1:]
    top, span = np.maximum(first, last), np.abs(last - first)
    crossing = (first > 0) != (last > 0)
    part = np.where(crossing, top / np.where(span > 0, span, 1.0), first > 0)
    inner = (part * np.diff(levels)).sum(axis=-1)
    return np.asarray(inner + levels[0] * (v[..., 0] > 0) + (1 - levels[-1]) * (v[..., -1] > 0))


def _fault(place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source="need", place=place, value=value, reason=reason, fix=fix)
