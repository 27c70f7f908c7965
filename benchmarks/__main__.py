"""Run the benchmarks and hold each figure against its limit: ``python -m benchmarks``.

Every ``bench_*.py`` here has a function ``run()`` that returns a list of figures, and may have ``run_long()``
for what takes minutes.  A figure is a dict with ``name``, ``limit``, ``unit`` and either ``ratio`` (two times
measured in the same run) or ``value``; it passes when it is at most the limit, or at least the limit with
``"sense": "at least"``.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# BLAS reads these when numpy is first imported, so they come before any benchmark does.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

Figure = dict[str, Any]


def main() -> int:
    """Run what the arguments ask for; return 0 when every limit is kept."""
    options = _options()
    names = [name for name in _names() if not options.only or options.only in name]
    if not names:
        print(
            f"no benchmark has {options.only!r} in its name; there are: {', '.join(_names())}",
            file=sys.stderr,
        )
        return 2
    figures = [
        figure
        for name in names
        for runner in _runners(name, long=options.long)
        for figure in _judged(name, runner, quiet=options.json)
    ]
    print(json.dumps(figures, indent=1) if options.json else _table(figures))
    return 0 if all(figure["passed"] for figure in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Time the engine against its limits."
    )
    parser.add_argument("--only", metavar="WORD", help="only files whose name holds the word")
    parser.add_argument("--long", action="store_true", help="also the runs of a whole year")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def _names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))


def _runners(name: str, *, long: bool) -> Iterator[Callable[[], list[Figure]]]:
    module = importlib.import_module(f"benchmarks.{name}")
    yield module.run
    if long and hasattr(module, "run_long"):
        yield module.run_long


def _judged(name: str, runner: Callable[[], list[Figure]], *, quiet: bool) -> Iterator[Figure]:
    started = time.perf_counter()
    figures = runner()
    if not quiet:
        print(f"{name}.{runner.__name__}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    for figure in figures:
        measured, limit = _measured(figure), float(figure["limit"])
        passed = measured >= limit if _at_least(figure) else measured <= limit
        yield {**figure, "file": name, "passed": passed}


def _at_least(figure: Figure) -> bool:
    return bool(figure.get("sense", "at most") == "at least")


def _measured(figure: Figure) -> float:
    return float(figure["ratio"] if "ratio" in figure else figure["value"])


def _table(figures: list[Figure]) -> str:
    width = max(len(figure["name"]) for figure in figures)
    lines = [f"{'':{width}}  {'measured':>12}    {'limit':>12}"]
    for figure in figures:
        sign = ">=" if _at_least(figure) else "<="
        mark = "ok" if figure["passed"] else "MISSED"
        lines.append(
            f"{figure['name']:{width}}  {_measured(figure):>12,.3g} {sign} {float(figure['limit']):>12,.3g}"
            f"  {figure.get('unit', ''):8} {mark}"
        )
    missed = sum(not figure["passed"] for figure in figures)
    return "\n".join([*lines, f"{len(figures) - missed} of {len(figures)} limits kept"])


if __name__ == "__main__":
    sys.exit(main())
