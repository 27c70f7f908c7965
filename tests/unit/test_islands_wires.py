"""Wires of a study whose zones are cut off: which periods are islanded, what is kept, who is blamed."""

from dataclasses import replace

import numpy as np
import pytest
from pool_on_wires import GRID, PERIODS, make_study
from test_zones_grid import town

from gridagora.engine.wires import Wires
from gridagora.grid.model import GridModel
from gridagora.grid.zones import zones_from_feeders
from gridagora.model.study import GridLimits
from gridagora.model.zone_study import ZoneRules

TREE = zones_from_feeders(GRID.network, sources=["Bus R11", "Bus I2", "Bus C19"])
ZONE = TREE.position("lv Bus R1")
GATE = GRID.elements.index(TREE.zones[ZONE].gate_elements[0])
# Five homes are on Bus R..., the last of the six is on Bus C12.


def make_wires(cut_periods, **given):
    study = make_study(**given)
    of_bus = TREE.zone_of_bus()
    cut = np.zeros((PERIODS, len(TREE.zones)), dtype=bool)
    cut[list(cut_periods), ZONE] = True
    free = np.full(cut.shape, np.inf)
    of_home = np.array([TREE.position(of_bus[home.bus]) for home in study.homes])
    zones = ZoneRules(tree=TREE, of_home=of_home, import_kw=free, export_kw=free, cut=cut)
    return Wires(GRID, replace(study, zones=zones)), Wires(GRID, study)


def loads(kw=10.0):
    return np.full((PERIODS, 6), kw), np.zeros((PERIODS, 6))


@pytest.mark.parametrize("phases", [None, (1, 2, 3, 1, 2, 3)])
def test_gates_are_open_in_the_periods_that_are_cut(phases):
    wires, plain = make_wires([1], phases=phases)
    flow, closed = wires.flow(*loads()), plain.flow(*loads())
    np.testing.assert_array_equal(flow.vm_pu[0], closed.vm_pu[0])
    assert flow.loading_percent[1, GATE] == 0 < flow.loading_percent[0, GATE]
    formed = wires.formed_kw(*loads())
    assert formed[0].sum() == 0
    assert formed[1, ZONE] == pytest.approx(50.0, abs=3.0)
    assert flow.import_kw[1] + formed[1].sum() == pytest.approx(60 + flow.losses_kw[1], abs=1e-6)


def test_a_power_flow_that_is_kept_knows_which_gates_were_open():
    wires, plain = make_wires([1])
    kw, kvar = loads()
    flows = [wires.flow(kw[:1], kvar[:1], first) for first in (0, 1, 1, 0)]
    assert [flow.loading_percent[0, GATE] > 0 for flow in flows] == [True, False, False, True]
    assert flows[1] is flows[2]
    assert flows[0] is not flows[3]
    assert plain.flow(kw, kvar, 0) is plain.flow(kw, kvar, 1)
    tried = wires.flow_in(1, np.repeat(kw[:1], 3, axis=0), np.repeat(kvar[:1], 3, axis=0))
    np.testing.assert_array_equal(tried.vm_pu, np.repeat(flows[1].vm_pu, 3, axis=0))


def test_a_study_that_cuts_nothing_off_is_what_it_was():
    wires, plain = make_wires([])
    for name in ("vm_pu", "loading_percent", "import_kw", "losses_kw"):
        np.testing.assert_array_equal(
            getattr(wires.flow(*loads()), name), getattr(plain.flow(*loads()), name)
        )
    assert not wires.formed_kw(*loads()).any()
    assert plain.formed_kw(*loads()).shape == (PERIODS, 0)


def test_only_homes_of_the_island_stand_behind_what_breaks_in_it():
    """Two homes behind one transformer, one behind the next: with the gate closed they share a cable."""
    tree = zones_from_feeders(town(), sources=["m1 a", "m2 b"])
    study = make_study(limits=GridLimits(vm_min_pu=0.99))
    at = ("m1 a", "m1 b", "m2 b")
    homes = tuple(replace(home, bus=bus) for home, bus in zip(study.homes, at, strict=False))
    cut = np.zeros((PERIODS, len(tree.zones)), dtype=bool)
    cut[1, tree.position("lv m1 bar")] = True
    free, of_home = np.full(cut.shape, np.inf), np.array([tree.position("lv m1 bar")] * 2 + [0])
    rules = ZoneRules(tree=tree, of_home=of_home, import_kw=free, export_kw=free, cut=cut)
    wires = Wires(GridModel(town()), replace(study, homes=homes, zones=rules))
    kw, kvar = np.full((PERIODS, 3), 40.0), np.zeros((PERIODS, 3))
    found = wires.check_schedule(0, kw, kvar)
    behind = {
        (period, element): set(names.split("; "))
        for period, element, names in zip(
            found.period.tolist(), found.element, found.participants, strict=True
        )
    }
    assert behind[0, "m1 b"] == {"h0", "h1", "h2"}
    assert behind[1, "m1 b"] == {"h1"}  # the head of the island is held: its other branch counts no more
    assert behind[1, "m2 b"] == {"h2"}
    again = wires.check_schedule(1, kw[1:], kvar[1:])
    rows = found.period == 1
    assert again.participants == tuple(np.array(found.participants)[rows])
    np.testing.assert_array_equal(again.period, found.period[rows])
