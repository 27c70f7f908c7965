"""A grid as a market sees it: linear voltages, currents and losses around an operating point.

Radial grids: LinDistFlow, ``|V|^2 = |V_0|^2 - 2 (R P + X Q)`` with r and x summed along the shared path to
the source, and branch flows that are the sums of what lies behind.  Meshed grids: exact sensitivities of the
power flow.  Both are moved so that they give the power flow's own values at the operating point.

A current limit is a circle in the plane of the current's phasor; the octagon around it is turned so that one
side touches it at the operating point, where it is then exact.  Away from it at most 8 % too much may pass,
which the power flow afterwards finds.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.admittance import branches_of
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel
from gridagora.grid.sensitivity import OperatingPoints, downstream
from gridagora.model.linear_network import LimitRows, LinearNetwork
from gridagora.model.network import NO_LIMIT_A
from gridagora.model.study import GridLimits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Method = Literal["auto", "lindistflow", "sensitivity"]

TURNS = np.deg2rad([0.0, 45.0, 90.0, 135.0])
"""Directions of an octagon's sides; the other four are opposite to them."""


def linear_network(
    grid: GridModel,
    flow: PowerFlow | None = None,
    *,
    limits: GridLimits | None = None,
    method: Method = "auto",
    losses: bool = True,
    import_kw: float = np.inf,
    export_kw: float = np.inf,
    periods: Ints | None = None,
) -> LinearNetwork:
    """Return the linear network of a grid at the operating points of a power flow.

    Parameters
    ----------
    grid : the grid; its buses become the nodes, the bus of its source the slack
    flow : balanced power flow of total net imports, whose periods are the operating points; None: no load
    limits : voltage band and loadings; default `GridLimits`
    method : "lindistflow" (radial grids only), "sensitivity", or "auto": LinDistFlow where the grid is radial
    losses : whether losses are part of the balance
    import_kw, export_kw : limits of the upstream connection, kW
    periods : ids of the periods of the flow, if it has several; default 0, 1, 2 ...

    Raises
    ------
    InputError
        Lists every fault: no source, a bus that none feeds, a period without a solution, a three-phase flow,
        LinDistFlow of a meshed grid, ids of periods that do not fit the flow, limits that are none.

    Notes
    -----
    MARKETS.md section 2; Baran and Wu 1989 for LinDistFlow; ENGINES A5.  Net imports in the market and the
    network's rows are totals: `LinearNetwork.with_fixed` adds loads that do not bid.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> grid = Grid.by_name("ieee33")
    >>> kw, kvar = grid.base_import()
    >>> flow = grid.power_flow(kw, kvar)
    >>> network = linear_network(grid, flow)
    >>> rows = network.limits
    >>> values = rows.offset + rows.per_kw[0] @ kw + rows.per_kvar[0] @ kvar
    >>> network.slack, bool(abs(values[0, :32] ** 0.5 - flow.vm_pu[0, 1:]).max() < 1e-9)
    ('0', True)
    """
    bounds = GridLimits() if limits is None else limits
    kw, kvar = _operating_points(grid, flow)
    radial = _is_radial(grid)
    connection = {"import_kw": import_kw, "export_kw": export_kw}
    _check(grid, flow, method=method, radial=radial, connection=connection, periods=periods)
    points = OperatingPoints(grid, kw, kvar)
    exact = method == "sensitivity" or (method == "auto" and not radial)
    build = _sensitivity_rows if exact else _lindistflow_rows
    rows = build(grid, points, (kw, kvar), bounds=bounds)
    loss = _losses(points, kw, kvar) if losses else (None, None, None)
    several = periods is not None or len(kw) > 1
    ids = np.arange(len(kw)) if periods is None else np.asarray(periods, dtype=np.int64)
    return LinearNetwork(
        kind="linear_ac",
        nodes=grid.buses,
        slack=grid.buses[int(grid.network.sources.bus[0])],
        import_kw=import_kw,
        export_kw=export_kw,
        limits=rows,
        loss_kw=loss[0],
        loss_per_kw=loss[1],
        loss_per_kvar=loss[2],
        periods=ids if several else None,
    )


def _operating_points(grid: GridModel, flow: PowerFlow | None) -> tuple[Floats, Floats]:
    if flow is None or flow.bus_kw is None:
        return np.zeros((1, len(grid.buses))), np.zeros((1, len(grid.buses)))
    return flow.bus_kw, np.zeros_like(flow.bus_kw) if flow.bus_kvar is None else flow.bus_kvar


def _is_radial(grid: GridModel) -> bool:
    network = grid.network
    branches = branches_of(network)
    apart = branches.closed & (branches.start != branches.end)
    sources = len(np.unique(network.bus_node[network.sources.bus]))
    return sources == 1 and int(apart.sum()) == len(network.node_kv) - 1


