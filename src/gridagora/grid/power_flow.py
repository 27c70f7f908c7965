"""Steady-state power flow of many periods in one batch: the only page that talks to power-grid-model.

The model of a network is built once and only its loads change from call to call.
Sources hold their voltage: their short-circuit power is so large (10^18 VA) that it moves no result, as
pandapower's ideal slack; 10^15 VA would already shift a 45 MVA grid by 2e-8 pu.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gridagora.grid.sequence import three_phase_lines, three_phase_transformers
from gridagora.model.network import Network

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SOURCE_SHORT_CIRCUIT_VA = 1e18
ERROR_TOLERANCE_PU = 1e-10
MAX_ITERATIONS = 100
CHUNK_VALUES = 4_000_000
"""Values (periods x nodes) calculated at once; bounds the memory beside the results."""
THREADED_VALUES = 50_000
"""Fewer values than this are not worth a second thread."""
CONSTANT_POWER, CONSTANT_IMPEDANCE, CONSTANT_CURRENT = 0, 1, 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Solution:
    """Raw results over periods (and phases, last axis, if three-phase); NaN where not converged.

    Voltages per unit of the node, currents in A, powers in W; ``each_w`` and ``each_var`` are those of each
    source, (periods, sources).
    """

    u_pu: Floats
    line_a: Floats
    hv_a: Floats
    lv_a: Floats
    source_w: Floats
    source_var: Floats
    each_w: Floats
    each_var: Floats
    shunt_w: Floats
    load_w: Floats
    converged: Bools


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Loads:
    """Where loads stand in a solver: node and kind of each, and nominal power where it is fixed."""

    node: Ints
    kind: Ints
    p_w: Floats
    q_var: Floats


class Solver:
    """A power-grid-model of one network whose load powers are set per call.

    Parameters
    ----------
    network : the network
    loads : load rows; None: one of constant power at each node
    phases : 1 for the positive sequence, 3 for three phases with zero-sequence data
    """

    def __init__(self, network: Network, *, loads: Loads | None = None, phases: int = 1) -> None:
        self.phases = phases
        self.nodes = len(network.node_kv)
        self._load = "sym_load" if phases == 1 else "asym_load"
        self._transformer = "generic_branch" if phases == 1 else "transformer"
        self._model, self._outputs = self._build(network, loads)
        self._sizes = {
            "line": len(network.lines),
            self._transformer: len(network.transformers),
            "shunt": len(network.shunts),
            "source": len(network.sources),
        }

    def solve(
        self, p_w: Floats | None, q_var: Floats | None = None, *, threads: int | None = None
    ) -> Solution:
        """Solve all periods; loads have shape (periods, loads) or (periods, loads, 3), None: as built.

        Periods that iterative current does not solve are tried with Newton-Raphson before they count as not
        converged; their results are NaN.
        """
        if p_w is None:
            return self._run({}, periods=1, threads=1)
        periods = len(p_w)
        size = max(1, CHUNK_VALUES // (self.phases * max(self.nodes, 1)))
        parts = []
        for first in range(0, max(periods, 1), size):
            update = {"p_specified": np.ascontiguousarray(p_w[first : first + size])}
            if q_var is not None:
                update["q_specified"] = np.ascontiguousarray(q_var[first : first + size])
            parts.append(self._run(update, periods=len(update["p_specified"]), threads=threads))
        return parts[0] if len(parts) == 1 else _join(parts)

    def _run(self, update: dict[str, Floats], *, periods: int, threads: int | None) -> Solution:
        solution = self._calculate(update, "iterative_current", periods=periods, threads=threads)
        failed = np.flatnonzero(~solution.converged)
        if not failed.size:
            return solution
        again = {name: np.ascontiguousarray(values[failed]) for name, values in update.items()}
        retried = self._calculate(again, "newton_raphson", periods=len(failed), threads=threads)
        for name in Solution.__dataclass_fields__:
            getattr(solution, name)[failed] = getattr(retried, name)
        return solution

    def _calculate(
        self, update: dict[str, Floats], method: str, *, periods: int, threads: int | None
    ) -> Solution:
        """Calculate one chunk with one method; without an update, the model as it is built."""
        if not periods:
            return self._solution({}, np.ones(0, dtype=bool))
        if not update:
            update = self._as_built
        if threads is None:
            threads = 2 if periods * self.nodes * self.phases > THREADED_VALUES else 1
        result = self._model.calculate_power_flow(
            symmetric=self.phases == 1,
            error_tolerance=ERROR_TOLERANCE_PU,
            max_iterations=MAX_ITERATIONS,
            calculation_method=method,
            update_data={self._load: update},
            threading=-1 if threads <= 1 else threads,
            output_component_types=self._outputs,
            continue_on_batch_error=True,
            decode_error=False,
        )
        converged = np.ones(periods, dtype=bool)
        error = self._model.batch_error
        if error is not None:
            converged[np.asarray(error.failed_scenarios, dtype=np.int64)] = False
        return self._solution(cast("dict[str, Any]", result), converged)

    def _solution(self, result: dict[str, Any], converged: Bools) -> Solution:
        """Name the columns; results of periods that did not converge are no numbers."""
        periods = len(converged)
        tail = () if self.phases == 1 else (self.phases,)

        def column(component: str, name: str) -> Floats:
            if component in result:
                values: Floats = result[component][name]
                if not converged.all():
                    values[~converged] = np.nan
                return values
            return np.zeros((periods, self._sizes.get(component, self.nodes), *tail))

        line = column("line", "i_from")
        if "i_to" in self._outputs.get("line", ()):
            line = np.maximum(line, column("line", "i_to"))
        return Solution(
            u_pu=column("node", "u_pu")[:, : self.nodes],
            line_a=line,
            hv_a=column(self._transformer, "i_from"),
            lv_a=column(self._transformer, "i_to"),
            source_w=_total(column("source", "p")),
            source_var=_total(column("source", "q")),
            each_w=_over_phases(column("source", "p")),
            each_var=_over_phases(column("source", "q")),
            shunt_w=_total(column("shunt", "p")),
            load_w=_total(column(self._load, "p"))
            if "p" in self._outputs.get(self._load, ())
            else np.zeros(periods),
            converged=converged,
        )

    def _build(self, network: Network, loads: Loads | None) -> tuple[Any, dict[str, list[str]]]:
        """Build the model; returns it with the columns to calculate."""
        from power_grid_model import PowerGridModel

        data = _Input(network)
        branch_nodes = data.line_nodes(), data.transformer_nodes()
        node = data.table("node", len(data.node_kv))
        node["u_rated"] = np.array(data.node_kv) * 1e3
        line = data.table("line", len(network.lines))
        _set_ends(
            line, branch_nodes[0], start_closed=network.lines.from_closed, end_closed=network.lines.to_closed
        )
        _set_lines(line, network)
        transformer = data.table(self._transformer, len(network.transformers))
        _set_ends(
            transformer,
            branch_nodes[1],
            start_closed=network.transformers.hv_closed,
            end_closed=network.transformers.lv_closed,
        )
        if self.phases == 1:
            _set_pi_transformers(transformer, network, np.array(data.node_kv))
        else:
            three_phase_lines(line, network)
            three_phase_transformers(transformer, network)
        _set_sources(data.table("source", len(network.sources)), network)
        _set_shunts(data.table("shunt", len(network.shunts)), network)
        chosen = loads or _everywhere(self.nodes, self.phases)
        load = data.table(self._load, len(chosen.node))
        load["node"], load["status"], load["type"] = chosen.node, 1, chosen.kind
        load["p_specified"], load["q_specified"] = chosen.p_w, chosen.q_var
        self._as_built = {"p_specified": chosen.p_w[None].copy(), "q_specified": chosen.q_var[None].copy()}
        tables = {name: table for name, table in data.tables.items() if len(table)}
        charging = (network.lines.c_farad != 0) | (network.lines.g_siemens != 0)
        outputs = {
            "node": ["u_pu"],
            "line": ["i_from", "i_to"] if charging.any() else ["i_from"],
            self._transformer: ["i_from", "i_to"],
            "source": ["p", "q"],
            "shunt": ["p"],
            self._load: ["p"] if loads is not None else [],
        }
        wanted = {name: columns for name, columns in outputs.items() if columns and name in tables}
        return PowerGridModel(tables, system_frequency=network.frequency_hz), wanted


class _Input:
    """Numbers the components of a model and gives open branch ends a node of their own."""

    def __init__(self, network: Network) -> None:
        self.node_kv: list[float] = network.node_kv.tolist()
        self.tables: dict[str, NDArray[Any]] = {}
        self._network = network
        self._next_id = 0

    def table(self, component: str, count: int) -> NDArray[Any]:
        from power_grid_model import initialize_array

        array = initialize_array("input", cast("Any", component), count)
        array["id"] = np.arange(self._next_id, self._next_id + count)
        self._next_id += count
        self.tables[component] = array
        return array

    def line_nodes(self) -> tuple[Ints, Ints]:
        lines = self._network.lines
        ends = lines.from_bus, lines.to_bus
        return self._nodes(ends, lines.from_closed, ratio=np.ones(len(lines)))

    def transformer_nodes(self) -> tuple[Ints, Ints]:
        transformers = self._network.transformers
        ratio = transformers.hv_kv / transformers.lv_kv
        ends = transformers.hv_bus, transformers.lv_bus
        return self._nodes(ends, transformers.hv_closed, ratio=ratio)

    def _nodes(self, ends: tuple[Ints, Ints], first_closed: Bools, *, ratio: Floats) -> tuple[Ints, Ints]:
        """Return both ends' nodes; an end without bus, or open beside its other end, gets its own."""
        first, last = (np.where(end < 0, -1, self._network.bus_node[end]) for end in ends)
        beside = first == last
        first[beside & ~first_closed] = -1
        last[beside & first_closed] = -1
        for row in np.flatnonzero((first < 0) | (last < 0)).tolist():
            lost, other = (first, last) if first[row] < 0 else (last, first)
            factor = ratio[row] if lost is first else 1 / ratio[row]
            self.node_kv.append(self.node_kv[other[row]] * factor)
            lost[row] = len(self.node_kv) - 1
        return first, last


