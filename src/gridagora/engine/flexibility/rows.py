"""Bids of an auction as columns of codes, from its events to the clearing and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility_events import FlexBidsSubmitted
from gridagora.model.flexibility_market import FlexAuction


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BidRows:
    """Bids, one entry each: participant codes, periods, sides, steps, prices, kW and blocks."""

    NAMES: ClassVar = ("participant", "period", "side", "step", "price", "quantity_kw", "group")

    participant: Ints
    period: Ints
    side: NDArray[np.int8]
    step: Ints
    price: Floats
    quantity_kw: Floats
    group: NDArray[np.str_]

    @classmethod
    def of(cls, parts: Sequence[FlexBidsSubmitted]) -> "BidRows":
        """Join what was submitted, in the order of arrival."""
        kinds = ("i8", "i8", "i1", "i8", "f8", "f8", "U1")
        columns: dict[str, Any] = {
            name: np.concatenate([np.zeros(0, np.dtype(kind)), *(getattr(part, name) for part in parts)])
            for name, kind in zip(cls.NAMES, kinds, strict=True)
        }
        return cls(**columns)

    def columns(self) -> dict[str, Any]:
        """Return the columns by name."""
        return {name: getattr(self, name) for name in self.NAMES}

    def joined(self, other: "BidRows") -> "BidRows":
        """Return these rows, then the others."""
        mine, more = self.columns(), other.columns()
        return BidRows(**{name: np.concatenate([mine[name], more[name]]) for name in self.NAMES})

    def bids(self) -> Bids:
        """Return the rows as bids whose participants are codes."""
        return Bids(
            side=self.side,
            price=self.price,
            quantity=self.quantity_kw,
            participant=self.participant,
            period=self.period,
            step=self.step,
            group=self.group,
        )

    def per_participant(
        self, side: int, values: Floats, auction: FlexAuction, *, participants: int
    ) -> Floats:
        """Sum values of one side per period of the auction and participant, shape (periods, participants)."""
        table = np.zeros((auction.count, participants))
        rows = np.flatnonzero(self.side == side)
        np.add.at(table, (self.period[rows] - auction.first, self.participant[rows]), values[rows])
        return table
