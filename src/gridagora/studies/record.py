"""What a finished (or stopped) run leaves behind, as arrays: the source of every table and key figure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import require
from gridagora.model.columns import Floats, Ints, NodalClearing, PoolTrades, SettlementLines
from gridagora.model.events import AuctionCleared, EnergyDelivered, Event, SessionSettled, TradesDecided
from gridagora.model.flexibility_events import FlexEvent
from gridagora.model.study import Study
from gridagora.model.zone_study import ZoneRules


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
class FlexUnmet:
    """Needs that stay although all that was offered is taken, one entry each: the proof by the grid model.

    ``needed_kw`` is the cut asked of the element's connection points (below their capacities for a cap or a
    floor), ``offered_kw`` all that they offered, ``loading_percent`` the element's loading with all of that.
    ``least_kw`` and ``least_percent`` are the overload and loading that joint dispatch of all devices leaves.
    """

    period: Ints
    element: tuple[str, ...]
    needed_kw: Floats
    offered_kw: Floats
    loading_percent: Floats
    least_kw: Floats
    least_percent: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexStrategy:
    """A way in which the operator bids, run through the whole study by itself: its market and its wires.

    ``name`` is a `gridagora.model.flexibility_study.DemandName`, ``metered_wh`` (periods, homes) what homes
    metered under it, ``flows`` the power flow of that.
    """

    name: str
    events: tuple[FlexEvent, ...]
    metered_wh: Ints
    flows: Flows
    unmet: FlexUnmet


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexRecord:
    """The flexibility market of a run: the strategy that was settled first, then those beside it."""

    strategies: tuple[FlexStrategy, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run: its study, its events, the same homes without a market, and the power flows of both.

    ``periods`` is how many periods were finished; all arrays are cut to it.  ``flexibility`` is None unless
    the study has a flexibility market; ``flows`` are then those of its settled strategy.  ``pictures`` are
    the periods of a study with zones that were also cleared on the wires (`zone_nodes`), one each;
    ``formed_kw`` is what the grid-forming source of each island gave, (periods, zones).
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
    baseline_money: SettlementLines
    flows: Flows
    flows_baseline: Flows
    violations: Violations
    drawing: GridDrawing
    flexibility: FlexRecord | None = None
    pictures: tuple[NodalClearing, ...] = ()
    formed_kw: Floats | None = None

    def auctions(self) -> list[AuctionCleared]:
        """Return the auctions of finished sessions in order."""
        return [e for e in self.events if isinstance(e, AuctionCleared) and e.first < self.periods]

    def accepted(self) -> Ints:
        """Return Wh accepted of every bid; with zones, what stands after their controllers decided."""
        decided = any(isinstance(e, TradesDecided) for e in self.events)
        return self.column(TradesDecided if decided else AuctionCleared, "accepted").astype(np.int64)

    def delivered(self, name: str) -> NDArray[np.float64]:
        """Return a column of `EnergyDelivered` or its devices over all finished periods, (periods, homes)."""
        events = [e for e in self.events if isinstance(e, EnergyDelivered)]
        parts = [getattr(e if name in ("cleared_kw", "metered_wh") else e.devices, name) for e in events]
        # sums of floats follow the layout, and an event from a database has another than one in memory
        return np.ascontiguousarray(np.concatenate(parts)[: self.periods])

    def settled(self) -> SettlementLines:
        """Return the settlement lines of all finished periods."""
        lines = [e.lines for e in self.events if isinstance(e, SessionSettled)]
        names = SettlementLines.__dataclass_fields__
        return SettlementLines(**{n: np.concatenate([getattr(part, n) for part in lines]) for n in names})

    def traded(self) -> PoolTrades:
        """Return the trades of all finished periods."""
        trades = [e.trades for e in self.events if isinstance(e, SessionSettled)]
        names = PoolTrades.__dataclass_fields__
        return PoolTrades(**{n: np.concatenate([getattr(part, n) for part in trades]) for n in names})

    def column(self, kind: type, name: str) -> NDArray[np.float64]:
        """Return a column of all events of a kind, one after the other."""
        return np.concatenate([getattr(e, name) for e in self.events if isinstance(e, kind)])


def zones_of(study: Study) -> ZoneRules:
    """Return the zones of a study; raises `InvariantError` when it has none."""
    require(study.zones is not None, "only studies with zones have markets of zones")
    return study.zones  # type: ignore[return-value]
