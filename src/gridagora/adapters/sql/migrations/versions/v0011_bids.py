"""Bids are found by participant and by session, whatever stands between them."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEXES = {
    "live_bids_of_participant": ["market", "participant", "number"],
    "live_bids_of_session": ["market", "session", "number"],
}


def upgrade() -> None:
    """Make the indexes."""
    for name, columns in INDEXES.items():
        op.create_index(name, "live_bids", columns)


def downgrade() -> None:
    """Drop the indexes."""
    for name in INDEXES:
        op.drop_index(name, "live_bids")
