"""Who may do what, privilege by privilege and column by column: the whole list."""

import re
from collections.abc import Iterator, Mapping

from schema.lints.declared import (
    ACTIONS,
    ANONYMOUS,
    ASKER,
    DEFINERS,
    ENQUEUER,
    ERASER,
    INTEGRATOR,
    PLANNER,
    RECEIVER,
    REFUSALS,
    REPORTER,
    REQUESTER,
    USER,
    VERIFIER,
)
from schema.roles import CALL_HANDLER, DISPATCHER, OPERATOR, OWNER, WORKER

_ALL = "SELECT INSERT UPDATE DELETE"
_PRIVILEGE = re.compile(r"(\w+)(?:\(([^)]*)\))?")

TABLES: Mapping[str, Mapping[str, str]] = {
    USER: {
        "public.organizations": "SELECT",
        "public.agents": _ALL,
        "public.leads": _ALL,
        "public.knowledge_base": _ALL,
        "public.inbound_agent_config": _ALL,
        "public.integrations": "SELECT(id org_id provider created_at updated_at)",
        "public.call_logs": "SELECT",
        "public.recording_upload_queue": (
            "SELECT(id org_id call_id provider recording_id priority status attempt failures max_failures "
            "next_attempt_at size_bytes sha256 content_type error_code created_at completed_at erased_at)"
        ),
        "public.failed_recording_uploads": "SELECT",
        "public.recording_upload_metrics": "SELECT",
        "public.recording_downloads": "SELECT",
        "public.recording_exports": (
            "SELECT(id org_id requested_by reason status recordings_total recordings_done size_bytes sha256 expires_at "
            "error_code created_at)"
        ),
    },
    WORKER: {
        "public.integrations": "SELECT(id org_id provider sealed_credentials)",
        "public.call_logs": (
            "SELECT(id org_id provider provider_call_id recording_status recording_key recording_format "
            "recording_size_bytes recording_sha256 recording_uploaded_at legal_hold started_at duration_s) "
            "UPDATE(recording_status recording_key recording_format recording_size_bytes recording_sha256 "
            "recording_uploaded_at)"
        ),
        "public.recording_upload_queue": (
            "SELECT UPDATE(status attempt failures next_attempt_at dispatched_until lease_expires_at worker claim_id "
            "object_key size_bytes sha256 content_type error_code completed_at)"
        ),
        "public.failed_recording_uploads": (
            "SELECT INSERT UPDATE(error_code error_message failure_count last_failed_at next_retry_at given_up_at "
            "resolved_at resolution)"
        ),
        "public.recording_upload_metrics": "SELECT INSERT",
        "public.recording_downloads": (
            "SELECT(id org_id call_id kind export_id status sha256 format dispatched_until) "
            "UPDATE(status url expires_at sha256 error_code dispatched_until)"
        ),
        "public.recording_exports": (
            "SELECT(id org_id status recordings_total recordings_done object_key attempt failures dispatched_until "
            "lease_expires_at created_at) "
            "UPDATE(status recordings_done size_bytes sha256 object_key expires_at error_code attempt failures "
            "dispatched_until lease_expires_at worker)"
        ),
        "public.recording_renditions": (
            "SELECT INSERT(org_id call_id upload_id format object_key size_bytes sha256 source_sha256) DELETE"
        ),
        "app.sweeps": "SELECT UPDATE(claimed_at leased_until begun_at reached_key checked_key swept_at)",
        "app.storage_findings": (
            "SELECT INSERT(org_id upload_id object_key code action) UPDATE(action last_seen_at resolved_at)"
        ),
        "app.erasures": (
            "SELECT(id org_id call_id next_attempt_at claimed_at erased_at objects) "
            "UPDATE(next_attempt_at claimed_at error_code erased_at objects)"
        ),
    },
    DISPATCHER: {
        "public.organizations": "SELECT(id status created_at)",
        "public.recording_upload_queue": (
            "SELECT(id org_id priority status attempt next_attempt_at dispatched_until lease_expires_at created_at) "
            "UPDATE(dispatched_until)"
        ),
        "public.recording_downloads": (
            "SELECT(id org_id kind export_id format status created_at dispatched_until expires_at) "
            "UPDATE(dispatched_until status error_code)"
        ),
        "public.recording_exports": (
            "SELECT(id org_id status object_key failures dispatched_until lease_expires_at expires_at created_at) "
            "UPDATE(dispatched_until status error_code lease_expires_at)"
        ),
        "app.sweeps": (
            "SELECT(org_id requested_at rung_at claimed_at leased_until begun_at swept_at) "
            "INSERT(org_id rung_at) UPDATE(rung_at)"
        ),
        "app.erasures": "SELECT(org_id next_attempt_at error_code erased_at)",
    },
    OPERATOR: {
        "public.organizations": "SELECT",
        "public.recording_upload_queue": (
            "SELECT(id org_id call_id provider priority status attempt failures max_failures next_attempt_at "
            "dispatched_until lease_expires_at worker size_bytes sha256 error_code created_at completed_at retried_at "
            "erased_at)"
        ),
        "public.failed_recording_uploads": "SELECT",
        "public.recording_upload_metrics": "SELECT",
        "public.audit_log": "SELECT",
        "public.recording_downloads": (
            "SELECT(id org_id call_id requested_by reason kind export_id format status error_code sha256 expires_at "
            "created_at)"
        ),
        "public.recording_exports": (
            "SELECT(id org_id requested_by reason status recordings_total recordings_done size_bytes sha256 expires_at "
            "error_code attempt failures lease_expires_at worker created_at)"
        ),
        "public.integrations": "SELECT(id org_id provider key_id created_at updated_at)",
        "app.sweeps": "SELECT",
        "app.storage_findings": "SELECT",
        "app.erasures": "SELECT",
        "app.workers": "SELECT",
        "app.refused_grants": "SELECT",
        "app.unclaimed_calls": (
            "SELECT(id provider provider_call_id recording_id provider_agent_id phone_number why deliveries "
            "received_at last_received_at)"
        ),
    },
    ENQUEUER: {
        "public.organizations": "SELECT(id)",
        "public.call_logs": (
            "SELECT(id org_id provider provider_call_id agent_id direction from_number to_number started_at ended_at "
            "duration_s recording_status) "
            "INSERT(org_id provider provider_call_id agent_id direction from_number to_number started_at ended_at "
            "duration_s recording_status) "
            "UPDATE(agent_id direction from_number to_number started_at ended_at duration_s recording_status)"
        ),
        "public.recording_upload_queue": (
            "SELECT(id org_id call_id provider recording_id status) "
            "INSERT(org_id call_id provider recording_id source_url priority) UPDATE(source_url)"
        ),
    },
    ACTIONS: {
        "public.recording_upload_queue": (
            "SELECT(id org_id call_id status attempt failures next_attempt_at error_code erased_at) "
            "UPDATE(status failures next_attempt_at dispatched_until error_code retried_at)"
        ),
        "public.failed_recording_uploads": (
            "SELECT(id upload_id error_code resolved_at) UPDATE(next_retry_at given_up_at resolved_at resolution)"
        ),
        "public.call_logs": "SELECT(id recording_status) UPDATE(recording_status)",
        "public.recording_downloads": "SELECT(id export_id status) UPDATE(status)",
        "public.recording_exports": "SELECT(id status) UPDATE(status lease_expires_at)",
        "public.audit_log": "INSERT(org_id actor action subject_id reason detail)",
    },
    REQUESTER: {
        "public.organizations": "SELECT(id status)",
        "public.audit_log": "INSERT(org_id actor action reason detail)",
        "app.sweeps": "SELECT(org_id requested_at) INSERT(org_id requested_at) UPDATE(requested_at)",
    },
    ASKER: {
        "public.organizations": "SELECT(id status)",
        "public.call_logs": (
            "SELECT(id org_id recording_status recording_sha256 recording_format started_at agent_id lead_id direction)"
        ),
        "public.recording_downloads": (
            "SELECT(id org_id requested_by kind created_at) "
            "INSERT(org_id call_id requested_by reason kind export_id format sha256)"
        ),
        "public.recording_exports": (
            "SELECT(id org_id requested_by created_at) INSERT(org_id requested_by reason recordings_total)"
        ),
        "public.audit_log": "INSERT(org_id actor action subject_id reason detail)",
    },
    ERASER: {
        "public.call_logs": (
            "SELECT(id org_id recording_status recording_sha256 legal_hold) "
            "UPDATE(recording_status recording_key legal_hold)"
        ),
        "public.recording_upload_queue": (
            "SELECT(id org_id call_id status error_code object_key size_bytes sha256 completed_at erased_at) "
            "UPDATE(status error_code source_url dispatched_until erased_at)"
        ),
        "public.failed_recording_uploads": (
            "SELECT(org_id call_id resolved_at) UPDATE(next_retry_at resolved_at resolution)"
        ),
        "public.recording_downloads": "SELECT(id org_id call_id export_id status)",
        "app.erasures": "SELECT(org_id call_id claimed_at) INSERT(org_id call_id cause reason) DELETE",
        "public.audit_log": "INSERT(org_id actor action subject_id reason detail)",
    },
    PLANNER: {
        "public.organizations": "SELECT(id recording_retention_days)",
        "public.call_logs": "SELECT(id org_id recording_status recording_uploaded_at legal_hold)",
    },
    RECEIVER: {
        "public.agents": "SELECT(id org_id provider provider_agent_id is_active)",
        "public.inbound_agent_config": "SELECT(org_id phone_number is_active)",
        "app.unclaimed_calls": (
            "SELECT INSERT(provider provider_call_id recording_id source_url provider_agent_id phone_number why "
            "priority direction from_number to_number started_at ended_at duration_s) "
            "UPDATE(source_url why deliveries last_received_at) DELETE"
        ),
        "public.audit_log": "INSERT(org_id actor action subject_id reason detail)",
    },
    REPORTER: {"app.workers": _ALL},
    REFUSALS: {
        "app.refused_grants": "SELECT INSERT(hour kind) UPDATE(refused last_at) DELETE",
        "public.audit_log": "INSERT(actor action detail)",
    },
    VERIFIER: {"app.grant_keys": "SELECT"},
    INTEGRATOR: {
        "public.organizations": "SELECT(id)",
        "public.integrations": (
            "SELECT(id org_id provider sealed_credentials key_id) INSERT(org_id provider sealed_credentials) "
            "UPDATE(sealed_credentials) DELETE"
        ),
        "public.audit_log": (
            "SELECT(id at org_id actor action subject_id) INSERT(org_id actor action subject_id reason detail)"
        ),
    },
}

