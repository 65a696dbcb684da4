"""The cells that follow from no rule of ``cells.py``: each is a way that somebody could try.

Names in braces are ids: ``{own_call}`` is a call of the organisation asked for, ``{other_call}`` one of the other's.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from schema import roles as logins
from schema.isolation import erasing
from schema.isolation.cast import Cast
from schema.isolation.cells import NOBODY, listed
from schema.isolation.contexts import OWN, Context, contexts
from schema.isolation.effects import EFFECTS, Effect
from schema.isolation.expectation import Cell, Expectation
from schema.isolation.functions import CALLS, may_call
from schema.isolation.outcome import DENIED, NO_SUCH_PARENT, NOTHING, NULL, Outcome, Rows
from schema.isolation.planting import TABLES, Row, Table
from schema.isolation.received import RECEIVED
from schema.isolation.rights import CLAIMS, ROLES, Role
from schema.lints import declared as roles

ADMINISTRATOR = "administrator"

_STAYS = "a trigger holds every row to its organisation, whoever asks"
_PARENT = "the key holds the organisation too: a row under another's parent cannot exist, whoever asks"
_NOBODYS = "a row of no organisation would be nobody's to guard"
_APPEND = "what is written in the audit log stays as it is, whoever asks"
_TRUE = "a trace says who, whose and what as it was, or is not written"
_ASKED = "a link is for the user who asked for it, by the subject of their token"
_TOUCHED = "when a row was changed is the database's to say"
_ALIKE = "another organisation's id and one that does not exist are refused alike"

_TRACE = {"org_id": "'{own_org}'", "actor": "session_user"}
_OF_UPLOAD = {**_TRACE, "action": "'upload_retried'", "subject_id": "'{own_failed}'"}
_OF_SWEEP = {**_TRACE, "action": "'sweep_requested'"}
_OF_ERASURE = {**_TRACE, "action": "'recording_erased'", "subject_id": "'{own_call}'"}
_OF_CREDENTIALS = {**_TRACE, "action": "'integration_set'"}
_OF_UNCLAIMED = {**_TRACE, "org_id": "'{other_org}'", "action": "'unclaimed_call_discarded'"}
_OF_REFUSAL = {"actor": "session_user", "action": "'grant_refused'"}
_FALSE_TRACES: Mapping[str, tuple[tuple[str, Row], ...]] = {
    roles.INTEGRATOR: (
        ("of the other's", _OF_CREDENTIALS | {"org_id": "'{other_org}'"}),
        ("of nobody's", _OF_CREDENTIALS | {"org_id": "NULL"}),
        ("by somebody else", _OF_CREDENTIALS | {"actor": "'nobody'"}),
        ("of something else", _OF_CREDENTIALS | {"action": "'upload_retried'"}),
    ),
    roles.ACTIONS: (
        ("of the other's", _OF_UPLOAD | {"org_id": "'{other_org}'"}),
        ("of nobody's", _OF_UPLOAD | {"org_id": "NULL"}),
        ("of the other's upload", _OF_UPLOAD | {"subject_id": "'{other_failed}'"}),
        ("of no upload", _OF_UPLOAD | {"subject_id": "NULL"}),
        ("by somebody else", _OF_UPLOAD | {"actor": "'nobody'"}),
        ("of what it does not do", _OF_UPLOAD | {"action": "'sweep_requested'"}),
    ),
    roles.REQUESTER: (
        ("of the other's", _OF_SWEEP | {"org_id": "'{other_org}'"}),
        ("of nobody's", _OF_SWEEP | {"org_id": "NULL"}),
        ("by somebody else", _OF_SWEEP | {"actor": "'nobody'"}),
        ("of what it does not do", _OF_SWEEP | {"action": "'upload_retried'"}),
    ),
    roles.ERASER: (
        ("of the other's", _OF_ERASURE | {"org_id": "'{other_org}'"}),
        ("of nobody's", _OF_ERASURE | {"org_id": "NULL"}),
        ("of the other's call", _OF_ERASURE | {"subject_id": "'{other_call}'"}),
        ("of no call", _OF_ERASURE | {"subject_id": "NULL"}),
        ("by somebody else", _OF_ERASURE | {"actor": "'nobody'"}),
        ("of what it does not do", _OF_ERASURE | {"action": "'upload_retried'"}),
    ),
    roles.RECEIVER: (
        ("of an organisation that was not named", _OF_UNCLAIMED | {"action": "'unclaimed_call_assigned'"}),
        ("of what is nobody's, in a name", _OF_UNCLAIMED),
        ("by somebody else", _OF_UNCLAIMED | {"org_id": "NULL", "actor": "'nobody'"}),
        ("of what it does not do", _OF_UNCLAIMED | {"org_id": "NULL", "action": "'upload_retried'"}),
    ),
    roles.REFUSALS: (
        ("of an organisation", _OF_REFUSAL | {"org_id": "'{own_org}'"}),
        ("by somebody else", _OF_REFUSAL | {"actor": "'nobody'"}),
        ("of what it does not do", _OF_REFUSAL | {"action": "'upload_retried'"}),
    ),
}
"""What the owners of functions must not be able to write into audit_log."""

_TAKEN_ELSEWHERE = {
    "public.failed_recording_uploads": {"upload_id": "'{other_failed}'"},
    "public.recording_upload_metrics": {"upload_id": "'{other_completed}'", "attempt": "1"},
}
"""Rows that would meet the other's in a key that forgot the organisation."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """The cast, and every context by role and name."""

    cast: Cast
    contexts: Mapping[str, Mapping[str, Context]]


