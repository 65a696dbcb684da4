"""``recordings migrate``: the schema to its newest version, and what a deployment hands it installed."""

import json

import typer

from schema import grant_keys, roles
from workers.cli.options import JsonOption
from workers.grants import GrantKey
from workers.settings import MigrateSettings


def migrate(json_out: JsonOption = False) -> None:
    """Bring the database to the newest version, as administrator. Safe to run again.

    Sets the passwords of the logins that RECORDINGS_*_PASSWORD give, and makes RECORDINGS_GRANT_KEY valid.
    """
    from schema import migrate as schema_migrate  # noqa: PLC0415 - Alembic takes a second that no other command has

    settings = MigrateSettings.load()
    applied = schema_migrate.migrate(settings.dsn)
    passwords = _passwords(settings)
    roles.set_passwords(settings.dsn, passwords)
    kid = _install_key(settings)
    if json_out:
        typer.echo(json.dumps({"applied": applied, "head": schema_migrate.head(), "logins": [*passwords], "kid": kid}))
        return
    typer.echo(f"applied: {', '.join(applied)}" if applied else f"already at {schema_migrate.head()}")
    if passwords:
        typer.echo(f"passwords set: {', '.join(passwords)}")
    if kid:
        typer.echo(f"grant key installed: {kid}")


def _passwords(settings: MigrateSettings) -> dict[str, str]:
    given = {
        roles.DISPATCHER: settings.dispatcher_password,
        roles.WORKER: settings.worker_password,
        roles.CALL_HANDLER: settings.call_handler_password,
        roles.OPERATOR: settings.ops_password,
        roles.AUTHENTICATOR: settings.authenticator_password,
    }
    return {login: password.get_secret_value() for login, password in given.items() if password}


def _install_key(settings: MigrateSettings) -> str | None:
    if settings.grant_key is None:
        return None
    key = GrantKey.parse(settings.grant_key.get_secret_value())
    return key.kid if grant_keys.install(settings.dsn, key.kid, key.secret) else None
