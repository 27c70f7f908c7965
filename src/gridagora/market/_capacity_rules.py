"""The rules of a capacity-limit auction as data: order, blocks, limits of a day."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.flexibility import NUMBERS


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationLimits:
    """What a seller's plant can do in one day; a period is active when any of its offers is accepted.

    Parameters
    ----------
    max_activations : how often it may be switched on; None: any number
    min_duration, max_duration : periods that one activation lasts, None: without end
    min_rest : idle periods between two activations
    min_kw : kW that an active period cuts at least, also one that only joins two activations
    energy_kwh : energy cut in a day at most; None: any

    Raises
    ------
    InputError
        A number is negative, durations contradict each other, or the least cut is 0.

    Examples
    --------
    >>> ActivationLimits(max_activations=2, min_rest=3).max_activations
    2
    """

    max_activations: int | None = None
    min_duration: int = 1
    max_duration: int | None = None
    min_rest: int = 0
    min_kw: float = 0.1
    energy_kwh: float | None = None

    def __post_init__(self) -> None:
        check_faults(self._faults())

    def _faults(self) -> Iterator[Fault]:
        least = (
            ("max_activations", 0),
            ("min_duration", 1),
            ("max_duration", 1),
            ("min_rest", 0),
            ("min_kw", 0.0),
            ("energy_kwh", 0.0),
        )
        for name, low in least:
            value: Any = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, NUMBERS) or not low <= value < np.inf:
                yield _limit_fault(name, value, (f"is below {low} or not finite", f"write {low} or more"))
            elif name not in ("min_kw", "energy_kwh") and float(value) % 1:
                yield _limit_fault(name, value, ("is not whole", "count whole periods and activations"))
        longest, shortest = self.max_duration, self.min_duration
        if isinstance(longest, NUMBERS) and isinstance(shortest, NUMBERS) and longest < shortest:
            reason = f"is shorter than min_duration {self.min_duration}"
            yield _limit_fault("max_duration", self.max_duration, (reason, "raise it, or lower min_duration"))
        if self.min_kw == 0:
            reason = "a period of 0 kW would count as active and join any two activations"
            yield _limit_fault("min_kw", self.min_kw, (reason, "write the least cut of an active period"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """Joint clearing of whole days under the limits of each seller.

    Parameters
    ----------
    limits : `ActivationLimits` per participant; participants not named have none
    periods_per_day : period t belongs to day ``t // periods_per_day``; each day is cleared on its own
    period_hours : length of a period, for the energy limits

    Examples
    --------
    >>> Horizon(limits={"fsp": ActivationLimits(max_activations=1)}).periods_per_day
    24
    """

    limits: Mapping[Any, ActivationLimits] = field(default_factory=dict)
    periods_per_day: int = 24
    period_hours: float = 1.0

    def __post_init__(self) -> None:
        hours, count = self.period_hours, self.periods_per_day
        wrong = {"period_hours": hours} if not 0 < hours < np.inf else {}
        wrong |= {"periods_per_day": count} if not 0 < count < np.inf or count % 1 else {}
        faults = [
            _horizon_fault(name, value, "is not positive, finite and whole", fix="write e.g. 1 h, 24 periods")
            for name, value in wrong.items()
        ]
        faults += [
            _horizon_fault(
                f"limits of {name}", limits, "are no ActivationLimits", fix="leave out who has none"
            )
            for name, limits in self.limits.items()
            if not isinstance(limits, ActivationLimits)
        ]
        check_faults(faults)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AuctionRules:
    """How bids are cleared; arrays have one entry per bid.

    Parameters
    ----------
    ordered : each buyer's steps are taken in order (F7-F10)
    steps : number of the granularity step per bid; None: none named
    least : share of a bid's quantity that is accepted at least, if any is; None: all are divisible
    links : number of the block that a bid belongs to, accepted in whole or not at all; -1: none
    horizon : limits over the periods of a day
    """

    ordered: bool = False
    steps: NDArray[np.int64] | None = None
    least: NDArray[np.float64] | None = None
    links: NDArray[np.int64] | None = None
    horizon: Horizon | None = None

    @property
    def is_plain(self) -> bool:
        """True when the merit order alone decides."""
        return not self.ordered and self.least is None and self.links is None and self.horizon is None

    @property
    def joins_periods(self) -> bool:
        """True when the periods cannot be cleared one by one."""
        return self.links is not None or self.horizon is not None

    def take(self, rows: NDArray[Any]) -> "AuctionRules":
        """Return the rules of the bids in these rows."""
        return replace(
            self,
            steps=None if self.steps is None else self.steps[rows],
            least=None if self.least is None else self.least[rows],
            links=None if self.links is None else self.links[rows],
        )


def _horizon_fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="horizon", place=place, value=value, reason=reason, fix=fix)


def _limit_fault(place: str, value: object, text: tuple[str, str]) -> Fault:
    return Fault(source="activation limits", place=place, value=value, reason=text[0], fix=text[1])
