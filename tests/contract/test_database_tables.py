"""The tables: migrations make what the program says they are, go down and up, and lose nothing."""

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from appending import opened, settled
from sqlalchemy import inspect, text

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.engines import make_engine
from gridagora.adapters.sql.made import Names
from gridagora.adapters.sql.projections import project
from gridagora.adapters.sql.rows import write_rows
from gridagora.adapters.sql.schema import migrate, newest_revision, revision_of
from gridagora.adapters.sql.store import Decision, SqlStore
from gridagora.errors import StoreError
from gridagora.model.columns import PoolTrades
from gridagora.model.events import AuctionCleared, TradesDecided
from gridagora.model.flexibility_events import FlexBidsWithdrawn, FlexMarketOpened, FlexSettled
from gridagora.model.flexibility_market import ConnectionPoint, FlexMarketTerms
from gridagora.model.zone_columns import TradeDecisions, ZoneTrades


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a.db'}"
    return request.getfixturevalue("new_postgresql")


@pytest.fixture
def database(url):
    with Database(url, write=True, create=True) as opened_database:
        yield opened_database


def test_migrations_make_the_tables_that_the_program_names(database):
    with database.looking() as connection:
        assert revision_of(connection) == newest_revision()
        context = MigrationContext.configure(
            connection, opts={"version_table": tables.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, tables.metadata) == []


def test_every_migration_goes_down_and_up(database):
    def names():
        with database.looking() as connection:
            return set(inspect(connection).get_table_names())

    newest = names()
    with database.looking() as connection:
        migrate(connection, "0001")
        assert revision_of(connection) == "0001"
    assert names() == {"events", "heads", "commands", tables.VERSION_TABLE}
    with database.looking() as connection:
        migrate(connection, "base")
    assert names() == {tables.VERSION_TABLE}
    with database.looking() as connection:
        migrate(connection)
    assert names() == newest


def test_read_tables_come_back_from_the_events_after_an_upgrade(url):
    with Database(url, write=True, create=True) as database:
        store = SqlStore(database, "a")
        store.append([opened(), settled(1), settled(2)])
        head = store.head()
        with database.looking() as connection:
            migrate(connection, "0001")
    with pytest.raises(StoreError, match=rf"tables 0001, now {newest_revision()}\); open it"):
        Database(url)
    with Database(url, write=True) as database:
        assert SqlStore(database, "a").head() == head
        assert replay(database, "a").findings == verify(database, "a").findings == ()


def test_answers_of_an_older_database_are_carried_into_the_chain(url):
    def kept(store):
        return {key: (b, r.first, r.last, r.answer) for key, (b, r) in store.receipts(keys).items()}

    keys = ["join", "late", "more", "new"]
    with Database(url, write=True, create=True) as database:
        store = SqlStore(database, "a")
        store.append([opened(), settled(1), settled(2)])
        head, _ = store.head(), SqlStore(database, "b").append([opened()])
        with database.looking() as connection:
            migrate(connection, "0004")
            for key, first, last in (("late", 4, 3), ("join", 2, 3), ("more", 4, 3)):
                row = {"key": key, "first": first, "last": last, "request": key.encode() * first}
                told = "INSERT INTO commands VALUES (1, :key, :request, :first, :last, 'yes')"
                connection.execute(text(told), row)
    with Database(url, write=True) as database:
        store = SqlStore(database, "a")
        assert store.count == 4
        assert kept(store) == {
            "join": (b"joinjoin", 2, 3, "yes"),
            "late": (b"late" * 4, 4, 3, "yes"),
            "more": (b"more" * 4, 4, 3, "yes"),
        }
        assert database.head("b").seq == 1
        store.keep([Decision(events=(settled(3),), key="new", request=b"r")])
        for name in "ab":
            assert replay(database, name).findings == verify(database, name, head=None).findings == ()
        assert verify(database, "a", head=head).findings == ()
        before, count = kept(store), store.count
        with database.looking() as connection:
            migrate(connection, "0004")
    with Database(url, write=True) as database:  # up again: what the chain tells is not told twice
        store = SqlStore(database, "a")
        assert (kept(store), store.count) == (before, count)
        assert replay(database, "a").findings == verify(database, "a").findings == ()


def test_events_are_never_dropped(database):
    SqlStore(database, "a").append([opened()])
    with pytest.raises(RuntimeError, match="never dropped"), database.looking() as connection:
        migrate(connection, "base")
    assert database.head("a").seq == 1


def test_empty_database_of_the_last_migration_alone_can_be_emptied_and_made_again(url):
    with Database(url, write=True, create=True) as database, database.looking() as connection:
        migrate(connection, "base")
    with Database(url, write=True) as database:
        assert database.heads() == []


# --- what is made from events -------------------------------------------------------------------------


def rows_of(database, table):
    with database.reading() as connection:
        columns = [column for column in table.columns if column.name != "market"]
        keys = [column for column in table.primary_key.columns if column.name != "market"]
        return [
            tuple(row)
            for row in connection.execute(table.select().with_only_columns(*columns).order_by(*keys))
        ]


def cleared(session=0):
    return AuctionCleared(
        at=1,
        session=session,
        first=session * 2,
        participant=np.array([0, 3, 1]),
        period=np.array([0, 0, 1]),
        side=np.array([1, -1, 1], np.int8),
        price=np.array([10, 20, 30]),
        quantity=np.array([5, 6, 7]),
        accepted=np.array([5, 5, 0]),
        paid=np.zeros(3),
        clearing_price=np.array([12.5, np.nan]),
    )


def decided():
    none = np.zeros(0, np.int64)
    names = ("period", "market", "buyer", "seller", "buyer_zone", "seller_zone", "buy_row", "sell_row")
    trades = ZoneTrades(**dict.fromkeys((*names, "quantity_wh", "price"), none))
    decisions = TradeDecisions(
        trade=none,
        step=none,
        by=none,
        decision=none,
        reason=none,
        names=(),
        reasons=(),
        approved=np.zeros(0, np.bool_),
        supplies=trades,
        follows=none,
    )
    return TradesDecided(
        at=2, session=0, first=0, decisions=decisions, accepted=np.array([2, 2, 0]), paid=np.zeros(3)
    )


def test_bids_and_prices_come_from_the_auction_and_the_controllers_have_the_last_word(database):
    store = SqlStore(database, "a")
    store.append([opened(), cleared()])
    assert rows_of(database, tables.prices) == [(0, 12.5), (1, None)]
    assert rows_of(database, tables.bids)[0] == (0, 0, 0, 0, 1, 10, 5, 5)
    store.append([cleared(1), decided()])
    assert [row[-1] for row in rows_of(database, tables.bids)] == [2, 2, 0, 5, 5, 0]
    assert replay(database, "a").findings == ()


def test_trades_lines_postings_and_balances_come_from_the_settlement(database):
    store = SqlStore(database, "a")
    event = settled(4)
    one = np.ones(1, np.int64)
    trades = PoolTrades(
        period=4 * one,
        buyer=0 * one,
        seller=one,
        quantity_wh=9 * one,
        buyer_price=7 * one,
        seller_price=6 * one,
    )
    object.__setattr__(event, "trades", trades)
    store.append([opened(), event, settled(5)])
    assert rows_of(database, tables.trades) == [(4, 0, 4, 0, 1, 9, 7, 6)]
    assert rows_of(database, tables.settlement_lines)[1] == (4, 1, *[4] * 8)
    assert rows_of(database, tables.journal) == [
        (2, 0, 44, 0, -4),
        (2, 1, 44, 1, 4),
        (3, 0, 55, 0, -5),
        (3, 1, 55, 1, 5),
    ]
    balances = rows_of(database, tables.balances)
    assert balances[:4] == [
        (0, "participant:home 0", -9),
        (1, "participant:home 1", 9),
        (2, "participant:home 2", 0),
        (3, "retailer", 0),
    ]
    assert rows_of(database, tables.participants) == [(0, "home 0"), (1, "home 1"), (2, "home 2")]


def flexible(*points):
    places = tuple(ConnectionPoint(participant=p, bus="b", import_kw=8.0, export_kw=8.0) for p in points)
    terms = FlexMarketTerms(
        points=places,
        buyers=("DSO",),
        products=(),
        start=0,
        first=0,
        periods=1,
        period_hours=1.0,
        settlement=(),
    )
    return FlexMarketOpened(at=0, terms=terms)


def flex_settled(account, amount):
    whole, cells = np.zeros((1, 1, 1), np.int64), np.zeros((1, 1), np.int64)
    three = ("ordered_wh", "delivered_wh", "deficiency_wh", "due_micro", "claw_back_micro", "penalty_micro")
    two = ("fee_micro", "withheld_micro", "payment_micro", "surplus_micro")
    return FlexSettled(
        at=9,
        first=0,
        count=1,
        **dict.fromkeys(three, whole),
        **dict.fromkeys(two, cells),
        estimated=whole.astype(np.bool_),
        entry=np.full(len(account), 6),
        account=np.array(account),
        amount=np.array(amount),
    )


def test_accounts_of_a_flexibility_market_are_those_of_the_study(database):
    """Points of the market are home 1 and home 0, in this order; the buyer has an account of its own."""
    store = SqlStore(database, "a")
    store.append([opened(), flexible("home 1", "home 0")])
    store.append([flex_settled([0, 2], [50, -50])])
    names = {name: amount for _, name, amount in rows_of(database, tables.balances) if amount}
    assert names == {"participant:home 1": 50, "participant:DSO": -50}
    assert len(rows_of(database, tables.balances)) == 3 + 5 + 1
    assert replay(database, "a").findings == verify(database, "a").findings == ()


def test_a_flexibility_market_by_itself_has_books_too(database):
    store = SqlStore(database, "a")
    store.append([flexible("ann"), flex_settled([0, 1], [7, -7])])
    names = {name: amount for _, name, amount in rows_of(database, tables.balances) if amount}
    assert names == {"participant:ann": 7, "participant:DSO": -7}
    assert len(rows_of(database, tables.balances)) == 5 + 2


def test_rows_of_many_events_at_once_are_those_of_one_after_the_other(tmp_path):
    events = [opened(), cleared(0), decided(), cleared(1), settled(0), settled(1), settled(2)]
    found = []
    for together in (1, len(events)):
        with Database(str(tmp_path / f"{together}.db"), write=True, create=True) as database:
            store = SqlStore(database, "a")
            for first in range(0, len(events), together):
                store.append(events[first : first + together])
            found.append([rows_of(database, table) for table in tables.READ_TABLES])
    assert found[0] == found[1]


def test_events_without_a_table_make_no_rows():
    assert project(FlexBidsWithdrawn(at=0, auction=0, participant=0), 1, Names()) == ((), Names())


def test_no_rows_are_no_statement(tmp_path):
    from gridagora.adapters.sql.address import read_address

    engine = make_engine(read_address(str(tmp_path / "a.db")), write=True)
    with engine.connect() as connection:
        write_rows(connection, 1, [])
    engine.dispose()


def test_every_public_name_of_databases_tells_what_it_is():
    import inspect as look

    from gridagora import database as public

    assert list(public.__all__) == sorted(public.__all__)
    for name in public.__all__:
        assert look.getdoc(getattr(public, name)), name
