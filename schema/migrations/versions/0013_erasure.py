"""Erasure: recordings that somebody asked to have forgotten, or whose time is over; and legal holds."""

from schema.migrations.frozen import run_sql

revision = "0013_erasure"
down_revision = "0012_exports"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
