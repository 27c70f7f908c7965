"""Proofs: a Merkle tree for each local day over all postings booked and all trades settled on it.

Records and trees are those of a study (`gridagora.ledger.records`, `gridagora.ledger.merkle`), so the script
of the docs checks them.  A tree is final when its day is over: what is booked later belongs to a later day.
The key of a participant's salts follows from the hash of the event that registered it; who does not hold the
log cannot try records against a root.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
from fastapi import Query
from sqlalchemy import Connection, select
from sqlalchemy.sql import and_
from starlette.responses import Response

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.projections_live import RETAILER
from gridagora.ledger.merkle import MerkleTree
from gridagora.ledger.records import Record, checkpoint, leaf_salt, seal
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.accounts import number_of
from gridagora.service.api.v1.invoices import local_day
from gridagora.service.api.v1.tools import Live, TheMarket, utc, wrong
from gridagora.service.auth.needs import Caller, needs, public
from gridagora.service.context import Here
from gridagora.service.models.accounts import Proof, ProofRoot, Proofs
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router
from gridagora.units import amount_micro

api = router("proofs")
FORMAT = "gridagora-proofs-1"
MOST_DAYS = 31
KEPT_TREES = 400
Day = Annotated[date | None, Query(examples=["2026-01-31"])]


@dataclass(frozen=True, kw_only=True, slots=True)
class DayTree:
    """The records of a day with whose they are, their salts, and the tree over them."""

    day: str
    records: tuple[tuple[str, Record], ...]
    salts: tuple[bytes, ...]
    tree: MerkleTree


class Trees:
    """Trees of days that are over; those that were not asked for longest are forgotten."""

    def __init__(self) -> None:
        self._made: OrderedDict[date, DayTree] = OrderedDict()

    def of(self, live: Live, day: date) -> DayTree:
        """Return the tree of a day; called in a thread."""
        found = self._made.get(day)
        if found is None:
            over = day < local_day(
                live, live.state.at
            )  # by the log: what is on its way may be of the day yet
            with live.market.database.reading() as connection:
                found = _tree(live, connection, day)
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
    trees = await service.store.run(partial(_of_days, live, days[: page.fetch]))
    return page.page(response, [_root(live, one) for one in trees], key=lambda one: (one.day,))


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
    trees: list[DayTree] = await service.store.run(partial(_of_days, live, _days(live, first, last)))
    return Proofs(
        format=FORMAT,
        run=live.market.name,
        participant=participant,
        roots=[_root(live, one) for one in trees],
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


def _root(live: Live, one: DayTree) -> ProofRoot:
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in live.market.name)
    root = one.tree.root
    return ProofRoot(
        day=one.day,
        size=one.tree.size,
        root=root.hex(),
        checkpoint=checkpoint(f"gridagora/{name}/{one.day}", one.tree.size, root),
    )


def _tree(live: Live, connection: Connection, day: date) -> DayTree:
    zone = ZoneInfo(live.terms.timezone)
    begin = int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
    after = day + timedelta(days=1)
    end = int(datetime(after.year, after.month, after.day, tzinfo=zone).timestamp())
    span = begin, end
    records = [*_postings(live, connection, span), *_trades(live, connection, span)]
    keys = _keys(live, connection, {who for who, _ in records})
    label = day.isoformat()
    salts = [leaf_salt(keys[who], label, index) for index, (who, _) in enumerate(records)]
    sealed = [seal(record, salt) for (_, record), salt in zip(records, salts, strict=True)]
    return DayTree(day=label, records=tuple(records), salts=tuple(salts), tree=MerkleTree.of(sealed))


def _postings(live: Live, connection: Connection, span: tuple[int, int]) -> list[tuple[str, Record]]:
    row, event, sum_ = tables.journal.c, tables.events.c, tables.balances.c
    joined = tables.journal.join(tables.events, and_(event.market == row.market, event.seq == row.seq)).join(
        tables.balances, and_(sum_.market == row.market, sum_.account == row.account)
    )
    asked = (
        select(row.seq, row.row, row.entry, row.amount_micro, event.at, sum_.name)
        .select_from(joined)
        .where(row.market == live.number, event.at >= span[0], event.at < span[1])
        .order_by(row.seq, row.row)
    )
    return [
        (
            _owner(one.name),
            {
                "kind": "posting",
                "event": one.seq,
                "row": one.row,
                "entry": one.entry,
                "at": one.at,
                "account": one.name,
                "amount_micro": one.amount_micro,
            },
        )
        for one in connection.execute(asked)
    ]


def _owner(account: str) -> str:
    """Return whose an account is; "" for those of the system, whatever participants are called."""
    kind, _, name = account.partition(":")
    return name if kind in ("wallet", "participant") else ""


def _trades(live: Live, connection: Connection, span: tuple[int, int]) -> list[tuple[str, Record]]:
    trade, step = tables.trades.c, tables.sessions.c
    joined = tables.trades.join(
        tables.sessions, and_(step.market == trade.market, step.session == trade.session)
    )
    asked = select(*tables.trades.columns).select_from(joined)
    asked = asked.where(trade.market == live.number, step.settled >= span[0], step.settled < span[1])
    names, found = reads.Names(live), []
    for one in connection.execute(asked.order_by(trade.session, trade.row)):
        sides = (
            ("buy", one.buyer, one.seller, one.buyer_price_micro, -1),
            ("sell", one.seller, one.buyer, one.seller_price_micro, 1),
        )
        for side, who, other, price, sign in sides:
            if who != RETAILER:
                amount = sign * int(amount_micro(np.int64(one.quantity_wh), np.int64(price)))
                found.append(
                    (names[who], _side(live, one, side, told=(names[who], names[other], price, amount)))
                )
    return found


def _side(live: Live, one: Any, side: str, *, told: tuple[str, str, int, int]) -> Record:
    start = utc(live.terms.begins(one.period))
    return {
        "kind": "trade",
        "trade": f"{one.session}-{one.row}",
        "side": side,
        "participant": told[0],
        "other": told[1],
        "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "quantity_wh": one.quantity_wh,
        "price_micro_per_kwh": told[2],
        "amount_micro": told[3],
    }


def _keys(live: Live, connection: Connection, names: set[str]) -> dict[str, bytes]:
    """Return the key of each name: by the event that registered it, else by the first one."""
    births = {name: live.follower.births.get(("participant", name), 1) for name in names}
    column = tables.events.c
    hashes: dict[int, bytes] = {}
    seqs = sorted(set(births.values()))
    for first in range(0, len(seqs), 500):
        asked = select(column.seq, column.hash).where(
            column.market == live.number, column.seq.in_(seqs[first : first + 500])
        )
        hashes.update((seq, bytes(hashed)) for seq, hashed in connection.execute(asked))
    return {
        name: hmac.digest(hashes[seq], hashlib.sha256(name.encode()).digest(), "sha256")
        for name, seq in births.items()
    }
