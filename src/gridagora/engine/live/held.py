"""Delivery against limits: whom an emergency excuses, who went beyond it, and what that costs whom.

An emergency limit takes back a part of what was cleared, the cut: what the schedules of all behind it come to
beyond it.  Each of them owes a share of the cut in proportion to its schedule.

Who took or gave less than scheduled has obeyed, up to its own share and to what others left of theirs.  By so
much its schedule is changed, as a redispatch does it: no imbalance is due, the retailer takes the difference
at tariff, and the grid operator, who gave the order, pays what the order cost.  A seller is paid as if it had
delivered, and a buyer pays for what it got.

What flowed beyond a limit, known at the gate or of an emergency, is owed by those behind it in proportion to
what each took or gave beyond its schedule less its share of the cut, at the market's ``breach_price``.

Energy is whole Wh, + import, shape (periods, participants); money whole micro-units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gridagora.engine.live.commands import MARKET
from gridagora.engine.live.limits import PlaceLimit
from gridagora.model.columns import SettlementLines
from gridagora.model.live_events import GateClosed, Ints, MoneyMoved
from gridagora.settlement.trades import share_rows
from gridagora.units import amount_micro

BREACH, EMERGENCY = "breach", "emergency"
"""Kinds of movements of money: for energy beyond a limit, and for having obeyed an emergency."""

LIMITS = "dso:limits"
"""Account of the grid operator that gets the one and pays the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Delivery held against limits, (periods, participants): Wh excused of the schedule, and Wh beyond."""

    excused_wh: Ints
    beyond_wh: Ints


def hold_against(places: tuple[PlaceLimit, ...], scheduled_wh: Ints, metered_wh: Ints) -> Held:
    """Return what limits excuse and what went beyond them; of several limits the largest part counts.

    Parameters
    ----------
    places : limits of the session
    scheduled_wh, metered_wh : net import; equal for who never trades and has no schedule

    Examples
    --------
    Two homes that were to take 600 Wh each may take 800 together.  One obeyed, the other did not.

    >>> limit = PlaceLimit(id="e", inside=np.array([True, True]), most_wh=np.array([800.0]),
    ...                    least_wh=np.array([-np.inf]))
    >>> held = hold_against((limit,), np.array([[600, 600]]), np.array([[300, 600]]))
    >>> held.excused_wh.tolist(), held.beyond_wh.tolist()
    ([[-300, 0]], [[0, 100]])
    """
    excused, beyond = np.zeros_like(scheduled_wh), np.zeros_like(scheduled_wh)
    for sign, name in ((1, "most_wh"), (-1, "least_wh")):
        less, more = np.zeros_like(scheduled_wh), np.zeros_like(scheduled_wh)
        for place in places:
            bound = sign * getattr(place, name)
            rows = np.flatnonzero(np.isfinite(bound))
            if not len(rows):
                continue
            at = np.ix_(rows, np.flatnonzero(place.inside))
            most = bound[rows].astype(np.int64)
            found = _one_side(sign * scheduled_wh[at], sign * metered_wh[at], most)
            less[at] = np.maximum(less[at], found[0])
            more[at] = np.maximum(more[at], found[1])
        excused -= sign * less
        beyond += more
    return Held(excused_wh=excused, beyond_wh=beyond)


def _one_side(scheduled: Ints, metered: Ints, most: Ints) -> tuple[Ints, Ints]:
    """Return what is excused and what is beyond of a limit on import; export is the same with other signs."""
    wanted = np.maximum(scheduled, 0)
    cut = np.clip(scheduled.sum(axis=1) - most, 0, wanted.sum(axis=1))
    owed = share_rows(wanted, cut)
    less = np.clip(scheduled - metered, 0, wanted)
    own = np.minimum(less, owed)
    for_others = less - own
    left = np.minimum(cut - own.sum(axis=1), for_others.sum(axis=1))
    over = np.maximum(metered - (scheduled - owed), 0)
    excess = np.clip(metered.sum(axis=1) - most, 0, over.sum(axis=1))
    return own + share_rows(for_others, left), share_rows(over, excess)


def order_costs(
    scheduled_wh: Ints, excused_wh: Ints, *, before: SettlementLines, after: SettlementLines
) -> Ints:
    """Return what emergencies cost each participant, micro-units >= 0: what the grid operator makes up for.

    Parameters
    ----------
    scheduled_wh, excused_wh : schedules, and by how much emergencies changed them
    before, after : what is settled by the schedules as they were, and as they are
    """
    costs = np.zeros(scheduled_wh.shape[1], np.int64)
    for period, code in np.argwhere(excused_wh != 0).tolist():
        was, changed = int(scheduled_wh[period, code]), int(excused_wh[period, code])
        due = int(before.energy[period, code] + before.retail[period, code])
        got = int(after.energy[period, code] + after.retail[period, code])
        fair = due * (was + changed) // was if was > 0 else due
        costs[code] += max(0, fair - got)
    return costs


def movement(
    session: int, at: int, kind: str, *, moved: Mapping[str, int], actor: str = MARKET
) -> MoneyMoved | None:
    """Return the movement of a session's money, micro-units by account, without accounts that get nothing.

    None where nothing moves.
    """
    booked = {account: amount for account, amount in moved.items() if amount}
    if not booked:
        return None
    return MoneyMoved(
        at=at,
        actor=actor,
        reference=f"session {session}",
        kind=kind,
        accounts=tuple(booked),
        amount=np.array(list(booked.values()), np.int64),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitMoney:
    """What limits cost or bring each participant of a session, micro-units, + received, by kind."""

    by_kind: Mapping[str, Ints] = field(default_factory=dict)

    def movements(
        self, gate: GateClosed, at: int, *, known: Mapping[str, Mapping[str, int]], actor: str = MARKET
    ) -> tuple[MoneyMoved, ...]:
        """Return what is to be booked beyond what is known to be booked, by kind and account."""
        found = []
        for kind, amounts in self.by_kind.items():
            due = dict(
                zip((f"participant:{name}" for name in gate.participants), amounts.tolist(), strict=True)
            )
            due[LIMITS] = -int(amounts.sum())
            booked = known.get(kind, {})
            more = {account: amount - booked.get(account, 0) for account, amount in due.items()}
            found.append(movement(gate.session, at, kind, moved=more, actor=actor))
        return tuple(one for one in found if one)


def limit_money(held: Held, costs: Ints, *, breach_micro: int) -> LimitMoney:
    """Return what a session's limits cost and bring its participants.

    ``breach_micro`` is the price of a kWh beyond a limit, ``costs`` what orders cost those who obeyed.
    """
    fines = amount_micro(held.beyond_wh, np.int64(breach_micro)).sum(axis=0)
    return LimitMoney(by_kind={BREACH: -fines, EMERGENCY: costs})
