"""Zone markets: each zone covers itself, then trades with its siblings, then with what lies further out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.market._zonal_input import GateLimits, TransferLimits, ZonalInput, whole_wh, zonal_input
from gridagora.market._zonal_offers import GateRooms, offered, totals
from gridagora.market.mechanisms.pay_as_cleared import pay_as_cleared
from gridagora.model.bids import Bids
from gridagora.model.results import ClearingResult, sum_by
from gridagora.model.zones import ZoneTree

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd

__all__ = ["GateLimits", "Mechanism", "ZonalResult", "hierarchical_clearing", "whole_wh", "with_bulk"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mechanism = Callable[[Bids], ClearingResult]

MOST_PARTS = 32
"""Into how many calls the markets of one depth are split for an executor."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ZonalResult:
    """Outcome of zone markets.

    Parameters
    ----------
    bids, tree : what was cleared, and in which zones
    accepted : quantity accepted per bid, in all markets together
    by_depth : the same by the depth of the market's zone, (depths, bids): the last that a bid reaches from
        below is its own zone, 0 the bulk grid
    paid : money per bid, + received, - paid
    period : ids of the periods, ascending
    price : of the market of each zone, (periods, zones), NaN where nothing was traded in it
    volume : quantity bought in it, (periods, zones)
    imports : net import through the gate of each zone, (periods, zones), + into the zone; root 0
    """

    bids: Bids
    tree: ZoneTree
    accepted: NDArray[Any]
    by_depth: NDArray[Any]
    paid: NDArray[Any]
    period: Ints
    price: Floats
    volume: NDArray[Any]
    imports: NDArray[Any]

    @property
    def welfare(self) -> float:
        """Value of the accepted buys minus cost of the accepted sells, by the bids' own prices (E1)."""
        worth = self.bids.side * self.bids.price * self.accepted
        return float(sum_by(np.zeros(len(worth), dtype=np.int64), worth, 1)[0])

    @property
    def payments(self) -> "pd.Series[Any]":
        """Money per participant over all markets and periods, + received, - paid."""
        import pandas as pd

        names, index = np.unique(self.bids.participant, return_inverse=True)
        amounts = sum_by(index, self.paid, len(names))
        return pd.Series(amounts, index=pd.Index(names, name="participant"), name="payment")

    @property
    def prices(self) -> "pd.DataFrame":
        """Price of each zone's market (columns) per period (rows)."""
        import pandas as pd

        return pd.DataFrame(
            self.price, index=pd.Index(self.period, name="period"), columns=list(self.tree.names)
        )

    @property
    def flows(self) -> "pd.DataFrame":
        """Energy from parents to zones: period, zone, parent, quantity (+ into the zone)."""
        import pandas as pd

        zones = [position for position, zone in enumerate(self.tree.zones) if zone.parent is not None]
        return pd.DataFrame(
            {
                "period": np.repeat(self.period, len(zones)),
                "zone": [self.tree.zones[k].name for k in zones] * len(self.period),
                "parent": [self.tree.zones[k].parent for k in zones] * len(self.period),
                "quantity": self.imports[:, zones].ravel(),
            }
        )


