"""Reports: the tables of a run turned into one self-contained page; pure, no network, no clock."""

from gridagora.reports.html import build_report
from gridagora.reports.tables import RunTables

__all__ = ["RunTables", "build_report"]
