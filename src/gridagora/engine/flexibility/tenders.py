"""Tenders that collect bids: opened with a closing time, bid for until then, decided by their buyer later.

A bid that was sound and cannot be kept any more when the tender is decided, because its seller has reserved
the power elsewhere meanwhile, is rejected with that reason: no seller can hold up the decision on the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gridagora.engine.flexibility.commands import (
    AwardTender,
    DecideTender,
    OpenTender,
    SubmitTenderBid,
    WithdrawTenderBids,
)
from gridagora.engine.flexibility.contracts import apply_awarded, award, bid_faults, tender_faults
from gridagora.engine.flexibility.state import FlexMarketState, TenderState, time_faults
from gridagora.errors import Fault, InvariantError, check_faults
from gridagora.market._tender_check import bid_windows
from gridagora.model.flexibility_events import (
    TenderAwarded,
    TenderBidsWithdrawn,
    TenderBidTaken,
    TenderOpened,
)
from gridagora.model.time import clock


def open_tender(state: FlexMarketState, command: OpenTender) -> TenderOpened:
    """Announce a tender; bids are taken until it closes."""
    terms, tender = state.open_terms, command.tender
    faults = [*time_faults(state, command.at), *tender_faults(state, command.product, tender)]
    if command.tender.name in (entry.tender.name for entry in state.tenders):
        faults.append(
            _fault(tender.name, "name", tender.name, reason="is taken", fix="give it a name of its own")
        )
    if ":" in tender.name:
        reason, fix = "holds a colon", "use letters, digits, points and dashes: contracts are named after it"
        faults.append(_fault(tender.name, "name", tender.name, reason=reason, fix=fix))
    begins = terms.begins(min(first for first, _ in tender.windows))
    if not command.at < command.closes < begins:
        reason = "is not between now and the beginning of the first window"
        fix = f"write a moment after {clock(command.at)} and before {clock(begins)}"
        faults.append(_fault(tender.name, "closes", clock(command.closes), reason=reason, fix=fix))
    check_faults(faults)
    return TenderOpened(at=command.at, product=command.product, tender=tender, closes=command.closes)


def submit_bid(state: FlexMarketState, command: SubmitTenderBid) -> TenderBidTaken:
    """Take a bid of a tender that is open; a seller has one bid for a window."""
    faults, entry = _named(state, command.tender, command.at)
    faults += _late(entry, command.at)
    own = [bid for bid in entry.bids if bid.participant == command.bid.participant]
    # the new bid is judged behind the seller's own: only it can be at fault
    faults += bid_faults(state, entry.product, entry.tender, bids=[*own, command.bid])
    check_faults(faults)
    return TenderBidTaken(at=command.at, tender=command.tender, bid=command.bid)


def withdraw_bids(state: FlexMarketState, command: WithdrawTenderBids) -> TenderBidsWithdrawn:
    """Take all bids of a seller back, before the tender closes."""
    faults, entry = _named(state, command.tender, command.at)
    faults += _late(entry, command.at)
    if command.participant not in (bid.participant for bid in entry.bids):
        reason, fix = "has no bids in this tender", "withdraw bids that stand"
        faults.append(_fault(command.tender, "participant", command.participant, reason=reason, fix=fix))
    check_faults(faults)
    return TenderBidsWithdrawn(at=command.at, tender=command.tender, participant=command.participant)


def decide(state: FlexMarketState, command: DecideTender) -> TenderAwarded:
    """Decide a tender that has closed: each bid is taken, in full or in part, or rejected with a reason."""
    faults, entry = _named(state, command.tender, command.at)
    if entry.awarded is not None:
        faults.append(
            _fault(command.tender, "tender", command.tender, reason="is decided", fix="read the answers")
        )
    elif command.at < entry.closes:
        reason, fix = "still takes bids", f"decide at {clock(entry.closes)} or later"
        faults.append(
            _fault(command.tender, "at", clock(command.at), reason=reason, fix=fix, code="gate_open")
        )
    bidders = {bid.participant for bid in entry.bids}
    for name, why in command.rejected.items():
        if name not in bidders:
            faults.append(_fault(command.tender, "rejected", name, reason="has no bid", fix="name who bid"))
        if not why.strip():
            faults.append(_fault(command.tender, "rejected", why, reason="gives no reason", fix="tell why"))
    check_faults(faults)
    refused = _refused(state, entry, command.rejected)
    kept = [row for row in range(len(entry.bids)) if row not in refused]
    bids = tuple(entry.bids[row] for row in kept)
    asked = AwardTender(at=command.at, product=entry.product, tender=entry.tender, bids=bids)
    return _all_answered(entry, award(replace(state, tenders=()), asked), kept, refused=refused)


def apply_opened(state: FlexMarketState, event: TenderOpened) -> FlexMarketState:
    """Add the tender."""
    entry = TenderState(tender=event.tender, product=event.product, closes=event.closes)
    return replace(state, tenders=(*state.tenders, entry))


def apply_bid(state: FlexMarketState, event: TenderBidTaken) -> FlexMarketState:
    """Add the bid behind those that stand."""
    entry = _known(state, event.tender)
    return _with(state, replace(entry, bids=(*entry.bids, event.bid)))


def apply_withdrawn(state: FlexMarketState, event: TenderBidsWithdrawn) -> FlexMarketState:
    """Drop the seller's bids."""
    entry = _known(state, event.tender)
    left = tuple(bid for bid in entry.bids if bid.participant != event.participant)
    return _with(state, replace(entry, bids=left))


