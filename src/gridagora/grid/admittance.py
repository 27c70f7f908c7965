"""Voltages as complex phasors and the linear algebra behind exact sensitivities.

Kirchhoff's law with constant power at the nodes reads ``Y V = conj(S / V)`` with injections ``S`` in MVA,
phase-to-phase voltages ``V`` in kV and admittances ``Y`` in siemens; sources hold their voltage.  Its
derivative, ``Y dV + D conj(dV) = conj(dS) / conj(V)`` with ``D = conj(S) / conj(V)^2``, is the real Jacobian
of the power flow in complex form.  ``Y`` does not depend on the operating point, so it is factorised once and
every operating point is an iteration with that factor (implicit Z-bus); where the iteration is slow, near the
point of collapse, the Jacobian itself is factorised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.network import Network

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TOLERANCE = 1e-12
_ADJOINT_TOLERANCE = 1e-10
_ITERATIONS = 60
_COLUMNS = 64
"""Right-hand sides that are solved together."""
_NEWTON_STEPS = 30


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Branches:
    """Two-ports of the branches: ``I_from = ff V_from + ft V_to``, ``I_to = tf V_from + tt V_to``.

    ``start`` and ``end`` are nodes; an end that is open has the other end's node and zeros in its columns.
    ``rated`` (2, branches) is the rated current of both ends, kA.
    """

    start: Ints
    end: Ints
    closed: Bools
    ff: Complex
    ft: Complex
    tf: Complex
    tt: Complex
    rated: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Admittance:
    """A network as factorised nodal admittances.

    Parameters
    ----------
    branches : the two-ports
    free : nodes whose voltage follows from the power flow
    source : nodes at which a source holds the voltage ``source_kv`` (complex, kV)
    shunt_g : conductance of shunts at each node, siemens
    matrix : Y of the free nodes, sparse
    to_source : rows of Y of the source nodes, columns of the free nodes, sparse
    no_load_kv : voltages of the free nodes without any load
    solve : ``Y x = b`` for columns b; ``solve(b, "H")`` with the conjugate transpose
    """

    branches: Branches
    nodes: int
    node_kv: Floats
    free: Ints
    source: Ints
    source_kv: Complex
    shunt_g: Floats
    matrix: Any
    to_source: Any
    no_load_kv: Complex
    solve: Callable[..., Complex]


def branches_of(network: Network) -> Branches:
    """Return the two-ports of a network in the order of its elements; open ends are reduced away."""
    lines, transformers = network.lines, network.transformers
    omega = 2 * np.pi * network.frequency_hz
    series = np.concatenate(
        [
            1 / (lines.r_ohm + 1j * lines.x_ohm),
            1 / (transformers.r_ohm + 1j * transformers.x_ohm),
        ]
    )
    half = np.concatenate(
        [
            (lines.g_siemens + 1j * omega * lines.c_farad) / 2,
            (transformers.g_siemens + 1j * transformers.b_siemens) / 2,
        ]
    )
    ratio = np.concatenate(
        [
            np.ones(len(lines), dtype=complex),
            transformers.hv_kv / transformers.lv_kv * np.exp(1j * np.deg2rad(transformers.shift_degree)),
        ]
    )
    first = np.concatenate([lines.from_bus, transformers.hv_bus])
    last = np.concatenate([lines.to_bus, transformers.lv_bus])
    start_closed = np.concatenate([lines.from_closed, transformers.hv_closed]) & (first >= 0)
    end_closed = np.concatenate([lines.to_closed, transformers.lv_closed]) & (last >= 0)
    ports = {
        "ff": (series + half) / np.abs(ratio) ** 2,
        "ft": -series / np.conj(ratio),
        "tf": -series / ratio,
        "tt": series + half,
    }
    rated = np.stack(
        [
            np.concatenate([lines.rated_a, transformers.rated_hv_a]),
            np.concatenate([lines.rated_a, transformers.rated_lv_a]),
        ]
    )
    start = network.bus_node[np.where(first >= 0, first, last)]
    end = network.bus_node[np.where(last >= 0, last, first)]
    return Branches(
        start=start,
        end=end,
        closed=start_closed & end_closed,
        rated=rated / 1e3,
        **_reduced(ports, start_closed, end_closed),
    )


def _reduced(ports: dict[str, Complex], start_closed: Bools, end_closed: Bools) -> dict[str, Complex]:
    """Take out open ends: no current flows there, so that its voltage follows from the other end."""
    product = ports["ft"] * ports["tf"]
    from_only, to_only = start_closed & ~end_closed, end_closed & ~start_closed
    # The far end alone is divided by: the near end of an open line without capacitance is zero.
    for near, far, open_far in (("ff", "tt", from_only), ("tt", "ff", to_only)):
        ports[near] = ports[near] - np.divide(product, ports[far], out=np.zeros_like(product), where=open_far)
    kept = {"ff": start_closed, "ft": start_closed & end_closed, "tt": end_closed}
    kept["tf"] = kept["ft"]
    return {name: np.where(kept[name], port, 0) for name, port in ports.items()}


def admittance_of(network: Network) -> Admittance:
    """Return the factorised admittances of a network.

    Raises
    ------
    InputError
        When no source feeds a part of the network, so that its voltage is undefined.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    branches, count = branches_of(network), len(network.node_kv)
    shunts, sources = network.shunts, network.sources
    at = network.bus_node[shunts.bus]
    s, e = branches.start, branches.end
    rows, columns = np.concatenate([s, s, e, e, at]), np.concatenate([s, e, s, e, at])
    values = np.concatenate(
        [branches.ff, branches.ft, branches.tf, branches.tt, shunts.g_siemens + 1j * shunts.b_siemens]
    )
    full = coo_array((values, (rows, columns)), shape=(count, count)).tocsr()
    source, first = np.unique(network.bus_node[sources.bus], return_index=True)
    free = np.setdiff1d(np.arange(count), source)
    _check_supplied(network, branches)
    angle = np.exp(1j * np.deg2rad(sources.va_degree[first])).astype(complex)
    source_kv = sources.vm_pu[first] * network.node_kv[source] * angle
    matrix = full[free][:, free].tocsc()
    factors: Any = splu(matrix) if len(free) else None

    def solve(columns: Complex, trans: Literal["N", "H"] = "N") -> Complex:
        if factors is None or not columns.size:
            return columns
        return np.asarray(factors.solve(np.ascontiguousarray(columns), trans))

    shunt_g = np.zeros(count)
    np.add.at(shunt_g, at, shunts.g_siemens)
    driven = -(full[free][:, source] @ source_kv)
    return Admittance(
        branches=branches,
        nodes=count,
        node_kv=network.node_kv,
        free=free,
        source=source,
        source_kv=source_kv,
        shunt_g=shunt_g,
        matrix=matrix,
        to_source=full[source][:, free],
        no_load_kv=solve(driven[:, None])[:, 0],
        solve=solve,
    )


