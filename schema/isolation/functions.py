"""Every function of ours: who may call it, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from schema import roles as logins
from schema.isolation.outcome import DENIED, NO_SUCH_PARENT, NOTHING, Outcome, Refused, Rows
from schema.lints import declared as roles
from schema.lints import grants

#: What a sealed value begins with: version, length of the key's id, id. PostgreSQL can judge no more of it.
_SEALED = r"'\x01016b00'"

CALLS: Mapping[str, str] = {
    "public.auth_org_id": "public.auth_org_id()",
    "public.auth_user_id": "public.auth_user_id()",
    "public.enqueue_recording": "public.enqueue_recording('{own_org}', 'https', 'c', 'https://provider.example/r')",
    "public.retry_failed_upload": "public.retry_failed_upload('{own_failed}', 'r')",
    "public.discard_failed_upload": "public.discard_failed_upload('{own_failed}', 'r')",
    "public.request_storage_sweep": "public.request_storage_sweep('{own_org}', 'r')",
    "public.set_integration": f"public.set_integration('{{own_org}}', 'twilio', {_SEALED}, 'r')",
    "public.announce_integration": "public.announce_integration('{own_org}', 'vapi', 'r')",
    "public.announced_integration": "public.announced_integration('{own_org}', 1)",
    "public.reseal_integration": f"public.reseal_integration('{{own_org}}', 'vapi', 'sealed', {_SEALED}, 'r')",
    "public.remove_integration": "public.remove_integration('{own_org}', 'vapi', 'r')",
    "app.task_org_id": "app.task_org_id()",
    "app.grant_fault": "app.grant_fault()",
    "app.report_worker": "app.report_worker('w', 1, 1, 1)",
    "app.report_refused_grant": "app.report_refused_grant('w')",
    "app.enqueue_org_id": "app.enqueue_org_id()",
    "app.named_upload_id": "app.named_upload_id()",
    "app.named_org_id": "app.named_org_id()",
    "app.take_failed_upload": "app.take_failed_upload('{own_failed}', 'r')",
    "app.note_upload_action": "app.note_upload_action('upload_retried', '{own_org}', 'r', '{{}}')",
    "app.seconds_ago": "app.seconds_ago(1)",
    "app.seal_key_id": f"app.seal_key_id({_SEALED})",
    "app.name_integration": "app.name_integration('{own_org}', 'r')",
    "app.refuse_unsealed": f"app.refuse_unsealed({_SEALED})",
    "app.note_integration": "app.note_integration('integration_set', '{own_org}', '{own_org}', 'r', '{{}}')",
    "app.refuse_change": "app.refuse_change()",
    "app.refuse_org_change": "app.refuse_org_change()",
    "app.touch_updated_at": "app.touch_updated_at()",
}

_HELPERS: Mapping[str, str] = {
    "app.take_failed_upload": roles.ACTIONS,
    "app.note_upload_action": roles.ACTIONS,
    "app.seconds_ago": roles.REPORTER,
    "app.name_integration": roles.INTEGRATOR,
    "app.refuse_unsealed": roles.INTEGRATOR,
    "app.note_integration": roles.INTEGRATOR,
}
"""Owned by an owner of functions, and called by those alone."""


def callers(function: str) -> frozenset[str]:
    """Who may call it: those that it is for, and its owner."""
    owner = roles.DEFINER_FUNCTIONS.get(function) or _HELPERS.get(function) or logins.OWNER
    return frozenset({owner, *grants.callers(function)})


def may_call(role: str, function: str) -> bool:
    return role in callers(function)


@dataclass(frozen=True, slots=True)
class Effect:
    """A call, and rows of ``table`` WHERE ``where`` after it, as the administrator sees them; '': what it returns."""

    role: str
    function: str
    name: str
    statement: str
    expected: Outcome
    table: str = ""
    where: str = ""


_ENQUEUE = "SELECT FROM public.enqueue_recording('{%s_org}', 'https', '%s', 'https://provider.example/moved'%s)"
_QUEUE = "public.recording_upload_queue"
_MOVED = "source_url = 'https://provider.example/moved'"
_OWN, _OTHER = Rows(own=1), Rows(other=1)
_MISTAKE = Refused("22023")


def _by_operator(
    function: str, name: str, statement: str, expected: Outcome, table: str = "", where: str = ""
) -> Effect:
    return Effect(logins.OPERATOR, f"public.{function}", name, statement, expected, table, where)


_SET = f"SELECT public.set_integration('{{own_org}}', 'twilio', {_SEALED}, 'r')"
_ANNOUNCE = "SELECT public.announce_integration('{own_org}', 'vapi', 'r')"
_AT_ONCE = f"SELECT '{{own_org}}'::uuid WHERE public.announced_integration('{{own_org}}', ({_ANNOUNCE})) IS NOT NULL"
_RESEAL = f"SELECT public.reseal_integration('{{own_org}}', 'vapi', '%s', {_SEALED}, 'r')"
_REMOVE = "SELECT public.remove_integration('{own_org}', 'vapi', 'r')"
_KEPT, _TRAIL = "public.integrations", "public.audit_log"

_CREDENTIALS = (
    _by_operator("set_integration", "call", _SET, _OWN, _KEPT, "provider = 'twilio'"),
    _by_operator(
        "set_integration", "call for the other", _SET.replace("own", "other"), _OTHER, _KEPT, "provider = 'twilio'"
    ),
    _by_operator("set_integration", "call, and its trace", _SET, _OWN, _TRAIL, "action = 'integration_set'"),
    _by_operator("set_integration", "call with a plain secret", _SET.replace(_SEALED, "'hush-hush'"), _MISTAKE),
    _by_operator("set_integration", "call without a reason", _SET.replace("'r')", "' ')"), _MISTAKE),
    _by_operator(
        "set_integration",
        "SELECT after the call",
        _SET + "; SELECT sealed_credentials FROM public.integrations",
        DENIED,
    ),
    _by_operator(
        "announce_integration", "call, and its trace", _ANNOUNCE, _OWN, _TRAIL, "action = 'integration_announced'"
    ),
    _by_operator("announced_integration", "call before the trace is committed", _AT_ONCE, NOTHING),
    _by_operator("reseal_integration", "call", _RESEAL % "sealed", _OWN, _KEPT, "key_id = 'k'"),
    _by_operator(
        "reseal_integration", "call, and its trace", _RESEAL % "sealed", _OWN, _TRAIL, "action = 'integration_resealed'"
    ),
    _by_operator(
        "reseal_integration", "call for what is no longer there", _RESEAL % "older", NOTHING, _KEPT, "key_id = 'k'"
    ),
    _by_operator(
        "reseal_integration", "call with a plain secret", (_RESEAL % "sealed").replace(_SEALED, "'hush-hush'"), _MISTAKE
    ),
    _by_operator("remove_integration", "call", _REMOVE, _OTHER, _KEPT, "provider = 'vapi'"),
    _by_operator("remove_integration", "call, and its trace", _REMOVE, _OWN, _TRAIL, "action = 'integration_removed'"),
)

EFFECTS = (
    Effect(
        logins.CALL_HANDLER,
        "public.enqueue_recording",
        "call for its own",
        _ENQUEUE % ("own", "new", ""),
        _OWN,
        _QUEUE,
        _MOVED,
    ),
    Effect(
        logins.CALL_HANDLER,
        "public.enqueue_recording",
        "call for the other",
        _ENQUEUE % ("other", "new", ""),
        _OTHER,
        _QUEUE,
        _MOVED,
    ),
    # Both organisations have a recording of this name.
    Effect(
        logins.CALL_HANDLER,
        "public.enqueue_recording",
        "call again for a known recording",
        _ENQUEUE % ("own", "pending", ""),
        _OWN,
        _QUEUE,
        _MOVED,
    ),
    Effect(
        logins.CALL_HANDLER,
        "public.enqueue_recording",
        "call with the other's agent",
        _ENQUEUE % ("own", "new", ", agent_id => '{other_agent}'"),
        NO_SUCH_PARENT,
    ),
    Effect(
        logins.CALL_HANDLER,
        "public.enqueue_recording",
        "SELECT after the call",
        _ENQUEUE % ("own", "new", "") + "; SELECT id FROM public.call_logs",
        DENIED,
    ),
    Effect(
        logins.OPERATOR,
        "public.retry_failed_upload",
        "call",
        "SELECT public.retry_failed_upload('{own_failed}', 'r')",
        _OWN,
        _QUEUE,
        "retried_at IS NOT NULL",
    ),
    Effect(
        logins.OPERATOR,
        "public.retry_failed_upload",
        "call, and its trace",
        "SELECT public.retry_failed_upload('{own_failed}', 'r')",
        _OWN,
        "public.audit_log",
        "action = 'upload_retried'",
    ),
    Effect(
        logins.OPERATOR,
        "public.retry_failed_upload",
        "SELECT after the call",
        "SELECT public.retry_failed_upload('{own_failed}', 'r'); SELECT source_url FROM public.recording_upload_queue",
        DENIED,
    ),
    Effect(
        logins.OPERATOR,
        "public.discard_failed_upload",
        "call",
        "SELECT public.discard_failed_upload('{own_failed}', 'r')",
        _OWN,
        "public.failed_recording_uploads",
        "resolution = 'discarded'",
    ),
    Effect(
        logins.OPERATOR,
        "public.request_storage_sweep",
        "call",
        "SELECT public.request_storage_sweep('{own_org}', 'r')",
        _OWN,
        "app.sweeps",
        "requested_at IS NOT NULL",
    ),
    Effect(
        logins.WORKER,
        "app.report_refused_grant",
        "call in another's name",
        "SELECT app.report_refused_grant('w', org_id => '{other_org}', seen => 'missing')",
        NOTHING,
        "public.audit_log",
        "action <> 'planted'",
    ),
    *_CREDENTIALS,
    Effect(logins.WORKER, "app.task_org_id", "call", "SELECT app.task_org_id()", _OWN),
    Effect(roles.USER, "public.auth_org_id", "call", "SELECT public.auth_org_id()", _OWN),
    Effect(roles.USER, "public.auth_user_id", "call", "SELECT public.auth_user_id()", _OWN),
)