def _check(
    grid: GridModel,
    flow: PowerFlow | None,
    *,
    method: str,
    radial: bool,
    connection: Mapping[str, float],
    periods: Ints | None,
) -> None:
    found: list[tuple[str, object, str, str]] = []
    if len(grid.network.sources) == 0:
        found.append(("sources", 0, "no source, so no slack", "add the upstream grid"))
    if method not in ("auto", "lindistflow", "sensitivity"):
        found.append(("method", method, "unknown method", "write auto, lindistflow or sensitivity"))
    if method == "lindistflow" and not radial:
        found.append(("method", method, "the grid is meshed", "use sensitivity"))
    if flow is not None:
        if flow.bus_kw is None or flow.bus_kw.ndim != 2 or flow.bus_kw.shape[1] != len(grid.buses):
            fix = "give the balanced flow of this grid's power_flow"
            found.append(("flow", None, "is no balanced power flow of this grid", fix))
        fix = "reduce the load, or leave the period out"
        found += [
            (f"flow, period {period}", False, "did not converge", fix)
            for period in np.flatnonzero(~flow.converged).tolist()
        ]
    found += [
        (name, kw, "is no limit of the connection", "write kW >= 0")
        for name, kw in connection.items()
        if not (np.asarray(kw, dtype=np.float64) >= 0).all()
    ]
    points = 1 if flow is None or flow.bus_kw is None else len(flow.bus_kw)
    if periods is not None and (np.shape(periods) != (points,) or (np.diff(periods) <= 0).any()):
        fix = f"give {points} numbers, ascending, one per period of the flow"
        found.append(("periods", list(periods), "are no ids of the flow's periods", fix))
    source = grid.network.name
    check_faults(Fault(source=source, place=p, value=v, reason=r, fix=f) for p, v, r, f in found)


