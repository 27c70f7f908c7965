"""Makes the tables of identities in a database of ours, and brings them up to date."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from gridagora.adapters.sql.locks import lock_schema
from gridagora.errors import StoreError
from gridagora.service.auth.tables import VERSION_TABLE

MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(connection: Connection) -> None:
    """Bring the tables to the newest version within the transaction of the connection.

    Raises
    ------
    StoreError
        for tables that a newer version of GridAgora made.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        lock_schema(connection)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    newest = str(ScriptDirectory.from_config(config).get_current_head())
    now = _revision(connection)
    if now == newest:
        return
    if now is not None and now > newest:
        raise StoreError(f"identities were written by a newer version (tables {now}); update GridAgora")
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if VERSION_TABLE not in inspect(connection).get_table_names():
        return None
    now = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return None if now is None else str(now)
