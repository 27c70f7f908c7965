"""A three-phase grid as a market sees it: limits of every phase, by power on one phase or on all three.

The derivatives are central differences of the three-phase power flow, all perturbed flows in one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel
from gridagora.model.linear_network import LimitRows, LinearNetwork
from gridagora.model.network import NO_LIMIT_A
from gridagora.model.study import GridLimits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Point = tuple[str, int | None]

STEP_KW = 0.2
"""Half the distance of the differences: far above the tolerance of the power flow, far below a load."""


def node_name(bus: str, phase: int | None) -> str:
    """Return the node of a connection point: the bus, with its phase where it has only one.

    >>> node_name("Bus R11", 2), node_name("Bus R11", None)
    ('Bus R11.2', 'Bus R11')
    """
    return bus if phase is None else f"{bus}.{phase}"


def linear_network_3ph(
    grid: GridModel,
    import_kw: ArrayLike,
    import_kvar: ArrayLike = 0.0,
    *,
    points: Sequence[Point],
    limits: GridLimits | None = None,
    losses: bool = True,
    zero_sequence: Literal["data", "assume"] = "assume",
    periods: Ints | None = None,
) -> LinearNetwork:
    """Return the linear network of a grid in three phases around net imports of connection points.

    Parameters
    ----------
    grid : the grid; the bus of its source becomes the slack
    import_kw, import_kvar : net import of the points at the operating points, kW and kvar, (periods, points)
    points : (bus, phase 1 to 3, or None: all three alike); each becomes a node (`node_name`)
    limits : voltage band, phase by phase, and loadings of the most loaded phase; default `GridLimits`
    losses : whether losses are part of the balance
    zero_sequence : as of `GridModel.power_flow_3ph`
    periods : ids of the periods, if there are several; default 0, 1, 2 ...

    Raises
    ------
    InputError
        Lists every fault: unknown buses or phases, a point twice, shapes that do not fit, a period without a
        solution.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> grid = Grid.by_name("cigre-lv")
    >>> network = linear_network_3ph(grid, [[5.0, 9.0]], points=[("Bus R18", 1), ("Bus R11", None)])
    >>> network.nodes, network.limits.name[:3].tolist()
    (('Bus R18.1', 'Bus R11', 'Bus 0'), ['Bus R1.1', 'Bus R1.2', 'Bus R1.3'])
    """
    shares = _shares(grid, points)
    kw, kvar = _schedules(grid, import_kw, import_kvar, count=len(points))
    bounds = GridLimits() if limits is None else limits
    sample = _Samples.of(grid, (kw, kvar), shares, zero_sequence=zero_sequence)
    rows, values = _limited(grid, sample.base, bounds)
    moved = [_limited(grid, flow, bounds)[1] for flow in sample.moved]
    per_kw, per_kvar = (_slopes(part, len(kw)) for part in (moved[0], moved[1]))
    loss = [_slopes(flow.losses_kw[:, None], len(kw))[:, 0] for flow in sample.moved]
    constant = sample.base.losses_kw - (loss[0][:, :-1] * kw + loss[1][:, :-1] * kvar).sum(axis=1)
    offset = values - _times(per_kw, kw) - _times(per_kvar, kvar)
    several = periods is not None or len(kw) > 1
    ids = np.arange(len(kw)) if periods is None else np.asarray(periods, dtype=np.int64)
    return LinearNetwork(
        kind="linear_ac",
        nodes=(*(node_name(*point) for point in points), _slack(grid)),
        slack=_slack(grid),
        limits=LimitRows(per_kw=per_kw, per_kvar=per_kvar, offset=offset, **rows),
        loss_kw=constant if losses else None,
        loss_per_kw=loss[0] if losses else None,
        loss_per_kvar=loss[1] if losses else None,
        periods=ids if several else None,
    )


def _slack(grid: GridModel) -> str:
    return grid.buses[int(grid.network.sources.bus[0])]


def _shares(grid: GridModel, points: Sequence[Point]) -> Floats:
    """Return where the power of each point goes, (points, buses, phases); raises with every fault."""
    faults = [
        Fault(source=grid.network.name, place=f"point {number}", value=point, reason=reason, fix=fix)
        for number, point in enumerate(points)
        for wrong, reason, fix in (
            (point[0] not in grid.bus_position, "no such bus", "name a bus of the grid"),
            (point[1] not in (None, 1, 2, 3), "no such phase", "write 1, 2, 3 or None"),
            (point in points[:number], "stands there twice", "sum what is connected there"),
            (point == (_slack(grid), None), "is the slack itself", "connect it elsewhere"),
        )
        if wrong
    ]
    check_faults(faults)
    shares = np.zeros((len(points), len(grid.buses), 3))
    for number, (bus, phase) in enumerate(points):
        if phase is None:
            shares[number, grid.bus_position[bus]] = 1 / 3
        else:
            shares[number, grid.bus_position[bus], phase - 1] = 1.0
    return shares


def _schedules(
    grid: GridModel, import_kw: ArrayLike, import_kvar: ArrayLike, *, count: int
) -> tuple[Floats, Floats]:
    kw = np.atleast_2d(np.asarray(import_kw, dtype=np.float64))
    kvar = np.asarray(import_kvar, dtype=np.float64)
    fix = f"give shape (periods, {count}), one column per point"
    check_faults(
        Fault(source=grid.network.name, place=name, value=values.shape, reason="does not fit", fix=fix)
        for name, values, fits in (
            ("import_kw", kw, kw.shape[1:] == (count,)),
            ("import_kvar", kvar, kvar.shape in ((), (count,), kw.shape)),
        )
        if not fits
    )
    return kw, np.broadcast_to(kvar, kw.shape)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Samples:
    """Power flows at the operating points, and with every point moved up and down by kW and by kvar."""

    base: PowerFlow
    moved: tuple[PowerFlow, PowerFlow]

    @classmethod
    def of(
        cls,
        grid: GridModel,
        at: tuple[Floats, Floats],
        shares: Floats,
        *,
        zero_sequence: Literal["data", "assume"],
    ) -> "_Samples":
        """Calculate all of them; raises `InputError` for periods without a solution."""
        kw, kvar = (np.einsum("kn,nbf->kbf", power, shares) for power in at)
        base = grid.power_flow_3ph(kw, kvar, zero_sequence=zero_sequence)
        fix = "reduce the load, or leave the period out"
        check_faults(
            Fault(
                source=grid.network.name, place=f"period {period}", value=False, reason="no solution", fix=fix
            )
            for period in np.flatnonzero(~base.converged).tolist()
        )
        steps = np.concatenate([STEP_KW * shares, -STEP_KW * shares])
        flat = (-1, *kw.shape[1:])
        still = np.zeros_like(steps)
        flows = [
            grid.power_flow_3ph(
                (kw[:, None] + of_kw).reshape(flat),
                (kvar[:, None] + of_kvar).reshape(flat),
                zero_sequence=zero_sequence,
            )
            for of_kw, of_kvar in ((steps, still), (still, steps))
        ]
        return cls(base=base, moved=(flows[0], flows[1]))


def _limited(grid: GridModel, flow: PowerFlow, bounds: GridLimits) -> tuple[dict[str, Any], Floats]:
    """Return the limits' names and bounds, and the limited values of a flow, (flows, rows)."""
    network = grid.network
    held = np.isin(network.bus_node, network.bus_node[network.sources.bus])
    first = np.unique(network.bus_node, return_index=True)[1]
    buses = np.setdiff1d(first, np.flatnonzero(held))
    rated = np.concatenate([network.lines.rated_a, network.transformers.rated_hv_a])
    kinds = np.array(flow.kinds, dtype=np.str_)
    used = np.flatnonzero(rated < NO_LIMIT_A)
    percent = np.where(kinds[used] == "line", bounds.line_loading_percent, bounds.transformer_loading_percent)
    names = [node_name(grid.buses[bus], phase) for bus in buses.tolist() for phase in (1, 2, 3)]
    size = len(names)
    rows: dict[str, Any] = {
        "name": np.concatenate([np.array(names, np.str_), np.array(grid.elements, np.str_)[used]]),
        "part": np.repeat(["voltage", "congestion"], [size, len(used)]),
        "unit": np.repeat(["pu", "percent"], [size, len(used)]),
        "lower": np.concatenate([np.full(size, bounds.vm_min_pu), np.full(len(used), -np.inf)])[None],
        "upper": np.concatenate([np.full(size, bounds.vm_max_pu), percent])[None],
    }
    vm = flow.vm_pu[:, buses].reshape(len(flow), -1)
    return rows, np.concatenate([vm, flow.loading_percent[:, used]], axis=1)


def _slopes(values: Floats, periods: int) -> Floats:
    """Return central differences of values at moved points, (periods, rows, nodes), 0 for the slack."""
    up, down = np.split(values.reshape(periods, -1, values.shape[1]), 2, axis=1)
    slopes = (up - down).swapaxes(1, 2) / (2 * STEP_KW)
    return np.concatenate([slopes, np.zeros((*slopes.shape[:2], 1))], axis=2)


def _times(slopes: Floats, power: Floats) -> Floats:
    return np.asarray(np.matmul(slopes[:, :, :-1], power[:, :, None])[:, :, 0])
