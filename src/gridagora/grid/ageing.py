"""Thermal ageing of an oil-immersed transformer: hot-spot temperature, ageing rate, loss of life.

IEC 60076-7 (loading guide).  The model is linear in temperatures for a constant load, so a period of constant
load is stepped exactly with exponentials; within a step the ageing rate is taken as exponential in time.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.numbers import read_numbers

Floats = NDArray[np.float64]

_KELVIN = 273.0
_MINUTES_PER_HOUR = 60.0
_FLAT = 1e-6
_STEP_MIN = 2.0
"""Longest step of the ageing rate's average, minutes; a quarter of a distribution winding's constant, 8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ThermalModel:
    """Thermal characteristics of a transformer; defaults are IEC 60076-7's for a distribution unit, ONAN.

    Parameters
    ----------
    top_oil_rise_k : top-oil rise over ambient at rated current, K (55)
    hot_spot_gradient_k : hot-spot over top oil at rated current, K (23: rated hot-spot of 98 degC at 20 degC)
    loss_ratio : load losses at rated current over no-load losses, R (5)
    oil_exponent, winding_exponent : x of total losses (0.8), y of current (1.6)
    oil_minutes, winding_minutes : time constants, minutes (180 and 4)
    k11, k21, k22 : thermal model constants (1, 1, 2)
    upgraded_paper : thermally upgraded paper, whose rated hot-spot is 110 degC instead of 98 degC
    life_hours : insulation life at the rated hot-spot, h; 180,000 h (20.5 years) is the loading guides' value
        from functional life tests of distribution transformers (150,000 h: degree of polymerisation 200)

    Raises
    ------
    InputError
        When a value is not above 0 (k21: below 1).
    """

    top_oil_rise_k: float = 55.0
    hot_spot_gradient_k: float = 23.0
    loss_ratio: float = 5.0
    oil_exponent: float = 0.8
    winding_exponent: float = 1.6
    oil_minutes: float = 180.0
    winding_minutes: float = 4.0
    k11: float = 1.0
    k21: float = 1.0
    k22: float = 2.0
    upgraded_paper: bool = False
    life_hours: float = 180_000.0

    def __post_init__(self) -> None:
        check_faults(
            Fault(
                source="thermal model",
                place=name,
                value=getattr(self, name),
                reason="is no characteristic of a transformer",
                fix="write a number above 0 (k21: 1 or more)",
            )
            for name in self.__dataclass_fields__
            if name != "upgraded_paper"
            and not (1.0 if name == "k21" else 0.0) <= getattr(self, name) < np.inf
        )

    @property
    def memory_hours(self) -> float:
        """Time after which less than 1 % of a change of temperature is left: five oil time constants, h."""
        return 5 * max(self.k11, 1 / self.k22) * self.oil_minutes / _MINUTES_PER_HOUR


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ThermalState:
    """Top-oil temperature, degC, and the two parts of the hot-spot gradient, K."""

    top_oil_c: Floats
    winding_k: Floats
    oil_k: Floats

    def hot_spot_c(self) -> Floats:
        """Hot-spot temperature, degC."""
        return self.top_oil_c + self.winding_k - self.oil_k


def steady_state(load: ArrayLike, ambient_c: ArrayLike, model: ThermalModel) -> ThermalState:
    """Return the state that a constant load ends in.

    ``top oil = ambient + rise ((1 + R K^2) / (1 + R))^x``, ``gradient = g K^y`` (IEC 60076-7).

    Parameters
    ----------
    load : current over rated current, K
    ambient_c : ambient temperature, degC
    model : thermal characteristics

    Examples
    --------
    >>> steady_state(1.0, 20.0, ThermalModel()).hot_spot_c().item()
    98.0
    """
    k = np.asarray(load, dtype=np.float64)
    ratio = (1 + model.loss_ratio * k**2) / (1 + model.loss_ratio)
    rise = model.top_oil_rise_k * ratio**model.oil_exponent
    gradient = model.hot_spot_gradient_k * k**model.winding_exponent
    return ThermalState(
        top_oil_c=np.asarray(np.asarray(ambient_c, dtype=np.float64) + rise),
        winding_k=model.k21 * gradient,
        oil_k=(model.k21 - 1) * gradient,
    )