def attacks(cast: Cast) -> Iterator[Cell]:
    """All of them."""
    proofs = {role.name: role.proof for role in ROLES} | {ADMINISTRATOR: ""}
    said = {role: {one.name: one for one in contexts(proof, cast)} for role, proof in proofs.items()}
    stage = _Stage(cast, said)
    for table in TABLES:
        yield from _by_the_administrator(table, stage)
        for role in ROLES:
            yield from _beside(role, table, stage)
    for role in ROLES:
        yield from _joins(role, stage)
        for function, call in CALLS.items():
            if not may_call(role.name, function):
                yield _cell(stage, role.name, function, "call", f"SELECT {call}", DENIED, role.why)
    for effect in (*EFFECTS, *erasing.EFFECTS, *RECEIVED):
        yield _effect(stage, effect)
    yield from _by_insert(stage)
    yield from _by_subject(stage)


def _by_insert(stage: _Stage) -> Iterator[Cell]:
    for table in TABLES:
        if taken := _TAKEN_ELSEWHERE.get(table.name):
            insert = stage.cast.own.insert(table.name, {**table.example, **_filled(stage, taken)})
            yield _cell(stage, logins.WORKER, table.name, "INSERT beside the other's", insert, NO_SUCH_PARENT, _ALIKE)
    of_export = {"kind": "'export'", "export_id": "'{other_export}'"}
    for role_name in (ADMINISTRATOR, roles.ASKER):
        downloads = next(table for table in TABLES if table.name == "public.recording_downloads")
        insert = stage.cast.own.insert(downloads.name, {**downloads.example, **_filled(stage, of_export)})
        operation = "INSERT into the other's export"
        yield _cell(stage, role_name, downloads.name, operation, insert, NO_SUCH_PARENT, _PARENT)
    for role_name, traces in _FALSE_TRACES.items():
        for false, trace in traces:
            insert = stage.cast.own.insert("public.audit_log", _filled(stage, trace))
            yield _cell(stage, role_name, "public.audit_log", f"INSERT of a trace {false}", insert, DENIED, _TRUE)


def _by_subject(stage: _Stage) -> Iterator[Cell]:
    """The own organisation, and a user who is not the one that asked for the link."""
    org, user = {"org_id": stage.cast.own.ids["org"]}, stage.cast.own.ids["user"]
    for operation, claims in (
        ("SELECT without a subject", {}),
        ("SELECT as another user", {"sub": stage.cast.other.ids["user"]}),
        ("SELECT by a subject in user_metadata", {"user_metadata": {"sub": user}}),
        ("SELECT by a subject in app_metadata", {"app_metadata": {**org, "sub": user}}),
        ("SELECT by a list of subjects", {"sub": [user]}),
        ("SELECT by a nested subject", {"sub": {"sub": user}}),
        ("SELECT by a malformed subject", {"sub": f"{user} "}),
    ):
        said = json.dumps({"app_metadata": org} | claims)
        statement = "SELECT id FROM public.recording_downloads"
        cell = _cell(stage, roles.USER, "public.recording_downloads", operation, statement, NOTHING, _ASKED)
        yield replace(cell, settings={CLAIMS: said})


def _filled(stage: _Stage, row: Row) -> Row:
    return {column: stage.cast.fill(value) for column, value in row.items()}


