"""Runs side by side: key figures with their differences, and a small page that shows them."""

import json
import math
import pkgutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd

from gridagora.errors import Fault, InputError, check_faults

KPIS_FILE = "kpis.json"
CURVES = (
    ("transformer_loading_percent", "Most loaded transformer", "loading (%)"),
    ("line_loading_percent", "Most loaded line", "loading (%)"),
    ("import_kw", "Power from the upstream grid", "import (kW)"),
)
"""Columns of flows.parquet drawn as duration curves: (column, heading, axis)."""

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
MAX_RUNS = len(PALETTE) * len(DASHES)


def compare(run_dirs: Sequence[str | Path]) -> pd.DataFrame:
    """Return the key figures of runs side by side, with the difference of each run from the first.

    Parameters
    ----------
    run_dirs : folders written by ``gridagora run``, two or more; the first is the reference

    Returns
    -------
    pd.DataFrame
        Index "kpi"; one column per run, named after its folder, then "B - A" per further run: the difference
        of numeric key figures, NaN where one of them is text or missing.  Units are in the names.

    Raises
    ------
    InputError
        with every folder that is missing or holds no run.
    """
    folders = [Path(folder) for folder in run_dirs]
    figures = _read_kpis(folders)
    names = _names(folders)
    keys = list(dict.fromkeys(key for kpis in figures for key in kpis))
    columns: dict[str, list[Any]] = {
        name: [kpis.get(key) for key in keys] for name, kpis in zip(names, figures, strict=True)
    }
    for name in names[1:]:
        pairs = zip(columns[name], columns[names[0]], strict=True)
        columns[f"{name} - {names[0]}"] = [_difference(value, first) for value, first in pairs]
    return pd.DataFrame(columns, index=pd.Index(keys, name="kpi"))


