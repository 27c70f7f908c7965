"""A cleared market as cooperative games: players are participants, a coalition's value is its best welfare.

v is additive over parts of the market that do not touch each other (periods; days or linked periods where a
rule
joins them), so each part is a game of its own among those who bid in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, InputError
from gridagora.market._capacity_clear import clear, components, ordered_markets
from gridagora.market._capacity_rules import AuctionRules
from gridagora.model.bids import Bids
from gridagora.model.results import ClearingResult, sum_by

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SAME_WELFARE = 1e-6
"""Share of the money at hand by which a result may miss the highest welfare and still count as best."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Market:
    """What payments are computed from: bids, their rules, what was accepted, and who the players are."""

    bids: Bids
    rules: AuctionRules
    accepted: NDArray[Any]
    period: Ints
    price: Floats
    names: NDArray[Any]
    owner: Ints

    @property
    def own_value(self) -> NDArray[Any]:
        """Utility of what each player bought minus cost of what it sold, w (F12)."""
        return self.by_player(self.bids.side * self.bids.price * self.accepted)

    def by_player(self, per_bid: NDArray[Any]) -> NDArray[Any]:
        """Sum of a number per bid for each player."""
        return sum_by(self.owner, per_bid, len(self.names))

    def restated(self, bids: Bids) -> "Market":
        """Return the market cleared anew with other bids in the same rows."""
        cleared = clear(bids, self.rules)
        middle = (cleared.low + cleared.high) / 2
        price = np.floor(middle) if bids.is_integer else middle
        return replace(self, bids=bids, accepted=cleared.accepted, period=cleared.period, price=price)


def market_of(result: ClearingResult) -> Market:
    """Read a result; those of plain energy auctions have the rules of the merit order.

    Players are numbered as they first appear, which needs no sort; `by_name` brings them into order.
    """
    from gridagora.market._capacity_kernels import bidder_codes

    ids = np.ascontiguousarray(result.bids.participant)
    same = np.zeros(len(ids), dtype=np.int64)
    words = ids.view(np.uint32).reshape(len(ids), -1) if len(ids) else np.zeros((0, 1), np.uint32)
    owner, count = bidder_codes(words, same, same.astype(np.int8))
    first = np.zeros(count, dtype=np.int64)
    first[owner[::-1]] = np.arange(len(ids))[::-1]
    names = ids[first]
    return Market(
        bids=result.bids,
        rules=getattr(result, "rules", AuctionRules()),
        accepted=result.accepted,
        period=result.period,
        price=result.price,
        names=names,
        owner=owner,
    )


def period_markets(market: Market) -> Iterator[Market]:
    """Split a market whose periods are cleared one by one; the players stay the same in each."""
    order = np.argsort(market.bids.period, kind="stable")
    start, end = (
        np.searchsorted(market.bids.period[order], market.period, side=side) for side in ("left", "right")
    )
    for number in range(len(market.period)):
        rows = order[start[number] : end[number]]
        yield replace(
            market,
            bids=market.bids.take(rows),
            rules=market.rules.take(rows),
            accepted=market.accepted[rows],
            period=market.period[number : number + 1],
            price=market.price[number : number + 1],
            owner=market.owner[rows],
        )


