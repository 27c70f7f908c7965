"""Deliveries, settlements, and disputes about them."""

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from starlette.responses import Response

from gridagora.engine.live.commands import DecideDispute, RaiseDispute
from gridagora.engine.live.state import Dispute as Raised
from gridagora.engine.live.state import SessionState
from gridagora.model.columns import SettlementLines
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.tools import (
    AskedId,
    AskedSpan,
    Live,
    TheMarket,
    known,
    named,
    new_id,
    paged,
    utc,
)
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS, Subject
from gridagora.service.context import Here
from gridagora.service.headers import Repeatable
from gridagora.service.models.base import Count, Id, money
from gridagora.service.models.metering import Delivery, Dispute, DisputeDecision, NewDispute, SettlementLine
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("settlement")
Reader = Annotated[Caller, needs("settlements.read")]


@api.get("/deliveries", summary="List deliveries")
async def deliveries(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: AskedId = None,
) -> Page[Delivery]:
    """Return what was metered beside what was scheduled, for settled periods."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    key = page.after_pair()
    rows = await reads.fetch(service, live, reads.deliveries(live, names, span, after=key, most=page.fetch))
    cut = page.page(response, rows, key=lambda row: (row.period, row.participant))
    called, terms = reads.Names(live), live.terms
    items = [
        Delivery(
            participant=called[row.participant],
            session=terms.session_of(row.period),
            period=row.period,
            start=utc(terms.begins(row.period)),
            scheduled_wh=row.traded_wh,
            metered_wh=row.metered_wh,
            difference_wh=row.metered_wh - row.traded_wh,
        )
        for row in cut.items
    ]
    return Page(items=items, next=cut.next)


@api.get("/settlements", summary="List settlements")
async def settlements(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    participant: AskedId = None,
    session: Annotated[Count | None, Query()] = None,
) -> Page[SettlementLine]:
    """Return what each settled session came to for each participant, corrections included; + received."""
    names = reads.numbers(live, reads.whose(live, caller, participant))
    key = page.after_pair()
    asked = reads.settlements(live, names, span, session=session, after=key, most=page.fetch)
    rows = await reads.fetch(service, live, asked)
    cut = page.page(response, rows, key=lambda row: (row.session, row.participant))
    return Page(items=_lines(live, cut.items), next=cut.next)


def _lines(live: Live, rows: Iterable[Any]) -> list[SettlementLine]:
    called, found = reads.Names(live), []
    for row in rows:
        sums = {name: int(getattr(row, name)) for name in (*reads.ENERGY, *reads.MONEY)}
        total = sum(sums[name] for name in reads.MONEY)
        found.append(
            SettlementLine(
                participant=called[row.participant],
                session=row.session,
                settled_at=utc(row.settled),
                total=money(total),
                total_micro=total,
                corrections=_corrections(live.state.sessions.get(row.session), called[row.participant]),
                **sums,
            )
        )
    return found


def _corrections(kept: SessionState | None, participant: str) -> int:
    """Return how often what a participant is settled was corrected; corrections of others tell it nothing."""
    if kept is None or not kept.corrections:
        return 0
    code = kept.closed.participants.index(participant)
    columns = SettlementLines.__dataclass_fields__
    return sum(
        any(np.any(getattr(correction.lines, name)[:, code]) for name in columns)
        for correction in kept.corrections
    )


@api.get("/disputes", summary="List disputes")
async def disputes(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    caller: Annotated[Caller, needs("disputes.read")],
    participant: AskedId = None,
    open: Annotated[bool | None, Query()] = None,  # noqa: A002 - the name of the filter
) -> Page[Dispute]:
    """Return disputes, by their ids."""
    found = sorted(live.state.disputes.items())
    mine = caller.only(found, lambda one: live.subject(one[1].raised.participant))
    mine = [one for one in mine if participant in (None, one[1].raised.participant)]
    named(live, caller, participant, found=mine)
    rows = [one for one in mine if open in (None, one[1].open)]
    return paged(page, response, rows, key=lambda one: (one[0],), make=_told, kinds=(str,))


@api.post("/disputes", status_code=201, summary="Dispute a settlement")
async def raise_dispute(
    *,
    live: TheMarket,
    body: NewDispute,
    response: Response,
    caller: Annotated[Caller, needs("disputes.write")],
    repeat: Repeatable,
) -> Dispute:
    """Dispute the settlement of a session within the time that the market allows."""
    caller.require(live.subject(body.participant))
    command = RaiseDispute(
        at=live.now(),
        actor=caller.identity.id,
        id=new_id(body.id),
        session=body.session,
        participant=body.participant,
        reason=body.reason,
    )
    raised: Any = (await live.do(command, repeat)).events[0]
    response.headers["Location"] = f"/api/v1/disputes/{raised.id}"
    return _told((raised.id, Raised(raised=raised)))


@api.get("/disputes/{id}", summary="Read a dispute")
async def dispute(live: TheMarket, id: Id, caller: Annotated[Caller, needs("disputes.read")]) -> Dispute:
    """Return a dispute."""
    found = live.state.disputes.get(id)
    caller.require(Subject() if found is None else live.subject(found.raised.participant))
    return _told((id, known(found, f"dispute {id}")))


@api.post("/disputes/{id}/decision", status_code=201, summary="Decide on a dispute")
async def decide(
    *,
    live: TheMarket,
    id: Id,
    body: DisputeDecision,
    caller: Annotated[Caller, needs("disputes.decide")],
    repeat: Repeatable,
) -> Dispute:
    """Decide on a dispute; what other readings change is booked as further entries, nothing is edited."""
    caller.require(NOBODYS)
    known(live.state.disputes.get(id), f"dispute {id}")
    command = DecideDispute(
        at=live.now(),
        actor=caller.identity.id,
        id=id,
        accepted=body.accepted,
        settle_again=body.settle_again,
        reason=body.reason,
    )
    await live.do(command, repeat)
    return _told((id, live.state.disputes[id]))


def _told(one: tuple[str, Raised]) -> Dispute:
    raised = one[1].raised
    return Dispute(
        id=raised.id,
        session=raised.session,
        participant=raised.participant,
        reason=raised.reason,
        raised_at=utc(raised.at),
        open=one[1].open,
    )
