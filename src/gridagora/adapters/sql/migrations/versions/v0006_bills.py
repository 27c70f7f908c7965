"""Escrow by trade, bills that were issued, and payments over the bank."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("escrow", "issued_months", "invoices", "payments", "payment_files")


def _market() -> "sa.Column[int]":
    return sa.Column(
        "market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False
    )


def _keys(*names: str) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False) for name in names]


def _key_text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=True)


def _whole(*names: str, nullable: bool = False) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, nullable=nullable) for name in names]


def _texts(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    """Make the tables; they are filled when the database is next opened for writing."""
    op.create_table(
        "escrow",
        _market(),
        *_keys("session", "row"),
        *_whole("held_micro", "held_at", "paid_micro", "fee_micro", "returned_micro"),
        *_whole("released_at", nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "issued_months",
        _market(),
        _key_text("month"),
        *_whole("first_session", "end_session", "seq", "at"),
    )
    op.create_table(
        "invoices",
        _market(),
        *_keys("participant"),
        _key_text("month"),
        *_texts("number"),
        *_whole("seq", "payable_micro", "carried_micro"),
        *_texts("document"),
    )
    op.create_table(
        "payments",
        _market(),
        _key_text("id"),
        *_texts("kind"),
        *_whole("participant"),
        *_texts("month", "status", "message", "reason"),
        *_whole("amount_micro", "seq", "at"),
        *_whole("ordered_seq", "closed_seq", "ordered_at", "closed_at", nullable=True),
    )
    op.create_table(
        "payment_files",
        _market(),
        _key_text("message"),
        *_texts("month"),
        *_whole("at"),
        *_texts("content"),
    )


def downgrade() -> None:
    """Drop the tables; events make them anew."""
    for table in TABLES:
        op.drop_table(table)
