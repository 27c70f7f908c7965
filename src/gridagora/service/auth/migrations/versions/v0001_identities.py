"""Organisations, people, machine clients, sessions, keys, the audit log and jobs."""

import sqlalchemy as sa
from alembic import op

revision = "a001"
down_revision = None
branch_labels = None
depends_on = None

REFUSE_SQLITE = """
CREATE TRIGGER auth_audit_no_{word} BEFORE {word} ON auth_audit
BEGIN SELECT RAISE(ABORT, 'the audit log is kept for ever: {word} is refused'); END
"""

REPLACE_SQLITE = """
CREATE TRIGGER auth_audit_no_replace BEFORE INSERT ON auth_audit
WHEN EXISTS (SELECT 1 FROM auth_audit WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the audit log is kept for ever: this entry is there already'); END
"""

REFUSE_POSTGRESQL = """
CREATE FUNCTION gridagora_auth_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is kept for ever: % is refused', TG_OP; END $$
"""


def _text(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _moment(*names: str, null: bool = False) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, nullable=null) for name in names]


def upgrade() -> None:
    """Make the tables, and the triggers that keep the audit log."""
    _make_people()
    _make_sessions()
    op.create_table(
        "auth_audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *_moment("at"),
        *_text("actor", "organisation", "action", "object", "outcome", "address", "detail"),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "auth_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("owner", "kind", "status", "worker"),
        *_moment("done", "total", "made_at", "changed_at"),
        sa.Column("result", sa.Text, nullable=True),
        sa.Column("problem", sa.Text, nullable=True),
    )
    op.create_index("auth_jobs_owner", "auth_jobs", ["owner"])
    _keep_audit()


def _make_people() -> None:
    op.create_table(
        "auth_organisations",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("name", "type", "status", "areas"),
        *_moment("version", "made_at"),
    )
    op.create_table(
        "auth_users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        *_text("name", "role"),
        sa.Column("organisation", sa.Text, sa.ForeignKey("auth_organisations.id"), nullable=False),
        *_text("participants", "status", "password_hash"),
        sa.Column("must_change", sa.SmallInteger, nullable=False),
        sa.Column("totp_secret", sa.Text, nullable=True),
        sa.Column("totp_offered", sa.Text, nullable=True),
        *_moment("totp_step", "version", "made_at"),
    )
    op.create_table(
        "auth_recovery_codes",
        sa.Column("owner", sa.Text, sa.ForeignKey("auth_users.id"), primary_key=True),
        sa.Column("hash", sa.LargeBinary, primary_key=True),
    )
    op.create_table(
        "auth_clients",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("name", "role"),
        sa.Column("organisation", sa.Text, sa.ForeignKey("auth_organisations.id"), nullable=False),
        *_text("owner", "participants", "scopes", "status", "secret_hash"),
        *_moment("version", "made_at"),
    )


def _make_sessions() -> None:
    op.create_table(
        "auth_sessions",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("subject"),
        *_moment("made_at", "expires_at"),
        *_moment("revoked_at", null=True),
        sa.Column("scopes", sa.Text, nullable=True),
    )
    op.create_index("auth_sessions_subject", "auth_sessions", ["subject"])
    op.create_index("auth_sessions_expires", "auth_sessions", ["expires_at"])
    session = sa.ForeignKey("auth_sessions.id", ondelete="CASCADE")
    op.create_table(
        "auth_refresh_tokens",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("session", sa.Text, session, nullable=False),
        *_moment("expires_at"),
        *_moment("used_at", null=True),
    )
    op.create_index("ix_auth_refresh_tokens_session", "auth_refresh_tokens", ["session"])
    op.create_table(
        "auth_attempts",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        *_moment("failures", "at", "until"),
    )
    op.create_table(
        "auth_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        *_moment("made_at"),
    )


def _keep_audit() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(REPLACE_SQLITE)
        for word in ("UPDATE", "DELETE"):
            op.execute(REFUSE_SQLITE.format(word=word))
        return
    op.execute(REFUSE_POSTGRESQL)
    call = "EXECUTE FUNCTION gridagora_auth_refuse()"
    op.execute(f"CREATE TRIGGER auth_audit_kept BEFORE UPDATE OR DELETE ON auth_audit FOR EACH ROW {call}")
    op.execute(
        f"CREATE TRIGGER auth_audit_not_emptied BEFORE TRUNCATE ON auth_audit FOR EACH STATEMENT {call}"
    )


def downgrade() -> None:
    """Drop the tables of a database without an audit log; one with entries is refused."""
    bind = op.get_bind()
    if bind.execute(sa.text("SELECT 1 FROM auth_audit LIMIT 1")).first() is not None:
        raise RuntimeError("the database holds an audit log; it is never dropped")
    for table in ("jobs", "audit", "keys", "attempts", "refresh_tokens", "sessions", "clients"):
        op.drop_table(f"auth_{table}")
    for table in ("recovery_codes", "users", "organisations"):
        op.drop_table(f"auth_{table}")
    if bind.dialect.name != "sqlite":
        op.execute("DROP FUNCTION gridagora_auth_refuse()")
