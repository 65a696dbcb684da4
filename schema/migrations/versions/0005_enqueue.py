"""enqueue_recording(): the whole producer interface."""

from schema.migrations.frozen import run_sql

revision = "0005_enqueue"
down_revision = "0004_access"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
