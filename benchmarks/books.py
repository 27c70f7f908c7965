"""Holds a market's books against what was acknowledged: by the API, then in the database."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from benchmarks.served import NAMES, Client
from benchmarks.traffic import BULK, Ledger

DEPOSITED = 10**12
"""What `served.seed` gives everybody, micro-units."""

ONCE = ("trade", "retail", "imbalance", "network", "taxes", "hold")
"""Postings of which a session books one at most on each account of a participant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Books:
    """What a market holds at the end, all of it accounted for."""

    events: int
    bids: int
    closed: int
    settled: int
    trades: int
    payments: int


def check_accounts(port: int, ledger: Ledger) -> None:
    """Hold every account, posting by posting, against what clients know of it: by the API."""
    with Client(port, "op") as client:
        for id_, known in sorted(ledger.trades.items())[:300]:
            status, told = client.get(f"/api/v1/trades/{id_}")
            assert (status, told) == (200, known)
        trades = client.all("/api/v1/trades")
        settlements = {(one["participant"], one["session"]): one for one in client.all("/api/v1/settlements")}
        assert ledger.settlements.items() <= settlements.items()
        assert ledger.trades.items() <= {one["id"]: one for one in trades}.items()
        for name in NAMES:
            account = client.get(f"/api/v1/accounts/{name}")[1]
            postings = client.all(f"/api/v1/accounts/{name}/postings")
            _check_account(name, account, postings, ledger=ledger)
            _check_trades(name, postings, trades, settlements=settlements)


def _check_account(name: str, account: Any, postings: list[Any], *, ledger: Ledger) -> None:
    """Check an account: it is the sum of its postings, and every payment is there once, with its amount."""
    wallet = [one for one in postings if one["account"] == f"wallet:{name}"]
    bill = [one for one in postings if one["account"] == f"participant:{name}"]
    assert len(wallet) + len(bill) == len(postings)
    assert account["wallet_micro"] == sum(one["amount_micro"] for one in wallet), name
    assert account["bill_micro"] == sum(one["amount_micro"] for one in bill), name
    paid = [("", DEPOSITED)]
    for kind, sign in (("pay", 1), ("draw", -1)):
        for key in ledger.acknowledged(kind):
            path, body = ledger.sent[key]
            if f"/{name}/" in path:
                paid.append((key, sign * body["amount_micro"]))
    booked = [
        (one["reference"], one["amount_micro"]) for one in wallet if one["what"] in ("deposit", "withdrawal")
    ]
    assert sorted(booked) == sorted(paid), name


def _check_trades(name: str, postings: list[Any], trades: list[Any], *, settlements: Any) -> None:
    """Check that a session booked what its trades say, once."""
    own: dict[str, int] = defaultdict(int)
    for one in trades:
        if {one["buyer"], one["seller"]} <= set(NAMES):  # not with the retailer
            assert one["price_micro"] == one["seller_price_micro"]
            where = f"session {one['session']}"
            own[where] += one["amount_micro"] * ((one["seller"] == name) - (one["buyer"] == name))
    seen = set()
    for one in postings:
        which = (one["account"], one["what"], one["reference"])
        assert which not in seen or one["what"] not in ONCE, which
        seen.add(which)
        if one["what"] == "trade":
            number = int(one["reference"].split()[1])
            settled = settlements[name, number]["energy_micro"]
            assert one["amount_micro"] == settled == own[one["reference"]], which


def check_books(url: str, ledger: Ledger) -> Books:
    """Hold the database against what was acknowledged: chain, read tables, every bid, every cent."""
    from gridagora.adapters.sql.audit import replay, verify
    from gridagora.adapters.sql.database import Database
    from gridagora.model.events import SessionSettled
    from gridagora.model.live_events import BidsTaken, GateClosed, MoneyMoved

    with Database(url) as database:
        assert not verify(database, "small").findings
        assert not replay(database, "small").findings
        events = list(database.events("small"))
        balances, bids, trades = _counted(database)
    _check_bids([event for event in events if isinstance(event, BidsTaken)], ledger, bids)
    paid = {
        kind: sum(ledger.sent[key][1]["amount_micro"] for key in ledger.acknowledged(kind))
        for kind in ("pay", "draw")
    }
    moved = [event for event in events if isinstance(event, MoneyMoved)]
    came, left = (
        sum(int(abs(e.amount).max()) for e in moved if e.kind == kind) for kind in ("deposit", "withdrawal")
    )
    assert (came, left) == (paid["pay"] + len(NAMES) * DEPOSITED, paid["draw"])
    assert balances["bank"] == left - came
    assert sum(balances.values()) == 0
    settled = [event.session for event in events if isinstance(event, SessionSettled)]
    closed = [event.session for event in events if isinstance(event, GateClosed)]
    for numbers in (settled, closed):  # each once, in their order
        first = min(numbers, default=0)
        assert numbers == list(range(first, first + len(numbers)))
    return Books(
        events=len(events),
        bids=bids,
        closed=len(closed),
        settled=len(settled),
        trades=trades,
        payments=len(ledger.acknowledged("pay", "draw")),
    )


def _counted(database: Any) -> tuple[dict[str, int], int, int]:
    """Return balances by account, and how many bids and trades stand in the read tables."""
    from sqlalchemy import func, select

    from gridagora.adapters.sql import tables

    balance = tables.balances.c
    with database.reading() as connection:
        balances = dict(connection.execute(select(balance.name, balance.amount_micro)).all())
        bids, trades = (
            int(connection.scalar(select(func.count()).select_from(table)) or 0)
            for table in (tables.live_bids, tables.trades)
        )
    return balances, bids, trades


def _check_bids(taken: list[Any], ledger: Ledger, bids: int) -> None:
    """Check that every bid that was acknowledged is there, as it was sent, and that there is no other."""
    events = {event.number: event for event in taken}
    single, bulk = ledger.acknowledged("bid"), ledger.acknowledged("bulk")
    numbers = [told["number"] for told in single.values()]
    numbers += [told["first_number"] for told in bulk.values()]
    assert sorted(numbers) == sorted(events)  # none lost, none twice
    assert bids == len(single) + BULK * len(bulk)
    for key, told in single.items():
        event, body = events[told["number"]], ledger.sent[key][1]
        assert event.participant == body["participant"]
        assert _lines(event) == [(body["period"], body["price_micro"], body["quantity_wh"])], key
    for key, told in bulk.items():
        event, body = events[told["first_number"]], ledger.sent[key][1]
        assert (event.participant, event.session) == (body["participant"], body["session"])
        asked = [(one["period"], one["price_micro"], one["quantity_wh"]) for one in body["bids"]]
        assert _lines(event) == asked, key


def _lines(event: Any) -> list[tuple[int, int, int]]:
    columns = (event.period, event.price, event.quantity)
    return list(zip(*(column.tolist() for column in columns), strict=True))
