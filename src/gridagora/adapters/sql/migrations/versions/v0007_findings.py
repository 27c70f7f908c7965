"""What was found in readings, for lists."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; it is filled when the database is next opened for writing."""
    op.create_table(
        "findings",
        sa.Column("market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False) for name in ("seq", "row")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("participant", "moment")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("rule", "told", "source")),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table; events make it anew."""
    op.drop_table("findings")
