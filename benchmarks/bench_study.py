"""Whole studies: a day of a hundred homes, a year, a market on its wires, start-up, peak memory.

Every figure is measured in a process of its own, so that neither imports nor memory of one touch another.
Seconds of a study count from the scenario read and checked to its key figures; those of scenario `year` go on
until all tables and the report are written.  Reading is a figure apart.
"""

import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

Figure = dict[str, Any]

DAY = {"period.length": "1d"}
WIRES = {"market.mechanism": "network", "market.session": "15min"}
"""Each quarter of an hour is a session of its own, cleared on the network where a limit would break."""
YEAR = {"period.start": "2016-01-01T00:00Z", "period.length": "366d"}
WEEK = {"period.start": "2016-01-04", "period.length": "7d"}
GIB_IN_KIB = 1024**2


def run() -> list[Figure]:
    """Return the figures of a day and of start-up."""
    return [
        {"name": "gridagora --help", "value": _help_seconds(), "limit": 0.5, "unit": "s"},
        *_study("day of 100 homes, rule-based", "suburb", DAY, seconds=2.0),
        *_study("cold week on its wires, rule-based", "suburb", {**WIRES, **WEEK}, seconds=12.0),
        *_study("day of 100 homes, optimal", "suburb", {**DAY, "agents.ems": "optimal"}, seconds=6.0),
    ]


def run_long() -> list[Figure]:
    """Return the figures of a year of a hundred homes."""
    return [
        *_study("year, rule-based", "year", {}, seconds=60.0, write=True),
        *_study("year on its wires, rule-based", "suburb", {**WIRES, **YEAR}, seconds=480.0),
        *_study("year, optimal", "year", {"agents.ems": "optimal"}, seconds=600.0, write=True),
    ]


def _help_seconds() -> float:
    """Return the least of five times to answer ``--help``; the first call may still read files from disk."""
    command = [sys.executable, "-c", "from gridagora.cli import main; main(['--help'])"]
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return min(times)


def _study(
    name: str, scenario: str, overrides: dict[str, str], *, seconds: float, write: bool = False
) -> list[Figure]:
    warm = {**overrides, "period.length": "1h"}
    _in_own_process(scenario, warm, write=False)  # fills the caches of grids, profiles and compiled kernels
    found = _in_own_process(scenario, overrides, write=write)
    homes = int(found["homes"])
    return [
        {"name": f"{name} ({homes} homes)", "value": found["run_s"], "limit": seconds, "unit": "s"},
        {"name": f"{name}: reading", "value": found["read_s"], "limit": 3.0, "unit": "s"},
        {"name": f"{name}: peak memory", "value": found["peak_gib"], "limit": 4.0, "unit": "GiB"},
    ]


def _in_own_process(scenario: str, overrides: dict[str, str], *, write: bool) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_measure, scenario, overrides, write).result()


def _measure(scenario: str, overrides: dict[str, str], write: bool) -> dict[str, float]:
    """Read and run one scenario here; imports and first use of compiled code come before the clock starts."""
    from gridagora.bootstrap import prepare
    from gridagora.studies.run import run_prepared

    run_prepared(prepare(scenario, overrides={**overrides, "period.length": "1h"}, seed=None))
    started = time.perf_counter()
    prepared = prepare(scenario, overrides=overrides, seed=None)
    read = time.perf_counter()
    result = run_prepared(prepared)
    homes = int(result.kpis["participants"])
    if write:
        with tempfile.TemporaryDirectory() as folder:
            result.write(Path(folder) / "run")
    done = time.perf_counter()
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"run_s": done - read, "read_s": read - started, "peak_gib": peak / GIB_IN_KIB, "homes": homes}
