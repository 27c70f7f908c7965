"""Declared limits of the grid: bids are cut until the schedule keeps them, and delivery is held against them.

A limit bounds the net exchange of all participants at a bus, in a zone, or of one.  Where the cleared
schedule goes beyond it, the offers there that are worth least are cut and the session is cleared again.
Zones of a market with zones have gates: there a limit narrows the gate instead.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.live.commands import DeclareLimit
from gridagora.engine.live.context import LiveContext, limited_periods
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState, SessionState
from gridagora.engine.machine import MarketContext
from gridagora.engine.pool import nominated_kwh
from gridagora.errors import Fault, check_faults
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats
from gridagora.model.events import AuctionCleared
from gridagora.model.live import LiveTerms, SessionTimes
from gridagora.model.live_events import GateClosed, Ints, LimitDeclared, LimitsBroken
from gridagora.units import WH_PER_KWH

ROUNDS = 12
"""Clearings before everything is cut that a limit still stands against."""

LATEST = 10**12
"""Moments from which on nothing is limited: 31,000 years from 1970."""

PLACES = ("bus", "zone", "participant")


def declare(state: LiveState, command: DeclareLimit, context: LiveContext) -> LimitDeclared:
    """Take a limit of the grid operator."""
    check_faults(_faults(state, command, context))
    fields = ("at", "actor", "id", "place_kind", "place", "begins", "ends", "emergency", "reason")
    return LimitDeclared(
        **{name: getattr(command, name) for name in fields},
        import_kw=float(command.import_kw),
        export_kw=float(command.export_kw),
    )


def apply_declared(state: LiveState, event: LimitDeclared) -> None:
    """Keep a limit, and what held under its id until now; those that ended long ago are forgotten."""
    oldest = state.open_terms.session(state.oldest).delivery_start
    before = state.limits.get(event.id)
    if before is not None and before.emergency and before.begins < event.at < before.ends:
        state.replaced_limits.append(replace(before, ends=event.at))
    elif before is not None and before.emergency and before.ends <= event.at:
        state.replaced_limits.append(before)
    state.replaced_limits = [limit for limit in state.replaced_limits if limit.ends >= oldest]
    state.limits[event.id] = event
    for name in [name for name, limit in state.limits.items() if limit.ends < oldest and name != event.id]:
        del state.limits[name]


def limits_of(state: LiveState, times: SessionTimes) -> tuple[LimitDeclared, ...]:
    """Return the limits that touch the delivery of a session, in the order in which they came."""
    return tuple(
        limit
        for limit in state.limits.values()
        if limit.begins < times.delivery_end and limit.ends > times.delivery_start
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceLimit:
    """A limit of a session: who is behind it, and the most that they take and give together.

    Parameters
    ----------
    id : of the limit
    inside : True for each participant of the session that is behind it
    most_wh, least_wh : per period, net import; infinite where there is no limit
    """

    id: str
    inside: NDArray[np.bool_]
    most_wh: Floats
    least_wh: Floats


def places_of(
    limits: tuple[LimitDeclared, ...],
    terms: LiveTerms,
    gate: GateClosed,
    *,
    zone_of_bus: Mapping[str, str],
    zonal: bool = False,
) -> tuple[PlaceLimit, ...]:
    """Return limits as they stand in a session; ``zonal`` leaves out those of zones."""
    times = terms.session(gate.session)
    found = []
    for limit in limits:
        if zonal and limit.place_kind == "zone":
            continue
        names = {
            "bus": gate.buses,
            "participant": gate.participants,
            "zone": tuple(zone_of_bus.get(bus, "") for bus in gate.buses),
        }[limit.place_kind]
        periods = limited_periods(limit, terms, first=times.first, count=times.count)
        most, least = np.full(times.count, np.inf), np.full(times.count, -np.inf)
        most[periods] = np.floor(limit.import_kw * terms.hours * WH_PER_KWH)
        least[periods] = -np.floor(limit.export_kw * terms.hours * WH_PER_KWH)
        inside = np.array([name == limit.place for name in names], dtype=np.bool_)
        found.append(PlaceLimit(id=limit.id, inside=inside, most_wh=most, least_wh=least))
    return tuple(found)


def within_limits(
    clear: Callable[[Bids], AuctionCleared],
    bids: Bids,
    market: MarketContext,
    *,
    limits: tuple[PlaceLimit, ...],
) -> AuctionCleared:
    """Clear bids so that the schedule keeps declared limits.

    Parameters
    ----------
    clear : clears bids, whose rows come first in what it returns
    bids : of the session
    market : the session's study
    limits : what the schedule keeps

    Returns
    -------
    AuctionCleared
        Its quantities are those that limits left of the bids.
    """
    quantity = np.asarray(bids.quantity, dtype=np.float64).copy()
    for round_ in range(ROUNDS + 1):
        cleared = clear(replace(bids, quantity=quantity) if round_ else bids)
        if not limits or not _cut(cleared, quantity, market, limits=limits, all_of_it=round_ >= ROUNDS - 1):
            break
    return cleared


def _cut(
    cleared: AuctionCleared,
    quantity: Floats,
    market: MarketContext,
    *,
    limits: tuple[PlaceLimit, ...],
    all_of_it: bool,
) -> bool:
    """Cut the quantities, kWh, of bids beyond a limit; tell whether there were any."""
    count = len(quantity)
    row = cleared.period[:count] - cleared.first
    stands = np.rint(quantity * WH_PER_KWH).astype(np.int64)
    bought, sold = nominated_kwh(cleared, market.study, prices=market.prices)
    net_wh = np.rint((bought - sold).T * WH_PER_KWH).astype(np.int64)
    beyond = False
    for limit in limits:
        net = net_wh[:, limit.inside].sum(axis=1)
        behind = limit.inside[cleared.participant[:count]]
        for side, excess in ((1, net - limit.most_wh), (-1, limit.least_wh - net)):
            for period in np.flatnonzero(excess > 0).tolist():
                beyond = True
                rows = np.flatnonzero(behind & (row == period) & (cleared.side[:count] == side))
                if all_of_it:
                    stands[rows] = 0
                    continue
                stands[rows] = np.minimum(stands[rows], _schedule(cleared, rows, stands, market=market))
                worth = np.argsort(side * cleared.price[rows], kind="stable")
                _take_away(stands, rows[worth], int(np.ceil(excess[period])))
    quantity[:] = stands / WH_PER_KWH
    return beyond


def _schedule(cleared: AuctionCleared, rows: Ints, stands: Ints, *, market: MarketContext) -> Ints:
    """Return what is scheduled of bids, Wh: accepted, or all where it is firm at the retailer's price."""
    period, price = cleared.period[rows], cleared.price[rows]
    at_retailer = np.where(
        cleared.side[rows] > 0, price >= market.prices.retail[period], price <= market.prices.feed_in[period]
    )
    return np.where(at_retailer, stands[rows], cleared.accepted[rows])