def _check_supplied(network: Network, branches: Branches) -> None:
    from gridagora.grid.topology import reached

    count = len(network.node_kv)
    live = reached(
        count,
        branches.start[branches.closed],
        branches.end[branches.closed],
        sources=network.bus_node[network.sources.bus],
    )
    check_faults(
        Fault(
            source=network.name,
            place=f"bus {network.buses[bus]}",
            value=False,
            reason="no source feeds it",
            fix="close a switch or leave the bus out",
        )
        for bus in np.flatnonzero(~live[network.bus_node])
    )


def voltages(model: Admittance, injection_mva: Complex) -> Complex:
    """Return the complex voltage of every node, kV, (cases, nodes); NaN where there is no solution.

    Parameters
    ----------
    model : from `admittance_of`
    injection_mva : what each node feeds in, (cases, nodes); constant power
    """
    injection = injection_mva[:, model.free].T
    found = np.repeat(model.no_load_kv[:, None], injection.shape[1], axis=1)
    open_cases = np.arange(injection.shape[1])
    scale = model.node_kv[model.free][:, None]
    for _ in range(_ITERATIONS):
        if not open_cases.size:
            break
        before = found[:, open_cases]
        with np.errstate(all="ignore"):
            after = model.no_load_kv[:, None] + model.solve(np.conj(injection[:, open_cases] / before))
            moved = np.abs((after - before) / scale).max(axis=0, initial=0.0)
        found[:, open_cases] = after
        open_cases = open_cases[~(moved < _TOLERANCE)]
    for case in open_cases.tolist():
        found[:, case] = _newton(model, injection[:, case])
    full = np.empty((injection.shape[1], model.nodes), dtype=complex)
    full[:, model.free], full[:, model.source] = found.T, model.source_kv
    return full


