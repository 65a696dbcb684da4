"""Print the page that schema/current.sql has to be: ``python -m tests.schema.write_page``."""

import sys
import tempfile
from pathlib import Path

from schema.current import page
from schema.migrate import migrate
from workers.embedded.postgres import Postgres


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Postgres.temporary(Path(folder)) as postgres:
        migrate(postgres.admin_url)
        sys.stdout.write(page(postgres.admin_url, postgres.bin_dir / "pg_dump"))


if __name__ == "__main__":
    main()
