"""Running a frozen SQL file."""

from pathlib import Path

from alembic import op

_SQL = Path(__file__).parent / "sql"


def run_sql(name: str, *, role: str | None = "recordings_owner") -> None:
    """Run the file as ``role`` (None: as the administrator who migrates) and come back from it.

    The text goes to the driver as it stands, without parameters, so a percent sign in it is a percent sign.
    """
    cursor = op.get_bind().connection.cursor()
    try:
        if role:
            cursor.execute(f'SET LOCAL ROLE "{role}"')
        cursor.execute((_SQL / name).read_text())
        cursor.execute("RESET ROLE")
    finally:
        cursor.close()
