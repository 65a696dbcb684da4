"""What comes of the functions when those call them that may: seen from outside, by the administrator."""

from dataclasses import dataclass

from schema.isolation.contexts import OWN
from schema.isolation.functions import CALLS, SEALED
from schema.isolation.outcome import DENIED, NO_SUCH_PARENT, NOTHING, Outcome, Refused, Rows
from schema.lints import grants


@dataclass(frozen=True, slots=True)
class Effect:
    """A call, and rows of ``table`` WHERE ``where`` after it; without a table, what the last statement returns."""

    function: str
    name: str
    statement: str
    expected: Outcome
    table: str = ""
    where: str = ""
    context: str = OWN

    @property
    def role(self) -> str:
        """Whoever the function is for."""
        return grants.callers(self.function)[0]


_OWN, _OTHER = Rows(own=1), Rows(other=1)
_MISTAKE = Refused("22023")
_QUEUE, _TRAIL, _KEPT = "public.recording_upload_queue", "public.audit_log", "public.integrations"


def _call(function: str, *, twice: str = "") -> str:
    return f"SELECT {CALLS[function]}{twice and f'; {twice}'}"


# Enqueueing ----------------------------------------------------------------------------------------------------------

_ENQUEUE = "SELECT FROM public.enqueue_recording('{%s_org}', 'https', '%s', 'https://provider.example/moved'%s)"
_MOVED = "source_url = 'https://provider.example/moved'"


def _enqueue(name: str, whose: str, recording: str, expected: Outcome) -> Effect:
    return Effect("public.enqueue_recording", name, _ENQUEUE % (whose, recording, ""), expected, _QUEUE, _MOVED)


_ENQUEUED = (
    _enqueue("call for its own", "own", "new", _OWN),
    _enqueue("call for the other", "other", "new", _OTHER),
    # Both organisations have a recording of this name.
    _enqueue("call again for a known recording", "own", "pending", _OWN),
    Effect(
        "public.enqueue_recording",
        "call with the other's agent",
        _ENQUEUE % ("own", "new", ", agent_id => '{other_agent}'"),
        NO_SUCH_PARENT,
    ),
    Effect(
        "public.enqueue_recording",
        "SELECT after the call",
        _call("public.enqueue_recording", twice="SELECT id FROM public.call_logs"),
        DENIED,
    ),
)

# Operators -----------------------------------------------------------------------------------------------------------


def _ops(function: str, name: str, expected: Outcome, table: str = "", where: str = "", statement: str = "") -> Effect:
    return Effect(f"public.{function}", name, statement or _call(f"public.{function}"), expected, table, where)


_READ_ON = "SELECT source_url FROM public.recording_upload_queue"
_REPAIRED = (
    _ops("retry_failed_upload", "call", _OWN, _QUEUE, "retried_at IS NOT NULL"),
    _ops("retry_failed_upload", "call, and its trace", _OWN, _TRAIL, "action = 'upload_retried'"),
    _ops(
        "retry_failed_upload",
        "SELECT after the call",
        DENIED,
        statement=_call("public.retry_failed_upload", twice=_READ_ON),
    ),
    _ops("discard_failed_upload", "call", _OWN, "public.failed_recording_uploads", "resolution = 'discarded'"),
    _ops("discard_failed_upload", "call, and its trace", _OWN, _TRAIL, "action = 'upload_discarded'"),
    *(
        _ops(function, "call without a reason", _MISTAKE, statement=_call(f"public.{function}").replace("'r')", "' ')"))
        for function in ("retry_failed_upload", "discard_failed_upload", "request_storage_sweep")
    ),
    _ops(
        "request_storage_sweep",
        "call for a suspended organisation",
        _MISTAKE,
        statement=_call("public.request_storage_sweep").replace("own_org", "suspended"),
    ),
    _ops("request_storage_sweep", "call", _OWN, "app.sweeps", "requested_at IS NOT NULL"),
    _ops("request_storage_sweep", "call, and its trace", _OWN, _TRAIL, "action = 'sweep_requested'"),
)

# Downloads ------------------------------------------------------------------------------------------------------------

_ASK = "SELECT public.request_recording_download('{%s}', '%s')"
_SENT, _REVOKED = "public.recording_downloads", "action = 'download_revoked'"
# What the administrator has done before the call.
_BEFORE = "SELECT set_config('role', 'none', true); %s; SELECT set_config('role', '%s', true); "
_SUSPENDED = _BEFORE % ("UPDATE public.organizations SET status = 'suspended' WHERE id = '{own_org}'", "authenticated")
_READY = _BEFORE % (
    (
        "UPDATE public.recording_downloads SET status = 'ready', url = 'https://store.example/', expires_at = now() "
        "WHERE id = '{own_download}'"
    ),
    "recording_ops",
)