def compare_report(run_dirs: Sequence[str | Path], path: str | Path | None = None) -> str:
    """Return a small self-contained page that compares runs, and write it to ``path`` when one is given.

    The page holds the key figures with differences, duration curves of loading and exchange, and what each
    participant pays in each run.

    Raises
    ------
    InputError
        with every folder or table that is missing.
    """
    folders = [Path(folder) for folder in run_dirs]
    frame = compare(folders)
    names = _names(folders)
    flows = _read_tables(folders, "flows", ["period", *(column for column, _, _ in CURVES)])
    people = _read_tables(folders, "participants", ["participant", "cost", "gain"])
    charts = "".join(
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f"{_duration_chart([flow[column] for flow in flows], names, unit=unit)}</figure>"
        for column, title, unit in CURVES
    )
    template = Template((pkgutil.get_data("gridagora.studies", "assets/compare.html") or b"").decode("utf-8"))
    page = template.substitute(
        title=escape(" / ".join(names)),
        legend=_legend(names),
        charts=charts,
        kpis=_table(frame, "key figure"),
        costs=_table(_costs(people, names), "participant"),
    )
    if path is not None:
        check_page(path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(page, encoding="utf-8")
    return page


def check_page(path: str | Path) -> None:
    """Raise `InputError` where a comparison cannot be written: at a folder, or below a file."""
    target = Path(path)
    above = next((folder for folder in target.parents if folder.exists()), target.parent)
    if target.is_dir():
        place, reason, fix = target, "is a folder", "name a file, for example compare.html in it"
    elif above.exists() and not above.is_dir():
        place, reason, fix = above, "is a file", "name a file in a folder"
    else:
        return
    raise InputError([Fault(source="output", place=str(path), value=str(place), reason=reason, fix=fix)])


def _read_kpis(folders: Sequence[Path]) -> list[dict[str, Any]]:
    check_faults(_count_faults(folders))
    found, faults = [], []
    for folder in folders:
        try:
            kpis = json.loads((folder / KPIS_FILE).read_text(encoding="utf-8"))
        except OSError:
            faults.append(_fault(folder, KPIS_FILE, "cannot be read"))
            continue
        except ValueError:
            kpis = None
        if isinstance(kpis, dict):
            found.append(kpis)
        else:
            faults.append(_fault(folder, KPIS_FILE, "is not the key figures of a run"))
    check_faults(faults)
    return found


def _count_faults(folders: Sequence[Path]) -> list[Fault]:
    count = len(folders)
    if 2 <= count <= MAX_RUNS:
        return []
    fix = f"name two to {MAX_RUNS} folders written by `gridagora run`"
    return [
        Fault(source="compare", place="runs", value=count, reason="not a number of runs to compare", fix=fix)
    ]


def _fault(folder: Path, file: str, reason: str) -> Fault:
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        file = ""
    fix = f"write the run with `gridagora run NAME -o {folder}`"
    return Fault(
        source="compare", place=str(folder / file), value=file or folder.name, reason=reason, fix=fix
    )


def _read_tables(folders: Sequence[Path], name: str, columns: list[str]) -> list[pd.DataFrame]:
    """Return a table of each run; every table that is missing or lacks a column is a fault."""
    import pyarrow

    found, faults = [], []
    for folder in folders:
        try:
            found.append(pd.read_parquet(folder / f"{name}.parquet", columns=columns))
        except OSError:
            faults.append(_fault(folder, f"{name}.parquet", "cannot be read"))
        except (pyarrow.ArrowException, ValueError) as error:
            faults.append(_fault(folder, f"{name}.parquet", f"is not a table of a run ({error})"))
    if faults:
        raise InputError(faults)
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """Return a short name per run: the folder's, with as many parents as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*part[-depth:])) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, start=1)]


def _difference(value: Any, first: Any) -> float:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (value, first))
    if not numbers:
        return float("nan")
    same = math.isclose(value, first, rel_tol=1e-12)  # the last bits of a sum are no difference
    return 0.0 if same else float(value - first)


def _costs(people: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """Return cost and gain of each participant in each run; one who is not in a run has none there."""
    columns = {}
    for name, frame in zip(names, people, strict=True):
        rows = frame.assign(participant=frame["participant"].astype(str)).set_index("participant")
        columns[f"{name}: cost"], columns[f"{name}: gain"] = rows["cost"], rows["gain"]
    return pd.DataFrame(columns)


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN: nothing to show
        return ""
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float) and value.is_integer():
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"
    return escape(str(value))


def _table(frame: pd.DataFrame, corner: str) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    rows = "".join(
        f"<tr><th>{escape(str(index))}</th>{''.join(f'<td>{_cell(value)}</td>' for value in values)}</tr>"
        for index, *values in frame.itertuples()
    )
    return f"<table><thead><tr><th>{corner}</th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _style(number: int) -> str:
    dash = DASHES[number // len(PALETTE) % len(DASHES)]
    return f'stroke="{PALETTE[number % len(PALETTE)]}" stroke-dasharray="{dash}"'


def _legend(names: Sequence[str]) -> str:
    return "".join(
        '<li><svg width="34" height="10" aria-hidden="true"><line x1="0" x2="34" y1="5" y2="5" '
        f'{_style(number)} stroke-width="3"/></svg> {escape(name)}</li>'
        for number, name in enumerate(names)
    )


def _duration_chart(series: Sequence[Any], names: Sequence[str], *, unit: str) -> str:
    """Return an SVG of duration curves: how much of the time at least that much flows."""
    curves = [np.sort(np.asarray(s, dtype=np.float64)[np.isfinite(s)])[::-1] for s in series]
    known = [curve for curve in curves if curve.size]
    if not known:
        return "<p>No value is known in any run.</p>"
    low, high = min(0.0, *(float(c[-1]) for c in known)), max(0.0, *(float(c[0]) for c in known))
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    left, top, width, height = 58, 8, 470, 210

    def y(value: float) -> float:
        return round(top + height * (high - value) / (high - low), 2)

    parts = [
        f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y(tick)}" y2="{y(tick)}"/>'
        f'<text x="{left - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>'
        for tick in ticks
    ]
    parts += [
        f'<text x="{left + width * share / 100}" y="{top + height + 18}" text-anchor="middle">{share}</text>'
        for share in (0, 25, 50, 75, 100)
    ]
    for number, (curve, name) in enumerate(zip(curves, names, strict=True)):
        last = curve.size - 1
        keep = sorted({round(k * last / 240) for k in range(241)}) if curve.size else []
        points = " ".join(f"{left + width * k / max(last, 1):.1f},{y(float(curve[k]))}" for k in keep)
        parts.append(f'<polyline {_style(number)} points="{points}"><title>{escape(name)}</title></polyline>')
    return (
        f'<svg viewBox="0 0 540 262" role="img" aria-label="Duration curve, {escape(unit)}">{"".join(parts)}'
        f'<text x="{left + width / 2}" y="256" text-anchor="middle">share of time (%)</text>'
        f'<text transform="translate(13 {top + height / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(unit)}</text></svg>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers from at or below ``low`` to at or above ``high``."""
    rough = max(high - low, 1e-9) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough))
    first, last = int(np.floor(low / step)), int(np.ceil(high / step))
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
