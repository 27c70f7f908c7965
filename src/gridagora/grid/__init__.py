"""The grid under a market: conversion, power flow, limits, who stands behind a violation, what cures it."""

from gridagora.grid.ageing import ThermalModel
from gridagora.grid.check import Violations, check_limits, participants_behind
from gridagora.grid.congestion import CongestionKpis, congestion_kpis
from gridagora.grid.demand import CurveSteps, demand_curve, step_quantities
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel
from gridagora.grid.need import Need, find_need, limit_quantity, needed_quantity
from gridagora.grid.need_rules import NeedRules, PointForecast, Rebound
from gridagora.grid.sensitivity import Sensitivity, downstream, sensitivity
from gridagora.grid.value import CutValue, DsoCosts, value_of_cut
from gridagora.grid.zones import (
    electrical_distance,
    gate_limits_kw,
    zones_by_distance,
    zones_from_feeders,
    zones_from_table,
)

__all__ = [
    "CongestionKpis",
    "CurveSteps",
    "CutValue",
    "DsoCosts",
    "GridModel",
    "Need",
    "NeedRules",
    "PointForecast",
    "PowerFlow",
    "Rebound",
    "Sensitivity",
    "ThermalModel",
    "Violations",
    "check_limits",
    "congestion_kpis",
    "demand_curve",
    "downstream",
    "electrical_distance",
    "find_need",
    "gate_limits_kw",
    "limit_quantity",
    "needed_quantity",
    "participants_behind",
    "sensitivity",
    "step_quantities",
    "value_of_cut",
    "zones_by_distance",
    "zones_from_feeders",
    "zones_from_table",
]