def apply_decided(state: FlexMarketState, event: TenderAwarded) -> FlexMarketState:
    """Make the contracts, and keep the answers with the tender where it collected its bids."""
    entry = find(state, event.tender)
    state = apply_awarded(state, event)
    return state if entry is None else _with(state, replace(entry, awarded=event))


def find(state: FlexMarketState, name: str) -> TenderState | None:
    """Return a tender by its name."""
    return next((entry for entry in state.tenders if entry.tender.name == name), None)


def _refused(state: FlexMarketState, entry: TenderState, rejected: Mapping[str, str]) -> dict[int, str]:
    """Return why bids do not take part in the award, by their place."""
    refused = {}
    for row, bid in enumerate(entry.bids):
        if bid.participant in rejected:
            refused[row] = f"rejected by the buyer: {rejected[bid.participant]}"
            continue
        found = list(bid_faults(state, entry.product, entry.tender, bids=[bid]))
        if found:
            refused[row] = "; ".join(fault.reason for fault in found)
    return refused


def _all_answered(
    entry: TenderState, found: TenderAwarded, kept: Sequence[int], *, refused: Mapping[int, str]
) -> TenderAwarded:
    """Return an award of some bids as one of all, in the order in which they came."""
    volume = np.zeros((len(entry.bids), len(entry.tender.windows)))
    volume[list(kept)] = found.volume_kw
    answers = [
        (kept[bid], window, reason)
        for bid, window, reason in zip(found.bid, found.window, found.reason, strict=True)
    ]
    answers += [
        (row, window, reason)
        for row, reason in refused.items()
        for window in bid_windows(entry.tender, entry.bids[row])
    ]
    rows = sorted(answers, key=lambda one: one[:2])
    return replace(
        found,
        participant=tuple(bid.participant for bid in entry.bids),
        volume_kw=volume,
        bid=tuple(bid for bid, _, _ in rows),
        window=tuple(window for _, window, _ in rows),
        reason=tuple(reason for _, _, reason in rows),
    )


def _named(state: FlexMarketState, name: str, at: int) -> tuple[list[Fault], TenderState]:
    """Return the tender that a command names, and the faults of its moment; an unknown one is refused."""
    faults, entry = time_faults(state, at), find(state, name)
    if entry is None:
        fix = "name a tender that was opened"
        unknown = _fault(name, "tender", name, reason="does not exist", fix=fix, code="reference_unknown")
        check_faults([*faults, unknown])
        raise InvariantError("a tender without faults is known")
    return faults, entry


def _late(entry: TenderState, at: int) -> Iterator[Fault]:
    """Yield the fault of a bid that comes when the tender has closed, by the clock."""
    if at >= entry.closes:
        reason, fix = f"comes {at - entry.closes} s after the tender closed", "bid in the next one"
        yield _fault(entry.tender.name, "at", clock(at), reason=reason, fix=fix, code="gate_closed")


def _known(state: FlexMarketState, name: str) -> TenderState:
    entry = find(state, name)
    if entry is None:
        raise InvariantError(f"tender {name} was never opened")
    return entry


def _with(state: FlexMarketState, entry: TenderState) -> FlexMarketState:
    name = entry.tender.name
    return replace(state, tenders=tuple(entry if one.tender.name == name else one for one in state.tenders))


def _fault(name: str, place: str, value: object, *, reason: str, fix: str, code: str = "") -> Fault:
    return Fault(source=f"tender {name}", place=place, value=value, reason=reason, fix=fix, code=code)
