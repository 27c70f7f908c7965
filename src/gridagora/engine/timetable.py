"""When each market session is due: the gate closes a lead before the first delivery period."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gridagora.model.study import MarketRules
from gridagora.model.time import TimeAxis


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketSession:
    """One auction: its number, its delivery periods [first, first + count) and the period its gate closes at.

    Bids may use what was known at the start of period ``gate`` and nothing later.
    """

    number: int
    first: int
    count: int
    gate: int
    gate_closure: int
    delivery_start: int
    delivery_end: int


def sessions(axis: TimeAxis, rules: MarketRules) -> Iterator[MarketSession]:
    """Yield the sessions that cover the axis in order; the last one may be shorter.

    Examples
    --------
    >>> axis = TimeAxis(start=np.datetime64("2016-01-01"), periods=6, mtu_s=900)
    >>> rules = MarketRules(session_periods=4, gate_lead_periods=2)
    >>> [(s.first, s.count, s.gate) for s in sessions(axis, rules)]
    [(0, 4, 0), (4, 2, 2)]
    """
    epoch = int(axis.start.astype("datetime64[s]").astype(np.int64))
    for number, first in enumerate(range(0, axis.periods, rules.session_periods)):
        count = min(rules.session_periods, axis.periods - first)
        yield MarketSession(
            number=number,
            first=first,
            count=count,
            gate=max(0, first - rules.gate_lead_periods),
            gate_closure=epoch + (first - rules.gate_lead_periods) * axis.mtu_s,
            delivery_start=epoch + first * axis.mtu_s,
            delivery_end=epoch + (first + count) * axis.mtu_s,
        )
