"""Proofs: a Merkle tree for each local day over all postings booked and all trades settled on it."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gridagora.adapters.sql.day_trees import DayTree, day_tree
from gridagora.ledger.records import checkpoint
from gridagora.service.api.v1.accounts import number_of
from gridagora.service.api.v1.months import local_day
from gridagora.service.api.v1.tools import Live, TheMarket, wrong
from gridagora.service.auth.needs import Caller, needs, public
from gridagora.service.context import Here
from gridagora.service.models.accounts import Proof, ProofRoot, Proofs
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("proofs")
FORMAT = "gridagora-proofs-1"
MOST_DAYS = 62
KEPT_TREES = 400
Day = Annotated[date | None, Query(examples=["2026-01-31"])]


class Trees:
    """Trees of days that are over; those that were not asked for longest are forgotten."""

    def __init__(self) -> None:
        self._made: OrderedDict[date, DayTree] = OrderedDict()

    def of(self, live: Live, day: date) -> DayTree:
        """Return the tree of a day; called in a thread."""
        found = self._made.get(day)
        if found is None:
            over = day < _by_log(live)
            with live.market.database.reading() as connection:
                found = day_tree(connection, live.number, live.terms, day=day)
            if over:
                self._made[day] = found
                while len(self._made) > KEPT_TREES:
                    self._made.popitem(last=False)
        return found


def _days(live: Live, first: date | None, last: date | None) -> list[date]:
    """Return the days asked for: one day, or up to a month."""
    today = local_day(live, live.now())
    opened = local_day(live, live.terms.session(live.state.first).opens)
    end = min(last or first or today, today)
    begin = max(first or end, opened)
    if (end - begin).days >= MOST_DAYS:
        raise wrong("time_invalid", "from", str(begin), fix=f"ask for at most {MOST_DAYS} days at once")
    return [begin + timedelta(days=k) for k in range((end - begin).days + 1)]


@api.get("/proofs/roots", summary="Roots of days")
@public
async def roots(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    first: Day = None,
    last: Day = None,
) -> Page[ProofRoot]:
    """Return the heads of the trees of days, today's as it is now; publish those of days that are over."""
    after = page.after(str)
    days = [day for day in _days(live, first, last) if after is None or day.isoformat() > str(after[0])]
    today = _by_log(live)
    trees = await service.store.run(partial(_of_days, live, days[: page.fetch]))
    return page.page(response, [_root(live, one, today=today) for one in trees], key=lambda one: (one.day,))


@api.get("/proofs", summary="Proofs of a participant's records")
async def proofs(
    *,
    live: TheMarket,
    service: Here,
    participant: Annotated[str, Query(max_length=200)],
    caller: Annotated[Caller, needs("accounts.read")],
    first: Day = None,
    last: Day = None,
) -> Proofs:
    """Return the records of a participant on some days with the proof that each is in its day's tree."""
    number_of(live, caller, participant)
    today = _by_log(live)
    trees: list[DayTree] = await service.store.run(partial(_of_days, live, _days(live, first, last)))
    return Proofs(
        format=FORMAT,
        run=live.market.name,
        participant=participant,
        roots=[_root(live, one, today=today) for one in trees],
        records=[
            Proof(
                day=one.day,
                index=index,
                salt=one.salts[index].hex(),
                record=dict(record),
                path=[value.hex() for value in one.tree.inclusion(index)],
            )
            for one in trees
            for index, (who, record) in enumerate(one.records)
            if who == participant
        ],
    )


def _of_days(live: Live, days: Sequence[date]) -> list[DayTree]:
    trees = live.trees = live.trees or Trees()
    return [trees.of(live, day) for day in days]


def _by_log(live: Live) -> date:
    """Return the day of the last event: days before it are over, whatever is on its way."""
    return local_day(live, live.state.at)


def _root(live: Live, one: DayTree, *, today: date) -> ProofRoot:
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in live.market.name)
    root = one.tree.root
    return ProofRoot(
        day=one.day,
        size=one.tree.size,
        over=str(one.day) < today.isoformat(),
        root=root.hex(),
        checkpoint=checkpoint(f"gridagora/{name}/{one.day}", one.tree.size, root),
    )
