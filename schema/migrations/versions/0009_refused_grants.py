"""What was refused: doorbells without a grant that holds."""

from schema.migrations.frozen import run_sql

revision = "0009_refused_grants"
down_revision = "0008_storage"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
