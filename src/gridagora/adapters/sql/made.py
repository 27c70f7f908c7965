"""What is made from events: rows of read tables, and the names that later events refer to by code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    lineups : numbers and buses of the participants of a session in the order of their codes, each once
    sessions : place in ``lineups`` by session, for those that still change
    settled : when each of those was settled, s since 1970; one that was not is left out
    disputes : session of each dispute that waits for a decision, by its id
    kept_s : how long a session can still change once it is settled, s
    epoch, mtu_s : when period 0 begins, s since 1970, and how long a period is, s
    zonal : whether zones have markets of their own
    counts : records of each kind
    """

    participants: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    lineups: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = ()
    sessions: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    settled: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    disputes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    kept_s: int = 0
    epoch: int = 0
    mtu_s: int = 0
    zonal: bool = False
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def lineup(self, session: int) -> tuple[int, ...]:
        """Return the numbers of the participants of a session in the order of their codes."""
        return self.lineups[self.sessions[session]][0]

    def buses(self, session: int) -> tuple[str, ...]:
        """Return the buses of the participants of a session in the order of their codes."""
        return self.lineups[self.sessions[session]][1]

    def forget(self, at: int) -> "LiveNames":
        """Return the names without the sessions that nothing can change at a moment or later."""
        waits = set(self.disputes.values())
        gone = {n for n, done in self.settled.items() if done + self.kept_s < at and n not in waits}
        if not gone:
            return self
        sessions = {n: place for n, place in self.sessions.items() if n not in gone}
        used = dict.fromkeys(sessions.values())
        moved = {place: k for k, place in enumerate(used)}
        return replace(
            self,
            lineups=tuple(self.lineups[place] for place in used),
            sessions={n: moved[place] for n, place in sessions.items()},
            settled={n: done for n, done in self.settled.items() if n not in gone},
        )

    def to_list(self) -> list[Any]:
        """Return what JSON can hold."""
        sessions, settled = list(self.sessions.items()), list(self.settled.items())
        times = [sessions, settled, dict(self.disputes), self.kept_s, self.epoch, self.mtu_s]
        return [dict(self.participants), self.lineups, *times, self.zonal, dict(self.counts)]

    @classmethod
    def from_list(cls, told: list[Any]) -> "LiveNames":
        """Return the names of what JSON held.

        >>> LiveNames.from_list(LiveNames(kept_s=5, disputes={"a": 1}).to_list()).disputes
        {'a': 1}
        """
        names, lineups, sessions, settled, disputes, kept_s, epoch, mtu_s, zonal, counts = told
        return cls(
            participants=names,
            lineups=tuple((tuple(who), tuple(buses)) for who, buses in lineups),
            sessions=dict(map(tuple, sessions)),
            settled=dict(map(tuple, settled)),
            disputes=disputes,
            kept_s=kept_s,
            epoch=epoch,
            mtu_s=mtu_s,
            zonal=zonal,
            counts=counts,
        )


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
            told.append(self.live.to_list())
        return json.dumps(told, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Names":
        """Return the names of a text.

        >>> Names.from_json(Names(homes=("a",)).to_json()).homes
        ('a',)
        """
        homes, others, codes, *more = json.loads(text)
        live = LiveNames.from_list(more[0]) if more else None
        return cls(homes=tuple(homes), others=tuple(others), flex_codes=tuple(codes), live=live)
