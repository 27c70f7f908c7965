"""One sitting of the controllers: the trades of a session in their order, rooms and wires kept beside."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.zone_watch import Changes, Objection, Watch
from gridagora.errors import require
from gridagora.grid import check_limits
from gridagora.market.controllers import Checks, Controllers, LocalController
from gridagora.market.zonal import whole_wh
from gridagora.model.columns import Floats, Ints
from gridagora.model.events import AuctionCleared
from gridagora.model.zone_columns import DECISIONS, TradeDecisions, ZonalClearing, ZoneTrades
from gridagora.model.zone_trades import Approval, Supply, TradeRequest
from gridagora.units import MICRO, WH_PER_KWH

if TYPE_CHECKING:
    from gridagora.engine.zone_desk import ZoneDesk

GRID_STEP = 3
"""The first step in which grids are checked: who is refused before has no claim to other supply."""
PLENTY_WH = 2**62
"""Whole Wh that no gate reaches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A trade or a supply as it is asked for; the fields are those of a row of `ZoneTrades`."""

    period: int
    market: int
    buyer: int
    seller: int
    buyer_zone: int
    seller_zone: int
    buy_row: int
    sell_row: int
    quantity_wh: int
    price: int


_COLUMNS = tuple(field.name for field in fields(ZoneTrades))


class _Texts:
    """Texts that are told once and then by their place."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self._place.setdefault(text, len(self._place))

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(self._place)


