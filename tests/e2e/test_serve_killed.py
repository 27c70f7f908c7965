"""A served market that is killed while people bid and sessions clear and settle: nothing acknowledged is lost."""

import random
import time

import pytest
from served import NAMES, Client, Ledger, Server, Traffic, seed, settle_unknown
from sqlalchemy import func, select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.model.events import SessionSettled
from gridagora.model.live_events import BidsTaken, GateClosed, MoneyMoved

SPEED = 2_400
"""A session of an hour in 1.5 s."""


def check_books(url, ledger):
    """Hold the database against what was acknowledged."""
    with Database(url) as database:
        assert not verify(database, "small").findings
        assert not replay(database, "small").findings
        events = list(database.events("small"))
        with database.reading() as connection:
            balances = dict(connection.execute(select(tables.balances.c.name, tables.balances.c.amount_micro)).all())
            bids = connection.scalar(select(func.count()).select_from(tables.live_bids))
    taken = {event.number: event for event in events if isinstance(event, BidsTaken)}
    told = {key: answer for key, answer in ledger.done.items() if key.startswith("bid")}
    assert len({answer["number"] for answer in told.values()}) == len(told)
    assert {answer["number"] for answer in told.values()} == set(taken)  # none lost, none twice
    assert bids == len(taken)
    for key, answer in told.items():
        event, body = taken[answer["number"]], ledger.sent[key][1]
        assert (event.participant, int(event.period[0]), int(event.price[0]), int(event.quantity[0])) == (
            body["participant"], body["period"], body["price_micro"], body["quantity_wh"]
        )  # fmt: skip
    paid = sum(ledger.sent[key][1]["amount_micro"] for key in ledger.done if key.startswith("pay"))
    moved = sum(int(e.amount.max()) for e in events if isinstance(e, MoneyMoved) and e.kind == "deposit")
    assert moved == paid + len(NAMES) * 10**12 == -balances["bank"]
    assert sum(balances.values()) == 0
    settled = [event.session for event in events if isinstance(event, SessionSettled)]
    closed = [event.session for event in events if isinstance(event, GateClosed)]
    assert settled == sorted(set(settled)) == list(range(settled[0], settled[0] + len(settled)))
    assert closed == list(range(closed[0], closed[0] + len(closed)))
    return len(taken), len(closed), len(settled)


def campaign(url, cycles, seed_of_chance):
    """Kill a server again and again while it works; after each time, ask again what was not answered."""
    seed(url)
    ledger, rng = Ledger(seed_of_chance), random.Random(seed_of_chance)
    server = Server(url, speed=SPEED)
    for cycle in range(cycles):
        with server:
            if cycle:
                settle_unknown(server.port, ledger)
            traffic = Traffic(server.port, ledger, cycle).start()
            time.sleep(rng.uniform(0.3, 3.5))
            server.kill()
            traffic.end()
    with server:
        settle_unknown(server.port, ledger)
        with Client(server.port, "op") as client:
            for id_, known in list(ledger.trades.items())[:500]:
                assert client.get(f"/api/v1/trades/{id_}") == (200, known)
        server.stop()
    return check_books(url, ledger)


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path):
    bids, closed, settled = campaign(f"sqlite:///{tmp_path}/market.db", 3, 1)
    assert bids > 100
    assert closed > 1
    assert settled > 0


@pytest.mark.slow
def test_killed_two_hundred_times(tmp_path):
    bids, closed, settled = campaign(f"sqlite:///{tmp_path}/market.db", 200, 2)
    assert min(bids, closed, settled) > 100


@pytest.mark.slow
def test_killed_on_postgresql(new_postgresql):
    bids, closed, _settled = campaign(new_postgresql, 20, 3)
    assert min(bids, closed) > 10
