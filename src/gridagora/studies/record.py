"""What a finished (or stopped) run leaves behind, as arrays: the source of every table and key figure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.events import (
    AuctionCleared,
    EnergyDelivered,
    Event,
    Floats,
    Ints,
    ScheduleChecked,
    SessionSettled,
)
from gridagora.model.study import Study


@dataclass(frozen=True, kw_only=True, slots=True)
class Flows:
    """A power flow of all periods: shapes (periods,), (periods, buses) and (periods, elements).

    ``elements`` are lines, then transformers (the last ``transformers`` columns); ``unbalance_percent`` is
    NaN for a symmetric calculation; not converged periods hold NaN.
    """

    converged: NDArray[np.bool_]
    import_kw: Floats
    losses_kw: Floats
    vm_pu: Floats
    loading_percent: Floats
    transformers: int
    unbalance_percent: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Violations:
    """Limits broken, one entry each: period, stage, kind, element, value, limit and who stands behind it."""

    period: Ints
    stage: tuple[str, ...]
    kind: tuple[str, ...]
    element: tuple[str, ...]
    value: Floats
    limit: Floats
    participants: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GridDrawing:
    """The grid as drawn: bus names and coordinates, and per element the two buses it joins."""

    buses: tuple[str, ...]
    x: Floats
    y: Floats
    elements: tuple[str, ...]
    from_bus: tuple[str, ...]
    to_bus: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledMoney:
    """Settlement lines over all periods, micro-units and Wh, shape (periods, homes); + received, - paid."""

    traded_wh: Ints
    local_bought_wh: Ints
    local_sold_wh: Ints
    energy: Ints
    retail: Ints
    imbalance: Ints
    network: Ints
    taxes: Ints

    @property
    def total(self) -> Ints:
        """Money per period and home before standing charges."""
        return np.asarray(
            self.energy + self.retail + self.imbalance + self.network + self.taxes, dtype=np.int64
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run: its study, its events, the same homes without a market, and the power flows of both.

    ``periods`` is how many periods were finished; all arrays are cut to it.
    """

    study: Study
    periods: int
    events: tuple[Event, ...]
    event_hash: str
    baseline_metered_wh: Ints
    baseline_curtailed_kw: Floats
    baseline_ev_kw: Floats
    baseline_heat_pump_kw: Floats
    baseline_unserved_kw: Floats
    baseline_money: SettledMoney
    flows: Flows
    flows_baseline: Flows
    violations: Violations
    drawing: GridDrawing

    def auctions(self) -> list[AuctionCleared]:
        """Return the auctions of finished sessions in order."""
        return [e for e in self.events if isinstance(e, AuctionCleared) and e.first < self.periods]

    def checks(self) -> list[ScheduleChecked]:
        """Return the power-flow checks of finished sessions in order."""
        last = len(self.auctions())
        return [e for e in self.events if isinstance(e, ScheduleChecked) and e.session < last]

    def delivered(self, name: str) -> NDArray[np.float64]:
        """Return a column of `EnergyDelivered` over all finished periods, shape (periods, homes)."""
        parts = [getattr(e, name) for e in self.events if isinstance(e, EnergyDelivered)]
        return np.concatenate(parts)[: self.periods]

    def settled(self) -> SettledMoney:
        """Return the settlement lines of all finished periods."""
        events = [e for e in self.events if isinstance(e, SessionSettled)]
        names = SettledMoney.__dataclass_fields__
        return SettledMoney(**{n: np.concatenate([getattr(e, n) for e in events]) for n in names})

    def column(self, kind: type, name: str) -> NDArray[np.float64]:
        """Return a column of all events of a kind, one after the other."""
        return np.concatenate([getattr(e, name) for e in self.events if isinstance(e, kind)])
