"""Roles of the running system, and the owner of everything else."""

from schema.migrations.frozen import run_sql

revision = "0001_roles"
down_revision = None


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
