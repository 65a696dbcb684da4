"""A grant is verified once a transaction: what came of it is kept, with a proof that only the verifier can make."""

from schema.migrations.frozen import run_sql

revision = "0015_task_memo"
down_revision = "0014_call_handler"


def upgrade() -> None:
    run_sql(f"{revision}.sql", role=None)
