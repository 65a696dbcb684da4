"""What workers say of themselves, so that status can show one that is paused or has gone silent."""

from schema.migrations.frozen import run_sql

revision = "0007_workers"
down_revision = "0006_operators"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
