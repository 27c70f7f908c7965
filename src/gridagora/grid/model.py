"""A grid to ask: power flows of import schedules, its own base case, its names and limits."""

from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.flow import PowerFlow, unbalance_percent
from gridagora.grid.power_flow import Loads, Solution, Solver
from gridagora.grid.sequence import assume_zero_sequence, three_phase_faults
from gridagora.model.network import Network

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HALVINGS = 6
_SHOWN_FAULTS = 20


class GridModel:
    """A distribution grid whose power flow is calculated for many periods at once.

    Parameters
    ----------
    network : the grid's data (`Network`)

    Attributes
    ----------
    buses : bus ids, the column order of imports and voltages
    elements : branch names, lines then transformers, the column order of loadings
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.buses = network.buses
        self.elements = network.elements
        self.kinds = ("line",) * len(network.lines) + ("transformer",) * len(network.transformers)
        self._first, self._others = _buses_of_nodes(network.bus_node)
        self._one_bus_per_node = np.array_equal(network.bus_node, np.arange(len(network.buses)))

    def __repr__(self) -> str:
        counts = f"{len(self.buses)} buses, {len(self.network.lines)} lines"
        name = f"{type(self).__name__} {self.network.name}"
        return f"<{name}: {counts}, {len(self.network.transformers)} transformers>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.network,)

    @cached_property
    def bus_position(self) -> dict[str, int]:
        """Column of each bus id."""
        return {bus: column for column, bus in enumerate(self.buses)}

    @cached_property
    def _solver(self) -> Solver:
        return Solver(self.network)

    def power_flow(
        self, import_kw: ArrayLike, import_kvar: ArrayLike | None = None, *, threads: int | None = None
    ) -> PowerFlow:
        """Calculate the balanced power flow of every period.

        Parameters
        ----------
        import_kw : net import at each bus, kW, + consumption, shape (periods, buses) or (buses,); constant
            power; replaces the loads of the net
        import_kvar : reactive import, kvar; default 0
        threads : how many; default two for long batches

        Raises
        ------
        InputError
            When shapes do not fit or a value is not finite.

        Examples
        --------
        >>> from gridagora.adapters.grids import Grid
        >>> grid = Grid.by_name("ieee33")
        >>> kw, kvar = grid.base_import()
        >>> flow = grid.power_flow([kw, 0.5 * kw, 9 * kw], [kvar, 0.5 * kvar, 9 * kvar])
        >>> flow.losses_kw.round(1).tolist(), flow.converged.tolist(), flow.weakest_bus.tolist()
        ([202.7, 47.1, nan], [True, True, False], ['', '', '17'])
        """
        kw = self._checked(import_kw, "import_kw")
        kvar = None if import_kvar is None else self._checked(import_kvar, "import_kvar", like=kw)
        p, q = self._at_nodes(kw), None if kvar is None else self._at_nodes(kvar)
        solution = self._solver.solve(p, q, threads=threads)
        flow = self._flow(
            solution, load_w=p.sum(axis=1), weakest=self._weakest(self._solver, solution, p_w=p, q_var=q)
        )
        return replace(flow, bus_kw=kw, bus_kvar=kvar)

    def power_flow_3ph(
        self,
        import_kw: ArrayLike,
        import_kvar: ArrayLike | None = None,
        *,
        zero_sequence: Literal["data", "assume"] = "data",
        threads: int | None = None,
    ) -> PowerFlow:
        """Calculate the three-phase power flow of every period.

        Parameters
        ----------
        import_kw : net import per phase to earth, kW, shape (periods, buses, 3) or (buses, 3)
        import_kvar : reactive import, kvar; default 0
        zero_sequence : "data": the net's own, an error when it lacks some; "assume": missing values are
            filled in as `gridagora.grid.sequence.assume_zero_sequence` states

        Raises
        ------
        InputError
            When zero-sequence data are missing, shapes do not fit or a value is not finite.

        Examples
        --------
        >>> from gridagora.adapters.grids import Grid
        >>> grid = Grid.by_name("cigre-lv")
        >>> kw = np.zeros((len(grid.buses), 3))
        >>> kw[grid.bus_position["Bus R18"], 0] = 5.0
        >>> flow = grid.power_flow_3ph(kw, zero_sequence="assume")
        >>> flow.vm_pu.shape, round(float(flow.unbalance_percent.max()), 2)
        ((1, 44, 3), 1.23)
        """
        kw = self._checked(import_kw, "import_kw", phases=3)
        kvar = None if import_kvar is None else self._checked(import_kvar, "import_kvar", like=kw, phases=3)
        solver = self._solver_3ph(zero_sequence)
        p, q = self._at_nodes(kw), None if kvar is None else self._at_nodes(kvar)
        solution = solver.solve(p, q, threads=threads)
        flow = self._flow(
            solution, load_w=p.sum(axis=(1, 2)), weakest=self._weakest(solver, solution, p_w=p, q_var=q)
        )
        return replace(flow, bus_kw=kw, bus_kvar=kvar)

    def base_import(self) -> tuple[Floats, Floats]:
        """Return the net's own loads as import per bus at nominal voltage: kW and kvar, shape (buses,)."""
        p, q = self._base_per_phase()
        return p.sum(axis=1), q.sum(axis=1)

    def base_import_3ph(self) -> tuple[Floats, Floats]:
        """Return the net's own loads per bus and phase at nominal voltage: kW and kvar, shape (buses, 3).

        Raises
        ------
        InputError
            When a load stands between phases (delta): its phases to earth are not given.
        """
        loads = self.network.loads
        fix = "give it per phase to earth (wye), or use the symmetric power flow"
        check_faults(
            self._fault(f"{loads.kind[row]} {loads.name[row]}", "delta", "stands between phases", fix=fix)
            for row in np.flatnonzero(loads.phase_to_phase)
        )
        return self._base_per_phase()

    def _base_per_phase(self) -> tuple[Floats, Floats]:
        loads = self.network.loads
        kw, kvar = np.zeros((len(self.buses), 3)), np.zeros((len(self.buses), 3))
        np.add.at(kw, loads.bus, loads.p_kw)
        np.add.at(kvar, loads.bus, loads.q_kvar)
        return kw, kvar

    def base_power_flow(self) -> PowerFlow:
        """Calculate the net as it is, one period, with its own loads and their voltage dependence (ZIP).

        Shares belong to each load; pandapower averages them over a bus and applies them to its generators.
        """
        loads = _voltage_dependent(self.network)
        solver = Solver(self.network, loads=loads)
        solution = solver.solve(None)
        return self._flow(solution, load_w=solution.load_w, weakest=np.array([""]))

    def _solver_3ph(self, zero_sequence: str) -> Solver:
        key = f"_solver_3ph_{zero_sequence}"
        found = self.__dict__.get(key)
        if found is None:
            network = self.network if zero_sequence == "data" else assume_zero_sequence(self.network)
            check_faults(three_phase_faults(network))
            found = self.__dict__[key] = Solver(network, phases=3)
        return found

    def _checked(
        self, values: ArrayLike, name: str, *, like: Floats | None = None, phases: int = 1
    ) -> Floats:
        """Return values as (periods, buses) or (periods, buses, phases), or raise naming every bad one."""
        array = np.asarray(values, dtype=np.float64)
        tail = (len(self.buses),) if phases == 1 else (len(self.buses), phases)
        if array.shape == tail:
            array = array[None]
        wanted = (len(array) if like is None and array.ndim else len(like) if like is not None else 0, *tail)
        if array.shape != wanted:
            fix = f"give shape (periods, {', '.join(map(str, tail))}), columns as grid.buses"
            check_faults([self._fault(name, array.shape, "does not fit the grid", fix=fix)])
        if not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[:_SHOWN_FAULTS].tolist()
            fix = "write a power in kW or kvar"
            check_faults(
                self._fault(
                    f"{name}, period {at[0]}, bus {self.buses[at[1]]}",
                    float(array[tuple(at)]),
                    "is no power",
                    fix=fix,
                )
                for at in bad
            )
        return array

    def _fault(self, place: str, value: object, reason: str, *, fix: str) -> Fault:
        return Fault(source=self.network.name, place=place, value=value, reason=reason, fix=fix)

    def _at_nodes(self, power: Floats) -> Floats:
        """Sum kW of buses to W of nodes, rows contiguous so that later sums do not depend on their number."""
        if self._one_bus_per_node:
            return np.multiply(power, 1e3, order="C")
        total = np.take(power, self._first, axis=1) * 1e3
        for bus, node in self._others:
            total[:, node] += power[:, bus] * 1e3
        return total

    def _flow(self, solution: Solution, *, load_w: Floats, weakest: NDArray[np.str_]) -> PowerFlow:
        network = self.network
        lines, transformers = len(network.lines), len(network.transformers)
        worst = [a if a.ndim == 2 else a.max(axis=2) for a in (solution.line_a, solution.hv_a, solution.lv_a)]
        loading = np.empty((len(load_w), lines + transformers))
        np.multiply(worst[0], 100 / network.lines.rated_a, out=loading[:, :lines])
        np.maximum(
            worst[1] * (100 / network.transformers.rated_hv_a),
            worst[2] * (100 / network.transformers.rated_lv_a),
            out=loading[:, lines:],
        )
        loading[~solution.converged] = np.nan
        vm = solution.u_pu if self._one_bus_per_node else solution.u_pu[:, network.bus_node]
        return PowerFlow(
            buses=self.buses,
            elements=self.elements,
            kinds=self.kinds,
            vm_pu=vm,
            loading_percent=loading,
            losses_kw=(solution.source_w - load_w - solution.shunt_w) / 1e3,
            import_kw=solution.source_w / 1e3,
            import_kvar=solution.source_var / 1e3,
            converged=solution.converged,
            weakest_bus=weakest,
            unbalance_percent=unbalance_percent(vm) if vm.ndim == 3 else None,
            source_kw=solution.each_w / 1e3,
            source_kvar=solution.each_var / 1e3,
        )

    def _weakest(
        self, solver: Solver, solution: Solution, *, p_w: Floats, q_var: Floats | None
    ) -> NDArray[np.str_]:
        """Name the weakest bus of each period that did not converge, at a smaller share of its loads."""
        open_periods = np.flatnonzero(~solution.converged)
        if not open_periods.size:
            return np.zeros(len(p_w), dtype="<U1")
        names = np.zeros(len(p_w), dtype=f"<U{max(map(len, self.buses))}")
        for halving in range(1, _HALVINGS + 1):
            if not open_periods.size:
                break
            share = 0.5**halving
            reduced = None if q_var is None else q_var[open_periods] * share
            part = solver.solve(p_w[open_periods] * share, reduced)
            vm = part.u_pu if part.u_pu.ndim == 2 else part.u_pu.min(axis=2)
            for row in np.flatnonzero(part.converged):
                names[open_periods[row]] = self.buses[self._first[np.abs(vm[row] - 1).argmax()]]
            open_periods = open_periods[~part.converged]
        return names


