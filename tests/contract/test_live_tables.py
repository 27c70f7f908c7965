"""Read tables of a live market: they tell what the events tell, and can be made anew from them."""

import sys
from pathlib import Path

import pytest
from sqlalchemy import select

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from live_village import BUSES, EPOCH, NAMES, Live

from gridagora import flexibility as flex
from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import SqlStore
from gridagora.engine.live.commands import DecideDispute, DeclareLimit, RaiseDispute, WithdrawBids

HOUR = 3600


def lived():
    """Return a market in which everything happened once."""
    leads = {"gate_lead_s": 900, "open_lead_s": 2 * HOUR, "readings_lead_s": HOUR}
    live = Live(escrow=True, fee_ppm=10_000, **leads)
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus, money=5_000_000)
    live.keep("participant", "ann", version=1, name="Ann <b>; DROP TABLE bids")
    ann = flex.ConnectionPoint(participant="ann", bus=BUSES[0], import_kw=10.0, export_kw=5.0)
    product = flex.FlexProduct(direction="cap")
    terms = flex.FlexMarketTerms(
        points=(ann,),
        buyers=("DSO",),
        products=(("cap", product),),
        start=EPOCH,
        first=0,
        periods=4,
        period_hours=0.25,
        settlement=("capacity_limit",),
    )
    live.do(flex.OpenFlexMarket(at=live.now, terms=terms))
    live.until(EPOCH - HOUR)
    live.bid("ann", 0, (0, 1, 280_000, 1000), (1, 1, 290_000, 1000), (2, 1, 1, 1))
    live.bid("bob", 0, (0, -1, 100_000, 800), (1, -1, 120_000, 2000))
    live.do(WithdrawBids(at=live.now, actor="ann", session=0, participant="ann", numbers=[3]))
    live.until(EPOCH)
    live.do(
        DeclareLimit(
            at=live.now,
            actor="dso",
            id="l",
            place_kind="participant",
            place="ann",
            begins=EPOCH,
            ends=EPOCH + HOUR,
            import_kw=1.0,
            emergency=True,
            reason="heat",
        )
    )
    live.until(EPOCH + 2 * HOUR - 1)
    live.read(0, ann=[1000, 1000, 0, 0], bob=[-800, -500, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    dispute = {"session": 0, "participant": "bob", "reason": "meter"}
    live.do(RaiseDispute(at=live.now, actor="bob", id="d", **dispute))
    live.read(0, bob=[-800, -1000, 0, 0])
    live.do(DecideDispute(at=live.now, actor="op", id="d", accepted=True, settle_again=True, reason="so"))
    return live


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """Return a database that holds the market."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'a.db'}" if sqlite else request.getfixturevalue("new_postgresql")
    with Database(url, write=True, create=sqlite) as opened:
        store = SqlStore(opened, "small")
        live = lived()
        for event in live.events:
            store.append([event])
        opened.live = live
        yield opened


def rows(database, table, *columns):
    """Return columns of a table's rows, by their key."""
    keys = [column for column in table.primary_key.columns if column.name != "market"]
    with database.reading() as connection:
        found = connection.execute(select(*(table.c[name] for name in columns)).order_by(*keys))
        return [tuple(row) for row in found]


def test_read_tables_tell_what_happened(database):
    assert rows(database, tables.participants, "participant", "name")[:2] == [(0, "ann"), (1, "bob")]
    bids = rows(database, tables.live_bids, "number", "participant", "withdrawn", "row")
    assert bids == [(1, 0, 0, 0), (2, 0, 0, 1), (3, 0, 1, None), (4, 1, 0, 2), (5, 1, 0, 3)]
    accepted = rows(database, tables.bids, "accepted_wh")[:4]
    assert accepted == [(800,), (1000,), (800,), (1000,)]
    first = rows(database, tables.sessions, "session", "status", "settled")[0]
    assert first == (0, "settled", EPOCH + 2 * HOUR)
    assert rows(database, tables.trades, "period", "buyer", "seller", "quantity_wh") == [
        (0, 0, 1, 800),
        (1, 0, 1, 1000),
    ]
    assert rows(database, tables.disputes, "id", "participant", "status", "answer") == [
        ("d", 1, "accepted", "so")
    ]
    assert rows(database, tables.broken_limits, "id", "net_wh") == [("l", 1000), ("l", 1000)]
    named = dict(rows(database, tables.balances, "name", "amount_micro"))
    assert {name: amount for name, amount in named.items() if not name.startswith("flex")} == {
        name: database.live.state.balance.get(name, 0) for name in named if not name.startswith("flex")
    }
    readings = rows(database, tables.readings, "participant", "period", "export_wh", "quality")
    assert (1, 1, 1000, 0) in readings
    assert (2, 0, 0, 1) in readings
    imbalance = rows(database, tables.settlement_lines, "period", "participant", "imbalance_micro")
    assert (1, 1, 0) in imbalance


def test_read_tables_are_made_anew_from_the_events(database):
    assert verify(database, "small").findings == ()
    assert replay(database, "small").findings == ()


def test_a_store_goes_on_with_the_names_of_a_live_market(tmp_path):
    live, url = lived(), str(tmp_path / "a.db")
    for part in (slice(0, 20), slice(20, 31), slice(31, None)):
        with Database(url, write=True, create=True) as opened:
            SqlStore(opened, "small").append(live.events[part])
    with Database(url) as opened:
        assert replay(opened, "small").findings == ()