_REOPENED = _call(
    "public.revoke_recording_download",
    twice="SELECT set_config('role', 'none', true); UPDATE public.recording_downloads "
    "SET status = 'ready', url = 'https://store.example/', expires_at = now() WHERE id = '{own_download}'",
)


def _ask(name: str, expected: Outcome, call: str = "own_call", reason: str = "r", context: str = OWN) -> Effect:
    where = "created_at = now() AND reason = 'r'"
    table = _SENT if isinstance(expected, Rows) else ""
    return Effect("public.request_recording_download", name, _ASK % (call, reason), expected, table, where, context)


_EXPORT = "SELECT public.request_recording_export(%s, reason => 'r')"
_EXPORTED = "export_id IS NOT NULL AND reason = 'r'"
_REVOKE_EXPORT = "SELECT public.revoke_recording_download('{own_export}', 'r')"
_OTHERS_TOO = "ARRAY['{own_call}', '{other_call}']::uuid[]"


def _export(name: str, expected: Outcome, what: str, table: str = "", where: str = "") -> Effect:
    return Effect("public.request_recording_export", name, _EXPORT % what, expected, table, where)


_EXPORTS = (
    _export("call", _OWN, "ARRAY['{own_call}'::uuid]", "public.recording_exports", "reason = 'r'"),
    _export("call, and a row for each recording", _OWN, "ARRAY['{own_call}'::uuid]", _SENT, _EXPORTED),
    _export("call by a filter", _OWN, "filter => '{{}}'", _SENT, _EXPORTED),
    _export("call by a filter of the other's", Refused("PT404"), """filter => '{{"agent_id": "{other_agent}"}}'"""),
    _export("call by a filter that is none", _MISTAKE, """filter => '{{"org_id": "{other_org}"}}'"""),
    _export("call with the other's among them", Refused("PT404"), _OTHERS_TOO),
    _export("call with what is not stored among them", Refused("PT409"), _OTHERS_TOO.replace("other", "own_spare")),
    _export("call for nothing", _MISTAKE, "NULL"),
    _export(
        "call, and its trace", _OWN, "ARRAY['{own_call}'::uuid]", _TRAIL, "action = 'export_requested' AND reason = 'r'"
    ),
    _export(
        "call, and the trace of each recording",
        _OWN,
        "ARRAY['{own_call}'::uuid]",
        _TRAIL,
        "action = 'download_requested' AND detail ? 'export_id'",
    ),
    Effect(
        "public.request_recording_export",
        "call without a reason",
        _EXPORT.replace("'r'", "' '") % "ARRAY['{own_call}'::uuid]",
        _MISTAKE,
    ),
    _ops(
        "revoke_recording_download",
        "call for an export",
        _OWN,
        "public.recording_exports",
        "status = 'revoked'",
        _REVOKE_EXPORT,
    ),
    _ops(
        "revoke_recording_download",
        "call for an export, and its trace",
        _OWN,
        _TRAIL,
        "action = 'export_revoked'",
        _REVOKE_EXPORT,
    ),
    _ops(
        "revoke_recording_download",
        "call for an export, then open it again",
        DENIED,
        statement=f"{_REVOKE_EXPORT}; SELECT set_config('role', 'none', true); "
        "UPDATE public.recording_exports SET status = 'requested' WHERE id = '{own_export}'",
    ),
)

_DOWNLOADS = (
    _ask("call for a recording that is stored", _OWN),
    _ask("call for the other's", Refused("PT404"), "other_call"),
    _ask("call for what does not exist", Refused("PT404"), "own_lead"),
    _ask("call for what is not stored", Refused("PT409"), "own_spare_call"),
    _ask("call without a reason", _MISTAKE, reason=" "),
    Effect(
        "public.request_recording_download",
        "call for a suspended organisation",
        _SUSPENDED + _ASK % ("own_call", "r"),
        Refused("PT403"),
    ),
    Effect(
        "public.request_recording_download",
        "call, and its trace",
        _ASK % ("own_call", "r"),
        _OWN,
        _TRAIL,
        "action = 'download_requested' AND reason = 'r'",
    ),
    _ops("revoke_recording_download", "call", _OWN, _SENT, "status = 'revoked'"),
    _ops(
        "revoke_recording_download",
        "call, and the link is gone",
        _OWN,
        _SENT,
        "status = 'revoked' AND url IS NULL",
        _READY + _call("public.revoke_recording_download"),
    ),
    _ops("revoke_recording_download", "call, and its trace", _OWN, _TRAIL, _REVOKED),
    _ops("revoke_recording_download", "call, then open it again", DENIED, statement=_REOPENED),
    _ops(
        "revoke_recording_download",
        "call without a reason",
        _MISTAKE,
        statement=_call("public.revoke_recording_download").replace("'r')", "' ')"),
    ),
    _ops(
        "revoke_recording_download",
        "SELECT after the call",
        DENIED,
        statement=_call("public.revoke_recording_download", twice="SELECT url FROM public.recording_downloads"),
    ),
)

