"""Local months of a market: which sessions belong to which, and which of them are issued."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Path, Query
from sqlalchemy import Connection, select

from gridagora.adapters.sql import tables
from gridagora.service.api.v1.tools import Live, wrong

MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"
MonthLabel = Annotated[str, Path(pattern=MONTH, examples=["2026-01"])]
"""A month in an address."""

AskedMonth = Annotated[str | None, Query(pattern=MONTH, examples=["2026-01"])]
"""Parameter of a list of which one may ask for one month."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Month:
    """A local month of a market: its days, and the sessions ``[first, end)`` whose delivery begins in it."""

    begin: date
    last: date
    first: int
    end: int

    @property
    def label(self) -> str:
        """Name of the month, as in "2026-01"."""
        return f"{self.begin:%Y-%m}"


def month_of(live: Live, label: str) -> Month:
    """Return a month by its label."""
    try:
        begin = date.fromisoformat(f"{label}-01")
        after = (begin + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        raise wrong("time_invalid", "month", label, fix="write year and month, such as 2026-01") from None
    return Month(
        begin=begin,
        last=after - timedelta(days=1),
        first=_first_session(live, begin),
        end=_first_session(live, after),
    )


def _first_session(live: Live, day: date) -> int:
    """Return the first session whose delivery begins on a local day or later."""
    terms = live.terms
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(terms.timezone))
    length = terms.session_periods * terms.mtu_s
    return max(0, -((terms.epoch - int(local.timestamp())) // length))


def local_day(live: Live, moment: int) -> date:
    """Return the local day of a moment."""
    return datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(live.terms.timezone)).date()


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """Months that are issued, in their order: label, end of its sessions, and number of the event of each."""

    labels: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()
    seqs: tuple[int, ...] = ()

    @property
    def seq(self) -> int:
        """Number of the event that issued the last of them; 0 for none."""
        return self.seqs[-1] if self.seqs else 0

    def next(self, live: Live) -> Month:
        """Return the month that is issued next."""
        if not self.labels:
            first = live.terms.session(live.state.first).delivery_start
            return month_of(live, f"{local_day(live, first):%Y-%m}")
        last = date.fromisoformat(f"{self.labels[-1]}-01")
        return month_of(live, f"{last + timedelta(days=31):%Y-%m}")


def issued_months(live: Live, connection: Connection) -> Issued:
    """Return the months that are issued."""
    column = tables.issued_months.c
    asked = select(column.month, column.end_session, column.seq).where(column.market == live.number)
    rows = connection.execute(asked.order_by(column.seq)).all()
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    return Issued(labels=columns[0], ends=columns[1], seqs=columns[2])