def by_name(market: Market) -> Market:
    """Return the market with its players in order of their names, whatever the order of the bids."""
    order = np.argsort(market.names)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return replace(market, names=market.names[order], owner=place[market.owner])


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One game: its bids and rules, the players who bid in it, and each bid's position among these.

    ``kind`` says how coalitions are valued: "merit", "ordered" (one ordered buyer) or "mixed".
    """

    kind: str
    bids: Bids
    rules: AuctionRules
    accepted: NDArray[Any]
    players: Ints
    owner: Ints

    @property
    def welfare(self) -> float:
        """Welfare of what was accepted."""
        return float(np.sort(self.bids.side * self.bids.price * self.accepted).sum())

    def value(self, member: NDArray[np.bool_]) -> float:
        """Best welfare of the coalition of the marked players, by clearing its bids."""
        rows = np.flatnonzero(member[self.owner])
        sides = self.bids.side[rows]
        if not (sides > 0).any() or not (sides < 0).any():
            return 0.0
        bids = self.bids.take(rows)
        accepted = clear(bids, self.rules.take(rows)).accepted
        return float(np.sort(bids.side * bids.price * accepted).sum())


def parts(market: Market) -> list[Part]:
    """Split a market into the games it consists of."""
    found = []
    for how, rows in components(market.bids, market.rules):
        if how == "mixed":
            found.append(_part(market, "mixed", rows))
            continue
        index = np.searchsorted(market.period, market.bids.period[rows])
        order = np.argsort(index, kind="stable")
        for mine in np.split(rows[order], np.flatnonzero(np.diff(index[order])) + 1):
            kind = "ordered" if how == "ordered" and not _descends(market, mine) else "merit"
            found.append(_part(market, kind, mine))
    return found


def _part(market: Market, kind: str, rows: Ints) -> Part:
    players, owner = np.unique(market.owner[rows], return_inverse=True)
    return Part(
        kind=kind,
        bids=market.bids.take(rows),
        rules=market.rules.take(rows),
        accepted=market.accepted[rows],
        players=players,
        owner=owner,
    )


def _descends(market: Market, rows: Ints) -> bool:
    """Tell whether a buyer's steps get cheaper one after the other, so that their order needs no rule."""
    buys = rows[market.bids.is_buy[rows]]
    steps = market.rules.steps
    order = buys if steps is None else buys[np.argsort(steps[buys], kind="stable")]
    return bool((np.diff(market.bids.price[order]) <= 0).all())


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervals:
    """A merit-order game as price intervals: width, and per player what is bought above and offered below."""

    width: Floats
    bought: Floats
    offered: Floats

    def value(self, member: NDArray[np.bool_]) -> float:
        """Welfare of the coalition of the marked players."""
        demand, supply = self.bought[:, member].sum(axis=1), self.offered[:, member].sum(axis=1)
        return float(self.width @ np.minimum(demand, supply))


def intervals(part: Part, quantity: Floats | None = None) -> Intervals:
    """Write a merit-order game as the integral over the price of min(demand above it, supply below it)."""
    amounts = part.bids.quantity.astype(np.float64) if quantity is None else quantity
    levels, at = np.unique(part.bids.price.astype(np.float64), return_inverse=True)
    shape = (len(levels), len(part.players))
    bought, offered = np.zeros(shape), np.zeros(shape)
    buys = part.bids.is_buy
    np.add.at(bought, (at[buys], part.owner[buys]), amounts[buys])
    np.add.at(offered, (at[~buys], part.owner[~buys]), amounts[~buys])
    # above level k: all buys of higher levels; at or below it: all sells up to it
    bought = (np.cumsum(bought[::-1], axis=0)[::-1])[1:]
    offered = np.cumsum(offered, axis=0)[:-1]
    used = (bought.sum(axis=1) > 0) & (offered.sum(axis=1) > 0)
    return Intervals(width=np.diff(levels)[used], bought=bought[used], offered=offered[used])


def value_table(part: Part) -> Floats:
    """Value of every coalition of a part; bit i of the position stands for its player i."""
    from gridagora.market.payments import _game_kernels

    if part.kind == "merit":
        shape = intervals(part)
        return _game_kernels.interval_table(shape.width, shape.bought, shape.offered)
    count = len(part.players)
    if part.kind == "ordered":
        return _ordered_table(part)
    masks = np.arange(1 << count)
    members = (masks[:, None] >> np.arange(count)) & 1 > 0
    return np.array([part.value(member) for member in members])


def _ordered_table(part: Part) -> Floats:
    from gridagora.market import _capacity_kernels

    count = len(part.players)
    sides = ordered_markets(part.bids, part.rules.steps)
    if len(sides.buys) == 0 or len(sides.sells) == 0:
        return np.zeros(1 << count)
    buyer = int(part.owner[sides.buys[0]])
    # sellers are numbered without the buyer; one who sells as well is a seller of its own coalition
    table = _capacity_kernels.ordered_table(
        sides.value, sides.bought, sides.cost, sides.offered, part.owner[sides.sells], count, sides.inverse[0]
    )
    table[(np.arange(1 << count) >> buyer) & 1 == 0] = 0.0
    return table


def check_best(market: Market, pieces: list[Part]) -> None:
    """Refuse results that are not of the highest welfare: VCG and Shapley payments do not fit them."""
    for part in pieces:
        money = float(np.abs(part.bids.price * part.bids.quantity).sum())
        best = part.value(np.ones(len(part.players), dtype=np.bool_))
        if abs(best - part.welfare) > SAME_WELFARE * max(money, 1e-300):
            reason = (
                f"its welfare in period {part.bids.period[0]} is {part.welfare:g}, not the best, {best:g}"
            )
            fix = "clear the bids by pay_as_cleared or capacity_limit_auction"
            raise InputError(
                [Fault(source="payments", place="result", value=part.welfare, reason=reason, fix=fix)]
            )