def _losses(points: OperatingPoints, kw: Floats, kvar: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the tangent of the losses: constant, per kW, per kvar."""
    per_kw, per_kvar = points.losses_gradient(np.arange(len(kw)))
    constant = points.losses_kw() - (per_kw * kw).sum(axis=1) - (per_kvar * kvar).sum(axis=1)
    return constant, per_kw, per_kvar


def _limited(grid: GridModel, bounds: GridLimits) -> tuple[Ints, Floats]:
    """Return the branches whose current is limited, and the limits in percent."""
    network = grid.network
    rated = np.concatenate([network.lines.rated_a, network.transformers.rated_hv_a])
    percent = np.repeat(
        [bounds.line_loading_percent, bounds.transformer_loading_percent],
        [len(network.lines), len(network.transformers)],
    )
    used = np.flatnonzero((rated < NO_LIMIT_A) & branches_of(network).closed)
    return used, percent[used]


def _free_buses(grid: GridModel) -> Ints:
    """Return the buses whose voltage no source holds, one of each node."""
    network = grid.network
    held = np.isin(network.bus_node, network.bus_node[network.sources.bus])
    first = np.unique(network.bus_node, return_index=True)[1]
    return np.setdiff1d(first, np.flatnonzero(held))


def _octagon(along: Floats, across: Floats) -> Floats:
    """Return the components in four directions of (points, branches, buses) gradients, branch by branch."""
    turned = np.cos(TURNS)[:, None] * along[:, :, None] + np.sin(TURNS)[:, None] * across[:, :, None]
    return np.asarray(turned.reshape(len(along), -1, along.shape[2]))


def _rows(
    grid: GridModel,
    at: tuple[Floats, Floats],
    values: tuple[Floats, Floats],
    *,
    gradients: tuple[Floats, Floats],
    unit: str,
    bounds: GridLimits,
) -> LimitRows:
    """Put voltages and octagons together; ``values`` are those at the operating points, in (kw, kvar)."""
    buses, (branches, percent) = _free_buses(grid), _limited(grid, bounds)
    vm, loading = values
    per_kw, per_kvar = gradients
    octagon = (loading[:, :, None] * np.cos(TURNS)).reshape(len(loading), -1)
    value = np.concatenate([vm, octagon], axis=1)
    moved = _moved(per_kw, at[0]) + _moved(per_kvar, at[1])
    band = np.array([bounds.vm_min_pu, bounds.vm_max_pu]) ** (2 if unit == "pu2" else 1)
    each = np.repeat(percent, len(TURNS))
    names = np.array(grid.elements, dtype=np.str_)[branches] if len(branches) else np.zeros(0, np.str_)
    return LimitRows(
        name=np.concatenate([np.array(grid.buses, np.str_)[buses], np.repeat(names, len(TURNS))]),
        part=np.repeat(["voltage", "congestion"], [len(buses), len(each)]),
        unit=np.repeat([unit, "percent"], [len(buses), len(each)]),
        per_kw=per_kw,
        per_kvar=per_kvar,
        offset=value - moved,
        lower=np.concatenate([np.full(len(buses), band[0]), -each])[None],
        upper=np.concatenate([np.full(len(buses), band[1]), each])[None],
    )


def _moved(gradient: Floats, power: Floats) -> Floats:
    if len(gradient) == 1:
        return np.asarray(power @ gradient[0].T)
    return np.asarray(np.matmul(gradient, power[:, :, None])[:, :, 0])


def _pairs(cases: int, items: Ints) -> tuple[Ints, Ints]:
    return np.repeat(np.arange(cases), len(items)), np.tile(items, cases)


def _sensitivity_rows(
    grid: GridModel, points: OperatingPoints, at: tuple[Floats, Floats], *, bounds: GridLimits
) -> LimitRows:
    """Return exact derivatives of voltages and of current phasors."""
    cases, size = len(at[0]), len(grid.buses)
    buses, (branches, _) = _free_buses(grid), _limited(grid, bounds)
    voltage = [part.reshape(cases, -1, size) for part in points.vm_gradient(*_pairs(cases, buses))]
    pairs = _pairs(cases, branches)
    current = [part.reshape(2, cases, -1, size) for part in points.current_gradient(*pairs)]
    gradients = [
        np.concatenate([of_bus, _octagon(of_branch[0], of_branch[1])], axis=1)
        for of_bus, of_branch in zip(voltage, current, strict=True)
    ]
    loading = points.loading_percent(*pairs).reshape(cases, -1)
    values = (points.vm_pu[:, buses], loading)
    return _rows(grid, at, values, gradients=(gradients[0], gradients[1]), unit="pu", bounds=bounds)


def _lindistflow_rows(
    grid: GridModel, points: OperatingPoints, at: tuple[Floats, Floats], *, bounds: GridLimits
) -> LimitRows:
    """Return the closed form of a radial grid: squared voltages and sums of what lies behind a branch."""
    cases = len(at[0])
    buses, (branches, _) = _free_buses(grid), _limited(grid, bounds)
    behind = downstream(grid).astype(np.float64)
    impedance = _impedance_pu(grid)
    drop = [-2 * (behind.T * part) @ behind for part in (impedance.real, impedance.imag)]
    # apparent power of 100 % at the end towards the source, at the voltage there
    kva = np.sqrt(3.0) * _rated_kv_ka(grid)[branches] * 1e3
    kw, kvar = (power @ behind[branches].T for power in at)
    size = np.hypot(kw, kvar)
    cos = np.divide(kw, size, out=np.ones_like(kw), where=size > 0)
    sin = np.divide(kvar, size, out=np.zeros_like(kw), where=size > 0)
    share = (behind[branches] * (100 / kva)[:, None])[None]
    of_kw = _octagon(cos[:, :, None] * share, -sin[:, :, None] * share)
    of_kvar = _octagon(sin[:, :, None] * share, cos[:, :, None] * share)
    gradients = [
        np.concatenate([np.broadcast_to(part[buses], (cases, len(buses), part.shape[1])), octagon], axis=1)
        for part, octagon in zip(drop, (of_kw, of_kvar), strict=True)
    ]
    pairs = _pairs(cases, branches)
    values = (points.vm_pu[:, buses] ** 2, points.loading_percent(*pairs).reshape(cases, -1))
    return _rows(grid, at, values, gradients=(gradients[0], gradients[1]), unit="pu2", bounds=bounds)


def _impedance_pu(grid: GridModel) -> NDArray[np.complex128]:
    """Return r + jx of every branch, per unit on 1 kVA; transformers on the voltage of their low side."""
    network = grid.network
    lines, transformers = network.lines, network.transformers
    node_kv = network.node_kv[network.bus_node]
    ohm = np.concatenate([lines.r_ohm + 1j * lines.x_ohm, transformers.r_ohm + 1j * transformers.x_ohm])
    at = np.concatenate([np.where(lines.from_bus >= 0, lines.from_bus, lines.to_bus), transformers.lv_bus])
    return np.asarray(ohm / (node_kv[at] ** 2 * 1e3))


def _rated_kv_ka(grid: GridModel) -> Floats:
    """Return nominal voltage times rated current of every branch, kV kA."""
    network = grid.network
    lines, transformers = network.lines, network.transformers
    node_kv = network.node_kv[network.bus_node]
    at = np.concatenate([np.where(lines.from_bus >= 0, lines.from_bus, lines.to_bus), transformers.hv_bus])
    rated = np.concatenate([lines.rated_a, transformers.rated_hv_a])
    return np.asarray(node_kv[at] * rated / 1e3)
