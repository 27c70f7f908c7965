"""A zone cut off from the grid balances itself: who is served, who is shed, what is not called."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault
from gridagora.market._zonal_input import zonal_input
from gridagora.market.merit import merit_order
from gridagora.model.bids import Bids
from gridagora.model.numbers import read_numbers
from gridagora.model.results import sum_by
from gridagora.model.zones import ZoneTree

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IslandResult:
    """How an island balanced itself; quantities in the unit of the bids.

    Parameters
    ----------
    bids : those of the zone and of the zones inside it
    rows : their rows among the bids that were given
    served : what each buy gets and each sell gives
    not_served : what firm buys lack, 0 for all else
    declined : what other buys do not get: their price covers no supply that is left
    not_called : what sells offered and the island had no use for: sun that is curtailed, storage that is kept
    period : ids of the periods, ascending
    price : ask of the dearest sell that is called per period, NaN where none is
    value_of_lost_load : currency per unit
    """

    bids: Bids
    rows: Ints
    served: NDArray[Any]
    not_served: NDArray[Any]
    declined: NDArray[Any]
    not_called: NDArray[Any]
    period: Ints
    price: Floats
    value_of_lost_load: float

    @property
    def lost_load_cost(self) -> float:
        """Value of all energy not served."""
        return float(self.not_served.sum() * self.value_of_lost_load)

    @property
    def participants(self) -> "pd.DataFrame":
        """Per participant: bought, sold, not_served, lost_load_cost, declined, not_called."""
        import pandas as pd

        names, index = np.unique(self.bids.participant, return_inverse=True)
        buy = self.bids.is_buy
        columns = {
            "bought": np.where(buy, self.served, 0),
            "sold": np.where(buy, 0, self.served),
            "not_served": self.not_served,
            "lost_load_cost": self.not_served * self.value_of_lost_load,
            "declined": self.declined,
            "not_called": self.not_called,
        }
        table = {name: sum_by(index, values, len(names)) for name, values in columns.items()}
        return pd.DataFrame(table, index=pd.Index(names, name="participant"))


def island(
    zone: str,
    bids: Bids,
    tree: ZoneTree,
    *,
    value_of_lost_load: float,
    firm: ArrayLike | None = None,
) -> IslandResult:
    """Balance a zone that is cut off from the grid, by its own bids and those of the zones inside it.

    Firm load is a need: it is served whatever the supply asks, up to the value of lost load, cheapest supply
    first.  What lacks is shed from the lowest bid upwards, equal bids pro rata.  Other buys take what is left
    where their price covers the ask.  Wires inside the zone are not looked at: check the schedule.

    Parameters
    ----------
    zone : name of the zone
    bids : ``node`` is the name of a zone or a bus of one; those outside the island are left aside
    tree : the zones
    value_of_lost_load : currency per unit of energy of the bids, above every ask that may be called
    firm : buys that are load which must run, one flag per bid; default all

    Raises
    ------
    InputError
        Lists every fault: an unknown zone or node, flags of another length, no positive value of lost load.

    Notes
    -----
    MARKETS.md section 5: a zone can be islanded and must then balance itself.

    Examples
    --------
    >>> from gridagora.model.zones import Zone
    >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
    ...                        Zone(name="farm", level="lv", parent="bulk", buses=("1",))))
    >>> bids = Bids(side=["buy", "buy", "sell"], price=[0.30, 0.20, 0.50], quantity=[2.0, 3.0, 4.0],
    ...             participant=["dairy", "barn", "diesel"], node=["1", "1", "1"])
    >>> result = island("farm", bids, tree, value_of_lost_load=5.0)
    >>> result.served.tolist(), result.not_served.tolist(), result.lost_load_cost
    ([2.0, 2.0, 4.0], [0.0, 1.0, 0.0], 5.0)
    """
    flags = np.ones(len(bids), dtype=bool) if firm is None else np.asarray(firm)
    known = _faults(bids, flags, value_of_lost_load)
    if zone not in tree:
        fix = f"use one of {tree.names[:9]}"
        known.append(
            Fault(source="island", place="zone", value=zone, reason="there is no such zone", fix=fix)
        )
    given = zonal_input(bids, tree, transfer_kw=None, period_h=1.0, known=known)
    rows = np.flatnonzero(tree.inside(zone)[given.zone])
    own = bids.take(rows)
    is_firm = flags[rows].astype(bool) & own.is_buy
    merit = merit_order(_ranked(own, is_firm, value_of_lost_load))
    left: NDArray[Any] = own.quantity - merit.accepted
    zero = np.zeros_like(left)
    return IslandResult(
        bids=own,
        rows=rows,
        served=merit.accepted,
        not_served=np.where(is_firm, left, zero),
        declined=np.where(own.is_buy & ~is_firm, left, zero),
        not_called=np.where(own.is_buy, zero, left),
        period=merit.period,
        price=_dearest_called(own, merit.accepted, merit.period),
        value_of_lost_load=value_of_lost_load,
    )


def _ranked(bids: Bids, firm: Bools, value_of_lost_load: float) -> Bids:
    """Return the bids so that the merit order serves needs first and calls no ask above a lost load's value.

    Firm buys bid above all that may be called, in the order of their own bids.
    """
    price, quantity = bids.price.copy(), bids.quantity.copy()
    quantity[~bids.is_buy & (price > value_of_lost_load)] = 0
    top = max(value_of_lost_load, price.max(initial=0))
    rank = np.unique(price[firm], return_inverse=True)[1] + 1
    price[firm] = np.ceil(top) + rank
    columns = {
        name: column
        for name in ("node", "carrier", "group", "step")
        if (column := getattr(bids, name)) is not None
    }
    return Bids(
        side=bids.side,
        price=price,
        quantity=quantity,
        participant=bids.participant,
        period=bids.period,
        **columns,
    )


def _dearest_called(bids: Bids, served: NDArray[Any], periods: Ints) -> Floats:
    price = np.full(len(periods), -np.inf)
    called = ~bids.is_buy & (served > 0)
    np.maximum.at(price, np.searchsorted(periods, bids.period[called]), bids.price[called])
    return np.where(np.isinf(price), np.nan, price)


def _faults(bids: Bids, flags: NDArray[Any], value_of_lost_load: float) -> list[Fault]:
    faults = []
    if flags.shape != (len(bids),):
        fix = f"give {len(bids)} flags, one per bid"
        faults.append(Fault(source="island", place="firm", value=flags.shape, reason="does not fit", fix=fix))
    elif flags.dtype.kind != "b" and not np.isin(flags, (0, 1)).all():
        reason, fix = "has flags that are neither true nor false", "give True or False per bid"
        value = sorted({str(flag) for flag in flags.tolist()})[:8]
        faults.append(Fault(source="island", place="firm", value=value, reason=reason, fix=fix))
    (worth,), strange = read_numbers("island", value_of_lost_load=value_of_lost_load)
    if strange or worth.ndim or not 0 < worth < np.inf:
        reason, fix = "is no value of lost load", "give currency per unit of energy, above 0"
        faults.append(
            Fault(
                source="island",
                place="value_of_lost_load",
                value=value_of_lost_load,
                reason=reason,
                fix=fix,
            )
        )
    return faults
