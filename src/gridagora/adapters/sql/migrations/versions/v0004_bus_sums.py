"""Sums by bus and period, of which aggregates of areas are made."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SUMS = (
    "points",
    "import_wh",
    "export_wh",
    "scheduled_import_wh",
    "scheduled_export_wh",
    "local_bought_wh",
    "local_sold_wh",
)


def upgrade() -> None:
    """Make the table; it is filled when the database is next opened for writing."""
    op.create_table(
        "bus_sums",
        sa.Column("market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False),
        sa.Column("period", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("bus", sa.Text, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table; events make it anew."""
    op.drop_table("bus_sums")
