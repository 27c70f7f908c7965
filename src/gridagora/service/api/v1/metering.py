"""Meter readings: single, many at once as JSON or CSV, and what counts."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from gridagora.adapters.meters.files import read_meter_file
from gridagora.engine.live.commands import TakeReadings
from gridagora.engine.live.context import axis_of
from gridagora.engine.live.refusals import refusal
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.live import LiveTerms
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
from gridagora.settlement.metering.check import check_readings

api = router("meter readings")
QUALITY = {"measured": 0, "estimated": 1, "corrected": 2}
WORDS = ("measured", "estimated", "corrected")
CSV = "text/csv"
LONGEST_PERIODS = 40_000
Writer = Annotated[Caller, needs("readings.write")]
_BULK = TypeAdapter(BulkReadings)


@api.post("/readings", status_code=201, summary="Send a reading")
async def reading(*, live: TheMarket, body: NewReading, caller: Writer, repeat: Repeatable) -> ReadingsAnswer:
    """Take one reading; a later one of the same period takes its place, and the older stays in the log."""
    command = _command(live, caller, [body], source="api")
    done = await live.do(command, repeat)
    return ReadingsAnswer(taken=1, at=utc(done.events[0].at))


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
    findings: list[MeterFinding] = []
    if kind == CSV:
        content = await request.body()
        rows, findings = await service.store.run(partial(_of_file, live, content))
    else:
        told = validated(_BULK, await request.json() if await request.body() else None)
        rows = told.readings
    command = _command(live, caller, rows, source="file" if kind == CSV else "api")
    done = await live.do(command, repeat)
    return ReadingsAnswer(taken=len(rows), at=utc(done.events[0].at), findings=findings)


def _command(live: Live, caller: Caller, rows: list[NewReading], *, source: str) -> TakeReadings:
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
        source=source,
        participants=tuple(names),
        participant=np.array([place[one.participant] for one in rows], np.int64),
        period=np.array(periods, np.int64),
        import_wh=np.array([one.import_wh for one in rows], np.int64),
        export_wh=np.array([one.export_wh for one in rows], np.int64),
        quality=np.array([QUALITY[one.quality] for one in rows], np.int64),
    )


def _period(one: NewReading, terms: LiveTerms, row: int, *, faults: list[Fault]) -> int:
    if (one.period is None) == (one.start is None):
        fix = "write one of period and start"
        faults.append(refusal("field_missing", f"readings[{row}].period", one.period, fix=fix))
        return 0
    if one.start is not None:
        return period_of(terms, seconds(one.start), f"readings[{row}].start", faults=faults)
    return int(one.period or 0)


def _of_file(live: Live, content: bytes) -> tuple[list[NewReading], list[MeterFinding]]:
    """Return the readings of a CSV file that the rules of meter data found sound, and what they found."""
    with tempfile.TemporaryDirectory(prefix="gridagora-") as folder:
        path = Path(folder) / "readings.csv"
        path.write_bytes(content)
        file, faults = read_meter_file(path)
    if file is None or faults:
        raise InputError(faults)
    terms, told = live.terms, file.readings
    if not len(told):
        raise InputError([refusal("no_rows", "readings", 0, fix="send one reading or more")])
    begins = told.start.astype("datetime64[s]").astype(np.int64)
    first = int((begins.min() - terms.epoch) // terms.mtu_s)
    count = int((begins.max() - terms.epoch) // terms.mtu_s) + 1 - first
    if count > LONGEST_PERIODS or first < 0:
        fix = f"send at most {LONGEST_PERIODS} periods from the first of the market on"
        raise InputError([refusal("time_invalid", "start", count, fix=fix)])
    points = tuple(sorted(set(told.point.tolist())))
    who = _participants(live, points)
    checked = check_readings(told, axis_of(terms, first, count), points=points)
    sound = np.argwhere(checked.measured)
    if len(sound) > MOST_READINGS:
        raise InputError([refusal("no_rows", "readings", len(sound), fix=f"send at most {MOST_READINGS}")])
    rows = [
        NewReading.model_construct(
            participant=who[points[point]],
            period=first + int(period),
            start=None,
            import_wh=int(checked.import_wh[point, period]),
            export_wh=int(checked.export_wh[point, period]),
            quality="measured",
        )
        for point, period in sound
    ]
    return rows, [_finding(found) for found in checked.findings]


def _participants(live: Live, points: tuple[str, ...]) -> dict[str, str]:
    """Return the participant of each point: its id, or the number of its meter."""
    register = live.state.register
    meters = {
        str(record.body["meter"]): str(record.body["participant"])
        for record in register.all("connection_point")
        if record.body.get("meter") and record.status == "active"
    }
    found = {p: p if register.get("participant", p) is not None else meters.get(p, "") for p in points}
    fix = "name a participant, or the meter of an active connection point"
    check_faults(
        refusal("participant_unknown", "point", point, fix=fix) for point, name in found.items() if not name
    )
    return found


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
