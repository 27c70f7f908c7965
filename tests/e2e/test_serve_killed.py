"""A served market that is killed while it is bid in, cleared and settled: nothing acknowledged is lost."""

import random
import time

import pytest
from served import Client, Ledger, Server, Traffic, check_books, seed, settle_unknown

SPEED = 2_400
"""A session of an hour in 1.5 s."""


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
