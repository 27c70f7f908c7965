"""Copper plates without conditions: the merit order of `pay_as_cleared`, carrier by carrier."""

import numpy as np

from gridagora.market.merit import merit_order
from gridagora.market.network_result import Binding, CarrierOutcome, NetworkResult, Paradoxes
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Carrier


def clear_plates(
    bids: Bids, carriers: tuple[Carrier, ...], *, binding: int | None, kw_per_unit: float
) -> NetworkResult:
    """Clear each carrier at one price per period, its bids as they are: integers stay exact."""
    period = np.unique(bids.period)
    accepted, money = np.zeros_like(bids.quantity), np.zeros_like(bids.quantity)
    outcomes = []
    for one in carriers:
        rows = np.arange(len(bids)) if bids.carrier is None else np.flatnonzero(bids.carrier == one.name)
        price = np.full(len(period), np.nan)
        if len(rows):
            merit = merit_order(bids.take(rows))
            price[np.searchsorted(period, merit.period)] = merit.price
            accepted[rows] = merit.accepted
            each = price[np.searchsorted(period, bids.period[rows])]
            each = np.where(merit.accepted > 0, each, 0).astype(money.dtype)
            money[rows] = -bids.side[rows] * each * merit.accepted
        outcomes.append(_outcome(one.name, price))
    if binding is not None:
        money[np.searchsorted(period, bids.period) >= binding] = 0
    none = np.zeros(0)
    texts = none.astype(np.str_)
    return NetworkResult(
        bids=bids,
        accepted=accepted,
        period=period,
        price=outcomes[0].price[:, 0].copy() if outcomes else np.full(len(period), np.nan),
        paid_by_bid=money,
        carriers=tuple(outcomes),
        binding_limits=Binding(
            period=none.astype(np.int64),
            carrier=texts,
            name=texts,
            part=texts,
            side=texts,
            value=none,
            worth=none,
        ),
        paradoxes=Paradoxes(bid=none.astype(np.int64), unit=none.astype(np.int64), kind=texts, loss=none),
        kvar=np.zeros(len(bids)),
        binding_periods=binding,
        kw_per_unit=kw_per_unit,
    )


def _outcome(name: str, price: np.ndarray[tuple[int], np.dtype[np.float64]]) -> CarrierOutcome:
    column = price[:, None]
    parts = np.where(np.isnan(column), np.nan, np.zeros((4, len(price), 1)))
    parts[0] = column
    nothing = np.zeros((len(price), 1))
    return CarrierOutcome(
        name=name,
        nodes=("",),
        slack=0,
        price=column,
        parts=parts,
        reactive=np.where(np.isnan(column), np.nan, 0.0),
        kw=nothing,
        kvar=nothing,
        losses_kw=np.zeros(len(price)),
        lines=(),
        flows=np.zeros((len(price), 0)),
    )
