"""Tables out of CSV, Excel and Parquet files, with the row of every value; faults are collected, not raised.

CSV: UTF-8, comma, semicolon or tab between columns, decimal point, a header line; lines that begin with ``#``
and empty lines are skipped.  Excel: the first sheet.  Rows are counted as an editor shows them, the header
being row 1 where no comment stands before it; a Parquet file's first row of data is row 1.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ENDINGS = (".csv", ".xlsx", ".parquet")
SHOWN = 5
"""Faults of one kind and column that are told one by one; of the others only the number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawTable:
    """A table as read: ``frame`` with columns as the file has them, ``rows`` the file's row of each line."""

    source: str
    frame: "pd.DataFrame"
    rows: Ints

    def fault(self, line: int, column: str, *, value: object, reason: str, fix: str) -> Fault:
        """Return a fault at a line of the table."""
        place = f"row {self.rows[line]}, column {column}"
        return Fault(source=self.source, place=place, value=value, reason=reason, fix=fix)


def read_table(path: Path, *, text: bool = False) -> tuple[RawTable | None, list[Fault]]:
    """Read a table.

    Parameters
    ----------
    path : CSV, Excel or Parquet file
    text : True reads every cell as text, empty cells as empty text

    Returns
    -------
    The table, or None and the faults that kept it from being read.
    """
    source = str(path)
    if not path.is_file():
        reason = "is a directory" if path.is_dir() else "there is no such file"
        return None, [
            _file_fault(source, reason, "check the name; a scenario's files are taken from its directory")
        ]
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        return None, [
            _file_fault(
                source, f"files ending in {ending!r} are not read", f"use one of {', '.join(ENDINGS)}"
            )
        ]
    try:
        if ending == ".csv":
            return _read_csv(path, text=text)
        return _read_binary(path, ending, text=text)
    except OSError as error:
        return None, [_file_fault(source, f"cannot be read: {error.strerror}", "check its permissions")]


def _read_binary(path: Path, ending: str, *, text: bool) -> tuple[RawTable | None, list[Fault]]:
    """Read an Excel or Parquet file."""
    import pandas as pd

    source = str(path)
    try:
        if ending == ".xlsx":
            kind = str if text else None
            frame = pd.read_excel(path, dtype=kind, keep_default_na=not text, engine="openpyxl")
        else:
            frame = _named_index_as_columns(pd.read_parquet(path))
    except OSError:
        raise
    except Exception as error:
        fix = (
            "open it, and save it again as .xlsx or as CSV"
            if ending == ".xlsx"
            else "write it again as Parquet"
        )
        return None, [_file_fault(source, f"cannot be read ({type(error).__name__}: {str(error)[:80]})", fix)]
    frame.columns = [str(name).strip() for name in frame.columns]
    if text:
        frame = frame.astype(object).where(frame.notna(), "").astype(str)
    first = 2 if ending == ".xlsx" else 1
    empty = [not len(frame.columns)] if not len(frame) else []
    faults = _header_faults(source, list(frame.columns))
    if empty or faults:
        return None, faults or [_file_fault(source, "has no rows", "write a header and at least one row")]
    return RawTable(source=source, frame=frame, rows=np.arange(len(frame)) + first), []


