"""What zone markets and their controllers left behind, joined over the sessions of a run.

A book of a run numbers its trades from 0: those of a session as matched, then its supplies, then those of the
next session.  Energy is whole Wh, money micro-currency; zones are positions in the study's tree.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.model.columns import Floats, Ints
from gridagora.model.events import AuctionCleared, TradesDecided
from gridagora.model.zone_columns import ZonalClearing, ZoneTrades
from gridagora.model.zone_study import ZoneRules
from gridagora.model.zones import DSO
from gridagora.studies.record import RunRecord, zones_of
from gridagora.units import amount_micro

Bools = NDArray[np.bool_]
TRADE_COLUMNS = tuple(field.name for field in fields(ZoneTrades))

TRADE, SHORTAGE, SUPPLY = 0, 1, 2
KINDS = ("trade", "shortage", "supply")
"""Words of the kinds of trades: with a seller in the zones or the retailer as buyer; with the retailer as
seller; what the DSO was asked for in place of a refused trade."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneSession:
    """A session of zone markets: what was cleared, and what was decided on it."""

    cleared: AuctionCleared
    zonal: ZonalClearing
    decided: TradesDecided


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneBook:
    """Every trade of a run: what it was and what became of it.

    Parameters
    ----------
    trades : as matched or asked for
    session, number : the session of each, and its place there from 0
    kind : position in `KINDS`
    follows : the trade in whose place a supply stands, -1 for all others
    approved : whether it stands
    """

    trades: ZoneTrades
    session: Ints
    number: Ints
    kind: Ints
    follows: Ints
    approved: Bools

    @property
    def amount_micro(self) -> Ints:
        """What the buyer of each pays, or would have paid."""
        return np.asarray(amount_micro(self.trades.quantity_wh, self.trades.price), dtype=np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneSteps:
    """Every step of every trade's way: columns of `TradeDecisions` over the run, texts by position."""

    trade: Ints
    step: Ints
    by: Ints
    decision: Ints
    reason: Ints
    at: Ints
    names: tuple[str, ...]
    reasons: tuple[str, ...]


def zone_sessions(record: RunRecord) -> list[ZoneSession]:
    """Return the finished sessions of zone markets in order; none for other markets."""
    decided = {one.session: one for one in record.events if isinstance(one, TradesDecided)}
    return [
        ZoneSession(cleared=one, zonal=one.zonal, decided=decided[one.session])
        for one in record.auctions()
        if one.zonal is not None and one.session in decided
    ]


def zone_book(record: RunRecord) -> ZoneBook:
    """Return the trades of a run with zones, and whether each stands."""
    homes = len(record.study.homes)
    columns: dict[str, list[Any]] = {name: [] for name in TRADE_COLUMNS}
    told: dict[str, list[Any]] = {name: [] for name in ("session", "number", "kind", "follows", "approved")}
    before = 0
    for one in zone_sessions(record):
        matched, supplies = one.zonal.trades, one.decided.decisions.supplies
        for name in TRADE_COLUMNS:
            columns[name] += [getattr(matched, name), getattr(supplies, name)]
        count, more = len(matched.period), len(supplies.period)
        told["session"].append(np.full(count + more, one.cleared.session))
        told["number"].append(np.arange(count + more))
        told["kind"] += [np.where(matched.seller == homes, SHORTAGE, TRADE), np.full(more, SUPPLY)]
        told["follows"] += [np.full(count, -1), before + one.decided.decisions.follows]
        told["approved"].append(one.decided.decisions.approved)
        before += count + more
    return ZoneBook(
        trades=ZoneTrades(**{name: _joined(parts) for name, parts in columns.items()}),
        **{name: _joined(parts) for name, parts in told.items() if name != "approved"},
        approved=_joined(told["approved"]).astype(np.bool_),
    )


def zone_steps(record: RunRecord) -> ZoneSteps:
    """Return every step that the controllers of a run took, in order."""
    names: dict[str, int] = {}
    reasons: dict[str, int] = {}
    columns: dict[str, list[Any]] = {name: [] for name in ("trade", "step", "by", "decision", "reason", "at")}
    before = 0
    for one in zone_sessions(record):
        found = one.decided.decisions
        columns["trade"].append(before + found.trade)
        columns["step"].append(found.step)
        columns["decision"].append(found.decision)
        columns["by"].append(_numbered(found.names, names)[found.by])
        columns["reason"].append(_numbered(found.reasons, reasons)[found.reason])
        columns["at"].append(np.full(len(found.trade), one.decided.at))
        before += len(found.approved)
    joined = {name: _joined(parts) for name, parts in columns.items()}
    return ZoneSteps(**joined, names=tuple(names), reasons=tuple(reasons))


def _numbered(texts: tuple[str, ...], known: dict[str, int]) -> Ints:
    """Return the number of each text among those of the run; new ones are added to it."""
    return np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)