FUNCTIONS: Mapping[str, str | tuple[str, ...]] = {
    "public.auth_org_id": (USER, ASKER),
    "public.auth_user_id": (USER, ASKER),
    "public.request_recording_download": USER,
    "public.request_recording_export": USER,
    "public.revoke_recording_download": (OPERATOR, ERASER),
    "public.erase_recording": OPERATOR,
    "public.set_legal_hold": OPERATOR,
    "app.plan_erasure": PLANNER,
    "app.plan_retention": DISPATCHER,
    "app.record_erasure": OWNER,
    "app.named_call_id": ERASER,
    "app.record_download": OWNER,
    "app.record_export": OWNER,
    "app.task_org_id": WORKER,
    "app.report_worker": WORKER,
    "app.report_refused_grant": WORKER,
    "app.grant_fault": REFUSALS,
    "public.enqueue_recording": (CALL_HANDLER, RECEIVER),
    "public.receive_call": CALL_HANDLER,
    "public.assign_unclaimed_call": OPERATOR,
    "public.discard_unclaimed_call": OPERATOR,
    "app.enqueue_org_id": ENQUEUER,
    "public.retry_failed_upload": OPERATOR,
    "public.discard_failed_upload": OPERATOR,
    "public.request_storage_sweep": OPERATOR,
    "public.set_integration": OPERATOR,
    "public.announce_integration": OPERATOR,
    "public.announced_integration": OPERATOR,
    "public.reseal_integration": OPERATOR,
    "public.remove_integration": OPERATOR,
    "app.named_upload_id": ACTIONS,
    "app.named_org_id": (REQUESTER, INTEGRATOR, ASKER, RECEIVER),
    "app.seal_key_id": INTEGRATOR,
}
"""Who may call each; functions that are not here are called by triggers or by their owner's other functions."""

