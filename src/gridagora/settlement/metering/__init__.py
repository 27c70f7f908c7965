"""Meter data: validation by named rules, versions, registers, and estimates that say so."""

from gridagora.settlement.metering.check import check_readings
from gridagora.settlement.metering.checked import CheckedReadings
from gridagora.settlement.metering.rules import METHODS, RULES, MeterFinding, MeterRules

__all__ = ["METHODS", "RULES", "CheckedReadings", "MeterFinding", "MeterRules", "check_readings"]