def _named_index_as_columns(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the columns that a Parquet file has; pandas takes those that were its index out again."""
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(named) if named else frame


def _read_csv(path: Path, *, text: bool) -> tuple[RawTable | None, list[Fault]]:
    """Read a CSV file: find the lines of data and the separator, then let pandas parse them."""
    import pandas as pd

    source = str(path)
    content = path.read_bytes()
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        found = content[error.start : error.start + 1]
        reason, fix = "is not UTF-8 text", 'save it as "CSV UTF-8"'
        return None, [Fault(source=source, place=f"row {row}", value=found, reason=reason, fix=fix)]
    numbered = [
        (number, line)
        for number, line in enumerate(re.split(r"\r\n|\n|\r", decoded), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if len(numbered) < 2:
        return None, [_file_fault(source, "has no rows", "write a header and at least one row")]
    separator = max(",;\t", key=numbered[0][1].count)
    header = [name.strip() for name in next(csv.reader([numbered[0][1]], delimiter=separator))]
    faults = [*_header_faults(source, header), *_width_faults(source, numbered, separator, width=len(header))]
    if faults:
        return None, faults
    body = io.StringIO("\n".join(line for _, line in numbered[1:]))
    frame = pd.read_csv(
        body,
        sep=separator,
        header=None,
        names=header,
        skipinitialspace=True,
        dtype=str if text else None,
        keep_default_na=not text,
    )
    if "" in header:
        if not frame[""].isin(["", np.nan]).all():
            fix = "name the column, or remove it"
            return None, [
                Fault(source=source, place="header", value="", reason="has a column without a name", fix=fix)
            ]
        frame = frame.drop(columns="")  # what a separator at the end of every line leaves
    rows = np.array([number for number, _ in numbered[1:]], dtype=np.int64)
    return RawTable(source=source, frame=frame, rows=rows), []


def _header_faults(source: str, header: Sequence[str]) -> list[Fault]:
    """Tell columns without a name and names that stand twice."""
    faults = []
    for name, count in Counter(header).items():
        if count > 1:
            fix = "give each column a name of its own"
            faults.append(Fault(source=source, place="header", value=name, reason="stands twice", fix=fix))
    return faults


def _width_faults(
    source: str, numbered: Sequence[tuple[int, str]], separator: str, *, width: int
) -> list[Fault]:
    """Tell lines with more or fewer fields than the header."""
    wrong, faults = [], []
    for number, line in numbered:
        if line.count('"') % 2:
            fix = "close it in the same line"
            faults.append(
                Fault(
                    source=source, place=f"row {number}", value=line, reason="a quote is not closed", fix=fix
                )
            )
            continue
        if '"' in line:
            fields = len(next(csv.reader([line], delimiter=separator)))
        else:
            fields = line.count(separator) + 1
        if fields != width:
            wrong.append((number, fields))
    reason = f"fields, where the header has {width}"
    fix = "write one field per column; a decimal comma splits a number, write a point"
    faults += [
        Fault(source=source, place=f"row {number}", value=fields, reason=f"has {fields} {reason}", fix=fix)
        for number, fields in wrong[:SHOWN]
    ]
    return [
        *faults,
        *more(source, "rows", len(wrong), reason="have another number of fields than the header"),
    ]


def numbers(table: RawTable, column: str, *, least: float | None = 0.0) -> tuple[Floats, list[Fault]]:
    """Return a column as numbers; text, missing, infinite and too small values are faults.

    Parameters
    ----------
    table : the table
    column : name of the column
    least : smallest value allowed, None for any
    """
    import pandas as pd

    raw = table.frame[column]
    values = np.asarray(pd.to_numeric(raw, errors="coerce"), dtype=np.float64)
    if raw.dtype == bool:
        values = np.full(len(raw), np.nan)
    missing = np.asarray(raw.isna() | (raw.astype(str).str.strip() == "")) if np.isnan(values).any() else None
    faults: list[Fault] = []
    if missing is not None:
        faults += _each(table, column, missing, reason="is missing", fix="write a number; 0 if there is none")
        text = np.isnan(values) & ~missing
        faults += _each(
            table, column, text, reason="is not a number", fix="write a number with a decimal point, e.g. 0.5"
        )
    faults += _each(table, column, np.isinf(values), reason="is infinite", fix="write a finite number")
    if least is not None:
        faults += _each(
            table,
            column,
            values < least,
            reason=f"is below {least:g}",
            fix=f"write a value of at least {least:g}",
        )
    return values, faults


def _each(table: RawTable, column: str, wrong: NDArray[np.bool_], *, reason: str, fix: str) -> list[Fault]:
    """Tell the wrong values of a column, the first ones one by one."""
    lines = np.flatnonzero(wrong)
    faults = []
    for line in lines[:SHOWN].tolist():
        value = plain(table.frame[column].iloc[line])
        told = f"write {value.replace(',', '.')}" if isinstance(value, str) and decimal_comma(value) else fix
        why = "has a decimal comma" if isinstance(value, str) and decimal_comma(value) else reason
        faults.append(table.fault(line, column, value=value, reason=why, fix=told))
    return [*faults, *more(table.source, f"column {column}", len(lines), reason=reason)]


def more(source: str, place: str, count: int, *, reason: str) -> list[Fault]:
    """Tell how many faults of a kind were not told one by one."""
    if count <= SHOWN:
        return []
    value = count - SHOWN
    return [
        Fault(source=source, place=place, value=value, reason=f"more values: {reason}", fix="mend them alike")
    ]


def decimal_comma(text: str) -> bool:
    """Tell "0,5", written for 0.5.

    >>> decimal_comma("0,5"), decimal_comma("0.5")
    (True, False)
    """
    whole, comma, rest = text.strip().partition(",")
    return bool(comma) and whole.lstrip("+-").isdigit() and rest.isdigit()


def plain(value: Any) -> Any:
    """Return a cell as a value of Python, None where it is missing."""
    if isinstance(value, float | np.floating) and np.isnan(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def column_faults(table: RawTable, needed: Iterable[str]) -> list[Fault]:
    """Tell columns that are needed and not there."""
    from gridagora.scenario.suggest import near

    names = [str(name) for name in table.frame.columns]
    faults = []
    for column in needed:
        if column not in names:
            fix = near(column, names) or f"add a column {column}; there are {', '.join(names[:8])}"
            place = f"column {column}"
            faults.append(Fault(source=table.source, place=place, value=None, reason="is missing", fix=fix))
    return faults


def _file_fault(source: str, reason: str, fix: str) -> Fault:
    return Fault(source=source, place="file", value=Path(source).name, reason=reason, fix=fix)
