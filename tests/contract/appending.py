"""A program that appends until it is killed, and says what it was told is on disk: run by the tests."""

import json
import sys

import numpy as np

from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.group import GroupCommit
from gridagora.adapters.sql.store import Decision, SqlStore
from gridagora.errors import GridAgoraError
from gridagora.model.columns import PoolTrades, SettlementLines
from gridagora.model.events import SessionSettled, StudyOpened

HOMES = 3


def opened():
    names = tuple(f"home {k}" for k in range(HOMES))
    return StudyOpened(at=0, name="a", seed=0, participants=names, rules="")


def settled(number, *, rows=1):
    """A session in which home 0 pays home 1 ``number`` micro-units, row by row."""
    none, lines = np.zeros(0, np.int64), np.full((1, HOMES), number, np.int64)
    columns = (
        "traded_wh",
        "local_bought_wh",
        "local_sold_wh",
        "energy",
        "retail",
        "imbalance",
        "network",
        "taxes",
    )
    return SessionSettled(
        at=number,
        session=number,
        first=number,
        trades=PoolTrades(
            period=none, buyer=none, seller=none, quantity_wh=none, buyer_price=none, seller_price=none
        ),
        lines=SettlementLines(**dict.fromkeys(columns, lines)),
        entry=np.full(2 * rows, number * 11, np.int64),
        account=np.tile([0, 1], rows),
        amount=np.tile([-number, number], rows),
    )


def main(url, market):
    """Append one session after the other, ten at a time; print the numbers that are acknowledged."""
    with Database(url, write=True, create=True) as database:
        store = SqlStore(database, market)
        if store.count == 0:
            store.append([opened()])
        print("ready", flush=True)
        with GroupCommit(store) as group:
            number = store.count
            while True:
                some = range(number, number + 10)
                waiting = [
                    group.submit(
                        lambda n=n: Decision(events=(settled(n),), answer=json.dumps({"session": n})),
                        key=f"key {n}",
                        request=str(n).encode(),
                    )
                    for n in some
                ]
                for n, future in zip(some, waiting, strict=True):
                    future.result()
                    print(n, flush=True)
                number += 10


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except GridAgoraError as error:
        print(f"stopped: {error}", flush=True)
        sys.exit(3)
