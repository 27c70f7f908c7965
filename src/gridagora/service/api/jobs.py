"""Jobs: the state of long work."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from starlette.responses import JSONResponse, Response

from gridagora.service.auth.audit import Note
from gridagora.service.auth.needs import Caller, Refusal, needs
from gridagora.service.auth.rights import Subject
from gridagora.service.context import Here, Service
from gridagora.service.headers import Command
from gridagora.service.jobs import Job, Progress, Work
from gridagora.service.models.jobs import JobState
from gridagora.service.routes import PREFIX, router

api = router("jobs")


def _told(job: Job) -> JobState:
    return JobState(**{name: getattr(job, name) for name in JobState.model_fields})


async def accepted(
    service: Service,
    caller: Caller,
    kind: str,
    *,
    work: Work,
    repeat: Command | None = None,
    held: int = 0,
) -> Response:
    """Take on long work for a caller and return the answer 202 with where to ask for it.

    Parameters
    ----------
    service : that does it
    caller : whose the job will be
    kind : a word for what it is
    work : called in a thread with a progress callback (done, total); returns the result as JSON values
    repeat : idempotency key: the same request again is the same job
    held : bytes that the work keeps while it waits
    """

    def noted(progress: Progress) -> Mapping[str, Any]:
        try:
            return work(progress)
        except Refusal as refusal:
            who, action = refusal.identity, refusal.action
            outcome, detail = "refused", {"job": kind}
            service.desk.note(
                Note(
                    actor=who.id, organisation=who.organisation, action=action, outcome=outcome, detail=detail
                )
            )
            raise

    key, request = ("", b"") if repeat is None else (repeat.key, repeat.request)
    start = partial(service.jobs.start, caller.identity.id, kind, noted, key=key, request=request, held=held)
    job = await service.store.run(start)
    where = f"{PREFIX}/jobs/{job.id}"
    return JSONResponse(_told(job).model_dump(mode="json"), status_code=202, headers={"Location": where})


@api.get("/jobs/{id}", summary="State of a job")
async def job(
    *,
    id: str,
    response: Response,
    service: Here,
    caller: Annotated[Caller, needs("jobs.read")],
) -> JobState:
    """Return how far a job is, and its result or problem when it has ended."""
    found: Job = await service.store.run(partial(service.jobs.get, id))
    caller.require(Subject(owner=found.owner))
    if found.status in ("waiting", "running"):
        response.headers["Retry-After"] = "1"
    return _told(found)


@api.delete("/jobs/{id}", summary="Cancel a job")
async def cancel(*, id: str, service: Here, caller: Annotated[Caller, needs("jobs.write")]) -> JobState:
    """Cancel a job that has not ended: what was done of it stays; sent again it goes on where it was."""
    found: Job = await service.store.run(partial(service.jobs.get, id))
    caller.require(Subject(owner=found.owner))
    return _told(await service.store.run(partial(service.jobs.cancel, id)))
