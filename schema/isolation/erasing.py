"""What comes of erasing, holding and planning; and that what is erased stays so, whoever writes."""

from schema.isolation.effects import Effect
from schema.isolation.functions import CALLS
from schema.isolation.outcome import DENIED, NOTHING, Outcome, Refused, Rows

_OWN, _OTHER, _MISTAKE = Rows(own=1), Rows(other=1), Refused("22023")
_ERASURES, _QUEUE, _CALLS = "app.erasures", "public.recording_upload_queue", "public.call_logs"
_TRAIL, _SENT = "public.audit_log", "public.recording_downloads"

_ERASE, _HOLD = (f"SELECT {CALLS[f'public.{name}']}" for name in ("erase_recording", "set_legal_hold"))
_ERASE_OWN = _ERASE.replace("spare_call", "call")
_AS_ADMINISTRATOR = "SELECT set_config('role', 'none', true)"
# What the administrator has done before: no upload of the call is under way.
_BEFORE = (
    f"{_AS_ADMINISTRATOR}; UPDATE public.recording_upload_queue SET status = 'pending', lease_expires_at = NULL "
    "WHERE id = '{own_processing}'; %sSELECT set_config('role', '%s', true); "
)
_SETTLED = _BEFORE % ("", "recording_ops")
_OLD = "UPDATE public.call_logs SET recording_uploaded_at = now() - interval '36501 days' WHERE id = '{own_call}'; "
_PLAN = _BEFORE % (_OLD, "recording_dispatcher") + "SELECT app.plan_retention(1000)"

_NO_URL = "source_url = 'https://erased.invalid/' AND status IN ('completed', 'failed')"
_REVIVED = (
    f"{_SETTLED}{_ERASE_OWN}; {_AS_ADMINISTRATOR}; UPDATE public.recording_upload_queue SET status = 'pending', "
    "source_url = 'https://provider.example/' WHERE call_id = '{own_call}' AND status = 'failed'; "
    "UPDATE public.call_logs SET recording_status = 'completed', recording_key = 'k' WHERE id = '{own_call}'"
)
_ENQUEUED = (
    f"{_ERASE}; {_AS_ADMINISTRATOR}; INSERT INTO public.recording_upload_queue (org_id, call_id, provider, "
    "recording_id, source_url) VALUES ('{own_org}', '{own_spare_call}', 'https', 'late', 'https://provider.example/late')"
)
_RENDITIONS, _OF_ERASED = "public.recording_renditions", "call_id = '{own_erased_call}'"
_RENDITION = (
    f"INSERT INTO {_RENDITIONS} (org_id, call_id, upload_id, format, object_key, size_bytes, sha256, source_sha256) "
    "VALUES ('{own_org}', '{own_erased_call}', '{own_completed}', 'ogg', 'k', 1, repeat('a', 64), repeat('a', 64))"
)
_RECEIPT = "action = 'recording_erased'"
_FINISH = "UPDATE app.erasures SET claimed_at = now(), erased_at = now() WHERE org_id = '{own_org}'"
_CHANGE = f"{_AS_ADMINISTRATOR}; UPDATE app.erasures SET next_attempt_at = now() WHERE org_id = '{{own_org}}'"


def _erase(name: str, expected: Outcome, table: str = "", where: str = "", statement: str = _ERASE) -> Effect:
    return Effect("public.erase_recording", name, statement, expected, table, where)


def _hold(name: str, expected: Outcome, table: str = "", where: str = "", statement: str = _HOLD) -> Effect:
    return Effect("public.set_legal_hold", name, statement, expected, table, where)


EFFECTS = (
    Effect(
        "public.request_recording_download",
        "call for what is erased",
        "SELECT public.request_recording_download('{own_erased_call}', 'r')",
        Refused("PT410"),
    ),
    _erase("call", _OWN, _ERASURES, "call_id = '{own_spare_call}' AND cause = 'requested'"),
    _erase("call for the other's", _OTHER, _ERASURES, "reason = 'r'", _ERASE.replace("own", "other")),
    _erase("call, and its trace", _OWN, _TRAIL, "action = 'erasure_planned' AND reason = 'r'"),
    _erase("call without a reason", _MISTAKE, statement=_ERASE.replace("'r')", "' ')")),
    _erase("call while an upload runs", NOTHING, _ERASURES, "reason = 'r'", _ERASE_OWN),
    _erase("call for what is held", NOTHING, _ERASURES, "reason = 'r'", f"{_SETTLED}{_HOLD}; {_ERASE_OWN}"),
    _erase("call, and no URL is left", Rows(own=4), _QUEUE, _NO_URL, _SETTLED + _ERASE_OWN),
    _erase("call, and nobody gets a link", Rows(own=2), _SENT, "status = 'revoked'", _SETTLED + _ERASE_OWN),
    _erase("call, then try its uploads again", Rows(own=4), _QUEUE, f"erased_at IS NOT NULL AND {_NO_URL}", _REVIVED),
    _erase("call, then restore the call", _OWN, _CALLS, "id = '{own_call}' AND recording_status = 'erased'", _REVIVED),
    _erase("call, then enqueue for the call", _OWN, _QUEUE, f"erased_at IS NOT NULL AND {_NO_URL}", _ENQUEUED),
    _hold("call", _OWN, _CALLS, "legal_hold"),
    _hold("call for the other's", _OTHER, _CALLS, "legal_hold", _HOLD.replace("own", "other")),
    _hold("call, and its trace", _OWN, _TRAIL, "action = 'legal_hold_set' AND subject_id = '{own_call}'"),
    _hold("call without a reason", _MISTAKE, statement=_HOLD.replace("'r')", "' ')")),
    _hold("call, and no erasure is planned", NOTHING, _ERASURES, "reason = 'r'", f"{_SETTLED}{_ERASE_OWN}; {_HOLD}"),
    Effect("app.plan_retention", "call", _PLAN, _OWN, _ERASURES, "cause = 'retention'"),
    Effect("app.task_org_id", "finish an erasure, and its receipt", _FINISH, _OWN, _TRAIL, _RECEIPT),
    Effect("app.task_org_id", "keep a rendition of what is erased", _RENDITION, NOTHING, _RENDITIONS, _OF_ERASED),
    Effect("app.task_org_id", "finish an erasure, then change it", f"{_FINISH}; {_CHANGE}", DENIED),
)
