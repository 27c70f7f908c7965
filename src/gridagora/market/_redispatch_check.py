"""What is wrong with orders of a redispatch, every fault at once; and how costs are shared to the unit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from numbers import Integral, Real

import numpy as np

from gridagora.errors import Fault
from gridagora.model.flexibility_market import RedispatchOrder

OPPOSITE = {"buy": "sell", "sell": "buy"}


def redispatch_faults(
    inside: Sequence[RedispatchOrder],
    outside: Sequence[RedispatchOrder],
    *,
    needed_kw: Mapping[int, float],
    hours: float,
    shares: Mapping[str, float],
    participants: Collection[str] | None,
    now_period: int,
) -> Iterator[Fault]:
    """Faults of the orders one by one and together, of the need, and of the shares."""
    if not (_is_number(hours) and hours > 0):
        yield _fault("hours", hours, "is not positive", fix="write 0.25 for a quarter-hour")
    for period, need in needed_kw.items():
        yield from _period_faults("needed_kw", period, now_period)
        if not (_is_number(need) and need >= 0):
            yield _fault(f"needed_kw, period {period}", need, "is no power >= 0", fix="write kW")
    yield from _share_faults(shares)
    seen: set[tuple[str, int]] = set()
    sides: dict[int, str] = {}
    for where, orders in (("inside", inside), ("outside", outside)):
        for row, order in enumerate(orders):
            place = f"{where}, order {row}"
            yield from order_faults(place, order, now_period)
            if participants is not None and order.participant not in participants:
                fix = "name one of the participants"
                yield _fault(f"{place}, participant", order.participant, "unknown participant", fix=fix)
            if (order.participant, order.period) in seen:
                reason = "second order of one participant for one period"
                yield _fault(f"{place}, participant", order.participant, reason, fix="keep one of them")
            seen.add((order.participant, order.period))
            if order.side not in OPPOSITE:
                continue
            relieving = order.side if where == "inside" else OPPOSITE[order.side]
            if sides.setdefault(order.period, relieving) != relieving:
                reason = f"does not fit: a {sides[order.period]} inside relieves period {order.period}"
                yield _fault(
                    f"{place}, side", order.side, reason, fix="give opposite orders inside and outside"
                )


def order_faults(place: str, order: RedispatchOrder, now_period: int) -> Iterator[Fault]:
    """Faults of one order by itself."""
    if order.side not in OPPOSITE:
        yield _fault(f"{place}, side", order.side, "unknown side", fix="write buy or sell")
    if not (_is_number(order.kw) and order.kw > 0):
        yield _fault(f"{place}, kw", order.kw, "is no power > 0", fix="write a finite number of kW")
    if not _is_number(order.price):
        yield _fault(f"{place}, price", order.price, "is no price", fix="write currency per kWh")
    yield from _period_faults(place, order.period, now_period)


def _period_faults(place: str, period: object, now_period: int) -> Iterator[Fault]:
    if not isinstance(period, Integral) or isinstance(period, bool):
        yield _fault(f"{place}, period", period, "is no period", fix="write a whole number")
    elif period < now_period:
        reason = f"is in the past: the next period is {now_period}"
        yield _fault(f"{place}, period", period, reason, fix=f"write {now_period} or later")


def _share_faults(shares: Mapping[str, float]) -> Iterator[Fault]:
    bad = {name: share for name, share in shares.items() if not (_is_number(share) and share >= 0)}
    for name, share in bad.items():
        yield _fault(f"shares, {name}", share, "is no weight >= 0", fix="write e.g. the kW that it needs")
    if not bad and not sum(shares.values()) > 0:
        yield _fault("shares", dict(shares), "nobody pays the spread", fix="give a grid operator a share > 0")


def exact_share(amount: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split whole units pro rata by largest remainder, equal remainders by name; the parts sum to the amount.

    >>> exact_share(100, {"b": 1, "a": 1, "c": 1}), exact_share(-5, {"a": 0.5, "b": 0.5})
    ({'b': 33, 'a': 34, 'c': 33}, {'a': -3, 'b': -2})
    """
    weights = {name: Fraction(share) for name, share in shares.items()}
    total = sum(weights.values())
    exact = {name: abs(amount) * weight / total for name, weight in weights.items()}
    parts = {name: int(part) for name, part in exact.items()}
    left = abs(amount) - sum(parts.values())
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[:left]:
        parts[name] += 1
    return {name: part if amount >= 0 else -part for name, part in parts.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="redispatch", place=place, value=value, reason=reason, fix=fix)
