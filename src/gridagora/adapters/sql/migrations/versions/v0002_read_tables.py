"""Read tables, made from events: `gridagora.adapters.sql.projections` fills them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _market() -> "sa.Column[int]":
    return sa.Column(
        "market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False
    )


def _keys(*names: str) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False) for name in names]


def _whole(*names: str) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def upgrade() -> None:
    """Make the tables; they are filled when the database is next opened for writing."""
    version = sa.Column("version", sa.Integer, nullable=False)
    op.create_table("projected", _market(), version, *_whole("seq"), _text("names"))
    op.create_table("participants", _market(), *_keys("participant"), _text("name"))
    op.create_table(
        "bids",
        _market(),
        *_keys("session", "row"),
        *_whole("period", "participant"),
        sa.Column("side", sa.SmallInteger, nullable=False),
        *_whole("price_micro", "quantity_wh", "accepted_wh"),
        sqlite_with_rowid=False,
    )
    price = sa.Column("price_micro", sa.Double, nullable=True)
    op.create_table("prices", _market(), *_keys("period"), price, sqlite_with_rowid=False)
    op.create_table(
        "trades",
        _market(),
        *_keys("session", "row"),
        *_whole("period", "buyer", "seller", "quantity_wh", "buyer_price_micro", "seller_price_micro"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "settlement_lines",
        _market(),
        *_keys("period", "participant"),
        *_whole("traded_wh", "local_bought_wh", "local_sold_wh"),
        *_whole("energy_micro", "retail_micro", "imbalance_micro", "network_micro", "taxes_micro"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "journal",
        _market(),
        *_keys("seq", "row"),
        *_whole("entry", "account", "amount_micro"),
        sqlite_with_rowid=False,
    )
    op.create_table("balances", _market(), *_keys("account"), _text("name"), *_whole("amount_micro"))


def downgrade() -> None:
    """Drop the read tables; nothing is lost, events make them anew."""
    for table in ("balances", "journal", "settlement_lines", "trades", "prices", "bids", "participants"):
        op.drop_table(table)
    op.drop_table("projected")