def _by_the_administrator(table: Table, stage: _Stage) -> Iterator[Cell]:
    """Triggers and keys bind whom no policy binds."""
    if not table.has_org:
        return
    own = f" WHERE {table.key} IN ({listed(*stage.cast.own.keys(table))})"
    alone = {column: value for column, value in table.example.items() if column not in {"agent_id", "lead_id"}}
    unknown = stage.cast.own.insert(table.name, alone | {"org_id": listed(NOBODY)})
    tries: list[tuple[str, str, Outcome, str]] = [
        ("move to the other", f"UPDATE {table.name} SET org_id = '{{other_org}}'{own}", DENIED, _STAYS),
        ("INSERT for an organisation that is not", unknown, NO_SUCH_PARENT, _NOBODYS),
        ("move by way of NULL", f"UPDATE {table.name} SET org_id = NULL{own}", DENIED, _STAYS),
    ]
    if table.name == "public.audit_log":
        tries += [
            ("UPDATE", f"UPDATE public.audit_log SET reason = NULL{own}", DENIED, _APPEND),
            ("DELETE", f"DELETE FROM public.audit_log{own}", DENIED, _APPEND),
        ]
    else:
        orphan = stage.cast.own.insert(table.name, {**table.example, "org_id": "NULL"})
        tries.append(("INSERT for nobody", orphan, NULL, _NOBODYS))
    if table.is_touched:
        touched = f"RETURNING CASE WHEN updated_at > 'epoch' THEN {table.key} END"
        tries.append(
            (
                "UPDATE of updated_at",
                f"UPDATE {table.name} SET updated_at = 'epoch'{own} {touched}",
                Rows(own=len(table.rows)),
                _TOUCHED,
            )
        )
    for column, parent in table.parents.items():
        there = f"'{stage.cast.other.ids[parent]}'"
        update = f"UPDATE {table.name} SET {column} = {there}{own}"
        tries.append((f"UPDATE of {column} to the other's", update, NO_SUCH_PARENT, _PARENT))
        if not table.once:
            insert = stage.cast.own.insert(table.name, {**table.example, column: there})
            tries.append((f"INSERT under the other's {column}", insert, NO_SUCH_PARENT, _PARENT))
    for operation, statement, expected, why in tries:
        yield _cell(stage, ADMINISTRATOR, table.name, operation, statement, expected, why)


def _beside(role: Role, table: Table, stage: _Stage) -> Iterator[Cell]:
    """What stands beside a table: its statistics, its sequence, whether row-level security binds at all."""
    schema, _, name = table.name.partition(".")
    escape = (
        "SELECT relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace "
        f"WHERE nspname = '{schema}' AND relname = '{name}' AND NOT row_security_active(c.oid)"
    )
    why = "row-level security binds everybody, the owner too"
    yield _cell(stage, role.name, table.name, "escape row-level security", escape, NOTHING, why)
    stats = f"SELECT attname FROM pg_stats WHERE schemaname = '{schema}' AND tablename = '{name}'"
    why = "statistics hold values of every organisation"
    yield _cell(stage, role.name, table.name, "SELECT from pg_stats", stats, NOTHING, why)
    if table.is_numbered and role.name != logins.OWNER:
        why = "the sequence counts the rows of every organisation"
        for operation, use in (
            ("SELECT from its sequence", f"SELECT last_value FROM {table.name}_id_seq"),
            ("nextval of its sequence", f"SELECT nextval('{table.name}_id_seq')"),
        ):
            yield _cell(stage, role.name, table.name, operation, use, DENIED, why)


def _joins(role: Role, stage: _Stage) -> Iterator[Cell]:
    """A table beside each other one that the role may read."""
    if not role.proof:
        return
    context = stage.contexts[role.name][OWN]
    all_ = (Expectation(role, table, context, stage.cast) for table in TABLES)
    readable = [one for one in all_ if one.may("SELECT", one.table.key)]
    for left in readable:
        for right in readable:
            if left.table is not right.table:
                statement = (
                    f"SELECT DISTINCT b.{right.table.key} FROM {left.table.name} AS a "
                    f"CROSS JOIN {right.table.name} AS b LIMIT 50"
                )
                operation = f"SELECT joined to {left.table.name.partition('.')[2]}"
                why = "a join shows what each of its tables shows"
                shown = NOTHING if left.sees == NOTHING else right.sees
                yield _cell(stage, role.name, right.table.name, operation, statement, shown, why)


def _effect(stage: _Stage, effect: Effect) -> Cell:
    why = "a function acts for what its call names, and for nothing else"
    statement = effect.statement
    if effect.table:
        statement += (
            f"; SELECT set_config('role', 'none', true); SELECT org_id FROM {effect.table} "
            f"WHERE org_id IN ('{{own_org}}', '{{other_org}}') AND {effect.where}"
        )
    return _cell(stage, effect.role, effect.function, effect.name, statement, effect.expected, why, effect.context)


def _cell(
    stage: _Stage,
    role: str,
    table: str,
    operation: str,
    statement: str,
    expected: Outcome,
    why: str,
    context: str = OWN,
) -> Cell:
    return Cell(
        role=role,
        table=table,
        operation=operation,
        context=context,
        settings=stage.contexts[role][context].settings,
        statement=stage.cast.fill(statement),
        expected=expected,
        reason=why,
    )
