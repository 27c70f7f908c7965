"""Exact sensitivities against finite differences of the power flow."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.adapters.grids import Grid
from gridagora.errors import InputError
from gridagora.grid.sensitivity import OperatingPoints, downstream, sensitivity

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from need_grids import at_buses, feeder

SMALL = 0.01


def differences(grid, kw, kvar, *, columns, reactive):
    """Return central differences of voltages, loadings and losses, one row per column perturbed."""
    step = np.zeros((len(columns), len(grid.buses)))
    step[np.arange(len(columns)), columns] = SMALL
    p, q = np.repeat(kw[None], len(columns), 0), np.repeat(kvar[None], len(columns), 0)
    ahead, back = (
        grid.power_flow(p + sign * step * (not reactive), q + sign * step * reactive) for sign in (1, -1)
    )
    return [
        (getattr(ahead, name) - getattr(back, name)) / (2 * SMALL)
        for name in ("vm_pu", "loading_percent", "losses_kw")
    ]


def agrees(grid, kw, kvar, columns):
    found, flow = sensitivity(grid, kw, kvar), grid.power_flow(kw, kvar)
    np.testing.assert_allclose(found.vm_pu, flow.vm_pu[0], atol=1e-9)
    np.testing.assert_allclose(found.loading_percent, flow.loading_percent[0], atol=1e-5)
    assert found.losses_kw == pytest.approx(flow.losses_kw[0], abs=1e-4)
    # A loading has no derivative where no current flows or both ends carry the same.
    smooth = flow.loading_percent[0] > 0.5
    for unit, reactive in (("kw", False), ("kvar", True)):
        vm, loading, losses = differences(grid, kw, kvar, columns=columns, reactive=reactive)
        exact = (getattr(found, f"{name}_per_{unit}") for name in ("vm", "loading", "losses"))
        exact_vm, exact_loading, exact_losses = exact
        np.testing.assert_allclose(exact_vm[:, columns], vm.T, atol=1e-5 * np.abs(vm).max() + 1e-12)
        scale = 1e-4 * np.abs(loading).max()
        np.testing.assert_allclose(exact_loading[smooth][:, columns], loading.T[smooth], atol=scale)
        np.testing.assert_allclose(exact_losses[columns], losses, atol=1e-3 * np.abs(losses).max() + 1e-6)


@pytest.mark.parametrize("name", ["cigre-lv", "ieee33", "1-LV-rural1--2-sw"])
def test_known_grids_at_their_own_load(name):
    grid = Grid.by_name(name)
    columns = np.linspace(0, len(grid.buses) - 1, 9).astype(int)
    agrees(grid, *grid.base_import(), columns)


@pytest.mark.parametrize("shape", [{}, {"meshed": True}, {"open_end": True}])
@given(kw=st.lists(st.floats(2, 25), min_size=5, max_size=5), export=st.booleans(), q=st.floats(1, 5))
@settings(deadline=None, max_examples=6)
def test_any_load_or_reverse_flow(shape, kw, export, q):
    """With reactive power both ends of a line differ, so that the larger one is the same all around."""
    grid = feeder(**shape)
    power = at_buses(grid, [kw])[0] * (-1 if export else 1)
    agrees(grid, power, at_buses(grid, [[q] * 5])[0], np.arange(len(grid.buses)))


def test_close_to_collapse_the_jacobian_itself_is_factorised():
    """The step of the iteration no longer shrinks fast enough there; the answer is the same."""
    grid = feeder()
    heavy = at_buses(grid, [[0, 0, 0, 0, 1.0]])[0]
    low, high = 50.0, 800.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if grid.power_flow(middle * heavy).converged[0] else (low, middle)
    points = OperatingPoints(grid, 0.9999 * low * heavy)
    slope = points.vm_gradient(np.array([0]), np.array([len(grid.buses) - 1]))[0][0]
    step = 1e-4 * heavy
    ahead, back = (grid.power_flow(0.9999 * low * heavy + sign * step) for sign in (1, -1))
    assert slope[-1] == pytest.approx((ahead.vm_pu - back.vm_pu)[0, -1] / 2e-4, rel=1e-2)


def test_a_load_without_solution_is_an_error():
    grid = feeder()
    with pytest.raises(InputError, match="no solution"):
        sensitivity(grid, at_buses(grid, [[0, 0, 0, 0, 5000.0]])[0])


def test_shapes_and_values_are_checked():
    grid = feeder()
    with pytest.raises(InputError, match="does not fit"):
        sensitivity(grid, [1.0, 2.0])
    with pytest.raises(InputError, match="import_kvar"):
        sensitivity(grid, np.zeros(len(grid.buses)), np.full(len(grid.buses), np.nan))


def test_downstream_is_what_the_loading_feels():
    grid = feeder(open_end=True)
    found = sensitivity(grid, at_buses(grid, [[10.0] * 5])[0])
    behind = downstream(grid)
    spare = grid.elements.index("spare")
    assert not behind[spare].any()
    for element in range(len(grid.elements)):
        if element != spare:
            relative = found.loading_per_kw[element] / found.loading_per_kw[element].max()
            assert (relative[behind[element]] > 0.9).all()
            assert (np.abs(relative[~behind[element]]) < 0.05).all()


def test_a_ring_has_no_downstream_but_the_transformer_has():
    grid = feeder(meshed=True)
    behind = downstream(grid)
    assert behind[grid.elements.index("trafo")].sum() == 6
    assert not behind[: grid.elements.index("trafo")].any()
