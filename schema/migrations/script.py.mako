"""${message}

The SQL file beside this version is frozen once it has run anywhere but on your machine: mend it with another version.
Keep locks short (lock_timeout is 4 s): indexes on filled tables CONCURRENTLY, constraints NOT VALID and validated later.
"""

from schema.migrations.frozen import run_sql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run_sql(f"{revision}.sql")
