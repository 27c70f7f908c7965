"""What postings of the flexibility market are made of, for bills and proofs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; it is filled when the database is next opened for writing."""
    op.create_table(
        "flexibility_lines",
        sa.Column("market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False) for name in ("seq", "row")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("entry", "participant")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("product", "contract", "reason")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("energy_wh", "amount_micro")),
    )


def downgrade() -> None:
    """Drop the table; events make it anew."""
    op.drop_table("flexibility_lines")
