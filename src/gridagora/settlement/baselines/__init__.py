"""Baselines: what a meter would have shown without the order, by a method chosen by name."""

from gridagora.settlement.baselines.baseline import METHODS, VERSIONS, Baseline, calculate_baseline
from gridagora.settlement.baselines.inputs import BaselineInputs, BaselineRules, Calendar

__all__ = [
    "METHODS",
    "VERSIONS",
    "Baseline",
    "BaselineInputs",
    "BaselineRules",
    "Calendar",
    "calculate_baseline",
]