def _take_away(stands: Ints, rows: Ints, wh: int) -> None:
    """Take energy away from bids in their order."""
    for row in rows.tolist():
        part = min(wh, int(stands[row]))
        stands[row] -= part
        wh -= part
        if wh <= 0:
            return


def broken_limits(
    session: int, at: int, places: tuple[PlaceLimit, ...], *, first: int, metered_wh: Ints
) -> LimitsBroken | None:
    """Return what was delivered beyond limits, (periods, participants) net import; None: nothing was."""
    names: list[str] = []
    found: list[tuple[int, int, int]] = []
    for place in places:
        net = metered_wh[:, place.inside].sum(axis=1)
        for bound, wrong in ((place.most_wh, net > place.most_wh), (place.least_wh, net < place.least_wh)):
            for period in np.flatnonzero(wrong).tolist():
                names.append(place.id)
                found.append((first + period, int(net[period]), int(bound[period])))
    if not found:
        return None
    period, net_wh, allowed = np.array(found, np.int64).T.copy()
    return LimitsBroken(
        at=at, session=session, limit=tuple(names), period=period, net_wh=net_wh, allowed_wh=allowed
    )


def _faults(state: LiveState, command: DeclareLimit, context: LiveContext) -> Iterator[Fault]:
    if not command.id or not command.id.isprintable():
        yield refusal("id_invalid", "id", command.id, fix="give the limit an id")
    known: dict[str, Callable[[str], bool]] = {
        "bus": lambda name: name in context.buses,
        "zone": lambda name: name in set(context.zone_of_bus.values()),
        "participant": lambda name: state.register.get("participant", name) is not None,
    }
    if command.place_kind not in PLACES:
        fix = f"write one of {', '.join(PLACES)}"
        yield refusal("place_unknown", "place_kind", command.place_kind, fix=fix)
    elif not known[command.place_kind](command.place):
        yield refusal(
            "place_unknown", "place", command.place, fix=f"name a {command.place_kind} that is there"
        )
    if not 0 <= command.begins < LATEST or not command.ends < LATEST:
        yield refusal("time_invalid", "begins", command.begins, fix="write seconds since 1970")
    elif not command.begins < command.ends:
        yield refusal("time_invalid", "ends", command.ends, fix="end after it begins")
    elif command.ends <= command.at:
        yield refusal("time_invalid", "ends", command.ends, fix="limits hold for what is still to come")
    for name in ("import_kw", "export_kw"):
        value = getattr(command, name)
        if not value >= 0:
            yield refusal("field_invalid", name, value, fix="write kW, 0 or more")


def delivery_limits(state: LiveState, session: SessionState) -> tuple[LimitDeclared, ...]:
    """Return the limits that the delivery of a session is held against.

    Those known at the gate that nothing took the place of, and emergencies, which bind the periods that begin
    after they were declared.
    """
    terms, times = state.open_terms, session.times
    now = limits_of(state, times)
    emergencies = [limit for limit in (*state.replaced_limits, *now) if limit.emergency]
    told = [replace(limit, begins=max(limit.begins, _next_period(terms, limit.at))) for limit in emergencies]
    known = [limit for limit in now if limit in session.limits and not limit.emergency]
    return tuple(
        limit
        for limit in (*known, *told)
        if limit.begins < min(limit.ends, times.delivery_end) and limit.ends > times.delivery_start
    )


def _next_period(terms: LiveTerms, moment: int) -> int:
    """Return the first moment from one on at which a period begins."""
    return terms.begins(-((terms.epoch - moment) // terms.mtu_s))
