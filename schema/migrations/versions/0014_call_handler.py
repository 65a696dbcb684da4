"""Whoever hears of a call need not know whose it is: the organisation is found by its agent or number, or by nobody."""

from schema.migrations.frozen import run_sql

revision = "0014_call_handler"
down_revision = "0013_erasure"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
