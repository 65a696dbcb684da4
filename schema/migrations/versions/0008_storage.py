"""What a sweep of the storage found: objects without a row, rows without their object."""

from schema.migrations.frozen import run_sql

revision = "0008_storage"
down_revision = "0007_workers"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
