"""Exports: many recordings in one ZIP, each on record; and recordings in another audio format."""

from schema.migrations.frozen import run_sql

revision = "0012_exports"
down_revision = "0011_downloads"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
