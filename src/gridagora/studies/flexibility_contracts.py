"""The table of reservations: what was reserved for each period, called, offered, and what it earned."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gridagora.model.flexibility_events import (
    ContractDispatched,
    FlexAuctionCleared,
    ReservationReleased,
    ReservationsCalled,
    TenderAwarded,
)
from gridagora.model.reservation import FlexContract
from gridagora.studies.flexibility_view import Columns, FlexView, frame_of, views
from gridagora.studies.record import RunRecord
from gridagora.units import MICRO

CONTRACTS = {
    "strategy": "text",
    "period": "int",
    "start": "time",
    "participant": "text",
    "contracts": "text",
    "reserved_kw": "float",
    "released_kw": "float",
    "called_kw": "float",
    "test": "flag",
    "dispatched_kw": "float",
    "offered_kw": "float",
    "accepted_kw": "float",
    "fee": "float",
    "withheld": "float",
}

_Key = tuple[str, int]


@dataclass(kw_only=True, slots=True)
class _Row:
    """What is gathered of a seller's reservations in one period, kW."""

    contracts: list[str] = field(default_factory=list)
    reserved_kw: float = 0.0
    released_kw: float = 0.0
    called_kw: float = 0.0
    test: bool = False
    dispatched_kw: float = 0.0


def contracts_table(record: RunRecord) -> pd.DataFrame:
    """One row per strategy, seller and reserved period; fees are those of all its contracts together."""
    return frame_of(record, CONTRACTS, [_contracts(view) for view in views(record)])


def _contracts(view: FlexView) -> Columns:
    rows = _gathered(view)
    keys = sorted(rows, key=lambda key: (key[1], key[0]))
    found: Columns = {
        "strategy": np.full(len(keys), view.strategy.name),
        "period": [period for _, period in keys],
        "participant": [name for name, _ in keys],
        "contracts": ["; ".join(rows[key].contracts) for key in keys],
    }
    for name in ("reserved_kw", "released_kw", "called_kw", "test", "dispatched_kw"):
        found[name] = [getattr(rows[key], name) for key in keys]
    offered, accepted = _offers(view)
    found["offered_kw"] = [offered[key] for key in keys]
    found["accepted_kw"] = [accepted[key] for key in keys]
    place = {name: k for k, name in enumerate(view.points)}
    for name in ("fee", "withheld"):
        money = view.per_point(f"{name}_micro") / MICRO
        found[name] = [money[place[who], period] if period < money.shape[1] else 0.0 for who, period in keys]
    return found


def _made(view: FlexView) -> Iterator[FlexContract]:
    for event in view.strategy.events:
        if isinstance(event, FlexAuctionCleared | TenderAwarded):
            yield from event.contracts


def _gathered(view: FlexView) -> dict[_Key, _Row]:
    rows: dict[_Key, _Row] = defaultdict(_Row)
    seller: dict[str, str] = {}
    left: dict[tuple[str, int], float] = {}
    for contract in _made(view):
        seller[contract.id] = contract.seller
        for period in contract.periods:
            row, kw = rows[contract.seller, period], contract.kw_in(period)
            row.contracts.append(contract.id)
            row.reserved_kw += kw
            left[contract.id, period] = kw
    for release in view.events(ReservationReleased):
        for period, kw in zip(release.periods, release.kw, strict=True):
            before = left[release.contract, period]
            rows[seller[release.contract], period].released_kw += before - kw
            left[release.contract, period] = kw
    for call in view.events(ReservationsCalled):
        for name in call.contracts:
            for period, kw in zip(call.periods, call.requested_kw, strict=True):
                row = rows[seller[name], period]
                row.called_kw += kw
                row.test = row.test or call.test
    for order in view.events(ContractDispatched):
        for period, kw in zip(order.periods, order.kw, strict=True):
            rows[seller[order.contract], period].dispatched_kw += kw
    return rows


def _offers(view: FlexView) -> tuple[dict[_Key, float], dict[_Key, float]]:
    """Return what each seller offered and sold in activation auctions, kW by (seller, period)."""
    offered: dict[_Key, float] = defaultdict(float)
    accepted: dict[_Key, float] = defaultdict(float)
    for event in view.activations:
        for row in np.flatnonzero(event.side < 0).tolist():
            key = (str(view.names[event.participant[row]]), int(event.period[row]))
            offered[key] += float(event.quantity_kw[row])
            accepted[key] += float(event.accepted_kw[row])
    return offered, accepted
