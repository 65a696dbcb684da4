"""The way back from a failed upload: what operators may do, and the trail that it leaves."""

from schema.migrations.frozen import run_sql

revision = "0006_operators"
down_revision = "0005_enqueue"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
