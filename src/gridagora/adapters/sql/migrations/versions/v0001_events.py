"""Events, the heads of their chains, and the commands that they came from."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEPT = ("events", "commands")
"""Tables whose rows can be added and never changed or removed."""

REFUSE_SQLITE = """
CREATE TRIGGER {table}_no_{word} BEFORE {word} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are kept for ever: {word} is refused'); END
"""

REPLACE_SQLITE = """
CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE market = NEW.market AND {key} = NEW.{key})
BEGIN SELECT RAISE(ABORT, '{table} are kept for ever: this one is there already'); END
"""

REFUSE_POSTGRESQL = """
CREATE FUNCTION gridagora_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% are kept for ever: % is refused', TG_TABLE_NAME, TG_OP; END $$
"""


def _market() -> "sa.Column[int]":
    return sa.Column(
        "market", sa.Integer, sa.ForeignKey("heads.market"), primary_key=True, autoincrement=False
    )


def upgrade() -> None:
    """Make the tables, and the triggers that keep their rows."""
    op.create_table(
        "heads",
        sa.Column("market", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("name", name="heads_name"),
    )
    op.create_table(
        "events",
        _market(),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "commands",
        _market(),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table, key in zip(KEPT, ("seq", "key"), strict=True):
            op.execute(REPLACE_SQLITE.format(table=table, key=key))
            for word in ("UPDATE", "DELETE"):
                op.execute(REFUSE_SQLITE.format(table=table, word=word))
        return
    op.execute(REFUSE_POSTGRESQL)
    for table in KEPT:
        call = "EXECUTE FUNCTION gridagora_refuse()"
        op.execute(f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {call}")
        op.execute(f"CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {call}")


def downgrade() -> None:
    """Drop the tables of a database without events; one with events is refused."""
    bind = op.get_bind()
    if bind.execute(sa.text("SELECT 1 FROM events LIMIT 1")).first() is not None:
        raise RuntimeError("the database holds events; they are never dropped")
    for table in ("commands", "events", "heads"):
        op.drop_table(table)
    if bind.dialect.name != "sqlite":
        op.execute("DROP FUNCTION gridagora_refuse()")
