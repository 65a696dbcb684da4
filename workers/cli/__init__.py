"""The ``recordings`` command. One file a group of commands; what they do lives in the rooms beside this one."""

import typer

from workers.cli import (
    demo,
    dispatcher,
    doctor,
    download,
    downloads,
    enqueue,
    erasing,
    export,
    failures,
    flower,
    integrations,
    keys,
    migrate,
    orgs,
    status,
    storage,
    up,
    verify_isolation,
    webhooks,
)
from workers.cli.faults import plainly

app = typer.Typer(
    name="recordings",
    help="Call recordings, from a provider's expiring URL into each organisation's own storage.",
    epilog="Start here: recordings demo. Or: recordings up --detach, then recordings env --role call_handler.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(up.up)
app.command()(up.down)
app.command()(up.env)
app.command()(migrate.migrate)
app.command()(enqueue.enqueue)
app.command()(status.status)
app.command()(download.download)
app.command()(export.export)
app.command()(erasing.erase)
app.command()(erasing.hold)
app.command()(erasing.erasures)
app.command()(doctor.doctor)
app.command()(verify_isolation.verify_isolation)
app.command()(dispatcher.dispatcher)
app.command()(flower.flower)
app.add_typer(failures.app, name="failures")
app.add_typer(downloads.app, name="downloads")
app.add_typer(orgs.app, name="orgs")
app.add_typer(keys.app, name="keys")
app.add_typer(integrations.app, name="integrations")
app.add_typer(storage.app, name="storage")
app.add_typer(webhooks.app, name="webhooks")


def main() -> None:
    """Run a command. A mistake of the user's, or a server that is away, is a sentence and an exit code."""
    with plainly():
        app()
