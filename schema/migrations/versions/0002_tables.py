"""The seed's eleven tables, the audit log and the keys of the task grants."""

from schema.migrations.frozen import run_sql

revision = "0002_tables"
down_revision = "0001_roles"


def upgrade() -> None:
    run_sql(f"{revision}.sql")
