"""Roots of days, and which event made a record of the register first."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column; both are filled when the database is next opened for writing."""
    op.create_table(
        "day_roots",
        sa.Column("market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.add_column("resources", sa.Column("seq", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop both; events make them anew."""
    op.drop_column("resources", "seq")
    op.drop_table("day_roots")
