"""Mixed-integer programs whose parts share no row: solved one by one, as if they were one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import block_diag, csc_array

from gridagora.errors import SolverError
from gridagora.solve import LinearProgram, solve_mixed


def program_of(matrix, *, cost, most, row_upper):
    matrix = csc_array(matrix)
    return LinearProgram(
        cost=cost,
        lower=np.zeros(len(cost)),
        upper=most,
        row_lower=np.full(len(row_upper), -np.inf),
        row_upper=row_upper,
        starts=matrix.indptr.astype(np.int32),
        rows=matrix.indices.astype(np.int32),
        entries=matrix.data,
    )


def knapsacks(seed, *, shuffled):
    """Four knapsacks of five things each, the first without whole columns; a row and a column of nothing."""
    rng = np.random.default_rng(seed)
    matrix = block_diag([rng.uniform(1, 5, (2, 5)) for _ in range(4)]).toarray()
    matrix = np.pad(matrix, ((0, 1), (0, 1)))
    rows, columns = matrix.shape
    whole = np.arange(columns) >= 5
    order = rng.permutation(columns) if shuffled else np.arange(columns)
    program = program_of(
        matrix[rng.permutation(rows)][:, order] if shuffled else matrix,
        cost=-rng.uniform(1, 5, columns),
        most=np.full(columns, 3.0),
        row_upper=np.full(rows, 12.0),
    )
    return program, whole[order]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_parts_have_the_optimum_of_the_whole(seed, shuffled):
    program, whole = knapsacks(seed, shuffled=shuffled)
    answer = solve_mixed(program, whole=whole)
    matrix = csc_array(
        (program.entries, program.rows, program.starts), shape=(len(program.row_upper), len(program.cost))
    )
    other = milp(
        program.cost,
        constraints=LinearConstraint(matrix.toarray(), program.row_lower, program.row_upper),
        bounds=(program.lower, program.upper),
        integrality=whole.astype(int),
        options={"mip_rel_gap": 0.0},
    )
    assert answer.objective == pytest.approx(other.fun)
    assert answer.objective == pytest.approx(program.cost @ answer.values)
    assert (matrix @ answer.values <= program.row_upper + 1e-6).all()
    assert answer.values[whole] == pytest.approx(np.round(answer.values[whole]), abs=1e-6)


@pytest.mark.parametrize("row", [0, 7, 8])
def test_one_part_without_an_answer_is_none_for_all(row):
    program, whole = knapsacks(0, shuffled=False)
    upper = program.row_upper.copy()
    upper[row] = -1.0
    with pytest.raises(SolverError):
        solve_mixed(replace(program, row_upper=upper), whole=whole)


def test_a_row_of_nothing_is_met_or_not():
    one = np.array([1.0])
    program = program_of([[1.0], [0.0]], cost=-one, most=3 * one, row_upper=np.array([2.5, 0.0]))
    whole = np.array([True])
    assert solve_mixed(program, whole=whole).values.tolist() == [2.0]
    with pytest.raises(SolverError):
        solve_mixed(replace(program, row_upper=np.array([2.5, -1.0])), whole=whole)
