"""What has failed is counted by an index: ``recordings status`` reads no whole table."""

from schema.migrations.frozen import run_sql

revision = "0016_status"
down_revision = "0015_task_memo"


def upgrade() -> None:
    run_sql(f"{revision}.sql")
