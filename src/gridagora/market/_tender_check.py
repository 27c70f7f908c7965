"""What is wrong with the bids of a tender, every fault at once; and why a sound bid does not qualify."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real

import numpy as np

from gridagora.errors import Fault
from gridagora.model.reservation import Tender, TenderBid


def bid_windows(tender: Tender, bid: TenderBid) -> tuple[int, ...]:
    """Return the windows that a bid is for."""
    return tuple(range(len(tender.windows))) if bid.windows is None else tuple(bid.windows)


def tender_faults(
    tender: Tender,
    bids: Sequence[TenderBid],
    *,
    hours: float,
    bus_of: Mapping[str, str] | None,
    now_period: int,
) -> Iterator[Fault]:
    """Faults of the tender's time, and of each bid's seller, numbers and windows."""
    if not (_is_number(hours) and 0 < hours < np.inf):
        yield _fault("hours", hours, "is not positive", fix="write 0.25 for a quarter-hour")
    for window, (first, _) in enumerate(tender.windows):
        if first < now_period:
            reason = f"starts in the past: the next period is {now_period}"
            yield _fault(f"tender {tender.name}, window {window}", first, reason, fix="tender later periods")
    seen: set[tuple[str, int]] = set()
    for row, bid in enumerate(bids):
        place = f"bid {row}"
        if bus_of is not None and bid.participant not in bus_of and bid.participant not in tender.area:
            fix = "name it in bus_of, or in the tender's area"
            yield _fault(f"{place}, participant", bid.participant, "unknown participant", fix=fix)
        if not (isinstance(bid.participant, str) and bid.participant):
            fix = "write a text that is not empty"
            yield _fault(f"{place}, participant", bid.participant, "is no name", fix=fix)
        yield from _number_faults(place, bid)
        windows = bid_windows(tender, bid)
        if not windows:
            yield _fault(f"{place}, windows", windows, "is empty", fix="leave it out to bid for all")
        for window in windows:
            if not (_is_whole(window) and 0 <= window < len(tender.windows)):
                fix = f"write places from 0 to {len(tender.windows) - 1}"
                yield _fault(f"{place}, windows", window, "window does not exist", fix=fix)
            elif (bid.participant, window) in seen:
                reason = f"second bid of {bid.participant} for one window"
                yield _fault(f"{place}, windows", window, reason, fix="keep one of them")
            seen.add((bid.participant, window))


def _number_faults(place: str, bid: TenderBid) -> Iterator[Fault]:
    for name in ("availability", "utilisation", "min_kw", "max_kw"):
        value = getattr(bid, name)
        if not (_is_number(value) and 0 <= value < np.inf):
            what = "power" if name.endswith("kw") else "price"
            yield _fault(f"{place}, {name}", value, f"is no {what} >= 0", fix="write a finite number >= 0")
    if _is_number(bid.min_kw) and _is_number(bid.max_kw) and bid.min_kw > bid.max_kw:
        reason = f"is above max_kw {bid.max_kw:g}"
        yield _fault(f"{place}, min_kw", bid.min_kw, reason, fix="lower it, or raise max_kw")
    if _is_number(bid.max_kw) and bid.max_kw == 0:
        yield _fault(f"{place}, max_kw", bid.max_kw, "offers nothing", fix="offer more, or leave the bid out")
    run = bid.max_run_periods
    if run is not None and not (_is_whole(run) and run >= 1):
        yield _fault(f"{place}, max_run_periods", run, "is no whole number >= 1", fix="write 1 or more")


def disqualified(tender: Tender, bid: TenderBid, window: int, *, bus_of: Mapping[str, str] | None) -> str:
    """Return why a sound bid cannot be taken for a window; "" when it can."""
    reasons = []
    place = None if bus_of is None else bus_of.get(bid.participant)
    if tender.area and bid.participant not in tender.area and place not in tender.area:
        reasons.append("outside the area")
    if bid.availability > tender.availability_cap:
        reasons.append("above the ceiling of availability")
    if bid.utilisation > tender.utilisation_cap:
        reasons.append("above the ceiling of utilisation")
    count = tender.windows[window][1]
    if bid.max_run_periods is not None and bid.max_run_periods < count:
        reasons.append(f"cannot cover window {window}: runs {bid.max_run_periods} of its {count} periods")
    return "; ".join(reasons)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not np.isnan(float(value))


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="tender bids", place=place, value=value, reason=reason, fix=fix)
