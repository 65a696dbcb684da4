"""``recordings enqueue``: one recording, by hand. Call handlers use the SQL function."""

import json
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import psycopg
import typer

from workers import enqueue as producer
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, database_url


def enqueue(
    org: Annotated[UUID, typer.Option(help="The organisation's id.")],
    call: Annotated[str, typer.Option(help="The provider's id of the call.")],
    url: Annotated[str, typer.Option(help="Where the recording is now.")],
    provider: Annotated[str, typer.Option(help="twilio, vapi, or another name: fetched as the URL stands.")] = "https",
    recording: Annotated[str, typer.Option(help="The provider's id of the recording, if a call can have two.")] = "",
    priority: Annotated[int, typer.Option(min=0, max=9, help="0 high … 9 low.")] = 5,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Enqueue a recording, as call_handler. A recording that is known already is not enqueued twice."""
    with psycopg.connect(database_url("call_handler", state)) as connection:
        enqueued = producer.enqueue(
            connection,
            org_id=org,
            provider=provider,
            provider_call_id=call,
            source_url=url,
            recording_id=recording or None,
            priority=priority,
        )
    if json_out:
        typer.echo(json.dumps(asdict(enqueued), default=str))
    elif enqueued.created:
        typer.echo(
            f"enqueued: upload {enqueued.upload_id} of call {enqueued.call_id}. Follow it with: recordings status"
        )
    else:
        typer.echo(f"known already: upload {enqueued.upload_id} of call {enqueued.call_id}")