# Credentials ---------------------------------------------------------------------------------------------------------

_SET, _RESEAL = _call("public.set_integration"), _call("public.reseal_integration")
_KEPT_NOW = "SELECT sealed_credentials FROM public.integrations"
_AT_ONCE = f"({_call('public.announce_integration')})"


def _announced(name: str, expected: Outcome, announcement: str, whose: str = "own") -> Effect:
    read = f"public.announced_integration('{{{whose}_org}}', {announcement}) IS NOT NULL"
    return _ops("announced_integration", name, expected, statement=f"SELECT '{{{whose}_org}}'::uuid WHERE {read}")


_CREDENTIALS = (
    _ops("set_integration", "call", _OWN, _KEPT, "provider = 'twilio'"),
    _ops("set_integration", "call for the other", _OTHER, _KEPT, "provider = 'twilio'", _SET.replace("own", "other")),
    _ops("set_integration", "call, and its trace", _OWN, _TRAIL, "action = 'integration_set'"),
    _ops("set_integration", "call with a plain secret", _MISTAKE, statement=_SET.replace(SEALED, "'hush-hush'")),
    _ops("set_integration", "call without a reason", _MISTAKE, statement=_SET.replace("'r')", "' ')")),
    _ops("set_integration", "SELECT after the call", DENIED, statement=f"{_SET}; {_KEPT_NOW}"),
    _ops(
        "announce_integration", "call, and its trace", _OWN, _TRAIL, "action = 'integration_announced' AND at = now()"
    ),
    _announced("call", _OWN, "{own_announced}"),
    _announced("call before the trace is committed", NOTHING, _AT_ONCE),
    _announced("call by what was announced of the other's", NOTHING, "{other_announced}"),
    _announced("call for the other, by what was announced of its own", NOTHING, "{own_announced}", "other"),
    _announced("call by what somebody else announced", NOTHING, "{own_by_another}"),
    _announced("call by what was announced long ago", NOTHING, "{own_stale}"),
    _announced("call by another trace", NOTHING, "{own_entry}"),
    _ops("reseal_integration", "call", _OWN, _KEPT, "key_id = 'k'"),
    _ops("reseal_integration", "call, and its trace", _OWN, _TRAIL, "action = 'integration_resealed'"),
    _ops(
        "reseal_integration",
        "call for what is no longer there",
        NOTHING,
        _KEPT,
        "key_id = 'k'",
        _RESEAL.replace("'sealed'", "'older'"),
    ),
    _ops("reseal_integration", "call with a plain secret", _MISTAKE, statement=_RESEAL.replace(SEALED, "'hush-hush'")),
    _ops("remove_integration", "call", _OTHER, _KEPT, "provider = 'vapi'"),
    _ops("remove_integration", "call, and its trace", _OWN, _TRAIL, "action = 'integration_removed'"),
)

# ---------------------------------------------------------------------------------------------------------------------

# Of no organisation; within an hour the first twenty of a kind are audited one by one.
_BY_REFUSAL = "action = 'grant_refused'"
_REFUSAL = "SELECT app.report_refused_grant('w', org_id => '{other_org}')"
_REFUSED = (
    "; SELECT set_config('role', 'none', true); SELECT '{own_org}'::uuid FROM app.refused_grants AS r "
    "WHERE r.last_at = now() AND r.kind = 'forged' AND (r.refused > 20 OR EXISTS (SELECT FROM public.audit_log AS a "
    "WHERE a.org_id IS NULL AND a.at = now() AND a.action = 'grant_refused' AND a.detail ->> 'kind' = 'forged'))"
)

EFFECTS = (
    *_ENQUEUED,
    *_REPAIRED,
    *_CREDENTIALS,
    *_DOWNLOADS,
    *_EXPORTS,
    Effect("app.report_refused_grant", "call in another's name", _REFUSAL, NOTHING, _TRAIL, _BY_REFUSAL, "forged"),
    Effect("app.report_refused_grant", "call, and its trace", _REFUSAL + _REFUSED, _OWN, context="forged"),
    Effect("app.report_refused_grant", "call with a good grant", _REFUSAL + _REFUSED, NOTHING),
    Effect("app.task_org_id", "call", _call("app.task_org_id"), _OWN),
    Effect("public.auth_org_id", "call", _call("public.auth_org_id"), _OWN),
    Effect("public.auth_user_id", "call", _call("public.auth_user_id"), _OWN),
)
