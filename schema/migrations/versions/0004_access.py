"""Who may see and do what: grants, forced row-level security, policies."""

from schema.migrations.frozen import run_sql

revision = "0004_access"
down_revision = "0003_context"


def upgrade() -> None:
    run_sql(f"{revision}.sql")
