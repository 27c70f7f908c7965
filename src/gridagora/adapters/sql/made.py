"""What is made from events: rows of read tables, and the names that later events refer to by code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import Table

Mode = Literal["insert", "set", "add", "put"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows of a read table, by columns (arrays, lists, or one value for all).

    "insert": rows that are not there yet; "set": values of columns beside the key in rows that are there;
    "add": amounts to be added to those in rows that are there; "put": rows in the place of those with their
    key, where there are any.
    """

    table: Table
    columns: Mapping[str, Any]
    mode: Mode = "insert"


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveNames:
    """Names of a live market: the number of each participant, and who is who in its sessions.

    Parameters
    ----------
    participants : number by name, in the order of registration
    lineups : numbers of the participants of a session in the order of their codes, each line-up once
    sessions : place in ``lineups`` by session, for those that still change
    kept : how many sessions can still change
    zonal : whether zones have markets of their own
    counts : records of each kind
    """

    participants: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    lineups: tuple[tuple[int, ...], ...] = ()
    sessions: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    kept: int = 0
    zonal: bool = False
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def lineup(self, session: int) -> tuple[int, ...]:
        """Return the numbers of the participants of a session in the order of their codes."""
        return self.lineups[self.sessions[session]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What later events refer to by code: homes, others, and the accounts of a flexibility market.

    ``flex_codes`` is the account in the books of the whole for each account of the flexibility market;
    ``live`` is there in a live market.
    """

    homes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    flex_codes: tuple[int, ...] = ()
    live: LiveNames | None = None

    def to_json(self) -> str:
        """Return the names as text for the table ``projected``."""
        told: list[Any] = [self.homes, self.others, self.flex_codes]
        if self.live is not None:
            live = self.live
            sessions = list(live.sessions.items())
            told.append(
                [list(live.participants), live.lineups, sessions, live.kept, live.zonal, dict(live.counts)]
            )
        return json.dumps(told, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Names":
        """Return the names of a text.

        >>> Names.from_json(Names(homes=("a",)).to_json()).homes
        ('a',)
        """
        homes, others, codes, *more = json.loads(text)
        live = None
        if more:
            names, lineups, sessions, kept, zonal, counts = more[0]
            live = LiveNames(
                participants={name: number for number, name in enumerate(names)},
                lineups=tuple(map(tuple, lineups)),
                sessions=dict(map(tuple, sessions)),
                kept=kept,
                zonal=zonal,
                counts=counts,
            )
        return cls(homes=tuple(homes), others=tuple(others), flex_codes=tuple(codes), live=live)
