"""Needs of several elements overlap: those under the limits bought so far are what is still to be bought."""

import numpy as np
import pytest

from gridagora.adapters.grids import Grid
from gridagora.errors import InputError
from gridagora.grid import NeedRules, PointForecast, find_need

SIZES = {"R1": 190.0, "R11": 14.0, "R15": 49.0, "R16": 52.0, "R17": 33.0, "R18": 45.0}


def forecast(factor):
    load = np.array([[factor * kw for kw in SIZES.values()]])
    return PointForecast.certain(
        {name: f"Bus {name}" for name in SIZES}, import_kw=load, import_kvar=0.33 * load, hours=1.0
    )


def test_buying_element_by_element_cures_all_of_them():
    """The scarcest need first: voltages at the far end; each purchase leaves less to buy."""
    grid, seen = Grid.by_name("cigre-lv"), forecast(1.5)
    rules = NeedRules(vm_min_pu=0.92)
    first = find_need(grid, seen, rules)
    assert {"Trafo R0-R1"} < set(first.element)
    bought = 0.0
    for _ in range(len(first)):
        need = find_need(grid, seen, rules)
        if not len(need):
            break
        row = int((need.effect > 0).sum(axis=1).argmin())
        seen = seen.under(seen.import_kw[0] - need.cut_kw[row])
        bought += need.meter_kw[row]
    assert len(find_need(grid, seen, rules)) == 0
    # rows added up would buy the same cut again and again; the far end's cuts do most for all
    assert bought < first.meter_kw.max() < 0.2 * first.meter_kw.sum()


def test_limits_hold_both_ways_and_are_checked():
    seen = PointForecast.of_levels({"a": "1", "b": "1"}, levels=[0.1, 0.9], hours=1.0,
                                   import_kw=[[[-4.0, 2.0]], [[5.0, 9.0]]])  # fmt: skip
    assert seen.under(3.0, [[1.0, 8.0]]).import_kw.tolist() == [[[-1.0, 2.0]], [[3.0, 3.0]]]
    assert seen.under().import_kw.tolist() == seen.import_kw.tolist()
    with pytest.raises(InputError) as error:
        seen.under([[1.0, 2.0, 3.0]], -1.0)
    assert [fault.place for fault in error.value.faults] == ["import_kw", "export_kw"]
