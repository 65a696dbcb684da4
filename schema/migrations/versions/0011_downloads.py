"""Downloads: a user asks, a worker signs a link, the link ends; each step is on record."""

from schema.migrations.frozen import run_sql

revision = "0011_downloads"
down_revision = "0010_integrations"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
