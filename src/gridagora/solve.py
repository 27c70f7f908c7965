"""Linear programs in, values and duals out: the only place that talks to HiGHS.

``minimise cost x`` subject to ``row_lower <= A x <= row_upper`` and ``lower <= x <= upper``.  The dual of a
row is the change of the optimal cost per unit of its right-hand side.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import SolverError, require

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

Places = NDArray[np.int64]
Statuses = NDArray[np.int8]

LOWER, BASIC, UPPER = 0, 1, 2
"""Where a basis puts a column or a row: at its lower bound, between its bounds, at its upper bound."""

DEVEX = 1
"""Edge weights that a hot start need not compute anew, as steepest edge must (12 % less time)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearProgram:
    """A linear program as arrays; the matrix by columns: ``starts`` (columns + 1,), ``rows`` and ``entries``.

    Examples
    --------
    >>> two = np.array([1.0, 1.0])
    >>> lp = LinearProgram(cost=np.array([1.0, 2.0]), lower=0 * two, upper=two, row_lower=two[:1] * 1.5,
    ...                    row_upper=two[:1] * 1.5, starts=np.array([0, 1, 2]), rows=np.zeros(2), entries=two)
    >>> answer = solve(lp)
    >>> answer.values.tolist(), answer.duals.tolist(), answer.objective
    ([1.0, 0.5], [2.0], 2.0)
    """

    cost: Floats
    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    starts: Ints
    rows: Ints
    entries: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The optimum: ``values`` per column, ``duals`` per row (cost per unit of right-hand side)."""

    values: Floats
    duals: Floats
    objective: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """Where the simplex method starts or stopped: `LOWER`, `BASIC` or `UPPER` per column and per row."""

    columns: Statuses
    rows: Statuses


class HotModel:
    """A linear program that stays in the solver: change it, solve it again from the last basis.

    Dual simplex on one thread without presolve: after few changes it needs few steps, and the same calls in
    the same order give the same bytes.
    """

    def __init__(self, program: LinearProgram) -> None:
        import highspy

        self._optimal = highspy.HighsModelStatus.kOptimal
        self._error = highspy.HighsStatus.kError
        # the type stubs of highspy know only a part of its calls
        self._highs: Any = cast("Any", highspy.Highs)()
        options = (
            ("output_flag", False),
            ("threads", 1),
            ("presolve", "off"),
            ("solver", "simplex"),
            ("simplex_dual_edge_weight_strategy", DEVEX),
            ("dual_simplex_cost_perturbation_multiplier", 0.0),
        )
        for option, value in options:
            self._checked(self._highs.setOptionValue(option, value))
        columns, rows = len(program.cost), len(program.row_lower)
        self._checked(
            # as arrays, which HiGHS copies at once; a model's attributes would be filled number by number
            self._highs.passModel(
                columns,
                rows,
                len(program.entries),
                int(highspy.MatrixFormat.kColwise),
                int(highspy.ObjSense.kMinimize),
                0.0,
                *(program.cost, program.lower, program.upper, program.row_lower, program.row_upper),
                *(program.starts[:-1].astype(np.int32), program.rows.astype(np.int32), program.entries),
                np.zeros(columns, dtype=np.int32),
            )
        )

    def change(
        self,
        program: LinearProgram,
        *,
        cost: Floats,
        lower: Floats,
        upper: Floats,
        row_lower: Floats,
        row_upper: Floats,
    ) -> LinearProgram:
        """Set costs and bounds that differ from ``program``, the one in the solver; returns the new one."""
        columns = _differ((cost, program.cost))
        if len(columns):
            self._checked(self._highs.changeColsCost(len(columns), columns, cost[columns]))
        columns = _differ((lower, program.lower), (upper, program.upper))
        if len(columns):
            self._checked(self._highs.changeColsBounds(len(columns), columns, lower[columns], upper[columns]))
        rows = _differ((row_lower, program.row_lower), (row_upper, program.row_upper))
        if len(rows):
            self._checked(self._highs.changeRowsBounds(len(rows), rows, row_lower[rows], row_upper[rows]))
        return replace(program, cost=cost, lower=lower, upper=upper, row_lower=row_lower, row_upper=row_upper)

    def change_entry(self, row: int, column: int, value: float) -> None:
        """Set one entry of the matrix."""
        self._checked(self._highs.changeCoeff(row, column, value))

    def add_rows(
        self, row_lower: Floats, row_upper: Floats, *, starts: Ints, columns: Ints, entries: Floats
    ) -> None:
        """Add rows below the others; the matrix by rows: ``starts`` (rows + 1,), ``columns``, ``entries``."""
        self._checked(
            self._highs.addRows(
                len(row_lower),
                row_lower,
                row_upper,
                len(entries),
                starts[:-1].astype(np.int32),
                columns.astype(np.int32),
                entries,
            )
        )

    def start_from(self, basis: Basis) -> None:
        """Let the next solve start from a basis; a wrong number of basic entries is mended by the solver."""
        import highspy

        kinds = highspy.HighsBasisStatus
        by_number = (kinds.kLower, kinds.kBasic, kinds.kUpper, kinds.kZero)
        start = highspy.HighsBasis()
        start.col_status = [by_number[status] for status in basis.columns.tolist()]
        start.row_status = [by_number[status] for status in basis.rows.tolist()]
        start.valid, start.alien = True, True
        self._checked(self._highs.setBasis(start))

    def solve(self) -> Answer:
        """Solve from the last basis, if that fails from none; raises `SolverError` when there is no optimum.

        After a hot start the simplex method now and then stops short of the optimum and says so ("Unknown",
        left from its perturbed costs): a second start goes on from where it stopped, a third from nothing.
        """
        for attempt in range(3):
            if attempt == 2:
                self._checked(self._highs.clearSolver())
            self._checked(self._highs.run())
            if self._highs.getModelStatus() == self._optimal:
                return self._answer()
        status = self._highs.modelStatusToString(self._highs.getModelStatus())
        raise SolverError(f"linear program: {status}")

    def solve_whole(self, whole: NDArray[np.bool_], *, gap: float = 0.0) -> Answer:
        """Solve with integers in the ``whole`` columns, to a relative gap."""
        import highspy

        columns = np.flatnonzero(whole).astype(np.int32)
        kinds = np.full(len(columns), highspy.HighsVarType.kInteger)
        # presolve stays off as for linear programs: HiGHS 1.15 then calls some feasible programs infeasible
        for option, value in (("solver", "choose"), ("mip_rel_gap", gap), ("mip_abs_gap", 1e-9)):
            self._checked(self._highs.setOptionValue(option, value))
        self._checked(self._highs.changeColsIntegrality(len(columns), columns, kinds))
        self._checked(self._highs.run())
        if self._highs.getModelStatus() != self._optimal:
            status = self._highs.modelStatusToString(self._highs.getModelStatus())
            raise SolverError(f"mixed-integer program: {status}")
        return replace(self._answer(), duals=np.zeros(self._highs.getNumRow()))

    def _answer(self) -> Answer:
        solution = self._highs.getSolution()
        return Answer(
            values=np.array(solution.col_value),
            duals=np.array(solution.row_dual),
            objective=self._highs.getInfo().objective_function_value,
        )

    def _checked(self, status: object) -> None:
        if status == self._error:
            raise SolverError("HiGHS refused a call")


def _differ(*pairs: tuple[Floats, Floats]) -> Ints:
    """Places where the new numbers of any (new, old) pair differ from the old ones."""
    changed = np.zeros(len(pairs[0][0]), dtype=np.bool_)
    for new, old in pairs:
        changed |= new != old
    return np.flatnonzero(changed).astype(np.int32)


def solve(program: LinearProgram) -> Answer:
    """Solve a linear program once; raises `SolverError` when it has no optimum."""
    return HotModel(program).solve()


def solve_mixed(program: LinearProgram, *, whole: NDArray[np.bool_], gap: float = 0.0) -> Answer:
    """Solve a program whose ``whole`` columns take integers only; raises `SolverError` without an optimum.

    Branch and bound to a relative ``gap`` (default none) on one thread, so that the same program gives the
    same answer.  Parts that share no row are solved one by one, each to the gap: what is on in one need not
    be tried with all that may be on in the others.  The duals are zero: a mixed-integer program has none.
    Every column must have bounds: HiGHS 1.15 may otherwise cut off the optimum and report another (its issue
    3273).

    Examples
    --------
    >>> one = np.array([1.0])
    >>> lp = LinearProgram(cost=-one, lower=0 * one, upper=3 * one, row_lower=0 * one, row_upper=2.5 * one,
    ...                    starts=np.array([0, 1]), rows=np.array([0]), entries=one)
    >>> solve_mixed(lp, whole=np.array([True])).values.tolist()
    [2.0]
    """
    bounded = bool(np.isfinite(program.lower).all() and np.isfinite(program.upper).all())
    require(bounded, "a mixed-integer program has columns without bounds")
    values, objective = np.zeros(len(program.cost)), 0.0
    matrix = _matrix(program)
    for rows, columns in _parts(matrix, whole):
        part = _part(program, matrix, rows=rows, columns=columns)
        inside = whole[columns]
        answer = HotModel(part).solve_whole(inside, gap=gap) if inside.any() else solve(part)
        values[columns] = answer.values
        objective += answer.objective
    return Answer(values=values, duals=np.zeros(len(program.row_lower)), objective=objective)


def _matrix(program: LinearProgram) -> Any:
    from scipy.sparse import csc_array

    shape = (len(program.row_lower), len(program.cost))
    return csc_array((program.entries, program.rows, program.starts), shape=shape)


def _parts(matrix: Any, whole: NDArray[np.bool_]) -> list[tuple[Places, Places]]:
    """Return rows and columns of every part with whole columns that shares no row; first, all the rest."""
    from scipy.sparse import block_array
    from scipy.sparse.csgraph import connected_components

    count = matrix.shape[0]
    label = connected_components(block_array([[None, matrix], [matrix.T, None]]), directed=False)[1]
    own = np.unique(label[count:][whole])
    number = np.where(np.isin(label, own), 1 + np.searchsorted(own, label), 0)
    if number[count:].all():
        # rows of nothing alone would be a program without columns, which HiGHS does not solve
        number = np.maximum(number, 1)
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=1 + len(own)))[:-1]
    members = (np.sort(part) for part in np.split(order, ends))
    return [(part[part < count], part[part >= count] - count) for part in members if len(part)]


def _part(program: LinearProgram, matrix: Any, *, rows: Places, columns: Places) -> LinearProgram:
    own = matrix[:, columns].tocsr()[rows].tocsc()
    return LinearProgram(
        cost=program.cost[columns],
        lower=program.lower[columns],
        upper=program.upper[columns],
        row_lower=program.row_lower[rows],
        row_upper=program.row_upper[rows],
        starts=own.indptr.astype(np.int32),
        rows=own.indices.astype(np.int32),
        entries=own.data,
    )
