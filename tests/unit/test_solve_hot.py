"""The solver's front: values, duals, hot changes, and an error instead of no answer."""

from dataclasses import replace

import numpy as np
import pytest

from gridagora.errors import SolverError
from gridagora.solve import HotModel, LinearProgram, solve

DIET = LinearProgram(
    cost=np.array([2.0, 3.0]),
    lower=np.zeros(2),
    upper=np.array([4.0, 10.0]),
    row_lower=np.array([5.0]),
    row_upper=np.array([np.inf]),
    starts=np.array([0, 1, 2], dtype=np.int32),
    rows=np.array([0, 0], dtype=np.int32),
    entries=np.array([1.0, 1.0]),
)


def test_values_and_duals_of_a_small_program():
    answer = solve(DIET)
    assert answer.values.tolist() == [4.0, 1.0]
    assert answer.duals.tolist() == [3.0]
    assert answer.objective == 11.0


def test_a_changed_program_gives_what_a_new_one_gives():
    model = HotModel(DIET)
    model.solve()
    changed = replace(DIET, cost=np.array([4.0, 3.0]), row_lower=np.array([11.0]))
    model.change(
        DIET,
        cost=changed.cost,
        lower=changed.lower,
        upper=changed.upper,
        row_lower=changed.row_lower,
        row_upper=changed.row_upper,
    )
    model.change_entry(0, 0, 2.0)
    answer, new = model.solve(), solve(replace(changed, entries=np.array([2.0, 1.0])))
    assert answer.objective == pytest.approx(new.objective)
    assert answer.values.tolist() == new.values.tolist()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"row_lower": np.array([20.0])}, "nfeasible"),
        ({"cost": -DIET.cost, "upper": np.full(2, np.inf)}, "nbounded"),
    ],
)
def test_no_optimum_is_an_error(change, status):
    with pytest.raises(SolverError, match=status):
        solve(replace(DIET, **change))
