"""What was found in meter readings: as they came in, and over a series of those that count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from sqlalchemy import Row
from starlette.responses import Response

from gridagora.engine.live.commands import NoteFindings, TakeReadings
from gridagora.engine.live.context import axis_of
from gridagora.engine.live.metered import MeterFacts, facts_of
from gridagora.engine.live.readings import ESTIMATED
from gridagora.engine.live.refusals import plain_text
from gridagora.model.metering import MeterReadings
from gridagora.model.time import SECONDS_PER_DAY, TimeAxis
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.tools import AskedId, AskedSpan, Live, Span, TheMarket, known, utc, wrong
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here
from gridagora.service.headers import Command
from gridagora.service.models.metering import Finding, SeriesCheck, SeriesFinding
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.settlement.metering.check import check_readings
from gridagora.settlement.metering.rules import MeterFinding

api = router("meter readings")
Reader = Annotated[Caller, needs("readings.read")]
MOST_DAYS = 62
MOST_NOTED = 1_000
"""Findings of one request that are noted; the answer tells all."""

OWN_ESTIMATES = frozenset({"estimate", "schedule"})
"""Sources of the market's own readings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """Readings as the rules of meter data leave them: the command, what was found, and who is who."""

    command: TakeReadings
    findings: Sequence[MeterFinding] = ()
    facts: MeterFacts

    def note(self, live: Live, repeat: Command) -> tuple[NoteFindings, Command] | None:
        """Return what notes the findings for those concerned, once however often it is asked for."""
        some = self.findings[:MOST_NOTED]
        if not some:
            return None
        names = self.facts.participant
        command = NoteFindings(
            at=live.now(),
            actor=self.command.actor,
            source=self.command.source,
            participant=tuple(names.get(str(one.point), str(one.point)) for one in some),
            start=np.array([_moment(one.start) for one in some], np.int64),
            rule=tuple(one.rule for one in some),
            told=tuple(plain_text(str(one)) for one in some),
        )
        key = f"{repeat.key}/findings" if repeat.key else ""
        return command, Command(key=key, request=repeat.request)


def _moment(when: np.datetime64) -> int:
    return 0 if np.isnat(when) else int(when.astype("datetime64[s]").astype(np.int64))


@api.get("/readings/findings", summary="List findings in readings")
async def findings(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: AskedId = None,
    rule: Annotated[str | None, Query(max_length=60, description="such as gap or clock_drift")] = None,
) -> Page[Finding]:
    """Return what was found in readings as they came in, and where the market put estimates; oldest first."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    key = page.after_pair()
    asked = reads.findings(live, names, span, rule=rule, after=key, most=page.fetch)
    cut = page.page(response, await reads.fetch(service, live, asked), key=lambda row: (row.seq, row.row))
    called = reads.Names(live)
    items = [
        Finding(
            id=f"{row.seq}.{row.row}",
            participant=called[row.participant],
            rule=row.rule,
            moment=utc(row.moment),
            found_at=utc(row.at),
            source=row.source,
            estimated=row.source in OWN_ESTIMATES,
            text=row.told,
        )
        for row in cut.items
    ]
    return Page(items=items, next=cut.next)


@api.get("/readings/checks/{participant}", summary="Check the readings of a participant")
async def check(
    *, live: TheMarket, service: Here, participant: str, span: AskedSpan, caller: Reader
) -> SeriesCheck:
    """Check the readings that count as one series, as ``gridagora meter check`` does a file.

    Gaps, values that stand still, and spikes show only in a series.  Without ``from`` and ``to`` it is the
    week that is over; at most 62 days.
    """
    caller.require(live.subject(participant))
    known(live.state.register.get("participant", participant), f"participant {participant}")
    axis = _axis(live, span)
    rows = await reads.fetch(service, live, _readings(live, participant, axis))
    facts = facts_of(live.state, [participant], live.now())
    told: SeriesCheck = await service.store.run(lambda: _checked(participant, rows, axis=axis, facts=facts))
    return told


def _axis(live: Live, span: Span) -> TimeAxis:
    """Return the periods that are to be checked: of the span, from the market's begin to what is over."""
    terms = live.terms
    end = min(terms.period_at(live.now()), terms.period_at(span.end if span.end is not None else live.now()))
    begin = span.begin if span.begin is not None else terms.epoch + end * terms.mtu_s - 7 * SECONDS_PER_DAY
    first = max(0, terms.period_at(begin))
    if not 0 < (end - first) * terms.mtu_s <= MOST_DAYS * SECONDS_PER_DAY:
        fix = f"ask for up to {MOST_DAYS} days that are over, from {utc(terms.epoch).isoformat()} on"
        raise wrong("time_invalid", "query.from", None if span.begin is None else utc(begin), fix=fix)
    return axis_of(terms, first, end - first)


def _readings(live: Live, participant: str, axis: TimeAxis) -> Any:
    begin = _moment(axis.start)
    span = Span(begin, begin + axis.periods * axis.mtu_s)
    return reads.readings(live, reads.numbers(live, [participant]), span, most=axis.periods)


def _checked(participant: str, kept: Sequence[Row[Any]], *, axis: TimeAxis, facts: MeterFacts) -> SeriesCheck:
    terms = facts.terms
    rows = [row for row in kept if row.source not in OWN_ESTIMATES]
    start = np.array([terms.begins(row.period) for row in rows], "datetime64[s]")
    found = check_readings(
        MeterReadings(
            point=np.full(len(rows), participant),
            start=start,
            duration_s=np.full(len(rows), terms.mtu_s),
            import_wh=np.array([row.import_wh for row in rows], np.int64),
            export_wh=np.array([row.export_wh for row in rows], np.int64),
            source=np.array("kept"),
            received=start + terms.mtu_s,
            quality=np.array(
                ["estimated" if row.quality == ESTIMATED else "measured" for row in rows], np.str_
            ),
        ),
        axis,
        points=(participant,),
        capacity_kw=facts.capacity_kw,
    )
    measured = int(found.measured.sum())
    estimated = sum(row.quality == ESTIMATED for row in kept)
    begin = _moment(axis.start)
    return SeriesCheck(
        participant=participant,
        begin=utc(begin),
        end=utc(begin + axis.periods * axis.mtu_s),
        periods=axis.periods,
        measured=measured,
        estimated=estimated,
        usable=bool(found.usable[0]),
        findings=list(_told(found.findings)),
    )


def _told(findings: Iterable[MeterFinding]) -> Iterable[SeriesFinding]:
    for one in findings:
        yield SeriesFinding(
            rule=one.rule,
            begin=utc(_moment(one.start)),
            end=utc(_moment(one.end)),
            value=one.value,
            limit=None if np.isnan(one.limit) else one.limit,
            readings=one.readings,
            done=one.done,
        )
