"""Which tables a database holds: made and brought up to date by Alembic, refused where not ours."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from gridagora.adapters.sql.locks import lock_schema
from gridagora.adapters.sql.tables import VERSION_TABLE
from gridagora.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a revision, up or down, within the transaction of the connection.

    Parameters
    ----------
    connection : one that may change tables
    revision : "head" for the newest, "base" for no tables, or a number such as "0001"
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config()
    config.attributes["connection"] = connection
    known = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    now = revision_of(connection)
    target = known[0] if revision == "head" else revision
    down = revision == "base" or (now in known and known.index(target) > known.index(now))
    (command.downgrade if down else command.upgrade)(config, revision)


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def newest_revision() -> str:
    """Return the revision of the tables that this version of GridAgora writes."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory.from_config(_config()).get_current_head())


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database's tables; None where it has none at all.

    Raises
    ------
    StoreError
        for a database that holds tables of somebody else.
    """
    found = set(inspect(connection).get_table_names())
    if VERSION_TABLE in found:
        now = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
        return None if now is None else str(now)
    if found:
        some = ", ".join(sorted(found)[:3])
        raise StoreError(
            f"the database belongs to another program: it holds {some}; name an empty or a new one"
        )
    return None


def check_schema(connection: Connection, *, write: bool) -> None:
    """Bring the tables up to date where one may write; else refuse those that are not.

    Raises
    ------
    StoreError
        for an empty database to read, tables of a newer version, or older ones that only a writer may change.
    """
    newest = newest_revision()
    if write and connection.dialect.name == "postgresql":
        lock_schema(connection)
    now = revision_of(connection)
    if now == newest:
        return
    if now is not None and now > newest:
        raise StoreError(
            f"the database was written by a newer version of GridAgora (tables {now}, this one knows "
            f"{newest}); update GridAgora"
        )
    if write:
        migrate(connection)
    elif now is None:
        raise StoreError("the database is empty: no market was ever kept in it")
    else:
        raise StoreError(
            f"the database is of an older version (tables {now}, now {newest}); open it for writing once"
        )
