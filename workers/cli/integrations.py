"""``recordings integrations``: providers' credentials, as recording_ops and with the seal key. No value is ever shown,
nor taken from the command line, where every process of the machine could read it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import psycopg
import typer

from workers.cli import failures_view as view
from workers.cli.integrations_view import as_json, table, tell_answer, tell_rotation
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, actor, as_operator
from workers.credentials import Credentials
from workers.errors import CredentialsMissing
from workers.integrations import Desk, Rotation, integrations
from workers.settings import IntegrationsSettings
from workers.sources import ACCOUNTS, Fetcher
from workers.sources.probe import Outcome, ask

app = typer.Typer(help="Providers' credentials, as recording_ops.", no_args_is_help=True)

_LONGEST = 4096

OrgArgument = Annotated[UUID, typer.Argument(metavar="ORG", help="The organisation's id.")]
ProviderArgument = Annotated[str, typer.Argument(metavar="PROVIDER", help=f"One of {', '.join(ACCOUNTS)}.")]
ReasonOption = Annotated[str, typer.Option(help="Why: kept in the audit log.")]


@app.command("set")
def set_(
    org: OrgArgument,
    provider: ProviderArgument,
    username: Annotated[str | None, typer.Option(help="Twilio: the account SID.")] = None,
    reason: ReasonOption = "set by hand",
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Store credentials, or replace those that are there. The secret comes from standard input, or is asked for."""
    _known(provider)
    key = _settings(state).seal_keys[0]
    credentials = Credentials(secret=_secret(provider), username=username)
    if fault := ACCOUNTS[provider].fault(credentials):
        raise typer.BadParameter(fault, param_hint="--username")
    with _desk(state, reason) as desk:
        result = desk.store(key, org, provider, credentials)
    if json_out:
        view.print_json({"org_id": org, "provider": provider, "key_id": key.kid, "result": result})
        return
    typer.echo(f"{result}, sealed under {key.kid}")
    typer.echo(f"try them: recordings integrations test {org} {provider}", err=True)


@app.command("list")
def list_(
    org: Annotated[UUID | None, typer.Option("--org", help="Of this organisation only.")] = None,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show which credentials are stored, under which key, and how old they are."""
    with _desk(state, "") as desk:
        found = integrations(desk.connection, org)
    if json_out:
        view.print_json({"integrations": [as_json(one) for one in found]})
    elif not found:
        typer.echo("no credentials are stored: recordings integrations set ORG PROVIDER")
    else:
        view.console().print(table(found))


@app.command("test")
def try_(
    org: OrgArgument,
    provider: ProviderArgument,
    reason: ReasonOption = "tested by hand",
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Ask the provider whether it knows the stored credentials. Exits with 1 if it does not, or cannot be asked."""
    _known(provider)
    settings = _settings(state)
    with _desk(state, reason) as desk:
        try:
            credentials = desk.opened(settings.seal_keys, org, provider)
        except CredentialsMissing as error:
            view.fail(str(error), 1)
    if credentials is None:
        view.fail(f"none are stored: recordings integrations set {org} {provider}", 1)
    with Fetcher(settings.private_source_networks, read_timeout_s=10.0) as fetcher:
        answer = ask(fetcher, ACCOUNTS[provider].probe(credentials))
    tell_answer(org, provider, answer, json_out=json_out)
    if answer.outcome is not Outcome.OK:
        raise typer.Exit(1)


@app.command()
def rotate(
    reason: ReasonOption = "the seal key is rotated",
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Seal everything again under the first key of RECORDINGS_SEAL_KEY. Interrupted, begin again: it goes on."""
    keys = _settings(state).seal_keys
    with _desk(state, reason) as desk:
        rotation = Rotation(desk, keys)
        trouble = _carry_out(rotation, is_shown=not json_out)
        left = [] if trouble else rotation.left()
    if json_out:
        remaining = {"remaining": len(left), "unopenable": [as_json(one) for one in rotation.unopenable]}
        done = {"key_id": keys[0].kid, "resealed": rotation.results["resealed"], "is_complete": not (trouble or left)}
        view.print_json(done | remaining)
    else:
        tell_rotation(rotation, keys, left)
    if trouble:
        view.fail(f"{trouble}. {rotation.results['resealed']} were sealed again; running the same goes on", 1)
    if left:
        raise typer.Exit(1)


@app.command()
def remove(
    org: OrgArgument,
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="As list shows it.")],
    reason: ReasonOption = "removed by hand",
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Take stored credentials away. Its recordings are then fetched by their URLs as given."""
    with _desk(state, reason) as desk:
        removed = desk.remove(org, provider)
    if json_out:
        view.print_json({"org_id": org, "provider": provider, "result": "removed" if removed else "not_found"})
    elif removed:
        typer.echo("removed")
    if not removed:
        view.fail("none are stored: see recordings integrations list", 1)


def _known(provider: str) -> None:
    """No other provider is ever sent credentials: nothing says which hosts they would belong to."""
    if provider not in ACCOUNTS:
        why = f"credentials are for {' and '.join(ACCOUNTS)} only: any other provider is fetched by its URL as given"
        raise typer.BadParameter(why, param_hint="PROVIDER")


def _secret(provider: str) -> str:
    """From a person without showing it, or from a pipe without its last line break."""
    if sys.stdin.isatty():
        secret = str(typer.prompt(f"{provider}: secret", hide_input=True, confirmation_prompt=True, err=True))
    else:
        secret = sys.stdin.read(_LONGEST + 2).rstrip("\r\n")
    problem = None
    if not secret:
        problem = "is empty: give it on standard input"
    elif len(secret) > _LONGEST:
        problem = f"has more than {_LONGEST} characters"
    elif not secret.isascii() or not secret.isprintable() or " " in secret:
        problem = "holds spaces, line breaks or characters that no provider's secret has"
    if problem:
        view.fail(f"the secret {problem}", 2)
    return secret


def _settings(state: Path) -> IntegrationsSettings:
    """RECORDINGS_SEAL_KEY; where it is not set, or --state is given, the one of the folder's stack if that runs."""
    if not os.environ.get("RECORDINGS_SEAL_KEY") or state != DEFAULT_STATE:
        from workers.embedded.environment import environment  # noqa: PLC0415 - only where the servers are embedded
        from workers.embedded.state import load  # noqa: PLC0415

        found = load(state.expanduser().absolute())
        if found.is_supervised():
            return IntegrationsSettings.load(RECORDINGS_SEAL_KEY=environment(found, "worker")["RECORDINGS_SEAL_KEY"])
    return IntegrationsSettings.load()


@contextmanager
def _desk(state: Path, reason: str) -> Iterator[Desk]:
    with as_operator(state) as connection:
        yield Desk(connection, reason, actor())


def _carry_out(rotation: Rotation, *, is_shown: bool) -> str | None:
    """What went wrong on the way, if anything."""
    try:
        todo = rotation.left()
        with view.progress(len(todo), is_shown=is_shown) as advance:
            for _ in rotation.over(todo):
                advance(1)
    except psycopg.OperationalError:
        return "the database went away"
    except KeyboardInterrupt:
        return "interrupted"
    return None
