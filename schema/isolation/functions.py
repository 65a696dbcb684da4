"""Every function of ours, a call of it, and who may."""

from collections.abc import Mapping

from schema import roles as logins
from schema.lints import declared as roles
from schema.lints import grants

#: What a sealed value begins with: version, length of the key's id, id. PostgreSQL can judge no more of it.
SEALED = r"'\x01016b00'"

CALLS: Mapping[str, str] = {
    "public.auth_org_id": "public.auth_org_id()",
    "public.auth_user_id": "public.auth_user_id()",
    "public.enqueue_recording": "public.enqueue_recording('{own_org}', 'https', 'c', 'https://provider.example/r')",
    "public.receive_call": (
        "public.receive_call('https', 'c', 'https://provider.example/r', phone_number => '{own_config}')"
    ),
    "public.assign_unclaimed_call": "public.assign_unclaimed_call('{own_unclaimed}', '{own_org}', 'r')",
    "public.discard_unclaimed_call": "public.discard_unclaimed_call('{own_unclaimed}', 'r')",
    "app.whose_call": "app.whose_call('vapi', 'assistant', NULL)",
    "app.note_unclaimed": "app.note_unclaimed('unclaimed_call_discarded', NULL, '{own_unclaimed}', 'r', '{{}}')",
    "public.retry_failed_upload": "public.retry_failed_upload('{own_failed}', 'r')",
    "public.discard_failed_upload": "public.discard_failed_upload('{own_failed}', 'r')",
    "public.request_storage_sweep": "public.request_storage_sweep('{own_org}', 'r')",
    "public.request_recording_download": "public.request_recording_download('{own_call}', 'r')",
    "public.request_recording_export": "public.request_recording_export(ARRAY['{own_call}'::uuid], 'r')",
    "public.revoke_recording_download": "public.revoke_recording_download('{own_download}', 'r')",
    "app.record_download": "app.record_download()",
    "app.record_export": "app.record_export()",
    "app.take_request": "app.take_request('r')",
    "app.refuse_unstored": "app.refuse_unstored(false, '')",
    "app.calls_found": "app.calls_found('{{}}')",
    "app.blank_link": "app.blank_link()",
    "public.set_integration": f"public.set_integration('{{own_org}}', 'twilio', {SEALED}, 'r')",
    "public.announce_integration": "public.announce_integration('{own_org}', 'vapi', 'r')",
    "public.announced_integration": "public.announced_integration('{own_org}', 1)",
    "public.reseal_integration": f"public.reseal_integration('{{own_org}}', 'vapi', 'sealed', {SEALED}, 'r')",
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
    "app.seal_key_id": f"app.seal_key_id({SEALED})",
    "app.name_integration": "app.name_integration('{own_org}', 'r')",
    "app.refuse_unsealed": f"app.refuse_unsealed({SEALED})",
    "app.note_integration": "app.note_integration('integration_set', '{own_org}', '{own_org}', 'r', '{{}}')",
    "public.erase_recording": "public.erase_recording('{own_spare_call}', 'r')",
    "public.set_legal_hold": "public.set_legal_hold('{own_call}', true, 'r')",
    "app.plan_erasure": "app.plan_erasure('{own_spare_call}', 'requested', 'r')",
    "app.plan_retention": "app.plan_retention(1)",
    "app.record_erasure": "app.record_erasure()",
    "app.named_call_id": "app.named_call_id()",
    "app.take_call": "app.take_call('{own_call}', 'r')",
    "app.note_call_action": "app.note_call_action('legal_hold_set', '{own_org}', 'r', '{{}}')",
    "app.keep_erased_upload": "app.keep_erased_upload()",
    "app.keep_erased_call": "app.keep_erased_call()",
    "app.refuse_erased_call": "app.refuse_erased_call()",
    "app.refuse_erased_rendition": "app.refuse_erased_rendition()",
    "app.refuse_change": "app.refuse_change()",
    "app.refuse_org_change": "app.refuse_org_change()",
    "app.touch_updated_at": "app.touch_updated_at()",
}

_HELPERS: Mapping[str, str] = {
    "app.take_failed_upload": roles.ACTIONS,
    "app.note_upload_action": roles.ACTIONS,
    "app.take_request": roles.ASKER,
    "app.refuse_unstored": roles.ASKER,
    "app.calls_found": roles.ASKER,
    "app.seconds_ago": roles.REPORTER,
    "app.name_integration": roles.INTEGRATOR,
    "app.refuse_unsealed": roles.INTEGRATOR,
    "app.note_integration": roles.INTEGRATOR,
    "app.take_call": roles.ERASER,
    "app.note_call_action": roles.ERASER,
    "app.whose_call": roles.RECEIVER,
    "app.note_unclaimed": roles.RECEIVER,
}
"""Owned by an owner of functions, and called by those alone."""


def callers(function: str) -> frozenset[str]:
    """Who may call it: those that it is for, and its owner."""
    owner = roles.DEFINER_FUNCTIONS.get(function) or _HELPERS.get(function) or logins.OWNER
    return frozenset({owner, *grants.callers(function)})


def may_call(role: str, function: str) -> bool:
    return role in callers(function)
