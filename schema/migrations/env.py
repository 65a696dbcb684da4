"""How migrations run: one at a time, each in its own transaction, never waiting long for a lock that users hold."""

from alembic import context
from sqlalchemy import Connection, text

# One number for everybody who migrates this schema; any will do, as long as it does not change.
_MIGRATION_LOCK = 7_263_001


def run(connection: Connection) -> None:
    connection.execute(text("SET lock_timeout = '4s'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
    # The version table stands in the private schema: in `public` an API would publish it.
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS app"))
    connection.commit()
    context.configure(connection=connection, version_table_schema="app", transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
    connection.commit()


run(context.config.attributes["connection"])
