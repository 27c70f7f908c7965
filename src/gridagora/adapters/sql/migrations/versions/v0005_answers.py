"""Keys and answers of commands move into the chain of events; their table becomes a read table."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

AT_A_TIME = 10_000
"""Commands of one event."""

TRIGGERS = ("commands_no_replace", "commands_no_UPDATE", "commands_no_DELETE")


def upgrade() -> None:
    """Write what was kept so far as events, and let the table be made anew."""
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        for name in TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
    else:
        for name in ("commands_kept", "commands_not_emptied"):
            op.execute(f"DROP TRIGGER {name} ON commands")
    for market, seq, hashed in bind.execute(sa.text("SELECT market, seq, hash FROM heads")).all():
        _carry(bind, market, int(seq), hashed=bytes(hashed))


def _carry(bind: sa.Connection, market: int, seq: int, *, hashed: bytes) -> None:
    """Append the commands of a market to its chain of events."""
    # the classes of today write what they read for ever: bodies name their fields
    from gridagora.adapters.sql.codec import encode
    from gridagora.model.events import CommandsAnswered, chain_hash

    asked = "SELECT max(at) FROM events WHERE market = :market"
    at = int(bind.scalar(sa.text(asked), {"market": market}) or 0)
    told = "INSERT INTO events VALUES (:market, :seq, :at, :kind, :body, :hash)"
    for rows in _some(bind, market):
        event = CommandsAnswered(
            at=at,
            key=tuple(row.key for row in rows),
            request=np.frombuffer(b"".join(bytes(row.request) for row in rows), np.uint8),
            length=np.array([len(row.request) for row in rows], np.int64),
            first=np.array([row.first_seq for row in rows], np.int64),
            last=np.array([row.last_seq for row in rows], np.int64),
            answer=tuple(row.answer for row in rows),
        )
        seq, hashed = seq + 1, chain_hash(hashed, event)
        stored = {"seq": seq, "at": at, "kind": "CommandsAnswered", "body": encode(event), "hash": hashed}
        bind.execute(sa.text(told), {"market": market, **stored})
    moved = "UPDATE heads SET seq = :seq, hash = :hash WHERE market = :market"
    bind.execute(sa.text(moved), {"market": market, "seq": seq, "hash": hashed})


def _some(bind: sa.Connection, market: int) -> Iterator[Sequence[Any]]:
    """Yield the commands of a market that its events do not tell of, in their order, some at a time."""
    told = "SELECT max(seq) FROM events WHERE market = :market AND kind = 'CommandsAnswered'"
    after = int(bind.scalar(sa.text(told), {"market": market}) or 0)
    order = "key" if bind.dialect.name == "sqlite" else 'key COLLATE "C"'
    asked = "SELECT * FROM commands WHERE market = :market AND first_seq > :after"
    ordered = sa.text(f"{asked} ORDER BY first_seq, last_seq, {order}")
    rows = iter(bind.execute(ordered, {"market": market, "after": after}).all())
    while some := list(islice(rows, AT_A_TIME)):
        yield some


def downgrade() -> None:
    """Let the rows never change again; what the chain holds stays in it."""
    bind = op.get_bind()
    if bind.dialect.name != "sqlite":
        call = "EXECUTE FUNCTION gridagora_refuse()"
        op.execute(f"CREATE TRIGGER commands_kept BEFORE UPDATE OR DELETE ON commands FOR EACH ROW {call}")
        op.execute(
            f"CREATE TRIGGER commands_not_emptied BEFORE TRUNCATE ON commands FOR EACH STATEMENT {call}"
        )
        return
    for name in TRIGGERS:
        word = {"replace": "INSERT"}.get(name.rpartition("_")[2], name.rpartition("_")[2])
        when = "WHEN EXISTS (SELECT 1 FROM commands WHERE market = NEW.market AND key = NEW.key)"
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {word} ON commands {when if word == 'INSERT' else ''} "
            "BEGIN SELECT RAISE(ABORT, 'commands are kept for ever'); END"
        )
