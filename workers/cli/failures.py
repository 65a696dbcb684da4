"""``recordings failures``: what failed, why, who acts next; and the way back, as recording_ops."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from workers.cli import failures_view as view
from workers.cli.failure_filter import (
    CodeOption,
    GivenUpOption,
    OrgOption,
    ProviderOption,
    SinceOption,
    UntilOption,
    filter_of,
)
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, as_operator
from workers.cli.repair import command
from workers.failures import groups, matching
from workers.history import read_history
from workers.repair import Action

app = typer.Typer(help="What failed, why, and the way back, as recording_ops.", no_args_is_help=True)


@app.command("list")
def list_(
    org: OrgOption = None,
    code: CodeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    given_up: GivenUpOption = False,
    provider: ProviderOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, oldest first.")] = 50,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show open failures, oldest first, and what to do about them."""
    wanted = filter_of(org, code, since, until, provider, given_up=given_up)
    with as_operator(state) as connection:
        found, counts = matching(connection, wanted, limit=limit), groups(connection, wanted)
    if json_out:
        shown = [asdict(one) | {"acts_next": one.acts_next} for one in found]
        view.print_json({"matched": view.total(counts), "groups": view.groups_json(counts), "failures": shown})
    else:
        console = view.console()
        console.print(view.listed(found, counts, is_filtered=not wanted.is_empty, width=console.width))


@app.command()
def show(
    named: Annotated[UUID, typer.Argument(metavar="ID", help="Of the failure, or of its upload.")],
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show an upload's failures, its attempts, and what operators did, in the order in which it happened."""
    with as_operator(state) as connection:
        history = read_history(connection, named)
    if history is None:
        view.fail(f"no upload and no failure has the id {named}: see recordings failures list", 1)
    if json_out:
        view.print_json(history.as_json())
    else:
        view.console().print(view.history(history))


app.command("retry", help="Have failed uploads tried again now, with a new budget. By id, or by filter.")(
    command(Action.RETRY)
)
app.command("discard", help="Close failures for good: nothing tries their uploads any more. By id, or by filter.")(
    command(Action.DISCARD)
)
