"""The tables of the database: events and what belongs to them, and read tables that are made from events.

Money is whole micro-units of currency, + received; energy whole Wh; ``period`` counts from 0 as in the study,
``participant`` and ``account`` are codes that `participants` and `balances` name.  What the tables are is
written twice, here and in the migrations that make them; a test compares both.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

VERSION_TABLE = "gridagora_version"
"""Where Alembic notes which migration the database is at."""

metadata = MetaData()


def _market() -> Column[int]:
    return Column("market", Integer, ForeignKey("heads.market"), primary_key=True, autoincrement=False)


def _key(name: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _whole(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


heads = Table(
    "heads",
    metadata,
    Column("market", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("name", name="heads_name"),
)
"""The markets of the database, and the number and hash of the last event of each."""

events = Table(
    "events",
    metadata,
    _market(),
    _key("seq"),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""The truth: ``seq`` counts from 1 within a market, ``hash`` is that of the chain; rows never change."""

commands = Table(
    "commands",
    metadata,
    _market(),
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    *_whole("first_seq", "last_seq"),
    Column("answer", Text, nullable=False),
)
"""Idempotency keys, kept for ever: what was asked (its hash), its events, and the answer that was given.

A read table: the chain of events holds them too."""

projected = Table(
    "projected",
    metadata,
    _market(),
    Column("version", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("names", Text, nullable=False),
)
"""Up to which event the read tables are made, by which version, and the names that later events refer to."""

participants = Table(
    "participants", metadata, _market(), _key("participant"), Column("name", Text, nullable=False)
)

bids = Table(
    "bids",
    metadata,
    _market(),
    _key("session"),
    _key("row"),
    *_whole("period", "participant"),
    Column("side", SmallInteger, nullable=False),
    *_whole("price_micro", "quantity_wh", "accepted_wh"),
    sqlite_with_rowid=False,
)
"""One row per bid: side +1 buys, -1 sells; micro-currency per kWh; accepted is what stands in the end."""

prices = Table(
    "prices",
    metadata,
    _market(),
    _key("period"),
    Column("price_micro", Double, nullable=True),
    sqlite_with_rowid=False,
)
"""Clearing price per period, micro-currency per kWh; null where nothing was traded."""

trades = Table(
    "trades",
    metadata,
    _market(),
    _key("session"),
    _key("row"),
    *_whole("period", "buyer", "seller", "quantity_wh", "buyer_price_micro", "seller_price_micro"),
    sqlite_with_rowid=False,
)

settlement_lines = Table(
    "settlement_lines",
    metadata,
    _market(),
    _key("period"),
    _key("participant"),
    *_whole("traded_wh", "local_bought_wh", "local_sold_wh"),
    *_whole("energy_micro", "retail_micro", "imbalance_micro", "network_micro", "taxes_micro"),
    sqlite_with_rowid=False,
)
"""Money per period and participant before standing charges; ``energy`` is from trades."""

deliveries = Table(
    "deliveries",
    metadata,
    _market(),
    _key("period"),
    _key("participant"),
    *_whole("metered_wh"),
    sqlite_with_rowid=False,
)
"""Net import by which a live market settled a period; readings that came later are not in it."""

journal = Table(
    "journal",
    metadata,
    _market(),
    _key("seq"),
    _key("row"),
    *_whole("entry", "account", "amount_micro"),
    sqlite_with_rowid=False,
)
"""One row per posting, by the event that made it; the rows of one ``entry`` sum to zero."""

balances = Table(
    "balances",
    metadata,
    _market(),
    _key("account"),
    Column("name", Text, nullable=False),
    *_whole("amount_micro"),
)
"""The chart of accounts, and the sum of the postings of each."""


def _key_text(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _moments(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=True) for name in names]


resources = Table(
    "resources",
    metadata,
    _market(),
    _key_text("kind"),
    _key_text("id"),
    *_whole("number", "version", "at", "seq"),
    *_texts("actor", "status", "participant", "body"),
)
"""Records of a live market's register: ``number`` counts those of a kind, ``seq`` is the event that made it
first, ``body`` canonical JSON."""

sessions = Table(
    "sessions",
    metadata,
    _market(),
    _key("session"),
    *_texts("status"),
    *_moments("opened", "closed", "published", "settled"),
    *(Column(name, Text, nullable=True) for name in ("called_off", "by_schedule")),
)
"""Sessions of a live market, when each step was done, and why it was called off or settled by schedule."""

live_bids = Table(
    "live_bids",
    metadata,
    _market(),
    _key("number"),
    *_whole("session", "participant", "period"),
    Column("side", SmallInteger, nullable=False),
    *_whole("price_micro", "quantity_wh", "at"),
    Column("withdrawn", SmallInteger, nullable=False),
    Column("row", BigInteger, nullable=True),
    Index("live_bids_of_participant", "market", "participant", "number"),
    Index("live_bids_of_session", "market", "session", "number"),
)
"""Bids as they were handed in; ``row`` is that of ``bids`` in the auction of their session."""

readings = Table(
    "readings",
    metadata,
    _market(),
    _key("participant"),
    _key("period"),
    *_whole("import_wh", "export_wh"),
    Column("quality", SmallInteger, nullable=False),
    *_texts("source"),
    *_whole("at"),
    sqlite_with_rowid=False,
)
"""The reading that counts of each participant and period: 0 measured, 1 estimated, 2 corrected."""

findings = Table(
    "findings",
    metadata,
    _market(),
    _key("seq"),
    _key("row"),
    *_whole("participant", "moment"),
    *_texts("rule", "told", "source"),
    *_whole("at"),
    sqlite_with_rowid=False,
)
"""What was found in readings, by the event that told it; ``moment`` is what it is about, s since 1970 UTC."""

grid_limits = Table(
    "grid_limits",
    metadata,
    _market(),
    _key_text("id"),
    *_texts("place_kind", "place"),
    *_whole("begins", "ends"),
    Column("import_kw", Double, nullable=False),
    Column("export_kw", Double, nullable=False),
    Column("emergency", SmallInteger, nullable=False),
    *_texts("reason", "actor"),
    *_whole("at"),
)

broken_limits = Table(
    "broken_limits",
    metadata,
    _market(),
    _key("session"),
    _key("row"),
    *_texts("id"),
    *_whole("period", "net_wh", "allowed_wh"),
)

approvals = Table(
    "approvals",
    metadata,
    _market(),
    _key("session"),
    _key("row"),
    *_whole("trade", "step"),
    *_texts("decided_by", "decision", "reason"),
    sqlite_with_rowid=False,
)
"""The way of each trade of zones through the controllers, a row per step."""

disputes = Table(
    "disputes",
    metadata,
    _market(),
    _key_text("id"),
    *_whole("session", "participant"),
    *_texts("status", "actor", "reason", "answer"),
    *_whole("at"),
)

bus_sums = Table(
    "bus_sums",
    metadata,
    _market(),
    _key("period"),
    _key_text("bus"),
    *_whole("points", "import_wh", "export_wh", "scheduled_import_wh", "scheduled_export_wh"),
    *_whole("local_bought_wh", "local_sold_wh"),
    sqlite_with_rowid=False,
)
"""What the connection points of a bus metered, were to take and give, and traded, as first settled.

Corrections leave it as it is: what is told of a group twice must not differ by what one of it did.
"""

escrow = Table(
    "escrow",
    metadata,
    _market(),
    _key("session"),
    _key("row"),
    *_whole("held_micro", "held_at", "paid_micro", "fee_micro", "returned_micro"),
    *_moments("released_at"),
    sqlite_with_rowid=False,
)
"""What was held for a trade (``row`` as in ``trades``), and what became of it when delivery was proven."""

issued_months = Table(
    "issued_months",
    metadata,
    _market(),
    _key_text("month"),
    *_whole("first_session", "end_session", "seq", "at"),
)
"""Months whose bills were issued, and the number of the event."""

invoices = Table(
    "invoices",
    metadata,
    _market(),
    _key("participant"),
    _key_text("month"),
    *_texts("number"),
    *_whole("seq", "payable_micro", "carried_micro"),
    *_texts("document"),
)
"""Bills that were issued; ``payable`` + owed by the participant."""

payments = Table(
    "payments",
    metadata,
    _market(),
    _key_text("id"),
    *_texts("kind"),
    *_whole("participant"),
    *_texts("month", "status", "message", "reason"),
    *_whole("amount_micro", "seq", "at"),
    Column("ordered_seq", BigInteger, nullable=True),
    Column("closed_seq", BigInteger, nullable=True),
    *_moments("ordered_at", "closed_at"),
)
"""Payments over the bank: bills to be paid and paid out, withdrawals; ``message`` names the file."""

payment_files = Table(
    "payment_files",
    metadata,
    _market(),
    _key_text("message"),
    *_texts("month"),
    *_whole("at"),
    *_texts("content"),
)
"""Files for the bank as they were written."""

inbox = Table(
    "inbox",
    metadata,
    _market(),
    Column("id", Text, primary_key=True),
    Column("place", BigInteger, nullable=False),
    Column("runner", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("done", SmallInteger, nullable=False),
    Column("answer", Text, nullable=False),
)
"""Commands that programs hand to the one that writes the market, and its answers until they are fetched."""

snapshots = Table(
    "snapshots",
    metadata,
    _market(),
    _key("seq"),
    *_texts("version"),
    Column("hash", LargeBinary, nullable=False),
    Column("checksum", LargeBinary, nullable=False),
    *_whole("parts"),
)
"""States of live markets after an event: only to start sooner, they can be dropped at any time."""

snapshot_parts = Table(
    "snapshot_parts",
    metadata,
    _market(),
    _key("seq"),
    _key("part"),
    Column("body", LargeBinary, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    _market(),
    _key_text("participant"),
    _key("seq"),
    _key("place"),
    *_whole("at"),
    *_texts("topic", "text"),
    Column("session", BigInteger, nullable=True),
    sqlite_with_rowid=False,
)
"""What participants were told of each event, written with it; ``place`` counts those of one event."""

noticed = Table("noticed", metadata, _market(), Column("version", Integer, nullable=False))
"""By which version of their texts the notices of a market were made."""

flexibility_lines = Table(
    "flexibility_lines",
    metadata,
    _market(),
    _key("seq"),
    _key("row"),
    *_whole("entry", "participant"),
    *_texts("product", "contract", "reason"),
    *_whole("energy_wh", "amount_micro"),
)
"""What postings of the flexibility market are made of; ``entry`` as in the journal."""

day_roots = Table(
    "day_roots",
    metadata,
    _market(),
    _key_text("day"),
    *_whole("size"),
    *_texts("root"),
    *_whole("seq"),
)
"""Merkle trees of local days that are over: records, root (hexadecimal), and the event that closed each."""

READ_TABLES = (
    commands,
    day_roots,
    participants,
    bids,
    prices,
    trades,
    settlement_lines,
    deliveries,
    journal,
    balances,
    resources,
    sessions,
    live_bids,
    readings,
    findings,
    grid_limits,
    broken_limits,
    approvals,
    disputes,
    bus_sums,
    escrow,
    issued_months,
    invoices,
    payments,
    payment_files,
    flexibility_lines,
)
"""Made from events alone: they can be dropped and made anew."""