SCHEMAS: Mapping[str, tuple[str, ...]] = {
    "app": (WORKER, DISPATCHER, OPERATOR, *DEFINERS),
    "public": (
        *(WORKER, DISPATCHER, OPERATOR, CALL_HANDLER, USER, ANONYMOUS, OWNER),
        *(role for role in DEFINERS if role not in {VERIFIER, REPORTER}),
    ),
}
"""Who may name what is in them. PostgreSQL itself opens ``public`` to everybody; nobody has to close it."""


def callers(function: str) -> tuple[str, ...]:
    """Who may call it, besides its owner."""
    found = FUNCTIONS.get(function, ())
    return (found,) if isinstance(found, str) else found


Line = tuple[str, str | None, str | None, str, str]


def declared() -> Iterator[Line]:
    """Every grant that there has to be: (kind, object, column, role, privilege)."""
    for role, tables in TABLES.items():
        for table, privileges in tables.items():
            for privilege, columns in _PRIVILEGE.findall(privileges):
                yield from (("TABLE", table, column, role, privilege) for column in columns.split() or [None])
    yield from (("FUNCTION", function, None, role, "EXECUTE") for function in FUNCTIONS for role in callers(function))
    yield from (("SCHEMA", schema, None, role, "USAGE") for schema, roles in SCHEMAS.items() for role in roles)
    yield "SCHEMA", "public", None, OWNER, "CREATE"