def hierarchical_clearing(
    bids: Bids,
    tree: ZoneTree,
    *,
    transfer_kw: TransferLimits | None = None,
    period_h: float = 1.0,
    mechanism: Mechanism = pay_as_cleared,
    executor: "Executor | None" = None,
) -> ZonalResult:
    """Clear every zone by itself, then offer what is left to the zone around it, up to the bulk grid.

    The deepest zones clear first, all in one call.  What a zone left over is offered in the market of its
    parent, together with that of its siblings and the parent's own bids, best prices first, as far as the
    gates on the way have room; bids at the price where a gate's room ends share it pro rata.  Room counts
    net: what came in earlier may go out again.  A trade once made stays, though one further out may be worth
    more: see `gridagora.market.zonal_joint`.

    Parameters
    ----------
    bids : ``node`` is the name of a zone or a bus of one; the bulk grid's own orders stand at the root
        (`with_bulk`)
    tree : the zones
    transfer_kw : what may pass the gate of a zone, kW: one number, or (import, export); a zone that is left
        out has no limit; `GateLimits` where they change over time
    period_h : length of a period, hours
    mechanism : clears one market per period of the bids that it is given, each by its own bids alone
    executor : clears the zones of one depth in up to 32 parts side by side; for processes the mechanism must
        be a function of a module.  Default: all of them in one call.  The result is the same.

    Raises
    ------
    InputError
        Lists every fault: a node that is no zone and no bus, a limit that is none or of no zone, a period
        without limits where they change over time, an executor that is none.

    Notes
    -----
    MARKETS.md section 5, seed 000 section 4.2.3.

    Examples
    --------
    >>> from gridagora.model.zones import Zone
    >>> zones = [Zone(name="bulk", level="bulk", parent=None)]
    >>> zones += [Zone(name=name, level="lv", parent="bulk", buses=(name,)) for name in ("east", "west")]
    >>> bids = Bids(side=["buy", "sell", "buy"], price=[0.30, 0.10, 0.20], quantity=[2.0, 5.0, 4.0],
    ...             node=["east", "east", "west"])
    >>> result = hierarchical_clearing(bids, ZoneTree(zones=tuple(zones)), transfer_kw={"west": 1.0})
    >>> result.accepted.tolist(), result.imports.tolist()
    ([2.0, 3.0, 1.0], [[0.0, -1.0, 1.0]])
    """
    known = _executor_faults(executor)
    given = zonal_input(bids, tree, transfer_kw=transfer_kw, period_h=period_h, known=known)
    # Sums then do not depend on the order of the bids.
    place = (given.zone * len(given.periods) + given.at) * 2 + bids.is_buy
    order = np.lexsort((bids.quantity, bids.price, place))
    sorted_bids = bids.take(order)
    ancestors = tree.ancestors()[:, given.zone[order]]
    rooms = GateRooms(given=given, at=given.at[order], ancestors=ancestors)
    state = _State(len(ancestors), sorted_bids, shape=(len(given.periods), len(tree.zones)))
    for depth in reversed(range(len(ancestors))):
        quantity = offered(sorted_bids, state.accepted, depth=depth, rooms=rooms)
        _clear(state, quantity, depth=depth, rooms=rooms, mechanism=mechanism, executor=executor)
    return _result(state, bids, tree, given=given, order=order, rooms=rooms)


def with_bulk(bids: Bids, tree: ZoneTree, *, pays: float, asks: float, name: str = "bulk grid") -> Bids:
    """Return bids with two orders of the bulk grid at the root in each period, for more than is on offer.

    It so is filled in part whenever it trades, and sets the price.

    Parameters
    ----------
    bids, tree : bids of zones
    pays, asks : price at which it takes and at which it gives energy, ``pays <= asks``
    name : its id; -1 where participants are numbers

    Raises
    ------
    InputError
        When it would pay more than it asks, and so trade with itself.

    Examples
    --------
    >>> from gridagora.model.zones import Zone
    >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),))
    >>> alone = Bids(side=["buy"], price=[0.4], quantity=[2.0], node=["bulk"])
    >>> hierarchical_clearing(with_bulk(alone, tree, pays=0.1, asks=0.3), tree).price.tolist()
    [[0.3]]
    """
    if not pays <= asks:
        fix = "let it ask at least what it pays"
        check_faults([Fault(source="bulk", place="pays", value=pays, reason="is above asks", fix=fix)])
    periods, at = np.unique(bids.period, return_inverse=True)
    bought, sold = (
        sum_by(at[side], bids.quantity[side], len(periods)) for side in (bids.is_buy, ~bids.is_buy)
    )
    count = 2 * len(periods)
    columns: dict[str, Any] = {}
    for column in ("participant", "carrier", "group", "step"):
        values = getattr(bids, column)
        if values is None:
            continue
        own: Any = name if values.dtype.kind not in "iuf" else -1
        columns[column] = np.full(count, values[0] if column == "carrier" and len(values) else own)
    root = tree.names[tree.root]
    orders = Bids(
        side=np.repeat([1, -1], len(periods)),
        price=np.repeat([pays, asks], len(periods)),
        quantity=2 * np.concatenate([sold, bought]),
        period=np.tile(periods, 2),
        node=np.full(count, root),
        **columns,
    )
    return Bids.concat([bids, orders])


