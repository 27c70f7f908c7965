"""Which prices hold for a session: those that were sent, and the scenario's where none were."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gridagora.engine.live.context import LiveContext, axis_of
from gridagora.engine.live.resources.tariffs import COLUMNS, TARIFF, WITHDRAWN
from gridagora.engine.live.state import LiveState
from gridagora.model.columns import Floats
from gridagora.model.live import SessionTimes
from gridagora.settlement import Prices


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionTariff:
    """Prices of a session, and where they are from: columns of `GateClosed`."""

    prices: Prices
    tariffs: tuple[str, ...]
    stale: tuple[int, ...]


def session_tariff(state: LiveState, times: SessionTimes, context: LiveContext) -> SessionTariff:
    """Return the prices outside the market that hold for a session."""
    terms = state.open_terms
    sent, ids = _sent(state, times)
    tariffs = context.tariffs(axis_of(terms, times.first, times.count), sent)
    ends = context.tariffs_end
    stale = tuple(
        period
        for period, id_ in enumerate(ids or [""] * times.count, times.first)
        if ends is not None and not id_ and terms.begins(period) >= ends
    )
    return SessionTariff(prices=Prices.from_tariffs(tariffs), tariffs=tuple(ids), stale=stale)


def _sent(state: LiveState, times: SessionTimes) -> tuple[Mapping[str, Floats], list[str]]:
    """Return the prices that were sent for a session, NaN where none were, and the record of each period."""
    columns: dict[str, Floats] = {}
    ids: list[str] = []
    records = [record for record in state.register.all(TARIFF.name) if record.status != WITHDRAWN]
    for record in sorted(records, key=lambda record: (record.at, record.number)):
        prices = {name: record.body[name] for name in COLUMNS if record.body.get(name) is not None}
        first = int(record.body["first"])
        end = first + len(next(iter(prices.values())))
        begin, end = max(first, times.first), min(end, times.first + times.count)
        if begin >= end:
            continue
        ids = ids or [""] * times.count
        rows = slice(begin - times.first, end - times.first)
        ids[rows] = [record.id] * (end - begin)
        for name, values in prices.items():
            column = columns.setdefault(name, np.full(times.count, np.nan))
            column[rows] = values[begin - first : end - first]
    return columns, ids
