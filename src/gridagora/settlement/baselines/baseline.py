"""A baseline as a value: the power, how it was found, and all it was found from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.settlement.baselines.inputs import BaselineInputs
from gridagora.settlement.baselines.methods import given, meter_before, same_hour_mean, x_of_y, zero

Floats = NDArray[np.float64]

METHODS: Mapping[str, Callable[[BaselineInputs], Floats]] = MappingProxyType(
    {
        "lem_schedule": given,
        "meter_before": meter_before,
        "nominated": given,
        "same_hour_mean": same_hour_mean,
        "x_of_y": x_of_y,
        "zero": zero,
    }
)
"""Methods by name."""

ADJUSTABLE = ("same_hour_mean", "x_of_y")
"""Methods that may be adjusted to the day itself."""

VERSIONS: Mapping[str, int] = MappingProxyType(dict.fromkeys(METHODS, 1))
"""Version of each method; it rises when the method answers otherwise for the same inputs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Baseline:
    """Expected net import without the order, with its method, version and inputs.

    Parameters
    ----------
    power_kw : net import, + import, shape (meters, event periods)
    method, version : how it was found
    inputs : what it was found from

    Examples
    --------
    See `calculate_baseline`.

    >>> Baseline.__slots__
    ('power_kw', 'method', 'version', 'inputs')
    """

    power_kw: Floats
    method: str
    version: int
    inputs: BaselineInputs

    def recalculate(self) -> "Baseline":
        """Calculate the baseline again from its inputs, for an audit or a dispute.

        Raises
        ------
        InputError
            This program has another version of the method.
        """
        if VERSIONS.get(self.method) != self.version:
            reason = f"this program has version {VERSIONS.get(self.method)} of {self.method}"
            fix = "use the program that calculated the baseline"
            check_faults([_fault("version", self.version, reason, fix=fix)])
        return calculate_baseline(self.inputs, method=self.method)


def calculate_baseline(inputs: BaselineInputs, *, method: str) -> Baseline:
    """Calculate what meters would have shown in an event, by a method chosen by name.

    Parameters
    ----------
    inputs : readings, local calendar, event and rules
    method : "x_of_y", "same_hour_mean", "meter_before", "nominated", "lem_schedule" or "zero"

    Returns
    -------
    Baseline
        Net import in kW, + import, for each meter and period of the event.

    Raises
    ------
    InputError
        An unknown method, too few comparable days, a missing reading that the method needs.

    Notes
    -----
    FIELD.md section 5; MARKETS.md section 3.  All meters at once.

    Examples
    --------
    Seven days of three periods, a meter that draws 1, 2, 3 ... kW; the event is the last period.

    >>> from gridagora.settlement.baselines.inputs import BaselineRules, Calendar
    >>> calendar = Calendar(day=np.repeat(np.arange(7), 3), minute=np.tile([0, 480, 960], 7),
    ...                     weekday=np.repeat([2, 3, 4, 5, 6, 0, 1], 3))
    >>> inputs = BaselineInputs(readings_kw=[np.repeat(np.arange(1.0, 8.0), 3)], calendar=calendar,
    ...                         event=[20], period_minutes=480, rules=BaselineRules(x=2, y=4))
    >>> baseline = calculate_baseline(inputs, method="x_of_y")
    >>> baseline.power_kw.tolist(), baseline.recalculate().power_kw.tolist()
    ([[4.5]], [[4.5]])
    """
    faults = []
    if method not in METHODS:
        fix = f"write one of {', '.join(METHODS)}"
        faults.append(_fault("method", method, "is not known", fix=fix))
    if method not in ADJUSTABLE and inputs.rules.adjustment != "none":
        fix = f"write none, or take one of {', '.join(ADJUSTABLE)}"
        faults.append(
            _fault("rules.adjustment", inputs.rules.adjustment, f"does not go with {method}", fix=fix)
        )
    check_faults(faults)
    power = METHODS[method](inputs)
    power.setflags(write=False)
    return Baseline(power_kw=power, method=method, version=VERSIONS[method], inputs=inputs)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="baseline", place=place, value=value, reason=reason, fix=fix)
