"""Meter readings: single, many at once as JSON or CSV, and what counts."""

import tempfile
from collections.abc import Sequence, Sized
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from gridagora.adapters.meters.files import read_meter_file
from gridagora.adapters.meters.signing import broken_signatures
from gridagora.engine.live.commands import TakeReadings
from gridagora.engine.live.metered import MeterFacts, facts_of, sound_readings
from gridagora.engine.live.refusals import refusal
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.live import LiveTerms
from gridagora.model.metering import LARGEST_INTERVAL_WH, MeterReadings
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.bids import period_of, validated
from gridagora.service.api.v1.tools import AskedSpan, Live, TheMarket, seconds, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here
from gridagora.service.headers import Repeatable
from gridagora.service.limits import JSON, takes
from gridagora.service.models.metering import (
    MOST_READINGS,
    BulkReadings,
    MeterFinding,
    NewReading,
    Reading,
    ReadingsAnswer,
)
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.service.settings import MIB
from gridagora.settlement.metering.rules import MeterFinding as Found

api = router("meter readings")
QUALITY = {"measured": 0, "estimated": 1, "corrected": 2}
WORDS = ("measured", "estimated", "corrected")
CSV = "text/csv"
Writer = Annotated[Caller, needs("readings.write")]
_BULK = TypeAdapter(BulkReadings)


@api.post("/readings", status_code=201, summary="Send a reading")
async def reading(
    *, live: TheMarket, service: Here, body: NewReading, caller: Writer, repeat: Repeatable
) -> ReadingsAnswer:
    """Take one reading; a later one of the same period takes its place, and the older stays in the log."""
    told = _command(live, caller, [body])
    command, findings = await service.store.run(partial(_by_rules, live, told, [body.signature or ""]))
    return await _taken(live, command, findings, repeat=repeat)


