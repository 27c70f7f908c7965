"""What a measure did to overloads: hours cured, relieved, made worse and newly overloaded, told apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gridagora.errors import Fault, check_faults


@dataclass(frozen=True, kw_only=True, slots=True)
class CongestionKpis:
    """Counts of periods, before against after; ``hours_*`` are times the period's length.

    Parameters
    ----------
    overloaded_before, overloaded_after : periods beyond the threshold
    resolved : overloaded before, no longer after
    reduced : overloaded before, lower after (resolved or not)
    worsened : overloaded before, higher after
    unchanged : overloaded before, equal after
    newly_overloaded : not overloaded before, overloaded after (rebound)
    hours : length of a period, h
    highest_before, highest_after : percent, NaN where nothing is overloaded
    """

    overloaded_before: int
    overloaded_after: int
    resolved: int
    reduced: int
    worsened: int
    unchanged: int
    newly_overloaded: int
    hours: float
    highest_before: float
    highest_after: float

    @property
    def resolved_share(self) -> float:
        """Part of the overloaded periods that is cured; NaN where there was none."""
        return self._share(self.resolved)

    @property
    def reduced_share(self) -> float:
        """Part of the overloaded periods that is lower after; says nothing of new ones."""
        return self._share(self.reduced)

    @property
    def net_share(self) -> float:
        """Overloaded periods fewer than before, as part of those before; negative if there are more."""
        return self._share(self.overloaded_before - self.overloaded_after)

    def _share(self, count: int) -> float:
        return count / self.overloaded_before if self.overloaded_before else float("nan")


def congestion_kpis(
    before: ArrayLike, after: ArrayLike, *, threshold: float, hours: float = 1.0
) -> CongestionKpis:
    """Count what happened to the overloads of one element; each kind by itself, none hidden in a sum.

    Parameters
    ----------
    before, after : loading in each period, percent; NaN where it is not overloaded and not known
    threshold : loading above which a period counts as overloaded, percent
    hours : length of a period, h

    Raises
    ------
    InputError
        When the two do not have the same periods.

    Notes
    -----
    Seed 003 tables 3-5 and 3-8: its "72 %" is 13 of 18 periods reduced, of which 10 are resolved, while 5 are
    worse and 3 new.

    Examples
    --------
    >>> nan = float("nan")
    >>> found = congestion_kpis([102.0, 98.0, 97.0, nan], [nan, 96.0, 99.0, 95.5], threshold=95.0)
    >>> found.resolved, found.reduced, found.worsened, found.newly_overloaded, found.net_share
    (1, 2, 1, 1, 0.0)
    """
    first, last = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != last.shape or first.ndim != 1:
        fix = "give both as one loading per period"
        value = (first.shape, last.shape)
        check_faults(
            [Fault(source="congestion", place="before, after", value=value, reason="do not fit", fix=fix)]
        )
    was, still = first > threshold, last > threshold
    lower, higher = was & (~still | (last < first)), was & still & (last > first)
    return CongestionKpis(
        overloaded_before=int(was.sum()),
        overloaded_after=int(still.sum()),
        resolved=int((was & ~still).sum()),
        reduced=int(lower.sum()),
        worsened=int(higher.sum()),
        unchanged=int((was & ~lower & ~higher).sum()),
        newly_overloaded=int((~was & still).sum()),
        hours=hours,
        highest_before=float(first[was].max()) if was.any() else float("nan"),
        highest_after=float(last[still].max()) if still.any() else float("nan"),
    )
