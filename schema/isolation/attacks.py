"""The cells that follow from no rule of ``cells.py``: each is a way that somebody could try.

Names in braces are ids: ``{own_call}`` is a call of the organisation asked for, ``{other_call}`` one of the other's.
"""

from collections.abc import Iterator, Mapping

from schema import roles as logins
from schema.isolation.cast import Cast
from schema.isolation.cells import listed
from schema.isolation.contexts import OWN, contexts
from schema.isolation.effects import EFFECTS, Effect
from schema.isolation.expectation import Cell, Expectation
from schema.isolation.functions import CALLS, may_call
from schema.isolation.outcome import DENIED, NO_SUCH_PARENT, NOTHING, NULL, Outcome
from schema.isolation.planting import TABLES, Row, Table
from schema.isolation.rights import ROLES, Role
from schema.lints import declared as roles

ADMINISTRATOR = "administrator"

_STAYS = "a trigger holds every row to its organisation, whoever asks"
_PARENT = "the key holds the organisation too: a row under another's parent cannot exist, whoever asks"
_NOBODYS = "a row of no organisation would be nobody's to guard"
_APPEND = "what is written in the audit log stays as it is, whoever asks"
_TRUE = "a trace says who, whose and what as it was, or is not written"
_ALIKE = "another organisation's id and one that does not exist are refused alike"

_TRACE = {"org_id": "'{own_org}'", "actor": "session_user"}
_OF_UPLOAD = {**_TRACE, "action": "'upload_retried'", "subject_id": "'{own_failed}'"}
_OF_SWEEP = {**_TRACE, "action": "'sweep_requested'"}
_OF_CREDENTIALS = {**_TRACE, "action": "'integration_set'"}
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


def attacks(cast: Cast) -> Iterator[Cell]:
    """All of them."""
    for table in TABLES:
        yield from _by_the_administrator(table, cast)
        for role in ROLES:
            yield from _beside(role, table, cast)
    for role in ROLES:
        yield from _joins(role, cast)
        for function, call in CALLS.items():
            if not may_call(role.name, function):
                yield _cell(cast, role.name, function, "call", f"SELECT {call}", DENIED, role.why)
    for effect in EFFECTS:
        yield _effect(cast, effect)
    yield from _by_insert(cast)


def _by_insert(cast: Cast) -> Iterator[Cell]:
    for table in TABLES:
        if taken := _TAKEN_ELSEWHERE.get(table.name):
            insert = cast.own.insert(table.name, {**table.example, **_filled(cast, taken)})
            yield _cell(cast, logins.WORKER, table.name, "INSERT beside the other's", insert, NO_SUCH_PARENT, _ALIKE)
    for role_name, traces in _FALSE_TRACES.items():
        for false, trace in traces:
            insert = cast.own.insert("public.audit_log", _filled(cast, trace))
            yield _cell(cast, role_name, "public.audit_log", f"INSERT of a trace {false}", insert, DENIED, _TRUE)


def _filled(cast: Cast, row: Row) -> Row:
    return {column: cast.fill(value) for column, value in row.items()}


def _by_the_administrator(table: Table, cast: Cast) -> Iterator[Cell]:
    """Triggers and keys bind whom no policy binds."""
    if not table.has_org:
        return
    own = f" WHERE {table.key} IN ({listed(*cast.own.keys(table))})"
    tries: list[tuple[str, str, Outcome, str]] = [
        ("move to the other", f"UPDATE {table.name} SET org_id = '{{other_org}}'{own}", DENIED, _STAYS),
        ("move by way of NULL", f"UPDATE {table.name} SET org_id = NULL{own}", DENIED, _STAYS),
    ]
    if table.name == "public.audit_log":
        tries += [
            ("UPDATE", f"UPDATE public.audit_log SET reason = NULL{own}", DENIED, _APPEND),
            ("DELETE", f"DELETE FROM public.audit_log{own}", DENIED, _APPEND),
        ]
    else:
        orphan = cast.own.insert(table.name, {**table.example, "org_id": "NULL"})
        tries.append(("INSERT for nobody", orphan, NULL, _NOBODYS))
    for column, parent in table.parents.items():
        there = f"'{cast.other.ids[parent]}'"
        update = f"UPDATE {table.name} SET {column} = {there}{own}"
        tries.append((f"UPDATE of {column} to the other's", update, NO_SUCH_PARENT, _PARENT))
        if not table.once:
            insert = cast.own.insert(table.name, {**table.example, column: there})
            tries.append((f"INSERT under the other's {column}", insert, NO_SUCH_PARENT, _PARENT))
    for operation, statement, expected, why in tries:
        yield _cell(cast, ADMINISTRATOR, table.name, operation, statement, expected, why)


def _beside(role: Role, table: Table, cast: Cast) -> Iterator[Cell]:
    """What stands beside a table: its statistics, its sequence, whether row-level security binds at all."""
    schema, _, name = table.name.partition(".")
    escape = (
        "SELECT relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace "
        f"WHERE nspname = '{schema}' AND relname = '{name}' AND NOT row_security_active(c.oid)"
    )
    why = "row-level security binds everybody, the owner too"
    yield _cell(cast, role.name, table.name, "escape row-level security", escape, NOTHING, why)
    stats = f"SELECT attname FROM pg_stats WHERE schemaname = '{schema}' AND tablename = '{name}'"
    why = "statistics hold values of every organisation"
    yield _cell(cast, role.name, table.name, "SELECT from pg_stats", stats, NOTHING, why)
    if table.is_numbered and role.name != logins.OWNER:
        why = "the sequence counts the rows of every organisation"
        for use in (f"SELECT last_value FROM {table.name}_id_seq", f"SELECT nextval('{table.name}_id_seq')"):
            yield _cell(
                cast, role.name, table.name, f"{use.split()[1].partition('(')[0]} of its sequence", use, DENIED, why
            )


def _joins(role: Role, cast: Cast) -> Iterator[Cell]:
    """A table beside each other one that the role may read."""
    if not role.proof:
        return
    context = contexts(role.proof, cast)[0]
    all_ = (Expectation(role, table, context, cast) for table in TABLES)
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
                yield _cell(cast, role.name, right.table.name, operation, statement, shown, why)


def _effect(cast: Cast, effect: Effect) -> Cell:
    why = "a function acts for what its call names, and for nothing else"
    statement = effect.statement
    if effect.table:
        statement += (
            f"; SELECT set_config('role', 'none', true); SELECT org_id FROM {effect.table} "
            f"WHERE org_id IN ('{{own_org}}', '{{other_org}}') AND {effect.where}"
        )
    return _cell(cast, effect.role, effect.function, effect.name, statement, effect.expected, why)


def _cell(cast: Cast, role: str, table: str, operation: str, statement: str, expected: Outcome, why: str) -> Cell:
    proof = next((one.proof for one in ROLES if one.name == role), None)
    return Cell(
        role=role,
        table=table,
        operation=operation,
        context=OWN,
        settings={} if proof is None else contexts(proof, cast)[0].settings,
        statement=cast.fill(statement),
        expected=expected,
        reason=why,
    )
