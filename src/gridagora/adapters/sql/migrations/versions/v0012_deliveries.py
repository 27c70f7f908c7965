"""By which meter values sessions were settled, and why they were called off or settled by schedule."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

REASONS = ("called_off", "by_schedule")


def upgrade() -> None:
    """Make the table and the columns; they are filled when the database is next opened for writing."""
    op.create_table(
        "deliveries",
        sa.Column("market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False),
        sa.Column("period", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("participant", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("metered_wh", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    for name in REASONS:
        op.add_column("sessions", sa.Column(name, sa.Text, nullable=True))


def downgrade() -> None:
    """Drop them."""
    for name in REASONS:
        op.drop_column("sessions", name)
    op.drop_table("deliveries")