def _buses_of_nodes(bus_node: Ints) -> tuple[Ints, list[tuple[int, int]]]:
    """Return the first bus of each node, and the other buses with their node."""
    _, first = np.unique(bus_node, return_index=True)
    others = np.setdiff1d(np.arange(len(bus_node)), first)
    return first.astype(np.int64), [(int(bus), int(bus_node[bus])) for bus in others]


def _voltage_dependent(network: Network) -> Loads:
    """Split the net's loads into constant power, impedance and current."""
    loads = network.loads
    p, q = loads.p_kw.sum(axis=1) * 1e3, loads.q_kvar.sum(axis=1) * 1e3
    shares = [
        (0, 1 - loads.z_share_p - loads.i_share_p, 1 - loads.z_share_q - loads.i_share_q),
        (1, loads.z_share_p, loads.z_share_q),
        (2, loads.i_share_p, loads.i_share_q),
    ]
    used = [(kind, of_p, of_q) for kind, of_p, of_q in shares if np.any(of_p) or np.any(of_q)]
    node = network.bus_node[loads.bus]
    return Loads(
        node=np.tile(node, len(used)),
        kind=np.repeat([kind for kind, _, _ in used], len(node)).astype(np.int64),
        p_w=np.concatenate([p * of_p for _, of_p, _ in used]) if used else np.zeros(0),
        q_var=np.concatenate([q * of_q for _, _, of_q in used]) if used else np.zeros(0),
    )
