"""A strategy of a flexibility market beside its run, and tables with fixed columns made from parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gridagora.errors import require
from gridagora.model.columns import Ints
from gridagora.model.flexibility_events import FlexAuctionCleared, FlexMarketOpened, FlexSettled
from gridagora.model.flexibility_market import FlexMarketTerms
from gridagora.model.flexibility_study import FlexRules
from gridagora.studies.record import FlexRecord, FlexStrategy, RunRecord

KINDS = {
    "text": np.dtype(object),
    "int": np.dtype(np.int64),
    "float": np.dtype(np.float64),
    "flag": np.dtype(np.bool_),
    "time": np.dtype("datetime64[s]"),
}
EventKind = TypeVar("EventKind")

Columns = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexView:
    """A strategy beside the run that it belongs to: what all tables of the market start from."""

    record: RunRecord
    strategy: FlexStrategy

    @property
    def rules(self) -> FlexRules:
        """How the market of the study works."""
        rules = self.record.study.flexibility
        require(rules is not None, "a flexibility record belongs to a study with a flexibility market")
        return rules or FlexRules()

    @property
    def terms(self) -> FlexMarketTerms:
        """What the market was opened by."""
        return next(self.events(FlexMarketOpened)).terms

    @property
    def points(self) -> list[str]:
        """Names of the connection points, in the order of their codes."""
        return [point.participant for point in self.terms.points]

    @property
    def names(self) -> NDArray[Any]:
        """Names by code: connection points, then buyers."""
        return np.array(self.terms.participants, dtype=object)

    def events(self, kind: type[EventKind]) -> Iterator[EventKind]:
        """Yield the events of a kind in order."""
        return (event for event in self.strategy.events if isinstance(event, kind))

    @property
    def activations(self) -> list[FlexAuctionCleared]:
        """Auctions of the short term, in order."""
        return [e for e in self.events(FlexAuctionCleared) if e.auction.horizon == "activation"]

    def per_point(self, name: str) -> Ints:
        """Sum a column of `FlexSettled` over products: shape (points, periods), micro-units or Wh."""
        found = np.zeros((len(self.points), self.record.study.axis.periods), dtype=np.int64)
        for event in self.events(FlexSettled):
            values = getattr(event, name)
            whole = values.sum(axis=0) if values.ndim == 3 else values
            found[:, event.first : event.first + event.count] += whole
        return found[:, : self.record.periods]

    @property
    def received_micro(self) -> Ints:
        """What each connection point received for flexibility, shape (points, periods), - paid."""
        earned = self.per_point("due_micro") + self.per_point("fee_micro")
        lost = self.per_point("claw_back_micro") + self.per_point("penalty_micro")
        return earned - lost - self.per_point("withheld_micro")

    @property
    def homes(self) -> list[int]:
        """Number of the home behind each connection point."""
        place = {home.participant: k for k, home in enumerate(self.record.study.homes)}
        return [place[name] for name in self.points]


def flex_money(record: RunRecord) -> Ints:
    """Return what homes received for flexibility, micro-units, shape (periods, homes); 0 without a market."""
    found = np.zeros((record.periods, len(record.study.homes)), dtype=np.int64)
    if record.flexibility is not None:
        settled = views(record)[0]
        found[:, settled.homes] = settled.received_micro.T
    return found


def flex_of(record: RunRecord) -> FlexRecord:
    """Return the flexibility market of a record that has one."""
    found = record.flexibility
    require(found is not None, "the study has no flexibility market")
    return found or FlexRecord(strategies=())


def views(record: RunRecord) -> list[FlexView]:
    """Return the strategies of a run, the settled one first."""
    return [FlexView(record=record, strategy=strategy) for strategy in flex_of(record).strategies]


def frame_of(record: RunRecord, kinds: Mapping[str, str], parts: Sequence[Columns]) -> pd.DataFrame:
    """Join columns of several parts; an empty table keeps its columns and their types.

    Rows of periods that were not finished are left out; ``start`` follows from ``period``.
    """
    columns = {
        name: np.concatenate([np.asarray(part[name], dtype=KINDS[kind]) for part in parts])
        if parts
        else np.zeros(0, dtype=KINDS[kind])
        for name, kind in kinds.items()
        if name != "start"
    }
    if "period" in columns:
        kept = columns["period"] < record.periods
        columns = {name: values[kept] for name, values in columns.items()}
        columns["start"] = record.study.axis.starts[columns["period"]]
    return pd.DataFrame({name: columns[name] for name in kinds})
