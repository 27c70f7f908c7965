"""How voltages, loadings and losses move with power at the buses, at an operating point, exactly.

The derivatives are those of the power flow itself (constant power, sources hold their voltage), by the
adjoint of its Jacobian: one solve for each quantity whose derivatives are wanted, whatever the number of
buses.  In a radial grid only buses behind an element move its loading, but for losses (`downstream`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, InputError
from gridagora.grid.admittance import Admittance, adjoint, adjoint_at, admittance_of, branches_of, voltages
from gridagora.grid.model import GridModel
from gridagora.grid.topology import spanning_tree

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_KW_PER_MW = 1e3
_SQRT3 = np.sqrt(3.0)
_MANY = 16
"""Gradients per operating point from which its own Jacobian is worth a factorisation."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sensitivity:
    """Derivatives at one operating point; + is more import at the bus of the column.

    Parameters
    ----------
    buses, elements : names, as of the grid
    vm_pu, loading_percent, losses_kw : the operating point itself, (buses,), (elements,), one number
    vm_per_kw, vm_per_kvar : voltage per unit of the row's bus, (buses, buses)
    loading_per_kw, loading_per_kvar : percent of the rated current of the row's element, (elements, buses)
    losses_per_kw, losses_per_kvar : losses of the grid, kW, (buses,)
    """

    buses: tuple[str, ...]
    elements: tuple[str, ...]
    vm_pu: Floats
    loading_percent: Floats
    losses_kw: float
    vm_per_kw: Floats
    vm_per_kvar: Floats
    loading_per_kw: Floats
    loading_per_kvar: Floats
    losses_per_kw: Floats
    losses_per_kvar: Floats


def sensitivity(grid: GridModel, import_kw: ArrayLike, import_kvar: ArrayLike | None = None) -> Sensitivity:
    """Return the exact derivatives of voltages, loadings and losses at one operating point.

    A loading is the larger of its two ends' (`PowerFlow`); where both are equal, or no current flows, it has
    no derivative and that of the first end, or 0, is given.

    Parameters
    ----------
    grid : the grid
    import_kw, import_kvar : net import at each bus, shape (buses,), + consumption; kvar default 0

    Raises
    ------
    InputError
        When shapes do not fit, a value is not finite, or the power flow has no solution.

    Notes
    -----
    The Jacobian of ``Y V = conj(S / V)``; ENGINES A5 (implicit Z-bus).

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> grid = Grid.by_name("ieee33")
    >>> found = sensitivity(grid, *grid.base_import())
    >>> found.vm_per_kw.shape, bool(found.vm_per_kw[17, 17] < 0), round(float(found.losses_per_kw[17]), 2)
    ((33, 33), True, 0.15)
    """
    points = OperatingPoints(grid, import_kw, import_kvar)
    buses, elements = np.arange(len(grid.buses)), np.arange(len(grid.elements))
    case = np.zeros(max(len(buses), len(elements)), dtype=np.int64)
    vm = points.vm_gradient(case[: len(buses)], buses)
    loading = points.loading_gradient(case[: len(elements)], elements)
    losses = points.losses_gradient(case[:1])
    return Sensitivity(
        buses=grid.buses,
        elements=grid.elements,
        vm_pu=points.vm_pu[0],
        loading_percent=points.loading_percent(case[: len(elements)], elements),
        losses_kw=float(points.losses_kw()[0]),
        vm_per_kw=vm[0],
        vm_per_kvar=vm[1],
        loading_per_kw=loading[0],
        loading_per_kvar=loading[1],
        losses_per_kw=losses[0][0],
        losses_per_kvar=losses[1][0],
    )


