"""All that a durable market needs, in one place: its database, its store, group commit, and checks.

    from gridagora import database

    with database.Database("market.db", write=True, create=True) as opened:
        store = database.SqlStore(opened, "village")
        with database.GroupCommit(store) as group:
            receipt = group.submit(decide, key="...", request=hash_of_the_request).result()

The how-to page "Keep a market in a database" goes through all of it.
"""

from gridagora.adapters.sql.audit import Audit, replay, verify
from gridagora.adapters.sql.database import Database, Head, StoredEvent
from gridagora.adapters.sql.group import GroupCommit
from gridagora.adapters.sql.store import Decision, Receipt, SqlStore
from gridagora.errors import CommandConflict, DamagedEvent, StoreError

__all__ = [
    "Audit",
    "CommandConflict",
    "DamagedEvent",
    "Database",
    "Decision",
    "GroupCommit",
    "Head",
    "Receipt",
    "SqlStore",
    "StoreError",
    "StoredEvent",
    "replay",
    "verify",
]
