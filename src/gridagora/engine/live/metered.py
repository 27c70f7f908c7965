"""Meter data on its way into a live market: whose it is, what the rules of meter data keep of it.

Readings come by HTTP, in files and over MQTT with the names of points: a participant's id, or the number of
the meter at its active connection point.  The rules are those of `gridagora.settlement.metering`; what they
do not use is told as findings.  What is kept becomes one `TakeReadings`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridagora.engine.live.bidding import connection_of
from gridagora.engine.live.commands import TakeReadings
from gridagora.engine.live.context import axis_of
from gridagora.engine.live.readings import ESTIMATED, MEASURED
from gridagora.engine.live.state import LiveState
from gridagora.model.live import LiveTerms
from gridagora.model.metering import COLUMNS, MeterReadings
from gridagora.model.time import TimeAxis
from gridagora.settlement.metering.check import check_readings
from gridagora.settlement.metering.checked import CheckedReadings
from gridagora.settlement.metering.rules import FROM_REGISTER, MeterFinding
from gridagora.settlement.metering.rules import MEASURED as BY_METER

OF_WHOLE_SERIES = frozenset({"gap", "unusable"})
"""Rules about what lacks: a message is no whole series, and what lacks in the end is told at settlement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterFacts:
    """What a market knows of points that readings name.

    Parameters
    ----------
    terms : of the market
    first, end : periods ``[first, end)`` of which readings are taken
    participant : of each point that is known
    keys : public keys of points whose readings must be signed
    capacity_kw : import and export that the connections of participants carry
    """

    terms: LiveTerms
    first: int
    end: int
    participant: Mapping[str, str]
    keys: Mapping[str, tuple[bytes, ...]]
    capacity_kw: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """What the rules kept of readings, None for nothing, and what they found."""

    command: TakeReadings | None
    findings: tuple[MeterFinding, ...]


def facts_of(state: LiveState, points: Iterable[str], at: int) -> MeterFacts:
    """Return what a market knows of points at a moment.

    >>> from gridagora.engine.live.machine import apply
    >>> from gridagora.model.live_events import LiveMarketOpened
    >>> opened = LiveMarketOpened(at=0, terms=LiveTerms(name="a", epoch=0, scenario=""))
    >>> facts_of(apply(LiveState(), opened), ["ann"], 1800).participant
    {}
    """
    terms = state.open_terms
    named = tuple(dict.fromkeys(points))
    meters: dict[str, str] = {}
    if any(state.register.get("participant", point) is None for point in named):
        meters = {
            str(record.body["meter"]): str(record.body["participant"])
            for record in state.register.all("connection_point")
            if record.status == "active" and record.body.get("meter")
        }
    known = {p: p if state.register.get("participant", p) is not None else meters.get(p) for p in named}
    who = {point: name for point, name in known.items() if name is not None}
    places = {name: connection_of(state, name) or {} for name in set(who.values())}
    return MeterFacts(
        terms=terms,
        first=state.oldest * terms.session_periods,
        end=min(terms.period_at(at), state.next_open * terms.session_periods),
        participant=who,
        keys={
            point: (bytes.fromhex(key),)
            for point, name in who.items()
            if (key := places[name].get("public_key"))
        },
        capacity_kw={name: _capacity(place) for name, place in places.items()},
    )


def _capacity(place: Mapping[str, Any]) -> tuple[float, float]:
    """Return what a connection carries, (import, export) in kW; infinite where that is not told."""
    import_kw, export_kw = place.get("import_kw"), place.get("export_kw")
    return np.inf if import_kw is None else import_kw, np.inf if export_kw is None else export_kw


def axis_around(readings: MeterReadings, facts: MeterFacts) -> TimeAxis | None:
    """Return the periods of readings that are taken; None where all of them lie elsewhere."""
    terms = facts.terms
    begins = (readings.start.astype("datetime64[s]").astype(np.int64) - terms.epoch) // terms.mtu_s
    ends = -((terms.epoch - readings.end.astype("datetime64[s]").astype(np.int64)) // terms.mtu_s)
    first = max(facts.first, int(begins.min()) - 1)  # a stamp may be seconds beside the grid
    end = min(facts.end, int(ends.max()) + 1)
    return axis_of(terms, first, end - first) if first < end else None


def sound_readings(readings: MeterReadings, facts: MeterFacts, *, at: int, actor: str, source: str) -> Sound:
    """Return what the rules of meter data keep of readings, as a command.

    Parameters
    ----------
    readings : of points that are known; their signatures have been looked at
    facts : what the market knows of the points
    at : moment at which they came in, by the market's clock
    actor, source : of the command
    """
    columns = {name: getattr(readings, name) for name in COLUMNS}
    names = [facts.participant[point] for point in readings.point.tolist()]
    came = np.datetime64(at, "s")
    axis = axis_around(readings, facts) if len(readings) else None
    if axis is None:
        return Sound(command=None, findings=tuple(_elsewhere(readings)))
    columns |= {"point": np.array(names, dtype=np.str_), "received": np.full(len(readings), came)}
    checked = check_readings(
        MeterReadings(**columns), axis, points=sorted(set(names)), capacity_kw=facts.capacity_kw
    )
    findings = tuple(found for found in checked.findings if found.rule not in OF_WHOLE_SERIES)
    return Sound(command=_command(checked, facts.terms, at=at, actor=actor, source=source), findings=findings)


def _command(
    checked: CheckedReadings, terms: LiveTerms, *, at: int, actor: str, source: str
) -> TakeReadings | None:
    """Return the command that takes what somebody said; estimates made here are left out."""
    who, row = np.nonzero((checked.row >= 0) | (checked.method == FROM_REGISTER))
    if not len(who):
        return None
    start = int(checked.axis.starts[0].astype("datetime64[s]").astype(np.int64))
    method = checked.method[who, row]
    return TakeReadings(
        at=at,
        actor=actor,
        source=source,
        participants=checked.points,
        participant=who.astype(np.int64),
        period=row.astype(np.int64) + terms.period_at(start),
        import_wh=checked.import_wh[who, row],
        export_wh=checked.export_wh[who, row],
        quality=np.where((method == BY_METER) | (method == FROM_REGISTER), MEASURED, ESTIMATED),
    )


def _elsewhere(readings: MeterReadings) -> Iterable[MeterFinding]:
    """Yield a finding for each point whose readings all lie outside what is taken."""
    for point in sorted(set(readings.point.tolist())):
        mine = readings.take(readings.point == point)
        yield MeterFinding(
            point=point,
            start=mine.start.min(),
            end=mine.end.max(),
            rule="outside",
            value=float(mine.net_wh.sum()),
            limit=np.nan,
            readings=len(mine),
            done="not used",
        )
