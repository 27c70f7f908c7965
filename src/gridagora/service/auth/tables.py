"""The tables of identities, beside those of the market and with versions of their own.

Moments are seconds since 1970 UTC; lists are JSON text.  What the tables are is written twice, here and in
the migrations that make them; a test compares both.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, MetaData, SmallInteger, Table, Text

VERSION_TABLE = "auth_version"
"""Where Alembic notes which migration these tables are at."""

metadata = MetaData()


def _text(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _moment(*names: str, null: bool = False) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=null) for name in names]


organisations = Table(
    "auth_organisations",
    metadata,
    Column("id", Text, primary_key=True),
    *_text("name", "type", "status", "areas"),
    *_moment("version", "made_at"),
)

users = Table(
    "auth_users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    *_text("name", "role"),
    Column("organisation", Text, ForeignKey("auth_organisations.id"), nullable=False),
    *_text("participants", "status", "password_hash"),
    Column("must_change", SmallInteger, nullable=False),
    Column("totp_secret", Text, nullable=True),
    Column("totp_offered", Text, nullable=True),
    *_moment("totp_step", "version", "made_at"),
)
"""People.  ``totp_offered`` waits to be confirmed; ``totp_step`` is the last one that a code was used of."""

recovery_codes = Table(
    "auth_recovery_codes",
    metadata,
    Column("owner", Text, ForeignKey("auth_users.id"), primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
)
"""Codes that stand in for a lost second factor; a used one is removed."""

clients = Table(
    "auth_clients",
    metadata,
    Column("id", Text, primary_key=True),
    *_text("name", "role"),
    Column("organisation", Text, ForeignKey("auth_organisations.id"), nullable=False),
    *_text("owner", "participants", "scopes", "status", "secret_hash"),
    *_moment("version", "made_at"),
)
"""Machines; ``owner`` is the person or machine that made it."""

sessions = Table(
    "auth_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    *_text("subject"),
    *_moment("made_at", "expires_at"),
    *_moment("revoked_at", null=True),
    Column("scopes", Text, nullable=True),
    Index("auth_sessions_subject", "subject"),
    Index("auth_sessions_expires", "expires_at"),
)
"""What tokens belong to; whoever ends a session ends them all."""

refresh_tokens = Table(
    "auth_refresh_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("session", Text, ForeignKey("auth_sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    *_moment("expires_at"),
    *_moment("used_at", null=True),
)
"""Each can be used once; a second use ends its session."""

attempts = Table(
    "auth_attempts",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    *_moment("failures", "at", "until"),
)
"""Failures to sign in by hashed name and address, also of names that nobody has."""

keys = Table(
    "auth_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    *_moment("made_at"),
)
"""Keys that sign access tokens: the newest signs, older ones are known until their tokens have ended."""

audit = Table(
    "auth_audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_moment("at"),
    *_text("actor", "organisation", "action", "object", "outcome", "address", "detail"),
    Column("hash", LargeBinary, nullable=False),
)
"""Who did what; rows never change, ``hash`` binds each to the one before."""

jobs = Table(
    "auth_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    *_text("owner", "kind", "status", "worker"),
    *_moment("done", "total", "made_at", "changed_at"),
    Column("result", Text, nullable=True),
    Column("problem", Text, nullable=True),
    Index("auth_jobs_owner", "owner"),
)
"""Long work, and what came of it."""
