"""The schema to its newest version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

_SCRIPTS = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if connection.scalar(text("SELECT to_regclass('app.alembic_version') IS NULL")):
            return None
        version: str | None = connection.scalar(text("SELECT version_num FROM app.alembic_version"))
        return version


def head() -> str:
    """The newest version that this code knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None  # noqa: S101 - there is always a first migration
    return newest


def migrate(database_url: str) -> list[str]:
    """Bring the database to the newest version, as administrator; return the versions that were applied, in order.

    Each version is one transaction: a migration that fails leaves the one before it in place. Two at once wait for one
    another on an advisory lock.
    """
    # Whatever libpq takes for a scheme; SQLAlchemy wants to be told the driver.
    engine = create_engine("postgresql+psycopg://" + database_url.partition("://")[2], poolclass=NullPool)
    try:
        before = _current(engine)
        config = _config()
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        steps = ScriptDirectory.from_config(config).walk_revisions(base=before or "base", head="heads")
        return [step.revision for step in reversed(list(steps)) if step.revision != before]
    finally:
        engine.dispose()
