"""Notices of a live market in its database: written with the events that they tell of, read in pages."""

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.made import Rows
from gridagora.adapters.sql.rows import write_rows
from gridagora.adapters.sql.snapshots import known_state
from gridagora.adapters.sql.states import Held
from gridagora.engine.live.notices import Notice, notices
from gridagora.engine.live.state import LiveState
from gridagora.model.events import Event

VERSION = 2
"""Of the notices; a higher one makes those of a database anew from its events."""

TOGETHER = 2_000
"""Rows that are written in one transaction while notices are made anew."""


def notice_rows(told: Iterable[Notice]) -> tuple[Rows, ...]:
    """Return notices of one event as rows of their table.

    >>> one = Notice(id=4, at=0, participant="ann", topic="bids", text="Bid 1 taken.")
    >>> [(rows.columns["seq"], rows.columns["place"]) for rows in notice_rows([one, one])]
    [([4, 4], [0, 1])]
    """
    listed = list(told)
    if not listed:
        return ()
    names = ("participant", "at", "topic", "text", "session")
    columns = {name: [getattr(one, name) for one in listed] for name in names}
    columns |= {"seq": [one.id for one in listed], "place": list(range(len(listed)))}
    return (Rows(table=tables.notices, columns=columns),)


def up_to_date(database: Database, name: str) -> tuple[LiveState, Held] | None:
    """Make the notices of a market anew where they are of another version, or were never made.

    Returns
    -------
    state : with the numbers of its events, where all were gone through for it; None: nothing was to be done
    """
    market = database.head(name).market
    mark = tables.noticed
    with database.reading() as connection:
        if connection.scalar(select(mark.c.version).where(mark.c.market == market)) == VERSION:
            return None
    with database.looking() as connection:
        for table in (tables.notices, mark):
            connection.execute(delete(table).where(table.c.market == market))
    waiting: list[Rows] = []

    def write(least: int) -> None:
        if len(waiting) >= least:
            with database.looking() as connection:
                write_rows(connection, market, waiting)
            waiting.clear()

    def told(state: LiveState, event: Event) -> None:
        waiting.extend(notice_rows(notices(state.events, event, state)))
        write(TOGETHER)

    found = known_state(database, name, told=told)
    write(0)
    with database.looking() as connection:
        connection.execute(insert(mark).values(market=market, version=VERSION))
    return found
