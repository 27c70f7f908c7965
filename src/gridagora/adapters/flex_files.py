"""Bids of a flexibility auction out of CSV, Excel and Parquet files, and its results into CSV and Excel.

One row per bid: ``participant``, ``side`` (buy or sell), ``period`` (a whole number) or ``start`` (a time,
UTC unless it states an offset), ``quantity_kw``, ``price`` in currency per kW and period; and, where they are
needed, ``step`` (order of a bidder's steps in a period, from 0 or 1), ``group`` (bids of a participant that
are accepted together or not at all) and ``direction`` (cap, floor, down or up; the same in all rows).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.tables import (
    SHOWN,
    Floats,
    Ints,
    RawTable,
    column_faults,
    more,
    numbers,
    read_table,
)
from gridagora.adapters.timeline import Times, utc_times
from gridagora.errors import Fault
from gridagora.market import check_offers
from gridagora.model.bids import Bids
from gridagora.scenario.suggest import near

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("participant", "side", "quantity_kw", "price")
OPTIONAL = ("period", "start", "step", "group", "direction")
SIDES = {"buy": 1, "sell": -1}
LARGEST_PERIOD = 2**53
CAPACITY = "capacity_kw"
OWN_LIMIT = {"cap": "import_limit_kw", "floor": "export_limit_kw"}
"""Column of a participants file that serves where a file of capacities has no column ``capacity_kw``."""

OUT_ENDINGS = (".csv", ".xlsx")

Flags = NDArray[np.bool_]

_TEMPLATE_NOTE = """\
# Bids of a flexibility auction: one row per bid.  Clear them with: gridagora auction FILE
# side: buy (a grid operator) or sell; price: currency per kW and period
# period: a whole number; or, instead, start: the time at which the period begins, e.g. 2016-01-04T17:00Z
# step: order of a bidder's steps in a period, 0, 1, 2 ...; sells may not get cheaper from step to step
# group: bids of one participant with the same word are accepted together, in whole, or not at all
# direction: cap (a limit on import) or floor (on export); may be left out
"""
_TEMPLATE = """\
participant,side,period,step,quantity_kw,price,group,direction
DSO,buy,17,0,20,0.90,,cap
DSO,buy,17,1,15,0.35,,cap
DSO,buy,18,0,30,0.50,,cap
anna,sell,17,0,9,0,,cap
anna,sell,17,1,4,0.15,,cap
anna,sell,18,0,9,0,,cap
ben,sell,17,0,12,0.05,,cap
ben,sell,18,0,12,0.20,,cap
mill,sell,17,0,10,0.30,,cap
mill,sell,18,0,10,0.30,,cap
"""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlexBidTable:
    """Bids of a file and where each stands.

    Parameters
    ----------
    source : the file
    rows : row of each bid in it
    bids : quantity in kW; where a cell could not be read, something harmless stands
    doubtful : bids with such a cell
    starts : with a column ``start``, the time at which each period begins, UTC; the periods are 0, 1 ...
    direction : one per bid, or of all
    """

    source: str
    rows: Ints
    bids: Bids
    doubtful: Flags
    starts: Times | None
    direction: str | NDArray[np.str_]

    @property
    def sold(self) -> str:
        """Direction of the first bid."""
        return str(np.asarray(self.direction).ravel()[0])

    @property
    def has_groups(self) -> bool:
        """True where some bids are accepted together."""
        return self.bids.group is not None and bool((self.bids.group != "").any())

    def in_file(self, fault: Fault) -> Fault:
        """Say of a fault of the bids in which row and column of the file it is."""
        match = re.fullmatch(r"row (\d+), column (\w+)", fault.place)
        if match is None:
            return replace(fault, source=self.source)
        names = {"quantity": "quantity_kw"} | ({} if self.starts is None else {"period": "start"})
        column = names.get(match[2], match[2])
        value = fault.value
        if column == "start" and self.starts is not None:
            value = f"{self.starts[int(self.bids.period[int(match[1])])]}Z"
        place = f"row {self.rows[int(match[1])]}, column {column}"
        return replace(fault, source=self.source, place=place, value=value)


def read_flex_bids(path: Path) -> tuple[FlexBidTable | None, list[Fault]]:
    """Read the bids of a flexibility auction; return them and every fault of a cell.

    Parameters
    ----------
    path : CSV, Excel or Parquet file

    Returns
    -------
    The table, or None where not even its columns could be read; with faults, its `bids` are only fit to look
    for more of them (`offer_faults`).
    """
    table, faults = read_table(path, text=True)
    if table is None:
        return None, faults
    columns = [str(name) for name in table.frame.columns]
    faults = column_faults(table, NEEDED)
    for name in columns:
        if name not in NEEDED + OPTIONAL:
            fix = near(name, NEEDED + OPTIONAL) or f"use only {', '.join(NEEDED + OPTIONAL)}"
            reason = "is no column of bids"
            faults.append(Fault(source=table.source, place="header", value=name, reason=reason, fix=fix))
    if ("period" in columns) == ("start" in columns):
        fix = "write one column: period (a whole number) or start (a time)"
        reason = "are both there" if "period" in columns else "are both missing"
        faults.append(
            Fault(source=table.source, place="columns period, start", value=None, reason=reason, fix=fix)
        )
    if faults:
        return None, faults
    return _read_cells(table)


def _read_cells(table: RawTable) -> tuple[FlexBidTable, list[Fault]]:
    """Read all cells; those that cannot be read become something harmless and are marked."""
    doubtful = np.zeros(len(table.rows), dtype=np.bool_)
    faults: list[Fault] = []
    side = _sides(table, doubtful, faults)
    participant = _cells(table, "participant")
    _refuse(
        table,
        "participant",
        participant == "",
        doubtful=doubtful,
        faults=faults,
        text=("is missing", "name it"),
    )
    price = _numbers(table, "price", doubtful, faults=faults, least=None)
    quantity = _numbers(table, "quantity_kw", doubtful, faults=faults, least=0.0)
    period, starts = _periods(table, doubtful, faults)
    step, group = (_cells(table, name) for name in ("step", "group"))
    if (step != "").any():
        wrong = np.array([not text.removeprefix("g").isdecimal() for text in step.tolist()], dtype=np.bool_)
        told = ("is no step number", "number a bidder's steps of a period 0, 1, 2 ...")
        _refuse(table, "step", wrong, doubtful=doubtful, faults=faults, text=told)
        step = np.where(wrong, "0", step)
    direction = _cells(table, "direction")
    bids = Bids(
        side=side,
        price=price,
        quantity=quantity,
        participant=participant,
        period=period,
        group=group if (group != "").any() else None,
        step=step if (step != "").any() else None,
    )
    return FlexBidTable(
        source=table.source,
        rows=table.rows,
        bids=bids,
        doubtful=doubtful,
        starts=starts,
        direction=_directions(direction),
    ), faults


def _cells(table: RawTable, column: str) -> NDArray[np.str_]:
    """Return a column as text, empty where it is not there."""
    if column not in table.frame.columns:
        return np.full(len(table.rows), "", dtype=np.str_)
    return np.array([text.strip() for text in table.frame[column].tolist()], dtype=np.str_)


def _directions(written: NDArray[np.str_]) -> str | NDArray[np.str_]:
    """Return the direction of each bid; an empty cell takes the first one that is written."""
    given = written[written != ""]
    return np.where(written == "", given[0], written) if len(given) else "cap"


def _sides(table: RawTable, doubtful: Flags, faults: list[Fault]) -> Ints:
    """Read buy and sell in any case of letters."""
    texts = [text.lower() for text in _cells(table, "side").tolist()]
    wrong = np.array([text not in SIDES for text in texts], dtype=np.bool_)
    _refuse(
        table,
        "side",
        wrong,
        doubtful=doubtful,
        faults=faults,
        text=("is neither buy nor sell", "write buy or sell"),
    )
    return np.array([SIDES.get(text, -1) for text in texts], dtype=np.int64)


def _numbers(
    table: RawTable, column: str, doubtful: Flags, *, faults: list[Fault], least: float | None
) -> Floats:
    """Read numbers; where there is none, 0."""
    values, found = numbers(table, column, least=least)
    faults.extend(found)
    wrong = ~np.isfinite(values) | (values < (-np.inf if least is None else least))
    huge = np.abs(values) > 1e100
    told = ("is no number of a market", "write the number in kW, or currency per kW and period")
    _refuse(table, column, huge & ~wrong, doubtful=doubtful, faults=faults, text=told)
    doubtful |= wrong
    return np.where(wrong | huge, 0.0, values)


def _periods(table: RawTable, doubtful: Flags, faults: list[Fault]) -> tuple[Ints, Times | None]:
    """Return the periods, and with a column ``start`` when each begins."""
    if "start" in table.frame.columns:
        times, found = utc_times(table, None, column="start")
        faults.extend(found)
        if times is None:
            doubtful[:] = True  # no bidder's rows of a period are known
            return np.zeros(len(table.rows), dtype=np.int64), None
        starts, period = np.unique(times, return_inverse=True)
        return period.astype(np.int64), starts
    values = _numbers(table, "period", doubtful, faults=faults, least=0.0)
    broken = (values != np.floor(values)) | (values > LARGEST_PERIOD)
    told = ("is not a whole number", "write the number of the period, or give its time in a column start")
    _refuse(table, "period", broken, doubtful=doubtful, faults=faults, text=told)
    return np.where(broken, 0, values).astype(np.int64), None


def _refuse(
    table: RawTable,
    column: str,
    wrong: Flags,
    *,
    doubtful: Flags,
    faults: list[Fault],
    text: tuple[str, str],
) -> None:
    """Note the wrong cells of a column, the first ones one by one."""
    doubtful |= wrong
    lines = np.flatnonzero(wrong)
    for line in lines[:SHOWN].tolist():
        value = table.frame[column].iloc[line] or None
        faults.append(table.fault(line, column, value=value, reason=text[0], fix=text[1]))
    faults.extend(more(table.source, f"column {column}", len(lines), reason=text[0]))


def offer_faults(
    table: FlexBidTable,
    *,
    capacity_kw: Mapping[str, float] | None = None,
    capacity_source: str = "",
    now: int = 0,
) -> list[Fault]:
    """Return what is wrong between the bids: double ones, step lists, connection capacities, past periods.

    Parameters
    ----------
    table : as read
    capacity_kw : connection capacity per seller; None: none is known, and none is checked
    capacity_source : file that they come from
    now : first period that can still be bid for

    Notes
    -----
    Bidders with a cell that could not be read are left alone in that period: what is wrong there may follow.
    """
    bids = table.bids
    unlimited = dict.fromkeys(np.unique(bids.participant).tolist(), np.inf)
    found = check_offers(
        bids,
        connection_kw=unlimited if capacity_kw is None else capacity_kw,
        now_period=now,
        direction=table.direction,
    )
    pairs = list(zip(bids.participant.tolist(), bids.period.tolist(), strict=True))
    unsure = {pair for pair, doubt in zip(pairs, table.doubtful.tolist(), strict=True) if doubt}
    faults = []
    for fault in found:
        match = re.match(r"row (\d+), ", fault.place)
        if match is not None and pairs[int(match[1])] in unsure:
            continue
        if fault.fix == "name it in connection_kw":
            fault = replace(fault, fix=f"add a row for it to {capacity_source}")
        elif table.starts is not None and fault.reason.startswith("period is in the past"):
            fault = replace(fault, reason="begins before --now", fix="bid for a later period")
        faults.append(table.in_file(fault))
    return faults


def read_capacities(path: Path, *, direction: str) -> tuple[dict[str, float], list[Fault]]:
    """Read the connection capacity of each participant, kW; a participants file of a scenario will do.

    Parameters
    ----------
    path : file with the columns ``participant`` and ``capacity_kw``, else ``import_limit_kw`` or, for a
        floor, ``export_limit_kw``; an empty cell is no capacity
    direction : what is sold
    """
    table, faults = read_table(path, text=True)
    if table is None:
        return {}, faults
    own = OWN_LIMIT.get(direction, CAPACITY)
    column = own if CAPACITY not in table.frame.columns and own in table.frame.columns else CAPACITY
    faults = column_faults(table, ("participant", column))
    if faults:
        return {}, faults
    given = table.frame[column].str.strip() != ""
    filled = RawTable(
        source=table.source,
        frame=table.frame[given].reset_index(drop=True),
        rows=table.rows[given.to_numpy()],
    )
    values, faults = numbers(filled, column)
    names = [name.strip() for name in filled.frame["participant"].tolist()]
    first: dict[str, int] = {}
    for line, name in enumerate(names):
        if name in first:
            reason = f"stands already in row {filled.rows[first[name]]}"
            faults.append(
                filled.fault(line, "participant", value=name, reason=reason, fix="keep one of the two rows")
            )
        first.setdefault(name, line)
    return {name: float(values[line]) for name, line in first.items()}, faults


def output_faults(path: Path, *, inputs: Sequence[Path]) -> list[Fault]:
    """Tell a file that results cannot be written to: another kind, a folder, or one that was just read."""
    if path.suffix.lower() not in OUT_ENDINGS:
        reason, fix = f"ends in {path.suffix!r}", f"name a file that ends in {' or '.join(OUT_ENDINGS)}"
    elif path.is_dir():
        reason, fix = "is a folder", "name a file in it"
    elif not path.absolute().parent.is_dir():
        reason, fix = "is in a folder that is not there", "make the folder, or name another"
    elif path.resolve() in [given.resolve() for given in inputs]:
        reason, fix = "is the file that was read", "name another file"
    else:
        return []
    return [Fault(source="output", place=str(path), value=str(path), reason=reason, fix=fix)]


def write_tables(path: Path, tables: "Mapping[str, pd.DataFrame]") -> tuple[Path, ...]:
    """Write tables: sheets of an Excel file, or CSV files of which all but the first add their name.

    Parameters
    ----------
    path : ends in .xlsx or .csv; what is there is replaced
    tables : by name, with their index where it has a name
    """
    import pandas as pd

    if path.suffix.lower() == ".xlsx":
        with pd.ExcelWriter(path, engine="openpyxl") as book:
            for name, frame in tables.items():
                frame.to_excel(book, sheet_name=name, index=frame.index.name is not None, freeze_panes=(1, 0))
        return (path,)
    written = []
    for number, (name, frame) in enumerate(tables.items()):
        target = path if number == 0 else path.with_name(f"{path.stem}-{name}{path.suffix}")
        frame.to_csv(target, index=frame.index.name is not None, lineterminator="\n")
        written.append(target)
    return tuple(written)


def write_bids_template(path: Path) -> list[Fault]:
    """Write a small file of bids to fill in; return why it cannot be written, and then write nothing."""
    import io

    import pandas as pd

    faults = output_faults(path, inputs=())
    if not faults and path.exists():
        reason, fix = "is there already and is not overwritten", "name a new file"
        faults = [Fault(source="template", place=str(path), value=path.name, reason=reason, fix=fix)]
    if faults:
        return faults
    if path.suffix.lower() == ".xlsx":
        frame: pd.DataFrame = pd.read_csv(io.StringIO(_TEMPLATE))
        write_tables(path, {"bids": frame})
    else:
        path.write_text(_TEMPLATE_NOTE + _TEMPLATE, encoding="utf-8", newline="\n")
    return []


def moment_number(text: str, starts: Times | None) -> int | None:
    """Return the first period that begins at or after a moment, or the number that is written; None: neither.

    >>> moment_number("17", None)
    17
    >>> starts = np.array(["2016-01-04T17:00", "2016-01-04T18:00"], "datetime64[s]")
    >>> moment_number("2016-01-04T17:30Z", starts)
    1
    """
    if starts is None:
        return int(text) if text.strip().isdecimal() else None
    moment = _moment(text)
    return None if moment is None else int(np.searchsorted(starts, moment))


def _moment(text: str) -> Any:
    """Return a moment in UTC as NumPy writes it; None where it is none."""
    from datetime import UTC, datetime

    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if read.tzinfo is not None:
        read = read.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(read, "s")
