"""Snapshots of the state of live markets, and what participants were told."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _market() -> "sa.Column[int]":
    return sa.Column(
        "market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False
    )


def _keys(*names: str) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False) for name in names]


def _bytes(name: str) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary, nullable=False)


def upgrade() -> None:
    """Make the tables; a market fills them when it is next run."""
    op.create_table(
        "snapshots",
        _market(),
        *_keys("seq"),
        sa.Column("version", sa.Text, nullable=False),
        _bytes("hash"),
        _bytes("checksum"),
        sa.Column("parts", sa.BigInteger, nullable=False),
    )
    op.create_table("snapshot_parts", _market(), *_keys("seq", "part"), _bytes("body"))
    op.create_table(
        "notices",
        _market(),
        sa.Column("participant", sa.Text, primary_key=True),
        *_keys("seq", "place"),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("session", sa.BigInteger, nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_table("noticed", _market(), sa.Column("version", sa.Integer, nullable=False))


def downgrade() -> None:
    """Drop the tables; the events make them anew."""
    for table in ("noticed", "notices", "snapshot_parts", "snapshots"):
        op.drop_table(table)