def _set_ends(
    table: NDArray[Any], nodes: tuple[Ints, Ints], *, start_closed: Bools, end_closed: Bools
) -> None:
    table["from_node"], table["to_node"] = nodes
    table["from_status"], table["to_status"] = start_closed, end_closed


def _set_lines(table: NDArray[Any], network: Network) -> None:
    """Fill the positive sequence; conductance goes in as loss angle, which needs some capacitance."""
    lines = network.lines
    capacitance = np.where((lines.c_farad == 0) & (lines.g_siemens != 0), 1e-15, lines.c_farad)
    susceptance = 2 * np.pi * network.frequency_hz * capacitance
    table["r1"], table["x1"], table["c1"] = lines.r_ohm, lines.x_ohm, capacitance
    table["tan1"] = np.divide(lines.g_siemens, susceptance, where=susceptance != 0, out=np.zeros(len(lines)))
    table["i_n"] = lines.rated_a


def _set_pi_transformers(table: NDArray[Any], network: Network, node_kv: Floats) -> None:
    """Fill transformers as pi branches with an ideal ratio and phase shift."""
    transformers = network.transformers
    nominal = node_kv[table["from_node"]] / node_kv[table["to_node"]]
    table["r1"], table["x1"] = transformers.r_ohm, transformers.x_ohm
    table["g1"], table["b1"] = transformers.g_siemens, transformers.b_siemens
    table["k"] = transformers.hv_kv / transformers.lv_kv / nominal
    table["theta"] = np.deg2rad(transformers.shift_degree)
    table["sn"] = transformers.rated_kva * 1e3


