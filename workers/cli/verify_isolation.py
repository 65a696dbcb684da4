"""``recordings verify-isolation``: the proof that organisations cannot reach one another's rows."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console

from schema.isolation import CannotAsk, Report, Result, verify
from schema.lints import Finding, findings
from workers.cli.isolation_document import html, markdown
from workers.cli.isolation_view import verdict, view
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, database_url
from workers.telemetry import redact


class Format(StrEnum):
    """For a terminal, a program, a repository or an auditor."""

    TABLE = "table"
    JSON = "json"
    MD = "md"
    HTML = "html"


def verify_isolation(
    form: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TABLE,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Try every role on every table, in every way, with true and false context. Exits with 1 if anything is reached.

    As the administrator, in a transaction that is rolled back: two organisations are made for it and never seen by
    anybody. Tells each wrong cell, leaks first, and what the static checks find.
    """
    report, found, server = _ask(database_url("admin", state))
    form = Format.JSON if json_out else form
    if form is Format.TABLE:
        Console(soft_wrap=True).print(view(report, found))
    elif form is Format.JSON:
        typer.echo(json.dumps(_as_json(report, found, server)))
    else:
        typer.echo((markdown if form is Format.MD else html)(report, found, server))
    if not report.ok or found:
        if form in {Format.MD, Format.HTML}:
            typer.echo(f"error: {verdict(report, found)}", err=True)
        raise typer.Exit(1)


def _ask(url: str) -> tuple[Report, Sequence[Finding], str]:
    try:
        with psycopg.connect(url, prepare_threshold=None, application_name="recordings verify-isolation") as connection:
            errors = [finding for finding in findings(connection) if finding.level == "error"]
            connection.rollback()
            return verify(connection), errors, str(connection.info.parameter_status("server_version"))
    except psycopg.OperationalError as error:
        raise CannotAsk(f"the database cannot be used: {redact(str(error).strip())}") from None


def _as_json(report: Report, found: Sequence[Finding], server: str) -> dict[str, Any]:
    return {
        "ok": report.ok and not found,
        "cells": len(report.cells),
        "leaks": len(report.leaks),
        "wrong": [_cell(result) for result in report.wrong],
        "findings": [{"code": one.code, "object": one.object, "sentence": one.sentence} for one in found],
        "seconds": round(report.seconds, 3),
        "server_version": server,
    }


def _cell(result: Result) -> dict[str, Any]:
    cell = result.cell
    return {
        "role": cell.role,
        "table": cell.table,
        "operation": cell.operation,
        "context": cell.context,
        "expected": str(cell.expected),
        "seen": str(result.seen),
        "leak": result.is_leak,
        "reason": cell.reason,
    }