def stepped(start: ThermalState, end: ThermalState, *, minutes: float, model: ThermalModel) -> ThermalState:
    """Return the state after a time at constant load, whose steady state is ``end``.

    The differential equations of IEC 60076-7: top oil with ``k11 tau_o``, the gradient's parts with
    ``k22 tau_w`` and ``tau_o / k22``; exact, as they are linear.
    """

    def towards(a: Floats, b: Floats, constant: float) -> Floats:
        return np.asarray(b + (a - b) * np.exp(-minutes / constant))

    return ThermalState(
        top_oil_c=towards(start.top_oil_c, end.top_oil_c, model.k11 * model.oil_minutes),
        winding_k=towards(start.winding_k, end.winding_k, model.k22 * model.winding_minutes),
        oil_k=towards(start.oil_k, end.oil_k, model.oil_minutes / model.k22),
    )


def ageing_rate(hot_spot_c: ArrayLike, *, upgraded_paper: bool = False) -> Floats:
    """Return the relative ageing rate V of the winding insulation (1 at the rated hot-spot).

    Ordinary paper: ``2^((theta - 98) / 6)``.  Thermally upgraded paper:
    ``exp(15000 / (110 + 273) - 15000 / (theta + 273))`` (IEC 60076-7).

    Parameters
    ----------
    hot_spot_c : hot-spot temperature, degC

    Examples
    --------
    >>> ageing_rate([92, 98, 104]).tolist(), ageing_rate(110, upgraded_paper=True).item()
    ([0.5, 1.0, 2.0], 1.0)
    """
    theta = np.asarray(hot_spot_c, dtype=np.float64)
    if upgraded_paper:
        return np.asarray(np.exp(15_000 / (110 + _KELVIN) - 15_000 / (theta + _KELVIN)))
    return np.asarray(np.exp2((theta - 98) / 6))


def thermal_profile(
    load: ArrayLike,
    *,
    ambient_c: ArrayLike = 20.0,
    hours: float,
    model: ThermalModel | None = None,
    start: ThermalState | None = None,
) -> tuple[Floats, Floats]:
    """Return the hot-spot temperature at the end of each period and the life lost in it, h.

    Parameters
    ----------
    load : current over rated current, constant in each period, (..., periods)
    ambient_c : ambient temperature, degC, fits ``load``
    hours : length of a period, h
    model : thermal characteristics; default a distribution transformer, ONAN
    start : state before the first period; default the steady state of its load

    Raises
    ------
    InputError
        A load that is negative or not finite, an ambient temperature that is not finite, no time.

    Examples
    --------
    A rated load at 20 degC ages as fast as the clock; a warm day or an overload is dearer.

    >>> hot_spot, lost = thermal_profile([1.0, 1.2, 1.0], hours=1.0)
    >>> hot_spot.round(1).tolist(), lost.round(2).tolist()
    ([98.0, 110.2, 101.2], [1.0, 2.99, 1.8])
    """
    thermal = model or ThermalModel()
    k, ambient = _profile(load, ambient_c, hours)
    steps = max(1, ceil(hours * _MINUTES_PER_HOUR / _STEP_MIN))
    minutes = hours * _MINUTES_PER_HOUR / steps
    state = steady_state(k[..., 0], ambient[..., 0], thermal) if start is None else start
    hot_spot, lost = np.empty(k.shape), np.zeros(k.shape)
    before = ageing_rate(state.hot_spot_c(), upgraded_paper=thermal.upgraded_paper)
    for period in range(k.shape[-1]):
        end = steady_state(k[..., period], ambient[..., period], thermal)
        for _ in range(steps):
            state = stepped(state, end, minutes=minutes, model=thermal)
            after = ageing_rate(state.hot_spot_c(), upgraded_paper=thermal.upgraded_paper)
            lost[..., period] += _logarithmic_mean(before, after) * (hours / steps)
            before = after
        hot_spot[..., period] = state.hot_spot_c()
    return hot_spot, lost


