"""The table of reservations: what was reserved for each period, called, offered, and what it earned."""

from collections import defaultdict
from collections.abc import Iterator

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


_SUMS = ("reserved_kw", "released_kw", "called_kw", "dispatched_kw")


def contracts_table(record: RunRecord) -> pd.DataFrame:
    """One row per strategy, seller and reserved period; fees are those of all its contracts together."""
    return frame_of(record, CONTRACTS, [_contracts(view) for view in views(record)])


def _contracts(view: FlexView) -> Columns:
    names, sums, tests = _gathered(view)
    keys = sorted(names, key=lambda key: (key[1], key[0]))
    found: Columns = {
        "strategy": np.full(len(keys), view.strategy.name),
        "period": [period for _, period in keys],
        "participant": [name for name, _ in keys],
        "contracts": ["; ".join(names[key]) for key in keys],
        "test": [key in tests for key in keys],
        **{name: [sums[name, key] for key in keys] for name in _SUMS},
    }
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


def _gathered(view: FlexView) -> tuple[dict[_Key, list[str]], dict[tuple[str, _Key], float], set[_Key]]:
    """Return contracts by (seller, period), kW by (what, key), and the keys of test calls."""
    names: dict[_Key, list[str]] = defaultdict(list)
    sums: dict[tuple[str, _Key], float] = defaultdict(float)
    seller: dict[str, str] = {}
    left: dict[_Key, float] = {}
    for contract in _made(view):
        seller[contract.id] = contract.seller
        for period in contract.periods:
            key = (contract.seller, period)
            names[key].append(contract.id)
            left[contract.id, period] = contract.kw_in(period)
            sums["reserved_kw", key] += left[contract.id, period]
    for release in view.events(ReservationReleased):
        for period, kw in zip(release.periods, release.kw, strict=True):
            sums["released_kw", (seller[release.contract], period)] += left[release.contract, period] - kw
            left[release.contract, period] = kw
    tests = set()
    for call in view.events(ReservationsCalled):
        for name in call.contracts:
            for period, kw in zip(call.periods, call.requested_kw, strict=True):
                sums["called_kw", (seller[name], period)] += kw
                tests |= {(seller[name], period)} if call.test else set()
    for order in view.events(ContractDispatched):
        for period, kw in zip(order.periods, order.kw, strict=True):
            sums["dispatched_kw", (seller[order.contract], period)] += kw
    return names, sums, tests


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
