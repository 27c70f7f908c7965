"""The grid under a market: conversion, power flow, limits, and who stands behind a violation."""

from gridagora.grid.check import Violations, check_limits, participants_behind
from gridagora.grid.flow import PowerFlow
from gridagora.grid.model import GridModel

__all__ = ["GridModel", "PowerFlow", "Violations", "check_limits", "participants_behind"]
