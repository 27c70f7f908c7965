"""Operational limits: which are violated by a power flow, and which participants stand behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel
from gridagora.model.network import Network
from gridagora.model.study import GridLimits

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]

_ROUNDING = 1e-9
"""Relative excess that is rounding and no violation; relative share that is no contribution."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Violations:
    """Violated limits as columns, by period, then kind, then element.

    Parameters
    ----------
    period : row of the power flow
    kind : "line_loading", "not_converged", "transformer_loading", "voltage_high" or "voltage_low"
    element : branch name, or bus id for voltages; where not converged the weakest bus, if known
    value, limit : percent or per unit; NaN where not converged
    """

    period: Ints
    kind: Strings
    element: Strings
    value: Floats
    limit: Floats

    def __len__(self) -> int:
        return len(self.period)

    def to_frame(self) -> "pd.DataFrame":
        """Return the columns as a DataFrame."""
        import pandas as pd

        return pd.DataFrame({column.name: getattr(self, column.name) for column in fields(self)})


def check_limits(flow: PowerFlow, limits: GridLimits) -> Violations:
    """Return every violated limit of a power flow; a period without solution is one violation.

    Voltages of the lowest and highest phase and loadings of the worst phase count.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> grid = Grid.by_name("cigre-lv")
    >>> found = check_limits(grid.power_flow(*grid.base_import()), GridLimits(vm_min_pu=0.915))
    >>> found.to_frame().round(4).to_dict("records")[0]["element"]
    'Bus C12'
    """
    kinds = np.array(flow.kinds)
    loading_limit = np.where(kinds == "line", limits.line_loading_percent, limits.transformer_loading_percent)
    buses, elements = np.array(flow.buses, dtype=np.str_), np.array(flow.elements, dtype=np.str_)
    with np.errstate(invalid="ignore"):
        low = flow.vm_min_pu < limits.vm_min_pu * (1 - _ROUNDING)
        high = flow.vm_max_pu > limits.vm_max_pu * (1 + _ROUNDING)
        loaded = flow.loading_percent > loading_limit * (1 + _ROUNDING)
    parts = [
        _cells(
            low,
            "voltage_low",
            names=buses,
            values=flow.vm_min_pu,
            limits=np.full(len(buses), limits.vm_min_pu),
        ),
        _cells(
            high,
            "voltage_high",
            names=buses,
            values=flow.vm_max_pu,
            limits=np.full(len(buses), limits.vm_max_pu),
        ),
    ]
    for kind in ("line", "transformer"):
        chosen = loaded & (kinds == kind)
        parts.append(
            _cells(
                chosen, f"{kind}_loading", names=elements, values=flow.loading_percent, limits=loading_limit
            )
        )
    failed = np.flatnonzero(~flow.converged)
    nothing = np.full(len(failed), np.nan)
    parts.append((failed, np.full(len(failed), "not_converged"), flow.weakest_bus[failed], nothing, nothing))
    period, kind_of, element, value, limit = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((element, kind_of, period))
    return Violations(
        period=period[order].astype(np.int64),
        kind=kind_of[order],
        element=element[order],
        value=value[order],
        limit=limit[order],
    )


def participants_behind(
    violations: Violations,
    grid: GridModel,
    *,
    bus_of_participant: Mapping[str, str],
    net_kw: ArrayLike,
    largest: int = 5,
) -> Strings:
    """Return the participants who contribute most to each violation, the largest first, joined by "; ".

    The rule: in a lossless resistive network with the source as reference, a participant at node j moves the
    voltage of node i by -R_ij p_j, where R_ij is the resistance that both paths to the source share, and a
    branch by its share of p_j (all of it, where the branch lies on j's path in a radial grid).  Who moves it
    towards the violation stands behind it, by size.  An overloaded branch is judged in the direction in which
    the participants load it together.

    Parameters
    ----------
    violations : from `check_limits`
    grid : the grid that the power flow came from
    bus_of_participant : bus id of each participant, in the order of the columns of ``net_kw``
    net_kw : net import, kW, shape (periods, participants)
    largest : how many participants to name at most

    Raises
    ------
    InputError
        When a participant's bus is unknown or ``net_kw`` does not fit.
    """
    power = np.asarray(net_kw, dtype=np.float64)
    _check_participants(grid, bus_of_participant, power)
    names = np.array([*bus_of_participant, ""], dtype=object)[:-1]
    column = np.array([grid.bus_position[bus] for bus in bus_of_participant.values()], dtype=np.int64)
    behind = np.full(len(violations), "", dtype=object)
    sensitivity = _Sensitivity(grid.network)
    for kind, element in sorted(set(zip(violations.kind.tolist(), violations.element.tolist(), strict=True))):
        if not element:
            continue
        rows = np.flatnonzero((violations.kind == kind) & (violations.element == element))
        share = sensitivity.of(kind, element, grid)[grid.network.bus_node[column]]
        contribution = _towards(kind, power[violations.period[rows]] * share)
        behind[rows] = [_largest(names, row, largest) for row in contribution]
    return behind.astype(np.str_) if len(behind) else np.zeros(0, dtype=np.str_)