class OperatingPoints:
    """Many operating points of a grid, whose chosen derivatives are calculated in one batch.

    Parameters
    ----------
    grid : the grid
    import_kw, import_kvar : net import, (cases, buses) or (buses,), + consumption; kvar default 0

    Raises
    ------
    InputError
        When shapes do not fit, a value is not finite, or a case has no solution.
    """

    def __init__(
        self,
        grid: GridModel,
        import_kw: ArrayLike,
        import_kvar: ArrayLike | None = None,
        *,
        model: Admittance | None = None,
    ) -> None:
        kw = np.atleast_2d(np.asarray(import_kw, dtype=np.float64))
        kvar = np.zeros_like(kw) if import_kvar is None else np.atleast_2d(np.asarray(import_kvar, float))
        _check_shape(grid, kw, kvar)
        self._grid = grid
        self._model = admittance_of(grid.network) if model is None else model
        power = np.zeros((len(kw), self._model.nodes), dtype=complex)
        np.add.at(power.T, grid.network.bus_node, (kw + 1j * kvar).T / _KW_PER_MW)
        self._voltage = voltages(self._model, -power)
        self._import_mva = power
        _check_solved(grid, self._voltage)
        free = self._voltage[:, self._model.free]
        self._weight = np.conj(-power[:, self._model.free]) / np.conj(free) ** 2

    @property
    def vm_pu(self) -> Floats:
        """Voltage magnitudes, (cases, buses)."""
        at_nodes = np.abs(self._voltage) / self._model.node_kv
        return np.asarray(at_nodes[:, self._grid.network.bus_node])

    def losses_kw(self) -> Floats:
        """Losses of lines and transformers, (cases,)."""
        model = self._model
        power = self._voltage * np.conj(self._currents())
        shunts = model.shunt_g * np.abs(self._voltage) ** 2
        return np.asarray((power.real.sum(axis=1) - shunts.sum(axis=1)) * _KW_PER_MW)

    def loading_percent(self, case: Ints, element: Ints) -> Floats:
        """Return the loading of elements in cases, pair by pair, percent, (pairs,)."""
        return np.asarray(self._end_loading(case, element)[1].max(axis=0))

    def loading_gradient(self, case: Ints, element: Ints) -> tuple[Floats, Floats]:
        """Return d loading / d import of (case, element) pairs, percent per kW and kvar, (pairs, buses)."""
        worse, chosen = self._worse_end(case, element)
        size = np.abs(chosen)
        unit = np.divide(chosen, size, out=np.zeros_like(chosen), where=size > 0)
        return self._along(case, element, worse, unit=unit)

    def current_gradient(self, case: Ints, element: Ints) -> tuple[Floats, Floats]:
        """Return how the current moves along its own direction and across it, percent of the rated current.

        Both parts of the phasor of the more loaded end, so that loadings of any direction follow: each is
        (2, pairs, buses), by kW and by kvar.  Without a current its direction is that of the voltage.
        """
        worse, chosen = self._worse_end(case, element)
        ends = np.where(worse == 0, self._model.branches.start[element], self._model.branches.end[element])
        chosen = np.where(np.abs(chosen) > 1e-12, chosen, self._voltage[case, ends])
        unit = chosen / np.abs(chosen)
        along = self._along(case, element, worse, unit=unit)
        across = self._along(case, element, worse, unit=1j * unit)
        return np.stack([along[0], across[0]]), np.stack([along[1], across[1]])

    def _worse_end(self, case: Ints, element: Ints) -> tuple[Ints, Complex]:
        """Return the more loaded end of each pair and the current there, times sqrt(3), kA."""
        current, loading = self._end_loading(case, element)
        worse = loading.argmax(axis=0)
        return worse, current[worse, np.arange(len(case))]

    def _along(self, case: Ints, element: Ints, worse: Ints, *, unit: Complex) -> tuple[Floats, Floats]:
        """Return how the component of the current at an end along a direction moves, percent of rated."""
        branches, pair = self._model.branches, np.arange(len(case))
        unit = unit * (100 / (branches.rated[worse, element] * _SQRT3))
        at_start = np.where(worse == 0, branches.ff[element], branches.tf[element])
        at_end = np.where(worse == 0, branches.ft[element], branches.tt[element])
        wanted = np.zeros((len(case), self._model.nodes), dtype=complex)
        wanted[pair, branches.start[element]] += unit * np.conj(at_start)
        wanted[pair, branches.end[element]] += unit * np.conj(at_end)
        return self._gradient(case, wanted)

    def vm_gradient(self, case: Ints, bus: Ints) -> tuple[Floats, Floats]:
        """Return d voltage / d import of pairs of case and bus: per unit per kW and kvar; (pairs, buses)."""
        node = self._grid.network.bus_node[bus]
        voltage = self._voltage[case, node]
        wanted = np.zeros((len(case), self._model.nodes), dtype=complex)
        wanted[np.arange(len(case)), node] = voltage / np.abs(voltage) / self._model.node_kv[node]
        return self._gradient(case, wanted)

    def losses_gradient(self, case: Ints) -> tuple[Floats, Floats]:
        """Return d losses / d import of each case: kW per kW, kW per kvar; (cases, buses)."""
        model = self._model
        drawn = np.conj(model.to_source.T @ np.conj(model.source_kv)) * _KW_PER_MW
        wanted = -2 * _KW_PER_MW * model.shunt_g * self._voltage[case]
        wanted[:, model.free] += drawn
        per_kw, per_kvar = self._gradient(case, wanted)
        has_free = np.isin(self._grid.network.bus_node, model.free)
        return per_kw - has_free, per_kvar

    def _currents(self) -> Complex:
        """Sum of the branch and shunt currents that leave each node, times sqrt(3), kA, (cases, nodes)."""
        branches, total = self._model.branches, self._model.shunt_g * self._voltage
        start, end = self._voltage[:, branches.start], self._voltage[:, branches.end]
        np.add.at(total.T, branches.start, (branches.ff * start + branches.ft * end).T)
        np.add.at(total.T, branches.end, (branches.tf * start + branches.tt * end).T)
        return np.asarray(total)

    def _end_loading(self, case: Ints, element: Ints) -> tuple[Complex, Floats]:
        """Return currents (times sqrt 3, kA) and loadings (percent) of both ends, (2, pairs)."""
        branches = self._model.branches
        start = self._voltage[case, branches.start[element]]
        end = self._voltage[case, branches.end[element]]
        current = np.stack(
            [
                branches.ff[element] * start + branches.ft[element] * end,
                branches.tf[element] * start + branches.tt[element] * end,
            ]
        )
        return current, np.abs(current) * 100 / (branches.rated[:, element] * _SQRT3)

    def _adjoint(self, case: Ints, wanted: Complex) -> Complex:
        """Solve the adjoint equations of pairs, case by case where each case has many."""
        cases = np.unique(case)
        if len(case) < _MANY * len(cases):
            return adjoint(self._model, self._weight[case].T, wanted.T).T
        inner = np.empty_like(wanted)
        for one in cases:
            rows = case == one
            inner[rows] = adjoint_at(self._model, self._weight[one], wanted[rows].T).T
        return inner

    def _gradient(self, case: Ints, wanted: Complex) -> tuple[Floats, Floats]:
        """Return the derivatives by kW and kvar of import of scalars with dv = Re(conj(wanted) dV)."""
        model, count = self._model, len(self._model.node_kv)
        if not len(case):
            return np.zeros((0, len(self._grid.buses))), np.zeros((0, len(self._grid.buses)))
        inner = self._adjoint(case, wanted[:, model.free])
        slope = np.zeros((len(case), count), dtype=complex)
        slope[:, model.free] = inner / self._voltage[case][:, model.free] / _KW_PER_MW
        at_buses = slope[:, self._grid.network.bus_node]
        return -at_buses.real, at_buses.imag


