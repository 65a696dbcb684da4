"""``recordings erase``, ``hold`` and ``erasures``: what is to be forgotten, and what must be kept, as recording_ops."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, NoReturn
from uuid import UUID

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from workers.cli.downloads import harmless
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, actor, as_operator
from workers.erasure_report import Planned, Receipt, read_code, read_erasures, read_receipt
from workers.erasure_report import erase as ask_to_erase
from workers.erasure_report import hold as ask_to_hold

_LOOK_EVERY_S = 0.2
CallOption = Annotated[UUID, typer.Option("--call", help="The call.")]
ReasonOption = Annotated[str, typer.Option(help="Why: kept in the audit log.")]
_WHY_NOT = {
    "not_found": "no such call: its id is in call_logs",
    "on_legal_hold": "it is on legal hold: recordings hold --call {call} --release ends that, and nothing else may",
    "already_running": "an upload of it is under way: ask again when that has ended, recordings status shows it",
    "already_erased": "it is erased, or a worker has begun to: recordings erasures shows it",
}


def erase(
    call: CallOption,
    reason: ReasonOption,
    wait_s: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the receipt.")] = 60.0,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Erase a call's recording for good: every version of it, links, exports that have it in. The trail stays."""
    with as_operator(state) as connection:
        result = ask_to_erase(connection, call, reason, actor())
        # Asked for twice is asked for once: then this waits for the first.
        if result not in {"erasing", "already_erased"}:
            _fail(call, result, _WHY_NOT[result].format(call=call), json_out=json_out)
        receipt = _wait(connection, call, wait_s)
        if receipt is None:
            code = read_code(connection, call)
            _fail(call, code or "erasing", _waiting(code, wait_s), json_out=json_out)
    _show(call, receipt, json_out=json_out)


def hold(
    call: CallOption,
    reason: ReasonOption,
    release: Annotated[bool, typer.Option("--release", help="End the hold.")] = False,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Keep a call's recording, whatever its age and whoever wants it erased, until it is released."""
    with as_operator(state) as connection:
        result = ask_to_hold(connection, call, reason, actor(), held=not release)
    if result not in {"held", "released"}:
        _fail(call, result, _WHY_NOT[result], json_out=json_out)
    typer.echo(json.dumps({"call_id": str(call), "result": result}) if json_out else f"{call}: {result}")


def erasures(
    org: Annotated[UUID | None, typer.Option("--org", help="Of this organisation only.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Those only that are not done.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show what is being erased and what was, the newest first. Exits with 1 if something stops one."""
    with as_operator(state) as connection:
        found = read_erasures(connection, org_id=org, only_open=only_open, limit=limit)
    if json_out:
        typer.echo(json.dumps([asdict(one) | {"state": one.state} for one in found], default=str))
    else:
        Console().print(_table(found) if found else "nothing is being erased")
    if any(one.error_code for one in found):
        raise typer.Exit(1)


def _wait(connection: psycopg.Connection[Any], call: UUID, wait_s: float) -> Receipt | None:
    until = time.monotonic() + wait_s
    while (receipt := read_receipt(connection, call)) is None and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
    return receipt


def _waiting(code: str | None, wait_s: float) -> str:
    if code is None:
        return f"no receipt within {wait_s:g} s, it is not forgotten: are a dispatcher and a worker running?"
    return "it is tried again by itself; what the code says to do is in docs/operations.md, Erasure"


def _fail(call: UUID, result: str, sentence: str, *, json_out: bool) -> NoReturn:
    if json_out:
        typer.echo(json.dumps({"call_id": str(call), "result": result}))
    typer.echo(f"error: {result}: {sentence}", err=True)
    raise typer.Exit(1)


def _show(call: UUID, receipt: Receipt, *, json_out: bool) -> None:
    if json_out:
        said = {"call_id": call, "result": "erased", "erased_at": receipt.erased_at, "org_id": receipt.org_id}
        typer.echo(json.dumps(said | {"reason": receipt.reason} | dict(receipt.detail), default=str))
        return
    for one in receipt.detail["recordings"]:
        typer.echo(f"{call}: erased, {one['size_bytes']:,} bytes, SHA-256 {one['sha256']}")
    if not receipt.hashes:
        typer.echo(f"{call}: erased; no recording had been stored, and none will be")


def _table(found: Sequence[Planned]) -> Table:
    table = Table("call", "organisation", "cause", "why", "state", "since", "erased")
    for one in found:
        erased = f"{one.erased_at:%Y-%m-%d %H:%M}" if one.erased_at else ""
        since = f"{one.created_at:%Y-%m-%d %H:%M}"
        table.add_row(str(one.call_id), str(one.org_id), one.cause, harmless(one.reason), one.state, since, erased)
    return table
