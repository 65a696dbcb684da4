"""Erasure: recordings that were asked for to be forgotten, or whose time is over, and those that a court asks to keep."""

from schema.migrations.frozen import run_sql

revision = "0013_erasure"
down_revision = "0012_exports"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
