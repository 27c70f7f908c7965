"""The report in a real browser, where one is installed: its scripts run to their end and meet no error."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from flex_records import make_record
from report_tables import make_tables
from zone_records import make_record as make_zones

from gridagora.reports import build_report
from gridagora.studies.run import Run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
    "--dump-dom",
)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
@pytest.mark.parametrize(
    "tables",
    [
        make_tables(12, 96, names=[f"<script>h{k}</script>" for k in range(12)]),
        make_tables(1, 1),
        make_tables(6, 96, islanded=True, broken=False),
        make_tables(80, 96),
        Run(make_record(), scenario_yaml="").tables,
        Run(make_zones(), scenario_yaml="").tables,
        Run(make_zones(cut=(), pictures=False), scenario_yaml="").tables,
    ],
    ids=["hostile names", "one period", "islanded", "many homes", "flexibility market", "zones", "no island"],
)
def test_scripts_of_the_page_run_without_error(tables, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(build_report(tables), encoding="utf-8")
    command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert 'data-ready="yes"' in found[:500]
    assert re.search(r'<div id="errors" class="caution" role="alert" hidden="">\s*</div>', found)
    assert found.count("<svg") >= 10