class _Minutes:
    """What was decided, step by step: the columns of `TradeDecisions` as they grow."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.names, self.reasons = _Texts(), _Texts()
        self.approved: list[bool] = []
        self.supplies: list[_Asked] = []
        self.supplied: list[bool] = []
        self.follows: list[int] = []

    def write(self, trade: int, way: Sequence[Approval]) -> None:
        for step in way:
            decision = DECISIONS.index(step.decision)
            by, reason = self.names.place(step.by), self.reasons.place(step.reason)
            self.rows.append((trade, step.step, by, decision, reason))

    def told(self) -> TradeDecisions:
        trade, step, by, decision, reason = (
            np.array([row[k] for row in self.rows], dtype=np.int64) for k in range(5)
        )
        columns = {n: np.array([getattr(one, n) for one in self.supplies], np.int64) for n in _COLUMNS}
        return TradeDecisions(
            trade=trade,
            step=step,
            by=by,
            decision=decision,
            reason=reason,
            names=self.names.all,
            reasons=self.reasons.all,
            approved=np.array([*self.approved, *self.supplied], dtype=np.bool_),
            supplies=ZoneTrades(**columns),
            follows=np.array(self.follows, dtype=np.int64),
        )


class Sitting:
    """Decides on the trades of one session.

    Parameters
    ----------
    desk : grid, study, zones and the names of who trades in them
    cleared, zonal : what the zones matched
    at : seconds
    base_kw, kvar : what runs whether or not it is traded, and reactive import, (periods, homes)
    room_kw : what trades may take through the gates, (import, export) kW, (periods, zones)
    """

    def __init__(
        self,
        desk: "ZoneDesk",
        cleared: AuctionCleared,
        zonal: ZonalClearing,
        *,
        at: int,
        base_kw: Floats,
        kvar: Floats,
        room_kw: tuple[Floats, Floats],
    ) -> None:
        self._desk, self._cleared, self._zonal = desk, cleared, zonal
        self._at, self._base_kw, self._kvar = at, base_kw, kvar
        self._hours, self._homes = desk.study.axis.hours, len(desk.study.homes)
        self._room_in, self._room_out = (_whole_wh(room, self._hours) for room in room_kw)
        self._minutes = _Minutes()
        self._left = cleared.quantity - cleared.accepted
        self._objection: Objection | None = None
        self._asked: _Asked | None = None
        self._zones_supply = True
        self._net: Floats = base_kw[0]
        self._offers: list[Supply] = []
        names = desk.rules.tree.names
        controllers = {name: self._controller(place, name) for place, name in enumerate(names)}
        checks = Checks(controllers=controllers, dso=self._dso, supply=lambda request: self._offers)
        self._controllers = Controllers(tree=desk.rules.tree, checks=checks)
        self._gates: dict[tuple[int, int], tuple[list[int], list[int]]] = {}

    def decisions(self) -> TradeDecisions:
        """Decide on all trades and return the way of each."""
        trades = self._zonal.trades
        minutes = self._minutes
        minutes.approved = [False] * len(trades.period)
        stops = np.searchsorted(trades.period - self._cleared.first, np.arange(len(self._base_kw) + 1))
        changes = self._changes(trades)
        quiet = self._quiet(trades, changes)
        for row in range(len(self._base_kw)):
            numbers = range(int(stops[row]), int(stops[row + 1]))
            self._period(row, numbers, _part(changes, numbers), quiet=bool(quiet[row]))
        return minutes.told()

    def _period(self, row: int, numbers: range, changes: Changes, *, quiet: bool) -> None:
        """Decide on the trades of a period, again with more objections until the wires bear what is left."""
        watch: Watch | None = None
        self._zones_supply = True
        objections: dict[int, Objection] = {}
        while True:
            draft = self._draft(row)
            net = self._decide_all(row, numbers, changes, objections=objections)
            approved = np.flatnonzero(self._minutes.approved[numbers.start : numbers.stop])
            if quiet and len(approved) == len(numbers):
                return
            watch = watch or self._watch(row)
            broken = watch.worse(net)
            if broken is not None and not broken:
                return
            more = watch.refusals(broken, net, changes, approved=approved)
            if not more and not self._zones_supply:
                return
            require(not more.keys() & objections.keys(), "a controller approved what it objects to")
            self._zones_supply = bool(more) and self._zones_supply
            objections |= more
            self._forget(row, draft)

    def _decide_all(
        self, row: int, numbers: range, changes: Changes, *, objections: dict[int, Objection]
    ) -> Floats:
        """Decide on the trades of a period in their order; return the schedule of what was approved, kW."""
        self._net = self._base_kw[row].copy()
        for place, number in enumerate(numbers):
            asked = _row_of(self._zonal.trades, number)
            self._objection = objections.get(place)
            last = self._decide(asked, number)
            self._minutes.approved[number] = last.decision == "approved"
            if last.decision == "approved":
                self._add(changes, place)
            elif last.step >= GRID_STEP:
                self._otherwise(asked, number)
        return self._net

    def _add(self, changes: Changes, place: int) -> None:
        if changes.buyer[place] >= 0:
            self._net[changes.buyer[place]] += changes.buyer_kw[place]
        if changes.seller[place] >= 0:
            self._net[changes.seller[place]] -= changes.seller_kw[place]

    def _draft(self, row: int) -> tuple[Ints, Ints, Ints, tuple[int, int]]:
        """Return what deciding on a period changes, so that it can be forgotten."""
        rooms = self._room_in[row].copy(), self._room_out[row].copy()
        return *rooms, self._left.copy(), (len(self._minutes.rows), len(self._minutes.supplies))

    def _forget(self, row: int, draft: tuple[Ints, Ints, Ints, tuple[int, int]]) -> None:
        self._room_in[row], self._room_out[row], self._left, (rows, supplies) = draft
        minutes = self._minutes
        for column in (minutes.supplies, minutes.supplied, minutes.follows):
            del column[supplies:]
        del minutes.rows[rows:]

    def _decide(self, asked: _Asked, number: int) -> Approval:
        """Take a trade, or a shortage that the bulk grid is to supply, through the controllers."""
        offers = []
        if asked.seller == self._homes:
            offers = [self._supply(asked, asked.sell_row, price=asked.price)]
        last = self._walk(asked, number, self._name(number), offers=offers)
        if last.decision == "approved":
            self._book(asked)
        return last

    def _otherwise(self, asked: _Asked, number: int) -> None:
        """Ask the DSO for other supply where load that must run was refused what it had bought.

        The nearest zone with something left at that price, else the bulk grid; on an island nobody can.
        """
        row = asked.period - self._cleared.first
        lost = asked.seller == self._homes or not self._zonal.firm[asked.buy_row]
        if lost or self._zonal.island[row, asked.buyer_zone] >= 0:
            return
        rows = self._with_something_left(asked)
        shortage = self._instead(asked, rows[-1])
        offers = [self._supply(asked, sell_row) for sell_row in rows]
        number_of = len(self._zonal.trades.period) + len(self._minutes.supplies)
        self._objection = None
        last = self._walk(shortage, number_of, f"{self._name(number)}-supply", offers=offers)
        if last.decision == "approved":
            chosen = rows[[offer.zone for offer in offers].index(last.supply.zone if last.supply else "")]
            shortage = self._instead(asked, chosen)
            self._book(shortage)
            if shortage.seller < self._homes:
                self._left[chosen] -= asked.quantity_wh
                self._net[shortage.seller] -= asked.quantity_wh / (WH_PER_KWH * self._hours)
        self._minutes.supplies.append(shortage)
        self._minutes.supplied.append(last.decision == "approved")
        self._minutes.follows.append(number)

    def _instead(self, asked: _Asked, sell_row: int) -> _Asked:
        """Return what is supplied in the place of a trade, from an order."""
        seller = int(self._cleared.participant[sell_row])
        return replace(
            asked,
            market=self._desk.rules.tree.root,
            seller=seller,
            seller_zone=self._zone_of(seller),
            sell_row=sell_row,
            price=int(self._cleared.price[sell_row]),
        )

    def _with_something_left(self, asked: _Asked) -> list[int]:
        """Return rows of sells that could supply: the cheapest of each other zone, the retailer's last.

        Zones are left out where their supply would break a limit.
        """
        cleared, rules = self._cleared, self._desk.rules
        sells = np.flatnonzero((cleared.period == asked.period) & (cleared.side < 0))
        retailer = int(sells[cleared.participant[sells] == self._homes][0])
        zone = np.append(rules.of_home, rules.tree.root)[cleared.participant[sells]]
        fits = (self._left[sells] >= asked.quantity_wh) & (
            cleared.price[sells] <= cleared.price[asked.buy_row]
        )
        fits &= (zone != asked.seller_zone) & (zone != rules.tree.root)
        fits &= self._zonal.island[asked.period - cleared.first, zone] < 0
        fits &= self._zones_supply
        best: dict[int, int] = {}
        for row in sells[fits][np.argsort(cleared.price[sells[fits]], kind="stable")].tolist():
            best.setdefault(self._zone_of(int(cleared.participant[row])), row)
        return [*best.values(), retailer]

    def _supply(self, asked: _Asked, sell_row: int, *, price: int | None = None) -> Supply:
        seller = int(self._cleared.participant[sell_row])
        micro = int(self._cleared.price[sell_row]) if price is None else price
        return Supply(
            zone=self._desk.rules.tree.names[self._zone_of(seller)],
            quantity_kwh=asked.quantity_wh / WH_PER_KWH,
            price=micro / MICRO,
        )

    def _walk(self, asked: _Asked, number: int, name: str, *, offers: list[Supply]) -> Approval:
        """Take a request through the controllers, write its way down, and return the last step."""
        names, zones = self._desk.names, self._desk.rules.tree.names
        shortage = bool(offers)
        price = int(self._cleared.price[asked.buy_row]) if asked.seller == self._homes else asked.price
        self._asked, self._offers = asked, offers
        request = TradeRequest(
            trade=name,
            buyer=names[asked.buyer],
            buyer_zone=zones[asked.buyer_zone],
            seller="" if shortage else names[asked.seller],
            seller_zone="" if shortage else zones[asked.seller_zone],
            period=asked.period,
            quantity_kwh=asked.quantity_wh / WH_PER_KWH,
            price=max(price, asked.price) / MICRO,
            at=self._at,
        )
        way = self._controllers.way(request)
        self._minutes.write(number, way)
        return way[-1]

    def _controller(self, at: int, name: str) -> LocalController:
        rules, first = self._desk.rules, self._cleared.first

        def inside(request: TradeRequest) -> str:
            del request
            return self._objects(at)

        def import_kwh(period: int) -> float:
            return float(self._room_in[period - first, at]) / WH_PER_KWH

        def export_kwh(period: int) -> float:
            return float(self._room_out[period - first, at]) / WH_PER_KWH

        return LocalController(
            zone=name,
            participants=self._desk.members[at],
            lowest_price=rules.lowest_price,
            highest_price=rules.highest_price,
            most_kwh=rules.most_kwh,
            inside=inside,
            import_kwh=import_kwh,
            export_kwh=export_kwh,
        )

    def _objects(self, zone: int) -> str:
        """Return what the controller of a zone has against the trade that is asked: "" for nothing.

        A limit is the business of the zone in which it stands where that is a party's, else the DSO's; a
        trade inside one zone is the business of its controller wherever the limit stands.
        """
        found, asked = self._objection, self._asked
        if found is None or asked is None:
            return ""
        inner = asked.buyer_zone == asked.seller_zone
        return found.reason if inner or found.zone == zone else ""

    def _dso(self, request: TradeRequest) -> str:
        del request
        found, asked = self._objection, self._asked
        if found is None or asked is None or found.zone in (asked.buyer_zone, asked.seller_zone):
            return ""
        return found.reason

    def _book(self, asked: _Asked) -> None:
        """Take the room of an approved trade out of the gates that it passes."""
        row, wh = asked.period - self._cleared.first, asked.quantity_wh
        leaves, enters = self._passed(asked.seller_zone, asked.buyer_zone)
        for zones, out, back in (
            (leaves, self._room_out, self._room_in),
            (enters, self._room_in, self._room_out),
        ):
            for zone in zones:
                out[row, zone] -= wh
                if back[row, zone] < PLENTY_WH:
                    back[row, zone] += wh

    def _passed(self, start: int, end: int) -> tuple[list[int], list[int]]:
        """Return the positions of zones that a trade leaves and enters."""
        if (start, end) not in self._gates:
            tree = self._desk.rules.tree
            out, back = tree.path(tree.names[start]), tree.path(tree.names[end])
            self._gates[start, end] = (
                [tree.position(name) for name in out if name not in back],
                [tree.position(name) for name in back if name not in out],
            )
        return self._gates[start, end]

    def _watch(self, row: int) -> Watch:
        return Watch(
            self._desk.wires,
            self._desk.zone_of,
            limits=self._desk.study.limits,
            period=self._cleared.first + row,
            base_kw=self._base_kw[row],
            kvar=self._kvar[row],
        )

    def _quiet(self, trades: ZoneTrades, changes: Changes) -> NDArray[np.bool_]:
        """Tell which periods keep all limits with all their trades."""
        net, row = self._base_kw.copy(), trades.period - self._cleared.first
        for home, kw in ((changes.buyer, changes.buyer_kw), (changes.seller, -changes.seller_kw)):
            known = np.flatnonzero(home >= 0)
            np.add.at(net, (row[known], home[known]), kw[known])
        flow = self._desk.wires.flow(net, self._kvar, first=self._cleared.first)
        quiet = np.ones(len(net), dtype=np.bool_)
        quiet[check_limits(flow, self._desk.study.limits).period] = False
        return quiet

    def _changes(self, trades: ZoneTrades) -> Changes:
        """Return what trades change on the wires; load that must run is there already."""
        kw = trades.quantity_wh / (WH_PER_KWH * self._hours)
        return Changes(
            buyer=np.where(trades.buyer < self._homes, trades.buyer, -1),
            seller=np.where(trades.seller < self._homes, trades.seller, -1),
            buyer_kw=np.where(self._zonal.firm[trades.buy_row], 0.0, kw),
            seller_kw=kw,
        )

    def _name(self, number: int) -> str:
        """Return the id of a trade: its period and its number in the session."""
        return f"{self._zonal.trades.period[number]}-{number:04d}"

    def _zone_of(self, participant: int) -> int:
        rules = self._desk.rules
        return rules.tree.root if participant == self._homes else int(rules.of_home[participant])


def _row_of(trades: ZoneTrades, number: int) -> _Asked:
    return _Asked(**{name: int(getattr(trades, name)[number]) for name in _COLUMNS})


def _part(changes: Changes, numbers: range) -> Changes:
    window = slice(numbers.start, numbers.stop)
    return Changes(
        buyer=changes.buyer[window],
        seller=changes.seller[window],
        buyer_kw=changes.buyer_kw[window],
        seller_kw=changes.seller_kw[window],
    )


def _whole_wh(room_kw: Floats, hours: float) -> Ints:
    """Return rooms as whole Wh per period; those without a limit as `PLENTY_WH`."""
    free = np.isinf(room_kw)
    return np.where(free, PLENTY_WH, whole_wh(np.where(free, 0.0, room_kw), hours)).astype(np.int64)