def _set_sources(table: NDArray[Any], network: Network) -> None:
    sources = network.sources
    table["node"], table["status"] = network.bus_node[sources.bus], 1
    table["u_ref"], table["u_ref_angle"] = sources.vm_pu, np.deg2rad(sources.va_degree)
    table["sk"], table["rx_ratio"], table["z01_ratio"] = SOURCE_SHORT_CIRCUIT_VA, 0.1, 1.0


def _set_shunts(table: NDArray[Any], network: Network) -> None:
    """Fill shunts; their star point is earthed, so that zero and positive sequence are equal."""
    shunts = network.shunts
    table["node"], table["status"] = network.bus_node[shunts.bus], 1
    table["g1"], table["b1"], table["g0"], table["b0"] = (shunts.g_siemens, shunts.b_siemens) * 2


def _everywhere(nodes: int, phases: int) -> Loads:
    """Return one load of constant power at each node, zero until a call sets it."""
    zero = np.zeros(nodes) if phases == 1 else np.zeros((nodes, phases))
    return Loads(node=np.arange(nodes), kind=np.full(nodes, CONSTANT_POWER), p_w=zero, q_var=zero)


def _total(values: Floats) -> Floats:
    """Sum over components and phases."""
    return np.asarray(values.sum(axis=tuple(range(1, values.ndim))))


def _over_phases(values: Floats) -> Floats:
    return values if values.ndim == 2 else np.asarray(values.sum(axis=2))


def _join(parts: list[Solution]) -> Solution:
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Solution.__dataclass_fields__
    }
    return Solution(**columns)
