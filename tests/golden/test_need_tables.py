"""Seed 003: loading tables 3-5 and 3-8, bid structure of table 3-4, the quantity of figure 3-4."""

import numpy as np
import pytest

from gridagora.grid.congestion import congestion_kpis
from gridagora.grid.demand import CurveSteps, step_quantities
from gridagora.grid.need import limit_quantity

BEFORE_3_5 = """
    - 102.65 99.75 - - 99.93 95.59 102.7 104.12 100.02 101.44 104.22 99.56 - - - 95.43
    - - - 95.08 96.23 95.08 98.85 - 100.34 96.5 100.61"""
AFTER_3_5 = """
    95.11 - - 95.52 95.11 - - - - - - - - 95.41 95.63 95.6 - 95.63 95.85 95.32
    - - - - 95.45 - - -"""
BEFORE_3_8 = """
    - 102.65 99.75 - - 99.93 95.59 102.7 104.12 100.02 101.44 104.22 99.56 95.43 95.08
    96.23 95.08 98.85 100.34 96.5 100.61"""
AFTER_3_8 = """
    95.11 - - 95.52 95.11 - - - - 98.81 99.98 - - 95.75 95.41 96.56 95.4 99.18 -
    95.74 -"""


def percent(text):
    """Return loadings; "-" is printed as "not overloaded"."""
    return np.array([np.nan if word == "-" else float(word) for word in text.split()])


ROWS = {
    "3-5": (percent(BEFORE_3_5), percent(AFTER_3_5)),
    "3-8": (percent(BEFORE_3_8), percent(AFTER_3_8)),
}
EXPECTED = {
    "3-5": {"overloaded_before": 18, "resolved": 18, "reduced": 18, "worsened": 0, "newly_overloaded": 10}
    | {"overloaded_after": 10, "unchanged": 0},
    "3-8": {"overloaded_before": 18, "resolved": 10, "reduced": 13, "worsened": 5, "newly_overloaded": 3}
    | {"overloaded_after": 11, "unchanged": 0},
}


@pytest.mark.parametrize("table", ROWS)
def test_overloads_are_told_apart_as_in_the_table(table):
    found = congestion_kpis(*ROWS[table], threshold=95.0)
    assert {name: getattr(found, name) for name in EXPECTED[table]} == EXPECTED[table]
    assert found.highest_before == 104.22


def test_72_percent_is_13_of_18_reduced_while_10_are_cured():
    found = congestion_kpis(*ROWS["3-8"], threshold=95.0)
    assert found.reduced_share == 13 / 18
    assert found.resolved_share == 10 / 18
    assert found.net_share == 7 / 18


@pytest.mark.parametrize(
    ("overload", "printed"),
    [
        (24.70, [281.11, 70.28, 24.7, 7.52]),
        (6.22, [295.89, 73.97, 6.22, 7.52]),
        (30.46, [276.5, 69.13, 30.46, 7.52]),
    ],
)
def test_steps_of_table_3_4(overload, printed):
    """The capacities lie 376.09 kW above the wanted limit in each hour; only the overload differs."""
    found = step_quantities(876.09, forecast_kw=500 + overload, limit_kw=500.0, steps=CurveSteps())
    np.testing.assert_allclose(found, printed, atol=0.02)
    assert found.sum() == pytest.approx(383.61, abs=0.02)
    assert found[0] / found[1] == pytest.approx(4.0)
    assert found[3] / found[:3].sum() == pytest.approx(0.02)


def test_quantity_of_figure_3_4():
    assert limit_quantity([60.0], 25.0) == 35.0
    assert limit_quantity([10.0], 25.0) == 0.0