class _State:
    """What has been cleared so far, in the order of the sorted bids."""

    def __init__(self, depths: int, bids: Bids, *, shape: tuple[int, int]) -> None:
        self.bids = bids
        self.by_depth = np.zeros((depths, len(bids)), dtype=bids.quantity.dtype)
        self.accepted = np.zeros(len(bids), dtype=bids.quantity.dtype)
        self.paid: NDArray[Any] = np.zeros(len(bids), dtype=bids.quantity.dtype)
        self.price = np.full(shape, np.nan)
        self.volume = np.zeros(shape, dtype=bids.quantity.dtype)


def _clear(
    state: _State,
    quantity: NDArray[Any],
    *,
    depth: int,
    rooms: GateRooms,
    mechanism: Mechanism,
    executor: "Executor | None",
) -> None:
    """Clear the markets of all zones of one depth: a zone in a period is a period of the call."""
    rows = np.flatnonzero(quantity > 0)
    if not len(rows):
        return
    zones = state.price.shape[1]
    zone = rooms.ancestors[depth, rows]
    parts = [rows] if executor is None else _parts(rows, zone, zones=zones)
    periods = rooms.at * zones + rooms.ancestors[depth]
    markets = [_market(state.bids, part, quantity=quantity, periods=periods) for part in parts]
    run = map if executor is None else executor.map
    for part, found in zip(parts, run(_cleared, [mechanism] * len(parts), markets), strict=True):
        accepted, paid, period, price = found
        state.by_depth[depth, part] = accepted
        state.accepted[part] += accepted
        state.paid[part] += paid
        state.price.ravel()[period] = price
    bought = rows[state.bids.is_buy[rows]]
    state.volume += totals(periods[bought], state.by_depth[depth, bought], state.volume.size).reshape(
        state.volume.shape
    )


def _parts(rows: Ints, zone: Ints, *, zones: int) -> list[Ints]:
    """Split rows into parts of whole zones, with about the same number of bids each."""
    running = np.cumsum(np.bincount(zone, minlength=zones))
    part = (running[zone] - 1) * MOST_PARTS // len(rows)
    return [rows[part == number] for number in np.unique(part)]


def _market(bids: Bids, rows: Ints, *, quantity: NDArray[Any], periods: Ints) -> Bids:
    return Bids(
        side=bids.side[rows],
        price=bids.price[rows],
        quantity=quantity[rows],
        participant=bids.participant[rows],
        period=periods[rows],
        **{
            name: column[rows]
            for name in ("node", "carrier", "group", "step")
            if (column := getattr(bids, name)) is not None
        },
    )


def _cleared(mechanism: Mechanism, market: Bids) -> tuple[NDArray[Any], NDArray[Any], Ints, NDArray[Any]]:
    """Return what is accepted and paid per bid, and the price of each period: all that is wanted back."""
    result = mechanism(market)
    return result.accepted, result.paid, result.period, result.price


def _executor_faults(executor: object) -> list[Fault]:
    if executor is None or callable(getattr(executor, "map", None)):
        return []
    reason, fix = "is no executor", "give one of concurrent.futures, or None"
    return [Fault(source="zones", place="executor", value=executor, reason=reason, fix=fix)]


def _result(
    state: _State, bids: Bids, tree: ZoneTree, *, given: ZonalInput, order: Ints, rooms: GateRooms
) -> ZonalResult:
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    imports = np.zeros((len(given.periods), len(tree.zones)), dtype=state.accepted.dtype)
    for depth in range(1, len(rooms.ancestors)):
        imports += rooms.net(state.bids, state.accepted, depth=depth)
    return ZonalResult(
        bids=bids,
        tree=tree,
        accepted=state.accepted[back],
        by_depth=state.by_depth[:, back],
        paid=state.paid[back],
        period=given.periods,
        price=state.price,
        volume=state.volume,
        imports=imports,
    )
