"""A user's own data: participants, profiles and price series out of CSV, Excel and Parquet files.

``participants``: one row each; ``participant`` and ``bus`` are needed, the other columns are those of
`gridagora.scenario.spec.ParticipantSpec`; an empty cell takes the default.

``profiles``: ``time`` and a column per profile in kW (>= 0).  A participant's ``profile`` names its column,
by default the one of its own id; ``pv_profile`` may name a column in kW per kWp.  A column ``NAME kvar``
gives the reactive power of the profile NAME.

``prices``: ``time`` and a column of prices; a row holds until the next.

``gate limits``: ``time`` and ``import_kw``, ``export_kw`` or both; a row holds until the next.

Times are the start of a period (`gridagora.adapters.timeline`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from gridagora.adapters.tables import RawTable, column_faults, decimal_comma, numbers, read_table
from gridagora.adapters.template import write_template
from gridagora.adapters.timeline import TIME, read_timeline, utc_times
from gridagora.errors import Fault, check_faults, require
from gridagora.model.time import TimeAxis
from gridagora.scenario.prices import PriceFile
from gridagora.scenario.spec import ParticipantSpec, SeriesSpec
from gridagora.scenario.suggest import near
from gridagora.scenario.translate import words
from gridagora.scenario.yaml_text import scalar

Floats = NDArray[np.float64]

__all__ = [
    "ParticipantTable",
    "ProfileTable",
    "read_gate_series",
    "read_participants",
    "read_price_series",
    "read_profiles",
    "write_template",
]

KVAR = " kvar"
GATE_COLUMNS = ("import_kw", "export_kw")
_TRUTHS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class ParticipantTable:
    """Participants of a file, and the row that each stands in."""

    participants: tuple[ParticipantSpec, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileTable:
    """Profiles of a file on the axis of a study."""

    columns: dict[str, Floats]


def read_participants(path: Path) -> tuple[ParticipantTable | None, list[Fault]]:
    """Read a participants file; return it, or None and every fault."""
    table, faults = read_table(path, text=True)
    if table is None:
        return None, faults
    known = list(ParticipantSpec.model_fields)
    missing = column_faults(table, ("participant", "bus"))
    unknown = [column for column in table.frame.columns if column not in known]
    faults = missing + [_unknown_column(table.source, column, known) for column in unknown]
    if missing:
        return None, faults
    found: list[tuple[int, ParticipantSpec]] = []
    for line, cells in enumerate(table.frame.drop(columns=unknown).to_dict("records")):
        participant, row_faults = _participant(table, line, {str(name): cell for name, cell in cells.items()})
        faults += row_faults
        if participant is not None:
            found.append((int(table.rows[line]), participant))
    faults += _twice(table, table.frame["participant"].tolist())
    if faults:
        return None, faults
    rows, participants = zip(*found, strict=True)
    return ParticipantTable(participants=participants, rows=rows), []


def _unknown_column(source: str, column: str, known: list[str]) -> Fault:
    """Tell a column that no participant has; the others are still checked."""
    fix = near(column, known) or f"use one of {', '.join(known)}"
    return Fault(source=source, place="header", value=column, reason="is no column of participants", fix=fix)


def _participant(
    table: RawTable, line: int, cells: dict[str, str]
) -> tuple[ParticipantSpec | None, list[Fault]]:
    """Check one row of a participants file."""
    values = {name: _cell(name, cell.strip()) for name, cell in cells.items() if cell.strip()}
    try:
        return ParticipantSpec.model_validate(values), []
    except ValidationError as error:
        faults = []
        for details in error.errors():
            column = str(details["loc"][0]) if details["loc"] else "participant"
            reason, fix = words(details, details["loc"])
            value = cells.get(column, "").strip() or None
            faults.append(table.fault(line, column, value=value, reason=reason, fix=fix))
        return None, faults


def _cell(name: str, text: str) -> Any:
    """Read a cell by the kind of its column."""
    if name in ("participant", "bus", "kind", "profile", "pv_profile"):
        return text
    if name == "passive":
        return _TRUTHS.get(text.lower(), text)
    value = text if decimal_comma(text) else scalar(text)
    return int(value) if name == "phase" and isinstance(value, float) and value.is_integer() else value


def _twice(table: RawTable, ids: list[str]) -> list[Fault]:
    """Tell participants that stand twice, with both rows."""
    first: dict[str, int] = {}
    faults = []
    for line, name in enumerate(ids):
        if name.strip() and name.strip() in first:
            reason = f"stands already in row {table.rows[first[name.strip()]]}"
            fix = "give each participant an id of its own"
            faults.append(table.fault(line, "participant", value=name, reason=reason, fix=fix))
        first.setdefault(name.strip(), line)
    return faults


def read_profiles(
    path: Path, axis: TimeAxis, *, timezone: str | None
) -> tuple[ProfileTable | None, list[Fault]]:
    """Read a profile file onto the axis of a study; return it, or None and every fault."""
    table, faults = read_table(path)
    if table is None:
        return None, faults
    faults = column_faults(table, [TIME])
    timeline = None
    if not faults:
        timeline, faults = read_timeline(table, axis, timezone=timezone, power=True)
    values = {}
    for column in map(str, table.frame.columns):
        if column != TIME:
            values[column], found = numbers(table, column, least=None if column.endswith(KVAR) else 0.0)
            faults += found
    if timeline is None or faults:
        return None, faults
    return ProfileTable(columns={name: timeline.on_axis(column) for name, column in values.items()}), []


def read_price_series(series: SeriesSpec, axis: TimeAxis) -> tuple[Floats, list[Fault]]:
    """Read a price series as currency per kWh, one price per period; zeros where there are faults."""
    nothing = np.zeros(axis.periods)
    table, faults = read_table(series.file)
    if table is None:
        return nothing, faults
    faults = column_faults(table, [TIME, series.column])
    if faults:
        return nothing, faults
    timeline, faults = read_timeline(table, axis, timezone=series.timezone, power=False)
    prices, found = numbers(table, series.column, least=None)
    if timeline is None or faults or found:
        return nothing, [*faults, *found]
    return timeline.on_axis(prices) / (1000.0 if series.per == "MWh" else 1.0), []


def read_price_file(series: SeriesSpec, mtu_s: int) -> PriceFile:
    """Read all prices of a file, in periods of a market; there may be no gap between the first and the last.

    Raises
    ------
    InputError
        with every fault of the file.
    """
    table, faults = read_table(series.file)
    check_faults(faults)
    require(table is not None, "a table without faults is there")
    check_faults(column_faults(table, [TIME, series.column]))  # type: ignore[arg-type]
    times, faults = utc_times(table, series.timezone)  # type: ignore[arg-type]
    check_faults(faults)
    rows = np.unique(np.asarray(times).astype(np.int64))
    step = int(np.diff(rows).min()) if len(rows) > 1 else mtu_s
    start = int(rows[0] // mtu_s) * mtu_s
    axis = TimeAxis(
        start=np.datetime64(start, "s"), periods=(int(rows[-1]) + step - start) // mtu_s, mtu_s=mtu_s
    )
    prices, faults = read_price_series(series, axis)
    check_faults(faults)
    return PriceFile(start=start, mtu_s=mtu_s, prices=prices)


def read_gate_series(
    path: Path, axis: TimeAxis, *, timezone: str | None
) -> tuple[dict[str, Floats], list[Fault]]:
    """Read what may pass the gate of a zone: kW per period by column, empty where there are faults."""
    table, faults = read_table(path)
    if table is None:
        return {}, faults
    known = (TIME, *GATE_COLUMNS)
    there = [column for column in GATE_COLUMNS if column in table.frame.columns]
    faults = column_faults(table, [TIME] if there else known)
    for column in map(str, table.frame.columns):
        if column not in known:
            fix = near(column, known) or f"use {', '.join(known)}"
            reason = "is no column of gate limits"
            faults.append(Fault(source=table.source, place="header", value=column, reason=reason, fix=fix))
    if faults:
        return {}, faults
    timeline, faults = read_timeline(table, axis, timezone=timezone, power=False)
    values = {}
    for column in there:
        values[column], found = numbers(table, column)
        faults += found
    if timeline is None or faults:
        return {}, faults
    return {column: timeline.on_axis(kw) for column, kw in values.items()}, []