@api.post(
    "/readings/bulk",
    status_code=201,
    summary="Send many readings",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": BulkReadings.model_json_schema(ref_template="#/components/schemas/{model}")},
                CSV: {
                    "schema": {"type": "string"},
                    "example": "point,start,duration_s,import_wh,export_wh\n"
                    "ann,2026-01-01T00:00Z,900,120,0\n",
                },
            },
        }
    },
)
@takes(JSON, CSV, most_bytes=8 * MIB)
async def bulk(
    *, live: TheMarket, service: Here, request: Request, caller: Writer, repeat: Repeatable
) -> ReadingsAnswer:
    """Take many readings: all or none, with every fault.

    A CSV file is read and checked as in the how-to page on meter data: a row per reading, or a column per
    meter.  Its points are participants or numbers of meters.  What the rules find doubtful is not taken and
    told as a finding.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == CSV:
        content = await request.body()
        command, findings = await service.store.run(partial(_of_file, live, caller, content))
    else:
        told = validated(_BULK, await request.json() if await request.body() else None)
        signatures = [one.signature or "" for one in told.readings]
        asked = _command(live, caller, told.readings)
        command, findings = await service.store.run(partial(_by_rules, live, asked, signatures))
    return await _taken(live, command, findings, repeat=repeat)


async def _taken(
    live: Live, command: TakeReadings, findings: list[MeterFinding], *, repeat: Repeatable
) -> ReadingsAnswer:
    """Have readings taken, and tell what was found in them and in those that are left out."""
    done = await live.do(command, repeat)
    return ReadingsAnswer(taken=len(command.period), at=utc(done.events[0].at), findings=findings)


def _command(live: Live, caller: Caller, rows: list[NewReading]) -> TakeReadings:
    terms, faults = live.terms, list[Fault]()
    periods = [_period(one, terms, row, faults=faults) for row, one in enumerate(rows)]
    names = list(dict.fromkeys(one.participant for one in rows))
    for name in names:
        caller.require(live.subject(name))
    check_faults(faults[:100])
    place = {name: k for k, name in enumerate(names)}
    return TakeReadings(
        at=live.now(),
        actor=caller.identity.id,
        source="api",
        participants=tuple(names),
        participant=np.array([place[one.participant] for one in rows], np.int64),
        period=np.array(periods, np.int64),
        import_wh=np.array([one.import_wh for one in rows], np.int64),
        export_wh=np.array([one.export_wh for one in rows], np.int64),
        quality=np.array([QUALITY[one.quality] for one in rows], np.int64),
    )


def _by_rules(
    live: Live, told: TakeReadings, signatures: list[str]
) -> tuple[TakeReadings, list[MeterFinding]]:
    """Return what the rules of meter data keep of readings; where one is a fault, all, so that it is told."""
    facts = facts_of(live.state, told.participants, told.at)
    period, quality = np.asarray(told.period), np.asarray(told.quality)
    wh = np.stack([told.import_wh, told.export_wh])
    sound = (period >= facts.first) & (period < facts.end) & (wh <= LARGEST_INTERVAL_WH).all(axis=0)
    if not sound.all() or len(facts.participant) < len(told.participants):
        return told, []
    begins = live.terms.epoch + period * live.terms.mtu_s
    readings = MeterReadings(
        point=np.array(told.participants, dtype=np.str_)[told.participant],
        start=begins.astype("datetime64[s]"),
        duration_s=np.full(len(period), live.terms.mtu_s),
        import_wh=wh[0],
        export_wh=wh[1],
        source=np.array("api"),
        received=np.datetime64(told.at, "s"),  # type: ignore[arg-type]  # one value stands for all
        quality=np.where(quality == QUALITY["estimated"], "estimated", "measured"),
        signature=np.array(signatures, dtype=np.str_),
    )
    _check_signatures(readings, facts, place="readings")
    found = sound_readings(readings, facts, at=told.at, actor=told.actor, source=told.source)
    if len(set(zip(np.asarray(told.participant).tolist(), period.tolist(), strict=True))) < len(period):
        return told, []
    names = np.array(told.participants, dtype=np.str_)
    kept = set() if found.command is None else _places(found.command)
    rows = [
        row
        for row, place in enumerate(zip(names[told.participant].tolist(), period.tolist(), strict=True))
        if place in kept
    ]
    _check_any(rows, found.findings)
    command = replace(
        told,
        participant=np.asarray(told.participant)[rows],
        period=period[rows],
        import_wh=wh[0][rows],
        export_wh=wh[1][rows],
        quality=quality[rows],
    )
    return command, [_finding(one) for one in found.findings]


def _places(command: TakeReadings) -> set[tuple[str, int]]:
    who = np.array(command.participants, dtype=np.str_)[command.participant].tolist()
    return set(zip(who, np.asarray(command.period).tolist(), strict=True))


def _check_signatures(readings: MeterReadings, facts: MeterFacts, *, place: str) -> None:
    """Refuse readings of points with a key that carry no signature that holds."""
    fix = "sign with the key that is known of this point"
    check_faults(
        refusal("signature_invalid", f"{place}[{row}]", str(readings.point[row]), fix=fix)
        for row in np.flatnonzero(broken_signatures(readings, facts.keys))[:100].tolist()
    )


def _check_any(rows: Sized, findings: Sequence[Found]) -> None:
    """Refuse readings of which the rules keep none: an answer that nothing was taken would be overlooked."""
    if not len(rows):
        fix = "correct the readings"
        raise InputError(
            [
                refusal("reading_out_of_bounds", "readings", one.rule, reason=str(one), fix=fix)
                for one in findings[:100]
            ]
            or [refusal("no_rows", "readings", 0, fix="send one reading or more")]
        )


def _period(one: NewReading, terms: LiveTerms, row: int, *, faults: list[Fault]) -> int:
    if (one.period is None) == (one.start is None):
        fix = "write one of period and start"
        faults.append(refusal("field_missing", f"readings[{row}].period", one.period, fix=fix))
        return 0
    if one.start is not None:
        return period_of(terms, seconds(one.start), f"readings[{row}].start", faults=faults)
    return int(one.period or 0)


def _of_file(live: Live, caller: Caller, content: bytes) -> tuple[TakeReadings, list[MeterFinding]]:
    """Return the readings of a CSV file that the rules of meter data keep, and what they found."""
    with tempfile.TemporaryDirectory(prefix="gridagora-") as folder:
        path = Path(folder) / "readings.csv"
        path.write_bytes(content)
        file, faults = read_meter_file(path)
    if file is None or faults:
        raise InputError(faults)
    told, now = file.readings, live.now()
    facts = facts_of(live.state, told.point.tolist(), now)
    fix = "name a participant, or the meter of an active connection point"
    check_faults(
        refusal("participant_unknown", "point", point, fix=fix)
        for point in sorted(set(told.point.tolist()) - facts.participant.keys())[:100]
    )
    for name in sorted(set(facts.participant.values())):
        caller.require(live.subject(name))
    _check_signatures(told, facts, place="row")
    found = sound_readings(told, facts, at=now, actor=caller.identity.id, source="file")
    _check_any([] if found.command is None else found.command.period, found.findings)
    command: TakeReadings = found.command  # type: ignore[assignment]
    if len(command.period) > MOST_READINGS:
        fix = f"send at most {MOST_READINGS}"
        raise InputError([refusal("no_rows", "readings", len(command.period), fix=fix)])
    return command, [_finding(one) for one in found.findings]


def _finding(found: Any) -> MeterFinding:
    start = getattr(found, "start", None)
    moment = None if start is None or np.isnat(start) else utc(int(start.astype("datetime64[s]").astype(int)))
    return MeterFinding(rule=found.rule, point=str(found.point), first=moment, done=found.done)


@api.get("/readings", summary="List readings")
async def readings(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Annotated[Caller, needs("readings.read")],
    participant: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[Reading]:
    """Return the reading that counts for each participant and period."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    after = page.after(int, int)
    key = (-1, -1) if after is None else (int(after[0]), int(after[1]))
    rows = await reads.fetch(service, live, reads.readings(live, names, span, after=key, most=page.fetch))
    cut = page.page(response, rows, key=lambda row: (row.participant, row.period))
    known, terms = reads.Names(live), live.terms
    items = [
        Reading(
            participant=known[row.participant],
            period=row.period,
            start=utc(terms.begins(row.period)),
            import_wh=row.import_wh,
            export_wh=row.export_wh,
            quality=WORDS[row.quality],  # type: ignore[arg-type]
        )
        for row in cut.items
    ]
    return Page(items=items, next=cut.next)
