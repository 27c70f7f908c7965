"""A scenario of one's own to start from: small, complete, ready to run."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults

_TEXTS = files("gridagora.adapters") / "template_files"
_HOMES = ("mill", "farm", "home-1", "home-2", "home-3", "home-4")
_DAYS = 7
_FIRST_DAY = np.datetime64("2016-05-23T00:00")
_PROFILE_NOTE = """\
# Profiles: the column time, then one column per profile.  kW, mean of the quarter hour that begins at time.
# A participant uses the column of its own id, or the one that its column profile names.
# "roof" is a solar profile in kW per kWp, named by pv_profile.  Times are the local clock (timezone in
# scenario.yaml): the day on which clocks go forward has 92 rows, the day on which they go back has 100.
"""
_PRICE_NOTE = """\
# Prices: the column time, then the columns that scenario.yaml names.  A row holds until the next one.
"""


def write_template(directory: str | Path) -> Path:
    """Write a scenario with its data files, ready to run; return the path of the scenario.

    Parameters
    ----------
    directory : folder to write to; made when it is not there

    Raises
    ------
    InputError
        When one of the files is there already; nothing is written then.
    """
    folder = Path(directory)
    texts = {
        name: (_TEXTS / name).read_text(encoding="utf-8") for name in ("scenario.yaml", "participants.csv")
    }
    profiles = _profiles()
    texts["profiles.csv"] = _PROFILE_NOTE + _csv(profiles)
    texts["prices.csv"] = _PRICE_NOTE + _csv(_prices())
    faults = []
    if folder.exists() and not folder.is_dir():
        fix = "name a new folder"
        faults.append(
            Fault(source="template", place=str(folder), value=str(folder), reason="is a file", fix=fix)
        )
    for name in (*texts, "profiles.xlsx"):
        if (folder / name).exists():
            place, reason = str(folder / name), "is there already and is not overwritten"
            faults.append(
                Fault(source="template", place=place, value=name, reason=reason, fix="name a new folder")
            )
    check_faults(faults)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    _write_excel(folder / "profiles.xlsx", profiles)
    return folder / "scenario.yaml"


def _profiles() -> dict[str, list[str] | list[float]]:
    """Make a week of plausible profiles out of a few waves; no data stand behind them."""
    periods = np.arange(_DAYS * 96)
    hour = periods % 96 / 4
    day = periods // 96
    sun = np.clip(np.sin(np.pi * (hour - 5.5) / 15.0), 0.0, None) ** 1.3 * np.where(hour > 20.5, 0.0, 1.0)
    clouds = np.array([1.0, 0.9, 0.45, 0.8, 1.0, 0.3, 0.7])[day]
    columns: dict[str, list[str] | list[float]] = {
        "time": [str(_FIRST_DAY + np.timedelta64(int(15 * k), "m")).replace("T", " ") for k in periods]
    }
    work = ((hour >= 7) & (hour < 17) & (day < 5)) * 1.0
    columns["mill"] = _rounded(2.0 + 9.0 * work)
    columns["farm"] = _rounded(1.5 + 4.0 * _bump(hour, 6.5, 1.0) + 3.5 * _bump(hour, 17.5, 1.2))
    for k, name in enumerate(_HOMES[2:]):
        wave = (
            0.2 + 0.5 * _bump(hour, 7.0 + 0.3 * k, 0.8) + (0.9 + 0.2 * k) * _bump(hour, 19.0 - 0.4 * k, 1.5)
        )
        columns[name] = _rounded(wave * (1.0 + 0.15 * np.sin(1.7 * day + k)))
    columns["roof"] = _rounded(0.72 * sun * clouds)
    return columns


def _prices() -> dict[str, list[str] | list[float]]:
    """Make hourly prices: cheap at noon, dear in the evening."""
    hours = np.arange(_DAYS * 24)
    clock = hours % 24
    retail = 0.17 - 0.05 * _bump(clock, 13.0, 2.5) + 0.08 * _bump(clock, 19.0, 1.8)
    times = [str(_FIRST_DAY + np.timedelta64(int(h), "h")).replace("T", " ") for h in hours]
    return {"time": times, "retail": _rounded(retail), "feed_in": _rounded(np.full(hours.size, 0.07))}


def _bump(hour: NDArray[np.float64] | NDArray[np.int64], middle: float, width: float) -> NDArray[np.float64]:
    """Return a bell around an hour."""
    return np.asarray(np.exp(-(((hour - middle) / width) ** 2)), dtype=np.float64)


def _rounded(values: NDArray[np.floating[Any]]) -> list[float]:
    return [round(float(value), 3) for value in values]


def _csv(columns: dict[str, list[str] | list[float]]) -> str:
    """Write columns as comma-separated text."""
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return "\n".join(rows) + "\n"


def _write_excel(path: Path, columns: dict[str, list[str] | list[float]]) -> None:
    """Write columns as an Excel sheet with a bold header."""
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    sheet = book.active
    sheet.title = "profiles"
    sheet.append(list(columns))
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for time, *values in zip(*columns.values(), strict=True):
        sheet.append([np.datetime64(time).astype("datetime64[s]").item(), *values])
    sheet.freeze_panes = "B2"
    book.save(path)