class _Sensitivity:
    """How the power of each node moves a branch flow or a node voltage, from node resistances."""

    def __init__(self, network: Network) -> None:
        self._network = network
        lines, transformers = network.lines, network.transformers
        of_bus = network.bus_node
        self._start = of_bus[np.concatenate([lines.from_bus, transformers.hv_bus])]
        self._end = of_bus[np.concatenate([lines.to_bus, transformers.lv_bus])]
        closed = (lines.from_closed & lines.to_closed, transformers.hv_closed & transformers.lv_closed)
        self._closed = np.concatenate(closed)
        kv = network.node_kv[of_bus[np.maximum(lines.from_bus, lines.to_bus)]]
        resistance = np.concatenate([lines.r_ohm / kv**2, transformers.r_ohm / transformers.lv_kv**2])
        reactance = np.concatenate([lines.x_ohm / kv**2, transformers.x_ohm / transformers.lv_kv**2])
        # A branch without resistance still has its place in the network.
        self._conductance = self._closed / np.maximum(resistance, 1e-3 * np.hypot(resistance, reactance))
        self._solve = self._factorise()

    def of(self, kind: str, element: str, grid: GridModel) -> Floats:
        """Return the movement per kW of import at each node (branch: towards its second end)."""
        wanted = np.zeros(len(self._network.node_kv))
        if kind.endswith("_loading"):
            row = grid.elements.index(element)
            if not self._closed[row]:
                return wanted
            wanted[self._end[row]] += self._conductance[row]
            wanted[self._start[row]] -= self._conductance[row]
        else:
            wanted[self._network.bus_node[grid.bus_position[element]]] = -1.0
        return np.asarray(self._solve(wanted))

    def _factorise(self) -> Callable[[Floats], Floats]:
        """Factorise the conductance matrix without the sources' nodes."""
        from scipy.sparse import coo_array
        from scipy.sparse.linalg import splu

        count = len(self._network.node_kv)
        g, start, end = self._conductance, self._start, self._end
        rows = np.concatenate([start, end, start, end])
        columns = np.concatenate([start, end, end, start])
        matrix = coo_array((np.concatenate([g, g, -g, -g]), (rows, columns)), shape=(count, count)).tocsc()
        free = np.ones(count, dtype=bool)
        free[self._network.bus_node[self._network.sources.bus]] = False
        inner = np.flatnonzero(free)
        factors = splu(matrix[inner][:, inner]) if len(inner) else None

        def solve(wanted: Floats) -> Floats:
            answer = np.zeros(count)
            if factors is not None:
                answer[inner] = factors.solve(wanted[inner])
            return answer

        return solve


def _towards(kind: str, movement: Floats) -> Floats:
    """Return movements, (violations, participants), positive where they go towards the violation."""
    if kind == "voltage_high":
        return movement
    if kind == "voltage_low":
        return -movement
    return np.asarray(movement * np.sign(movement.sum(axis=1, keepdims=True)))


def _largest(names: NDArray[np.object_], contribution: Floats, count: int) -> str:
    """Name the largest positive contributions; equal ones in the order of the participants."""
    order = np.argsort(-contribution, kind="stable")[:count]
    least = max(_ROUNDING * np.abs(contribution).max(initial=0.0), 0.0)
    return "; ".join(str(names[row]) for row in order if contribution[row] > least)


def _cells(
    chosen: NDArray[np.bool_], kind: str, *, names: Strings, values: Floats, limits: Floats
) -> tuple[NDArray[Any], ...]:
    period, column = np.nonzero(chosen)
    return period, np.full(len(period), kind), names[column], values[period, column], limits[column]


def _check_participants(grid: GridModel, bus_of_participant: Mapping[str, str], power: Floats) -> None:
    """Raise with every participant whose bus is unknown, and when the powers do not fit."""
    faults = []
    for name, bus in bus_of_participant.items():
        if bus not in grid.bus_position:
            place, fix = f"participant {name}", "use a bus of grid.buses"
            faults.append(
                Fault(source=grid.network.name, place=place, value=bus, reason="unknown bus", fix=fix)
            )
    if power.ndim != 2 or power.shape[1] != len(bus_of_participant):
        place, fix = "net_kw", f"give shape (periods, {len(bus_of_participant)})"
        faults.append(Fault(source="check", place=place, value=power.shape, reason="does not fit", fix=fix))
    check_faults(faults)