def _newton(model: Admittance, injection: Complex) -> Complex:
    """Solve one case by Newton's method from no load; NaN where it does not end."""
    voltage = model.no_load_kv.copy()
    for _ in range(_NEWTON_STEPS):
        current: Complex = np.conj(injection / voltage)
        mismatch = model.matrix @ (voltage - model.no_load_kv) - current
        step = _solve_real(model.matrix, current / np.conj(voltage), -mismatch)
        voltage = voltage + step
        if not np.isfinite(voltage).all():
            break
        if np.abs(step / model.no_load_kv).max(initial=0.0) < _TOLERANCE:
            return voltage
    return np.full_like(voltage, np.nan)


def adjoint(model: Admittance, weight: Complex, wanted: Complex) -> Complex:
    """Return x with ``Y^H x + D conj(x) = h`` for every column: how a scalar with dv = Re(conj(h) dV) moves.

    Parameters
    ----------
    model : from `admittance_of`
    weight : D of each column's operating point, (free nodes, columns)
    wanted : h, (free nodes, columns)
    """
    found = model.solve(wanted, "H")
    open_columns = np.arange(wanted.shape[1])
    size = np.abs(found).max(axis=0, initial=1e-300)
    for _ in range(_ITERATIONS):
        if not open_columns.size:
            break
        before = found[:, open_columns]
        after = model.solve(wanted[:, open_columns] - weight[:, open_columns] * np.conj(before), "H")
        found[:, open_columns] = after
        moved = np.abs(after - before).max(axis=0, initial=0.0)
        open_columns = open_columns[~(moved <= _ADJOINT_TOLERANCE * size[open_columns])]
    hermitian = model.matrix.conj().T
    for column in open_columns.tolist():
        found[:, column] = _solve_real(hermitian, weight[:, column], wanted[:, column])
    return found


def adjoint_at(model: Admittance, weight: Complex, wanted: Complex) -> Complex:
    """Return what `adjoint` does for many columns of one operating point: its Jacobian is factorised once.

    Parameters
    ----------
    model : from `admittance_of`
    weight : D of the operating point, (free nodes,)
    wanted : h, (free nodes, columns)
    """
    return _solve_real(model.matrix.conj().T, weight, wanted)


def _solve_real(matrix: Any, weight: Complex, wanted: Complex) -> Complex:
    """Solve ``A x + D conj(x) = b`` as one real system of twice the size."""
    from scipy.sparse import block_array, diags_array
    from scipy.sparse.linalg import splu

    twist_r, twist_i = diags_array(weight.real), diags_array(weight.imag)
    jacobian = block_array(
        [[matrix.real + twist_r, twist_i - matrix.imag], [matrix.imag + twist_i, matrix.real - twist_r]],
        format="csc",
    )
    factors, right = splu(jacobian), np.concatenate([wanted.real, wanted.imag])
    if right.ndim == 1:
        answer = factors.solve(right)
    else:
        # wide right-hand sides wake BLAS threads that slow each other down
        parts = [factors.solve(right[:, k : k + _COLUMNS]) for k in range(0, right.shape[1], _COLUMNS)]
        answer = np.concatenate(parts, axis=1) if parts else right
    return np.asarray(answer[: len(wanted)] + 1j * answer[len(wanted) :])