def per_period(record: RunRecord, name: str) -> Any:
    """Return a column of `ZonalClearing` over all finished periods, (periods, zones) or (periods,)."""
    return np.concatenate([getattr(one.zonal, name) for one in zone_sessions(record)])[: record.periods]


def dso_of(rules: ZoneRules) -> str:
    """Return the name of the zone of the grid operator; "dso" where no zone is its own."""
    return next((zone.name for zone in rules.tree.zones if zone.level == DSO), DSO)


def inside(rules: ZoneRules) -> Bools:
    """Return for each zone which zones are it or lie inside it, (zones, zones)."""
    tree = rules.tree
    return np.asarray(tree.ancestors()[tree.depth] == np.arange(len(tree.zones))[:, None])


def summed(record: RunRecord, per_home: Floats) -> Floats:
    """Return values of homes, (periods, homes), summed over each zone and the zones inside it."""
    rules = zones_of(record.study)
    of_zone = inside(rules)[:, rules.of_home]
    return np.asarray(per_home @ of_zone.T.astype(np.float64))


def decided_wh(record: RunRecord, book: ZoneBook) -> Floats:
    """Return what the approved trades bring into each zone, net, Wh, (periods, zones); + into the zone.

    The retailer stands outside all zones, so that of the root is what the homes take from it.
    """
    rules, homes = zones_of(record.study), len(record.study.homes)
    shape = (record.periods, len(rules.tree.zones))
    net = np.zeros(shape)
    trades = book.trades
    for who, zone, sign in ((trades.buyer, trades.buyer_zone, 1), (trades.seller, trades.seller_zone, -1)):
        rows = book.approved & (who < homes) & (trades.period < record.periods)
        np.add.at(net, (trades.period[rows], zone[rows]), sign * trades.quantity_wh[rows])
    return np.asarray(net @ inside(rules).T.astype(np.float64))


def exchanged_wh(record: RunRecord, book: ZoneBook) -> Ints:
    """Return Wh of approved trades by the zone of the seller and that of the buyer.

    Shape (zones + 1, zones + 1); the last of each is the retailer.
    """
    homes, trades = len(record.study.homes), book.trades
    count = len(zones_of(record.study).tree.zones)
    rows = book.approved
    seller = np.where(trades.seller == homes, count, trades.seller_zone)[rows]
    buyer = np.where(trades.buyer == homes, count, trades.buyer_zone)[rows]
    found = np.zeros((count + 1, count + 1), dtype=np.int64)
    np.add.at(found, (seller, buyer), trades.quantity_wh[rows])
    return found


def zone_of_elements(record: RunRecord) -> dict[str, Any]:
    """Return the zone of each bus and branch as drawn, and of which zone a branch is the gate, or ""."""
    tree, drawing = zones_of(record.study).tree, record.drawing
    root = tree.names[tree.root]
    of_bus = tree.zone_of_bus()
    gate = {name: zone.name for zone in tree.zones for name in zone.gate_elements}
    ends = [
        [of_bus.get(bus, root) for bus in pair] for pair in zip(drawing.from_bus, drawing.to_bus, strict=True)
    ]
    deeper = [max(pair, key=lambda name: tree.depth[tree.position(name)]) for pair in ends]
    return {
        "zone": [*(of_bus.get(bus, root) for bus in drawing.buses), *deeper],
        "gate_of": [""] * len(drawing.buses) + [gate.get(name, "") for name in drawing.elements],
    }


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