def downstream(grid: GridModel) -> Bools:
    """Tell which buses lose their source when an element is taken out, (elements, buses).

    In a radial grid these are the buses behind the element: exactly their power flows through it, so only
    they can relieve it.  An element of a mesh, or an open one, has none: use its `sensitivity`.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> behind = downstream(Grid.by_name("ieee33"))
    >>> behind[0].sum(), behind[16].nonzero()[0].tolist()
    (np.int64(32), [17])
    """
    network, branches = grid.network, branches_of(grid.network)
    count = len(network.node_kv)
    used = np.flatnonzero(branches.closed)
    sources = np.unique(network.bus_node[network.sources.bus])
    # One root above all sources makes the tree one.
    start = np.concatenate([branches.start[used], np.full(len(sources), count)])
    end = np.concatenate([branches.end[used], sources])
    order, parent = spanning_tree(count + 1, start, end, root=count)
    below = np.eye(count + 1, dtype=bool)
    for node in order[:0:-1]:
        below[parent[node]] |= below[node]
    behind = np.zeros((len(branches.closed), count), dtype=bool)
    child = np.where(parent[branches.end] == branches.start, branches.end, branches.start)
    other = np.where(child == branches.end, branches.start, branches.end)
    is_tree = branches.closed & (parent[child] == other)
    crossings = np.zeros(count + 1, dtype=np.int64)
    for row in used:
        crossings += below[:, branches.start[row]] != below[:, branches.end[row]]
    for row in np.flatnonzero(is_tree):
        if crossings[child[row]] == 1:
            behind[row] = below[child[row], :count]
    return behind[:, network.bus_node]


def _check_shape(grid: GridModel, kw: Floats, kvar: Floats) -> None:
    wanted = (len(kw), len(grid.buses))
    faults = [
        Fault(
            source=grid.network.name,
            place=name,
            value=values.shape,
            reason="does not fit the grid or is not finite",
            fix=f"give finite powers of shape {wanted}, columns as grid.buses",
        )
        for name, values in (("import_kw", kw), ("import_kvar", kvar))
        if values.shape != wanted or not np.isfinite(values).all()
    ]
    if faults:
        raise InputError(faults)


def _check_solved(grid: GridModel, voltage: Complex) -> None:
    failed = np.flatnonzero(~np.isfinite(voltage).all(axis=1))
    if failed.size:
        fix = "reduce the load, or leave out periods that did not converge"
        reason = "the power flow has no solution"
        raise InputError(
            Fault(source=grid.network.name, place=f"case {case}", value="", reason=reason, fix=fix)
            for case in failed[:20].tolist()
        )
