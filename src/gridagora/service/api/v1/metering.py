"""Meter readings: single, many at once as JSON or CSV, and what counts."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from gridagora.service.api.jobs import accepted
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.bids import validated
from gridagora.service.api.v1.findings import Read
from gridagora.service.api.v1.parts import MOST_TOLD, Tally, sound_rows, take_in_parts
from gridagora.service.api.v1.readings_in import (
    LARGE_FILE,
    by_rules,
    columns_of,
    command_of,
    known_rows,
    of_file,
    row_by_row,
)
from gridagora.service.api.v1.tools import AskedId, AskedSpan, Live, TheMarket, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here, Service
from gridagora.service.headers import Command, Repeatable
from gridagora.service.jobs import Progress, Work
from gridagora.service.limits import JSON, media_type, parse_json, takes
from gridagora.service.models.jobs import JobState
from gridagora.service.models.metering import (
    MOST_READINGS,
    MOST_ROWS,
    BulkReadings,
    ManyReadings,
    MeterFinding,
    NewReading,
    Reading,
    ReadingsAnswer,
)
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.service.settings import MIB

api = router("meter readings")
WORDS = ("measured", "estimated", "corrected")
CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ENDINGS = {CSV: ".csv", XLSX: ".xlsx"}
MOST_BODY = 32 * MIB
LARGE_JSON = 4 * MIB
"""Bytes of a body beyond which it is read in a job."""

Writer = Annotated[Caller, needs("readings.write")]
_BULK = TypeAdapter(BulkReadings)
_MANY = TypeAdapter(ManyReadings)
_ROWS = TypeAdapter(list[NewReading])


@api.post("/readings", status_code=201, summary="Send a reading")
async def reading(
    *, live: TheMarket, service: Here, body: NewReading, caller: Writer, repeat: Repeatable
) -> ReadingsAnswer:
    """Take one reading; a later one of the same period takes its place, and the older stays in the log."""
    told = command_of(live, caller, [body])
    read = await service.store.run(partial(by_rules, live, told, [body.signature or ""]))
    return await _taken(live, read, repeat=repeat)


@api.post(
    "/readings/bulk",
    status_code=201,
    response_model=ReadingsAnswer,
    summary="Send many readings",
    responses={202: {"model": JobState, "description": "For very many: a job"}},
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
                XLSX: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
@takes(JSON, CSV, XLSX, most_bytes=MOST_BODY, unread_bytes=LARGE_JSON)
async def bulk(
    *, live: TheMarket, service: Here, request: Request, caller: Writer, repeat: Repeatable
) -> Any:
    """Take up to 10,000 readings, all or none, with every fault; or up to 200,000 in a job.

    A CSV or Excel file is read and checked as in the how-to page on meter data: a row per reading, or a
    column per meter.  Its points are participants or numbers of meters.  What the rules find doubtful is not
    taken and told as a finding.  Excel, more than 10,000 readings, bodies above 4 MiB (files 1 MiB) and
    ``Prefer: respond-async`` become a job, in which each reading is taken or refused by itself.
    """
    body, kind = await request.body(), media_type(request)
    is_long = "respond-async" in request.headers.get("prefer", "")
    if kind != JSON:
        if not is_long and kind == CSV and len(body) <= LARGE_FILE:
            return await _taken(
                live, await service.store.run(partial(of_file, live, caller, body)), repeat=repeat
            )
        work: Work = partial(
            _file_in_parts, live=live, caller=caller, body=body, ending=ENDINGS[kind], repeat=repeat
        )
    else:
        told = await request.json() if 0 < len(body) <= LARGE_JSON else None
        rows = told.get("readings") if isinstance(told, dict) else None
        is_many = isinstance(rows, list) and len(rows) > MOST_READINGS
        if not (is_long or is_many or len(body) > LARGE_JSON):
            return await _taken(live, await _of_json(live, service, caller=caller, told=told), repeat=repeat)
        work = partial(_json_in_parts, live=live, caller=caller, body=body, repeat=repeat)
    caller.only((), live.subject)  # the work asks for each participant
    return await accepted(service, caller, "readings", work=work, repeat=repeat, held=len(body))


async def _of_json(live: Live, service: Service, *, caller: Caller, told: Any) -> Read:
    """Return the readings of a body that is taken whole or not at all."""
    body = validated(_BULK, told)
    signatures = [one.signature or "" for one in body.readings]
    asked = command_of(live, caller, body.readings)
    read: Read = await service.store.run(partial(by_rules, live, asked, signatures))
    return read


async def _taken(live: Live, read: Read, *, repeat: Repeatable) -> ReadingsAnswer:
    """Have readings taken, and note and tell what was found in them and in those that are left out."""
    done = await live.do(read.command, repeat)
    noting = read.note(live, repeat)
    if noting is not None:
        await live.do(*noting)
    findings = [_finding(one) for one in read.findings]
    return ReadingsAnswer(taken=len(read.command.period), at=utc(done.events[0].at), findings=findings)


def _json_in_parts(
    progress: Progress, *, live: Live, caller: Caller, body: bytes, repeat: Command
) -> dict[str, Any]:
    """Take the readings of a JSON body one by one; called in the thread of jobs."""
    told = validated(_MANY, parse_json(body))
    tally = Tally(total=len(told.readings))
    sound, numbers = sound_rows(_ROWS, told.readings, "readings", tally=tally)
    rows = list(zip(numbers, sound, strict=True))
    good, periods = known_rows(live, caller, rows, tally=tally)
    if not good:
        return tally.document()
    command = columns_of(live, caller, [one for _, one in good], periods=periods)
    signatures = [one.signature or "" for _, one in good]
    read, kept = row_by_row(live, command, signatures, numbers=[n for n, _ in good], tally=tally)
    return _in_parts(live, read, repeat, place_of=lambda row: f"readings[{kept[row]}]", tally=tally,
                     progress=progress)  # fmt: skip


def _file_in_parts(
    progress: Progress, *, live: Live, caller: Caller, body: bytes, ending: str, repeat: Command
) -> dict[str, Any]:
    """Take the readings of a file one by one; called in the thread of jobs."""
    read = of_file(live, caller, body, ending=ending, most=MOST_ROWS)
    command, terms = read.command, live.terms
    who, period = np.asarray(command.participant), np.asarray(command.period)

    def place_of(row: int) -> str:
        return f"{command.participants[who[row]]} {utc(terms.begins(int(period[row]))):%Y-%m-%dT%H:%MZ}"

    tally = Tally(total=len(period))
    return _in_parts(live, read, repeat, place_of=place_of, tally=tally, progress=progress)


def _in_parts(
    live: Live,
    read: Read,
    repeat: Command,
    *,
    place_of: Callable[[int], str],
    tally: Tally,
    progress: Progress,
) -> dict[str, Any]:
    """Take what the rules left, note what they found, and return the result of the job."""
    take_in_parts(live, read.command, repeat, place_of=place_of, tally=tally, progress=progress)
    noting = read.note(live, repeat)
    if noting is not None:
        command, key = noting
        live.market.submit(command, key=key.key, request=key.request).result()
    findings = [_finding(one).model_dump(mode="json") for one in read.findings[:MOST_TOLD]]
    return tally.document() | {"findings": findings}


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
    participant: AskedId = None,
) -> Page[Reading]:
    """Return the reading that counts for each participant and period."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    key = page.after_pair()
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
