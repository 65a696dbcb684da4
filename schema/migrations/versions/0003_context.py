"""Who is asking: the functions on which every policy rests."""

from schema.migrations.frozen import run_sql

revision = "0003_context"
down_revision = "0002_tables"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
