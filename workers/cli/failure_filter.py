"""The filter of ``recordings failures``, as options."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from workers.cli.moments import moment
from workers.failures import CODES, Filter

_WHEN = {"parser": moment, "metavar": "WHEN"}
OrgOption = Annotated[UUID | None, typer.Option("--org", help="Of this organisation (its id).")]
CodeOption = Annotated[list[str] | None, typer.Option("--code", help="With this code; may be given again.")]
SinceOption = Annotated[datetime | None, typer.Option("--since", help="Last failed since: 2h, 3d or a time.", **_WHEN)]
UntilOption = Annotated[datetime | None, typer.Option("--until", help="Last failed before: 2h, 3d or a time.", **_WHEN)]
GivenUpOption = Annotated[bool, typer.Option("--given-up", help="Only what is not tried again by itself.")]
ProviderOption = Annotated[str | None, typer.Option("--provider", help="From this provider.")]


def filter_of(
    org: UUID | None,
    code: list[str] | None,
    since: datetime | None,
    until: datetime | None,
    provider: str | None,
    *,
    given_up: bool,
) -> Filter:
    for unknown in (one for one in code or () if one not in CODES):
        raise typer.BadParameter(f"there is no code {unknown}: choose of {', '.join(CODES)}", param_hint="--code")
    if since and until and since >= until:
        raise typer.BadParameter("lies before --since: nothing can match", param_hint="--until")
    return Filter((), org, tuple(code or ()), since, until, provider, given_up)