def _profile(load: ArrayLike, ambient_c: ArrayLike, hours: float) -> tuple[Floats, Floats]:
    """Read a load profile and its ambient temperature, each with an entry per period."""
    (k, ambient), faults = read_numbers("load profile", load=load, ambient_c=ambient_c)
    wrong = (
        ("load", k[~((k >= 0) & (k < np.inf))], "write current over rated current, 0 or more"),
        ("ambient_c", ambient[~np.isfinite(ambient)], "write degC"),
    )
    if not faults:
        faults = [
            _fault(name, values[0].item(), "is negative or not finite", fix=fix)
            for name, values, fix in wrong
            if len(values)
        ]
    if not 0 < hours < np.inf:
        faults.append(_fault("hours", hours, "is no length of a period", fix="write hours above 0"))
    check_faults(faults)
    profile, around = np.broadcast_arrays(k, ambient)
    return profile, around


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="load profile", place=place, value=value, reason=reason, fix=fix)


def _logarithmic_mean(a: Floats, b: Floats) -> Floats:
    """Return the mean over a step of a rate that goes exponentially from a to b."""
    log = np.log(b / a)
    flat = np.abs(log) < _FLAT
    return np.where(flat, (a + b) / 2, (b - a) / np.where(flat, 1.0, log))


def loss_of_life(
    load: ArrayLike, *, ambient_c: ArrayLike = 20.0, hours: float, model: ThermalModel | None = None
) -> Floats:
    """Return the insulation life that a load profile uses up, h: the sum of V over time.

    Parameters are those of `thermal_profile`; the profile is one cycle that starts in the steady state of its
    first load.

    >>> loss_of_life([1.0, 1.0], hours=12.0).round(6).item()
    24.0
    """
    return np.asarray(thermal_profile(load, ambient_c=ambient_c, hours=hours, model=model)[1].sum(axis=-1))


def extra_loss_of_life(
    load: ArrayLike,
    period: ArrayLike,
    other_load: ArrayLike,
    *,
    ambient_c: ArrayLike = 20.0,
    hours: float,
    model: ThermalModel | None = None,
) -> Floats:
    """Return the life used up from a period on when its load is another one, h, (changes, levels).

    Heat outlasts the period, so that the periods after it count too, until five oil time constants later.
    Differences between levels are what a change of load in that one period costs.

    Parameters
    ----------
    load : profile, current over rated current, (periods,)
    period : which period changes, (changes,)
    other_load : loads to put there, (changes, levels)
    ambient_c, hours, model : as in `thermal_profile`; ambient (periods,) or one number

    Examples
    --------
    >>> lost = extra_loss_of_life([0.9] * 24, [12], [[0.9, 1.1]], hours=1.0)[0]
    >>> round(float(lost[1] - lost[0]), 2)
    1.07
    """
    thermal = model or ThermalModel()
    profile = np.asarray(load, dtype=np.float64)
    ambient = np.broadcast_to(np.asarray(ambient_c, dtype=np.float64), profile.shape)
    at, levels = np.asarray(period, dtype=np.int64), np.asarray(other_load, dtype=np.float64)
    window = 1 + ceil(thermal.memory_hours / hours)
    # A profile's last load is held beyond its end.
    later = np.minimum(at[:, None] + np.arange(window), len(profile) - 1)
    states = _states_before(profile, ambient, at, hours=hours, model=thermal)
    loads = np.repeat(profile[later][:, None, :], levels.shape[1], axis=1)
    loads[:, :, 0] = levels
    lost = thermal_profile(
        loads, ambient_c=ambient[later][:, None, :], hours=hours, model=thermal, start=states
    )[1]
    return np.asarray(lost.sum(axis=-1))


def _states_before(
    profile: Floats, ambient: Floats, at: NDArray[np.int64], *, hours: float, model: ThermalModel
) -> ThermalState:
    """Return the states at the start of some periods, (changes, 1)."""
    state = steady_state(profile[0], ambient[0], model)
    columns = np.empty((3, len(profile)))
    for period in range(len(profile)):
        columns[:, period] = state.top_oil_c, state.winding_k, state.oil_k
        end = steady_state(profile[period], ambient[period], model)
        state = stepped(state, end, minutes=hours * _MINUTES_PER_HOUR, model=model)
    oil, winding, part = columns[:, at, None]
    return ThermalState(top_oil_c=oil, winding_k=winding, oil_k=part)
