"""What Alembic runs: the steps of this package on the connection that it was handed."""

from alembic import context

from gridagora.service.auth.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
