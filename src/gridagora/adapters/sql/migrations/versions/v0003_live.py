"""Read tables of live markets, and the inbox of those that do not write."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
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


def _texts(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _small(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.SmallInteger, nullable=False)


def _key_text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=True)


def _double(name: str) -> "sa.Column[float]":
    return sa.Column(name, sa.Double, nullable=False)


def upgrade() -> None:
    """Make the tables; they are filled when the database is next opened for writing."""
    _register_and_sessions()
    op.create_table(
        "readings",
        _market(),
        *_keys("participant", "period"),
        *_whole("import_wh", "export_wh"),
        _small("quality"),
        *_texts("source"),
        *_whole("at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "grid_limits",
        _market(),
        _key_text("id"),
        *_texts("place_kind", "place"),
        *_whole("begins", "ends"),
        _double("import_kw"),
        _double("export_kw"),
        _small("emergency"),
        *_texts("reason", "actor"),
        *_whole("at"),
    )
    op.create_table(
        "broken_limits",
        _market(),
        *_keys("session", "row"),
        *_texts("id"),
        *_whole("period", "net_wh", "allowed_wh"),
    )
    op.create_table(
        "approvals",
        _market(),
        *_keys("session", "row"),
        *_whole("trade", "step"),
        *_texts("decided_by", "decision", "reason"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "disputes",
        _market(),
        _key_text("id"),
        *_whole("session", "participant"),
        *_texts("status", "actor", "reason", "answer"),
        *_whole("at"),
    )
    op.create_table(
        "inbox",
        _market(),
        _key_text("id"),
        *_whole("place"),
        *_texts("runner", "key"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        _small("done"),
        *_texts("answer"),
    )


def _register_and_sessions() -> None:
    op.create_table(
        "resources",
        _market(),
        _key_text("kind"),
        _key_text("id"),
        *_whole("number", "version", "at"),
        *_texts("actor", "status", "participant", "body"),
    )
    moments = [
        sa.Column(name, sa.BigInteger, nullable=True) for name in ("opened", "closed", "published", "settled")
    ]
    op.create_table("sessions", _market(), *_keys("session"), *_texts("status"), *moments)
    op.create_table(
        "live_bids",
        _market(),
        *_keys("number"),
        *_whole("session", "participant", "period"),
        _small("side"),
        *_whole("price_micro", "quantity_wh", "at"),
        _small("withdrawn"),
        sa.Column("row", sa.BigInteger, nullable=True),
    )


def downgrade() -> None:
    """Drop the tables; events make them anew, and whoever waits for an answer asks again."""
    for table in (
        "inbox",
        "disputes",
        "approvals",
        "broken_limits",
        "grid_limits",
        "readings",
        "live_bids",
        "sessions",
        "resources",
    ):
        op.drop_table(table)
