"""Providers' credentials: set, read, sealed again and removed by audited functions."""

from schema.migrations.frozen import run_sql

revision = "0010_integrations"
down_revision = "0009_refused_grants"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
