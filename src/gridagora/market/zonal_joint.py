"""All zones cleared as one market over the same gates, and what clearing them in turn loses against it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._zonal_input import TransferLimits, ZonalInput, zonal_input
from gridagora.market.mechanisms.pay_as_cleared import pay_as_cleared
from gridagora.market.zonal import Mechanism, ZonalResult, hierarchical_clearing
from gridagora.model.bids import Bids
from gridagora.model.results import sum_by
from gridagora.model.zones import ZoneTree
from gridagora.solve import LinearProgram, solve

if TYPE_CHECKING:
    from concurrent.futures import Executor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class JointResult:
    """The welfare optimum over all zones at once.

    Parameters
    ----------
    accepted : quantity per bid; floats, also of whole bids
    period : ids of the periods, ascending
    price : of each zone, (periods, zones): the dual of its balance
    imports : net import through the gate of each zone, (periods, zones), + into the zone; root 0
    welfare : value of the accepted buys minus cost of the accepted sells
    """

    accepted: Floats
    period: Ints
    price: Floats
    imports: Floats
    welfare: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WelfareGap:
    """What clearing zones in turn loses against one joint clearing."""

    hierarchical: ZonalResult
    joint: JointResult

    @property
    def gap(self) -> float:
        """Welfare of the joint clearing minus that of the zones in turn, >= 0 but for rounding."""
        return self.joint.welfare - self.hierarchical.welfare

    @property
    def share(self) -> float:
        """The gap as a share of the joint welfare; 0 where there is none to win."""
        return self.gap / self.joint.welfare if self.joint.welfare > 0 else 0.0


def joint_clearing(
    bids: Bids, tree: ZoneTree, *, transfer_kw: TransferLimits | None = None, period_h: float = 1.0
) -> JointResult:
    """Clear all zones at once at the welfare optimum, within the limits of their gates.

    Maximise ``sum side x price x accepted`` subject to ``sum side x accepted + flow to the zones inside =
    flow through the gate`` in every zone; each period is a linear program of its own, whose minimum is minus
    the welfare.

    Parameters
    ----------
    bids, tree, transfer_kw, period_h : see `hierarchical_clearing`

    Raises
    ------
    InputError
        Lists every fault: a node that is no zone and no bus, a limit that is none or of no zone.

    Notes
    -----
    MARKETS.md sections 2 (E1, E2) and 5.

    Examples
    --------
    >>> from gridagora.model.zones import Zone
    >>> zones = [Zone(name="bulk", level="bulk", parent=None)]
    >>> zones += [Zone(name=name, level="lv", parent="bulk", buses=(name,)) for name in ("east", "west")]
    >>> bids = Bids(side=["buy", "sell", "buy"], price=[0.30, 0.10, 0.20], quantity=[2.0, 5.0, 4.0],
    ...             node=["east", "east", "west"])
    >>> result = joint_clearing(bids, ZoneTree(zones=tuple(zones)), transfer_kw={"west": 1.0})
    >>> result.accepted.tolist(), result.price.round(2).tolist()
    ([2.0, 3.0, 1.0], [[0.1, 0.1, 0.2]])
    """
    given = zonal_input(bids, tree, transfer_kw=transfer_kw, period_h=period_h)
    accepted = np.zeros(len(bids))
    price, imports = (np.zeros((len(given.periods), len(tree.zones))) for _ in range(2))
    order = np.argsort(given.at, kind="stable")
    stops = np.searchsorted(given.at[order], np.arange(len(given.periods) + 1))
    for row in range(len(given.periods)):
        rows = order[stops[row] : stops[row + 1]]
        answer = solve(_program(bids, tree, rows=rows, given=given, period=row))
        accepted[rows] = np.clip(answer.values[: len(rows)], 0.0, bids.quantity[rows])
        imports[row] = answer.values[len(rows) :]
        price[row] = 0.0 - answer.duals
    worth = bids.side * bids.price * accepted
    welfare = float(sum_by(np.zeros(len(worth), dtype=np.int64), worth, 1)[0])
    return JointResult(accepted=accepted, period=given.periods, price=price, imports=imports, welfare=welfare)


def welfare_gap(
    bids: Bids,
    tree: ZoneTree,
    *,
    transfer_kw: TransferLimits | None = None,
    period_h: float = 1.0,
    mechanism: Mechanism = pay_as_cleared,
    executor: "Executor | None" = None,
) -> WelfareGap:
    """Clear zones in turn and jointly, and compare the welfare.

    The gap is never negative, for the joint market could do what the zones did.  It is zero where gates let
    nothing through, and where all zones lie side by side in the root and each holds only buyers or only
    sellers.  Wide gates alone do not close it: a zone that covers itself may use up a sell, or serve a buy,
    that is worth more outside, and what has been traded stays traded.

    Parameters
    ----------
    bids, tree, transfer_kw, period_h, mechanism, executor : see `hierarchical_clearing`

    Raises
    ------
    InputError
        As `hierarchical_clearing`.

    Examples
    --------
    >>> from gridagora.model.zones import Zone
    >>> zones = [Zone(name="bulk", level="bulk", parent=None)]
    >>> zones += [Zone(name=name, level="lv", parent="bulk", buses=(name,)) for name in ("east", "west")]
    >>> bids = Bids(side=["buy", "sell", "buy"], price=[0.15, 0.10, 0.30], quantity=[2.0, 2.0, 2.0],
    ...             node=["east", "east", "west"])
    >>> found = welfare_gap(bids, ZoneTree(zones=tuple(zones)))
    >>> round(found.hierarchical.welfare, 2), round(found.joint.welfare, 2), round(found.share, 2)
    (0.1, 0.4, 0.75)
    """
    return WelfareGap(
        hierarchical=hierarchical_clearing(
            bids, tree, transfer_kw=transfer_kw, period_h=period_h, mechanism=mechanism, executor=executor
        ),
        joint=joint_clearing(bids, tree, transfer_kw=transfer_kw, period_h=period_h),
    )


def _program(bids: Bids, tree: ZoneTree, *, rows: Ints, given: ZonalInput, period: int) -> LinearProgram:
    """Return one period as a linear program: columns are its bids, then the gates; rows are the zones."""
    side = bids.side[rows].astype(np.float64)
    zones = len(tree.zones)
    own = np.arange(zones)
    inner = tree.parent >= 0
    # A gate takes from its zone's balance and adds to that of the parent; that of the root stays closed.
    entries: list[Any] = [side, np.stack([-np.ones(zones), np.ones(zones)], axis=1)[_kept(inner)]]
    places: list[Any] = [given.zone[rows], np.stack([own, tree.parent], axis=1)[_kept(inner)]]
    starts = np.concatenate([np.arange(len(rows)), len(rows) + np.cumsum([0, *(1 + inner)])])
    zero = np.zeros(zones)
    # Limits that do not change have one row.
    export, enter = (limit[period % len(limit)] for limit in (given.export_limit, given.import_limit))
    return LinearProgram(
        cost=np.concatenate([-side * bids.price[rows], zero]),
        lower=np.concatenate([np.zeros(len(rows)), np.where(inner, -export, 0.0)]),
        upper=np.concatenate([bids.quantity[rows].astype(np.float64), np.where(inner, enter, 0.0)]),
        row_lower=zero,
        row_upper=zero,
        starts=starts.astype(np.int32),
        rows=np.concatenate(places).astype(np.int32),
        entries=np.concatenate(entries),
    )


def _kept(inner: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which of (own balance, parent's balance) of each gate there are."""
    return np.stack([np.ones(len(inner), dtype=bool), inner], axis=1)
