"""The audit log: who did what, and whether the log was ever changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from gridagora.service.api.jobs import accepted
from gridagora.service.auth import audit
from gridagora.service.auth.audit import Entry
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.context import Here
from gridagora.service.jobs import Progress
from gridagora.service.models.jobs import JobState
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.service.texts import Model

api = router("audit")

Reader = Annotated[Caller, needs("audit.read")]


class AuditEntry(Model):
    """An entry; `hash` binds it to the one before, `outcome` is done, refused or failed."""

    seq: int
    at: datetime
    actor: str
    organisation: str
    action: str
    object: str
    outcome: str
    address: str
    detail: str
    hash: str


@api.get("/audit", summary="The audit log")
async def entries(
    *,
    page: AskedPage,
    response: Response,
    service: Here,
    caller: Reader,
    actor: Annotated[str | None, Query(max_length=100, description="Only what one did")] = None,
) -> Page[AuditEntry]:
    """Return entries, the newest first."""
    after = page.after(int)
    before = None if after is None else int(after[0])

    def work() -> Sequence[Entry]:
        with service.desk.reading() as connection:
            return audit.entries(connection, before=before, limit=page.fetch, actor=actor)

    found = await service.store.run(work)
    told = [AuditEntry(**{name: getattr(one, name) for name in AuditEntry.model_fields}) for one in found]
    return page.page(response, told, key=lambda one: (one.seq,))


@api.post(
    "/audit/verifications", status_code=202, response_model=JobState, summary="Check that the log is whole"
)
async def verification(service: Here, caller: Reader) -> Response:
    """Recompute the chain of all entries, which is long work: the answer names a job."""

    def work(progress: Progress) -> Mapping[str, Any]:
        with service.desk.reading() as connection:
            count, fault = audit.verify(connection, progress)
        return {"entries": count, "whole": not fault, "fault": fault}

    return await accepted(service, caller, "audit.verification", work=work)
